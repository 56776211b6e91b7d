"""The verbs from end to end, each on a run of a second; `linnet.run` and `linnet.load` from Python."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import linnet
import tiny_run
from linnet.core.extras import has
from linnet.data.prepared import open_prepared


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_run.trained_copy(tmp_path / "run")


def by_hand(model: linnet.LanguageModel, ids: list[int], context: int) -> float:
    """Σ -log p of every token but the first: windows that do not overlap, documents that do not see each other."""
    total, end = 0.0, model.tokenizer.end_id
    for start in range(0, len(ids) - 1, context):
        window, targets = ids[start : start + context], ids[start + 1 : start + context + 1]
        begin = 0
        for place, target in enumerate(targets):
            if place and window[place - 1] == end:
                begin = place
            with torch.no_grad():
                hidden = model.network(torch.tensor([window[begin : place + 1]])).hidden[:, -1]
                total -= float(model.network.logits(hidden).log_softmax(-1)[0, target])
    return total


def test_eval_of_the_validation_part_agrees_with_the_sum_by_hand(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = tiny_run.linnet(capsys, "eval", folder, "--json")
    assert code == 0
    scores = json.loads(out)["model"]
    model = linnet.load(folder)
    [prepared_folder] = [path.parent for path in (folder / "data").glob("*/index.json")]
    prepared = open_prepared(prepared_folder, model.tokenizer)
    ids = np.concatenate([stream.read(0, stream.tokens) for stream in prepared.validation.streams]).tolist()
    short = ids[: 24 * 12 + 1]
    from linnet.train.evaluation import token_window_losses

    nats, counts = token_window_losses(model.network, np.array(short), 24, end_id=model.tokenizer.end_id, document_mask=True)
    assert nats.sum() == pytest.approx(by_hand(model, short, 24), rel=1e-5)  # sums in another order
    whole, _ = token_window_losses(model.network, np.array(ids), 24, end_id=model.tokenizer.end_id, document_mask=True)
    assert counts.sum() == len(short) - 1
    assert scores["nats_per_token"]["value"] == pytest.approx(whole.sum() / (len(ids) - 1), rel=1e-6)
    assert scores["bits_per_byte"]["value"] == pytest.approx(
        whole.sum() / math.log(2) / len(prepared.validation_text()), rel=1e-6
    )
    kept = json.loads((folder / "evaluation.json").read_text("utf-8"))
    assert kept["model"] == scores
    assert tiny_run.linnet(capsys, "eval", folder)[0] == 0


def test_eval_of_a_text_file_agrees_with_the_sum_by_hand(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Once upon a time there was a fox. He was very glad."
    (tmp_path / "text.txt").write_text(text, "utf-8")
    code, out, _ = tiny_run.linnet(capsys, "eval", folder, tmp_path / "text.txt", "--json")
    assert code == 0
    scores = json.loads(out)
    model = linnet.load(folder)
    ids = [model.tokenizer.end_id, *model.tokenizer.encode(text), model.tokenizer.end_id]
    total = by_hand(model, ids, 24)
    assert scores["model"]["nats_per_token"]["value"] == pytest.approx(total / (len(ids) - 1), rel=1e-5)
    assert scores["model"]["bits_per_byte"]["value"] == pytest.approx(total / math.log(2) / len(text), rel=1e-5)
    assert scores["model"]["n_words"] == len(text.split())
    assert {row["name"] for row in scores["yardsticks"]} >= {"unigram", "5-gram", "xz"}


def test_yardsticks_cut_tokens_and_bytes_at_one_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long validation part: what the first tokens cost is said for the bytes of these tokens."""
    from linnet.train import evaluation

    [prepared_folder] = [path.parent for path in (folder / "data").glob("*/index.json")]
    prepared = open_prepared(prepared_folder, linnet.load(folder).tokenizer)
    whole = {row["name"]: row for row in evaluation.measure_yardsticks(prepared)}
    assert "of" not in whole["unigram"]["note"].removeprefix("how often")
    limit = prepared.validation.tokens // 3
    monkeypatch.setattr(evaluation, "MAX_TOKENS", limit)
    cut = {row["name"]: row for row in evaluation.measure_yardsticks(prepared)}
    ids = prepared.some_tokens(prepared.validation, limit)
    n_bytes = len(prepared.text_of(ids))
    assert len(ids) <= limit
    for name in ("unigram", "5-gram"):
        row = cut[name]
        assert row["bits_per_byte"] == pytest.approx(row["nats_per_token"] * len(ids) / n_bytes / math.log(2))
        assert f"of {prepared.validation.tokens:,} validation tokens" in row["note"]
        assert f"of {prepared.train.tokens:,} training tokens" in row["note"]
    assert cut["unigram"]["bits_per_byte"] == pytest.approx(whole["unigram"]["bits_per_byte"], rel=0.2)
    assert "MiB of validation text" in cut["xz"]["note"]


