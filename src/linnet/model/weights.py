"""A network's weights by name, out and in."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from linnet.core.errors import CheckpointError, listing


def restore_model(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fill a network from named tensors; raises CheckpointError with every missing, extra and misshapen one."""
    own = model_tensors(network)
    found = [f"{name} is missing" for name in own if name not in tensors]
    found += [f"{name} is not part of this model" for name in tensors if name not in own]
    found += [
        f"{name} has shape {tuple(tensors[name].shape)}; needed: {tuple(p.shape)}"
        for name, p in own.items()
        if name in tensors and tensors[name].shape != p.shape
    ]
    if found:
        raise CheckpointError(listing(found, "the weights do not fit this model"))
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])


def model_tensors(network: nn.Module) -> dict[str, Tensor]:
    """The weights by name, and what belongs to them though no gradient moves it (routing biases); a tied one stands once.

    They share memory with the network's own.
    """
    weights = {name: parameter.detach() for name, parameter in network.named_parameters()}
    kept = network.state_dict()  # without the buffers that nobody has to save
    return weights | {name: buffer.detach() for name, buffer in network.named_buffers() if name in kept}
