//! One more token of a selective scan. `linnet/ops/scan.py` has the formula.

use super::super::simd::{exp, load_n, store_n, Isa};

const CHANNELS: usize = 64; // of a piece

/// What a state held and is to hold, (rows, …).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Held {
    pub before: *const f32,
    pub after: *mut f32,
}

/// h (rows, channels, n) and y (rows, channels) after one more token: x, delta (rows, channels), steps being softplus(delta);
/// a_log (channels, n), a being -exp(a_log); b, c (rows, n); skip (channels).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ScanStep {
    pub held: *const Held,
    pub channels: i64,
    pub n: i64,
    pub x: *const f32,
    pub delta: *const f32,
    pub a_log: *const f32,
    pub b: *const f32,
    pub c: *const f32,
    pub skip: *const f32,
    pub y: *mut f32,
}

impl ScanStep {
    pub(super) unsafe fn is_sound(&self) -> bool {
        let read = [self.x, self.delta, self.a_log, self.b, self.c, self.skip];
        let held = !self.held.is_null() && !(*self.held).before.is_null() && !(*self.held).after.is_null();
        self.channels > 0 && self.n > 0 && held && !self.y.is_null() && !read.iter().any(|p| p.is_null())
    }

    fn groups(&self) -> usize {
        (self.channels as usize).div_ceil(CHANNELS)
    }

    pub(super) fn pieces(&self, rows: usize) -> usize {
        rows * self.groups()
    }

    /// positions: of each row's token; at 0 a document begins, and what is before is not read: it might be NaN.
    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, positions: *const i64, i: usize) {
        let (r, first) = (i / self.groups(), i % self.groups() * CHANNELS);
        let (channels, n, begins) = (self.channels as usize, self.n as usize, *positions.add(r) == 0);
        let (b, c) = (self.b.add(r * n), self.c.add(r * n));
        for e in first..channels.min(first + CHANNELS) {
            let (x, step) = (*self.x.add(r * channels + e), softplus(*self.delta.add(r * channels + e)));
            let (a_log, state) = (self.a_log.add(e * n), (r * channels + e) * n);
            let mut sum = M::splat(0.0);
            for k in (0..n).step_by(M::LANES) {
                let lanes = M::LANES.min(n - k);
                let mut h = M::mul(M::splat(step * x), load_n::<M>(b.add(k), lanes));
                if !begins {
                    let a = exp::<M>(load_n::<M>(a_log.add(k), lanes));
                    let decay = exp::<M>(M::mul(M::splat(-step), a));
                    h = M::fma(decay, load_n::<M>((*self.held).before.add(state + k), lanes), h);
                }
                store_n::<M>((*self.held).after.add(state + k), h, lanes);
                sum = M::fma(h, load_n::<M>(c.add(k), lanes), sum);
            }
            *self.y.add(r * channels + e) = M::total(sum) + *self.skip.add(e) * x;
        }
    }
}

/// log(1 + exp x), as PyTorch has it.
fn softplus(x: f32) -> f32 {
    if x > 20.0 {
        x
    } else {
        x.exp().ln_1p()
    }
}
