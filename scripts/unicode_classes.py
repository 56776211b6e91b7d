"""Write src/linnet/tokenizer/unicode_classes.txt, which code points are letters, marks, numbers and white space, and
unicode_lower.txt, the lower case of those that have one; and wordpiece_classes.txt, what BERT's words make of them.

    python scripts/unicode_classes.py [--version 16.0.0]

Splitting patterns speak of Unicode's general categories, and every version of Unicode has more of them. A tokenizer must not
split another way because a library was updated, so one version is written down, once, for Python and for Rust. It is the one of
tiktoken and tokenizers; the table comes from `unicodedata` where the interpreter has that version, else from `unicodedata2`
(`pip install unicodedata2==16.0.0`).

The lower case of a character never changes once it is there, so `str.lower` of any interpreter is right for what it knows; the
rest is asked of `regex`, which brings tables of its own. One character becomes one: of İ, i alone.

BERT's words have one implementation that decides, the `tokenizers` library, and it draws on tables of several ages. So each
character is asked of it, and the answers are what is written down.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import unicodedata
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import regex

TARGET = Path(__file__).resolve().parent.parent / "src" / "linnet" / "tokenizer" / "unicode_classes.txt"
LOWER = TARGET.with_name("unicode_lower.txt")
WORDPIECE = TARGET.with_name("wordpiece_classes.txt")
SURROGATES = range(0xD800, 0xE000)  # in no text of `tokenizers`
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

    return stepped((code, lower(code) - code) for code, name in classes.items() if name[:1] in ("L", "M", "N"))


def stepped(distances: Iterable[tuple[int, int]]) -> list[str]:
    """A line for every run of (code point, distance) of one distance, 0 left out: first, last, step, distance."""
    runs: list[list[int]] = []
    for code, distance in distances:
        if not distance:
            continue
        last = runs[-1] if runs else [0, 0, 0, 0]
        if last[3] == distance and code - last[1] in ((1, 2) if last[0] == last[1] else (last[2],)):
            last[1:3] = code, code - last[1]
        else:
            runs.append([code, code, 1, distance])
    return [f"{first:04X} {last:04X} {step} {distance}" for first, last, step, distance in runs]


def of_wordpiece() -> list[str]:
    """What `tokenizers` does with each code point in BERT's words: lines of first, last, class, then those of lower cases.

    gone        left out, with surrogates, which it cannot be asked about
    space       a space
    ideograph   a word by itself
    composed    canonical decomposition takes it apart or moves it
    accent      left out with capitals
    mark        punctuation, a word by itself
    """
    from tokenizers.normalizers import NFD, BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    def only(step: str) -> Callable[[str], str]:
        steps = dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False)
        made: Callable[[str], str] = BertNormalizer(**{**steps, step: True}).normalize_str
        return made

    clean, ideograph, accent, lower = map(only, ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"))
    nfd, split = NFD().normalize_str, BertPreTokenizer().pre_tokenize_str

    def takes_apart(c: str) -> bool:
        """U+0345 moves behind all other marks, U+0334 in front of them."""
        return any(nfd(text) != text for text in (c, f"\u0345{c}", f"{c}\u0334"))

    tests: dict[str, Callable[[str], bool]] = {
        "gone": lambda c: ord(c) in SURROGATES or clean(c) == "",
        "space": lambda c: clean(c) == " ",
        "ideograph": lambda c: ideograph(c) == f" {c} ",
        "composed": takes_apart,
        "accent": lambda c: nfd(c) == c and accent(c) == "",
        "mark": lambda c: len(split(f"a{c}b")) == 3,
    }
    lines = []
    for name, test in tests.items():
        for found, run in groupby(
            range(0x110000), key=lambda code: (code not in SURROGATES or name == "gone") and test(chr(code))
        ):
            codes = list(run)
            if found:
                lines.append(f"{codes[0]:04X} {codes[-1]:04X} {name}")
    whole = (code for code in range(0x110000) if code not in SURROGATES and nfd(chr(code)) == chr(code))
    return [*lines, *stepped((code, ord(lower(chr(code))) - code) for code in whole)]


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
    write_wordpiece()


def write_wordpiece() -> None:
    version = importlib.import_module("tokenizers").__version__
    head = f"# tokenizers {version}: first, last, class; first, last, step, distance to the lower case. Made by scripts/unicode_classes.py."
    WORDPIECE.write_text("\n".join([head, *of_wordpiece(), ""]), "utf-8")
    print(f"{WORDPIECE}: tokenizers {version}")


if __name__ == "__main__":
    main()
