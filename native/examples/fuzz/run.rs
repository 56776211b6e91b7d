//! All inputs of a run, on some threads: which laws each has to keep, and what is said where it does not.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::case::{Case, Held};
use super::crash::{now, NONE, NOW, PANIC};
use super::encoding::Encoders;
use super::mutants::Mutant;
use super::{documents, learning, refused, splitting};

/// Inputs that share a vocabulary and its encoders, and what these remember.
pub const BLOCK: u64 = 512;
const HUNDRED_THOUSAND: usize = 100_000;

pub struct Run {
    pub seed: u64,
    pub from: u64,
    pub to: u64,
    pub seconds: f64,
    pub stuck: u64, // seconds after which a call does not come back
    pub threads: usize,
    pub mutant: Option<Mutant>,
}

/// How far a run has come.
#[derive(Default)]
pub struct Done {
    pub inputs: AtomicU64,
    pub digest: AtomicU64, // a sum, so that the order in which threads come does not matter
    next_block: AtomicU64,
    over: AtomicBool,
}

/// What was broken, as it is told.
pub type Broken = Mutex<Option<String>>;

impl Run {
    /// Do all inputs; where a law is broken, what there is to say.
    pub fn all(&self, done: &Done) -> Option<String> {
        let (began, broken) = (Instant::now(), Broken::default());
        done.next_block.store(self.from / BLOCK, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads)
                .map(|thread| {
                    let broken = &broken;
                    scope.spawn(move || self.work(thread, done, broken, began))
                })
                .collect();
            self.watch(done, || workers.iter().all(|worker| worker.is_finished()));
        });
        broken.into_inner().expect("nobody panics with it")
    }

    /// Blocks of inputs, until there are no more, time is up, or a law is broken.
    fn work(&self, thread: usize, done: &Done, broken: &Broken, began: Instant) {
        let stop = || done.over.load(Ordering::Relaxed) || began.elapsed().as_secs_f64() >= self.seconds;
        while !stop() {
            let block = done.next_block.fetch_add(1, Ordering::Relaxed);
            let (first, last) = ((block * BLOCK).max(self.from), ((block + 1) * BLOCK).min(self.to));
            let mut encoders = None;
            for number in first..last {
                if stop() {
                    break;
                }
                NOW[thread].store(number, Ordering::Relaxed);
                if let Err(said) = self.one(number, block, &mut encoders, done) {
                    broken.lock().expect("nobody panics with it").get_or_insert(said);
                    done.over.store(true, Ordering::Relaxed);
                }
                done.inputs.fetch_add(1, Ordering::Relaxed);
            }
            NOW[thread].store(NONE, Ordering::Relaxed);
            if last >= self.to {
                return;
            }
        }
    }

    /// One input, and before the first of a block its encoders.
    fn one(&self, number: u64, block: u64, encoders: &mut Option<Encoders>, done: &Done) -> Held {
        let mut case = Case::new(self.seed, number, self.mutant);
        let held = catch_unwind(AssertUnwindSafe(|| {
            if encoders.is_none() {
                // a chance of its own, whichever input of the block comes first
                *encoders = Some(Encoders::new(&mut Case::new(!self.seed, block, self.mutant))?);
            }
            if let Some(encoders) = encoders {
                keep_laws(&mut case, encoders)?;
            }
            Ok(())
        }));
        done.digest.fetch_add(case.digest, Ordering::Relaxed);
        let panic = PANIC.lock().ok().and_then(|mut said| said.take());
        let said = match (held, panic) {
            (Ok(Err(said)), Some(panic)) => format!("{said}; a panic: {panic}"),
            (Ok(Err(said)), None) => said,
            (_, Some(said)) => format!("a panic: {said}"),
            (Ok(Ok(())), None) => return Ok(()),
            (Err(_), None) => "a panic on this thread, of which another one has told".into(),
        };
        Err(self.told(number, block, &said, &case.texts))
    }

    fn told(&self, number: u64, block: u64, said: &str, texts: &[Box<[u8]>]) -> String {
        let (seed, first) = (self.seed, block * BLOCK);
        let mut told = format!("seed {seed}, number {number}: {said}\n");
        told += &format!("again: --seed {seed} --from {number} --inputs 1\n");
        told += &format!("with all that its encoders met: --seed {seed} --from {first} --inputs {}\n", number - first + 1);
        for (i, text) in texts.iter().enumerate() {
            told += &format!("text {i}, {} bytes\n{}", text.len(), dump(text));
        }
        told
    }

    /// Say how many are done, once a second, and end the process where one call takes too long.
    fn watch(&self, done: &Done, finished: impl Fn() -> bool) {
        let (mut told, mut moved, mut before) = (Instant::now(), Instant::now(), 0);
        while !finished() {
            std::thread::sleep(Duration::from_millis(5));
            let inputs = done.inputs.load(Ordering::Relaxed);
            if inputs != before {
                (moved, before) = (Instant::now(), inputs);
            }
            if moved.elapsed().as_secs() >= self.stuck {
                for number in now() {
                    println!("seed {}, number {number}: no answer in {} seconds", self.seed, self.stuck);
                }
                std::process::exit(1);
            }
            if told.elapsed().as_secs() >= 1 {
                told = Instant::now();
                eprintln!("done {inputs}");
            }
        }
    }
}

/// The laws of one part of the library; calls that take long come seldom.
fn keep_laws(case: &mut Case, encoders: &Encoders) -> Held {
    match case.mutant {
        Some(Mutant::Panic) => drop(catch_unwind(|| panic!("as a mutant"))),
        Some(Mutant::Crash) => std::process::abort(),
        Some(Mutant::Hang) => std::thread::sleep(Duration::from_secs(3600)),
        _ => {}
    }
    match case.chance.below(HUNDRED_THOUSAND) {
        0..=19 => encoders.encode_on_threads(case),
        20..=29 => learning::learn_on_threads(case),
        30..=21_999 => splitting::split_text(case),
        22_000..=49_999 => encoders.encode_text(case),
        50_000..=56_999 => encoders.encode_texts(case),
        57_000..=59_999 => encoders.encode_to_disk(case),
        60_000..=67_999 => learning::learn_merges(case),
        68_000..=74_999 => documents::look(case),
        75_000..=81_999 => documents::close(case),
        82_000..=87_999 => documents::words(case),
        88_000..=91_999 => documents::minhash(case),
        92_000..=94_999 => documents::cut(case),
        _ => refused::refuse(case),
    }
}

/// Bytes in hexadecimal and as ASCII, sixteen a line; of a long text both ends.
fn dump(text: &[u8]) -> String {
    const LINES: usize = 64;
    let lines = text.len().div_ceil(16);
    let mut dump = String::new();
    for (i, line) in text.chunks(16).enumerate() {
        if lines > LINES && i == LINES / 2 {
            dump += "  …\n";
        }
        if i < LINES / 2 || i >= lines.saturating_sub(LINES / 2) {
            let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let seen: String = line.iter().map(|&byte| if (32..127).contains(&byte) { byte as char } else { '.' }).collect();
            dump += &format!("  {:06x}  {:47}  {seen}\n", 16 * i, hex.join(" "));
        }
    }
    dump
}
