//! Applying merges to one chunk: always the lowest rank first, of equals the leftmost. See `linnet/tokenizer/bpe.py`.
//!
//! Four ways, one result:
//!
//!     by scanning    for short chunks: look for the lowest rank, merge, look again
//!     by heap        the reference for any length, in n log n
//!     by neighbours  for long chunks, in time linear in their length: the longest token that goes with the one before it
//!     by windows     for very long ones: many parts side by side, put together (`long.rs`)
//!
//! The third rests on this: tokens t₁ … tₙ are what merging makes of their bytes if, and only if, of the bytes of every two neighbours
//! it makes just these two. For merges are taken in the order of (rank, place), and until one crosses a border between the tokens,
//! what happens within two neighbours depends on these alone. The first merge to cross a border would be taken among these two as
//! well, and the other way round. So tokens can be laid down from left to right, each tested against the last. What stands there is
//! at any time what merging makes of the text so far, which is why a place that once led nowhere need never be tried again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::borders::Borders;
use super::guess::{Guesses, Merge};
use super::hash::Pair;
use super::memo::{Dead, Memo};
use super::pairs::{Pairs, MOST_IDS, MOST_MERGES, NEVER};
use super::trie::{Trie, NO_TOKEN};

const NOWHERE: usize = usize::MAX;
const SCAN_AT_MOST: usize = 16; // bytes that are merged by scanning
const WIDE: usize = 256; // bytes: longer chunks are merged by windows; shorter ones would leave most lanes empty

/// How a token comes about: the last merge, and its rank. A single byte: rank 0 and itself.
#[derive(Clone, Copy)]
struct Form {
    left: u32,
    right: u32,
    rank: u32, // 0: a single byte; else the rank + 1
    len: u32,
    prefix: u32, // the longest other token that it begins with
}

/// The tokens, and the merges that make them.
pub struct Merger {
    pub(super) byte_ids: [u32; 256],
    pub(super) of_bytes: Vec<u32>, // the rank of two bytes, by 256 a + b
    pub(super) pairs: Pairs,
    pub(super) guesses: Option<Guesses>, // where it can be used
    forms: Vec<Form>,                    // by id
    trie: Trie,                          // of the tokens that merging makes
    borders: Borders,                    // … and where none of them goes across
    in_order: bool,                      // whether every merge has a higher rank than those that made its parts
    whole: Vec<(Vec<u8>, u32)>, // where a chunk that is a token stays one: tokens that merging does not make, sorted; a chunk that is one stays one
}

/// Which merges there are.
pub enum Rule<'a> {
    /// a, b and the id that they make, by rank. Of a pair that is given twice the first counts.
    Merges(&'a [[u32; 3]]),
    /// Any two tokens that spell a third; the lowest id first.
    Ids,
}

