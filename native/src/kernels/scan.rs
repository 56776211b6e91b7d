//! The selective scan and its gradients, in one pass over the text each. `linnet/ops/scan.py` has the formula.
//!
//! ```text
//! h_t = p_t ∘ h_{t-1} + u_t b_t        y_t = Σ_n h_t c_t + d x_t            p_t = exp(Δ_t a), 0 where a document begins; u_t = Δ_t x_t
//! G_t = ∂y_t c_t + p_{t+1} ∘ G_{t+1}   ∂u = Σ_n G b    ∂b = Σ_e G u    ∂c = Σ_e h ∂y    z = G ∘ p ∘ h_{t-1}    ∂Δ = ∂u x + Σ_n z a    ∂a = Σ_t z Δ
//! ```
//!
//! A piece of the work is one row of the batch and one group of channels. It goes through the text in blocks of `places`: of the states
//! only those before a block are kept, and the way back computes a block's states again. A vector holds neighbouring channels, and all
//! that a block needs of them stays in the cache: no state and no decay is written to memory twice.

use super::parallel::{for_each, Threads};
use super::scratch::Scratch;
use super::simd::{exp, load_n, store_n, Isa, MOST_LANES};
use crate::dispatch;

/// x, step, y (batch, tokens, channels); a (n, channels), below 0; b, c (batch, tokens, n); d (channels); begins (batch, tokens), or
/// NULL; state, last (batch, n, channels); kept (blocks, batch, n, channels), the states before each block of `places`, or NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Scan {
    pub batch: i64,
    pub tokens: i64,
    pub channels: i64,
    pub n: i64,
    pub places: i64,
    pub group: i64,
    pub x: *const f32,
    pub step: *const f32,
    pub a: *const f32,
    pub b: *const f32,
    pub c: *const f32,
    pub d: *const f32,
    pub begins: *const u8,
    pub state: *const f32,
    pub y: *mut f32,
    pub last: *mut f32,
    pub kept: *mut f32,
}

/// The gradients of y and of the last state, and room for the others: x, step (batch, tokens, channels); b, c (groups, batch, tokens, n)
/// and a (batch, n, channels), d (batch, channels), each to be added up over its first dimension; state (batch, n, channels).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ScanGradients {
    pub y: *const f32,
    pub last: *const f32,
    pub x: *mut f32,
    pub step: *mut f32,
    pub a: *mut f32,
    pub b: *mut f32,
    pub c: *mut f32,
    pub d: *mut f32,
    pub state: *mut f32,
}

// SAFETY: the pieces of the work write to places of their own
unsafe impl Sync for Scan {}
unsafe impl Sync for ScanGradients {}

impl Scan {
    /// Whether the numbers make sense together.
    pub fn is_sound(&self) -> bool {
        let sizes = [self.batch, self.tokens, self.channels, self.n, self.places, self.group];
        let arrays = [self.x, self.step, self.a, self.b, self.c, self.d, self.state, self.y, self.last];
        sizes.iter().all(|&n| n > 0 && n < 1 << 40) && !arrays.iter().any(|p| p.is_null())
    }

    fn groups(&self) -> usize {
        (self.channels as usize).div_ceil(self.group as usize)
    }

    /// (row, group) of a piece of the work.
    fn located(&self, piece: usize) -> (usize, usize) {
        (piece / self.groups(), piece % self.groups())
    }

    /// (channel, how many from there on fill a vector) for all channels of a group.
    fn vectors<M: Isa>(&self, group: usize) -> impl Iterator<Item = (usize, usize)> {
        let (first, end) = (group * self.group as usize, ((group + 1) * self.group as usize).min(self.channels as usize));
        (first..end).step_by(M::LANES).map(move |e| (e, M::LANES.min(end - e)))
    }

    fn blocks(&self) -> usize {
        (self.tokens as usize).div_ceil(self.places as usize)
    }

    /// The tokens of a block.
    fn block(&self, i: usize) -> std::ops::Range<usize> {
        i * self.places as usize..((i + 1) * self.places as usize).min(self.tokens as usize)
    }

    /// Where a row's states (n, channels) begin, from channel e on, in an array of (batch, n, channels).
    fn states(&self, row: usize, e: usize) -> usize {
        row * (self.n * self.channels) as usize + e
    }

    unsafe fn begins(&self, token: usize) -> bool {
        !self.begins.is_null() && *self.begins.add(token) != 0
    }

