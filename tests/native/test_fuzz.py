"""Ten million fuzzed inputs over the C border, in small: scripts/fuzz_native.py and native/examples/fuzz/. Each law has a mutant."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("cargo") is None, reason="no cargo")

MUTANTS = [
    *("shift_end", "join_chunks", "drop_byte", "unmerged", "shift_text", "forget_merge", "swap_pair", "blur_fingerprint"),
    *("move_text", "lose_byte", "move_cut", "miscount", "forget_end", "lose_word", "unsigned", "write_before", "write_behind"),
    *("accept", "panic"),
]
FOR_VALGRIND = ["leak", "read_behind"]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "scripts"))
        yield importlib.import_module("fuzz_native")


@pytest.fixture(scope="module")
def driver(script: ModuleType) -> Path:
    return script.built(REPOSITORY / "native" / "target")  # kept there, so that it is compiled once


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace", check=False)


def digest(*command: object) -> str:
    outcome = run(*command)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return re.findall(r"all laws kept; digest ([0-9a-f]{16})", outcome.stdout)[0]


def test_all_laws_are_kept(driver: Path) -> None:
    outcome = run(driver, "--inputs", 20_000, "--seed", 1)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "seed 1: 20000 inputs" in outcome.stdout


def test_inputs_follow_from_the_seed_and_their_numbers(driver: Path) -> None:
    asked = (driver, "--from", 700, "--inputs", 1500, "--seed", 2)
    assert digest(*asked) == digest(*asked) == digest(*asked, "--threads", 2)
    parts = [digest(driver, "--seed", 2, "--from", first, "--inputs", 750) for first in (700, 1450)]
    assert f"{sum(int(part, 16) for part in parts) % 2**64:016x}" == digest(*asked)
    assert digest(*asked[:-1], 3) != digest(*asked)


def test_time_is_bounded_and_it_says_how_far_it_came(driver: Path) -> None:
    outcome = run(driver, "--inputs", 10**12, "--seconds", 0.5)
    assert outcome.returncode == 0
    done = int(re.findall(r"seed 0: (\d+) inputs", outcome.stdout)[0])
    assert f"time was up: {10**12 - done} inputs of {10**12} were not tried" in outcome.stdout


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_found_and_can_be_had_again(driver: Path, mutant: str) -> None:
    outcome = run(driver, "--inputs", 20_000, "--seed", 4, "--mutant", mutant)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    number, said = re.findall(r"^seed 4, number (\d+): (.*)$", outcome.stdout, re.MULTILINE)[0]
    again = run(driver, "--inputs", 1, "--seed", 4, "--from", number, "--mutant", mutant)
    assert again.returncode == 1
    assert f"seed 4, number {number}: {said}" in again.stdout


def test_what_is_shown_is_the_text(driver: Path) -> None:
    shown = run(driver, "--inputs", 20_000, "--seed", 5, "--mutant", "drop_byte").stdout
    size, dump = re.findall(r"^text 0, (\d+) bytes\n((?:  [0-9a-f]{6}  .*\n)+)", shown, re.MULTILINE)[0]
    assert sum(len(line[10:57].split()) for line in dump.splitlines()) == int(size)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_a_crash_names_its_input(driver: Path, script: ModuleType) -> None:
    outcome = run(driver, "--from", 77, "--inputs", 10, "--mutant", "crash")
    assert outcome.returncode < 0
    assert "at seed 0, number 77" in outcome.stderr
    assert "a crash" in script.verdict(outcome.returncode)


def test_a_call_that_does_not_come_back_is_an_error(driver: Path) -> None:
    outcome = run(driver, "--from", 77, "--inputs", 10, "--mutant", "hang", "--stuck", 1)
    assert outcome.returncode == 1
    assert "seed 0, number 77: no answer in 1 seconds" in outcome.stdout


@pytest.mark.usefixtures("driver")
def test_the_script_builds_runs_and_says_what_came_of_it() -> None:
    command = (sys.executable, REPOSITORY / "scripts" / "fuzz_native.py", "--inputs", 2000, "--seed", 7)
    clean = run(*command)
    assert clean.returncode == 0, clean.stderr
    assert "seed 7: 2000 inputs" in clean.stdout
    broken = run(*command, "--mutant", "drop_byte")
    assert broken.returncode == 1
    assert "are lost in" in broken.stdout
    assert "a law was broken" in broken.stderr


def test_every_mutant_is_tried_here(driver: Path) -> None:
    known = re.findall(r"^    (\w+)", run(driver, "--help").stdout, re.MULTILINE)
    assert sorted(known) == sorted([*MUTANTS, *FOR_VALGRIND, "crash", "hang"])


@pytest.mark.parametrize("words", [["--frm", "1"], ["--seed", "x"], ["--seed"], ["--mutant", "none"], ["--from", str(2**64 - 1)]])
def test_unknown_arguments_are_refused(driver: Path, words: list[str]) -> None:
    outcome = run(driver, *words)
    assert outcome.returncode == 2
    assert outcome.stderr


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind")
def test_valgrind_finds_nothing_but_in_mutants(driver: Path, script: ModuleType) -> None:
    clean = run(*script.under_valgrind([str(driver), "--inputs", "300", "--seed", "6"]))
    assert clean.returncode == 0, clean.stderr
    for mutant in FOR_VALGRIND:
        outcome = run(*script.under_valgrind([str(driver), "--inputs", "20", "--seed", "6", "--mutant", mutant]))
        assert outcome.returncode == script.LEAK, outcome.stderr
        assert "no leak" not in script.verdict(outcome.returncode)


def test_what_is_missing_is_said(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="cargo is not there"):
        script.built(tmp_path)
    with pytest.raises(SystemExit, match="valgrind is not there"):
        script.under_valgrind(["fuzz"])
