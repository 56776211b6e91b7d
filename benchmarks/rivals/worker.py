"""One rival of benchmarks/train_throughput.py, in a process of its own that stays alive and computes only when told to.

    python worker.py NAME SHAPE THREADS      NAME: linnet, huggingface, huggingface_fused_gelu, litgpt …; SHAPE: a JSON table

It builds its model, says `{"ready": …}` and then, for every line with a number N on its input, trains N steps and
answers `{"seconds": …, "loss": …}`. All rivals see the same windows of the same tokens, with as many threads, float32,
fused AdamW (weight decay on matrices only), gradients clipped to norm 1, and read their loss after every step. Only a
rival's own libraries are imported, so that each can live in an environment of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

N_BATCHES = 16
LEARNING_RATE, WEIGHT_DECAY, BETAS, CLIP = 1e-3, 0.1, (0.9, 0.95), 1.0

Windows = list[tuple[torch.Tensor, torch.Tensor]]  # tokens and targets, each (B, T)
Step = Callable[[torch.Tensor, torch.Tensor], float]  # one optimizer step; returns the loss


def windows(shape: dict[str, int]) -> Windows:
    """Pre-drawn random windows of one stream in which each token hangs on the one before, so that there is something to learn."""
    draws = torch.Generator().manual_seed(0)
    vocab, rows, length = shape["vocab"], shape["batch"], shape["context"]
    stream = (torch.randint(0, 4, (100_000,), generator=draws).cumsum(0) * 7) % vocab
    drawn = []
    for _ in range(N_BATCHES):
        starts = torch.randint(0, len(stream) - length - 1, (rows, 1), generator=draws)
        window = stream[starts + torch.arange(length + 1)]
        drawn.append((window[:, :-1].contiguous(), window[:, 1:].contiguous()))
    return drawn


def linnet(shape: dict[str, int]) -> Step:
    """linnet: the step of its one loop (train/loop.py), as `linnet train` takes it."""
    from linnet.data.batch import Batch
    from linnet.model import Network
    from linnet.model.training_programs import TrainingPrograms
    from linnet.objective.next_token import NextToken
    from linnet.train.loop import Training, take_step
    from linnet.train.machine import keep_freed_memory
    from linnet.train.optimizers import AdamW
    from linnet.train.precision import Precision
    from linnet.zoo import GPT2

    keep_freed_memory()  # as every run does (train/run.py)
    family = GPT2(n_layers=shape["layers"], n_heads=shape["heads"], d_model=shape["width"], context_length=shape["context"])
    network = Network(family.sentence(shape["vocab"]), seed=0).train()
    network.programs = TrainingPrograms()
    optimizer = AdamW(learning_rate=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY)
    unused: Any = None  # what a run needs between its steps
    run = Training(
        network=network, objective=NextToken(), optimizers=optimizer.build(network), precision=Precision("float32", network.device),
        seed=0, micro_batch_size=shape["batch"], clip=CLIP, schedule=unused, source=unused, clock=unused, validate=unused, validate_every=0,
        sample=unused, save=unused, save_every=0, keep_best=False, patience=None, peak_flops=None, flops_per_token=0.0,
    )  # fmt: skip

    def step(tokens: torch.Tensor, targets: torch.Tensor) -> float:
        loss, _ = take_step(run, Batch(tokens, targets, torch.ones(tokens.shape)))
        run.step += 1
        return loss

    return step


def huggingface(shape: dict[str, int], activation: str = "gelu_new") -> Step:
    """Hugging Face: GPT2LMHeadModel as configured by default (its `gelu_new` is written in eight operations)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape["vocab"], n_positions=shape["context"], n_embd=shape["width"], n_layer=shape["layers"], n_head=shape["heads"],
            activation_function=activation, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, use_cache=False,
        )
    ).train()  # fmt: skip
    return plain_step(model, lambda tokens: model(tokens).logits)


def huggingface_fused_gelu(shape: dict[str, int]) -> Step:
    """The same with `gelu_pytorch_tanh`: the same formula as one kernel, for those who know of it."""
    return huggingface(shape, "gelu_pytorch_tanh")


def litgpt(shape: dict[str, int], rotary: float = 0.25) -> Step:
    """litgpt: the same blocks; its positions are rotary ones, on a quarter of each head by default; its head is not tied."""
    from litgpt import GPT, Config

    config = Config(
        block_size=shape["context"], n_layer=shape["layers"], n_embd=shape["width"], n_head=shape["heads"], vocab_size=shape["vocab"],
        padded_vocab_size=shape["vocab"], rotary_percentage=rotary, parallel_residual=False, bias=True, attn_bias=True,
        norm_class_name="LayerNorm", mlp_class_name="GptNeoxMLP", gelu_approximate="tanh",
    )  # fmt: skip
    model = GPT(config).train()
    return plain_step(model, model)


def litgpt_without_positions(shape: dict[str, int]) -> Step:
    """The same with no positions at all: less than GPT-2 computes, and no model that one would train."""
    return litgpt(shape, 0.0)


def plain_step(model: torch.nn.Module, logits: Callable[[torch.Tensor], torch.Tensor]) -> Step:
    """The usual loop around a model that gives logits."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, fused=True)

    def step(tokens: torch.Tensor, targets: torch.Tensor) -> float:
        loss = torch.nn.functional.cross_entropy(logits(tokens).flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


RIVALS: dict[str, Callable[[dict[str, int]], Step]] = {
    "linnet": linnet,
    "huggingface": huggingface,
    "huggingface_fused_gelu": huggingface_fused_gelu,
    "litgpt": litgpt,
    "litgpt_without_positions": litgpt_without_positions,
}


def main(name: str, shape: dict[str, int], threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print must not stand among the answers
    step, data = RIVALS[name](shape), windows(shape)

    def answer(table: dict[str, float]) -> None:
        answers.write(json.dumps(table) + "\n")
        answers.flush()

    answer({"ready": 1})
    done = 0
    for line in sys.stdin:
        loss, started = float("nan"), time.perf_counter()
        for _ in range(int(line)):
            loss = step(*data[done % N_BATCHES])
            done += 1
        answer({"seconds": time.perf_counter() - started, "loss": loss})


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))
