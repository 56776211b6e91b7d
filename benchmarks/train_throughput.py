"""Training throughput beside Hugging Face and litgpt: tokens a second, and the share of what the machine's products reach.

    python benchmarks/train_throughput.py [--shapes a b] [--rounds 9] [--threads 2] [--litgpt-python .venv-litgpt/bin/python]

Every rival is a process that stays alive (rivals/worker.py). In each round the machine's ceiling is measured, then every
rival trains a few steps, one after another, so that all see the same weather; ratios are taken within a round and their
median is reported. The arithmetic is that of GPT-2 for all: tanh-GELU, LayerNorm with biases, no dropout, float32, eager.
litgpt lives in an environment of its own (it pins what it needs); benchmarks/README.md says how to make it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import torch

from linnet.model.count import count
from linnet.train.machine import measure_peak
from linnet.zoo import GPT2

HERE = Path(__file__).resolve().parent
SHAPES = {
    "a": {"layers": 4, "heads": 4, "width": 128, "context": 64, "batch": 12, "vocab": 65},
    "b": {"layers": 6, "heads": 6, "width": 384, "context": 256, "batch": 16, "vocab": 65},
}
TITLES = {
    "linnet": "linnet",
    "huggingface": "Hugging Face GPT2LMHeadModel",
    "huggingface_fused_gelu": "… with gelu_pytorch_tanh",
    "litgpt": "litgpt GPT (rotary positions)",
    "litgpt_without_positions": "… without any positions",
}
STEPS = {"a": 10, "b": 1}  # a round: half a second a rival, and two at the larger shape
WARM_UP = {"a": 60, "b": 8}  # by then glibc keeps the memory that steps free, for all rivals alike


class Rival:
    """A worker process that trains when it is told to."""

    def __init__(self, name: str, python: str, shape: dict[str, int], threads: int) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent / "src"), os.environ.get("PYTHONPATH", "")])}
        command = [python, str(HERE / "rivals" / "worker.py"), name, json.dumps(shape), str(threads)]
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self._answer()

    def run(self, steps: int) -> dict[str, float]:
        """Train `steps` steps; returns the seconds they took and the last loss."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended; run it by itself to see why: {' '.join(self.process.args)}")  # type: ignore[arg-type]
        return json.loads(line)

    def close(self) -> None:
        self.process.communicate()  # closes its input, at which it ends


def find_litgpt(given: str | None) -> str | None:
    """The python of litgpt's environment: as given, or beside the checkout's own."""
    for candidate in (
        [given]
        if given
        else [HERE.parent / ".venv-litgpt" / "bin" / "python", HERE.parent / ".venv-litgpt" / "Scripts" / "python.exe"]
    ):
        if candidate and Path(candidate).exists():
            return str(candidate)
    return None


def compare(key: str, rivals: dict[str, str], rounds: int, threads: int) -> None:
    """One shape: measure and print."""
    shape = SHAPES[key]
    family = GPT2(n_layers=shape["layers"], n_heads=shape["heads"], d_model=shape["width"], context_length=shape["context"])
    flops = count(family.sentence(shape["vocab"]), shape["context"]).train_flops
    tokens = shape["batch"] * shape["context"] * STEPS[key]
    running = [Rival(name, python, shape, threads) for name, python in rivals.items()]
    for rival in running:
        rival.run(WARM_UP[key])
    ceilings: list[float] = []
    speeds: dict[str, list[float]] = {rival.name: [] for rival in running}
    losses: dict[str, float] = {}
    for i in range(rounds):
        ceilings.append(measure_peak(torch.device("cpu")))
        for rival in running if i % 2 == 0 else reversed(running):  # nobody always follows the same neighbour
            answer = rival.run(STEPS[key])
            speeds[rival.name].append(tokens / answer["seconds"])
            losses[rival.name] = answer["loss"]
    for rival in running:
        rival.close()
    report(key, flops, ceilings, speeds, losses)


def report(key: str, flops: float, ceilings: list[float], speeds: dict[str, list[float]], losses: dict[str, float]) -> None:
    """The table of one shape."""
    shape, rounds = SHAPES[key], len(ceilings)
    print(f"\n({key}) " + ", ".join(f"{name} {value}" for name, value in shape.items()) + f"; {flops / 1e6:.2f} MFLOP a token")
    print(
        f"ceiling: {median(ceilings) / 1e9:.0f} GFLOP/s (float32 products; {min(ceilings) / 1e9:.0f}-{max(ceilings) / 1e9:.0f} over {rounds} rounds)"
    )
    print(f"\n| {'':30} | tokens/s | of the ceiling | linnet is … times as fast | loss |")
    print(f"|{'-' * 32}|---------:|---------------:|--------------------------:|-----:|")
    for name, speed in speeds.items():
        used = median(s * flops / c for s, c in zip(speed, ceilings, strict=True))
        ratios = [ours / theirs for ours, theirs in zip(speeds["linnet"], speed, strict=True)]
        ratio = "" if name == "linnet" else f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"| {TITLES[name]:30} | {median(speed):8,.0f} | {used:14.1%} | {ratio:>25} | {losses[name]:4.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=sorted(SHAPES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--litgpt-python",
        help="python of an environment with litgpt; default: .venv-litgpt beside the checkout's own, if it is there",
    )
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rivals = dict.fromkeys(("linnet", "huggingface", "huggingface_fused_gelu"), sys.executable)
    python = find_litgpt(options.litgpt_python)
    if python is None:
        print(
            f"litgpt is skipped: no python at {options.litgpt_python or '.venv-litgpt'}; benchmarks/README.md says how to make one"
        )
    else:
        rivals |= dict.fromkeys(("litgpt", "litgpt_without_positions"), python)
    for key in options.shapes:
        compare(key, rivals, options.rounds, options.threads)


if __name__ == "__main__":
    main()
