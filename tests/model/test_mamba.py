"""Mamba as a layer: its parts in the paper's order, and its start."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu, softplus

from linnet.core.errors import ConfigError
from linnet.core.spec import load
from linnet.model import Block, Mamba, Model, Network, Repeat, RMSNorm, Stack, Sublayer
from linnet.model.context import Context
from linnet.model.mixer.mamba import MambaLayer, first_steps
from linnet.ops.convolution import convolve_reference
from linnet.ops.scan import selective_scan_reference
from linnet.train.optimizers import AdamW
from linnet.zoo import MambaFamily


def model(spec: Mamba, d_model: int = 16) -> Model:
    block = Block(sublayers=(Sublayer(mixer=spec, norm=RMSNorm()),))
    return Model(vocab_size=31, d_model=d_model, decoder=Stack(layers=(Repeat(pattern=(block,), times=2),)))


def layer(spec: Mamba, d_model: int = 16) -> MambaLayer:
    found = Network(model(spec, d_model), seed=3).decoder.layers[0].sublayers[0].mixer  # type: ignore[union-attr, index]
    assert isinstance(found, MambaLayer)
    return found


def by_hand(made: MambaLayer, u: Tensor) -> Tensor:
    """The paper's figure 3, written with the readable parts."""
    x = convolve_reference(made.x(u), made.convolution.taps)
    x = silu(x + made.convolution_bias) if made.convolution_bias is not None else silu(x)
    rank, n, _ = made.widths
    parts = made.selection(x)
    dt, b, c = parts[..., :rank], parts[..., rank : rank + n], parts[..., rank + n :]
    if made.norms is not None:
        dt, b, c = made.norms[0](dt), made.norms[1](b), made.norms[2](c)
    y, _ = selective_scan_reference(x, softplus(made.dt(dt)), -made.a_log.exp(), b, c, made.skip)
    return made.o(y * silu(made.gate(u)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("spec", Mamba.examples(), ids=str)
def test_it_is_the_papers_layer(spec: Mamba) -> None:
    made, u = layer(spec), torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(1))
    y, state = made(u, Context(0, 9, torch.arange(9)))
    assert state is None
    right = by_hand(made, u)
    assert (y - right).abs().max() <= 1e-5 * right.abs().max()


def test_it_starts_as_the_paper_says() -> None:
    """A = -1 … -N (S4D-real), D = 1, and steps from dt_min to dt_max where the selection says nothing."""
    made = layer(Mamba(d_state=5, dt_min=0.01, dt_max=0.2), 64)
    assert torch.allclose(made.a_log.exp(), torch.arange(1.0, 6).expand(128, 5))
    assert torch.equal(made.skip, torch.ones(128))
    steps = softplus(made.dt.bias)  # type: ignore[arg-type]
    assert steps.min() > 0.01
    assert steps.max() < 0.2
    assert abs(steps.log().mean().item() - math.log(0.01 * 0.2) / 2) < 1e-4  # evenly by their logarithm
    assert 0.9 * 4**-0.5 < made.convolution.taps.abs().max() <= 4**-0.5
    assert 0.9 * 4**-0.5 < made.dt.weight.abs().max() <= 4**-0.5  # type: ignore[operator, union-attr]
    assert torch.allclose(first_steps(1e-3, 0.1, 1), torch.tensor([math.log(math.expm1(1e-2))]), atol=1e-6)


def test_weight_decay_leaves_the_decays_alone() -> None:
    network = Network(model(Mamba()), seed=0)
    groups = AdamW(weight_decay=0.1).build(network)[0].param_groups
    shrinking = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    names = {name for name, p in network.named_parameters() if id(p) in shrinking}
    assert "decoder.layers.0.sublayers.0.mixer.x.weight" in names
    assert not any(name.endswith("a_log") for name in names)


def test_steps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"dt_min = 0.5 is not below dt_max = 0.1"):
        load(
            Model,
            {
                "vocab_size": 9,
                "d_model": 8,
                "decoder": {"layers": [{"pattern": [{"sublayers": [{"mixer": {"kind": "mamba", "dt_min": 0.5}}]}]}]},
            },
        )


def test_a_state_of_one_size_however_long_the_text() -> None:
    spec = Mamba()
    assert spec.state_bytes(64, 100, 4) == spec.state_bytes(64, 100_000, 4) == 128 * (3 + 16) * 4
    assert spec.state_bytes(64, 100, 2) == 128 * (3 * 2 + 16 * 4)  # h stays in float32


def test_h_is_float32_in_a_bfloat16_model() -> None:
    network = Network(model(Mamba()), seed=0).bfloat16()
    out = network(torch.zeros(1, 3, dtype=torch.int64), state=network.new_state(1))
    assert out.state.layers[0].h.dtype == torch.float32  # type: ignore[union-attr]
    assert out.hidden.dtype == torch.bfloat16


def test_the_family_says_its_fields() -> None:
    spec = MambaFamily(size="nano", d_state=7, dt_rank=3, expand=3).sentence(50)
    mixer = next(spec.decoder.sublayers()).mixer
    assert isinstance(mixer, Mamba)
    assert (spec.decoder.n_layers, spec.d_model, mixer.d_state, mixer.dt_rank, mixer.expand) == (6, 96, 7, 3, 3)
