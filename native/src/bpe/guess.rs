//! The ranks of pairs, guessed: never higher than they are, nearly always right, and found without a branch.
//!
//! A slot holds a rank and, in what is left of its 32 bits, a part of its pair's hash, so that the table is small and stays near the
//! processor. Of a pair with a rank that is what is found. Of any other it is NEVER nearly always, for its hash is not the slot's; by
//! chance it is a rank all the same. Such a pair comes up too early: who merges the lowest rank looks at what that rank joins, sees that
//! it is not this pair, and asks the exact table. A rank that is there is never hidden.
//!
//! Every pair has a slot of its own: the hashes of a group of pairs are changed by one number, the first that leads all of them to
//! slots that are free (hash and displace: Belazzougui, Botelho and Dietzfelbinger 2009).

use super::prefetch;
use super::two_bytes::{two_bytes, Table, TwoBytes};

// odd numbers without a pattern, which mix the bits of what they are multiplied with
const LEFT: u64 = 0x9E37_79B9_7F4A_7C15; // 2^64 / golden ratio
const RIGHT: u64 = 0xC2B2_AE3D_27D4_EB4F;
const TURN: u64 = 0xD6E8_FEB8_6659_FD93;

/// Two tokens, and the one that they make.
#[derive(Clone, Copy)]
pub struct Merge {
    pub left: u32,
    pub right: u32,
    pub made: u32,
}

pub struct Guesses {
    two_bytes: Table,
    merges: Vec<Merge>, // by rank
    slots: Vec<u32>,    // 2^(64 - slot_shift)
    groups: Vec<u16>,   // 2^(32 - group_shift): what the hashes of each are changed by
    slot_shift: u32,
    group_shift: u32,
    rank_bits: u32, // of a slot
}

impl Guesses {
    /// `merges`: by rank; None: that rank joins nothing. `tokens`: the bytes of each id. None where no slots are found, which does not
    /// happen by chance.
    pub fn new(merges: &[Option<Merge>], tokens: &[&[u8]]) -> Option<Guesses> {
        let ranked = || merges.iter().enumerate().filter_map(|(rank, merge)| merge.map(|merge| (rank as u32, merge)));
        let n = ranked().count();
        let slot_bits = (n * 5 / 4) // at most four in five are taken: the last groups still find free ones
            .next_power_of_two()
            .trailing_zeros()
            .max(3);
        let group_bits = slot_bits - 2; // some three pairs a group: 65,536 changes are enough for each
        let nothing = Merge { left: u32::MAX, right: u32::MAX, made: u32::MAX };
        let mut guesses = Guesses {
            two_bytes: two_bytes(ranked(), tokens),
            merges: merges.iter().map(|merge| merge.unwrap_or(nothing)).collect(),
            slots: vec![u32::MAX; 1 << slot_bits],
            groups: vec![0; 1 << group_bits],
            slot_shift: 64 - slot_bits,
            group_shift: 32 - group_bits,
            rank_bits: (merges.len() + 1).next_power_of_two().trailing_zeros(),
        };
        let mut groups: Vec<(usize, Vec<(u32, u64)>)> = (0..1 << group_bits).map(|group| (group, Vec::new())).collect();
        for (rank, merge) in ranked() {
            let hash = guesses.hash(merge.left, merge.right);
            groups[guesses.group(hash)].1.push((rank, hash));
        }
        groups.sort_by_key(|(_, own)| std::cmp::Reverse(own.len())); // the largest while there is room for them
        let mut taken = vec![false; 1 << slot_bits];
        for (group, own) in groups {
            let change = (0..=u16::MAX).find(|&change| guesses.has_room(&own, change, &taken))?;
            guesses.groups[group] = change;
            for (rank, hash) in own {
                let slot = guesses.slot(hash, change);
                taken[slot] = true;
                guesses.slots[slot] = guesses.mark(hash) | rank;
            }
        }
        Some(guesses)
    }

    /// Whether this change leads all of these to slots that are free, no two to one.
    fn has_room(&self, group: &[(u32, u64)], change: u16, taken: &[bool]) -> bool {
        group.iter().enumerate().all(|(i, &(_, hash))| {
            let slot = self.slot(hash, change);
            !taken[slot] && group[..i].iter().all(|&(_, other)| self.slot(other, change) != slot)
        })
    }

    #[inline(always)]
    pub fn two_bytes(&self, a: u8, b: u8) -> TwoBytes {
        self.two_bytes.of(a, b)
    }

    #[inline(always)]
    pub fn merge(&self, rank: u32) -> Merge {
        self.merges[rank as usize]
    }

    /// Ask the memory for what a rank merges; any number will do.
    #[inline(always)]
    pub fn ask_ahead(&self, rank: u32) {
        prefetch(self.merges.as_ptr().wrapping_add(rank as usize));
    }

    #[inline(always)]
    pub fn hash(&self, a: u32, b: u32) -> u64 {
        u64::from(a).wrapping_mul(LEFT).wrapping_add(u64::from(b).wrapping_mul(RIGHT))
    }

    #[inline(always)]
    fn group(&self, hash: u64) -> usize {
        (hash as u32 >> self.group_shift) as usize
    }

    #[inline(always)]
    fn slot(&self, hash: u64, change: u16) -> usize {
        ((hash ^ u64::from(change)).wrapping_mul(TURN) >> self.slot_shift) as usize
    }

    #[inline(always)]
    fn mark(&self, hash: u64) -> u32 {
        (hash >> 16) as u32 & (u32::MAX << self.rank_bits)
    }

    /// At most the rank of the pair with this hash; NEVER: it has none.
    #[inline(always)]
    pub fn at_most(&self, hash: u64) -> u32 {
        // SAFETY: groups and slots are as many as their numbers have bits for
        let slot = unsafe {
            let change = *self.groups.get_unchecked(self.group(hash));
            *self.slots.get_unchecked(self.slot(hash, change))
        };
        let rank = slot ^ self.mark(hash);
        let highest = (1u64 << self.rank_bits) - 2; // an empty slot is one more
        rank | (highest.wrapping_sub(u64::from(rank)) >> 32) as u32 // all bits where it is higher; an `if` would become a branch
    }
}

#[cfg(test)]
mod tests {
    use super::super::pairs::NEVER;
    use super::*;

    #[test]
    fn every_pair_that_has_a_rank_is_found_and_few_others_seem_to() {
        let tokens: Vec<Vec<u8>> = (0..3000u32).map(|id| id.to_be_bytes().to_vec()).collect();
        let tokens: Vec<&[u8]> = tokens.iter().map(|token| token.as_slice()).collect();
        let pair = |rank: u32| (rank * 7 % 3000, rank * rank % 2999);
        let mut merges: Vec<Option<Merge>> =
            (0..3000).map(pair).map(|(left, right)| Some(Merge { left, right, made: 0 })).collect();
        merges[5] = None; // as where a special token has the id
        merges[17] = None;
        let guesses = Guesses::new(&merges, &tokens).unwrap();
        for rank in (0..3000).filter(|&rank| merges[rank as usize].is_some()) {
            assert_eq!(guesses.at_most(guesses.hash(pair(rank).0, pair(rank).1)), rank);
        }
        let wrong = (0..200_000).filter(|&i| guesses.at_most(guesses.hash(i % 3000, 3000 + i / 3000)) != NEVER).count();
        assert!(wrong < 10, "{wrong} of 200,000"); // 20 bits of each hash are compared
    }
}
