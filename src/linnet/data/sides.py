"""What becomes of each document, decided once all sources have been read: left out as a copy, training text, validation text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, explain
from linnet.data.encode import Cut
from linnet.data.spec import DataSpec
from linnet.data.split import Plan, make_plan, repeated
from linnet.data.spool import Spool, text_of


@dataclass(frozen=True)
class SourcePlan:
    """What becomes of one source's documents: which are kept at all, and which side each kept one is on."""

    kept: NDArray[np.bool_]  # (documents,) not a copy of an earlier document
    plan: Plan  # over the kept ones

    def sides(self) -> tuple[NDArray[np.uint8], tuple[int, int] | None]:
        """(documents,) 0 for one that is left out, 1 for training, 2 for validation; the number of the document that is
        divided, and the character."""
        sides = np.zeros(len(self.kept), np.uint8)
        sides[self.kept] = 1 + self.plan.validation
        if self.plan.cut is None:
            return sides, None
        number, character = self.plan.cut
        return sides, (int(np.nonzero(self.kept)[0][number]), character)


def plan_all(spec: DataSpec, spools: list[Spool]) -> list[SourcePlan]:
    """Copies out, over all sources at once, and each source's sides.

    Of copies the first stays, but one in a validation-only source before all others: training loses it.
    """
    found = [spool.records() for spool in spools]
    copies = [np.zeros(len(records), bool) for records in found]
    if spec.deduplicate:
        order = sorted(range(len(spools)), key=lambda i: spec.described()[i].part != "validation")
        flat = repeated(np.concatenate([found[i]["fingerprint"] for i in order]))
        for i, part in zip(order, np.split(flat, np.cumsum([len(found[i]) for i in order])[:-1])):
            copies[i] = part
    plans = []
    for spool, source, copy, everything in zip(spools, spec.described(), copies, found):
        records = everything[~copy]
        if not len(records):
            raise DataError(
                explain(
                    f"source {spool.name!r} holds only copies of other sources' documents",
                    need="text of its own",
                    hint="leaving it out",
                )
            )
        if source.part == "both":
            plan = make_plan(
                spool.name, spec.split, spec.validation, records["fingerprint"][:, 0], records["bytes"], records["characters"]
            )
        else:
            plan = Plan(source.part, np.full(len(records), source.part == "validation"))
        plans.append(SourcePlan(~copy, plan))
    return plans


def training_texts(spec: DataSpec, spools: list[Spool], plans: list[SourcePlan]) -> Iterator[str]:
    """All training text, in order."""
    for spool, plan in zip(spools, plans):
        sides, cut = plan.sides()
        number = 0
        for part in spool.parts:
            for _, text in text_of(part, spool.folder):
                if cut is not None and number == cut[0]:
                    data = text.encode("utf-8")
                    yield data[: Cut(number, cut[1], spec.exact).at(data)].decode("utf-8")
                elif sides[number] == 1:
                    yield text
                number += 1
