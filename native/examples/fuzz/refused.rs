//! Arguments that make no sense are refused, and what was there before goes on working.
//!
//! Only such as can be seen without reading what is not there: NULL, a number out of its range, ends that descend.

use std::ptr::{null, null_mut};

use super::case::{Case, Held};
use super::given::{Room, Texts};
use super::header::*;
use super::mutants::Mutant;
use super::splitting::N_PATTERNS;

const MOST_TOKENS: usize = (1 << 21) - 1;
const MOST_MERGES: u64 = (1 << 22) - 1;

pub fn refuse(case: &mut Case) -> Held {
    match case.chance.below(2000) {
        0 => too_many(),
        1..=499 => vocabularies(case),
        500..=999 => closing(case),
        1000..=1499 => descending(case),
        _ => nothing_there(case),
    }
}

fn codes(case: &Case, of: &[(&str, i64)]) -> Held {
    for &(what, code) in of {
        let code = if case.is(Mutant::Accept) { 0 } else { code };
        law!(code == -1, "{what} is not refused by -1 but by {code}");
    }
    Ok(())
}

fn handles(of: &[(&str, bool)]) -> Held {
    for &(what, is_null) in of {
        law!(is_null, "{what} is not refused by NULL");
    }
    Ok(())
}

/// NULL wherever there may be none, and patterns that there are not.
fn nothing_there(case: &mut Case) -> Held {
    let text = case.text();
    let pattern = *case.chance.pick(&[N_PATTERNS, N_PATTERNS + 1, 99, u32::MAX]);
    let Texts { joined, ends } = Texts::of(&[&text]);
    let (bytes, ends, size) = (joined.as_ptr(), ends.as_ptr(), joined.len());
    let (mut numbers, mut small) = (Room::<u64>::new(size + 1), Room::<u8>::new(16));
    let (mut ids, mut count, mut other) = (Room::<u32>::new(64), 0, 0);
    let (to, to_small, to_ids) = (numbers.pointer(), small.pointer(), ids.pointer());
    let mut at: *const u64 = null();
    let n = size as u64;
    unsafe {
        let counter = linnet_counter_new(0);
        let found = [
            ("a pattern of linnet_chunks", linnet_chunks(pattern, bytes, n, to)),
            ("a text of linnet_chunks", linnet_chunks(0, null(), n, to)),
            ("ends of linnet_chunks", linnet_chunks(0, bytes, n, null_mut())),
            ("a counter of linnet_counter_add", linnet_counter_add(null_mut(), bytes, ends, 1, 1)),
            ("bytes of linnet_counter_add", linnet_counter_add(counter, null(), ends, 1, 1)),
            ("ends of linnet_counter_add", linnet_counter_add(counter, bytes, null(), 1, 1)),
            ("a trainer of linnet_trainer_learn", linnet_trainer_learn(null_mut(), to_ids, 1)),
            ("lines of linnet_documents_cut", linnet_documents_cut(null(), n, bytes, 1, to_small, to, n + 2)),
            ("a mark of linnet_documents_cut", linnet_documents_cut(bytes, n, null(), 1, to_small, to, n + 2)),
            ("an empty mark", linnet_documents_cut(bytes, n, bytes, 0, to_small, to, n + 2)),
            ("texts of linnet_documents_cut", linnet_documents_cut(bytes, n, bytes, 1, null_mut(), to, n + 2)),
            ("ends of linnet_documents_cut", linnet_documents_cut(bytes, n, bytes, 1, to_small, null_mut(), n + 2)),
            ("too few ends", linnet_documents_cut(bytes, n, bytes, 1, to_small, to, n / 2 + 1)),
            ("bytes of linnet_documents_look", linnet_documents_look(null(), ends, 1, to_small, to, to_small)),
            ("ends of linnet_documents_look", linnet_documents_look(bytes, null(), 1, to_small, to, to_small)),
            ("fingerprints of linnet_documents_look", linnet_documents_look(bytes, ends, 1, null_mut(), to, to_small)),
            ("characters of linnet_documents_look", linnet_documents_look(bytes, ends, 1, to_small, null_mut(), to_small)),
            ("flags of linnet_documents_look", linnet_documents_look(bytes, ends, 1, to_small, to, null_mut())),
            ("bytes of linnet_documents_words", linnet_documents_words(null(), ends, 1, to, to)),
            ("ends of linnet_documents_words", linnet_documents_words(bytes, null(), 1, to, to)),
            ("hashes of linnet_documents_words", linnet_documents_words(bytes, ends, 1, null_mut(), to)),
            ("word_ends of linnet_documents_words", linnet_documents_words(bytes, ends, 1, to, null_mut())),
            ("bytes of linnet_documents_minhash", linnet_documents_minhash(null(), ends, 1, 5, to, to, 1, to_ids)),
            ("ends of linnet_documents_minhash", linnet_documents_minhash(bytes, null(), 1, 5, to, to, 1, to_ids)),
            ("a of linnet_documents_minhash", linnet_documents_minhash(bytes, ends, 1, 5, null(), to, 1, to_ids)),
            ("b of linnet_documents_minhash", linnet_documents_minhash(bytes, ends, 1, 5, to, null(), 1, to_ids)),
            ("signatures of linnet_documents_minhash", linnet_documents_minhash(bytes, ends, 1, 5, to, to, 1, null_mut())),
            ("a shingle of no words", linnet_documents_minhash(bytes, ends, 1, 0, to, to, 1, to_ids)),
            ("a signature of no numbers", linnet_documents_minhash(bytes, ends, 1, 5, to, to, 0, to_ids)),
            ("bytes of linnet_merges_of_ids", linnet_merges_of_ids(null(), ends, 1, to_ids)),
            ("ends of linnet_merges_of_ids", linnet_merges_of_ids(bytes, null(), 1, to_ids)),
            ("merges of linnet_merges_of_ids", linnet_merges_of_ids(bytes, ends, 1, null_mut())),
            ("a vocabulary of one token", linnet_merges_of_ids(bytes, ends, 1, to_ids)),
            ("a vocabulary without tokens", linnet_merges_of_ids(bytes, ends, 0, to_ids)),
        ];
        let trainer = linnet_counter_trainer(counter);
        let unlearned = [("pairs of linnet_trainer_learn", linnet_trainer_learn(trainer, null_mut(), 1))];
        linnet_trainer_free(trainer);
        linnet_counter_free(counter);
        codes(case, &found)?;
        codes(case, &unlearned)?;
        handles(&[
            ("a pattern of linnet_counter_new", linnet_counter_new(pattern).is_null()),
            ("a counter of linnet_counter_trainer", linnet_counter_trainer(null_mut()).is_null()),
            ("bytes of linnet_trainer_new", linnet_trainer_new(null(), ends, to, 1).is_null()),
            ("ends of linnet_trainer_new", linnet_trainer_new(bytes, null(), to, 1).is_null()),
            ("counts of linnet_trainer_new", linnet_trainer_new(bytes, ends, null(), 1).is_null()),
            ("bytes of linnet_encoder_new", linnet_encoder_new(0, null(), ends, 1, null(), 0, 0).is_null()),
            ("ends of linnet_encoder_new", linnet_encoder_new(0, bytes, null(), 1, null(), 0, 0).is_null()),
            ("an encoder of linnet_encode", linnet_encode(null(), bytes, n).is_null()),
            ("an encoder of linnet_encode_batch", linnet_encode_batch(null(), bytes, ends, 1, 1).is_null()),
            ("an encoder of linnet_encode_texts", linnet_encode_texts(null(), &bytes, ends, 1, 1).is_null()),
            ("ids of linnet_ids_look", linnet_ids_look(null(), &mut count, &mut other, &mut at).is_null()),
        ])?;
        linnet_trainer_free(null_mut());
        linnet_counter_free(null_mut());
        linnet_encoder_free(null_mut());
        linnet_ids_free(null_mut());
    }
    numbers.written("what was refused")?;
    small.written("what was refused")?;
    ids.written("what was refused").map(drop)
}