impl Merger {
    /// `tokens`: the bytes of each id; empty: not an ordinary token. `whole`: a chunk that is a token stays one. None where there are
    /// too many, a byte has no token, or a merge makes a token that its two do not spell.
    pub fn new(tokens: &[&[u8]], rule: Rule, whole: bool) -> Option<Merger> {
        if tokens.len() > MOST_IDS as usize {
            return None;
        }
        let mut sorted: Vec<(&[u8], u32)> = tokens.iter().enumerate().map(|(id, &token)| (token, id as u32)).collect();
        sorted.retain(|(token, _)| !token.is_empty());
        sorted.sort_unstable();
        if sorted.is_empty() {
            return None; // a trie has at least one
        }
        let trie = Trie::new(&sorted)?;
        let mut byte_ids = [NO_TOKEN; 256];
        for (byte, id) in byte_ids.iter_mut().enumerate() {
            *id = trie.exactly(&[byte as u8]);
        }
        if byte_ids.contains(&NO_TOKEN) {
            return None;
        }
        let pairs = match rule {
            Rule::Merges(merges) if merges.len() < MOST_MERGES as usize && merges.iter().all(|merge| spells(tokens, merge)) => {
                let ranked = merges.iter().enumerate().map(|(rank, &[a, b, _])| (a, b, rank as u32));
                Pairs::new(ranked, merges.len(), merges.iter().map(|&[_, _, id]| id).collect())
            }
            Rule::Merges(_) => return None,
            Rule::Ids => {
                let found = all_splits(&sorted, &trie);
                Pairs::new(found.iter().copied(), found.len(), (0..tokens.len() as u32).collect())
            }
        };
        let none = Form { left: 0, right: 0, rank: 0, len: 0, prefix: NO_TOKEN };
        let forms = vec![none; tokens.len()];
        let mut merger = Merger {
            byte_ids,
            of_bytes: Vec::new(),
            pairs,
            guesses: None,
            forms,
            trie,
            borders: Borders::new([].into_iter()),
            in_order: true,
            whole: Vec::new(),
        };
        let mut made = Vec::with_capacity(sorted.len());
        for &(token, id) in &sorted {
            let form = if token.len() == 1 { Some(Form { len: 1, ..none }) } else { merger.form_of(token, id) };
            if let Some(form) = form {
                merger.forms[id as usize] = form;
                made.push((token, id));
            } else if whole {
                merger.whole.push((token.to_vec(), id));
            }
        }
        merger.keep_what_happens(&made)?;
        for &(token, id) in &made {
            merger.trie.prefixes(&token[..token.len() - 1], |prefix, _| merger.forms[id as usize].prefix = prefix);
            let Form { left, right, rank, .. } = merger.forms[id as usize];
            let later = |part: u32| merger.forms[part as usize].rank >= rank;
            merger.in_order &= token.len() == 1 || !(later(left) || later(right));
        }
        if merger.in_order {
            merger.guesses = Guesses::new(&merger.merges_by_rank(), tokens);
        }
        Some(merger)
    }

    /// Only tokens that merging makes, and only the merges that make them. Where two tokens meet whose bytes are a third one's,
    /// what has happened within them is what happens where these bytes stand alone: so they are the last two that it is made of.
    fn keep_what_happens(&mut self, made: &[(&[u8], u32)]) -> Option<()> {
        self.trie = Trie::new(made)?;
        self.borders = Borders::new(made.iter().map(|&(token, _)| token));
        let longer = made.iter().filter(|(token, _)| token.len() > 1);
        let merges: Vec<(u32, u32, u32)> =
            longer.map(|&(_, id)| self.forms[id as usize]).map(|form| (form.left, form.right, form.rank - 1)).collect();
        let ids = std::mem::take(&mut self.pairs).into_made();
        self.pairs = Pairs::new(merges.iter().copied(), merges.len(), ids);
        self.of_bytes = (0..1 << 16).map(|i| self.pairs.rank(self.byte_ids[i >> 8], self.byte_ids[i & 255])).collect();
        Some(())
    }

    /// The merges that happen, by rank.
    fn merges_by_rank(&self) -> Vec<Option<Merge>> {
        let mut merges = vec![None; self.forms.iter().map(|form| form.rank as usize).max().unwrap_or(0)];
        for (id, form) in self.forms.iter().enumerate().filter(|(_, form)| form.len > 1) {
            merges[form.rank as usize - 1] = Some(Merge { left: form.left, right: form.right, made: id as u32 });
        }
        merges
    }

    /// The merges that happen: a, b and the id that they make, by id.
    pub fn merges(&self) -> Vec<[u32; 3]> {
        let made = self.forms.iter().enumerate().filter(|(_, form)| form.len > 1);
        made.map(|(id, form)| [form.left, form.right, id as u32]).collect()
    }

    /// Calls `each` with pieces of a chunk whose ids, one after the other, are those of the chunk.
    #[inline(always)]
    pub fn pieces<'a>(&self, chunk: &'a [u8], mut each: impl FnMut(&'a [u8])) {
        if self.whole.is_empty() {
            self.borders.split(chunk, each);
        } else {
            each(chunk);
        }
    }

