//! Causal attention, block by block, and its gradients. `linnet/ops/attention.py` has the formula.
//!
//! Each query sees the keys from `first` (0, or where its document or its window begins) to its own place; places are
//! counted so that the last query stands at the last key. A block of queries meets all its keys at once: its scores fit
//! the cache, so the softmax is the plain one. What lies outside every query's reach is never computed.
//!
//! ```text
//! S = scale · Q Kᵀ        P = softmax(S)        Y = P V
//! ∂V = Pᵀ ∂Y        ∂P = ∂Y Vᵀ        ∂S = scale · P ∘ (∂P - rows(∂Y ∘ Y))        ∂Q = ∂S K        ∂K = ∂Sᵀ Q
//! ```
//!
//! The backward pass makes P again from the logarithm of each query's sum (2205.14135, section 3.1). The heads of a group
//! belong to one piece of the work, because they add to the same ∂K and ∂V.

use super::parallel::{for_each, Threads};
use super::product::{product, turn, Lying, Strided};
use super::scratch::{Parts, Scratch};
use super::simd::{exp, Machine};
use crate::dispatch;

const MAX_BLOCK: usize = 32; // queries that are worked on together, at most: two vectors of the widest machine
const PAD: usize = 16; // widths are rounded up to it: the lanes of the widest machine
const SKEW: usize = 16; // added to a row's length, so that rows do not fall into the same few sets of the cache
const LONG: i64 = 128; // from so many queries on, two vectors of them are worked on together
const FEW: usize = 4; // up to so many queries (decoding), keys are read where they lie

/// Zeros, then ones: read from `MAX_BLOCK - n` on, the first n are zeros.
const STAIRS: [f32; 2 * MAX_BLOCK] = {
    let mut stairs = [0.0; 2 * MAX_BLOCK];
    let mut i = MAX_BLOCK;
    while i < 2 * MAX_BLOCK {
        stairs[i] = 1.0;
        i += 1;
    }
    stairs
};

/// B, H, G, T, S, K of `attention` in Python, its scale, and (B, T) the first key that a query sees, or NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Shape {
    pub batch: i64,
    pub heads: i64,
    pub groups: i64,
    pub queries: i64,
    pub keys: i64,
    pub width: i64,
    pub scale: f32,
    pub first: *const i64,
}

/// Vectors of K numbers by batch, head and place: how many numbers apart each of them lies.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Rows {
    pub start: *mut f32,
    pub batch: i64,
    pub head: i64,
    pub place: i64,
}

impl Rows {
    #[inline(always)]
    unsafe fn at(&self, batch: usize, head: usize, place: usize) -> *mut f32 {
        let steps = batch as i64 * self.batch + head as i64 * self.head + place as i64 * self.place;
        self.start.offset(steps as isize)
    }
}

/// What the forward pass reads and writes; `log_sums` (B, H, T) is for the backward pass and may be NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Forward {
    pub shape: Shape,
    pub q: Rows,
    pub k: Rows,
    pub v: Rows,
    pub y: Rows,
    pub log_sums: *mut f32,
}

/// The gradients: of y, given, and of q, k and v, wanted.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Gradients {
    pub y: Rows,
    pub q: Rows,
    pub k: Rows,
    pub v: Rows,
}

// SAFETY: the pieces of the work write to places of their own
unsafe impl Sync for Forward {}
unsafe impl Sync for Gradients {}

impl Forward {
    /// Whether the numbers make sense together and nothing is NULL.
    pub fn is_sound(&self) -> bool {
        self.shape.is_sound() && [self.q, self.k, self.v, self.y].iter().all(|rows| !rows.start.is_null())
    }
}

impl Gradients {
    /// Whether nothing is NULL.
    pub fn is_sound(&self) -> bool {
        [self.y, self.q, self.k, self.v].iter().all(|rows| !rows.start.is_null())
    }
}

impl Shape {
    /// Whether the numbers make sense together.
    fn is_sound(&self) -> bool {
        let sizes = [self.batch, self.heads, self.groups, self.queries, self.keys, self.width];
        sizes.iter().all(|&n| n > 0 && n < 1 << 40) && self.heads % self.groups == 0 && self.queries <= self.keys
    }

    fn sizes(&self) -> Sizes {
        let (queries, keys, width) = (self.queries as usize, self.keys as usize, self.width as usize);
        Sizes { queries, keys, width, offset: keys - queries, wide: width.next_multiple_of(PAD) }
    }

    /// The first key that query i of row b sees.
    unsafe fn first(&self, b: usize, i: usize) -> usize {
        if self.first.is_null() {
            return 0;
        }
        (*self.first.add(b * self.queries as usize + i)).clamp(0, self.keys - 1) as usize
    }
}

