"""From conversations to ids, and which of them are learned: what `ChatTemplate.render` says, a batch at a time.

All that is said in a batch becomes ids in one call; what stands around turns is written once for each role. Ids and the mask are put
together in one pass, from the same pieces, so that neither can be a token off the other:

    begin   before · words · mark · after   before · words · mark · after   end
      0       0        w      w       0       0        w      w       0      0        w: 1 for a role that is learned

An end token stands behind every conversation, as behind every document; one that ends with it already gets no second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from linnet.data.close import Closing, Ids
from linnet.data.encode import Encoded
from linnet.data.look import Texts
from linnet.data.turns import Turns, turns_in
from linnet.tokenizer.chat import ChatTemplate, Role


class Written(NamedTuple):
    """A part of a frame: its ids (n,), the bytes of its ordinary text, its unknown tokens."""

    ids: Ids
    bytes: int
    unknown: int


class Around(NamedTuple):
    """What stands around a role's turns; ends: whether the last of it is the end token."""

    before: Written
    mark: Written
    after: Written
    ends: bool


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
        self.end = np.array([closing.end_id], closing.dtype)
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
        words = Texts.of([turn.content.encode("utf-8") for turns in conversations for turn in turns])
        ids, ends = self.closing.tokenizer.encode_joined(words.joined, words.ends, n_threads=n_threads)
        unknown, sizes = self.closing.checked(ids, ends, words.sizes), words.sizes
        ids, borders = ids.astype(self.closing.dtype), [0, *ends.tolist()]
        parts: list[Ids] = []
        learned: list[bool] = []
        table = np.zeros((len(conversations), 4), np.int64)  # lengths, bytes, unknown tokens, learned bytes of each
        number = 0  # of a turn
        for row, turns in zip(table, conversations):
            first = len(parts)
            parts.append(self.begin.ids)
            learned.append(False)
            row[1:3] += self.begin.bytes, self.begin.unknown
            for turn in turns:
                around, mine = self.frames[turn.role], turn.role in self.learn
                parts += around.before.ids, ids[borders[number] : borders[number + 1]], around.mark.ids, around.after.ids
                learned += False, mine, mine, False
                size, frame = int(sizes[number]), (around.before, around.mark, around.after)
                row[1] += size + sum(part.bytes for part in frame)
                row[2] += int(unknown[number]) + sum(part.unknown for part in frame)
                row[3] += mine * (size + around.mark.bytes)
                number += 1
            if not self.ends(turns):
                parts.append(self.end)
                learned.append(False)
            row[0] = sum(map(len, parts[first:]))
        everything = np.concatenate(parts)
        mask = np.repeat(np.array(learned), [len(part) for part in parts])
        of = np.repeat(which & 3, table[:, 0])
        return Encoded(
            sides=(everything[of == 1], everything[of == 2]),
            lengths=table[:, 0],
            bytes=table[:, 1],
            unknown=table[:, 2],
            learned=(mask[of == 1], mask[of == 2]),
            learned_bytes=table[:, 3],
        )

    def ends(self, turns: Turns) -> bool:
        """Whether the template itself writes an end token behind a conversation."""
        return self.frames[turns[-1].role].ends
