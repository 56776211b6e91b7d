//! Laws of documents: what the library finds out about texts is what a slow look at each of them alone finds.

use super::case::{Case, Held};
use super::given::{parts, Room, Texts};
use super::header::*;
use super::mutants::Mutant;
use super::slow::{blake2b, documents as slow};

const SPECIAL: u32 = 1 << 31; // beside the bytes of a special token

/// Fingerprints, characters and flags.
pub fn look(case: &mut Case) -> Held {
    let texts = case.some_texts(20);
    let Texts { joined, ends } = Texts::of(&texts);
    let n = texts.len();
    let (mut prints, mut characters, mut flags) = (Room::<u8>::new(16 * n), Room::<u64>::new(n), Room::<u8>::new(n));
    let code = unsafe {
        let rooms = (prints.pointer(), characters.pointer(), flags.pointer());
        linnet_documents_look(joined.as_ptr(), ends.as_ptr(), n as u64, rooms.0, rooms.1, rooms.2)
    };
    law!(code == 0, "linnet_documents_look: {code}");
    let (mut prints, mut characters) =
        (prints.written("linnet_documents_look")?.to_vec(), characters.written("linnet_documents_look")?.to_vec());
    if n > 0 {
        prints[3] ^= u8::from(case.is(Mutant::BlurFingerprint));
        characters[n - 1] += u64::from(case.is(Mutant::Miscount));
    }
    let flags = flags.written("linnet_documents_look")?;
    for (i, text) in texts.iter().enumerate() {
        let (print, expected) = (&prints[16 * i..16 * i + 16], blake2b::fingerprint(text));
        law!(print == expected, "linnet_documents_look, text {i} of {n}: fingerprint {print:x?}, slowly {expected:x?}");
        let (found, expected) = ((characters[i], flags[i]), slow::look(text));
        law!(found == expected, "linnet_documents_look, text {i} of {n}: (characters, flags) {found:?}, slowly {expected:?}");
    }
    case.note(prints);
    Ok(())
}

/// Lines cut into documents.
pub fn cut(case: &mut Case) -> Held {
    let mark: Box<[u8]> = case.chance.pick::<&[u8]>(&[b"<|endoftext|>", b"-", b"ab", b"\xC3\xA9 "]).to_vec().into();
    let mut lines = Vec::new();
    for _ in 0..case.chance.below(40) {
        match case.chance.below(4) {
            0 => lines.extend_from_slice(&mark),
            1 => lines.extend_from_slice(&mark[..case.chance.below(mark.len() + 1)]),
            2 => lines.extend(std::iter::repeat_n(b'x', case.chance.below(150))),
            _ => lines.extend_from_slice(&case.text()[..]),
        }
        lines.extend_from_slice(case.chance.pick::<&[u8]>(&[b"\n", b"\n", b"\r\n", b"\r\r\n", b"\r", b""]));
    }
    let lines: Box<[u8]> = lines.into();
    let n_ends = lines.len() / (mark.len() + 1) + 2;
    let (mut texts, mut ends) = (Room::<u8>::new(lines.len()), Room::<u64>::new(n_ends));
    let n = unsafe {
        let (to, to_ends) = (texts.pointer(), ends.pointer());
        linnet_documents_cut(lines.as_ptr(), lines.len() as u64, mark.as_ptr(), mark.len() as u64, to, to_ends, n_ends as u64)
    };
    law!((1..=n_ends as i64).contains(&n), "linnet_documents_cut: {n} parts, at most {n_ends} can be");
    let (texts, mut ends) =
        (texts.written("linnet_documents_cut")?, ends.written("linnet_documents_cut")?[..n as usize].to_vec());
    let room = texts.len() as u64;
    if let Some(last) = ends.last_mut().filter(|last| case.is(Mutant::MoveCut) && **last < room) {
        *last += 1;
    }
    let ascending = ends.windows(2).all(|two| two[0] <= two[1]) && ends.last().is_some_and(|&last| last <= room);
    law!(ascending, "linnet_documents_cut: {n} parts end at {ends:?}");
    let (found, expected) = (parts(texts, &ends).collect::<Vec<_>>(), slow::cut(&lines, &mark));
    law!(found == expected, "linnet_documents_cut at {mark:?}: {found:?}, slowly {expected:?}, of {lines:?}");
    case.note(ends);
    Ok(())
}

