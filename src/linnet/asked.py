"""What a person named, as the plain table of a run: a run file, texts, a folder of prepared data. Needs no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from itertools import takewhile
from pathlib import Path
from typing import Any

from linnet.core.errors import ConfigError, explain
from linnet.core.refusals import kind_of
from linnet.core.spec import Spec, words
from linnet.core.yaml import override, read_yaml
from linnet.data.archives import Archives
from linnet.data.prepared import is_prepared
from linnet.data.records import also_text, holds_conversations
from linnet.data.sources import LONGEST_NAME, Source

Paths = str | Path | Sequence[str | Path]
# the parts of a run file that tokens do not know
RUN_FIELDS = ("name", "model", "weights", "objective", "optimizer", "schedule", "train", "validation", "checkpoint", "sample")
GENERATED = {"stories": {"kind": "stories"}, "python-docs": {"kind": "python_docs"}, "-": {"kind": "stdin"}}


def asked_of(what: Paths, *, as_text: bool = False) -> tuple[dict[str, Any], str, str]:
    """What was asked as a plain table, a name for its folder, and what to call it in messages. as_text: whether files are texts, whatever
    they hold. Raises ConfigError, and DataError for a path of conversations and of texts."""
    if isinstance(what, (str, Path)) and str(what).endswith((".yaml", ".yml")):
        return *read_run_file(Path(what)), str(what)
    paths = [str(what)] if isinstance(what, (str, Path)) else [str(path) for path in what]
    begun = [path for path in paths if (Path(path) / "run.yaml").is_file()]
    if begun:
        hint = f"linnet train {begun[0]} --resume to go on with it, linnet train {begun[0]}/run.yaml for another one like it"
        raise ConfigError(explain(f"{begun[0]} is a run, not a text", need="a text", hint=hint))
    if len(paths) == 1 and is_prepared(Path(paths[0])):
        place = Path(paths[0]).absolute()
        return {"data": {"prepared": paths[0]}}, (place.parent if (place / "index.json").is_file() else place).name, "the run"
    files = [path for path in paths if path.endswith((".yaml", ".yml"))]
    if files:
        raise ConfigError(
            explain(f"{files[0]} beside other texts", need="one run file, or texts", hint=f"linnet train {files[0]}")
        )
    both = [path for path in paths if path in GENERATED and Path(path).exists()]
    if both:
        got = f"{both[0]}, which is a source of linnet's own and a path here"
        raise ConfigError(explain(got, need="one of them", hint=f"./{both[0]} for the path, or another folder to start from"))
    missing = [
        path for path in paths if path not in GENERATED and not any(mark in path for mark in "*?[") and not Path(path).exists()
    ]
    if missing:
        raise ConfigError(
            explain(
                f"{', '.join(missing)} does not exist",
                need="a text file, a folder, a glob, a run file (.yaml), stories, python-docs or -",
                hint="ls",
            )
        )
    sources = [GENERATED.get(path) or {"kind": kind_of_source(path, as_text=as_text), "path": path} for path in paths]
    return {"data": {"sources": deepcopy(sources)}}, _name_of("stdin" if paths[0] == "-" else paths[0]), "the run"


def _name_of(path: str) -> str:
    """A name for what is made of a path: its last part, without endings; of a glob, the last part before the first mark."""
    plain = takewhile(lambda part: not any(mark in part for mark in "*?["), Path(path).parts)
    last = Path(os.path.abspath(Path(*plain))).name  # of ".", the name of the folder that it is
    return re.sub(r"[^\w-]+", "-", last.lstrip(".").split(".")[0]).strip("-")[:LONGEST_NAME] or "run"


def kind_of_source(path: str, *, as_text: bool = False) -> str:
    """The word for a path: dumps and archives have endings of their own; what begins with a conversation is conversations, all else files."""
    archives = {kind: word for kind, word in words(Source).items() if issubclass(word, Archives)}  # type: ignore[type-abstract]
    known = next((kind for kind, word in archives.items() if path.lower().endswith(word.endings)), None)
    return known or ("conversations" if not as_text and holds_conversations(path) else "files")


def passed_over(what: Any, table: dict[str, Any]) -> list[str]:
    """A line for each source of conversations in a table whose records could be read as texts, too: what was chosen, and the other way.
    No line where `what` was asked is a run file, or a table, which says so itself."""
    named = isinstance(what, (str, Path)) or (isinstance(what, (list, tuple)) and len(what) > 1)
    data = table.get("data") if named and not str(what).endswith((".yaml", ".yml")) else None
    sources = data.get("sources") if isinstance(data, dict) else None
    lines = []
    for number, source in enumerate(sources if isinstance(sources, list) else ()):
        if isinstance(source, dict) and source.get("kind") == "conversations" and isinstance(source.get("path"), str):
            form, text = also_text(source["path"])
            if text is not None:
                other = f"--set data.sources.{number}.kind=files for its {text!r} as text"
                lines.append(f"{source['path']}: read as conversations ({form}); {other}")
    return lines


def read_run_file(path: Path) -> tuple[dict[str, Any], str]:
    """A run file's table and its name. The run.yaml of a run folder stands for what was asked of that run."""
    table, name = read_yaml(path), path.stem
    if isinstance(table, dict) and "resolved" in table:
        table, name = table.get("asked") or table["resolved"], path.absolute().parent.name
    if not isinstance(table, dict):
        got = f"{path} is empty" if table is None else f"{path} holds {kind_of(table)}"
        raise ConfigError(explain(got, need="a table: data, model, train …", hint="a file of configs/"))
    return table, name


def change(cls: type[Spec], table: dict[str, Any], assignments: Iterable[str]) -> None:
    """Apply each `a.b=c` to the table of a spec, in place; `model.size=nano` finds the default model's word although the table
    does not name one. Raises ConfigError."""
    for assignment in assignments:
        part, dot, _ = assignment.partition("=")[0].strip().partition(".")
        field = cls.model_fields.get(part)
        kind = getattr(field.default, "kind", None) if field is not None else None
        if (
            dot
            and kind is not None
            and (table.get(part) is None or (isinstance(table[part], dict) and "kind" not in table[part]))
        ):
            table[part] = {"kind": kind} | (table.get(part) or {})
        override(table, assignment)
