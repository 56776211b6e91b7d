"""Plain text is left where it lies as long as cleaning changes nothing in it, and read again; what comes of it is the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import DataError
from linnet.core.spec import load
from linnet.data.clean import DEFAULT_STEPS
from linnet.data.look import Texts
from linnet.data.prepare import Preparation, prepare
from linnet.data.prepared import Prepared
from linnet.data.sources import Files
from linnet.data.spec import DataSpec
from linnet.data.spool import Part, write_parts
from linnet.data.work import Work
from linnet.tokenizer.simple import ByteTokenizer, train_char

MARK = "\n<|endoftext|>\n"
DOCUMENTS = [f"document {number}\n" + "words that go on, " * (number % 7) + "end" for number in range(400)]


def spec_of(path: Path, **more: object) -> DataSpec:
    return load(DataSpec, {"sources": [{"kind": "files", "path": str(path)}], "validation": 0.1, **more})


def spooled(folder: Path, documents: list[str], monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """What reading a file of some documents leaves, where it is read in small blocks."""
    monkeypatch.setattr("linnet.data.reading.CHUNK", 512)
    file = folder / "a.txt"
    file.write_text(MARK.join(documents), newline="")
    source, spool = Files(path=str(file)), folder / "spool"
    spool.mkdir()
    (portion,) = source.portions()
    events = write_parts("a.00000", source.texts(portion.what), DEFAULT_STEPS, spool, left=portion.what)
    return [event for event in events if isinstance(event, Part)]


def texts_of(parts: list[Part], folder: Path) -> Iterator[bytes]:
    work = Work(spec_of(folder / "a.txt"), 0, folder)
    for part in parts:
        assert part.is_whole(folder / "spool")
        assert part.are_its(work.texts(0, part), folder / "spool")
        for texts in work.texts(0, part):
            yield from texts


def test_text_that_stays_as_it_is_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (part,) = spooled(tmp_path, DOCUMENTS, monkeypatch)
    assert part.left is not None
    assert (part.read, part.documents) == (400, 400)
    assert [file.name for file in (tmp_path / "spool").iterdir()] == ["a.00000.0000.records"]
    assert list(texts_of([part], tmp_path)) == [document.encode() for document in DOCUMENTS]


@pytest.mark.parametrize("place", [0, 1, 200, 398, 399])
@pytest.mark.parametrize(("odd", "cleaned"), [("two\r\nlines", ["two\nlines"]), (" \n ", [])])
def test_what_follows_a_change_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, odd: str, cleaned: list[str]
) -> None:
    given = [*DOCUMENTS[:place], odd, *DOCUMENTS[place + 1 :]]
    parts = spooled(tmp_path, given, monkeypatch)
    assert [part.left is None for part in parts] == [False, True][-len(parts) :]
    assert sum(part.read for part in parts) == 400
    expected = [*DOCUMENTS[:place], *cleaned, *DOCUMENTS[place + 1 :]]
    assert list(texts_of(parts, tmp_path)) == [document.encode() for document in expected]
    assert len(parts) == 2 or place < 30  # what is in the first block is copied from the start


def test_compressed_text_and_lines_are_copied(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(MARK.join(DOCUMENTS).encode()))
    (tmp_path / "b.txt").write_text("\n".join(DOCUMENTS))
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"text": document}) + "\n" for document in DOCUMENTS))
    sources = [Files(path=str(tmp_path / "a.txt.gz")), Files(path=str(tmp_path / "b.txt"), separator="\n")]
    sources += [Files(path=str(tmp_path / "c.jsonl")), Files(path=str(tmp_path / "b.txt"), encoding="latin-1")]
    assert [portion.again for source in sources for portion in source.portions()] == [False] * 4
    assert [portion.again for portion in Files(path=str(tmp_path / "b.txt")).portions()] == [True]


def prepared(path: Path, out: Path, **more: object) -> Prepared:
    return prepare(spec_of(path, **more), ByteTokenizer(), out)


@pytest.mark.parametrize("more", [{}, {"exact": True}, {"near": {}}])
def test_left_or_copied_the_shards_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, object]) -> None:
    twice = [*DOCUMENTS, *DOCUMENTS[:50]]
    (tmp_path / "a.txt").write_text(MARK.join(twice))
    left = prepared(tmp_path / "a.txt", tmp_path / "left", **more)
    monkeypatch.setattr("linnet.data.sources._again", lambda parts, options: False)
    copied = prepared(tmp_path / "a.txt", tmp_path / "copied", **more)
    for name in ("index.json", "card.json"):
        assert (left.folder / name).read_bytes() == (copied.folder / name).read_bytes()
    assert left.train_text() == copied.train_text()


@pytest.mark.parametrize(
    "becomes",
    [
        MARK.join(DOCUMENTS[:399]),  # shorter
        MARK.join([*DOCUMENTS[:200], "x" + DOCUMENTS[200], *DOCUMENTS[201:]]),  # another size
        MARK.join([*DOCUMENTS[:200], "X" + DOCUMENTS[200][1:], *DOCUMENTS[201:]]),  # of the same size
    ],
)
def test_text_that_changes_before_it_is_encoded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: str) -> None:
    file = tmp_path / "a.txt"
    file.write_text(MARK.join(DOCUMENTS))
    encode = Preparation.encode

    def change(self: Preparation, *given: object) -> object:
        file.write_text(becomes)
        return encode(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Preparation, "encode", change)
    with pytest.raises(DataError, match="changed while it was read"):
        prepared(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_after_a_restart_of_the_machine_texts_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (part,) = spooled(tmp_path, DOCUMENTS, monkeypatch)
    work = Work(spec_of(tmp_path / "a.txt"), 0, tmp_path)
    records = part.records(tmp_path / "spool")
    records["fingerprint"][7] += np.uint64(1)
    records.tofile(tmp_path / "spool" / f"{part.name}.records")
    assert part.is_whole(tmp_path / "spool")
    assert not part.are_its(work.texts(0, part), tmp_path / "spool")


def test_a_copy_that_was_cut_is_refused(tmp_path: Path) -> None:
    whole = Texts.of([document.encode() for document in DOCUMENTS])
    (part,) = (event for event in write_parts("a", [whole], [], tmp_path) if isinstance(event, Part))
    text = tmp_path / f"{part.name}.text"
    text.write_bytes(text.read_bytes()[:-1])
    assert not part.is_whole(tmp_path)
    with pytest.raises(DataError, match="ends after"):
        list(part.texts(tmp_path))
    assert dataclasses.replace(part, left=[["a", 0, None, 0, False]]).is_whole(tmp_path)


def test_a_reader_that_was_killed_goes_on_with_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.data.spool.PART", 2048)
    parts = spooled(tmp_path, [*DOCUMENTS[:200], "two\r\nlines", *DOCUMENTS[201:]], monkeypatch)
    assert len(parts) > 4
    source = Files(path=str(tmp_path / "a.txt"))
    for done in range(1, len(parts)):
        again = tmp_path / str(done)
        again.mkdir()
        texts = source.texts(parts[0].left)
        events = write_parts("a.00000", texts, DEFAULT_STEPS, again, done=parts[:done], left=parts[0].left)
        assert [event for event in events if isinstance(event, Part)] == parts[done:]
        for file in again.iterdir():
            assert file.read_bytes() == (tmp_path / "spool" / file.name).read_bytes()


def test_text_that_was_left_is_taken_up_to_its_end_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (part,) = spooled(tmp_path, DOCUMENTS, monkeypatch)
    whole = [document.encode() for document in DOCUMENTS]

    def read(*batches: list[bytes]) -> list[bytes]:
        return [text for texts in part.texts_again(map(Texts.of, batches), tmp_path / "spool") for text in texts]

    assert read(whole[:7], [], [*whole[7:], b"what follows in the portion"], [b"more"]) == whole
    for other in ([whole[:399]], [whole[:7], whole[8:]], [[*whole[:399], whole[399] + b"."]], []):
        with pytest.raises(DataError, match="changed while it was read"):
            read(*other)


def test_what_was_copied_may_change_after_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads it again; nor is a source changed that cannot be asked any more."""
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"text": document}) + "\n" for document in DOCUMENTS))
    encode = Preparation.encode

    def change(self: Preparation, *given: object) -> object:
        file.unlink()
        return encode(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Preparation, "encode", change)
    assert prepared(file, tmp_path / "out").train.documents > 300


def test_text_that_is_no_longer_utf8_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    encode = Preparation.encode

    def change(self: Preparation, *given: object) -> object:
        file.write_bytes(file.read_bytes().replace(b"words", b"w\xffrds"))
        return encode(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Preparation, "encode", change)
    for tail in ({}, {"split": "tail", "exact": True}):
        file.write_text(MARK.join(DOCUMENTS))
        with pytest.raises(DataError, match="changed while it was read"):
            prepare(spec_of(file, **tail), train_char(DOCUMENTS), tmp_path / "out", engine="here")
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_what_was_left_elsewhere_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that got another name after a kill is the same source, but lies elsewhere."""
    (part,) = spooled(tmp_path, DOCUMENTS, monkeypatch)
    what = Files(path=str(tmp_path / "a.txt")).portions()[0].what
    assert part.is_of(what)
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    assert not part.is_of(Files(path=str(tmp_path / "b.txt")).portions()[0].what)
    assert dataclasses.replace(part, left=None).is_of(None)
