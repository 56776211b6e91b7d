"""What mixers with heads share: the scaling of a rope reaches every one that has a rope."""

from __future__ import annotations

import pytest
import torch

from linnet.model import (
    KNN,
    Attention,
    Block,
    Infini,
    LatentAttention,
    LinearScaling,
    Model,
    Network,
    Repeat,
    Rope,
    Stack,
    Sublayer,
)
from linnet.model.spec import TokenMixer

PLAIN, SLOWER = Rope(), Rope(scaling=LinearScaling(factor=4.0))
MIXERS = [
    Attention(n_heads=4, position=PLAIN),
    LatentAttention(n_heads=4, d_latent=12, position=PLAIN),
    Infini(n_heads=4, segment=8, position=PLAIN),
    KNN(n_heads=4, segment=8, position=PLAIN),
]


@torch.no_grad()
@pytest.mark.parametrize("mixer", MIXERS, ids=lambda mixer: mixer.kind)
def test_a_scaled_rope_turns_by_less(mixer: TokenMixer) -> None:
    def hidden(rope: Rope) -> torch.Tensor:
        block = Block(sublayers=(Sublayer(mixer=mixer.replace(position=rope)),))
        model = Model(vocab_size=19, d_model=32, decoder=Stack(layers=(Repeat(pattern=(block,)),)))
        network = Network(model.replace(init=model.init.replace(std=0.5)), seed=0)
        return network(torch.arange(19)[None]).hidden

    assert (hidden(SLOWER) - hidden(PLAIN)).abs().max() > 1e-2
    assert torch.equal(hidden(Rope(scaling=LinearScaling(factor=1.0))), hidden(PLAIN))
