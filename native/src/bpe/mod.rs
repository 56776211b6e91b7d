//! Byte-pair encoding, as `linnet/tokenizer/` defines it: text into chunks (`scan`), chunks into ids (`merge`, `encode`), and how
//! merges are learned (`count`, `learn`).

pub mod border;
mod borders;
pub mod count;
pub mod encode;
mod guess;
mod hash;
mod kept;
pub mod learn;
mod list;
pub mod merge;
mod pairs;
mod pieces;
pub mod scan;
mod trie;
pub mod unicode;
mod windows;
