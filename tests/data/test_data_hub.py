"""Data sets of the Hub: what `datasets` itself gives, row by row; from a folder, and from a small Hub that runs here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from data_helpers import by_portions, spec_of

from linnet.core.errors import ConfigError, DataError, MissingExtraError
from linnet.core.spec import load
from linnet.data.hub import Hub
from linnet.data.prepare import prepare
from linnet.tokenizer.simple import ByteTokenizer

datasets = pytest.importorskip("datasets", reason="datasets is not installed: the extra `hub` brings it")
arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: the extra `data` brings it")
parquet = pytest.importorskip("pyarrow.parquet")

CARD = """---
configs:
- config_name: small
  data_files:
  - split: train
    path: small/train-*.parquet
  - split: validation
    path: small/validation-*.parquet
- config_name: other
  data_files: other.parquet
---
# Rows
"""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def made(folder: Path) -> Path:
    """A data set of two configs: five files of seven rows, in row groups of two; and one of another."""
    (folder / "small").mkdir(parents=True)
    for number in range(5):
        ids = range(number * 7, number * 7 + 7)
        table = arrow.table({"id": list(ids), "url": [f"x/{i}" for i in ids], "text": [f"Text {i}, naïve ☃\n" for i in ids]})
        parquet.write_table(table, folder / "small" / f"train-{number:05d}-of-00005.parquet", row_group_size=2)
    table = arrow.table({"id": [1], "url": ["y"], "text": ["One for validation."]})
    parquet.write_table(table, folder / "small" / "validation-00000-of-00001.parquet")
    parquet.write_table(arrow.table({"n": [1, 2], "content": ["first", "second"]}), folder / "other.parquet")
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "rows")


def source(folder: Path | str, **options: object) -> Hub:
    return load(Hub, {"kind": "hub", "dataset": str(folder), **options})


def texts(folder: Path | str, **options: object) -> list[str]:
    return [document.text for document in source(folder, **options).documents()]


def test_rows_are_those_of_the_library(folder: Path) -> None:
    expected = list(datasets.load_dataset(str(folder), "small", split="train", cache_dir=str(folder.parent / "whole"))["text"])
    assert expected == [f"Text {i}, naïve ☃\n" for i in range(35)]
    assert texts(folder, config="small") == expected
    assert texts(folder, config="small", text="url") == [f"x/{i}" for i in range(35)]
    assert texts(folder, config="small", split="validation") == ["One for validation."]
    assert texts(folder, config="other") == ["first", "second"]
    (first, *_, last) = source(folder, config="small").documents()
    assert (first.name, last.name, first.source) == (f"{folder}, row 1", f"{folder}, row 35", "rows")


@pytest.mark.parametrize("limit", [1, 6, 7, 20, 1000])
def test_a_limit_counts_from_the_beginning(folder: Path, limit: int) -> None:
    word = source(folder, config="small", limit=limit)
    assert texts(folder, config="small", limit=limit) == texts(folder, config="small")[:limit]
    assert len(word.portions()) == 1
    assert by_portions(word) == texts(folder, config="small", limit=limit)


@pytest.mark.parametrize("most", [64, 3, 2, 1])
def test_portions_one_after_the_other_are_the_whole(folder: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr("linnet.data.hub.MANY", most)
    monkeypatch.setattr("linnet.data.hub.BATCH", 4)
    word = source(folder, config="small")
    portions = word.portions()
    assert len(portions) == min(5, most)
    assert by_portions(word) == texts(folder, config="small")
    assert all(sum(map(len, word.texts(portion.what))) >= 7 for portion in portions)
    assert json.loads(json.dumps([portion.what for portion in portions])) == [portion.what for portion in portions]
    whole = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert 0 <= whole - sum(portion.size for portion in portions) < len(portions)


def test_a_stream_is_not_read_to_its_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last file is broken, and nobody who stops before notices."""
    monkeypatch.setattr("linnet.data.hub.BATCH", 2)
    last = folder / "small" / "train-00004-of-00005.parquet"
    last.write_bytes(last.read_bytes()[:-100])
    documents = source(folder, config="small").documents()
    assert [next(documents).text for _ in range(28)] == [f"Text {i}, naïve ☃\n" for i in range(28)]
    with pytest.raises(DataError, match=r"rows, behind row 28: .*needed: rows that can be read"):
        next(documents)
    word = source(folder, config="small")
    with pytest.raises(DataError, match=r"behind row 0 of part 5 of 5"):
        by_portions(word)


