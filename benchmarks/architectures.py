"""Words beside each other: time of a training step against the length of the text, its memory, decoding, and what is remembered.

    python benchmarks/architectures.py [--mixers attention mamba …] [--lengths 512 1024 2048 4096] [--tokens 4096]
                                       [--rows 0] [--d-model 256] [--layers 1] [--rounds 5] [--threads N] [--decode 64] [--flash 8192]

A step is forward and backward of `--layers` sublayers (norm and word, no MLP) over `--tokens` tokens in rows of each length, or over `--rows` rows. Rounds
take the words in turns, so that a busy machine is busy for all of them; what is printed is the fastest step, and the median of the ratios to the
first word's within a round. Memory is what one step in a process of its own takes beyond what was there before it. Decoding goes on after as
many tokens as the length says, one row, one token at a time. A second table sets the mixture of experts beside an MLP with as
many parameters as one token uses, a third flash attention at `--flash` places beside the formula with all scores written out.
To add a word, give it a line in MIXERS.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from linnet.generate.decode import Decoder
from linnet.generate.sampler import Sampling
from linnet.model import (
    GLU,
    KNN,
    XL,
    Attention,
    Block,
    Gated,
    Infini,
    LatentAttention,
    Longformer,
    Mamba,
    Model,
    MoE,
    Network,
    NeuralMemory,
    Repeat,
    RMSNorm,
    Rope,
    Stack,
    Sublayer,
)  # fmt: skip
from linnet.model.spec import Mixer, TokenMixer


def heads(d_model: int) -> int:
    return max(1, d_model // 64)


MIXERS: dict[str, Callable[[int], Mixer]] = {  # name → its spec for a width
    "attention": lambda d: Attention(n_heads=heads(d), position=Rope()),
    "flash": lambda d: Attention(n_heads=heads(d), position=Rope(), kernel="flash"),
    "window": lambda d: Attention(n_heads=heads(d), position=Rope(), window=256),
    "longformer": lambda d: Longformer(n_heads=heads(d), window=256, causal=True),
    "latent": lambda d: LatentAttention(n_heads=heads(d), d_latent=d // 4),
    "xl": lambda d: XL(n_heads=heads(d), segment=128, memory=128),
    "infini": lambda d: Infini(n_heads=heads(d), segment=128, position=Rope()),
    "knn": lambda d: KNN(n_heads=heads(d), segment=256, top_k=16, position=Rope()),
    "memory": lambda d: NeuralMemory(n_heads=heads(d)),
    "gated memory": lambda d: Gated(
        mixer=Attention(n_heads=heads(d), position=Rope(), window=256), gate=NeuralMemory(n_heads=heads(d))
    ),
    "mamba": lambda d: Mamba(),
}
CHANNELS: dict[str, Callable[[int], Mixer]] = {  # two experts of eight, and an MLP that is as wide as two of them
    "dense twin": lambda d: GLU(d_ff=2 * d),
    "moe": lambda d: MoE(expert=GLU(d_ff=d), n_experts=8, top_k=2),
}
WORDS = MIXERS | CHANNELS
STEP = """
import sys, torch
sys.path.insert(0, {folder!r})
from architectures import WORDS, build, step
torch.set_num_threads({threads})
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
network = build({name!r}, {d_model}, {layers})
step(network, 64, 64)
before = peak()
step(network, {length}, {tokens})
print(peak() - before)
"""


def build(name: str, d_model: int, layers: int) -> Network:
    """A network of nothing but this word."""
    block = Block(sublayers=(Sublayer(mixer=WORDS[name](d_model), norm=RMSNorm()),))
    decoder = Stack(layers=(Repeat(pattern=(block,), times=layers),))
    return Network(Model(vocab_size=257, d_model=d_model, decoder=decoder), seed=0)


def step(network: Network, length: int, tokens: int) -> float:
    """Seconds of one forward and backward pass of the layers, embedding and head left out."""
    rows = max(1, tokens // length)
    context, _ = network.context(torch.zeros(rows, length, dtype=torch.int64), None, None, None)
    x = torch.randn(rows, length, network.spec.d_model, generator=torch.Generator().manual_seed(0)).requires_grad_()
    started = time.perf_counter()
    network.decoder(x, context, (None,) * network.n_sublayers)[0].sum().backward()
    return time.perf_counter() - started


def in_turn(networks: dict[str, Network], length: int, tokens: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each one's step, round by round."""
    found: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(rounds + 1):
        for name, network in networks.items():
            seconds = step(network, length, tokens)
            if turn:  # the first one warms up
                found[name].append(seconds)
    return found


