"""How `tokenizer.json` spells bytes as characters, so that a token that is not UTF-8 can stand in JSON.

    b" the"  ↔  "Ġthe"

GPT-2 (openai/gpt-2, src/encoder.py, `bytes_to_unicode`): a printable byte is its own character, the others are
counted up from U+0100 in their order.
"""

from __future__ import annotations

import codecs

PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]
SYMBOL_OF = {byte: chr(byte) for byte in PRINTABLE} | {byte: chr(256 + place) for place, byte in enumerate(OTHERS)}
SYMBOLS = "".join(SYMBOL_OF[byte] for byte in range(256))
BYTES = codecs.charmap_build(SYMBOLS)


def spell(token: bytes) -> str:
    """The characters that spell some bytes."""
    return codecs.charmap_decode(token, "strict", SYMBOLS)[0]


def unspell(spelling: str) -> bytes | None:
    """The bytes that some characters spell; None where one of them spells no byte."""
    try:
        return codecs.charmap_encode(spelling, "strict", BYTES)[0]
    except UnicodeEncodeError:
        return None
