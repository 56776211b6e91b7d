//! What a block of queries sees, and the softmax over it with its gradient. Scores lie transposed, (S, BLOCK): keys down, queries across.

use super::super::simd::{exp, Isa};
use super::{Shape, Sizes, MAX_BLOCK};

/// Zeros, then ones: read from `MAX_BLOCK - n` on, the first n are zeros.
const ZEROS_THEN_ONES: [f32; 2 * MAX_BLOCK] = {
    let mut stairs = [0.0; 2 * MAX_BLOCK];
    let mut i = MAX_BLOCK;
    while i < 2 * MAX_BLOCK {
        stairs[i] = 1.0;
        i += 1;
    }
    stairs
};

/// What a block of queries sees between them: the keys from .. to. `live` of its lanes are queries.
pub(super) struct Reach {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) live: usize,
    /// The keys from here are seen by all of them …
    pub(super) all_from: usize,
    /// … up to here: the place of the first query. Behind it, one query fewer sees each key.
    pub(super) all_to: usize,
    /// The first key of each query.
    pub(super) firsts: [usize; MAX_BLOCK],
}

impl Reach {
    #[inline(always)]
    pub(super) unsafe fn of(shape: &Shape, s: &Sizes, b: usize, start: usize, block: usize) -> Reach {
        let live = block.min(s.queries - start);
        let place = s.offset + start;
        let mut firsts = [0; MAX_BLOCK];
        let (mut from, mut all_from) = (if shape.first.is_null() { 0 } else { place }, 0);
        if !shape.first.is_null() {
            for (r, first) in firsts.iter_mut().enumerate().take(live) {
                *first = shape.first(b, start + r).min(place + r);
                from = from.min(*first);
                all_from = all_from.max(*first);
            }
        }
        Reach { from, to: place + live, live, all_from, all_to: place + 1, firsts }
    }

    pub(super) fn n_keys(&self) -> usize {
        self.to - self.from
    }

    /// 1 where a lane sees key j, else 0; None: all do. Lanes that are no query see nothing that matters.
    #[inline(always)]
    pub(super) unsafe fn seen<M: Isa, const W: usize>(&self, j: usize) -> Option<[M::Vector; W]> {
        if j >= self.all_from && j < self.all_to {
            return None;
        }
        let earliest = (j + 1).saturating_sub(self.all_to); // the first lane whose place is j or later
        let mut seen = [0.0; MAX_BLOCK];
        let mut lanes = ZEROS_THEN_ONES.as_ptr().add(MAX_BLOCK - earliest);
        if j < self.all_from {
            for r in earliest..W * M::LANES {
                seen[r] = if j >= self.firsts[r] { 1.0 } else { 0.0 };
            }
            lanes = seen.as_ptr();
        }
        let mut vectors = [M::splat(0.0); W];
        for (w, vector) in vectors.iter_mut().enumerate() {
            *vector = M::load(lanes.add(w * M::LANES));
        }
        Some(vectors)
    }
}

/// scores (S, BLOCK) → e^(score - largest) in their place; returns each query's largest score and the sum of these.
#[inline(always)]
pub(super) unsafe fn softmax<M: Isa, const W: usize>(reach: &Reach, scores: *mut f32) -> ([f32; MAX_BLOCK], [f32; MAX_BLOCK]) {
    let block = W * M::LANES;
    let mut largest = [M::splat(-f32::MAX); W];
    for j in reach.from..reach.to {
        let row = scores.add((j - reach.from) * block);
        let seen = reach.seen::<M, W>(j);
        for w in 0..W {
            let mut score = M::load(row.add(w * M::LANES));
            if let Some(seen) = seen {
                score = M::fma(M::sub(seen[w], M::splat(1.0)), M::splat(f32::MAX), M::keep(seen[w], score));
            }
            largest[w] = M::max(largest[w], score);
        }
    }
    let mut totals = [M::splat(0.0); W];
    for j in reach.from..reach.to {
        let row = scores.add((j - reach.from) * block);
        let seen = reach.seen::<M, W>(j);
        for w in 0..W {
            let mut e = exp::<M>(M::sub(M::load(row.add(w * M::LANES)), largest[w]));
            if let Some(seen) = seen {
                e = M::keep(seen[w], e);
            }
            M::store(row.add(w * M::LANES), e);
            totals[w] = M::add(totals[w], e);
        }
    }
    (lanes::<M, W>(largest), lanes::<M, W>(totals))
}

/// scores → P in their place, ∂P → ∂S in its place, both (S, BLOCK).
#[inline(always)]
pub(super) unsafe fn softmax_gradient<M: Isa, const W: usize>(
    reach: &Reach,
    scores: *mut f32,
    grad_scores: *mut f32,
    log_sums: &[f32; MAX_BLOCK],
    delta: &[f32; MAX_BLOCK],
    scale: f32,
) {
    let block = W * M::LANES;
    for j in reach.from..reach.to {
        let at = (j - reach.from) * block;
        let seen = reach.seen::<M, W>(j);
        for w in 0..W {
            let (row, grad_row) = (scores.add(at + w * M::LANES), grad_scores.add(at + w * M::LANES));
            let mut p = exp::<M>(M::sub(M::load(row), M::load(log_sums.as_ptr().add(w * M::LANES))));
            let mut grad_p = M::sub(M::load(grad_row), M::load(delta.as_ptr().add(w * M::LANES)));
            if let Some(seen) = seen {
                (p, grad_p) = (M::keep(seen[w], p), M::keep(seen[w], grad_p));
            }
            M::store(row, p);
            M::store(grad_row, M::mul(M::mul(p, M::splat(scale)), grad_p));
        }
    }
}

/// Vectors as numbers.
#[inline(always)]
pub(super) unsafe fn lanes<M: Isa, const W: usize>(vectors: [M::Vector; W]) -> [f32; MAX_BLOCK] {
    let mut numbers = [0.0; MAX_BLOCK];
    for (w, vector) in vectors.iter().enumerate() {
        M::store(numbers.as_mut_ptr().add(w * M::LANES), *vector);
    }
    numbers
}
