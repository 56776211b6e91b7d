"""What the verbs do, for the shell and for Python alike: read what was asked, choose a folder, train, report, score."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from linnet.asked import asked_of, change, passed_over
from linnet.core.errors import CheckpointError, ConfigError, DataError, explain
from linnet.core.extras import has, need
from linnet.core.files import atomic_folder
from linnet.core.names import nearest
from linnet.core.spec import dump, load
from linnet.data.batch import Batch
from linnet.data.loader import evaluation_batches
from linnet.data.pairs import Pairs
from linnet.data.prepared import Prepared, open_prepared
from linnet.data.records import holds_conversations
from linnet.data.sources import Files
from linnet.evaluate.bootstrap import neighbours
from linnet.evaluate.by_position import Bucket, by_position, doubling
from linnet.evaluate.metrics import count_words, metrics
from linnet.evaluate.passkey import Retrieval, passkey_table
from linnet.evaluate.translation import translation_score
from linnet.generate.decode import EMBED
from linnet.interop.native import Manifest, begin_of, copy_terms, load_model, make_manifest, save_model, template_of
from linnet.language_model import LanguageModel
from linnet.model.causal import check_writes, is_headless, writes
from linnet.model.describe import describe
from linnet.model.graft import CLOSED, GRAFTS, InfiniGraft, grafted
from linnet.model.network import Network
from linnet.objective import Masked, NextToken, ObjectiveSpec
from linnet.report.run_report import write_report
from linnet.tokenizer import Tokenizer
from linnet.tokenizer.mask import has_mask
from linnet.train.evaluation import final_metrics, measure_yardsticks, rows_at_once, token_window_losses, token_windows
from linnet.train.finished import finished
from linnet.train.record import check_same, locked, never_began, read_run
from linnet.train.resume import prepared_before
from linnet.train.run import Result, train
from linnet.train.settle import check_model
from linnet.train.spec import RunSpec

RUNS = Path("runs")
What = str | Path | RunSpec | dict[str, Any] | Sequence[str | Path]


@dataclass(frozen=True)
class Asked:
    """A run as it was asked for.

    spec     what it means
    table    what was written, as plain data
    name     what its folder is called, unless the run says another name
    """

    spec: RunSpec
    table: dict[str, Any]
    name: str


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
    (with resume), a RunSpec, or its plain table. `out`: the run folder; None: runs/NAME, numbered where that is taken.
    A run that is finished already is not trained again: what it came to is given back."""
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
        spec, table = read_run(folder), None
    else:
        asked = ask(what, minutes=minutes, steps=steps, set=set)
        spec, table = asked.spec, asked.table
        for line in passed_over(what, table) if not quiet else ():
            console.print(Text(line), soft_wrap=True)
        folder = folder or (RUNS / asked.name if resume else folder_of(asked))
    result = done_before(folder, spec, table, console, quiet=quiet) if resume else None
    if result is None:
        result = train(spec, folder, asked=table, resume=resume, console=console, quiet=quiet, began=began)
    elif (folder / "report.html").exists():
        return result
    if result.why != "interrupted" and has("matplotlib") and has("jinja2"):
        write_report(result.folder)
    return result


def ask(what: What, *, minutes: float | None = None, steps: int | None = None, set: Sequence[str] = ()) -> Asked:
    """What was asked for, with what was changed on the command line, read strictly. Raises ConfigError with all that is wrong."""
    if minutes is not None and steps is not None:
        raise ConfigError(explain(f"{minutes:g} minutes and {steps:,} steps", need="one of them", hint="leaving out the steps"))
    table, name, called = table_of(what)
    if (minutes is not None or steps is not None) and isinstance(table.get("train") or {}, dict):
        timing = {"minutes": minutes, "steps": steps}
        table["train"] = {key: value for key, value in (table.get("train") or {}).items() if key not in timing} | {
            key: value for key, value in timing.items() if value is not None
        }
    change(RunSpec, table, set)
    called = " ".join([called, *(f"with --set {' '.join(set)}" for _ in set[:1])])
    spec = load(RunSpec, table, name=called)
    try:
        check_model(spec, table)
    except ConfigError as error:
        raise ConfigError(f"{called}: {error}") from None
    return Asked(spec, table, name)


