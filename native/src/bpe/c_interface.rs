//! The border to C of byte-pair encoding: its functions of `include/linnet.h`, and nothing else. See `lib.rs`.

use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::{null, null_mut};
use std::slice::{from_raw_parts, from_raw_parts_mut};

use super::count::{Counted, Counter};
use super::encode::Encoder;
use super::learn::Trainer;
use super::list::{list, places, Python};
use super::merge::{Merger, Rule};
use super::scan::{self, Pattern};
use crate::{boxed, caught, free, parts, BAD_ARGUMENT};

#[no_mangle]
pub extern "C" fn linnet_counter_new(pattern: u32) -> *mut Counter {
    boxed(|| Some(Counter::new(Pattern::numbered(pattern)?)))
}

/// # Safety
/// `counter` comes from `linnet_counter_new` and is not freed; `ends` holds `n_texts` numbers, `bytes` as many bytes as the last says.
#[no_mangle]
pub unsafe extern "C" fn linnet_counter_add(
    counter: *mut Counter,
    bytes: *const u8,
    ends: *const u64,
    n_texts: u64,
    n_threads: u64,
) -> i64 {
    if counter.is_null() || bytes.is_null() || ends.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| match parts(bytes, ends, n_texts) {
        Some(texts) => {
            (*counter).add(&texts, n_threads as usize);
            0
        }
        None => BAD_ARGUMENT,
    })
}

/// # Safety
/// `counter` comes from `linnet_counter_new` and is not freed.
#[no_mangle]
pub unsafe extern "C" fn linnet_counter_trainer(counter: *mut Counter) -> *mut Trainer {
    if counter.is_null() {
        return null_mut();
    }
    boxed(|| Trainer::new(&(*counter).finish()))
}

/// # Safety
/// `counter` comes from `linnet_counter_new` and is not used again; NULL is allowed.
#[no_mangle]
pub unsafe extern "C" fn linnet_counter_free(counter: *mut Counter) {
    free(counter);
}

/// # Safety
/// `ends` and `counts` hold `n_chunks` numbers, `bytes` as many bytes as the last of `ends` says.
#[no_mangle]
pub unsafe extern "C" fn linnet_trainer_new(
    bytes: *const u8,
    ends: *const u64,
    counts: *const u64,
    n_chunks: u64,
) -> *mut Trainer {
    if bytes.is_null() || ends.is_null() || counts.is_null() {
        return null_mut();
    }
    boxed(|| {
        let chunks = parts(bytes, ends, n_chunks)?;
        let counts = from_raw_parts(counts, n_chunks as usize);
        Trainer::new(&Counted {
            bytes: chunks.concat(),
            ends: from_raw_parts(ends, n_chunks as usize).to_vec(),
            counts: counts.to_vec(),
        })
    })
}

/// # Safety
/// `trainer` comes from `linnet_trainer_new` and is not freed; `pairs` has room for `2 * n_merges` numbers.
#[no_mangle]
pub unsafe extern "C" fn linnet_trainer_learn(trainer: *mut Trainer, pairs: *mut u32, n_merges: u64) -> i64 {
    if trainer.is_null() || pairs.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let room = from_raw_parts_mut(pairs, 2 * n_merges as usize);
        let mut learned = 0;
        while learned < n_merges as usize {
            let Some((a, b)) = (*trainer).learn_one() else { break };
            room[2 * learned] = a;
            room[2 * learned + 1] = b;
            learned += 1;
        }
        learned as i64
    })
}

/// # Safety
/// `trainer` comes from `linnet_trainer_new` and is not used again; NULL is allowed.
#[no_mangle]
pub unsafe extern "C" fn linnet_trainer_free(trainer: *mut Trainer) {
    free(trainer);
}

/// # Safety
/// `ends` holds `n_tokens` numbers, `bytes` as many bytes as the last of them says; `merges` holds `3 * n_merges` or is NULL.
#[no_mangle]
pub unsafe extern "C" fn linnet_encoder_new(
    pattern: u32,
    bytes: *const u8,
    ends: *const u64,
    n_tokens: u64,
    merges: *const u32,
    n_merges: u64,
    whole: u32,
) -> *mut Encoder {
    if bytes.is_null() || ends.is_null() {
        return null_mut();
    }
    boxed(|| {
        let tokens = parts(bytes, ends, n_tokens)?;
        let rule = match merges.cast::<[u32; 3]>() {
            none if none.is_null() => Rule::Ids,
            some => Rule::Merges(from_raw_parts(some, n_merges as usize)),
        };
        Some(Encoder::new(Pattern::numbered(pattern)?, Merger::new(&tokens, rule, whole != 0)?))
    })
}

/// # Safety
/// `ends` holds `n_tokens` numbers, `bytes` as many bytes as the last of them says; `merges` has room for `3 * n_tokens`.
#[no_mangle]
pub unsafe extern "C" fn linnet_merges_of_ids(bytes: *const u8, ends: *const u64, n_tokens: u64, merges: *mut u32) -> i64 {
    if bytes.is_null() || ends.is_null() || merges.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let Some(merger) = parts(bytes, ends, n_tokens).and_then(|tokens| Merger::new(&tokens, Rule::Ids, false)) else {
            return BAD_ARGUMENT;
        };
        let found = merger.merges();
        from_raw_parts_mut(merges.cast::<[u32; 3]>(), n_tokens as usize)[..found.len()].copy_from_slice(&found);
        found.len() as i64
    })
}

