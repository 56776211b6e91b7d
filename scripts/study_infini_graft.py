"""The study of docs/studies/infini-graft.md: Infini-attention grafted onto a trained model, against its window and YaRN.

    python scripts/study_infini_graft.py --out runs/infini-graft            everything; about 40 minutes on one core
    python scripts/study_infini_graft.py --out /tmp/graft --small           the same in small, to see it work
    python scripts/study_infini_graft.py --out runs/infini-graft --write    figures and tables into docs/studies/ from what is there

One model is trained on texts of T = 128 tokens (configs/infini-graft.yaml). Each variant takes over its weights, is measured as it
stands, trained shortly on texts of 4 T, and measured again: keys found at T, 4 T and 16 T, and loss by position up to 16 T.
Stopped, it goes on with the next thing that is not there yet. Every number stands in OUT/results/*.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from linnet.command import adapt_run, run
from linnet.core.files import write_json, write_text
from linnet.core.yaml import read_yaml
from linnet.data.batch import Batch
from linnet.data.loader import as_batch
from linnet.data.worlds.passkey import passkey
from linnet.evaluate.by_position import by_position
from linnet.evaluate.passkey import DEPTHS, passkey_table
from linnet.interop.native import load_model, make_manifest, save_model
from linnet.model.network import Network
from linnet.model.weights import model_tensors, restore_model
from linnet.tokenizer.base import Tokenizer
from linnet.zoo import Mistral

ROOT = Path(__file__).resolve().parents[1]
T = 128
LENGTHS = (T, 4 * T, 16 * T)
EDGES = (0, 16, 32, 64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
SHORTLY = {"kind": "adamw", "learning_rate": 1e-3, "weight_decay": 0.1}  # the optimizer of the training on longer texts
UNSEEN = 7_001  # seed of documents that no run is trained on

# name → what it is in words, and whether it is trained shortly, too; in the order in which they are measured
VARIANTS: dict[str, tuple[str, bool]] = {
    "window": ("window of 128, the model as it is", True),
    "graft-ajar": ("Infini-attention, gates at −2", True),
    "graft-closed": ("Infini-attention, gates closed", True),
    "yarn-4": ("YaRN × 4, no window", True),
    "yarn-16": ("YaRN × 16, no window", True),
    "full": ("no window, positions as they are", False),
}


def make(name: str, base: Path, folder: Path) -> None:
    """The variant's model with the base's weights, untrained, in `folder`."""
    if name.startswith("graft"):
        adapt_run(base, "infini", folder, segment=T, gate=-2.0 if name == "graft-ajar" else None)
        return
    network, tokenizer, manifest = load_model(base)
    table = read_yaml(ROOT / "configs" / "infini-graft.yaml")["model"] | {"window": T if name == "window" else None}
    if name.startswith("yarn"):
        factor = float(name.removeprefix("yarn-"))
        table["rope_scaling"] = {"kind": "yarn", "factor": factor, "original_length": T}
    sentence = Mistral.model_validate({key: value for key, value in table.items() if key != "kind"}).sentence(
        tokenizer.vocab_size
    )
    new = Network(sentence, seed=None)
    restore_model(new, model_tensors(network))
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, new, tokenizer, make_manifest(new, tokenizer, context_length=manifest.context_length, document_mask=True))


def long_run(weights: Path, steps: int, threads: int | None) -> dict[str, Any]:
    """The run file of the short training on longer texts; the same for every variant."""
    return {
        "data": {
            "sources": [{"kind": "passkey", "count": max(600, 5 * steps), "length": 320, "shortest": 80, "seed": 11}],
            "rows": "documents",
            "validation": 0.05,
        },
        "weights": str(weights),
        "optimizer": SHORTLY,
        "train": {"steps": steps, "batch_size": 4, "context_length": 4 * T, "threads": threads},
        "validation": {"every": max(1, steps // 2), "batches": 2},
        "checkpoint": {"keep_best": False},
        "sample": {"tokens": 0},
    }


def long_texts(tokenizer: Tokenizer, rows: int) -> list[Batch]:
    """Documents cut at 16 T tokens, each a row."""
    windows = []
    for index in range(rows):
        ids = tokenizer.encode(passkey(UNSEEN + 1, index, 2 * LENGTHS[-1]).text)
        windows.append(list(ids)[: LENGTHS[-1] + 1])
    return [as_batch(np.array([window], np.int64), -1, document_mask=False) for window in windows]


def measure(folder: Path, path: Path, documents: int) -> None:
    """Keys found and loss by position of a model, as JSON."""
    if path.exists():
        return
    network, tokenizer, _ = load_model(folder)
    keys = passkey_table(network, tokenizer, LENGTHS, DEPTHS, documents=documents, seed=UNSEEN)
    losses = by_position(network, long_texts(tokenizer, documents), EDGES)
    gates = [torch.sigmoid(p).tolist() for name, p in network.named_parameters() if name.endswith("mixer.gate")]
    table = {"passkey": [key.to_dict() for key in keys], "by_position": [bucket.to_dict() for bucket in losses], "gates": gates}
    write_json(path, table)
    print(f"{path.stem}: " + ", ".join(f"{n} tokens {100 * accuracy(table, n)[0]:.0f} %" for n in LENGTHS), flush=True)


def accuracy(table: dict[str, Any], length: int) -> tuple[float, float, float]:
    """Share of keys found at a length, all depths together, with its interval."""
    from linnet.evaluate.passkey import wilson

    cells = [cell for cell in table["passkey"] if cell["length"] == length]
    right, asked = sum(cell["right"] for cell in cells), sum(cell["documents"] for cell in cells)
    return (right / asked, *wilson(right, asked))


def study(out: Path, *, steps: int, short: int, documents: int, only: list[str], threads: int | None) -> None:
    """Train and measure whatever is not there yet."""
    base, results = out / "base", out / "results"
    asked, path = {"steps": steps, "short": short, "documents": documents, "optimizer": SHORTLY}, results / "settings.json"
    if path.exists() and (before := json.loads(path.read_text("utf-8"))) != asked:
        raise SystemExit(f"{out} holds a study of {before}, not of {asked}; needed: the same settings, or another --out")
    results.mkdir(parents=True, exist_ok=True)
    write_json(path, asked)
    if not (base / "manifest.json").exists():
        also = [] if threads is None else [f"train.threads={threads}"]
        run(
            str(ROOT / "configs" / "infini-graft.yaml"),
            base,
            steps=steps,
            set=also,
            resume=(base / "run.yaml").exists(),
            quiet=True,
        )
    for name, (_, trained) in VARIANTS.items():
        if only and name not in only:
            continue
        folder = out / name
        if not (folder / "manifest.json").exists():
            make(name, base, folder)
        measure(folder, results / f"{name}.json", documents)
        if trained and short:
            after = out / f"{name}-trained"
            came = run(long_run(folder, short, threads), after, resume=(after / "run.yaml").exists(), quiet=True)
            if came.why == "interrupted":
                raise SystemExit(130)
            measure(after, results / f"{name}-trained.json", documents)


# ---- what is written of it ----------------------------------------------------------------------------------------


def found(out: Path) -> dict[str, dict[str, Any]]:
    """Name → what was measured, in the order of VARIANTS, before training and after it."""
    names = [name + end for name in VARIANTS for end in ("", "-trained")]
    paths = {name: out / "results" / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text("utf-8")) for name, path in paths.items() if path.exists()}


def in_words(name: str) -> str:
    words = VARIANTS[name.removesuffix("-trained")][0]
    return f"{words}, then trained" if name.endswith("-trained") else words


def tables(measured: dict[str, dict[str, Any]]) -> str:
    """Two tables in Markdown."""
    lines = ["| keys found, % (95 %) | " + " | ".join(f"{n:,} tokens" for n in LENGTHS) + " |", "|---|" + "--:|" * len(LENGTHS)]
    for name, table in measured.items():
        cells = ["{:.0f} ({:.0f}–{:.0f})".format(*(100 * x for x in accuracy(table, n))) for n in LENGTHS]
        lines.append(f"| {in_words(name)} | " + " | ".join(cells) + " |")
    shown = [(0, 16), (64, 128), (128, 192), (384, 512), (1024, 1536), (1536, 2048)]
    lines += [
        "",
        "| nats a token at positions | " + " | ".join(f"{a:,}–{b - 1:,}" for a, b in shown) + " |",
        "|---|" + "--:|" * len(shown),
    ]
    for name, table in measured.items():
        at = {bucket["first"]: bucket for bucket in table["by_position"]}
        lines.append(f"| {in_words(name)} | " + " | ".join(f"{at[a]['value']:.2f}" if a in at else "–" for a, _ in shown) + " |")
    depths = [cell["depth"] for cell in next(iter(measured.values()))["passkey"] if cell["length"] == LENGTHS[1]]
    lines += [
        "",
        f"| keys found at {LENGTHS[1]} tokens, %, by depth | " + " | ".join(f"{d:g}" for d in depths) + " |",
        "|---|" + "--:|" * len(depths),
    ]
    for name, table in measured.items():
        found_at = [100 * cell["accuracy"] for cell in table["passkey"] if cell["length"] == LENGTHS[1]]
        lines.append(f"| {in_words(name)} | " + " | ".join(f"{share:.0f}" for share in found_at) + " |")
    return "\n".join(lines)


COLORS = ("#0072b2", "#d55e00", "#cc79a7", "#009e73", "#56b4e9", "#777777")


def figures(measured: dict[str, dict[str, Any]], folder: Path) -> None:
    """Keys found by length, and loss by position, as SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "linnet", "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False}):
        for what in ("passkey", "by-position"):
            figure = Figure(figsize=(8, 4.2), layout="constrained")
            axes = figure.add_subplot()
            for name, table in measured.items():
                plain = name.removesuffix("-trained")
                style: dict[str, Any] = {
                    "color": COLORS[list(VARIANTS).index(plain)],
                    "linestyle": "-" if name != plain else "--",
                    "linewidth": 1.6,
                }
                if what == "passkey":
                    rows = [accuracy(table, n) for n in LENGTHS]
                    x, y = np.array(LENGTHS, float), 100 * np.array([row[0] for row in rows])
                    low, high = (100 * np.array([row[i] for row in rows]) for i in (1, 2))
                else:
                    rows = table["by_position"]
                    x = np.array([(row["first"] + row["last"]) / 2 + 1 for row in rows])
                    y, low, high = (
                        np.array([row[key] if row[key] is not None else np.nan for row in rows])
                        for key in ("value", "low", "high")
                    )
                axes.plot(x, y, marker="o", markersize=3, label=in_words(name), **style)
                axes.fill_between(x, low, high, color=style["color"], alpha=0.1, linewidth=0)
            axes.set_xscale("log", base=2)
            axes.set_xticks(LENGTHS, [f"{n:,}" for n in LENGTHS])
            axes.set_xlabel("tokens of the text" if what == "passkey" else "position in the text")
            axes.set_ylabel("keys found, %" if what == "passkey" else "nats a token")
            if what == "by-position":
                axes.set_ylim(0, min(8, axes.get_ylim()[1]))
            axes.grid(axis="y", color="#e1e5ea")
            figure.legend(loc="outside right center", frameon=False, fontsize=7)
            figure.savefig(folder / f"infini-graft-{what}.svg", metadata={"Date": None})


