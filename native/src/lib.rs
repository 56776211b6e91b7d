//! The border to C: every function of `include/linnet.h`, and nothing else.
//!
//! Each one checks its pointers, turns them into slices, calls the safe code of `learn` or `apply`, and catches
//! panics, because a panic must not unwind into a caller that is not Rust.

pub mod apply;
mod hash;
pub mod learn;

use std::ffi::c_char;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::null_mut;
use std::slice::{from_raw_parts, from_raw_parts_mut};

use apply::Merger;
use learn::Trainer;

const BAD_ARGUMENT: i64 = -1;
const BUG: i64 = -2;

#[no_mangle]
pub extern "C" fn linnet_interface() -> u32 {
    1
}

#[no_mangle]
pub extern "C" fn linnet_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// # Safety
/// `ends` and `weights` hold `n_chunks` numbers, `bytes` as many bytes as the last of `ends` says.
#[no_mangle]
pub unsafe extern "C" fn linnet_trainer_new(
    bytes: *const u8,
    ends: *const u64,
    weights: *const u64,
    n_chunks: u64,
) -> *mut Trainer {
    if bytes.is_null() || ends.is_null() || weights.is_null() {
        return null_mut();
    }
    boxed(|| {
        let (ends, weights) = (from_raw_parts(ends, n_chunks as usize), from_raw_parts(weights, n_chunks as usize));
        let bytes = from_raw_parts(bytes, ends.last().copied().unwrap_or(0) as usize);
        Trainer::new(bytes, ends, weights)
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
/// `byte_ids` holds 256 numbers, `merges` `3 * n_merges`.
#[no_mangle]
pub unsafe extern "C" fn linnet_merger_new(byte_ids: *const u32, merges: *const u32, n_merges: u64) -> *mut Merger {
    if byte_ids.is_null() || merges.is_null() {
        return null_mut();
    }
    boxed(|| Some(Merger::new(from_raw_parts(byte_ids, 256), from_raw_parts(merges, 3 * n_merges as usize))))
}

/// # Safety
/// `merger` comes from `linnet_merger_new` and is not freed; `bytes` holds `n_bytes`, `ids` has room for as many numbers.
#[no_mangle]
pub unsafe extern "C" fn linnet_merger_merge(merger: *const Merger, bytes: *const u8, n_bytes: u64, ids: *mut u32) -> i64 {
    if merger.is_null() || bytes.is_null() || ids.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let merged = (*merger).merge(from_raw_parts(bytes, n_bytes as usize));
        from_raw_parts_mut(ids, n_bytes as usize)[..merged.len()].copy_from_slice(&merged);
        merged.len() as i64
    })
}

/// # Safety
/// `merger` comes from `linnet_merger_new` and is not used again; NULL is allowed.
#[no_mangle]
pub unsafe extern "C" fn linnet_merger_free(merger: *mut Merger) {
    free(merger);
}

/// Run `work`; a panic becomes the code for a bug.
fn caught(work: impl FnOnce() -> i64) -> i64 {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(BUG)
}

/// Make a value on the heap for the caller to keep; NULL where there is none, or a panic.
fn boxed<T>(make: impl FnOnce() -> Option<T>) -> *mut T {
    match catch_unwind(AssertUnwindSafe(make)) {
        Ok(Some(value)) => Box::into_raw(Box::new(value)),
        _ => null_mut(),
    }
}

unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(handle))));
    }
}
