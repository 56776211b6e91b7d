"""Cleaning: named, pure steps from text to text (or to None, which drops the document), and a count of what each did.

The default does little on purpose: line ends become "\\n" and control characters go. What a model should see is the
text; anything stronger is a choice that the spec shows.
"""

from __future__ import annotations

import re
import unicodedata
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from linnet.core.spec import Spec
from linnet.data.look import BLANK, CONTROL, NOT_UTF8, RETURNS, Looks, Texts, has_control, look

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # Unicode category Cc, but for tab and newline


class CleanStep(Spec):
    """A family: one step of cleaning.

    concerns   flags of `look` without which the step does nothing; None: it has to see every document
    """

    concerns: ClassVar[int | None] = None

    @abstractmethod
    def __call__(self, text: str) -> str | None:
        """The cleaned text, or None to drop the document."""


class Newlines(CleanStep):
    """Line ends "\\r\\n" and "\\r" become "\\n"."""

    kind: Literal["newlines"] = "newlines"
    concerns: ClassVar[int | None] = RETURNS

    def __call__(self, text: str) -> str:
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


class Control(CleanStep):
    """Removes control characters (NUL, escape, delete …), except newline and tab."""

    kind: Literal["control"] = "control"
    concerns: ClassVar[int | None] = RETURNS | CONTROL  # a return that no step before has taken is a control character

    def __call__(self, text: str) -> str:
        return CONTROLS.sub("", text) if has_control(text) else text


class Nfc(CleanStep):
    """Composes characters (Unicode NFC), so that é has one spelling. Off by default: it changes bytes."""

    kind: Literal["nfc"] = "nfc"

    def __call__(self, text: str) -> str:
        return unicodedata.normalize("NFC", text)


class Strip(CleanStep):
    """Removes white space at both ends of a document."""

    kind: Literal["strip"] = "strip"

    def __call__(self, text: str) -> str:
        return text.strip()


class MinLength(CleanStep):
    """Drops documents of fewer characters.

    characters   the fewest that a document may have
    """

    kind: Literal["min_length"] = "min_length"
    characters: int = Field(20, ge=1)

    def __call__(self, text: str) -> str | None:
        return text if len(text) >= self.characters else None


DEFAULT_STEPS: tuple[CleanStep, ...] = (Newlines(), Control())


def clean(text: str, steps: Sequence[CleanStep], counts: Counter[str] | None = None) -> str | None:
    """A text after all steps, or None if one dropped it or nothing but white space is left.

    `counts` is added to in place: step kind → documents that it changed or dropped; "empty" → dropped as blank.
    """
    counts = counts if counts is not None else Counter()
    for step in steps:
        after = step(text)
        if after is None or after != text:
            counts[step.kind] += 1  # type: ignore[attr-defined]
        if after is None:
            return None
        text = after
    if not text or text.isspace():
        counts["empty"] += 1
        return None
    return text


class NotUtf8(Exception):
    """Some bytes that a source gave are no UTF-8; which ones, its careful reader can say."""


def clean_texts(texts: Texts, steps: Sequence[CleanStep], counts: Counter[str]) -> tuple[Texts, Looks]:
    """What is left of some documents after all steps, and what has to be known of it: `clean` of each.

    Only documents that a step might change are gone through one by one. Raises NotUtf8.
    """
    concerns = [step.concerns for step in steps]
    everything = None in concerns
    odd = BLANK | NOT_UTF8 | sum({flag for flag in (RETURNS, CONTROL) if any((each or 0) & flag for each in concerns)})
    if not everything:
        looks = look(texts)
        flagged = (looks.flags & odd).nonzero()[0].tolist()
        if not flagged:
            return texts, looks
    left: list[bytes | None] = list(texts)
    for number in range(len(texts)) if everything else flagged:
        try:
            text = clean(texts[number].decode("utf-8"), steps, counts)
        except UnicodeDecodeError as error:
            raise NotUtf8 from error
        left[number] = None if text is None else text.encode("utf-8")
    joined = Texts.of([text for text in left if text is not None])
    return joined, look(joined)
