//! A batch of texts shared out over threads: in pieces, of which each thread takes the next when it is done with one.

use super::unicode::{Classes, LETTER};

pub const PIECE: usize = 1 << 16; // bytes that a thread takes at a time
const REACH: usize = 1 << 14; // bytes in which a place to cut is looked for

/// Texts, long ones in slices, and which slices a thread takes at a time.
#[derive(Default)]
pub struct Pieces<'a> {
    pub slices: Vec<&'a [u8]>,
    pub ends_text: Vec<bool>, // of each slice, whether a text ends with it
    pub pieces: Vec<std::ops::Range<usize>>,
}

impl<'a> Pieces<'a> {
    /// Pieces of about `size` bytes.
    pub fn new(texts: &[&'a [u8]], size: usize) -> Pieces<'a> {
        let mut all = Pieces::default();
        let (mut first, mut bytes) = (0, 0);
        for text in texts {
            let mut rest = *text;
            loop {
                let (slice, behind) = rest.split_at(border(rest, size).unwrap_or(rest.len()));
                all.slices.push(slice);
                all.ends_text.push(behind.is_empty());
                bytes += slice.len();
                if bytes >= size {
                    all.pieces.push(first..all.slices.len());
                    (first, bytes) = (all.slices.len(), 0);
                }
                if behind.is_empty() {
                    break;
                }
                rest = behind;
            }
        }
        if first < all.slices.len() {
            all.pieces.push(first..all.slices.len());
        }
        all
    }
}

/// A place at `from` or not far behind, where a text can be cut in two whose chunks are those of the whole: between a letter and a
/// space or line end. There a chunk ends in every pattern, and what begins there does not ask what was before.
fn border(text: &[u8], from: usize) -> Option<usize> {
    let mut places = from.max(4)..text.len().min(from + REACH);
    places.find(|&at| matches!(text[at], b' ' | b'\n') && is_letter(text, at))
}

/// Whether a letter ends at a place, at least 4.
fn is_letter(text: &[u8], end: usize) -> bool {
    (1..=4).any(|len| {
        let c = Classes::get().at(text, end - len);
        c.len == len && c.classes & LETTER != 0
    })
}

/// An item and its number; None beyond the last.
pub fn nth<T>(items: &[T], i: usize) -> Option<(usize, &T)> {
    items.get(i).map(|item| (i, item))
}

/// Do `work` with each of some values, each on a thread of its own.
pub fn on_threads<T: Send>(values: &mut [T], work: impl Fn(&mut T) + Sync) {
    let Some((first, others)) = values.split_first_mut() else { return };
    std::thread::scope(|scope| {
        for value in others {
            scope.spawn(|| work(value));
        }
        work(first);
    });
}

#[cfg(test)]
mod tests {
    use super::super::scan::{chunks, Pattern};
    use super::*;

    const PARTS: [&[u8]; 24] = [
        b"a",
        b"B",
        b"re",
        b"'s",
        b"'",
        b" ",
        b"  ",
        b"\n",
        b"\r\n",
        b"\t",
        b"7",
        b"123",
        b".",
        b"/",
        b"!?",
        b"\xC5\xBF",
        b"\xC3\xA9",
        b"\xE5\xA4\xA7",
        b"\xE3\x80\x82",
        b"\xE3\x80\x80",
        b"\xF0\x9F\x98\x80",
        b"\xE2\x80\x8D",
        b"\xFF",
        b"\xE5\xA4",
    ];

    #[test]
    fn slices_have_the_chunks_of_the_text() {
        let mut state = 3u32;
        let mut draw = move |n: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % n
        };
        let mut cuts = 0;
        for _ in 0..3000 {
            let text: Vec<u8> = (0..draw(60)).flat_map(|_| PARTS[draw(PARTS.len())]).copied().collect();
            let all = Pieces::new(&[&text, b"", &text], 1 + draw(30));
            assert_eq!(all.slices.concat(), [text.as_slice(), &text].concat());
            assert_eq!(all.ends_text.iter().filter(|&&ends| ends).count(), 3);
            assert_eq!(all.pieces.iter().cloned().flatten().collect::<Vec<_>>(), (0..all.slices.len()).collect::<Vec<_>>());
            cuts += all.slices.len() - 3;
            for pattern in (0..5).map(|number| Pattern::numbered(number).unwrap()) {
                let (mut whole, mut sliced) = (Vec::new(), Vec::new());
                chunks(&text, pattern, |chunk| whole.push(chunk.to_vec()));
                let n = all.ends_text.iter().position(|&ends| ends).unwrap() + 1;
                all.slices[..n].iter().for_each(|slice| chunks(slice, pattern, |chunk| sliced.push(chunk.to_vec())));
                assert_eq!(whole, sliced, "{pattern:?} {text:?}");
            }
        }
        assert!(cuts > 3000);
    }
}
