"""Token mixers beside each other: time of a training step against the length of the text, decoding, and what is remembered.

    python benchmarks/architectures.py [--mixers attention mamba] [--lengths 512 1024 2048 4096] [--tokens 4096]
                                       [--d-model 256] [--layers 1] [--rounds 5] [--threads N] [--decode 128]

A step is forward and backward of `--layers` sublayers (norm and mixer, no MLP) over `--tokens` tokens, in rows of each length. Rounds
take the mixers in turns, so that a busy machine is busy for all of them; what is printed is the fastest step. Decoding goes on after as
many tokens as the length says, one row, one token at a time. To add a word, give it a line in MIXERS.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from linnet.model import Attention, Block, Mamba, Model, Network, Repeat, RMSNorm, Rope, Stack, Sublayer
from linnet.model.spec import TokenMixer

MIXERS: dict[str, Callable[[int], TokenMixer]] = {  # name → its spec for a width
    "attention": lambda d: Attention(n_heads=max(1, d // 64), position=Rope()),
    "window 256": lambda d: Attention(n_heads=max(1, d // 64), position=Rope(), window=256),
    "mamba": lambda d: Mamba(),
}


def build(name: str, d_model: int, layers: int) -> Network:
    """A network of nothing but this mixer."""
    block = Block(sublayers=(Sublayer(mixer=MIXERS[name](d_model), norm=RMSNorm()),))
    decoder = Stack(layers=(Repeat(pattern=(block,), times=layers),))
    return Network(Model(vocab_size=257, d_model=d_model, decoder=decoder), seed=0)


def step_seconds(network: Network, length: int, tokens: int) -> float:
    """Seconds of one forward and backward pass of the layers, embedding and head left out."""
    rows = max(1, tokens // length)
    context, _ = network.context(torch.zeros(rows, length, dtype=torch.int64), None, None, None)
    x = torch.randn(rows, length, network.spec.d_model, generator=torch.Generator().manual_seed(0)).requires_grad_()
    started = time.perf_counter()
    network.decoder(x, context, (None,) * network.n_sublayers)[0].sum().backward()
    return time.perf_counter() - started


@torch.no_grad()
def decoding(network: Network, length: int, new: int) -> tuple[float, int]:
    """(tokens a second after `length` tokens, bytes of state by then)."""
    text = torch.randint(0, 257, (1, length), generator=torch.Generator().manual_seed(0))
    state = network(text, state=network.new_state(1)).state
    started = time.perf_counter()
    for i in range(new):
        state = network(text[:, i : i + 1], state=state).state
    seconds = time.perf_counter() - started
    number = network.embedding.weight.element_size()
    remembered = sum(s.mixer.state_bytes(network.spec.d_model, length, number) for s in network.spec.decoder.sublayers())
    return new / seconds, remembered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixers", nargs="+", choices=MIXERS, default=["attention", "mamba"])
    parser.add_argument("--lengths", nargs="+", type=int, default=[512, 1024, 2048, 4096])
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--d-model", type=int, default=256)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--decode", type=int, default=128, help="tokens to decode")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    networks = {name: build(name, asked.d_model, asked.layers) for name in asked.mixers}
    print(
        f"{asked.layers} x d_model {asked.d_model}, {asked.tokens} tokens a step, {asked.threads} threads, torch {torch.__version__}"
    )
    print(f"{'length':>6}  {'mixer':<14}{'ms a step':>10}{'/ first':>9}{'decode tokens/s':>17}{'state bytes':>13}")
    for length in asked.lengths:
        best = dict.fromkeys(networks, float("inf"))
        for _ in range(asked.rounds + 1):  # one more to warm up
            for name, network in networks.items():
                best[name] = min(best[name], step_seconds(network, length, asked.tokens))
        for name, network in networks.items():
            speed, remembered = decoding(network, length, min(asked.decode, length))
            ratio = best[name] / best[asked.mixers[0]]
            print(f"{length:>6}  {name:<14}{1e3 * best[name]:>10.1f}{ratio:>9.2f}{speed:>17.0f}{remembered:>13,}", flush=True)


if __name__ == "__main__":
    main()
