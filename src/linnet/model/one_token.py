"""A network for one more token a row, as one call: what decoding repeats.

Every layer that can says in `lower` which kernels it is made of (ops/program.py); where one cannot, `one_token` gives None
and the network's own forward pass, which is the definition of all this, stays in use. The state stays the value that it is.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from linnet.model.network import Network
from linnet.model.state import LayerState, OneMore, State, Tail
from linnet.ops.kernels import kernels_available
from linnet.ops.one_token_program import OneTokenProgram
from linnet.ops.program import CannotRun, lower


def one_token(network: Network, rows: int) -> OneToken | None:
    """The network as a program for so many rows; None where the network, this machine or the moment has none."""
    if not kernels_available() or not is_time():
        return None
    try:
        return OneToken(network, rows)
    except CannotRun:
        return None


def is_time() -> bool:
    """Whether nobody asks for gradients or for another precision."""
    return not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")


class OneToken:
    """The works of a network as it is now: one whose layers are exchanged or hooked into later needs a new one.

    Weights that are changed in place are seen; where they are moved, the program refuses.
    """

    def __init__(self, network: Network, rows: int) -> None:
        self.network, self.program = network, OneTokenProgram(rows)
        self._logits = network.lower_logits(self.program, lower(network, self.program))

    def __call__(self, tokens: Tensor, state: State) -> tuple[Tensor, State] | None:
        """`logits(network(tokens (B, 1), state).hidden)` (B, V), and the state after them.

        None where the program does not know how; the state is still good then. The logits stand in a buffer that the next
        call fills again.
        """
        as_made = tokens.shape == (self.program.rows, 1) and tokens.dtype == torch.int64 and tokens.is_cpu
        if not (as_made and is_time() and self.program.weights_stay() and self._knows(state)):
            return None
        context, carried = self.network.context(tokens, None, state, None)
        assert carried is not None
        memories, replaced = iter(self.program.memories), iter(self.program.replaced)
        layers: list[LayerState | None] = []
        for layer in state.layers:
            if not isinstance(layer, OneMore):
                layers.append(None)
                continue
            longer = layer.longer()
            for tail in longer.tails():
                next(memories).show(tail.line.store, tail.start, tail.stop - tail.start, tail.first)
            for before, after in zip(layer.replaced(), longer.replaced(), strict=True):
                next(replaced).show(before, after)
            layers.append(longer)
        positions = context.positions.reshape(-1)  # (1,) or (B,)
        if not self.program.run(tokens[:, 0], positions, state.length - positions):
            return None
        return self._logits, replace(carried, layers=tuple(layers))

    def _knows(self, state: State) -> bool:
        """Whether every tail is a plain growing one, and the last document of each row one stretch that ends here."""
        tails: list[Tail] = []
        replaced: list[Tensor] = []
        for layer in state.layers:
            if isinstance(layer, OneMore):
                tails.extend(layer.tails())
                replaced.extend(layer.replaced())
            elif layer is not None:
                return False
        memories, held = self.program.memories, self.program.replaced
        if (len(tails), len(replaced)) != (len(memories), len(held)) or any(tail.capacity is not None for tail in tails):
            return False
        if not all(memory.fits(tail.line.store) for memory, tail in zip(memories, tails, strict=True)):
            return False
        if not all(each.fits(before) for each, before in zip(held, replaced, strict=True)):
            return False
        if state.documents is None or state.positions is None:
            return True
        documents = state.documents.view()[:, 0, :, 0]  # (B, S)
        return bool(((documents == documents[:, -1:]).sum(1) == state.positions).all())
