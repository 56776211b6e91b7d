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
from linnet.generate.fill import joined, with_masks
from linnet.interop.native import WEIGHTS
from linnet.tokenizer.mask import MASK
from linnet.tokenizer.simple import byte_tokenizer
from linnet.train.loop import Training
from tiny_run import go, tiny, write_yaml
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
    with pytest.raises(LinnetError, match="k = 0; needed: at least one"):
        model.fill([f"a{MASK}"], k=0)


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
    assert "nats a masked token" in out
    code, out, _ = command(capsys, "eval", trained / "run")
    assert code == 0
    assert "nats a masked token" in out
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
    for prompt, said in (("no mask", "a text without"), (f"{'a' * 30}{MASK}", "at most the model's context of 24")):
        with pytest.raises(LinnetError, match=said):
            go(tmp_path / "prompt", table(tmp_path, sample={"prompt": prompt}))
    go(tmp_path / "writer", tiny(train={"steps": 1, "batch_size": 2, "threads": 1}))
    with pytest.raises(ConfigError, match="to fill masked places"):
        linnet.load(tmp_path / "writer").fill([f"a{MASK}"])


def test_spaces_before_a_mask() -> None:
    assert joined(["The ", " sat."], [b" cat"]) == "The cat sat."
    assert joined(["c", "t"], [b"a"]) == "cat"
    assert joined(["", " sat"], [b" The"]) == "The sat"
    assert joined(["caf", "", ""], [b"\xc3", b"\xa9"]) == "café"
    tokenizer = byte_tokenizer((MASK,))
    assert with_masks(tokenizer, ["a ", "b"]) == [*b"a ", tokenizer.special[MASK], *b"b"]


def test_prepared_tokens_have_the_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_yaml(tmp_path / "run.yaml", table(tmp_path, tokenizer={"kind": "bpe", "vocab_size": 300}))
    assert command(capsys, "prepare", file, "--out", tmp_path / "prepared")[0] == 0
    asked = table(tmp_path, data={"prepared": str(tmp_path / "prepared")}, train={"steps": 1, "batch_size": 2, "threads": 1})
    go(tmp_path / "run", asked | {"tokenizer": {"kind": "bpe", "vocab_size": 300}})
    del asked["tokenizer"]
    go(tmp_path / "again", asked)


def test_they_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the same places; how fast they write is not asked of models that do not."""
    small = {"n_layers": 1, "n_heads": 2, "d_model": 16, "context_length": 24}
    files = [
        write_yaml(tmp_path / f"{kind}.yaml", table(tmp_path, model={"kind": kind, **small}, train={"batch_size": 2}))
        for kind in ("bert", "longformer")
    ]
    code, _out, said = command(capsys, "compare", *files, "--tokens", "400", "--seeds", "1", "--out", tmp_path / "out")
    assert code == 0, said
    found = json.loads((tmp_path / "out" / "compare.json").read_text("utf-8"))
    assert {row["name"]: row["decode_tokens_per_second"] for row in found["entrants"]} == {"bert": None, "longformer": None}


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sat", "ran", "home", "##s", "."]


def bert_folder(transformers: Any, folder: Path, kind: str) -> Any:
    """A folder as transformers writes it: a model of BERT's with large weights, and WordPiece."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, initializer_range=0.5,
    )  # fmt: skip
    model = getattr(transformers, kind)(config).eval()
    model.save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(VOCABULARY)}
    tokenizer = transformers.BertTokenizer(vocab=vocabulary)
    tokenizer.save_pretrained(folder)
    return transformers.FillMaskPipeline(model=model, tokenizer=tokenizer, top_k=4) if "Masked" in kind else None


def test_filling_is_what_transformers_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An imported BERT's likeliest tokens and their probabilities are those of its pipeline, with the special tokens around a text."""
    transformers = pytest.importorskip("transformers")
    pipe = bert_folder(transformers, tmp_path / "hf", "BertForMaskedLM")
    assert command(capsys, "import", tmp_path / "hf", "--out", tmp_path / "run")[0] == 0
    [found] = linnet.load(tmp_path / "run").fill(["The [MASK] sat."], k=4)
    theirs = pipe("The [MASK] sat.")
    assert found.text == f"The {theirs[0]['token_str']} sat."
    assert [guess.token for guess in found.places[0]] == [each["token"] for each in theirs]
    for guess, each in zip(found.places[0], theirs, strict=True):
        assert guess.probability == pytest.approx(each["score"], rel=1e-4)
    (tmp_path / "text.txt").write_text("the cat sat. the dog ran home.", "utf-8")
    code, out, _ = command(capsys, "eval", tmp_path / "run", tmp_path / "text.txt")
    assert code == 0
    assert "nats a masked token" in out
    (tmp_path / "cats.txt").write_text("the cat sat. the dog ran home.\n" * 40, "utf-8")
    asked = table(
        tmp_path,
        data={"sources": [{"kind": "files", "path": str(tmp_path / "cats.txt")}], "validation": 0.2, "split": "tail"},
        train={"steps": 2, "batch_size": 2, "threads": 1},
    ) | {"weights": str(tmp_path / "run")}
    del asked["model"], asked["tokenizer"]
    go(tmp_path / "tuned", asked)
    out = command(capsys, "train", tmp_path / "tuned", "--resume")[1]
    assert "[MASK]" in out


def test_a_model_without_a_head_fills_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bert_folder(pytest.importorskip("transformers"), tmp_path / "hf", "BertModel")
    assert command(capsys, "import", tmp_path / "hf", "--out", tmp_path / "run")[0] == 0
    code, out, said = command(capsys, "generate", tmp_path / "run", "The [MASK] sat.")
    assert (code, out) == (2, "")
    assert "a model without a head" in said


def test_an_exported_one_is_a_pipeline_there(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transformers = pytest.importorskip("transformers")
    code, _, said = command(capsys, "export", trained / "run", "--to", "hf", "--out", tmp_path / "hf")
    assert code == 0, said
    pipe = transformers.pipeline("fill-mask", model=str(tmp_path / "hf"), top_k=1)
    assert pipe(f"bbb{MASK}bbb")[0]["token_str"] == "b"
