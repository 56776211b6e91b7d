//! Laws of encoding: no byte is lost, the ids are those of merging one pair after another, and a batch is many texts.

use super::case::{Case, Held};
use super::documents::Disk;
use super::given::{parts, Room, Texts};
use super::header::{self, *};
use super::mutants::Mutant;
use super::slow::documents::close as slow_close;
use super::slow::merge::{ids_of, merge, table_of_ids, table_of_merges, Table};
use super::splitting::chunks;
use super::vocabulary::{ids_of_bytes, same_spelling, Vocabulary};

const SLOWLY_AT_MOST: usize = 500; // bytes of a text
const CHUNK_SLOWLY_AT_MOST: usize = 120;
const BYTES_FOR_THREADS: usize = 600_000; // of which several threads get some

/// An encoder of the library.
struct Encoder(*mut header::Encoder);

impl Drop for Encoder {
    fn drop(&mut self) {
        unsafe { linnet_encoder_free(self.0) };
    }
}

/// A vocabulary and its encoders: by its merges, by its ids alone, and by the merges that its ids come to.
pub struct Encoders {
    vocabulary: Vocabulary,
    encoders: [Encoder; 3],
    tables: [Table; 2],
    bytes: Vec<u32>, // the id of each
}

impl Encoders {
    pub fn new(case: &mut Case) -> Result<Encoders, String> {
        let vocabulary = Vocabulary::new(case)?;
        let tokens = Texts::of(&vocabulary.tokens);
        let of_ids = merges_of_ids(&vocabulary, &tokens)?;
        let by_merges = encoder(&vocabulary, &tokens, Some(&vocabulary.merges))?;
        let encoders = [by_merges, encoder(&vocabulary, &tokens, None)?, encoder(&vocabulary, &tokens, Some(&of_ids))?];
        let tables = [table_of_merges(&vocabulary.merges), table_of_ids(&vocabulary.tokens)];
        let bytes = ids_of_bytes(&vocabulary.tokens, &std::array::from_fn::<u8, 256, _>(|byte| byte as u8));
        Ok(Encoders { vocabulary, encoders, tables, bytes })
    }

    /// A text by one of the encoders.
    pub fn encode_text(&self, case: &mut Case) -> Held {
        let text = if case.chance.one_in(2) { self.vocabulary.text(case) } else { case.text() };
        let which = case.chance.below(3);
        let ids = self.encode(case, which, &text)?;
        self.spell(&text, &ids, "linnet_encode")?;
        if which > 0 {
            let others = self.encode(case, 3 - which, &text)?;
            law!(ids == others, "linnet_encode: {ids:?} by ids or by the merges that they come to, {others:?} by the other");
        }
        self.compare_with_slow(case, which, &text, &ids)?;
        case.note(ids);
        Ok(())
    }

    /// Texts together and one by one.
    pub fn encode_texts(&self, case: &mut Case) -> Held {
        let mut texts = case.some_texts(5);
        (0..case.chance.below(4)).for_each(|_| texts.push(self.vocabulary.text(case)));
        self.compare_with_each(case, &texts, 1)
    }

    /// Texts encoded as they stand on disk.
    pub fn encode_to_disk(&self, case: &mut Case) -> Held {
        let mut texts = case.some_texts(5);
        (0..case.chance.below(4)).for_each(|_| texts.push(self.vocabulary.text(case)));
        let which: Box<[u8]> = texts.iter().map(|_| *case.chance.pick(&[1, 2, 5, 6])).collect();
        let vocabulary: Box<[u32]> = self.vocabulary.tokens.iter().map(|token| token.len() as u32).collect();
        let (n, by) = (case.chance.below(3), "linnet_documents_encode");
        let end_id = case.chance.below(vocabulary.len()) as u32;
        let Texts { joined, ends } = Texts::of(&texts);
        let room = joined.len() + texts.len();
        let width = *case.chance.pick(&[2, 4]);
        let to = Disk { which: &which, vocabulary: &vocabulary, end_id, width, shift: case.chance.below(4), room };
        let mut lengths = Room::<u64>::new(texts.len());
        let mut found = to.read_back(by, |closed| unsafe {
            let (encoder, n_texts) = (self.encoders[n].0, texts.len() as u64);
            linnet_documents_encode(encoder, joined.as_ptr(), ends.as_ptr(), n_texts, lengths.pointer(), closed)
        })?;
        if let Some(bytes) = found.bytes.first_mut().filter(|_| case.is(Mutant::LoseByte)) {
            *bytes += 1;
        }
        let alone: Vec<Vec<u32>> = texts.iter().map(|text| self.encode(case, n, text)).collect::<Result<_, _>>()?;
        let (ids, mut id_ends, mut end) = (alone.concat(), Vec::new(), 0);
        for ids in &alone {
            end += ids.len() as u64;
            id_ends.push(end);
        }
        let expected = slow_close(&ids, &id_ends, &which, &vocabulary, end_id);
        law!(found == expected, "{by}, width {width}: {:?}, one by one {:?}", found.sides, expected.sides);
        let found: Vec<u64> = alone.iter().map(|ids| ids.len() as u64).collect();
        law!(lengths.written(by)? == found, "{by}: lengths {:?}, one by one {found:?}", lengths.written(by)?);
        let said: Vec<u64> = texts.iter().map(|text| text.len() as u64).collect();
        law!(expected.bytes == said, "{by}: the ids stand for {:?} bytes of {said:?}", expected.bytes);
        Ok(())
    }

