"""A tokenizer that is opened when texts are being read already is the tokenizer that it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from data_helpers import small_parts, spec_of

from linnet.core.errors import DataError, TokenizerError
from linnet.core.spec import load
from linnet.data import prepare as preparing
from linnet.data.corpus import Corpus, prepare_corpus
from linnet.data.engine import Processes
from linnet.data.prepare import prepare
from linnet.data.prepared import Prepared
from linnet.data.question import TokenizerLater
from linnet.data.work import Work
from linnet.tokenizer import Tokenizer, load_tokenizer
from linnet.tokenizer.bpe_tokenizer import BPETokenizer, train_bpe
from linnet.tokenizer.spec import TokenizerFile

TEXTS = [f"The {i}th letter, written on a {'very ' * (i % 5)}long day.\n\n" for i in range(300)]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    train_bpe(TEXTS, 300).save(tmp_path / "tokenizer.json")
    return tmp_path / "tokenizer.json"


@pytest.fixture
def corpus(tmp_path: Path, tokenizer: Path) -> Corpus:
    (tmp_path / "a.txt").write_text("<|endoftext|>\n".join(TEXTS))
    source = {"kind": "files", "path": str(tmp_path / "a.txt")}
    return load(Corpus, {"data": {"sources": [source]}, "tokenizer": {"kind": "file", "path": str(tokenizer)}})


def ask(corpus: Corpus, folder: Path, **options: object) -> Prepared:
    return prepare_corpus(corpus, folder, lambda done, message: None, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["here", "processes"])
def test_it_finds_what_the_opened_one_made_and_the_other_way_round(
    tmp_path: Path, corpus: Corpus, tokenizer: Path, engine: str
) -> None:
    later = ask(corpus, tmp_path / "later", engine=engine)
    opened = prepare(corpus.data, load_tokenizer(tokenizer), tmp_path / "opened")
    assert later.folder.name == opened.folder.name
    for split in ("train", "validation"):
        ours, theirs = (sorted((each.folder / split).iterdir()) for each in (later, opened))
        assert [file.name for file in ours] == [file.name for file in theirs]
        assert all(one.read_bytes() == other.read_bytes() for one, other in zip(ours, theirs, strict=True))
    assert ask(corpus, tmp_path / "opened").reused
    assert prepare(corpus.data, load_tokenizer(tokenizer), tmp_path / "later").reused
    assert ask(corpus, tmp_path / "later").reused
    assert not list(tmp_path.glob("*/*.unfinished"))


def test_texts_are_being_read_when_it_is_opened_and_it_is_opened_once(tmp_path: Path, corpus: Corpus, tokenizer: Path) -> None:
    happened: list[str] = []

    class Watched(Work):
        def read(self, unit):  # type: ignore[no-untyped-def]
            for event in super().read(unit):
                happened.append("read")
                yield event

    def opening() -> Tokenizer:
        happened.append("open")
        return load_tokenizer(tokenizer)

    with pytest.MonkeyPatch.context() as patch, small_parts():
        patch.setattr(preparing, "Work", Watched)
        prepare(corpus.data, TokenizerLater(opening, "this"), tmp_path / "out", engine="here")
    assert happened.index("open") == 1
    assert happened.count("open") == 1


def test_what_was_read_before_a_kill_is_not_read_again_whoever_else_finished(
    tmp_path: Path, corpus: Corpus, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(self: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Processes, "renew", killed)
        with pytest.raises(Killed):
            ask(corpus, tmp_path / "out", engine="processes")
    (left,) = (tmp_path / "out").glob("*.unfinished")
    other = spec_of({"kind": "files", "path": str(tmp_path / "a.txt")}, validation=0.3)
    prepare(other, load_tokenizer(tokenizer), tmp_path / "out")

    def refused(self: Work, unit: object) -> None:
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr(Work, "read", refused)
        again = ask(corpus, tmp_path / "out", engine="here")
    assert not left.exists()
    shutil.rmtree(tmp_path / "out")
    assert again.folder.name == ask(corpus, tmp_path / "out").folder.name


def cut(path: Path) -> None:
    path.write_text(path.read_text()[:-100])


@pytest.mark.parametrize(("spoil", "said"), [(cut, "tokenizer.json"), (Path.unlink, "does not exist")])
@pytest.mark.parametrize("engine", ["here", "processes"])
def test_one_that_cannot_be_opened_leaves_nothing(
    tmp_path: Path, corpus: Corpus, tokenizer: Path, engine: str, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(tokenizer)
    with pytest.raises(TokenizerError, match=said):
        ask(corpus, tmp_path / "out", engine=engine)
    assert not (tmp_path / "out").exists()


def test_workers_that_are_ended_say_nothing(tmp_path: Path, tokenizer: Path) -> None:
    """In a process of its own, where workers are copies: here torch has been imported."""
    cut(tokenizer)
    (tmp_path / "many").mkdir()
    for number in range(6):
        (tmp_path / "many" / f"{number}.txt").write_text(f"{number} " + "letters, one after the other. " * 3000)
    asked = ["prepare", "many", "--tokenizer", str(tokenizer), "--engine", "processes", "--workers", "4", "--out", "out"]
    for _ in range(4):
        done = subprocess.run([sys.executable, "-m", "linnet.cli.main", *asked], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2
        assert "tokenizer.json" in done.stderr
        assert "Traceback" not in done.stderr


def test_one_that_can_be_read_only_once_is_opened_at_once(tmp_path: Path, corpus: Corpus, tokenizer: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(tokenizer.read_bytes()))
    writer.start()
    piped = ask(corpus.replace(tokenizer=TokenizerFile(path=str(pipe))), tmp_path / "out")
    writer.join()
    assert piped.folder.name == ask(corpus, tmp_path / "other").folder.name


def test_shards_of_another_tokenizer_are_never_taken_for_its_own(tmp_path: Path) -> None:
    """Also where a text that stands for one stood for another the last time, and both were killed on the way."""

    class Killed(BaseException):
        pass

    def stop_after(n: int) -> Callable[[float | None, str], None]:
        left = [n]

        def tell(done: float | None, message: str) -> None:
            left[0] -= message.startswith("encoding")
            if left[0] <= 0:
                raise Killed

        return tell

    ids = [*range(256), *range(255, -1, -1)]
    one, other = ({bytes([byte]): token for byte, token in zip(range(256), some, strict=True)} for some in (ids[:256], ids[256:]))
    special = {"<|endoftext|>": 256}
    first, second = (BPETokenizer(tokens, [], pattern="gpt2", special=special) for tokens in (one, other))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    spec = spec_of({"kind": "files", "path": str(tmp_path / "a.jsonl")})

    def go_on(tokenizer: Tokenizer, most: int = 10**9) -> Prepared:
        later = TokenizerLater(lambda: tokenizer, "the same")
        return prepare(spec, later, tmp_path / "out", engine="here", progress=stop_after(most))

    with small_parts():
        for tokenizer, n in ((first, 12), (second, 9)):
            with pytest.raises(Killed):
                go_on(tokenizer, n)
        found, right = go_on(first), prepare(spec, first, tmp_path / "right", engine="here")
    for split in ("train", "validation"):
        for file in (right.folder / split).iterdir():
            assert (found.folder / split / file.name).read_bytes() == file.read_bytes(), file.name


def test_one_that_does_not_suit_the_data_leaves_nothing(tmp_path: Path, corpus: Corpus) -> None:
    (tmp_path / "chats.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n' * 50
    )
    chats = {"kind": "conversations", "path": str(tmp_path / "chats.jsonl")}
    with pytest.raises((DataError, TokenizerError), match="special"):
        ask(corpus.replace(data=spec_of(chats)), tmp_path / "out", engine="processes")
    assert not (tmp_path / "out").exists()


def test_another_file_by_the_same_name_is_another_question(tmp_path: Path, corpus: Corpus, tokenizer: Path) -> None:
    first = ask(corpus, tmp_path / "out")
    train_bpe(TEXTS, 290).save(tokenizer)
    second = ask(corpus, tmp_path / "out")
    assert not second.reused
    assert second.folder != first.folder
    assert second.tokenizer.vocab_size == 290
