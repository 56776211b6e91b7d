"""Documents that hide a key in other text and ask for it at their end: what a model keeps of what it read long ago.

    passkey(seed, index, length):  sentences of stories · "The pass key is 4 9 0 2. …" somewhere among them · the question · the key

The task is that of Mohtashami and Jaggi (2305.16300), with the stories of this package (stories.py) in place of one sentence
again and again, so that the text around the key is worth reading, too. Nothing but the statement tells the key, and every
key is as likely as any other: who has not read it is right once in 10^digits.

A document depends on its seed and its index alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from linnet.core.seeds import stream_seed
from linnet.data.worlds.stories import stories

END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")  # what is said with quotation marks stays whole
QUESTION = "What is the pass key? The pass key is"


@dataclass(frozen=True)
class Passkey:
    """A document in two parts: text = prompt + answer.

    prompt   all up to the place where the key is to be said
    answer   the key, as it is to be said: " 4 9 0 2."
    key      its digits
    depth    where the statement stands among the sentences: 0 before all of them, 1 after all of them
    """

    prompt: str
    answer: str
    key: str
    depth: float

    @property
    def text(self) -> str:
        return self.prompt + self.answer


def n_words(text: str) -> int:
    """Words of a text: what stands between spaces."""
    return len(text.split())


def statement(key: str) -> str:
    """How a key is told, twice, so that reading the statement already teaches to repeat it."""
    spoken = " ".join(key)
    return f"The pass key is {spoken}. Remember it: the pass key is {spoken}."


def sentences(seed: int, start: int, within: float = 0.0) -> Iterator[str]:
    """The sentences of an endless stream of stories, from one of them on; of the first, without the share `within` that it begins with.

    Short documents would else hold the beginnings of stories alone.
    """
    for number, story in enumerate(stories(seed, start)):
        told = END_OF_SENTENCE.split(story.text.strip())
        yield from told[int(within * len(told)) :] if number == 0 else told


def passkey(
    seed: int,
    index: int,
    length: int,
    *,
    digits: int = 4,
    depth: float | None = None,
    measure: Callable[[str], int] = n_words,
) -> Passkey:
    """Document `index` under a seed, as long as whole sentences allow and never longer than `length`, or than a key alone needs.

    depth     where the key is told, 0 … 1; None: anywhere
    measure   what a length is counted in: words, or a tokenizer's tokens
    """
    rng = random.Random(stream_seed(seed, f"passkey/{index}"))
    key = "".join(str(int(rng.random() * 10)) for _ in range(digits))
    told, start, within = rng.random(), int(rng.random() * 2**31), rng.random()
    told = told if depth is None else depth
    answer = f" {' '.join(key)}."
    left = length - measure(f"{statement(key)} {QUESTION}{answer}")
    filler: list[str] = []
    for sentence in sentences(seed, start, within):
        left -= measure(f" {sentence}")
        if left < 0:
            break
        filler.append(sentence)
    while True:
        place = min(int(told * (len(filler) + 1)), len(filler))
        prompt = " ".join([*filler[:place], statement(key), *filler[place:], QUESTION])
        if not filler or measure(prompt + answer) <= length:  # tokens of parts may be fewer than those of the whole
            return Passkey(prompt, answer, key, told)
        filler.pop()


def passkeys(seed: int, length: int, *, shortest: int | None = None, digits: int = 4) -> Iterator[Passkey]:
    """The endless stream of documents under a seed, of at most `length`, or of any length from `shortest` to it, each as likely."""
    index = 0
    while True:
        more = random.Random(stream_seed(seed, f"passkey/length/{index}")).random()
        longest = length if shortest is None else shortest + int(more * (length - shortest + 1))
        yield passkey(seed, index, longest, digits=digits)
        index += 1
