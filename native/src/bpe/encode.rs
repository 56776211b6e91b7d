//! Text to ids: chunks that were met before are looked up, the others merged.
//!
//! A language is mostly words that it has said already. A chunk of up to 15 bytes is kept with its ids in a table (`kept.rs`): one
//! for the few ids that most chunks have, and behind it one for more, so that the first stays small. What tables hold never changes
//! which ids come out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

use super::kept::{key_of, Table, KEPT_BYTES};
use super::memo::Memo;
use super::merge::Merger;
use super::pieces::{nth, on_threads, Pieces, PIECE};
use super::scan::{chunks, Pattern};

const FEW: usize = 3; // ids: with their number and the bytes of the chunk they fill 32 bytes
const MORE: usize = 11; // and these 64

/// Chunks and their ids, for one thread at a time.
struct Kept {
    few: Table<FEW>,
    more: Table<MORE>,
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
        let Pieces { slices, ends_text, pieces } = Pieces::new(texts, PIECE);
        let next = AtomicUsize::new(0);
        let mut kept: Vec<Kept> = (0..n_threads.clamp(1, pieces.len().max(1))).map(|_| self.take_kept()).collect();
        let counts: Vec<Mutex<Vec<u64>>> = pieces.iter().map(|_| Mutex::default()).collect(); // of ids, by piece and slice
        on_threads(&mut kept, |kept| {
            while let Some((i, piece)) = nth(&pieces, next.fetch_add(1, Ordering::Relaxed)) {
                let mut own = Vec::with_capacity(piece.len());
                let mut ids = std::mem::take(&mut kept.ids);
                kept.done.push((i, ids.len()));
                for slice in &slices[piece.clone()] {
                    let before = ids.len();
                    self.append(slice, kept, &mut ids);
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
        for (own, piece) in counts.iter().zip(&pieces) {
            starts.push(end as usize);
            for (count, &ends_text) in own.iter().zip(&ends_text[piece.clone()]) {
                end += count;
                if ends_text {
                    ends.push(end);
                }
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

    /// The ids of one text after the other, each given to `take` while they are in a near cache. None as soon as that says so.
    pub fn encode_each(&self, texts: &[&[u8]], mut take: impl FnMut(&[u32]) -> Option<()>) -> Option<()> {
        let mut kept = self.take_kept();
        let mut ids = std::mem::take(&mut kept.ids);
        let taken = texts.iter().try_for_each(|text| {
            ids.clear();
            self.append(text, &mut kept, &mut ids);
            take(&ids)
        });
        kept.ids = ids;
        self.give_back(kept);
        taken
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
        if !kept.few.append(key, ids) {
            self.append_new(key, part, kept, ids);
        }
    }

    /// The same for one that was not met lately, or has more ids.
    #[inline(never)]
    fn append_new(&self, key: u128, part: &[u8], kept: &mut Kept, ids: &mut Vec<u32>) {
        if kept.more.append(key, ids) {
            return;
        }
        let before = ids.len();
        self.merger.merge(part, &mut kept.memo, ids);
        let made = &ids[before..];
        if made.len() <= FEW {
            kept.few.keep(key, made);
        } else if made.len() <= MORE {
            kept.more.keep(key, made);
        }
    }

    fn take_kept(&self) -> Kept {
        let idle = self.idle.lock().map_or(None, |mut idle| idle.pop());
        idle.unwrap_or_else(|| Kept {
            few: Table::new(15),  // 2 MiB
            more: Table::new(12), // half of one
            memo: Memo::new(),
            ids: Vec::new(),
            done: Vec::new(),
        })
    }

    fn give_back(&self, mut kept: Kept) {
        kept.ids.clear();
        kept.ids.shrink_to(PIECE * 32); // what a large batch needed is not held for ever
        kept.done.clear();
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(kept);
        }
    }
}
