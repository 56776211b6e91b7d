"""linnet's own model folder: weights, tokenizer and a manifest that says how they belong together.

    model.safetensors · tokenizer.json · manifest.json

The manifest is checked wherever a model is picked up: a tokenizer that is not the model's, weights that were cut or
changed, a sentence that the weights do not fit, each raise before anything is used. Nothing in the folder is executed.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from linnet.core.errors import CheckpointError, ConfigError, TokenizerError, explain, listing
from linnet.core.files import atomic_path, read_json, sha256_bytes, sha256_file, write_bytes, write_json, write_tensors
from linnet.core.refusals import kind_of
from linnet.core.spec import dump, load
from linnet.core.version import __version__
from linnet.model.network import Network
from linnet.model.spec import Model
from linnet.model.weights import model_tensors, restore_model
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.chat import ChatTemplate
from linnet.tokenizer.load import load_tokenizer

FORMAT = 1
WEIGHTS, TOKENIZER, MANIFEST = "model.safetensors", "tokenizer.json", "manifest.json"
JINJA = "chat_template.jinja"  # of an import, in words that linnet has none for
LICENSES = ("LICENSE*", "LICENCE*", "NOTICE*")


@dataclass(frozen=True)
class Manifest:
    """What a model's files have to agree on.

    model            the sentence, as plain data
    context_length   tokens a row in training: further than that it was never asked to read
    document_mask    whether documents were kept apart in training
    special          name → id of the tokenizer's special tokens
    tokenizer        the tokenizer's fingerprint
    data             fingerprint of the prepared data, None where unknown
    template         how conversations are written down, as plain data; None for a model that was taught none
    begin            ids that stand before every text, as some models of others want it
    stop             ids at which writing stops, beside the one that ends a document
    weights          SHA-256 and size of model.safetensors
    sha256           of all other fields
    """

    model: dict[str, Any]
    context_length: int
    document_mask: bool
    special: dict[str, int]
    tokenizer: str
    vocab_size: int
    dtype: str = "float32"
    data: str | None = None
    template: dict[str, Any] | None = None
    begin: list[int] = field(default_factory=list)
    stop: list[int] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT
    sha256: str = ""


def make_manifest(
    network: Network,
    tokenizer: Tokenizer,
    *,
    context_length: int,
    document_mask: bool,
    data: str | None = None,
    template: ChatTemplate | None = None,
    begin: Sequence[int] = (),
    stop: Sequence[int] = (),
) -> Manifest:
    """The manifest of a model that is about to be saved. Raises TokenizerError for a template that the tokenizer cannot write."""
    if template is not None:
        template.check(tokenizer)
    return Manifest(
        model=dump(network.spec),
        context_length=context_length,
        document_mask=document_mask,
        special=dict(tokenizer.special),
        tokenizer=tokenizer.fingerprint,
        vocab_size=tokenizer.vocab_size,
        data=data,
        template=dump(template),
        begin=list(begin),
        stop=list(stop),
        versions={"linnet": __version__, "torch": torch.__version__, "python": platform.python_version()},
    )


def begin_of(manifest: Manifest) -> list[int]:
    """What stands before a text that the model reads: as its manifest says, or [CLS] where its tokenizer has that, as BERT's have."""
    first = manifest.special.get("[CLS]")
    return manifest.begin or ([] if first is None else [first])


def save_model(folder: Path, network: Network, tokenizer: Tokenizer, manifest: Manifest) -> None:
    """Write the three files into `folder`, each whole or not at all, the manifest last."""
    folder = Path(folder)
    tokenizer.save(folder / TOKENIZER)
    with atomic_path(folder / WEIGHTS) as temporary:
        write_tensors(temporary, model_tensors(network))
    facts = {"sha256": sha256_file(folder / WEIGHTS), "bytes": (folder / WEIGHTS).stat().st_size}
    table = asdict(manifest) | {"weights": facts}
    write_json(folder / MANIFEST, table | {"sha256": seal(table)})


def licenses_of(folder: Path) -> tuple[Path, ...]:
    """The files that say under what terms the weights in `folder` may be used."""
    return tuple(file for pattern in LICENSES for file in sorted(Path(folder).glob(pattern)) if file.is_file())


