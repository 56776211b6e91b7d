"""A few documents or conversations, as they were read, or as a model sees them: ids, and which of them it learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from linnet.core.errors import DataError, explain
from linnet.core.names import nearest
from linnet.core.spec import words
from linnet.data.conversations import Conversation, Preference, Record, read_all
from linnet.data.files import find_files
from linnet.data.records import form_of, records_of
from linnet.data.sources import Files
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.chat import ChatTemplate, Rendered, Turn


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
    if form is None or form == "text":
        for document in Files(path=str(file), text=text).documents():
            yield Parsed(document.name, "document", [("", document.text)])
        return
    for place, found in read_all(records_of(file)):
        yield Parsed(place, form, parts_of(found))


def parts_of(found: Record) -> list[tuple[str, str]]:
    """(who says it, what) of a record, in order."""
    if isinstance(found, Conversation):
        return [(turn.role, turn.content) for turn in found.turns]
    if isinstance(found, Preference):
        return [*((turn.role, turn.content) for turn in found.turns), ("chosen", found.chosen), ("rejected", found.rejected)]
    return [("", found.text)]


def template_called(name: str) -> ChatTemplate:
    """The chat template of that name. Raises DataError with the nearest one."""
    known = words(ChatTemplate)
    if name not in known:
        raise DataError(explain(f"the template {name!r}", need=f"one of {', '.join(known)}", hint=nearest(name, known)))
    return known[name]()


def samples(
    paths: Sequence[str], tokenizer: Tokenizer, count: int, *, template: str = "plain", text: str | None = None
) -> Iterator[Sample]:
    """The first `count` of some files: conversations where a .jsonl holds such, else documents."""
    chosen = template_called(template)
    return islice(
        (sample for path in paths for file in find_files(path) for sample in of_file(file, tokenizer, chosen, text)), count
    )


def of_file(file: Path, tokenizer: Tokenizer, template: ChatTemplate, text: str | None) -> Iterator[Sample]:
    form = form_of(file) if text is None else None
    if form is None or form == "text":
        for document in Files(path=str(file), text=text).documents():
            ids = [*tokenizer.encode(document.text), tokenizer.end_id]
            yield Sample(document.name, "document", ids, [1] * len(ids))
        return
    for place, found in read_all(records_of(file)):
        if isinstance(found, Preference):
            for answer, said in ((found.chosen, "chosen"), (found.rejected, "rejected")):
                rendered = template.render(tokenizer, [*found.turns, Turn("assistant", answer)])
                yield Sample(place, said, *last_answer(rendered))
        elif isinstance(found, Conversation):
            rendered = template.render(tokenizer, found.turns)
            yield Sample(place, form, rendered.ids, rendered.weights())


def last_answer(rendered: Rendered) -> tuple[list[int], list[int]]:
    """The ids, and 1 for those of the last turn alone: what a preference is about."""
    span = rendered.spans[-1]
    return rendered.ids, [int(span.start <= i < span.end) for i in range(len(rendered.ids))]
