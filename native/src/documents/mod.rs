//! What `linnet/data/` has to know of every document before it is kept: its fingerprint, its length, what is odd about it, its
//! words, and a signature that near copies share.

mod blake2b;
pub mod c_interface;
mod close;
mod cut;
mod look;
mod minhash;
mod words;
