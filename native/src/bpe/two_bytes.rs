//! What is known, exactly, of two bytes in a row while each is a token by itself: the first merges of a window need no other table.
//!
//! They can be merged at once where their rank is lower than both `left` and `right` of what stands around them: in a vocabulary in
//! order (`merge.rs`) whatever takes the first away joins it to a token on its left, at no less than `left` of these two bytes' left
//! neighbours, and so for the second.

use super::guess::Merge;
use super::pairs::NEVER;

/// What is known of two bytes in a row while each is a token by itself.
#[derive(Clone, Copy)]
pub struct TwoBytes {
    pub rank: u32,
    pub left: u32,  // the lowest rank of the second and any token on its left that ends with the first
    pub right: u32, // the lowest rank of the first and any token on its right that begins with the second
    pub made: u32,
}

const ROW: usize = 256 + 28; // by one byte: with rows of 256 all of them begin at one place of the nearest cache, which holds eight of these

/// By two bytes.
pub struct Table(Box<[TwoBytes; 256 * ROW]>);

impl Table {
    #[inline(always)]
    pub fn of(&self, a: u8, b: u8) -> TwoBytes {
        self.0[place(a, b)]
    }
}

#[inline(always)]
fn place(a: u8, b: u8) -> usize {
    usize::from(a) * ROW + usize::from(b)
}

/// Of merges with their ranks.
pub fn two_bytes(ranked: impl Iterator<Item = (u32, Merge)>, tokens: &[&[u8]]) -> Table {
    let mut found = vec![TwoBytes { rank: NEVER, left: NEVER, right: NEVER, made: 0 }; 256 * ROW];
    for (rank, merge) in ranked {
        let (left, right) = (tokens[merge.left as usize], tokens[merge.right as usize]);
        let two = &mut found[place(left[left.len() - 1], right[0])];
        if left.len() == 1 {
            two.right = two.right.min(rank);
        }
        if right.len() == 1 {
            two.left = two.left.min(rank);
        }
        if left.len() + right.len() == 2 {
            (two.rank, two.made) = (rank, merge.made);
        }
    }
    Table(found.into_boxed_slice().try_into().map_err(|_| ()).expect("as many as were made"))
}
