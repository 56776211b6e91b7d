"""Cleaning by the rules that published corpora were cleaned by: more words of the family in `clean.py`.

    max_length         drops what is longer than so many characters
    html               tags out, entities decoded
    gopher_quality     is it prose at all? (Rae et al. 2021, arXiv 2112.11446, appendix A1.1)
    gopher_repetition  how much of it is there twice? (the same, table A1)
    c4                 keeps lines that are sentences, drops pages that are not text (Raffel et al. 2020, arXiv 1910.10683)
    mask               addresses and telephone numbers become placeholders

Thresholds are fields, with the papers' numbers as defaults. Each of these is for one kind of text: the rules of Gopher and
of C4 count English words and drop good code, verse and Chinese. What the papers leave open is said where it is decided;
`docs/log.md` compares the decisions with another implementation's.
"""

from __future__ import annotations

import html
import ipaddress
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from linnet.data.clean import CleanStep


class MaxLength(CleanStep):
    """Drops documents of more characters.

    characters   the most that a document may have
    """

    kind: Literal["max_length"] = "max_length"
    characters: int = Field(1_000_000, ge=1)

    def __call__(self, text: str) -> str | None:
        return text if len(text) <= self.characters else None


# HTML

MARKUP = re.compile(r"<[a-zA-Z/!?]")
UNSEEN = {"script", "style"}
BLOCKS = set(
    re.findall(
        r"\w+",
        "address article aside blockquote body br caption dd details dialog div dl dt fieldset figcaption figure footer form h1 h2"
        " h3 h4 h5 h6 head header hr html legend li main menu nav ol optgroup option p pre section select summary table tbody td"
        " tfoot th thead title tr ul",
    )
)


