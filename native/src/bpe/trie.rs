//! A trie of all tokens, to find the longest one that a text begins with.
//!
//! As a double array (Aoe 1989): the child of a node by a byte stands `byte` slots after the node's base. A slot knows the byte that
//! leads to it; as no two nodes have one base, it belongs to the node whose base is that many slots before it.

pub const NO_TOKEN: u32 = u32::MAX;
const FREE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Slot {
    base_and_byte: u32, // the base in the upper 24 bits, 0: no children
    token: u32,
}

pub struct Trie {
    slots: Vec<Slot>,
    root: u32, // the base of the root
}

impl Trie {
    /// Tokens with their ids, in the order of their bytes. None where there are too many.
    pub fn new(sorted: &[(&[u8], u32)]) -> Option<Trie> {
        let mut trie = Trie { slots: Vec::new(), root: 0 };
        let mut room = Room { taken_bases: Vec::new(), from: 1 };
        trie.root = trie.children(sorted, 0, &mut room)?;
        // the nodes of one length after those of the length before: what every text needs lies together
        let mut level = trie.groups(trie.root, sorted, 0, 0);
        let mut depth = 1;
        while !level.is_empty() {
            let mut next = Vec::new();
            for (slot, from, to) in level {
                let rest = &sorted[from..to];
                let own = rest.iter().take_while(|(token, _)| token.len() == depth).count();
                if let Some(&(_, id)) = rest[..own].first() {
                    trie.slots[slot].token = id;
                }
                if from + own < to {
                    let base = trie.children(&sorted[from + own..to], depth, &mut room)?;
                    trie.slots[slot].base_and_byte |= base << 8;
                    next.extend(trie.groups(base, &sorted[from + own..to], depth, from + own));
                }
            }
            level = next;
            depth += 1;
        }
        Some(trie)
    }

    /// Make a slot for every byte that these tokens have at `depth`; returns the base.
    fn children(&mut self, sorted: &[(&[u8], u32)], depth: usize, room: &mut Room) -> Option<u32> {
        let mut bytes: Vec<u8> = sorted.iter().map(|(token, _)| token[depth]).collect();
        bytes.dedup();
        let base = room.place(&bytes, &mut self.slots)?;
        for &byte in &bytes {
            self.slots[base as usize + usize::from(byte)] = Slot { base_and_byte: u32::from(byte), token: NO_TOKEN };
        }
        Some(base)
    }

    /// For every byte at `depth`: its slot, and which tokens go through it, counted from `offset`.
    fn groups(&self, base: u32, sorted: &[(&[u8], u32)], depth: usize, offset: usize) -> Vec<(usize, usize, usize)> {
        let mut groups = Vec::new();
        let mut from = 0;
        for to in 1..=sorted.len() {
            if to == sorted.len() || sorted[to].0[depth] != sorted[from].0[depth] {
                groups.push((base as usize + usize::from(sorted[from].0[depth]), offset + from, offset + to));
                from = to;
            }
        }
        groups
    }

    /// Calls `each` with the id and the length of every token that `text` begins with, the shortest first.
    #[inline(always)]
    pub fn prefixes(&self, text: &[u8], mut each: impl FnMut(u32, usize)) {
        let mut base = self.root;
        for (i, &byte) in text.iter().enumerate() {
            let Some(slot) = self.slots.get(base as usize + usize::from(byte)) else { return };
            if slot.base_and_byte as u8 != byte || slot.base_and_byte == FREE {
                return;
            }
            if slot.token != NO_TOKEN {
                each(slot.token, i + 1);
            }
            base = slot.base_and_byte >> 8;
            if base == 0 {
                return;
            }
        }
    }

    /// The id and the length of the longest token that `text` begins with.
    #[inline(always)]
    pub fn longest(&self, text: &[u8]) -> (u32, usize) {
        let mut found = (NO_TOKEN, 0);
        self.prefixes(text, |id, len| found = (id, len));
        found
    }

    /// The id of a token.
    pub fn exactly(&self, text: &[u8]) -> u32 {
        let (id, len) = self.longest(text);
        if len == text.len() {
            id
        } else {
            NO_TOKEN
        }
    }
}

/// Where children can still be put.
struct Room {
    taken_bases: Vec<bool>,
    from: usize, // most slots before this one are taken
}

impl Room {
    const TRIES: usize = 64; // places that are tried before the search begins further on
    const MOST_SLOTS: usize = 1 << 24;

    /// A base that nobody has, with free slots for these bytes.
    fn place(&mut self, bytes: &[u8], slots: &mut Vec<Slot>) -> Option<u32> {
        let mut tried = 0;
        let mut at = self.from; // the slot of the first byte
        loop {
            let base = (at + 1).saturating_sub(usize::from(bytes[0]) + 1);
            if base > 0 && base + usize::from(bytes[0]) == at {
                let end = base + 256;
                if end > Self::MOST_SLOTS {
                    return None;
                }
                if slots.len() < end {
                    slots.resize(end, Slot { base_and_byte: FREE, token: NO_TOKEN });
                    self.taken_bases.resize(end, false);
                }
                let free = |&byte: &u8| slots[base + usize::from(byte)].base_and_byte == FREE;
                if !self.taken_bases[base] && bytes.iter().all(free) {
                    self.taken_bases[base] = true;
                    return Some(base as u32);
                }
                tried += 1;
                if tried == Self::TRIES {
                    if bytes.len() == 1 {
                        self.from = at; // even a single byte finds little before this
                    } else {
                        at = at.max(slots.len() - 256); // beyond is all the room in the world
                    }
                }
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_found_and_nothing_else() {
        let mut state = 7u32;
        let mut draw = move |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % n
        };
        let mut tokens: Vec<Vec<u8>> =
            (0..5000).map(|_| (0..1 + draw(7)).map(|_| (draw(2) * 255 + draw(5)) as u8).collect()).collect();
        tokens.extend((0..=255).map(|byte| vec![byte]));
        tokens.sort();
        tokens.dedup();
        let sorted: Vec<(&[u8], u32)> = tokens.iter().enumerate().map(|(i, token)| (token.as_slice(), i as u32)).collect();
        let trie = Trie::new(&sorted).unwrap();
        for _ in 0..20_000 {
            let text: Vec<u8> = (0..draw(9)).map(|_| (draw(2) * 255 + draw(5)) as u8).collect();
            let want = (1..=text.len()).rev().find_map(|n| tokens.binary_search(&text[..n].to_vec()).ok().map(|i| (i as u32, n)));
            assert_eq!(trie.longest(&text), want.unwrap_or((NO_TOKEN, 0)));
        }
    }
}