    /// What a vector of channels needs of a token of the text: (Δ, x).
    #[inline(always)]
    unsafe fn read<M: Isa>(&self, token: usize, e: usize, lanes: usize) -> (M::Vector, M::Vector) {
        let at = token * self.channels as usize + e;
        (load_n::<M>(self.step.add(at), lanes), load_n::<M>(self.x.add(at), lanes))
    }

    /// Vectors of n rows, `channels` apart, one behind the other.
    #[inline(always)]
    unsafe fn gather<M: Isa>(&self, from: *const f32, lanes: usize, to: *mut f32) {
        for n in 0..self.n as usize {
            M::store(to.add(n * M::LANES), load_n::<M>(from.add(n * self.channels as usize), lanes));
        }
    }

    /// The way back from `gather`.
    #[inline(always)]
    unsafe fn scatter<M: Isa>(&self, from: *const f32, lanes: usize, to: *mut f32) {
        for n in 0..self.n as usize {
            store_n::<M>(to.add(n * self.channels as usize), M::load(from.add(n * M::LANES)), lanes);
        }
    }
}

impl ScanGradients {
    /// Whether all of them are there.
    pub fn is_sound(&self) -> bool {
        let written = [self.x, self.step, self.a, self.b, self.c, self.d, self.state];
        !self.y.is_null() && !self.last.is_null() && !written.iter().any(|p| p.is_null())
    }
}

/// Fills y, last and kept.
///
/// # Safety
/// Everything that `task` names can be read, and its y, last and kept written.
pub unsafe fn forward(task: &Scan, threads: Threads) {
    for_each(threads, task.batch as usize * task.groups(), |i| {
        dispatch!(forward_piece(task: &Scan, i: usize));
    });
}

/// Fills the gradients.
///
/// # Safety
/// As for `forward`, whose `kept` stands in `task`; of `gradients`, y and last can be read and the others written.
pub unsafe fn backward(task: &Scan, gradients: &ScanGradients, threads: Threads) {
    for_each(threads, task.batch as usize * task.groups(), |i| {
        dispatch!(backward_piece(task: &Scan, gradients: &ScanGradients, i: usize));
    });
}

/// (p_t, h_t) of one of the n numbers of a vector of channels: written is u_t, before and a are where h_{t-1} and a stand. Where a
/// document begins, what is before is not read: it might be NaN, and 0 · NaN is NaN.
#[inline(always)]
unsafe fn advance<M: Isa>(
    before: *const f32,
    written: M::Vector,
    step: M::Vector,
    a: *const f32,
    b: f32,
    begins: bool,
) -> (M::Vector, M::Vector) {
    let new = M::mul(written, M::splat(b));
    if begins {
        return (M::splat(0.0), new);
    }
    let decay = exp::<M>(M::mul(step, M::load(a)));
    (decay, M::fma(decay, M::load(before), new))
}

#[inline(always)]
unsafe fn forward_piece<M: Isa>(task: &Scan, i: usize) {
    let ((row, group), n) = (task.located(i), task.n as usize);
    let mut scratch = Scratch::take(2 * n * MOST_LANES);
    let mut parts = scratch.parts();
    let (a, h) = (parts.part(n * MOST_LANES), parts.part(n * MOST_LANES));
    for block in 0..task.blocks() {
        for (e, lanes) in task.vectors::<M>(group) {
            let at = task.states(row, e);
            task.gather::<M>(task.a.add(e), lanes, a);
            task.gather::<M>(if block == 0 { task.state } else { task.last }.add(at), lanes, h);
            if !task.kept.is_null() {
                task.scatter::<M>(h, lanes, task.kept.add(block * (task.batch * task.n * task.channels) as usize + at));
            }
            let d = load_n::<M>(task.d.add(e), lanes);
            for t in task.block(block) {
                let token = row * task.tokens as usize + t;
                let (step, x) = task.read::<M>(token, e, lanes);
                let (b, c, written) = (task.b.add(token * n), task.c.add(token * n), M::mul(step, x));
                let begins = task.begins(token);
                let mut y = M::mul(d, x);
                for k in 0..n {
                    let here = h.add(k * M::LANES);
                    let (_, state) = advance::<M>(here, written, step, a.add(k * M::LANES), *b.add(k), begins);
                    M::store(here, state);
                    y = M::fma(state, M::splat(*c.add(k)), y);
                }
                store_n::<M>(task.y.add(token * task.channels as usize + e), y, lanes);
            }
            task.scatter::<M>(h, lanes, task.last.add(at));
        }
    }
}

