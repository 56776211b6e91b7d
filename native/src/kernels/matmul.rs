//! Products of whole matrices over all threads: by large_product.rs, or by a BLAS that the caller brings, which each thread calls
//! for a part of C.

use super::large_product::{multiply, Lying};
use super::parallel::{for_each, Threads};
use super::product::{RowMajor, Strided};
use super::simd::Isa;
use crate::dispatch;

const ROWS: usize = 192; // of C in a piece, about: each lays out B for itself, which takes as long as two rows of it
const FEWEST: usize = 96; // rows in a piece, where its columns can be shared out instead
const COLUMNS: usize = 32; // that stay together: a panel of the widest vectors

/// Fortran's SGEMM.
pub type Sgemm = unsafe extern "C" fn(
    *const u8,
    *const u8,
    *const i32,
    *const i32,
    *const i32,
    *const f32,
    *const f32,
    *const i32,
    *const f32,
    *const i32,
    *const f32,
    *mut f32,
    *const i32,
);

/// C (m, n) = base + A B + bias, where base (m, n), which may be C itself, and bias (n) may be missing.
/// A lies as (m, k), or as (k, m) if `a_turned`; B as (k, n), or (n, k).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Matmul {
    pub m: i64,
    pub n: i64,
    pub k: i64,
    pub a_turned: i32,
    pub b_turned: i32,
    pub a: *const f32,
    pub b: *const f32,
    pub base: *const f32,
    pub bias: *const f32,
    pub c: *mut f32,
}

/// The product; false, and nothing is done, where its numbers make no sense.
///
/// # Safety
/// What the task names can be read, and written.
pub unsafe fn matmul(task: &Matmul, sgemm: Option<Sgemm>, threads: Threads) -> bool {
    if !task.is_sound() {
        return false;
    }
    let (address, count) = (task as *const Matmul as usize, (threads.count as usize).max(1));
    for_each(threads, task.pieces(count), |i| {
        let task = &*(address as *const Matmul);
        dispatch!(piece(task: &Matmul, sgemm: Option<Sgemm>, i: usize, count: usize));
    });
    true
}

#[inline(always)]
unsafe fn piece<M: Isa>(task: &Matmul, sgemm: Option<Sgemm>, i: usize, threads: usize) {
    task.piece::<M>(sgemm, i, threads);
}

#[allow(clippy::missing_safety_doc)] // as of `matmul`
impl Matmul {
    pub fn is_sound(&self) -> bool {
        let sizes = [self.m, self.n, self.k].iter().all(|&n| n > 0 && n < 1 << 31);
        sizes && !self.a.is_null() && !self.b.is_null() && !self.c.is_null()
    }

    /// C in (rows, columns) parts, of which each is a piece: as many as can be shared out evenly.
    fn parts(&self, threads: usize) -> (usize, usize) {
        let (m, n) = (self.m as usize, self.n as usize);
        let rows = (m / ROWS).max(1).next_multiple_of(threads);
        if m / rows >= FEWEST {
            return (rows, 1);
        }
        let rows = (m / ROWS).max(1);
        (rows, threads.div_ceil(rows).min(n.div_ceil(COLUMNS)))
    }

    pub fn pieces(&self, threads: usize) -> usize {
        let (rows, columns) = self.parts(threads);
        rows * columns
    }

    #[inline(always)]
    pub unsafe fn piece<M: Isa>(&self, sgemm: Option<Sgemm>, piece: usize, threads: usize) {
        let (m, n) = (self.m as usize, self.n as usize);
        let (rows, columns) = self.parts(threads);
        let (row, column) = (piece / columns, piece % columns);
        let (top, bottom) = (row * m / rows, (row + 1) * m / rows);
        let panels = n.div_ceil(COLUMNS);
        let (left, right) = (column * panels / columns * COLUMNS, n.min((column + 1) * panels / columns * COLUMNS));
        self.part::<M>(sgemm, top, bottom - top, left, right - left);
    }

    #[inline(always)]
    unsafe fn part<M: Isa>(&self, sgemm: Option<Sgemm>, top: usize, m: usize, left: usize, n: usize) {
        let (down, k) = (self.n as usize, self.k as usize);
        let c = RowMajor { start: self.c.add(top * down + left), down };
        let add = self.begin(top, m, left, n);
        let a = self.a.add(if self.a_turned != 0 { top } else { top * k });
        let b = self.b.add(if self.b_turned != 0 { left * k } else { left });
        let (a_down, b_down) = (if self.a_turned != 0 { self.m as usize } else { k }, if self.b_turned != 0 { k } else { down });
        let Some(sgemm) = sgemm else {
            let a = if self.a_turned != 0 {
                Strided { start: a, down: 1, across: a_down }
            } else {
                Strided { start: a, down: a_down, across: 1 }
            };
            let b = Lying { start: b, down: b_down, turned: self.b_turned != 0 };
            return multiply::<M>(m, n, k, a, b, c, add);
        };
        // its matrices lie column by column: C turned is B turned times A turned
        let turned = |yes: i32| if yes != 0 { b"T" } else { b"N" };
        let (of_b, of_a) = (turned(self.b_turned).as_ptr(), turned(self.a_turned).as_ptr());
        let [m, n, k, a_down, b_down, down] = [m, n, k, a_down, b_down, down].map(|n| n as i32);
        let (one, keep) = (1.0f32, add as u32 as f32);
        sgemm(of_b, of_a, &n, &m, &k, &one, b, &b_down, a, &a_down, &keep, c.start, &down);
    }

    /// What a part of C has before the product is added; false: nothing.
    unsafe fn begin(&self, top: usize, m: usize, left: usize, n: usize) -> bool {
        if self.bias.is_null() && (self.base.is_null() || self.base == self.c) {
            return !self.base.is_null();
        }
        for r in top..top + m {
            let at = r * self.n as usize + left;
            for i in 0..n {
                let base = if self.base.is_null() { 0.0 } else { *self.base.add(at + i) };
                let bias = if self.bias.is_null() { 0.0 } else { *self.bias.add(left + i) };
                *self.c.add(at + i) = base + bias;
            }
        }
        true
    }
}
