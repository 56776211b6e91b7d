//! The functions of `include/linnet.h` that are fuzzed, declared by hand as a caller in C sees them.

use linnet_native as _; // nothing of it is called by its Rust name; this links it

/// What only the library knows the inside of.
macro_rules! opaque {
    ($($name:ident),+) => { $(#[repr(C)] pub struct $name { _inside: [u8; 0] })+ };
}

opaque!(Counter, Trainer, Encoder, Ids);

/// `linnet_closed`.
#[repr(C)]
pub struct Closed {
    pub which: *const u8,
    pub vocabulary: *const u32,
    pub vocab_size: u64,
    pub end_id: u32,
    pub width: u32,
    pub train: *mut u8,
    pub validation: *mut u8,
    pub bytes: *mut u64,
    pub special: *mut u64,
    pub counts: *mut u64,
}

extern "C" {
    pub fn linnet_chunks(pattern: u32, text: *const u8, n_bytes: u64, ends: *mut u64) -> i64;

    pub fn linnet_counter_new(pattern: u32) -> *mut Counter;
    pub fn linnet_counter_add(counter: *mut Counter, bytes: *const u8, ends: *const u64, n_texts: u64, n_threads: u64) -> i64;
    pub fn linnet_counter_free(counter: *mut Counter);
    pub fn linnet_counter_trainer(counter: *mut Counter) -> *mut Trainer;
    pub fn linnet_trainer_new(bytes: *const u8, ends: *const u64, counts: *const u64, n_chunks: u64) -> *mut Trainer;
    pub fn linnet_trainer_learn(trainer: *mut Trainer, pairs: *mut u32, n_merges: u64) -> i64;
    pub fn linnet_trainer_free(trainer: *mut Trainer);

    pub fn linnet_documents_cut(
        lines: *const u8,
        n: u64,
        mark: *const u8,
        n_mark: u64,
        texts: *mut u8,
        ends: *mut u64,
        n_ends: u64,
    ) -> i64;
    pub fn linnet_documents_look(
        bytes: *const u8,
        ends: *const u64,
        n: u64,
        fingerprints: *mut u8,
        characters: *mut u64,
        flags: *mut u8,
    ) -> i64;
    pub fn linnet_documents_close(ids: *const u32, ends: *const u64, n: u64, closed: *const Closed) -> i64;
    pub fn linnet_documents_encode(
        encoder: *const Encoder,
        bytes: *const u8,
        ends: *const u64,
        n: u64,
        lengths: *mut u64,
        closed: *const Closed,
    ) -> i64;
    pub fn linnet_documents_words(bytes: *const u8, ends: *const u64, n: u64, hashes: *mut u64, word_ends: *mut u64) -> i64;
    pub fn linnet_documents_minhash(
        bytes: *const u8,
        ends: *const u64,
        n: u64,
        shingle: u64,
        a: *const u64,
        b: *const u64,
        n_hashes: u64,
        signatures: *mut u32,
    ) -> i64;

    pub fn linnet_encoder_new(
        pattern: u32,
        bytes: *const u8,
        ends: *const u64,
        n_tokens: u64,
        merges: *const u32,
        n_merges: u64,
        whole: u32,
    ) -> *mut Encoder;
    pub fn linnet_merges_of_ids(bytes: *const u8, ends: *const u64, n_tokens: u64, merges: *mut u32) -> i64;
    pub fn linnet_encoder_free(encoder: *mut Encoder);
    pub fn linnet_encode(encoder: *const Encoder, text: *const u8, n_bytes: u64) -> *mut Ids;
    pub fn linnet_encode_batch(
        encoder: *const Encoder,
        bytes: *const u8,
        ends: *const u64,
        n_texts: u64,
        n_threads: u64,
    ) -> *mut Ids;
    pub fn linnet_encode_texts(
        encoder: *const Encoder,
        texts: *const *const u8,
        sizes: *const u64,
        n_texts: u64,
        n_threads: u64,
    ) -> *mut Ids;
    pub fn linnet_ids_look(ids: *const Ids, n_ids: *mut u64, n_ends: *mut u64, ends: *mut *const u64) -> *const u32;
    pub fn linnet_ids_free(ids: *mut Ids);
}
