//! What the splitting patterns ask of a character, from the same table that the Python reads (Unicode 16.0).

use std::sync::OnceLock;

const TABLE: &str = include_str!("../../../src/linnet/tokenizer/unicode_classes.txt");
const CODE_POINTS: usize = 0x11_0000;

// The classes of a character, as bits.
pub const LETTER: u8 = 1;
pub const NUMBER: u8 = 2;
pub const SPACE: u8 = 4; // white space, line ends among it
pub const NEWLINE: u8 = 8; // \r and \n
pub const UPPER: u8 = 16; // what stands at the head of a word for o200k: Lu Lt Lm Lo M
pub const LOWER: u8 = 32; // … and in the rest of it: Ll Lm Lo M

/// A character, or a byte that belongs to none: its classes, and how many bytes it takes.
#[derive(Clone, Copy)]
pub struct Char {
    pub classes: u8,
    pub len: usize,
}

const MIXED: u8 = u8::MAX; // in `rows`: not all characters of the row have the same classes, or there is none

pub struct Classes {
    of: Box<[u8]>, // by code point; what lies beyond ASCII is looked up a page at a time, so that little of it is ever in a cache
    rows: [u8; 1024], // of 64 characters of three bytes each, by the first two of these: most rows are of one kind, as in Chinese
}

impl Classes {
    pub fn get() -> &'static Classes {
        static MADE: OnceLock<Classes> = OnceLock::new();
        MADE.get_or_init(|| {
            let mut of = vec![0u8; CODE_POINTS].into_boxed_slice();
            for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
                let mut fields = line.split(' ');
                let mut code = || usize::from_str_radix(fields.next().expect("a code point"), 16).expect("in hexadecimal");
                let (first, last) = (code(), code());
                of[first..=last].fill(match fields.next().expect("a class") {
                    "Lu" | "Lt" => LETTER | UPPER,
                    "Ll" => LETTER | LOWER,
                    "Lm" | "Lo" => LETTER | UPPER | LOWER,
                    "M" => UPPER | LOWER,
                    "N" => NUMBER,
                    "S" => SPACE,
                    other => unreachable!("the class {other}"),
                });
            }
            of[usize::from(b'\r')] |= NEWLINE;
            of[usize::from(b'\n')] |= NEWLINE;
            let mut rows = [MIXED; 1024];
            for (row, classes) in rows.iter_mut().zip(of.chunks_exact(64)).skip(32) {
                if classes.iter().all(|own| *own == classes[0]) {
                    *row = classes[0];
                }
            }
            Classes { of, rows }
        })
    }

    /// The character that begins at `at`, which is a place in `text`. A byte that is no UTF-8 has no class; a lone surrogate
    /// (as UTF-8 would spell it) is one character without a class.
    #[inline(always)]
    pub fn at(&self, text: &[u8], at: usize) -> Char {
        let byte = text[at];
        if byte < 0x80 {
            return Char { classes: self.of[usize::from(byte)], len: 1 };
        }
        self.beyond_ascii(text, at)
    }

    #[inline(always)]
    fn beyond_ascii(&self, text: &[u8], at: usize) -> Char {
        if let Some(&[lead @ 0xE0..=0xEF, second, third]) = text[at..].first_chunk::<3>() {
            let classes = self.rows[usize::from(lead & 15) << 6 | usize::from(second & 63)];
            if second & third & 0xC0 == 0x80 && (second | third) & 0x40 == 0 && classes != MIXED {
                return Char { classes, len: 3 };
            }
        }
        self.any_beyond_ascii(text, at)
    }

    #[inline(never)]
    fn any_beyond_ascii(&self, text: &[u8], at: usize) -> Char {
        match code_point(text, at) {
            Some((code, len)) => Char { classes: self.of[code], len },
            None => Char { classes: 0, len: 1 },
        }
    }

    /// The classes of a code point.
    pub fn of(&self, code: usize) -> u8 {
        self.of[code]
    }
}

/// The code point beyond ASCII that is spelt at `at`, a place in `text`, and how many bytes spell it; None for what is no UTF-8.
#[inline]
pub fn code_point(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let follows = |i: usize| text.get(at + i).filter(|&&byte| byte & 0xC0 == 0x80).map(|&byte| usize::from(byte & 0x3F));
    let lead = usize::from(text[at]);
    let found = match lead {
        0xC2..=0xDF => follows(1).map(|a| ((lead & 0x1F) << 6 | a, 2)),
        0xE0..=0xEF => follows(1).zip(follows(2)).map(|(a, b)| ((lead & 0x0F) << 12 | a << 6 | b, 3)),
        0xF0..=0xF4 => match (follows(1), follows(2), follows(3)) {
            (Some(a), Some(b), Some(c)) => Some(((lead & 0x07) << 18 | a << 12 | b << 6 | c, 4)),
            _ => None,
        },
        _ => None,
    };
    match found {
        Some((code, 3)) if code < 0x800 => None, // longer than it had to be
        Some((code, 4)) if !(0x1_0000..CODE_POINTS).contains(&code) => None,
        found => found,
    }
}
