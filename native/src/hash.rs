//! A hash map for pairs of ids. The keys are our own small numbers, so that a multiplication mixes them well enough
//! (the idea of FxHash); the standard hasher defends against chosen keys and costs several times as much.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub type Pair = (u32, u32);
pub type PairMap<V> = HashMap<Pair, V, BuildHasherDefault<PairHasher>>;

#[derive(Default)]
pub struct PairHasher(u64);

impl Hasher for PairHasher {
    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0.rotate_left(26) ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // 2^64 / golden ratio
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
