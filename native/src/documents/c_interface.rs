//! The border to C of documents: its functions of `include/linnet.h`, and nothing else. See `lib.rs`.

use std::slice::{from_raw_parts, from_raw_parts_mut};

use super::blake2b;
use super::close::{Closing, Found, Side, Vocabulary};
use super::cut::cut;
use super::look::look;
use super::minhash::{signatures, Functions};
use super::words::words;
use crate::bpe::encode::Encoder;
use crate::{caught, parts, BAD_ARGUMENT};

/// # Safety
/// `lines` holds n bytes, `mark` n_mark; there is room for n bytes in `texts` and for `n_ends` numbers in `ends`.
#[no_mangle]
pub unsafe extern "C" fn linnet_documents_cut(
    lines: *const u8,
    n: u64,
    mark: *const u8,
    n_mark: u64,
    texts: *mut u8,
    ends: *mut u64,
    n_ends: u64,
) -> i64 {
    if lines.is_null() || mark.is_null() || n_mark == 0 || texts.is_null() || ends.is_null() || n_ends < n / (n_mark + 1) + 2 {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let texts = from_raw_parts_mut(texts, n as usize);
        let ends = from_raw_parts_mut(ends, n_ends as usize);
        cut(from_raw_parts(lines, n as usize), from_raw_parts(mark, n_mark as usize), texts, ends) as i64
    })
}

/// # Safety
/// `ends` holds `n` numbers, `bytes` as many bytes as the last of them says; there is room for what is written.
#[no_mangle]
pub unsafe extern "C" fn linnet_documents_look(
    bytes: *const u8,
    ends: *const u64,
    n: u64,
    fingerprints: *mut u8,
    characters: *mut u64,
    flags: *mut u8,
) -> i64 {
    if bytes.is_null() || ends.is_null() || fingerprints.is_null() || characters.is_null() || flags.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let Some(texts) = parts(bytes, ends, n) else { return BAD_ARGUMENT };
        blake2b::fingerprints(&texts, from_raw_parts_mut(fingerprints.cast::<[u8; 16]>(), texts.len()));
        let characters = from_raw_parts_mut(characters, texts.len());
        let flags = from_raw_parts_mut(flags, texts.len());
        for (number, text) in texts.into_iter().enumerate() {
            (flags[number], characters[number]) = look(text);
        }
        0
    })
}

/// # Safety
/// `ends` holds `n` numbers, `bytes` as many bytes as the last of them says; there is room for what is written.
#[no_mangle]
pub unsafe extern "C" fn linnet_documents_words(
    bytes: *const u8,
    ends: *const u64,
    n: u64,
    hashes: *mut u64,
    word_ends: *mut u64,
) -> i64 {
    if bytes.is_null() || ends.is_null() || hashes.is_null() || word_ends.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let Some(texts) = parts(bytes, ends, n) else { return BAD_ARGUMENT };
        let room = texts.iter().map(|text| text.len().div_ceil(2)).sum();
        let (hashes, word_ends) = (from_raw_parts_mut(hashes, room), from_raw_parts_mut(word_ends, texts.len()));
        let mut found = 0;
        for (text, end) in texts.into_iter().zip(word_ends) {
            words(text, |word| {
                hashes[found] = word;
                found += 1;
            });
            *end = found as u64;
        }
        found as i64
    })
}

/// # Safety
/// `ends` holds `n` numbers, `bytes` as many bytes as the last of them says, `a` and `b` hold `n_hashes` numbers, and there is
/// room for what is written.
#[no_mangle]
pub unsafe extern "C" fn linnet_documents_minhash(
    bytes: *const u8,
    ends: *const u64,
    n: u64,
    shingle: u64,
    a: *const u64,
    b: *const u64,
    n_hashes: u64,
    out: *mut u32,
) -> i64 {
    if bytes.is_null() || ends.is_null() || a.is_null() || b.is_null() || out.is_null() || shingle == 0 || n_hashes == 0 {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let Some(texts) = parts(bytes, ends, n) else { return BAD_ARGUMENT };
        let count = n_hashes as usize;
        let functions = Functions { a: from_raw_parts(a, count), b: from_raw_parts(b, count) };
        signatures(&texts, shingle as usize, functions, from_raw_parts_mut(out, texts.len() * count));
        0
    })
}

/// What `linnet_documents_close` and `linnet_documents_encode` are given alike.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Closed {
    which: *const u8,
    vocabulary: *const u32,
    vocab_size: u64,
    end_id: u32,
    width: u32,
    train: *mut u8,
    validation: *mut u8,
    bytes: *mut u64,
    special: *mut u64,
    counts: *mut u64,
}

