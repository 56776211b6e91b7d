"""Prepared folders: nothing lost, nothing leaked, nothing half written, nothing mixed up."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import ByteTokenizer, prepared_texts, shared, small_parts, spec_of

from linnet.core.errors import DataError, LinnetError, TokenizerError
from linnet.core.files import Unnamed
from linnet.core.spec import dump
from linnet.data.card import DataCard, percentages
from linnet.data.prepare import prepare
from linnet.data.prepared import open_prepared
from linnet.data.question import TokenizerTrainer
from linnet.data.shards import document_ids
from linnet.data.split import fingerprint
from linnet.tokenizer import simple

TEXTS = [f"This is document number {i}, é{'!' * (i % 7)}\n" for i in range(200)]


def is_validation(text: str, share: float = 0.1) -> bool:
    return int.from_bytes(fingerprint(text.encode())[:8], "little") < share * 2**64


@pytest.mark.parametrize("vocab", [257, 70_000])
@pytest.mark.parametrize("small", [True, False])
def test_tokens_on_disk_are_the_texts(tmp_path: Path, vocab: int, small: bool) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in [*TEXTS, *TEXTS[:20]]))
    spec = spec_of({"kind": "files", "path": str(tmp_path / "a.jsonl"), "licence": "CC0"})
    with small_parts() if small else contextlib.nullcontext():
        prepared = prepare(spec, ByteTokenizer(turn=3, vocab=vocab), tmp_path / "out")
    for split, expected in (
        ("train", [t for t in TEXTS if not is_validation(t)]),
        ("validation", [t for t in TEXTS if is_validation(t)]),
    ):
        stream = getattr(prepared, split).streams[0]
        oracle = [token for t in expected for token in [*((b + 3) % 256 for b in t.encode()), 256]]
        files = sorted((prepared.folder / split).glob("*.bin"))
        raw = b"".join(file.read_bytes() for file in files)
        assert np.frombuffer(raw, "<u2" if vocab == 257 else "<u4").tolist() == oracle
        assert (len(files) > 4) == small
        assert stream.tokens == len(oracle)
        assert stream.read(0, stream.tokens).tolist() == oracle
        assert [stream.read(i, i + 7).tolist() for i in range(0, len(oracle) - 7, 311)] == [
            oracle[i : i + 7] for i in range(0, len(oracle) - 7, 311)
        ]
        assert [bytes((t - 3) % 256 for t in ids[:-1]) for ids in document_ids(stream)] == [t.encode() for t in expected]
        assert getattr(prepared, split).bytes == sum(len(t.encode()) for t in expected)
        assert getattr(prepared, split).documents == len(expected)
        text = "".join(expected).encode()
        assert (prepared.train_text() if split == "train" else prepared.validation_text()) == text
    assert prepared.train_text(100) == prepared.train_text()[:100]
    card = prepared.card
    assert (card.sources[0].documents_read, card.sources[0].duplicates_dropped, card.sources[0].split) == (220, 20, "hash")
    assert card.sources[0].licence == "CC0"
    assert set(card.sources[0].sha256) == {
        f"{split}/{f.name}" for split in ("train", "validation") for f in (prepared.folder / split).glob("*.bin")
    }


def test_tiny_shakespeare_is_split_as_the_benchmark_splits_it(tmp_path: Path) -> None:
    path = shared("shakespeare/input.txt")
    text = path.read_bytes().decode()
    spec = spec_of({"kind": "files", "path": str(path)}, validation=0.1, exact=True)
    prepared = prepare(spec, ByteTokenizer(), tmp_path)
    cut = int(0.9 * len(text))
    assert prepared.train_text() == text[:cut].encode()
    assert prepared.validation_text() == text[cut:].encode()
    assert (prepared.train.bytes, prepared.validation.bytes) == (1_003_854, 111_540)
    assert prepared.card.sources[0].split == "tail"
    assert prepared.train.tokens == cut  # a document that is cut does not end in its first half
    assert prepared.validation.tokens == len(text) - cut + 1
    loose = prepare(spec.replace(exact=False), ByteTokenizer(), tmp_path).train_text().decode()
    assert loose.endswith("\n")
    assert 0 <= len(loose) - cut < 100
    assert loose == text[: len(loose)]


def test_real_gzip_with_separators(tmp_path: Path) -> None:
    whole = shared("stories/valid.txt").read_text("utf-8")
    (tmp_path / "stories.txt.gz").write_bytes(gzip.compress(whole.encode()))
    prepared = prepare(spec_of({"kind": "files", "path": str(tmp_path / "stories.txt.gz")}), ByteTokenizer(), tmp_path / "out")
    assert prepared.train.documents + prepared.validation.documents == 548
    assert prepared.card.sources[0].split == "hash"
    stories = [story.strip("\n") for story in whole.split("\n<|endoftext|>\n") if story.strip()]
    assert sorted(t.strip(b"\n") for t in prepared.texts(prepared.validation.streams[0])) == sorted(
        s.encode() for s in stories if is_validation(s)
    )


def test_the_tokenizer_is_trained_on_training_text_only(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS))
    spec = spec_of({"kind": "files", "path": str(tmp_path / "a.jsonl")})
    seen: list[list[str]] = []

    def train(texts: Iterable[str]) -> ByteTokenizer:
        seen.append(list(texts))
        return ByteTokenizer(turn=1)

    first = prepare(spec, train, tmp_path / "out")
    assert seen == [[t for t in TEXTS if not is_validation(t)]]
    assert not first.reused
    assert prepare(spec, train, tmp_path / "out").reused  # trained again: only then could it know
    assert len(seen) == 2
    trainer = TokenizerTrainer(train, ByteTokenizer.load, recipe="turn 1")
    assert not prepare(spec, trainer, tmp_path / "out").reused
    again = prepare(spec, trainer, tmp_path / "out")
    assert again.reused
    assert again.tokenizer.fingerprint == ByteTokenizer(turn=1).fingerprint
    assert len(seen) == 3
    assert not prepare(spec, TokenizerTrainer(train, ByteTokenizer.load, recipe="turn 2"), tmp_path / "out").reused


def test_the_same_question_finds_the_same_folder_and_another_gets_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS))
    spec = spec_of({"kind": "files", "path": str(file)})
    first = prepare(spec, ByteTokenizer(), tmp_path / "out")
    again = prepare(spec, ByteTokenizer(), tmp_path / "out")
    assert (first.reused, again.reused, again.folder, again.card, again.spec) == (
        False,
        True,
        first.folder,
        first.card,
        first.spec,
    )
    others = [
        prepare(spec, ByteTokenizer(turn=1), tmp_path / "out"),
        prepare(spec.replace(validation=0.2), ByteTokenizer(), tmp_path / "out"),
    ]
    with open(file, "a") as handle:
        handle.write('{"text": "one more"}\n')
    others.append(prepare(spec, ByteTokenizer(), tmp_path / "out"))
    assert not any(other.reused for other in others)
    assert len({first.folder, *(other.folder for other in others)}) == 4
    assert {f.name for f in (tmp_path / "out").iterdir()} == {first.folder.name, *(other.folder.name for other in others)}
    assert open_prepared(first.folder, ByteTokenizer(), verify=True).train_text() == first.train_text()


def test_growing_moves_no_document(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    small = prepared_texts(tmp_path / "1", TEXTS[:100])
    large = prepared_texts(tmp_path / "2", TEXTS)
    before, after = (set(p.texts(p.validation.streams[0])) for p in (small, large))
    assert before == {t for t in after if t.decode() in TEXTS[:100]}


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("".join(TEXTS))

    def change(done: float | None, message: str) -> None:
        if message.startswith("reading"):
            file.write_text("another text\n" * 100)

    with pytest.raises(DataError, match="changed while it was read"):
        prepare(spec_of({"kind": "files", "path": str(file)}), ByteTokenizer(), tmp_path / "out", progress=change)
    assert not (tmp_path / "out").exists()


def test_standard_input_is_known_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(text: str) -> bool:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return prepare(spec_of("stdin"), ByteTokenizer(), tmp_path).reused

    assert [run("abc\ndef\nghi\n"), run("abc\ndef\nghi\n"), run("abc\ndef\nghj\n")] == [False, True, False]


def test_parts_and_copies_across_sources(tmp_path: Path) -> None:
    for name, texts in (("train", TEXTS[:50]), ("valid", TEXTS[40:60])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    spec = spec_of(
        {"kind": "files", "path": str(tmp_path / "train.jsonl"), "part": "train"},
        {"kind": "files", "path": str(tmp_path / "valid.jsonl"), "part": "validation"},
    )
    prepared = prepare(spec, ByteTokenizer(), tmp_path / "out")
    assert prepared.validation_text() == "".join(TEXTS[40:60]).encode()
    assert prepared.train_text() == "".join(TEXTS[:40]).encode()  # validation text is never trained on
    assert [source.duplicates_dropped for source in prepared.card.sources] == [10, 0]
    assert (
        prepare(spec.replace(deduplicate=False), ByteTokenizer(), tmp_path / "out").train_text() == "".join(TEXTS[:50]).encode()
    )


def test_card_adds_up(tmp_path: Path) -> None:
    prepared = prepared_texts(
        tmp_path, TEXTS, [t + "x" for t in TEXTS[:70]], [f"third {t}" for t in TEXTS[:31]], weights=[1, 1, 1]
    )
    card = prepared.card
    assert round(sum(s.asked_percent for s in card.sources), 6) == 100
    assert round(sum(s.actual_percent for s in card.sources), 6) == 100
    tokens = [stream.tokens for stream in prepared.train.streams]
    for source, stream in zip(card.sources, prepared.train.streams):
        assert abs(source.actual_percent - 100 * stream.tokens / sum(tokens)) < 0.01
        assert source.passes == pytest.approx(sum(tokens) / 3 / stream.tokens)
        assert source.documents["train"] + source.documents["validation"] == source.documents_read
    assert card.bytes_per_token["train"] == prepared.train.bytes_per_token
    markdown = (prepared.folder / "card.md").read_text()
    assert "| 100.00 | 100.00 |" in markdown
    assert all(
        stream["sha256"] in markdown
        for source in json.loads((prepared.folder / "index.json").read_text())["splits"]["train"]
        for stream in source["shards"]
    )
    assert DataCard.from_json(json.loads((prepared.folder / "card.json").read_text())) == card
    assert percentages([1, 1, 1, 0]) == [33.34, 33.33, 33.33, 0.0]
    assert sum(round(100 * p) for p in percentages([3, 5, 7, 11, 13, 17, 0.001])) == 10_000


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "no documents"), (b" \n\r\n\0", "none left after cleaning"), (b"x", "one side empty")],
)
def test_corpora_without_text(tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    if b"\0" in content:
        (tmp_path / "a.txt").write_bytes(content.replace(b"\0", b"\x01"))
    with pytest.raises(DataError, match=word):
        prepare(spec_of({"kind": "files", "path": str(tmp_path / "a.txt")}), ByteTokenizer(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_document_is_counted_once_whatever_side_its_halves_are_on(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("".join(f"Line {n} of one text.\n" for n in range(300)), "utf-8")
    prepared = prepare(spec_of({"kind": "files", "path": str(tmp_path / "one.txt")}), ByteTokenizer(), tmp_path / "out")
    [source] = prepared.card.sources
    assert (source.documents, source.documents_kept, source.divided) == ({"train": 1, "validation": 1}, 1, True)
    assert prepared.card.announcement().startswith("1 document, ")
    assert "One document of one is divided, and counts on both sides." in prepared.card.to_markdown()

    (tmp_path / "many.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*TEXTS, TEXTS[0]]))
    prepared = prepare(spec_of({"kind": "files", "path": str(tmp_path / "many.jsonl")}), ByteTokenizer(), tmp_path / "out")
    assert not prepared.card.sources[0].divided
    assert prepared.card.announcement().startswith(f"{len(TEXTS)} documents, ")  # the copy is dropped
    assert "is divided" not in prepared.card.to_markdown()


def test_half_a_surrogate_pair_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "ok"}\n{"text": "bad \\ud83d"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:2: character 4, U\+D83D"):
        prepare(spec_of({"kind": "files", "path": str(tmp_path / "a.jsonl")}), ByteTokenizer(), tmp_path / "out")


@pytest.mark.parametrize("pattern", ["train/*.bin", "validation/*.bin", "train/*.documents"])
def test_cut_changed_and_missing_files_are_noticed(tmp_path: Path, pattern: str) -> None:
    prepared = prepared_texts(tmp_path, TEXTS)
    file = next(prepared.folder.glob(pattern))
    good = file.read_bytes()
    file.write_bytes(good[:-1])
    with pytest.raises(DataError, match=rf"{file.name} has {len(good) - 1:,} bytes; needed: {len(good):,}.*try: "):
        open_prepared(prepared.folder, prepared.tokenizer)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    file.write_bytes(flipped)
    open_prepared(prepared.folder, prepared.tokenizer)  # the size is right; only reading it again can tell
    with pytest.raises(DataError, match=rf"{file.name} has changed"):
        open_prepared(prepared.folder, prepared.tokenizer, verify=True)
    file.unlink()
    with pytest.raises(DataError, match=rf"{file.name} is missing"):
        open_prepared(prepared.folder, prepared.tokenizer)


def test_broken_index_and_foreign_tokenizer(tmp_path: Path) -> None:
    prepared = prepared_texts(tmp_path, TEXTS)
    with pytest.raises(TokenizerError, match="the tokenizer that encoded the data"):
        open_prepared(prepared.folder, ByteTokenizer(turn=1))
    index = prepared.folder / "index.json"
    index.write_text(index.read_text()[:-5])
    with pytest.raises(DataError, match="not valid JSON"):
        open_prepared(prepared.folder, ByteTokenizer())
    index.write_text("{}")
    with pytest.raises(DataError, match="format"):
        open_prepared(prepared.folder, ByteTokenizer())
    index.unlink()
    with pytest.raises(DataError, match="does not exist"):
        open_prepared(prepared.folder, ByteTokenizer())


def test_an_index_or_a_card_that_lacks_something(tmp_path: Path) -> None:
    folder = prepared_texts(tmp_path, TEXTS).folder

    def refused(file: str, change: Callable[[Any], Any], *said: str) -> None:
        whole = (folder / file).read_bytes()
        table = json.loads(whole)
        changed = change(table)
        (folder / file).write_text(json.dumps(table if changed is None else changed))
        for ask in (lambda: open_prepared(folder, ByteTokenizer()), lambda: prepared_texts(tmp_path, TEXTS)):
            with pytest.raises(DataError) as error:
                ask()
            for part in (str(folder / file), *said):
                assert part in str(error.value)
        (folder / file).write_bytes(whole)

    refused("card.json", lambda card: {}, "sources: is missing", "tokens: is missing")
    refused("card.json", lambda card: [], "holds a list")
    refused("card.json", lambda card: card["sources"][0].pop("passes") and None, "sources[0].passes: is missing")
    refused("card.json", lambda card: card["tokens"].pop("train") and None, "tokens: lacks train")
    refused("index.json", lambda index: dict(list(index.items())[:2]), "splits: is missing", "weights: is missing")
    refused("index.json", lambda index: index["splits"].pop("train") and None, "splits.train: is missing")
    refused(
        "index.json", lambda index: index["splits"]["train"][0]["shards"][0].pop("file") and None, "shards[0].file: is missing"
    )
    refused("index.json", lambda index: index.update(dtype="float32"), "dtype: got 'float32'; needed: 'uint16' or 'uint32'")
    refused("index.json", lambda index: index["weights"].clear(), "no weight of corpus0")
    assert prepared_texts(tmp_path, TEXTS).reused


def test_a_tokenizer_that_loses_bytes_is_refused(tmp_path: Path) -> None:
    class Lossy(ByteTokenizer):
        def encode(self, text: str, *, special: str = "text") -> list[int]:
            return super().encode(text.replace("é", ""))

    (tmp_path / "a.txt").write_text("".join(TEXTS))
    with pytest.raises(TokenizerError, match="loses nothing"):
        prepare(spec_of({"kind": "files", "path": str(tmp_path / "a.txt")}), Lossy(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_tokens_are_counted(tmp_path: Path) -> None:
    class Ascii(ByteTokenizer):
        """257 stands for every character that is not ASCII, in as many bytes as é has: widths alone would not tell."""

        def __init__(self) -> None:
            super().__init__(vocab=258)
            self.special = {**self.special, "<|unknown|>": 257}

        def encode(self, text: str, *, special: str = "text") -> list[int]:
            return [ord(c) if ord(c) < 128 else 257 for c in text]

        def token_bytes(self, token: int) -> bytes:
            return b"??" if token == 257 else super().token_bytes(token)

    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS))
    prepared = prepare(spec_of({"kind": "files", "path": str(tmp_path / "a.jsonl")}), Ascii(), tmp_path / "out")
    assert sum(prepared.card.sources[0].unknown.values()) == len(TEXTS)  # one é in each
    assert "200 tokens are unknown" in prepared.card.announcement()
    assert prepared.train.bytes == sum(len(t.encode()) for t in TEXTS if not is_validation(t))
    assert (
        prepared.train_text() == "".join(TEXTS[i] for i in range(200) if not is_validation(TEXTS[i])).replace("é", "??").encode()
    )


@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    calls = 0
    really = Unnamed.write

    def write(self: Unnamed, content: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        really(self, content)

    monkeypatch.setattr(Unnamed, "write", write)
    with pytest.raises(LinnetError, match="the disk is full"):
        prepared_texts(tmp_path, TEXTS)
    assert not (tmp_path / "prepared").exists()
    monkeypatch.undo()
    assert not prepared_texts(tmp_path, TEXTS).reused


def test_leftovers_of_killed_processes_are_swept(tmp_path: Path) -> None:
    dead = tmp_path / "prepared" / "spool.999999999.writing"
    dead.mkdir(parents=True)
    (dead / "a.text").write_text("left")
    prepared_texts(tmp_path, TEXTS)
    assert not dead.exists()


ASK = """
import json, sys
from pathlib import Path
from linnet.core.spec import load
from linnet.data.prepare import prepare
from linnet.data.spec import DataSpec
from linnet.tokenizer.simple import ByteTokenizer

