"""What the comparisons with Hugging Face share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from linnet.generate.decode import Decoder
from linnet.generate.sampler import Sampling
from linnet.model import Network

VOCAB, PROMPT = 97, 5


def tokens(rows: int = 3, length: int = 33, seed: int = 1) -> Tensor:
    """(B, T) random ids."""
    return torch.randint(0, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


def randomise(module: nn.Module, buffers: tuple[str, ...] = ()) -> None:
    """Norm scales and biases too, so that a swapped one shows; and the buffers whose names end so."""
    draws = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=draws))
        for name, buffer in module.named_buffers():
            if buffers and name.endswith(buffers):
                buffer.normal_(0, 0.2, generator=draws)


@torch.no_grad()
def scores(network: Network, ids: Tensor, **rest: Any) -> Tensor:
    """(B, T, V) logits."""
    return network.logits(network(ids, **rest).hidden)


def greedy(network: Network, prompt: Tensor, many: int) -> list[int]:
    """The ids that a network goes on with, one after another through its state."""
    decoder, got = Decoder(network.eval(), prompt.tolist(), Sampling(temperature=0.0)), []
    for _ in range(many):
        token, _ = decoder.step()
        got.append(int(token))
        decoder.read()
    return got


@torch.no_grad()
def their_greedy(model: Any, prompt: Tensor, many: int) -> list[int]:
    """The ids that a model of transformers goes on with."""
    whole = model.generate(prompt, max_new_tokens=many, do_sample=False, pad_token_id=0, eos_token_id=None)
    return whole[0, prompt.shape[1] :].tolist()