/// The same sizes as counts. offset: the place of the first query; wide: the width, rounded up.
#[derive(Clone, Copy)]
struct Sizes {
    queries: usize,
    keys: usize,
    width: usize,
    offset: usize,
    wide: usize,
}

impl Sizes {
    /// Numbers from one row of K to the next in a matrix of ours.
    fn row(&self) -> usize {
        self.wide + SKEW
    }

    /// Numbers in so many rows of matrices of ours, which are needed only where the width is not one of whole vectors.
    fn copies(&self, rows: usize) -> usize {
        if self.width == self.wide {
            0
        } else {
            rows * self.row()
        }
    }
}

/// # Safety
/// Everything that `task` names can be read, and its y and log_sums written.
pub unsafe fn forward(task: &Forward, threads: Threads) {
    let (heads, groups) = (task.shape.heads as usize, task.shape.groups as usize);
    for_each(threads, task.shape.batch as usize * heads, |i| {
        let (b, h) = (i / heads, i % heads);
        let g = h / (heads / groups);
        if task.shape.queries as usize <= FEW {
            dispatch!(forward_few(task: &Forward, b: usize, h: usize, g: usize));
        } else {
            dispatch!(forward_blocks(task: &Forward, b: usize, h: usize, g: usize));
        }
    });
}

/// # Safety
/// As for `forward`, whose results stand in `task`; of `gradients`, y can be read and the others written.
pub unsafe fn backward(task: &Forward, gradients: &Gradients, threads: Threads) {
    let groups = task.shape.groups as usize;
    for_each(threads, task.shape.batch as usize * groups, |i| {
        let (b, g) = (i / groups, i % groups);
        dispatch!(backward_blocks(task: &Forward, gradients: &Gradients, b: usize, g: usize));
    });
}

