"""A made-up run folder with everything in it, for tests."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

SENTENCE = """\
vocab_size: 65
d_model: 192
decoder:
  layers:
  - times: 6
    sublayers:
    - {kind: attention, n_heads: 6, position: rotary}
    - {kind: glu, d_ff: 512}
norm: rms_norm
"""


def make_run(
    folder: Path, *, steps: int = 300, text: str = "And so the\nking did speak.", source: str = "plays/input.txt"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    metrics, timings = [], []
    for step in range(0, steps + 1, max(1, steps // 300)):
        done = step / steps
        loss = 1.45 + 2.7 * math.exp(-9 * done) + 0.35 * (1 - done) + rng.gauss(0, 0.045)
        rate = 1e-3 * min(1.0, done / 0.05) * (0.55 + 0.45 * math.cos(math.pi * done))
        norm = 0.5 + 2 * math.exp(-8 * done) * rng.random() + 0.1 * rng.random()
        line = {"event": "train", "step": step, "tokens": step * 16384, "loss": loss}
        metrics.append(line | {"learning_rate": rate, "grad_norm": norm})
        line = {"step": step, "seconds": step * 0.42, "tokens_per_second": 39_000 + rng.gauss(0, 900), "utilisation": None}
        timings.append(line | {"memory_bytes": 1_430_000_000, "data_seconds": 0.004, "step_seconds": 0.42})
        if step % max(1, steps // 12) == 0:
            valid = 1.52 + 2.6 * math.exp(-9 * done) + 0.33 * (1 - done)
            metrics.append(
                {"event": "validation", "step": step, "tokens": step * 16384, "loss": valid, "bits_per_byte": valid / math.log(2)}
            )
        if step % max(1, steps // 3) == 0:
            metrics.append({"event": "sample", "step": step, "prompt": "ROMEO:", "text": text})
    lines = "".join(json.dumps(line) + "\n" for line in metrics)
    (folder / "metrics.jsonl").write_text(lines + '{"event": "train", "step": 30', "utf-8")
    (folder / "timings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in timings), "utf-8")
    files = {
        "scorecard.json": {"rows": [
            {"what": "wall time", "asked": 600, "estimated": 555, "measured": 571.3, "unit": "s"},
            {"what": "peak memory", "asked": None, "estimated": 1_250_000_000, "measured": 1_430_000_000, "unit": "bytes"},
            {"what": "tokens per second", "asked": None, "estimated": 60_000, "measured": 39_020, "unit": ""},
            {"what": "parameters", "asked": 3_000_000, "estimated": 3_212_672, "measured": 3_212_672, "unit": ""},
            {"what": "validation loss", "asked": None, "estimated": 1.60, "measured": 1.522, "unit": "nats/token"},
        ]},
        "evaluation.json": {
            "model": {
                "nats_per_token": {"value": 1.522, "low": 1.489, "high": 1.557},
                "perplexity": {"value": 4.581, "low": 4.433, "high": 4.745},
                "bits_per_byte": {"value": 2.196, "low": 2.148, "high": 2.246},
                "word_perplexity": {"value": 4987.0, "low": 4150.0, "high": 6080.0},
                "n_tokens": 111540,
            },
            "yardsticks": [
                {"name": "unigram", "nats_per_token": 3.347, "bits_per_byte": 4.829, "note": "how often each token occurs"},
                {"name": "5-gram", "nats_per_token": 1.561, "bits_per_byte": 2.252, "note": "modified Kneser-Ney, interpolated"},
                {"name": "xz + training", "nats_per_token": 1.746, "bits_per_byte": 2.518, "note": "xz -9e, has read training"},
                {"name": "xz", "nats_per_token": 2.042, "bits_per_byte": 2.946, "note": "xz -9e alone"},
            ],
        },
        "data_card.json": {
            "sources": [
                {"source": source, "documents": 1, "tokens": 1_003_854, "bytes": 1_003_854, "bytes_per_token": 1.0,
                 "asked_ratio": 0.8, "ratio": 0.81, "duplicates": 0, "licence": "public domain"},
                {"source": "notes/*.md", "documents": 212, "tokens": 235_102, "bytes": 235_102, "bytes_per_token": 1.0,
                 "asked_ratio": 0.2, "ratio": 0.19, "duplicates": 3, "licence": "own"},
            ],
            "notes": ["The last tenth of every source is validation text; no document stands in both."],
        },
        "summary.json": {
            "parameters": 3_212_672, "flops_per_token": 21_400_000, "family": "llama", "size": "3M",
            "sentence": SENTENCE,
            "versions": {"linnet": "0.1.0", "torch": "2.9.0", "python": "3.11"},
            "machine": {"processor": "8 cores", "memory": "16 GiB", "device": "cpu", "dtype": "float32"},
            "warnings": ["The validation text is short: intervals are wide."],
        },
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), "utf-8")
    (folder / "run.yaml").write_text("name: shakespeare\ntrain:\n  steps: 1500\n  batch_tokens: 16384\nseed: 0\n", "utf-8")
    return folder