def table_of(what: What) -> tuple[dict[str, Any], str, str]:
    """What was asked as a plain table, a name for its folder, and what to call it in messages."""
    if isinstance(what, RunSpec):
        return dump(what), what.name or "run", "the run"
    if isinstance(what, dict):
        return deepcopy(what), str(what.get("name") or "run"), "the run"
    return asked_of(what)


def done_before(folder: Path, spec: RunSpec, asked: Any, console: Console, *, quiet: bool) -> Result | None:
    """What a finished run came to, and a word on it; None where it has still something to do, or was never begun."""
    if not (folder / "run.yaml").is_file():
        return None
    with locked(folder):
        result = finished(folder)
        if result is None:
            return None
        check_same(asked, spec, read_run(folder), folder)
    if not quiet:
        train = read_run(folder).train
        longer = f"--minutes {2 * train.minutes:g}" if train.minutes is not None else f"--steps {2 * result.step}"
        early = "stopped early, after" if result.why == "early stop" else "is finished, after"
        said = (
            f"{folder} {early} {result.step:,} steps. Nothing is left to do; this is what came of it.\n"
            f"To train longer, from the beginning: linnet train {folder}/run.yaml {longer}\n"
        )
        console.print(Text(said), soft_wrap=not console.is_terminal)
    return result


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


def folder_of(asked: Asked) -> Path:
    """Where a run goes that is given no folder."""
    return free_folder(asked.spec.name or asked.name)


def free_folder(name: str) -> Path:
    """runs/NAME, or the first of runs/NAME-2, -3 … that is not taken; a run that never began does not take its name."""
    folder, number = RUNS / name, 2
    while folder.exists() and not never_began(folder):
        folder, number = RUNS / f"{name}-{number}", number + 1
    return folder


def load_writer(folder: Path) -> tuple[Network, Tokenizer, Manifest]:
    """A run's model, if what it says of a text is how likely the text is. Raises ConfigError for one that sees ahead."""
    network, tokenizer, manifest = load_model(folder)
    check_writes(network.spec, "to be scored on a text", hint=EMBED)
    return network, tokenizer, manifest


def objective_of(folder: Path, network: Network, tokenizer: Tokenizer, manifest: Manifest) -> ObjectiveSpec:
    """What a model is asked when it is scored: the next token; of one that sees ahead, masked ones, as its run asked for them. Raises
    ConfigError for one that can be asked for neither."""
    if writes(network):
        return NextToken()
    if (folder / "run.yaml").is_file():
        return read_run(folder).objective
    if (is_headless(network) and manifest.data is None) or not has_mask(tokenizer):
        check_writes(network.spec, "to be scored on a text", hint=EMBED)
    return Masked()


