"""Stopping: what is streamed is the cut text, and no part of a stop string is ever shown."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import LinnetError
from linnet.generate import stop as stop_module
from linnet.generate.stop import Stopper, overlap

TEXTS = st.text(alphabet="abé✓\n", max_size=30)
STOPS = st.lists(st.text(alphabet="abé✓", min_size=1, max_size=4), max_size=3)


def pieces(raw: bytes, cuts: list[int]) -> list[bytes]:
    """Bytes cut anywhere, also inside characters."""
    edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    return [raw[a:b] for a, b in pairwise(edges)]


def cut_text(text: str, stops: list[str]) -> tuple[str, bool]:
    """The oracle: character by character over the whole text."""
    for end in range(len(text) + 1):
        done = [stop for stop in stops if text[:end].endswith(stop)]
        if done:
            return text[: end - max(map(len, done))], True
    return text, False


def stream(stopper: Stopper, parts: list[bytes]) -> list[str]:
    shown = []
    for part in parts:
        shown.append(stopper.push(0, part))
        if stopper.reason is not None:
            break
    shown.append(stopper.finish())
    return shown


def streaming_law(text: str, stops: list[str], cuts: list[int]) -> None:
    stopper = Stopper(stops)
    shown = stream(stopper, pieces(text.encode(), cuts))
    want, stopped = cut_text(text, stops)
    assert "".join(shown) == want == stopper.text
    assert (stopper.reason == "stop_string") == stopped


@settings(max_examples=400, deadline=None)
@given(TEXTS, STOPS, st.lists(st.integers(0, 1000), max_size=12))
def test_streamed_pieces_join_to_the_cut_text(text, stops, cuts):
    streaming_law(text, stops, cuts)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=12), STOPS, st.lists(st.integers(0, 1000), max_size=6))
def test_bytes_that_are_not_utf8_stream_like_the_whole(raw, stops, cuts):
    shown = stream(Stopper([*stops, "�"]), pieces(raw, cuts))
    assert "".join(shown) == cut_text(raw.decode("utf-8", errors="replace"), [*stops, "�"])[0]


def test_the_law_catches_a_stopper_that_holds_nothing_back(monkeypatch):
    monkeypatch.setattr(stop_module, "overlap", lambda text, stop: 0)
    with pytest.raises(AssertionError):
        streaming_law("aab", ["ab"], [1, 2])


def test_the_law_catches_a_stopper_that_holds_one_character_only(monkeypatch):
    monkeypatch.setattr(stop_module, "overlap", lambda text, stop: min(1, overlap(text, stop)))
    with pytest.raises(AssertionError):
        streaming_law("babc", ["abc"], [2, 3])


def test_a_stop_string_across_tokens_is_never_shown():
    stopper = Stopper(["\nUser:"])
    assert [stopper.push(0, part) for part in (b"Hello.", b"\n", b"Us", b"er", b": more")] == ["Hello.", "", "", "", ""]
    assert (stopper.text, stopper.reason) == ("Hello.", "stop_string")


def test_held_text_is_released_when_it_becomes_something_else():
    stopper = Stopper(["\nUser:"])
    assert [stopper.push(0, part) for part in (b"a\nUse", b"less")] == ["a", "\nUseless"]


def test_a_stop_token_ends_and_adds_no_text():
    stopper = Stopper(["xyz"], stop_tokens=[7])
    assert stopper.push(1, b"ok xy") == "ok "
    assert stopper.push(7, b"<|endoftext|>") == "xy"
    assert (stopper.text, stopper.reason, stopper.n_tokens) == ("ok xy", "stop_token", 2)


def test_the_budget_ends_and_releases_what_was_held():
    stopper = Stopper(["ab"], max_new_tokens=2)
    assert [stopper.push(0, b"x"), stopper.push(0, b"a")] == ["x", "a"]
    assert stopper.reason == "length"
    with pytest.raises(LinnetError, match="after the end"):
        stopper.push(0, b"b")


def test_a_stop_string_on_the_last_token_of_the_budget_is_a_stop_string():
    stopper = Stopper(["ab"], max_new_tokens=2)
    assert [stopper.push(0, b"a"), stopper.push(0, b"b")] == ["", ""]
    assert stopper.reason == "stop_string"


def test_half_a_character_at_the_end_shows_as_a_replacement():
    stopper = Stopper(max_new_tokens=1)
    assert stopper.push(0, "é".encode()[:1]) == "�"


def test_one_string_is_one_stop_string():
    assert Stopper("ab").stop_strings == ("ab",)


@pytest.mark.parametrize("bad", [{"stop_strings": [""]}, {"max_new_tokens": 0}])
def test_meaningless_limits_are_refused(bad):
    with pytest.raises(LinnetError):
        Stopper(**bad)
