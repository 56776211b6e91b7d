"""What is left out, and why: equals what comparing every document with every other one says; and the card's sums."""

from __future__ import annotations

import itertools
import json
import re
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data_helpers import ByteTokenizer, overlaps_by_hand, small_parts, spec_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linnet.core.errors import ConfigError, DataError
from linnet.data import sides
from linnet.data.card import DataCard, markdown_page
from linnet.data.look import Texts
from linnet.data.near import Near, band_keys, signatures_plainly
from linnet.data.prepare import prepare
from linnet.data.prepared import Prepared, open_named
from linnet.data.spec import DataSpec
from linnet.data.work import Work

NEAR = {"threshold": 0.4, "shingle": 2, "bands": 6, "rows": 2}
N = 4  # words in a row that overlap
SOURCES = {"first": "train", "second": "train", "held": "validation", "fourth": "train"}

words = st.lists(st.sampled_from("one two three four five six seven eight nine".split()), min_size=1, max_size=12)  # noqa: SIM905
texts = st.lists(words.map(" ".join), min_size=1, max_size=7)


@st.composite
def corpora(draw: st.DrawFn) -> dict[str, list[str]]:
    """Four sources; many a document is another one, with a word more."""
    found = {name: draw(texts) for name in SOURCES}
    everything = [text for each in found.values() for text in each]
    for each in found.values():
        for text in draw(st.lists(st.sampled_from(everything), max_size=3)):
            each.append(text + draw(st.sampled_from(["", " again", " one more"])))
    return found


def write(folder: Path, corpus: dict[str, list[str]], **options: object) -> DataSpec:
    for name, documents in corpus.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    sources = [
        {"kind": "files", "path": str(folder / f"{name}.jsonl"), "part": SOURCES[name], "licence": f"licence of {name}"}
        for name in corpus
    ]
    return spec_of(*sources, **options)


def left_out(corpus: dict[str, list[str]], exams: list[str], near: Near | None, *, drop: bool) -> dict[str, list[str]]:
    """Source → why each document is left out; "" where it is not. Everything is compared with everything."""
    order = sorted(corpus, key=lambda name: SOURCES[name] != "validation")
    documents = [(name, text) for name in order for text in corpus[name]]
    why = ["copy" if (text in [other for _, other in documents[:i]]) else "" for i, (_, text) in enumerate(documents)]
    overlaps = overlaps_by_hand(exams, [text for _, text in documents], N, N)
    why = [
        "overlap" if not reason and drop and overlap and SOURCES[name] != "validation" else reason
        for (name, _), reason, overlap in zip(documents, why, overlaps)
    ]
    if near is not None:
        kept = [i for i, reason in enumerate(why) if not reason]
        signed = signatures_plainly(Texts.of([documents[i][1].encode() for i in kept]), near)
        bands = [band_keys(part) for part in np.split(signed, near.bands, axis=1)]
        above = list(range(len(kept)))
        for _ in kept:  # until nothing changes
            for i, j in itertools.combinations(range(len(kept)), 2):
                shared = any(keys[i] == keys[j] for keys in bands)
                if shared and (signed[i] == signed[j]).mean() >= near.threshold:
                    above[i] = above[j] = min(above[i], above[j])
        for place, number in enumerate(kept):
            why[number] = "near" if above[place] != place else ""
    found = {name: [reason for (its, _), reason in zip(documents, why) if its == name] for name in order}
    return {name: found[name] for name in corpus}


