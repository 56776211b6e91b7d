//! Attention for many queries: a block of them meets all its keys at once, forward and backward.

use super::super::product::{product, transpose, RowMajor, Strided};
use super::super::scratch::{Parts, Scratch};
use super::super::simd::Isa;
use super::few::dot;
use super::softmax::{softmax, softmax_gradient, Reach};
use super::{finish_row, Forward, Gradients, Rows, Sizes, LONG, MAX_BLOCK};

#[inline(always)]
pub(super) unsafe fn forward_blocks<M: Isa>(task: &Forward, b: usize, h: usize, g: usize) {
    if task.shape.queries < LONG {
        forward_head::<M, 1>(task, b, h, g);
    } else {
        forward_head::<M, 2>(task, b, h, g);
    }
}

#[inline(always)]
pub(super) unsafe fn backward_blocks<M: Isa>(task: &Forward, gradients: &Gradients, b: usize, g: usize) {
    if task.shape.queries < LONG {
        backward_group::<M, 1>(task, gradients, b, g);
    } else {
        backward_group::<M, 2>(task, gradients, b, g);
    }
}

/// One head, a block of queries after the other. Scores lie transposed, (S, BLOCK): the lanes of a vector are queries, and
/// what a softmax sums over is the next row.
#[inline(always)]
unsafe fn forward_head<M: Isa, const W: usize>(task: &Forward, b: usize, h: usize, g: usize) {
    let s = task.shape.sizes();
    let block = W * M::LANES;
    let mut scratch = Scratch::take(s.keys * block + 2 * s.wide * block + s.copies(2 * s.keys + s.queries));
    let mut memory = scratch.parts();
    let (scores, q, y) = (memory.part(s.keys * block), memory.part(s.wide * block), memory.part(s.wide * block));
    let keys = filled(&task.k, b, g, s.keys, &s, &mut memory);
    let values = filled(&task.v, b, g, s.keys, &s, &mut memory);
    let queries = filled(&task.q, b, h, s.queries, &s, &mut memory);
    for start in (0..s.queries).step_by(block) {
        let reach = Reach::of(&task.shape, &s, b, start, block);
        transpose::<M>(queries.from(start), reach.live, s.width, block, task.shape.scale, q);
        score::<M, W>(&s, &reach, keys, q, scores);
        let (largest, totals) = softmax::<M, W>(&reach, scores);
        let weights = Strided { start: scores, down: 1, across: block };
        product::<M, false>(
            reach.live,
            s.wide,
            reach.n_keys(),
            weights,
            values.from(reach.from),
            RowMajor { start: y, down: s.wide },
        );
        for r in 0..reach.live {
            finish_row(task, b, h, start + r, y.add(r * s.wide), s.width, 1.0 / totals[r], largest[r] + totals[r].ln());
        }
    }
}

