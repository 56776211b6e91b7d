"""What has to be known of every document before it is kept: its fingerprint, its length, and what is odd about it.

In Rust where that is there (`native/src/documents/`), a batch at a time; `look_plainly` says the same in Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnet.core.native import checked, native_available, opened, pointer
from linnet.data.split import fingerprint
from linnet.tokenizer.base import ends_of

ASCII_CONTROL = bytes({*range(32), 127} - {9, 10})
LATER_CONTROL = re.compile(b"\xc2[\x80-\x9f]")  # the others of category Cc, in UTF-8

NOT_UTF8, RETURNS, CONTROL, BLANK = 1, 2, 4, 8  # as in native/include/linnet.h


@dataclass(frozen=True, eq=False)
class Texts:
    """Some documents' UTF-8, one after the other, and where each ends (n,)."""

    joined: bytes | memoryview
    ends: NDArray[np.uint64]

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Texts:
        """Those of a list."""
        return cls(b"".join(texts), ends_of(texts))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> bytes:
        return bytes(self.joined[int(self.ends[number - 1]) if number else 0 : int(self.ends[number])])

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))

    @property
    def sizes(self) -> NDArray[np.uint64]:
        """The bytes of each (n,)."""
        return np.diff(self.ends, prepend=np.uint64(0))

    def before(self, count: int) -> Texts:
        """The first `count`."""
        return Texts(self.joined[: int(self.ends[count - 1]) if count else 0], self.ends[:count])

    def after(self, count: int) -> Texts:
        """Those behind the first `count`."""
        begin = int(self.ends[count - 1]) if count else 0
        return Texts(self.joined[begin:], self.ends[count:] - np.uint64(begin))


@dataclass(frozen=True, eq=False)
class Looks:
    """What was found out about n documents.

    fingerprints   (n, 2) uint64, the 16 bytes of `split.fingerprint`
    characters     (n,) uint64
    flags          (n,) uint8: NOT_UTF8, RETURNS, CONTROL (another control character but tab and newline), BLANK (no
                   character of ASCII that is seen: perhaps white space alone)
    """

    fingerprints: NDArray[np.uint64]
    characters: NDArray[np.uint64]
    flags: NDArray[np.uint8]


def look(texts: Texts) -> Looks:
    """What has to be known of some documents."""
    if not native_available():
        return look_plainly(texts)
    _, lib, _ = opened()
    n = len(texts)
    found = Looks(np.empty((n, 2), np.uint64), np.empty(n, np.uint64), np.empty(n, np.uint8))
    code = lib.linnet_documents_look(
        pointer("uint8_t", texts.joined),
        pointer("uint64_t", texts.ends),
        n,
        pointer("uint8_t", found.fingerprints),
        pointer("uint64_t", found.characters),
        pointer("uint8_t", found.flags),
    )
    checked(code, "linnet_documents_look")
    return found


def look_plainly(texts: Texts) -> Looks:
    """`look` in Python."""
    found = [look_at(texts[number]) for number in range(len(texts))]
    marks = np.frombuffer(b"".join(mark for mark, _, _ in found), "<u8").reshape(-1, 2)
    return Looks(marks, np.array([size for _, size, _ in found], np.uint64), np.array([flags for _, _, flags in found], np.uint8))


def look_at(text: bytes) -> tuple[bytes, int, int]:
    """(fingerprint, characters, flags) of one document."""
    flags = 0
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        flags, decoded = NOT_UTF8, text.decode("utf-8", "replace")
    flags |= RETURNS if b"\r" in text else 0
    flags |= CONTROL if has_control(decoded.replace("\r", "")) else 0
    flags |= 0 if any("!" <= character <= "~" for character in decoded) else BLANK
    return fingerprint(text), sum(byte & 0xC0 != 0x80 for byte in text), flags


def has_control(text: str) -> bool:
    """Whether a text has any control character; a twentieth of the time that removing none takes."""
    data = text.encode("utf-8", "surrogatepass")
    return len(data.translate(None, ASCII_CONTROL)) < len(data) or LATER_CONTROL.search(data) is not None
