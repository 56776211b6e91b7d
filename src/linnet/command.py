"""What the verbs do, for the shell and for Python alike: read what was asked, choose a folder, train, report, score."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from linnet.core.errors import CheckpointError, ConfigError, DataError, explain
from linnet.core.extras import has
from linnet.core.spec import dump, load
from linnet.core.yaml import override, read_yaml
from linnet.data.prepared import Prepared, open_prepared
from linnet.data.sources import Files
from linnet.evaluate.bootstrap import neighbours
from linnet.evaluate.metrics import count_words, metrics
from linnet.interop.native import load_model
from linnet.report.run_report import write_report
from linnet.tokenizer import Tokenizer
from linnet.train import run as train_run
from linnet.train.estimate import Estimate
from linnet.train.evaluation import final_metrics, measure_yardsticks, token_window_losses
from linnet.train.record import never_began, read_run
from linnet.train.run import Result, train
from linnet.train.spec import RunSpec

RUNS = Path("runs")
What = str | Path | RunSpec | dict[str, Any] | Sequence[str | Path]


def run(
    what: What,
    out: str | Path | None = None,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    set: Sequence[str] = (),
    resume: bool = False,
    quiet: bool = False,
    console: Console | None = None,
    began: float | None = None,
) -> Result:
    """Train and report. `what`: a run file (.yaml), text files or folders, `stories`, `python-docs`, `-`, a run folder
    (with resume), a RunSpec, or its plain table. `out`: the run folder; None: runs/NAME, numbered where that is taken."""
    began = time.perf_counter() if began is None else began
    console = console or Console()
    folder = None if out is None else Path(out)
    if resume and isinstance(what, (str, Path)) and is_run_folder(Path(what)):
        folder = Path(what)
        if minutes is not None or steps is not None or set or out is not None:
            raise ConfigError(
                explain(
                    "--resume with --minutes, --steps, --set or --out",
                    need="none of them: a run goes on as it was begun",
                    hint="a new run",
                )
            )
        result = train(read_run(folder), folder, resume=True, console=console, quiet=quiet, began=began)
    else:
        spec, table, name = wanted(what, minutes, steps, set)
        folder = folder or (RUNS / name if resume else free_folder(spec.name or name))
        result = train(spec, folder, asked=table, resume=resume, console=console, quiet=quiet, began=began)
    if result.why != "interrupted" and has("matplotlib") and has("jinja2"):
        write_report(result.folder)
    return result


def look_ahead(
    what: What,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    set: Sequence[str] = (),
    console: Console | None = None,
    began: float | None = None,
) -> Estimate:
    """What `run` would do with the same arguments, and what it would need; nothing is trained and nothing is left behind."""
    spec, table, _ = wanted(what, minutes, steps, set)
    return train_run.look_ahead(spec, asked=table, console=console, began=began)


def wanted(what: What, minutes: float | None, steps: int | None, set: Sequence[str]) -> tuple[RunSpec, dict[str, Any], str]:
    """The run that was asked for, what was asked as a plain table, and a name for it."""
    table, name = asked_of(what)
    if (minutes is not None or steps is not None) and isinstance(table.get("train") or {}, dict):
        timing = {"minutes": minutes, "steps": steps}
        table["train"] = {key: value for key, value in (table.get("train") or {}).items() if key not in timing} | {
            key: value for key, value in timing.items() if value is not None
        }
    for assignment in set:
        override(with_default_word(table, assignment), assignment)
    return load(RunSpec, table, path="run"), table, name


def with_default_word(table: dict[str, Any], assignment: str) -> dict[str, Any]:
    """The table, where `model.size=nano` finds the default model's word although the table does not name one."""
    part, dot, _ = assignment.partition("=")[0].strip().partition(".")
    field = RunSpec.model_fields.get(part)
    kind = getattr(field.default, "kind", None) if field is not None else None
    if dot and kind is not None and (table.get(part) is None or (isinstance(table[part], dict) and "kind" not in table[part])):
        table[part] = {"kind": kind} | (table.get(part) or {})
    return table


