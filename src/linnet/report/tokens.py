"""Tokens as people look at them: a text in colors, one a token, in the terminal and as a page."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from html import escape

from rich.text import Text

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Tokens</title>
<style>
body {{ font: 16px/1.9 ui-monospace, monospace; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff; }}
span {{ padding: .15rem 0; border-radius: .2rem; white-space: pre-wrap; }}
span:hover {{ outline: 2px solid #1b1b1b; }}
p {{ color: #555; font-family: system-ui, sans-serif; }}
</style>
<p>{summary}</p>
<div>{tokens}</div>
</html>
"""


def visible(pieces: Sequence[bytes]) -> list[str]:
    """What is seen of each token: its text; the bytes of a character that it has only a part of, as ⟨e4⟩."""
    whole = b"".join(pieces)
    starts = {}  # where each whole character of the text begins → the character
    decoder, begin = codecs.getincrementaldecoder("utf-8")("replace"), 0
    for place in range(len(whole)):
        character = decoder.decode(whole[place : place + 1])
        if character:
            if "\ufffd" not in character and len(character) == 1:
                starts[begin] = character
            begin = place + 1
    shown, at = [], 0
    for piece in pieces:
        end, text = at + len(piece), ""
        while at < end:
            character = starts.get(at, "")
            size = len(character.encode())
            if character and at + size <= end:
                text, at = text + character, at + size
            else:
                text, at = text + f"⟨{whole[at]:02x}⟩", at + 1
        shown.append(text)
    return shown


def as_text(pieces: Sequence[bytes], colors: Sequence[str], learned: Sequence[int] | None = None) -> Text:
    """For the terminal: line ends are shown and kept; tokens that are not `learned` (their weight is 0) are dim."""
    text = Text()
    for number, shown in enumerate(visible(pieces)):
        coloured = learned is None or learned[number]
        text.append(shown.replace("\n", "⏎\n"), style=f"black on {colors[number % len(colors)]}" if coloured else "dim")
    return text


def as_html(ids: Sequence[int], pieces: Sequence[bytes], colors: Sequence[str]) -> str:
    """A page that opens without a network; who points at a token sees its id and its bytes."""
    spans = []
    for number, (token, piece, shown) in enumerate(zip(ids, pieces, visible(pieces), strict=True)):
        title = f"id {token}: {' '.join(f'{byte:02x}' for byte in piece)}"
        spans.append(f'<span style="background: {colors[number % len(colors)]}" title="{title}">{escape(shown)}</span>')
    n_bytes = sum(map(len, pieces))
    summary = f"{len(ids):,} tokens, {n_bytes:,} bytes, {n_bytes / max(1, len(ids)):.2f} bytes a token"
    return PAGE.format(summary=summary, tokens="".join(spans))
