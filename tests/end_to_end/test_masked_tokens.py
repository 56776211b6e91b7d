"""A model that sees both ways learns to say what stands at masked places: trained, gone on with, asked, scored, compared with Hugging Face."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

import linnet
from linnet.core.errors import ConfigError, LinnetError, TokenizerError
from linnet.generate.fill import fill, guesses, joined, with_masks
from linnet.interop.huggingface import write_folder
from linnet.interop.native import WEIGHTS
from linnet.model import Network
from linnet.tokenizer.mask import MASK
from linnet.tokenizer.simple import byte_tokenizer
from linnet.tokenizer.wordpiece import WordPieceTokenizer
from linnet.train.loop import Training
from linnet.zoo import Bert
from tiny_run import go, tiny
from tiny_run import linnet as command


def table(folder: Path, **changes: Any) -> dict[str, Any]:
    """Documents of one letter each, so that a masked one is known by its neighbours."""
    draws = random.Random(0)
    lines = [draws.choice("abcdefgh") * draws.randint(8, 20) for _ in range(300)]
    (folder / "letters.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines), "utf-8")
    return tiny(
        **{
            "data": {
                "sources": [{"kind": "files", "path": str(folder / "letters.jsonl")}],
                "validation": 0.1,
                "deduplicate": False,
            },
            "model": {"kind": "bert", "n_layers": 1, "n_heads": 2, "d_model": 32, "context_length": 24},
            "objective": "masked",
        }
        | changes
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masked")
    asked = table(folder, train={"steps": 150, "batch_size": 12, "threads": 1}, validation={"every": 75}, checkpoint={})
    result = go(folder / "run", asked)
    assert result.loss is not None
    assert result.loss < 0.3
    assert result.bits_per_byte is None
    return folder


def test_it_has_learned_to(trained: Path) -> None:
    model = linnet.load(trained / "run")
    one, two = model.fill([f"aaa{MASK}aaaaaa", f"{MASK}ggggg{MASK}"], k=3)
    assert (one.text, two.text) == ("aaaaaaaaaa", "ggggggg")
    assert [len(place) for place in two.places] == [3, 3]
    best = two.places[1]
    assert best[0].text == "g"
    assert best[0].probability > 0.5
    assert [guess.probability for guess in best] == sorted((guess.probability for guess in best), reverse=True)
    with pytest.raises(LinnetError, match=r"a text without <\|mask\|>"):
        model.fill(["aaa"])
    with pytest.raises(LinnetError, match="at most the model's context of 24"):
        model.fill(["a" * 24 + MASK])


def test_papers_say_what_can_be_said(trained: Path) -> None:
    found = json.loads((trained / "run" / "evaluation.json").read_text("utf-8"))
    assert found["model"]["bits_per_byte"] is None
    assert [row["name"] for row in found["yardsticks"]] == ["unigram"]
    assert found["yardsticks"][0]["nats_per_token"] > 2 > found["model"]["nats_per_token"]["value"]


def test_on_the_command_line(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "generate", trained / "run", f"bbb{MASK}bbb")
    assert code == 0
    assert out.splitlines()[0] == "bbbbbbb"
    assert out.splitlines()[1].startswith("1  b ")
    code, out, said = command(capsys, "generate", trained / "run", f"bbb{MASK}", "--temperature", "0.5", "--max-tokens", "3")
    assert (code, out) == (2, "")
    assert "--temperature, --max-tokens for a model that fills masked places" in said
    assert command(capsys, "generate", trained / "run", "bbb")[0] == 2
    code, out, _ = command(capsys, "train", trained / "run", "--resume")
    assert f"linnet generate {trained / 'run'}" in out
    assert MASK in out
    code, out, _ = command(capsys, "eval", trained / "run")
    assert code == 0
    assert "unigram" in out
    assert "5-gram" not in out
    (trained / "text.txt").write_text("c" * 400, "utf-8")
    code, out, _ = command(capsys, "eval", trained / "run", trained / "text.txt", "--json")
    scored = json.loads(out)["model"]
    assert scored["nats_per_token"]["value"] < 1
    assert scored["bits_per_byte"] is scored["word_perplexity"] is None
    assert command(capsys, "eval", trained / "run", trained / "text.txt", "--by-position")[0] == 2


def test_it_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = table(tmp_path, train={"steps": 8, "batch_size": 6, "micro_batch_size": 2, "threads": 1})
    go(tmp_path / "whole", asked)
    emit = Training.emit

    def stops(run: Training, event: Any) -> None:
        emit(run, event)
        run.interrupted = run.step == 5

    with monkeypatch.context() as patch:
        patch.setattr(Training, "emit", stops)
        assert go(tmp_path / "parts", asked).why == "interrupted"
    go(tmp_path / "parts", asked, resume=True)
    assert (tmp_path / "parts" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


@pytest.mark.parametrize("tokenizer", [{"kind": "byte"}, {"kind": "char"}, {"kind": "bpe", "vocab_size": 300}])
def test_every_tokenizer_that_is_trained_gets_the_mask(tmp_path: Path, tokenizer: dict[str, Any]) -> None:
    asked = table(tmp_path, tokenizer=tokenizer, train={"steps": 1, "batch_size": 2, "threads": 1})
    go(tmp_path / "run", asked)
    assert MASK in linnet.load(tmp_path / "run").tokenizer.special


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sees only what stands before"):
        go(tmp_path / "gpt2", table(tmp_path, model={"kind": "gpt2", "n_layers": 1, "n_heads": 2, "d_model": 16}))
    byte_tokenizer(()).save(tmp_path / "tokenizer.json")
    asked = table(tmp_path, tokenizer={"kind": "file", "path": str(tmp_path / "tokenizer.json")})
    with pytest.raises(TokenizerError, match=r"a tokenizer without <\|mask\|>"):
        go(tmp_path / "none", asked)
    go(tmp_path / "writer", tiny(train={"steps": 1, "batch_size": 2, "threads": 1}))
    with pytest.raises(ConfigError, match="to fill masked places"):
        linnet.load(tmp_path / "writer").fill([f"a{MASK}"])


def test_spaces_before_a_mask() -> None:
    assert joined(["The ", " sat."], [" cat"]) == "The cat sat."
    assert joined(["c", "t"], ["a"]) == "cat"
    assert joined(["", " sat"], [" The"]) == "The sat"
    tokenizer = byte_tokenizer((MASK,))
    assert with_masks(tokenizer, ["a ", "b"]) == [*b"a ", tokenizer.special[MASK], *b"b"]


def test_filling_is_what_transformers_does(tmp_path: Path) -> None:
    """The likeliest tokens and their probabilities are those of its pipeline, special tokens around the text and all."""
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sat", "ran", "home", "##s", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    ours = WordPieceTokenizer({word: number for number, word in enumerate(words)}, lowercase=True)
    network = Network(Bert(n_layers=2, n_heads=2, d_model=16, context_length=16).sentence(len(words)), seed=0)
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.3, generator=draws))
    write_folder(tmp_path, network.eval(), Bert, 16)
    pipe = transformers.FillMaskPipeline(
        model=transformers.BertForMaskedLM.from_pretrained(tmp_path),
        tokenizer=transformers.BertTokenizer(str(tmp_path / "vocab.txt")),
        top_k=4,
    )
    [found] = fill(network, ours, ["The [MASK] sat."], k=4, begin=[words.index("[CLS]")])
    theirs = pipe("The [MASK] sat.")
    assert [guess.token for guess in found.places[0]] == [each["token"] for each in theirs]
    for guess, each in zip(found.places[0], theirs, strict=True):
        assert guess.probability == pytest.approx(each["score"], rel=1e-4)
    assert len(guesses(network, ours, [2, 4, 4, 3], k=1)) == 2
