//! What a program for training needs beyond decoding: whole sequences, large products, and every work's way back.
//!
//! Rows are the places of some sequences of T, one after the other.

use super::super::attention::{backward_group, forward_head, Forward, Gradients};
use super::super::gelu::slope;
use super::super::norm::Norm;
use super::super::simd::{load_n, store_n, Isa};
use super::works::sigmoid;
use super::*;

const COLUMNS: usize = 64; // of a piece of what is summed down the rows
const ROWS: usize = 32; // of a piece of what is done row by row
const TOGETHER: usize = 64; // rows that are summed before they go into a sum of many: each adds rounding of the sum so far

/// y (d) = the sum of `rows` rows of x that are `down` apart.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ColumnSum {
    pub rows: i64,
    pub down: i64,
    pub d: i64,
    pub x: *const f32,
    pub y: *mut f32,
}

/// ∂x of a norm from g, added to what is there if `add`; sums (pieces, 2, d): each piece's part of ∂weight and ∂bias.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NormBack {
    pub norm: Norm,
    pub g: *const f32,
    pub x: *mut f32,
    pub sums: *mut f32,
    pub add: i32,
}

/// ∂x of an activation of x, or ∂x and ∂other of a product of both, from g; ∂x may be g.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PointwiseBack {
    pub what: u32,
    pub n: i64,
    pub x: *const f32,
    pub other: *const f32,
    pub g: *const f32,
    pub grad_x: *mut f32,
    pub grad_other: *mut f32,
}

/// ∂table (V, d) from g (rows, d).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EmbedBack {
    pub by_position: i32,
    pub vocab: i64,
    pub d: i64,
    pub scale: f32,
    pub g: *const f32,
    pub table: *mut f32,
}

/// The forward pass of attention, with its log_sums.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sequences {
    pub task: Forward,
}

/// Its gradients.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SequencesBack {
    pub task: Forward,
    pub gradients: Gradients,
}

/// y (rows, d) = Σ_j taps_j ⊙ x j places back, within a document, in sequences of `length`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Convolution {
    pub length: i64,
    pub width: i64,
    pub d: i64,
    pub x: *const f32,
    pub taps: *const f32,
    pub y: *mut f32,
}

/// ∂x, added to what is there if `add`, and ∂taps from g.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ConvolutionBack {
    pub forward: Convolution,
    pub g: *const f32,
    pub x: *mut f32,
    pub taps: *mut f32,
    pub add: i32,
}

impl ColumnSum {
    pub(super) fn pieces(&self) -> usize {
        (self.d as usize).div_ceil(COLUMNS)
    }

    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, piece: usize) {
        let (from, to) = (piece * COLUMNS, (self.d as usize).min((piece + 1) * COLUMNS));
        let rows = self.rows as usize;
        let mut c = from;
        while c < to {
            if c + 4 * M::LANES <= to {
                let mut sums = [M::splat(0.0); 4];
                for first in (0..rows).step_by(TOGETHER) {
                    let mut some = [M::splat(0.0); 4];
                    for r in first..rows.min(first + TOGETHER) {
                        let x = self.x.add(r * self.down as usize + c);
                        for w in 0..4 {
                            some[w] = M::add(some[w], M::load(x.add(w * M::LANES)));
                        }
                    }
                    for w in 0..4 {
                        sums[w] = M::add(sums[w], some[w]);
                    }
                }
                for w in 0..4 {
                    M::store(self.y.add(c + w * M::LANES), sums[w]);
                }
                c += 4 * M::LANES;
            } else {
                let n = M::LANES.min(to - c);
                let mut sum = M::splat(0.0);
                for first in (0..rows).step_by(TOGETHER) {
                    let mut some = M::splat(0.0);
                    for r in first..rows.min(first + TOGETHER) {
                        some = M::add(some, load_n::<M>(self.x.add(r * self.down as usize + c), n));
                    }
                    sum = M::add(sum, some);
                }
                store_n::<M>(self.y.add(c), sum, n);
                c += n;
            }
        }
    }
}

impl NormBack {
    pub(super) fn pieces(&self) -> usize {
        self.norm.pieces()
    }

    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, piece: usize) {
        self.norm.backward_piece::<M>(self.g, self.x, self.sums, self.add != 0, piece);
    }
}

impl PointwiseBack {
    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, from: usize, to: usize) {
        let (one, zero) = (M::splat(1.0), M::splat(0.0));
        let mut i = from;
        while i < to {
            let n = M::LANES.min(to - i);
            let (x, g) = (load_n::<M>(self.x.add(i), n), load_n::<M>(self.g.add(i), n));
            let grad = match self.what {
                MULTIPLY => {
                    store_n::<M>(self.grad_other.add(i), M::mul(g, x), n);
                    M::mul(g, load_n::<M>(self.other.add(i), n))
                }
                RELU => M::keep(M::max(zero, x), g),
                RELU2 => M::mul(g, M::mul(M::splat(2.0), M::max(zero, x))),
                GELU_TANH => M::mul(g, slope::<M>(x)),
                SILU => {
                    let s = sigmoid::<M>(x);
                    M::mul(g, M::mul(s, M::fma(x, M::sub(one, s), one)))
                }
                _ => {
                    let s = sigmoid::<M>(x);
                    M::mul(g, M::mul(s, M::sub(one, s)))
                }
            };
            store_n::<M>(self.grad_x.add(i), grad, n);
            i += n;
        }
    }
}

