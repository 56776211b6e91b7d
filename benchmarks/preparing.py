"""`linnet prepare` beside bare encoding: text to shards on disk, and how far that is from what encoding alone costs.

    python benchmarks/preparing.py [--megabytes 1000] [--rounds 3]

The corpus is drawn from stories, WikiText-2 and Python's library (scripts/big_corpus.py), the vocabulary is GPT-2's. In each round, one
after the other, each in a process of its own that is gone before the next begins: its documents encoded by two threads, from memory to arrays;
the whole command, with its start, from the file to shards that are synced; tiktoken's batches of the same documents on two threads. Of the
first and the last only the encoding is timed, not the reading of the corpus before it. The command's memory is seen in a run of its own, because looking
takes time: the largest sum over all its processes (proportional set size where the system tells it).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import psutil

from linnet.tokenizer.load import load_tokenizer

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared" / "data"
VOCABULARY = DATA / "tokenizers" / "gpt2"
TEXTS = ("stories/train.txt.gz", "wikitext2/train.txt.gz")
MARK = b"\n<|endoftext|>\n"
TOGETHER = 2**23  # bytes that are encoded in one call
PEERS_BYTES = 30_000_000  # what tiktoken is given: a part of the corpus, for it takes long


def documents_of(corpus: Path) -> list[bytes]:
    return corpus.read_bytes().removesuffix(MARK).split(MARK)


def batches_of(documents: list[bytes]) -> list[list[bytes]]:
    found: list[list[bytes]] = [[]]
    size = 0
    for document in documents:
        if size >= TOGETHER:
            found.append([])
            size = 0
        found[-1].append(document)
        size += len(document)
    return found


def bare(corpus: Path) -> float:
    """Seconds to encode all documents by two threads."""
    batches, encoder = batches_of(documents_of(corpus)), load_tokenizer(VOCABULARY)._encoder
    began = time.perf_counter()
    for batch in batches:
        encoder.encode_batch(batch, 2)
    return time.perf_counter() - began


def prepared(corpus: Path, out: Path, *, watched: bool) -> tuple[float, int]:
    """Seconds of the command, and its bytes of memory if it is watched."""
    command = [
        sys.executable,
        "-m",
        "linnet.cli.main",
        "prepare",
        str(corpus),
        "-t",
        str(VOCABULARY),
        "--out",
        str(out),
        "--quiet",
    ]
    os.sync()  # what was written before is not this command's work
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    peak = [0]
    watcher = threading.Thread(target=watch, args=(process, peak))
    if watched:
        watcher.start()
    if process.wait():
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    seconds = time.perf_counter() - began
    if watched:
        watcher.join()
    shutil.rmtree(out)
    return seconds, peak[0]


def watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    """Keep the largest sum of memory of a process and its children, as long as it runs."""
    while process.poll() is None:
        try:
            parent = psutil.Process(process.pid)
            peak[0] = max(peak[0], sum(memory_of(each) for each in [parent, *parent.children(recursive=True)]))
        except psutil.Error:
            pass  # it has just ended
        time.sleep(0.2)


def memory_of(process: psutil.Process) -> int:
    """What is shared by several processes counts for each in part, where the system tells."""
    found = process.memory_full_info()
    return int(getattr(found, "pss", found.rss))


def tiktoken(corpus: Path) -> float:
    """Seconds for as many bytes as the corpus has."""
    import tiktoken as peer
    from tokenization import PAT_STR

    theirs = peer.Encoding("gpt2", pat_str=PAT_STR["gpt2"], mergeable_ranks=load_tokenizer(VOCABULARY).tokens, special_tokens={})
    texts: list[str] = []
    size = 0
    for document in documents_of(corpus):
        if size >= PEERS_BYTES:
            break
        texts.append(document.decode("utf-8"))
        size += len(document)
    began = time.perf_counter()
    theirs.encode_ordinary_batch(texts, num_threads=2)
    return (time.perf_counter() - began) / size * corpus.stat().st_size


ALONE = {"bare": bare, "tiktoken": tiktoken}


def alone(which: str, corpus: Path) -> float:
    """The seconds of one of these, in a process of its own."""
    command = [sys.executable, __file__, "--alone", which, str(corpus)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)  # what this program asks of itself
    asked = parser.parse_args()
    if asked.alone:
        which, corpus = asked.alone
        print(ALONE[which](Path(corpus)))
        return
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is not there, and with it neither texts nor vocabularies")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "big.txt"
        texts = [str(DATA / name) for name in TEXTS] + [str(file) for file in sorted(Path(os.__file__).parent.glob("*.py"))]
        script = HERE.parent / "scripts" / "big_corpus.py"
        subprocess.run([sys.executable, str(script), str(corpus), "--megabytes", str(asked.megabytes), *texts], check=True)
        n_bytes, n_documents = corpus.stat().st_size, corpus.read_bytes().count(MARK)
        rounds = []
        for _ in range(asked.rounds):
            encoded = alone("bare", corpus)
            seconds, _ = prepared(corpus, Path(folder) / "out", watched=False)
            peer = alone("tiktoken", corpus) if importlib.util.find_spec("tiktoken") else float("nan")
            rounds.append((encoded, seconds, peer))
        _, memory = prepared(corpus, Path(folder) / "out", watched=True)
    print(
        f"\n{n_bytes / 1e6:,.0f} MB, {n_documents:,} documents, GPT-2's vocabulary, two cores; medians of {asked.rounds} rounds\n"
    )
    print("| what                                |   MB/s | of bare encoding | memory, MB |")
    print("|-------------------------------------|-------:|-----------------:|-----------:|")
    names = ("encoding alone, two threads", "linnet prepare, the whole command", "tiktoken's batches, two threads")
    for i, name in enumerate(names):
        speed = n_bytes / 1e6 / median(each[i] for each in rounds)
        share = median(each[0] / each[i] for each in rounds)
        used = f"{memory / 1e6:,.0f}" if i == 1 else ""
        print(f"| {name:35} | {speed:6.1f} | {share:16.0%} | {used:>10} |", flush=True)


if __name__ == "__main__":
    main()