def evaluate_run(folder: Path, text: Path | None = None) -> dict[str, Any]:
    """{"objective": what it is asked, "model": metrics with intervals, "yardsticks": rows}; yardsticks are trained on the run's training part."""
    network, tokenizer, manifest = load_model(Path(folder))
    asked = objective_of(Path(folder), network, tokenizer, manifest)
    objective = asked.bound(tokenizer)
    if network.encoder is not None and text is not None:
        raise DataError(
            explain("a text for a model that reads a source", need="--source and --target", hint="linnet eval --help")
        )
    prepared = find_prepared(Path(folder), tokenizer, manifest.data)
    context, mask = manifest.context_length, manifest.document_mask
    if text is None:
        if prepared is None:
            raise DataError(
                explain(
                    without_data(Path(folder)),
                    need="its data/ folder, or a text to score",
                    hint=f"linnet eval {folder} TEXT",
                )
            )
        scored = final_metrics(network, prepared, context, document_mask=mask, objective=objective)
        return {
            "objective": dump(asked),
            "model": scored.to_dict(),
            "yardsticks": measure_yardsticks(prepared, objective=objective),
        }
    if holds_conversations(str(text)):
        hint = "a source of kind: conversations with part: validation in a run, which linnet eval then scores by itself"
        raise DataError(explain(f"{text} holds conversations", need="a text", hint=hint))
    texts = [document.text for document in Files(path=str(text)).documents(seed=0)]
    whole = "".join(texts)
    if not whole.strip():
        raise DataError(explain(f"{text} is empty", need="some text to score"))
    ids, own = one_after_another(tokenizer, texts, begin_of(manifest))
    nats, counts = token_window_losses(
        network, ids, context, end_id=tokenizer.end_id, document_mask=mask, scored=own, objective=objective
    )
    scores: dict[str, Any] = {
        "objective": dump(asked),
        "model": metrics(
            nats,
            counts,
            n_bytes=len(whole.encode("utf-8", "surrogatepass")) if objective.adds_up else 0,
            n_words=sum(count_words(each) for each in texts) if objective.adds_up else 0,
            blocks=neighbours(len(nats)),
        ).to_dict(),
    }
    if prepared is not None:
        scores["yardsticks"] = measure_yardsticks(prepared, whole, ids[own], objective=objective)
    return scores


def positions_run(folder: Path, text: Path | None = None, *, length: int | None = None) -> list[Bucket]:
    """Loss by position, in buckets that double: of the run's validation part, or of a text, in rows of `length` tokens (None: those of
    training). Positions are counted in a document where the run kept documents apart, else in a row."""
    network, tokenizer, manifest = load_writer(Path(folder))
    demand_no_source(network, "--by-position", folder)
    n, mask = length or manifest.context_length, manifest.document_mask
    longest = network.spec.max_length
    if longest is not None and n > longest:
        raise ConfigError(explain(f"--length {n} for a model of {longest} positions", need=f"at most {longest}"))
    if text is not None:
        texts = [document.text for document in Files(path=str(text)).documents(seed=0)]
        if not any(map(tokenizer.encode, texts)):
            raise DataError(explain(f"{text} is empty", need="some text to score"))
        ids, own = one_after_another(tokenizer, texts, manifest.begin)
        batches: Iterable[Batch] = token_windows(ids[:-1], n, 1, end_id=tokenizer.end_id, document_mask=mask, scored=own)
    else:
        prepared = find_prepared(Path(folder), tokenizer, manifest.data)
        if prepared is None:
            hint = f"linnet eval {folder} TEXT --by-position"
            raise DataError(explain(without_data(Path(folder)), need="its data/ folder, or a text", hint=hint))
        together, rows = rows_at_once(n), prepared.spec.rows
        batches = evaluation_batches(prepared.validation, n, together, document_mask=mask, rows=rows)
    return by_position(network, batches, doubling(n))


def demand_no_source(network: Network, option: str, folder: Path) -> None:
    """Raise ConfigError for what can only be asked of a model that reads one text."""
    if network.encoder is not None:
        hint = f"linnet eval {folder}, or with --source and --target"
        raise ConfigError(explain(f"{option} for a model that reads a source", need="a model without an encoder", hint=hint))


