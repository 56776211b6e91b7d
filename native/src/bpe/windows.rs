//! Windows of a long chunk, each merged as if it stood alone, many side by side; `long.rs` puts them together where they agree.
//!
//! Vocabularies have to be in order (`merge.rs`): whatever a merge made is merged at a higher rank. Then two bytes whose rank is lower
//! than that of every merge that could take one of them away can be merged before their turn: nothing that happens in between
//! would have been different.
//!
//! What merging costs is mostly waiting, for tables and after branches that nobody can guess. So one merge in a window is written
//! without a branch, in three steps (find the lowest rank, join, look up what that leads to), and each step is done for all
//! windows before the next, so that none waits for another.

use super::guess::Guesses;
use super::merge::Merger;
use super::pairs::{Pairs, MOST_IDS, MOST_MERGES, NEVER};

const PLACE_BITS: u32 = 6;
pub const PLACES: usize = 1 << PLACE_BITS; // of a window: one before its first byte, and one behind its last
pub const WINDOW: usize = PLACES - 3; // bytes; a bit behind the place behind them stays free, so that 1 << (n + 2) is a number
pub const OVERLAP: usize = 15; // bytes that two windows share: with fewer they agree less often, more are merged twice (docs/log.md)
pub const STRIDE: usize = WINDOW - OVERLAP;
const LANES: usize = 16; // windows side by side: their keys are a vector of AVX-512, or two of AVX2
const NOBODY: u32 = MOST_IDS; // an id that no token has: a `Merger` takes fewer

const _: () = assert!((MOST_MERGES as u64) << PLACE_BITS < u32::MAX as u64); // so that a rank and a place fit into a key

/// Windows side by side. A window's first byte stands at place 1; before and behind its bytes is an id that nothing is merged with.
pub struct Windows {
    // where a token begins: the rank (at most) of it and the next one, NEVER if it is known that they have none, and the place, which
    // also makes the leftmost of equals the lowest; where none begins: NEVER. All of these are above every key that is merged
    keys: [[u32; LANES]; PLACES],
    pub ids: [[u32; PLACES]; LANES],
    pub starts: [u64; LANES], // a bit for each place where a token begins, for the place before all and the one behind them
    pub n: usize,
}

#[inline(always)]
fn key(rank: u32, place: usize) -> u32 {
    rank << PLACE_BITS | place as u32
}

/// The lowest of some places. (`% PLACES`, here and below, changes nothing: it shows the compiler that the place is one.)
#[inline(always)]
pub fn first(places: u64) -> usize {
    places.trailing_zeros() as usize % PLACES
}

#[inline(always)]
pub fn behind(places: u64, place: usize) -> u64 {
    places & (u64::MAX << place << 1)
}

/// Calls `each` with every place, the first one first.
#[inline(always)]
pub fn for_each(mut places: u64, mut each: impl FnMut(usize)) {
    while places != 0 {
        each(first(places));
        places &= places - 1;
    }
}

impl Windows {
    pub const NONE: Windows =
        Windows { keys: [[NEVER; LANES]; PLACES], ids: [[NOBODY; PLACES]; LANES], starts: [0; LANES], n: 0 };

    /// Add a window with its first merges: two bytes are merged at once where neither has a merge of a lower rank, whatever becomes of
    /// what stands around them.
    ///
    ///     place       1 2 3 4 5 6 7      bytes  h e l l o s, of which "el" and "lo" are merged at once
    ///     at_once     . 1 . 1 . . .      where two such bytes begin
    ///     begins      1 1 . 1 . 1 1      where tokens begin now: h el lo s, place 0 and the one behind all, too
    ///     before      1 1 . . . . .      the token before such a pair, of one byte or of two: the pair changed its key
    #[inline(always)]
    fn add(&mut self, bytes: &[u8], byte_ids: &[u32; 256], guesses: &Guesses) {
        let n = bytes.len();
        assert!((2..=WINDOW).contains(&n) && self.n < LANES);
        let w = self.n;
        let Windows { keys, ids, starts, .. } = self;
        let ids = &mut ids[w];
        let mut at_once = 0; // where two such bytes begin
        let mut lowest = NEVER; // rank of the second byte and what begins behind it
        let mut two = guesses.two_bytes(bytes[n - 2], bytes[n - 1]);
        let mut place = n as u32;
        for (pair, row) in bytes[..n - 1].windows(2).zip(&mut keys[2..n]).rev() {
            place -= 1;
            let before = guesses.two_bytes(pair[0], pair[1]);
            at_once = at_once << 1 | u64::from((two.rank < before.left) & (two.rank < lowest));
            row[w] = two.rank << PLACE_BITS | place;
            (lowest, two) = (two.right, before);
        }
        at_once = (at_once << 1 | u64::from(two.rank < lowest)) << 1;
        keys[1][w] = key(two.rank, 1);
        for (id, &byte) in ids[1..].iter_mut().zip(bytes) {
            *id = byte_ids[usize::from(byte)];
        }
        ids[n + 1] = NOBODY;
        keys[n..].iter_mut().for_each(|row| row[w] = NEVER);
        for_each(at_once, |place| {
            ids[place] = guesses.two_bytes(bytes[place - 1], bytes[place]).made;
            keys[place + 1][w] = NEVER;
        });
        let begins = ((1 << (n + 2)) - 1) & !(at_once << 1);
        let before = begins & (at_once >> 1 | (at_once >> 2 & !(begins >> 1))); // the tokens before those are of one byte or two
        for_each((at_once | before) & !1, |place| {
            let next = first(behind(begins, place));
            keys[place][w] = key(guesses.at_most(guesses.hash(ids[place], ids[next])), place);
        });
        starts[w] = begins;
        self.n += 1;
    }

