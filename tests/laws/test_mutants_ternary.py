"""What the laws of networks kill of ternary layers; the parts of the rounding have theirs in tests/ops/test_ternary.py."""

from __future__ import annotations

import pytest
import torch
from passes import apart, used
from sentences import SENTENCES, build, rounds, tokens
from torch import Tensor

import laws
from linnet.model.linear import LinearLayer, TernaryLayer
from linnet.ops import ternary
from linnet.ops.kernels import kernels_available

pytestmark = pytest.mark.usefixtures("_small_buffers")
Patch = pytest.MonkeyPatch
NAMES = [name for name in SENTENCES if name.startswith("ternary ")]


def scale_of_all_tokens(patch: Patch) -> None:
    def mutant(x: Tensor) -> tuple[Tensor, Tensor]:
        largest = x.abs().max() if x.numel() else x.new_ones(())  # an expert that nobody asks
        scale = (127 / largest).expand(*x.shape[:-1], 1)
        return (x * scale).round(), scale

    patch.setattr(ternary, "eight_bits", mutant)


def test_there_are_some_and_they_round() -> None:
    assert len(NAMES) == 3
    assert all(rounds(SENTENCES[name]) for name in NAMES)
    assert not rounds(SENTENCES["attention n_heads=4"])
    assert build(SENTENCES[NAMES[0]]).embedding.weight.dtype == torch.float64


@pytest.mark.parametrize("name", NAMES)
def test_laws_kill_a_scale_of_all_tokens(name: str, monkeypatch: Patch) -> None:
    network, text = build(SENTENCES[name]), tokens(laws.ROWS, laws.LENGTH)
    scale_of_all_tokens(monkeypatch)
    assert laws.future_change(network, text) > 1e-4, "2"
    assert laws.cut_anywhere(network, text) > 1e-4, "3"
    assert laws.packed_is_separate(network, text) > 1e-4, "4"
    assert laws.select_is_running_those_rows(network, tokens(3, 12)) > 1e-4, "5"


@pytest.mark.skipif(not kernels_available(), reason="no kernels")
@pytest.mark.parametrize("name", NAMES[:2])
def test_programs_kill_a_layer_that_is_written_down_as_a_plain_one(name: str, monkeypatch: Patch) -> None:
    network = build(SENTENCES[name], torch.float32).eval()
    apart(network, tokens(3, 18))
    assert used(network) == 0
    monkeypatch.setattr(TernaryLayer, "lower", LinearLayer.lower, raising=False)
    network = build(SENTENCES[name], torch.float32).eval()
    assert apart(network, tokens(3, 18)) > 1e-2
    assert used(network) == 1
