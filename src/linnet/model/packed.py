"""A network whose matrices are laid out for a few rows at a time: what decoding several texts together wants.

With 2 to 31 rows a product is bound by reading W, and W as it lies is read at a fraction of the memory's speed: 768 →
3072 for 16 rows takes 1.7 ms on one core. oneDNN reads its own blocked layout in 0.9 ms. The layout costs one pass over
the weights and as many bytes again, so a decoder makes it once, for itself, after the prompt is read. It is a snapshot:
weights that are trained afterwards do not change it. Deliberately no other dtype: the tokens have to be the same.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from linnet.model.linear import LinearLayer
from linnet.model.network import Network
from linnet.ops.linear import MIN_ROWS, linear, onednn_available

MAX_BYTES = 2 << 30  # larger models are not doubled
ROWS = 16  # the number of rows that the layout is chosen for; it serves any


class PackedLinear(nn.Module):
    """What LinearLayer does, for 2 … 31 rows from the packed copy of its matrix."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous(), ROWS)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.numel() // x.shape[-1]
        if 1 < rows < MIN_ROWS:
            return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return linear(x, self.weight, self.bias)  # (..., D) → (..., F)


def can_pack(network: Network) -> bool:
    """Whether this machine and these weights have the layout, and room for it."""
    weights = [network.embedding.weight, *(module.weight for module in network.modules() if isinstance(module, LinearLayer))]
    plain = all(weight.device.type == "cpu" and weight.dtype == torch.float32 for weight in weights)
    return (
        plain
        and onednn_available()
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and sum(w.nbytes for w in weights) <= MAX_BYTES
    )


@torch.no_grad()
def pack(network: Network) -> Network:
    """The same network for decoding several rows: it shares every parameter and adds the packed copies."""
    shared = [network.spec, *network.parameters(), *network.buffers()]
    packed = copy.deepcopy(network, {id(item): item for item in shared})
    for module in list(packed.modules()):
        for name, child in module.named_children():
            if type(child) is LinearLayer:
                setattr(module, name, PackedLinear(child.weight, child.bias))
    if packed.head is None:
        packed.head = PackedLinear(packed.embedding.weight, None)  # type: ignore[assignment]
    return packed
