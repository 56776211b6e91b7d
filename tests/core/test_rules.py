"""One name map, read in both directions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from linnet.core.errors import CheckpointError
from linnet.core.rules import Rule, export, import_, spell

RULES = spell(
    [
        Rule("embedding", "wte"),
        Rule(("{i}.q", "{i}.k", "{i}.v"), "h.{i}.qkv", transpose=True),
        Rule(("{i}.q_bias", "{i}.k_bias", "{i}.v_bias"), "h.{i}.qkv_bias"),
        Rule("{i}.o", "h.{i}.proj", transpose=True),
    ],
    n_layers=2,
)


def ours() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    shapes = {"embedding": (7, 4)}
    for i in range(2):
        shapes |= {f"{i}.q": (4, 4), f"{i}.k": (2, 4), f"{i}.v": (2, 4), f"{i}.o": (4, 3)}
        shapes |= {f"{i}.q_bias": (4,), f"{i}.k_bias": (2,), f"{i}.v_bias": (2,)}  # type: ignore[dict-item]
    return {name: torch.rand(shape, generator=draw) for name, shape in shapes.items()}


def shapes_of(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def test_import_and_export_are_inverse() -> None:
    weights = ours()
    theirs = export(RULES, weights)
    assert set(theirs) == {"wte", *(f"h.{i}.{part}" for i in range(2) for part in ("qkv", "qkv_bias", "proj"))}
    assert theirs["h.1.qkv"].shape == (4, 8)
    assert torch.equal(theirs["h.1.qkv"][:, 4:6], weights["1.k"].t())
    back = import_(RULES, theirs, shapes_of(weights))
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) and back[name].is_contiguous() for name in weights)
    again = export(RULES, back)
    assert all(torch.equal(again[name], theirs[name]) for name in theirs)


def test_all_problems_are_listed() -> None:
    weights = ours()
    theirs = export(RULES, weights)
    del theirs["wte"]
    theirs["h.0.porj"] = theirs.pop("h.0.proj")
    theirs["h.1.qkv"] = theirs["h.1.qkv"].t()
    theirs["h.1.qkv_bias"] = torch.tensor(1.0)
    theirs["h.3.masked"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as caught:
        import_(RULES, theirs, shapes_of(weights) | {"extra": torch.Size([1])}, ignore=[r"h\.\d+\.masked"])
    said = str(caught.value)
    assert said.splitlines()[0] == "the weights do not fit this model: 6 problems"
    for part in (
        "wte is missing",
        "h.0.proj is missing",
        "h.0.porj is not expected; did you mean 'h.0.proj'?",
        "h.1.qkv has shape (8, 4)",
    ):
        assert part in said
    assert "h.1.qkv_bias has shape ()" in said
    assert "no rule fills our extra" in said


def test_export_lists_what_is_missing_and_left() -> None:
    weights = ours()
    del weights["0.k"]
    weights["other"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"missing \['0.k'\], without a rule \['other'\]"):
        export(RULES, weights)


def test_rows_in_another_order() -> None:
    """Our row i is their row order[i], and back."""
    rules = spell([Rule(("{i}.k", "{i}.v"), "h.{i}.kv", order=(0, 3, 1, 2))], n_layers=2, first=1)
    assert [rule.theirs for rule in rules] == ["h.1.kv"]
    theirs = {"h.1.kv": torch.arange(4.0)[:, None]}
    back = import_(rules, theirs, {"1.k": torch.Size([1, 1]), "1.v": torch.Size([3, 1])})
    assert back["1.k"].flatten().tolist() == [0]
    assert back["1.v"].flatten().tolist() == [3, 1, 2]
    assert torch.equal(export(rules, back)["h.1.kv"], theirs["h.1.kv"])


def test_rows_that_say_nothing_are_left_out_and_come_back_as_zeros() -> None:
    rules = [Rule("position", "table", skip=2)]
    theirs = {"table": torch.arange(12.0).view(4, 3)}
    ours = import_(rules, theirs, {"position": torch.Size((2, 3))})
    assert torch.equal(ours["position"], theirs["table"][2:])
    back = export(rules, ours)["table"]
    assert torch.equal(back[2:], theirs["table"][2:])
    assert torch.equal(back[:2], torch.zeros(2, 3))
    with pytest.raises(CheckpointError, match=r"table has shape \(2, 3\); needed: \(2, 3\) behind 2 rows"):
        import_(rules, {"table": theirs["table"][2:]}, {"position": torch.Size((2, 3))})