#[inline(always)]
unsafe fn backward_piece<M: Isa>(task: &Scan, gradients: &ScanGradients, i: usize) {
    let ((row, group), n) = (task.located(i), task.n as usize);
    let (width, block_width) = (n * M::LANES, n * M::LANES * task.places as usize);
    let mut scratch = Scratch::take(4 * width + 4 * block_width);
    let mut parts = scratch.parts();
    let (a, carried, of_a) = (parts.part(width), parts.part(width), parts.part(width)); // (n, lanes)
    let states = parts.part(width + block_width); // (1 + places, n, lanes), the first before the block
    let (decays, of_b, of_c) = (parts.part(block_width), parts.part(block_width), parts.part(block_width)); // (places, n, lanes)
    for block in (0..task.blocks()).rev() {
        let (tokens, last) = (task.block(block), block + 1 == task.blocks());
        std::ptr::write_bytes(of_b, 0, block_width);
        std::ptr::write_bytes(of_c, 0, block_width);
        for (e, lanes) in task.vectors::<M>(group) {
            let at = task.states(row, e);
            task.gather::<M>(task.a.add(e), lanes, a);
            task.gather::<M>(task.kept.add(block * (task.batch * task.n * task.channels) as usize + at), lanes, states);
            task.gather::<M>(if last { gradients.last } else { gradients.state }.add(at), lanes, carried);
            if last {
                std::ptr::write_bytes(of_a, 0, width);
            } else {
                task.gather::<M>(gradients.a.add(at), lanes, of_a);
            }
            for (s, t) in tokens.clone().enumerate() {
                let token = row * task.tokens as usize + t;
                let (step, x) = task.read::<M>(token, e, lanes);
                let (b, written, begins) = (task.b.add(token * n), M::mul(step, x), task.begins(token));
                for k in 0..n {
                    let here = s * width + k * M::LANES;
                    let (decay, state) = advance::<M>(states.add(here), written, step, a.add(k * M::LANES), *b.add(k), begins);
                    M::store(decays.add(here), decay);
                    M::store(states.add(here + width), state);
                }
            }
            let d = load_n::<M>(task.d.add(e), lanes);
            let of_d = gradients.d.add(row * task.channels as usize + e);
            let mut sum_d = if last { M::splat(0.0) } else { load_n::<M>(of_d, lanes) };
            for (s, t) in tokens.clone().enumerate().rev() {
                let token = row * task.tokens as usize + t;
                let (step, x) = task.read::<M>(token, e, lanes);
                let place = token * task.channels as usize + e;
                let g = load_n::<M>(gradients.y.add(place), lanes);
                let (b, c, written) = (task.b.add(token * n), task.c.add(token * n), M::mul(step, x));
                let begins = task.begins(token);
                let (mut of_written, mut of_step) = (M::splat(0.0), M::splat(0.0));
                for k in 0..n {
                    let (at, here) = (k * M::LANES, s * width + k * M::LANES);
                    let adjoint = M::fma(g, M::splat(*c.add(k)), M::load(carried.add(at)));
                    let (to_b, to_c) = (of_b.add(here), of_c.add(here));
                    M::store(to_b, M::fma(adjoint, written, M::load(to_b)));
                    M::store(to_c, M::fma(g, M::load(states.add(here + width)), M::load(to_c)));
                    of_written = M::fma(adjoint, M::splat(*b.add(k)), of_written);
                    if begins {
                        M::store(carried.add(at), M::splat(0.0));
                        continue;
                    }
                    let back = M::mul(adjoint, M::load(decays.add(here)));
                    let of_exponent = M::mul(back, M::load(states.add(here)));
                    of_step = M::fma(of_exponent, M::load(a.add(at)), of_step);
                    M::store(of_a.add(at), M::fma(of_exponent, step, M::load(of_a.add(at))));
                    M::store(carried.add(at), back);
                }
                store_n::<M>(gradients.x.add(place), M::fma(of_written, step, M::mul(g, d)), lanes);
                store_n::<M>(gradients.step.add(place), M::fma(of_written, x, of_step), lanes);
                sum_d = M::fma(g, x, sum_d);
            }
            store_n::<M>(of_d, sum_d, lanes);
            task.scatter::<M>(of_a, lanes, gradients.a.add(at));
            task.scatter::<M>(carried, lanes, gradients.state.add(at));
        }
        let first = (group * (task.batch * task.tokens) as usize + row * task.tokens as usize + tokens.start) * n;
        for k in 0..tokens.len() * n {
            *gradients.b.add(first + k) = M::total(M::load(of_b.add(k * M::LANES)));
            *gradients.c.add(first + k) = M::total(M::load(of_c.add(k * M::LANES)));
        }
    }
}
