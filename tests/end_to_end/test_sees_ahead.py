"""A model that sees what comes next is refused as a language model, before any text is read: trained, written with, scored, compared."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import torch

from linnet.core.errors import ConfigError
from linnet.core.spec import load
from linnet.generate.beam import Beam, beam_search
from linnet.generate.decode import score_tokens
from linnet.language_model import LanguageModel
from linnet.model import Attention, Gated, Network
from linnet.model.causal import writes
from linnet.tokenizer import train_tokenizer
from linnet.tokenizer.spec import TokenizerSpec
from linnet.train.settle import check_model
from linnet.train.spec import RunSpec
from linnet.zoo import Bert, Llama, Translate
from tiny_run import go, linnet, tiny, write_yaml

SMALL = {"n_layers": 1, "n_heads": 2, "d_model": 16, "context_length": 24}
BERT = {"kind": "bert", **SMALL}


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """The folder of a model that sees both ways."""
    tokenizer = train_tokenizer(load(TokenizerSpec, {"kind": "byte"}), ())  # type: ignore[type-abstract]
    network = Network(Bert(**SMALL).sentence(tokenizer.vocab_size), seed=0)
    LanguageModel.assemble(network, tokenizer, context_length=24).save(tmp_path / "bert")
    return tmp_path / "bert"


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    code, _, error = linnet(capsys, *words)
    said = " ".join(error.split())
    assert code == 2, said
    assert "a model that sees what comes next" in said
    assert "try:" in said
    return said


def test_which_models_write() -> None:
    both_ways = Attention(n_heads=2, causal=False)
    assert both_ways.sees_ahead
    assert Gated(mixer=Attention(n_heads=2), gate=both_ways).sees_ahead
    assert Gated(mixer=both_ways, gate=Attention(n_heads=2)).sees_ahead
    for family, expected in ((Bert, False), (Llama, True), (Translate, True)):  # an encoder may see all of its source
        assert writes(Network(family(**SMALL).sentence(50))) is expected


def test_training_is_refused_before_the_text_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tiny(model=BERT, data={"sources": [{"kind": "files", "path": str(tmp_path / "none.txt")}]})
    file = write_yaml(tmp_path / "run.yaml", table)
    for words in (("train", file, "--out", tmp_path / "run"), ("plan", file), ("train", file, "--minutes", "1")):
        assert "run.yaml" in refused(capsys, *words)
    text = tmp_path / "text.txt"
    text.write_text("One day. " * 90)
    refused(
        capsys, "train", text, "--minutes", "1", "--set", "model=bert", "--out", tmp_path / "run"
    )  # of a size that is yet to be chosen
    assert not (tmp_path / "run").exists()


def test_training_without_the_command_and_from_weights(tmp_path: Path, encoder: Path) -> None:
    with pytest.raises(ConfigError, match="to learn to predict the next token"):
        go(tmp_path / "run", tiny(model=BERT))
    table = tiny() | {"weights": str(encoder)}
    del table["model"], table["tokenizer"]
    table["data"] = {"sources": [{"kind": "files", "path": str(tmp_path / "none.txt")}]}
    with pytest.raises(ConfigError, match="to learn to predict the next token"):
        go(tmp_path / "after", table)


def test_writing_and_scoring_are_refused(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    none = tmp_path / "none.txt"
    for words in (
        ("generate", encoder, "One"),
        ("generate", encoder, "-"),
        ("eval", encoder, none),
        ("eval", encoder),
        ("eval", encoder, none, "--by-position"),
        ("eval", encoder, "--passkey", "--length", "20"),
    ):
        assert "linnet.generate.embed" in refused(capsys, *words)
    network = LanguageModel.load(encoder).network
    with pytest.raises(ConfigError, match="to say how likely"):
        score_tokens(network, [1, 2, 3])
    with pytest.raises(ConfigError, match="to write"):
        beam_search(network, torch.ones(1, 2, dtype=torch.int64), Beam(), end_id=0, max_tokens=2)


def test_a_comparison_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write_yaml(tmp_path / "gpt2.yaml", tiny(model={"kind": "gpt2", **SMALL}))
    second = write_yaml(tmp_path / "bert.yaml", tiny(model=BERT))
    for what in ((first, second), (first, "--models", "gpt2,bert")):
        said = refused(capsys, "compare", *what, "--tokens", "100", "--out", tmp_path / "out")
        assert "bert" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["jamba", "deepseek"])
def test_numbers_that_do_not_go_together_are_said_before_the_text_is_read(kind: str) -> None:
    table = tiny(model={"kind": kind, "n_heads": 5, "d_model": 16})
    spec = load(RunSpec, table)
    with pytest.raises(ConfigError, match="n_heads"):
        check_model(spec, table)
