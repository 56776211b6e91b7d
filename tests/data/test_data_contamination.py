"""Evaluation texts in training text: what is counted equals what sets of tuples of words say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from data_helpers import overlaps_by_hand, shared
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import ConfigError, DataError
from linnet.core.native import native_available
from linnet.core.spec import load
from linnet.data import contamination, grams
from linnet.data.contamination import Against, NGrams, among
from linnet.data.grams import words_of
from linnet.data.look import Texts

QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."


def texts_of(*texts: str) -> Texts:
    return Texts.of([text.encode() for text in texts])


some = st.lists(st.lists(st.sampled_from("a b c".split()), max_size=9).map(" ".join), max_size=6)  # noqa: SIM905


@given(some, some, st.integers(1, 5), st.integers(1, 5))
@settings(deadline=None, max_examples=300)
def test_overlaps_are_those_of_sets_of_tuples(evaluation: list[str], documents: list[str], n: int, shortest: int) -> None:
    known = NGrams.of(texts_of(*evaluation), n, shortest)
    assert known.overlaps(texts_of(*documents)).tolist() == overlaps_by_hand(evaluation, documents, n, shortest)


def test_overlaps_by_hand() -> None:
    known = NGrams.of(texts_of(QUESTION))
    assert len(words_of(QUESTION)) == 20
    documents = [
        QUESTION,  # 8 runs of 13 words
        QUESTION.upper().replace(",", "").replace(" ", "\n"),
        "She said: " + " ".join(QUESTION.split()[2:16]) + " June.",  # 14 of its words
        " ".join(QUESTION.split()[:12]) + " and then.",
        "",
        "Something else.",
    ]
    assert known.overlaps(texts_of(*documents)).tolist() == [8, 8, 2, 0, 0, 0]


def test_nothing_goes_across_the_ends_of_texts() -> None:
    words = QUESTION.split()
    known = NGrams.of(texts_of(QUESTION))
    assert known.overlaps(texts_of(" ".join(words[:10]), " ".join(words[10:]))).tolist() == [0, 0]
    apart = NGrams.of(texts_of(" ".join(words[:10]), " ".join(words[10:])))
    assert 13 not in apart.inside
    assert apart.overlaps(texts_of(QUESTION)).tolist() == [2]  # each of them whole: 10 words


def test_short_texts_are_looked_for_whole() -> None:
    nine, five = "What is the name of the largest river there?", "How are you all today?"
    known = NGrams.of(texts_of(nine, five))
    documents = [
        f"They asked: {nine} Nobody knew.",
        "What is the name of the largest river here?",
        five,
        f"{five} Well!",
        five.upper(),
    ]
    assert known.overlaps(texts_of(*documents)).tolist() == [1, 0, 1, 0, 1]
    assert NGrams.of(texts_of(five), shortest=5).overlaps(texts_of(*documents)).tolist() == [0, 0, 1, 1, 1]
    assert NGrams.of(texts_of("!", "")).overlaps(texts_of("!", "", "one")).tolist() == [0, 0, 0]


def test_chinese_is_counted_by_characters() -> None:
    question = "世界上最长的河流是哪一条河流？"
    known = NGrams.of(texts_of(question))
    assert known.overlaps(texts_of(f"问：{question}答：", question[1:8])).tolist() == [len(words_of(question)) - 12, 0]


def test_parts_make_the_whole() -> None:
    texts = [
        QUESTION,
        QUESTION[8:],
        "What is the name of the largest river there?",
        "How are you?",
        "",
        QUESTION.lower() + " And so on.",
    ]
    whole = NGrams.of(texts_of(*texts), 6, 3)
    parts = [NGrams.of(texts_of(text), 6, 3) for text in reversed(texts)]
    joined = NGrams.joined(parts, 6, 3)
    assert joined.inside.keys() == whole.inside.keys()
    assert all(np.array_equal(joined.inside[k], whole.inside[k]) for k in whole.inside)
    assert np.array_equal(joined.alone, whole.alone)
    assert all((np.diff(hashes.astype(object)) > 0).all() for hashes in whole.inside.values())


@pytest.mark.parametrize("known", [0, 1, 2, 300, 5000])
def test_what_is_marked_beforehand_loses_nothing(known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random hashes, half of which are known; with marks of so few bits that they say nothing, too."""
    luck = np.random.default_rng(known)
    hashes = np.unique(luck.integers(0, 2**64, known, dtype=np.uint64))
    others = np.concatenate([hashes, luck.integers(0, 2**64, 1000, dtype=np.uint64)])
    assert among(others, hashes).tolist() == np.isin(others, hashes).tolist()
    for most in (1, 28):
        monkeypatch.setattr(contamination, "MOST_BITS", most)
        words = [QUESTION, "How are you?"] * known
        texts = texts_of(*(f"{text} number {i} it is" for i, text in enumerate(words)))
        assert NGrams.of(texts, 4, 2).overlaps(texts_of(QUESTION)).tolist() == [17 if known else 0]


