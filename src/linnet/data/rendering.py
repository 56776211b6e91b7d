"""From conversations to ids, and which of them are learned: what `ChatTemplate.render` says, a batch at a time.

All that is said in a batch becomes ids in one call; what stands around turns is written once for each role. Ids and the mask are put
together in one pass, from the same pieces, so that neither can be a token off the other:

    begin   before · words · mark · after   before · words · mark · after   end
      0       0        w      w       0       0        w      w       0      0        w: 1 for a role that is learned

An end token stands behind every conversation, as behind every document; one that ends with it already gets no second one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from linnet.data.close import Closing, Ids, side_of
from linnet.data.encode import Encoded
from linnet.data.look import Texts
from linnet.data.turns import Turns, turns_in
from linnet.tokenizer.chat import ChatTemplate, Role


class Written(NamedTuple):
    """A part of a frame, or what a turn says: its ids (n,), the bytes of its ordinary text, its unknown tokens."""

    ids: Ids
    bytes: int
    unknown: int


class Around(NamedTuple):
    """What stands around a role's turns; ends: whether the last of it is the end token."""

    before: Written
    mark: Written
    after: Written
    ends: bool


class Row:
    """A conversation as it is put together.

    parts   their ids, one after the other; marks: whether each of these parts is learned
    """

    def __init__(self) -> None:
        self.parts: list[Ids] = []
        self.marks: list[bool] = []
        self.bytes = self.unknown = self.learned_bytes = 0

    def add(self, part: Written, learned: bool = False) -> None:
        """One more part behind the others."""
        self.parts.append(part.ids)
        self.marks.append(learned)
        self.bytes += part.bytes
        self.unknown += part.unknown
        self.learned_bytes += learned * part.bytes


class Rendering:
    """Encodes conversations: an `Encoder` of the lines that `turns.as_line` writes.

    closing    of the tokenizer
    template   how conversations are written down
    learn      whose words are learned, and the marks with which they end

    `bytes` are those of ordinary text: what people say, and what the template writes in letters and not in special tokens.
    Raises TokenizerError for a tokenizer that lacks the template's special tokens, or loses bytes.
    """

    def __init__(self, closing: Closing, template: ChatTemplate, learn: Sequence[Role]) -> None:
        template.check(closing.tokenizer)
        self.closing, self.template, self.learn = closing, template, frozenset(learn)
        self.begin = self._written(template.begin)
        self.end = Written(np.array([closing.end_id], closing.dtype), 0, 0)
        self.frames: dict[str, Around] = {}
        for role in get_args(Role):
            frame = template.frame(role)
            before, mark, after = (self._written(part) for part in (frame.before, frame.mark, frame.after))
            last = np.concatenate([mark.ids, after.ids])[-1:].tolist()
            self.frames[role] = Around(before, mark, after, last == [closing.end_id])

    def _written(self, frame: str) -> Written:
        """A part of a frame, its ordinary text checked like what people say."""
        ids = np.array(self.template.written(self.closing.tokenizer, frame), self.closing.dtype)
        texts = self.template.ordinary(frame)
        sizes = np.array([len(text.encode("utf-8")) for text in texts], np.uint64)
        unknown = self.closing.checked(*self.closing.tokenizer.encode_to_arrays(texts), sizes)
        return Written(ids, int(sizes.sum()), int(unknown.sum()))

    def __call__(self, texts: Texts, which: NDArray[np.uint8], *, n_threads: int | None = None) -> Encoded:
        conversations = [turns_in(text) for text in texts]
        words = self._words(conversations, n_threads)
        rows = [self._row(turns, words) for turns in conversations]
        lengths = np.array([sum(map(len, row.parts)) for row in rows], np.int64)
        everything = np.concatenate([part for row in rows for part in row.parts])
        mask = np.repeat([mark for row in rows for mark in row.marks], [len(part) for row in rows for part in row.parts])
        of = np.repeat(side_of(which), lengths)
        return Encoded(
            sides=(everything[of == 1], everything[of == 2]),
            lengths=lengths,
            bytes=np.array([row.bytes for row in rows], np.int64),
            unknown=np.array([row.unknown for row in rows], np.int64),
            masks=(mask[of == 1], mask[of == 2]),
            learned_bytes=np.array([row.learned_bytes for row in rows], np.int64),
        )

    def _words(self, conversations: Sequence[Turns], n_threads: int | None) -> Iterator[Written]:
        """What is said in some conversations, turn by turn, encoded in one call."""
        words = Texts.of([turn.content.encode("utf-8") for turns in conversations for turn in turns])
        ids, ends = self.closing.tokenizer.encode_joined(words.joined, words.ends, n_threads=n_threads)
        unknown = self.closing.checked(ids, ends, words.sizes).tolist()
        parts = np.split(ids.astype(self.closing.dtype), ends[:-1].astype(np.int64))
        return map(Written, parts, words.sizes.tolist(), unknown)

    def _row(self, turns: Turns, words: Iterator[Written]) -> Row:
        """A conversation; `words`: what its turns say, and then those of the next one."""
        row = Row()
        row.add(self.begin)
        for turn, said in zip(turns, words):
            around, mine = self.frames[turn.role], turn.learned and turn.role in self.learn
            row.add(around.before)
            row.add(said, mine)
            row.add(around.mark, mine)
            row.add(around.after)
        if not self.ends(turns):
            row.add(self.end)
        return row

    def ends(self, turns: Turns) -> bool:
        """Whether the template itself writes an end token behind a conversation."""
        return self.frames[turns[-1].role].ends
