//! The border to C: the functions of `include/linnet.h`, and nothing else; those of byte-pair encoding and of documents
//! are in `bpe/c_interface.rs` and `documents/c_interface.rs`.
//!
//! Each one checks its pointers, turns them into slices, calls `bpe` or one of the `kernels`, and catches
//! panics, because a panic must not unwind into a caller that is not Rust.

pub mod bpe;
pub mod documents;
pub mod kernels;

use std::ffi::c_char;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::null_mut;
use std::slice::from_raw_parts;

use kernels::attention::{Forward, Gradients};
use kernels::cross_entropy::CrossEntropy;
use kernels::few_rows::FewRows;
use kernels::matmul::{Matmul, Sgemm};
use kernels::norm::{Norm, NormGradients};
use kernels::optimizer::{AdamW, Parameter};
use kernels::parallel::Threads;
use kernels::program::{Inputs, Instruction};
use kernels::scan::{Scan, ScanGradients};
use kernels::simd::Kind;
use kernels::{attention, cross_entropy, few_rows, gelu, large_product, matmul, norm, optimizer, program, scan, simd};

const BAD_ARGUMENT: i64 = -1; // LINNET_BAD_ARGUMENT
const BUG: i64 = -2; // LINNET_BUG

#[no_mangle]
pub extern "C" fn linnet_interface() -> u32 {
    13
}

#[no_mangle]
pub extern "C" fn linnet_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

#[no_mangle]
pub extern "C" fn linnet_vectors() -> u32 {
    simd::kind() as u32
}

#[no_mangle]
pub extern "C" fn linnet_products_pay() -> u32 {
    large_product::pays() as u32
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
/// What the task names can be read, and written.
#[no_mangle]
pub unsafe extern "C" fn linnet_matmul_run(task: *const Matmul, sgemm: Option<Sgemm>, threads: *const Threads) -> i64 {
    if task.is_null() || threads.is_null() {
        return BAD_ARGUMENT;
    }
    caught(|| if matmul::matmul(&*task, sgemm, *threads) { 0 } else { BAD_ARGUMENT })
}

/// # Safety
/// What the task names can be read, and written.
#[no_mangle]
pub unsafe extern "C" fn linnet_cross_entropy(task: *const CrossEntropy, threads: *const Threads) -> i64 {
    if task.is_null() || threads.is_null() || !(*task).is_sound() {
        return BAD_ARGUMENT;
    }
    caught(|| if cross_entropy::cross_entropy(&*task, *threads) { 0 } else { BAD_ARGUMENT })
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
/// Everything that `task` names can be read, its y, last and kept written.
#[no_mangle]
pub unsafe extern "C" fn linnet_scan_forward(task: *const Scan, threads: *const Threads) -> i64 {
    if task.is_null() || threads.is_null() || !(*task).is_sound() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        scan::forward(&*task, *threads);
        0
    })
}

/// # Safety
/// As for the forward pass, whose `kept` stands in `task`; of `gradients`, y and last can be read and the others written.
#[no_mangle]
pub unsafe extern "C" fn linnet_scan_backward(
    task: *const Scan,
    gradients: *const ScanGradients,
    threads: *const Threads,
) -> i64 {
    if task.is_null() || gradients.is_null() || threads.is_null() {
        return BAD_ARGUMENT;
    }
    if !(*task).is_sound() || (*task).kept.is_null() || !(*gradients).is_sound() {
        return BAD_ARGUMENT;
    }
    caught(|| {
        scan::backward(&*task, &*gradients, *threads);
        0
    })
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

/// Byte strings that lie one after the other. None where the ends descend.
unsafe fn parts<'a>(bytes: *const u8, ends: *const u64, n: u64) -> Option<Vec<&'a [u8]>> {
    let ends = from_raw_parts(ends, n as usize);
    let bytes = from_raw_parts(bytes, ends.last().copied().unwrap_or(0) as usize);
    let begins = std::iter::once(&0).chain(ends);
    begins.zip(ends).map(|(&from, &to)| bytes.get(from as usize..to as usize)).collect()
}
