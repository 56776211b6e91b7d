"""Cached generation beside Hugging Face `generate`: greedy, the same weights, the same prompts, the same tokens.

    python benchmarks/generate.py [--models 10m 124m] [--batches 1 16] [--rounds 5]

The floor: a token cannot take less time than reading all weights once. The machine's reading speed is measured beside
it, in every round. The tokens of both are compared; where the two part, the gap between the two likeliest logits there
is printed: float32 sums in another order may turn a tie.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from linnet.generate.decode import Decoder
from linnet.generate.sampler import Sampling
from linnet.interop.huggingface import export_network
from linnet.model import Network
from linnet.model.weights import model_tensors
from linnet.zoo import GPT2

CONTEXT = 256
MODELS = {"10m": (6, 6, 384, 65), "124m": (12, 12, 768, 50257)}  # layers, heads, width, vocabulary


def reading_speed(numbers: int = 1 << 26) -> float:
    """Bytes a second when 256 MiB are summed: the best of three."""
    data = torch.ones(numbers)
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        data.sum()
        best = min(best, time.perf_counter() - started)
    return 4 * numbers / best


def build(name: str) -> tuple[Network, GPT2LMHeadModel]:
    """A network with random weights, and Hugging Face's model with the same ones."""
    layers, heads, width, vocab = MODELS[name]
    family = GPT2(n_layers=layers, n_heads=heads, d_model=width, context_length=CONTEXT)
    network = Network(family.sentence(vocab), seed=0).eval()
    with (
        torch.no_grad()
    ):  # at their initial size all logits are nearly equal; larger weights give a text that depends on its prompt
        for parameter in network.parameters():
            if parameter.dim() == 2:
                parameter.mul_(4)
    config, tensors = export_network(network, GPT2, CONTEXT)
    theirs = GPT2LMHeadModel(GPT2Config(**config, bos_token_id=0, eos_token_id=None, pad_token_id=0)).eval()
    missing = theirs.load_state_dict(tensors, strict=False)
    assert not missing.unexpected_keys and missing.missing_keys in ([], ["lm_head.weight"]), missing
    return network, theirs


def ours(network: Network, prompts: torch.Tensor, new: int) -> torch.Tensor:
    """linnet's decoder, as `linnet generate` runs it. (B, T) → (B, new)."""
    decoder = Decoder(network, prompts.tolist(), Sampling(temperature=0))
    drawn = []
    for i in range(new):
        drawn.append(decoder.step()[0])
        if i < new - 1:
            decoder.read()
    return torch.stack(drawn, 1)


def theirs(model: GPT2LMHeadModel, prompts: torch.Tensor, new: int) -> torch.Tensor:
    """Hugging Face's `generate` with its cache."""
    written = model.generate(
        prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=new, do_sample=False, use_cache=True
    )
    return written[:, prompts.shape[1] :]


@torch.inference_mode()
def where_they_part(network: Network, prompts: torch.Tensor, mine: torch.Tensor, other: torch.Tensor) -> str:
    """'identical', or the first different token of a row and how near its two candidates were."""
    if torch.equal(mine, other):
        return "identical"
    row = int((mine != other).any(1).nonzero()[0])
    at = int((mine[row] != other[row]).nonzero()[0])
    text = torch.cat((prompts[row], mine[row, :at]))[None]
    best = network.logits(network(text).hidden[:, -1]).topk(2).values[0]
    return f"row {row} parts at token {at}, where the best two logits differ by {float(best[0] - best[1]):.1e}"


def compare(name: str, batch: int, prompt: int, new: int, rounds: int) -> None:
    """Measure one model at one batch size and print its row."""
    network, model = build(name)
    prompts = torch.randint(0, network.spec.vocab_size, (batch, prompt), generator=torch.Generator().manual_seed(1))
    runs = {"linnet": lambda: ours(network, prompts, new), "huggingface": lambda: theirs(model, prompts, new)}
    tokens = {who: run() for who, run in runs.items()}
    speed: dict[str, list[float]] = {who: [] for who in runs}
    floors: list[float] = []
    weight_bytes = sum(tensor.numel() * 4 for tensor in model_tensors(network).values())
    for i in range(rounds):
        floors.append(reading_speed() / weight_bytes * batch)  # tokens/s if nothing cost time but reading the weights
        for who in runs if i % 2 == 0 else reversed(list(runs)):
            started = time.perf_counter()
            runs[who]()
            speed[who].append(batch * new / (time.perf_counter() - started))
    ratios = [a / b for a, b in zip(speed["linnet"], speed["huggingface"], strict=True)]
    share = median(s / f for s, f in zip(speed["linnet"], floors, strict=True))
    same = where_they_part(network, prompts, tokens["linnet"], tokens["huggingface"])
    ratio = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    print(
        f"| {name:5} | {batch:5} | {median(speed['linnet']):9,.0f} | {median(speed['huggingface']):12,.0f} | {ratio:>18} "
        f"| {median(floors):9,.0f} | {share:12.1%} | {same} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"greedy, prompt {options.prompt}, {options.new} new tokens, float32, {options.threads} threads, {options.rounds} rounds; tokens/s over all rows\n"
    )
    print("| model | batch | linnet    | Hugging Face | linnet is … times  | reading   | linnet's share | tokens |")
    print("|-------|------:|----------:|-------------:|-------------------:|----------:|---------------:|--------|")
    for name in options.models:
        for batch in options.batches:
            compare(name, batch, options.prompt, options.new, options.rounds)


if __name__ == "__main__":
    main()
