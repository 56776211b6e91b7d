"""How fast trained models write: one row, one token at a time, in turns, so that a busy machine is busy for all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import torch

from linnet.core.seeds import generator
from linnet.generate.decode import Decoder
from linnet.generate.sampler import Sampling
from linnet.interop.native import load_model
from linnet.model.causal import writes
from linnet.model.network import Network

NEW, ROUNDS = 64, 3


def decode_speeds(folders: Mapping[str, Path], *, threads: int | None = None, new: int = NEW) -> dict[str, float]:
    """Tokens a second of each model in a run folder that writes, behind a prompt of half its context; the best of some rounds."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        models = {name: load_model(folder) for name, folder in folders.items()}
        models = {name: model for name, model in models.items() if writes(model[0])}
        seconds = dict.fromkeys(models, float("inf"))
        for _ in range(ROUNDS):
            for name, (network, _, manifest) in models.items():
                seconds[name] = min(seconds[name], decode_seconds(network.eval(), manifest.context_length, new))
        return {name: 1 / each for name, each in seconds.items()}
    finally:
        torch.set_num_threads(before)


def decode_seconds(network: Network, context: int, new: int) -> float:
    """Seconds a token, over `new` tokens that still fit into the context; the reading of the prompt is not counted."""
    length = max(1, context // 2)
    prompt = torch.randint(0, network.spec.vocab_size, (length,), generator=generator(0, "compare/prompt")).tolist()
    decoder = Decoder(network, [prompt], Sampling(temperature=0))
    count = max(1, min(new, context - length - 2))
    decoder.step()
    decoder.read()  # makes what is made once
    started = time.perf_counter()
    for _ in range(count):
        decoder.step()
        decoder.read()
    return (time.perf_counter() - started) / count
