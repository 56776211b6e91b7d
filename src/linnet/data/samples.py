"""A few documents or conversations, as they were read, or as a model sees them: ids, and which of them it learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from linnet.core.errors import DataError, explain
from linnet.core.names import nearest
from linnet.core.spec import words
from linnet.data.chats import Conversations
from linnet.data.close import Closing
from linnet.data.conversations import Preference, Record, Text, read_all
from linnet.data.files import find_files
from linnet.data.look import Texts
from linnet.data.records import form_of, records_of
from linnet.data.sources import Files
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.chat import ChatML, ChatTemplate


class Sample(NamedTuple):
    """place: where it stood · form: of its record, or `document` · ids, and 1 for those that are learned."""

    place: str
    form: str
    ids: list[int]
    weights: list[int]


class Parsed(NamedTuple):
    """place: where it stood · form: of its record, or `document` · parts: who says it, and what; nobody says a document."""

    place: str
    form: str
    parts: list[tuple[str, str]]


def parsed(paths: Sequence[str], count: int, *, text: str | None = None) -> Iterator[Parsed]:
    """The first `count` of some files as they were read: conversations where records hold such, else documents."""
    return islice((each for path in paths for file in find_files(path) for each in parsed_file(file, text)), count)


def parsed_file(file: Path, text: str | None) -> Iterator[Parsed]:
    form = form_of(file) if text is None else None
    if form is None:
        for document in Files(path=str(file), text=text).documents():
            yield Parsed(document.name, "document", [("", document.text)])
        return
    for place, found in read_all(records_of(file), form):
        yield Parsed(place, form, said_in(found))


def said_in(found: Record) -> list[tuple[str, str]]:
    """(who says it, what) of a record, in order."""
    if isinstance(found, Text):
        return [("", found.text)]
    turns: list[tuple[str, str]] = [(turn.role, turn.content) for turn in found.turns]
    return [*turns, ("chosen", found.chosen), ("rejected", found.rejected)] if isinstance(found, Preference) else turns


def template_called(name: str) -> ChatTemplate:
    """The chat template of that name. Raises DataError with the nearest one."""
    known = words(ChatTemplate)
    if name not in known:
        raise DataError(explain(f"the template {name!r}", need=f"one of {', '.join(known)}", hint=nearest(name, known)))
    return known[name]()


def samples(
    paths: Sequence[str], tokenizer: Tokenizer, count: int, *, template: ChatTemplate | None = None, text: str | None = None
) -> Iterator[Sample]:
    """The first `count` of some files, as training is given them: conversations where records hold such, else documents."""
    chosen = template or ChatML()
    return islice(
        (sample for path in paths for file in find_files(path) for sample in of_file(file, tokenizer, chosen, text)), count
    )


def of_file(file: Path, tokenizer: Tokenizer, template: ChatTemplate, text: str | None) -> Iterator[Sample]:
    form = form_of(file) if text is None else None
    if form is None:
        for document in Files(path=str(file), text=text).documents():
            ids = [*tokenizer.encode(document.text), tokenizer.end_id]
            yield Sample(document.name, "document", ids, [1] * len(ids))
        return
    source = Conversations(path=str(file), template=template)
    encoder = source.encoder(Closing(tokenizer))
    for document in source.documents():
        encoded = encoder(Texts.of([document.text.encode("utf-8")]), np.ones(1, np.uint8))
        assert encoded.masks is not None
        yield Sample(document.name, form, encoded.sides[0].tolist(), encoded.masks[0].astype(int).tolist())
