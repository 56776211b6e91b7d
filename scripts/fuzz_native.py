"""Fuzz the Rust library across its C border: no crash, no byte lost, and with --valgrind no leak and no stray read.

    python scripts/fuzz_native.py --inputs 10_000_000 --seed 1
    python scripts/fuzz_native.py --valgrind --inputs 20_000 --seed 1
    python scripts/fuzz_native.py --checked --inputs 1_000_000 --seed 1

native/examples/fuzz/ is what does it: its first page says what an input is, and what the laws are. Here it is built with cargo
and run. Whatever it finds is told with the seed and the input's number, which give the same input again. --checked builds it
with Rust's checks for overflow and for misuse of pointers, which a release has not; --mutant damages what the library gives, to
see that it would be found.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

NATIVE = Path(__file__).resolve().parent.parent / "native"
LEAK = 99  # valgrind's exit status where it found something
VALGRIND = [
    "valgrind",
    "--quiet",
    "--leak-check=full",
    "--show-leak-kinds=definite,indirect",  # "possible" are also Rust's own records of threads
    "--errors-for-leak-kinds=definite,indirect",
    f"--error-exitcode={LEAK}",
]
CHECKS = {"CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS": "true", "CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS": "true"}


def built(target: Path, *, checked: bool = False) -> Path:
    """The driver, compiled."""
    if shutil.which("cargo") is None:
        raise SystemExit("cargo is not there, which compiles the driver; Rust 1.89 or newer brings it: https://rustup.rs")
    target = target / "checked" if checked else target
    command = ["cargo", "build", "--release", "--quiet", "--example", "fuzz", "--manifest-path", str(NATIVE / "Cargo.toml")]
    outcome = subprocess.run([*command, "--target-dir", str(target)], env=os.environ | (CHECKS if checked else {}), check=False)
    if outcome.returncode:
        raise SystemExit(f"cargo could not compile the driver (status {outcome.returncode}); what it says stands above")
    return target / "release" / "examples" / ("fuzz.exe" if os.name == "nt" else "fuzz")


def under_valgrind(command: Sequence[str]) -> list[str]:
    """The same command, watched."""
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not there, which looks for leaks; most systems have a package of that name")
    return [*VALGRIND, *command]


def followed(command: Sequence[str], inputs: int) -> int:
    """Run the driver and say how far it is; its exit status, and the signal's negative number where one ended it."""
    began, told, tty = time.monotonic(), 0.0, sys.stderr.isatty()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stderr is not None
        for line in process.stderr:
            first, _, number = line.partition(" ")
            if first != "done":
                print(line, end="", file=sys.stderr)
                continue
            done, seconds = int(number), time.monotonic() - began
            if seconds >= told + (1 if tty else 60):
                told, left = seconds, (inputs - done) * seconds / max(done, 1)
                said = f"{done:,} of {inputs:,} inputs, {done / seconds:,.0f} a second, {left / 60:.0f} min left"
                print(f"\r{said}\033[K" if tty else said, end="" if tty else "\n", file=sys.stderr, flush=True)
        if tty and told:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
    return process.returncode


def verdict(status: int) -> str:
    """What an exit status means, where it is not 0."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}: a crash; the line above says at which input"
    meanings = {
        1: "a law was broken, see above",
        2: "the driver does not know these arguments",
        LEAK: "valgrind found a leak, or something read or written that is not there",
    }
    return meanings.get(status, f"the driver ended with {status}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", type=int, default=0, dest="first", help="number of the first input")
    parser.add_argument("--seconds", type=float, help="begin no input after that time")
    parser.add_argument("--threads", type=int, default=1, help="how many work at once, each on other inputs")
    parser.add_argument("--mutant", help="damage what the library gives; the driver's --help has the list")
    parser.add_argument("--valgrind", action="store_true", help="look for leaks and stray reads, some fifty times slower")
    parser.add_argument("--checked", action="store_true", help="with Rust's checks for overflow and misuse of pointers")
    parser.add_argument("--target", type=Path, default=NATIVE / "target", help="where cargo keeps what it compiles")
    asked = parser.parse_args()
    command = [str(built(asked.target, checked=asked.checked)), "--seed", str(asked.seed), "--from", str(asked.first)]
    command += ["--inputs", str(asked.inputs), "--threads", str(asked.threads)]
    command += ["--seconds", str(asked.seconds)] if asked.seconds is not None else []
    command += ["--mutant", asked.mutant] if asked.mutant else []
    if asked.valgrind:
        command = under_valgrind([*command, "--stuck", "3600"])
    status = followed(command, asked.inputs)
    if status:
        print(verdict(status), file=sys.stderr)
    elif asked.valgrind:
        print("valgrind found no leak, and nothing read or written that is not there")
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
