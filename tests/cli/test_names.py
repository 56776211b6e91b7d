"""Names that look like markup are printed letter by letter, by every verb that prints one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import tiny_run
from linnet.train.talk import Talk

STORY = "The old linnet sat on the {n}th oak and sang of the {n} oaks behind it.\n"
NAME = "n[/b]:bug:\\[red]\\\\"  # a folder n[, and in it tags, an emoji's name, and backslashes before brackets and at the end


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a verb prints, on one line; in a folder with a text of that name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path(NAME).parent.mkdir()
    Path(f"{NAME}.txt").write_text("".join(STORY.format(n=n) for n in range(200)), "utf-8")
    Path(f"{NAME}.jsonl").write_text('{"text": 3}\n', "utf-8")

    def command(*words: str, code: int = 0) -> str:
        found, out, err = tiny_run.linnet(capsys, *words)
        assert found == code, (out, err)
        return " ".join((out + err).split())

    return command


def test_texts_and_tokenizers(said: Callable[..., str]) -> None:
    train = ("tokenizer", "train", f"{NAME}.txt", "--vocab-size", "270")
    assert f"{NAME}.json 270 ids, of them special: <|endoftext|>, [/b]" in said(
        *train, "--special", "[/b]", "--out", f"{NAME}.json"
    )
    assert f"{NAME}.json exists already" in said(*train, "--out", f"{NAME}.json", code=2)
    assert f"{NAME}.2.json 270 ids" in said("tokenizer", "convert", f"{NAME}.json", f"{NAME}.2.json")
    compared = said("tokenizer", "compare", f"{NAME}.json", f"{NAME}.2.json", "--text", f"{NAME}.txt")
    assert f" {NAME}.json 270" in compared
    assert f" {NAME}.2.json 270" in compared
    assert f"{NAME}.none does not exist" in said("tokenizer", "encode", f"{NAME}.none", "a", code=2)
    assert f"{NAME}.page" in said("tokenizer", "show", f"{NAME}.json", "a", "--html", f"{NAME}.page")
    assert f"{NAME}.txt document" in said("data", "show", f"{NAME}.txt", "-t", f"{NAME}.json")
    assert f"{NAME}.jsonl, line 1: its" in said("data", "doctor", f"{NAME}.jsonl", "--text", "text", code=1)
    assert f"{NAME}.none" in said("data", "doctor", f"{NAME}.none", code=2)


def test_prepared_folders(said: Callable[..., str]) -> None:
    shown = said("prepare", f"{NAME}.txt", "--vocab-size", "270", "--out", f"{NAME}.out")
    (folder,) = Path(f"{NAME}.out").iterdir()
    assert f"tokens {folder} (" in shown
    assert f"next linnet train {folder}" in shown
    assert f"{folder}/card.page" in said("data", "card", str(folder), "--html", f"{folder}/card.page")
    (folder / "card.json").write_text("{}")
    assert f"{folder}/card.json is damaged" in said("data", "card", str(folder), code=2)


def test_runs(said: Callable[..., str]) -> None:
    table = tiny_run.tiny(data={"sources": [{"kind": "files", "path": f"{NAME}.txt"}]}, train__steps=2)
    tiny_run.write_yaml(Path(f"{NAME}.yaml"), table)
    run = f"{NAME}.run"
    with tiny_run.no_probes() as patch:
        patch.setattr("linnet.command.has", lambda module: False)
        shown = said("train", f"{NAME}.yaml", "--out", run)
        assert f'model {run} report none: pip install "linnet[report]"' in shown
        assert f"next linnet generate {run}" in shown
        assert f"{run} is finished" in said("train", run, "--resume")
        assert f"linnet train '{NAME}.yaml'" in said("plan", f"{NAME}.yaml")
    assert f"on {NAME}.txt" in said("eval", run, f"{NAME}.txt")
    assert f"there is no model at {NAME}.none" in said("generate", f"{NAME}.none", code=2)


def test_the_demo(said: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    result = replace(tiny_run.go(Path("run")), folder=tiny_run.trained_copy(Path(f"{NAME}.run")))
    monkeypatch.setattr("linnet.command.run", lambda *args, **options: result)
    monkeypatch.setattr("linnet.cli.demo.check_stories", lambda *args: None)
    shown = said("demo", "--out", f"{NAME}.run")
    assert f"model {NAME}.run" in shown
    assert f"linnet generate {NAME}.run" in shown


def test_what_a_run_says_and_warns_of(capsys: pytest.CaptureFixture[str]) -> None:
    talk = Talk()
    talk.say(NAME)
    talk.warn(NAME)
    talk.fact("folder", NAME)
    assert capsys.readouterr().out == f"{NAME}\n! {NAME}\nfolder   {NAME}\n"
