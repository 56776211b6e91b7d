"""How weights start. One pass over the named parameters, each drawn from a stream of its own name.

So two models that share a layer's name, shape and seed start with the same numbers in it, whatever else differs, and
no order of construction matters.
"""

from __future__ import annotations

import math
from operator import attrgetter

import torch
from torch import nn

from linnet.core.seeds import generator
from linnet.model.linear import LinearLayer
from linnet.model.spec import Model


def initialise(network: nn.Module, spec: Model, seed: int) -> None:
    """Fill every parameter of `network` in place: matrices and embeddings normal, biases zero, norms as built."""
    in_decoder = sum(1 for _ in spec.decoder.sublayers())
    in_encoder = sum(1 for _ in spec.encoder.stack.sublayers()) if spec.encoder is not None else 0
    init = spec.init
    owners = {id(module.weight): module for module in network.modules() if isinstance(module, LinearLayer)}
    own = {id(attrgetter(name)(module)) for module in network.modules() for name in getattr(module, "own_init", ())}
    spread = {  # uniform from -bound to bound, as a layer says
        id(attrgetter(name)(module)): bound
        for module in network.modules()
        for name, bound in getattr(module, "uniform_init", {}).items()
    }
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if id(parameter) in spread:
                bound, draws = spread[id(parameter)], generator(seed, f"init/{name}")
                parameter.copy_(torch.empty(parameter.shape, dtype=torch.float32).uniform_(-bound, bound, generator=draws))
                continue
            if name.endswith("bias") and id(parameter) not in own:
                parameter.zero_()
                continue
            if parameter.dim() < 2 or id(parameter) in own:
                continue  # scales of norms, and what a layer fills itself, start where they are built
            owner = owners.get(id(parameter))
            std = init.std if init.std is not None else parameter.shape[-1] ** -0.5
            if owner is None and init.embedding_std is not None:
                std = init.embedding_std
            if owner is not None and owner.writes_residual:
                n_residual = in_encoder if name.startswith("encoder.") else in_decoder
                std = {"scaled": std / math.sqrt(n_residual), "zero": 0.0, "plain": std}[init.residual]
            if name == "head.weight" and init.head == "zero":
                std = 0.0
            draw = torch.empty(parameter.shape, dtype=torch.float32).normal_(0.0, 1.0, generator=generator(seed, f"init/{name}"))
            parameter.copy_(draw.mul_(std))