FIGURES = {"infini-graft-passkey": "Keys found by length", "infini-graft-by-position": "Loss by position"}
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write(out: Path) -> None:
    """Figures and tables into docs/studies/, from what was measured."""
    measured = found(out)
    folder = ROOT / "docs" / "studies"
    figures(measured, folder)
    settings = out / "results" / "settings.json"
    said = json.loads(settings.read_text("utf-8")) if settings.exists() else {}
    line = f"Settings: {said.get('steps', '–')} steps at {T} tokens, then {said.get('short', '–')} at {4 * T} (AdamW, rate {SHORTLY['learning_rate']:g}); {said.get('documents', '–')} documents for each length and depth."
    page = folder / "infini-graft.md"
    text = page.read_text("utf-8")
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    pictures = "\n\n".join(
        f"![{title}, before training (dashed) and after it (solid)]({name}.svg)" for name, title in FIGURES.items()
    )
    write_text(page, f"{head}\n{line}\n\n{tables(measured)}\n\n{pictures}\n{tail}")


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--out", type=Path, required=True, help="where everything goes; what is there is not made again")
    reader.add_argument("--steps", type=int, default=4000, help="of the first training")
    reader.add_argument("--short", type=int, default=600, help="of the training on longer texts")
    reader.add_argument("--documents", type=int, default=20, help="for each length and depth")
    reader.add_argument("--only", nargs="*", default=[], choices=list(VARIANTS), help="these variants alone")
    reader.add_argument("--small", action="store_true", help="a few steps of everything")
    reader.add_argument("--write", action="store_true", help="only figures and tables, from what is there")
    reader.add_argument("--threads", type=int, help="of the processor; one where others work on the machine, too")
    asked = reader.parse_args()
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    if asked.small:
        asked.steps, asked.short, asked.documents = 20, 3, 2
    if not asked.write:
        study(asked.out, steps=asked.steps, short=asked.short, documents=asked.documents, only=asked.only, threads=asked.threads)
    if asked.write:
        write(asked.out)
    print(tables(found(asked.out)))


if __name__ == "__main__":
    main()