def test_what_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    def refused(dataset: Path | str, **options: object) -> str:
        with pytest.raises(DataError) as caught:
            texts(dataset, **options)
        with pytest.raises(DataError) as again:
            source(dataset, **options).portions()
        assert str(again.value) == str(caught.value)
        return str(caught.value)

    assert refused(folder).endswith("rows has several configs, and none was named; needed: one of: small, other")
    said = refused(folder, config="smal")
    assert said.endswith("has no config 'smal'; needed: one of: small, other; did you mean 'small'?")
    said = refused(folder, config="small", split="trian")
    assert said.endswith("has no split 'trian'; needed: one of: train, validation; did you mean 'train'?")
    said = refused(folder, config="small", text="txet")
    assert said.endswith("has no field 'txet'; needed: one of: id, url, text; did you mean 'text'?")
    assert refused(folder, config="small", text="id").endswith(
        "column 'id' holds int64; needed: text (columns of text: url, text)"
    )
    parquet.write_table(arrow.table({"n": [1], "messages": [[{"role": "user", "content": "x"}]]}), tmp_path / "chat.parquet")
    (tmp_path / "chats").mkdir()
    (tmp_path / "chat.parquet").rename(tmp_path / "chats" / "a.parquet")
    assert "no field of it is known to hold text (found: n, messages)" in refused(tmp_path / "chats")
    (tmp_path / "empty").mkdir()
    assert "empty holds no data that can be read" in refused(tmp_path / "empty")
    assert "holds no data that can be read" in refused(tmp_path / "missing")
    assert "the Hub cannot be reached, to open someone/something" in refused("someone/something")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "code.py").write_text("raise SystemExit('this ran')\n")
    assert "code cannot be opened (RuntimeError: Dataset scripts are no longer supported" in refused(tmp_path / "code")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist on the Hub"),
            "there is no data set a/b on the Hub",
        ),
        (datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' is a gated dataset on the Hub."), "given access.*hf auth login"),
        (ConnectionError("Couldn't reach 'a/b' on the Hub"), "cannot be reached.*needed: a network"),
        (KeyError("x"), "a/b cannot be opened .KeyError: 'x'"),
    ],
)
def test_what_the_library_says_in_other_words(monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    def load_dataset(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=said):
        texts("a/b")


def test_code_of_a_data_set_is_never_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load_dataset(*values: object, **named: object) -> Any:
        asked.append((values, named))
        return datasets.IterableDataset.from_generator(lambda: iter([{"text": "a"}]))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert texts("a/b", revision="0" * 40, config="c") == ["a"]  # and its columns are known from its first row
    assert asked == [(("a/b", "c"), {"split": "train", "revision": "0" * 40, "streaming": True})]


def test_lines_of_json(tmp_path: Path) -> None:
    """Lines of JSON, whose types `datasets` finds out."""
    (tmp_path / "lines").mkdir()
    for number in range(3):
        rows = [{"n": i, "meta": {"a": 1}, "content": f"Line {number}-{i}", "url": "x"} for i in range(4)]
        (tmp_path / "lines" / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = [f"Line {number}-{i}" for number in range(3) for i in range(4)]
    assert texts(tmp_path / "lines") == by_portions(source(tmp_path / "lines")) == expected
    assert len(source(tmp_path / "lines").portions()) == 3
    with pytest.raises(DataError, match=r"column 'meta' holds no text; needed: text \(columns of text: content, url\)"):
        texts(tmp_path / "lines", text="meta")


def test_a_row_without_text(tmp_path: Path) -> None:
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "a.jsonl").write_text('{"text": "a"}\n{"text": null}\n')
    with pytest.raises(DataError, match=r"lines, row 2: its 'text' is null; needed: a text there"):
        texts(tmp_path / "lines")


def test_a_digest_changes_with_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = source(folder, config="small").digest()
    assert first == source(folder, config="small").digest()
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("hidden files do not count")
    assert source(folder, config="small").digest() == first
    parquet.write_table(arrow.table({"n": [1, 2], "content": ["first", "sekond"]}), folder / "other.parquet")
    second = source(folder, config="small").digest()
    assert second != first
    monkeypatch.setattr("linnet.data.sources.HASHED_BYTES", 0)
    assert str((folder / "other.parquet").stat().st_mtime_ns) in str(source(folder, config="small").digest())
    assert source("someone/something").digest() is None  # nobody can be asked
    assert source("someone/something", revision="a" * 40).digest() == "a" * 40


def test_the_library_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"'datasets'.*read data sets of the Hugging Face Hub.*linnet\[hub\]"):
        texts(folder, config="small")
    with pytest.raises(MissingExtraError, match="datasets"):
        source(folder).digest()


