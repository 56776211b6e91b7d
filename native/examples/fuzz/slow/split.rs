//! The splitting patterns as the regular expressions that they are, matched with going back, as `regex` would.

use super::super::text::runs_of_classes;
use Item::{Clitic, End, Maybe, NoneBehind, Some as Several};

/// A character, or a byte that is none: its class, and where it begins.
pub struct Letter {
    pub code: Option<u32>,
    pub class: u16,
    pub from: usize,
}

// Classes: one bit each, and every character has just one of them.
const LU: u16 = 1;
const LL: u16 = 2;
const LT: u16 = 4;
const LM: u16 = 8;
const LO: u16 = 16;
const M: u16 = 32;
const N: u16 = 64;
const LINE_END: u16 = 128; // \r and \n
const SPACE: u16 = 256; // the one of ASCII
const BLANK: u16 = 512; // other white space
const SLASH: u16 = 1024;
const OTHER: u16 = 2048;

const L: u16 = LU | LL | LT | LM | LO;
const S: u16 = LINE_END | SPACE | BLANK;
pub const WORDS: u16 = L | M | N;

/// A part of a pattern.
enum Item {
    /// Characters of these classes, at least and at most how many: as many as can be, then fewer.
    Some(u16, usize, usize),
    /// 's 't 're 've 'm 'll 'd; true: in any case.
    Clitic(bool),
    /// The same or nothing, in any case.
    Maybe,
    /// (?!\S)
    NoneBehind,
    /// (?![\s\S])
    End,
}

const MANY: usize = usize::MAX;
const MARK: u16 = OTHER | M | SLASH; // [^\s\p{L}\p{N}]
const LEAD: u16 = MARK | SPACE | BLANK; // [^\r\n\p{L}\p{N}]
const UPPER: u16 = LU | LT | LM | LO | M;
const LOWER: u16 = LL | LM | LO | M;

type Alternatives = &'static [&'static [Item]];

const GPT2: Alternatives = &[
    &[Clitic(false)],
    &[Several(SPACE, 0, 1), Several(L, 1, MANY)],
    &[Several(SPACE, 0, 1), Several(N, 1, MANY)],
    &[Several(SPACE, 0, 1), Several(MARK, 1, MANY)],
    &[Several(S, 1, MANY), NoneBehind],
    &[Several(S, 1, MANY)],
];

macro_rules! gpt4 {
    ($digits:expr $(, $more:expr)*) => {
        &[
            &[Clitic(true)],
            &[Several(LEAD, 0, 1), Several(L, 1, MANY)],
            &[Several(N, 1, $digits)],
            &[Several(SPACE, 0, 1), Several(MARK, 1, MANY), Several(LINE_END, 0, MANY)],
            $($more,)*
            &[Several(S, 0, MANY), Several(LINE_END, 1, MANY)],
            &[Several(S, 1, MANY), NoneBehind],
            &[Several(S, 1, MANY)],
        ]
    };
}

const GPT4: Alternatives = gpt4!(3);
const CL100K: Alternatives = gpt4!(3, &[Several(S, 1, MANY), End]);
const QWEN: Alternatives = gpt4!(1);

const O200K: Alternatives = &[
    &[Several(LEAD, 0, 1), Several(UPPER, 0, MANY), Several(LOWER, 1, MANY), Maybe],
    &[Several(LEAD, 0, 1), Several(UPPER, 1, MANY), Several(LOWER, 0, MANY), Maybe],
    &[Several(N, 1, 3)],
    &[Several(SPACE, 0, 1), Several(MARK, 1, MANY), Several(LINE_END | SLASH, 0, MANY)],
    &[Several(S, 0, MANY), Several(LINE_END, 1, MANY)],
    &[Several(S, 1, MANY), NoneBehind],
    &[Several(S, 1, MANY)],
];

