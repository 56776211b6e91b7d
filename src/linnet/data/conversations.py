"""Records of conversations and preferences, in the forms in which people keep them.

    text         {"text": …}                                            nothing but text
    messages     {"messages": [{"role": …, "content": …}, …]}           OpenAI's; also under "conversation"
    sharegpt     {"conversations": [{"from": "human", "value": …}, …]}
    alpaca       {"instruction": …, "input": …, "output": …}            input may be empty or missing
    preference   {"prompt": …, "chosen": …, "rejected": …}              each a text or messages

`form_in` tells which one a record is; `read` makes turns of it, and says what is wrong with it and where it stood. Lists of turns may
stand as text of JSON, as tables keep them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, get_args

from linnet.core.errors import DataError, explain
from linnet.core.refusals import kind_of, shown
from linnet.tokenizer.chat import Role, Turn, check_turns, check_words

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
EITHER = ("prompt", "chosen", "rejected")  # fields that hold turns or a text
LEARNED: tuple[Role, ...] = ("assistant",)  # whose words are learned where nobody says otherwise
CALLS = ("tool_calls", "function_call")  # of a turn: what is not text


@dataclass(frozen=True)
class Conversation:
    """Turns; what nobody answers at their end is there to be read."""

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
    """The name of the form that a record is in: the first whose fields it has, with what belongs there; else, for it is broken, the
    first whose fields it has; None for one that is not known."""
    return form_that_fits(record) or form_named(record)


def form_that_fits(record: Mapping[str, Any]) -> str | None:
    """The first form whose fields a record has, with what belongs there: a column of numbers called messages is no conversation."""
    return next((name for name, form in FORMS.items() if form.needed <= record.keys() and form.fits(record)), None)


def form_named(record: Mapping[str, Any]) -> str | None:
    """The first form whose fields a record has, whatever stands there."""
    return next((name for name, form in FORMS.items() if form.needed <= record.keys()), None)


def fields_that_tell(names: Collection[str]) -> frozenset[str]:
    """The fields that have to be looked at to tell the form of a record with these fields: none where it can only be a text."""
    could = [form for name, form in FORMS.items() if name != "text" and form.needed <= set(names)]
    return frozenset[str]().union(*(form.needed | form.beside for form in could)) & set(names)


def fields_of(first: Mapping[str, Any]) -> frozenset[str]:
    """The fields that are read of records of which this is the first; none where its form is not known."""
    name = form_in(first)
    return FORMS[name].needed | FORMS[name].beside | FORMS[name].more if name is not None else frozenset()


def has_turns(value: Any, speaker: str = "role", said: str = "content") -> bool:
    """Whether a value is a list, or JSON of one, that begins with a turn."""
    found = listed(value)
    return isinstance(found, list) and bool(found) and isinstance(found[0], Mapping) and {speaker, said} <= found[0].keys()


def has_words(value: Any) -> bool:
    """Whether a value is a text that says something."""
    return isinstance(value, str) and bool(value.strip())


def has_answers(record: Mapping[str, Any]) -> bool:
    """Whether a record has two answers, and something before them."""
    answers = (record["chosen"], record["rejected"])
    if not all(has_words(answer) or has_turns(answer) for answer in answers):
        return False
    prompt = record.get("prompt")
    return has_words(prompt) or has_turns(prompt) or not any(isinstance(answer, str) for answer in answers)


def form_for(record: Mapping[str, Any], where: str) -> str:
    """The name of the form that a record is in. Raises DataError with the fields found."""
    form = form_in(record)
    if form is not None:
        return form
    forms = "; ".join(f"{name}: {', '.join(sorted(form.needed))}" for name, form in FORMS.items())
    raise DataError(
        explain(
            f"{where} has the fields {', '.join(map(str, record)) or 'none'}", need=f"those of one of the known forms ({forms})"
        )
    )


def read(record: Mapping[str, Any], where: str, form: str | None = None) -> Record:
    """A record as turns. `form`: the name of its form; None: as `form_for` tells. Raises DataError that names the place."""
    form = form or form_for(record, where)
    if form not in FORMS:
        raise DataError(explain(f"records of the form {form!r}", need=f"one of {', '.join(FORMS)}"))
    missing = sorted(FORMS[form].needed - record.keys())
    if missing:
        raise DataError(explain(f"{where} lacks {', '.join(missing)}", need=f"the fields of {form}, as in the records before"))
    return FORMS[form].read(record, where)


def read_all(records: Iterator[tuple[str, Mapping[str, Any]]], form: str | None = None) -> Iterator[tuple[str, Record]]:
    """(where, record) of records that are all of one form; None: the one that the first one tells."""
    for where, record in records:
        form = form or form_for(record, where)
        yield where, read(record, where, form)


def turns_to_learn(found: Record, where: str, learn: Collection[Role] = LEARNED) -> tuple[Turn, ...]:
    """The turns that a record teaches: of a preference those of the better answer. That a turn is not learned is kept where its role is
    one that is: elsewhere it changes nothing, and would make two conversations of one. Raises DataError where there is nothing to learn."""
    if isinstance(found, Text):
        hint = "a source of kind: files for its file"
        raise DataError(explain(f"{where} is a text", need="a conversation", hint=hint))
    turns = (*found.turns, Turn("assistant", found.chosen)) if isinstance(found, Preference) else found.turns
    if not any(turn.learned and turn.role in learn for turn in turns):
        roles = " and ".join(learn)
        silenced = " of a weight above 0" if any(turn.role in learn for turn in turns) else ""
        got = f"{where}: no turn of {roles}{silenced}"
        raise DataError(explain(got, need="something to learn", hint="leaving the record out"))
    return tuple(turn if turn.role in learn else turn._replace(learned=True) for turn in turns)


def _text(record: Mapping[str, Any], where: str) -> Text:
    return Text(_string(record, "text", where))


def _conversation(record: Mapping[str, Any], where: str, field: str, speaker: str, said: str) -> Conversation:
    return Conversation(_checked(_turns_in(record[field], where, field, speaker, said), where))


def _alpaca(record: Mapping[str, Any], where: str) -> Conversation:
    asked, answer = _string(record, "instruction", where), _string(record, "output", where)
    more = _string(record, "input", where) if record.get("input") is not None else ""
    system = _string(record, "system", where) if record.get("system") else ""
    turns = [Turn("system", system)] if system else []
    return Conversation(
        _checked((*turns, Turn("user", f"{asked}\n\n{more}" if more.strip() else asked), Turn("assistant", answer)), where)
    )


def _preference(record: Mapping[str, Any], where: str) -> Preference:
    """The prompt may be a text, messages, or in front of both answers, which are messages then."""
    one, other = (_answered(record, name, where) for name in ("chosen", "rejected"))
    if one[:-1] != other[:-1]:
        raise DataError(explain(f"{where}: two answers to different turns", need="the same turns before both last ones"))
    return Preference(one[:-1], one[-1].content, other[-1].content)


def _answered(record: Mapping[str, Any], field: str, where: str) -> tuple[Turn, ...]:
    """A prompt and one of its answers as turns. An answer of messages that does not begin with the assistant holds the prompt itself."""
    prompt, place = record.get("prompt"), f"{where}, {field}"
    if isinstance(record[field], list):
        said = _turns_in(record[field], where, field)
        if said[0].role == "assistant":
            said = (*_prompt(prompt, where), *said)
        elif isinstance(prompt, list) and said[: len(prompt)] != _prompt(prompt, where):
            raise DataError(explain(f"{place}: begins with other turns than its prompt", need="the same, or the answer alone"))
    else:
        said = (*_prompt(prompt, where), Turn("assistant", _string(record, field, where)))
    turns = _checked(said, place)
    if turns[-1].role != "assistant":
        raise DataError(explain(f"{place}: ends with a turn of {turns[-1].role}", need="an answer of the assistant there"))
    return turns


def _prompt(prompt: Any, where: str) -> tuple[Turn, ...]:
    return (Turn("user", prompt),) if isinstance(prompt, str) else _turns_in(prompt, where, "prompt")


class Form(NamedTuple):
    """How records of a form are told and read.

    needed   the fields that they all have
    fits     whether what stands in these, and in `beside` of them, can be of the form
    read     makes turns of one
    beside   fields that they may have, of which the form is told, too
    more     fields that they may have, and that say nothing of the form
    """

    needed: frozenset[str]
    fits: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any], str], Record]
    beside: frozenset[str] = frozenset()
    more: frozenset[str] = frozenset()


def _form_of_turns(field: str, speaker: str = "role", said: str = "content") -> Form:
    return Form(
        frozenset({field}),
        lambda record: has_turns(record[field], speaker, said),
        partial(_conversation, field=field, speaker=speaker, said=said),
    )


FORMS: dict[str, Form] = {
    "messages": _form_of_turns("messages"),
    "conversation": _form_of_turns("conversation"),
    "sharegpt": _form_of_turns("conversations", "from", "value"),
    "preference": Form(frozenset({"chosen", "rejected"}), has_answers, _preference, beside=frozenset({"prompt"})),
    "alpaca": Form(
        frozenset({"instruction", "output"}),
        lambda record: has_words(record["instruction"]) and has_words(record["output"]),
        _alpaca,
        more=frozenset({"input", "system"}),
    ),
    "text": Form(frozenset({"text"}), lambda record: isinstance(record["text"], str), _text),
}  # the first that fits


def listed(value: Any) -> Any:
    """What a text of JSON stands for, None for one that is none; all else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def with_turns(record: dict[str, Any]) -> dict[str, Any]:
    """A record of a table, with turns where a field of EITHER holds such as JSON: every cell of it is text."""
    return record | {name: found for name in EITHER if (found := turns_of(record.get(name))) is not None}


