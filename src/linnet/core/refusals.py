"""What a strict door says: pydantic's finds in the words of the person who wrote the value.

Nobody who writes a run file knows what our classes are called, or Python's types: a message names what was written, what is needed
in its place, and nothing of how we hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from linnet.core.names import nearest

LONGEST = 60  # characters of a value that are shown
KINDS = {"float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number", "string_type": "text", "bool_type": "true or false",
         "bool_parsing": "true or false", "list_type": "a list", "tuple_type": "a list", "dict_type": "a table"}  # fmt: skip
LIMITS = {"greater_than_equal": ("at least", "ge"), "greater_than": ("more than", "gt"), "less_than_equal": ("at most", "le"),
          "less_than": ("less than", "lt")}  # fmt: skip


def shown(value: Any) -> str:
    """A value as whoever wrote it knows it.

    >>> shown(None), shown(True), shown("many"), shown([1, 2])
    ('nothing', 'true', "'many'", '[1, 2]')
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def kind_of(value: Any) -> str:
    """What sort of thing a value of a YAML or JSON file is.

    >>> kind_of([1]), kind_of({}), kind_of("x"), kind_of(2), kind_of(None)
    ('a list', 'a table', 'text', 'a number', 'nothing')
    """
    if value is None:
        return "nothing"
    for types, name in ((bool, "true or false"), ((int, float), "a number"), (str, "text"), (Mapping, "a table")):
        if isinstance(value, types):  # type: ignore[arg-type]
            return name
    return "a list"


def alternatives(words: Iterable[str]) -> str:
    """a, b or c, in the order given.

    >>> alternatives(["bpe"]), alternatives(["bpe", "char", "byte"])
    ('bpe', 'bpe, char or byte')
    """
    *rest, last = list(words) or ["nothing"]
    return f"{', '.join(rest)} or {last}" if rest else last


def needed(error: Mapping[str, Any], fields: Iterable[str]) -> str:
    """What has to stand in the place of a value that pydantic refused; `fields`: of the table that it should have been."""
    kind, context = str(error["type"]), error.get("ctx") or {}
    if kind in KINDS:
        return KINDS[kind]
    if kind in LIMITS:
        words, key = LIMITS[kind]
        return f"{words} {context[key]:,g}" if abs(context[key]) < 1e6 else f"{words} {context[key]:,}"
    if kind == "literal_error":
        return str(context["expected"])
    if kind.startswith("int"):
        return "a whole number"
    if kind.startswith("model"):  # model_type, model_attributes_type
        names = list(fields)
        return f"a table of {', '.join(names[:4])}{' …' if len(names) > 4 else ''}" if names else "a table"
    if kind == "string_pattern_mismatch":
        return f"text of the form {context['pattern']}"
    if kind == "string_too_short":
        return "text that is not empty" if context["min_length"] == 1 else f"at least {context['min_length']} characters"
    if kind == "string_too_long":
        return f"at most {context['max_length']} characters"
    if kind == "too_short":
        return "at least one" if context["min_length"] == 1 else f"at least {context['min_length']}"
    message = str(error["msg"])
    return message.removeprefix("Input should be ").removeprefix("Value error, ")


def in_words(error: Mapping[str, Any], *, kind: str | None, fields: Mapping[str, str]) -> str:
    """One refusal of a table. `kind`: what the table calls itself, if it does; `fields`: what it can say, and what each means."""
    message, place = str(error["msg"]).removeprefix("Value error, "), error["loc"]
    of = f"a field of {kind!r}" if kind is not None else "known here"
    if error["type"] == "extra_forbidden" and len(place) == 1:
        return f"is not {of}; {nearest(str(place[0]), fields)}"
    if error["type"] == "missing":
        meaning = fields.get(str(place[0]), "") if len(place) == 1 else ""
        return f"is missing; needed: {meaning or 'a value'}"
    if error["type"] in ("word", "linnet", "value_error") or message.startswith("got "):
        return message
    return f"got {shown(error['input'])}; needed: {needed(error, fields if not place else ())}"