/// All heads of a group: they add to the same ∂K and ∂V.
#[inline(always)]
unsafe fn backward_group<M: Isa, const W: usize>(task: &Forward, gradients: &Gradients, b: usize, g: usize) {
    let s = task.shape.sizes();
    let block = W * M::LANES;
    let mut scratch = Scratch::take(2 * s.keys * block + 2 * s.wide * block + s.copies(4 * s.keys + 3 * s.queries));
    let mut memory = scratch.parts();
    let (weights, grad_scores) = (memory.part(s.keys * block), memory.part(s.keys * block));
    let (q_transposed, grad_y_transposed) = (memory.part(s.wide * block), memory.part(s.wide * block));
    let keys = filled(&task.k, b, g, s.keys, &s, &mut memory);
    let values = filled(&task.v, b, g, s.keys, &s, &mut memory);
    let grad_keys = zeros(&gradients.k, b, g, s.keys, &s, &mut memory);
    let grad_values = zeros(&gradients.v, b, g, s.keys, &s, &mut memory);
    let shared = task.shape.heads as usize / task.shape.groups as usize;
    for h in g * shared..(g + 1) * shared {
        let mut memory = memory;
        let q = filled(&task.q, b, h, s.queries, &s, &mut memory);
        let grad_y = filled(&gradients.y, b, h, s.queries, &s, &mut memory);
        let grad_q = matrix(&gradients.q, b, h, s.queries, &s, &mut memory);
        for start in (0..s.queries).step_by(block) {
            let reach = Reach::of(&task.shape, &s, b, start, block);
            transpose::<M>(q.from(start), reach.live, s.width, block, task.shape.scale, q_transposed);
            transpose::<M>(grad_y.from(start), reach.live, s.width, block, 1.0, grad_y_transposed);
            score::<M, W>(&s, &reach, keys, q_transposed, weights);
            score::<M, W>(&s, &reach, values, grad_y_transposed, grad_scores);
            let (mut log_sums, mut delta) = ([0.0; MAX_BLOCK], [0.0; MAX_BLOCK]);
            for r in 0..reach.live {
                log_sums[r] = *task.log_sum(b, h, start + r);
                delta[r] = dot::<M>(grad_y.from(start + r).start, task.y.at(b, h, start + r), s.width);
            }
            softmax_gradient::<M, W>(&reach, weights, grad_scores, &log_sums, &delta, task.shape.scale);
            let transposed = |scores: *const f32| Strided { start: scores, down: block, across: 1 };
            let (n, live) = (reach.n_keys(), reach.live);
            product::<M, true>(n, s.wide, live, transposed(weights), grad_y.from(start), grad_values.from(reach.from));
            product::<M, true>(n, s.wide, live, transposed(grad_scores), q.from(start), grad_keys.from(reach.from));
            let straight = Strided { start: grad_scores, down: 1, across: block };
            product::<M, false>(live, s.wide, n, straight, keys.from(reach.from), grad_q.from(start));
        }
        copy_out(grad_q, &gradients.q, b, h, s.queries, &s);
    }
    copy_out(grad_keys, &gradients.k, b, g, s.keys, &s);
    copy_out(grad_values, &gradients.v, b, g, s.keys, &s);
}

/// A matrix of whole vectors for n rows of a head: where they lie if that is one, else room for a copy.
#[inline(always)]
unsafe fn matrix(rows: &Rows, b: usize, h: usize, n: usize, s: &Sizes, memory: &mut Parts) -> RowMajor {
    if s.width == s.wide {
        RowMajor { start: rows.at(b, h, 0), down: rows.place as usize }
    } else {
        RowMajor { start: memory.part(n * s.row()), down: s.row() }
    }
}

/// The same with the rows in it, padded with zeros.
#[inline(always)]
unsafe fn filled(rows: &Rows, b: usize, h: usize, n: usize, s: &Sizes, memory: &mut Parts) -> RowMajor {
    let matrix = matrix(rows, b, h, n, s, memory);
    if s.width < s.wide {
        for j in 0..n {
            copy_row(rows.at(b, h, j), matrix.from(j).start, s.width, s.wide);
        }
    }
    matrix
}

/// The same with zeros in it, to be added to.
#[inline(always)]
unsafe fn zeros(rows: &Rows, b: usize, h: usize, n: usize, s: &Sizes, memory: &mut Parts) -> RowMajor {
    let matrix = matrix(rows, b, h, n, s, memory);
    for j in 0..n {
        std::ptr::write_bytes(matrix.from(j).start, 0, s.wide);
    }
    matrix
}

/// What was written to a matrix to where its rows lie, if that is not the same place.
#[inline(always)]
unsafe fn copy_out(matrix: RowMajor, rows: &Rows, b: usize, h: usize, n: usize, s: &Sizes) {
    if s.width < s.wide {
        for j in 0..n {
            copy_row(matrix.from(j).start, rows.at(b, h, j), s.width, s.width);
        }
    }
}

/// rows (S, K) times what was transposed (K, BLOCK) → scores (S, BLOCK)
#[inline(always)]
unsafe fn score<M: Isa, const W: usize>(s: &Sizes, reach: &Reach, rows: RowMajor, transposed: *mut f32, scores: *mut f32) {
    let block = W * M::LANES;
    let a = Strided { start: rows.from(reach.from).start, down: rows.down, across: 1 };
    let (b, c) = (RowMajor { start: transposed, down: block }, RowMajor { start: scores, down: block });
    product::<M, false>(reach.n_keys(), block, s.width, a, b, c);
}

/// A row, padded with zeros.
#[inline(always)]
unsafe fn copy_row(from: *const f32, to: *mut f32, width: usize, wide: usize) {
    std::ptr::copy_nonoverlapping(from, to, width);
    std::ptr::write_bytes(to.add(width), 0, wide - width);
}
