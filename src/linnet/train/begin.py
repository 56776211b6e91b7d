"""A run that begins from weights that exist, not from chance: `weights: FOLDER` in a run file.

What the run leaves open (model, tokenizer, context length) is the folder's own. A model that it does name may be another
sentence, as long as every weight has its place in it and none is left over: the same attention with a window less, or with
positions stretched. Only weights are taken over: the optimizer, the schedule and the steps begin anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from linnet.core.errors import CheckpointError, TokenizerError, explain
from linnet.core.spec import load
from linnet.interop.native import MANIFEST, load_model, read_manifest
from linnet.model.network import Network
from linnet.model.spec import Model
from linnet.model.weights import model_tensors, restore_model
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.spec import TokenizerFile
from linnet.train.settle import check_task
from linnet.train.spec import RunSpec
from linnet.zoo import Sentence


def begun_from(spec: RunSpec) -> RunSpec:
    """The run with what it leaves open filled in from the folder whose weights it begins with. Raises CheckpointError
    where the weights do not fit a model that it names, ConfigError where the model cannot learn what it reads, before any text is read."""
    if spec.weights is None:
        return spec
    folder = Path(spec.weights)
    if not (folder / MANIFEST).is_file():
        got = f"weights: {folder}, where there is no {MANIFEST}"
        raise CheckpointError(explain(got, need="the folder of a finished run or model", hint="linnet train … first"))
    manifest = read_manifest(folder)
    filled: dict[str, Any] = {}
    if spec.model == RunSpec.model_fields["model"].default:
        filled["model"] = Sentence(model=load(Model, manifest.model, path="model", name=f"{folder}/{MANIFEST}"))
    if spec.data.prepared is None and spec.tokenizer == RunSpec.model_fields["tokenizer"].default:
        filled["tokenizer"] = TokenizerFile(path=str(folder))
    if spec.train.context_length is None:
        filled["train"] = spec.train.replace(context_length=manifest.context_length)
    spec = spec.replace(**filled)
    sentence = spec.model.sentence(manifest.vocab_size)
    check_task(spec, sentence)
    with torch.device("meta"):
        empty = Network(sentence, seed=None)
    fill(empty, folder)
    return spec


def belongings(folder: Path) -> dict[str, Any]:
    """What goes with the weights in `folder` wherever they go: what begins a text, where writing stops, how conversations are written."""
    own = read_manifest(folder)
    return {"begin": own.begin, "stop": own.stop, "template": own.template}


def check_tokens(folder: Path, tokenizer: Tokenizer) -> None:
    """Raise TokenizerError for another tokenizer than that of the weights in `folder`."""
    own = read_manifest(folder)
    if own.tokenizer != tokenizer.fingerprint:
        got = f"weights: {folder}, whose tokenizer is not the run's ({own.vocab_size:,} and {tokenizer.vocab_size:,} ids)"
        raise TokenizerError(explain(got, need="tokens that mean the same", hint=f"tokenizer: {{kind: file, path: {folder}}}"))


def fill(network: Network, folder: Path) -> None:
    """Give a network the weights in `folder`. Raises CheckpointError for weights that have no place in the network, and for places
    that have no weight; then nothing was given."""
    given, _, _ = load_model(folder)
    try:
        restore_model(network, model_tensors(given))
    except CheckpointError as error:
        raise CheckpointError(f"weights: {folder}: {error}") from None
