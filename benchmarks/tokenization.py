"""Tokenizers beside tiktoken, tokenizers, rustbpe and sentencepiece: encoding, training, and what must stay linear; `linnet prepare`.

    python benchmarks/tokenization.py [--rounds 5] [--only encode batch long train prepare]

Texts and vocabularies are those of ../shared/data; without them there is nothing to measure. Every rival does its work once in
each round, one after another; ratios are taken within a round, and their median is printed. Work of a twentieth of a second (a batch,
a long word), which one pause of the machine would double, is done five times as often. Encoding is measured as a
list of ids for all, because that is what the others give; linnet also as the array that its own pipeline takes. One thread but where it is said.
Rivals that are not installed are left out: pip install -c constraints.txt tiktoken tokenizers rustbpe sentencepiece.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import importlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread for all
os.environ["RAYON_NUM_THREADS"] = os.environ.get("RAYON_NUM_THREADS", "2")  # training takes as many as linnet does

from linnet.tokenizer.load import load_tokenizer
from linnet.tokenizer.pretokenize import text_to_bytes

AS_ARRAY = ", as an array"
HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared" / "data"
VOCABULARIES = {"gpt2": "tokenizers/gpt2", "cl100k": "tokenizers/tiktoken/cl100k_base.tiktoken"}
PAT_STR = {  # tiktoken's own; the library downloads them together with the ranks
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
    "cl100k": r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s""",
}
VOCAB_SIZE = 32_768
TRAIN_BYTES = 30_000_000
SHORT = 5  # times as many rounds, for work that lasts a twentieth of a second


def text_file(name: str) -> str:
    content = (DATA / name).read_bytes()
    return (gzip.decompress(content) if name.endswith(".gz") else content).decode("utf-8")


def code() -> str:
    """Programs in six languages."""
    files = sorted((DATA / "multilingual" / "code").glob("*.jsonl"))
    return "\n".join("\n".join(map(str, json.loads(line).values())) for file in files for line in file.open(encoding="utf-8"))


def english_and_code() -> str:
    return text_file("stories/train.txt.gz")[:4_000_000] + text_file("wikitext2/test.txt") + code()


def much_text() -> list[str]:
    """30 MB of English and code, by paragraphs: stories, WikiText-2, HumanEval-X and this interpreter's own library."""
    parts = [text_file("stories/train.txt.gz"), text_file("wikitext2/train.txt.gz"), code()]
    for file in sorted(Path(os.__file__).parent.rglob("*.py")):
        if sum(map(len, parts)) >= TRAIN_BYTES:
            break
        parts.append(file.read_text("utf-8", errors="replace"))
    return [paragraph for part in parts for paragraph in part.split("\n\n")]


