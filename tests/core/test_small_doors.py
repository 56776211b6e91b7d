"""Errors, names, seeds and optional libraries."""

from __future__ import annotations

import doctest
import sys

import numpy as np
import pytest
import torch

from linnet.core import errors, names, refusals
from linnet.core.errors import LinnetError, MissingExtraError, explain, listing
from linnet.core.extras import has, need
from linnet.core.names import nearest
from linnet.core.seeds import generator, numpy_generator, stream_seed
from linnet.train import catalogue, plan


@pytest.mark.parametrize("module", [errors, names, refusals, catalogue, plan])
def test_examples_in_docstrings(module: object) -> None:
    ran = doctest.testmod(module)  # type: ignore[arg-type]
    assert ran.attempted > 0
    assert ran.failed == 0


def test_every_error_is_one_that_a_user_can_mend() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 5
    assert all(issubclass(kind, LinnetError) and issubclass(kind, ValueError) and kind.__doc__ for kind in kinds)


def test_explain_and_listing() -> None:
    assert explain("a") == "a"
    assert explain("a", hint="c") == "a; try: c"
    assert (
        explain("no word 'atention'", hint=nearest("atention", ["attention"])) == "no word 'atention'; did you mean 'attention'?"
    )
    assert explain("x", hint=nearest("x", ["a", "b"])) == "x; known: a, b"
    assert listing([], "x") == "x: 0 problems"
    assert listing(["a"], "x") == "x: 1 problem\n  - a"
    assert listing(iter("ab"), "x") == "x: 2 problems\n  - a\n  - b"


def test_nearest() -> None:
    assert nearest("N_Heads", ["n_heads", "window"]) == "did you mean 'n_heads'?"
    assert nearest("topk_", ["top_p", "top_k"]) == "did you mean 'top_k'?"
    assert nearest("x", []) == "nothing is known here"
    assert nearest(3, ["a", "a"]) == "known: a"  # type: ignore[arg-type]


def test_seeds_are_pinned() -> None:
    """A change of these changes every run that was ever made."""
    assert stream_seed(0, "init/embedding.weight") == GOLDEN["init"]
    assert stream_seed(1, "data") == GOLDEN["data"]
    assert torch.randint(0, 10_000, (4,), generator=generator(0, "dropout")).tolist() == GOLDEN["torch"]
    assert numpy_generator(0, "data").integers(0, 10_000, 4).tolist() == GOLDEN["numpy"]


GOLDEN = {
    "init": 576157509227590753,
    "data": 8830085292689215445,
    "torch": [8389, 9580, 8082, 3319],
    "numpy": [4749, 5307, 7532, 2537],
}


def test_streams_are_independent() -> None:
    seeds = {stream_seed(seed, name) for seed in range(40) for name in ("data", "init", "dropout", "0", "", "data/0")}
    assert len(seeds) == 240
    assert all(0 <= seed < 2**63 for seed in seeds)
    draws = np.stack([numpy_generator(seed, name).normal(size=20_000) for seed in (0, 1) for name in ("data", "init")])
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 0.03  # 20,000 draws: a deviation of 0.007
    one, other = generator(0, "a"), generator(0, "b")
    torch.rand(5, generator=other)
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=generator(0, "a")))


def test_optional_libraries() -> None:
    assert need("json", extra="x", to="y") is sys.modules["json"]
    with pytest.raises(MissingExtraError, match=r"'no_such_library'.*needed: it, to draw; try: .*linnet\[report\]"):
        need("no_such_library.part", extra="report", to="draw")
    assert has("json")
    assert not has("no_such_library")
    assert not has("no_such_library.part")
