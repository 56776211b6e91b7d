"""Cleaning steps, copies, and who is on which side."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from data_helpers import spec_of
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import ConfigError, DataError
from linnet.core.spec import dump, load, words
from linnet.data.clean import DEFAULT_STEPS, CleanStep, Control, MinLength, Nfc, Strip, clean
from linnet.data.encode import Cut
from linnet.data.sources import Source
from linnet.data.spec import DataSpec
from linnet.data.split import FEW, Plan, fingerprint, hash_is_validation, line_boundary, make_plan, repeated, tail_plan


def test_default_cleaning_counts_what_it_did() -> None:
    counts: Counter[str] = Counter()
    assert clean("a\r\nb\rc\n", DEFAULT_STEPS, counts) == "a\nb\nc\n"
    assert clean("a\0\x1b[31m\tb\n", DEFAULT_STEPS, counts) == "a[31m\tb\n"
    assert clean(" \x00\n", DEFAULT_STEPS, counts) is None
    assert clean("untouched é\u2028", DEFAULT_STEPS, counts) == "untouched é\u2028"
    assert counts == {"newlines": 1, "control": 2, "empty": 1}


def test_other_steps() -> None:
    counts: Counter[str] = Counter()
    assert clean("  e\u0301 \n", [Strip(), Nfc()], counts) == "é"
    assert clean("four", [MinLength(characters=5)], counts) is None
    assert clean("fives", [MinLength(characters=5)], counts) == "fives"
    assert counts == {"strip": 1, "nfc": 1, "min_length": 1}


@given(st.text())
@settings(deadline=None)
def test_control_removes_exactly_category_cc(text: str) -> None:
    import unicodedata

    assert Control()(text) == "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


def words_of(texts: list[str]) -> np.ndarray:
    return np.frombuffer(b"".join(fingerprint(text.encode()) for text in texts), "<u8").reshape(-1, 2)


@given(st.lists(st.text(max_size=1), max_size=60))
@settings(deadline=None)
def test_repeated_marks_all_but_the_first(texts: list[str]) -> None:
    seen: set[str] = set()
    expected = [text in seen or seen.add(text) is not None for text in texts]
    assert repeated(words_of(texts)).tolist() == expected


def test_repeated_compares_both_halves() -> None:
    assert repeated(np.array([[1, 2], [1, 3], [2, 2], [1, 2]], np.uint64)).tolist() == [False, False, False, True]


def test_hash_split_is_decided_by_each_text_alone() -> None:
    texts = [f"text {i}" for i in range(5000)]
    chosen = hash_is_validation(words_of(texts)[:, 0], 0.1)
    by_hand = [int.from_bytes(hashlib.blake2b(t.encode(), digest_size=16).digest()[:8], "little") / 2**64 < 0.1 for t in texts]
    assert chosen.tolist() == by_hand
    assert 400 < chosen.sum() < 600  # mean 500, standard deviation 21
    assert hash_is_validation(words_of(texts[:100])[:, 0], 0.1).tolist() == by_hand[:100]


def parts_of(plan: Plan, number: int, text: str, *, exact: bool) -> list[tuple[bool, str, bool]]:
    """(is validation, text, whether the document ends there) of a document."""
    if plan.cut is None or plan.cut[0] != number:
        return [(bool(plan.validation[number]), text, True)]
    at = Cut(number, plan.cut[1], 0 if exact else plan.reach).at(text.encode())
    return [(False, text.encode()[:at].decode(), False), (True, text.encode()[at:].decode(), True)]


@given(st.lists(st.text(alphabet="ab\n", min_size=1, max_size=30), min_size=1, max_size=6), st.floats(0.05, 0.9), st.booleans())
@settings(deadline=None)
def test_tail_plan_is_a_cut_of_the_joined_text(texts: list[str], validation: float, exact: bool) -> None:
    plan = tail_plan(np.array([len(text) for text in texts], np.uint64), validation)
    parts = [part for i, text in enumerate(texts) for part in parts_of(plan, i, text, exact=exact)]
    sides = [validation for validation, _, _ in parts]
    assert sides == sorted(sides)  # training, then validation
    joined = "".join(texts)
    train = "".join(text for side, text, _ in parts if not side)
    assert train + "".join(text for side, text, _ in parts if side) == joined
    assert sum(ends for _, _, ends in parts) == len(texts)
    cut = int((1 - validation) * len(joined))
    if exact:
        assert len(train) == cut
    elif len(train) != cut and plan.cut is not None:  # moved, so it must be at a line start near by, inside the same document
        assert train.endswith("\n")
        assert abs(len(train) - cut) <= plan.reach == (len(joined) - cut) // 2
        assert sum(map(len, texts[: plan.cut[0]])) < len(train) < sum(map(len, texts[: plan.cut[0] + 1]))


def test_line_boundary() -> None:
    assert line_boundary("ab\ncd\nef", 3, 9) == 3
    assert line_boundary("ab\ncd\nef", 4, 9) == 6
    assert line_boundary("ab\ncd\nef", 7, 9) == 6
    assert line_boundary("abcdef\n", 3, 9) == 3
    assert line_boundary("a line\n" + "words " * 50, 100, 20) == 103  # no line begins near: behind a space
    assert line_boundary("a line\n" + "x" * 300, 100, 20) == 100
    assert line_boundary("x" * 300 + "\nend", 250, 20) == 250


def plan_kind(texts: list[str], kind: str, validation: float = 0.1) -> str:
    sizes = np.array([len(text) for text in texts], np.uint64)
    return make_plan("s", kind, validation, words_of(texts)[:, 0], sizes, sizes).kind  # type: ignore[arg-type]


def test_auto_takes_hash_only_where_it_gives_about_what_was_asked() -> None:
    assert plan_kind([f"text number {i}" for i in range(500)], "auto") == "hash"
    assert plan_kind([f"text number {i}" for i in range(FEW - 1)], "auto") == "tail"
    assert plan_kind(["x" * 100_000, *(f"text number {i}" for i in range(500))], "auto") == "tail"  # one document is nearly all
    with pytest.raises(DataError, match="one side empty"):
        plan_kind(["one document"], "hash")
    with pytest.raises(DataError, match="one side empty"):
        plan_kind(["x"], "auto")


def test_specs_round_trip_and_refuse() -> None:
    spec = spec_of(
        {"kind": "files", "path": "a.txt"},
        "stories",
        {"kind": "stdin", "format": "jsonl"},
        clean=["strip", {"kind": "min_length", "characters": 3}],
    )
    assert load(DataSpec, dump(spec)) == spec
    assert spec.names() == ["a", "stories", "stdin"]
    assert set(words(Source)) == {
        "files", "stdin", "stories", "python_docs", "wikipedia", "warc", "hub", "conversations", "pairs", "passkey",
    }  # fmt: skip
    assert set(words(CleanStep)) == {
        "newlines",
        "control",
        "nfc",
        "strip",
        "min_length",
        "max_length",
        "html",
        "mask",
        "gopher_quality",
        "gopher_repetition",
        "c4",
    }
    assert spec_of(*[{"kind": "files", "path": f"{i}/a b.txt"} for i in range(3)]).names() == ["a-b", "a-b-2", "a-b-3"]
    for bad, word in [
        ({"sources": []}, "sources is empty"),
        ({"sources": [{"kind": "files", "pth": "x"}]}, "did you mean 'path'"),
        ({"sources": [{"kind": "file", "path": "x"}]}, "did you mean 'files'"),
        ({"sources": [{"kind": "stories", "weight": 0}]}, "weight"),
        ({"sources": [{"kind": "stories", "weight": 1e308}, {"kind": "stdin", "weight": 1.7e308}]}, r"at most 1e\+100"),
        ({"sources": [{"kind": "stories", "name": "a/b"}]}, "name"),
        ({"sources": [{"kind": "stories", "name": "a"}, {"kind": "stdin", "name": "a"}]}, "two sources are named a"),
        ({"sources": [{"kind": "stories", "part": "validation"}]}, "at least one must be for training"),
        ({"sources": [{"kind": "stories", "part": "train"}]}, "at least one must have validation"),
        ({"sources": ["stories"], "clean": ["strp"]}, "did you mean 'strip'"),
        ({"sources": ["stories"], "validation": 1.0}, "validation"),
    ]:
        with pytest.raises(ConfigError, match=word):
            load(DataSpec, bad)
