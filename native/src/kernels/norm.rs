//! LayerNorm and RMSNorm, and the gradients of RMSNorm. `linnet/ops/norm.py` has the formulas.
//!
//! ```text
//! x̂ = (x - μ) s        s = 1 / √(mean((x - μ)²) + ε)        y = x̂ ∘ w + b        μ = mean(x), or 0 for RMSNorm
//! ∂x = s (ĝ - x̂ mean(ĝ ∘ x̂)), ĝ = g ∘ w        ∂w = Σ g ∘ x̂        for RMSNorm
//! ```

use super::parallel::{for_each, in_turn, Threads};
use super::simd::{load_n, store_n, Isa, MOST_LANES};
use crate::dispatch;

const NUMBERS: usize = 1 << 13; // of the rows that are one piece of the work
const COLUMNS: usize = 1 << 10; // that are one piece of adding up the pieces' sums

/// x: `count` vectors of d numbers; vector i begins at (i / inner) · outer + (i % inner) · d. y and everything else lies in
/// one piece, and y may be x. weight and bias (d) may be NULL; the mean counts as 0 unless `center`. Where it is not NULL,
/// `scale` (count) is filled with s for the backward pass.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Norm {
    pub count: i64,
    pub d: i64,
    pub inner: i64,
    pub outer: i64,
    pub x: *const f32,
    pub weight: *const f32,
    pub bias: *const f32,
    pub y: *mut f32,
    pub scale: *mut f32,
    pub eps: f32,
    pub center: i32,
}

/// The gradient of y, and room for those of x and of weight, which may be NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NormGradients {
    pub y: *const f32,
    pub x: *mut f32,
    pub weight: *mut f32,
}

/// The block for each n numbers from c on that fill a vector, then for what is left of d: written out twice, so that in the
/// first one the compiler knows that n is a whole vector.
macro_rules! for_lanes {
    ($isa:ident, $d:expr, $c:ident, $n:ident, $block:block) => {{
        let mut $c = 0;
        while $c + $isa::LANES <= $d {
            let $n = $isa::LANES;
            $block
            $c += $isa::LANES;
        }
        if $c < $d {
            let $n = $d - $c;
            $block
        }
    }};
}

// SAFETY: the pieces of the work write to places of their own
unsafe impl Sync for Norm {}
unsafe impl Sync for NormGradients {}

/// Vectors in a piece of the work.
fn rows(d: usize) -> usize {
    (NUMBERS / d).max(1)
}

/// Pieces of `count` vectors of d numbers.
pub fn pieces(count: usize, d: usize) -> usize {
    count.div_ceil(rows(d))
}

impl Norm {
    /// Whether the numbers make sense together.
    pub fn is_sound(&self) -> bool {
        let sizes = [self.count, self.d, self.inner].iter().all(|&n| n > 0 && n < 1 << 40);
        sizes && self.outer >= 0 && !self.x.is_null() && !self.y.is_null()
    }

    pub(super) fn pieces(&self) -> usize {
        pieces(self.count as usize, self.d as usize)
    }

    fn range(&self, piece: usize) -> std::ops::Range<usize> {
        let rows = rows(self.d as usize);
        piece * rows..((piece + 1) * rows).min(self.count as usize)
    }

    unsafe fn row(&self, i: usize) -> *const f32 {
        let (outer, inner) = (i / self.inner as usize, i % self.inner as usize);
        self.x.add(outer * self.outer as usize + inner * self.d as usize)
    }

