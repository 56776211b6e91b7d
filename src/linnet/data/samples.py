"""A few documents or conversations as a model sees them: ids, and which of them it learns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from linnet.core.errors import DataError, explain
from linnet.core.names import nearest
from linnet.data.conversations import FORMS, Conversation, Preference, described, read
from linnet.data.reading import blocks, chunks
from linnet.data.sources import Files, ending, find_files
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.chat import ChatML, ChatTemplate, Llama3, Plain, Rendered, Turn

TEMPLATES: dict[str, type[Plain] | type[ChatML] | type[Llama3]] = {"plain": Plain, "chatml": ChatML, "llama3": Llama3}


class Sample(NamedTuple):
    """place: where it stood · form: of its record, or `document` · ids, and 1 for those that are learned."""

    place: str
    form: str
    ids: list[int]
    weights: list[int]


def template_called(name: str) -> ChatTemplate:
    """The chat template of that name. Raises DataError with the nearest one."""
    if name not in TEMPLATES:
        raise DataError(explain(f"the template {name!r}", need=f"one of {', '.join(TEMPLATES)}", hint=nearest(name, TEMPLATES)))
    return TEMPLATES[name]()


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
    for place, record in records_of(file):
        found = read(record, place, form)
        if isinstance(found, Preference):
            for answer, said in ((found.chosen, "chosen"), (found.rejected, "rejected")):
                rendered = template.render(tokenizer, [*found.turns, Turn("assistant", answer)])
                yield Sample(place, said, *last_answer(rendered))
        elif isinstance(found, Conversation):
            rendered = template.render(tokenizer, described(found))
            yield Sample(place, form, rendered.ids, rendered.weights())


def last_answer(rendered: Rendered) -> tuple[list[int], list[int]]:
    """The ids, and 1 for those of the last turn alone: what a preference is about."""
    span = rendered.spans[-1]
    return rendered.ids, [int(span.start <= i < span.end) for i in range(len(rendered.ids))]


def form_of(file: Path) -> str | None:
    """The form of the first record of a .jsonl; None for other files, and where it is none that is known."""
    if ending(file) != ".jsonl":
        return None
    for _, record in records_of(file):
        return next((name for name, (needed, _) in FORMS.items() if needed <= record.keys()), None)
    return None


def records_of(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(place, record) of a .jsonl. Raises DataError with the line that is no JSON object."""
    for block in blocks(chunks(file), str(file)):
        for number, line in enumerate(block.text.split("\n"), block.line):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    explain(f"{file}, line {number} is not valid JSON ({error})", need="one JSON object a line")
                ) from error
            if not isinstance(record, dict):
                raise DataError(explain(f"{file}, line {number} is no JSON object", need="one JSON object a line"))
            yield f"{file}, line {number}", record
