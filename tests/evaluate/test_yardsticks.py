"""Compressors and the yardstick table."""

from __future__ import annotations

import functools
import json
import lzma
import math
import random

import numpy as np
import pytest

from linnet.core.errors import LinnetError
from linnet.evaluate.compressors import xz_bits_per_byte, xz_size
from linnet.evaluate.yardsticks import yardsticks


def noise(n: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(n)


def test_noise_costs_eight_bits_and_a_repetition_nearly_none():
    train = noise(40_000)
    score = xz_bits_per_byte(train, train[10_000:30_000])
    assert score.alone == pytest.approx(8, abs=0.1)
    assert score.given_training < 0.3  # xz says it in matches of at most 273 bytes


def test_training_text_out_of_reach_does_not_help():
    train = noise(40_000)
    score = xz_bits_per_byte(train, train[:20_000], max_train=15_000)
    assert score.given_training == pytest.approx(8, abs=0.1)
    assert (score.train_bytes, score.valid_bytes) == (15_000, 20_000)


def test_xz_size_is_that_of_a_stream_that_xz_reads_back():
    content = b"to be or not to be " * 500
    assert abs(xz_size(content) - len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))) <= 16  # the checksum
    assert xz_bits_per_byte(b"", b"abc" * 100, max_valid=30).valid_bytes == 30


def test_an_empty_validation_text_is_refused():
    with pytest.raises(LinnetError):
        xz_bits_per_byte(b"abc", b"")
    with pytest.raises(LinnetError):
        yardsticks([1], [], 3, b"a", b"")


def test_the_table_is_json_and_consistent():
    train, valid = ("the cat sat on the mat. " * 300).encode(), b"the mat sat on the cat. " * 20
    rows = yardsticks(np.frombuffer(train, np.uint8), np.frombuffer(valid, np.uint8), 256, train, valid)
    rows = json.loads(json.dumps(rows, allow_nan=False))
    assert [row["name"] for row in rows] == ["unigram", "5-gram", "xz + training", "xz"]
    for row in rows:
        assert row["bits_per_byte"] == pytest.approx(row["nats_per_token"] / math.log(2))  # one token is one byte
    assert rows[1]["bits_per_byte"] < rows[0]["bits_per_byte"]
    counts = np.bincount(np.frombuffer(train, np.uint8), minlength=256) / len(train)
    cross = -np.log(counts[np.frombuffer(valid, np.uint8)]).mean()
    assert rows[0]["nats_per_token"] == pytest.approx(cross, rel=2e-3)


def test_notes_say_what_the_caller_left_out():
    data = noise(1000)
    tokens = np.frombuffer(data, np.uint8)
    rows = yardsticks(tokens, tokens[:500], 256, data, data[:500], whole=(3000, 600, 4000, 700))
    for row in rows[:2]:
        assert row["note"].endswith("; the first 1,000 of 3,000 training tokens; the first 500 of 600 validation tokens")
    for row in rows[2:]:
        assert "the first 0.000954 of 0.00381 MiB of training text" in row["note"]
        assert "the first 0.000477 of 0.000668 MiB of validation text" in row["note"]
    assert not any("first" in row["note"] for row in yardsticks(tokens, tokens[:500], 256, data, data[:500]))


def test_notes_say_what_xz_left_out(monkeypatch):
    bounded = functools.partial(xz_bits_per_byte, max_train=700, max_valid=300)
    monkeypatch.setattr("linnet.evaluate.yardsticks.xz_bits_per_byte", bounded)
    data = noise(3000)
    tokens = np.frombuffer(data, np.uint8)
    rows = yardsticks(tokens, tokens[:500], 256, data, data[:500])
    for row in rows[2:]:
        assert "the last 0.000668 of 0.00286 MiB of training text" in row["note"]
        assert "the first 0.000286 of 0.000477 MiB of validation text" in row["note"]
