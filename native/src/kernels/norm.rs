//! LayerNorm and RMSNorm of one vector. `linnet/ops/norm.py` and `linnet/model/norm.py` have the formulas.

use super::simd::{load_some, store_some, Isa, MOST_LANES};

/// y = (x - μ) / √(mean((x - μ)²) + ε) · w + b over d numbers. μ is the mean, or 0 where nothing is to be centered; w and b
/// may be NULL, and y may be x.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn norm_row<M: Isa>(
    x: *const f32,
    weight: *const f32,
    bias: *const f32,
    y: *mut f32,
    d: usize,
    eps: f32,
    center: bool,
) {
    let mean = if center { sum::<M>(x, d, 0.0, |x| x) / d as f32 } else { 0.0 };
    let square = |x| {
        let away = M::sub(x, M::splat(mean));
        M::mul(away, away)
    };
    let scale = 1.0 / (sum::<M>(x, d, mean, square) / d as f32 + eps).sqrt();
    let mut i = 0;
    while i < d {
        let n = M::LANES.min(d - i);
        let load = |from: *const f32| if n == M::LANES { M::load(from.add(i)) } else { load_some::<M>(from.add(i), n) };
        let mut numbers = M::mul(M::sub(load(x), M::splat(mean)), M::splat(scale));
        if !weight.is_null() {
            numbers = M::mul(numbers, load(weight));
        }
        if !bias.is_null() {
            numbers = M::add(numbers, load(bias));
        }
        if n == M::LANES {
            M::store(y.add(i), numbers);
        } else {
            store_some::<M>(y.add(i), numbers, n);
        }
        i += n;
    }
}

/// Σ f(x_i) over n numbers; `filler` stands in lanes beyond them, and f makes 0 of it.
#[inline(always)]
unsafe fn sum<M: Isa>(x: *const f32, n: usize, filler: f32, f: impl Fn(M::Vector) -> M::Vector) -> f32 {
    let mut sums = [M::splat(0.0); 2];
    let mut i = 0;
    while i + 2 * M::LANES <= n {
        sums[0] = M::add(sums[0], f(M::load(x.add(i))));
        sums[1] = M::add(sums[1], f(M::load(x.add(i + M::LANES))));
        i += 2 * M::LANES;
    }
    while i < n {
        let count = M::LANES.min(n - i);
        let mut padded = [filler; MOST_LANES];
        std::ptr::copy_nonoverlapping(x.add(i), padded.as_mut_ptr(), count);
        sums[0] = M::add(sums[0], f(M::load(padded.as_ptr())));
        i += count;
    }
    M::total(M::add(sums[0], sums[1]))
}
