"""linnet adapt, and linnet eval by position and for keys: the real command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from linnet.command import adapt_run, one_after_another
from linnet.core.errors import LinnetError
from linnet.interop.native import load_model, read_manifest, save_model
from linnet.model.mixer.infini import Infini
from linnet.tokenizer.simple import byte_tokenizer
from linnet.train.evaluation import token_windows
from tiny_run import go, linnet, tiny, trained_copy

SMALL = {"kind": "mistral", "n_layers": 1, "n_heads": 2, "d_model": 16, "context_length": 24, "window": 8}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapt") / "mistral"
    go(folder, tiny(model=SMALL, train__steps=2))
    return folder


def test_a_run_is_adapted_and_trained_on(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = linnet(capsys, "adapt", run, "--graft", "infini", "--out", tmp_path / "grafted")
    assert code == 0
    assert "weights: " not in out  # what is closed is not opened by training
    assert f"linnet adapt {run} --graft infini --gate -2 --out {tmp_path / 'grafted'}-ajar" in out
    (old, _, _), (new, _, manifest) = load_model(run), load_model(tmp_path / "grafted")
    mixer = next(new.spec.decoder.sublayers()).mixer
    assert isinstance(mixer, Infini)
    assert mixer.segment == 8
    assert manifest.context_length == 24
    tokens = torch.arange(8)[None] + 60
    with torch.no_grad():
        torch.testing.assert_close(new.logits(new(tokens).hidden), old.logits(old(tokens).hidden), rtol=1e-5, atol=1e-6)
    table = tiny(train__steps=2) | {"weights": str(tmp_path / "grafted")}
    del table["model"], table["tokenizer"]
    go(tmp_path / "after", table)
    assert load_model(tmp_path / "after")[0].spec == new.spec


def test_without_out_it_stands_beside_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = linnet(capsys, "adapt", run, "--graft", "infini", "--segment", "4", "--gate", "-2", "--rule", "linear")
    assert code == 0
    assert f"next      weights: {run.with_name('mistral-infini')} in a run file, then linnet train" in out
    network, _, _ = load_model(run.with_name("mistral-infini"))
    mixer = next(network.spec.decoder.sublayers()).mixer
    assert isinstance(mixer, Infini)
    assert (mixer.segment, mixer.gate, mixer.rule) == (4, -2.0, "linear")
    code, _, error = linnet(capsys, "adapt", run, "--graft", "infini")
    assert code == 2
    assert "there already" in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--graft", "infnii"], "did you mean 'infini'?"),
        (["--graft", "infini", "--segment", "20"], "window = 8 within segment = 20"),
        (["--graft", "infini", "--rule", "sum"], "rule"),
        (["--graft", "infini", "--gate", "1e9"], "gate"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    code, _, error = linnet(capsys, "adapt", run, *words, "--out", tmp_path / "new")
    assert code == 2
    assert said in " ".join(error.split())
    assert not (tmp_path / "new").exists()


def test_a_folder_without_a_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = linnet(capsys, "adapt", tmp_path / "none", "--graft", "infini")
    assert code == 2
    assert "there is no model" in error


def test_loss_by_position_of_any_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained_copy(tmp_path / "run")
    code, out, _ = linnet(capsys, "eval", run, "--by-position", "--json")
    assert code == 0
    buckets = json.loads(out)["by_position"]
    assert [(bucket["first"], bucket["last"]) for bucket in buckets] == [(0, 0), (1, 2), (3, 6), (7, 14), (15, 23)]
    text = tmp_path / "other.txt"
    text.write_text("Mia had a ball. " * 9)
    code, out, _ = linnet(capsys, "eval", run, text, "--by-position", "--length", "40", "--json")
    assert code == 0
    buckets = json.loads(out)["by_position"]
    assert sum(bucket["tokens"] for bucket in buckets) == len("Mia had a ball. " * 9)
    code, out, _ = linnet(capsys, "eval", run, "--by-position", "--length", "40")
    assert "31 – 39" in out


def test_keys_are_asked_for_in_any_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained_copy(tmp_path / "run")
    code, out, _ = linnet(capsys, "eval", run, "--passkey", "--length", "250", "--json")
    assert code == 0
    cells = json.loads(out)["passkey"]
    assert [cell["depth"] for cell in cells] == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert all(cell["right"] == 0 and cell["length"] == 250 for cell in cells)
    code, _, error = linnet(capsys, "eval", run, "--passkey")  # 24 tokens hold no key
    assert code == 2
    assert "at least" in error


@pytest.mark.parametrize("words", [["--by-position", "--passkey"], ["--length", "40"]])
def test_options_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, _, error = linnet(capsys, "eval", trained_copy(tmp_path / "run"), *words)
    assert code == 2
    assert "needed" in error


def with_more(run: Path, folder: Path) -> Path:
    """A copy of a run as an import leaves one: it begins with an id, stops at others, and has a license and a template beside it."""
    network, tokenizer, manifest = load_model(run)
    folder.mkdir()
    save_model(folder, network, tokenizer, replace(manifest, begin=[65], stop=[7, 9]))
    (folder / "LICENSE").write_text("as you like")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def test_what_belongs_to_the_weights_goes_with_them(run: Path, tmp_path: Path) -> None:
    adapt_run(with_more(run, tmp_path / "own"), "infini", tmp_path / "new")
    manifest = read_manifest(tmp_path / "new")
    assert (manifest.begin, manifest.stop) == ([65], [7, 9])
    assert (tmp_path / "new" / "LICENSE").read_text() == "as you like"
    assert (tmp_path / "new" / "chat_template.jinja").read_text() == "{{ messages }}"


def test_a_text_begins_with_what_the_model_wants_before_it(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = with_more(run, tmp_path / "own")
    network, tokenizer, _ = load_model(folder)
    (tmp_path / "text.txt").write_text("Mia had a ball.")
    ids = [*tokenizer.encode("Mia had a ball."), tokenizer.end_id]
    with torch.no_grad():
        scores = network.logits(network(torch.tensor([[65, *ids]])).hidden)[0, :-1].log_softmax(-1)
    nats = -scores[torch.arange(len(ids)), torch.tensor(ids)]
    code, out, _ = linnet(capsys, "eval", folder, tmp_path / "text.txt", "--json")
    assert code == 0
    assert json.loads(out)["model"]["nats_per_token"]["value"] == pytest.approx(float(nats.mean()), rel=1e-5)
    code, out, _ = linnet(capsys, "eval", folder, tmp_path / "text.txt", "--by-position", "--json")
    assert code == 0
    found = json.loads(out)["by_position"]
    assert found[0]["value"] == pytest.approx(float(nats[0]), rel=1e-5)
    assert sum(bucket["tokens"] for bucket in found) == len(ids) - 1, "the end token is not asked for"


def test_no_text_is_to_foresee_what_begins_the_next() -> None:
    tokenizer, end = byte_tokenizer(), byte_tokenizer().end_id
    ids, own = one_after_another(tokenizer, ["a", "bc"], [65])
    assert (ids.tolist(), own.tolist()) == ([65, 97, end, 65, 98, 99, end], [False, True, True, False, True, True, True])
    ids, own = one_after_another(tokenizer, ["a", "bc"], [])
    assert (ids.tolist(), own.tolist()) == ([end, 97, end, 98, 99, end], [False, True, True, True, True, True])
    windows = list(token_windows(ids, 2, 1, end_id=end, document_mask=False, scored=ids != 98))
    assert [batch.weights.tolist() for batch in windows] == [[[1, 1]], [[0, 1]], [[1, 0]]]


def test_a_full_disk_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("linnet.interop.native.write_tensors", full)
        with pytest.raises(LinnetError, match="disk is full"):
            adapt_run(run, "infini", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    adapt_run(run, "infini", tmp_path / "new")
