"""torch.compile where it was asked for or is known to pay; tried at the start, so that a failure costs no run.

On a CPU of two cores it gained nothing and took half a minute to build (docs/log.md): `auto` compiles on a GPU alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from linnet.model.network import Network
from linnet.train.precision import Precision


def compiled(
    network: Network, wanted: str, precision: Precision, context: int, *, say: Callable[[str], None], warn: Callable[[str], None]
) -> bool:
    """Compile the stack of layers in place, announce it, and fall back to eager where the compiler fails; whether it is compiled."""
    if wanted == "no" or (wanted == "auto" and network.device.type == "cpu"):
        return False
    started = time.perf_counter()
    try:
        network.decoder.compile()
        tokens = torch.zeros(1, context, dtype=torch.int64, device=network.device)
        with precision.autocast():
            network(tokens).hidden.sum().backward()
    except Exception as error:  # whatever the compiler raises, the eager path is still right
        network.decoder._compiled_call_impl = None
        warn(f"torch.compile failed ({str(error).splitlines()[0][:120]}); going on without it")
    else:
        say(f"compiled in {time.perf_counter() - started:.0f} s")
    network.zero_grad(set_to_none=True)
    return network.decoder._compiled_call_impl is not None