def turns_of(cell: Any) -> list[Any] | None:
    """The turns that a text is in JSON; None for all other texts, an answer that is a list in JSON among them."""
    found = listed(cell) if isinstance(cell, str) and cell.lstrip().startswith("[") else None
    if not isinstance(found, list) or not found:
        return None
    return found if all(isinstance(turn, Mapping) and {"role", "content"} <= turn.keys() for turn in found) else None


def _turns_in(value: Any, where: str, field: str, speaker: str = "role", said: str = "content") -> tuple[Turn, ...]:
    """A list of turns, in whatever order they are."""
    found = listed(value)
    if not isinstance(found, list) or not found:
        got = "an empty list" if found == [] else "no JSON" if found is None and value is not None else kind_of(found)
        raise DataError(explain(f"{where}: its {field!r} is {got}", need=f"a list of turns with {speaker} and {said}"))
    return tuple(_turn(turn, f"{where}, turn {number}", speaker, said) for number, turn in enumerate(found, 1))


def _turn(turn: Any, place: str, speaker: str, said: str) -> Turn:
    if not isinstance(turn, Mapping):
        raise DataError(explain(f"{place} is {kind_of(turn)}", need=f"a table with {speaker} and {said}"))
    role, weight = turn.get(speaker), turn.get("weight")
    if not isinstance(role, str) or role not in SPEAKERS:
        raise DataError(explain(f"{place}: {speaker} is {shown(role)}", need=f"one of {', '.join(SPEAKERS)}"))
    calls = [name for name in CALLS if turn.get(name)]
    if calls:
        hint = "leaving the record out, or writing the call into its words"
        raise DataError(explain(f"{place}: it has {calls[0]}", need="words alone: tools are not known here", hint=hint))
    if weight is not None and (isinstance(weight, bool) or weight not in (0, 1)):
        raise DataError(explain(f"{place}: its weight is {shown(weight)}", need="1, learned like others, or 0, not learned"))
    return Turn(SPEAKERS[role], _string(turn, said, place), weight != 0)


def _checked(turns: tuple[Turn, ...], where: str) -> tuple[Turn, ...]:
    """Turns that are a conversation, each with words in it. Raises DataError."""
    try:
        check_turns(turns)
        check_words(turns)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return turns


def _string(record: Mapping[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if not isinstance(value, str):
        got = f"its {field!r} is {kind_of(value)}" if field in record else f"it has no {field!r}"
        raise DataError(explain(f"{where}: {got}", need="a text there"))
    return value


assert set(SPEAKERS.values()) == set(get_args(Role))
