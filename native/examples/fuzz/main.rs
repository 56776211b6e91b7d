//! Fuzzing of the C border: random inputs to the functions of `include/linnet.h` that take text, and laws that must hold.
//!
//!     cargo run --release --example fuzz -- --inputs 1000000 --seed 1
//!
//! An input is a text or a few, and a call or a few: all of it follows from the seed and the input's number, so that one can be
//! had again alone. A law says that no byte is lost, or that the answer is that of `slow/`, which does the same in
//! the plainest way. Nothing of the library is called but by the border (`header.rs`), with pointers, as C does.
//!
//! Ends with 0 where all laws were kept, with 1 and the input where one was not, with 2 for arguments that it does not know.

/// End a function with what was broken, unless a law holds.
macro_rules! law {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Err(format!($($said)+));
        }
    };
}

mod case;
mod chance;
mod crash;
mod documents;
mod encoding;
mod given;
mod header;
mod learning;
mod mutants;
mod refused;
mod run;
mod slow;
mod splitting;
mod text;
mod vocabulary;

use std::process::exit;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mutants::{Mutant, MUTANTS};
use run::{Done, Run};

const HELP: &str = "\
fuzz: random inputs to the C border, and laws that must hold

--seed N      which inputs (0)
--from N      number of the first one (0)
--inputs N    how many (100000)
--seconds S   begin none after that time (no bound)
--threads N   how many work at once, each on other inputs (1)
--stuck S     seconds after which a call counts as one that never comes back (120)
--mutant M    damage what the library gives, to see that it is found:
";

fn main() {
    let run = asked(std::env::args().skip(1)).unwrap_or_else(|problem| {
        eprintln!("{problem}");
        exit(2);
    });
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut said) = crash::PANIC.lock() {
            said.get_or_insert(panic.to_string());
        }
    }));
    crash::say_where(run.seed);
    let (began, done) = (Instant::now(), Done::default());
    let broken = run.all(&done);
    let (inputs, seconds) = (done.inputs.load(Ordering::Relaxed), began.elapsed().as_secs_f64());
    if let Some(broken) = broken {
        print!("{broken}");
        exit(1);
    }
    println!(
        "seed {}: {inputs} inputs from {} on in {seconds:.1} s, {:.1} µs each; all laws kept; digest {:016x}",
        run.seed,
        run.from,
        1e6 * seconds * run.threads as f64 / inputs.max(1) as f64,
        done.digest.load(Ordering::Relaxed)
    );
    if inputs < run.to - run.from {
        println!("time was up: {} inputs of {} were not tried", run.to - run.from - inputs, run.to - run.from);
    }
}

/// What is asked for on the command line, or what is wrong with it.
fn asked(mut words: impl Iterator<Item = String>) -> Result<Run, String> {
    let mut run = Run { seed: 0, from: 0, to: 0, seconds: f64::INFINITY, stuck: 120, threads: 1, mutant: None };
    let mut inputs = 100_000;
    while let Some(word) = words.next() {
        if word == "--help" {
            let mutants: String = MUTANTS.iter().map(|(_, word, meaning)| format!("    {word:<18}{meaning}\n")).collect();
            print!("{HELP}{mutants}");
            exit(0);
        }
        let value = words.next().ok_or(format!("{word} wants a value; --help says which"))?;
        let number = || value.replace('_', "").parse::<u64>().map_err(|_| format!("{word} {value}: wants a whole number"));
        match word.as_str() {
            "--seed" => run.seed = number()?,
            "--from" => run.from = number()?,
            "--inputs" => inputs = number()?,
            "--stuck" => run.stuck = number()?,
            "--seconds" => run.seconds = value.parse().map_err(|_| format!("{word} {value}: wants a number"))?,
            "--threads" => run.threads = (number()? as usize).clamp(1, crash::MOST_THREADS),
            "--mutant" => {
                run.mutant =
                    Some(Mutant::called(&value).ok_or(format!("there is no mutant {value}; --help says which there are"))?)
            }
            _ => return Err(format!("{word} is not known; --help says what is")),
        }
    }
    run.to = run.from.checked_add(inputs).ok_or("--from and --inputs go beyond 2^64")?;
    Ok(run)
}
