//! C = A B for matrices of any size: B is laid out panel by panel for the tiles of product.rs.
//!
//!     for some of k: for each panel of B, two vectors wide: put it together; C's columns += A · panel, tile by tile
//!
//! A panel is read again for every tile of rows, from the nearest cache, and laying it out costs as much as two of them. The order
//! in which a number of C is summed depends on k alone, so results are the same however C is shared out.

use super::product::{product, transpose, RowMajor, Strided};
use super::scratch::Scratch;
use super::simd::{kind, Isa, Kind};

const DEEP: usize = 256; // of k at a time

/// Whether this was found to be faster than MKL: on AMD's processors. On Zen 4, whose cores can do 117 GFLOP/s each, two of them do
/// products of a small model's shapes at 209 to 221 here, with AVX2 alone at 180 to 212, and at 163 to 192 there.
pub fn pays() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let maker = std::arch::x86_64::__cpuid(0);
        let amd = [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD";
        return amd && kind() != Kind::Portable;
    }
    #[allow(unreachable_code)]
    false
}

/// A matrix as it lies: its rows are `down` apart, and are the columns of what is meant if `turned`.
#[derive(Clone, Copy)]
pub struct Lying {
    pub start: *const f32,
    pub down: usize,
    pub turned: bool,
}

/// C (m, n) = A (m, k) B (k, n), added to what is in C if `add`.
///
/// # Safety
/// All that is named can be read or written.
#[inline(always)]
pub unsafe fn multiply<M: Isa>(m: usize, n: usize, k: usize, a: Strided, b: Lying, c: RowMajor, add: bool) {
    let panel = 2 * M::LANES;
    let mut scratch = Scratch::take((DEEP + m) * panel);
    let mut parts = scratch.parts();
    let (of_b, of_c) = (parts.part(DEEP * panel), parts.part(m * panel));
    let (of_b, of_c) = (RowMajor { start: of_b, down: panel }, RowMajor { start: of_c, down: panel });
    for p in (0..k).step_by(DEEP) {
        let deep = DEEP.min(k - p);
        let a = Strided { start: a.start.add(p * a.across), ..a };
        for j in (0..n).step_by(panel) {
            let wide = panel.min(n - j);
            lay_out::<M>(b, p, deep, j, wide, of_b);
            let to = RowMajor { start: c.start.add(j), ..c };
            match (wide == panel, add || p > 0) {
                (true, true) => product::<M, true>(m, panel, deep, a, of_b, to),
                (true, false) => product::<M, false>(m, panel, deep, a, of_b, to),
                (false, add) => {
                    product::<M, false>(m, wide.next_multiple_of(M::LANES), deep, a, of_b, of_c);
                    hand_over(m, wide, of_c, to, add);
                }
            }
        }
    }
}

/// B's rows from p on and columns from j on, together; zeros beyond its last column.
#[inline(always)]
unsafe fn lay_out<M: Isa>(b: Lying, p: usize, deep: usize, j: usize, wide: usize, to: RowMajor) {
    if b.turned {
        let rows = RowMajor { start: b.start.add(j * b.down + p).cast_mut(), down: b.down };
        return transpose::<M>(rows, wide, deep, to.down, 1.0, to.start);
    }
    for r in 0..deep {
        let (from, row) = (b.start.add((p + r) * b.down + j), to.from(r).start);
        std::ptr::copy_nonoverlapping(from, row, wide);
        std::ptr::write_bytes(row.add(wide), 0, to.down - wide);
    }
}

/// The first `wide` columns of some rows to C, or added to it.
#[inline(always)]
unsafe fn hand_over(m: usize, wide: usize, from: RowMajor, to: RowMajor, add: bool) {
    for r in 0..m {
        let (from, to) = (from.from(r).start, to.from(r).start);
        for i in 0..wide {
            *to.add(i) = if add { *to.add(i) + *from.add(i) } else { *from.add(i) };
        }
    }
}
