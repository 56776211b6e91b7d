//! A batch of texts shared out over threads: in pieces, of which each thread takes the next when it is done with one.

pub const PIECE: usize = 1 << 18; // bytes that a thread takes at a time

/// Texts in pieces of about PIECE bytes.
pub fn into_pieces(texts: &[&[u8]]) -> Vec<std::ops::Range<usize>> {
    let (mut pieces, mut first, mut bytes) = (Vec::new(), 0, 0);
    for (i, text) in texts.iter().enumerate() {
        bytes += text.len();
        if bytes >= PIECE || i + 1 == texts.len() {
            pieces.push(first..i + 1);
            (first, bytes) = (i + 1, 0);
        }
    }
    pieces
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
