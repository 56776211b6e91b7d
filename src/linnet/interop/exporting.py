"""A run as a Hugging Face folder, with a certificate that says it is the same model, or not at all.

    config.json · model.safetensors · tokenizer.json · tokenizer_config.json · chat_template.jinja
    generation_config.json · README.md · LICENSE where the run has one · certificate.md · certificate.json

The folder is written under a temporary name, read back and compared (interop/certify.py); only then it gets its name.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from linnet.core.errors import CheckpointError, ConfigError, LinnetError, explain
from linnet.core.files import atomic_folder, read_json, write_json, write_text
from linnet.core.names import nearest
from linnet.core.version import __version__
from linnet.core.yaml import read_yaml
from linnet.interop.certificate import Certificate
from linnet.interop.certify import certify
from linnet.interop.chat_jinja import jinja_of
from linnet.interop.huggingface import export_network, families
from linnet.interop.native import Manifest, licenses_of, load_model, template_of
from linnet.interop.tensors import LARGEST_FILE, Progress, write_parts
from linnet.model.causal import is_headless, writes
from linnet.model.describe import describe
from linnet.model.network import Network
from linnet.model.weights import model_tensors, restore_model
from linnet.tokenizer.chat import ChatTemplate
from linnet.tokenizer.mask import has_mask, mask_name
from linnet.tokenizer.pieces import PieceTokenizer
from linnet.tokenizer.simple import UNKNOWN, CharTokenizer
from linnet.tokenizer.vocabulary import TableTokenizer
from linnet.tokenizer.wordpiece import WordPieceTokenizer
from linnet.zoo.family import HuggingFace

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
PADS = ("<pad>", "[PAD]", "<|pad|>")


@dataclass(frozen=True)
class Model:
    """What is exported: a finished model, and as what.

    asked    the network as it is in the run
    network  the same with its weights as `dtype` holds them
    """

    run: Path
    asked: Network
    network: Network
    tokenizer: TableTokenizer
    manifest: Manifest
    template: ChatTemplate | None
    family: type[HuggingFace]
    dtype: str
    license: tuple[Path, ...]

    @property
    def stops(self) -> tuple[int, ...]:
        """Where writing stops: the end of a document, what the manifest says, and the template's mark."""
        marks = self.template.marks(self.tokenizer) if self.template is not None else ()
        return tuple(dict.fromkeys((self.tokenizer.end_id, *self.manifest.stop, *marks)))


def export_run(
    run: Path,
    out: Path,
    *,
    dtype: str = "float32",
    unchecked: bool = False,
    progress: Progress | None = None,
    largest: int = LARGEST_FILE,
) -> Certificate:
    """Write a Hugging Face folder of a finished run at `out`, and certify it.

    unchecked   go without the lines that only `transformers` can check, where it is not installed

    Raises LinnetError where there is something at `out`, for a model that no family of Hugging Face has, and CertificateError where a
    line of the certificate failed: nothing is left at `out` then.
    """
    run, out = Path(run), Path(out)
    if os.path.lexists(out):
        raise LinnetError(explain(f"{out} is there already", need="a name that is free", hint="--out another"))
    if dtype not in DTYPES:
        raise LinnetError(explain(f"--dtype {dtype}", need=f"one of {', '.join(DTYPES)}", hint=nearest(dtype, DTYPES)))
    model = read_run_model(run, dtype)
    with atomic_folder(out) as temporary:
        write_export(model, temporary, largest=largest, progress=progress)
        certificate = certify(model, temporary, progress=progress)
        certificate.demand(unchecked=unchecked)
        certificate.write(temporary, name=out.name)
    return certificate


