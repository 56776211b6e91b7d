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
from typing import Literal

from pydantic import Field

from linnet.core.spec import Spec

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # Unicode category Cc, but for tab and newline
ASCII_CONTROL = bytes({*range(32), 127} - {9, 10})
LATER_CONTROL = re.compile(b"\xc2[\x80-\x9f]")  # the others, in UTF-8


class CleanStep(Spec):
    """A family: one step of cleaning."""

    @abstractmethod
    def __call__(self, text: str) -> str | None:
        """The cleaned text, or None to drop the document."""


class Newlines(CleanStep):
    """Line ends "\\r\\n" and "\\r" become "\\n"."""

    kind: Literal["newlines"] = "newlines"

    def __call__(self, text: str) -> str:
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


class Control(CleanStep):
    """Removes control characters (NUL, escape, delete …), except newline and tab."""

    kind: Literal["control"] = "control"

    def __call__(self, text: str) -> str:
        return CONTROL.sub("", text) if has_control(text) else text


def has_control(text: str) -> bool:
    """Whether a text has any control character; a twentieth of the time that removing none takes."""
    data = text.encode("utf-8", "surrogatepass")
    return len(data.translate(None, ASCII_CONTROL)) < len(data) or LATER_CONTROL.search(data) is not None


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