def asked_of(what: What) -> tuple[dict[str, Any], str]:
    """What was asked as a plain table, and a name for it."""
    if isinstance(what, RunSpec):
        return dump(what), what.name or "run"
    if isinstance(what, dict):
        return deepcopy(what), str(what.get("name") or "run")
    if isinstance(what, (str, Path)) and str(what).endswith((".yaml", ".yml")):
        table = read_yaml(Path(what))
        if not isinstance(table, dict):
            raise ConfigError(
                explain(f"{what} holds {type(table).__name__}", need="a table: data, model, train …", hint="a file of configs/")
            )
        return table, Path(what).stem
    paths = [str(what)] if isinstance(what, (str, Path)) else [str(path) for path in what]
    generated = {"stories": {"kind": "stories"}, "python-docs": {"kind": "python_docs"}, "-": {"kind": "stdin"}}
    sources = [generated.get(path, {"kind": "files", "path": path}) for path in paths]
    begun = [path for path in paths if (Path(path) / "run.yaml").is_file()]
    if begun:
        raise ConfigError(
            explain(f"{begun[0]} is a run, not a text", need="a text", hint=f"linnet train {begun[0]} --resume to go on with it")
        )
    missing = [
        path for path in paths if path not in generated and not any(mark in path for mark in "*?[") and not Path(path).exists()
    ]
    if missing:
        raise ConfigError(
            explain(
                f"{', '.join(missing)} does not exist",
                need="a text file, a folder, a glob, a run file (.yaml), stories, python-docs or -",
                hint="ls",
            )
        )
    first = "stdin" if paths[0] == "-" else paths[0]
    name = re.sub(r"[^\w-]+", "-", Path(first).name.split(".")[0]).strip("-") or "run"
    return {"data": {"sources": sources}}, name


def is_run_folder(folder: Path) -> bool:
    """Whether a run was begun in `folder`; raises CheckpointError for one that was stopped before it said what it is."""
    if (folder / "run.yaml").is_file():
        return True
    if (folder / ".lock").is_file():
        if never_began(folder):
            got = f"the run in {folder} ended before its first step, while it read its text or because it was refused"
        else:
            got = f"the run in {folder} has no run.yaml any more"
        raise CheckpointError(explain(got, need="a run.yaml to go on from", hint="the first command again"))
    return False


def free_folder(name: str) -> Path:
    """runs/NAME, or the first of runs/NAME-2, -3 … that is not taken; a run that never began does not take its name."""
    folder, number = RUNS / name, 2
    while folder.exists() and not never_began(folder):
        folder, number = RUNS / f"{name}-{number}", number + 1
    return folder


def evaluate_run(folder: Path, text: Path | None = None) -> dict[str, Any]:
    """{"model": metrics with intervals, "yardsticks": rows}; yardsticks are trained on the run's training part."""
    network, tokenizer, manifest = load_model(Path(folder))
    prepared = find_prepared(Path(folder), tokenizer, manifest.data)
    context, mask = manifest.context_length, manifest.document_mask
    if text is None:
        if prepared is None:
            raise DataError(
                explain(
                    f"{folder} has no prepared data any more",
                    need="its data/ folder, or a text to score",
                    hint=f"linnet eval {folder} TEXT",
                )
            )
        scored = final_metrics(network, prepared, context, document_mask=mask)
        return {"model": scored.to_dict(), "yardsticks": measure_yardsticks(prepared)}
    texts = [document.text for document in Files(path=str(text)).documents(seed=0)]
    whole = "".join(texts)
    if not whole.strip():
        raise DataError(explain(f"{text} is empty", need="some text to score"))
    ids = np.array([token for each in texts for token in [*tokenizer.encode(each), tokenizer.end_id]], dtype=np.int64)
    nats, counts = token_window_losses(
        network, np.concatenate(([tokenizer.end_id], ids)), context, end_id=tokenizer.end_id, document_mask=mask
    )
    scores: dict[str, Any] = {
        "model": metrics(
            nats,
            counts,
            n_bytes=len(whole.encode("utf-8", "surrogatepass")),
            n_words=sum(count_words(each) for each in texts),
            blocks=neighbours(len(nats)),
        ).to_dict()
    }
    if prepared is not None:
        scores["yardsticks"] = measure_yardsticks(prepared, whole, ids)
    return scores


def find_prepared(folder: Path, tokenizer: Tokenizer, fingerprint: str | None) -> Prepared | None:
    """The prepared data of a run, if it is still there."""
    path = folder / "data" / (fingerprint or "")
    return open_prepared(path, tokenizer) if fingerprint and (path / "index.json").exists() else None