    /// Merge until nothing is left to merge: in turns, and in each turn once in every window.
    #[inline(always)]
    fn merge(&mut self, guesses: &Guesses, pairs: &Pairs) {
        let Windows { keys, ids, starts, .. } = self;
        let mut working = [0u8; LANES]; // the windows in which something is left
        let mut changed = [[0u8; 2]; LANES]; // the places whose keys are new, and the hashes for them
        let mut hashes = [[0; 2]; LANES];
        loop {
            let mut lowest = [NEVER; LANES];
            for row in &keys[1..WINDOW] {
                for (lowest, &key) in lowest.iter_mut().zip(row) {
                    *lowest = (*lowest).min(key);
                }
            }
            let mut n = 0;
            for (w, &lowest) in lowest.iter().enumerate() {
                working[n] = w as u8;
                n += usize::from(lowest < key(NEVER, 0));
                guesses.ask_ahead(lowest >> PLACE_BITS);
            }
            if n == 0 {
                return;
            }
            for i in 0..n {
                let w = usize::from(working[i]) % LANES;
                let ids = &mut ids[w];
                let place = lowest[w] as usize % PLACES;
                let merge = guesses.merge(lowest[w] >> PLACE_BITS);
                let rest = behind(starts[w], place);
                let next = first(rest);
                if merge.left != ids[place] || merge.right != ids[next] {
                    keys[place][w] = key(pairs.rank(ids[place], ids[next]), place); // that was a bad guess
                    changed[i] = [0; 2]; // nobody looks at the first place
                    continue;
                }
                let after = first(rest & (rest - 1));
                let before = 63 - (starts[w] & ((1 << place) - 1)).leading_zeros() as usize % PLACES;
                starts[w] ^= 1 << next;
                ids[place] = merge.made;
                keys[next][w] = NEVER;
                changed[i] = [before as u8, place as u8];
                hashes[i] = [guesses.hash(ids[before], merge.made), guesses.hash(merge.made, ids[after])];
            }
            for i in 0..n {
                let w = usize::from(working[i]) % LANES;
                let [before, place] = changed[i].map(|place| usize::from(place) % PLACES);
                let [left, right] = hashes[i];
                keys[before][w] = key(guesses.at_most(left), before);
                keys[place][w] = key(guesses.at_most(right), place);
            }
        }
    }

    /// Add and merge the first windows of a text.
    #[inline(always)]
    fn of(&mut self, text: &[u8], merger: &Merger, guesses: &Guesses) {
        self.n = 0;
        for from in (0..).step_by(STRIDE).take(LANES) {
            let to = text.len().min(from + WINDOW);
            self.add(&text[from..to], &merger.byte_ids, guesses);
            if to == text.len() {
                break;
            }
        }
        self.merge(guesses, &merger.pairs);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    fn of_with_avx2(&mut self, text: &[u8], merger: &Merger, guesses: &Guesses) {
        self.of(text, merger, guesses);
    }

    /// The same with what this processor has.
    pub fn of_fast(&mut self, text: &[u8], merger: &Merger, guesses: &Guesses) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
        {
            // SAFETY: it has all of them
            return unsafe { self.of_with_avx2(text, merger, guesses) };
        }
        self.of(text, merger, guesses);
    }
}
