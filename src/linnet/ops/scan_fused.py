"""The selective scan by the CUDA kernel of the package mamba-ssm, where that is installed. `scan.py` defines it.

The kernel begins with an empty state, knows of one document a row and gives no gradient through the last state: it is for training
on rows of one document, and for reading texts without a state.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from torch import Tensor


@cache
def fused_kernel() -> Callable[..., Tensor] | None:
    """mamba-ssm's selective_scan_fn; None where it is not installed, or was built for another PyTorch."""
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except (ImportError, OSError):
        return None
    return selective_scan_fn  # type: ignore[no-any-return]


def on_cuda(x: Tensor) -> bool:
    """Whether a tensor lies where the kernel runs. NVIDIA's and AMD's cards both are `cuda` to PyTorch."""
    return x.is_cuda


def fused_scan(x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor | None:
    """x, step (B, T, E), a (E, N), b, c (B, T, N), d (E,) → y (B, T, E); None where the kernel cannot do it.

    It wants time last, and float32 for A and D.
    """
    if not on_cuda(x) or x.element_size() > 4 or not x.numel() or (run := fused_kernel()) is None:
        return None
    return run(*(part.mT.contiguous() for part in (x, step)), a, *(part.mT.contiguous() for part in (b, c)), d).mT
