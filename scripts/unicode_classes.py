"""Write src/linnet/tokenizer/unicode_classes.txt: which code points are letters, marks, numbers and white space.

    python scripts/unicode_classes.py [--version 16.0.0]

Splitting patterns speak of Unicode's general categories, and every version of Unicode has more of them. A tokenizer must not
split another way because a library was updated, so one version is written down, once, for Python and for Rust. It is the one of
tiktoken and tokenizers; the table comes from `unicodedata` where the interpreter has that version, else from `unicodedata2`
(`pip install unicodedata2==16.0.0`).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "src" / "linnet" / "tokenizer" / "unicode_classes.txt"
KEPT = ("Lu", "Ll", "Lt", "Lm", "Lo")  # categories with a class of their own; of marks and numbers the first letter is enough
# Unicode's White_Space property (PropList.txt), unchanged since Unicode 6.3; `unicodedata` has no function for it
WHITE_SPACE = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}


def database(version: str) -> Any:
    """A module with Unicode's tables of this version."""
    for name in ("unicodedata", "unicodedata2"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if module.unidata_version == version:
            return module
    raise SystemExit(
        f"no Unicode {version} in Python {sys.version_info[0]}.{sys.version_info[1]}; try: pip install unicodedata2=={version}"
    )


def class_of(code: int, category: str) -> str:
    """The class of a code point: Lu Ll Lt Lm Lo, M, N, or S for white space; empty for everything else."""
    if code in WHITE_SPACE:
        return "S"
    if category in KEPT:
        return category
    return category[0] if category[0] in "MN" else ""


def ranges(version: str) -> list[str]:
    """A line for every run of code points of one class: first, last, class."""
    category = database(version).category
    lines = []
    for name, run in groupby(range(0x110000), key=lambda code: class_of(code, category(chr(code)))):
        codes = list(run)
        if name:
            lines.append(f"{codes[0]:04X} {codes[-1]:04X} {name}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="16.0.0")
    version = parser.parse_args().version
    head = f"# Unicode {version}: first and last code point, class. Made by scripts/unicode_classes.py."
    TARGET.write_text("\n".join([head, *ranges(version), ""]), "utf-8")
    print(f"{TARGET}: Unicode {version}")


if __name__ == "__main__":
    main()
