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
    tokens = torch.zeros(1, context, dtype=torch.int64, device=network.device)
    eager = pass_seconds(network, tokens, precision) if wanted == "auto" else float("inf")
    started = time.perf_counter()
    try:
        network.decoder.compile()
        pass_seconds(network, tokens, precision, passes=1)
        built = time.perf_counter() - started
        fast = pass_seconds(network, tokens, precision) if wanted == "auto" else 0.0
    except Exception as error:  # whatever the compiler raises, the eager path is still right
        network.decoder._compiled_call_impl = None
        warn(f"torch.compile failed ({str(error).splitlines()[0][:120]}); going on without it")
    else:
        if fast < eager:
            say(f"compiled in {built:.0f} s")
        else:
            network.decoder._compiled_call_impl = None
            say(f"torch.compile does not pay here ({1e3 * fast:.1f} ms a pass, {1e3 * eager:.1f} without); going on without it")
    return network.decoder._compiled_call_impl is not None


def pass_seconds(network: Network, tokens: torch.Tensor, precision: Precision, passes: int = 5) -> float:
    """Seconds of a forward and backward pass over one row, the median of some."""
    times = []
    for _ in range(passes):
        started = time.perf_counter()
        with precision.autocast():
            network(tokens).hidden.sum().backward()
        if tokens.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    network.zero_grad(set_to_none=True)
    return sorted(times)[len(times) // 2]