def read_run_model(run: Path, dtype: str) -> Model:
    """A finished model, its family, and its weights as the dtype holds them."""
    network, tokenizer, manifest = load_model(run)
    if not isinstance(tokenizer, TableTokenizer):
        raise LinnetError(f"{type(tokenizer).__name__} has no form in tokenizer.json")
    family = family_for(network, manifest.context_length, prefer=family_said(run))
    rounded = network
    if dtype != "float32":
        rounded = Network(network.spec, seed=None).eval()
        restore_model(rounded, {name: each.to(DTYPES[dtype]).to(torch.float32) for name, each in model_tensors(network).items()})
        lost = [name for name, each in model_tensors(rounded).items() if not bool(each.isfinite().all())]
        if lost:
            got = f"{lost[0]} has numbers that {dtype} cannot hold"
            raise LinnetError(explain(got, need="a wider one", hint="--dtype bfloat16, or float32"))
    return Model(run, network, rounded, tokenizer, manifest, template_of(manifest, run), family, dtype, licenses_of(run))


def family_said(run: Path) -> str | None:
    """What family a run says it is of: import.json's, or run.yaml's."""
    try:
        if (run / "import.json").is_file():
            return str(read_json(run / "import.json", what="the record of an import")["family"])
        return str(read_yaml(run / "run.yaml")["resolved"]["model"]["kind"])
    except (LinnetError, OSError, KeyError, TypeError):
        return None


def family_for(network: Network, context_length: int, *, prefer: str | None) -> type[HuggingFace]:
    """The family of Hugging Face that says this sentence. Raises ConfigError where none does, and why the preferred one does not."""
    known = families()
    ordered = sorted(known, key=lambda name: (name != prefer, list(known).index(name)))
    why: dict[str, str] = {}
    for name in ordered:
        try:
            export_network(network, known[name], context_length)
        except (AssertionError, AttributeError, ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
            why[name] = str(error)
            continue
        return known[name]
    said = f" ({why[prefer]})" if prefer is not None and why.get(prefer) else ""
    raise ConfigError(
        explain(
            f"a model that Hugging Face has no family for: {describe(network.spec)}{said}",
            need=f"a sentence of {', '.join(sorted(known))}",
            hint=f"--set model={'llama' if network.encoder is None else 'marian'} when it is trained",
        )
    )


def write_export(model: Model, folder: Path, *, largest: int = LARGEST_FILE, progress: Progress | None = None) -> None:
    """Write everything but the certificate."""
    config, tensors = export_network(model.network, model.family, model.manifest.context_length)
    begin, stops = model.manifest.begin, list(model.stops)
    ids = {"bos_token_id": begin[0] if begin else None, "eos_token_id": stops[0] if len(stops) == 1 else stops}
    if model.network.encoder is not None:  # an answer begins with the end token, and may end where it likes
        ids |= {"decoder_start_token_id": model.tokenizer.end_id, "forced_eos_token_id": None}
    write_json(folder / "config.json", config | ids | {"torch_dtype": model.dtype})
    write_parts(
        folder, {name: each.to(DTYPES[model.dtype]) for name, each in tensors.items()}, largest=largest, progress=progress
    )
    write_text(folder / "tokenizer.json", tokenizer_json(model))
    names = special_names(model)
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.manifest.context_length,
        "clean_up_tokenization_spaces": False,
        **names,
    }
    if model.template is not None:
        settings["chat_template"] = jinja_of(model.template, end=model.tokenizer.end)
        write_text(folder / "chat_template.jinja", settings["chat_template"])
    elif (model.run / "chat_template.jinja").is_file():  # of an import, in words that linnet has none for
        shutil.copyfile(model.run / "chat_template.jinja", folder / "chat_template.jinja")
    write_json(folder / "tokenizer_config.json", settings)
    generation = {key: value for key, value in ids.items() if value is not None}
    pad = {"pad_token_id": model.tokenizer.special[names["pad_token"]]}
    write_json(folder / "generation_config.json", generation | pad | {"do_sample": False})
    for file in model.license:
        shutil.copyfile(file, folder / file.name)
    write_text(folder / "README.md", card(model))


def special_names(model: Model) -> dict[str, str]:
    """bos_token, eos_token … for tokenizer_config.json."""
    tokenizer, begin = model.tokenizer, model.manifest.begin
    by_id = {token_id: name for name, token_id in tokenizer.special.items()}
    names = {"eos_token": tokenizer.end}
    if begin:
        names["bos_token"] = by_id[begin[0]]
    match tokenizer:
        case PieceTokenizer():
            names["unk_token"] = next(piece.text for piece in tokenizer.pieces if piece.kind == "unknown")
        case WordPieceTokenizer():
            here = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
            names |= {key: name for key, name in here.items() if name in tokenizer.special}
        case CharTokenizer():
            names["unk_token"] = UNKNOWN
    if has_mask(tokenizer):
        names["mask_token"] = mask_name(tokenizer)
    names["pad_token"] = next((name for name in PADS if name in tokenizer.special), tokenizer.end)
    return names


