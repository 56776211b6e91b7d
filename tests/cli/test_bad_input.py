"""Whatever is wrong is said: what was got, what is needed, what to try. Exit code not 0, no traceback, nothing lost."""

from __future__ import annotations

import errno
import gzip
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import linnet
import tiny_run
from linnet.core.errors import LinnetError
from linnet.train.record import locked

Linnet = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Linnet:
    """Run the real command, expect a refusal, give the message on one line."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str | Path, code: int = 2) -> str:
        found, out, err = tiny_run.linnet(capsys, *words)
        assert found == code, (found, out, err)
        assert "Traceback" not in out + err
        assert err.strip()
        return " ".join(err.split())

    return command


def config(folder: Path, **changes: Any) -> Path:
    return tiny_run.write_yaml(folder / "tiny.yaml", tiny_run.tiny(**changes))


def test_unknown_and_misspelt_keys_are_all_listed_with_the_nearest(refused: Linnet, tmp_path: Path) -> None:
    table = tiny_run.tiny(
        trian={"steps": 1}, train__batchsize=3, model__n_head=2, optimizer={"kind": "muno"}, train__steps="many"
    )
    said = refused("train", tiny_run.write_yaml(tmp_path / "bad.yaml", table))
    parts = (
        "5 problems",
        "bad.yaml cannot be read",
        "- trian",
        "'train'",
        "- train.batchsize",
        "'batch_size'",
        "n_head",
        "'n_heads'",
    )
    for part in (*parts, "'muno'", "'muon'", "- train.steps", "'many'; needed: a whole number"):
        assert part in said, (part, said)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("assignment", "parts"),
    [
        ("nothing", ["--set 'nothing'", "needed: a.b=c", "try: --set train.steps=500"]),
        (".=3", ["needed: a.b=c"]),
        ("train.steps.more=3", ["needed: a table there"]),
        ("data.sources.7.count=3", ["needed: a number from 0 to 0"]),
        ("train.stpes=3", ["- train.stpes", "did you mean 'steps'"]),
        ("train.steps=[", ["--set train.steps=[", "valid YAML"]),
        ("model.kind=lama", ["'lama'", "did you mean 'llama'"]),
        ("model.size=gigantic", ["- model.size", "'nano'", "'base'"]),
        ("model.n_heads=3", ["n_heads = 3", "d_model = 16"]),
        ("train.steps=0", ["--set train.steps=0", "- train.steps: got 0; needed: at least 1"]),
        ("train.minutes=2", ["needed: one of them"]),
        ("train.device=gpu7", ["device 'gpu7'", "try: auto, or cpu"]),
        ("train.context_length=9999", ["9,999", "24"]),
    ],
)
def test_a_value_that_makes_no_sense(refused: Linnet, tmp_path: Path, assignment: str, parts: list[str]) -> None:
    if assignment == "train.context_length=9999":  # a model with a table of positions cannot read further than that
        said = refused(
            "train",
            config(tmp_path, model={"kind": "gpt2", "n_layers": 1, "n_heads": 2, "d_model": 8, "context_length": 24}),
            "--set",
            assignment,
        )
        parts = ["train.context_length = 9999", "at most 24"]
    else:
        said = refused("train", config(tmp_path), "--set", assignment)
    assert all(part in said for part in parts), said


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("data: [", ["bad.yaml", "line", "needed: valid YAML"]),
        ("- 1\n- 2\n", ["bad.yaml holds a list", "needed: a table"]),
        ("", ["bad.yaml is empty", "needed: a table"]),
        ("data: {}\ndata: {}\n", ["bad.yaml", "line"]),
        ("train: 5\n", ["- data: is missing; needed: where text comes from", "- train: got 5; needed: a table of steps"]),
        ("data: {sources: []}\n", ["sources is empty"]),
    ],
)
def test_a_run_file_that_is_none(refused: Linnet, tmp_path: Path, content: str, parts: list[str]) -> None:
    (tmp_path / "bad.yaml").write_text(content, "utf-8")
    for more in ([], ["--steps", "3"]):
        said = refused("train", "bad.yaml", *more)
        assert all(part in said for part in parts), said


def text_table(path: Path) -> dict[str, Any]:
    return tiny_run.tiny(data={"sources": [{"kind": "files", "path": str(path)}], "validation": 0.2})


def test_text_that_is_none(refused: Linnet, tmp_path: Path) -> None:
    cases: dict[str, tuple[bytes, list[str]]] = {
        "broken.jsonl": (b'{"text": "good"}\n{"text": "bad\n', ["broken.jsonl, line 2", "not valid JSON"]),
        "empty.txt": (b"", ["empty", "no"]),
        "blank.txt": (b" \n\n ", ["no"]),
        "latin.txt": ("café".encode("latin-1") * 9, ["latin.txt", "UTF-8"]),
        "cut.txt.gz": (gzip.compress(b"hello " * 999)[:-20], ["cut.txt.gz"]),
        "short.txt": (b"Too short.\nSo short.\n", ["tokens", "needed: at least 25", "more text"]),
        "picture.png": (b"\x89PNG", ["picture.png"]),
    }
    for name, (content, parts) in cases.items():
        (tmp_path / name).write_bytes(content)
        out = tmp_path / f"run of {name}"
        with tiny_run.no_probes():
            said = refused("train", tiny_run.write_yaml(tmp_path / "run.yaml", text_table(tmp_path / name)), "--out", out)
        assert all(part.lower() in said.lower() for part in parts), (name, said)
        assert not (out / "run.yaml").exists(), "a folder is taken only by a run that can begin"
        assert not list(out.rglob("*.writing"))
    assert "does not exist" in refused("train", "nowhere.txt")
    assert "is too long for this file system" in refused("train", "x" * 300)


def test_a_text_too_short_is_refused_before_anything_is_said_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.txt").write_text("Too short.\nSo short.\n", "utf-8")
    for length in (["--steps", "20"], ["--minutes", "3"]):
        with tiny_run.no_probes():
            code, out, problem = tiny_run.linnet(capsys, "train", "short.txt", *length)
        assert (code, out) == (2, "")
        assert "tokens to train on; needed: at least 257" in problem


def test_numbers_that_do_not_go_together_are_refused_before_the_text_is_read(
    refused: Linnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linnet.train.run.read_data", lambda *args: pytest.fail("the text is read"))
    for change, part in (
        ("model.n_heads=3", "n_heads = 3 does not divide"),
        ("model={kind: gpt2, n_heads: 4, n_kv_heads: 3}", "n_kv_heads = 3"),
    ):
        said = refused("train", config(tmp_path), "--set", change)
        assert "tiny.yaml with --set" in said
        assert part in said


def test_a_corrected_text_can_use_the_same_folder(refused: Linnet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Short.\nToo short.\n", "utf-8")
    path = tiny_run.write_yaml(tmp_path / "run.yaml", text_table(text))
    with tiny_run.no_probes() as patch:
        patch.setattr("linnet.command.has", lambda module: False)
        refused("train", path, "--out", "run")
        text.write_text("".join(f"This is line {n} of the text.\n" for n in range(60)), "utf-8")
        assert tiny_run.linnet(capsys, "train", path, "--out", "run", "--set", "train.steps=1")[0] == 0


def test_folders_that_are_taken(refused: Linnet, tmp_path: Path) -> None:
    folder = tiny_run.trained_copy(tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    said = refused("train", config(tmp_path), "--out", folder)
    assert "holds a run already" in said
    assert f"linnet train {folder} --resume" in said
    with locked(folder):
        assert "being trained by another process" in refused("train", folder, "--resume")
    assert "none of them: a run goes on as it was begun" in refused("train", folder, "--resume", "--steps", "99")
    assert "train.batch_size = 7; the run has 3" in refused(
        "train", config(tmp_path, train__batch_size=7), "--out", folder, "--resume"
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    (tmp_path / "file").write_text("x", "utf-8")
    for out in ("file", "file/run"):
        assert "file is a file" in refused("train", config(tmp_path), "--out", out)
    early = tmp_path / "early"
    early.mkdir()
    (early / ".lock").touch()
    assert "ended before its first step" in refused("train", early, "--resume")


def test_a_budget_too_small(refused: Linnet, tmp_path: Path) -> None:
    table = tiny_run.tiny()
    del table["train"]["steps"]
    path = tiny_run.write_yaml(tmp_path / "run.yaml", table)
    with tiny_run.no_probes():
        said = refused("train", path, "--minutes", "0.001")
    assert "0.001 minutes" in said
    assert "needed: time left to train; try: --minutes" in said


def test_no_free_memory(refused: Linnet, tmp_path: Path) -> None:
    with tiny_run.no_probes() as patch:
        patch.setattr("linnet.train.estimate.available_memory", lambda: 1000)
        said = refused("train", config(tmp_path), "--out", "run")
        assert "0.0 GiB are free" in said
        assert "smaller train.micro_batch_size" in said
        patch.undo()
    for error in (
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"),
    ):
        with tiny_run.no_probes() as patch:

            def take(*args: Any, error: Exception = error) -> None:
                raise error

            patch.setattr("linnet.train.loop.take_step", take)
            assert "out of memory; needed" in refused("train", config(tmp_path), "--out", f"run-{type(error).__name__}")


@pytest.mark.parametrize("where", ["metrics", "checkpoint", "model", "run.yaml"])
def test_a_full_disk_is_said_and_costs_nothing(refused: Linnet, tmp_path: Path, where: str) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(*args: Any, **options: Any) -> None:
        raise full

    target = {
        "metrics": "linnet.train.hooks.MetricsFile._write", "checkpoint": "linnet.train.checkpoint.write_tensors",
        "model": "linnet.interop.native.write_tensors", "run.yaml": "linnet.train.run.write_text",
    }[where]  # fmt: skip
    with tiny_run.no_probes() as patch:
        patch.setattr("linnet.command.has", lambda module: False)
        patch.setattr(target, refuse)
        said = refused("train", config(tmp_path), "--out", "run")
    assert "the disk is full" in said
    assert "another --out" in said
    assert not list((tmp_path / "run").rglob("*.writing"))
    alone = tiny_run.go(tmp_path / "alone")
    tiny_run.go(tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (alone.folder / "model.safetensors").read_bytes()


def test_a_file_that_may_not_grow_is_said_by_the_real_system(tmp_path: Path) -> None:
    """`ulimit -f`: the kernel refuses, in the middle of a checkpoint."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    table = tiny_run.tiny(data__sources=[{"kind": "stories", "count": 12}], model__d_model=64)
    tiny_run.go(tmp_path / "run", table | {"train": table["train"] | {"steps": 1}})
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(LinnetError, match="a file grew over the allowed size"):
            tiny_run.go(tmp_path / "other", table)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "other").rglob("*.writing"))


