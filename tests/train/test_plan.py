"""Planning: the laws it rests on have the right limits, and the choice follows what was timed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import BudgetError
from linnet.core.spec import load
from linnet.model.count import count
from linnet.objective.next_token import NextToken
from linnet.train import plan
from linnet.train.estimate import Estimate, check_room, estimate, scorecard, validate_every
from linnet.train.imagine import estimate_imagined, sizes_by_rule, stored_tokens
from linnet.train.machine import available_memory
from linnet.train.optimizers import AdamW
from linnet.train.plan import REPEATS, choose, effective_tokens, reducible_loss, rows_for, table
from linnet.train.precision import Precision
from linnet.train.probe import Probe, probe
from linnet.train.settle import regularise
from linnet.train.spec import RunSpec
from linnet.zoo import SIZES, Linnet

TOKENS = st.floats(1, 1e12)


@given(TOKENS, TOKENS)
def test_tokens_read_once_are_worth_themselves(read: float, distinct: float) -> None:
    if read <= distinct:
        assert effective_tokens(read, distinct) == read
    else:
        assert distinct <= effective_tokens(read, distinct) <= min(read, distinct * (1 + REPEATS)) * (1 + 1e-9)


@given(TOKENS, TOKENS, st.floats(1, 100))
def test_reading_more_is_never_worth_less(read: float, distinct: float, more: float) -> None:
    assert effective_tokens(read * more, distinct) >= effective_tokens(read, distinct) * (1 - 1e-12)
    assert effective_tokens(read, distinct * more) >= effective_tokens(read, distinct) * (1 - 1e-9)


def test_the_limits_of_repeating() -> None:
    assert effective_tokens(1e15, 1000.0) == pytest.approx(1000 * (1 + REPEATS))
    few = effective_tokens(2.0e6, 1e6)  # one repeat is worth nearly a fresh pass: 2305.16264, section 5
    assert few == pytest.approx(2e6, rel=0.04)
    assert effective_tokens(1e6 * (1 + REPEATS), 1e6) == pytest.approx(1e6 * (1 + REPEATS * (1 - math.exp(-1))))


def test_chinchilla_s_balance_is_where_its_paper_has_it() -> None:
    """2203.15556, eq. 10: the best N for C = 6 N D is (αA / βB)^(1/(α+β)) (C/6)^(β/(α+β))."""
    compute = 6 * 1e9 * 2e10
    best = min((10 ** (6 + i / 500) for i in range(2500)), key=lambda n: reducible_loss(n, compute / 6 / n))
    expected = (plan.ALPHA * plan.A / (plan.BETA * plan.B)) ** (1 / (plan.ALPHA + plan.BETA)) * (compute / 6) ** (
        plan.BETA / (plan.ALPHA + plan.BETA)
    )
    assert best == pytest.approx(expected, rel=0.01)


@settings(max_examples=50)
@given(st.floats(1, 1e12), st.sampled_from([16, 64, 256, 1024]))
def test_rows_stay_within_bounds(tokens: float, context: int) -> None:
    rows = rows_for(tokens, context)
    assert rows >= 1
    assert rows * context <= max(plan.TOKENS_A_STEP[1], context)
    assert rows_for(tokens * 2, context) >= rows


def fake_probe(flops: float, taken: list[str] | None = None) -> Any:
    def timed(model: Any, objective: Any, optimizer: Any, precision: Any, rows: int, micro: int, context: int, **_: Any) -> Probe:
        if taken is not None:
            taken.append(f"{model.d_model}")
        return Probe(rows * context * count(model, context).train_flops / flops, 1e-6, 10**9, 10**6)

    return timed


def choice(monkeypatch: pytest.MonkeyPatch, seconds: float, *, distinct: int = 10**12, flops: float = 5e10) -> tuple[Any, Any]:
    monkeypatch.setattr(plan, "probe", fake_probe(flops))
    precision = Precision("float32", __import__("torch").device("cpu"))
    return choose(
        Linnet(),
        1024,
        distinct,
        seconds,
        objective=NextToken(),
        optimizer=AdamW(),
        precision=precision,
        context=256,
        peak_flops=2 * flops,
    )


def test_more_time_never_chooses_a_smaller_size(monkeypatch: pytest.MonkeyPatch) -> None:
    order = list(SIZES)
    places = [order.index(choice(monkeypatch, seconds)[0].family.size) for seconds in (60, 600, 6_000, 60_000, 600_000)]
    assert places == sorted(places)
    assert places[0] < places[-1]


def test_little_text_promises_less_and_is_read_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    much = choice(monkeypatch, 20_000)[0]
    little = choice(monkeypatch, 20_000, distinct=50_000)[0]
    assert little.promised > much.promised
    assert little.epochs > much.epochs


def test_the_choice_is_the_best_of_what_was_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    best, tried = choice(monkeypatch, 3_000)
    assert best.promised == min(each.promised for each in tried)
    assert len(tried) >= 2
    for each in tried:
        assert each.steps == int(3_000 / each.probe.step_seconds)
        assert each.tokens == each.steps * each.rows * 256
    needs = [Estimate(3_000.0, 500 * 2**20, number * 2**20, 0.1, each.steps) for number, each in enumerate(tried, 7)]
    heading, *lines = table(tried, best, needs, 256)
    assert [line.startswith("→") for line in lines] == [each is best for each in tried]
    assert len({len(line) for line in [heading, *lines]}) == 1
    assert len(heading) <= 79
    for line, each, number in zip(lines, tried, range(7, 99), strict=False):
        cells = [each.family.size, f"{each.rows} × 256", f"{each.steps:,}", "500 MiB", f"  {number} MiB", f"{each.promised:.3f}"]
        assert all(cell in line for cell in cells), (line, cells)


def test_a_budget_too_small_says_how_much_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BudgetError, match=r"needed: at least 100 steps; try: --minutes"):
        choice(monkeypatch, 1.0, flops=1e8)


@pytest.mark.parametrize(
    ("asked", "passes", "dropout", "decay"),
    [
        ({}, 8.0, 0.1, 0.1),
        ({}, 4.0, 0.0, 0.0),
        ({"model": {"kind": "llama"}}, 8.0, 0.1, 0.1),
        ({"model": {"kind": "linnet", "dropout": 0.3}}, 8.0, 0.3, 0.1),
        ({"optimizer": {"kind": "muon", "weight_decay": 0.0}}, 8.0, 0.1, 0.0),
        ({"model": {"kind": "linnet", "dropout": 0.0}, "optimizer": {"kind": "muon", "weight_decay": 0.02}}, 8.0, 0.0, 0.02),
        ({"optimizer": {"kind": "adamw"}}, 8.0, 0.1, 0.1),  # whose decay is 0.1 at all times
        (None, 8.0, 0.0, 0.0),  # a spec made in Python says everything
    ],
    ids=str,
)
def test_text_that_is_read_over_and_over(asked: Any, passes: float, dropout: float, decay: float) -> None:
    table = {"data": {"sources": [{"kind": "stories"}]}} | (asked or {})
    spec, line = regularise(load(RunSpec, table), asked, passes)
    assert (spec.model.dropout, spec.optimizer.weight_decay) == (dropout, decay)  # type: ignore[attr-defined]
    assert bool(line) == (spec != load(RunSpec, table))


def run_spec(**train: Any) -> RunSpec:
    return load(RunSpec, {"data": {"sources": [{"kind": "stories"}]}, "train": train})


def test_validation_places_depend_on_the_run_and_not_on_the_machine() -> None:
    spec = run_spec(steps=2000, batch_size=16)
    assert validate_every(spec, 2000, 256, 10_000) == 100  # twenty a run
    assert validate_every(spec, 2000, 256, 10**9) == 1000  # never fewer than two
    costly = validate_every(spec, 2000, 256, 200_000)
    share = 2000 / costly * 200_000 / 3 / (2000 * 16 * 256)  # a token read costs a third of one learned from
    assert 100 < costly < 1000
    assert share == pytest.approx(0.05, rel=0.1)
    assert validate_every(spec.replace(validation={"every": 7}), 2000, 256, 10**9) == 7
    assert validate_every(run_spec(steps=3), 3, 256, 1) == 1


def test_an_estimate_adds_up(tmp_path: Path) -> None:
    import time

    spec = run_spec(steps=1000, batch_size=8)
    cost = count(spec.model.sentence(300), 64)
    timed = Probe(step_seconds=0.01, read_seconds=1e-5, memory_bytes=10**12, optimizer_bytes=cost.weight_bytes)
    found = estimate(spec, tmp_path, cost, timed, 10_000, 64, time.perf_counter(), None)
    every = validate_every(spec, 1000, 64, 10_000)
    assert found.seconds == pytest.approx(1000 * 0.01 + (1000 / every + 1) * 0.1 + 2, rel=0.02)
    assert found.memory == 10**12
    assert found.disk > 3 * cost.weight_bytes
    minutes = estimate(run_spec(minutes=2.0), tmp_path, cost, timed, 10_000, 64, time.perf_counter(), 90.0)
    assert (minutes.seconds, minutes.steps) == (120, 9000)


def test_a_text_that_is_imagined_needs_what_a_real_one_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    best, _ = choice(monkeypatch, 3_000)
    spec = run_spec(minutes=50.0)
    stored, n_validation = stored_tokens(spec, 9_000, 1024)
    assert (stored, n_validation) == (20_000, 1_000)  # a tenth is validation; two bytes an id
    assert stored_tokens(spec, 9_000, 100_000)[0] == 40_000
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shard").write_bytes(bytes(stored))
    chosen = spec.replace(model=best.family, train=spec.train.replace(batch_size=best.rows))
    now = time.perf_counter()
    real = estimate(chosen, tmp_path, best.cost, best.probe, n_validation, 256, now, 3_000)
    assert estimate_imagined(spec, best, 9_000, 1024, 256, now, 3_000) == real


def test_sizes_by_rule_choose_twenty_tokens_a_parameter() -> None:
    spec = run_spec(steps=1).replace(model=Linnet())
    for tokens in (10**6, 10**8, 10**10):
        name, (_, *lines) = sizes_by_rule(spec, tokens, 1024, 1e11)
        far = {size: abs(math.log(20 * count(Linnet(size=size).sentence(1024), 256).body / tokens)) for size in SIZES}
        assert far[name] == min(far.values())
        assert [line[2:].split()[0] for line in lines if line.startswith("→")] == [name]
        assert [line[2:].split()[0] for line in lines] == list(SIZES)


def test_a_run_that_does_not_fit_is_refused_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = count(Linnet(size="base").sentence(32_768), 256)
    check_room(tmp_path, count(Linnet(size="nano").sentence(300), 32), 1, 32, "cpu")
    monkeypatch.setattr("linnet.train.estimate.available_memory", lambda: 2**28)
    with pytest.raises(BudgetError, match=r"GiB of memory and 0\.2 GiB are free.*micro_batch_size.*smaller model"):
        check_room(tmp_path, cost, 16, 256, "cpu")
    monkeypatch.setattr("linnet.train.estimate.available_memory", lambda: 2**50)
    monkeypatch.setattr("linnet.train.estimate.shutil.disk_usage", lambda path: type("Usage", (), {"free": 2**20})())
    with pytest.raises(BudgetError, match="MiB of disk are free"):
        check_room(tmp_path, cost, 16, 256, "cpu")
    assert available_memory() > 0


def test_a_scorecard_puts_asked_estimated_and_measured_side_by_side(tmp_path: Path) -> None:
    import time

    (tmp_path / "file").write_bytes(b"x" * 1000)
    card = scorecard(run_spec(minutes=1.0), Estimate(60.0, 5, 6, 0.1, 70), tmp_path, 68, time.perf_counter() - 61)
    rows = {row["what"]: row for row in card["rows"]}
    assert rows["time"]["asked"] == 60
    assert rows["time"]["measured"] == pytest.approx(61, abs=1)
    assert (rows["steps"]["estimated"], rows["steps"]["measured"]) == (70, 68)
    assert rows["disk"]["measured"] > 1000


def test_a_real_probe_takes_steps_and_forgets_them() -> None:
    import torch

    precision = Precision("float32", torch.device("cpu"))
    model = Linnet(n_layers=1, n_heads=2, d_model=16).sentence(64)
    found = probe(model, NextToken(), AdamW(), precision, 4, 2, 16)
    assert found.step_seconds > 0
    assert found.read_seconds > 0
    parameters = count(model, 16).parameters
    assert 8 * parameters <= found.optimizer_bytes <= 8 * parameters + 4 * 100  # two moments, and a step count each