/// # Safety
/// `encoder` comes from `linnet_encoder_new` and is not freed; `text` holds `n_bytes`.
#[no_mangle]
pub unsafe extern "C" fn linnet_encode(encoder: *const Encoder, text: *const u8, n_bytes: u64) -> *mut Ids {
    if encoder.is_null() || text.is_null() {
        return null_mut();
    }
    boxed(|| Some(Ids { ids: (*encoder).encode(from_raw_parts(text, n_bytes as usize)), ends: Vec::new() }))
}

/// # Safety
/// `encoder` comes from `linnet_encoder_new` and is not freed; `ends` holds `n_texts` numbers, `bytes` as many bytes as the last says.
#[no_mangle]
pub unsafe extern "C" fn linnet_encode_batch(
    encoder: *const Encoder,
    bytes: *const u8,
    ends: *const u64,
    n_texts: u64,
    n_threads: u64,
) -> *mut Ids {
    if encoder.is_null() || bytes.is_null() || ends.is_null() {
        return null_mut();
    }
    boxed(|| {
        let (ids, ends) = (*encoder).encode_batch(&parts(bytes, ends, n_texts)?, n_threads as usize);
        Some(Ids { ids, ends })
    })
}

/// # Safety
/// `encoder` comes from `linnet_encoder_new` and is not freed; `texts` and `sizes` hold `n_texts`, each text as many bytes as its size says.
#[no_mangle]
pub unsafe extern "C" fn linnet_encode_texts(
    encoder: *const Encoder,
    texts: *const *const u8,
    sizes: *const u64,
    n_texts: u64,
    n_threads: u64,
) -> *mut Ids {
    if encoder.is_null() || texts.is_null() || sizes.is_null() {
        return null_mut();
    }
    boxed(|| {
        let (texts, sizes) = (from_raw_parts(texts, n_texts as usize), from_raw_parts(sizes, n_texts as usize));
        let text = |(&at, &size): (&*const u8, &u64)| (!at.is_null()).then(|| from_raw_parts(at, size as usize));
        let texts: Vec<&[u8]> = texts.iter().zip(sizes).map(text).collect::<Option<_>>()?;
        let (ids, ends) = (*encoder).encode_batch(&texts, n_threads as usize);
        Some(Ids { ids, ends })
    })
}

/// # Safety
/// `encoder` comes from `linnet_encoder_new` and is not used again; NULL is allowed.
#[no_mangle]
pub unsafe extern "C" fn linnet_encoder_free(encoder: *mut Encoder) {
    free(encoder);
}

/// Ids, and where those of each text end, for the caller to look at.
pub struct Ids {
    ids: Vec<u32>,
    ends: Vec<u64>,
}

/// # Safety
/// `text` holds `n_bytes`, `ends` has room for as many numbers.
#[no_mangle]
pub unsafe extern "C" fn linnet_chunks(pattern: u32, text: *const u8, n_bytes: u64, ends: *mut u64) -> i64 {
    let Some(pattern) = Pattern::numbered(pattern) else { return BAD_ARGUMENT };
    if text.is_null() || ends.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let (mut n, mut end) = (0, 0);
        scan::chunks(from_raw_parts(text, n_bytes as usize), pattern, |chunk| {
            end += chunk.len() as u64;
            *ends.add(n) = end;
            n += 1;
        });
        n as i64
    })
}

/// # Safety
/// `ids` comes from a function of this library and is not freed.
#[no_mangle]
pub unsafe extern "C" fn linnet_ids_look(
    ids: *const Ids,
    n_ids: *mut u64,
    n_ends: *mut u64,
    ends: *mut *const u64,
) -> *const u32 {
    if ids.is_null() || n_ids.is_null() || n_ends.is_null() || ends.is_null() {
        return null();
    }
    *n_ids = (*ids).ids.len() as u64;
    *n_ends = (*ids).ends.len() as u64;
    *ends = (*ids).ends.as_ptr();
    (*ids).ids.as_ptr()
}

/// # Safety
/// `ids` comes from a function of this library and is not used again; NULL is allowed.
#[no_mangle]
pub unsafe extern "C" fn linnet_ids_free(ids: *mut Ids) {
    free(ids);
}

/// # Safety
/// The calling thread holds Python's lock; `ids` holds n numbers, `numbers` as many of Python's objects as it says, and `python` its functions.
#[no_mangle]
pub unsafe extern "C" fn linnet_python_list(
    ids: *const u32,
    n: u64,
    numbers: *const *mut c_void,
    n_numbers: u64,
    python: *const Python,
) -> *mut c_void {
    if ids.is_null() || numbers.is_null() || python.is_null() {
        return null_mut();
    }
    let work = || list(from_raw_parts(ids, n as usize), from_raw_parts(numbers, n_numbers as usize), *python);
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(null_mut())
}

/// # Safety
/// The calling thread holds Python's lock; `list` is a list of Python's of at least n items, `texts` and `sizes` have room for n, and `python`
/// holds Python's functions.
#[no_mangle]
pub unsafe extern "C" fn linnet_python_texts(
    list: *mut c_void,
    n: u64,
    texts: *mut *const u8,
    sizes: *mut u64,
    python: *const Python,
) -> i64 {
    if list.is_null() || texts.is_null() || sizes.is_null() || python.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let (texts, sizes) = (from_raw_parts_mut(texts, n as usize), from_raw_parts_mut(sizes, n as usize));
        places(list, texts, sizes, *python).map_or(BAD_ARGUMENT, |()| 0)
    })
}
