//! The norm of all gradients, clipping it, and a step of AdamW over all parameters: one call each.
//! `linnet/train/optimizers.py` and `linnet/train/precision.py` have the formulas.

use super::parallel::{for_each, in_turn, locate, Threads, PIECE};
use super::simd::{load_n, store_n, Isa};
use crate::dispatch;

/// n numbers, their gradients, and what AdamW remembers of these: means, means of squares, and the steps taken.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Parameter {
    pub n: u64,
    pub value: *mut f32,
    pub grad: *mut f32,
    pub mean: *mut f32,
    pub square: *mut f32,
    pub step: *mut f32,
}

/// What is common to a group of parameters.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct AdamW {
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
}

struct Group<'a>(&'a [Parameter]);
// SAFETY: the pieces of the work write to places of their own
unsafe impl Sync for Group<'_> {}

impl Group<'_> {
    /// How many pieces there are.
    fn pieces(&self) -> usize {
        self.0.iter().map(|p| (p.n as usize).div_ceil(PIECE)).sum()
    }

    /// The parameter of a piece, and where in it the piece begins and ends.
    fn piece(&self, i: usize) -> (&Parameter, usize, usize) {
        let (which, from, to) = locate(self.0.iter().map(|p| p.n as usize), PIECE, i);
        (&self.0[which], from, to)
    }
}

/// The norm of all gradients together, which are then scaled so that it is `at_most`; the same on any number of threads.
///
/// # Safety
/// The gradients can be read and written.
pub unsafe fn clip(parameters: &[Parameter], at_most: f64, threads: Threads) -> f64 {
    let group = Group(parameters);
    let pieces = group.pieces();
    let mut sums = vec![0.0f64; pieces + 1]; // the last one: the norm
    let start = sums.as_mut_ptr() as usize; // an address, because each thread writes numbers of its own behind it
    in_turn(threads, &[pieces, 1, if at_most.is_finite() { pieces } else { 0 }], |turn, i| {
        let sums = start as *mut f64;
        if turn == 1 {
            *sums.add(pieces) = std::slice::from_raw_parts(sums, pieces).iter().sum::<f64>().sqrt();
            return;
        }
        let (parameter, from, to) = group.piece(i);
        let (numbers, n) = (parameter.grad.add(from), to - from);
        if turn == 0 {
            *sums.add(i) = dispatch!(squares(numbers: *const f32, n: usize) -> f64);
            return;
        }
        let norm = *sums.add(pieces);
        let (within, factor) = (norm <= at_most, (at_most / (norm + 1e-6)) as f32);
        if !within {
            dispatch!(scale(numbers: *mut f32, n: usize, factor: f32)); // also where it is no number: that has to be seen
        }
    });
    sums[pieces]
}

/// One step for every parameter.
///
/// # Safety
/// Everything that the parameters name can be read and, but for the gradients, written.
pub unsafe fn adamw(parameters: &[Parameter], how: &AdamW, threads: Threads) {
    for parameter in parameters {
        *parameter.step += 1.0;
    }
    let group = Group(parameters);
    for_each(threads, group.pieces(), |i| {
        let (parameter, from, to) = group.piece(i);
        dispatch!(adamw_piece(parameter: &Parameter, how: &AdamW, from: usize, to: usize));
    });
}

#[inline(always)]
unsafe fn scale<M: Isa>(numbers: *mut f32, n: usize, factor: f32) {
    let whole = n / M::LANES * M::LANES;
    for i in (0..whole).step_by(M::LANES) {
        M::store(numbers.add(i), M::mul(M::load(numbers.add(i)), M::splat(factor)));
    }
    for i in whole..n {
        *numbers.add(i) *= factor;
    }
}

#[inline(always)]
unsafe fn squares<M: Isa>(numbers: *const f32, n: usize) -> f64 {
    let mut sums = [M::splat(0.0); 4];
    let mut i = 0;
    while i + 4 * M::LANES <= n {
        for (k, sum) in sums.iter_mut().enumerate() {
            let x = M::load(numbers.add(i + k * M::LANES));
            *sum = M::fma(x, x, *sum);
        }
        i += 4 * M::LANES;
    }
    let whole: f64 = sums.iter().map(|&sum| f64::from(M::total(sum))).sum();
    whole + (i..n).map(|i| f64::from(*numbers.add(i)).powi(2)).sum::<f64>()
}

#[inline(always)]
unsafe fn adamw_piece<M: Isa>(parameter: &Parameter, how: &AdamW, from: usize, to: usize) {
    let step = f64::from(*parameter.step);
    let keep = (1.0 - how.learning_rate * how.weight_decay) as f32;
    let rate = (how.learning_rate / (1.0 - how.beta1.powf(step))) as f32;
    let correction = (1.0 - how.beta2.powf(step)).sqrt() as f32;
    let (new_mean, old_square, new_square) = ((1.0 - how.beta1) as f32, how.beta2 as f32, (1.0 - how.beta2) as f32);
    let eps = how.eps as f32;
    let Parameter { value, grad, mean, square, .. } = *parameter;
    let mut i = from;
    while i < to {
        let n = M::LANES.min(to - i);
        let (g, m) = (load_n::<M>(grad.add(i), n), load_n::<M>(mean.add(i), n));
        let m = M::fma(M::sub(g, m), M::splat(new_mean), m);
        let v = M::fma(M::mul(g, g), M::splat(new_square), M::mul(load_n::<M>(square.add(i), n), M::splat(old_square)));
        let away = M::add(M::div(M::sqrt(v), M::splat(correction)), M::splat(eps));
        let p = M::mul(load_n::<M>(value.add(i), n), M::splat(keep));
        store_n::<M>(mean.add(i), m, n);
        store_n::<M>(square.add(i), v, n);
        store_n::<M>(value.add(i), M::sub(p, M::div(M::mul(m, M::splat(rate)), away)), n);
        i += n;
    }
}
