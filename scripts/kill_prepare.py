"""Kill `linnet prepare` again and again, and compare: the shards have to be the same, and nothing that was done is lost.

    python scripts/kill_prepare.py --megabytes 1000 --kills 10 [--engine ray] [--text big.txt]

The corpus is prepared once without being disturbed. Then again, killed with SIGKILL, which no program can answer, a few pieces
of work further each time, and begun anew; its workers are left to themselves, as a kill leaves them. All files are compared by their
SHA-256. The journal's lines must never become fewer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from big_corpus import paragraphs_of, write_corpus

from linnet.core.files import sha256_file


def command(text: Path, out: Path, tokenizer: Path | None, engine: str, workers: int) -> list[str]:
    made = [sys.executable, "-m", "linnet.cli.main", "prepare", str(text), "--out", str(out), "--engine", engine]
    made += ["--workers", str(workers), "--quiet"]
    return [*made, "--tokenizer", str(tokenizer)] if tokenizer else [*made, "--vocab-size", "4096"]


def hashes(out: Path) -> dict[str, str]:
    """Every file of the one prepared folder → its SHA-256."""
    (index,) = out.glob("*/index.json")
    return {path.relative_to(out).as_posix(): sha256_file(path) for path in sorted(index.parent.rglob("*")) if path.is_file()}


def done(out: Path) -> int:
    """Lines in the journals of unfinished work."""
    lines = 0
    for path in out.glob("*/journal.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # done in between
            lines += path.read_bytes().count(b"\n")
    return lines


def killed(asked: list[str], out: Path, kills: int, pieces: int, luck: random.Random, moment: float = 0.5) -> int:
    """Begin again until the work is done; how often it was killed: each time some pieces further, and a moment later.

    pieces   of work in all, lines of the journal
    moment   seconds at most
    """
    happened = seen = 0
    while True:
        before = done(out)
        if before < seen:
            raise SystemExit(f"{seen - before} pieces of work that were done are lost")
        seen = before
        process = subprocess.Popen(asked, stdout=subprocess.DEVNULL)
        if happened < kills:
            further = luck.randint(0, max(1, (pieces - before) // (kills - happened + 1)))  # some is left for after the last
            while process.poll() is None and done(out) < before + further:
                time.sleep(0.01)
            time.sleep(luck.uniform(0.0, moment))
            process.send_signal(signal.SIGKILL)
            if process.wait() == -signal.SIGKILL:
                happened += 1
                print(f"kill {happened}: {before} → {done(out)} of {pieces} pieces of work", flush=True)
                continue
        if process.wait():
            raise SystemExit(f"{' '.join(asked)} ended with {process.returncode}")
        return happened


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=1000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--engine", default="processes", choices=("here", "processes", "ray"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tokenizer", type=Path, help="without it one is trained, in each of the two runs")
    parser.add_argument("--text", type=Path, help="in place of one that is made here")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        text = asked.text or folder / "big.txt"
        if asked.text is None:
            write_corpus(text, round(asked.megabytes * 1e6), paragraphs_of([]))
        began = time.perf_counter()
        once = command(text, folder / "once", asked.tokenizer, "processes", asked.workers)
        process, pieces = subprocess.Popen(once, stdout=subprocess.DEVNULL), 0
        while process.poll() is None:
            pieces = max(pieces, done(folder / "once"))
            time.sleep(0.01)
        if process.returncode:
            raise SystemExit(f"{' '.join(once)} ended with {process.returncode}")
        seconds = time.perf_counter() - began
        expected = hashes(folder / "once")
        shutil.rmtree(folder / "once")
        print(f"{text.stat().st_size / 1e6:,.0f} MB, undisturbed: {seconds:.1f} s, {len(expected)} files", flush=True)
        again = command(text, folder / "again", asked.tokenizer, asked.engine, asked.workers)
        began = time.perf_counter()
        moment = seconds / (2 * asked.kills)  # half of the work, in all, at most
        kills = killed(again, folder / "again", asked.kills, pieces, random.Random(asked.seed), moment)
        took = time.perf_counter() - began
        found = hashes(folder / "again")
        left = sorted(path.name for path in (folder / "again").iterdir() if not (path / "index.json").is_file())
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    print(json.dumps({"engine": asked.engine, "kills": kills, "seconds": round(took, 1), "differ": wrong, "left over": left}))
    return int(bool(wrong or left or kills < asked.kills))


if __name__ == "__main__":
    sys.exit(main())
