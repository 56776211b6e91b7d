"""linnet prepare: what it makes, finds again, hands to runs, and refuses."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

import tiny_run
from linnet.asked import RUN_FIELDS, asked_of, kind_of_source
from linnet.core.errors import DataError, TokenizerError
from linnet.data.corpus import Corpus
from linnet.data.sources import Files
from linnet.tokenizer import load_tokenizer
from linnet.tokenizer.simple import ByteTokenizer
from linnet.train.resume import prepared_before
from linnet.train.spec import RunSpec

WORDS = ["a", "linnet", "sings", "on", "the", "old", "oak", "tree", "and", "another", "one", "answers", "from", "the", "hedge"]
NOTES = [" ".join(WORDS[(number * k) % len(WORDS)] for k in range(1, 60)) + f" {number}." for number in range(120)]
TINY = ["--steps", "2", "--set", "model.size=nano", "--set", "train.context_length=32", "--set", "train.batch_size=2"]


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in NOTES))
    return path


def test_prepare_then_train(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = tiny_run.linnet(capsys, "prepare", "notes.jsonl", "--vocab-size", "300")
    assert (code, err) == (0, "")
    assert "reading notes\n" in out
    assert "training the tokenizer\nencoding\n" in out
    (folder,) = Path("prepared/notes").iterdir()
    assert f"next      linnet train {folder}" in out
    code, out, _ = tiny_run.linnet(capsys, "prepare", "notes.jsonl", "--vocab-size", "300", "--quiet")
    assert (code, out) == (0, f"{folder}\n")
    assert "found again" in tiny_run.linnet(capsys, "prepare", "notes.jsonl", "--vocab-size", "300")[1]

    notes.unlink()  # the tokens are enough
    code, out, err = tiny_run.linnet(capsys, "train", "prepared/notes", *TINY)
    assert (code, err) == (0, "")
    run = Path("runs/notes")
    assert not (run / "data").exists()
    assert (run / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    record = (run / "run.yaml").read_text()
    assert "prepared: prepared/notes" in record
    assert "vocab_size: 300" in record
    assert "nats a token" in tiny_run.linnet(capsys, "eval", run)[1]
    with pytest.raises(TokenizerError, match="the tokenizer that encoded the data"):
        prepared_before(run, ByteTokenizer())
    assert "| notes | files |" in tiny_run.linnet(capsys, "data", "card", run)[1]
    assert "is finished" in tiny_run.linnet(capsys, "train", run, "--resume")[1]
    assert tiny_run.linnet(capsys, "train", folder, *TINY)[0] == 0  # the folder itself as well
    assert Path("runs/notes-2/model.safetensors").exists()


def test_where_the_text_is_and_what_stands_between_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"body": f"{text} told", "text": "not this"} for text in NOTES]
    Path("posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("notes.txt").write_text("\n***\n".join(NOTES))
    arguments = ("--vocab-size", "300", "--quiet", "--text", "body", "--separator", "***")
    code, out, err = tiny_run.linnet(capsys, "prepare", "posts.jsonl", "notes.txt", *arguments)
    assert (code, err) == (0, "")
    posts, notes = json.loads((Path(out.strip()) / "card.json").read_text())["sources"]
    assert posts["documents_read"] == notes["documents_read"] == len(NOTES)
    assert sum(notes["bytes"].values()) == len("".join(NOTES))
    assert sum(posts["bytes"].values()) == len("".join(NOTES)) + len(" told") * len(NOTES)
    code, _, err = tiny_run.linnet(capsys, "prepare", "stories", "--text", "body")
    assert code == 2
    assert "--text for stories, which has no files among its sources" in err
    Path("alpaca.jsonl").write_text("".join(json.dumps({"instruction": n, "output": n, "text": n}) + "\n" for n in NOTES))
    code, out, _ = tiny_run.linnet(capsys, "prepare", "alpaca.jsonl", "--vocab-size", "300")
    assert (code, "read as conversations (alpaca)" in out, "--set data.sources.0.kind=files" in out) == (0, True, True)
    for way in (("--text", "text"), ("--set", "data.sources.0.kind=files")):
        code, out, _ = tiny_run.linnet(capsys, "prepare", "alpaca.jsonl", "--vocab-size", "300", "--quiet", *way)
        assert code == 0
        assert json.loads((Path(out.strip()) / "card.json").read_text())["sources"][0]["kind"] == "files"


def test_the_same_losses_as_a_run_that_prepares_by_itself(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--set", "tokenizer={kind: bpe, vocab_size: 300}", "--set", "data.rows=documents"]
    assert tiny_run.linnet(capsys, "prepare", "notes.jsonl", *asked)[0] == 0
    assert tiny_run.linnet(capsys, "train", "notes.jsonl", "--out", "one", *asked, *TINY)[0] == 0
    assert tiny_run.linnet(capsys, "train", "prepared/notes", "--out", "other", "--set", "data.rows=documents", *TINY)[0] == 0
    assert Path("one/model.safetensors").read_bytes() == Path("other/model.safetensors").read_bytes()


def test_a_run_file_may_name_both(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it says of its text has to be what the tokens were made of."""
    source = "sources: [{kind: files, path: notes.jsonl}]"
    Path("my.yaml").write_text(
        f"data: {{{source}, validation: 0.2}}\ntokenizer: {{kind: bpe, vocab_size: 300}}\ntrain: {{steps: 2}}\n"
    )
    code, out, _ = tiny_run.linnet(capsys, "prepare", "my.yaml")
    assert code == 0
    assert "prepared/my/" in out
    assert tiny_run.linnet(capsys, "train", "my.yaml", "--out", "a", "--set", "data.prepared=prepared/my", *TINY[2:])[0] == 0
    code, _, err = tiny_run.linnet(
        capsys, "train", "my.yaml", "--out", "b", "--set", "data.prepared=prepared/my", "--set", "data.validation=0.3"
    )
    assert (code, "other validation in data: than prepared/my" in err) == (2, True)
    code, _, err = tiny_run.linnet(
        capsys, "train", "my.yaml", "--out", "c", "--set", "data.prepared=prepared/my", "--set", "tokenizer=byte"
    )
    assert (code, "the tokenizer that made them" in err) == (2, True)


