"""Texts on which two readers of one tokenizer are compared: drawn by rule from a seed, so that no corpus is needed."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable

from linnet.tokenizer.vocabulary import TableTokenizer

N_TEXTS = 500
CODE = (
    "def f(x):\n    return x ** 2  # squared\n", "for (int i = 0; i < 10; ++i) { a[i] += 1; }\n", '{"key": [1, 2.5, null], "k": "v\\n"}',
    "\tif x:\n\t\tpass\n", "SELECT * FROM t WHERE a != 'b';", "https://example.org/a?b=c&d=%20", "x = [i for i in range(10)]\r\n",
)  # fmt: skip
WORDS = [
    "the",
    "of",
    "and",
    "a",
    "to",
    "in",
    "is",
    "you",
    "that",
    "it",
    "he",
    "was",
    "for",
    "on",
    "are",
    "as",
    "with",
    "his",
    "they",
    "I'm",
    "don't",
    "we've",
    "she'll",
    "it's",
    "THE",
    "HTTPServer",
    "naïve",
    "café",
]


def sample_texts(tokenizer: TableTokenizer, text: str, n: int = N_TEXTS) -> list[str]:
    """Texts that find differences: words, spaces, digits, code, special tokens inside text, random Unicode, and parts of `text`."""
    draw = random.Random(0)
    names = list(tokenizer.special)

    def character() -> str:
        while True:
            limit = draw.choice((0x80, 0x250, 0x3000, 0x10000, 0x20000))
            found = chr(draw.randrange(1, limit))
            if unicodedata.category(found) not in ("Cs", "Cn", "Co"):
                return found

    kinds: list[Callable[[], str]] = [
        lambda: " ".join(draw.choices(WORDS, k=draw.randint(1, 12))),
        lambda: "".join(character() for _ in range(draw.randint(1, 24))),
        lambda: (
            draw.choice((" ", "\n", "\t", "  \n", " \r\n")) * draw.randint(1, 9) + draw.choice(WORDS) + " " * draw.randint(0, 4)
        ),
        lambda: (
            str(draw.randrange(10 ** draw.randint(1, 18))) + draw.choice((" ", ".", ",", "%", "")) + str(draw.randrange(1000))
        ),
        lambda: draw.choice(CODE),
        lambda: f"{draw.choice(WORDS)}{draw.choice(('', ' '))}{draw.choice(names)}{draw.choice(('', ' '))}{draw.choice(WORDS)}",
    ]
    if text:
        kinds.append(lambda: text[(start := draw.randrange(len(text))) : start + draw.randint(1, 200)])
    return [kinds[number % len(kinds)]() for number in range(n)]
