"""How the validation part is read in a run: as many rows at a time as are learned from, in the memory that training has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import tiny_run
from linnet.command import evaluate_run
from linnet.core.spec import load
from linnet.data.prepared import Prepared, open_prepared
from linnet.model.network import Network
from linnet.model.training_programs import TrainingPrograms
from linnet.objective.next_token import NextToken
from linnet.ops.kernels import kernels_available
from linnet.tokenizer import load_tokenizer
from linnet.train import evaluation
from linnet.train.evaluation import rows_in_a_run, window_losses
from linnet.train.optimizers import AdamW
from linnet.train.precision import Precision
from linnet.train.probe import probe
from linnet.zoo import Family, Linnet

CONTEXT = 24
needs_programs = pytest.mark.skipif(not kernels_available(), reason="no programs without kernels")
Seen = list[tuple[int, ...]]  # the shapes of the batches that programs read, where gradients were not asked for


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tiny_run.trained_copy(tmp_path_factory.mktemp("reading") / "run")
    [data] = [path.parent for path in (folder / "data").glob("*/index.json")]
    return open_prepared(data, load_tokenizer(data / "tokenizer.json"))


def network(dropout: float = 0.0) -> Network:
    family: Family = load(Linnet, {"n_layers": 2, "n_heads": 2, "d_model": 16, "context_length": CONTEXT, "dropout": dropout})
    made = Network(family.sentence(257), seed=0)
    made.programs = TrainingPrograms()
    return made


def read(made: Network, prepared: Prepared, **options: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return window_losses(made.eval(), prepared.validation, CONTEXT, document_mask=True, rows="windows", **options)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    found: Seen = []
    hidden = TrainingPrograms.hidden

    def listen(self: TrainingPrograms, network: Network, tokens: torch.Tensor, context: Any) -> torch.Tensor | None:
        result = hidden(self, network, tokens, context)
        if result is not None and not network.training:
            found.append(tuple(tokens.shape))
        return result

    monkeypatch.setattr(TrainingPrograms, "hidden", listen)
    return found


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 3, 64, 10_000])
def test_a_run_reads_what_whole_batches_read(prepared: Prepared, rows: int, dropout: float) -> None:
    made = network(dropout)
    nats, counts = read(made, prepared, learned_rows=rows)
    whole, whole_counts = read(made, prepared)
    assert len(whole) > 64
    np.testing.assert_array_equal(counts, whole_counts)
    np.testing.assert_allclose(nats, whole, rtol=1e-5)  # a program's sums are in another order


@pytest.mark.parametrize("rows", [1, 3, 5, 1000])
def test_a_batch_of_validation_is_as_long_however_it_is_read(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(evaluation, "TOKENS_AT_ONCE", 4 * CONTEXT)
    whole, _ = read(network(), prepared, batches=2)
    nats, _ = read(network(), prepared, batches=2, learned_rows=rows)
    assert len(whole) == len(nats) == 8
    np.testing.assert_allclose(nats, whole, rtol=1e-5)


@pytest.mark.parametrize("tokens", [CONTEXT, 5 * CONTEXT, 10**6])
def test_portions_are_the_whole(prepared: Prepared, monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    whole, whole_counts = read(network(), prepared)
    monkeypatch.setattr(evaluation, "TOKENS_OF_A_PORTION", tokens)
    nats, counts = read(network(), prepared)
    np.testing.assert_array_equal(counts, whole_counts)
    np.testing.assert_allclose(nats, whole, rtol=1e-5)


@needs_programs
def test_reading_makes_no_program_that_training_has_not(prepared: Prepared, seen: Seen) -> None:
    nats, _ = read(network(), prepared, learned_rows=7)
    assert len(nats) % 7  # what is left over is read without one
    assert seen == [(7, CONTEXT)] * (len(nats) // 7)
    seen.clear()
    read(network(), prepared)
    read(network(dropout=0.1), prepared, learned_rows=7)  # training draws, which no program does
    assert seen == []


@needs_programs
def test_a_probe_reads_as_a_run_does(seen: Seen) -> None:
    precision = Precision("float32", torch.device("cpu"))
    probe(Linnet(n_layers=1, n_heads=2, d_model=16).sentence(64), NextToken(), AdamW(), precision, 4, 2, 16)
    assert set(seen) == {(2, 16)}


def test_only_a_cpu_in_float32_reads_as_it_learns() -> None:
    assert rows_in_a_run(12, Precision("float32", torch.device("cpu"))) == 12
    assert rows_in_a_run(12, Precision("bfloat16", torch.device("cpu"))) is None
    assert rows_in_a_run(12, Precision("float32", torch.device("meta"))) is None


@needs_programs
def test_a_finished_run_scores_what_eval_scores(tmp_path: Path, seen: Seen) -> None:
    """Its validations are read by training's program; its final evaluation is not, so that anyone can have it again."""
    folder = tiny_run.go(tmp_path / "run", tiny_run.tiny(model__dropout=0.0)).folder
    assert set(seen) == {(3, CONTEXT)}
    kept = json.loads((folder / "evaluation.json").read_text("utf-8"))
    assert evaluate_run(folder)["model"] == kept["model"]


@needs_programs
def test_reading_between_a_pass_and_its_way_back(prepared: Prepared) -> None:
    """Training's buffers hold a pass whose gradients are still to come: they are not read into."""
    made = network().train()
    tokens = torch.randint(0, 257, (7, CONTEXT))
    right = torch.autograd.grad(made(tokens).hidden.square().sum(), list(made.parameters()), allow_unused=True)
    hidden = made(tokens).hidden
    read(made, prepared, learned_rows=7)
    with torch.inference_mode():
        read(made, prepared, learned_rows=7)
    got = torch.autograd.grad(hidden.square().sum(), list(made.train().parameters()), allow_unused=True)
    for one, other in zip(right, got, strict=True):
        assert one is None or (other is not None and torch.equal(one, other))
    assert all(p.grad is None for p in made.parameters())


@needs_programs
def test_what_is_read_in_inference_mode_makes_no_program(prepared: Prepared, seen: Seen) -> None:
    made = network()
    with torch.inference_mode():
        read(made, prepared, learned_rows=7)
    assert seen == []
    made.train()(torch.randint(0, 257, (7, CONTEXT))).hidden.sum().backward()
