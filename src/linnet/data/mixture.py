"""How much of each source a run is shown, and how that changes on the way.

A weight is a number, or a ramp: a line between two numbers. Where the part p of the run's rows is drawn,

    w_i(p) = from · (1 - u) + to · u,   u = (p - begin) ÷ (end - begin), kept within 0 … 1
    share_i(p) = w_i(p) ÷ (w_1(p) + … + w_k(p))

Row n = 0, 1, … of N stands at p_n = (n + 1/2) ÷ N, and until then A_i = share_i(p_0) + … + share_i(p_n) rows are asked of source i:
the midpoint rule for N ∫ share_i. A row is drawn from the source of the largest debt, A_i less the rows that were drawn from it; of
equals from the first. So of k sources none is ever ahead by more than 1 - 1/k rows, nor behind by more than 1/2 + 1/3 + … + 1/k
(0.5 of two, 0.83 of three, 1.08 of four), whatever the shares do:

    ahead    before each row all debts add up to 1; the largest, which is paid, is at least 1/k, and afterwards at least 1/k - 1.
    behind   let M_j be the largest mean of any j debts after a row; M_k = 0. If one of those j was paid, their sum had not grown.
             If another was, its debt before was at least as large as each of the j, so the mean of all j + 1 was at least M_j, and
             is less by 1 ÷ (j + 1) once it is paid: M_j ≤ M_{j+1} + 1 ÷ (j + 1). The largest debt is M_1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainValidator, TypeAdapter, create_model, model_validator
from pydantic_core import PydanticCustomError

from linnet.core.errors import CheckpointError, DataError, explain
from linnet.core.refusals import shown
from linnet.core.spec import Spec

LARGEST = 1e100  # of such weights some thousand add up to a finite sum …
SMALLEST = 1e-100  # … and no part of a ramp is too small for a number
FINE = 10_000  # rows of an imagined run, for what is asked over a whole one

Positive = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False)]
NUMBER: TypeAdapter[float] = TypeAdapter(Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False, strict=True)])

# `from` is a word of Python: a field of that name cannot be written into a class
FIRST: dict[str, Any] = {"from": (float, Field(ge=0, le=LARGEST, allow_inf_nan=False))}
From: Any = create_model("From", __base__=Spec, __module__=__name__, **FIRST)


class Ramp(From):  # type: ignore[misc]
    """A weight that goes from one number to another over the rows of a run.

    from    until `begin`; 0: nothing is drawn from the source yet
    to      from `end` on
    begin   where it starts to change, as a part of the run
    end     where it has changed
    """

    to: float = Field(ge=0, le=LARGEST, allow_inf_nan=False)
    begin: float = Field(0.0, ge=0, lt=1)
    end: float = Field(1.0, gt=0, le=1)

    @classmethod
    def examples(cls) -> tuple[Ramp, ...]:
        return cls(**{"from": 4.0, "to": 1.0}), cls(**{"from": 0.0, "to": 2.0, "begin": 0.25, "end": 0.75})

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = []
        if self.begin >= self.end:
            problems.append(f"begin = {self.begin:g} and end = {self.end:g}; needed: begin before end")
        if self.first == self.to == 0:
            problems.append("from = 0 and to = 0; needed: one of them above 0; try: leaving the source out")
        if tiny := [value for value in (self.first, self.to) if 0 < value < SMALLEST]:
            problems.append(f"got {tiny[0]:g}; needed: 0, or at least {SMALLEST:g}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def first(self) -> float:
        """`from`."""
        return float(getattr(self, "from"))

    def at(self, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """The weight where so much of the run is drawn, of any shape; exactly `from` and `to` at its ends and beyond them."""
        part = np.clip((progress - self.begin) / (self.end - self.begin), 0.0, 1.0)
        return self.first * (1 - part) + self.to * part


def as_weight(said: Any) -> float | Ramp:
    """A weight as it is written: a number, or the table of a ramp. Raises pydantic's ValidationError."""
    if isinstance(said, (Mapping, Ramp)):
        return Ramp.model_validate(said)
    if isinstance(said, bool) or not isinstance(said, (int, float)):
        got = f"got {shown(said)}; needed: a number, or a table of {', '.join(Ramp.model_fields)}"
        raise PydanticCustomError("linnet", "{msg}", {"msg": got})
    return NUMBER.validate_python(said)


Weight = Annotated[Positive | Ramp, PlainValidator(as_weight, json_schema_input_type=Positive | Ramp)]