def seconds(work: Callable[[], Any]) -> float:
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(rivals: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every rival in every round; one round before them counts for nobody."""
    found: dict[str, list[float]] = {name: [] for name in rivals}
    for i in range(rounds + 1):
        for name, work in rivals.items() if i % 2 else reversed(rivals.items()):
            taken = seconds(work)
            if i:
                found[name].append(taken)
    return found


def table(title: str, n_bytes: int, found: dict[str, list[float]], first: str = "linnet") -> None:
    print(
        f"\n{title}; {n_bytes / 1e6:.1f} MB\n\n| {'':34} |   MB/s | linnet is … times as fast |\n|{'-' * 36}|-------:|--------------------------:|"
    )
    for name, taken in found.items():
        beside = f"{first}{AS_ARRAY}" if name.endswith(AS_ARRAY) else first  # lists beside lists, arrays beside arrays
        ratios = [theirs / ours for ours, theirs in zip(found[beside], taken, strict=True)]
        ratio = "" if name == beside else f"{median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
        print(f"| {name:34} | {n_bytes / median(taken) / 1e6:6.1f} | {ratio:>25} |", flush=True)


def rivals_of(name: str) -> dict[str, Callable[[str], Any]]:
    """Who encodes a text with this vocabulary, and how."""
    ours = load_tokenizer(DATA / VOCABULARIES[name])
    found: dict[str, Callable[[str], Any]] = {
        "linnet": ours.encode,
        f"linnet{AS_ARRAY}": lambda text: ours._encoder.encode(text_to_bytes(text)),
    }
    if tiktoken := installed("tiktoken"):
        theirs = tiktoken.Encoding(name, pat_str=PAT_STR[name], mergeable_ranks=ours.tokens, special_tokens={})
        found["tiktoken"] = theirs.encode_ordinary
        found[f"tiktoken{AS_ARRAY}"] = lambda text: theirs.encode_to_numpy(text, disallowed_special=())
    if tokenizers := installed("tokenizers"):
        other = tokenizers.Tokenizer.from_str(ours.to_json())
        found["tokenizers"] = lambda text: other.encode(text).ids
    return found


def encode(rounds: int) -> None:
    texts = {"English and code": english_and_code()}
    texts |= {
        what: text_file(f"multilingual/{file}.txt")
        for what, file in (("Chinese", "zh"), ("Hindi", "hi"), ("emoji", "emoji_text"))
    }
    for name in VOCABULARIES:
        rivals = rivals_of(name)
        for what, text in texts.items():
            kept = {rival: work for rival, work in rivals.items() if rival != "tokenizers" or what == "English and code"}
            found = in_turn({rival: lambda work=work: work(text) for rival, work in kept.items()}, rounds)
            table(f"{what}, {name}, one thread", len(text.encode()), found)


def batch(rounds: int) -> None:
    documents = [text_to_bytes(document) for document in english_and_code().split("\n\n")]
    n_bytes = sum(map(len, documents))
    for name in VOCABULARIES:
        encoder = load_tokenizer(DATA / VOCABULARIES[name])._encoder
        found = in_turn(
            {f"{n} thread{'s' * (n > 1)}": lambda n=n: encoder.encode_batch(documents, n) for n in (2, 1)}, SHORT * rounds
        )
        table(f"a batch of {len(documents):,} documents, {name}", n_bytes, found, first="2 threads")


def long(rounds: int) -> None:
    chance = random.Random(0)
    english = english_and_code()
    texts = {
        "English and code": english,
        "a million random letters": "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=1_000_000)),
        "a million letters of English": "".join(filter(str.isalpha, english))[:1_000_000],
        "ten million times a": "a" * 10_000_000,
    }
    for name in VOCABULARIES:
        encoder = load_tokenizer(DATA / VOCABULARIES[name])._encoder
        given = {what: text_to_bytes(text) for what, text in texts.items()}
        found = in_turn({what: lambda data=data: encoder.encode(data) for what, data in given.items()}, SHORT * rounds)
        a_byte = {what: [taken / len(given[what]) for taken in times] for what, times in found.items()}
        print(
            f"\none word without a space, {name}, as an array\n\n| {'':34} |   MB/s | of the time of ordinary text, a byte |\n|{'-' * 36}|-------:|-------------------------------------:|"
        )
        for what, times in a_byte.items():
            ratios = [own / ordinary for own, ordinary in zip(times, a_byte["English and code"], strict=True)]
            print(f"| {what:34} | {1e-6 / median(times):6.1f} | {median(ratios):36.2f} |", flush=True)


TRAINERS = {  # what is imported, and what is timed
    "linnet": ("from linnet.tokenizer.bpe_tokenizer import train_bpe", 'train_bpe(texts, SIZE + 1, pattern="gpt4")'),
    "tokenizers": (
        """
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from linnet.tokenizer.pretokenize import PATTERNS""",
        """
made = Tokenizer(models.BPE())
split = pre_tokenizers.Split(Regex(PATTERNS["gpt4"]), "isolated")
made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
alphabet = pre_tokenizers.ByteLevel.alphabet()
made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=SIZE, initial_alphabet=alphabet, show_progress=False))""",
    ),
    "rustbpe": (
        "import rustbpe\nfrom linnet.tokenizer.pretokenize import PATTERNS",
        'rustbpe.Tokenizer().train_from_iterator(iter(texts), SIZE, pattern=PATTERNS["gpt4"])',
    ),
}
TRAIN = """
import json, sys, time
def memory(what):  # KiB; of this program alone, where getrusage also knows what the process was before it began
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(what))
{setup}
texts = open(sys.argv[1], encoding="utf-8", newline="").read().split(chr(0))
SIZE = int(sys.argv[2])
open("/proc/self/clear_refs", "w").write("5")  # the peak begins here
before, started = memory("VmRSS"), time.perf_counter()
{work}
print(json.dumps([time.perf_counter() - started, memory("VmHWM") - before]))
"""


def train(rounds: int) -> None:
    """Each time in a process of its own: memory is what its peak adds to libraries and texts, which all have alike."""
    texts = much_text()
    corpus = HERE / "train.txt.writing"
    corpus.write_text(chr(0).join(texts), "utf-8", newline="")
    n_bytes = corpus.stat().st_size
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in TRAINERS if name == "linnet" or installed(name)}
    try:
        for _ in range(rounds):
            for name, times in found.items():
                command = [
                    sys.executable,
                    "-c",
                    TRAIN.format(setup=TRAINERS[name][0], work=TRAINERS[name][1]),
                    str(corpus),
                    str(VOCAB_SIZE),
                ]
                answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent)
                times.append(tuple(json.loads(answer.stdout.splitlines()[-1])))
    finally:
        corpus.unlink()
    print(f"\ntraining {VOCAB_SIZE:,} ids on English and code; {n_bytes / 1e6:.1f} MB, two threads where there are any\n")
    print(
        f"| {'':34} | seconds | MiB more | linnet is … times as fast |\n|{'-' * 36}|--------:|---------:|--------------------------:|"
    )
    for name, times in found.items():
        ratios = [theirs[0] / ours[0] for ours, theirs in zip(found["linnet"], times, strict=True)]
        ratio = "" if name == "linnet" else f"{median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
        print(
            f"| {name:34} | {median(t for t, _ in times):7.2f} | {median(m for _, m in times) / 1024:8.0f} | {ratio:>25} |",
            flush=True,
        )


def installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: its rows are left out")
        return None


def prepare(rounds: int) -> None:
    """The whole way to shards, in a program of its own: what stands in this one's memory would be in the way."""
    subprocess.run([sys.executable, str(HERE / "preparing.py"), "--rounds", str(rounds)], check=True)


PARTS: dict[str, Callable[[int], None]] = {"encode": encode, "batch": batch, "long": long, "train": train, "prepare": prepare}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is not there, and with it neither texts nor vocabularies")
    for part in options.only:
        PARTS[part](options.rounds)


if __name__ == "__main__":
    main()