def test_with_a_tokenizer_that_is_there(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny_run.linnet(capsys, "tokenizer", "train", "notes.jsonl", "--vocab-size", "290")[0] == 0
    assert (
        tiny_run.linnet(capsys, "prepare", "notes.jsonl", "-t", "tokenizer.json", "--engine", "processes", "--workers", "2")[0]
        == 0
    )
    first = next(Path("prepared/notes").iterdir())
    assert (first / "tokenizer.json").read_bytes() == Path("tokenizer.json").read_bytes()
    # another tokenizer in the same file is another question
    Path("tokenizer.json").unlink()
    assert tiny_run.linnet(capsys, "tokenizer", "train", "notes.jsonl", "--vocab-size", "280")[0] == 0
    assert tiny_run.linnet(capsys, "prepare", "notes.jsonl", "-t", "tokenizer.json")[0] == 0
    assert len(list(Path("prepared/notes").iterdir())) == 2
    code, _, err = tiny_run.linnet(capsys, "train", "prepared/notes", *TINY)
    assert (code, "2 prepared folders" in err) == (2, True)


def test_ranks_that_say_no_pattern(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the refusal says to try works; a tokenizer that is trained takes it, too."""
    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}\n" for byte in range(256)]
    Path("mine.tiktoken").write_text("".join(lines))
    code, _, err = tiny_run.linnet(capsys, "prepare", "notes.jsonl", "-t", "mine.tiktoken")
    assert (code, "says no splitting pattern" in err, "try: --pattern gpt4" in err) == (2, True, True)
    code, out, err = tiny_run.linnet(capsys, "prepare", "notes.jsonl", "-t", "mine.tiktoken", "--pattern", "qwen", "-q")
    assert (code, err) == (0, "")
    assert load_tokenizer(Path(out.strip())).pattern == "qwen"
    out = tiny_run.linnet(capsys, "prepare", "notes.jsonl", "--vocab-size", "300", "--pattern", "o200k", "-q")[1]
    assert load_tokenizer(Path(out.strip())).pattern == "o200k"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["notes.jsonl", "--engine", "rya"], "did you mean 'ray'"),
        (["notes.jsonl", "--vocab-size", "300", "-t", "tokenizer.json"], "one of them"),
        (["notes.jsonl", "-t", "none.json"], "none.json"),
        (["notes.jsonl", "--pattern", "gtp4"], "tokenizer.pattern: got 'gtp4'"),
        (["notes.jsonl", "--set", "data.validaton=0.2"], "validation"),
        (["nothing"], "does not exist"),
        (["bad.jsonl"], "line 2"),
        (["notes.jsonl", "--out", "bad.jsonl"], "bad.jsonl is a file"),
        (["my.yaml"], "modle"),
    ],
)
def test_refusals(notes: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    Path("bad.jsonl").write_text('{"text": "fine"}\n{"text": 1}\n')
    Path("my.yaml").write_text("data: {sources: [{kind: files, path: notes.jsonl}]}\nmodle: llama\n")
    code, _, err = tiny_run.linnet(capsys, "prepare", *arguments)
    assert (code, said in err) == (2, True), err
    assert not list(Path("prepared").glob("*/*"))


def test_long_names_are_cut_and_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"{'long' * 60}{number}.jsonl" for number in range(2)]
    for number, name in enumerate(names):
        Path(name).write_text("".join(json.dumps({"text": f"{number}: {text}"}) + "\n" for text in NOTES))
    assert tiny_run.linnet(capsys, "prepare", *names, "--set", "tokenizer=byte")[0] == 0
    (card,) = Path("prepared").glob("*/*/card.json")
    assert [source["name"] for source in json.loads(card.read_text())["sources"]] == ["long" * 25, "long" * 25 + "-2"]
    code, _, err = tiny_run.linnet(capsys, "prepare", names[0], "--set", f"data.sources.0.name={'x' * 101}")
    assert (code, "at most 100 characters" in err) == (2, True)


def test_near_copies_and_evaluation_texts_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = " ".join(f"word{number}" for number in range(40))
    texts = [f"{story} number {number}" * (number < 2) or f"another text, number {number}" for number in range(60)]
    (tmp_path / "web.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in [*texts, "what an exam asks of them all, here and now"])
    )
    (tmp_path / "exam.txt").write_text("What an exam asks of them all, here and now?")
    asked = ["prepare", str(tmp_path / "web.jsonl"), "--near", "--against", str(tmp_path / "exam.txt"), "--vocab-size", "300"]
    code, out, _ = tiny_run.linnet(capsys, *asked, "--out", str(tmp_path / "out"))
    assert code == 0
    assert "overlaps" in out
    (card,) = (tmp_path / "out").glob("*/card.json")
    (source,) = json.loads(card.read_text())["sources"]
    assert (source["near_dropped"], source["overlaps_dropped"], source["documents_read"]) == (1, 1, 61)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("notes.txt", "files"),
        ("web/*.jsonl.gz", "files"),
        ("crawl/CC-MAIN-1.WARC.gz", "warc"),
        ("a.warc.wet.gz", "warc"),
        ("simplewiki-latest-pages-articles.xml.bz2", "wikipedia"),
        ("folder", "files"),
    ],
)
def test_archives_are_known_by_their_endings(path: str, kind: str) -> None:
    assert kind_of_source(path) == kind


@pytest.mark.parametrize(
    ("name", "said"),
    [("a.json", "one object a line"), ("a.warc.gz", "kind: warc"), ("a.xml.bz2", "kind: wikipedia"), ("a.pdf", "converting")],
)
def test_what_is_no_text_is_not_read_as_text(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"[1, 2]")
    with pytest.raises(DataError, match=said):
        Files(path=str(tmp_path / name)).files()


def test_a_folder_called_like_a_source_of_linnets_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stories").mkdir()
    code, _, said = tiny_run.linnet(capsys, "prepare", "stories")
    assert code
    assert "./stories" in said


def test_prepared_tokens_are_not_prepared_again(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny_run.linnet(capsys, "prepare", "notes.jsonl", "--set", "tokenizer=byte")[0] == 0
    code, _, err = tiny_run.linnet(capsys, "prepare", "prepared/notes")
    assert (code, "linnet train prepared/notes" in err) == (2, True)


def test_the_parts_of_a_run_that_tokens_do_not_know() -> None:
    assert {*RUN_FIELDS, *Corpus.model_fields} == set(RunSpec.model_fields)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (".", "letters"),
        ("..", "letters"),
        ("./", "letters"),
        ("notes", "notes"),
        ("notes.tar.txt", "notes"),
        ("notes/**/*.md", "notes"),
        ("*.txt", "letters"),
        (".hidden", "hidden"),
        ("-", "stdin"),
    ],
)
def test_what_is_made_of_a_path_has_its_name(path: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "letters"
    for each in (folder / "notes", folder / ".hidden", folder / "inner"):
        each.mkdir(parents=True)
    (folder / "notes.tar.txt").write_text("Dear all", "utf-8")
    monkeypatch.chdir(folder / "inner" if path == ".." else folder)
    assert asked_of(path)[1] == name
