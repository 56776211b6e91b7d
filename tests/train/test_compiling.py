"""`compile: auto` keeps what was compiled only where it is faster, and no failure ends a run."""

from __future__ import annotations

import pytest
import torch

from linnet.model import Network
from linnet.train import compiling
from linnet.train.compiling import compiled
from linnet.train.precision import Precision
from linnet.zoo import GPT2


@pytest.mark.parametrize(
    ("wanted", "eager", "fast", "kept", "word"),
    [
        ("auto", 2.0, 1.0, True, "compiled in"),
        ("auto", 1.0, 2.0, False, "does not pay"),
        ("yes", 1.0, 2.0, True, "compiled in"),
        ("no", 2.0, 1.0, False, ""),
    ],
)
def test_what_does_not_pay_is_not_kept(
    wanted: str, eager: float, fast: float, kept: bool, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(GPT2(n_layers=1, n_heads=2, d_model=8, context_length=8).sentence(11))
    decoder = network.decoder
    monkeypatch.setattr(Network, "device", torch.device("meta"))  # anything but a CPU, where `auto` does not try
    monkeypatch.setattr(type(decoder), "compile", lambda self: setattr(self, "_compiled_call_impl", self.forward))
    monkeypatch.setattr(
        compiling, "pass_seconds", lambda *given, passes=5: fast if decoder._compiled_call_impl is not None else eager
    )
    said: list[str] = []
    precision = Precision("float32", torch.device("cpu"))
    assert compiled(network, wanted, precision, 8, say=said.append, warn=said.append) == kept
    assert (decoder._compiled_call_impl is not None) == kept
    assert word in " ".join(said)


def test_a_compiler_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(GPT2(n_layers=1, n_heads=2, d_model=8, context_length=8).sentence(11))

    def fail(self: torch.nn.Module) -> None:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(type(network.decoder), "compile", fail)
    said: list[str] = []
    assert not compiled(network, "yes", Precision("float32", torch.device("cpu")), 8, say=said.append, warn=said.append)
    assert "no compiler here" in said[0]


def test_on_a_cpu_auto_does_not_try() -> None:
    network = Network(GPT2(n_layers=1, n_heads=2, d_model=8, context_length=8).sentence(11))
    assert not compiled(network, "auto", Precision("float32", torch.device("cpu")), 8, say=print, warn=print)
    tokens = torch.zeros(1, 8, dtype=torch.int64)
    assert 0 < compiling.pass_seconds(network, tokens, Precision("float32", torch.device("cpu"))) < 10
    assert all(p.grad is None for p in network.parameters())
