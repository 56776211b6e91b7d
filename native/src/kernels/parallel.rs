//! Work in numbered pieces over the threads that the caller has already.
//!
//! PyTorch's threads wait for work by spinning, so threads of our own would fight with them for the cores. Instead the
//! caller hands in the entry of the OpenMP library that runs PyTorch's threads (`GOMP_parallel`), and the pieces are done
//! by those. Each thread begins with stretches of its own, the same ones every time, as PyTorch's kernels share out their
//! rows, so that what a core wrote last is mostly what it reads next; one that is done sooner takes what others have left.
//! Without the library, or with one thread, the calling thread does all. A piece may write only what no other piece
//! writes; then the result is the same for any number of threads. `in_turn` does several such works one after another, and
//! its threads meet in between without leaving the team; a work may turn out not to be needed by what those before it wrote.

use std::ffi::c_void;
use std::hint::spin_loop;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::yield_now;

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
const PATIENCE: usize = 1 << 14; // looks at what others do before the core is offered to them: some hundred microseconds

struct Shared<'a> {
    turns: &'a [usize],
    threads: usize,
    taken: Vec<AtomicBool>,
    done: Vec<AtomicUsize>,
    number: Option<extern "C" fn() -> i32>,
    panicked: AtomicBool,
    piece: &'a (dyn Fn(usize, usize) + Sync),
    passed_over: &'a (dyn Fn(usize) -> bool + Sync),
}

impl Shared<'_> {
    /// Turn by turn, all stretches that nobody has taken yet, this thread's own first.
    fn work(&self) {
        let most = self.threads * STRETCHES;
        let number = self.number.map_or(0, |number| number() as usize);
        for (turn, &n) in self.turns.iter().enumerate() {
            if (self.passed_over)(turn) {
                continue; // all threads see the same: what decides was written in an earlier turn, whose end they waited for
            }
            let count = most.min(n);
            let own = number * count / self.threads;
            for i in 0..count {
                let stretch = (own + i) % count;
                if !self.taken[turn * most + stretch].swap(true, Ordering::Relaxed) {
                    (stretch * n / count..(stretch + 1) * n / count).for_each(|i| (self.piece)(turn, i));
                    self.done[turn].fetch_add(1, Ordering::Release);
                }
            }
            if turn + 1 < self.turns.len() && !self.all_done(turn, count) {
                return;
            }
        }
    }

    /// Wait until a turn's stretches are done. False: one of them panicked.
    fn all_done(&self, turn: usize, count: usize) -> bool {
        let mut looks = 0;
        while self.done[turn].load(Ordering::Acquire) < count {
            if self.panicked.load(Ordering::Relaxed) {
                return false;
            }
            looks += 1;
            if looks < PATIENCE {
                spin_loop();
            } else {
                yield_now(); // somebody else has the core that the other thread needs
            }
        }
        true
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
    in_turn(threads, &[n], |_, i| piece(i));
}

/// `in_turn_unless` without a turn that is passed over.
pub fn in_turn(threads: Threads, turns: &[usize], piece: impl Fn(usize, usize) + Sync) {
    in_turn_unless(threads, turns, |_| false, piece);
}

/// `for_each` with as many pieces as each turn has, `piece(turn, i)`: nobody begins a turn before the last one is done. A turn of which
/// `passed_over(turn)` is true is left out; that may look at what earlier turns wrote, and is the same until the end.
pub fn in_turn_unless(
    threads: Threads,
    turns: &[usize],
    passed_over: impl Fn(usize) -> bool + Sync,
    piece: impl Fn(usize, usize) + Sync,
) {
    let most = turns.iter().copied().max().unwrap_or(0);
    let count = (threads.count as usize).clamp(1, most.max(1));
    let shared = Shared {
        turns,
        threads: count,
        taken: (0..turns.len() * count * STRETCHES).map(|_| AtomicBool::new(false)).collect(),
        done: turns.iter().map(|_| AtomicUsize::new(0)).collect(),
        number: threads.number,
        panicked: AtomicBool::new(false),
        piece: &piece,
        passed_over: &passed_over,
    };
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

    /// A team of four threads of its own, and who is who in it: what OpenMP's entries do.
    extern "C" fn team(work: extern "C" fn(*mut c_void), data: *mut c_void, n: u32, _: u32) {
        let address = data as usize;
        std::thread::scope(|scope| {
            for i in 0..n {
                scope.spawn(move || {
                    NUMBER.set(i as i32);
                    work(address as *mut c_void);
                });
            }
        });
    }

    extern "C" fn number() -> i32 {
        NUMBER.get()
    }

    thread_local! {
        static NUMBER: std::cell::Cell<i32> = const { std::cell::Cell::new(0) };
    }

    const TEAM: Threads = Threads { team: Some(team), number: Some(number), count: 4 };

    #[test]
    fn no_turn_begins_before_the_last_one_is_done() {
        let turns = [3, 0, 1, 40, 1, 7];
        for _ in 0..50 {
            let done: Vec<AtomicUsize> = turns.iter().map(|_| AtomicUsize::new(0)).collect();
            in_turn(TEAM, &turns, |turn, _| {
                for before in 0..turn {
                    assert_eq!(done[before].load(Ordering::Relaxed), turns[before]);
                }
                done[turn].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().zip(turns).all(|(count, n)| count.load(Ordering::Relaxed) == n));
        }
    }

    #[test]
    fn what_an_earlier_turn_decides_is_passed_over() {
        for _ in 0..50 {
            let (asked, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let turns = [5, 3, 4, 2];
            let passed = |turn: usize| turn == 1 || turn == 2 && asked.load(Ordering::Relaxed) == 5;
            in_turn_unless(TEAM, &turns, passed, |turn, _| {
                assert!(turn == 0 || turn == 3);
                (if turn == 0 { &asked } else { &done }).fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!((asked.into_inner(), done.into_inner()), (5, 2));
        }
    }

    #[test]
    fn a_panic_ends_all_turns() {
        let caught = catch_unwind(|| in_turn(TEAM, &[2, 2, 2], |turn, i| assert!((turn, i) != (1, 1))));
        assert!(caught.is_err());
    }
}
