"""Frequencies of scaled rotary positions: against transformers' own, and against what the papers say in closed form."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from linnet.model import LinearScaling, Llama3Scaling, NTKScaling, Rope, YarnScaling
from linnet.model.spec import RopeScaling
from linnet.ops import rope as ops
from linnet.ops.rope import llama3_frequencies, ntk_frequencies, plain_frequencies, rotary_table, yarn_frequencies
from linnet.zoo.rope_parameters import read_rope, write_rope

SCALINGS: list[RopeScaling] = [
    LinearScaling(factor=3.0),
    YarnScaling(),
    YarnScaling(factor=40.0, original_length=1000),
    YarnScaling(factor=2.0, original_length=300, beta_fast=8.0, beta_slow=0.5, truncate=False, attention_factor=1.25),
    YarnScaling(factor=16.0, original_length=4, beta_fast=1e4),  # every pair is slow: the ramp is a step
    Llama3Scaling(),
    Llama3Scaling(factor=32.0, original_length=512, low_freq_factor=2.0, high_freq_factor=3.0),
]


def theirs(scaling: RopeScaling, width: int, base: float) -> tuple[Tensor, float]:
    """What transformers computes for the config that we write."""
    transformers = pytest.importorskip("transformers")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    parameters = write_rope(Rope(base=base, scaling=scaling))["rope_parameters"]
    config = transformers.LlamaConfig(
        hidden_size=2 * width, num_attention_heads=2, head_dim=width, rope_parameters=parameters, max_position_embeddings=131_072
    )
    return ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, "cpu")


def far(scaling: RopeScaling, width: int, base: float) -> float:
    frequency, multiplier = theirs(scaling, width, base)
    assert abs(scaling.multiplier() - multiplier) < 1e-6
    return ((scaling.frequencies(width, base) - frequency).abs() / frequency).max().item()


@pytest.mark.parametrize("scaling", SCALINGS, ids=str)
@pytest.mark.parametrize(("width", "base"), itertools.product([2, 8, 64, 128], [1e4, 5e5]))
def test_frequencies_are_those_of_transformers(scaling: RopeScaling, width: int, base: float) -> None:
    # both round the share of a narrow ramp to float32, and its small end is `factor` times more sensitive: 32 · 6e-8 · a few
    narrow = isinstance(scaling, Llama3Scaling) and scaling.high_freq_factor - scaling.low_freq_factor < 2
    assert far(scaling, width, base) < (1e-5 if narrow else 1e-6)
    assert (scaling.frequencies(width, base) - theirs(scaling, width, base)[0]).abs().max() < 1e-6


@pytest.mark.parametrize("factor", [1.0, 2.0, 8.0])
def test_linear_divides_positions(factor: float) -> None:
    """A text `factor` times longer is read as one of the old length."""
    here = rotary_table(torch.arange(0, 80, dtype=torch.float64) * factor, 16, 1e4, LinearScaling(factor=factor))
    right = rotary_table(torch.arange(0, 80), 16, 1e4)
    assert max((a - b).abs().max().item() for a, b in zip(here, right, strict=True)) < 1e-4


@pytest.mark.parametrize(("width", "factor"), itertools.product([4, 16, 128], [1.0, 2.0, 8.0]))
def test_ntk_leaves_the_fastest_turn_and_divides_the_slowest(width: int, factor: float) -> None:
    plain, scaled = plain_frequencies(width, 1e4), ntk_frequencies(width, 1e4, factor)
    assert scaled[0] == plain[0] == 1
    assert math.isclose(plain[-1] / scaled[-1], factor, rel_tol=1e-5)
    assert ((plain / scaled).diff() >= -1e-5).all()


@pytest.mark.parametrize("make", [yarn_frequencies, llama3_frequencies])
def test_ramps_stay_between_their_ends_and_reach_both(make: Callable[..., Tensor]) -> None:
    fast, slow = 32.0, 1.0
    plain = plain_frequencies(128, 1e4)
    got = make(128, 1e4, 8.0, 4096, *((fast, slow) if make is yarn_frequencies else (slow, fast)))
    turns = plain * 4096 / (2 * math.pi)
    one_pair = 1e4 ** (2 / 128)  # yarn's ramp begins and ends at whole pairs
    assert torch.allclose(got[turns > fast * one_pair], plain[turns > fast * one_pair])
    assert torch.allclose(got[turns < slow / one_pair], plain[turns < slow / one_pair] / 8)
    between = (turns < fast / one_pair) & (turns > slow * one_pair)
    assert between.sum() > 5
    assert ((got < plain * (1 - 1e-4)) & (got > plain / 8 * (1 + 1e-4)))[between].all()


def test_a_factor_of_one_changes_nothing() -> None:
    for scaling in (LinearScaling(factor=1.0), NTKScaling(factor=1.0), YarnScaling(factor=1.0), Llama3Scaling(factor=1.0)):
        got = rotary_table(torch.arange(50), 16, 1e4, scaling)
        right = rotary_table(torch.arange(50), 16, 1e4)
        assert max((a - b).abs().max().item() for a, b in zip(got, right, strict=True)) < 1e-5, scaling


def test_yarn_multiplies_scores_by_the_square_of_its_multiplier() -> None:
    """1 / √t = 0.1 ln s + 1 on queries and on keys (2309.00071, eq. 22)."""
    cos, sin = rotary_table(torch.arange(9), 8, 1e4, YarnScaling(factor=math.e**5))
    assert torch.allclose(cos**2 + sin**2, torch.tensor(1.5**2))


@pytest.mark.parametrize("name", ["ramp the other way", "no step", "whole pairs always"])
def test_the_oracle_kills_another_yarn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = ops.yarn_frequencies

    def mutant(width: int, base: float, factor: float, length: int, fast: float, slow: float, *, whole: bool = True) -> Tensor:
        plain = plain_frequencies(width, base)
        if name == "ramp the other way":
            return plain + plain / factor - right(width, base, factor, length, fast, slow, whole=whole)
        if name == "no step":
            return torch.where(plain * length / (2 * math.pi) > slow, plain, plain / factor)
        return right(width, base, factor, length, fast, slow, whole=True)

    from linnet.model import rope_scaling

    monkeypatch.setattr(rope_scaling, "yarn_frequencies", mutant)
    yarns = [scaling for scaling in SCALINGS if isinstance(scaling, YarnScaling)]
    assert max(far(scaling, 64, 1e4) for scaling in yarns) > 1e-3


def test_what_is_written_is_read_again() -> None:
    for scaling in (None, *SCALINGS):
        rope = Rope(base=5e5, scaling=scaling)
        written = write_rope(rope) | {"max_position_embeddings": 4096}
        assert read_rope(written, "llama") == rope
        assert read_rope({key: value for key, value in written.items() if key != "rope_parameters"}, "llama") == rope
        assert read_rope({key: value for key, value in written.items() if key != "rope_scaling"}, "llama") == rope
