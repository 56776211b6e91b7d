//! The kernels of training and decoding on a CPU: what PyTorch's own leave on the table for small models.
//!
//! Each is written once over `simd::Isa`, compiled for AVX-512, for AVX2 and for any processor, and chosen when it
//! is called. All work on float32 in arrays of the caller; what they compute is defined in `linnet/ops/*.py`, where the
//! readable form of each stands as its oracle.

#![allow(clippy::needless_range_loop)] // loops over the lanes and rows of a tile say what they do by their counters

pub mod attention;
pub mod cross_entropy;
pub mod few_rows;
pub mod gelu;
pub mod large_product;
pub mod matmul;
pub mod norm;
pub mod optimizer;
pub mod parallel;
pub mod product;
pub mod program;
pub mod scan;
pub mod scratch;
pub mod simd;
