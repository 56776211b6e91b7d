"""Listeners: who writes down and shows what the loop emits. Each is a function of one event."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from linnet.core.extras import has
from linnet.train.events import Event, Listener, Sampled, Stepped, Validated


class MetricsFile:
    """`metrics.jsonl`, which depends on the run alone and is byte-identical after a resume, and `timings.jsonl`, which
    depends on the clock. Lines are flushed as they are written; `offsets` says how long both are at a checkpoint."""

    def __init__(self, folder: Path, offsets: dict[str, int] | None = None) -> None:
        self.files = {}
        for name in ("metrics", "timings"):
            path = Path(folder) / f"{name}.jsonl"
            handle = open(path, "ab")  # noqa: SIM115  closed in close()
            size = handle.seek(0, os.SEEK_END)
            handle.truncate(min(size, (offsets or {}).get(name, 0)))
            self.files[name] = handle

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._write(
                "metrics",
                {
                    "event": "train",
                    "step": event.step,
                    "tokens": event.tokens,
                    "loss": event.loss,
                    "learning_rate": event.learning_rate,
                    "grad_norm": event.grad_norm if math.isfinite(event.grad_norm) else None,  # a float16 step that was skipped
                    **event.more,
                },
            )
            self._write(
                "timings",
                {
                    "step": event.step,
                    "seconds": round(event.seconds, 4),
                    "tokens_per_second": round(event.tokens_per_second, 1),
                    "utilisation": None if event.utilisation is None else round(event.utilisation, 4),
                    "memory_bytes": event.memory_bytes,
                    "data_seconds": round(event.data_seconds, 6),
                    "step_seconds": round(event.step_seconds, 6),
                },
            )
        elif isinstance(event, Validated):
            line = {
                "event": "validation",
                "step": event.step,
                "tokens": event.tokens,
                "loss": event.loss,
                "bits_per_byte": event.bits_per_byte,
            }
            self._write("metrics", line)
        elif isinstance(event, Sampled):
            self._write("metrics", {"event": "sample", "step": event.step, "prompt": event.prompt, "text": event.text})

    def offsets(self) -> dict[str, int]:
        """Bytes written so far, by file; all of them on disk."""
        for handle in self.files.values():
            os.fsync(handle.fileno())
        return {name: handle.seek(0, os.SEEK_END) for name, handle in self.files.items()}

    def close(self) -> None:
        for handle in self.files.values():
            handle.close()

    def _write(self, name: str, line: dict[str, Any]) -> None:
        self.files[name].write((json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8"))
        self.files[name].flush()


def tensorboard(folder: Path) -> Listener | None:
    """A listener that writes for TensorBoard, or None where it is not installed."""
    if not has("tensorboard"):
        return None
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(Path(folder) / "tensorboard"))

    def listen(event: Event) -> None:
        if isinstance(event, Stepped):
            for name in ("loss", "learning_rate", "grad_norm", "tokens_per_second", "utilisation"):
                value = getattr(event, name)
                if value is not None:
                    writer.add_scalar(f"train/{name}", value, event.step)
            for name, value in event.more.items():
                writer.add_scalar(f"train/{name}", value, event.step)
        elif isinstance(event, Validated):
            writer.add_scalar("validation/loss", event.loss, event.step)
            if event.bits_per_byte is not None:
                writer.add_scalar("validation/bits_per_byte", event.bits_per_byte, event.step)
            writer.flush()
        elif isinstance(event, Sampled):
            writer.add_text("sample", event.text, event.step)
            writer.flush()  # nothing else does, should the process end here

    return listen
