"""A random order of n things that needs no memory: a bijection of 0 … n - 1, computed where it is asked for.

    x = (left, right) in Z_a x Z_b,  a·b >= n;   left += F1(right) mod a,  right += F2(left) mod b,  …

A Feistel network with six rounds over a near-square rectangle; where it leads outside 0 … n - 1 it is applied again
until it does not ("cycle walking"), which keeps it a bijection. Source: Black and Rogaway, "Ciphers with Arbitrary
Finite Domains", CT-RSA 2002, methods 2 and 3. Chance of the quality that shuffling needs; deliberately no cryptography.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from linnet.core.seeds import stream_seed

ROUNDS = 6


def mix(x: NDArray[np.uint64], key: int) -> NDArray[np.uint64]:
    """64 well-mixed bits of x under a key: the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = x + np.uint64(key)  # wraps, as intended
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class Permutation:
    """A random order of 0 … n - 1, decided by a seed and a name."""

    def __init__(self, n: int, seed: int, name: str) -> None:
        self.n = n
        self.a = math.isqrt(n - 1) + 1  # the least a with a·a >= n
        self.b = -(-n // self.a)
        self.keys = [stream_seed(seed, f"{name}/round {number}") for number in range(ROUNDS)]

    def __call__(self, places: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """What stands at each place. places (k,) uint64 below n → (k,) uint64 below n, all different for different places."""
        out = self._once(places)
        while (outside := out >= self.n).any():
            out[outside] = self._once(out[outside])
        return out

    def _once(self, x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        a, b = np.uint64(self.a), np.uint64(self.b)
        left, right = x % a, x // a
        for number, key in enumerate(self.keys):
            if number % 2 == 0:
                left = (left + mix(right, key) % a) % a
            else:
                right = (right + mix(left, key) % b) % b
        return right * a + left
