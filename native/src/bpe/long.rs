//! Long chunks a window at a time: many windows are merged side by side (`windows.rs`), and put together where they agree.
//!
//!     …theworldwideweb…      a window       |the|world|wide|we|b|          each merged as if it stood alone
//!                            the next one             |d|wide|web|site|    the token "wide" is in both: here they are joined
//!
//! Tokens are what merging makes of their bytes if every two neighbours are (see `merge.rs`). Where one token stands at the same place
//! in two windows, those of the first up to it and those of the second after it are such a row: every two neighbours stand beside
//! each other in one of the two. Nothing else has to be compared, and tokens longer than what windows share only make agreement
//! rarer. Two tokens of the same bytes are the same: what merging makes of bytes does not depend on where they stand. Where no
//! token is in both, as in a million times one letter, a wider window is merged by neighbours.

use super::guess::Guesses;
use super::memo::Memo;
use super::merge::Merger;
use super::windows::{behind, first, for_each, Windows, OVERLAP, PLACES, STRIDE, WINDOW};

const REACH: usize = 40; // bytes before the place where two windows do not agree that a wider one begins with: several tokens
const FARTHER: usize = 64; // times as wide is the next one, if it comes at once: then it is a run, which no window of this size ends

const _: () = assert!(2 * OVERLAP <= WINDOW); // so that what two windows share was all appended from the first of them, in `join`

/// The ids of a chunk as far as they are found.
struct Found<'a> {
    ids: &'a mut Vec<u32>,
    base: usize, // where those of the chunk begin
    end: usize,  // of the bytes that they stand for
}

impl Merger {
    /// Append the ids of a chunk of more than `WINDOW` bytes.
    pub fn merge_by_windows(&self, guesses: &Guesses, chunk: &[u8], memo: &mut Memo, ids: &mut Vec<u32>) {
        let mut found = Found { base: ids.len(), ids, end: 0 };
        let mut windows = Windows::NONE;
        let mut widened = 0; // how far back the last window had to begin, if that was the last thing done
        while found.end < chunk.len() {
            let from = found.end.saturating_sub(OVERLAP);
            windows.of_fast(&chunk[from..], self, guesses);
            for w in 0..windows.n {
                let here = if w > 0 && widened == 0 { windows.starts[w - 1] >> STRIDE & !1 } else { self.last_places(&found) };
                let to = chunk.len().min(from + w * STRIDE + WINDOW);
                if found.join(windows.starts[w], &windows.ids[w], here) {
                    (found.end, widened) = (to, 0);
                    continue;
                }
                let reach = if widened == 0 { REACH } else { FARTHER * widened };
                let to_far = if widened == 0 { to } else { chunk.len().min(found.end + reach) };
                widened = self.widen(chunk, &mut found, reach, to_far, memo);
                if found.end != to {
                    break; // the other windows begin before that
                }
            }
        }
    }

    /// Where the last ids that were found begin, as places of a window that begins `OVERLAP` bytes before their end.
    fn last_places(&self, found: &Found) -> u64 {
        let mut place = OVERLAP.min(found.end) + 1;
        let mut places = 1 << place;
        for &id in found.ids[found.base..].iter().rev() {
            if self.len(id) >= place {
                break;
            }
            place -= self.len(id);
            places |= 1 << place;
        }
        places
    }

    /// Go on to `to` by merging, by neighbours, all that stands between there and `reach` bytes before the end of what was found; and
    /// where that does not agree with what was found, from farther back and to as far beyond, so that the work that is done anew
    /// is never more than some times what is gained. How far back it began.
    #[cold]
    fn widen(&self, chunk: &[u8], found: &mut Found, mut reach: usize, mut to: usize, memo: &mut Memo) -> usize {
        loop {
            let from = found.end.saturating_sub(reach);
            let mut wide = Vec::new();
            self.merge_by_neighbours(&chunk[from..to], memo, &mut wide);
            if let Some((kept, skipped)) = self.agreement(found, from, &wide) {
                found.ids.truncate(kept);
                found.ids.extend_from_slice(&wide[skipped..]);
                found.end = to;
                return reach;
            }
            reach *= 4;
            to = to.max(chunk.len().min(found.end + reach));
        }
    }

