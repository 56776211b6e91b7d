//! Vectors of float32 on three kinds of processor, behind one trait.
//!
//! A kernel is an `#[inline(always)]` function over `M: Isa`; `dispatch!` compiles it once for each set of
//! instructions, with these allowed, and calls the best one that this processor has.

use std::sync::atomic::{AtomicU8, Ordering};

/// Numbers in the widest vector.
pub const MOST_LANES: usize = 16;

/// Rows and columns of what `Isa::turn_square` turns.
pub const SQUARE: usize = 8;

/// A set of instructions on vectors. All functions need a processor that has them: call them from `dispatch!` alone.
#[allow(clippy::missing_safety_doc)]
pub trait Isa {
    /// Numbers in a vector.
    const LANES: usize;
    /// Vector registers.
    const REGISTERS: usize;
    type Vector: Copy;

    unsafe fn splat(x: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut f32, x: Self::Vector);
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn sqrt(x: Self::Vector) -> Self::Vector;
    /// a · b + c
    unsafe fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The smaller of two numbers; b where one of them is NaN.
    unsafe fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger of two numbers; b where one of them is NaN.
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// x where `seen` is not 0, else 0, also where x is no number.
    unsafe fn keep(seen: Self::Vector, x: Self::Vector) -> Self::Vector;
    /// The nearest whole numbers.
    unsafe fn round(x: Self::Vector) -> Self::Vector;
    /// 2 to the power of whole numbers from -126 to 127.
    unsafe fn exp2_whole(x: Self::Vector) -> Self::Vector;
    unsafe fn total(x: Self::Vector) -> f32;
    /// The totals of four vectors; cheaper than one after another.
    #[inline(always)]
    unsafe fn totals(x: [Self::Vector; 4]) -> [f32; 4] {
        x.map(|x| Self::total(x))
    }
    /// A square of `SQUARE` rows to its columns: rows `down` apart at `from`, times `scale`, to rows `to_down` apart.
    #[inline(always)]
    unsafe fn turn_square(from: *const f32, down: usize, scale: f32, to: *mut f32, to_down: usize) {
        for r in 0..SQUARE {
            for c in 0..SQUARE {
                *to.add(c * to_down + r) = *from.add(r * down + c) * scale;
            }
        }
    }
    /// Ask the memory for what will be read soon; any address will do.
    unsafe fn prefetch(from: *const f32);
}

/// e to the power of x to within 2 units of the last place; x is held between -87.3 and 88, and NaN stays NaN.
///
/// x = n ln 2 + r with |r| ≤ ½ ln 2, and e^r by its Taylor series to r⁷ / 7!, whose rest is below 2⁻²⁷.
#[inline(always)]
#[allow(clippy::missing_safety_doc)]
pub unsafe fn exp<M: Isa>(x: M::Vector) -> M::Vector {
    let x = M::min(M::splat(88.0), M::max(M::splat(-87.3), x));
    let n = M::round(M::mul(x, M::splat(std::f32::consts::LOG2_E)));
    let r = M::fma(n, M::splat(-0.693_359_4), x); // ln 2 in two parts, of which the first is exact in 12 bits
    let r = M::fma(n, M::splat(2.121_944_4e-4), r);
    let mut series = M::splat(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = M::fma(series, r, M::splat(coefficient));
    }
    M::mul(series, M::exp2_whole(n))
}

/// The first n numbers of a vector; the others are 0.
///
/// # Safety
/// n numbers can be read.
#[inline(always)]
pub unsafe fn load_some<M: Isa>(from: *const f32, n: usize) -> M::Vector {
    let mut padded = [0.0; MOST_LANES];
    std::ptr::copy_nonoverlapping(from, padded.as_mut_ptr(), n);
    M::load(padded.as_ptr())
}

/// The first n numbers of a vector to where they belong.
///
/// # Safety
/// n numbers can be written.
#[inline(always)]
pub unsafe fn store_some<M: Isa>(to: *mut f32, x: M::Vector, n: usize) {
    let mut padded = [0.0; MOST_LANES];
    M::store(padded.as_mut_ptr(), x);
    std::ptr::copy_nonoverlapping(padded.as_ptr(), to, n);
}

/// n numbers, which are a whole vector or the last of a row; the lanes beyond are 0.
///
/// # Safety
/// n numbers can be read.
#[inline(always)]
pub unsafe fn load_n<M: Isa>(from: *const f32, n: usize) -> M::Vector {
    if n == M::LANES {
        M::load(from)
    } else {
        load_some::<M>(from, n)
    }
}

/// n numbers to where they belong, a whole vector or the last of a row.
///
/// # Safety
/// n numbers can be written.
#[inline(always)]
pub unsafe fn store_n<M: Isa>(to: *mut f32, x: M::Vector, n: usize) {
    if n == M::LANES {
        M::store(to, x);
    } else {
        store_some::<M>(to, x, n);
    }
}

/// Any processor: eight numbers that the compiler turns into whatever vectors there are.
pub struct Portable;

impl Isa for Portable {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    type Vector = [f32; 8];

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 8] {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 8] {
        from.cast::<[f32; 8]>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: [f32; 8]) {
        to.cast::<[f32; 8]>().write_unaligned(x);
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn sqrt(x: [f32; 8]) -> [f32; 8] {
        x.map(f32::sqrt)
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn min(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn max(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn keep(seen: [f32; 8], x: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| if seen[i] != 0.0 { x[i] } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn round(x: [f32; 8]) -> [f32; 8] {
        const MAGIC: f32 = 12_582_912.0; // 1.5 · 2²³: adding it leaves no room for a fraction
        std::array::from_fn(|i| (x[i] + MAGIC) - MAGIC)
    }
    #[inline(always)]
    unsafe fn exp2_whole(x: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| f32::from_bits(((x[i] as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    unsafe fn total(x: [f32; 8]) -> f32 {
        ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86;

/// The sets by the width of their vectors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Portable,
    Avx2,
    Avx512,
}

static AT_MOST: AtomicU8 = AtomicU8::new(Kind::Avx512 as u8);

/// The best set that this processor has, of those that are allowed.
pub fn kind() -> Kind {
    #[cfg(target_arch = "x86_64")]
    {
        let allowed = |kind: Kind| AT_MOST.load(Ordering::Relaxed) >= kind as u8;
        if allowed(Kind::Avx512) && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
            return Kind::Avx512;
        }
        if allowed(Kind::Avx2) && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Kind::Avx2;
        }
    }
    Kind::Portable
}

/// Allow no wider vectors than these: for tests, which want to see them all.
pub fn allow_at_most(kind: Kind) {
    AT_MOST.store(kind as u8, Ordering::Relaxed);
}

/// `dispatch!(kernel(a: A, b: B) -> C)` calls `kernel::<M>(a, b)` for this processor's `M`.
#[macro_export]
macro_rules! dispatch {
    ($kernel:ident ( $($name:ident : $type:ty),* $(,)? ) $(-> $result:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
        unsafe fn avx512($($name: $type),*) $(-> $result)? {
            $kernel::<$crate::kernels::simd::Avx512>($($name),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2($($name: $type),*) $(-> $result)? {
            $kernel::<$crate::kernels::simd::Avx2>($($name),*)
        }
        match $crate::kernels::simd::kind() {
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::simd::Kind::Avx512 => avx512($($name),*),
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::simd::Kind::Avx2 => avx2($($name),*),
            _ => $kernel::<$crate::kernels::simd::Portable>($($name),*),
        }
    }};
}
