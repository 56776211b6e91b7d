//! Texts that splitting, merging and reading UTF-8 can get wrong.

use std::sync::OnceLock;

use super::chance::Chance;

/// First and last code point of all runs of one class: so that rare classes come as often as frequent ones.
pub fn runs_of_classes() -> &'static [(u32, u32, &'static str)] {
    static READ: OnceLock<Vec<(u32, u32, &'static str)>> = OnceLock::new();
    READ.get_or_init(|| {
        let table = include_str!("../../../src/linnet/tokenizer/unicode_classes.txt");
        let run = |line: &'static str| {
            let mut fields = line.split(' ');
            let mut code = || u32::from_str_radix(fields.next().expect("a code point"), 16).expect("in hexadecimal");
            (code(), code(), fields.next().expect("a class"))
        };
        table.lines().filter(|line| !line.starts_with('#')).map(run).collect()
    })
}

const PIECES: [&str; 64] = [
    "the",
    " and",
    "Hello",
    " World",
    "it's",
    "DON'T",
    "we'll",
    "I'VE",
    "you're",
    "'ſ",
    "'S",
    "'",
    "''",
    "’s",
    " '",
    "x'd",
    "0",
    "42",
    " 1234",
    "3.14",
    "1,000,000",
    "٣²Ⅷ",
    " ",
    "  ",
    "   ",
    "\t",
    "\n",
    "\r\n",
    "\n\n\n",
    " \n",
    "\n ",
    "\r",
    "\u{a0}",
    "\u{3000}",
    "\u{2028}",
    "\u{85}",
    "fn main() {",
    "}\n",
    "    return x;",
    "a_b",
    "self.x += 1",
    "//",
    "/*",
    " != ",
    "<html>",
    "&amp;",
    "https://",
    "\\n",
    "\"",
    "…",
    "—",
    "\0",
    "\u{7f}",
    "\u{1b}[0m",
    "camelCase",
    "XMLHttp",
    "ǅ",
    "ʰa",
    "naïve",
    "Ärger",
    "大家好",
    "ไทย",
    "กำ",
    "क्षि",
];

/// Bytes that are no UTF-8: stray and missing continuations, what is longer than it has to be, surrogates, beyond the last.
const DAMAGED: [&[u8]; 17] = [
    b"\x80",
    b"\xbf\xbf",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe",
    b"\xff",
];

/// A text of 0 to some hundred bytes; one in a hundred has thousands, one in two thousand tens of thousands.
pub fn text(chance: &mut Chance) -> Vec<u8> {
    let size = match chance.below(2000) {
        0 => chance.between(4000, 50_000),
        1..=19 => chance.between(300, 4000),
        20..=599 => chance.below(20),
        _ => chance.below(300),
    };
    let mut text = Vec::with_capacity(size + 16);
    let mut damage = chance.one_in(4);
    let several = chance.one_in(2);
    while text.len() < size {
        let part = if several { (text.len() + chance.between(1, 60)).min(size) } else { size };
        append(chance, &mut text, part);
    }
    while damage && !text.is_empty() {
        damage_once(chance, &mut text);
        damage = chance.one_in(2);
    }
    text
}

/// One kind of text, until there are `size` bytes or a few more.
fn append(chance: &mut Chance, text: &mut Vec<u8>, size: usize) {
    let kind = chance.below(10);
    let letters = chance.between(1, 6) as u8;
    let first = character(chance) as u32;
    let (run, cluster) = (character(chance), *chance.pick(&["👩‍👩‍👧‍👦", "🏳️‍🌈", "e\u{301}\u{323}", "각", "🇫🇷", "👍🏽"]));
    while text.len() < size {
        match kind {
            0 => text.push(chance.bits() as u8),
            1 => push(text, character(chance)),
            2..=4 => text.extend_from_slice(chance.pick(&PIECES).as_bytes()),
            5 => text.push(b'a' + chance.below(usize::from(letters)) as u8),
            6 => push(text, run),
            7 => text.extend_from_slice(cluster.as_bytes()),
            8 => push(text, char::from_u32(first + chance.below(40) as u32).unwrap_or('e')),
            _ if chance.one_in(2) => text.extend_from_slice(pick_damage(chance)),
            _ => text.extend_from_slice(chance.pick(&PIECES).as_bytes()),
        }
    }
}

/// Any character: of a run of any class, or of any plane, assigned or not.
fn character(chance: &mut Chance) -> char {
    let code = if chance.one_in(4) {
        chance.below(0x11_0000) as u32
    } else {
        let &(first, last, _) = chance.pick(runs_of_classes());
        chance.between(first as usize, last as usize) as u32
    };
    char::from_u32(code).unwrap_or('\u{fffd}')
}

fn push(text: &mut Vec<u8>, character: char) {
    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn pick_damage(chance: &mut Chance) -> &'static [u8] {
    chance.pick::<&[u8]>(&DAMAGED)
}

fn damage_once(chance: &mut Chance, text: &mut Vec<u8>) {
    let at = chance.below(text.len());
    match chance.below(5) {
        0 => text[at] = chance.bits() as u8,
        1 => text[at] ^= 1 << chance.below(8),
        2 => text.truncate(at),
        3 => drop(text.remove(at)),
        _ => {
            text.splice(at..at, pick_damage(chance).iter().copied());
        }
    }
}