@dataclass(frozen=True)
class Mixture:
    """The weights of some sources. At each moment one has to be above 0; `problem` says where none is."""

    weights: tuple[float | Ramp, ...]

    @property
    def moves(self) -> bool:
        """Whether its shares change: there is a ramp, and something beside it."""
        return len(self.weights) > 1 and any(isinstance(weight, Ramp) for weight in self.weights)

    @property
    def bends(self) -> list[float]:
        """0, 1 and where a ramp begins or ends; between two of them each share only grows or only falls."""
        return sorted({0.0, 1.0, *(at for w in self.weights if isinstance(w, Ramp) for at in (w.begin, w.end))})

    def _at(self, progress: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        return [w.at(progress) if isinstance(w, Ramp) else np.full(progress.shape, w) for w in self.weights]

    def problem(self) -> str | None:
        """What is wrong where at some moment all weights are 0; between two bends that is so only if it is at both."""
        if not self.weights:
            return None
        bends = np.array(self.bends)
        empty = bends[sum(self._at(bends)) == 0]
        if not len(empty):
            return None
        got = f"all weights of what is trained on are 0 where {empty[0]:g} of the run is drawn"
        return explain(got, need="one above 0 at each moment", hint="a number as one of them, or ramps that overlap")

    def shares(self, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """The shares of k sources at n moments, (n, k); those of one moment are the same beside whatever others."""
        weights = self._at(progress)
        return np.stack([weight / sum(weights) for weight in weights], axis=1)

    def asked(self, rows: int) -> NDArray[np.float64]:
        """How many of the rows of a whole run are asked of each source, (k,)."""
        return self.shares((np.arange(rows) + 0.5) / rows).sum(axis=0)

    def fixed_shares(self) -> list[float]:
        """Of a mixture of numbers the shares, of one with ramps those of a whole run; they add up to 1."""
        if self.moves:
            return (self.asked(FINE) / FINE).tolist()
        values = [1.0 if isinstance(weight, Ramp) else weight for weight in self.weights]  # a ramp alone has a share of 1
        return [value / sum(values) for value in values]

    def courses(self) -> list[list[float]]:
        """For each source its share at the start, wherever it turns, and at the end, to a hundredth of a per cent."""
        return [_turns(course) for course in self.shares(np.array(self.bends)).round(4).T.tolist()]


def mixture_of(weights: Mapping[str, float | Ramp]) -> Mixture:
    """The mixture of named sources. Raises DataError where at some moment nothing has a weight."""
    mixture = Mixture(tuple(weights.values()))
    if problem := mixture.problem():
        raise DataError(problem)
    return mixture


class Dealer:
    """Says which source each row comes from: always the one most in debt, the first of equals.

    run_rows   N, the rows of the whole run, by which progress is measured; needed where shares change, unused elsewhere

    Where they change, its state is A_i: a sum, added up row by row, so that it is the same to the bit however many rows are dealt at once.
    Raises DataError for shares that change over a run of unknown length.
    """

    def __init__(self, mixture: Mixture, run_rows: int | None = None) -> None:
        self.mixture, self.moves, self.shares = mixture, mixture.moves, mixture.fixed_shares()
        if self.moves and (run_rows is None or run_rows < 1):
            got = f"weights that change over the run, and a run of {run_rows} rows"
            raise DataError(explain(got, need="how many rows are drawn in it", hint="run_rows=steps * batch_size * world_size"))
        self.run_rows = run_rows if self.moves else None
        self.asked = [0.0 for _ in self.shares]

    def deal(self, drawn: Sequence[int], rows: int) -> NDArray[np.int64]:
        """The sources of the next rows (rows,), after so many were drawn of each."""
        if len(drawn) == 1:
            return np.zeros(rows, np.int64)
        chosen, drawn = np.empty(rows, np.int64), list(drawn)
        for row, asked in enumerate(self._ask(sum(drawn), rows)):
            debts = [much - count for much, count in zip(asked, drawn)]
            best = debts.index(max(debts))
            chosen[row] = best
            drawn[best] += 1
        return chosen

    def _ask(self, before: int, rows: int) -> list[list[float]]:
        """What is asked of each source in all, with each of the next rows after `before` others, (rows, k)."""
        if self.run_rows is None:
            return (np.arange(before + 1, before + rows + 1)[:, None] * self.shares).tolist()
        shares = self.mixture.shares((np.arange(before, before + rows) + 0.5) / self.run_rows)
        asked: list[list[float]] = np.cumsum(np.vstack([self.asked, shares]), axis=0)[1:].tolist()
        self.asked = asked[-1]
        return asked

    def state_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """What has to be known, beside the rows drawn, to go on, in plain JSON types: nothing where shares stay."""
        return {"run_rows": self.run_rows, "asked": dict(zip(names, self.asked))} if self.moves else {}

    def stand(self, state: Mapping[str, Any], drawn: Mapping[str, int]) -> None:
        """Go on from a state after so many rows of each source. Raises CheckpointError for one that does not add up to them."""
        if not self.moves:
            return
        said, total = state.get("asked"), sum(drawn.values())
        asked = [said[name] for name in drawn if type(said.get(name)) is float] if isinstance(said, Mapping) else []
        if len(asked) < len(drawn) or min(asked) < 0 or not abs(sum(asked) - total) < 0.5:
            need = f"what was asked of {', '.join(drawn)}, {total:,} rows in all"
            raise CheckpointError(explain(f"a data position with asked {said!r}", need=need, hint="an earlier checkpoint"))
        self.asked = asked


def as_course(percents: Sequence[float]) -> str:
    """Shares on their way, in words.

    >>> as_course([0.0, 66.67])
    '0 → 66.7'
    """
    return " → ".join(f"{percent:.3g}" for percent in percents)


def _turns(course: list[float]) -> list[float]:
    """The first and the last of some numbers, and between them those at which they turn."""
    moved = [course[0]] + [after for before, after in pairwise(course) if after != before]
    inner = [b for a, b, c in zip(moved, moved[1:], moved[2:]) if (b > a) != (c > b)]
    return [course[0], *inner, course[-1]]
