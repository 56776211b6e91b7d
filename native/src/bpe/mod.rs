//! Byte-pair encoding, as `linnet/tokenizer/` defines it: text into chunks (`scan`), chunks into ids (`merge`, `encode`), and how
//! merges are learned (`count`, `learn`).

mod borders;
pub mod c_interface;
pub mod count;
pub mod encode;
mod guess;
mod hash;
mod kept;
pub mod learn;
mod list;
mod long;
mod memo;
pub mod merge;
mod pairs;
mod pieces;
pub mod scan;
mod trie;
mod two_bytes;
pub mod unicode;
mod windows;

/// Ask the memory for what will be read soon; any address will do.
#[inline(always)]
fn prefetch<T>(from: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: nothing is read, wherever it points
    unsafe {
        std::arch::x86_64::_mm_prefetch(from.cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}
