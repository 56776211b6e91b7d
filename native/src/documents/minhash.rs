//! Signatures that say how much of two texts is the same: `linnet/data/near.py` explains them, and does the same in Python.

use super::words::{gram, words};
#[cfg(target_arch = "x86_64")]
use crate::kernels::simd::{self, Kind};

/// The functions whose smallest values are the signature: (a · x + b) / 2^32 of 64 bits.
#[derive(Clone, Copy)]
pub struct Functions<'a> {
    pub a: &'a [u64],
    pub b: &'a [u64],
}

/// n-grams that are taken together, so that each function is read once for all of them.
const TOGETHER: usize = 8;

/// The signatures of texts, one after the other: the smallest value of every function over the n-grams of `shingle` words, or
/// the one of all words where a text has fewer. A text without words has the largest values.
pub fn signatures(texts: &[&[u8]], shingle: usize, functions: Functions, out: &mut [u32]) {
    let mut found = Vec::new();
    for (text, signature) in texts.iter().zip(out.chunks_exact_mut(functions.a.len())) {
        found.clear();
        words(text, |word| found.push(word));
        signature.fill(u32::MAX);
        if !found.is_empty() {
            smallest(&found, shingle.min(found.len()), functions, signature);
        }
    }
}

fn smallest(words: &[u64], n: usize, functions: Functions, signature: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    match simd::kind() {
        Kind::Avx512 => return unsafe { by_avx512(words, n, functions, signature) },
        Kind::Avx2 => return unsafe { by_avx2(words, n, functions, signature) },
        Kind::Portable => {}
    }
    by_any(words, n, functions, signature);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
fn by_avx512(words: &[u64], n: usize, functions: Functions, signature: &mut [u32]) {
    by_any(words, n, functions, signature);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn by_avx2(words: &[u64], n: usize, functions: Functions, signature: &mut [u32]) {
    by_any(words, n, functions, signature);
}

#[inline(always)]
fn by_any(words: &[u64], n: usize, functions: Functions, signature: &mut [u32]) {
    let mut grams = words.windows(n).map(gram);
    while let Some(first) = grams.next() {
        let together: [u64; TOGETHER] = std::array::from_fn(|i| if i == 0 { first } else { grams.next().unwrap_or(first) });
        for ((&a, &b), least) in functions.a.iter().zip(functions.b).zip(signature.iter_mut()) {
            let mut low = *least;
            for x in together {
                low = low.min((a.wrapping_mul(x).wrapping_add(b) >> 32) as u32);
            }
            *least = low;
        }
    }
}