def one_after_another(
    tokenizer: Tokenizer, texts: Sequence[str], begin: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The ids of texts, each with the end token behind it, and which of them are to be predicted: not those before a text.

    begin   what the model wants before every text; with none the end token stands before the first, as in training
    """
    ids, own = [] if begin else [tokenizer.end_id], [] if begin else [False]
    for each in texts:
        said = [*tokenizer.encode(each), tokenizer.end_id]
        ids += [*begin, *said]
        own += [False] * len(begin) + [True] * len(said)
    return np.array(ids, dtype=np.int64), np.array(own, dtype=np.bool_)


def passkey_run(folder: Path, lengths: Sequence[int], *, documents: int = 20, digits: int = 4) -> list[Retrieval]:
    """Keys that a run's model finds, by length and depth; see evaluate/passkey.py."""
    network, tokenizer, manifest = load_writer(Path(folder))
    demand_no_source(network, "--passkey", folder)
    longest = network.spec.max_length
    if longest is not None and max(lengths) > longest:
        raise ConfigError(explain(f"--length {max(lengths)} for a model of {longest} positions", need=f"at most {longest}"))
    return passkey_table(network, tokenizer, lengths, documents=documents, digits=digits, begin=manifest.begin)


def adapt_run(
    folder: Path,
    graft: str,
    out: Path | None = None,
    *,
    segment: int | None = None,
    gate: float | None = None,
    rule: str = "delta",
) -> tuple[Path, str]:
    """Write a run's model with grafted attention into a new folder; see model/graft.py. Gives the folder and a line on the model.
    Raises ConfigError where something cannot be carried, and then writes nothing."""
    folder = Path(folder)
    if graft not in GRAFTS:
        raise ConfigError(explain(f"--graft {graft}", need="a graft that there is", hint=nearest(graft, GRAFTS)))
    how = load(InfiniGraft, {"segment": segment, "gate": CLOSED if gate is None else gate, "rule": rule}, name=f"--graft {graft}")
    target = folder.with_name(f"{folder.absolute().name}-{graft}") if out is None else Path(out)
    if os.path.lexists(target):
        raise ConfigError(explain(f"{target} is there already", need="a new folder", hint="--out another"))
    network, tokenizer, manifest = load_model(folder)
    new = grafted(network, graft, how, context_length=manifest.context_length)
    made = make_manifest(
        new,
        tokenizer,
        context_length=manifest.context_length,
        document_mask=manifest.document_mask,
        data=manifest.data,
        template=template_of(manifest, folder),
        begin=manifest.begin,
        stop=manifest.stop,
    )
    with atomic_folder(target) as temporary:
        save_model(temporary, new, tokenizer, made)
        copy_terms(folder, temporary)
    return target, describe(new.spec)


def evaluate_translation(
    folder: Path,
    source: Path | None,
    target: Path | None,
    text: Path | None = None,
    *,
    beams: int = 5,
    length_penalty: float = 1.0,
) -> dict[str, Any]:
    """BLEU, its interval, chrF and sacrebleu's signature of a model's translations of one file beside another, line by line; and how long
    translating took. Raises DataError for files of unequal length, or with an empty line."""
    if source is None or target is None or text is not None:
        got = "--source alone" if target is None else "--target alone" if source is None else "a text to score and a source"
        raise ConfigError(explain(got, need="both --source and --target, and no text"))
    if not has("sacrebleu"):  # said before anything is translated
        need("sacrebleu", extra="translation", to="score translations")
    pairs = [(each[1], each[2]) for each in Pairs(source=str(source), target=str(target)).checked_pairs()]
    model = LanguageModel.load(folder)
    began = time.perf_counter()
    said = model.translate([each for each, _ in pairs], beams=beams, length_penalty=length_penalty)
    seconds = time.perf_counter() - began
    return translation_score(said, [each for _, each in pairs]).to_dict() | {"seconds": seconds}


def without_data(folder: Path) -> str:
    """What to say of a model whose prepared data is not there: of a run, and of one that was imported, adapted or saved."""
    trained = (folder / "run.yaml").exists()
    return f"{folder} has no prepared data{' any more' if trained else ': it was not trained here'}"


def find_prepared(folder: Path, tokenizer: Tokenizer, fingerprint: str | None) -> Prepared | None:
    """The prepared data of a run, if it is still there."""
    if (folder / "run.yaml").exists():
        return prepared_before(folder, tokenizer)
    path = folder / "data" / (fingerprint or "")
    return open_prepared(path, tokenizer) if fingerprint and (path / "index.json").exists() else None
