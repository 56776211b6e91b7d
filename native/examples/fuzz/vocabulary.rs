//! Vocabularies that encoders are made of: learned by the library, made of random merges, or of random tokens.

use std::collections::HashMap;

use super::case::Case;
use super::learning::merges_of_texts;
use super::slow::merge::{ids_of, table_of_ids};
use super::splitting::N_PATTERNS;

pub struct Vocabulary {
    pub pattern: u32,
    pub tokens: Vec<Vec<u8>>,  // by id; empty: a special token
    pub merges: Vec<[u32; 3]>, // by rank: a, b, and what they make
    pub whole: bool,
}

impl Vocabulary {
    pub fn new(case: &mut Case) -> Result<Vocabulary, String> {
        let pattern = case.chance.below(N_PATTERNS as usize) as u32;
        let (tokens, mut merges) = match case.chance.below(5) {
            0..=1 => learned(case, pattern)?,
            2..=3 => random_merges(case),
            _ => random_tokens(case),
        };
        if case.chance.one_in(3) {
            case.chance.shuffle(&mut merges);
        }
        let (tokens, merges) = renumbered(case, tokens, merges);
        Ok(Vocabulary { pattern, tokens, merges, whole: case.chance.one_in(2) })
    }

    /// A text of its tokens.
    pub fn text(&self, case: &mut Case) -> Box<[u8]> {
        let size = if case.chance.one_in(200) { case.chance.below(5000) } else { case.chance.below(200) };
        let mut text: Vec<u8> = Vec::new();
        while text.len() < size {
            match case.chance.below(12) {
                0 => text.push(case.chance.bits() as u8),
                1 => text.push(b' '),
                _ => text.extend_from_slice(case.chance.pick::<Vec<u8>>(&self.tokens)),
            }
        }
        text.truncate(size);
        case.given(text)
    }
}

fn bytes() -> Vec<Vec<u8>> {
    (0..=255).map(|byte| vec![byte]).collect()
}

/// Tokens of merges by rank. What is spelt already is made again under the same id, or mostly so.
fn tokens_of(case: &mut Case, pairs: impl Iterator<Item = (u32, u32)>) -> (Vec<Vec<u8>>, Vec<[u32; 3]>) {
    let once = !case.chance.one_in(8);
    let (mut tokens, mut merges) = (bytes(), Vec::new());
    let mut ids: HashMap<Vec<u8>, u32> = tokens.iter().cloned().zip(0..).collect();
    let mut made: Vec<u32> = (0..256).collect(); // by the number in the pairs
    for (a, b) in pairs {
        let (a, b) = (made[a as usize], made[b as usize]);
        let token = [tokens[a as usize].as_slice(), &tokens[b as usize]].concat();
        let id = match ids.get(&token) {
            Some(&id) if once => id,
            _ => tokens.len() as u32,
        };
        if id as usize == tokens.len() {
            ids.insert(token.clone(), id);
            tokens.push(token);
        }
        merges.push([a, b, id]);
        made.push(id);
    }
    (tokens, merges)
}

/// What the library learns of some texts, of many now and then: so that what encoders remember of pairs collides.
fn learned(case: &mut Case, pattern: u32) -> Result<(Vec<Vec<u8>>, Vec<[u32; 3]>), String> {
    let times = if case.chance.one_in(40) { 20 } else { 1 };
    let texts: Vec<Box<[u8]>> = (0..times * case.chance.between(1, 20)).map(|_| case.text()).collect();
    let n = times * case.chance.below(300);
    let pairs = merges_of_texts(case, pattern, &texts, n)?;
    case.texts.clear();
    Ok(tokens_of(case, pairs.into_iter()))
}

/// Any two of few letters, or of what was made of them.
fn random_merges(case: &mut Case) -> (Vec<Vec<u8>>, Vec<[u32; 3]>) {
    let letters: &[u8] =
        case.chance.pick::<&[u8]>(&[b"ab", b"abcd", b"etaoin shrdlu", b"a\xc3\xa9\xe5\xa4\xa7\xe7\xae\x97", b"\x00\xff\x80 '"]);
    let mut usable: Vec<u32> = letters.iter().map(|&byte| u32::from(byte)).collect();
    let mut sizes = vec![1; 256];
    let mut pairs = Vec::new();
    for _ in 0..case.chance.below(150) {
        let (a, b) = (*case.chance.pick(&usable), *case.chance.pick(&usable));
        if sizes[a as usize] + sizes[b as usize] <= 20 {
            usable.push(sizes.len() as u32);
            sizes.push(sizes[a as usize] + sizes[b as usize]);
            pairs.push((a, b));
        }
    }
    tokens_of(case, pairs.into_iter())
}

/// Tokens that nothing need make, and whatever merges there are among them.
fn random_tokens(case: &mut Case) -> (Vec<Vec<u8>>, Vec<[u32; 3]>) {
    let mut tokens = bytes();
    let letters = case.chance.between(2, 5);
    for _ in 0..case.chance.below(200) {
        let token: Vec<u8> = match case.chance.below(4) {
            0 => case.text()[..].iter().copied().take(12).collect(),
            _ => (0..case.chance.between(2, 7)).map(|_| b'a' + case.chance.below(letters) as u8).collect(),
        };
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    case.texts.clear();
    let mut merges: Vec<[u32; 3]> = table_of_ids(&tokens).into_iter().map(|((a, b), (_, made))| [a, b, made]).collect();
    merges.sort_unstable();
    (tokens, merges)
}

/// The same with the ids in any order, and special tokens among them.
fn renumbered(case: &mut Case, mut tokens: Vec<Vec<u8>>, merges: Vec<[u32; 3]>) -> (Vec<Vec<u8>>, Vec<[u32; 3]>) {
    tokens.resize(tokens.len() + case.chance.below(4), Vec::new());
    let mut order: Vec<u32> = (0..tokens.len() as u32).collect();
    if case.chance.one_in(2) {
        case.chance.shuffle(&mut order);
    }
    let mut places = vec![0; order.len()];
    order.iter().zip(0..).for_each(|(&old, new)| places[old as usize] = new);
    let moved = order.iter().map(|&old| std::mem::take(&mut tokens[old as usize])).collect();
    (moved, merges.into_iter().map(|ids| ids.map(|old| places[old as usize])).collect())
}

/// Whether two texts of ids are spelt by the same tokens, id by id.
pub fn same_spelling(tokens: &[Vec<u8>], some: &[u32], others: &[u32]) -> bool {
    some.len() == others.len() && some.iter().zip(others).all(|(&a, &b)| tokens[a as usize] == tokens[b as usize])
}

/// The ids of the bytes of a text.
pub fn ids_of_bytes(tokens: &[Vec<u8>], text: &[u8]) -> Vec<u32> {
    let ids = ids_of(tokens);
    text.iter().map(|&byte| ids[[byte].as_slice()]).collect()
}