def test_generate_streams_writes_several_and_reads_its_prompt(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, one, _ = tiny_run.linnet(capsys, "generate", folder, "Once", "--max-tokens", "8", "--temperature", "0")
    assert one == "Once" + linnet.load(folder).generate("Once", max_tokens=8, temperature=0) + "\n"
    code, several, _ = tiny_run.linnet(capsys, "generate", folder, "Once", "-n", "3", "--max-tokens", "8", "--stop", "zz")
    assert code == 0
    assert several.count("--- ") == 3
    model = linnet.load(folder)
    [written] = model.complete(["Once"], max_tokens=8, temperature=0)
    stop = written.tokens[2]
    _, short, _ = tiny_run.linnet(
        capsys, "generate", folder, "Once", "--max-tokens", "8", "--temperature", "0", "--stop-token", str(stop)
    )
    assert short == "Once" + model.generate("Once", max_tokens=8, temperature=0, stop_tokens=[stop]) + "\n"
    assert len(short) < len(one)
    code, out, problem = tiny_run.linnet(capsys, "generate", folder, "Once", "--stop-token", "99999999")
    assert (code, out) == (2, "")
    assert "99999999" in problem


def test_small_verbs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.train.machine.measure_peak", lambda *args: 2e10)
    assert tiny_run.linnet(capsys, "--version")[1].startswith("linnet ")
    code, out, _ = tiny_run.linnet(capsys, "words")
    assert code == 0
    assert all(word in out for word in ("gpt2", "llama", "mistral", "qwen3", "attention", "muon", "wsd", "bpe", "stories"))
    assert "n_kv_heads" in tiny_run.linnet(capsys, "words", "attention")[1]
    assert "$defs" in json.loads(tiny_run.linnet(capsys, "words", "--schema")[1])
    code, out, _ = tiny_run.linnet(capsys, "doctor")
    assert code == 0
    assert "torch" in out
    code, out, _ = tiny_run.linnet(capsys, "plan", "--tokens", "1e7")
    assert code == 0
    assert "→ nano" in out
    assert "disk" in out


def test_train_from_the_shell_makes_a_whole_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_run.write_yaml(tmp_path / "tiny.yaml", tiny_run.TINY)
    code, out, err = tiny_run.linnet(
        capsys, "train", path, "--out", tmp_path / "run", "--set", "train.steps=8", "--set", "seed=5"
    )
    assert (code, err) == (0, "")
    for part in ("parameters", "to beat", "step 4", "this model", "estimated"):
        assert part in out
    folder = tmp_path / "run"
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "run.yaml", "data", "metrics.jsonl", "timings.jsonl", "checkpoints", "model.safetensors", "tokenizer.json",
        "manifest.json", "evaluation.json", "scorecard.json", "summary.json", "data_card.json",
    }  # fmt: skip
    if has("matplotlib") and has("jinja2"):
        report = (folder / "report.html").read_text("utf-8")
        assert "<svg" in report or "data:image" in report
        assert 'src="http' not in report
    if has("tensorboard"):
        assert list((folder / "tensorboard").glob("events.*"))
    rows = {row["what"]: row for row in json.loads((folder / "scorecard.json").read_text("utf-8"))["rows"]}
    assert rows["steps"]["measured"] == 8


@pytest.mark.slow
def test_a_budget_of_minutes_is_kept_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import time

    table = tiny_run.tiny(validation={}, checkpoint={})
    del table["train"]["steps"]
    began = time.perf_counter()
    result = linnet.run(table, tmp_path / "run", minutes=0.2, quiet=True, began=began)
    taken = time.perf_counter() - began
    assert result.why == "finished"
    assert 6 < taken < 40  # asked: 12 s; a busy machine may be late with the report, an idle one early with the end
    card = {row["what"]: row for row in json.loads((tmp_path / "run" / "scorecard.json").read_text("utf-8"))["rows"]}
    assert card["time"]["asked"] == pytest.approx(12)
    assert card["time"]["measured"] < 40
    rates = [
        json.loads(line)["learning_rate"]
        for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()
        if '"train"' in line
    ]
    assert rates[-1] < 0.2 * max(rates), "the decay ends with the time"


def test_python_and_shell_do_the_same_and_leave_what_they_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from copy import deepcopy

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("linnet.command.has", lambda module: False)
    table = deepcopy(tiny_run.TINY)
    with tiny_run.no_probes():
        result = linnet.run(table, quiet=True, set=["train.steps=2", "model.kind=llama"])
        assert table == tiny_run.TINY
        again = linnet.run(table, quiet=True, steps=1)
    assert (result.folder, again.folder) == (Path("runs/run"), Path("runs/run-2"))
    assert (result.step, again.step) == (2, 1)
    assert isinstance(linnet.load(result.folder), linnet.LanguageModel)
    with tiny_run.no_probes():
        assert linnet.run(result.folder, resume=True, quiet=True).step == 2
    with pytest.raises(linnet.LinnetError, match="does not exist"):
        linnet.run("nothing.txt")


def test_importing_linnet_is_cheap_and_lazy() -> None:
    assert {"load", "run", "LanguageModel", "RunSpec", "LinnetError"} <= set(linnet.__all__)
    assert linnet.RunSpec.__name__ == "RunSpec"
    with pytest.raises(AttributeError, match="nothing"):
        _ = linnet.nothing


def test_a_run_that_was_refused_does_not_take_the_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from linnet.command import free_folder
    from linnet.train.record import locked

    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("A few words, again and again. " * 200, encoding="utf-8")
    code, _, problem = tiny_run.linnet(capsys, "train", "notes.txt", "--minutes", "0.001")
    assert code == 2, problem
    assert free_folder("notes") == Path("runs/notes")
    with locked(Path("runs/notes")):  # somebody is at it right now
        assert free_folder("notes") == Path("runs/notes-2")
    Path("runs/notes/mine.txt").write_text("not a run at all", encoding="utf-8")
    assert free_folder("notes") == Path("runs/notes-2")


def test_a_run_folder_is_not_taken_for_a_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, problem = tiny_run.linnet(capsys, "train", folder)
    assert code == 2
    assert "--resume" in problem