spec, folder = load(DataSpec, json.loads(sys.argv[1])), Path(sys.argv[2])
prepared = prepare(spec, ByteTokenizer(), folder, progress=lambda done, said: print(said, flush=True))
print("reused" if prepared.reused else "made", flush=True)
"""


def test_two_processes_with_the_same_question(tmp_path: Path) -> None:
    """The second waits for the first and takes what that made."""
    (tmp_path / "a.txt").write_text("".join(TEXTS))
    spec = spec_of({"kind": "files", "path": str(tmp_path / "a.txt")})
    others: list[subprocess.Popen[str]] = []

    def ask_too(done: float | None, message: str) -> None:
        if message.startswith("encoding") and not others:
            command = [sys.executable, "-c", ASK, json.dumps(dump(spec)), str(tmp_path / "out")]
            others.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            assert others[0].stdout is not None
            assert others[0].stdout.readline() == "another process prepares the same: waiting for it\n"

    first = prepare(spec, simple.ByteTokenizer(), tmp_path / "out", progress=ask_too)
    said = others[0].communicate()[0].splitlines()
    assert (first.reused, said[-1]) == (False, "reused")
    assert list((tmp_path / "out").iterdir()) == [first.folder]


def test_progress_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(TEXTS))
    told: list[tuple[float | None, str]] = []
    prepare(
        spec_of({"kind": "files", "path": str(tmp_path / "a.txt")}),
        ByteTokenizer(),
        tmp_path / "out",
        progress=lambda *step: told.append(step),
    )
    done = [part for part, _ in told if part is not None]
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert "a by tail" in told[-1][1]