/// Words, in a batch and one by one.
pub fn words(case: &mut Case) -> Held {
    let texts = case.some_texts(6);
    let (mut hashes, ends) = words_of(&texts)?;
    if let Some(first) = hashes.first_mut().filter(|_| case.is(Mutant::LoseWord)) {
        *first ^= 1;
    }
    for (i, (found, text)) in parts(&hashes, &ends).zip(&texts).enumerate() {
        let expected = slow::words(text);
        law!(found == expected, "linnet_documents_words, text {i}: {} words {found:x?}, slowly {expected:x?}", found.len());
    }
    case.note(hashes);
    Ok(())
}

/// The hashes of the words of some texts, and where those of each end.
fn words_of(texts: &[Box<[u8]>]) -> Result<(Vec<u64>, Vec<u64>), String> {
    let Texts { joined, ends } = Texts::of(texts);
    let room = texts.iter().map(|text| text.len().div_ceil(2)).sum();
    let (mut hashes, mut word_ends) = (Room::<u64>::new(room), Room::<u64>::new(texts.len()));
    let (to_hashes, to_ends) = (hashes.pointer(), word_ends.pointer());
    let n = unsafe { linnet_documents_words(joined.as_ptr(), ends.as_ptr(), texts.len() as u64, to_hashes, to_ends) };
    law!((0..=room as i64).contains(&n), "linnet_documents_words: {n} words, at most {room} can be");
    let hashes = hashes.written("linnet_documents_words")?[..n as usize].to_vec();
    let ends = word_ends.written("linnet_documents_words")?.to_vec();
    let ascending = ends.windows(2).all(|two| two[0] <= two[1]) && ends.last().copied().unwrap_or(0) == n as u64;
    law!(ascending, "linnet_documents_words: {n} words end at {ends:?}");
    Ok((hashes, ends))
}

/// Signatures.
pub fn minhash(case: &mut Case) -> Held {
    let texts = case.some_texts(6);
    let Texts { joined, ends } = Texts::of(&texts);
    let (n, n_hashes, shingle) = (texts.len(), case.chance.between(1, 20), case.chance.between(1, 7));
    let mut drawn = || (0..n_hashes).map(|_| case.chance.bits()).collect::<Box<[u64]>>();
    let (a, b) = (drawn(), drawn());
    let mut room = Room::<u32>::new(n * n_hashes);
    let code = unsafe {
        let (text, shingle, to) = (joined.as_ptr(), shingle as u64, room.pointer());
        linnet_documents_minhash(text, ends.as_ptr(), n as u64, shingle, a.as_ptr(), b.as_ptr(), n_hashes as u64, to)
    };
    law!(code == 0, "linnet_documents_minhash: {code}");
    let mut signatures = room.written("linnet_documents_minhash")?.to_vec();
    if let Some(last) = signatures.last_mut().filter(|_| case.is(Mutant::Unsigned)) {
        *last ^= 1;
    }
    for (i, text) in texts.iter().enumerate() {
        let (found, expected) =
            (&signatures[i * n_hashes..(i + 1) * n_hashes], slow::signature(&slow::words(text), shingle, &a, &b));
        law!(found == expected, "linnet_documents_minhash, text {i} of {n}, shingle {shingle}: {found:?}, slowly {expected:?}");
    }
    case.note(signatures);
    Ok(())
}

