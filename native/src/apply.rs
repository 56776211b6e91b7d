//! Applying merges to one chunk: always the lowest rank first, of equals the leftmost. See `linnet/tokenizer/bpe.py`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::hash::{Pair, PairMap};

const NOWHERE: usize = usize::MAX;
const SCAN_AT_MOST: usize = 64; // ids; a longer chunk is merged with a heap

/// The ids of the single bytes, and (a, b) → (rank, id of the merged token).
pub struct Merger {
    byte_ids: Vec<u32>,
    table: PairMap<(u32, u32)>,
}

impl Merger {
    /// `merges`: a, b and the id that they make, by rank. Of a pair that is given twice the first rank counts.
    pub fn new(byte_ids: &[u32], merges: &[u32]) -> Merger {
        let mut table = PairMap::default();
        for (rank, merge) in merges.chunks_exact(3).enumerate() {
            table.entry((merge[0], merge[1])).or_insert((rank as u32, merge[2]));
        }
        Merger { byte_ids: byte_ids.to_vec(), table }
    }

    pub fn merge(&self, chunk: &[u8]) -> Vec<u32> {
        let symbols = chunk.iter().map(|&byte| self.byte_ids[byte as usize]).collect();
        if chunk.len() <= SCAN_AT_MOST {
            self.merge_by_scanning(symbols)
        } else {
            self.merge_by_heap(symbols)
        }
    }

    fn merge_by_scanning(&self, mut symbols: Vec<u32>) -> Vec<u32> {
        loop {
            let found = symbols
                .windows(2)
                .enumerate()
                .filter_map(|(i, pair)| self.table.get(&(pair[0], pair[1])).map(|&(rank, merged)| (rank, i, merged)));
            let Some((_, i, merged)) = found.min() else { return symbols };
            symbols[i] = merged;
            symbols.remove(i + 1);
        }
    }

    fn merge_by_heap(&self, mut symbols: Vec<u32>) -> Vec<u32> {
        let n = symbols.len();
        let mut left: Vec<usize> = (0..n).map(|place| place.wrapping_sub(1)).collect(); // 0 - 1 is NOWHERE
        let mut right: Vec<usize> = (1..=n).map(|place| if place < n { place } else { NOWHERE }).collect();
        let mut gone = vec![false; n];
        let mut heap: BinaryHeap<Reverse<(u32, usize, u32, Pair)>> = BinaryHeap::new(); // rank, place, merged, the pair there
        let candidate = |symbols: &[u32], right: &[usize], place: usize| {
            let next = *right.get(place)?;
            let pair = (symbols[place], *symbols.get(next)?);
            self.table.get(&pair).map(|&(rank, merged)| Reverse((rank, place, merged, pair)))
        };
        heap.extend((0..n).filter_map(|place| candidate(&symbols, &right, place)));
        while let Some(Reverse((_, place, merged, pair))) = heap.pop() {
            let next = right[place];
            if gone[place] || next == NOWHERE || (symbols[place], symbols[next]) != pair {
                continue; // one of the two has been merged since
            }
            symbols[place] = merged;
            gone[next] = true;
            right[place] = right[next];
            if right[place] != NOWHERE {
                left[right[place]] = place;
            }
            heap.extend(candidate(&symbols, &right, left[place]));
            heap.extend(candidate(&symbols, &right, place));
        }
        (0..n).filter(|&place| !gone[place]).map(|place| symbols[place]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_agrees_with_scanning() {
        let byte_ids: Vec<u32> = (0..256).collect();
        let merger = Merger::new(&byte_ids, &[97, 97, 256, 97, 98, 257, 256, 256, 258, 257, 97, 259, 258, 259, 260]);
        let mut state = 7u32;
        for length in 0..200 {
            let chunk: Vec<u32> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    97 + state / (1 << 31)
                })
                .collect();
            assert_eq!(merger.merge_by_heap(chunk.clone()), merger.merge_by_scanning(chunk));
        }
    }

    #[test]
    fn of_equal_ranks_the_leftmost() {
        let byte_ids: Vec<u32> = (0..256).collect();
        assert_eq!(Merger::new(&byte_ids, &[97, 97, 256]).merge(b"aaa"), [256, 97]);
    }
}
