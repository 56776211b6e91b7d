"""Cleaning by the rules of published corpora: both sides of every threshold, and formulas against slow ones written apart."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from data_helpers import spec_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linnet.core.errors import ConfigError
from linnet.data.clean import clean
from linnet.data.quality import (
    C4,
    GopherQuality,
    GopherRepetition,
    Html,
    Mask,
    MaxLength,
    is_ipv6,
    repeated_grams,
    repeated_parts,
    seen_lines,
)

# Gopher's rules of quality: documents of 100 words between which only one thing differs

PROSE = "the of"  # two stop words


def prose(count: int = 100, word: str = "words") -> list[str]:
    """`count` words, two of them stop words."""
    return [*PROSE.split(), *[word] * (count - 2)]


def kept(words: list[str] | str, **thresholds: float) -> bool:
    text = words if isinstance(words, str) else " ".join(words)
    after = GopherQuality(**thresholds)(text)  # type: ignore[arg-type]
    assert after in (None, text)
    return after is not None


def test_gopher_counts_words() -> None:
    assert [kept(prose(n)) for n in (49, 50)] == [False, True]
    assert [kept(prose(n)) for n in (100_000, 100_001)] == [True, False]
    assert [kept(prose(8), min_words=n) for n in (8, 9)] == [True, False]
    assert not kept("", min_words=0)
    assert not kept(" \n", min_words=0)


def test_gopher_measures_words() -> None:
    """100 words: 300 and 1,000 characters are the borders."""
    assert sum(map(len, [*prose(100, "abc")])) == 299
    assert [kept([*prose(99, "abc"), word]) for word in ("abc", "abcd")] == [False, True]
    assert sum(map(len, [*prose(99, "a" * 10)])) == 975
    assert [kept([*prose(99, "a" * 10), "a" * n]) for n in (25, 26)] == [True, False]


@pytest.mark.parametrize("symbol", ["#", "...", "…"])
def test_gopher_counts_symbols(symbol: str) -> None:
    assert [kept([*prose(100 - n), *[f"word{symbol}s"] * n]) for n in (10, 11)] == [True, False]


def test_gopher_counts_hashes_and_ellipses_apart() -> None:
    assert kept([*prose(80), *["word#s"] * 10, *["word…s"] * 10])
    assert not kept([*prose(89), *["word...s"] * 6, *["word…s"] * 5])


@pytest.mark.parametrize("bullet", ["•", "-", "*", "‣", "–"])
def test_gopher_counts_bullets(bullet: str) -> None:
    """10 of 11 lines are more than 90 %, 9 of 10 are not; blank lines are none."""
    line, item = " ".join(prose(20)), f"\n\n  {bullet} these words"
    assert [kept(line + "\n" + line + "\n" + line + item * n) for n in (27, 28)] == [True, False]
    assert kept(line * 3 + item * 9, alphabetic=0)
    assert not kept(line * 3 + item * 10, alphabetic=0)


@pytest.mark.parametrize("ellipsis", ["...", "…", "… "])
def test_gopher_counts_lines_that_trail_off(ellipsis: str) -> None:
    line = " ".join(prose(20))
    assert [kept("\n\n".join([line] * (10 - n) + [line + ellipsis] * n)) for n in (3, 4)] == [True, False]


def test_gopher_wants_letters() -> None:
    assert [kept([*prose(100 - n), *["1234"] * n]) for n in (20, 21)] == [True, False]
    assert kept([*prose(50), *["12é4"] * 50])


def test_gopher_wants_stop_words() -> None:
    filler = ["words"] * 60
    assert not kept(filler)
    assert not kept([*filler, "the", "The", "the"])  # one, three times
    assert kept([*filler, "(The", 'WITH."'])
    assert not kept([*filler, "thee", "within"])
    for one in ("the", "be", "to", "of", "and", "that", "have"):
        assert kept([*filler, one, "with"])
    assert kept(filler, stop_words=0)
    assert not kept([*filler, "the", "of"], stop_words=3)


# Gopher's rules of repetition, computed anew: by words one at a time, in fractions


def shares_by_hand(words: list[str]) -> dict[int, Fraction]:
    """n → the share of characters, straight from the definition."""
    found: dict[int, Fraction] = {}
    for n in range(2, 11):
        places = range(len(words) - n + 1)
        if len(places) < 2:
            break
        grams = [tuple(words[i : i + n]) for i in places]
        if n <= 4:
            most = max(grams.count(gram) for gram in grams)
            longest = max(sum(map(len, gram)) for gram in grams if grams.count(gram) == most)
            chosen = next(gram for gram in grams if grams.count(gram) == most and sum(map(len, gram)) == longest)
            begins = [i for i in places if grams[i] == chosen] if most > 1 else []
        else:
            begins = [i for i in places if grams[i] in grams[:i]]
        inside = {i + k for i in begins for k in range(n)}
        found[n] = Fraction(sum(len(words[i]) for i in inside), sum(map(len, words)))
    return found


@given(st.lists(st.sampled_from(["a", "b", "ccc"]), max_size=40) | st.lists(st.sampled_from(["x", "yy"]), max_size=16))
@settings(deadline=None)
@example(["a"] * 12)
@example(["a", "b"] * 8)
def test_shares_of_repeated_n_grams_are_their_definition(words: list[str]) -> None:
    by_hand = shares_by_hand(words)
    assert [n for n, _ in repeated_grams(words)] == list(by_hand)
    for n, share in repeated_grams(words):
        assert share == pytest.approx(float(by_hand[n]), abs=1e-12)


def test_shares_of_repeated_n_grams_by_hand() -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "one", "two", "three", "four", "five", "eight", "nine"]
    shares = dict(repeated_grams(words))
    total = len("".join(words))
    assert shares[5] == len("onetwothreefourfive") / total  # the second time
    assert shares[6] == 0
    assert shares[2] == 2 * len("threefour") / total  # of the pairs that are there twice, the longest
    assert dict(repeated_grams(["aa"] * 7))[2] == 1  # overlapping ones count once
    assert dict(repeated_grams(["aa"] * 7))[5] == 6 / 7
    assert list(repeated_grams(["each", "of", "these", "is", "different"])) == [(2, 0), (3, 0), (4, 0)]
    assert list(repeated_grams([])) == []


@given(st.lists(st.sampled_from(["a", "bb", "cccc", "d"]), max_size=12))
@settings(deadline=None)
def test_shares_of_repeated_lines_are_their_definition(parts: list[str]) -> None:
    copies = [parts[i] for i in range(len(parts)) if parts[i] in parts[:i]]
    assert repeated_parts(parts) == (
        len(copies) / max(1, len(parts)),
        len("".join(copies)) / max(1, len("".join(parts))),
    )


def unlike(count: int, letters: int = 6) -> list[str]:
    """So many different words of so many letters."""
    return [chr(97 + i // 26 % 26) + chr(97 + i % 26) + "x" * (letters - 2) for i in range(count)]


OPEN = {
    "lines": 1.0,
    "paragraphs": 1.0,
    "line_characters": 1.0,
    "paragraph_characters": 1.0,
    "top": (1.0, 1.0, 1.0),
    "repeated": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
}


def passes(text: str, *closed: str) -> bool:
    """By the default thresholds of these fields alone."""
    after = GopherRepetition(**{name: value for name, value in OPEN.items() if name not in closed})(text)  # type: ignore[arg-type]
    assert after in (None, text)
    return after is not None


@pytest.mark.parametrize(("field", "between"), [("lines", "\n"), ("lines", "\n \n"), ("paragraphs", "\n \n\n")])
def test_gopher_counts_repeated_lines_and_paragraphs(field: str, between: str) -> None:
    """3 of 10 may be copies; the copies are short, so that they are few characters."""
    for copies, stays in ((3, True), (4, False)):
        parts = [*(word * 9 for word in unlike(9 - copies)), *["ab"] * (copies + 1)]
        text = between.join(parts)
        assert passes(text, field) == stays
        assert passes(text, f"{field.removesuffix('s')}_characters")
        assert passes(text, "paragraphs" if field == "lines" and between == "\n" else "top")
        assert (GopherRepetition()(text) is not None) == stays


@pytest.mark.parametrize(("field", "between"), [("line_characters", "\n"), ("paragraph_characters", "\n\n")])
def test_gopher_measures_repeated_lines_and_paragraphs(field: str, between: str) -> None:
    """A copy of 20 characters in 100, and of 21 in 101."""
    for size, stays in ((20, True), (21, False)):
        text = between.join([*unlike(10), "y" * size, "y" * size])
        assert len(text.replace("\n", "")) == 60 + 2 * size
        assert passes(text, field) == (size / (60 + 2 * size) <= 0.2)
        whole = between.join(["z" * (100 - 2 * size + (size == 21)), "y" * size, "y" * size])
        assert passes(whole, field) == stays
    assert passes(between.join(["a"] * 4 + ["z" * 400]), field)


@pytest.mark.parametrize("n", range(2, 11))
def test_gopher_measures_repeated_n_grams(n: int) -> None:
    """One n-gram twice, among other words that make it just the share that is allowed, and less by one character than that."""
    limit = {**dict(zip((2, 3, 4), (20, 18, 16))), **dict(zip(range(5, 11), (15, 14, 13, 12, 11, 10)))}[n]
    inside = limit * n  # characters that count, of 100 n
    times = 2 if n <= 4 else 1
    gram = unlike(n, inside // times // n) if inside // times % n == 0 else None
    assert gram is not None, "the words of the n-gram are of one length"
    others = 100 * n - 2 * len("".join(gram))

    def text(characters: int) -> str:
        rest = ["Q" * (characters // 2), "R" * (characters - characters // 2)]
        return " ".join([*gram, rest[0], *gram, rest[1]])

    def only(words: str) -> bool:
        thresholds: dict[str, object] = dict(OPEN)
        name, place = ("top", n - 2) if n <= 4 else ("repeated", n - 5)
        levels = list(OPEN[name])  # type: ignore[call-overload]
        levels[place] = limit / 100
        thresholds[name] = tuple(levels)
        return GopherRepetition(**thresholds)(words) is not None  # type: ignore[arg-type]

    assert only(text(others))
    assert not only(text(others - 1))
    defaults = GopherRepetition()
    assert (*defaults.top, *defaults.repeated)[n - 2] == limit / 100


def test_gopher_lets_ordinary_text_and_short_text_through() -> None:
    for text in ("", "word", "two words", "Once there was a bird.\n\nIt sang, and then it flew away over the hills.\nThe end."):
        assert GopherRepetition()(text) == text
    assert GopherRepetition()("again and again and " * 20) is None


# C4

LINES = "A first line of five words. Then a second one!\nIs this a third line here?"


def test_c4_keeps_lines_that_end() -> None:
    ends = {".": True, "?": True, "!": True, '"': True, "”": True, ",": False, ":": False, "": False, "...": False, "…": False}
    for mark, stays in ends.items():
        line = f"these are five words{mark} altogether now{mark}"
        assert C4()(f"{LINES}\n  {line}\n") == (f"{LINES}\n{line}" if stays else LINES), mark


def test_c4_counts_words_and_sentences() -> None:
    assert C4()(f"{LINES}\nOnly four words here.") == LINES
    assert C4()(f"{LINES}\nAll of five words here.") == f"{LINES}\nAll of five words here."
    assert C4()(LINES) == LINES  # three sentences
    assert C4()("A first line of five words.\nIs this a third line here?") is None
    assert C4(min_sentences=2)("A first line of five words.\nIs this a third line here?") is not None
    assert C4()("It costs 3.50 in every shop.\nA line that ends with this one.") is None  # a mark inside a number ends nothing
    assert C4()('"What?!" he said. "I never heard that."') is not None  # three
    quoted = 'They called it all "the end"'  # no mark, but a line that ends
    assert C4()("\n".join([quoted] * 3)) is not None
    assert C4()("\n".join([quoted] * 2)) is None
    assert C4(min_words=3, min_sentences=0)("Only four words here.\nNo two.") == "Only four words here."


def test_c4_drops_lines_and_pages() -> None:
    for phrase in (
        "You need JavaScript for this page.",
        "This site uses cookies for your comfort.",
        "Read our Privacy Policy, please do.",
    ):
        assert C4()(f"{LINES}\n{phrase}\n") == LINES
    for phrase in ("Terms of use", "cookie policy", "use of cookies", "use cookies"):
        assert C4()(f"Here the {phrase} are said again.\n{LINES}") == LINES
    assert C4()(f"{LINES}\nLorem Ipsum") is None
    assert C4()(f"{LINES}\nif x {{") is None
    assert C4()(f"{LINES}\nif x }}") == LINES


def test_c4_takes_citations_out() -> None:
    assert C4()(f"{LINES}\nIt was found[12] in the river.[citation needed]\n") == f"{LINES}\nIt was found in the river."
    assert C4()(f"{LINES}\nThe history[edit] of this is long.[]") == f"{LINES}\nThe history of this is long."


# HTML


@pytest.mark.parametrize(
    ("page", "seen"),
    [
        ("no markup: a < b, c > d & e\n\n two", "no markup: a < b, c > d & e\n\n two"),
        ("R&amp;D &lt;b&gt; &#233;&#x4e2d; &nosuch;", "R&D <b> é中 &nosuch;"),
        ("<p>one <b>two</b>\n three</p><p>four</p>", "one two three\nfour"),
        ("<div>a<div>b</div>c</div>d", "a\nb\nc\nd"),
        ("a<br>b<br/>c<hr>d", "a\nb\nc\nd"),
        ("<ul><li>one<li>two</ul>three", "one\ntwo\nthree"),
        ("<table><tr><td>1</td><td>2</td></tr></table>", "1\n2"),
        ("in<i>side</i> a <em>line</em>", "inside a line"),
        ("<script>if (a < b) { x('</p>') }</script>after", "after"),
        ("<STYLE type='x'>p { color: red }</STYLE><P>shown", "shown"),
        ("before<!-- <p>hidden</p> -->after<!DOCTYPE html>", "beforeafter"),
        ("<pre>  a\n\tb &lt; c\n\n</pre>  d\n  e", "  a\n\tb < c\nd e"),
        ("<a href='x>y'>link</a> <img alt='p'> end", "link end"),
        ("3 <4 and <p>5 &amp; 6</p>", "3 <4 and\n5 & 6"),
        ("<p>\n \n</p>", ""),
        ("</script></pre></p>text", "text"),
    ],
)
def test_html_is_what_a_reader_sees(page: str, seen: str) -> None:
    assert Html()(page) == seen


def test_a_page_without_text_is_dropped() -> None:
    counts: Counter[str] = Counter()
    assert clean("<script>x</script>", [Html()], counts) is None
    assert counts == {"html": 1, "empty": 1}


@given(st.lists(st.text(alphabet="ab <&>\"'\n\té中", max_size=12), min_size=1, max_size=6))
@settings(deadline=None)
def test_html_gives_back_what_was_escaped(texts: list[str]) -> None:
    import html

    page = "".join(f"<p>{html.escape(text)}</p>" for text in texts)
    assert Html()(page) == "\n".join(" ".join(text.split()) for text in texts if text.split())


# length and masks


def test_max_length() -> None:
    assert [MaxLength(characters=5)(text) for text in ("fives", "sixsix", "éééé中")] == ["fives", None, "éééé中"]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to a.b+c@mail-1.example.co.uk, or <me@x.de>.", "write to <email>, or <<email>>."),
        ("a@b, @name, x@y.z, a@.com, user@@x.com", "a@b, @name, x@y.z, a@.com, user@@x.com"),
        ("at 192.168.0.1, 0.0.0.0:80 and 255.255.255.255.", "at <ip>, <ip>:80 and <ip>."),
        ("256.1.1.1 1.2.3 1.2.3.4.5 v1.2.3.4 01.2.3.4 1.2.3.400", "256.1.1.1 1.2.3 1.2.3.4.5 v1.2.3.4 01.2.3.4 1.2.3.400"),
        ("2001:db8::8a2e:370:7334, fe80::1, 1:2:3:4:5:6:7:8.", "<ip>, <ip>, <ip>."),
        ("[::ffff:10.0.0.1]", "[<ip>]"),
        (
            "std::cout a::b :: ::1 12:30:45 12:30 1:2:3:4:5:6:7:8:9 f(x)::y2",
            "std::cout a::b :: ::1 12:30:45 12:30 1:2:3:4:5:6:7:8:9 f(x)::y2",
        ),
        ("(555) 123-4567, 555-123-4567, 555.123.4567, 1-555-123-4567!", "<phone>, <phone>, <phone>, <phone>!"),
        ("+12 345 67 +12 345 678", "+12 345 67 <phone>"),
        ("+123 45678 90123 45, +123 45678 90123 456", "<phone>, +123 45678 90123 456"),
        ("+49 30 1234567, +442071234567, +1 (212) 555 0199.", "<phone>, <phone>, <phone>."),
        (
            "5551234567 2020-01-02 978-3-16-148410-0 3.14159 +12 345 1,234,567",
            "5551234567 2020-01-02 978-3-16-148410-0 3.14159 +12 345 1,234,567",
        ),
        (
            "12555-123-4567 555-123-45678 a555-123-4567 2555-123-4567-1",
            "12555-123-4567 555-123-45678 a555-123-4567 2555-123-4567-1",
        ),
    ],
)
def test_masks(text: str, masked: str) -> None:
    assert Mask()(text) == masked


def test_masks_are_chosen_one_by_one() -> None:
    text = "555-123-4567 me@x.de 10.0.0.1 fe80::1"
    assert Mask(ip_address=False, phone=False)(text) == "555-123-4567 <email> 10.0.0.1 fe80::1"
    assert Mask(email=False, phone=False)(text) == "555-123-4567 me@x.de <ip> <ip>"
    assert Mask(email=False, ip_address=False)(text) == "<phone> me@x.de 10.0.0.1 fe80::1"
    assert Mask(email=False, ip_address=False, phone=False)(text) == text


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_every_internet_address_is_masked(six: int, four: int) -> None:
    import ipaddress

    long, short = str(ipaddress.IPv6Address(six)), str(ipaddress.IPv4Address(four))
    assert Mask()(f"from ({short}) to {short}.") == "from (<ip>) to <ip>."
    if is_ipv6(long):
        assert Mask()(f"from ({long}) to {long}.") == "from (<ip>) to <ip>."
        assert Mask()(ipaddress.IPv6Address(six).exploded) == "<ip>"


def test_masks_take_time_that_grows_with_the_text() -> None:
    """Long runs of what may begin an address: with a square's time these would not end."""
    for run in ("a" * 300_000, "a." * 150_000, "1." * 150_000, "1:" * 150_000, "+1 " * 100_000, "a@" * 150_000, "1-" * 150_000):
        assert Mask()(run) == run


# in a run file


def test_the_words_are_read_by_name() -> None:
    spec = spec_of(
        "stories",
        clean=[
            "html",
            {"kind": "gopher_quality", "min_words": 20},
            {"kind": "gopher_repetition", "top": [0.5, 0.5, 0.5]},
            "c4",
            {"kind": "mask", "phone": False},
            {"kind": "max_length", "characters": 10},
        ],
    )
    assert [type(step) for step in spec.clean] == [Html, GopherQuality, GopherRepetition, C4, Mask, MaxLength]
    for wrong, said in (({"kind": "gopher_qualty"}, "gopher_quality"), ({"kind": "mask", "emial": True}, "email")):
        with pytest.raises(ConfigError, match=said):
            spec_of("stories", clean=[wrong])


def test_lines_that_are_seen() -> None:
    assert seen_lines(" a \n\n\t\nb c\n") == ["a", "b c"]
