"""The three products of a weight matrix, by MKL and by oneDNN: why ops/linear.py deals them as it does.

    python benchmarks/linear.py [--rounds 15]

`x Wᵀ` forward, `g W` to the input, `gᵀ x` to the weights; x (N, D), W (F, D), g (N, F), float32. The two take turns
within a round; medians of GFLOP/s, and of the ratio within a round.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

SHAPES = [(768, 128, 384), (768, 128, 512), (768, 512, 128), (4096, 384, 1152), (4096, 384, 1536), (4096, 1536, 384)]


def onednn(x: Tensor, weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


def seconds(product: Callable[[], Tensor], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        product()
    return (time.perf_counter() - started) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"GFLOP/s, float32, {options.threads} threads, {options.rounds} rounds\n")
    print("| N, D, F          | product | MKL  | oneDNN | oneDNN is … times as fast |")
    print("|------------------|---------|-----:|-------:|--------------------------:|")
    for n, d, f in SHAPES:
        x, weight, g = torch.randn(n, d), torch.randn(f, d), torch.randn(n, f)
        products: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
            "x Wᵀ": (lambda: x @ weight.t(), lambda: onednn(x, weight)),
            "g W": (lambda: g @ weight, lambda: onednn(g, weight.t())),
            "gᵀ x": (lambda: g.t() @ x, lambda: onednn(g.t(), x.t())),
        }
        flops = 2 * n * d * f
        times = max(1, int(5e8 // flops))
        for name, pair in products.items():
            took = [[seconds(product, times) for product in pair] for _ in range(options.rounds)]
            mkl, dnn = (median(flops / t[i] / 1e9 for t in took) for i in (0, 1))
            ratio = median(t[0] / t[1] for t in took)
            print(f"| {n:5}, {d:4}, {f:4} | {name:7} | {mkl:4.0f} | {dnn:6.0f} | {ratio:25.2f} |", flush=True)


if __name__ == "__main__":
    main()
