"""What tests measured of two ways to the same numbers: every error beside its tolerance, and the page that shows them.

pytest tests/laws tests/parity tests/ops tests/model --equivalence docs/equivalence.md
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Hold = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Measured:
    """One error.

    law         what is equal to what; its number first, if it is one of the laws (docs/architecture.md)
    subject     the sentence, the family or the case that it was measured on
    error       relative to the largest number of the right answer, where the law does not say otherwise
    tolerance   which it had to keep to
    """

    law: str
    subject: str
    error: float
    tolerance: float


MEASURED: list[Measured] = []


def insist(law: str, error: float, tolerance: float, subject: str = "") -> None:
    """Insist on the error, and write it down."""
    assert not math.isnan(error), f"{law}: not a number"
    assert error <= tolerance, f"{law}: {error:.2e} is more than {tolerance:.0e}"
    MEASURED.append(Measured(law, subject, error, tolerance))


def furthest(got: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """The largest error of several tensors, each relative to its right answer's largest number."""
    errors = [(a - b).abs().max() / b.abs().max().clamp(min=1e-3) for a, b in zip(got, right, strict=True)]
    return torch.stack(errors).max().item()


OF_SENTENCES = ("2", "3", "4", "5", "6")  # laws whose rows are sentences
HEAD = """# Equivalence

linnet computes most things in two ways or more: read at once and a token at a time, by the formula and by the kernel, by itself and by
Hugging Face. The tests measure how far these are apart; this page is what they measured, written by them:

```
pytest tests/laws tests/parity tests/ops tests/model --equivalence docs/equivalence.md
```

An error is the largest difference divided by the largest number of the right answer, in float32 where nothing else is said; of logits that
are compared with Hugging Face's it is the largest difference itself. 0 means equal to the last bit. Last digits differ from machine to machine;
that every word and every family has its rows, and that every error is below its tolerance, is tested.
"""


def page(measured: Iterable[Measured]) -> str:
    """The page as markdown: a table of laws by sentence, one of fast paths and their oracles, one of Hugging Face."""
    rows = sorted(measured, key=lambda row: (row.law, row.subject))
    sentences = [row for row in rows if row.law.split()[0] in OF_SENTENCES]
    foreign = [row for row in rows if row.law.startswith("10 ")]
    others = [row for row in rows if row not in set(sentences) | set(foreign)]
    parts = [HEAD]
    if sentences:
        parts += ["## Every word and every family", _legend(sentences), _by_subject(sentences)]
    if others:
        parts += ["## Fast paths and their oracles, counts, batches", _by_law(others)]
    if foreign:
        parts += ["## Hugging Face, both ways", _by_subject(foreign)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _legend(rows: Sequence[Measured]) -> str:
    """The columns of the first table: what the numbers of laws mean, and their tolerances."""
    lines = ["| law | cases | largest error | tolerance |", "|---|---:|---:|---:|"]
    return "\n".join(lines + _summaries(rows))


def _by_law(rows: Sequence[Measured]) -> str:
    return "\n".join(["| what equals what | cases | largest error | tolerance |", "|---|---:|---:|---:|", *_summaries(rows)])


def _summaries(rows: Sequence[Measured]) -> list[str]:
    found: dict[str, list[Measured]] = defaultdict(list)
    for row in rows:
        found[row.law].append(row)
    return [
        f"| {law} | {len(own)} | {_number(max(row.error for row in own))} | {_number(max(row.tolerance for row in own))} |"
        for law, own in found.items()
    ]


def _by_subject(rows: Sequence[Measured]) -> str:
    """A row for each subject, a column for each law: the largest error."""
    laws = sorted({row.law for row in rows})
    worst: dict[tuple[str, str], float] = defaultdict(float)
    for row in rows:
        worst[row.subject, row.law] = max(worst[row.subject, row.law], row.error)
    lines = [f"| | {' | '.join(laws)} |", f"|---|{'---:|' * len(laws)}"]
    for subject in sorted({row.subject for row in rows}):
        cells = (_number(worst[subject, law]) if (subject, law) in worst else "" for law in laws)
        lines.append(f"| `{subject}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(error: float) -> str:
    return "0" if error == 0 else f"{error:.0e}".replace("e-0", "e-")
