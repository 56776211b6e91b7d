//! A block of text cut at lines that divide documents. `linnet/data/formats.py` does the same in Python.

const AT_ONCE: usize = 64; // bytes that are looked at together

/// Cut whole lines at those that are `mark`, which is not empty, whatever carriage returns stand behind it. The parts go to `texts`, one
/// after the other: all but the last without the line end before the mark. `ends`: where each ends. Returns how many there are.
pub fn cut(lines: &[u8], mark: &[u8], texts: &mut [u8], ends: &mut [u64]) -> usize {
    let (mut from, mut line, mut to, mut n) = (0, 0, 0, 0); // line: where one begins that may be a mark
    let mut keep = |part: &[u8]| {
        texts[to..to + part.len()].copy_from_slice(part);
        to += part.len();
        ends[n] = to as u64;
        n += 1;
    };
    while line < lines.len() {
        if let Some(behind) = behind_mark(lines, line, mark) {
            let part = &lines[from..line];
            let part = part.strip_suffix(b"\n").unwrap_or(part);
            keep(part.strip_suffix(b"\r").unwrap_or(part));
            (from, line) = (behind, behind);
        } else {
            line = next_line(lines, line, mark[0]);
        }
    }
    keep(&lines[from..]);
    n
}

/// Where the next line begins if the one at `line` is the mark.
fn behind_mark(lines: &[u8], line: usize, mark: &[u8]) -> Option<usize> {
    let rest = lines[line..].strip_prefix(mark)?;
    let returns = rest.iter().take_while(|&&byte| byte == b'\r').count();
    match rest.get(returns) {
        None => Some(lines.len()),
        Some(b'\n') => Some(line + mark.len() + returns + 1),
        Some(_) => None,
    }
}

/// Where the next line behind `from` begins whose first byte is `first`; the end where there is none.
fn next_line(lines: &[u8], from: usize, first: u8) -> usize {
    let begins = |(&end, &byte): (&u8, &u8)| (end == b'\n') & (byte == first);
    let mut at = from;
    while at + AT_ONCE < lines.len() {
        let (these, next) = (&lines[at..at + AT_ONCE], &lines[at + 1..at + 1 + AT_ONCE]);
        if these.iter().zip(next).fold(false, |any, pair| any | begins(pair)) {
            break;
        }
        at += AT_ONCE;
    }
    let behind = lines[at..].iter().zip(&lines[at + 1..]).position(begins);
    behind.map_or(lines.len(), |place| at + place + 1)
}
