"""The first twenty losses of small runs, kept in losses.json: `python -m tests.golden.regenerate` writes them anew.

They are to change only with a commit that says why (docs/log.md).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from linnet.core.spec import load
from linnet.data.batch import Batch
from linnet.model import Network
from linnet.objective.next_token import NextToken
from linnet.train.optimizers import Optimizer, set_rate
from linnet.train.precision import Precision
from linnet.train.schedule import WSD
from linnet.zoo import Family

FILE = Path(__file__).parent / "losses.json"
STEPS, VOCAB, ROWS, CONTEXT = 20, 32, 4, 16
SHAPE = {"n_layers": 2, "n_heads": 2, "d_model": 16, "context_length": CONTEXT}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": SHAPE,
    "llama": SHAPE,
    "mistral": SHAPE | {"n_kv_heads": 1, "window": 5},
    "qwen3": SHAPE | {"n_kv_heads": 1},
    "linnet": SHAPE,
}
OPTIMIZERS = ("adamw", "muon")


def batches() -> list[Batch]:
    """Sequences with a rule in them (each token is the one before plus a step of its row), two documents a row."""
    draws = torch.Generator().manual_seed(0)
    made = []
    for _ in range(STEPS):
        first, stride = torch.randint(0, VOCAB, (ROWS, 1), generator=draws), torch.randint(1, 4, (ROWS, 1), generator=draws)
        tokens = (first + stride * torch.arange(CONTEXT + 1)) % VOCAB  # (B, T + 1)
        documents = (torch.arange(CONTEXT) >= 10).int().expand(ROWS, CONTEXT)
        weights = (torch.arange(CONTEXT) != 9).float().expand(ROWS, CONTEXT)
        made.append(Batch(tokens[:, :-1], tokens[:, 1:], weights, documents))
    return made


def losses(family: str, optimizer: str, *, rate: float = 1.0) -> list[float]:
    """Nats a token at each step. `rate` multiplies the learning rate."""
    network = Network(load(Family, {"kind": family} | FAMILIES[family]).sentence(VOCAB), seed=0)  # type: ignore[type-abstract]
    optimizers = load(Optimizer, optimizer).build(network)
    objective, precision, schedule = NextToken(), Precision("float32", torch.device("cpu")), WSD(warmup=4, decay=0.3)
    found = []
    for step, batch in enumerate(batches()):
        set_rate(optimizers, rate * schedule.factor(step, step / STEPS))
        total, count = objective(network, batch).total, objective.count(batch)
        (total / count).backward()
        precision.step(optimizers, 1.0)
        found.append(float(total.detach() / count))
    return found


def main() -> None:
    content = {f"{family}/{optimizer}": losses(family, optimizer) for family in FAMILIES for optimizer in OPTIMIZERS}
    FILE.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    print(f"wrote {len(content)} runs to {FILE}")


if __name__ == "__main__":
    main()
