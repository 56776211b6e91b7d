//! Borders between characters that no token crosses, whatever stands around: what lies between two of them can be merged by itself.
//!
//! A token that crosses the border between x and y in "… w x y z …" has two bytes or more on both sides, and wxyz within; or x alone
//! on the left, and begins with xyz; or y alone on the right, and ends with wxy; or it is xy. Where no token does any of these, the
//! border is sure. In Chinese nine of ten are, for vocabularies that were learned mostly from English, so that a sentence without
//! spaces becomes characters and words that were met before.

/// Bits by a hash: a clear bit says that something is not among the keys.
struct Bits {
    bits: Vec<u64>,
    shift: u32,
}

impl Bits {
    const LOG2: std::ops::RangeInclusive<u32> = 12..=20;

    /// Of some keys: some sixteen bits for each, so that few others seem to be there, and no more, so that they stay near the processor.
    fn new(keys: &[u32]) -> Bits {
        let log2 = (16 * keys.len()).next_power_of_two().trailing_zeros().clamp(*Self::LOG2.start(), *Self::LOG2.end());
        let mut bits = Bits { bits: vec![0; 1 << (log2 - 6)], shift: 32 - log2 };
        for &key in keys {
            let at = bits.place(key);
            bits.bits[at / 64] |= 1 << (at % 64);
        }
        bits
    }

    #[inline(always)]
    fn place(&self, key: u32) -> usize {
        (key.wrapping_mul(0x9E37_79B1) >> self.shift) as usize // 2^32 / golden ratio, and odd: different keys stay different
    }

    #[inline(always)]
    fn may_hold(&self, key: u32) -> bool {
        let at = self.place(key);
        self.bits[at / 64] >> (at % 64) & 1 == 1
    }
}

/// What crosses the borders that are asked for, which are those before a character beyond ASCII.
pub struct Borders {
    within: Bits, // four bytes in a row in some token
    begins: Bits, // three that one begins with
    ends: Bits,   // three that one ends with
    pairs: Bits,  // tokens of two bytes
}

const LEAD: u8 = 0xC0; // bytes from here on begin a character, and one beyond ASCII

#[inline(always)]
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

impl Borders {
    /// Of these tokens.
    pub fn new<'a>(tokens: impl Iterator<Item = &'a [u8]>) -> Borders {
        let (mut within, mut begins, mut ends, mut pairs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for token in tokens {
            within.extend(token.windows(4).filter(|wxyz| wxyz[2] >= LEAD).map(number));
            match *token {
                [x, y] if y >= LEAD => pairs.push(number(&[x, y])),
                [x, y, z, ..] if y >= LEAD => begins.push(number(&[x, y, z])),
                _ => {}
            }
            match *token {
                [.., w, x, y] if y >= LEAD => ends.push(number(&[w, x, y])),
                _ => {}
            }
        }
        let of = |mut keys: Vec<u32>| {
            keys.sort_unstable();
            keys.dedup();
            Bits::new(&keys)
        };
        Borders { within: of(within), begins: of(begins), ends: of(ends), pairs: of(pairs) }
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
            if chunk[at] >= LEAD && self.sure(number(&chunk[at - 2..at + 2])) {
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
