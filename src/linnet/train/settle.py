"""Every choice that a run file leaves open, made before anything is built: vocabulary, size, batch, steps, dropout, decay."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from linnet.core.errors import BudgetError, ConfigError, explain
from linnet.core.spec import dump, load, refusal, word_of
from linnet.data.corpus import prepare_corpus
from linnet.data.loader import weights_of
from linnet.data.mixture import mixture_of
from linnet.data.prepared import Prepared, open_named
from linnet.data.spec import Rows
from linnet.data.walk import beginnings, tokens_a_pass
from linnet.data.workplace import Progress
from linnet.model.channel.moe import MoE
from linnet.model.count import count
from linnet.model.spec import Model
from linnet.objective.base import ObjectiveSpec
from linnet.tokenizer import Tokenizer, train_tokenizer
from linnet.tokenizer.load import FILE_NAME
from linnet.tokenizer.spec import TokenizerFile, TokenizerSpec
from linnet.train import plan
from linnet.train.estimate import estimate
from linnet.train.optimizers import Muon
from linnet.train.precision import Precision
from linnet.train.spec import RunSpec
from linnet.zoo import Decoder, Sentence

DEFAULT_CONTEXT = 256
SOME_VOCABULARY = 512  # any will do where only shapes are looked at
DEFAULT_STEPS = 2_000
MANY_PASSES = 4.0  # up to about so many, text read again teaches as new text does (2305.16264); not measured here
DROPOUT, WEIGHT_DECAY = 0.1, 0.1  # beyond that


def read_data(spec: RunSpec, folder: Path, tell: Progress) -> tuple[RunSpec, Prepared]:
    """The run's tokens: those that `data.prepared` names, or made of its text under `folder`; and the run with what they
    say of themselves written out."""
    if spec.data.prepared is None:
        return spec, prepare_corpus(spec.corpus, folder, tell)
    prepared = open_named(spec.data)
    path = prepared.folder / FILE_NAME
    made = load(TokenizerSpec, json.loads(prepared.recipe)) if prepared.recipe else TokenizerFile(path=str(path))
    if spec.corpus.tokenizer not in (spec.objective.with_special(RunSpec.model_fields["tokenizer"].default), made) and not (
        isinstance(spec.tokenizer, TokenizerFile) and same_tokenizer(spec.tokenizer, prepared.tokenizer)
    ):
        wanted = spec.corpus.tokenizer
        got = f"tokenizer: {dump(wanted)} beside tokens of {dump(made)}"
        again = f"linnet prepare with a run file that says objective: {word_of(type(spec.objective))}"
        hint = "leaving it out" if spec.tokenizer != made else again
        raise ConfigError(explain(got, need="the tokenizer that made them", hint=hint))
    return spec.replace(data=prepared.spec, tokenizer=made), prepared


def same_tokenizer(spec: TokenizerFile, tokenizer: Tokenizer) -> bool:
    """Whether a file holds this tokenizer."""
    return train_tokenizer(spec, ()).fingerprint == tokenizer.fingerprint


def context_of(spec: RunSpec, sentence: Model) -> int:
    """Tokens a row; raises ConfigError where the model has fewer positions than that."""
    wanted = spec.train.context_length or spec.model.reads or DEFAULT_CONTEXT
    longest = sentence.max_length
    if longest is not None and wanted > longest:
        raise ConfigError(
            explain(
                f"train.context_length = {wanted} for a model of {longest} positions",
                need=f"at most {longest}",
                hint=f"model.context_length: {wanted}",
            )
        )
    return wanted


def check_routers(sentence: Model) -> None:
    """Raise ConfigError for a mixture of experts whose router has no say in what comes out. One that was trained so can be imported."""
    encoder = () if sentence.encoder is None else sentence.encoder.parts()
    for part in (*sentence.decoder.parts(), *encoder):
        if isinstance(part, MoE) and part.n_experts > 1 and part.top_k == 1 and part.normalise:
            got = "top_k = 1 with weights that sum to one, so that each is 1 and the router learns nothing"
            raise ConfigError(explain(got, need="a weight that says something", hint="normalise: false, or a larger top_k"))


def check_sides(sentence: Model, rows: Rows) -> None:
    """Raise ConfigError for pairs and a model that reads no source, and for a model that reads one and no pairs."""
    if (sentence.encoder is not None) == (rows == "pairs"):
        return
    got, need = "pairs for a model that reads no source", "one with an encoder"
    if sentence.encoder is not None:
        got, need = "a model with an encoder for text that has no source", "data of pairs, or a model without an encoder"
    raise ConfigError(explain(got, need=need, hint="data: {sources: [{kind: pairs, …}]} and model: {kind: translate}"))


def seconds_for_training(spec: RunSpec, prepared: Prepared, began: float, peak_flops: float) -> float:
    """What a time budget leaves for the loop: without what is spent already and what the end will take.

    The end is one reading of the validation part, at 0.4 of the peak, and a few seconds for papers. Raises BudgetError
    where nothing is left.
    """
    assert spec.train.minutes is not None
    whole = spec.train.minutes * 60
    cost = count(spec.model.sentence(prepared.tokenizer.vocab_size), DEFAULT_CONTEXT).forward_flops
    end = 3.0 + prepared.validation.tokens * cost / (0.4 * peak_flops)
    spent = time.perf_counter() - began
    if spent + end >= whole:
        raise BudgetError(
            explain(
                f"{spec.train.minutes:g} minutes, of which reading the text took {spent:.0f} seconds and the final evaluation takes {end:.0f}",
                need="time left to train",
                hint=f"--minutes {max(1, round((spent + end) / 60 * 3))}",
            )
        )
    return whole - spent - end


def said(asked: Any, part: str) -> set[str]:
    """The names of what the user wrote under `part` of the run file."""
    table = asked.get(part) if isinstance(asked, dict) else None
    return set(table) if isinstance(table, dict) else set()


def is_sized(spec: RunSpec, asked: Any) -> bool:
    """Whether the user said how large the model is to be."""
    return not isinstance(spec.model, Decoder) or bool({"size", "n_layers", "d_model"} & said(asked, "model"))


def check_model(spec: RunSpec, asked: Any) -> None:
    """Raise ConfigError, before any text is read, where numbers of a family that are each right do not go together, and for a
    model that cannot be trained on what the run reads.

    A written-out sentence was checked when it was read; where a size is yet to be chosen, its numbers are not looked at.
    """
    try:
        sentence = spec.model.model if isinstance(spec.model, Sentence) else spec.model.sentence(SOME_VOCABULARY)
    except (ValidationError, ConfigError) as error:
        if spec.train.minutes is not None and not is_sized(spec, asked):
            return
        if isinstance(error, ValidationError):
            raise refusal(error, "model", "the model") from None
        raise
    if spec.weights is None:  # else the model is that of the weights, which begin.py looks at
        check_task(spec, sentence)


def check_task(spec: RunSpec, sentence: Model) -> None:
    """Raise ConfigError for a model that cannot learn what the run asks of it; of prepared tokens what they are is not known yet."""
    check_learns(sentence, spec.objective)
    if spec.data.prepared is None:
        check_sides(sentence, spec.data.rows)


def check_learns(sentence: Model, objective: ObjectiveSpec) -> None:
    """Raise ConfigError for a model that cannot learn what it is asked, and for a router that would learn nothing."""
    check_routers(sentence)
    objective.check(sentence)


def regularise(spec: RunSpec, asked: Any, passes: float) -> tuple[RunSpec, str]:
    """The spec with dropout and weight decay where text is read over and over, unless the user said how much; and a line on it.

    1 MB of Shakespeare read 8.5 times by 2.2 M parameters: 2.229 bits a byte at the best step without, then worse; 2.149 at
    the last step with both (docs/log.md).
    """
    if passes <= MANY_PASSES or not isinstance(spec.model, Decoder) or not isinstance(asked, dict):
        return spec, ""
    chosen = []
    if "dropout" not in said(asked, "model"):
        spec = spec.replace(model=spec.model.replace(dropout=DROPOUT))
        chosen.append(f"dropout {DROPOUT:g}")
    if isinstance(spec.optimizer, Muon) and "weight_decay" not in said(asked, "optimizer"):
        spec = spec.replace(optimizer=spec.optimizer.replace(weight_decay=WEIGHT_DECAY))
        chosen.append(f"weight decay {WEIGHT_DECAY:g}")
    line = f"the text is read {passes:.1f} times: {' and '.join(chosen)}, against learning it by heart" if chosen else ""
    return spec, line


def settle(
    spec: RunSpec,
    asked: Any,
    prepared: Prepared,
    *,
    precision: Precision,
    began: float,
    peak_flops: float,
    say: Callable[[str], None],
) -> RunSpec:
    """The spec with steps where nothing says how long, and with a size and a batch where a time budget decides them.

    Raises DataError for a text that is too short for one row, and for weights of which none is left, before anything is timed or said of it. Whoever leaves the size open leaves open, too, what keeps a model from learning a short text by heart.
    """
    context = spec.train.context_length or spec.model.reads or DEFAULT_CONTEXT
    for stream in prepared.train.streams:
        beginnings(stream, context, spec.data.rows)
    mixture_of(weights_of(prepared.train))
    if spec.train.minutes is None and spec.train.steps is None:
        spec = spec.replace(train=spec.train.replace(steps=DEFAULT_STEPS))
    if is_sized(spec, asked):
        return spec
    assert isinstance(spec.model, Decoder)
    different = tokens_a_pass(prepared.train, context, spec.data.rows)
    if spec.train.steps is not None:
        passes = spec.train.steps * spec.train.batch_size * context / different
    else:
        seconds = seconds_for_training(spec, prepared, began, peak_flops)
        best, tried = plan.choose(
            spec.model,
            prepared.tokenizer.vocab_size,
            different,
            seconds,
            objective=spec.objective.bound(prepared.tokenizer),
            optimizer=spec.optimizer,
            precision=precision,
            context=context,
            peak_flops=peak_flops,
        )
        keeps_rows = "batch_size" in said(asked, "train")

        def chosen(choice: plan.Choice) -> RunSpec:
            rows = spec.train.batch_size if keeps_rows else choice.rows
            return spec.replace(model=choice.family, train=spec.train.replace(batch_size=rows))

        run, n_validation = prepared.folder.parent.parent, prepared.validation.tokens
        needs = [estimate(chosen(each), run, each.cost, each.probe, n_validation, context, began, seconds) for each in tried]
        for line in plan.table(tried, best, needs, context):
            say(line)
        spec = chosen(best)
        passes = best.epochs
    spec, line = regularise(spec, asked, passes)
    if line:
        say(line)
    return spec