    /// Append the ids of a chunk.
    pub fn merge(&self, chunk: &[u8], memo: &mut Memo, ids: &mut Vec<u32>) {
        if !self.whole.is_empty() {
            if let Ok(found) = self.whole.binary_search_by(|(token, _)| token.as_slice().cmp(chunk)) {
                return ids.push(self.whole[found].1);
            }
        }
        if chunk.len() <= SCAN_AT_MOST {
            let mut room = [0; SCAN_AT_MOST];
            let mut ranks = [NEVER; SCAN_AT_MOST];
            let n = self.merge_by_scanning(chunk, &mut room, &mut ranks);
            ids.extend_from_slice(&room[..n]);
        } else if !self.in_order {
            ids.extend(self.merge_by_heap(chunk, 1));
        } else if let (true, Some(guesses)) = (chunk.len() > WIDE, &self.guesses) {
            self.merge_by_windows(guesses, chunk, memo, ids);
        } else {
            self.merge_by_neighbours(chunk, memo, ids);
        }
    }

    /// Merge, and say how many tokens are left. The slices hold at least as many as there are bytes.
    #[inline(always)]
    fn merge_by_scanning(&self, chunk: &[u8], ids: &mut [u32], ranks: &mut [u32]) -> usize {
        let mut n = chunk.len();
        for (i, &byte) in chunk.iter().enumerate() {
            ids[i] = self.byte_ids[usize::from(byte)];
        }
        for (i, pair) in chunk.windows(2).enumerate() {
            ranks[i] = self.of_bytes[usize::from(pair[0]) << 8 | usize::from(pair[1])];
        }
        while n > 1 {
            let (mut best, mut lowest) = (0, ranks[0]);
            for (i, &rank) in ranks[1..n - 1].iter().enumerate() {
                if rank < lowest {
                    (best, lowest) = (i + 1, rank);
                }
            }
            if lowest == NEVER {
                break;
            }
            ids[best] = self.pairs.made(lowest);
            n -= 1;
            ids.copy_within(best + 2..n + 1, best + 1);
            if best + 1 < n {
                ranks.copy_within(best + 2..n, best + 1);
                ranks[best] = self.pairs.rank(ids[best], ids[best + 1]);
            }
            if best > 0 {
                ranks[best - 1] = self.pairs.rank(ids[best - 1], ids[best]);
            }
        }
        n
    }

    /// How a token comes about; None where merging makes something else of its bytes.
    fn form_of(&self, token: &[u8], id: u32) -> Option<Form> {
        let ids = self.merge_by_heap(token, 2);
        let rank = self.pairs.rank(ids[0], ids[1]);
        (ids.len() == 2 && rank != NEVER && self.pairs.made(rank) == id).then(|| Form {
            left: ids[0],
            right: ids[1],
            rank: rank + 1,
            len: token.len() as u32,
            prefix: NO_TOKEN,
        })
    }

    /// Whether merging makes a and b of the bytes of both: whether no merge ever crosses the border between them.
    ///
    /// Seen backwards: at the end they stand there whole. Of the two, take apart what came about last; before that, its inner part
    /// stood at the border, and a merge with what stands on the other side would have come first if its rank was lower. (What came about
    /// last has the highest rank, for the vocabulary is in order.)
    #[inline(always)]
    fn go_together(&self, mut a: u32, mut b: u32) -> bool {
        let mut before = NEVER; // a merge across is taken if its rank is below this, + 1
        let mut left_first = false; // of equals, whether the one on the left was what came next
        loop {
            let rank = self.pairs.rank(a, b);
            if rank != NEVER && (before == NEVER || rank + 1 < before || (rank + 1 == before && !left_first)) {
                return false;
            }
            let (of_a, of_b) = (self.forms[a as usize], self.forms[b as usize]);
            if of_a.rank == 0 && of_b.rank == 0 {
                return true;
            }
            if of_a.rank > of_b.rank {
                (a, before, left_first) = (of_a.right, of_a.rank, true);
            } else {
                (b, before, left_first) = (of_b.left, of_b.rank, false);
            }
        }
    }

