//! The border to C: every function of `include/linnet.h`, and nothing else.
//!
//! Each one checks its pointers, turns them into slices, calls `bpe` or one of the `kernels`, and catches
//! panics, because a panic must not unwind into a caller that is not Rust.

pub mod bpe;
pub mod kernels;

use std::ffi::c_char;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::{null, null_mut};
use std::slice::{from_raw_parts, from_raw_parts_mut};

use bpe::count::{Counted, Counter};
use bpe::encode::Encoder;
use bpe::learn::Trainer;
use bpe::merge::{Merger, Rule};
use bpe::scan::{self, Pattern};
use kernels::attention::{Forward, Gradients};
use kernels::few_rows::FewRows;
use kernels::norm::{Norm, NormGradients};
use kernels::optimizer::{AdamW, Parameter};
use kernels::parallel::Threads;
use kernels::program::{Inputs, Instruction};
use kernels::simd::Kind;
use kernels::{attention, few_rows, gelu, norm, optimizer, program, simd};

const BAD_ARGUMENT: i64 = -1;
const BUG: i64 = -2;

#[no_mangle]
pub extern "C" fn linnet_interface() -> u32 {
    5
}

#[no_mangle]
pub extern "C" fn linnet_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

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

/// Byte strings that lie one after the other. None where the ends descend.
unsafe fn parts<'a>(bytes: *const u8, ends: *const u64, n: u64) -> Option<Vec<&'a [u8]>> {
    let ends = from_raw_parts(ends, n as usize);
    let bytes = from_raw_parts(bytes, ends.last().copied().unwrap_or(0) as usize);
    let begins = std::iter::once(&0).chain(ends);
    begins.zip(ends).map(|(&from, &to)| bytes.get(from as usize..to as usize)).collect()
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

#[no_mangle]
pub extern "C" fn linnet_vectors() -> u32 {
    simd::kind() as u32
}

#[no_mangle]
pub extern "C" fn linnet_limit_vectors(at_most: u32) {
    simd::allow_at_most(match at_most {
        0 => Kind::Portable,
        1 => Kind::Avx2,
        _ => Kind::Avx512,
    });
}

/// # Safety
/// `x` and `y` hold n numbers.
#[no_mangle]
pub unsafe extern "C" fn linnet_gelu_forward(x: *const f32, y: *mut f32, n: u64, threads: *const Threads) -> i64 {
    if x.is_null() || y.is_null() || threads.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        gelu::forward(x, y, n as usize, *threads);
        0
    })
}

/// # Safety
/// `x`, `grad_y` and `grad_x` hold n numbers.
#[no_mangle]
pub unsafe extern "C" fn linnet_gelu_backward(
    x: *const f32,
    grad_y: *const f32,
    grad_x: *mut f32,
    n: u64,
    threads: *const Threads,
) -> i64 {
    if x.is_null() || grad_y.is_null() || grad_x.is_null() || threads.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        gelu::backward(x, grad_y, grad_x, n as usize, *threads);
        0
    })
}

/// # Safety
/// Everything that `task` names can be read, its y and log_sums written.
#[no_mangle]
pub unsafe extern "C" fn linnet_attention_forward(task: *const Forward, threads: *const Threads) -> i64 {
    if task.is_null() || threads.is_null() || !(*task).is_sound() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        attention::forward(&*task, *threads);
        0
    })
}

/// # Safety
/// As for the forward pass, whose results stand in `task`; of `gradients`, y can be read and the others written.
#[no_mangle]
pub unsafe extern "C" fn linnet_attention_backward(
    task: *const Forward,
    gradients: *const Gradients,
    threads: *const Threads,
) -> i64 {
    if task.is_null() || gradients.is_null() || threads.is_null() {
        return BAD_ARGUMENT;
    }
    if !(*task).is_sound() || !(*gradients).is_sound() || (*task).log_sums.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        attention::backward(&*task, &*gradients, *threads);
        0
    })
}

/// # Safety
/// `tasks` holds `n_tasks`; everything that they name can be read, and their y written.
#[no_mangle]
pub unsafe extern "C" fn linnet_few_rows(tasks: *const FewRows, n_tasks: u64, threads: *const Threads) -> i64 {
    if tasks.is_null() || n_tasks == 0 || threads.is_null() {
        return BAD_ARGUMENT;
    }
    let tasks = from_raw_parts(tasks, n_tasks as usize);
    if !tasks.iter().all(|task| task.is_sound() && task.x == tasks[0].x && task.rows == tasks[0].rows && task.d == tasks[0].d) {
        return BAD_ARGUMENT;
    }
    caught(|| {
        few_rows::few_rows(tasks, *threads);
        0
    })
}

/// # Safety
/// `parameters` holds n; their gradients can be read and written, and `norm` written.
#[no_mangle]
pub unsafe extern "C" fn linnet_clip(
    parameters: *const Parameter,
    n: u64,
    at_most: f64,
    norm: *mut f64,
    threads: *const Threads,
) -> i64 {
    if parameters.is_null() || norm.is_null() || threads.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        *norm = optimizer::clip(from_raw_parts(parameters, n as usize), at_most, *threads);
        0
    })
}

/// # Safety
/// `parameters` holds n; everything that they name can be read and, but for the gradients, written.
#[no_mangle]
pub unsafe extern "C" fn linnet_adamw(parameters: *const Parameter, n: u64, how: *const AdamW, threads: *const Threads) -> i64 {
    if parameters.is_null() || how.is_null() || threads.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        optimizer::adamw(from_raw_parts(parameters, n as usize), &*how, *threads);
        0
    })
}

/// # Safety
/// Everything that `task` names can be read, and its y and scale written.
#[no_mangle]
pub unsafe extern "C" fn linnet_norm_forward(task: *const Norm, threads: *const Threads) -> i64 {
    if task.is_null() || threads.is_null() || !(*task).is_sound() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        norm::forward(&*task, *threads);
        0
    })
}

/// # Safety
/// As for the forward pass, whose results stand in `task`; of `gradients`, y can be read and the others written.
#[no_mangle]
pub unsafe extern "C" fn linnet_norm_backward(
    task: *const Norm,
    gradients: *const NormGradients,
    threads: *const Threads,
) -> i64 {
    if task.is_null() || gradients.is_null() || threads.is_null() {
        return BAD_ARGUMENT;
    }
    if !(*task).is_sound() || (*task).scale.is_null() || (*gradients).y.is_null() || (*gradients).x.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        norm::backward(&*task, &*gradients, *threads);
        0
    })
}

#[no_mangle]
pub extern "C" fn linnet_norm_pieces(count: u64, d: u64) -> u64 {
    norm::pieces(count as usize, (d as usize).max(1)) as u64
}

/// # Safety
/// `instructions` holds n; everything that they and `inputs` name can be read, and what they say is written, written.
#[no_mangle]
pub unsafe extern "C" fn linnet_run(
    instructions: *const Instruction,
    n: u64,
    inputs: *const Inputs,
    threads: *const Threads,
) -> i64 {
    if instructions.is_null() || n == 0 || inputs.is_null() || threads.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        let sound = program::run(from_raw_parts(instructions, n as usize), &*inputs, *threads);
        if sound {
            0
        } else {
            BAD_ARGUMENT
        }
    })
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
