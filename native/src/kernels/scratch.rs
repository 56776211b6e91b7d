//! Memory for the time of a call, kept by its thread for the next one.

use super::simd::MOST_LANES;
use std::cell::RefCell;

/// Room for some numbers; calls that stand within one another get different ones.
pub struct Scratch {
    lines: Vec<Line>,
}

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; MOST_LANES]);

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

impl Scratch {
    /// Room for n numbers and a vector beyond.
    pub fn take(n: usize) -> Scratch {
        let mut lines = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        let needed = n.div_ceil(MOST_LANES) + 1;
        if lines.len() < needed {
            lines.resize(needed, Line([0.0; MOST_LANES]));
        }
        Scratch { lines }
    }

    /// The room, to be handed out from its beginning.
    pub fn parts(&mut self) -> Parts {
        Parts { next: self.lines.as_mut_ptr().cast() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        FREE.with_borrow_mut(|free| free.push(lines));
    }
}

/// Where the next part begins. A copy hands out the same parts again.
#[derive(Clone, Copy)]
pub struct Parts {
    next: *mut f32,
}

impl Parts {
    /// The next n numbers.
    ///
    /// # Safety
    /// The parts are no more together than `take` was asked for, and are not used after the `Scratch` is gone.
    pub unsafe fn part(&mut self, n: usize) -> *mut f32 {
        let part = self.next;
        self.next = part.add(n);
        part
    }
}
