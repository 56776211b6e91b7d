"""The vocabulary in a GGUF file: enough of the format to know what llama.cpp's test files were made with.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md: magic, version, counts, then a name, a type and a value for each entry.
"""

from __future__ import annotations

import struct
from typing import Any

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9


def entries(data: bytes) -> dict[str, Any]:
    """The metadata of a GGUF file."""
    at = 4
    assert data[:4] == b"GGUF"

    def number(form: str) -> Any:
        nonlocal at
        (value,) = struct.unpack_from(f"<{form}", data, at)
        at += struct.calcsize(f"<{form}")
        return value

    def value(kind: int) -> Any:
        nonlocal at
        if kind in NUMBERS:
            return number(NUMBERS[kind])
        if kind == TEXT:
            length = number("Q")
            at += length
            return data[at - length : at].decode("utf-8")
        assert kind == LIST
        of, count = number("I"), number("Q")
        return [value(of) for _ in range(count)]

    assert number("I") in (2, 3)
    number("Q")  # tensors
    found = {}
    for _ in range(number("Q")):
        name = value(TEXT)
        found[name] = value(number("I"))
    return found
