//! Learning merges. The same algorithm as `learn_merges` in `linnet/tokenizer/bpe.py`, which explains it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::count::Counted;
use super::hash::{Pair, PairMap};

const FIRST_MERGE: u32 = 256;
const NOWHERE: u32 = u32::MAX;
const MOST_BYTES: usize = 1 << 31;

/// What is known of a pair: its exact weighted count, and where its left symbol stands (or stood).
#[derive(Default)]
struct Seen {
    count: u64,
    places: Vec<u32>,
}

/// All unique chunks in one line of symbols, as `_Line` in the Python, and the heap of candidates.
pub struct Trainer {
    symbols: Vec<u32>,
    left: Vec<u32>,
    right: Vec<u32>,
    chunk_of: Vec<u32>,
    weights: Vec<u64>,
    pairs: PairMap<Seen>,
    heap: BinaryHeap<(u64, Reverse<Pair>)>, // the highest count first, then the lowest pair
    n_learned: u32,
}

impl Trainer {
    /// None where the ends do not ascend, or there are too many bytes.
    pub fn new(chunks: &Counted) -> Option<Trainer> {
        let Counted { bytes, ends, counts: weights } = chunks;
        let ascending = ends.windows(2).all(|two| two[0] <= two[1]);
        if !ascending || bytes.len() > MOST_BYTES || ends.len() > MOST_BYTES || ends.len() != weights.len() {
            return None;
        }
        let n = bytes.len();
        let mut trainer = Trainer {
            symbols: bytes.iter().map(|&byte| u32::from(byte)).collect(),
            left: vec![NOWHERE; n],
            right: vec![NOWHERE; n],
            chunk_of: vec![0; n],
            weights: weights.to_vec(),
            pairs: PairMap::default(),
            heap: BinaryHeap::new(),
            n_learned: 0,
        };
        let mut start = 0;
        for (chunk, &end) in ends.iter().enumerate() {
            let end = end as usize;
            for place in start..end {
                trainer.chunk_of[place] = chunk as u32;
                if place + 1 < end {
                    trainer.right[place] = place as u32 + 1;
                    trainer.left[place + 1] = place as u32;
                    let pair = (trainer.symbols[place], trainer.symbols[place + 1]);
                    trainer.add(pair, place as u32, weights[chunk]);
                }
            }
            start = end;
        }
        trainer.heap =
            trainer.pairs.iter().filter(|(_, seen)| seen.count >= 2).map(|(&pair, seen)| (seen.count, Reverse(pair))).collect();
        Some(trainer)
    }

    /// The next merge; None where no pair occurs twice any more.
    pub fn learn_one(&mut self) -> Option<Pair> {
        while let Some((count, Reverse(pair))) = self.heap.pop() {
            let current = self.pairs[&pair].count;
            if current != count {
                // other merges took some of its places
                if current >= 2 {
                    self.heap.push((current, Reverse(pair)));
                }
                continue;
            }
            let merged = FIRST_MERGE + self.n_learned;
            self.n_learned += 1;
            for fresh in self.merge(pair, merged) {
                let count = self.pairs[&fresh].count;
                if count >= 2 {
                    self.heap.push((count, Reverse(fresh)));
                }
            }
            return Some(pair);
        }
        None
    }

    /// Put `merged` wherever `pair` stands, from left to right; returns the pairs that this made, each once.
    fn merge(&mut self, pair: Pair, merged: u32) -> Vec<Pair> {
        let mut places = std::mem::take(&mut self.pairs.get_mut(&pair).expect("a pair of the heap is known").places);
        places.sort_unstable();
        let mut fresh = Vec::new();
        for place in places {
            let next = self.right[place as usize];
            if self.symbols[place as usize] != pair.0 || next == NOWHERE || self.symbols[next as usize] != pair.1 {
                continue; // an earlier merge, or this one a step to the left, took the place
            }
            let weight = self.weights[self.chunk_of[place as usize] as usize];
            let (before, after) = (self.left[place as usize], self.right[next as usize]);
            self.symbols[place as usize] = merged;
            self.symbols[next as usize] = NOWHERE;
            self.right[place as usize] = after;
            if before != NOWHERE {
                let symbol = self.symbols[before as usize];
                self.take((symbol, pair.0), weight);
                fresh.push((symbol, merged));
                self.add((symbol, merged), before, weight);
            }
            if after != NOWHERE {
                self.left[after as usize] = place;
                let symbol = self.symbols[after as usize];
                self.take((pair.1, symbol), weight);
                fresh.push((merged, symbol));
                self.add((merged, symbol), place, weight);
            }
        }
        self.pairs.get_mut(&pair).expect("a pair stays known").count = 0;
        fresh.sort_unstable();
        fresh.dedup();
        fresh
    }

    fn add(&mut self, pair: Pair, place: u32, weight: u64) {
        let seen = self.pairs.entry(pair).or_default();
        seen.count += weight;
        seen.places.push(place);
    }

    fn take(&mut self, pair: Pair, weight: u64) {
        self.pairs.get_mut(&pair).expect("neighbours are a known pair").count -= weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(chunks: &[(&[u8], u64)], n: usize) -> Vec<Pair> {
        let bytes: Vec<u8> = chunks.iter().flat_map(|(chunk, _)| chunk.iter().copied()).collect();
        let mut ends = Vec::new();
        for (chunk, _) in chunks {
            ends.push(ends.last().copied().unwrap_or(0) + chunk.len() as u64);
        }
        let weights: Vec<u64> = chunks.iter().map(|&(_, weight)| weight).collect();
        let mut trainer = Trainer::new(&Counted { bytes, ends, counts: weights }).unwrap();
        std::iter::from_fn(|| trainer.learn_one()).take(n).collect()
    }

    #[test]
    fn the_highest_count_first_and_then_the_lowest_pair() {
        let (a, b, c, d) = (97, 98, 99, 100);
        assert_eq!(learn(&[(b"cd", 3), (b"ab", 2), (b"ba", 2)], 9), [(c, d), (a, b), (b, a)]);
    }

    #[test]
    fn runs_merge_from_the_left() {
        assert_eq!(learn(&[(b"aaaaa", 2)], 9), [(97, 97), (256, 97), (256, 257)]);
    }

    #[test]
    fn what_occurs_once_is_not_merged() {
        assert_eq!(learn(&[(b"abc", 1), (b"", 7)], 9), []);
    }

    #[test]
    fn ends_that_descend_are_refused() {
        assert!(Trainer::new(&Counted { bytes: b"abc".to_vec(), ends: vec![3, 1], counts: vec![1, 1] }).is_none());
    }
}
