"""Reading `tokenizer.json` to the letter: what is not known, or not followed, is a problem that is told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from linnet.core.errors import TokenizerError, explain, listing

SHOWN = 5  # problems of one sort that are listed one by one


def parse(content: str, name: str) -> dict[str, Any]:
    """A JSON object in which no key stands twice."""

    def unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(items)
        if len(table) < len(items):
            twice = Counter(key for key, _ in items).most_common(1)[0][0]
            raise refusal(name, [f"the key {twice!r} stands twice in one table"])
        return table

    try:
        data = json.loads(content, object_pairs_hook=unique)
    except TokenizerError:
        raise
    except (ValueError, RecursionError) as error:  # of the first kind a number of thousands of digits, too
        raise TokenizerError(
            explain(f"{name} is not valid JSON ({error})", need="a tokenizer.json", hint="an undamaged copy of it")
        ) from error
    if not isinstance(data, dict):
        raise TokenizerError(explain(f"{name} holds {shortened(data)}", need="a tokenizer.json", hint="another file"))
    return data


def unexpected(table: Mapping[str, Any], must_be: Mapping[str, tuple[Any, ...]], known: set[str] | None, where: str) -> list[str]:
    """Problems of a table: keys that are not known (where `known` is given), values that linnet does not follow.

    A key that is missing counts as null, as it does for `tokenizers`.
    """
    problems = [f"{where}{key} is not known" for key in table if known is not None and key not in known]
    for key, allowed in must_be.items():
        if table.get(key) not in allowed:
            problems.append(f"{where}{key} is {shortened(table.get(key))}; needed: {' or '.join(map(shortened, allowed))}")
    return problems


def pair_of(merge: Any) -> tuple[str, str] | None:
    """The two tokens of a merge, in both ways of writing it: ["a", "b"] and "a b"; None where it is none."""
    pair = merge.split(" ") if isinstance(merge, str) else merge
    if isinstance(pair, list) and len(pair) == 2 and all(isinstance(side, str) for side in pair):
        return pair[0], pair[1]
    return None


def shortened(value: Any) -> str:
    """A value as JSON, cut to what fits a line."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", errors="backslashreplace").decode("utf-8")
    return text if len(text) <= 120 else text[:117] + "..."


def capped(problems: Iterable[str]) -> list[str]:
    """The first few problems, and how many more there are."""
    found = list(problems)
    return found if len(found) <= SHOWN else [*found[:SHOWN], f"… and {len(found) - SHOWN} more like these"]


def refusal(name: str, problems: list[str]) -> TokenizerError:
    """The error that lists all problems of a file."""
    return TokenizerError(
        listing(problems, f"{name} is not a tokenizer that linnet can follow to the letter")
        + "\n  try: an undamaged copy of the file"
    )
