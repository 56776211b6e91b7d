//! What merging by neighbours (`merge.rs`) remembers: of one chunk the places that led nowhere, of all chunks which token came next.

use super::pairs::{hash, key, RANK_BITS};
use super::trie::NO_TOKEN;

/// Places in a chunk from where no way leads on.
#[derive(Default)]
pub struct Dead {
    bits: Vec<u64>, // none as long as there is no such place
}

impl Dead {
    pub fn add(&mut self, at: usize, length: usize) {
        self.bits.resize(length / 64 + 1, 0);
        self.bits[at / 64] |= 1 << (at % 64);
    }

    #[inline(always)]
    pub fn holds(&self, at: usize) -> bool {
        self.bits.get(at / 64).is_some_and(|bits| bits >> (at % 64) & 1 == 1)
    }
}

/// What was found out lately: a token and what the text goes on with → the token that comes next.
pub struct Memo {
    slots: Vec<u64>,
}

impl Memo {
    const BITS: u32 = 15;
    const NONE: u32 = (1 << RANK_BITS) - 1; // in a slot: no token; larger than any id

    pub fn new() -> Memo {
        Memo { slots: vec![u64::MAX; 1 << Self::BITS] }
    }

    #[inline(always)]
    pub fn look_up(&mut self, before: u32, token: u32, find: impl FnOnce() -> u32) -> u32 {
        if token == NO_TOKEN {
            return token;
        }
        let pair = key(before, token);
        let slot = &mut self.slots[(hash(pair) >> (64 - Self::BITS)) as usize];
        if *slot >> RANK_BITS != pair {
            *slot = pair << RANK_BITS | u64::from(find() & Self::NONE);
        }
        match *slot as u32 & Self::NONE {
            Self::NONE => NO_TOKEN,
            token => token,
        }
    }
}
