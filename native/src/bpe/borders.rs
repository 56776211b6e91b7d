//! Borders between characters that no token crosses, whatever stands around: what lies between two of them can be merged by itself.
//!
//! A token that crosses the border between x and y in "… w x y z …" has two bytes or more on both sides, and wxyz within; or x alone
//! on the left, and begins with xyz; or y alone on the right, and ends with wxy; or it is xy. Where no token does any of these, the
//! border is sure. In Chinese nine of ten are, for vocabularies that were learned mostly from English, so that a sentence without
//! spaces becomes characters and words that were met before.

/// Bits by a hash: a clear bit says that something was never put in.
struct Bits {
    bits: Vec<u64>,
    shift: u32,
}

impl Bits {
    fn new(log2: u32) -> Bits {
        Bits { bits: vec![0; 1 << (log2 - 6)], shift: 32 - log2 }
    }

    #[inline(always)]
    fn place(&self, key: u32) -> usize {
        (key.wrapping_mul(0x9E37_79B1) >> self.shift) as usize // 2^32 / golden ratio, and odd: different keys stay different
    }

    fn add(&mut self, key: u32) {
        let at = self.place(key);
        self.bits[at / 64] |= 1 << (at % 64);
    }

    #[inline(always)]
    fn may_hold(&self, key: u32) -> bool {
        let at = self.place(key);
        self.bits[at / 64] >> (at % 64) & 1 == 1
    }
}

pub struct Borders {
    within: Bits, // four bytes in a row in some token
    begins: Bits, // three that one begins with
    ends: Bits,   // three that one ends with
    pairs: Bits,  // tokens of two bytes
}

#[inline(always)]
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

impl Borders {
    /// Of these tokens.
    pub fn new<'a>(tokens: impl Iterator<Item = &'a [u8]>) -> Borders {
        let mut borders = Borders { within: Bits::new(20), begins: Bits::new(18), ends: Bits::new(18), pairs: Bits::new(16) };
        for token in tokens {
            token.windows(4).for_each(|four| borders.within.add(number(four)));
            if token.len() == 2 {
                borders.pairs.add(number(token));
            } else if token.len() > 2 {
                borders.begins.add(number(&token[..3]));
                borders.ends.add(number(&token[token.len() - 3..]));
            }
        }
        borders
    }

    /// Calls `each` with the pieces of a chunk between sure borders. Only those before a character beyond ASCII are looked at.
    #[inline(always)]
    pub fn split<'a>(&self, chunk: &'a [u8], mut each: impl FnMut(&'a [u8])) {
        let (mut from, mut at) = (0, 2);
        while at + 1 < chunk.len() {
            if chunk.get(at..at + 8).is_some_and(<[u8]>::is_ascii) {
                at += 8;
                continue;
            }
            if chunk[at] >= 0xC0 && self.sure(number(&chunk[at - 2..at + 2])) {
                each(&chunk[from..at]);
                from = at;
            }
            at += if chunk[at] >= 0xE0 { 3 } else { 1 };
        }
        each(&chunk[from..]);
    }

    #[inline(always)]
    fn sure(&self, wxyz: u32) -> bool {
        let crossed = self.within.may_hold(wxyz)
            || self.begins.may_hold(wxyz & 0xFF_FFFF)
            || self.ends.may_hold(wxyz >> 8)
            || self.pairs.may_hold(wxyz >> 8 & 0xFFFF);
        !crossed
    }
}
