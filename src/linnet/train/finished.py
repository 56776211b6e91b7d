"""Whether a run has come to its end, and what it came to, from its folder alone: nothing is trained or measured."""

from __future__ import annotations

import json
from pathlib import Path

from linnet.core.errors import LinnetError
from linnet.interop.native import load_model
from linnet.train.record import read_run
from linnet.train.run import Result

PAPERS = ("evaluation.json", "summary.json")  # written after the model, the summary last


def finished(folder: Path) -> Result | None:
    """What a finished run came to; None where there is still something to do: steps to take, or papers to write again
    because they, or the model, are damaged or gone."""
    if not all((folder / name).is_file() for name in PAPERS):
        return None
    try:
        spec = read_run(folder)
        json.loads((folder / "summary.json").read_text("utf-8"))
        load_model(folder)
        model = json.loads((folder / "evaluation.json").read_text("utf-8"))["model"]
        loss, bits = model["nats_per_token"]["value"], (model.get("bits_per_byte") or {}).get("value")
        step = last_step(folder)
    except (LinnetError, OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    early = spec.train.steps is not None and step < spec.train.steps
    if early and spec.validation.patience is None:
        return None
    return Result(folder, "early stop" if early else "finished", step, loss, bits)


def last_step(folder: Path) -> int:
    """The step of the last line of metrics.jsonl."""
    return int(json.loads((folder / "metrics.jsonl").read_text("utf-8").splitlines()[-1])["step"])