/// One query after another, keys and values read once each: bound by reading them.
#[inline(always)]
unsafe fn forward_few<M: Machine>(task: &Forward, b: usize, h: usize, g: usize) {
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
unsafe fn dot<M: Machine>(padded: *const f32, row: *const f32, width: usize) -> f32 {
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
unsafe fn weighted_sum<M: Machine>(
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

#[inline(always)]
unsafe fn forward_blocks<M: Machine>(task: &Forward, b: usize, h: usize, g: usize) {
    if task.shape.queries < LONG {
        forward_head::<M, 1>(task, b, h, g);
    } else {
        forward_head::<M, 2>(task, b, h, g);
    }
}

#[inline(always)]
unsafe fn backward_blocks<M: Machine>(task: &Forward, gradients: &Gradients, b: usize, g: usize) {
    if task.shape.queries < LONG {
        backward_group::<M, 1>(task, gradients, b, g);
    } else {
        backward_group::<M, 2>(task, gradients, b, g);
    }
}

/// One head, a block of queries after the other. Scores lie turned, (S, BLOCK): the lanes of a vector are queries, and
/// what a softmax sums over is the next row.
#[inline(always)]
unsafe fn forward_head<M: Machine, const W: usize>(task: &Forward, b: usize, h: usize, g: usize) {
    let s = task.shape.sizes();
    let block = W * M::LANES;
    let mut scratch = Scratch::take(s.keys * block + 2 * s.wide * block + s.copies(2 * s.keys + s.queries));
    let mut memory = scratch.parts();
    let (scores, q, y) = (memory.part(s.keys * block), memory.part(s.wide * block), memory.part(s.wide * block));
    let keys = lying(&task.k, b, g, s.keys, &s, &mut memory);
    let values = lying(&task.v, b, g, s.keys, &s, &mut memory);
    let queries = lying(&task.q, b, h, s.queries, &s, &mut memory);
    for start in (0..s.queries).step_by(block) {
        let reach = Reach::of(&task.shape, &s, b, start, block);
        turn(queries.from(start), reach.live, s.width, block, task.shape.scale, q);
        score::<M, W>(&s, &reach, keys, q, scores);
        let (largest, totals) = softmax::<M, W>(&reach, scores);
        let weights = Strided { start: scores, down: 1, across: block };
        product::<M, false>(
            reach.live,
            s.wide,
            reach.n_keys(),
            weights,
            values.from(reach.from),
            Lying { start: y, down: s.wide },
        );
        for r in 0..reach.live {
            finish_row(task, b, h, start + r, y.add(r * s.wide), s.width, 1.0 / totals[r], largest[r] + totals[r].ln());
        }
    }
}

/// All heads of a group: they add to the same ∂K and ∂V.
#[inline(always)]
unsafe fn backward_group<M: Machine, const W: usize>(task: &Forward, gradients: &Gradients, b: usize, g: usize) {
    let s = task.shape.sizes();
    let block = W * M::LANES;
    let mut scratch = Scratch::take(2 * s.keys * block + 2 * s.wide * block + s.copies(4 * s.keys + 3 * s.queries));
    let mut memory = scratch.parts();
    let (weights, grad_scores) = (memory.part(s.keys * block), memory.part(s.keys * block));
    let (q_turned, grad_y_turned) = (memory.part(s.wide * block), memory.part(s.wide * block));
    let keys = lying(&task.k, b, g, s.keys, &s, &mut memory);
    let values = lying(&task.v, b, g, s.keys, &s, &mut memory);
    let grad_keys = room(&gradients.k, b, g, s.keys, &s, &mut memory);
    let grad_values = room(&gradients.v, b, g, s.keys, &s, &mut memory);
    let shared = task.shape.heads as usize / task.shape.groups as usize;
    for h in g * shared..(g + 1) * shared {
        let mut memory = memory;
        let q = lying(&task.q, b, h, s.queries, &s, &mut memory);
        let grad_y = lying(&gradients.y, b, h, s.queries, &s, &mut memory);
        let grad_q = room(&gradients.q, b, h, s.queries, &s, &mut memory);
        for start in (0..s.queries).step_by(block) {
            let reach = Reach::of(&task.shape, &s, b, start, block);
            turn(q.from(start), reach.live, s.width, block, task.shape.scale, q_turned);
            turn(grad_y.from(start), reach.live, s.width, block, 1.0, grad_y_turned);
            score::<M, W>(&s, &reach, keys, q_turned, weights);
            score::<M, W>(&s, &reach, values, grad_y_turned, grad_scores);
            let (mut log_sums, mut along) = ([0.0; MAX_BLOCK], [0.0; MAX_BLOCK]);
            for r in 0..reach.live {
                log_sums[r] = *task.log_sums.add((b * task.shape.heads as usize + h) * s.queries + start + r);
                along[r] = dot::<M>(grad_y.from(start + r).start, task.y.at(b, h, start + r), s.width);
            }
            softmax_gradient::<M, W>(&reach, weights, grad_scores, &log_sums, &along, task.shape.scale);
            let turned = |scores: *const f32| Strided { start: scores, down: block, across: 1 };
            let (n, live) = (reach.n_keys(), reach.live);
            product::<M, true>(n, s.wide, live, turned(weights), grad_y.from(start), grad_values.from(reach.from));
            product::<M, true>(n, s.wide, live, turned(grad_scores), q.from(start), grad_keys.from(reach.from));
            let straight = Strided { start: grad_scores, down: 1, across: block };
            product::<M, false>(live, s.wide, n, straight, keys.from(reach.from), grad_q.from(start));
        }
        put_back(grad_q, &gradients.q, b, h, s.queries, &s);
    }
    put_back(grad_keys, &gradients.k, b, g, s.keys, &s);
    put_back(grad_values, &gradients.v, b, g, s.keys, &s);
}

/// What a block of queries sees between them: the keys from .. to. `live` of its lanes are queries.
struct Reach {
    from: usize,
    to: usize,
    live: usize,
    /// The keys from here are seen by all of them …
    all_from: usize,
    /// … up to here: the place of the first query. Behind it, one query fewer sees each key.
    all_to: usize,
    /// The first key of each query.
    firsts: [usize; MAX_BLOCK],
}

impl Reach {
    #[inline(always)]
    unsafe fn of(shape: &Shape, s: &Sizes, b: usize, start: usize, block: usize) -> Reach {
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

    fn n_keys(&self) -> usize {
        self.to - self.from
    }

    /// 1 where a lane sees key j, else 0; None: all do. Lanes that are no query see nothing that matters.
    #[inline(always)]
    unsafe fn seen<M: Machine, const W: usize>(&self, j: usize) -> Option<[M::Vector; W]> {
        if j >= self.all_from && j < self.all_to {
            return None;
        }
        let earliest = (j + 1).saturating_sub(self.all_to); // the first lane whose place is j or later
        let mut seen = [0.0; MAX_BLOCK];
        let mut lanes = STAIRS.as_ptr().add(MAX_BLOCK - earliest);
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

/// n rows of a head as a matrix of whole vectors: as they lie where that is one, else a copy, padded with zeros.
#[inline(always)]
unsafe fn lying(rows: &Rows, b: usize, h: usize, n: usize, s: &Sizes, memory: &mut Parts) -> Lying {
    if s.width == s.wide {
        return Lying { start: rows.at(b, h, 0), down: rows.place as usize };
    }
    let copy = Lying { start: memory.part(n * s.row()), down: s.row() };
    for j in 0..n {
        copy_row(rows.at(b, h, j), copy.from(j).start, s.width, s.wide);
    }
    copy
}

/// The same to be written: n rows of zeros, which `put_back` copies to their place where they are not there already.
#[inline(always)]
unsafe fn room(rows: &Rows, b: usize, h: usize, n: usize, s: &Sizes, memory: &mut Parts) -> Lying {
    let whole = s.width == s.wide;
    let room = if whole {
        Lying { start: rows.at(b, h, 0), down: rows.place as usize }
    } else {
        Lying { start: memory.part(n * s.row()), down: s.row() }
    };
    for j in 0..n {
        std::ptr::write_bytes(room.from(j).start, 0, s.wide);
    }
    room
}

#[inline(always)]
unsafe fn put_back(room: Lying, rows: &Rows, b: usize, h: usize, n: usize, s: &Sizes) {
    if s.width < s.wide {
        for j in 0..n {
            copy_row(room.from(j).start, rows.at(b, h, j), s.width, s.width);
        }
    }
}

/// rows (S, K) times what was turned (K, BLOCK) → scores (S, BLOCK)
#[inline(always)]
unsafe fn score<M: Machine, const W: usize>(s: &Sizes, reach: &Reach, rows: Lying, turned: *mut f32, scores: *mut f32) {
    let block = W * M::LANES;
    let a = Strided { start: rows.from(reach.from).start, down: rows.down, across: 1 };
    let (b, c) = (Lying { start: turned, down: block }, Lying { start: scores, down: block });
    product::<M, false>(reach.n_keys(), block, s.width, a, b, c);
}

/// scores (S, BLOCK) → e^(score - largest) in their place; returns each query's largest score and the sum of these.
#[inline(always)]
unsafe fn softmax<M: Machine, const W: usize>(reach: &Reach, scores: *mut f32) -> ([f32; MAX_BLOCK], [f32; MAX_BLOCK]) {
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
unsafe fn softmax_gradient<M: Machine, const W: usize>(
    reach: &Reach,
    scores: *mut f32,
    grad_scores: *mut f32,
    log_sums: &[f32; MAX_BLOCK],
    along: &[f32; MAX_BLOCK],
    scale: f32,
) {
    let block = W * M::LANES;
    for j in reach.from..reach.to {
        let at = (j - reach.from) * block;
        let seen = reach.seen::<M, W>(j);
        for w in 0..W {
            let (row, grad_row) = (scores.add(at + w * M::LANES), grad_scores.add(at + w * M::LANES));
            let mut p = exp::<M>(M::sub(M::load(row), M::load(log_sums.as_ptr().add(w * M::LANES))));
            let mut grad_p = M::sub(M::load(grad_row), M::load(along.as_ptr().add(w * M::LANES)));
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
unsafe fn lanes<M: Machine, const W: usize>(vectors: [M::Vector; W]) -> [f32; MAX_BLOCK] {
    let mut numbers = [0.0; MAX_BLOCK];
    for (w, vector) in vectors.iter().enumerate() {
        M::store(numbers.as_mut_ptr().add(w * M::LANES), *vector);
    }
    numbers
}

/// n scores → e^(score - largest) in their place, and the sum of these. May write up to `LANES - 1` numbers beyond.
#[inline(always)]
unsafe fn softmax_numerators<M: Machine>(row: *mut f32, n: usize, largest: f32) -> f32 {
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

/// A row, padded with zeros.
#[inline(always)]
unsafe fn copy_row(from: *const f32, to: *mut f32, width: usize, wide: usize) {
    std::ptr::copy_nonoverlapping(from, to, width);
    std::ptr::write_bytes(to.add(width), 0, wide - width);
}

#[inline(always)]
unsafe fn scale_row(from: *const f32, to: *mut f32, width: usize, scale: f32) {
    for c in 0..width {
        *to.add(c) = *from.add(c) * scale;
    }
}

/// y's row, and what the backward pass needs of it.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn finish_row(task: &Forward, b: usize, h: usize, i: usize, sum: *const f32, width: usize, scale: f32, log_sum: f32) {
    scale_row(sum, task.y.at(b, h, i), width, scale);
    if !task.log_sums.is_null() {
        *task.log_sums.add((b * task.shape.heads as usize + h) * task.shape.queries as usize + i) = log_sum;
    }
}
