//! What is done head by head: columns put elsewhere, and a matrix for each head.

use super::super::simd::{load_n, store_n, Isa};

/// d columns of `count` rows, from rows that are `from_n` numbers apart to rows that are `to_n` apart.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Columns {
    pub count: i64,
    pub d: i64,
    pub from_n: i64,
    pub to_n: i64,
    pub from: *const f32,
    pub to: *mut f32,
}

/// y (rows, heads, f) of x (rows, heads, d) by a matrix for each head: w (heads, f, d), or (heads, d, f) if `turned`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ByHead {
    pub heads: i64,
    pub d: i64,
    pub f: i64,
    pub turned: i32,
    pub x: *const f32,
    pub w: *const f32,
    pub y: *mut f32,
}

impl Columns {
    pub(super) fn is_sound(&self) -> bool {
        self.count > 0 && self.d > 0 && self.d <= self.from_n.min(self.to_n) && !self.from.is_null() && !self.to.is_null()
    }

    /// All of it: some numbers.
    pub(super) unsafe fn piece(&self) {
        for i in 0..self.count as usize {
            let (from, to) = (self.from.add(i * self.from_n as usize), self.to.add(i * self.to_n as usize));
            std::ptr::copy_nonoverlapping(from, to, self.d as usize);
        }
    }
}

impl ByHead {
    pub(super) fn is_sound(&self) -> bool {
        let sizes = self.heads > 0 && self.d > 0 && self.f > 0;
        sizes && !self.x.is_null() && !self.w.is_null() && !self.y.is_null()
    }

    /// One head of one row.
    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, i: usize) {
        let (d, f) = (self.d as usize, self.f as usize);
        let w = self.w.add(i % self.heads as usize * d * f);
        let (x, y) = (self.x.add(i * d), self.y.add(i * f));
        if self.turned != 0 {
            for k in (0..f).step_by(M::LANES) {
                let (lanes, mut sum) = (M::LANES.min(f - k), M::splat(0.0));
                for j in 0..d {
                    sum = M::fma(M::splat(*x.add(j)), load_n::<M>(w.add(j * f + k), lanes), sum);
                }
                store_n::<M>(y.add(k), sum, lanes);
            }
            return;
        }
        for k in 0..f {
            let mut sum = M::splat(0.0);
            for j in (0..d).step_by(M::LANES) {
                let lanes = M::LANES.min(d - j);
                sum = M::fma(load_n::<M>(x.add(j), lanes), load_n::<M>(w.add(k * d + j), lanes), sum);
            }
            *y.add(k) = M::total(sum);
        }
    }
}
