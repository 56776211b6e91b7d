"""Conversations as a source: read in any form that people keep them in, and written down for a model by a template.

data: {sources: [{kind: conversations, path: chats.jsonl}]}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator

from linnet.core.errors import DataError
from linnet.data import turns
from linnet.data.clean import CleanStep
from linnet.data.close import Closing
from linnet.data.conversations import LEARNED, form_for, read, turns_to_learn
from linnet.data.encode import Encoder
from linnet.data.files import encoded, ending
from linnet.data.formats import Options, Rows
from linnet.data.look import Looks, Texts
from linnet.data.portions import Slice, lines_before
from linnet.data.reading import Encoding
from linnet.data.records import first_record, record_files, records_of_slice
from linnet.data.rendering import Rendering
from linnet.data.sources import Described, Document, Portion, as_label, digest_of_files, parts_of, portions_of
from linnet.tokenizer.chat import ChatML, ChatTemplate, Role, Turn


class Conversations(Described):
    """Conversations in a file, a folder or a glob of jsonl, csv, tsv and parquet; only what some roles say is learned.

    path       of the file, the folder, or a glob such as "chats/**/*.jsonl"
    template   how they are written down
    learn      the roles whose words are learned, and the marks with which they end
    encoding   how the files spell characters
    """

    kind: Literal["conversations"] = "conversations"
    path: str = Field(min_length=1)
    template: ChatTemplate = ChatML()
    learn: tuple[Role, ...] = Field(default=LEARNED, strict=False, min_length=1)
    encoding: Encoding = "utf-8"

    whole: ClassVar[bool] = True

    @field_validator("learn")
    @classmethod
    def _each_once(cls, roles: tuple[Role, ...]) -> tuple[Role, ...]:
        if len(set(roles)) < len(roles):
            raise ValueError(f"got {', '.join(roles)}; needed: each role once")
        return roles

    @classmethod
    def examples(cls) -> tuple[Conversations, ...]:
        return cls(path="chats.jsonl"), cls(path="talks/", learn=("user", "assistant"), name="talks", part="train")

    def label(self) -> str:
        return self.name or as_label(Path(self.path).name.split(".")[0]) or "conversations"

    # ---- reading --------------------------------------------------------------------------------------------------

    def documents(self, *, seed: int = 0) -> Iterator[Document]:
        """Each conversation as a line of JSON (turns.py)."""
        for file in self.files():
            for where, line in self.lines(Slice(str(file), 0, None, 0), 1):
                yield Document(line, self.label(), where)

    def portions(self) -> list[Portion]:
        return portions_of(self.files(), self.options())

    def texts(self, portion: Any = None, *, seed: int = 0) -> Iterator[Texts]:
        for part in parts_of(portion):
            try:
                yield from encoded(self.lines(part, 1))
            except DataError:
                if part.start and ending(Path(part.path)) == ".jsonl":  # its place was counted from the slice's first line on
                    for _ in self.lines(part, 1 + lines_before(part.path, part.start)):
                        pass  # what raised above raises here with its line in the file, which only an error is worth counting for
                raise

    def lines(self, part: Slice, line: int) -> Rows:
        """(where, conversation as a line) of a part of a file, whose first line is `line`. Raises DataError with the place."""
        first = first_record(Path(part.path), self.options()) if part.start else None  # which says the form of all
        form: str | None = None
        for where, record in records_of_slice(part, self.options(), line):
            form = form or form_for(first or record, where)
            yield where, turns.as_line(turns_to_learn(read(record, where, form), where, self.learn))

    def options(self) -> Options:
        """What readers are told."""
        return Options(encoding=self.encoding)

    def files(self) -> list[Path]:
        """The files that the path stands for, sorted. Raises DataError if there are none, or one is of another format."""
        return record_files(self.path)

    def digest(self, *, seed: int = 0) -> str:
        return digest_of_files(self.files())

    # ---- what is done with them -----------------------------------------------------------------------------------

    def cleaned(self, texts: Texts, steps: Sequence[CleanStep], counts: Counter[str]) -> tuple[Texts, Looks]:
        return turns.cleaned(texts, steps, counts)

    def said(self, texts: Texts) -> Texts:
        return turns.said(texts)

    def first_lessons(self) -> Iterable[str]:
        """What stands around the turns of each role: somebody may speak in one that no conversation has."""
        frames = self.template.texts([Turn(role, "") for role in get_args(Role)])
        return (text for text in frames if text)

    def lessons(self, text: str) -> Iterable[str]:
        return self.template.texts(turns.turns_in(text))

    def encoder(self, closing: Closing) -> Encoder:
        return Rendering(closing, self.template, self.learn)
