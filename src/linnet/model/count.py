"""What a sentence costs, counted without building it: parameters, FLOPs, memory, state."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from linnet.model.linear import TernaryLayer
from linnet.model.network import Network
from linnet.model.rewrite import linears
from linnet.model.spec import Model


@dataclass(frozen=True)
class Cost:
    """parameters: all, each once · body: without embedding and head · forward_flops, train_flops: a token
    · weight_bytes: in float32 · train_bytes: weights, gradients and two moments · activation_bytes: a token, in
    float32, an estimate of what the backward pass keeps · state_bytes: a row at full context, in float32."""

    parameters: int
    body: int
    forward_flops: float
    train_flops: float
    weight_bytes: int
    train_bytes: int
    activation_bytes: float
    state_bytes: int


def count(model: Model, context: int) -> Cost:
    """The cost of reading and training on rows of `context` tokens. The backward pass costs twice the forward one.

    With an encoder: of a source as long as that beside each row; its layers keep no state.
    """
    d = model.d_model
    decoder = list(model.decoder.sublayers())
    sublayers = decoder + (list(model.encoder.stack.sublayers()) if model.encoder is not None else [])
    body = sum(sublayer.n_params(d) for sublayer in sublayers)
    forward = sum(sublayer.mixer.flops(d, context) for sublayer in sublayers) + 2 * d * model.vocab_size
    forward += 2 * d * d if model.head.transform is not None else 0
    kept = (
        sum(sublayer.mixer.activation_numbers(d, context) + d * (2 if sublayer.norm is not None else 1) for sublayer in sublayers)
        + 4 * d
    )
    parameters = model.n_params()
    return Cost(
        parameters=parameters,
        body=body,
        forward_flops=forward,
        train_flops=3 * forward,
        weight_bytes=4 * parameters,
        train_bytes=16 * parameters,
        activation_bytes=4 * kept,
        state_bytes=sum(sublayer.mixer.state_bytes(d, context, 4) for sublayer in decoder),
    )


def packed_bytes(model: Model) -> int | None:
    """Bytes of the weights stored as small as they can be: ternary ones in 2 bits and a number of 16 a matrix, all others in 16 bits
    each. None for a sentence without any that are smaller than their type."""
    if all(linear.bits is None for linear in linears(model)):
        return None
    with torch.device("meta"):
        network = Network(model, seed=None)
    small = [module for module in network.modules() if isinstance(module, TernaryLayer)]
    inside = sum(module.weight.numel() for module in small)
    return sum(-(-module.weight.numel() * module.bits // 8) + 2 for module in small) + 2 * (model.n_params() - inside)
