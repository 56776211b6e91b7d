//! The words of a text as 64-bit hashes: `linnet/data/grams.py` says what a word is, and does the same in Python.

use std::sync::OnceLock;

use crate::bpe::unicode::{code_point, Classes, LETTER, LOWER, NUMBER, UPPER};

const LOWER_CASES: &str = include_str!("../../../src/linnet/tokenizer/unicode_lower.txt");
const CODE_POINTS: u32 = 0x11_0000;

/// Scripts that put no space between words: first and last code point. As in `linnet/data/grams.py`.
const ALONE: [(u32, u32); 14] = [
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3040, 0x312F),
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
];

const START: u64 = 0xCBF2_9CE4_8422_2325;
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
const STEP: u64 = 0xD134_2543_DE82_EF95;

// What a character does to the words of its text.
const DIVIDES: u32 = 0;
const LEFT_OUT: u32 = u32::MAX;
const IS_WORD: u32 = 1 << 31; // with its lower case, as a letter of a word has it alone

/// What each character does.
struct Letters {
    of: Box<[u32]>, // by code point; most of it is never touched
}

impl Letters {
    fn get() -> &'static Letters {
        static MADE: OnceLock<Letters> = OnceLock::new();
        MADE.get_or_init(|| {
            let classes = Classes::get();
            let mut of = vec![DIVIDES; CODE_POINTS as usize].into_boxed_slice();
            for (code, place) in (0..CODE_POINTS).zip(of.iter_mut()) {
                if classes.of(code as usize) & (LETTER | NUMBER | UPPER | LOWER) != 0 {
                    *place = code;
                }
            }
            for line in LOWER_CASES.lines().filter(|line| !line.starts_with('#')) {
                let (first, last, step, distance) = run(line).expect("first, last, step, distance");
                for code in (first..=last).step_by(step) {
                    of[code as usize] = code.wrapping_add_signed(distance);
                }
            }
            for (first, last) in ALONE {
                for place in &mut of[first as usize..=last as usize] {
                    *place |= if *place == DIVIDES { DIVIDES } else { IS_WORD };
                }
            }
            of[usize::from(b'\'')] = LEFT_OUT;
            of[0x2019] = LEFT_OUT;
            Letters { of }
        })
    }
}

/// A line of the table of lower cases.
fn run(line: &str) -> Option<(u32, u32, usize, i32)> {
    let mut fields = line.split(' ');
    let mut code = || u32::from_str_radix(fields.next()?, 16).ok();
    let (first, last) = (code()?, code()?);
    Some((first, last, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Calls `each` with the hash of every word of a text, in order.
#[inline(always)]
pub fn words(text: &[u8], mut each: impl FnMut(u64)) {
    let letters = Letters::get();
    let (mut at, mut hash, mut inside) = (0, START, false);
    while at < text.len() {
        let byte = text[at];
        let does = if byte < 0x80 {
            at += 1;
            letters.of[usize::from(byte)]
        } else {
            let (code, len) = code_point(text, at).unwrap_or((0, 1)); // code 0 divides, as a byte that is no UTF-8 does
            at += len;
            letters.of[code]
        };
        if does == LEFT_OUT {
            continue;
        }
        if inside && (does == DIVIDES || does & IS_WORD != 0) {
            each(hash ^ hash >> 32);
            (hash, inside) = (START, false);
        }
        if does == DIVIDES {
            continue;
        }
        hash = (hash ^ u64::from(does & !IS_WORD)).wrapping_mul(MIX);
        if does & IS_WORD != 0 {
            each(hash ^ hash >> 32);
            hash = START;
        } else {
            inside = true;
        }
    }
    if inside {
        each(hash ^ hash >> 32);
    }
}

/// A hash of some words in a row.
#[inline(always)]
pub fn gram(words: &[u64]) -> u64 {
    let x = words.iter().fold(1u64, |found, &word| found.wrapping_mul(STEP).wrapping_add(word));
    let x = (x ^ x >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    let x = (x ^ x >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    x ^ x >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lower case of every letter is what the standard library says of it, whose Unicode is 16.0 or a later one.
    #[test]
    fn lower_cases_are_those_of_the_standard_library() {
        let classes = Classes::get();
        for code in 0..CODE_POINTS {
            let Some(character) = char::from_u32(code) else { continue };
            let does = Letters::get().of[code as usize];
            if classes.of(code as usize) & (LETTER | NUMBER | UPPER | LOWER) == 0 {
                assert!(does == DIVIDES || does == LEFT_OUT, "{code:04X}");
            } else {
                assert_eq!(char::from_u32(does & !IS_WORD), character.to_lowercase().next(), "{code:04X}");
            }
        }
    }

    #[test]
    fn words_are_divided() {
        let count = |text: &str| {
            let mut n = 0;
            words(text.as_bytes(), |_| n += 1);
            n
        };
        let counts = ["", " ,", "one", "Don't panic!", "a_b-c", "大家 ok", "x大y"].map(count);
        assert_eq!(counts, [0, 0, 1, 2, 3, 3, 3]);
    }
}
