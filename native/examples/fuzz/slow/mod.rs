//! What the library does, once more: as slow and as plain as can be, and with nothing of the library's own.

pub mod blake2b;
pub mod documents;
pub mod learn;
pub mod merge;
pub mod split;
