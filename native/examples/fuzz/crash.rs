//! What a process says that is ended by a signal: which inputs it was at.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

pub const MOST_THREADS: usize = 64;
pub const NONE: u64 = u64::MAX;

/// The input that each thread of the driver is at.
pub static NOW: [AtomicU64; MOST_THREADS] = [const { AtomicU64::new(NONE) }; MOST_THREADS];
/// What the first panic said, of the library's or of the driver's own.
pub static PANIC: Mutex<Option<String>> = Mutex::new(None);
static SEED: AtomicU64 = AtomicU64::new(0);

/// Those that threads are at.
pub fn now() -> impl Iterator<Item = u64> {
    NOW.iter().map(|number| number.load(Ordering::Relaxed)).filter(|&number| number != NONE)
}

/// Say it from now on.
pub fn say_where(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
    #[cfg(unix)]
    for number in unix::SIGNALS {
        unsafe { unix::signal(number, unix::say as *const () as usize) };
    }
}

#[cfg(unix)]
mod unix {
    use super::*;

    /// SIGILL, SIGABRT, SIGBUS (of Linux and of macOS), SIGFPE, SIGSEGV.
    pub const SIGNALS: [i32; 6] = [4, 6, 7, 10, 8, 11];
    const DEFAULT: usize = 0;

    extern "C" {
        pub fn signal(number: i32, handler: usize) -> usize;
        fn write(file: i32, bytes: *const u8, n: usize) -> isize;
    }

    /// Nothing in here allocates. The signal is then raised again by what raised it, and ends the process.
    pub extern "C" fn say(number: i32) {
        let mut room = [0; 100];
        for input in now() {
            let mut rest = &mut room[..];
            let _ = writeln!(rest, "signal {number} at seed {}, number {input}", SEED.load(Ordering::Relaxed));
            let left = rest.len();
            unsafe { write(2, room.as_ptr(), room.len() - left) };
        }
        if let Some(said) = PANIC.try_lock().ok().as_ref().and_then(|said| said.as_deref()) {
            unsafe { write(2, said.as_ptr(), said.len()) };
        }
        unsafe { signal(number, DEFAULT) };
    }
}
