//! How often each chunk occurs in a text: all that learning merges needs to know of it.
//!
//! Every thread counts in tables of its own, which are added up at the end. Memory grows with the number of different chunks.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::hash::KeyHasher;
use super::kept::{key_of, KEPT_BYTES};
use super::pieces::{nth, on_threads, Pieces, PIECE};
use super::scan::{chunks, Pattern};
use std::sync::atomic::{AtomicUsize, Ordering};

type Map<K> = HashMap<K, u64, BuildHasherDefault<KeyHasher>>;

/// One thread's counts: of short chunks by their bytes in a number, of longer ones by their bytes.
#[derive(Default)]
struct Counts {
    short: Map<u128>,
    long: Map<Box<[u8]>>,
}

impl Counts {
    fn add(&mut self, text: &[u8], pattern: Pattern) {
        chunks(text, pattern, |chunk| {
            if chunk.len() <= KEPT_BYTES {
                *self.short.entry(key_of(text, chunk)).or_default() += 1;
            } else if let Some(count) = self.long.get_mut(chunk) {
                *count += 1;
            } else {
                self.long.insert(chunk.into(), 1);
            }
        });
    }

    fn merge(&mut self, other: Counts) {
        for (key, count) in other.short {
            *self.short.entry(key).or_default() += count;
        }
        for (chunk, count) in other.long {
            *self.long.entry(chunk).or_default() += count;
        }
    }
}

/// Counts the chunks of as many texts as are given to it.
pub struct Counter {
    pattern: Pattern,
    counts: Vec<Counts>, // one a thread
}

/// Chunks one after the other, where each ends, and how often it occurs.
#[derive(Default)]
pub struct Counted {
    pub bytes: Vec<u8>,
    pub ends: Vec<u64>,
    pub counts: Vec<u64>,
}

impl Counter {
    pub fn new(pattern: Pattern) -> Counter {
        Counter { pattern, counts: Vec::new() }
    }

    pub fn add(&mut self, texts: &[&[u8]], n_threads: usize) {
        let (all, next, pattern) = (Pieces::new(texts, PIECE), AtomicUsize::new(0), self.pattern);
        let wanted = n_threads.clamp(1, all.pieces.len().max(1));
        if self.counts.len() < wanted {
            self.counts.resize_with(wanted, Counts::default);
        }
        on_threads(&mut self.counts[..wanted], |counts| {
            while let Some((_, piece)) = nth(&all.pieces, next.fetch_add(1, Ordering::Relaxed)) {
                all.slices[piece.clone()].iter().for_each(|text| counts.add(text, pattern));
            }
        });
    }

    /// All counts together, the chunks in the order of their bytes.
    pub fn finish(&mut self) -> Counted {
        let mut all = Counts::default();
        for counts in self.counts.drain(..) {
            if all.short.is_empty() && all.long.is_empty() {
                all = counts;
            } else {
                all.merge(counts);
            }
        }
        let mut short: Vec<(u128, u64)> = all.short.into_iter().collect();
        short.sort_unstable(); // so that nothing hangs on the order of a table
        let mut long: Vec<(Box<[u8]>, u64)> = all.long.into_iter().collect();
        long.sort_unstable();
        let mut counted = Counted::default();
        for (key, count) in short {
            let bytes = key.to_le_bytes();
            counted.push(&bytes[..usize::from(bytes[15])], count);
        }
        for (chunk, count) in long {
            counted.push(&chunk, count);
        }
        counted
    }
}

impl Counted {
    fn push(&mut self, chunk: &[u8], count: u64) {
        self.bytes.extend_from_slice(chunk);
        self.ends.push(self.bytes.len() as u64);
        self.counts.push(count);
    }
}
