"""A conversation between reading and encoding: one line of JSON, the same for the same turns in whatever form they were kept.

    [["user","Who sings?"],["assistant","A linnet."]]        a turn that is not to be learned has 0 behind its words

It travels through the spool as a text does: its fingerprint finds its copies and decides its side. What has to see words
(cleaning, near copies, overlaps) is given what is said, never this line, so that no step can break it and no \\n of JSON hides a word.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from linnet.data.clean import CleanStep
from linnet.data.look import Looks, Texts, look
from linnet.tokenizer.chat import Turn

Turns = tuple[Turn, ...]


def as_line(turns: Sequence[Turn]) -> str:
    """Turns as a line of JSON; `turns_in` reads it back."""
    return json.dumps([turn[:2] if turn.learned else (*turn[:2], 0) for turn in turns], ensure_ascii=False, separators=(",", ":"))


def turns_in(line: str | bytes) -> Turns:
    """The turns of a line that `as_line` wrote."""
    return tuple(Turn(role, content, not weight) for role, content, *weight in json.loads(line))


def said(texts: Texts) -> Texts:
    """What is said in some conversations, a turn a line, without who says it: where words are looked for."""
    return Texts.of(["\n".join(turn.content for turn in turns_in(text)).encode("utf-8") for text in texts])


def clean_turns(turns: Turns, steps: Sequence[CleanStep], counts: Counter[str]) -> Turns | None:
    """A conversation after all steps; None if one dropped it, or left a turn that says nothing.

    Whether a step drops it is decided by all that is said, for the rules of texts are about whole texts; what a step changes it
    changes in each turn, and a turn that it would drop by itself stays as it is. `counts` as for `clean`.
    """
    for step in steps:
        dropped = step("\n".join(turn.content for turn in turns)) is None
        after = tuple(turn if (text := step(turn.content)) is None else turn._replace(content=text) for turn in turns)
        if dropped or after != turns:
            counts[step.kind] += 1  # type: ignore[attr-defined]
        if dropped:
            return None
        turns = after
    if any(not turn.content.strip() for turn in turns):
        counts["empty"] += 1
        return None
    return turns


def cleaned(texts: Texts, steps: Sequence[CleanStep], counts: Counter[str]) -> tuple[Texts, Looks]:
    """What is left of some conversations after all steps: `clean_turns` of each."""
    left = []
    for text in texts:
        before = turns_in(text)
        turns = clean_turns(before, steps, counts)
        if turns is not None:
            left.append(text if turns == before else as_line(turns).encode("utf-8"))
    joined = Texts.of(left)
    return joined, look(joined)