def test_names() -> None:
    assert source("HuggingFaceFW/fineweb").label() == "fineweb"
    assert source("a/b c", name="d").label() == "d"
    spec = spec_of({"kind": "hub", "dataset": "a/fineweb"}, {"kind": "hub", "dataset": "b/fineweb"})
    assert spec.names() == ["fineweb", "fineweb-2"]
    with pytest.raises(ConfigError, match="limit"):
        source("a", limit=0)
    with pytest.raises(ConfigError, match="dataset"):
        load(Hub, {"kind": "hub", "path": "a/b"})


ON_A_HUB = """
import os, sys
from pathlib import Path
from small_hub import COMMIT, serve
address, asked = serve(Path(sys.argv[1]))
os.environ["HF_ENDPOINT"] = address  # read when the libraries are imported
os.environ.pop("HF_HUB_OFFLINE", None)

from linnet.core.errors import DataError
from linnet.core.spec import load
from linnet.data.hub import Hub
from linnet.data.prepare import prepare
from linnet.data.spec import DataSpec
from linnet.tokenizer.simple import ByteTokenizer

word = Hub(dataset="some/rows", config="small")
assert word.digest() == COMMIT == Hub(dataset="some/rows", revision="main").commit()
expected = [document.text for document in Hub(dataset=sys.argv[1], config="small").documents()]
assert len(expected) == 35
assert [document.text for document in word.documents()] == expected
portions = word.portions()
assert len(portions) == 5
assert {portion.what["commit"] for portion in portions} == {COMMIT}
assert [text.decode() for portion in portions for batch in word.texts(portion.what) for text in batch] == expected
assert all("/resolve/" + COMMIT + "/" in path for path in asked if "/resolve/" in path)  # never by the name of a branch

asked.clear()
limited = Hub(dataset="some/rows", config="small", limit=3)
assert [document.text for document in limited.documents()] == expected[:3]
assert not any("train-00001" in path for path in asked)  # what is not needed is not downloaded

for wrong, said in (
    ({"dataset": "some/nothing"}, "there is no data set some/nothing on the Hub"),
    ({"dataset": "some/rows", "config": "small", "revision": "v9"}, "there is no data set some/rows at v9 on the Hub"),
    ({"dataset": "some/rows", "config": "smal"}, "did you mean 'small'?"),
    ({"dataset": "some/rows", "config": "small", "split": "trian"}, "did you mean 'train'?"),
    ({"dataset": "some rows"}, "some rows cannot be opened (HFValidationError"),
):
    try:
        Hub(**wrong).portions()
        raise SystemExit(f"{wrong} was not refused")
    except DataError as error:
        assert said in str(error), error

spec = load(DataSpec, {"sources": [{"kind": "hub", "dataset": "some/rows", "config": "small"}], "split": "hash"})
folder = Path(sys.argv[2])
one, two = (prepare(spec, ByteTokenizer(), folder / engine, engine=engine, workers=2) for engine in ("here", "processes"))
assert one.train.documents + one.validation.documents == 35
assert one.folder.name == two.folder.name
assert one.train_text() == two.train_text()
assert prepare(spec, ByteTokenizer(), folder / "here").reused
print("all of it")
"""


def test_a_set_on_a_hub(folder: Path, tmp_path: Path) -> None:
    """Read through the libraries' own network code; every part from the commit that was the newest."""
    here = Path(__file__).resolve().parent
    environment = os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(here.parents[1] / "src"), str(here), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", ON_A_HUB, str(folder), str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all of it\n")


@pytest.mark.parametrize("engine", ["here", "processes"])
def test_prepare(folder: Path, tmp_path: Path, engine: Any) -> None:
    spec = spec_of({"kind": "hub", "dataset": str(folder), "config": "small"}, split="hash")
    prepared = prepare(spec, ByteTokenizer(), tmp_path / "out", engine=engine, workers=2)
    found = [text for split in (prepared.train, prepared.validation) for text in prepared.texts(split.streams[0])]
    assert sorted(found) == sorted(text.encode() for text in texts(folder, config="small"))
    assert prepare(spec, ByteTokenizer(), tmp_path / "out").reused
    with open(folder / "README.md", "a") as handle:
        handle.write("A line more.\n")
    assert not prepare(spec, ByteTokenizer(), tmp_path / "out").reused
