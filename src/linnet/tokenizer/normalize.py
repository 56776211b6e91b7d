"""Text made ready for pieces, as SentencePiece does it: characters replaced by rules, spaces collapsed, written as ▁, one in front.

The rules (NFKC and its variants) come with a model as a *double array* (Aoe 1989, 10.1109/32.31365): a trie in one array of
32-bit units, in the layout of Darts-clone, that leads from the bytes of some characters to the place of what replaces them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # ▁, which a space is written as

LONGEST = 32  # bytes that a rule replaces at most


@dataclass(frozen=True)
class Normalizer:
    """How text is made ready.

    rules      the double array and the replacements, as in a model file; empty: characters stay as they are
    in_front   a space before the first word
    collapse   spaces at both ends go, several become one
    """

    rules: bytes = b""
    in_front: bool = True
    collapse: bool = True

    def __post_init__(self) -> None:
        if self.rules and (len(self.rules) < 4 or len(self.rules) < 4 + self._size or self._size % 4):
            raise ValueError("rules for characters that are cut")
        if self.rules:
            self._check_rules()

    def __call__(self, text: str, keep: frozenset[str] = frozenset()) -> str:
        """`text` made ready; what begins with one of `keep`, the longest of them, stays as it is."""
        text = self.replaced(text, keep) if self.rules else text.encode("utf-8", "replace").decode("utf-8")
        if self.collapse:
            text = " ".join(part for part in text.split(" ") if part)
        if not text:
            return ""
        return (SPACE if self.in_front else "") + text.replace(" ", SPACE)

    def replaced(self, text: str, keep: frozenset[str]) -> str:
        """`text` with every stretch of characters that there is a rule for replaced, the longest first."""
        data = text.encode("utf-8", "replace")
        kept = sorted((word.encode("utf-8") for word in keep), key=len, reverse=True)
        out, at = [], 0
        while at < len(data):
            word = next((word for word in kept if data.startswith(word, at)), None)
            if word is not None:
                out.append(word)
                at += len(word)
                continue
            length, to = self._longest(data[at : at + LONGEST])
            if not length:
                lead = data[at]
                length = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
                to = data[at : at + length]
            out.append(to)
            at += length
        return b"".join(out).decode("utf-8")

    @property
    def _size(self) -> int:
        """Bytes of the double array."""
        return int(struct.unpack_from("<I", self.rules)[0])

    @cached_property
    def _units(self) -> tuple[int, ...]:
        return struct.unpack_from(f"<{self._size // 4}I", self.rules, 4)

    def _check_rules(self) -> None:
        """Raise ValueError where the array leads out of itself, to a rule for a part of a character, or to what is no text."""
        children: dict[int, list[int]] = {}
        for place, unit in enumerate(self._units):
            children.setdefault(place ^ unit & 0xFF, []).append(place)
        if not children:
            raise ValueError("rules for characters that are cut")
        begin = (offset(self._units[0]), 0)  # where children are, and how many bytes of a character are to come
        seen, waiting = {begin}, [begin]
        while waiting:
            node, lacking = waiting.pop()
            for place in children.get(node, ()):
                unit = self._units[place]
                left = bytes_left(lacking, unit & 0x8000_00FF)
                if left is None:  # no text leads there
                    continue
                below = place ^ offset(unit)
                if unit >> 8 & 1:
                    self._check_rule(below, left)
                if (below, left) not in seen:
                    seen.add((below, left))
                    waiting.append((below, left))

    def _check_rule(self, leaf: int, left: int) -> None:
        if left or leaf >= len(self._units):
            raise ValueError("rules for characters that are damaged")
        self._replacement(leaf).decode("utf-8")

    def _replacement(self, leaf: int) -> bytes:
        start = 4 + self._size + (self._units[leaf] & 0x7FFF_FFFF)
        return self.rules[start : self.rules.index(b"\0", start)]

    def _longest(self, data: bytes) -> tuple[int, bytes]:
        """How many of the first bytes the longest rule is for, and what replaces them; 0 where there is none."""
        units, found = self._units, (0, b"")
        node = offset(units[0])
        for length, byte in enumerate(data, 1):
            node ^= byte
            if node >= len(units) or units[node] & 0x8000_00FF != byte:
                break
            leaf = units[node] >> 8 & 1
            node ^= offset(units[node])
            if leaf:
                found = (length, self._replacement(node))
        return found


def bytes_left(lacking: int, byte: int) -> int | None:
    """How many bytes of a character are to come behind this one, before which there were `lacking`; None where it cannot stand there."""
    if lacking:
        return lacking - 1 if 0x80 <= byte < 0xC0 else None
    return 0 if byte < 0x80 else 1 if 0xC2 <= byte < 0xE0 else 2 if 0xE0 <= byte < 0xF0 else 3 if 0xF0 <= byte < 0xF5 else None


def offset(unit: int) -> int:
    """How far a unit's children are from it."""
    return unit >> 10 << ((unit & 0x200) >> 6)
