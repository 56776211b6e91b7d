//! What short chunks became, to be looked up when they are met again.
//!
//! A table of pairs of slots, found by a hash of a chunk's bytes; what is met twice moves to the first slot of its pair, and new
//! chunks take the second, so that rare words do not push out frequent ones.

pub const KEPT_BYTES: usize = 15; // of a chunk: with its length they fill 16

#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Slot<const MOST: usize> {
    key: u128, // the bytes of a chunk, its length in the last one; 0: nothing
    n: u32,
    ids: [u32; MOST],
}

/// Chunks of at most KEPT_BYTES that became at most MOST ids.
pub struct Table<const MOST: usize> {
    pairs: Vec<[Slot<MOST>; 2]>,
    shift: u32,
}

impl<const MOST: usize> Table<MOST> {
    /// Of 2^bits pairs.
    pub fn new(bits: u32) -> Table<MOST> {
        Table { pairs: vec![[Slot { key: 0, n: 0, ids: [0; MOST] }; 2]; 1 << bits], shift: 64 - bits }
    }

    /// Append the ids of a chunk; false where it is not there.
    #[inline(always)]
    pub fn append(&mut self, key: u128, ids: &mut Vec<u32>) -> bool {
        let pair = &mut self.pairs[(hash(key) >> self.shift) as usize];
        if pair[0].key != key {
            if pair[1].key != key {
                return false;
            }
            pair.swap(0, 1);
        }
        ids.reserve(MOST);
        let n = pair[0].n as usize;
        // SAFETY: there is room for MOST more, and n is no more than that
        unsafe {
            let end = ids.as_mut_ptr().add(ids.len());
            end.copy_from_nonoverlapping(pair[0].ids.as_ptr(), MOST);
            ids.set_len(ids.len() + n);
        }
        true
    }

    /// Keep a chunk that is not there; it has at most MOST ids.
    pub fn keep(&mut self, key: u128, ids: &[u32]) {
        let pair = &mut self.pairs[(hash(key) >> self.shift) as usize];
        let slot = &mut pair[usize::from(pair[0].key != 0)];
        (slot.key, slot.n) = (key, ids.len() as u32);
        slot.ids[..ids.len()].copy_from_slice(ids);
    }
}

/// The bytes of a chunk of at most KEPT_BYTES, and its length.
#[inline(always)]
pub fn key_of(text: &[u8], chunk: &[u8]) -> u128 {
    let at = chunk.as_ptr() as usize - text.as_ptr() as usize;
    let bytes = match text.get(at..at + 16) {
        Some(sixteen) => u128::from_le_bytes(sixteen.try_into().expect("they are sixteen")),
        None => {
            let mut sixteen = [0u8; 16];
            sixteen[..chunk.len()].copy_from_slice(chunk);
            u128::from_le_bytes(sixteen)
        }
    };
    let kept = (1u128 << (8 * chunk.len())) - 1;
    (bytes & kept) | (chunk.len() as u128) << 120
}

#[inline(always)]
fn hash(key: u128) -> u64 {
    let (low, high) = (key as u64, (key >> 64) as u64);
    let mixed = u128::from(low ^ 0x9E37_79B9_7F4A_7C15) * u128::from(high ^ 0xC2B2_AE3D_27D4_EB4F);
    (mixed as u64) ^ (mixed >> 64) as u64
}
