"""Records of conversations and preferences, in the forms in which people keep them.

    text         {"text": …}                                            nothing but text
    messages     {"messages": [{"role": …, "content": …}, …]}           OpenAI's; also under "conversation"
    sharegpt     {"conversations": [{"from": "human", "value": …}, …]}
    alpaca       {"instruction": …, "input": …, "output": …}            input may be empty or missing
    preference   {"prompt": …, "chosen": …, "rejected": …}              each a text or messages

`sniff` tells which one a record is; `read` makes turns of it, and says what is wrong with it and where it stood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from linnet.core.errors import DataError, explain
from linnet.core.refusals import kind_of, shown
from linnet.tokenizer.chat import Role, Turn, check_turns

SPEAKERS: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}


@dataclass(frozen=True)
class Conversation:
    """Turns, the assistant's last one at their end."""

    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Preference:
    """Two ways to go on after some turns, of which people prefer the first."""

    turns: tuple[Turn, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Text:
    """Nothing but text."""

    text: str


Record = Conversation | Preference | Text


def form_in(record: Mapping[str, Any]) -> str | None:
    """The name of the form that a record is in; None for one that is not known."""
    return next((name for name, (needed, _) in FORMS.items() if needed <= record.keys()), None)


def sniff(record: Mapping[str, Any], where: str) -> str:
    """The name of the form that a record is in. Raises DataError with the fields found."""
    form = form_in(record)
    if form is not None:
        return form
    forms = "; ".join(f"{name}: {', '.join(sorted(needed))}" for name, (needed, _) in FORMS.items())
    raise DataError(
        explain(
            f"{where} has the fields {', '.join(map(str, record)) or 'none'}", need=f"those of one of the known forms ({forms})"
        )
    )


def read(record: Mapping[str, Any], where: str, form: str | None = None) -> Record:
    """A record as turns. `form`: the name of its form; None: `sniff` it. Raises DataError that names the place."""
    form = form or sniff(record, where)
    if form not in FORMS:
        raise DataError(explain(f"records of the form {form!r}", need=f"one of {', '.join(FORMS)}"))
    needed, reader = FORMS[form]
    missing = sorted(needed - record.keys())
    if missing:
        raise DataError(explain(f"{where} lacks {', '.join(missing)}", need=f"the fields of {form}, as in the records before"))
    return reader(record, where)


def read_all(records: Iterator[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, Record]]:
    """(where, record) of records that are all of one form, which the first one tells."""
    form: str | None = None
    for where, record in records:
        form = form or sniff(record, where)
        yield where, read(record, where, form)


def _text(record: Mapping[str, Any], where: str) -> Text:
    return Text(_string(record, "text", where))


def _conversation(
    record: Mapping[str, Any], where: str, field: str, speaker: str = "role", said: str = "content"
) -> Conversation:
    return Conversation(_turns(record[field], where, field, speaker, said))


def _alpaca(record: Mapping[str, Any], where: str) -> Conversation:
    asked, answer = _string(record, "instruction", where), _string(record, "output", where)
    more = _string(record, "input", where) if record.get("input") is not None else ""
    system = _string(record, "system", where) if record.get("system") else ""
    turns = [Turn("system", system)] if system else []
    return Conversation(
        _checked((*turns, Turn("user", f"{asked}\n\n{more}" if more else asked), Turn("assistant", answer)), where)
    )


def _preference(record: Mapping[str, Any], where: str) -> Preference:
    """The prompt may be a text, messages, or in front of both answers, which are messages then."""
    chosen, rejected, prompt = record["chosen"], record["rejected"], record.get("prompt")
    if isinstance(chosen, list) and isinstance(rejected, list):
        one, other = (_turns(each, where, name, "role", "content") for each, name in ((chosen, "chosen"), (rejected, "rejected")))
        before, answer, worse = one[:-1], one[-1], other[-1]
        if before != other[:-1] or answer.role != "assistant" or worse.role != "assistant":
            raise DataError(explain(f"{where}: two answers to different turns", need="the same turns before both last ones"))
        return Preference(before, answer.content, worse.content)
    turns = (Turn("user", prompt),) if isinstance(prompt, str) else _turns(prompt, where, "prompt", "role", "content", reply=True)
    return Preference(turns, _string(record, "chosen", where), _string(record, "rejected", where))


Reader = Callable[[Mapping[str, Any], str], Record]
FORMS: dict[str, tuple[frozenset[str], Reader]] = {
    "messages": (frozenset({"messages"}), partial(_conversation, field="messages")),
    "conversation": (frozenset({"conversation"}), partial(_conversation, field="conversation")),
    "sharegpt": (frozenset({"conversations"}), partial(_conversation, field="conversations", speaker="from", said="value")),
    "preference": (frozenset({"chosen", "rejected"}), _preference),
    "alpaca": (frozenset({"instruction", "output"}), _alpaca),
    "text": (frozenset({"text"}), _text),
}  # fields that tell, and how they are read; the first that fits


def _turns(value: Any, where: str, field: str, speaker: str, said: str, *, reply: bool = False) -> tuple[Turn, ...]:
    if not isinstance(value, list) or not value:
        raise DataError(explain(f"{where}: its {field!r} is {kind_of(value)}", need=f"a list of turns with {speaker} and {said}"))
    turns = []
    for number, turn in enumerate(value, 1):
        place = f"{where}, turn {number}"
        if not isinstance(turn, Mapping):
            raise DataError(explain(f"{place} is {kind_of(turn)}", need=f"a table with {speaker} and {said}"))
        role = turn.get(speaker)
        if not isinstance(role, str) or role not in SPEAKERS:
            raise DataError(explain(f"{place}: {speaker} is {shown(role)}", need=f"one of {', '.join(SPEAKERS)}"))
        turns.append(Turn(SPEAKERS[role], _string(turn, said, place)))
    return _checked(tuple(turns), where, reply=reply)


def _checked(turns: tuple[Turn, ...], where: str, *, reply: bool = False) -> tuple[Turn, ...]:
    try:
        check_turns(turns, reply=reply)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    empty = [number for number, turn in enumerate(turns, 1) if not turn.content.strip()]
    if empty:
        raise DataError(
            explain(f"{where}: turn {empty[0]} says nothing", need="words in every turn", hint="leaving the record out")
        )
    return turns


def _string(record: Mapping[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if not isinstance(value, str):
        got = f"its {field!r} is {kind_of(value)}" if field in record else f"it has no {field!r}"
        raise DataError(explain(f"{where}: {got}", need="a text there"))
    return value


assert set(SPEAKERS.values()) == set(get_args(Role))