/// Where the chunks of a text end, by the number of the pattern.
pub fn ends(text: &[u8], pattern: u32) -> Vec<u64> {
    let alternatives = [GPT2, GPT4, CL100K, QWEN, O200K][pattern as usize];
    let letters = letters(text);
    let (mut at, mut ends) = (0, Vec::new());
    while at < letters.len() {
        let end = alternatives.iter().find_map(|items| matched(items, &letters, at));
        at = end.expect("every pattern matches everywhere");
        ends.push(letters.get(at).map_or(text.len(), |letter| letter.from) as u64);
    }
    ends
}

fn matched(items: &[Item], letters: &[Letter], at: usize) -> Option<usize> {
    let Some((first, rest)) = items.split_first() else { return Some(at) };
    match *first {
        Several(class, least, most) => {
            let run = letters[at..].iter().take(most).take_while(|letter| letter.class & class != 0).count();
            (least..=run).rev().find_map(|n| matched(rest, letters, at + n))
        }
        Clitic(any_case) => matched(rest, letters, at + clitic(&letters[at..], any_case)?),
        Maybe => clitic(&letters[at..], true).and_then(|n| matched(rest, letters, at + n)).or_else(|| matched(rest, letters, at)),
        NoneBehind if letters.get(at).is_some_and(|letter| letter.class & S == 0) => None,
        End if at < letters.len() => None,
        NoneBehind | End => matched(rest, letters, at),
    }
}

/// How many characters a contraction has that stands here.
fn clitic(letters: &[Letter], any_case: bool) -> Option<usize> {
    let letter = |i: usize| match letters.get(i)?.code? {
        0x17F if any_case => Some('s'), // ſ
        code => char::from_u32(code).map(|it| if any_case { it.to_ascii_lowercase() } else { it }),
    };
    let stands = |end: &&&str| end.chars().enumerate().all(|(i, it)| letter(i + 1) == Some(it));
    (letter(0) == Some('\'')).then_some(())?;
    ["s", "t", "re", "ve", "m", "ll", "d"].iter().find(stands).map(|end| 1 + end.len())
}

/// The characters of a text. Surrogates are characters, and every byte that is no UTF-8 is one without a class.
pub fn letters(text: &[u8]) -> Vec<Letter> {
    let mut from = 0;
    let mut letters = Vec::with_capacity(text.len());
    while from < text.len() {
        let found = (1..=4).find_map(|len| Some((decoded(text.get(from..from + len)?)?, len)));
        let (code, len) = found.map_or((None, 1), |(code, len)| (Some(code), len));
        letters.push(Letter { code, class: code.map_or(OTHER, class_of), from });
        from += len;
    }
    letters
}

/// The code point that these bytes are, as they would be encoded.
fn decoded(bytes: &[u8]) -> Option<u32> {
    let code = match *bytes {
        [a] if a < 0x80 => u32::from(a),
        [0xED, b, c] if b >= 0xA0 && b & 0xC0 == 0x80 && c & 0xC0 == 0x80 => 0xD000 | u32::from(b & 63) << 6 | u32::from(c & 63),
        _ => std::str::from_utf8(bytes).ok().and_then(|one| one.chars().next().filter(|it| it.len_utf8() == bytes.len()))? as u32,
    };
    Some(code)
}

fn class_of(code: u32) -> u16 {
    let runs = runs_of_classes();
    let run = runs.partition_point(|&(first, _, _)| first <= code);
    let class = if run > 0 && code <= runs[run - 1].1 { runs[run - 1].2 } else { "" };
    match (code, class) {
        (0x20, _) => SPACE,
        (0x0A | 0x0D, _) => LINE_END,
        (0x2F, _) => SLASH,
        (_, "Lu") => LU,
        (_, "Ll") => LL,
        (_, "Lt") => LT,
        (_, "Lm") => LM,
        (_, "Lo") => LO,
        (_, "M") => M,
        (_, "N") => N,
        (_, "S") => BLANK,
        _ => OTHER,
    }
}
