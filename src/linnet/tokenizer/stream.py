"""Text out of ids that arrive one by one, as they do while a model writes."""

from __future__ import annotations

import codecs

from linnet.tokenizer.base import Tokenizer


class StreamDecoder:
    """Turns ids into text as they come, and holds a character back until all of its bytes are there.

        "".join(decoder.push(id) for id in ids) + decoder.flush() == tokenizer.decode(ids)

    A token may end in the middle of a character (an emoji is four bytes, and often as many tokens). U+FFFD appears
    only where bytes that are no UTF-8 have come, never for a character that may still become whole.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The text that this id completes; may be empty. Raises TokenizerError for an id that is none."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def flush(self) -> str:
        """The end of the text: U+FFFD if a character has stayed incomplete. The decoder is then as new."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest
