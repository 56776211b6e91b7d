"""Made-up conversations in the forms in which people keep them, and what a mask should be, found by reading the ids."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.chat import Turn

BIRDS = ("linnet", "wren", "robin", "finch", "thrush", "élan", "鳥")
DOES = ("sings", "flies\tlow", "sleeps", 'says "hello"', "eats \\n", "<|im_end|>", "hides\nwell")


def talk(number: int) -> list[Turn]:
    """A conversation, different for each number: a system's turn or none, one to three exchanges."""
    chance = random.Random(number)
    turns = [Turn("system", f"Be brief, {number % 7}.")] if number % 3 == 0 else []
    for _ in range(chance.randint(1, 3)):
        bird, does = chance.choice(BIRDS), chance.choice(DOES)
        turns += [Turn("user", f"Who {does}, number {number}?"), Turn("assistant", f"The {bird} {does}. " * chance.randint(1, 3))]
    return turns


def as_messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def write_talks(path: Path, talks: Sequence[Sequence[Turn]]) -> Path:
    """A .jsonl of messages."""
    path.write_text("".join(json.dumps({"messages": as_messages(turns)}) + "\n" for turns in talks), "utf-8")
    return path


def as_csv(rows: Sequence[dict[str, Any]], *, delimiter: str = ",") -> str:
    """Rows of a table, what is no text as JSON."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()})
    return out.getvalue()


def chatml_mask(tokenizer: Tokenizer, ids: Sequence[int], roles: Sequence[str] = ("assistant",)) -> list[bool]:
    """Which ids of conversations in ChatML are learned, by reading them from left to right: all between the head of a turn of these roles
    and its <|im_end|>, which is learned, too."""
    begin, end = tokenizer.special["<|im_start|>"], tokenizer.special["<|im_end|>"]
    learned, place = [False] * len(ids), 0
    while place < len(ids):
        if ids[place] != begin:
            place += 1
            continue
        head = next(
            (len(head), role)
            for role in ("system", "user", "assistant")
            if list(ids[place + 1 : place + 1 + len(head := tokenizer.encode(f"{role}\n"))]) == head
        )
        place += 1 + head[0]
        while True:
            learned[place] = head[1] in roles
            place += 1
            if ids[place - 1] == end:
                break
    return learned
