"""A model learns to translate from pairs: trained, stopped and gone on with, asked on the command line, scored."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import linnet
from linnet.core.errors import ConfigError, LinnetError
from linnet.core.extras import has
from linnet.evaluate.translation import translation_score
from linnet.interop.native import WEIGHTS
from linnet.train.loop import Training
from tiny_run import go, tiny
from tiny_run import linnet as command

WORDS = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four", "und": "and", "oder": "or"}


def files(folder: Path, count: int = 300) -> tuple[str, str]:
    """Sentences of words that are put into the other language one by one."""
    draws = random.Random(0)
    sources = [" ".join(draws.choices(list(WORDS), k=draws.randint(1, 4))) for _ in range(count)]
    targets = [" ".join(WORDS[word] for word in source.split()) for source in sources]
    for name, lines in (("a.de", sources), ("a.en", targets)):
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    return str(folder / "a.de"), str(folder / "a.en")


def table(folder: Path, **changes: Any) -> dict[str, Any]:
    source, target = files(folder)
    return tiny(
        **{
            "data": {"sources": [{"kind": "pairs", "source": source, "target": target}], "validation": 0.1},
            "tokenizer": {"kind": "bpe", "vocab_size": 290},
            "model": {"kind": "translate", "n_layers": 1, "n_heads": 2, "d_model": 32, "context_length": 24},
            "objective": {"kind": "next_token", "label_smoothing": 0.05},
            "train": {"steps": 10, "batch_size": 8, "threads": 1},
        }
        | changes
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translation")
    asked = table(folder, train={"steps": 320, "batch_size": 12, "threads": 1}, validation={"every": 160}, checkpoint={})
    result = go(folder / "run", asked)
    assert result.loss is not None
    assert result.loss < 0.25
    return folder


def test_it_has_learned_to(trained: Path) -> None:
    model = linnet.load(trained / "run")
    assert model.translate(["zwei und drei", "vier"]) == ["two and three", "four"]
    assert model.translate(["eins oder vier"], beams=1) == ["one or four"]


def test_on_the_command_line(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trained / "lines").write_text("zwei und drei\nvier\n", "utf-8")
    assert command(capsys, "generate", trained / "run", "--source", "vier und eins")[:2] == (0, "four and one\n")
    assert command(capsys, "generate", trained / "run", "--source-file", trained / "lines")[1] == "two and three\nfour\n"
    code, out, _ = command(capsys, "train", trained / "run", "--resume")
    assert f'linnet generate {trained / "run"} --source "TEXT"' in out
    code, _, said = command(capsys, "generate", trained / "run", "eins")
    assert code == 2
    assert "a model that reads a source" in said
    code, _, said = command(capsys, "generate", trained / "run", "eins", "--source", "zwei")
    assert code == 2
    assert "a prompt and a source" in said
    code, _, said = command(capsys, "generate", trained / "run", "--source", "eins " * 30)
    assert code == 2
    assert "at most the model's context of 24" in said


def test_options_count_or_are_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("generate", trained / "run", "--source", "vier und eins")
    short = linnet.load(trained / "run").translate(["vier und eins"], max_tokens=1)[0]
    assert command(capsys, *asked, "--max-tokens", "1")[:2] == (0, short + "\n")
    assert short != "four and one"
    code, out, said = command(capsys, *asked, "--temperature", "0.8", "--stop", "x", "-n", "2")
    assert (code, out) == (2, "")
    assert "--temperature, --stop, -n with a source" in said
    assert "--beams, --length-penalty and --max-tokens" in said


def test_search_without_a_source_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go(tmp_path / "run", tiny())
    code, out, said = command(capsys, "generate", tmp_path / "run", "a", "--beams", "5")
    assert (code, out) == (2, "")
    assert "--beams without a source" in said


def test_a_penalty_beyond_all_numbers_is_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("generate", trained / "run", "--source", "vier und eins", "--length-penalty")
    assert command(capsys, *asked, "10")[0] == 0
    for penalty in ("1e308", "inf", "nan", "10.1"):
        code, out, said = command(capsys, *asked, penalty)
        assert (code, out) == (2, ""), penalty
        assert "length" in said
    with pytest.raises(LinnetError, match="length_penalty"):
        linnet.load(trained / "run").translate(["vier"], length_penalty=1e308)
    code, _, said = command(
        capsys, "eval", trained / "run", "--source", trained / "a.de", "--target", trained / "a.en", *asked[-1:], "1e308"
    )
    assert code == 2
    assert "length" in said


@pytest.mark.skipif(not has("sacrebleu"), reason="an extra")
def test_bleu_of_it(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ["--source", trained / "a.de", "--target", trained / "a.en"]
    code, out, _ = command(capsys, "eval", trained / "run", *said, "--json")
    assert code == 0
    scored = json.loads(out)
    assert scored["bleu"] > 90
    assert scored["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert "BLEU" in command(capsys, "eval", trained / "run", *said)[1]
    assert command(capsys, "eval", trained / "run", "--source", trained / "a.de")[0] == 2
    (trained / "short").write_text("one\n", "utf-8")
    assert command(capsys, "eval", trained / "run", "--source", trained / "a.de", "--target", trained / "short")[0] == 2


@pytest.mark.skipif(not has("sacrebleu"), reason="an extra")
def test_scores() -> None:
    texts = ["the cat sat on the mat today", "a dog runs over the green grass"]
    same = translation_score(texts, texts)
    assert (round(same.bleu, 6), round(same.chrf, 6)) == (100, 100)
    assert translation_score(texts, texts[::-1]).bleu < 20
    with pytest.raises(LinnetError, match="2 translations and 1 references"):
        translation_score(texts, texts[:1])
    alone = translation_score(texts[:1], texts[:1])
    assert (round(alone.bleu, 6), alone.low, alone.high) == (100, None, None)


@pytest.mark.skipif(not has("sacrebleu"), reason="an extra")
def test_the_interval_is_that_of_resampled_sentences() -> None:
    import sacrebleu

    texts = [
        f"{name} saw {n} green birds over the {place}"
        for n, name in enumerate(("Mia", "Tom", "Eva"))
        for place in ("sea", "house", "old wood")
    ]
    said = [text if number % 2 else text.replace("green birds", "a bird") for number, text in enumerate(texts)]
    scored = translation_score(said, texts)
    assert scored.low is not None
    assert scored.high is not None
    assert 0 < scored.low < scored.bleu < scored.high < 100
    draws = np.random.default_rng(1)
    scores = []
    for _ in range(500):  # sacrebleu's own score of each draw
        rows = draws.integers(0, len(texts), size=len(texts))
        scores.append(sacrebleu.BLEU().corpus_score([said[row] for row in rows], [[texts[row] for row in rows]]).score)
    low, high = np.quantile(scores, [0.025, 0.975])
    assert scored.low == pytest.approx(low, abs=0.15 * (high - low))
    assert scored.high == pytest.approx(high, abs=0.15 * (high - low))


@pytest.mark.skipif(not has("sacrebleu"), reason="an extra")
def test_one_sentence_is_scored_without_an_interval(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("de", "zwei und drei\n"), ("en", "two and three\n")):
        (tmp_path / name).write_text(text, "utf-8")
    code, out, _ = command(capsys, "eval", trained / "run", "--source", tmp_path / "de", "--target", tmp_path / "en")
    assert code == 0
    assert "BLEU" in out
    assert " to " not in out
    assert "1 sentence in" in out


def test_stopped_and_gone_on_with_it_is_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = table(tmp_path)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    go(whole, asked)
    plain = Training.emit

    def stop(run: Training, event: Any) -> None:
        plain(run, event)
        run.interrupted = run.step == 5

    monkeypatch.setattr(Training, "emit", stop)
    assert go(cut, asked).why == "interrupted"
    monkeypatch.undo()
    assert go(cut, asked, resume=True).why == "finished"
    assert (whole / WEIGHTS).read_bytes() == (cut / WEIGHTS).read_bytes()


def test_micro_batches_learn_the_same(tmp_path: Path) -> None:
    losses = []
    for number, micro in enumerate((None, 2)):
        (tmp_path / str(number)).mkdir()
        asked = table(tmp_path / str(number), train={"steps": 6, "batch_size": 8, "threads": 1, "micro_batch_size": micro})
        losses.append(go(tmp_path / str(number) / "run", asked).loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_what_does_not_go_together(tmp_path: Path) -> None:
    asked = table(tmp_path, model={"kind": "linnet", "n_layers": 1, "n_heads": 2, "d_model": 16, "context_length": 24})
    with pytest.raises(ConfigError, match="pairs for a model that reads no source"):
        go(tmp_path / "a", asked)
    with pytest.raises(ConfigError, match="a model with an encoder for text that has no source"):
        go(tmp_path / "b", tiny(model={"kind": "translate", "n_layers": 1, "n_heads": 2, "d_model": 16, "context_length": 24}))


def test_tokens_prepared_before(tmp_path: Path) -> None:
    asked = table(tmp_path)
    go(tmp_path / "first", asked)
    again = asked | {"data": {"prepared": str(tmp_path / "first")}}
    del again["tokenizer"]
    go(tmp_path / "second", again)
    assert (tmp_path / "first" / WEIGHTS).read_bytes() == (tmp_path / "second" / WEIGHTS).read_bytes()


def test_probed_as_it_is(tmp_path: Path) -> None:
    from linnet.core.spec import load
    from linnet.train.precision import Precision
    from linnet.train.probe import probe
    from linnet.train.spec import RunSpec

    spec = load(RunSpec, table(tmp_path))
    found = probe(spec.model.sentence(300), spec.objective, spec.optimizer, Precision("float32", torch.device("cpu")), 2, 2, 8)
    assert found.step_seconds > 0