def law(corpus: dict[str, list[str]], exams: list[str], near: bool, drop: bool, folder: Path) -> None:
    """What `prepare` keeps and counts is what comparing everything with everything says."""
    (folder / "exam.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in exams))
    against = [{"path": str(folder / "exam.jsonl"), "n": N, "shortest": N, "drop": drop}] if exams else []
    spec = write(folder, corpus, near=NEAR if near else None, against=against)
    expected = left_out(corpus, exams, spec.near, drop=drop)
    if not all("" in reasons for reasons in expected.values()):
        with pytest.raises(DataError, match="holds only"):
            prepare(spec, ByteTokenizer(), folder / "out")
        return
    prepared = prepare(spec, ByteTokenizer(), folder / "out")
    kept = {name: [text for text, reason in zip(corpus[name], reasons) if not reason] for name, reasons in expected.items()}
    assert texts_of(prepared) == kept
    for source in prepared.card.sources:
        counts = Counter(expected[source.name])
        assert source.duplicates_dropped == counts["copy"]
        assert source.near_dropped == counts["near"]
        assert source.overlaps_dropped == counts["overlap"]
        assert source.documents_kept == counts[""] == sum(source.documents.values())
    adds_up(prepared.card)


def texts_of(prepared: Prepared) -> dict[str, list[str]]:
    streams = [*prepared.train.streams, *prepared.validation.streams]
    return {stream.source: [text.decode() for text in prepared.texts(stream)] for stream in streams}


def adds_up(card: DataCard) -> None:
    for source in card.sources:
        lost = source.documents_dropped + source.duplicates_dropped + source.near_dropped + source.overlaps_dropped
        assert source.documents_read == lost + sum(source.documents.values()) - source.divided
    for shares in ([s.asked_percent for s in card.sources], [s.actual_percent for s in card.sources]):
        assert sum(round(100 * share) for share in shares) == 10_000


@given(corpora(), texts.map(lambda some: some[:2]), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_left_out_is_what_comparing_everything_says(
    corpus: dict[str, list[str]], exams: list[str], near: bool, drop: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, small_parts():
        law(corpus, exams, near, drop, Path(folder))


CORPUS = {
    "first": ["one two three four five six", "seven eight nine", "one two three four five six", "nine one nine two nine three"],
    "second": [
        "one two three four five six again",
        "six six six six six",
        "two four six eight",
        "seven eight nine and more of it",
    ],
    "held": ["seven eight nine and more of it", "seven eight nine and more of it all", "three one two"],
    "fourth": ["one", "five seven five seven five"],
}
EXAMS = ["two four six eight", "seven eight nine and more"]


def test_the_law_by_hand(tmp_path: Path) -> None:
    near = Near(**NEAR)  # type: ignore[arg-type]
    assert left_out(CORPUS, EXAMS, near, drop=True) == {
        "first": ["", "", "copy", ""],
        "second": ["near", "", "overlap", "copy"],
        "held": ["", "near", ""],
        "fourth": ["", ""],
    }
    law(CORPUS, EXAMS, True, True, tmp_path)


@pytest.mark.parametrize("mutant", ["order", "copies", "near", "overlaps", "count"])
def test_mutants_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    """What looks alike and is not: sources in the order in which they are named, one decision that is not made, or is made late."""
    if mutant == "order":
        monkeypatch.setattr(sides, "sorted", lambda numbers, key: list(numbers), raising=False)
    elif mutant == "copies":
        monkeypatch.setattr(sides, "repeated", lambda words: np.zeros(len(words), bool))
    elif mutant == "near":
        monkeypatch.setattr(sides, "near_copies", lambda signed, near: np.arange(len(signed)) == len(signed) - 1)
    elif mutant == "overlaps":
        overlaps = sides.overlaps_of
        monkeypatch.setattr(sides, "overlaps_of", lambda spool, n: np.roll(overlaps(spool, n), 1, axis=0))
    else:
        monkeypatch.setattr(sides.SourcePlan, "count", lambda plan, fate: 0)
    with pytest.raises(AssertionError):
        law(CORPUS, EXAMS, True, True, tmp_path)


def test_the_card_of_four_sources(tmp_path: Path) -> None:
    """Documents, tokens, asked and actual ratio, copies of all kinds, licences, 100.00 %: as JSON, as markdown, as a page."""
    (tmp_path / "exam.txt").write_text(EXAMS[0])
    spec = write(tmp_path, CORPUS, near=NEAR, against=[{"path": str(tmp_path / "exam.txt"), "n": N, "shortest": N}])
    heavier = [{**source.model_dump(), "weight": float(1 + 2 * i)} for i, source in enumerate(spec.described())]
    card = prepare(spec_of(*heavier, near=NEAR, against=[str(tmp_path / "exam.txt")]), ByteTokenizer(), tmp_path / "out").card
    markdown, page = card.to_markdown(), markdown_page(card)
    adds_up(card)
    assert [s.asked_percent for s in card.sources] == [9.09, 27.27, 0.0, 63.64]  # nothing is drawn from held: 1, 3 and 7 of 11
    for source in card.sources:
        row = next(line for line in markdown.splitlines() if line.startswith(f"| {source.name} |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2] == f"licence of {source.name}"
        assert f"{source.tokens['train']:,} + {source.tokens['validation']:,}" in cells
        assert f"{source.asked_percent:.2f}" in cells
        assert f"{source.actual_percent:.2f}" in cells
    assert markdown.count("100.00") >= 2
    assert "overlap with evaluation texts" in markdown
    for text in ("near copies", "overlaps", "copies", "100.00", "licence of fourth"):
        assert text in page


def test_a_card_of_one_source_sums_to_itself(tmp_path: Path) -> None:
    """Also where a licence has the sign that divides cells."""
    (tmp_path / "first.jsonl").write_text("".join(json.dumps({"text": f"text number {number}"}) + "\n" for number in range(40)))
    both = spec_of({"kind": "files", "path": str(tmp_path / "first.jsonl"), "licence": "MIT|GPL"})
    card = prepare(both, ByteTokenizer(), tmp_path / "out").card
    lines = card.to_markdown().splitlines()
    rows = [re.split(r"(?<!\\)\|", line) for line in lines if line.startswith(("| first", "| **total**"))]
    assert [cell.strip() for cell in rows[0][5:13]] == [cell.strip() for cell in rows[1][5:13]]
    assert rows[0][3].strip() == "MIT\\|GPL"
    assert "<td>MIT|GPL</td>" in markdown_page(card)


def test_overlaps_may_be_counted_and_kept(tmp_path: Path) -> None:
    (tmp_path / "exam.txt").write_text(EXAMS[0])
    spec = write(tmp_path, CORPUS, against=[{"path": str(tmp_path / "exam.txt"), "n": N, "shortest": N, "drop": False}])
    prepared = prepare(spec, ByteTokenizer(), tmp_path / "out")
    assert [source.overlaps_dropped for source in prepared.card.sources] == [0, 0, 0, 0]
    assert [[*source.overlapping.values()] for source in prepared.card.sources] == [[0], [1], [0], [0]]
    assert f"{tmp_path / 'exam.txt'} (kept)" in prepared.card.to_markdown()
    assert EXAMS[0] in texts_of(prepared)["second"]


def test_other_evaluation_texts_are_another_question(tmp_path: Path) -> None:
    """As other sources are; and the same ones find what was prepared, also by a run file that says the same."""
    exam = tmp_path / "exam.txt"
    exam.write_text("nothing of it")
    spec = write(tmp_path, CORPUS, near=True, against=[str(exam)])
    first = prepare(spec, ByteTokenizer(), tmp_path / "out")
    assert prepare(spec, ByteTokenizer(), tmp_path / "out").reused
    exam.write_text(" ".join(CORPUS["second"][1:]))
    second = prepare(spec, ByteTokenizer(), tmp_path / "out")
    assert (second.reused, second.folder == first.folder) == (False, False)


def test_how_it_is_said(tmp_path: Path) -> None:
    source = {"kind": "stories"}
    assert spec_of(source, near=True).near == Near()
    assert spec_of(source, near={"threshold": 0.9}).near == Near(threshold=0.9)
    assert spec_of(source, near=False).near is None
    assert spec_of(source, against=["exam.txt"]) == spec_of(source, against=[{"path": "exam.txt"}])
    for wrong, said in (
        ({"near": "yes"}, "near"),
        ({"near": {"treshold": 1}}, "threshold"),
        ({"against": "exam.txt"}, "against"),
        ({"against": ["a", {"path": "a", "n": 5}]}, "against names a twice"),
        ({"against": [3]}, "against"),
    ):
        with pytest.raises(ConfigError, match=said):
            spec_of(source, **wrong)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"near": NEAR}, "only near copies of other sources.*higher threshold"),
        ({"near": None}, "only documents that overlap.*drop: false"),
    ],
)
def test_a_source_of_which_nothing_is_left(tmp_path: Path, options: dict[str, object], said: str) -> None:
    corpus = {"held": ["one two three four five six seven"], "first": ["one two three four five six seven eight"]}
    (tmp_path / "exam.txt").write_text("one two three four")
    against = [] if options["near"] else [{"path": str(tmp_path / "exam.txt"), "n": N}]
    with pytest.raises(DataError, match=said):
        prepare(write(tmp_path, corpus, against=against, **options), ByteTokenizer(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_marks_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while marks are made, it goes on behind the last part that has them."""
    marked: list[str] = []
    mark = Work.mark

    def counted(work: Work, unit: dict[str, dict[str, str]]):  # type: ignore[no-untyped-def]
        if len(marked) == 3:
            marked.append("stopped")
            raise KeyboardInterrupt
        marked.append(unit["part"]["name"])
        return mark(work, unit)

    monkeypatch.setattr(Work, "mark", counted)
    spec = write(tmp_path, {name: [f"{text} {i}" for i in range(9) for text in CORPUS[name]] for name in CORPUS}, near=NEAR)
    with small_parts():
        with pytest.raises(KeyboardInterrupt):
            prepare(spec, ByteTokenizer(), tmp_path / "out", engine="here")
        prepared = prepare(spec, ByteTokenizer(), tmp_path / "out", engine="here")
        monkeypatch.undo()
    with small_parts():
        whole = prepare(spec, ByteTokenizer(), tmp_path / "whole", engine="here")
    marked.remove("stopped")
    assert len(marked) == len(set(marked)) > 4
    assert texts_of(prepared) == texts_of(whole)


def test_a_run_may_name_what_was_prepared_so(tmp_path: Path) -> None:
    from linnet.tokenizer.simple import ByteTokenizer as Bytes

    prepared = prepare(write(tmp_path, CORPUS, near=NEAR), Bytes(), tmp_path / "out")
    assert open_named(spec_of(prepared=str(prepared.folder))).card == prepared.card
    with pytest.raises(DataError, match="other near in data"):
        open_named(spec_of(prepared=str(prepared.folder), near={"threshold": 0.99}))


@pytest.mark.parametrize("ending", ["signatures", "overlaps"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_marks_are_made_again(tmp_path: Path, ending: str, damage: str) -> None:
    (tmp_path / "exam.txt").write_text(EXAMS[0])
    spec = write(tmp_path, CORPUS, near=NEAR, against=[{"path": str(tmp_path / "exam.txt"), "n": N, "shortest": N}])

    def stop(done: float | None, message: str) -> None:
        if message.startswith("encoding"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(spec, ByteTokenizer(), tmp_path / "out", progress=stop)
    file = next((tmp_path / "out").glob(f"*/spool/second.*.{ending}"))
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    again = prepare(spec, ByteTokenizer(), tmp_path / "out")
    assert texts_of(again) == texts_of(prepare(spec, ByteTokenizer(), tmp_path / "other"))


def test_evaluation_texts_are_read_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "exam.jsonl").write_text('{"question": "What?"}\n')
    said: list[str] = []
    with pytest.raises(DataError, match=r"exam\.jsonl"):
        prepare(
            write(tmp_path, CORPUS, against=[str(tmp_path / "exam.jsonl")]),
            ByteTokenizer(),
            tmp_path / "out",
            progress=lambda done, message: said.append(message),
        )
    assert not said
