//! C = A B and C += A B for matrices that fit the cache: what attention is made of.
//!
//! B and C lie in rows; A is read number by number with two steps, so that it may lie either way. A tile of C is held in
//! registers while k runs: for each k a few vectors of B, and each number of A's column spread over a vector.

use super::simd::{Isa, SQUARE};

/// A matrix of which number (i, j) lies at `start + i * down + j * across`.
#[derive(Clone, Copy)]
pub struct Strided {
    pub start: *const f32,
    pub down: usize,
    pub across: usize,
}

/// A matrix in rows that are `down` apart.
#[derive(Clone, Copy)]
pub struct RowMajor {
    pub start: *mut f32,
    pub down: usize,
}

impl RowMajor {
    /// The rows from `row` on.
    ///
    /// # Safety
    /// There are so many rows.
    #[inline(always)]
    pub unsafe fn from(self, row: usize) -> RowMajor {
        RowMajor { start: self.start.add(row * self.down), ..self }
    }
}

/// `live` rows (K) transposed to (K, block) and scaled; lanes beyond are zeros.
///
/// # Safety
/// The rows can be read, and `to` has room for K times `block` numbers.
#[inline(always)]
pub unsafe fn transpose<M: Isa>(rows: RowMajor, live: usize, width: usize, block: usize, scale: f32, to: *mut f32) {
    if live < block {
        std::ptr::write_bytes(to, 0, width * block);
    }
    let (square_rows, square_columns) = (live / SQUARE * SQUARE, width / SQUARE * SQUARE);
    for r in (0..square_rows).step_by(SQUARE) {
        for c in (0..square_columns).step_by(SQUARE) {
            M::turn_square(rows.from(r).start.add(c), rows.down, scale, to.add(c * block + r), block);
        }
    }
    for r in 0..live {
        for c in (if r < square_rows { square_columns } else { 0 })..width {
            *to.add(c * block + r) = *rows.from(r).start.add(c) * scale;
        }
    }
}

/// C (m, n) = A (m, k) B (k, n), added to what is in C if `ADD`.
///
/// # Safety
/// n is a multiple of `M::LANES`, and all that is named can be read or written.
#[inline(always)]
pub unsafe fn product<M: Isa, const ADD: bool>(m: usize, n: usize, k: usize, a: Strided, b: RowMajor, c: RowMajor) {
    let mut j = 0;
    while j < n {
        let wide = j + 2 * M::LANES <= n;
        let (b, c) = (RowMajor { start: b.start.add(j), ..b }, RowMajor { start: c.start.add(j), ..c });
        if wide && M::REGISTERS == 32 {
            column::<M, 12, 2, ADD>(m, k, a, b, c);
        } else if wide {
            column::<M, 6, 2, ADD>(m, k, a, b, c);
        } else if M::REGISTERS == 32 {
            column::<M, 16, 1, ADD>(m, k, a, b, c);
        } else {
            column::<M, 8, 1, ADD>(m, k, a, b, c);
        }
        j += if wide { 2 * M::LANES } else { M::LANES };
    }
}

/// W vectors of all rows of C: R rows at a time, then those that are left.
#[inline(always)]
unsafe fn column<M: Isa, const R: usize, const W: usize, const ADD: bool>(
    m: usize,
    k: usize,
    a: Strided,
    b: RowMajor,
    c: RowMajor,
) {
    let mut i = 0;
    let at = |i: usize| (Strided { start: a.start.add(i * a.down), ..a }, c.start.add(i * c.down));
    while i + R <= m {
        let (a, to) = at(i);
        tile::<M, R, W, ADD>(k, a, b, to, c.down);
        i += R;
    }
    while i + 4 <= m {
        let (a, to) = at(i);
        tile::<M, 4, W, ADD>(k, a, b, to, c.down);
        i += 4;
    }
    while i < m {
        let (a, to) = at(i);
        tile::<M, 1, W, ADD>(k, a, b, to, c.down);
        i += 1;
    }
}

/// R rows and W vectors of C.
#[inline(always)]
unsafe fn tile<M: Isa, const R: usize, const W: usize, const ADD: bool>(
    k: usize,
    a: Strided,
    b: RowMajor,
    c: *mut f32,
    c_down: usize,
) {
    let mut sums = [[M::splat(0.0); W]; R];
    for p in 0..k {
        let mut row = [M::splat(0.0); W];
        for w in 0..W {
            row[w] = M::load(b.start.add(p * b.down + w * M::LANES));
        }
        for r in 0..R {
            let number = M::splat(*a.start.add(r * a.down + p * a.across));
            for w in 0..W {
                sums[r][w] = M::fma(number, row[w], sums[r][w]);
            }
        }
    }
    for r in 0..R {
        for w in 0..W {
            let to = c.add(r * c_down + w * M::LANES);
            M::store(to, if ADD { M::add(M::load(to), sums[r][w]) } else { sums[r][w] });
        }
    }
}
