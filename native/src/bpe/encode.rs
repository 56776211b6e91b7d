//! Text to ids: chunks that were met before are looked up, the others merged.
//!
//! A language is mostly words that it has said already. A chunk of up to 15 bytes is kept with its ids in a table of pairs of
//! slots, found by a hash of its bytes; what is met twice moves to the first slot of its pair, and new chunks take the second, so
//! that rare words do not push out frequent ones. What the table holds never changes which ids come out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

use super::merge::{Memo, Merger};
use super::pieces::{into_pieces, nth, on_threads, PIECE};
use super::scan::{chunks, Pattern};

pub const KEPT_BYTES: usize = 15; // of a chunk: with its length they fill 16
const KEPT_IDS: usize = 3;
const BITS: u32 = 15; // pairs of slots: 2^15 of 64 bytes are 2 MiB

#[derive(Clone, Copy, Default)]
#[repr(C, align(32))]
struct Slot {
    key: u128, // the bytes of a chunk, its length in the last one; 0: nothing
    n: u32,
    ids: [u32; KEPT_IDS],
}

/// Chunks and their ids, for one thread at a time.
struct Kept {
    slots: Vec<[Slot; 2]>,
    memo: Memo,
    ids: Vec<u32>,             // of the pieces of a batch that this thread did
    done: Vec<(usize, usize)>, // which these are, and where in `ids` each begins
}

/// A tokenizer's tables. Any number of threads may use it at once.
pub struct Encoder {
    pattern: Pattern,
    merger: Merger,
    idle: Mutex<Vec<Kept>>, // tables that no thread uses at the moment
}

impl Encoder {
    pub fn new(pattern: Pattern, merger: Merger) -> Encoder {
        Encoder { pattern, merger, idle: Mutex::new(Vec::new()) }
    }

    /// The ids of a text.
    pub fn encode(&self, text: &[u8]) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 16);
        let mut kept = self.take_kept();
        self.append(text, &mut kept, &mut ids);
        self.give_back(kept);
        ids
    }

    /// The ids of many texts, one after the other, and where those of each end.
    pub fn encode_batch(&self, texts: &[&[u8]], n_threads: usize) -> (Vec<u32>, Vec<u64>) {
        let pieces = into_pieces(texts);
        let next = AtomicUsize::new(0);
        let mut kept: Vec<Kept> = (0..n_threads.clamp(1, pieces.len().max(1))).map(|_| self.take_kept()).collect();
        let counts: Vec<Mutex<Vec<u64>>> = pieces.iter().map(|_| Mutex::default()).collect(); // of ids, by piece and text
        on_threads(&mut kept, |kept| {
            while let Some((i, piece)) = nth(&pieces, next.fetch_add(1, Ordering::Relaxed)) {
                let mut own = Vec::with_capacity(piece.len());
                let mut ids = std::mem::take(&mut kept.ids);
                kept.done.push((i, ids.len()));
                for text in &texts[piece.clone()] {
                    let before = ids.len();
                    self.append(text, kept, &mut ids);
                    own.push((ids.len() - before) as u64);
                }
                kept.ids = ids;
                *counts[i].lock().expect("nobody panics with it") = own;
            }
        });
        let counts: Vec<Vec<u64>> = counts.into_iter().map(|own| own.into_inner().expect("nobody panics with it")).collect();
        let mut ends = Vec::with_capacity(texts.len());
        let mut starts = Vec::with_capacity(pieces.len());
        let mut end = 0;
        for own in &counts {
            starts.push(end as usize);
            for count in own {
                end += count;
                ends.push(end);
            }
        }
        let mut ids: Vec<u32> = Vec::with_capacity(end as usize);
        let room = ids.as_mut_ptr() as usize; // an address, because each thread writes to places of its own behind it
        on_threads(&mut kept, |kept| {
            for (k, &(piece, from)) in kept.done.iter().enumerate() {
                let to = kept.done.get(k + 1).map_or(kept.ids.len(), |&(_, next)| next);
                // SAFETY: the pieces lie one after the other in `ids`, which has room for all of them
                unsafe {
                    let start = (room as *mut u32).add(starts[piece]);
                    start.copy_from_nonoverlapping(kept.ids[from..to].as_ptr(), to - from);
                }
            }
        });
        // SAFETY: every piece was written by the thread that had it
        unsafe { ids.set_len(end as usize) };
        kept.into_iter().for_each(|kept| self.give_back(kept));
        (ids, ends)
    }

    fn append(&self, text: &[u8], kept: &mut Kept, ids: &mut Vec<u32>) {
        chunks(text, self.pattern, |chunk| {
            if chunk.len() <= KEPT_BYTES {
                self.append_short(text, chunk, kept, ids);
            } else {
                self.merger.pieces(chunk, |piece| {
                    if piece.len() <= KEPT_BYTES {
                        self.append_short(text, piece, kept, ids);
                    } else {
                        self.merger.merge(piece, &mut kept.memo, ids);
                    }
                });
            }
        });
    }

    /// Append the ids of a part of a text that is short enough to be kept.
    #[inline(always)]
    fn append_short(&self, text: &[u8], part: &[u8], kept: &mut Kept, ids: &mut Vec<u32>) {
        let key = key_of(text, part);
        let pair = &mut kept.slots[(hash(key) >> (64 - BITS)) as usize];
        if pair[0].key != key {
            if pair[1].key == key {
                pair.swap(0, 1);
            } else {
                return self.append_new(key, part, kept, ids);
            }
        }
        ids.reserve(KEPT_IDS);
        let n = pair[0].n as usize;
        // SAFETY: there is room for KEPT_IDS more, and n is no more than that
        unsafe {
            let end = ids.as_mut_ptr().add(ids.len());
            end.copy_from_nonoverlapping(pair[0].ids.as_ptr(), KEPT_IDS);
            ids.set_len(ids.len() + n);
        }
    }

    /// The same for one that was not met lately.
    #[inline(never)]
    fn append_new(&self, key: u128, part: &[u8], kept: &mut Kept, ids: &mut Vec<u32>) {
        let before = ids.len();
        self.merger.merge(part, &mut kept.memo, ids);
        let made = &ids[before..];
        if made.len() <= KEPT_IDS {
            let pair = &mut kept.slots[(hash(key) >> (64 - BITS)) as usize];
            let slot = &mut pair[usize::from(pair[0].key != 0)];
            (slot.key, slot.n) = (key, made.len() as u32);
            slot.ids[..made.len()].copy_from_slice(made);
        }
    }

    fn take_kept(&self) -> Kept {
        let idle = self.idle.lock().map_or(None, |mut idle| idle.pop());
        idle.unwrap_or_else(|| Kept {
            slots: vec![[Slot::default(); 2]; 1 << BITS],
            memo: Memo::new(),
            ids: Vec::new(),
            done: Vec::new(),
        })
    }

    fn give_back(&self, mut kept: Kept) {
        kept.ids.clear();
        kept.ids.shrink_to(PIECE * 8); // what a large batch needed is not held for ever
        kept.done.clear();
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(kept);
        }
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
