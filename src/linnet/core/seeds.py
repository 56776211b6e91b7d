"""Named seed streams: one seed in the run file, and every use of chance takes a stream by its own name.

    stream seed = first 8 bytes of SHA-256("seed/name"), read as an integer

So a new consumer of randomness never shifts the numbers of another one, two runs that differ in one option share
every other draw, and nothing depends on a global generator. Deliberately no `torch.manual_seed`: nothing in linnet
draws from a global state.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def stream_seed(seed: int, name: str) -> int:
    """The 63-bit seed of the stream `name` under the run's `seed`."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator for the stream `name`."""
    import torch  # here: processes that only read text do without

    return torch.Generator(device=device).manual_seed(stream_seed(seed, name))


def numpy_generator(seed: int, name: str) -> np.random.Generator:
    """A numpy generator (PCG64) for the stream `name`."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(stream_seed(seed, name)))