/// Ids as they stand on disk, read back from there.
pub fn close(case: &mut Case) -> Held {
    let width = *case.chance.pick(&[2, 4]);
    let most = if case.chance.one_in(50) { 70_000 } else { 300 };
    let vocab_size = case.chance.between(1, if width == 2 { most.min(1 << 16) } else { most });
    let mut drawn = || (case.chance.bits() as u32 & !SPECIAL) >> case.chance.below(31) | u32::from(case.chance.one_in(10)) << 31;
    let vocabulary: Box<[u32]> = (0..vocab_size).map(|_| drawn()).collect();
    let n = case.chance.below(12);
    let texts: Vec<Box<[u32]>> =
        (0..n).map(|_| (0..case.chance.below(40)).map(|_| case.chance.below(vocab_size) as u32).collect()).collect();
    let which: Box<[u8]> = (0..n).map(|_| *case.chance.pick(&[1, 2, 5, 6])).collect();
    let end_id = case.chance.below(vocab_size) as u32;
    let mut found = closed(&texts, &which, &vocabulary, end_id, width, case.chance.below(4))?;
    if let Some(id) = found.sides[1].last_mut().filter(|_| case.is(Mutant::ForgetEnd)) {
        *id ^= 1;
    }
    let (ids, ends) = joined(&texts);
    let expected = slow::close(&ids, &ends, &which, &vocabulary, end_id);
    let (sides, expected_sides) = (&found.sides, &expected.sides);
    law!(sides == expected_sides, "linnet_documents_close, width {width}: {sides:?}, slowly {expected_sides:?}");
    law!(
        found == expected,
        "linnet_documents_close: bytes {:?}, special {:?}, slowly {:?}, {:?}",
        found.bytes,
        found.special,
        expected.bytes,
        expected.special
    );
    case.note(found.sides.into_iter().flatten());
    case.note(found.bytes);
    Ok(())
}

fn joined(texts: &[Box<[u32]>]) -> (Box<[u32]>, Box<[u64]>) {
    let ends = texts.iter().scan(0, |end, text| {
        *end += text.len() as u64;
        Some(*end)
    });
    (texts.iter().flat_map(|text| text.iter().copied()).collect(), ends.collect())
}

/// Ids that lie one text's after the other's, closed.
fn closed(
    texts: &[Box<[u32]>],
    which: &[u8],
    vocabulary: &[u32],
    end_id: u32,
    width: u32,
    shift: usize,
) -> Result<slow::Closed, String> {
    let (n, (ids, ends)) = (texts.len() as u64, joined(texts));
    let to = Disk { which, vocabulary, end_id, width, shift, room: ids.len() + texts.len() };
    to.read_back("linnet_documents_close", |closed| unsafe { linnet_documents_close(ids.as_ptr(), ends.as_ptr(), n, closed) })
}

/// What a function that closes texts is told, and room for what it writes, `shift` bytes from where numbers may lie.
pub struct Disk<'a> {
    pub which: &'a [u8],
    pub vocabulary: &'a [u32],
    pub end_id: u32,
    pub width: u32,
    pub shift: usize,
    pub room: usize, // ids on a side
}

impl Disk<'_> {
    /// What `call` writes there.
    pub fn read_back(&self, by: &str, call: impl FnOnce(&Closed) -> i64) -> Result<slow::Closed, String> {
        let (n, width, shift) = (self.which.len(), self.width as usize, self.shift);
        let mut sides = [Room::<u8>::new(shift + self.room * width), Room::<u8>::new(shift + self.room * width)];
        let (mut bytes, mut special, mut counts) = (Room::<u64>::new(n), Room::<u64>::new(n), Room::<u64>::new(2));
        let [train, validation] = sides.each_mut().map(|side| unsafe { side.pointer().add(shift) });
        let code = call(&Closed {
            which: self.which.as_ptr(),
            vocabulary: self.vocabulary.as_ptr(),
            vocab_size: self.vocabulary.len() as u64,
            end_id: self.end_id,
            width: self.width,
            train,
            validation,
            bytes: bytes.pointer(),
            special: special.pointer(),
            counts: counts.pointer(),
        });
        law!(code == 0, "{by}: {code}");
        let counts = counts.written(by)?;
        let mut read = [Vec::new(), Vec::new()];
        for (i, side) in sides.iter().enumerate() {
            law!(counts[i] <= self.room as u64, "{by}: {} ids on one side, of {}", counts[i], self.room);
            let number = |id: &[u8]| id.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte));
            let on_disk = &side.written(by)?[shift..shift + counts[i] as usize * width];
            read[i] = on_disk.chunks_exact(width).map(number).collect();
        }
        Ok(slow::Closed { sides: read, bytes: bytes.written(by)?.to_vec(), special: special.written(by)?.to_vec() })
    }
}