    /// How many ids before a token that stands at one place in both: of those that were found, and of others that begin at `from`.
    fn agreement(&self, found: &Found, from: usize, others: &[u32]) -> Option<(usize, usize)> {
        let (mut i, mut place) = (found.ids.len(), found.end);
        while place > from {
            i -= 1;
            place -= self.len(found.ids[i]);
        }
        if from == 0 {
            return Some((i, 0));
        }
        let (mut j, mut other) = (0, from);
        while i < found.ids.len() && j < others.len() {
            if place == other && found.ids[i] == others[j] {
                return Some((i, j));
            }
            if place <= other {
                place += self.len(found.ids[i]);
                i += 1;
            } else {
                other += self.len(others[j]);
                j += 1;
            }
        }
        None
    }
}

impl Found<'_> {
    /// Append what a window adds; `here`: the places of the window at which ids that were found begin. False where the two do not agree.
    #[inline(always)]
    fn join(&mut self, starts: u64, made: &[u32; PLACES], here: u64) -> bool {
        let mut from = 1;
        if self.end > 0 {
            let there = starts & ((1 << (OVERLAP + 2)) - 2);
            let (both, either) = (here & there, here | there);
            let mut left = both; // places where a token begins in both: it is the same if it ends in both, too
            loop {
                if left == 0 {
                    return false;
                }
                let ends = behind(either, first(left));
                from = first(ends);
                if ends & ends.wrapping_neg() & both != 0 {
                    break;
                }
                left &= left - 1;
            }
            self.ids.truncate(self.ids.len() + 1 - (here >> from).count_ones() as usize);
        }
        let new = starts & (u64::MAX << from);
        for_each(new & !(1 << (63 - new.leading_zeros())), |place| self.ids.push(made[place])); // the last is behind all of them
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::merge::Rule;
    use super::*;

    /// Numbers that follow from a seed.
    fn chance(mut state: u64) -> impl FnMut(usize) -> usize {
        move |n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        }
    }

    /// A text of a few letters with runs, repetitions and noise.
    fn text(draw: &mut impl FnMut(usize) -> usize, letters: usize, len: usize) -> Vec<u8> {
        let mut text = Vec::new();
        while text.len() < len {
            match draw(4) {
                0 => text.extend(vec![b'a' + draw(letters) as u8; 1 + draw(300)]),
                1 => {
                    let word: Vec<u8> = (0..1 + draw(50)).map(|_| b'a' + draw(letters) as u8).collect();
                    (0..1 + draw(20)).for_each(|_| text.extend(&word));
                }
                _ => text.extend((0..1 + draw(200)).map(|_| b'a' + draw(letters) as u8)),
            }
        }
        text
    }

    /// Tokens of single bytes and of merges that are the most frequent of a text, or any.
    fn vocabulary(draw: &mut impl FnMut(usize) -> usize, text: &[u8], n: usize, any: bool) -> (Vec<Vec<u8>>, Vec<[u32; 3]>) {
        let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        let mut ids: Vec<u32> = text.iter().map(|&byte| u32::from(byte)).collect();
        let mut merges = Vec::new();
        while merges.len() < n {
            let mut counts: HashMap<(u32, u32), u32> = HashMap::new();
            ids.windows(2).for_each(|two| *counts.entry((two[0], two[1])).or_default() += 1);
            let mut pairs: Vec<_> = counts.into_iter().map(|(pair, count)| (std::cmp::Reverse(count), pair)).collect();
            pairs.sort_unstable();
            let Some(&(_, (a, b))) = pairs.get(if any { draw(pairs.len().max(1)) } else { 0 }) else { break };
            let spelled = [tokens[a as usize].clone(), tokens[b as usize].clone()].concat();
            if tokens.contains(&spelled) {
                break;
            }
            let made = tokens.len() as u32;
            merges.push([a, b, made]);
            tokens.push(spelled);
            let mut i = 0;
            while i + 1 < ids.len() {
                if (ids[i], ids[i + 1]) == (a, b) {
                    ids[i] = made;
                    ids.remove(i + 1);
                }
                i += 1;
            }
        }
        (tokens, merges)
    }

    #[test]
    fn windows_give_what_merging_the_whole_gives() {
        let mut longest = 0;
        for seed in 0..60 {
            let mut draw = chance(seed);
            let letters = [1, 2, 3, 26][draw(4)];
            let learned = text(&mut draw, letters, 2000);
            let (n, any) = (draw(300), draw(2) == 0);
            let (tokens, merges) = vocabulary(&mut draw, &learned, n, any);
            let tokens: Vec<&[u8]> = tokens.iter().map(|token| token.as_slice()).collect();
            let merger = Merger::new(&tokens, Rule::Merges(&merges), false).unwrap();
            let guesses = merger.guesses.as_ref().expect("merges that were learned are in order");
            for _ in 0..20 {
                let len = WINDOW + 1 + draw(6000);
                let text = text(&mut draw, letters, len);
                let (mut ids, mut memo) = (vec![7], Memo::new());
                merger.merge_by_windows(guesses, &text, &mut memo, &mut ids);
                assert_eq!(ids[1..], merger.merge_by_heap(&text, 1), "seed {seed}, {} bytes", text.len());
                longest = longest.max(ids[1..].iter().map(|&id| merger.len(id)).max().unwrap_or(0));
            }
        }
        assert!(longest > 2 * WINDOW, "{longest}"); // tokens that no window holds were among them
    }

    #[test]
    fn rows_of_ids_agree_only_where_one_token_stands_in_both() {
        let tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        let mut tokens: Vec<&[u8]> = tokens.iter().map(|token| token.as_slice()).collect();
        tokens.extend([&b"ab"[..], b"bc"]);
        let [a, b, c, d] = [97, 98, 99, 100];
        let merger = Merger::new(&tokens, Rule::Merges(&[[a, b, 256], [b, c, 257]]), false).unwrap();
        let mut ids = vec![7, d, 256, c, d]; // dabcd
        let found = Found { ids: &mut ids, base: 1, end: 5 };
        assert_eq!(merger.agreement(&found, 1, &[a, 257, d]), Some((4, 2)));
        assert_eq!(merger.agreement(&found, 1, &[a, 257]), None);
        assert_eq!(merger.agreement(&found, 0, &[b, b]), Some((1, 0))); // from the beginning on there is nothing to agree with
    }

    #[test]
    fn two_bytes_are_merged_at_once_only_where_nothing_comes_before() {
        // b and c have the lower rank where they stand alone, but (c, de) comes before, and it is made before that
        let tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        let mut tokens: Vec<&[u8]> = tokens.iter().map(|token| token.as_slice()).collect();
        tokens.extend([&b"de"[..], b"cde", b"bc"]);
        let [b, c, d, e] = [98, 99, 100, 101];
        let merger = Merger::new(&tokens, Rule::Merges(&[[d, e, 256], [c, 256, 257], [b, c, 258]]), false).unwrap();
        let mut text = b"bcdebcx".repeat(20);
        text.extend(b"bcd");
        let (mut ids, mut memo) = (Vec::new(), Memo::new());
        merger.merge_by_windows(merger.guesses.as_ref().unwrap(), &text, &mut memo, &mut ids);
        let mut want = [b, 257, 258, 120].repeat(20);
        want.extend([258, d]);
        assert_eq!(ids, want);
    }
}