def test_models_that_are_none(refused: Linnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("generate", "eval"):
        assert "there is no model at" in refused(verb, "nowhere")
    folder = tiny_run.trained_copy(tmp_path / "run")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for damaged, part in ((whole[:-9], "truncated or replaced"), (whole[:-1] + bytes([whole[-1] ^ 1]), "was changed")):
        weights.write_bytes(damaged)
        assert part in refused("generate", folder)
        assert part in refused("eval", folder)
    weights.write_bytes(whole)
    assert "'--top-p': 0 is not more than 0" in refused("generate", folder, "--top-p", "0")
    assert "'--presence-penalty'" in refused("generate", folder, "--presence-penalty", "9")
    with pytest.raises(LinnetError, match="how to draw cannot be read: 1 problem\n  - top_p: got 0; needed: more than 0"):
        linnet.load(folder).generate("x", top_p=0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9 ol\xe9")))
    said = refused("generate", folder, "-")
    assert "byte 0xe9 at place 3" in said
    assert "needed: text in UTF-8" in said
    assert "byte 0xff at place 1 of the text" in refused("generate", folder, os.fsdecode(b"a\xff"))
    assert "nowhere.txt" in refused("eval", folder, "nowhere.txt")
    (tmp_path / "empty.txt").write_text("", "utf-8")
    assert "empty" in refused("eval", folder, "empty.txt")
    (folder / "summary.json").unlink()  # else it is a finished run, and its checkpoints do not matter
    for place in (folder / "checkpoints").iterdir():
        (place / "model.safetensors").write_bytes(b"")
    assert "no checkpoint of this run is whole" in refused("train", folder, "--resume")
    assert weights.read_bytes() == whole


def test_words_that_are_none(refused: Linnet) -> None:
    assert "did you mean 'attention'" in refused("words", "atention")
    assert "generat" in refused("generat")
    assert "did you mean 'llama'" in refused("plan", "--tokens", "1e6", "--family", "lama")
    assert "No such option" in refused("train", "x", "--mintues", "3")
