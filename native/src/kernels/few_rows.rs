//! y = x Wᵀ + b for a few rows of x: decoding, where the time is that of reading W once. `linnet/ops/linear.py` calls it.
//!
//! A few rows of W meet a few rows of x: sums run delta both, and the first level of the cache holds those rows of W until
//! all of x has met them; each pass of these asks the memory for one of the next rows.

use super::parallel::{for_each, locate, Threads};
use super::simd::Isa;
use crate::dispatch;

const MOST: usize = 32; // rows of x
const PIECE: usize = 16; // rows of W

/// x (rows, d), w (f, d), bias (f) or NULL → y (rows, f); all lie in one piece.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FewRows {
    pub rows: i64,
    pub d: i64,
    pub f: i64,
    pub x: *const f32,
    pub w: *const f32,
    pub bias: *const f32,
    pub y: *mut f32,
}

// SAFETY: the pieces of the work write to places of their own
unsafe impl Sync for FewRows {}

impl FewRows {
    /// Whether the numbers make sense together.
    pub fn is_sound(&self) -> bool {
        let pointers = !self.x.is_null() && !self.w.is_null() && !self.y.is_null();
        pointers && self.rows > 0 && self.rows as usize <= MOST && self.d > 0 && self.f > 0
    }

    pub(super) fn pieces(&self) -> usize {
        (self.f as usize).div_ceil(PIECE)
    }

    /// Piece i: some rows of W with all rows of x.
    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, i: usize) {
        some_rows::<M>(self, i * PIECE, (self.f as usize).min((i + 1) * PIECE));
    }
}

/// Every task with the same x.
///
/// # Safety
/// Everything that the tasks name can be read, and their y written.
pub unsafe fn few_rows(tasks: &[FewRows], threads: Threads) {
    let pieces = tasks.iter().map(FewRows::pieces).sum();
    for_each(threads, pieces, |i| {
        let (which, from, to) = locate(tasks.iter().map(|task| task.f as usize), PIECE, i);
        let task = &tasks[which];
        dispatch!(some_rows(task: &FewRows, from: usize, to: usize));
    });
}

/// Rows from .. to of W with all rows of x.
#[inline(always)]
unsafe fn some_rows<M: Isa>(task: &FewRows, from: usize, to: usize) {
    let rows = task.rows as usize;
    let mut i = from;
    while i < to {
        let four = i + 4 <= to;
        let mut r = 0;
        while r < rows {
            match (four, r + 4 <= rows) {
                (true, true) => dots::<M, 4, 4>(task, i, r),
                (true, false) => dots::<M, 4, 1>(task, i, r),
                (false, true) => dots::<M, 1, 4>(task, i, r),
                (false, false) => dots::<M, 1, 1>(task, i, r),
            }
            r += if r + 4 <= rows { 4 } else { 1 };
        }
        i += if four { 4 } else { 1 };
    }
}

/// F rows of W from `first_w` on with R rows of x from `first_x` on: dot products, where `product::tile` spreads numbers.
/// Each four rows of x that pass by ask for one of the F rows of W that come next.
#[inline(always)]
unsafe fn dots<M: Isa, const F: usize, const R: usize>(task: &FewRows, first_w: usize, first_x: usize) {
    let d = task.d as usize;
    let (w, x) = (task.w.add(first_w * d), task.x.add(first_x * d));
    let mut sums = [[M::splat(0.0); R]; F];
    let mut c = 0;
    while c + M::LANES <= d {
        let row: [M::Vector; R] = std::array::from_fn(|r| M::load(x.add(r * d + c)));
        M::prefetch(w.wrapping_add((F + first_x / 4 % F) * d + c));
        for f in 0..F {
            let numbers = M::load(w.add(f * d + c));
            for r in 0..R {
                sums[f][r] = M::fma(numbers, row[r], sums[f][r]);
            }
        }
        c += M::LANES;
    }
    let bias = |f: usize| if task.bias.is_null() { 0.0 } else { *task.bias.add(first_w + f) };
    let rest = |f: usize, r: usize| (c..d).map(|c| *w.add(f * d + c) * *x.add(r * d + c)).sum::<f32>();
    for r in 0..R {
        let y = task.y.add((first_x + r) * task.f as usize + first_w);
        if F == 4 {
            let totals = M::totals(std::array::from_fn(|f| sums[f % F][r]));
            for f in 0..4 {
                *y.add(f) = totals[f] + rest(f, r) + bias(f);
            }
        } else {
            for f in 0..F {
                *y.add(f) = M::total(sums[f][r]) + rest(f, r) + bias(f);
            }
        }
    }
}
