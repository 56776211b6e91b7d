"""Weights that change over a run: what is asked is the integral of the shares, what is drawn stays within the proven distance of it
at every moment, and where weights do not change everything is as it was before there were ramps.

Each law was seen to fail on mutants of the code; those that are easily put in the place of the right one are run here.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import pickle
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_helpers import ByteTokenizer, prepared_texts, spec_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_loader import batches, corpus, same, take

from linnet.core.errors import CheckpointError, ConfigError, DataError
from linnet.core.spec import dump, load
from linnet.core.yaml import override
from linnet.data import mixture
from linnet.data.mixture import Dealer, Mixture, Ramp, as_weight, mixture_of
from linnet.data.prepare import prepare
from linnet.data.prepared import open_prepared, read_card
from linnet.data.spec import DataSpec

Weights = tuple[float | Ramp, ...]


def ramp(first: float, to: float, begin: float = 0.0, end: float = 1.0) -> Ramp:
    return load(Ramp, {"from": first, "to": to, "begin": begin, "end": end})


@st.composite
def ramps(draw: st.DrawFn) -> Ramp:
    """Any ramp, from or to nothing, too."""
    ends = st.one_of(st.just(0.0), st.floats(0.1, 8))
    first, to = draw(st.tuples(ends, ends).filter(any))
    begin, end = sorted(
        draw(st.tuples(st.floats(0, 0.95), st.floats(0.05, 1)).filter(lambda pair: abs(pair[0] - pair[1]) > 0.02))
    )
    return ramp(first, to, min(begin, 0.97), end)


mixtures = st.lists(st.one_of(ramps(), st.floats(0.1, 8)), min_size=1, max_size=5).map(lambda weights: (1.0, *weights))


def behind(k: int) -> float:
    """1/2 + 1/3 + … + 1/k."""
    return sum(1 / j for j in range(2, k + 1))


# ---- what is asked ----------------------------------------------------------------------------------------------------


def integral(weights: Weights, until: float) -> list[float]:
    """∫ share_i from 0 to `until` in closed form: between two bends a share is (a + b u) ÷ (1 + r u), u from 0 to 1.

    ∫ = b/r + (a - b/r) ln(1 + r)/r, and a + b/2 where r is about 0. Written for single numbers, without anything of mixture.py.
    """

    def at(weight: float | Ramp, progress: float) -> float:
        if not isinstance(weight, Ramp):
            return weight
        first = dump(weight)["from"]
        return first + (weight.to - first) * min(max((progress - weight.begin) / (weight.end - weight.begin), 0), 1)

    bends = sorted({0.0, until, *(b for w in weights if isinstance(w, Ramp) for b in (w.begin, w.end) if b < until)})
    total = [0.0 for _ in weights]
    for low, high in pairwise(bends):
        before, after = ([at(weight, place) for weight in weights] for place in (low, high))
        r = sum(after) / sum(before) - 1
        for i, (start, stop) in enumerate(zip(before, after)):
            a, b = start / sum(before), (stop - start) / sum(before)
            part = b / r + (a - b / r) * math.log1p(r) / r if abs(r) > 1e-5 else a + b / 2 - r * (a / 2 + b / 3)
            total[i] += (high - low) * part
    return total


@given(mixtures)
@settings(deadline=None, max_examples=60)
def test_what_is_asked_is_the_integral_of_the_shares(weights: Weights) -> None:
    rows = 3000
    dealer = Dealer(Mixture((*weights, ramp(1, 2))), rows)
    asked = np.array(dealer._ask(0, rows))  # (rows, k)
    assert asked.sum(axis=1) == pytest.approx(np.arange(1, rows + 1))
    for n in (1, 7, 500, 1800, rows):
        assert asked[n - 1] == pytest.approx([rows * each for each in integral((*weights, ramp(1, 2)), n / rows)], abs=0.02)
    assert dealer.shares == pytest.approx(integral((*weights, ramp(1, 2)), 1.0), abs=1e-6)


def test_a_ramp_by_hand() -> None:
    weight = ramp(1, 4, 0.2, 0.8)
    places = np.array([0, 0.1, 0.2, 0.5, 0.8, 0.9, 1, 7])
    assert weight.at(places).tolist() == pytest.approx([1, 1, 1, 2.5, 4, 4, 4, 4])
    assert ramp(1e100, 1).at(places)[-1] == 1, "exact at its end, whatever it came from"
    mix = Mixture((weight, 4.0))
    assert mix.shares(places)[:, 0].tolist() == pytest.approx([0.2, 0.2, 0.2, 2.5 / 6.5, 0.5, 0.5, 0.5, 0.5])
    assert mix.courses() == [pytest.approx([0.2, 0.5]), pytest.approx([0.8, 0.5])]
    # against a second ramp, which ends where the first begins, a constant falls and rises again
    there_and_back = Mixture((1.0, ramp(0, 1, 0, 0.5), ramp(2, 1, 0.5, 1)))
    assert there_and_back.courses()[0] == [0.3333, 0.25, 0.3333]
    assert Mixture((ramp(0.1, 0.7), ramp(0.3, 2.1, 0, 1), ramp(0.1, 0.7))).courses() == [[0.2, 0.2], [0.6, 0.6], [0.2, 0.2]], (
        "rounding turns nothing"
    )
    assert not Mixture((ramp(1, 2),)).moves, "alone it has all"


# ---- what is drawn ----------------------------------------------------------------------------------------------------


def drawn_within_the_bound(weights: Weights, rows: int, block: int) -> None:
    """At every moment, on both sides, for any number of rows at once; checked against asked sums of its own."""
    k = len(weights)
    mix, dealer = Mixture(weights), Dealer(Mixture(weights), rows)
    drawn, asked = np.zeros(k, int), np.zeros(k)
    for start in range(0, rows, block):
        for row, source in enumerate(dealer.deal(drawn.tolist(), min(block, rows - start)).tolist(), start):
            drawn[source] += 1
            asked += mix.shares(np.array([(row + 0.5) / rows]))[0]
            assert (drawn - asked).max() <= 1 - 1 / k + 1e-9
            assert (asked - drawn).max() <= behind(k) + 1e-9


@given(weights=mixtures, block=st.integers(1, 40))
@settings(deadline=None, max_examples=40)
def test_what_is_drawn_stays_within_the_bound_at_every_moment(weights: Weights, block: int) -> None:
    drawn_within_the_bound(weights, 400, block)


@pytest.mark.parametrize("k", [2, 3, 4, 7])
def test_the_bound_holds_whatever_the_shares_do(k: int) -> None:
    """Shares that no ramp has: anything at each row, and such as are made to be hard: all to those that lag, the fewest last."""
    draw = np.random.default_rng(k)
    for hard in (False, True):
        debts = np.zeros(k)
        worst = [0.0, 0.0]
        alive = list(range(k))
        for _ in range(4000):
            if hard:  # the adversary of the proof: shares in equal parts to what was not paid yet
                share = np.isin(np.arange(k), alive) / len(alive)
            else:
                share = draw.dirichlet(np.full(k, draw.choice([0.05, 1, 20])))
            dealer = Dealer(Mixture(tuple(ramp(1, 2) for _ in range(k))), 1)
            dealer.mixture = type("Any", (), {"shares": lambda self, progress, share=share: share[None]})()
            dealer.asked = (debts + 10).tolist()  # ten rows were drawn of each
            paid = int(dealer.deal([10] * k, 1)[0])
            debts = debts + share
            debts[paid] -= 1
            worst = [max(worst[0], -debts.min()), max(worst[1], debts.max())]
            alive = [i for i in alive if i != paid] or list(range(k))
        assert worst[0] <= 1 - 1 / k + 1e-6
        assert worst[1] <= behind(k) + 1e-6
        if hard:
            assert worst[1] > behind(k) - 0.3, "and no much smaller one does"


def naive(self: Dealer, before: int, rows: int) -> list[list[float]]:
    """A mutant: debts against the share of the moment times all rows, as if it had always been so."""
    done = np.arange(before, before + rows)
    return ((done + 1)[:, None] * self.mixture.shares((done + 0.5) / self.run_rows)).tolist()  # type: ignore[operator]


def by_batches(self: Dealer, before: int, rows: int) -> list[list[float]]:
    """A mutant: progress stands still within a batch."""
    shares = np.repeat(self.mixture.shares(np.array([before / self.run_rows])), rows, axis=0)  # type: ignore[operator]
    asked: list[list[float]] = np.cumsum(np.vstack([self.asked, shares]), axis=0)[1:].tolist()
    self.asked = asked[-1]
    return asked


def forgets(self: Dealer, before: int, rows: int) -> list[list[float]]:
    """A mutant: what was asked before is not added up."""
    shares = self.mixture.shares((np.arange(before, before + rows) + 0.5) / self.run_rows)  # type: ignore[operator]
    return np.cumsum(np.vstack([self.asked, shares]), axis=0)[1:].tolist()


HARD: Weights = (ramp(8, 0.1, 0.1, 0.9), ramp(0, 5, 0.3, 0.6), 1.0)


@pytest.mark.parametrize("mutant", [naive, by_batches, forgets])
def test_the_law_kills_other_ways_to_ask(mutant: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_within_the_bound(HARD, 400, 40)
    monkeypatch.setattr(Dealer, "_ask", mutant)
    with pytest.raises(AssertionError):
        drawn_within_the_bound(HARD, 400, 40)


def test_from_nothing_and_to_nothing() -> None:
    """Before its ramp begins a source has no rows, to the row; after one that ended in nothing it is owed one more at most."""
    dealer = Dealer(Mixture((1.0, ramp(0, 3, 0.25, 0.5), ramp(2, 0, 0.5, 0.75))), 1000)
    chosen = dealer.deal([0, 0, 0], 1000)
    assert np.flatnonzero(chosen == 1)[0] > 250
    assert np.flatnonzero(chosen == 1)[0] < 290
    assert (chosen[750:] == 2).sum() <= 1
    at_once = Dealer(Mixture((1.0, ramp(0, 1))), 100).deal([0, 0], 100)
    assert at_once.tolist()[:10] == [0] * 10, "a ramp from the first row on grows from no rows"


@given(cuts=st.lists(st.integers(0, 299), max_size=5), weights=mixtures)
@settings(deadline=None, max_examples=40)
def test_rows_do_not_depend_on_how_many_are_dealt_at_once(cuts: list[int], weights: Weights) -> None:
    def dealt(ends: Sequence[int]) -> tuple[list[int], list[float]]:
        dealer, chosen = Dealer(Mixture((*weights, ramp(1, 2))), 300), []
        for start, stop in pairwise([0, *ends, 330]):  # beyond the end of the run, too
            chosen += (
                dealer.deal([chosen.count(i) for i in range(len(weights) + 1)], stop - start).tolist() if stop > start else []
            )
        return chosen, dealer.asked

    assert dealt(sorted(cuts)) == dealt([])


# ---- weights that stay --------------------------------------------------------------------------------------------------

BEFORE = {  # choices of the formula before there were ramps: share · (rows + 1) - drawn; computed by that code
    (3, 1, 0.5): ("0100200100100200100100200100100200100100", "f38a38bb891846c0"),
    (1, 1, 1, 1): ("0123012301230123012301230123012301230123", "1ddaaa6187a862bd"),
    (0.1, 0.2, 0.3, 1 / 3, 7.0): ("4444443444442444444414444444440444444344", "7d2843c02951f0bc"),
    (1e-3, 1.0): ("1" * 40, "d32c7e517450f1d6"),
    (2.0,): ("0" * 40, "7ca5bd879f393d9d"),
}


@pytest.mark.parametrize("weights", BEFORE)
@pytest.mark.parametrize("run_rows", [None, 100])
def test_constant_weights_draw_as_before(weights: tuple[float, ...], run_rows: int | None) -> None:
    """5,000 rows in portions; a mutant that adds shares up instead of multiplying them is told apart."""
    dealer, chosen = Dealer(Mixture(weights), run_rows), []
    for rows in (1, 7, 13, 979, 4000):
        chosen += dealer.deal([chosen.count(i) for i in range(len(weights))], rows).tolist()
    assert ("".join(map(str, chosen[:40])), hashlib.sha256(bytes(chosen)).hexdigest()[:16]) == BEFORE[weights]
    assert dealer.state_dict(["a"] * len(weights)) == {}


def test_a_position_from_before_ramps_is_gone_on_from() -> None:
    """Its keys are those of today's where weights stay, whether or not the run's length is said."""
    source = batches(3, run_rows=77)
    take(source, 9)
    assert set(source.state_dict()) == {"data", "split", "seed", "context_length", "rows", "sources"}
    before = {
        **batches(3).state_dict(),
        "sources": {f"corpus{i}": {"epoch": 0, "position": n, "drawn": n} for i, n in enumerate((30, 10, 5))},
    }
    again = batches(3)
    again.load_state_dict(json.loads(json.dumps(before)))
    assert all(same(a, b) for a, b in zip(take(again, 9), take(source, 9)))


# ---- positions ----------------------------------------------------------------------------------------------------------

MOVING = {"corpus0": ramp(4, 0.5, 0.1, 0.7), "corpus1": 1.0, "corpus2": ramp(0, 3, 0.3)}


def moving(**options: object) -> object:
    return batches(3, **({"weights": MOVING, "run_rows": 300} | options))


@given(cut=st.integers(0, 70), batch_size=st.integers(1, 7), after=st.integers(0, 25))
@settings(deadline=None, max_examples=40)
def test_any_position_on_a_ramp_is_restored_bit_for_bit(cut: int, batch_size: int, after: int) -> None:
    """Cut anywhere, also behind the end of the run; through JSON; the receiver stood elsewhere."""
    whole = take(moving(batch_size=batch_size), cut + 30)
    first, second = moving(batch_size=batch_size), moving(batch_size=batch_size)
    take(first, cut)
    state = json.loads(json.dumps(first.state_dict()))
    take(second, after)
    second.load_state_dict(state)
    assert second.state_dict() == state
    assert all(same(a, b) for a, b in zip(take(second, 30), whole[cut:]))


def test_the_law_of_restoring_kills_a_dealer_that_forgets_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    law = test_any_position_on_a_ramp_is_restored_bit_for_bit.hypothesis.inner_test  # type: ignore[attr-defined]
    law(cut=20, batch_size=5, after=3)
    monkeypatch.setattr(Dealer, "stand", lambda self, state, drawn: None)
    with pytest.raises(AssertionError):
        law(cut=20, batch_size=5, after=3)


def test_ranks_see_what_one_sees_on_a_ramp() -> None:
    one = moving(batch_size=6)
    ranks = [moving(batch_size=2, rank=rank, world_size=3) for rank in range(3)]
    for _ in range(50):
        batch, parts = one.next_batch(), [rank.next_batch() for rank in ranks]
        assert torch.equal(batch.tokens, torch.cat([part.tokens for part in parts]))
    assert all(rank.state_dict() == one.state_dict() for rank in ranks)
    alone = moving(batch_size=1)
    alone.load_state_dict(json.loads(json.dumps(ranks[1].state_dict())))  # another batch size, another number of ranks
    assert torch.equal(torch.cat([batch.tokens for batch in take(alone, 6)]), one.next_batch().tokens)


def test_positions_of_another_run_are_refused() -> None:
    source = moving()
    take(source, 9)
    state = source.state_dict()
    with pytest.raises(CheckpointError, match=r"run_rows 300; needed: .*run_rows 600.*number of steps"):
        moving(run_rows=600).load_state_dict(state)
    with pytest.raises(CheckpointError, match=r"run_rows None; needed: .*run_rows 300"):
        moving().load_state_dict(batches(3).state_dict())
    with pytest.raises(CheckpointError, match="run_rows 300"):
        batches(3).load_state_dict(state)
    asked = state["asked"]
    for wrong in (
        None,
        {},
        {**asked, "corpus1": None},
        {**asked, "corpus1": math.nan},
        {**asked, "corpus1": asked["corpus1"] + 1},
    ):
        with pytest.raises(CheckpointError, match=r"asked .* 45 rows in all"):
            moving().load_state_dict({**state, "asked": wrong})
    for rows in (None, 0):
        with pytest.raises(DataError, match="how many rows"):
            moving(run_rows=rows)
    with pytest.raises(DataError, match="all weights of what is trained on are 0 where 0 of the run is drawn"):
        moving(weights=dict.fromkeys(MOVING, ramp(0, 1)))


# ---- what can be written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        ({"form": 1, "to": 2}, "weight.form: is not known here; did you mean 'from'?"),
        ({"from": 1, "to": 2, "begn": 0.1}, "weight.begn: is not known here; did you mean 'begin'?"),
        ({"to": 2}, "weight.from: is missing; needed: until `begin`"),
        ({"from": 1, "to": 2, "begin": 0.5, "end": 0.5}, "weight: begin = 0.5 and end = 0.5; needed: begin before end"),
        ({"from": 1, "to": 2, "begin": 0.8, "end": 0.2}, "begin = 0.8 and end = 0.2; needed: begin before end"),
        ({"from": 1, "to": 2, "end": 1.2}, "weight.end: got 1.2; needed: at most 1"),
        ({"from": 1, "to": 2, "begin": -0.1}, "weight.begin: got -0.1; needed: at least 0"),
        ({"from": -1, "to": 2}, "weight.from: got -1; needed: at least 0"),
        ({"from": 1, "to": "much"}, "weight.to: got 'much'; needed: a number"),
        ({"from": 0, "to": 0}, "from = 0 and to = 0; needed: one of them above 0"),
        ({"from": 1e-200, "to": 1}, "got 1e-200; needed: 0, or at least 1e-100"),
        ({"from": 1e200, "to": 1}, "weight.from: got 1e+200; needed: at most 1e+100"),
        ("much", "weight: got 'much'; needed: a number, or a table of from, to, begin, end"),
        (True, "weight: got true; needed: a number, or a table of"),
        (None, "weight: got nothing; needed: a number, or a table of"),
        (0, "weight: got 0; needed: more than 0"),
        ({"from": 0, "to": 1}, "all weights of what is trained on are 0 where 0 of the run is drawn"),
    ],
)
def test_refusals(weight: object, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        spec_of({"kind": "stories", "weight": weight})
    assert said in str(error.value)


def test_at_each_moment_something_has_a_weight() -> None:
    over = {"kind": "stories", "weight": {"from": 1, "to": 0, "end": 0.5}}
    then = {"kind": "python_docs", "weight": {"from": 0, "to": 1, "begin": 0.5}}
    with pytest.raises(ConfigError, match=r"are 0 where 0\.5 of the run is drawn; needed: one above 0 at each moment"):
        spec_of(over, then)
    with pytest.raises(ConfigError, match=r"0\.5 of the run"):  # validation is not drawn from
        spec_of(over, then, {"kind": "stdin", "part": "validation"})
    spec_of(over, {**then, "weight": {"from": 0, "to": 1, "begin": 0.49}})


def test_a_ramp_is_written_read_and_overridden() -> None:
    spec = spec_of({"kind": "stories", "weight": {"from": 4, "to": 1, "begin": 0.2}}, {"kind": "python_docs"})
    assert dump(spec)["sources"][0]["weight"] == {"from": 4.0, "to": 1.0, "begin": 0.2, "end": 1.0}
    assert load(type(spec), json.loads(json.dumps(dump(spec)))) == spec
    assert load(Ramp, {"from": 1, "to": 2}).replace(to=3) == ramp(1, 3)
    assert pickle.loads(pickle.dumps(spec)) == copy.deepcopy(spec) == spec  # other processes read it
    table = {"data": {"sources": [{"kind": "stories", "weight": {"from": 4, "to": 1}}, {"kind": "stdin", "weight": 2.0}]}}
    override(table, "data.sources.0.weight.to=3")
    override(table, "data.sources.1.weight={from: 0, to: 5}")
    first, second = spec_of(*table["data"]["sources"]).described()
    assert (first.weight, second.weight) == (ramp(4, 3), ramp(0, 5))
    with pytest.raises(ConfigError, match=r"weight is 2\.0; needed: a table there"):
        override({"data": {"sources": [{"kind": "stdin", "weight": 2.0}]}}, "data.sources.0.weight.to=3")


# ---- on disk ------------------------------------------------------------------------------------------------------------

TEXTS = [[f"{'xyz'[s]} {i} tells of {i * i}. " * (1 + i % 4) for i in range((200, 90, 60)[s])] for s in range(3)]


def test_a_prepared_folder_carries_its_ramps(tmp_path: Path) -> None:
    sources = []
    for number, texts in enumerate(TEXTS):
        (tmp_path / f"c{number}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        weight = ({"from": 3, "to": 1}, 1.0, {"from": 0, "to": 2, "begin": 0.5})[number]
        sources.append({"kind": "files", "path": str(tmp_path / f"c{number}.jsonl"), "weight": weight})
    made = prepare(spec_of(*sources), ByteTokenizer(), tmp_path / "prepared")
    weights: Weights = (ramp(3, 1), 1.0, ramp(0, 2, 0.5))
    index = json.loads((made.folder / "index.json").read_text())
    assert index["weights"] == dict(zip(("c0", "c1", "c2"), map(dump, weights)))
    opened = open_prepared(made.folder, ByteTokenizer(), verify=True)
    for split in (opened.train, opened.validation, made.train):
        assert tuple(stream.weight for stream in split.streams) == weights

    # the card: over a whole run by the closed form, and the shares where they turn
    card = read_card(made.folder / "card.json")
    expected = integral(weights, 1.0)
    assert [s.asked_percent for s in card.sources] == pytest.approx([100 * each for each in expected], abs=0.011)
    assert sum(round(100 * s.asked_percent) for s in card.sources) == 10_000
    assert [s.asked_course for s in card.sources] == [(75.0, 25.0), (25.0, 33.33, 25.0), (0.0, 50.0)]
    train = [s.tokens["train"] for s in card.sources]
    assert [s.passes for s in card.sources] == pytest.approx(
        [share * sum(train) / t for share, t in zip(expected, train)], rel=1e-4
    )
    assert "| 75 → 25 |" in card.to_markdown()
    assert "| 25 → 33.3 → 25 |" in card.to_markdown()
    assert "share of the rows drawn over a whole run" in card.to_markdown()

    index["weights"]["c2"]["ned"] = 1
    (made.folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"weights\.c2\.ned: is not known here; did you mean 'end'\?"):
        open_prepared(made.folder, ByteTokenizer())


def test_a_folder_without_ramps_says_nothing_of_them(tmp_path: Path) -> None:
    """index.json, card.json and card.md of numbers are as before (compared by hand with the code before, to the byte)."""
    made = prepared_texts(tmp_path, *TEXTS, weights=(3, 1, 0.5))
    assert json.loads((made.folder / "index.json").read_text())["weights"] == {"corpus0": 3.0, "corpus1": 1.0, "corpus2": 0.5}
    assert all(type(stream.weight) is float for stream in made.train.streams)
    for file in ("card.json", "card.md"):
        written = (made.folder / file).read_text()
        assert "course" not in written
        assert "on the way" not in written
    assert [s.asked_percent for s in made.card.sources] == [66.67, 22.22, 11.11]


def test_a_real_corpus_of_which_nothing_with_a_weight_is_left_is_refused() -> None:
    train = corpus(2).train
    assert mixture_of({stream.source: stream.weight for stream in train.streams}).problem() is None
    with pytest.raises(DataError, match=r"where 0\.5 of the run is drawn"):
        mixture_of({"a": ramp(1, 0, 0, 0.5), "b": ramp(0, 1, 0.5)})
    assert as_weight(3) == 3
    assert mixture.as_course([25.0, 100 / 3, 0.0]) == "25 → 33.3 → 0"


@pytest.mark.parametrize("others", [[], [{"kind": "stories", "count": 60, "seed": 2, "name": "apart", "part": "validation"}]])
def test_a_ramp_alone_is_all_of_it(tmp_path: Path, others: list[dict[str, Any]]) -> None:
    ramp = {"kind": "stories", "count": 60, "name": "all", "weight": {"from": 1, "to": 2}}
    spec = load(DataSpec, {"sources": [ramp | ({"part": "train"} if others else {}), *others]})
    card = prepare(spec, ByteTokenizer(), tmp_path, engine="here").card
    assert (card.sources[0].asked_percent, card.sources[0].passes) == (100.0, 1.0)
