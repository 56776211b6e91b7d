//! Laws of learning: the same merges however they are counted, and those of counting everything again after each.

use std::collections::BTreeMap;

use super::case::{Case, Held};
use super::given::{parts, Room, Texts};
use super::header::{self, *};
use super::mutants::Mutant;
use super::slow::learn::learn;
use super::splitting::{chunks, N_PATTERNS};

const SLOWLY_AT_MOST: usize = 300; // bytes
const BYTES_FOR_THREADS: usize = 600_000; // of which several threads get some

/// Merges of some texts, counted and learned in several ways.
pub fn learn_merges(case: &mut Case) -> Held {
    let pattern = case.chance.below(N_PATTERNS as usize) as u32;
    let texts = case.some_texts(4);
    let n = case.chance.below(40);
    let merges = merges_of_texts(case, pattern, &texts, n)?;
    case.note(merges.iter().map(|&(a, b)| u64::from(a) << 32 | u64::from(b)));
    for (rank, &(a, b)) in merges.iter().enumerate() {
        law!(a.max(b) < 256 + rank as u32, "linnet_trainer_learn: merge {rank} joins {a} and {b}, which are not there yet");
    }
    let counted = counted(case, pattern, &texts)?;
    let given = merges_of_chunks(case, &counted, n)?;
    law!(given == merges, "linnet_trainer_new learns {given:?} of the chunks of which linnet_counter_trainer learns {merges:?}");
    if counted.keys().map(Vec::len).sum::<usize>() <= SLOWLY_AT_MOST {
        let slowly = learn(&counted, n);
        law!(merges == slowly, "linnet_trainer_learn: {merges:?}, learned slowly {slowly:?}");
    }
    Ok(())
}

/// Up to n merges: counted by a counter on one thread and by one on several, which had something to do before.
pub fn merges_of_texts(case: &mut Case, pattern: u32, texts: &[Box<[u8]>], n: usize) -> Result<Vec<(u32, u32)>, String> {
    let (all, n_threads) = (Texts::of(texts), case.chance.between(2, 4) as u64);
    let cut = case.chance.between(0, texts.len());
    let counter = unsafe { linnet_counter_new(pattern) };
    law!(!counter.is_null(), "linnet_counter_new, pattern {pattern}: NULL");
    let once = counted_by(counter, &[&all], 1)?;
    let merges = learned(case, once, n, n)?;
    let again = counted_by(counter, &[&Texts::of(&texts[..cut]), &Texts::of(&texts[cut..])], n_threads)?;
    unsafe { linnet_counter_free(counter) };
    let first = case.chance.between(0, n);
    let others = learned(case, again, n, first)?;
    law!(merges == others, "{merges:?}, counted in two parts and on {n_threads} threads {others:?}");
    Ok(merges)
}

/// Texts of so many bytes that threads share them out.
pub fn learn_on_threads(case: &mut Case) -> Held {
    let mut texts = case.some_texts(6);
    texts.push(case.text());
    let bytes = texts.iter().map(|text| text.len()).sum::<usize>().max(1);
    let many = texts.iter().cycle().take(texts.len() * (1 + BYTES_FOR_THREADS / bytes).min(20_000)).cloned().collect::<Vec<_>>();
    let merges = merges_of_texts(case, 1, &many, 20)?;
    case.note(merges.iter().map(|pair| pair.0));
    Ok(())
}

fn counted_by(counter: *mut Counter, batches: &[&Texts], n_threads: u64) -> Result<*mut Trainer, String> {
    for Texts { joined, ends } in batches {
        let code = unsafe { linnet_counter_add(counter, joined.as_ptr(), ends.as_ptr(), ends.len() as u64, n_threads) };
        law!(code == 0, "linnet_counter_add: {code}");
    }
    Ok(unsafe { linnet_counter_trainer(counter) })
}

/// The chunks of some texts and how often each occurs.
fn counted(case: &mut Case, pattern: u32, texts: &[Box<[u8]>]) -> Result<BTreeMap<Vec<u8>, u64>, String> {
    let mut counts = BTreeMap::new();
    for text in texts {
        let ends = chunks(case, pattern, text)?;
        parts(text, &ends).for_each(|chunk| *counts.entry(chunk.to_vec()).or_default() += 1);
    }
    Ok(counts)
}

/// Up to n merges of chunks in any order, among which may be an empty one.
fn merges_of_chunks(case: &mut Case, counts: &BTreeMap<Vec<u8>, u64>, n: usize) -> Result<Vec<(u32, u32)>, String> {
    let mut pairs: Vec<(&[u8], u64)> = counts.iter().map(|(chunk, &count)| (chunk.as_slice(), count)).collect();
    if case.chance.one_in(4) {
        pairs.push((b"", 3));
    }
    case.chance.shuffle(&mut pairs);
    let chunks = Texts::of(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
    let counts: Box<[u64]> = pairs.iter().map(|pair| pair.1).collect();
    let trainer = unsafe { linnet_trainer_new(chunks.joined.as_ptr(), chunks.ends.as_ptr(), counts.as_ptr(), chunks.n()) };
    learned(case, trainer, n, n)
}

/// Up to n merges by a trainer, which is then freed: `first` of them in a call of their own.
fn learned(case: &mut Case, trainer: *mut header::Trainer, n: usize, first: usize) -> Result<Vec<(u32, u32)>, String> {
    law!(!trainer.is_null(), "NULL in the place of a trainer");
    let mut merges = Vec::new();
    for asked in [first, n - first] {
        let mut room = Room::<u32>::new(2 * asked);
        let found = unsafe { linnet_trainer_learn(trainer, room.pointer(), asked as u64) };
        law!((0..=asked as i64).contains(&found), "linnet_trainer_learn: {found} of {asked} merges");
        let pairs = &room.written("linnet_trainer_learn")?[..2 * found as usize];
        merges.extend(pairs.chunks_exact(2).map(|pair| (pair[0], pair[1])));
    }
    unsafe { linnet_trainer_free(trainer) };
    match case.mutant {
        Some(Mutant::ForgetMerge) if first < n => drop(merges.pop()),
        Some(Mutant::SwapPair) => merges.iter_mut().for_each(|pair| *pair = (pair.1, pair.0)),
        _ => {}
    }
    Ok(merges)
}
