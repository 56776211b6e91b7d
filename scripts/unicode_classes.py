"""Write src/linnet/tokenizer/unicode_classes.txt, which code points are letters, marks, numbers and white space, and
unicode_lower.txt, the lower case of those that have one.

    python scripts/unicode_classes.py [--version 16.0.0]

Splitting patterns speak of Unicode's general categories, and every version of Unicode has more of them. A tokenizer must not
split another way because a library was updated, so one version is written down, once, for Python and for Rust. It is the one of
tiktoken and tokenizers; the table comes from `unicodedata` where the interpreter has that version, else from `unicodedata2`
(`pip install unicodedata2==16.0.0`).

The lower case of a character never changes once it is there, so `str.lower` of any interpreter is right for what it knows; the
rest is asked of `regex`, which brings tables of its own. One character becomes one: of İ, i alone.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import unicodedata
from itertools import groupby
from pathlib import Path
from typing import Any

import regex

TARGET = Path(__file__).resolve().parent.parent / "src" / "linnet" / "tokenizer" / "unicode_classes.txt"
LOWER = TARGET.with_name("unicode_lower.txt")
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


def lower_cases(version: str) -> list[str]:
    """A line for every run of code points whose lower case lies equally far from them: first, last, step, distance."""
    category = database(version).category
    classes = {code: class_of(code, category(chr(code))) for code in range(0x110000)}
    small = "".join(chr(code) for code, name in classes.items() if name == "Ll")

    def lower(code: int) -> int:
        character = chr(code)
        found = character.lower()[0]
        if found == character and classes[code] == "Lu" and unicodedata.category(character) == "Cn":
            found = next(iter(regex.findall(character, small, regex.IGNORECASE)), character)
        return ord(found)

    runs: list[list[int]] = []
    for code in (code for code, name in classes.items() if name[:1] in ("L", "M", "N")):
        distance = lower(code) - code
        if not distance:
            continue
        last = runs[-1] if runs else [0, 0, 0, 0]
        if last[3] == distance and code - last[1] in ((1, 2) if last[0] == last[1] else (last[2],)):
            last[1:3] = code, code - last[1]
        else:
            runs.append([code, code, 1, distance])
    return [f"{first:04X} {last:04X} {step} {distance}" for first, last, step, distance in runs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="16.0.0")
    version = parser.parse_args().version
    head = f"# Unicode {version}: first and last code point, class. Made by scripts/unicode_classes.py."
    TARGET.write_text("\n".join([head, *ranges(version), ""]), "utf-8")
    head = (
        f"# Unicode {version}: first and last code point, step, distance to the lower case. Made by scripts/unicode_classes.py."
    )
    LOWER.write_text("\n".join([head, *lower_cases(version), ""]), "utf-8")
    print(f"{TARGET} and {LOWER.name}: Unicode {version}")


if __name__ == "__main__":
    main()
