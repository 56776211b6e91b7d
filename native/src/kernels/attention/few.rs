//! Attention for a few queries (decoding): bound by reading the keys and values once, where they lie.

use super::super::scratch::Scratch;
use super::super::simd::{exp, Isa};
use super::{finish_row, scale_row, Forward, PAD, SKEW};

/// One query after another, keys and values read once each: bound by reading them.
#[inline(always)]
pub(super) unsafe fn forward_few<M: Isa>(task: &Forward, b: usize, h: usize, g: usize) {
    let s = task.shape.sizes();
    let long = s.keys.next_multiple_of(PAD) + SKEW; // the softmax may write a little beyond
    let mut scratch = Scratch::take(long + s.wide * 2);
    let mut memory = scratch.parts();
    let (scores, q, sum) = (memory.part(long), memory.part(s.wide), memory.part(s.wide));
    for i in 0..s.queries {
        let to = s.offset + i + 1;
        let from = task.shape.first(b, i).min(to - 1);
        scale_row(task.q.at(b, h, i), q, s.width, task.shape.scale);
        let mut largest = f32::NEG_INFINITY;
        for j in from..to {
            let score = dot::<M>(q, task.k.at(b, g, j), s.width);
            *scores.add(j) = score;
            largest = largest.max(score);
        }
        let total = softmax_numerators::<M>(scores.add(from), to - from, largest);
        weighted_sum::<M>(task, b, g, from, to, scores, sum, s.width);
        finish_row(task, b, h, i, sum, s.width, 1.0 / total, largest + total.ln());
    }
}

#[inline(always)]
pub(super) unsafe fn dot<M: Isa>(padded: *const f32, row: *const f32, width: usize) -> f32 {
    let mut sums = M::splat(0.0);
    let mut c = 0;
    while c + M::LANES <= width {
        sums = M::fma(M::load(padded.add(c)), M::load(row.add(c)), sums);
        c += M::LANES;
    }
    let mut total = M::total(sums);
    while c < width {
        total += *padded.add(c) * *row.add(c);
        c += 1;
    }
    total
}

/// sum (K) = Σ_j scores_j v_j for j in from .. to
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn weighted_sum<M: Isa>(
    task: &Forward,
    b: usize,
    g: usize,
    from: usize,
    to: usize,
    scores: *const f32,
    sum: *mut f32,
    width: usize,
) {
    let mut c = 0;
    while c + 4 * M::LANES <= width {
        let mut sums = [M::splat(0.0); 4];
        for j in from..to {
            let (weight, v) = (M::splat(*scores.add(j)), task.v.at(b, g, j).add(c));
            for (w, sum) in sums.iter_mut().enumerate() {
                *sum = M::fma(weight, M::load(v.add(w * M::LANES)), *sum);
            }
        }
        for (w, numbers) in sums.iter().enumerate() {
            M::store(sum.add(c + w * M::LANES), *numbers);
        }
        c += 4 * M::LANES;
    }
    while c + M::LANES <= width {
        let mut sums = M::splat(0.0);
        for j in from..to {
            sums = M::fma(M::splat(*scores.add(j)), M::load(task.v.at(b, g, j).add(c)), sums);
        }
        M::store(sum.add(c), sums);
        c += M::LANES;
    }
    while c < width {
        *sum.add(c) = (from..to).map(|j| *scores.add(j) * *task.v.at(b, g, j).add(c)).sum();
        c += 1;
    }
}

/// n scores → e^(score - largest) in their place, and the sum of these. May write up to `LANES - 1` numbers beyond.
#[inline(always)]
unsafe fn softmax_numerators<M: Isa>(row: *mut f32, n: usize, largest: f32) -> f32 {
    let base = M::splat(largest);
    let mut sums = M::splat(0.0);
    let mut i = 0;
    while i + M::LANES <= n {
        let e = exp::<M>(M::sub(M::load(row.add(i)), base));
        M::store(row.add(i), e);
        sums = M::add(sums, e);
        i += M::LANES;
    }
    let mut total = M::total(sums);
    if i < n {
        M::store(row.add(i), exp::<M>(M::sub(M::load(row.add(i)), base)));
        total += (i..n).map(|j| *row.add(j)).sum::<f32>();
    }
    total
}