/// Texts whose ends descend, or one of which ends behind the last.
fn descending(case: &mut Case) -> Held {
    let mut texts = case.some_texts(5);
    texts.push(case.given(b"not empty".to_vec()));
    texts.push(case.text());
    let Texts { joined, mut ends } = Texts::of(&texts);
    let n = ends.len();
    let (last, at) = (ends[n - 1], case.chance.below(n - 1));
    let later = case.chance.between(at + 1, n - 1);
    match case.chance.below(8) {
        0 => ends[at] = u64::MAX,
        1..=3 if ends[at] < ends[later] => ends.swap(at, later),
        _ => ends[at] = last + 1 + case.chance.below(100) as u64,
    }
    let size = joined.len();
    let (bytes, ends, n_texts) = (joined.as_ptr(), ends.as_ptr(), n as u64);
    let (mut numbers, mut more) = (Room::<u64>::new(size + n), Room::<u64>::new(size + n));
    let (mut small, mut prints, mut ids) = (Room::<u8>::new(n), Room::<u8>::new(16 * n), Room::<u32>::new(3 * n));
    let counts: Box<[u64]> = vec![1; n].into();
    let (all_bytes, counts) = (Texts::of(&(0..=255).map(|byte| [byte]).collect::<Vec<_>>()), counts.as_ptr());
    unsafe {
        let counter = linnet_counter_new(0);
        let encoder = linnet_encoder_new(0, all_bytes.joined.as_ptr(), all_bytes.ends.as_ptr(), 256, null(), 0, 0);
        let found = [
            ("linnet_counter_add", linnet_counter_add(counter, bytes, ends, n_texts, 2)),
            (
                "linnet_documents_look",
                linnet_documents_look(bytes, ends, n_texts, prints.pointer(), numbers.pointer(), small.pointer()),
            ),
            ("linnet_documents_words", linnet_documents_words(bytes, ends, n_texts, numbers.pointer(), more.pointer())),
            ("linnet_documents_minhash", linnet_documents_minhash(bytes, ends, n_texts, 5, counts, counts, 1, ids.pointer())),
            ("linnet_merges_of_ids", linnet_merges_of_ids(bytes, ends, n_texts, ids.pointer())),
        ];
        let nulls = [
            ("linnet_trainer_new", linnet_trainer_new(bytes, ends, counts, n_texts).is_null()),
            ("linnet_encoder_new", linnet_encoder_new(0, bytes, ends, n_texts, null(), 0, 0).is_null()),
            ("linnet_encode_batch", linnet_encode_batch(encoder, bytes, ends, n_texts, 2).is_null()),
        ];
        let trainer = linnet_counter_trainer(counter);
        let learned = linnet_trainer_learn(trainer, ids.pointer(), 1);
        linnet_trainer_free(trainer);
        linnet_counter_free(counter);
        linnet_encoder_free(encoder);
        codes(case, &found)?;
        handles(&nulls)?;
        law!(learned == 0, "linnet_trainer_learn: {learned} merges of texts that linnet_counter_add refused");
    }
    numbers.written("what was refused")?;
    more.written("what was refused")?;
    small.written("what was refused")?;
    prints.written("what was refused")?;
    ids.written("what was refused").map(drop)
}