class _Page(HTMLParser):
    """The lines that a reader sees of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self.line: list[str] = []
        self.unseen = self.as_it_stands = 0  # how many of these elements are open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in BLOCKS:
            self.end_line()
        self.unseen += tag in UNSEEN
        self.as_it_stands += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS:
            self.end_line()
        self.unseen = max(0, self.unseen - (tag in UNSEEN))
        self.as_it_stands = max(0, self.as_it_stands - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self.unseen:
            return
        first, *others = data.split("\n") if self.as_it_stands else [data]
        self.line.append(first)
        for other in others:
            self.end_line()
            self.line.append(other)

    def end_line(self) -> None:
        line, self.line = "".join(self.line), []
        line = line.rstrip() if self.as_it_stands else " ".join(line.split())
        if line:
            self.lines.append(line)


class Html(CleanStep):
    """Takes HTML for what a reader sees of it: tags and comments out, with what scripts and styles hold; entities decoded.

    Elements that stand apart on a page (paragraphs, headings, list items, table cells, `<br>` …) begin a line; white space is
    one space, but inside `<pre>`; empty lines go. A text without a tag only has its entities decoded. Of a broken page it is as
    much as Python's own parser makes of it.
    """

    kind: Literal["html"] = "html"

    def __call__(self, text: str) -> str:
        if MARKUP.search(text) is None:
            return html.unescape(text) if "&" in text else text
        page = _Page()
        page.feed(text)
        page.close()
        page.end_line()
        return "\n".join(page.lines)


# Gopher

STOP_WORDS = frozenset(["the", "be", "to", "of", "and", "that", "have", "with"])
BULLETS = tuple("•‣▪▫■□◦●○▶►◀–*-")
ELLIPSES = ("...", "…")
EDGES = re.compile(r"^\W+|\W+$")


def seen_lines(text: str) -> list[str]:
    """The lines of a text that are not blank, without white space at their ends."""
    return [line for line in map(str.strip, text.split("\n")) if line]


class GopherQuality(CleanStep):
    """Drops what is not English prose (Gopher, A1.1). With w words between white space and l lines that are not blank, it keeps

        min_words ≤ w ≤ max_words,   min_mean ≤ Σ characters of words / w ≤ max_mean
        #-signs / w ≤ symbols,   ellipses ("..." or "…") / w ≤ symbols
        lines that begin with a bullet / l ≤ bullets,   lines that end with an ellipsis / l ≤ ellipses
        words with a letter / w ≥ alphabetic,   how many of "the be to of and that have with" are there ≥ stop_words

    The paper leaves open what a word and a line are. A stop word counts in any case and with punctuation about it, once.

    min_words / max_words   words that a document may have
    min_mean / max_mean     characters that a word of it may have in the mean
    symbols                 the most #-signs, and the most ellipses, a word
    bullets                 the largest share of lines that begin with a bullet
    ellipses                the largest share of lines that end with an ellipsis
    alphabetic              the smallest share of words with a letter
    stop_words              how many of the eight stop words have to be there
    """

    kind: Literal["gopher_quality"] = "gopher_quality"
    min_words: int = Field(50, ge=0)
    max_words: int = Field(100_000, ge=1)
    min_mean: float = Field(3.0, ge=0)
    max_mean: float = Field(10.0, gt=0)
    symbols: float = Field(0.1, ge=0)
    bullets: float = Field(0.9, ge=0, le=1)
    ellipses: float = Field(0.3, ge=0, le=1)
    alphabetic: float = Field(0.8, ge=0, le=1)
    stop_words: int = Field(2, ge=0, le=len(STOP_WORDS))

    def __call__(self, text: str) -> str | None:
        words = text.split()
        if not words or not self.min_words <= len(words) <= self.max_words:
            return None
        if not self.min_mean <= sum(map(len, words)) / len(words) <= self.max_mean:
            return None
        if max(text.count("#"), sum(map(text.count, ELLIPSES))) / len(words) > self.symbols:
            return None
        lines = seen_lines(text)
        if sum(line.startswith(BULLETS) for line in lines) / len(lines) > self.bullets:
            return None
        if sum(line.endswith(ELLIPSES) for line in lines) / len(lines) > self.ellipses:
            return None
        if sum(word.isalpha() or any(map(str.isalpha, word)) for word in words) / len(words) < self.alphabetic:
            return None
        return text if len(STOP_WORDS & {EDGES.sub("", word).lower() for word in words}) >= self.stop_words else None


class GopherRepetition(CleanStep):
    """Drops what repeats itself (Gopher, A1.1 and table A1). A document stays where no share is above its threshold:

        lines, paragraphs        those that stood before in it / all of them; also by characters
        top n-gram               characters of words in the most frequent n words in a row / characters of all words
        repeated n-grams         characters of words in any n words in a row that stood before / characters of all words

    Each word counts once, however many n-grams it is in. Lines and paragraphs (which empty lines divide) are taken without
    white space about them, blank ones left out; words are what stands between white space. The first of several copies is no
    copy: the paper leaves that open. Of the most frequent n-grams, one with the most characters counts, and only if it is there
    twice.

    lines, paragraphs                       the largest share of repeated ones
    line_characters, paragraph_characters   the largest share of their characters
    top                                     … of the most frequent 2-gram, 3-gram, 4-gram
    repeated                                … of repeated 5-grams, 6-grams … 10-grams
    """

    kind: Literal["gopher_repetition"] = "gopher_repetition"
    lines: float = Field(0.3, ge=0, le=1)
    paragraphs: float = Field(0.3, ge=0, le=1)
    line_characters: float = Field(0.2, ge=0, le=1)
    paragraph_characters: float = Field(0.2, ge=0, le=1)
    top: tuple[float, float, float] = Field((0.20, 0.18, 0.16), strict=False)
    repeated: tuple[float, float, float, float, float, float] = Field((0.15, 0.14, 0.13, 0.12, 0.11, 0.10), strict=False)

    def __call__(self, text: str) -> str | None:
        paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
        for parts, at_most, characters_at_most in (
            (seen_lines(text), self.lines, self.line_characters),
            (paragraphs, self.paragraphs, self.paragraph_characters),
        ):
            share, of_characters = repeated_parts(parts)
            if share > at_most or of_characters > characters_at_most:
                return None
        at_most_by_n = dict(enumerate((*self.top, *self.repeated), 2))
        return None if any(share > at_most_by_n[n] for n, share in repeated_grams(text.split())) else text


def repeated_parts(parts: Sequence[str]) -> tuple[float, float]:
    """The share of parts that equal an earlier one, and the share of all characters that they have."""
    seen: set[str] = set()
    copies = [part for part in parts if part in seen or seen.add(part)]  # type: ignore[func-returns-value]
    return (len(copies) / len(parts), sum(map(len, copies)) / sum(map(len, parts))) if parts else (0.0, 0.0)


def repeated_grams(words: Sequence[str]) -> Iterator[tuple[int, float]]:
    """(n, share of the characters of words) for n = 2 … 10: up to 4 in the most frequent n-gram, from 5 on in repeated ones."""
    numbers: dict[str, int] = {}
    first = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64)  # a number for each word
    lengths = np.array([len(word) for word in words], np.int64)
    before = np.concatenate([[0], np.cumsum(lengths)])  # characters of the words before
    gram = first  # a number for each n-gram, by where it begins: equal where its words are
    for n in range(2, 11):
        if len(words) <= n:  # there are not two
            return
        codes = gram[:-1] * len(numbers) + first[n - 1 :]
        _, begins, gram, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
        if counts.max() == 1:  # and so no longer ones are there twice
            yield from ((longer, 0.0) for longer in range(n, min(11, len(words))))
            return
        if n <= 4:
            most = begins[counts == counts.max()]
            longest = most[before[most + n] - before[most] == (before[most + n] - before[most]).max()].min()
            marked = gram == gram[longest]
        else:
            marked = np.ones(len(gram), bool)
            marked[begins] = False
        yield n, float(lengths[covered(marked, n)].sum() / before[-1])


def covered(marked: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """The words that are in one of the n-grams that are marked, each by where it begins: (w - n + 1,) → (w,)."""
    edges = np.zeros(len(marked) + n, np.int64)
    edges[: len(marked)] += marked
    edges[n:] -= marked
    return np.cumsum(edges)[:-1] > 0


# C4

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
TERMINAL = (".", "?", "!", '"', "”")
SENTENCE_END = re.compile(r"""[.?!]+["'”’)\]]*(?=\s|$)""")
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


