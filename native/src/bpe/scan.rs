//! Splitting text into chunks, by hand what the patterns of `linnet/tokenizer/pretokenize.py` say as regular expressions.
//!
//! Each scanner stands at the beginning of a chunk and answers where it ends. It asks the alternatives of its pattern in their
//! order, as a regular expression does; where one could give back what it took (`\s+(?!\S)`), it is told beforehand how much.

use super::unicode::{Char, Classes, LETTER, LOWER, NEWLINE, NUMBER, SPACE, UPPER};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pattern {
    Gpt2,
    Gpt4,
    Cl100k,
    Qwen,
    O200k,
}

impl Pattern {
    /// By its number in the header.
    pub fn numbered(number: u32) -> Option<Pattern> {
        [Pattern::Gpt2, Pattern::Gpt4, Pattern::Cl100k, Pattern::Qwen, Pattern::O200k].get(number as usize).copied()
    }
}

/// Calls `each` with every chunk of a text, in order. Together they are the text.
#[inline(always)]
pub fn chunks<'a>(text: &'a [u8], pattern: Pattern, each: impl FnMut(&'a [u8])) {
    let scan = Scan { text, classes: Classes::get() };
    match pattern {
        Pattern::Gpt2 => scan.every(Scan::gpt2, each),
        Pattern::Gpt4 => scan.every(Scan::gpt4::<3, false>, each),
        Pattern::Cl100k => scan.every(Scan::gpt4::<3, true>, each),
        Pattern::Qwen => scan.every(Scan::gpt4::<1, false>, each),
        Pattern::O200k => scan.every(Scan::o200k, each),
    }
}

struct Scan<'a> {
    text: &'a [u8],
    classes: &'static Classes,
}

