"""linnet's own folder: what is saved is read back bit for bit, and whatever does not fit is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import linnet
import tiny_run
from linnet.core.errors import CheckpointError, LinnetError, TokenizerError
from linnet.core.spec import load
from linnet.interop.native import read_manifest, seal
from linnet.language_model import LanguageModel
from linnet.model import Network
from linnet.tokenizer.simple import ByteTokenizer, train_char
from linnet.zoo import Family

SHAPE = {"n_layers": 1, "n_heads": 2, "d_model": 8, "context_length": 16}


def model(family: str = "llama") -> LanguageModel:
    sentence = load(Family, {"kind": family} | SHAPE).sentence(257)  # type: ignore[type-abstract]
    return LanguageModel.assemble(Network(sentence, seed=2).eval(), ByteTokenizer(), context_length=16)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model().save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral", "qwen3", "linnet"])
def test_saved_and_read_gives_the_same_logits_bit_for_bit(tmp_path: Path, family: str) -> None:
    one = model(family)
    one.save(tmp_path / "model")
    other = linnet.load(tmp_path / "model")
    tokens = torch.arange(10)[None] * 3
    with torch.no_grad():
        logits = [each.network.logits(each.network(tokens).hidden) for each in (one, other)]
    assert torch.equal(*logits)
    assert (other.tokenizer.fingerprint, other.manifest.context_length) == (one.tokenizer.fingerprint, 16)
    other.save(tmp_path / "again")
    for name in ("model.safetensors", "tokenizer.json", "manifest.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


def test_no_flipped_bit_of_the_manifest_goes_by(saved: Path) -> None:
    whole = (saved / "manifest.json").read_bytes()
    table = json.loads(whole)
    for place in range(0, len(whole), 3):
        content = bytearray(whole)
        content[place] ^= 1 << (place % 7)
        (saved / "manifest.json").write_bytes(bytes(content))
        try:
            read_manifest(saved)
            assert json.loads(bytes(content)) == table  # white space
        except CheckpointError:
            continue


def resealed(folder: Path, **changes: Any) -> None:
    """A manifest that someone made, whole but of something else."""
    table = json.loads((folder / "manifest.json").read_text("utf-8")) | changes
    (folder / "manifest.json").write_text(json.dumps(table | {"sha256": seal(table)}), "utf-8")


def test_another_tokenizer_is_refused(saved: Path) -> None:
    train_char(["abc"]).save(saved / "tokenizer.json")
    with pytest.raises(
        TokenizerError, match=r"is not the model's tokenizer.*try: the tokenizer\.json that came with these weights"
    ):
        linnet.load(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "empty"])
def test_a_damaged_file_is_refused_by_name(saved: Path, name: str, damage: str) -> None:
    file = saved / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": bytes(content[:-5]), "flipped": bytes(content), "empty": b""}[damage])
    with pytest.raises(LinnetError, match=name.replace(".", r"\.")):
        linnet.load(saved)


def test_weights_of_another_shape_are_refused_with_every_name(saved: Path) -> None:
    sentence = load(Family, {"kind": "llama"} | SHAPE | {"d_ff": 40}).sentence(257)  # type: ignore[type-abstract]
    from linnet.core.spec import dump

    resealed(saved, model=dump(sentence))
    with pytest.raises(CheckpointError, match=r"3 problems(.|\n)*mixer\.gate\.weight has shape"):
        linnet.load(saved)


def test_a_manifest_of_another_format_or_with_other_keys_is_refused(saved: Path) -> None:
    resealed(saved, format=99)
    with pytest.raises(CheckpointError, match="format is 99; this linnet reads 1"):
        linnet.load(saved)
    resealed(saved, format=1, unknown=1)
    with pytest.raises(CheckpointError, match="unknown is not known"):
        linnet.load(saved)


def test_what_is_no_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no model at"):
        linnet.load(tmp_path / "nothing")
    unfinished = tiny_run.trained_copy(tmp_path / "run")
    (unfinished / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=rf"no finished model is in it.*linnet train {unfinished} --resume"):
        linnet.load(unfinished)


def test_the_api_of_a_model(tmp_path: Path) -> None:
    folder = tiny_run.trained_copy(tmp_path / "run")
    writer = linnet.load(folder)
    assert isinstance(writer, linnet.LanguageModel)
    assert writer.generate("Once", max_tokens=5) == writer.complete(["Once"], max_tokens=5)[0].text
    assert writer.score("Once upon a time") < writer.score("\x01\x02\x7f~~~")
    assert writer.score("") == float("inf")
    assert writer.score("long " * 50) > 0
    assert writer.to("cpu").network.device.type == "cpu"
    assert not list(folder.rglob("*.pt")) + list(folder.rglob("*.pkl"))
    shutil.rmtree(folder)