def tokenizer_json(model: Model) -> str:
    """The tokenizer's file, with what begins every text as its post-processor."""
    begin = model.manifest.begin
    if not begin:
        return model.tokenizer.to_json()
    by_id = {token_id: name for name, token_id in model.tokenizer.special.items()}
    names = [by_id[each] for each in begin]

    def before(kind: int) -> list[dict[str, Any]]:
        return [{"SpecialToken": {"id": name, "type_id": kind}} for name in names]

    after = {
        "type": "TemplateProcessing",
        "single": [*before(0), {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [*before(0), {"Sequence": {"id": "A", "type_id": 0}}, *before(1), {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {name: {"id": name, "ids": [each], "tokens": [name]} for name, each in zip(names, begin, strict=True)},
    }
    content = json.loads(model.tokenizer.to_json()) | {"post_processor": after}
    return json.dumps(content, separators=(",\n", ": "), ensure_ascii=False) + "\n"


def card(model: Model) -> str:
    """README.md, the model card: what it is, what it was trained on as far as the run says, how to use it."""
    spec, manifest = model.network.spec, model.manifest
    conversations = getattr(model.template, "kind", None) or "none was taught"
    rows = {
        "family": model.family.model_type,
        "sentence": describe(spec),
        "parameters": f"{spec.n_params():,}",
        "weights": model.dtype,
        "tokens": f"{model.tokenizer.vocab_size:,} ids, {model.tokenizer.kind}",
        "context": f"{manifest.context_length:,} tokens",
        "conversations": conversations,
        **scores(model.run),
    }
    licensed = ", ".join(file.name for file in model.license)
    terms = (
        f"See {licensed}, which came with the model."
        if licensed
        else "Nothing in the run says under what terms this model may be used."
    )
    lines = [
        "---", "library_name: transformers", "pipeline_tag: text-generation", "tags: [linnet]", "---", "", f"# {model.run.resolve().name}", "",
        f"Exported by linnet {__version__}. What was compared with the run, and how closely, is in certificate.md.", "",
        "| | |", "|---|---|", *(f"| {word} | {text} |" for word, text in rows.items()), "", "## Use", "",
        "```python", "from transformers import AutoModelForCausalLM, AutoTokenizer", "", 'model = AutoModelForCausalLM.from_pretrained(".")',
        'tokenizer = AutoTokenizer.from_pretrained(".")', "```", "", "## License", "", terms, "",
    ]  # fmt: skip
    if not writes(model.network):
        headless = is_headless(model.network)
        lines[2] = f"pipeline_tag: {'feature-extraction' if headless else 'fill-mask'}"
        kind = "AutoModel" if headless else "AutoModelForMaskedLM"
        lines = [line.replace("AutoModelForCausalLM", kind) for line in lines]
    if model.network.encoder is not None:
        lines[2] = "pipeline_tag: translation"
        lines = [line.replace("AutoModelForCausalLM", "AutoModelForSeq2SeqLM") for line in lines]
    if model.family.usage:
        loaded = lines.index("```", lines.index("```python"))
        lines[loaded:loaded] = ["", *model.family.usage]
        lines.insert(lines.index("```python") + 1, "import torch")
    return "\n".join(lines)


def scores(run: Path) -> Mapping[str, str]:
    """What the run's evaluation says, where there is one."""
    try:
        found = read_json(run / "evaluation.json", what="an evaluation", error=CheckpointError)["model"]
        return {"nats a token, validation": f"{found['nats_per_token']['value']:.3f}"}
    except (LinnetError, OSError, KeyError, TypeError, ValueError):
        return {}


def default_out(run: Path) -> Path:
    """Where an export goes that is given no folder: into the run's."""
    return Path(run) / "hf"
