//! The table of merges: (a, b) → rank. One number of 64 bits a slot, so that as much of it as can be stays near the processor.

pub const NEVER: u32 = u32::MAX; // the rank of a pair that no merge joins
pub const MOST_IDS: u32 = (1 << ID_BITS) - 1; // that a vocabulary can have: without the last, so that no pair looks like an empty slot
pub const MOST_MERGES: u32 = 1 << RANK_BITS;

const ID_BITS: u32 = 21;
pub const RANK_BITS: u32 = 64 - 2 * ID_BITS; // 22
const BITS_A_SLOT: u32 = 2; // 2^2 bits of `seen` for each slot
const EMPTY: u64 = u64::MAX; // no pair: it would be of an id that there is not

/// (a, b) → rank, by open addressing; and rank → the id that the merge makes.
#[derive(Default)]
pub struct Pairs {
    seen: Vec<u64>, // a bit for what a pair is hashed to: where it is 0 there is no such pair, which is the answer mostly
    slots: Vec<u64>, // a, b, rank
    shift: u32,
    made: Vec<u32>,
}

impl Pairs {
    /// `merges`: a, b and the id that they make, with the rank of each. Of a pair that is given twice the first counts.
    pub fn new(merges: impl Iterator<Item = (u32, u32, u32)>, n_merges: usize, made: Vec<u32>) -> Pairs {
        let bits = (2 * n_merges).next_power_of_two().trailing_zeros().max(4);
        let seen = vec![0; 1 << (bits + BITS_A_SLOT - 6)];
        let mut pairs = Pairs { seen, slots: vec![EMPTY; 1 << bits], shift: 64 - bits, made };
        for (a, b, rank) in merges {
            let bit = pairs.bit(hash(key(a, b)));
            pairs.seen[bit / 64] |= 1 << (bit % 64);
            let at = pairs.find(key(a, b), hash(key(a, b)));
            if pairs.slots[at] == EMPTY {
                pairs.slots[at] = key(a, b) << RANK_BITS | u64::from(rank);
            }
        }
        pairs
    }

    pub fn into_made(self) -> Vec<u32> {
        self.made
    }

    /// The rank of a pair of neighbours.
    #[inline(always)]
    pub fn rank(&self, a: u32, b: u32) -> u32 {
        let pair = key(a, b);
        let hash = hash(pair);
        let bit = self.bit(hash);
        if self.seen[bit / 64] >> (bit % 64) & 1 == 0 {
            return NEVER;
        }
        let slot = self.slots[self.find(pair, hash)];
        if slot == EMPTY {
            NEVER
        } else {
            slot as u32 & (MOST_MERGES - 1)
        }
    }

    /// The id that a merge makes.
    #[inline(always)]
    pub fn made(&self, rank: u32) -> u32 {
        self.made[rank as usize]
    }

    #[inline(always)]
    fn bit(&self, hash: u64) -> usize {
        (hash >> (self.shift - BITS_A_SLOT)) as usize
    }

    #[inline(always)]
    fn find(&self, pair: u64, hash: u64) -> usize {
        let mut at = (hash >> self.shift) as usize;
        while self.slots[at] >> RANK_BITS != pair && self.slots[at] != EMPTY {
            at = (at + 1) & (self.slots.len() - 1);
        }
        at
    }
}

#[inline(always)]
pub fn key(a: u32, b: u32) -> u64 {
    u64::from(a) << ID_BITS | u64::from(b)
}

#[inline(always)]
pub fn hash(pair: u64) -> u64 {
    pair.wrapping_mul(0x9E37_79B9_7F4A_7C15) // 2^64 / golden ratio
}