    /// Texts of so many bytes that threads share them out.
    pub fn encode_on_threads(&self, case: &mut Case) -> Held {
        let mut texts = case.some_texts(6);
        texts.push(self.vocabulary.text(case));
        let bytes = texts.iter().map(|text| text.len()).sum::<usize>().max(1);
        self.compare_with_each(case, &texts, (1 + BYTES_FOR_THREADS / bytes).min(20_000))
    }

    /// A batch of all texts, `times` over, and each text by itself.
    fn compare_with_each(&self, case: &mut Case, texts: &[Box<[u8]>], times: usize) -> Held {
        let (which, n_threads) = (case.chance.below(3), case.chance.between(1, 4) as u64);
        let mut alone = Vec::new();
        for text in texts {
            let ids = self.encode(case, which, text)?;
            self.spell(text, &ids, "linnet_encode")?;
            alone.push(ids);
        }
        let all: Vec<&[u8]> = texts.iter().cycle().take(times * texts.len()).map(|text| &text[..]).collect();
        let Texts { joined, ends } = Texts::of(&all);
        let handle = unsafe {
            let encoder = self.encoders[which].0;
            linnet_encode_batch(encoder, joined.as_ptr(), ends.as_ptr(), ends.len() as u64, n_threads)
        };
        let (ids, mut ends) = taken(case, handle, "linnet_encode_batch")?;
        if let Some(first) = ends.first_mut().filter(|_| case.is(Mutant::ShiftText)) {
            *first += 1;
        }
        law!(ends.len() == all.len(), "linnet_encode_batch: {} ends of {} texts", ends.len(), all.len());
        let ascending = ends.windows(2).all(|two| two[0] <= two[1]) && ends.last().copied().unwrap_or(0) == ids.len() as u64;
        law!(ascending, "linnet_encode_batch: {} ids end at {ends:?}", ids.len());
        for (number, (found, expected)) in parts(&ids, &ends).zip(alone.iter().cycle()).enumerate() {
            law!(
                found == expected,
                "linnet_encode_batch on {n_threads} threads, text {number} of {}: {found:?}, alone {expected:?}",
                all.len()
            );
        }
        let (at, sizes): (Vec<*const u8>, Vec<u64>) = all.iter().map(|text| (text.as_ptr(), text.len() as u64)).unzip();
        let n = all.len() as u64;
        let handle = unsafe { linnet_encode_texts(self.encoders[which].0, at.as_ptr(), sizes.as_ptr(), n, n_threads) };
        let (mut elsewhere, elsewhere_ends) = taken(case, handle, "linnet_encode_texts")?;
        if let Some(last) = elsewhere.last_mut().filter(|_| case.is(Mutant::MoveText)) {
            *last ^= 1;
        }
        law!(elsewhere == ids && elsewhere_ends == ends, "linnet_encode_texts: {elsewhere:?}, where texts lie together {ids:?}");
        case.note(ends);
        Ok(())
    }

    fn encode(&self, case: &mut Case, which: usize, text: &[u8]) -> Result<Vec<u32>, String> {
        let handle = unsafe { linnet_encode(self.encoders[which].0, text.as_ptr(), text.len() as u64) };
        let (mut ids, ends) = taken(case, handle, "linnet_encode")?;
        law!(ends.is_empty(), "linnet_encode: {} ends", ends.len());
        match case.mutant {
            Some(Mutant::DropByte) => drop(ids.pop()),
            Some(Mutant::Unmerged) => ids = ids_of_bytes(&self.vocabulary.tokens, text),
            Some(Mutant::ReadBehind) if !text.is_empty() => case.note([unsafe { text.as_ptr().add(text.len()).read_volatile() }]),
            _ => {}
        }
        Ok(ids)
    }

    /// No byte is lost: what the ids stand for is the text.
    fn spell(&self, text: &[u8], ids: &[u32], by: &str) -> Held {
        let tokens = &self.vocabulary.tokens;
        law!(ids.iter().all(|&id| (id as usize) < tokens.len()), "{by}: {ids:?}, of {} tokens", tokens.len());
        let mut rest = text;
        for (place, &id) in ids.iter().enumerate() {
            let token = &tokens[id as usize];
            law!(!token.is_empty(), "{by}: id {place} is {id}, a special token");
            law!(
                rest.starts_with(token),
                "{by}: id {place} of {ids:?} stands for {token:x?}, but the text goes on with {rest:x?}"
            );
            rest = &rest[token.len()..];
        }
        law!(rest.is_empty(), "{by}: the last {} bytes are lost in {ids:?}", rest.len());
        Ok(())
    }

