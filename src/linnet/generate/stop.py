"""When a text ends, and what of it may already be shown.

A stop string can begin in one token and end three tokens later, so a stream must hold back every tail of the text that
could still become one. The rule, defined on characters so that it does not depend on how the text was cut into tokens:

    the text stops at the first character that completes a stop string (of several, the longest), and is cut before it

Bytes are decoded as they come; half a UTF-8 character waits for its other half. One `Stopper` watches one row.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import Literal

from linnet.core.errors import LinnetError, explain

Reason = Literal["stop_string", "stop_token", "length"]


class Stopper:
    """Watches one row of generated tokens and releases its text.

        stopper = Stopper(stop_strings=["\\n\\n"], stop_tokens=[tokenizer.end_id], max_new_tokens=200)
        while stopper.reason is None:
            show(stopper.push(token, tokenizer.token_bytes(token)))
        show(stopper.finish())              # only needed where a caller breaks off early; "" otherwise

    Laws: the released pieces joined are `text`; nothing of a stop string is ever released; `text` and `reason` do not
    depend on how the bytes were split into tokens (a budget in tokens does, of course).
    """

    def __init__(
        self, stop_strings: Iterable[str] = (), stop_tokens: Iterable[int] = (), max_new_tokens: int | None = None
    ) -> None:
        self.stop_strings = (stop_strings,) if isinstance(stop_strings, str) else tuple(stop_strings)
        self.stop_tokens = frozenset(stop_tokens)
        self.max_new_tokens = max_new_tokens
        if "" in self.stop_strings:
            raise LinnetError(explain("an empty stop string", need="at least one character: the empty string stands everywhere"))
        if max_new_tokens is not None and max_new_tokens < 1:
            raise LinnetError(explain(f"max_new_tokens = {max_new_tokens}", need="at least 1, or None for no budget"))
        self.reason: Reason | None = None
        self.n_tokens = 0  # pushed so far, a stop token counted in
        self._released: list[str] = []
        self._held = ""  # decoded, but a stop string may begin in it
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._finished = False

    @property
    def text(self) -> str:
        """Everything released so far; the final text once there is a `reason` or after `finish`."""
        return "".join(self._released)

    def push(self, token: int, piece: bytes) -> str:
        """Take one token and its bytes; give the text that may be shown now (often "").

        The bytes of a stop token are no part of the text. Raises LinnetError after the end.
        """
        if self._finished:
            raise LinnetError(
                explain(f"a token after the end ({self.reason or 'finished'})", need="to leave the loop when `reason` is set")
            )
        self.n_tokens += 1
        if token in self.stop_tokens:
            return self._end("stop_token")
        new = self._watch(self._decoder.decode(piece))
        if self.reason is None and self.n_tokens == self.max_new_tokens:
            new += self._end("length")
        return new

    def finish(self) -> str:
        """End the text here: give what was held back. "" where it has ended already."""
        return "" if self._finished else self._end(None)

    def _end(self, reason: Reason | None) -> str:
        self.reason = reason
        new = self._watch(self._decoder.decode(b"", final=True))  # a character cut in two shows as U+FFFD
        rest, self._held = self._held, ""
        self._finished = True
        if self._released or rest:
            self._released.append(rest)
        return new + rest

    def _watch(self, decoded: str) -> str:
        """Add text; give what is safe to show. Sets `reason` where a stop string is complete."""
        text = self._held + decoded
        # the held tail begins wherever a match that is under way can begin, so nothing earlier needs a second look
        found = [(text.index(stop) + len(stop), text.index(stop)) for stop in self.stop_strings if stop in text]
        if found:
            _, cut = min(found)  # completed first; of those the longest
            self.reason, self._held, self._finished = "stop_string", "", True
            new = text[:cut]
        else:
            keep = max((overlap(text, stop) for stop in self.stop_strings), default=0)
            new, self._held = text[: len(text) - keep], text[len(text) - keep :]
        if new:
            self._released.append(new)
        return new


def overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` could be the beginning of `stop` (never all of it).

    >>> overlap("so far. En", "End")
    2
    """
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
