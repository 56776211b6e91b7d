//! GELU in its tanh form, and its derivative: one pass over the numbers each. `linnet/ops/activation.py` has the formula.
//!
//! ```text
//! y = x σ(z)        z = a x + b x³        y' = σ + 3 σ (1 - σ) (z - ⅔ a x)
//! ```

use super::parallel::{for_each, Threads, PIECE};
use super::simd::{exp, load_some, store_some, Isa};
use crate::dispatch;

const A: f32 = 1.595_769; // 2 √(2/π)
const B: f32 = 0.044_715 * A;

/// x → y, n numbers.
///
/// # Safety
/// `x` and `y` hold n numbers.
pub unsafe fn forward(x: *const f32, y: *mut f32, n: usize, threads: Threads) {
    let (x, y) = (x as usize, y as usize);
    for_each(threads, n.div_ceil(PIECE), |i| {
        let (from, count) = (i * PIECE, PIECE.min(n - i * PIECE));
        let (x, y) = ((x as *const f32).add(from), (y as *mut f32).add(from));
        dispatch!(forward_piece(x: *const f32, y: *mut f32, count: usize));
    });
}

/// x and ∂y → ∂x, n numbers.
///
/// # Safety
/// `x`, `grad_y` and `grad_x` hold n numbers.
pub unsafe fn backward(x: *const f32, grad_y: *const f32, grad_x: *mut f32, n: usize, threads: Threads) {
    let (x, grad_y, grad_x) = (x as usize, grad_y as usize, grad_x as usize);
    for_each(threads, n.div_ceil(PIECE), |i| {
        let (from, count) = (i * PIECE, PIECE.min(n - i * PIECE));
        let x = (x as *const f32).add(from);
        let (grad_y, grad_x) = ((grad_y as *const f32).add(from), (grad_x as *mut f32).add(from));
        dispatch!(backward_piece(x: *const f32, grad_y: *const f32, grad_x: *mut f32, count: usize));
    });
}

#[inline(always)]
unsafe fn forward_piece<M: Isa>(x: *const f32, y: *mut f32, n: usize) {
    let mut i = 0;
    while i + M::LANES <= n {
        M::store(y.add(i), value::<M>(M::load(x.add(i))));
        i += M::LANES;
    }
    if i < n {
        store_some::<M>(y.add(i), value::<M>(load_some::<M>(x.add(i), n - i)), n - i);
    }
}

#[inline(always)]
unsafe fn backward_piece<M: Isa>(x: *const f32, grad_y: *const f32, grad_x: *mut f32, n: usize) {
    let mut i = 0;
    while i + M::LANES <= n {
        let slope = slope::<M>(M::load(x.add(i)));
        M::store(grad_x.add(i), M::mul(M::load(grad_y.add(i)), slope));
        i += M::LANES;
    }
    if i < n {
        let slope = slope::<M>(load_some::<M>(x.add(i), n - i));
        store_some::<M>(grad_x.add(i), M::mul(load_some::<M>(grad_y.add(i), n - i), slope), n - i);
    }
}

/// e^-z, for x within ±30.
#[inline(always)]
unsafe fn exp_minus_z<M: Isa>(x: M::Vector) -> M::Vector {
    exp::<M>(M::mul(x, M::fma(M::mul(x, x), M::splat(-B), M::splat(-A))))
}

/// In float32 GELU is 0 below -30 and x above 30: z is taken within, so that nothing overflows. NaN stays NaN.
#[inline(always)]
pub(super) unsafe fn value<M: Isa>(x: M::Vector) -> M::Vector {
    let x = M::max(M::splat(-30.0), x);
    let e = exp_minus_z::<M>(M::min(M::splat(30.0), x));
    M::div(x, M::add(M::splat(1.0), e))
}

#[inline(always)]
pub(super) unsafe fn slope<M: Isa>(x: M::Vector) -> M::Vector {
    let x = M::min(M::splat(30.0), M::max(M::splat(-30.0), x));
    let (one, e) = (M::splat(1.0), exp_minus_z::<M>(x));
    let sigmoid = M::div(one, M::add(one, e));
    let inner = M::mul(x, M::fma(M::mul(x, x), M::splat(3.0 * B), M::splat(A))); // 3 (z - ⅔ a x)
    M::mul(sigmoid, M::fma(inner, M::mul(e, sigmoid), one)) // e σ = 1 - σ, without its cancellation
}
