"""What becomes of each document, decided once all sources have been read: left out, training text, validation text.

It is left out, for the first of these that holds,

    as a copy         where it equals an earlier document
    as overlapping    with an evaluation text (contamination.py); a validation-only source keeps what overlaps
    as a near copy    of an earlier one that stays (near.py)

where a document of a validation-only source is earlier than all others: training loses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, explain
from linnet.data.encode import Cut
from linnet.data.mark import overlaps_of, signatures_of
from linnet.data.near import near_copies
from linnet.data.spec import DataSpec
from linnet.data.split import Plan, make_plan, repeated
from linnet.data.spool import Spool, as_it_was
from linnet.data.work import Work

KEPT, COPY, OVERLAPPING, NEAR_COPY = range(4)
Fates = NDArray[np.uint8]  # (documents,) what becomes of each: one of these

LEFT_OUT = {
    COPY: ("copies of other sources' documents", "leaving it out"),
    OVERLAPPING: ("documents that overlap with the texts in `against`", "another source, a larger n: there, or drop: false"),
    NEAR_COPY: ("near copies of other sources' documents", "leaving it out, or a higher threshold: in `near`"),
}


@dataclass(frozen=True)
class SourcePlan:
    """What becomes of one source's documents: which are kept at all, and which side each kept one is on.

    overlapping   how many documents overlap with each of the evaluation texts, left out or not
    """

    fates: Fates
    plan: Plan  # over the kept ones
    overlapping: tuple[int, ...] = ()

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(documents,)"""
        return self.fates == KEPT

    def count(self, fate: int) -> int:
        """Of how many documents this becomes."""
        return int(np.count_nonzero(self.fates == fate))

    def sides(self, *, exact: bool) -> tuple[NDArray[np.uint8], Cut | None]:
        """(documents,) 0 for one that is left out, 1 for training, 2 for validation; and which one is divided, where."""
        sides = np.zeros(len(self.fates), np.uint8)
        sides[self.kept] = 1 + self.plan.validation
        if self.plan.cut is None:
            return sides, None
        number, character = self.plan.cut
        return sides, Cut(int(np.nonzero(self.kept)[0][number]), character, 0 if exact else self.plan.reach)


def plan_all(spec: DataSpec, spools: Sequence[Spool]) -> list[SourcePlan]:
    """What becomes of every document of all sources. Raises DataError where nothing is left of one."""
    described = spec.described()
    records = [spool.records() for spool in spools]
    fates: list[Fates] = [np.zeros(len(each), np.uint8) for each in records]
    order = sorted(range(len(spools)), key=lambda i: described[i].part != "validation")
    if spec.deduplicate:
        leave_out([fates[i] for i in order], COPY, repeated(np.concatenate([records[i]["fingerprint"] for i in order])))
    overlapping: list[tuple[int, ...]] = [()] * len(spools)
    if spec.against:
        drop = np.array([each.drop for each in spec.against])
        for i, spool in enumerate(spools):
            found = overlaps_of(spool, len(drop)) > 0
            overlapping[i] = tuple(found[fates[i] == KEPT].sum(axis=0).tolist())
            if described[i].part != "validation":
                fates[i][(fates[i] == KEPT) & found[:, drop].any(axis=1)] = OVERLAPPING
    if spec.near is not None:
        some = [spools[i] for i in order]
        signed = signatures_of(some, [fates[i] == KEPT for i in order], spec.near, some[0].folder / "signatures")
        leave_out([fates[i] for i in order], NEAR_COPY, near_copies(signed, spec.near))
    return [
        SourcePlan(mine, plan_of(spec, spool, each, mine, i), found)
        for i, (spool, each, mine, found) in enumerate(zip(spools, records, fates, overlapping))
    ]


def leave_out(fates: Sequence[Fates], fate: int, which: NDArray[np.bool_]) -> None:
    """`which` (n,) of all documents that are kept so far, one source's after the other's, are not any longer."""
    for mine, part in zip(fates, np.split(which, np.cumsum([np.count_nonzero(mine == KEPT) for mine in fates])[:-1])):
        mine[np.nonzero(mine == KEPT)[0][part]] = fate


def plan_of(spec: DataSpec, spool: Spool, records: NDArray[np.void], fates: Fates, number: int) -> Plan:
    """The sides of a source's kept documents. Raises DataError where there are none."""
    part, records = spec.described()[number].part, records[fates == KEPT]
    if not len(records):
        what, hint = LEFT_OUT[int(np.bincount(fates).argmax())]
        raise DataError(explain(f"source {spool.name!r} holds only {what}", need="text of its own", hint=hint))
    if part != "both":
        return Plan(part, np.full(len(records), part == "validation"))
    first_words = records["fingerprint"][:, 0]
    sizes = (records["bytes"], records["characters"])
    return make_plan(spool.name, spec.split, spec.validation, first_words, *sizes, whole=spec.sources[number].whole)


def training_texts(work: Work, spools: list[Spool], plans: list[SourcePlan]) -> Iterator[str]:
    """All training text, in order, as a tokenizer learns from it."""
    for i, (source, spool, plan) in enumerate(zip(work.spec.sources, spools, plans)):
        sides, cut = plan.sides(exact=work.spec.exact)
        yield from source.first_lessons()
        texts = (text for part in spool.parts for some in work.texts(i, part) for text in some)
        with as_it_was():
            for number, text in enumerate(texts):
                if cut is not None and number == cut.document:
                    yield text[: cut.at(text)].decode("utf-8")
                elif sides[number] == 1:
                    yield from source.lessons(text.decode("utf-8"))


class TrainingTexts:
    """The texts of the training part, read anew each time that they are gone through."""

    def __init__(self, read: Callable[[], Iterable[str]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())