impl<'a> Scan<'a> {
    #[inline(always)]
    fn every(&self, end_of: impl Fn(&Self, usize) -> usize, mut each: impl FnMut(&'a [u8])) {
        let mut from = 0;
        while from < self.text.len() {
            let to = end_of(self, from);
            each(&self.text[from..to]);
            from = to;
        }
    }

    /// '(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s
    #[inline(always)]
    fn gpt2(&self, from: usize) -> usize {
        let first = self.classes.at(self.text, from);
        if self.text[from] == b'\'' {
            if let Some(end) = self.contraction::<false>(from) {
                return end;
            }
        }
        let (kind, after) = if self.text[from] == b' ' { (self.peek(from + 1), from + 1) } else { (first, from) };
        if kind.len == 0 || kind.classes & SPACE != 0 {
            return self.white_space(from, first);
        }
        match kind.classes & (LETTER | NUMBER) {
            0 => self.run(after + kind.len, |c| c & (SPACE | LETTER | NUMBER) == 0),
            class => self.run(after + kind.len, |c| c & class != 0),
        }
    }

    /// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,DIGITS}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
    /// LAST: with |\s+$ before \s*[\r\n]+
    #[inline(always)]
    fn gpt4<const DIGITS: usize, const LAST: bool>(&self, from: usize) -> usize {
        let first = self.classes.at(self.text, from);
        if first.classes & LETTER != 0 {
            return self.run(from + first.len, |c| c & LETTER != 0);
        }
        if self.text[from] == b'\'' {
            if let Some(end) = self.contraction::<true>(from) {
                return end;
            }
        }
        if first.classes & NUMBER != 0 {
            return self.at_most(DIGITS, from, first, NUMBER);
        }
        if first.classes & NEWLINE == 0 {
            let next = self.peek(from + first.len);
            if next.classes & LETTER != 0 {
                return self.run(from + first.len + next.len, |c| c & LETTER != 0);
            }
            if let Some(end) = self.marks(from, first, next) {
                return self.run(end, |c| c & NEWLINE != 0);
            }
        }
        self.lines_or_white_space::<LAST>(from, first)
    }

    /// [^\r\n\p{L}\p{N}]?U*L+'?|[^\r\n\p{L}\p{N}]?U+L*'?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
    /// U: Lu Lt Lm Lo M, L: Ll Lm Lo M, ': (?i:'s|'t|'re|'ve|'m|'ll|'d)
    #[inline(always)]
    fn o200k(&self, from: usize) -> usize {
        let first = self.classes.at(self.text, from);
        let may_lead = first.classes & (NEWLINE | LETTER | NUMBER) == 0;
        let after = from + first.len;
        let word = (if may_lead { self.capitalised(after) } else { None })
            .or_else(|| self.capitalised(from))
            .or_else(|| if may_lead { self.capitals(after) } else { None })
            .or_else(|| self.capitals(from));
        if let Some(end) = word {
            return self.contraction::<true>(end).unwrap_or(end);
        }
        if first.classes & NUMBER != 0 {
            return self.at_most(3, from, first, NUMBER);
        }
        if let Some(end) = self.marks(from, first, self.peek(after)) {
            let mut end = end;
            while matches!(self.text.get(end), Some(b'\r' | b'\n' | b'/')) {
                end += 1;
            }
            return end;
        }
        self.lines_or_white_space::<false>(from, first)
    }

    /// U*L+
    #[inline(always)]
    fn capitalised(&self, from: usize) -> Option<usize> {
        let (mut at, mut given_back) = (from, None); // given_back: where the last of U ends that L could take, too
        loop {
            let c = self.peek(at);
            if c.len == 0 || c.classes & UPPER == 0 {
                break;
            }
            at += c.len;
            if c.classes & LOWER != 0 {
                given_back = Some(at);
            }
        }
        let end = self.run(at, |c| c & LOWER != 0);
        if end > at {
            Some(end)
        } else {
            given_back
        }
    }

    /// U+L*
    #[inline(always)]
    fn capitals(&self, from: usize) -> Option<usize> {
        let end = self.run(from, |c| c & UPPER != 0);
        (end > from).then(|| self.run(end, |c| c & LOWER != 0))
    }

    /// The end of ` ?[^\s\p{L}\p{N}]+`, which begins with `first` and `next`.
    #[inline(always)]
    fn marks(&self, from: usize, first: Char, next: Char) -> Option<usize> {
        let is_mark = |c: u8| c & (SPACE | LETTER | NUMBER) == 0;
        if is_mark(first.classes) {
            return Some(self.run(from + first.len, is_mark));
        }
        (self.text[from] == b' ' && next.len > 0 && is_mark(next.classes)).then(|| self.run(from + 1 + next.len, is_mark))
    }

    /// \s*[\r\n]+|\s+(?!\S)|\s+, or with LAST \s+$ before them; `first` is white space.
    fn lines_or_white_space<const LAST: bool>(&self, from: usize, first: Char) -> usize {
        let (mut at, mut line_end) = (from, None);
        loop {
            let c = self.peek(at);
            if c.len == 0 || c.classes & SPACE == 0 {
                break;
            }
            at += c.len;
            if c.classes & NEWLINE != 0 {
                line_end = Some(at);
            }
        }
        match line_end {
            Some(_) if LAST && at == self.text.len() => at,
            Some(end) => end,
            None => self.white_space(from, first),
        }
    }

    /// \s+(?!\S)|\s+: white space up to the last character before something else, which takes that one.
    fn white_space(&self, from: usize, first: Char) -> usize {
        let (mut at, mut last) = (from + first.len, from);
        loop {
            let c = self.peek(at);
            if c.len == 0 {
                return at;
            }
            if c.classes & SPACE == 0 {
                return if last == from { at } else { last };
            }
            last = at;
            at += c.len;
        }
    }

    /// `first` and up to n - 1 more of a class.
    #[inline(always)]
    fn at_most(&self, n: usize, from: usize, first: Char, class: u8) -> usize {
        let mut at = from + first.len;
        for _ in 1..n {
            let c = self.peek(at);
            if c.len == 0 || c.classes & class == 0 {
                break;
            }
            at += c.len;
        }
        at
    }

    /// Where a contraction at `from` ends: 's 't 'm 'd 're 've 'll.
    #[inline(always)]
    fn contraction<const ANY_CASE: bool>(&self, from: usize) -> Option<usize> {
        if self.text.get(from) != Some(&b'\'') {
            return None;
        }
        let letter = |i: usize| self.text.get(from + i).map_or(0, |&b| if ANY_CASE { b.to_ascii_lowercase() } else { b });
        match (letter(1), letter(2)) {
            (b's' | b't' | b'm' | b'd', _) => Some(from + 2),
            (b'r' | b'v', b'e') | (b'l', b'l') => Some(from + 3),
            (0xC5, 0xBF) if ANY_CASE => Some(from + 3), // ſ, which is an s of another case
            _ => None,
        }
    }

    /// The end of a run of characters whose classes fit.
    #[inline(always)]
    fn run(&self, from: usize, fits: impl Fn(u8) -> bool) -> usize {
        let mut at = from;
        loop {
            let c = self.peek(at);
            if c.len == 0 || !fits(c.classes) {
                return at;
            }
            at += c.len;
        }
    }

    /// The character at a place; one of no length at the end of the text.
    #[inline(always)]
    fn peek(&self, at: usize) -> Char {
        if at < self.text.len() {
            self.classes.at(self.text, at)
        } else {
            Char { classes: 0, len: 0 }
        }
    }
}