def peak_mib(name: str, d_model: int, layers: int, length: int, tokens: int) -> str:
    """Memory of one step; a dash where the system does not tell."""
    if sys.platform != "linux":
        return "-"
    folder, threads = str(Path(__file__).parent), torch.get_num_threads()
    code = STEP.format(folder=folder, threads=threads, name=name, d_model=d_model, layers=layers, length=length, tokens=tokens)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return f"{int(ended.stdout) / 1024:,.0f}"


@torch.no_grad()
def decoding(network: Network, length: int, new: int) -> tuple[float, int]:
    """(tokens a second after `length` tokens, as `linnet generate` writes them; bytes of state by then)."""
    text = torch.randint(0, 257, (length,), generator=torch.Generator().manual_seed(0))
    decoder = Decoder(network, [text.tolist()], Sampling(temperature=0))
    decoder.step()
    decoder.read()  # writes the program down, where there is one
    started = time.perf_counter()
    for _ in range(new):
        decoder.step()
        decoder.read()
    seconds = time.perf_counter() - started
    number = network.embedding.weight.element_size()
    mixers = (sublayer.mixer for sublayer in network.spec.decoder.sublayers())
    remembered = sum(m.state_bytes(network.spec.d_model, length, number) for m in mixers if isinstance(m, TokenMixer))
    return new / seconds, remembered


def mixers(asked: argparse.Namespace) -> None:
    networks = {name: build(name, asked.d_model, asked.layers) for name in asked.mixers}
    first = asked.mixers[0]
    print(
        f"\n| length | word | ms a step | of {first}'s | MiB a step | decoded tokens/s | bytes of state |\n|---:|---|---:|---:|---:|---:|---:|"
    )
    for length in asked.lengths:
        tokens = asked.rows * length if asked.rows else asked.tokens
        found = in_turn(networks, length, tokens, asked.rounds)
        for name, network in networks.items():
            speed, remembered = decoding(network, length, min(asked.decode, length))
            ratio = median(own / one for own, one in zip(found[name], found[first], strict=True))
            memory = peak_mib(name, asked.d_model, asked.layers, length, tokens)
            print(
                f"| {length:,} | {name} | {1e3 * min(found[name]):,.1f} | {ratio:.2f} | {memory} | {speed:,.0f} | {remembered:,} |",
                flush=True,
            )


def channels(asked: argparse.Namespace) -> None:
    found = in_turn({name: build(name, asked.d_model, asked.layers) for name in CHANNELS}, 512, asked.tokens, asked.rounds)
    ratios = [own / twin for own, twin in zip(found["moe"], found["dense twin"], strict=True)]
    print(f"\nMixture of experts, 8 of which each token asks 2: {1e3 * min(found['moe']):,.1f} ms a step, {median(ratios):.2f}"
          f" ({min(ratios):.2f}-{max(ratios):.2f}) times its dense twin's {1e3 * min(found['dense twin']):,.1f}", flush=True)  # fmt: skip


FLASH = """
import sys, torch
from linnet.ops.flash import flash_attention, flash_attention_reference
from linnet.ops.mask import Mask
way = {{"flash": flash_attention, "formula": flash_attention_reference}}[{name!r}]
def peak(n):
    q, k, v = (torch.randn(1, 2, n, 32, requires_grad=True) for _ in range(3))
    way(q, k, v, Mask(), first_query=0, scale=0.2).sum().backward()
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak(64)
print(peak({length}) - before)
"""


def flash(asked: argparse.Namespace) -> None:
    if sys.platform != "linux" or not asked.flash:
        return
    runs = (subprocess.run([sys.executable, "-c", FLASH.format(name=name, length=asked.flash)], capture_output=True, text=True, check=True)
            for name in ("flash", "formula"))  # fmt: skip
    ours, formula = (int(run.stdout) / 1024 for run in runs)
    print(
        f"\nAttention at {asked.flash:,} places, two heads of 32, forward and backward: flash {ours:,.0f} MiB, the formula {formula:,.0f}, 1/{formula / ours:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixers", nargs="+", choices=MIXERS, default=list(MIXERS))
    parser.add_argument("--lengths", nargs="+", type=int, default=[512, 1024, 2048, 4096])
    parser.add_argument("--tokens", type=int, default=4096, help="of a step, in rows of each length")
    parser.add_argument(
        "--rows", type=int, default=0, help="rows of a step, instead of --tokens: how the time grows with the length"
    )
    parser.add_argument("--d-model", type=int, default=256)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--decode", type=int, default=64, help="tokens to decode")
    parser.add_argument("--flash", type=int, default=8192, help="places of the third table; 0: without it")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    size = f"{asked.rows} rows a step" if asked.rows else f"{asked.tokens:,} tokens a step"
    print(f"{asked.layers} x d_model {asked.d_model}, {size}, {asked.threads} threads, torch {torch.__version__}")
    mixers(asked)
    if not asked.rows:
        channels(asked)
    flash(asked)


if __name__ == "__main__":
    main()