/// Vocabularies without some byte, and merges that make no token.
fn vocabularies(case: &mut Case) -> Held {
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).chain([b"ab".to_vec(), Vec::new()]).collect();
    let n = tokens.len() as u32;
    let mut merges = vec![[97, 98, 256]];
    match case.chance.below(3) {
        0 => tokens[case.chance.below(256)] = [Vec::new(), b"ab".to_vec()][case.chance.below(2)].clone(),
        1 => merges.push(*case.chance.pick(&[[97, 98, n], [n, 98, 256], [97, 1 << 21, 256], [u32::MAX; 3]])), // no such ids
        _ => merges.push(*case.chance.pick(&[[97, 99, 256], [98, 97, 256], [97, 98, 97], [97, 98, n - 1]])),  // spelt otherwise
    }
    case.chance.shuffle(&mut merges);
    let merges: Box<[u32]> = merges.into_iter().flatten().collect();
    let (tokens, whole) = (Texts::of(&tokens), case.chance.below(2) as u32);
    let (bytes, ends) = (tokens.joined.as_ptr(), tokens.ends.as_ptr());
    let made = unsafe { linnet_encoder_new(0, bytes, ends, tokens.n(), merges.as_ptr(), merges.len() as u64 / 3, whole) };
    law!(made.is_null(), "linnet_encoder_new takes the merges {merges:?} of {} tokens, of which 256 is ab", tokens.n());
    Ok(())
}