impl Closed {
    /// Give each of `n` texts to `work`, which says no where it cannot be taken; the sides have room for `room` ids.
    unsafe fn with<const WIDTH: usize>(self, n: usize, room: usize, work: impl FnOnce(&mut Closing<WIDTH>) -> Option<()>) -> i64 {
        let which = from_raw_parts(self.which, n);
        if which.iter().any(|side| !matches!(side & 3, 1 | 2)) {
            return BAD_ARGUMENT;
        }
        let vocabulary = Vocabulary { bytes: from_raw_parts(self.vocabulary, self.vocab_size as usize), end_id: self.end_id };
        let found = Found { bytes: from_raw_parts_mut(self.bytes, n), special: from_raw_parts_mut(self.special, n) };
        let Some(mut closing) = Closing::new(vocabulary, which, sides(self.train, self.validation, room), found) else {
            return BAD_ARGUMENT;
        };
        let Some(()) = work(&mut closing) else { return BAD_ARGUMENT };
        from_raw_parts_mut(self.counts, 2).copy_from_slice(&closing.counts());
        0
    }

    fn has_null(&self) -> bool {
        let rooms = [self.train, self.validation, self.bytes.cast(), self.special.cast(), self.counts.cast()];
        self.which.is_null() || self.vocabulary.is_null() || rooms.iter().any(|place| place.is_null())
    }
}

/// # Safety
/// `ends` and `which` hold `n` numbers, `ids` as many as the last of the ends says, `vocabulary` `vocab_size`; the sides have room for
/// `n` more than that, `bytes` and `special` for `n`.
#[no_mangle]
pub unsafe extern "C" fn linnet_documents_close(ids: *const u32, ends: *const u64, n: u64, closed: *const Closed) -> i64 {
    if ids.is_null() || ends.is_null() || closed.is_null() || (*closed).has_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let ends = from_raw_parts(ends, n as usize);
        let room = ends.last().copied().unwrap_or(0) as usize;
        let all = from_raw_parts(ids, room);
        let begins = std::iter::once(&0).chain(ends);
        let Some(texts) =
            begins.zip(ends).map(|(&from, &to)| all.get(from as usize..to as usize)).collect::<Option<Vec<&[u32]>>>()
        else {
            return BAD_ARGUMENT;
        };
        let room = room + texts.len();
        match (*closed).width {
            2 => (*closed).with::<2>(texts.len(), room, |closing| texts.iter().try_for_each(|ids| closing.add(ids))),
            4 => (*closed).with::<4>(texts.len(), room, |closing| texts.iter().try_for_each(|ids| closing.add(ids))),
            _ => BAD_ARGUMENT,
        }
    })
}

/// # Safety
/// `encoder` comes from `linnet_encoder_new` and is not freed; `ends` and `which` hold `n` numbers, `bytes` as many bytes as the last of the
/// ends says, `vocabulary` `vocab_size`; the sides have room for `n` more ids than bytes, `lengths`, `bytes` and `special` for `n`.
#[no_mangle]
pub unsafe extern "C" fn linnet_documents_encode(
    encoder: *const Encoder,
    bytes: *const u8,
    ends: *const u64,
    n: u64,
    lengths: *mut u64,
    closed: *const Closed,
) -> i64 {
    let any_null = encoder.is_null() || bytes.is_null() || ends.is_null() || lengths.is_null() || closed.is_null();
    if any_null || (*closed).has_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let Some(texts) = parts(bytes, ends, n) else { return BAD_ARGUMENT };
        let room = texts.iter().map(|text| text.len() + 1).sum();
        let mut lengths = from_raw_parts_mut(lengths, texts.len()).iter_mut();
        let mut note = |ids: &[u32]| lengths.next().map(|length| *length = ids.len() as u64);
        match (*closed).width {
            2 => (*closed).with::<2>(texts.len(), room, |closing| {
                (*encoder).encode_each(&texts, |ids| note(ids).and_then(|()| closing.add(ids)))
            }),
            4 => (*closed).with::<4>(texts.len(), room, |closing| {
                (*encoder).encode_each(&texts, |ids| note(ids).and_then(|()| closing.add(ids)))
            }),
            _ => BAD_ARGUMENT,
        }
    })
}

unsafe fn sides<'a, const WIDTH: usize>(train: *mut u8, validation: *mut u8, room: usize) -> [Side<'a, WIDTH>; 2] {
    [train, validation].map(|side| from_raw_parts_mut(side.cast(), room))
}