class C4(CleanStep):
    """Keeps the lines of a page that are sentences (Raffel et al. 2020, section 2.2): those of at least `min_words` words that

        end with a full stop, a question or exclamation mark, or a closing quotation mark
        do not say "javascript", nor a phrase about cookies, privacy or terms of use

    and of these drops Wikipedia's marks ("[1]", "[edit]", "[citation needed]"). Drops a page that says "lorem ipsum", that has a
    "{" anywhere, or of which fewer than `min_sentences` sentences are left. Case does not count.

    The paper does not say how sentences are counted: here by marks at the end of a word, at least one a line. As in the code
    that made C4, a line that ends with an ellipsis does not end. What the paper does beyond this is not a matter of one text, or
    needs lists and models: bad words, English alone, three sentences that stand in another page.

    min_words       the fewest words of a line
    min_sentences   the fewest sentences of a page, in the lines that are kept
    """

    kind: Literal["c4"] = "c4"
    min_words: int = Field(5, ge=0)
    min_sentences: int = Field(3, ge=0)

    def __call__(self, text: str) -> str | None:
        if "{" in text or "lorem ipsum" in text.lower():
            return None
        kept = [line for line in (CITATION.sub("", line).strip() for line in text.split("\n")) if self.keeps(line)]
        sentences = sum(max(1, len(SENTENCE_END.findall(line))) for line in kept)
        return "\n".join(kept) if sentences >= self.min_sentences else None

    def keeps(self, line: str) -> bool:
        """Whether a line is one of those that stay."""
        if not line.endswith(TERMINAL) or line.endswith("...") or len(line.split()) < self.min_words:
            return False
        lower = line.lower()
        return "javascript" not in lower and not any(phrase in lower for phrase in POLICIES)


# masks

_NAME = r"[A-Za-z0-9._%+-]"
EMAIL = re.compile(rf"(?<!{_NAME}){_NAME}{{1,64}}@(?:[A-Za-z0-9][A-Za-z0-9-]{{0,62}}\.){{1,8}}[A-Za-z]{{2,24}}(?![A-Za-z0-9-])")
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4 = re.compile(rf"(?<![\w.])(?:{_BYTE}\.){{3}}{_BYTE}(?![\w]|\.[0-9])")
_GROUP = r"[0-9A-Fa-f]{0,4}"
IPV6 = re.compile(rf"(?<![\w:.]){_GROUP}(?:(?::{_GROUP}){{1,6}}:{_BYTE}(?:\.{_BYTE}){{3}}|(?::{_GROUP}){{2,7}})(?![\w:]|\.[0-9])")
PHONE = re.compile(
    r"(?<![\w+.-])(?:"
    r"\+[1-9][0-9]{0,2}(?:[ ./-]?\(?[0-9]{1,5}\)?){2,7}"  # with the country's code
    r"|(?:1[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}"  # as in North America
    r")(?![\w-]|\.[0-9])"
)


class Mask(CleanStep):
    """Puts placeholders where a text has an address or a number of somebody: `<email>`, `<ip>`, `<phone>`.

    By their form alone, so some of other kinds go too: a version of four parts is an IPv4 address. IPv6 addresses need a digit
    and two groups, or `a::b` would be one. Telephone numbers are "+" and 8 to 15 digits in groups (ITU-T E.164), or 3, 3 and 4
    digits that are divided.

    email        whether to put `<email>` for e-mail addresses
    ip_address   whether to put `<ip>` for IPv4 and IPv6 addresses
    phone        whether to put `<phone>` for what looks like a telephone number
    """

    kind: Literal["mask"] = "mask"
    email: bool = True
    ip_address: bool = True
    phone: bool = True

    def __call__(self, text: str) -> str:
        if self.email and "@" in text:
            text = EMAIL.sub("<email>", text)
        if self.ip_address:
            text = IPV6.sub(lambda found: "<ip>" if is_ipv6(found[0]) else found[0], text)
            text = IPV4.sub("<ip>", text)
        if self.phone:
            text = PHONE.sub(lambda found: "<phone>" if is_phone(found[0]) else found[0], text)
        return text


def is_ipv6(text: str) -> bool:
    """Whether a text is an IPv6 address, of two groups or more, with a digit."""
    if not any(map(str.isdigit, text)) or len([group for group in text.split(":") if group]) < 2:
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def is_phone(text: str) -> bool:
    """Whether a text has as many digits as a telephone number may have."""
    return 8 <= sum(map(str.isdigit, text)) <= 15