/// Ids that are not in the vocabulary, or wider than they may be on disk.
fn closing(case: &mut Case) -> Held {
    let (mut width, mut vocab_size, mut end_id) = (*case.chance.pick(&[2, 4]), case.chance.between(1, 50), 0);
    let ids: Box<[u32]> = (0..case.chance.between(1, 20)).map(|_| case.chance.below(vocab_size) as u32).collect();
    let (mut ids, n) = (ids, 2);
    let mut which = [1, 2];
    let mut ends = [case.chance.below(ids.len() + 1) as u64, ids.len() as u64];
    match case.chance.below(6) {
        0 => width = *case.chance.pick(&[0, 1, 3, 8, u32::MAX]),
        1 => which[case.chance.below(2)] = *case.chance.pick(&[0, 3, 4, 7]),
        2 => ids[case.chance.below(ids.len())] = *case.chance.pick(&[vocab_size as u32, u32::MAX]),
        3 => ends[0] = ends[1] + 1,
        4 => end_id = *case.chance.pick(&[vocab_size as u32, u32::MAX]),
        _ => (width, vocab_size) = (2, (1 << 16) + 1),
    }
    let vocabulary: Box<[u32]> = vec![1; vocab_size].into();
    let room = (ids.len() + n) * 4;
    let (mut train, mut validation) = (Room::<u8>::new(room), Room::<u8>::new(room));
    let (mut bytes, mut special, mut counts) = (Room::<u64>::new(n), Room::<u64>::new(n), Room::<u64>::new(2));
    let closed = Closed {
        which: which.as_ptr(),
        vocabulary: vocabulary.as_ptr(),
        vocab_size: vocab_size as u64,
        end_id,
        width,
        train: train.pointer(),
        validation: validation.pointer(),
        bytes: bytes.pointer(),
        special: special.pointer(),
        counts: counts.pointer(),
    };
    let code = unsafe { linnet_documents_close(ids.as_ptr(), ends.as_ptr(), n as u64, &closed) };
    law!(
        code == -1,
        "linnet_documents_close returns {code} for ids {ids:?} that end at {ends:?} on sides {which:?}, {vocab_size} tokens, end \
         token {end_id}, width {width}"
    );
    train.written("what was refused")?;
    validation.written("what was refused")?;
    for numbers in [&bytes, &special, &counts] {
        numbers.written("what was refused")?;
    }
    Ok(())
}

/// Vocabularies that are too large by one.
fn too_many() -> Held {
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let merges = vec![0u32; 3 * (MOST_MERGES as usize + 1)].into_boxed_slice();
    let few = Texts::of(&tokens);
    tokens.resize(MOST_TOKENS + 1, Vec::new());
    let many = Texts::of(&tokens);
    unsafe {
        let made = linnet_encoder_new(0, few.joined.as_ptr(), few.ends.as_ptr(), few.n(), merges.as_ptr(), MOST_MERGES + 1, 0);
        law!(made.is_null(), "linnet_encoder_new takes 2^22 merges");
        let made = linnet_encoder_new(0, many.joined.as_ptr(), many.ends.as_ptr(), many.n(), null(), 0, 0);
        law!(made.is_null(), "linnet_encoder_new takes 2^21 ids");
    }
    Ok(())
}
