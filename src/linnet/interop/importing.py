"""A Hugging Face folder as a finished run: looked over whole, then written whole.

    config.json · *.safetensors · tokenizer · chat template · where writing stops
      →  model.safetensors · tokenizer.json · manifest.json · model.yaml · import.json

Everything that does not fit is said at once, before anything is written: a family or a field that is not known, tensors that are
missing, left over or of another shape, a tokenizer of another size. Nothing of the folder is run, and no pickle is read.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from linnet.core.errors import CheckpointError, ConfigError, LinnetError, TokenizerError, explain, listing
from linnet.core.files import atomic_folder, read_json, sha256_file, write_json, write_text
from linnet.core.rules import import_
from linnet.core.spec import dump, refusal
from linnet.core.yaml import to_yaml
from linnet.interop.foreign_tokenizer import Foreign, fitted, read_foreign, table_of
from linnet.interop.huggingface import family_of, tied_names
from linnet.interop.native import JINJA, copy_terms, make_manifest, save_model
from linnet.interop.tensors import DTYPES, Header, Progress, each_tensor, look_over, wrong_dtypes
from linnet.model.network import Network
from linnet.model.spec import Model
from linnet.model.weights import model_tensors, restore_model
from linnet.zoo.family import HuggingFace, NotCovered

LENGTHS = ("max_position_embeddings", "n_positions")  # what configs call the context length
LAYERS = ("num_hidden_layers", "n_layer", "encoder_layers", "decoder_layers")  # what configs call the number of layers
MUCH_MORE = 2  # times the numbers that the weights hold: up to there what is missing is named tensor by tensor
IN_A_BYTE = 4  # weights of three values, where they are packed
NO_LENGTH = 2048  # tokens, for a model that reads any number of them and does not say how many it was taught


@dataclass(frozen=True)
class Found:
    """A folder that was looked over: everything that a run folder needs, and what is to be said of it."""

    folder: Path
    family: type[HuggingFace]
    network: Network
    foreign: Foreign
    context_length: int
    dtype: str
    notes: tuple[str, ...]

    @property
    def spec(self) -> Model:
        return self.network.spec


def import_folder(folder: Path, out: Path, progress: Progress | None = None) -> Found:
    """Make a run folder at `out` of a Hugging Face folder.

    Raises LinnetError with everything that does not fit, or where there is something at `out` already; then nothing is written.
    """
    out = Path(out)
    if os.path.lexists(out):
        raise LinnetError(explain(f"{out} is there already", need="a name that is free", hint="--out another"))
    found = read_import(folder, progress)
    with atomic_folder(out) as temporary:
        write_import(found, temporary)
    return found


def read_import(folder: Path, progress: Progress | None = None) -> Found:
    """Look a folder over and read its weights. Raises CheckpointError with everything that does not fit."""
    folder = Path(folder)
    if not folder.is_dir():
        hint = "linnet import FOLDER, where config.json and the safetensors are"
        raise CheckpointError(explain(f"there is no folder {folder}", need="a folder of Hugging Face", hint=hint))
    config = read_json(folder / "config.json", what="the config.json of a Hugging Face model", error=CheckpointError)
    if not isinstance(config, dict):
        raise CheckpointError(explain(f"{folder}/config.json holds no table", need="the config.json of a Hugging Face model"))
    headers, wrong = look_over(folder)
    problems = [] if wrong else too_deep(config, headers)
    family, spec = (None, None) if problems else sentence_of(config, problems)
    problems += wrong
    foreign = None
    try:
        foreign = read_foreign(folder, config)
        rows = spec.vocab_size if spec is not None else config.get("vocab_size")
        if isinstance(rows, int):
            foreign = fitted(foreign, rows)
    except (TokenizerError, CheckpointError) as error:
        problems.append(str(error))
    network = None
    if spec is not None and family is not None and not wrong:
        full = full_headers(headers, family.packed(config, headers), problems)
        held = sum(math.prod(header.shape) for header in full.values())
        if spec.n_params() > MUCH_MORE * held:  # nothing of that size is built to name every tensor that it lacks
            got = f"config.json says a model of {spec.n_params():,} parameters, and the weights are {held:,} numbers"
            problems.append(explain(got, need="a config.json and weights of one model", hint="the folder as it was published"))
        else:
            network = Network(spec, seed=None)
            check_weights(family, network, full, problems)
    if problems or family is None or network is None or foreign is None:
        raise CheckpointError(listing([indented(each) for each in problems], f"{folder} cannot be imported"))
    fill(family, network, config, headers, progress, folder)
    notes = list(foreign.notes)
    length = context_of(config, network.spec, folder, notes)
    kinds = sorted({header.dtype for header in headers.values()})
    if "U8" in kinds:
        notes.append("weights of three values, four in a byte, are kept as full ones in float32 that round to the same")
    elif kinds != ["F32"]:
        notes.append(f"weights of {', '.join(kinds)} are kept as float32, which holds them exactly")
    return Found(folder, family, network, foreign, length, ", ".join(kinds), tuple(notes))


def too_deep(config: Mapping[str, Any], headers: Mapping[str, Header]) -> list[str]:
    """What says more layers than there are tensors, before anything is made for each of them."""
    said = {key: config[key] for key in LAYERS if isinstance(config.get(key), int)}
    need = "at least a tensor a layer"
    return [
        explain(f"config.json: {key} = {n:,}, and the weights are {len(headers):,} tensors", need=need)
        for key, n in said.items()
        if n > len(headers)
    ]


def indented(problem: str) -> str:
    """A problem that is a list of its own, under one of ours."""
    return problem.replace("\n", "\n  ")


def sentence_of(config: dict[str, Any], problems: list[str]) -> tuple[type[HuggingFace] | None, Model | None]:
    """The family and the sentence of a config.json; None where there is none, and why among the problems.

    A config with fields that linnet does not know is a problem; the sentence is that of the others, so that weights are looked over, too.
    """
    family = None
    try:
        family = family_of(config)
        return family, family.from_hf(config)
    except KeyError as error:
        problems.append(f"config.json has no {error.args[0]}, which a {config.get('model_type')} needs")
    except ValidationError as error:
        problems.append(str(refusal(error, name="config.json")))
    except NotCovered as error:
        problems.append(f"config.json: {error}")
        if error.unknown:
            return sentence_of({key: value for key, value in config.items() if key not in error.unknown}, problems)
    except ConfigError as error:
        problems.append(f"config.json: {error}")
    except (TypeError, AttributeError, ZeroDivisionError) as error:
        problems.append(f"config.json: a value of another kind than a {config.get('model_type')} has ({error})")
    return family, None


def full_headers(headers: Mapping[str, Header], packed: Mapping[str, str], problems: list[str]) -> dict[str, Header]:
    """The headers with packed tensors as they will be once unpacked, and without scales.

    packed   name of each that is packed → name of its scale

    Adds to `problems` those whose bytes or scale cannot be what they have to be.
    """
    full = {name: header for name, header in headers.items() if name not in packed.values()}
    for name, scale in packed.items():
        rows, *rest = full[name].shape or (0,)
        if full[name].dtype != "U8":
            problems.append(f"{name} is {full[name].dtype} beside {scale}; needed: U8, {IN_A_BYTE} weights in a byte")
        full[name] = replace(full[name], shape=(IN_A_BYTE * rows, *rest), dtype="F32")
        if math.prod(headers[scale].shape) != 1 or headers[scale].dtype not in DTYPES:
            problems.append(f"{scale} is {headers[scale].dtype} of shape {list(headers[scale].shape)}; needed: one number")
    return full


def check_weights(family: type[HuggingFace], network: Network, headers: Mapping[str, Header], problems: list[str]) -> None:
    """What is missing, left over, of another shape or dtype, by the headers alone."""
    ignored = family.ignored + tied_names(network)
    hollow = {name: torch.empty(header.shape, device="meta") for name, header in headers.items()}
    shapes = {name: tensor.shape for name, tensor in model_tensors(network).items()}
    try:
        import_(family.rules_for(network.spec, hollow), hollow, shapes, ignored)
    except CheckpointError as error:
        problems.append(str(error))
    used = {name: header for name, header in headers.items() if not any(re.fullmatch(each, name) for each in ignored)}
    problems += wrong_dtypes(used)


def fill(
    family: type[HuggingFace],
    network: Network,
    config: dict[str, Any],
    headers: Mapping[str, Header],
    progress: Progress | None,
    folder: Path,
) -> None:
    """Put the weights into the network. Raises CheckpointError for numbers that are none, and a tied head that is not tied."""
    theirs = family.full(config, dict(each_tensor(headers, progress)))
    ignored = family.ignored + tied_names(network)
    shapes = {name: tensor.shape for name, tensor in model_tensors(network).items()}
    rules = family.rules_for(network.spec, theirs)
    problems = [
        f"{name} holds numbers that are not finite" for name, tensor in theirs.items() if not bool(tensor.isfinite().all())
    ]
    head, embedding = theirs.get("lm_head.weight"), next((rule.theirs for rule in rules if rule.ours == "embedding.weight"), "")
    if network.spec.head.tied and head is not None and embedding in theirs and not torch.equal(head, theirs[embedding]):
        problems.append(f"config.json says that the head is the embedding's matrix, but lm_head.weight differs from {embedding}")
    if problems:
        raise CheckpointError(listing(problems, f"{folder} cannot be imported"))
    restore_model(network, import_(rules, theirs, shapes, ignored))


def context_of(config: Mapping[str, Any], spec: Model, folder: Path, notes: list[str]) -> int:
    """How many tokens the model reads: as many as it has positions, else what its config says, else its tokenizer's, else a guess that is said."""
    said = spec.max_length or next((config[key] for key in LENGTHS if isinstance(config.get(key), int)), None)
    if said:
        return int(said)
    length = table_of(folder / "tokenizer_config.json").get("model_max_length")
    if isinstance(length, int) and 0 < length < 10**7:
        return length
    notes.append(f"nothing says how many tokens it was taught to read: {NO_LENGTH:,} is written down")
    return NO_LENGTH


def write_import(found: Found, folder: Path) -> None:
    """Write the run folder's files."""
    foreign = found.foreign
    manifest = make_manifest(
        found.network,
        foreign.tokenizer,
        context_length=found.context_length,
        document_mask=False,
        template=foreign.template,
        begin=foreign.begin,
        stop=foreign.stop,
    )
    save_model(folder, found.network, foreign.tokenizer, manifest)
    about = f"# The sentence of {found.folder.name}, written out: `model:` of a run file that trains one of this shape.\n"
    write_text(folder / "model.yaml", about + to_yaml({"model": {"kind": "sentence", "model": dump(found.spec)}}))
    if foreign.jinja is not None:
        write_text(folder / JINJA, foreign.jinja)
    copy_terms(found.folder, folder, template=False)
    sources = sorted(
        path for path in found.folder.iterdir() if path.is_file() and path.suffix in (".json", ".safetensors", ".model", ".txt")
    )
    record = {
        "from": str(found.folder),
        "family": found.family.model_type,
        "dtype": found.dtype,
        "notes": list(found.notes),
        "files": {path.name: sha256_file(path) for path in sources},
    }
    write_json(folder / "import.json", record)


def same_weights(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Whether two sets of weights are the same, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
