"""Write a text file of any size, of documents that differ: paragraphs of some real text, drawn by lot.

    python scripts/big_corpus.py big.txt --megabytes 1000 [TEXT ...]

Without texts: the programs of Python's own library. Documents are divided by lines of <|endoftext|>; the same arguments write the
same file. For whoever measures or kills `linnet prepare`; as text to learn from it is worth no more than its paragraphs.
"""

from __future__ import annotations

import argparse
import gzip
import random
import sysconfig
from collections.abc import Sequence
from pathlib import Path

PARAGRAPHS = 8  # a document, about 1.5 KB


def paragraphs_of(paths: Sequence[Path]) -> list[str]:
    """What stands between empty lines in some files; without any, in Python's library."""
    files = paths or sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"))
    found: list[str] = []
    for file in files:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        text = content.decode("utf-8", "replace").replace("\r\n", "\n")
        found += [part for part in text.split("\n\n") if 40 <= len(part) <= 4000 and "<|endoftext|>" not in part]
    return found


def write_corpus(path: Path, n_bytes: int, paragraphs: Sequence[str], *, seed: int = 0) -> int:
    """Write at least so many bytes; the number of documents."""
    luck = random.Random(seed)
    documents = size = 0
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        while size < n_bytes:
            text = "\n\n".join(luck.choices(paragraphs, k=PARAGRAPHS)) + "\n<|endoftext|>\n"
            out.write(text)
            size += len(text.encode("utf-8"))
            documents += 1
    return documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--megabytes", type=float, default=1000)
    parser.add_argument("texts", nargs="*", type=Path)
    asked = parser.parse_intermixed_args()
    documents = write_corpus(asked.out, round(asked.megabytes * 1e6), paragraphs_of(asked.texts))
    print(f"{asked.out}: {asked.out.stat().st_size / 1e6:,.0f} MB, {documents:,} documents")


if __name__ == "__main__":
    main()
