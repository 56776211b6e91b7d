//! What is odd about a text, as bits: `linnet/data/look.py` says the same in Python.

#[cfg(target_arch = "x86_64")]
use crate::kernels::simd::{self, Kind};

pub const NOT_UTF8: u8 = 1;
pub const RETURNS: u8 = 2; // carriage returns
pub const CONTROL: u8 = 4; // other characters of category Cc, but for tab and newline
pub const BLANK: u8 = 8; // no character of ASCII that is seen: it may be white space alone

/// The bits of a text, and how many characters it has.
pub fn look(text: &[u8]) -> (u8, u64) {
    #[cfg(target_arch = "x86_64")]
    if !matches!(simd::kind(), Kind::Portable) {
        return unsafe { by_32(text) };
    }
    by_parts(text)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn by_32(text: &[u8]) -> (u8, u64) {
    by_parts(text)
}

#[inline(always)]
fn by_parts(text: &[u8]) -> (u8, u64) {
    let (mut returns, mut control, mut seen, mut high, mut begun) = (false, false, false, false, 0);
    for part in text.chunks(128) {
        let mut begins = 0u8; // at most 128: the compiler counts them in bytes
        for &byte in part {
            returns |= byte == b'\r';
            control |= (byte < 32) & (byte != b'\t') & (byte != b'\n') & (byte != b'\r') | (byte == 127);
            seen |= (byte > 32) & (byte < 127);
            high |= byte > 127;
            begins += ((byte & 0xc0) != 0x80) as u8;
        }
        begun += begins as u64;
    }
    let mut flags = RETURNS * returns as u8 | BLANK * !seen as u8;
    if high {
        control |= text.windows(2).any(|pair| pair[0] == 0xc2 && (0x80..0xa0).contains(&pair[1]));
        flags |= NOT_UTF8 * std::str::from_utf8(text).is_err() as u8;
    }
    (flags | CONTROL * control as u8, begun)
}