    /// The ids are those of merging one pair after another, in every chunk.
    fn compare_with_slow(&self, case: &mut Case, which: usize, text: &[u8], ids: &[u32]) -> Held {
        let Vocabulary { pattern, tokens, whole, .. } = &self.vocabulary;
        if text.len() > SLOWLY_AT_MOST {
            return Ok(());
        }
        let ends = chunks(case, *pattern, text)?;
        if parts(text, &ends).any(|chunk| chunk.len() > CHUNK_SLOWLY_AT_MOST) {
            return Ok(());
        }
        let known = if *whole { ids_of(tokens) } else { Default::default() };
        let mut expected = Vec::new();
        for chunk in parts(text, &ends) {
            match known.get(chunk) {
                Some(&id) => expected.push(id),
                None => {
                    let bytes = chunk.iter().map(|&byte| self.bytes[usize::from(byte)]).collect();
                    expected.extend(merge(bytes, &self.tables[which.min(1)]));
                }
            }
        }
        // of two tokens that spell the same, a whole chunk may be either
        let same = ids == expected || *whole && same_spelling(tokens, ids, &expected);
        law!(
            same,
            "linnet_encode, pattern {pattern}, {}: {ids:?}, slowly {expected:?}",
            ["by merges", "by ids", "by ids"][which]
        );
        Ok(())
    }
}

fn encoder(vocabulary: &Vocabulary, tokens: &Texts, merges: Option<&[[u32; 3]]>) -> Result<Encoder, String> {
    let flat: Option<Box<[u32]>> = merges.map(|merges| merges.iter().flatten().copied().collect());
    let start = flat.as_ref().map_or(std::ptr::null(), |flat| flat.as_ptr());
    let (text, ends, n, n_merges) =
        (tokens.joined.as_ptr(), tokens.ends.as_ptr(), tokens.n(), merges.map_or(0, <[_]>::len) as u64);
    let made = unsafe { linnet_encoder_new(vocabulary.pattern, text, ends, n, start, n_merges, u32::from(vocabulary.whole)) };
    law!(!made.is_null(), "linnet_encoder_new: NULL for a vocabulary of {n} tokens and {n_merges} merges");
    Ok(Encoder(made))
}

/// The merges of a vocabulary's ids: two tokens that spell a third each, in the order of the ids.
fn merges_of_ids(vocabulary: &Vocabulary, tokens: &Texts) -> Result<Vec<[u32; 3]>, String> {
    let mut room = Room::<u32>::new(3 * tokens.ends.len());
    let n = unsafe { linnet_merges_of_ids(tokens.joined.as_ptr(), tokens.ends.as_ptr(), tokens.n(), room.pointer()) };
    law!((0..=tokens.ends.len() as i64).contains(&n), "linnet_merges_of_ids: {n} merges of {} tokens", tokens.ends.len());
    let found = &room.written("linnet_merges_of_ids")?[..3 * n as usize];
    let merges: Vec<[u32; 3]> = found.chunks_exact(3).map(|ids| [ids[0], ids[1], ids[2]]).collect();
    law!(merges.windows(2).all(|two| two[0][2] < two[1][2]), "linnet_merges_of_ids: not in the order of the ids: {merges:?}");
    let spelt = |id: u32| vocabulary.tokens.get(id as usize).cloned();
    for &[a, b, made] in &merges {
        let both = spelt(a).zip(spelt(b)).map(|(a, b)| [a, b].concat());
        law!(both.is_some() && both == spelt(made), "linnet_merges_of_ids: {a} and {b} do not spell {made}");
    }
    Ok(merges)
}

/// Ids and ends of the library, copied; its own are freed.
fn taken(case: &Case, handle: *mut Ids, by: &str) -> Result<(Vec<u32>, Vec<u64>), String> {
    law!(!handle.is_null(), "{by}: NULL");
    let (mut n_ids, mut n_ends, mut ends) = (u64::MAX, u64::MAX, std::ptr::null());
    unsafe {
        let ids = linnet_ids_look(handle, &mut n_ids, &mut n_ends, &mut ends);
        law!(!ids.is_null() && !ends.is_null(), "linnet_ids_look: NULL");
        let ids = std::slice::from_raw_parts(ids, n_ids as usize).to_vec();
        let ends = std::slice::from_raw_parts(ends, n_ends as usize).to_vec();
        if !case.is(Mutant::Leak) {
            linnet_ids_free(handle);
        }
        Ok((ids, ends))
    }
}
