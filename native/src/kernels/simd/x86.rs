//! AVX-512 and AVX2.

use super::Isa;
use std::arch::x86_64::*;

/// 16 numbers a vector, 32 vectors.
pub struct Avx512;

impl Isa for Avx512 {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    type Vector = __m512;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        _mm512_loadu_ps(from)
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: __m512) {
        _mm512_storeu_ps(to, x);
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        _mm512_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        _mm512_div_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sqrt(x: __m512) -> __m512 {
        _mm512_sqrt_ps(x)
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        _mm512_min_ps(a, b)
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn keep(seen: __m512, x: __m512) -> __m512 {
        _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(seen, _mm512_setzero_ps()), x)
    }
    #[inline(always)]
    unsafe fn round(x: __m512) -> __m512 {
        _mm512_roundscale_ps::<0>(x)
    }
    #[inline(always)]
    unsafe fn exp2_whole(x: __m512) -> __m512 {
        _mm512_scalef_ps(_mm512_set1_ps(1.0), x)
    }
    #[inline(always)]
    unsafe fn total(x: __m512) -> f32 {
        _mm512_reduce_add_ps(x)
    }
    #[inline(always)]
    unsafe fn totals(x: [__m512; 4]) -> [f32; 4] {
        let halves = x.map(|x| _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x)));
        Avx2::totals(halves)
    }
    #[inline(always)]
    unsafe fn turn_square(from: *const f32, down: usize, scale: f32, to: *mut f32, to_down: usize) {
        turn_square(from, down, scale, to, to_down);
    }
    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        _mm_prefetch::<_MM_HINT_T0>(from.cast());
    }
}

/// 8 numbers a vector, 16 vectors.
pub struct Avx2;

impl Isa for Avx2 {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    type Vector = __m256;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        _mm256_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        _mm256_loadu_ps(from)
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: __m256) {
        _mm256_storeu_ps(to, x);
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        _mm256_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        _mm256_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        _mm256_div_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sqrt(x: __m256) -> __m256 {
        _mm256_sqrt_ps(x)
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        _mm256_min_ps(a, b)
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        _mm256_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn keep(seen: __m256, x: __m256) -> __m256 {
        _mm256_and_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(seen, _mm256_setzero_ps()), x)
    }
    #[inline(always)]
    unsafe fn round(x: __m256) -> __m256 {
        _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x)
    }
    #[inline(always)]
    unsafe fn exp2_whole(x: __m256) -> __m256 {
        let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
    }
    #[inline(always)]
    unsafe fn total(x: __m256) -> f32 {
        let half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
        _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
    }
    #[inline(always)]
    unsafe fn totals(x: [__m256; 4]) -> [f32; 4] {
        let pairs = _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3])); // four totals of each half
        let whole = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
        std::mem::transmute::<__m128, [f32; 4]>(whole)
    }
    #[inline(always)]
    unsafe fn turn_square(from: *const f32, down: usize, scale: f32, to: *mut f32, to_down: usize) {
        turn_square(from, down, scale, to, to_down);
    }
    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        _mm_prefetch::<_MM_HINT_T0>(from.cast());
    }
}

/// Four columns of eight rows at a time: rows 0 to 3 in one half of the vectors, 4 to 7 in the other.
#[inline(always)]
unsafe fn turn_square(from: *const f32, down: usize, scale: f32, to: *mut f32, to_down: usize) {
    let scale = _mm256_set1_ps(scale);
    for half in [0, 4] {
        let rows = |i: usize| {
            let (low, high) = (_mm_loadu_ps(from.add(i * down + half)), _mm_loadu_ps(from.add((i + 4) * down + half)));
            _mm256_mul_ps(scale, _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1))
        };
        let (a, b, c, d) = (rows(0), rows(1), rows(2), rows(3));
        let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d)); // a₀ b₀ a₁ b₁
        let (ab_later, cd_later) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d)); // a₂ b₂ a₃ b₃
        let to = to.add(half * to_down);
        _mm256_storeu_ps(to, _mm256_shuffle_ps(ab, cd, 0b01_00_01_00));
        _mm256_storeu_ps(to.add(to_down), _mm256_shuffle_ps(ab, cd, 0b11_10_11_10));
        _mm256_storeu_ps(to.add(2 * to_down), _mm256_shuffle_ps(ab_later, cd_later, 0b01_00_01_00));
        _mm256_storeu_ps(to.add(3 * to_down), _mm256_shuffle_ps(ab_later, cd_later, 0b11_10_11_10));
    }
}
