"""YAML in and out, and `--set`."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import ConfigError
from linnet.core.yaml import override, parse_yaml, read_yaml, to_yaml


def test_words_and_numbers() -> None:
    text = "a: no\nb: 1e-3\nc: 1.0E+2\nd: 0x10\ne: ~\nf: true\ng: 012\nh: .5\ni: '1'"
    read = parse_yaml(text, name="x")
    assert read == {"a": "no", "b": 0.001, "c": 100.0, "d": 16, "e": None, "f": True, "g": 12, "h": 0.5, "i": "1"}
    assert [type(read[key]) for key in "bcdgh"] == [float, float, int, int, float]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3", 3),
        ("a:\n  b: 1\n  b: 2", 3),
        ("a: [1", 1),
        ("a: 1\n b: 2", 2),
        ("a: !!python/object:os.x {}", 1),
        ("a: 1\n---\nb: 2", 2),
    ],
)
def test_what_is_refused_says_where(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"run.yaml, line [{line}{line + 1}]: "):
        parse_yaml(text, name="run.yaml")


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
ODD = st.sampled_from(
    [
        "no",
        "1e-3",
        "1_0",
        "0o7",
        "~",
        "null",
        "",
        " a",
        "a: b",
        "- x",
        "#",
        "a\nb",
        "a\n",
        "\t",
        "2001-01-01",
        "<<",
        "=",
        "é\u2028ü",
        "'",
        '"',
        "?0",
        "?",
        ">",
        "|x",
        "- a",
    ]
)
TABLES = st.recursive(
    SCALARS | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcno_1", max_size=4) | ODD, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(TABLES)
def test_what_is_written_is_read_back(table: Any) -> None:
    assert parse_yaml(to_yaml(table), name="x") == table


def test_order_is_kept_and_infinity_survives() -> None:
    assert list(parse_yaml(to_yaml({"b": 1, "a": 2}), name="x")) == ["b", "a"]
    assert math.isinf(parse_yaml(to_yaml({"a": math.inf}), name="x")["a"])


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: 1\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": 1}
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "a.yaml", tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match=path.name):
            read_yaml(path)


TABLE = {"train": {"steps": 1}, "norm": "rms_norm", "data": {"sources": [{"path": "a"}, {"path": "b"}]}, "model": None}


@pytest.mark.parametrize(
    ("assignment", "keys", "value"),
    [
        ("train.steps=500", "train.steps", 500),
        ("train.rate=1e-3", "train.rate", 0.001),
        ("norm.eps=0.1", "norm", {"kind": "rms_norm", "eps": 0.1}),
        ("model.kind=llama", "model", {"kind": "llama"}),
        ("new.deep.er=[1, 2]", "new.deep.er", [1, 2]),
        ("data.sources.1.path=a=b", "data.sources.1.path", "a=b"),
        ("data.sources.0={path: c}", "data.sources.0", {"path": "c"}),
        (" train.steps = 7", "train.steps", 7),
        ("train.steps=", "train.steps", None),
    ],
)
def test_set(assignment: str, keys: str, value: Any) -> None:
    table = copy.deepcopy(TABLE)
    override(table, assignment)
    node: Any = table
    for key in keys.split("."):
        node = node[int(key)] if isinstance(node, list) else node[key]
    assert node == value


@pytest.mark.parametrize(
    "assignment",
    [
        "train.steps",
        "=3",
        ".a=3",
        "a..b=3",
        "train.steps.more=3",
        "train.steps.more.still=3",
        "data.sources.2.path=c",
        "data.sources.x=c",
        "data.sources.-1=c",
        "a=[1",
    ],
)
def test_set_refuses(assignment: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        override(copy.deepcopy(TABLE), assignment)