@pytest.mark.skipif(not native_available(), reason="the Rust library is not built")
def test_without_the_library_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = texts_of(QUESTION, QUESTION + " É 大家", "nothing", "")
    known = NGrams.of(documents, 5)
    found = known.overlaps(documents)
    monkeypatch.setattr(grams, "native_available", lambda: False)
    plain = NGrams.of(documents, 5)
    assert plain.overlaps(documents).tolist() == found.tolist()
    assert all(np.array_equal(plain.inside[k], known.inside[k]) for k in known.inside)


def test_evaluation_texts_are_read_like_any_files(tmp_path: Path) -> None:
    rows = [{"question": QUESTION, "answer": "72"}, {"question": "How many are left of them all in the end?", "answer": "3"}]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "more.txt").write_text("One two three four five six seven eight.\n<|endoftext|>\nA b c d e f g h i j k l m n.\n")
    known = Against(path=str(tmp_path / "test.jsonl"), text="question").grams()
    assert {k: len(hashes) for k, hashes in known.inside.items()} == {13: 8, 10: 1}
    assert known.overlaps(texts_of(QUESTION, "72")).tolist() == [8, 0]
    known = Against(path=str(tmp_path / "*.txt"), n=8).grams()
    assert {k: len(hashes) for k, hashes in known.inside.items()} == {8: 8}
    assert known.overlaps(texts_of("x a b c d e f g h y")).tolist() == [1]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("?! …\n")
    with pytest.raises(DataError, match="no word to look for"):
        Against(path=str(tmp_path / "empty.txt")).grams()
    with pytest.raises(DataError, match="does not exist"):
        Against(path=str(tmp_path / "nothing.txt")).grams()
    for wrong, said in (({"pth": "x"}, "path"), ({"path": "x", "n": 0}, "n"), ({"path": ""}, "path"), ({}, "path")):
        with pytest.raises(ConfigError, match=said):
            load(Against, wrong)
    assert load(Against, {"path": "x"}) == Against(path="x", n=13, shortest=8)


def test_grade_school_questions_stand_in_their_own_files_and_not_in_stories() -> None:
    rows = [json.loads(line)["question"] for line in shared("gsm8k/test.jsonl").read_text("utf-8").splitlines()]
    stories = shared("stories/valid.txt").read_text("utf-8").split("<|endoftext|>")
    known = NGrams.of(texts_of(*rows))
    assert (known.overlaps(texts_of(*rows)) > 0).all()
    assert not known.overlaps(texts_of(*stories)).any()
    planted = [f"{story} {row}" for story, row in zip(stories[:100], rows)]
    assert known.overlaps(texts_of(*planted)).tolist() == overlaps_by_hand(rows, planted, 13, 8)


def test_a_plain_file_is_looked_for_as_a_whole_and_line_by_line(tmp_path: Path) -> None:
    questions = [
        "How many legs do seven spiders and two cats have together then?",
        "Why?",
        "Who sang on the old oak tree by the river that day?",
    ]
    (tmp_path / "exam.txt").write_text("\n".join(questions) + "\n")
    known = Against(path=str(tmp_path / "exam.txt")).grams()
    assert (known.overlaps(texts_of(f"So: {questions[0]} Yes.", "Why?", "Why not?", questions[2].upper())) > 0).tolist() == [
        True,
        True,
        False,
        True,
    ]
    divided = Against(path=str(tmp_path / "exam.txt"), separator="Why?").grams()
    assert (divided.overlaps(texts_of(questions[0], "Why?")) > 0).tolist() == [True, False]


def test_evaluation_texts_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "exam.txt").write_bytes("Élan vital, élan, où est-ce que tout cela doit bien mener un jour?".encode("latin-1"))
    with pytest.raises(DataError, match="is not utf-8"):
        Against(path=str(tmp_path / "exam.txt")).grams()
    known = Against(path=str(tmp_path / "exam.txt"), encoding="latin-1").grams()
    assert known.overlaps(texts_of("Élan vital, élan, où est-ce que tout cela doit bien mener un jour?")).tolist() != [0]
