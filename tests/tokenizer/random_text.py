"""Random text of the kind that splitting can get wrong: contractions, runs of white space, letters of every class."""

from __future__ import annotations

import random

POOLS = [
    "'sStTrReEvVmMlLdD ſ",
    "\r\n\t  \u00a0\u3000\u2028",
    "abcXYZéÀǅʰªא中你",
    "0123²٣Ⅷ",
    "!?-/.'\"§€😀\u0300\u0301\u093e\u200d",
    "\U0001e100\U00016d40\uffff\U0010ffff\0",  # assigned lately, never, or as far up as it goes
]
LAST_CODE = 0x10FFFF


def random_text(chance: random.Random, longest: int = 25, surrogates: bool = False) -> str:
    """Up to `longest` characters, one in ten of them any of Unicode's."""
    characters = []
    for _ in range(chance.randint(0, longest)):
        if chance.random() < 0.9:
            characters.append(chance.choice(chance.choice(POOLS)))
        else:
            code = chance.randint(0, LAST_CODE)
            characters.append(chr(code) if surrogates or not 0xD800 <= code < 0xE000 else "?")
    return "".join(characters)