def copy_terms(model: Path, folder: Path, *, template: bool = True) -> None:
    """Copy into `folder` what goes wherever a model's weights go: its licenses and, with `template`, its chat template."""
    jinja = Path(model) / JINJA
    for file in (*licenses_of(model), *([jinja] if template and jinja.is_file() else [])):
        write_bytes(Path(folder) / file.name, file.read_bytes())


def seal(table: dict[str, Any]) -> str:
    """SHA-256 of a manifest's fields, itself left out: a digit that changes in `eps` or `n_heads` fits all weights."""
    fields = {key: value for key, value in table.items() if key != "sha256"}
    return sha256_bytes(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def read_manifest(folder: Path) -> Manifest:
    """Read and check manifest.json; raises CheckpointError with all that is wrong."""
    table = read_json(Path(folder) / MANIFEST, what="the manifest of a linnet model", error=CheckpointError)
    known = set(Manifest.__dataclass_fields__)
    if not isinstance(table, dict):
        raise CheckpointError(explain(f"{folder}/{MANIFEST} holds {kind_of(table)}", need="a table"))
    problems = [f"{key} is not known" for key in table if key not in known]
    needed = ("model", "context_length", "document_mask", "special", "tokenizer", "vocab_size", "weights", "format", "sha256")
    problems += [f"{key} is missing" for key in needed if key not in table]
    if table.get("format", FORMAT) != FORMAT:
        problems.append(f"format is {table['format']!r}; this linnet reads {FORMAT}")
    if not problems and table["sha256"] != seal(table):
        problems.append(
            "it was changed: its SHA-256 is not the one it was saved with; try: an undamaged copy, or saving the model anew"
        )
    if problems:
        raise CheckpointError(listing(problems, f"{folder}/{MANIFEST}"))
    return Manifest(**table)


def template_of(manifest: Manifest, folder: Path | str = "the model") -> ChatTemplate | None:
    """How the model's conversations are written down; None where it was taught none. Raises CheckpointError for one that is not known."""
    if manifest.template is None:
        return None
    try:
        return load(ChatTemplate, manifest.template, path="template", name=f"{folder}/{MANIFEST}")
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


def load_model(folder: Path, *, device: torch.device | str = "cpu") -> tuple[Network, Tokenizer, Manifest]:
    """Read a model folder, everything verified before anything is built."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(
            explain(f"there is no model at {folder}", need="a run folder or a model folder", hint="linnet train … first")
        )
    if not (folder / MANIFEST).exists():
        hint = f"linnet train {folder} --resume" if (folder / "run.yaml").exists() else "a folder that linnet train has made"
        raise CheckpointError(
            explain(f"{folder} has no {MANIFEST}: no finished model is in it", need="a run that has ended", hint=hint)
        )
    manifest = read_manifest(folder)
    tokenizer = load_tokenizer(folder / TOKENIZER)
    if tokenizer.fingerprint != manifest.tokenizer:
        raise TokenizerError(
            explain(
                f"{folder / TOKENIZER} is not the model's tokenizer (fingerprint {tokenizer.fingerprint[:12]}…, the model's is {manifest.tokenizer[:12]}…)",
                need="the tokenizer the model was trained with",
                hint="the tokenizer.json that came with these weights",
            )
        )
    template = template_of(manifest, folder)
    if template is not None:
        template.check(tokenizer)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise CheckpointError(explain(f"{weights} is missing", need="the weights"))
    if weights.stat().st_size != manifest.weights["bytes"]:
        raise CheckpointError(
            explain(
                f"{weights} has {weights.stat().st_size:,} bytes",
                need=f"{manifest.weights['bytes']:,}: it was truncated or replaced",
                hint="an undamaged copy",
            )
        )
    if sha256_file(weights) != manifest.weights["sha256"]:
        raise CheckpointError(
            explain(
                f"{weights} was changed: its SHA-256 is not the manifest's",
                need="the file as it was saved",
                hint="an undamaged copy",
            )
        )
    try:
        tensors = load_file(weights)
    except SafetensorError as error:
        raise CheckpointError(explain(f"{weights} cannot be read ({error})", need="a safetensors file")) from error
    network = Network(load(Model, manifest.model, path="model", name=f"{folder}/{MANIFEST}"), seed=None)
    restore_model(network, tensors)
    return network.to(device).eval(), tokenizer, manifest