    /// A piece of the forward pass: four rows at a time, then those that are left.
    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, piece: usize) {
        let mut rows = self.range(piece);
        while rows.len() >= 4 {
            self.some::<M, 4>(rows.start);
            rows.start += 4;
        }
        for i in rows {
            self.some::<M, 1>(i);
        }
    }

    /// A piece of the backward pass: ∂x, added to what is there if `add`, and this piece's part of ∂w and ∂b, in
    /// `sums` (pieces, 2, d) unless that is NULL.
    #[inline(always)]
    pub(super) unsafe fn backward_piece<M: Isa>(&self, g: *const f32, to: *mut f32, sums: *mut f32, add: bool, piece: usize) {
        let d = self.d as usize;
        let own = if sums.is_null() { sums } else { sums.add(2 * d * piece) };
        if !own.is_null() {
            std::ptr::write_bytes(own, 0, 2 * d);
        }
        for i in self.range(piece) {
            let (x, g, to) = (self.row(i), g.add(i * d), to.add(i * d));
            let scale = M::splat(*self.scale.add(i));
            let mut sum = M::splat(0.0);
            if self.center != 0 {
                for_lanes!(M, d, c, n, {
                    sum = M::add(sum, load_n::<M>(x.add(c), n));
                });
            }
            let mean = M::splat(M::total(sum) / d as f32);
            let (mut along, mut total) = (M::splat(0.0), M::splat(0.0)); // Σ ĝ ∘ x̂ and Σ ĝ
            for_lanes!(M, d, c, n, {
                let normed = M::mul(M::sub(load_n::<M>(x.add(c), n), mean), scale);
                let mut ahead = load_n::<M>(g.add(c), n);
                if !self.weight.is_null() {
                    ahead = M::mul(ahead, load_n::<M>(self.weight.add(c), n));
                }
                along = M::fma(ahead, normed, along);
                total = M::add(total, ahead);
            });
            let along = M::splat(M::total(along) / d as f32);
            let total = M::splat(if self.center != 0 { M::total(total) / d as f32 } else { 0.0 });
            for_lanes!(M, d, c, n, {
                let normed = M::mul(M::sub(load_n::<M>(x.add(c), n), mean), scale);
                let g = load_n::<M>(g.add(c), n);
                let ahead = if self.weight.is_null() { g } else { M::mul(g, load_n::<M>(self.weight.add(c), n)) };
                let mut away = M::mul(M::sub(M::sub(ahead, total), M::mul(normed, along)), scale);
                if add {
                    away = M::add(away, load_n::<M>(to.add(c), n));
                }
                store_n::<M>(to.add(c), away, n);
                if !own.is_null() {
                    let (w, b) = (own.add(c), own.add(d + c));
                    store_n::<M>(w, M::fma(g, normed, load_n::<M>(w, n)), n);
                    store_n::<M>(b, M::add(g, load_n::<M>(b, n)), n);
                }
            });
        }
    }

    /// R rows from `first` on.
    #[inline(always)]
    unsafe fn some<M: Isa, const R: usize>(&self, first: usize) {
        let d = self.d as usize;
        let mut x = [self.x; R];
        for r in 0..R {
            x[r] = self.row(first + r);
        }
        let mut mean = [0.0; R];
        if self.center != 0 {
            let mut sums = [M::splat(0.0); R];
            for_lanes!(M, d, c, n, {
                for r in 0..R {
                    sums[r] = M::add(sums[r], load_n::<M>(x[r].add(c), n));
                }
            });
            mean = totals::<M, R>(sums);
            for mean in &mut mean {
                *mean /= d as f32;
            }
        }
        let mut sums = [M::splat(0.0); R];
        for_lanes!(M, d, c, n, {
            for r in 0..R {
                let away = M::sub(load_or::<M>(x[r].add(c), n, mean[r]), M::splat(mean[r]));
                sums[r] = M::fma(away, away, sums[r]);
            }
        });
        let mut scale = totals::<M, R>(sums);
        for r in 0..R {
            scale[r] = 1.0 / (scale[r] / d as f32 + self.eps).sqrt();
            if !self.scale.is_null() {
                *self.scale.add(first + r) = scale[r];
            }
        }
        for_lanes!(M, d, c, n, {
            let weight = if self.weight.is_null() { M::splat(1.0) } else { load_n::<M>(self.weight.add(c), n) };
            let bias = if self.bias.is_null() { M::splat(0.0) } else { load_n::<M>(self.bias.add(c), n) };
            for r in 0..R {
                let normed = M::mul(M::sub(load_n::<M>(x[r].add(c), n), M::splat(mean[r])), M::splat(scale[r]));
                store_n::<M>(self.y.add((first + r) * d + c), M::fma(normed, weight, bias), n);
            }
        });
    }
}

/// # Safety
/// Everything that `task` names can be read, and its y and scale written.
pub unsafe fn forward(task: &Norm, threads: Threads) {
    for_each(threads, task.pieces(), |i| {
        dispatch!(forward_piece(task: &Norm, i: usize));
    });
}

/// The gradients of RMSNorm. Each piece sums its own part of ∂w; these are added up in the order of the pieces, on any
/// number of threads.
///
/// # Safety
/// As for `forward`, whose results stand in `task`; of `gradients`, y can be read and the others written.
pub unsafe fn backward(task: &Norm, gradients: &NormGradients, threads: Threads) {
    let (d, pieces) = (task.d as usize, task.pieces());
    let wanted = !gradients.weight.is_null();
    let mut sums = vec![0.0f32; if wanted { 2 * d * pieces } else { 0 }]; // each piece's ∂w and ∂b
    let start = sums.as_mut_ptr() as usize; // an address, because each thread writes numbers of its own behind it
    let turns = [pieces, if wanted { d.div_ceil(COLUMNS) } else { 0 }];
    in_turn(threads, &turns, |turn, i| {
        let sums = start as *mut f32;
        if turn == 0 {
            let sums = if wanted { sums } else { std::ptr::null_mut() };
            dispatch!(backward_piece(task: &Norm, gradients: &NormGradients, sums: *mut f32, i: usize));
        } else {
            for c in i * COLUMNS..d.min((i + 1) * COLUMNS) {
                *gradients.weight.add(c) = (0..pieces).map(|piece| *sums.add(2 * d * piece + c)).sum();
            }
        }
    });
}

#[inline(always)]
unsafe fn forward_piece<M: Isa>(task: &Norm, i: usize) {
    task.piece::<M>(i);
}

#[inline(always)]
unsafe fn backward_piece<M: Isa>(task: &Norm, gradients: &NormGradients, sums: *mut f32, i: usize) {
    task.backward_piece::<M>(gradients.y, gradients.x, sums, false, i);
}

/// The totals of R vectors, R being 4 or 1.
#[inline(always)]
unsafe fn totals<M: Isa, const R: usize>(x: [M::Vector; R]) -> [f32; R] {
    let mut totals = [0.0; R];
    if R == 4 {
        totals.copy_from_slice(&M::totals([x[0], x[1 % R], x[2 % R], x[3 % R]]));
    } else {
        for r in 0..R {
            totals[r] = M::total(x[r]);
        }
    }
    totals
}

/// n numbers, and `filler` in the lanes beyond.
#[inline(always)]
unsafe fn load_or<M: Isa>(from: *const f32, n: usize, filler: f32) -> M::Vector {
    if n == M::LANES {
        return M::load(from);
    }
    let mut padded = [filler; MOST_LANES];
    std::ptr::copy_nonoverlapping(from, padded.as_mut_ptr(), n);
    M::load(padded.as_ptr())
}
