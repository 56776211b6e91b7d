//! Work in numbered pieces over the threads that the caller has already.
//!
//! PyTorch's threads wait for work by spinning, so threads of our own would fight with them for the cores. Instead the
//! caller hands in the entry of the OpenMP library that runs PyTorch's threads (`GOMP_parallel`), and the pieces are done
//! by those. Each thread begins with stretches of its own, the same ones every time, as PyTorch's kernels share out their
//! rows, so that what a core wrote last is mostly what it reads next; one that is done sooner takes what others have left.
//! Without the library, or with one thread, the calling thread does all. A piece may write only what no other piece
//! writes; then the result is the same for any number of threads.

use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

/// How the caller's threads are reached, and how many of them to use.
///
/// team     `void GOMP_parallel(void (*work)(void *), void *data, unsigned n_threads, unsigned flags)`
/// number   `int omp_get_thread_num(void)`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Threads {
    pub team: Option<extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, u32, u32)>,
    pub number: Option<extern "C" fn() -> i32>,
    pub count: u64,
}

#[cfg(test)]
impl Threads {
    /// The calling thread alone.
    pub const ONE: Threads = Threads { team: None, number: None, count: 1 };
}

/// Numbers that a thread takes at a time, where each is worked on by itself.
pub const PIECE: usize = 1 << 14;

const STRETCHES: usize = 4; // a thread: one that is done sooner takes stretches of the others

struct Shared<'a> {
    n: usize,
    taken: Vec<AtomicBool>,
    number: Option<extern "C" fn() -> i32>,
    panicked: AtomicBool,
    piece: &'a (dyn Fn(usize) + Sync),
}

impl Shared<'_> {
    /// All stretches that nobody has taken yet, this thread's own first.
    fn work(&self) {
        let count = self.taken.len();
        let own = self.number.map_or(0, |number| number() as usize * STRETCHES);
        for i in 0..count {
            let stretch = (own + i) % count;
            if !self.taken[stretch].swap(true, Ordering::Relaxed) {
                (stretch * self.n / count..(stretch + 1) * self.n / count).for_each(self.piece);
            }
        }
    }
}

extern "C" fn work(data: *mut c_void) {
    // SAFETY: `for_each` passes its own `Shared`, which outlives the team's work
    let shared = unsafe { &*data.cast::<Shared>() };
    if catch_unwind(AssertUnwindSafe(|| shared.work())).is_err() {
        shared.panicked.store(true, Ordering::Relaxed);
    }
}

/// Things of some lengths, cut into pieces of `size` and counted through: which thing piece i is of, and from where to where.
pub fn locate(lengths: impl Iterator<Item = usize>, size: usize, mut i: usize) -> (usize, usize, usize) {
    for (which, length) in lengths.enumerate() {
        let pieces = length.div_ceil(size);
        if i < pieces {
            return (which, i * size, length.min((i + 1) * size));
        }
        i -= pieces;
    }
    unreachable!("piece {i} beyond the last one")
}

/// `piece(0)` … `piece(n - 1)`, each once, in any order and at the same time.
pub fn for_each(threads: Threads, n: usize, piece: impl Fn(usize) + Sync) {
    let count = (threads.count as usize).clamp(1, n.max(1));
    let taken = (0..count * STRETCHES).map(|_| AtomicBool::new(false)).collect();
    let shared = Shared { n, taken, number: threads.number, panicked: AtomicBool::new(false), piece: &piece };
    let data = (&shared as *const Shared).cast_mut().cast();
    match threads.team {
        Some(team) if count > 1 => team(work, data, threads.count as u32, 0), // always all: a team that shrinks ends threads
        _ => work(data),
    }
    assert!(!shared.panicked.load(Ordering::Relaxed), "a piece of the work panicked");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn pieces_are_found() {
        let found: Vec<_> = (0..4).map(|i| locate([5, 0, 3].into_iter(), 2, i)).collect();
        assert_eq!(found, [(0, 0, 2), (0, 2, 4), (0, 4, 5), (2, 0, 2)]);
    }

    #[test]
    fn every_piece_is_done_once() {
        for n in [0, 1, 7, 100] {
            let done: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
            for_each(Threads { count: 4, ..Threads::ONE }, n, |i| {
                done[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }
}
