"""What the fields of a spec mean, read from where it is written for readers of the code: the docstring of its class.

    name   what it means, in one line or
           in several, further in than the name

One place says it, and the command line, the JSON schema and error messages repeat it. What a class inherits it need not say again.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from pydantic import BaseModel

NAMED = re.compile(r"(\w+(?:(?: / |, )\w+)*) {2,}(\S.*)")  # one field, or several that mean one thing


def meanings(cls: type[BaseModel]) -> dict[str, str]:
    """Field → meaning, in the order of the fields; those that no docstring explains are left out."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for names, meaning in _said(base):
            if all(name in cls.model_fields for name in names):
                found |= dict.fromkeys(names, meaning)
    return {name: found[name] for name in cls.model_fields if name in found}


def summary(cls: type[BaseModel]) -> str:
    """The docstring without the lines on fields: what the whole is."""
    lines = inspect.cleandoc(cls.__doc__ or "").split("\n")
    kept, inside = [], False
    for line in lines:
        inside = bool(NAMED.fullmatch(line)) or (inside and line.startswith(" "))
        if not inside:
            kept.append(line)
    return "\n".join(kept).strip()


def first_line(cls: type[BaseModel]) -> str:
    """The first line of a docstring, for listings."""
    return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]


def _said(cls: type) -> Iterator[tuple[list[str], str]]:
    """(fields, meaning) for each entry of a class's own docstring."""
    names: list[str] = []
    meaning: list[str] = []
    for line in inspect.cleandoc(cls.__dict__.get("__doc__") or "").split("\n"):
        entry = NAMED.fullmatch(line)
        if entry is None and names and line.startswith(" "):
            meaning.append(line.strip())
            continue
        if names:
            yield names, " ".join(meaning)
        names, meaning = (re.split(r" / |, ", entry[1]), [entry[2]]) if entry is not None else ([], [])
    if names:
        yield names, " ".join(meaning)
