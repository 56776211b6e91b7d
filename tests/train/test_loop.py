"""The loop: law 19 (k micro-batches = one big batch), what it refuses, when it saves, when it stops."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_run
from linnet.core.errors import LinnetError
from linnet.data.batch import Batch
from linnet.model import Network
from linnet.objective.base import Loss, Objective
from linnet.objective.next_token import NextToken
from linnet.train.clock import Clock
from linnet.train.events import Event, Saved, Stepped, Validated
from linnet.train.loop import Training, fit, take_step
from linnet.train.optimizers import AdamW, Muon
from linnet.train.precision import Precision
from linnet.train.schedule import Constant, Schedule
from linnet.zoo import GPT2, Linnet

VOCAB, ROWS, CONTEXT = 13, 7, 6


def uneven_batch(seed: int = 0) -> Batch:
    """Rows of which each learns from another number of tokens; one from none."""
    draws = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, VOCAB, (ROWS, CONTEXT + 1), generator=draws)
    weights = (torch.arange(CONTEXT)[None, :] < torch.tensor([6, 1, 3, 0, 5, 2, 6])[:, None]).float()
    return Batch(tokens[:, :-1], tokens[:, 1:], weights)


class Plain(Objective):
    """The next-token objective as a plain class, to be spoilt."""

    def count(self, batch: Batch) -> torch.Tensor:
        return NextToken().count(batch)

    def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
        return NextToken()(network, batch, generator)


class Endless:
    def __init__(self, batch: Batch | None = None) -> None:
        self.batch = batch or uneven_batch()

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self.batch

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any) -> None: ...


def training(**changes: Any) -> Training:
    """A run of six steps that saves into a list, `run.saved`, and listens into `run.events`."""
    network = Network(
        changes.pop("family", GPT2(n_layers=1, n_heads=2, d_model=8, context_length=CONTEXT)).sentence(VOCAB), seed=0
    )
    optimizer = changes.pop("optimizer", AdamW())
    losses = iter(changes.pop("losses", [float(n) for n in range(100, 0, -1)]))
    events: list[Event] = []
    saved: list[int] = []
    fields: dict[str, Any] = {
        "network": network, "objective": NextToken(), "optimizers": optimizer.build(network), "schedule": Constant(),
        "source": Endless(), "clock": Clock(steps=6), "precision": Precision("float32", torch.device("cpu")), "seed": 0,
        "micro_batch_size": ROWS, "clip": 1.0, "validate": lambda: (next(losses), None), "validate_every": 2,
        "sample": lambda step: None, "save": lambda run: saved.append(run.step), "save_every": 3, "keep_best": False,
        "patience": None, "peak_flops": None, "flops_per_token": 1.0, "listeners": [events.append],
    }  # fmt: skip
    run = Training(**(fields | changes))
    run.saved, run.events = saved, events  # type: ignore[attr-defined]
    return run


# ---- law 19 ----------------------------------------------------------------------------------------------------------


def after_a_step(micro: int, optimizer: AdamW | Muon, family: Any) -> tuple[float, float, dict[str, torch.Tensor]]:
    run = training(micro_batch_size=micro, optimizer=optimizer, family=family)
    for each in run.optimizers:
        for group in each.param_groups:
            group["lr"] = 0.01
    loss, norm, _ = take_step(run, uneven_batch())
    return loss, norm, {name: p.detach().clone() for name, p in run.network.named_parameters()}


@pytest.mark.parametrize(
    "family", [GPT2(n_layers=1, n_heads=2, d_model=8, context_length=CONTEXT), Linnet(n_layers=1, n_heads=2, d_model=8)]
)
@pytest.mark.parametrize("optimizer", [AdamW(eps=1e-3), Muon(rest=AdamW(eps=1e-3))])
@pytest.mark.parametrize("micro", [1, 2, 3, 5])
def test_micro_batches_make_one_big_batch(micro: int, optimizer: AdamW | Muon, family: Any) -> None:
    """7 rows in portions of 1, 2, 3 or 5, the last one uneven, with unequal weights and one portion that teaches nothing.

    Sums in another order differ by rounding: a few 1e-7 relative in float32. AdamW divides by the root of a gradient's
    square, which magnifies that where a gradient is near nothing; with eps = 1e-3 it cannot.
    """
    loss, norm, weights = after_a_step(ROWS, optimizer, family)
    other_loss, other_norm, others = after_a_step(micro, optimizer, family)
    assert other_loss == pytest.approx(loss, rel=1e-6)
    assert other_norm == pytest.approx(norm, rel=1e-5)
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, rtol=1e-5, atol=1e-6, msg=name)


def test_the_loss_is_the_mean_over_learned_tokens() -> None:
    run = training()
    batch = uneven_batch()
    with torch.no_grad():
        logits = run.network.logits(run.network(batch.tokens).hidden)
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none").view_as(
        batch.weights
    )
    expected = float((each * batch.weights).sum() / batch.weights.sum())
    assert take_step(run, batch)[0] == pytest.approx(expected, rel=1e-5)


def test_a_mean_of_means_would_be_caught() -> None:
    """The mutant of law 19: averaging each portion by itself."""

    class MeanOfMeans(Plain):
        def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
            loss = super().__call__(network, batch, generator)
            share = batch.weights.sum().clamp(min=1)
            return loss._replace(total=loss.total / share * 23 / 3, logs={"loss": (loss.logs["loss"][0] / share * 23 / 3, share)})

    right = take_step(training(), uneven_batch())[0]
    wrong = take_step(training(objective=MeanOfMeans(), micro_batch_size=3), uneven_batch())[0]
    assert wrong != pytest.approx(right, rel=1e-5)


def test_dropout_draws_from_the_step_and_not_from_the_past() -> None:
    family = GPT2(n_layers=1, n_heads=2, d_model=8, context_length=CONTEXT, dropout=0.5)
    first, second = training(family=family), training(family=family)
    take_step(second, uneven_batch())  # a step more in this process
    second.network.load_state_dict(training(family=family).network.state_dict())
    assert take_step(first, uneven_batch()) == take_step(second, uneven_batch())
    third = training(family=family)
    third.step = 1
    assert take_step(third, uneven_batch()) != take_step(training(family=family), uneven_batch())


# ---- what it refuses -------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_the_run_before_it_is_saved() -> None:
    run = training(save_every=1)
    with torch.no_grad():
        run.network.embedding.weight[0, 0] = math.nan
    with pytest.raises(LinnetError, match=r"the loss is nan at step 1.*last checkpoint is untouched.*lower learning_rate"):
        fit(run)
    assert run.saved == []  # type: ignore[attr-defined]


def test_a_gradient_that_is_no_number_stops_the_run_before_it_is_saved() -> None:
    class Endlessly(Plain):
        def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
            loss = super().__call__(network, batch, generator)
            return loss._replace(total=loss.total * math.inf)

    run = training(objective=Endlessly(), save_every=1)
    with pytest.raises(LinnetError, match="gradient norm"):
        fit(run)
    assert run.saved == []  # type: ignore[attr-defined]


# ---- when it validates, saves and stops ------------------------------------------------------------------------------


def test_it_validates_saves_and_ends_where_it_should() -> None:
    run = training()
    assert fit(run) == "finished"
    assert run.step == 6
    assert run.tokens == 6 * ROWS * CONTEXT
    assert [event.step for event in run.events if isinstance(event, Validated)] == [2, 4, 6]  # type: ignore[attr-defined]
    assert [event.step for event in run.events if isinstance(event, Stepped)] == [1, 2, 3, 4, 5, 6]  # type: ignore[attr-defined]
    assert run.saved == [3, 6]  # type: ignore[attr-defined]
    assert fit(run) == "finished"  # nothing is left to do
    assert run.step == 6


def test_the_end_is_validated_and_saved_wherever_it_falls() -> None:
    run = training(clock=Clock(steps=5), save_every=100, validate_every=100)
    assert fit(run) == "finished"
    assert run.saved == [5]  # type: ignore[attr-defined]
    assert run.best_step == 5


def test_the_best_is_saved_wherever_it_falls() -> None:
    run = training(keep_best=True, save_every=100, validate_every=1, losses=[3, 2, 2.5, 1, 4, 5])
    fit(run)
    assert run.saved == [1, 2, 4, 6]  # type: ignore[attr-defined]
    assert (run.best, run.best_step) == (1, 4)


def test_patience_counts_validations_without_a_better_one() -> None:
    run = training(clock=Clock(steps=50), patience=2, validate_every=1, save_every=100, losses=[3, 2, 2.5, 1.9, 2, 1.9, 0])
    assert fit(run) == "early stop"
    assert run.step == 6
    assert (run.best_step, run.validations_without_better) == (4, 2)
    assert run.saved == [6]  # type: ignore[attr-defined]
    assert fit(run) == "early stop"
    assert run.step == 6


def test_a_time_budget_ends_on_time_and_validates_its_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("linnet.train.clock.time.perf_counter", lambda: now[0])

    class Slow(Endless):
        def __iter__(self) -> Iterator[Batch]:
            for batch in super().__iter__():
                now[0] += 1.0
                yield batch

    rates: list[float] = []

    class Watched(Schedule):
        def factor(self, step: int, progress: float) -> float:
            rates.append(progress)
            return 1.0

    run = training(clock=Clock(seconds=4.5, started=0.0), source=Slow(), validate_every=100, schedule=Watched.model_construct())
    assert fit(run) == "finished"
    assert run.step == 5
    assert [event.step for event in run.events if isinstance(event, Validated)] == [5]  # type: ignore[attr-defined]
    assert rates == pytest.approx([0, 1 / 4.5, 2 / 4.5, 3 / 4.5, 4 / 4.5], abs=1 / 4.5)


def test_the_learning_rate_reported_is_the_one_used() -> None:
    class Half(Schedule):
        def factor(self, step: int, progress: float) -> float:
            return 0.5 + 0.1 * step

    run = training(schedule=Half.model_construct(), optimizer=Muon(learning_rate=0.1, rest=AdamW(learning_rate=0.01)))
    fit(run)
    rates = [event.learning_rate for event in run.events if isinstance(event, Stepped)]  # type: ignore[attr-defined]
    assert rates == pytest.approx([0.05, 0.06, 0.07, 0.08, 0.09, 0.1])
    used = [group["lr"] for each in run.optimizers for group in each.param_groups]
    assert used == pytest.approx([0.1] + [0.01] * (len(used) - 1))


# ---- in a run folder -------------------------------------------------------------------------------------------------


def test_the_best_model_is_the_one_that_is_kept(tmp_path: Path) -> None:
    table = tiny_run.tiny(
        validation={"every": 1}, checkpoint={"every": 100}, optimizer={"kind": "adamw", "learning_rate": 0.5}, schedule="constant"
    )
    result = tiny_run.go(tmp_path / "run", table)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    losses = [line["loss"] for line in lines if line["event"] == "validation"]
    assert losses[-1] > min(losses), "the case needs a run that becomes worse"
    assert result.loss == pytest.approx(min(losses), rel=1e-5)
    table["checkpoint"]["keep_best"] = False
    last = tiny_run.go(tmp_path / "last", table)
    assert last.loss == pytest.approx(losses[-1], rel=1e-5)


def test_saved_events_name_what_is_there(tmp_path: Path) -> None:
    seen: list[Path] = []
    from linnet.train.hooks import MetricsFile

    written = MetricsFile.__call__

    def listen(self: MetricsFile, event: Event) -> None:
        written(self, event)
        if isinstance(event, Saved):
            assert (event.path / "checkpoint.json").is_file()
            seen.append(event.path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetricsFile, "__call__", listen)
        tiny_run.go(tmp_path / "run")
    assert [path.name for path in seen] == [f"step-{step:08d}" for step in range(2, 13, 2)]