    /// Append the ids of any chunk: the longest token that goes with the last, and back where none does.
    pub(super) fn merge_by_neighbours(&self, chunk: &[u8], memo: &mut Memo, ids: &mut Vec<u32>) {
        let base = ids.len();
        let mut dead = Dead::default();
        let mut at = 0;
        let mut token = self.trie.longest(chunk).0;
        loop {
            if ids.len() > base {
                token = memo.look_up(ids[ids.len() - 1], token, || self.fitting(ids[ids.len() - 1], token));
            }
            while token != NO_TOKEN && dead.holds(at + self.len(token)) {
                token = self.forms[token as usize].prefix;
                if ids.len() > base {
                    token = self.fitting(ids[ids.len() - 1], token);
                }
            }
            if token == NO_TOKEN {
                dead.add(at, chunk.len());
                let last = ids.pop().expect("a text of bytes has tokens");
                at -= self.len(last);
                token = self.forms[last as usize].prefix;
                continue;
            }
            ids.push(token);
            at += self.len(token);
            if at == chunk.len() {
                return;
            }
            token = self.trie.longest(&chunk[at..]).0;
        }
    }

    /// The longest of a token and those that it begins with that goes together with the one before.
    fn fitting(&self, before: u32, token: u32) -> u32 {
        let mut token = token;
        while token != NO_TOKEN && !self.go_together(before, token) {
            token = self.forms[token as usize].prefix;
        }
        token
    }

    #[inline(always)]
    pub(super) fn len(&self, token: u32) -> usize {
        self.forms[token as usize].len as usize
    }

    /// The ids of any chunk, in n log n, or what it is when `enough` tokens are left.
    pub(super) fn merge_by_heap(&self, chunk: &[u8], enough: usize) -> Vec<u32> {
        let mut symbols: Vec<u32> = chunk.iter().map(|&byte| self.byte_ids[usize::from(byte)]).collect();
        let n = symbols.len();
        let mut left: Vec<usize> = (0..n).map(|place| place.wrapping_sub(1)).collect(); // 0 - 1 is NOWHERE
        let mut right: Vec<usize> = (1..=n).map(|place| if place < n { place } else { NOWHERE }).collect();
        let mut gone = vec![false; n];
        let mut heap: BinaryHeap<Reverse<(u32, usize, Pair)>> = BinaryHeap::new(); // rank, place, the pair there
        let candidate = |symbols: &[u32], right: &[usize], place: usize| {
            let next = *right.get(place)?;
            let pair = (symbols[place], *symbols.get(next)?);
            let rank = self.pairs.rank(pair.0, pair.1);
            (rank != NEVER).then_some(Reverse((rank, place, pair)))
        };
        heap.extend((0..n).filter_map(|place| candidate(&symbols, &right, place)));
        let mut left_over = n;
        while left_over > enough {
            let Some(Reverse((rank, place, pair))) = heap.pop() else { break };
            let next = right[place];
            if gone[place] || next == NOWHERE || (symbols[place], symbols[next]) != pair {
                continue; // one of the two has been merged since
            }
            symbols[place] = self.pairs.made(rank);
            gone[next] = true;
            left_over -= 1;
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

/// Whether a, b and the id that they make are tokens, and what the two spell is the third.
fn spells(tokens: &[&[u8]], merge: &[u32; 3]) -> bool {
    let [Some(a), Some(b), Some(made)] = merge.map(|id| tokens.get(id as usize)) else { return false };
    made.strip_prefix(*a) == Some(b)
}

/// Every two tokens that spell a third: (a, b, its id).
fn all_splits(sorted: &[(&[u8], u32)], trie: &Trie) -> Vec<(u32, u32, u32)> {
    let mut found = Vec::new();
    for &(token, id) in sorted {
        trie.prefixes(&token[..token.len() - 1], |a, len| {
            let b = trie.exactly(&token[len..]);
            if b != NO_TOKEN {
                found.push((a, b, id));
            }
        });
    }
    found
}
