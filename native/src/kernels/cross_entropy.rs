//! Cross entropy of rows of scores with their targets, and its gradient in their place. `linnet/ops/loss.py` has the formula.
//!
//! ```text
//! loss = w (log Σ_v exp(s_v - m) + m - s_y)        ∂s_v = w (exp(s_v - m) / Σ - [v = y])        m = max_v s_v
//! ```
//!
//! A row is read three times, but from memory only once: it stays in the core's own caches meanwhile.

use super::parallel::{for_each, Threads};
use super::simd::{exp, load_n, store_n, Isa, MOST_LANES};
use crate::dispatch;

const TOGETHER: usize = 1024; // numbers that are summed in float32; their sums are summed in float64
const NUMBERS: usize = 1 << 14; // in the rows of a piece, about

/// Scores (n, vocab) of n rows; what is known of each; where its loss goes. With `gradient`, that takes the place of the scores.
#[repr(C)]
pub struct CrossEntropy {
    pub rows: i64,
    pub vocab: i64,
    pub scores: *mut f32,
    pub targets: *const i64,
    pub weights: *const f32,
    pub losses: *mut f32,
    pub gradient: i32,
}

impl CrossEntropy {
    /// Whether the numbers of the task make sense together.
    pub fn is_sound(&self) -> bool {
        let pointers = [self.scores.cast_const(), self.weights, self.losses.cast_const()];
        self.rows >= 0 && self.vocab > 0 && !self.targets.is_null() && pointers.iter().all(|p| !p.is_null())
    }
}

/// All rows; false, and nothing is done, where a target is none of the vocabulary.
///
/// # Safety
/// What the task names can be read, and written.
pub unsafe fn cross_entropy(task: &CrossEntropy, threads: Threads) -> bool {
    let (rows, vocab) = (task.rows as usize, task.vocab as usize);
    if !(0..rows).all(|r| (0..task.vocab).contains(&*task.targets.add(r))) {
        return false;
    }
    let together = (NUMBERS / vocab).max(1);
    let address = task as *const CrossEntropy as usize;
    for_each(threads, rows.div_ceil(together), |i| {
        let task = &*(address as *const CrossEntropy);
        for r in i * together..rows.min((i + 1) * together) {
            dispatch!(row(task: &CrossEntropy, r: usize));
        }
    });
    true
}

#[inline(always)]
unsafe fn row<M: Isa>(task: &CrossEntropy, r: usize) {
    let n = task.vocab as usize;
    let (scores, weight) = (task.scores.add(r * n), *task.weights.add(r));
    let right = scores.add(*task.targets.add(r) as usize);
    let most = largest::<M>(scores, n);
    let below = *right - most;
    let mut total = 0.0f64;
    for first in (0..n).step_by(TOGETHER) {
        let mut sum = M::splat(0.0);
        let last = n.min(first + TOGETHER);
        let mut i = first;
        while i + M::LANES <= last {
            let e = exp::<M>(M::sub(M::load(scores.add(i)), M::splat(most)));
            if task.gradient != 0 {
                M::store(scores.add(i), e);
            }
            sum = M::add(sum, e);
            i += M::LANES;
        }
        total += M::total(sum) as f64;
        if i < last {
            let mut some = [0.0; MOST_LANES];
            M::store(some.as_mut_ptr(), exp::<M>(M::sub(load_n::<M>(scores.add(i), last - i), M::splat(most))));
            for (j, e) in some[..last - i].iter().enumerate() {
                if task.gradient != 0 {
                    *scores.add(i + j) = *e;
                }
                total += *e as f64;
            }
        }
    }
    *task.losses.add(r) = (weight as f64 * (total.ln() - below as f64)) as f32;
    if task.gradient != 0 {
        let scale = M::splat((weight as f64 / total) as f32);
        for i in (0..n).step_by(M::LANES) {
            let count = M::LANES.min(n - i);
            store_n::<M>(scores.add(i), M::mul(load_n::<M>(scores.add(i), count), scale), count);
        }
        *right -= weight;
    }
}

#[inline(always)]
unsafe fn largest<M: Isa>(x: *const f32, n: usize) -> f32 {
    let mut most = [M::splat(f32::NEG_INFINITY); 4];
    let mut i = 0;
    while i + 4 * M::LANES <= n {
        for w in 0..4 {
            most[w] = M::max(M::load(x.add(i + w * M::LANES)), most[w]);
        }
        i += 4 * M::LANES;
    }
    let mut lanes = [0.0; MOST_LANES];
    M::store(lanes.as_mut_ptr(), M::max(M::max(most[0], most[1]), M::max(most[2], most[3])));
    let seen = lanes[..M::LANES].iter().copied().chain((i..n).map(|i| *x.add(i)));
    seen.fold(f32::NEG_INFINITY, f32::max)
}