impl EmbedBack {
    pub(super) fn pieces(&self) -> usize {
        (self.d as usize).div_ceil(COLUMNS)
    }

    pub(super) unsafe fn piece(&self, inputs: &Inputs, piece: usize) {
        let d = self.d as usize;
        let (from, to) = (piece * COLUMNS, d.min((piece + 1) * COLUMNS));
        let asked = if self.by_position != 0 { inputs.positions } else { inputs.tokens };
        for v in 0..self.vocab as usize {
            std::ptr::write_bytes(self.table.add(v * d + from), 0, to - from);
        }
        for r in 0..inputs.rows as usize {
            let (row, g) = (self.table.add(*asked.add(r) as usize * d), self.g.add(r * d));
            for c in from..to {
                *row.add(c) += *g.add(c) * self.scale;
            }
        }
    }
}

impl Sequences {
    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, i: usize) {
        let heads = self.task.shape.heads as usize;
        forward_head::<M>(&self.task, i / heads, i % heads);
    }
}

impl SequencesBack {
    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, i: usize) {
        let groups = self.task.shape.groups as usize;
        backward_group::<M>(&self.task, &self.gradients, i / groups, i % groups);
    }
}

impl Convolution {
    pub(super) fn pieces(&self, rows: usize) -> usize {
        rows.div_ceil(ROWS)
    }

    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, inputs: &Inputs, piece: usize) {
        let d = self.d as usize;
        for r in piece * ROWS..(inputs.rows as usize).min((piece + 1) * ROWS) {
            let place = r % self.length as usize;
            let near = (self.width as usize).min(place + 1 - *inputs.begins.add(r) as usize);
            let mut c = 0;
            while c < d {
                let n = M::LANES.min(d - c);
                let mut sum = M::splat(0.0);
                for back in 0..near {
                    let (tap, x) = (load_n::<M>(self.taps.add(back * d + c), n), load_n::<M>(self.x.add((r - back) * d + c), n));
                    sum = M::fma(tap, x, sum);
                }
                store_n::<M>(self.y.add(r * d + c), sum, n);
                c += n;
            }
        }
    }
}

impl ConvolutionBack {
    /// Row by row ∂x, then ∂taps in columns.
    pub(super) fn pieces(&self, rows: usize) -> usize {
        self.forward.pieces(rows) + (self.forward.d as usize).div_ceil(COLUMNS)
    }

    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, inputs: &Inputs, piece: usize) {
        let rows = inputs.rows as usize;
        let by_row = self.forward.pieces(rows);
        if piece < by_row {
            self.rows::<M>(inputs, piece * ROWS, rows.min((piece + 1) * ROWS));
        } else {
            let column = (piece - by_row) * COLUMNS;
            self.columns::<M>(inputs, column, (self.forward.d as usize).min(column + COLUMNS));
        }
    }

    #[inline(always)]
    unsafe fn rows<M: Isa>(&self, inputs: &Inputs, from: usize, to: usize) {
        let (d, length) = (self.forward.d as usize, self.forward.length as usize);
        for r in from..to {
            let place = r % length;
            let most = (self.forward.width as usize).min(length - place);
            let mut near = 1; // how many places from here on hear this one: a later one whose document began after it does not
            while near < most && *inputs.begins.add(r + near) as usize <= place {
                near += 1;
            }
            let mut c = 0;
            while c < d {
                let n = M::LANES.min(d - c);
                let to = self.x.add(r * d + c);
                let mut sum = if self.add != 0 { load_n::<M>(to, n) } else { M::splat(0.0) };
                for ahead in 0..near {
                    let tap = load_n::<M>(self.forward.taps.add(ahead * d + c), n);
                    sum = M::fma(tap, load_n::<M>(self.g.add((r + ahead) * d + c), n), sum);
                }
                store_n::<M>(to, sum, n);
                c += n;
            }
        }
    }

    #[inline(always)]
    unsafe fn columns<M: Isa>(&self, inputs: &Inputs, from: usize, to: usize) {
        let (d, length, rows) = (self.forward.d as usize, self.forward.length as usize, inputs.rows as usize);
        for back in 0..self.forward.width as usize {
            let mut c = from;
            while c < to {
                let n = M::LANES.min(to - c);
                let mut sum = M::splat(0.0);
                for first in (0..rows).step_by(TOGETHER) {
                    let mut some = M::splat(0.0);
                    for r in first..rows.min(first + TOGETHER) {
                        if r % length >= back + *inputs.begins.add(r) as usize {
                            let x = load_n::<M>(self.forward.x.add((r - back) * d + c), n);
                            some = M::fma(load_n::<M>(self.g.add(r * d + c), n), x, some);
                        }
                    }
                    sum = M::add(sum, some);
                }
                store_n::<M>(self.taps.add(back * d + c), sum, n);
                c += n;
            }
        }
    }
}
