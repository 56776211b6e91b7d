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
//!
//! Here: what is asked for. `blocks`: many queries, `softmax`: what they see of the keys, `few`: decoding.

mod blocks;
mod few;
mod softmax;

use super::parallel::{for_each, Threads};
use super::simd::{Isa, MOST_LANES};
use crate::dispatch;
use blocks::{backward_blocks, forward_blocks};
use few::forward_few;

const MAX_BLOCK: usize = 2 * MOST_LANES; // queries that are worked on together, at most: two of the widest vectors
const PAD: usize = MOST_LANES; // widths are rounded up to it: the lanes of the widest vectors
const SKEW: usize = 16; // added to a row's length, so that rows do not fall into the same few sets of the cache
const LONG: i64 = 128; // from so many queries on, two vectors of them are worked on together
const FEW: usize = 4; // up to so many queries (decoding), keys are read where they lie

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
    pub(super) unsafe fn at(&self, batch: usize, head: usize, place: usize) -> *mut f32 {
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

    /// Where the logarithm of the sum of a query's softmax stands.
    unsafe fn log_sum(&self, b: usize, h: usize, i: usize) -> *mut f32 {
        self.log_sums.add((b * self.shape.heads as usize + h) * self.shape.queries as usize + i)
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
    pub(super) fn is_sound(&self) -> bool {
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
    let heads = task.shape.heads as usize;
    for_each(threads, task.shape.batch as usize * heads, |i| {
        let (b, h) = (i / heads, i % heads);
        dispatch!(forward_head(task: &Forward, b: usize, h: usize));
    });
}

/// One head of one row.
#[inline(always)]
pub(super) unsafe fn forward_head<M: Isa>(task: &Forward, b: usize, h: usize) {
    let g = h / (task.shape.heads / task.shape.groups) as usize;
    if task.shape.queries as usize <= FEW {
        forward_few::<M>(task, b, h, g);
    } else {
        forward_blocks::<M>(task, b, h, g);
    }
}

/// # Safety
/// As for `forward`, whose results stand in `task`; of `gradients`, y can be read and the others written.
pub unsafe fn backward(task: &Forward, gradients: &Gradients, threads: Threads) {
    let groups = task.shape.groups as usize;
    for_each(threads, task.shape.batch as usize * groups, |i| {
        let (b, g) = (i / groups, i % groups);
        dispatch!(backward_group(task: &Forward, gradients: &Gradients, b: usize, g: usize));
    });
}

/// One group of heads of one row.
#[inline(always)]
pub(super) unsafe fn backward_group<M: Isa>(task: &Forward, gradients: &Gradients, b: usize, g: usize) {
    backward_blocks::<M>(task, gradients, b, g);
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
        *task.log_sum(b, h, i) = log_sum;
    }
}
