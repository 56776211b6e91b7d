//! Laws of splitting: the chunks of a text are all of it, and those of its regular expression.

use super::case::{Case, Held};
use super::given::Room;
use super::header::linnet_chunks;
use super::mutants::Mutant;
use super::slow::split;

pub const N_PATTERNS: u32 = 5;
const SLOWLY_AT_MOST: usize = 1000; // bytes

/// A text by all patterns.
pub fn split_text(case: &mut Case) -> Held {
    let text = case.text();
    let slowly = case.chance.below(N_PATTERNS as usize) as u32;
    for pattern in 0..N_PATTERNS {
        let ends = chunks(case, pattern, &text)?;
        if let Ok(characters) = std::str::from_utf8(&text) {
            let whole = ends.iter().all(|&end| characters.is_char_boundary(end as usize));
            law!(whole, "linnet_chunks, pattern {pattern}: a chunk ends within a character: {ends:?}");
        }
        if pattern == slowly && text.len() <= SLOWLY_AT_MOST {
            let expected = split::ends(&text, pattern);
            law!(ends == expected, "linnet_chunks, pattern {pattern}: ends {ends:?}, by its regular expression {expected:?}");
        }
        case.note(ends);
    }
    Ok(())
}

/// Where the chunks of a text end: ascending, none of them empty, and up to its last byte.
pub fn chunks(case: &mut Case, pattern: u32, text: &[u8]) -> Result<Vec<u64>, String> {
    let mut room = Room::<u64>::new(text.len());
    let n = unsafe { linnet_chunks(pattern, text.as_ptr(), text.len() as u64, room.pointer()) };
    if case.is(Mutant::WriteBefore) || case.is(Mutant::WriteBehind) {
        room.write_beside(case.is(Mutant::WriteBehind));
    }
    law!((0..=text.len() as i64).contains(&n), "linnet_chunks, pattern {pattern}: {n} chunks of {} bytes", text.len());
    let mut ends = room.written("linnet_chunks")?[..n as usize].to_vec();
    match case.mutant {
        Some(Mutant::ShiftEnd) if n > 0 => ends[case.chance.below(n as usize)] += 1,
        Some(Mutant::JoinChunks) if n > 1 => drop(ends.remove(0)),
        _ => {}
    }
    let ascending = ends.first() != Some(&0) && ends.windows(2).all(|two| two[0] < two[1]);
    law!(ascending, "linnet_chunks, pattern {pattern}: the ends of the chunks do not ascend: {ends:?}");
    let last = ends.last().copied().unwrap_or(0);
    law!(last == text.len() as u64, "linnet_chunks, pattern {pattern}: the last chunk ends at {last} of {}", text.len());
    Ok(ends)
}
