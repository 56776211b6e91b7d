//! What has to be known of documents, as `linnet/data/` says it in Python.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::super::given::parts;
use super::split::{letters, WORDS};

/// How many characters begin in a text, and what is odd about it.
pub fn look(text: &[u8]) -> (u64, u8) {
    let seen = |byte: &u8| (b'!'..=b'~').contains(byte);
    let later = text.windows(2).any(|two| two[0] == 0xC2 && (0x80..0xA0).contains(&two[1]));
    let control = text.iter().any(|byte| byte.is_ascii_control() && !b"\t\n\r".contains(byte));
    let flags = u8::from(std::str::from_utf8(text).is_err())
        | u8::from(text.contains(&b'\r')) << 1
        | u8::from(control || later) << 2
        | u8::from(!text.iter().any(seen)) << 3;
    (text.iter().filter(|&byte| byte & 0xC0 != 0x80).count() as u64, flags)
}

/// Lines cut at those that are `mark`: all parts but the last without the line end before it.
pub fn cut(lines: &[u8], mark: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = vec![Vec::new()];
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        let returns = bare.iter().rev().take_while(|&&byte| byte == b'\r').count();
        let last = texts.last_mut().expect("there is one from the start");
        if &bare[..bare.len() - returns] == mark {
            for end in [b"\n", b"\r"] {
                last.truncate(last.strip_suffix(end).unwrap_or(last).len());
            }
            texts.push(Vec::new());
        } else {
            last.extend_from_slice(line);
        }
    }
    texts
}

/// The scripts whose characters are a word each, as in `linnet/data/grams.py`.
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

/// Code point → that of its lower case.
fn lower_cases() -> &'static BTreeMap<u32, u32> {
    static READ: OnceLock<BTreeMap<u32, u32>> = OnceLock::new();
    READ.get_or_init(|| {
        let table = include_str!("../../../../src/linnet/tokenizer/unicode_lower.txt");
        let mut found = BTreeMap::new();
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(' ').collect();
            let code = |i: usize| u32::from_str_radix(fields[i], 16).expect("a code point");
            let (step, distance) = (fields[2].parse().expect("a step"), fields[3].parse().expect("a distance"));
            found.extend((code(0)..=code(1)).step_by(step).map(|code| (code, code.wrapping_add_signed(distance))));
        }
        found
    })
}

/// The hashes of the words of a text.
pub fn words(text: &[u8]) -> Vec<u64> {
    let mut words: Vec<Vec<u32>> = vec![Vec::new()];
    for letter in letters(text) {
        match letter.code {
            Some(0x27 | 0x2019) => {}
            Some(code) if letter.class & WORDS != 0 => {
                let lower = *lower_cases().get(&code).unwrap_or(&code);
                if ALONE.iter().any(|&(first, last)| (first..=last).contains(&code)) {
                    words.extend([vec![lower], Vec::new()]);
                } else {
                    words.last_mut().expect("one is begun").push(lower);
                }
            }
            _ => words.push(Vec::new()),
        }
    }
    words.iter().filter(|word| !word.is_empty()).map(|word| hash(word)).collect()
}

fn hash(word: &[u32]) -> u64 {
    let step = |found: u64, &code: &u32| (found ^ u64::from(code)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let found = word.iter().fold(0xCBF2_9CE4_8422_2325, step);
    found ^ found >> 32
}

/// The signature of a text with these words.
pub fn signature(words: &[u64], shingle: usize, a: &[u64], b: &[u64]) -> Vec<u32> {
    let spread = |x: u64, by: u64| (x ^ x >> 33).wrapping_mul(by);
    let grams: Vec<u64> = words
        .windows(shingle.min(words.len()).max(1))
        .map(|gram| gram.iter().fold(1, |found: u64, word| found.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(*word)))
        .map(|x| spread(spread(x, 0xFF51_AFD7_ED55_8CCD), 0xC4CE_B9FE_1A85_EC53))
        .map(|x| x ^ x >> 33)
        .collect();
    let least = |(&a, &b): (&u64, &u64)| grams.iter().map(|x| (a.wrapping_mul(*x).wrapping_add(b) >> 32) as u32).min();
    a.iter().zip(b).map(|function| least(function).unwrap_or(u32::MAX)).collect()
}

/// What closing makes of texts: both sides, and of each text the bytes and the special tokens.
#[derive(PartialEq)]
pub struct Closed {
    pub sides: [Vec<u32>; 2],
    pub bytes: Vec<u64>,
    pub special: Vec<u64>,
}

/// Texts' ids closed.
pub fn close(ids: &[u32], ends: &[u64], which: &[u8], vocabulary: &[u32], end_id: u32) -> Closed {
    let mut closed = Closed { sides: [Vec::new(), Vec::new()], bytes: Vec::new(), special: Vec::new() };
    for (ids, &which) in parts(ids, ends).zip(which) {
        let side = &mut closed.sides[usize::from(which & 3) - 1];
        side.extend_from_slice(ids);
        side.extend((which < 4).then_some(end_id));
        let said = |id: &u32| vocabulary[*id as usize];
        closed.bytes.push(ids.iter().map(|id| u64::from(said(id) & !(1 << 31))).sum());
        closed.special.push(ids.iter().filter(|id| said(id) >> 31 == 1).count() as u64);
    }
    closed
}
