//! Hashing of our own small keys: a multiplication mixes them well enough (the idea of FxHash); the standard hasher defends
//! against chosen keys and costs several times as much.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub type Pair = (u32, u32);
pub type PairMap<V> = HashMap<Pair, V, BuildHasherDefault<KeyHasher>>;

const MIX: u64 = 0x9E37_79B9_7F4A_7C15; // 2^64 / golden ratio

#[derive(Default)]
pub struct KeyHasher(u64);

impl KeyHasher {
    #[inline(always)]
    fn mix(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(26) ^ number).wrapping_mul(MIX);
    }
}

impl Hasher for KeyHasher {
    fn write_u32(&mut self, id: u32) {
        self.mix(u64::from(id));
    }

    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }

    fn write_u128(&mut self, key: u128) {
        self.mix(key as u64);
        self.mix((key >> 64) as u64);
    }

    fn write_usize(&mut self, length: usize) {
        self.mix(length as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut eights = bytes.chunks_exact(8);
        for eight in &mut eights {
            self.mix(u64::from_le_bytes(eight.try_into().expect("they are eight")));
        }
        self.mix(eights.remainder().iter().fold(1, |number, &byte| number << 8 | u64::from(byte)));
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32 // the table takes its places from the low bits and the rest from the high ones
    }
}
