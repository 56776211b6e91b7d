"""The grammar of the story world: plots, written as text, become shapes that are both told and recognised.

    == lost_toy: A=child B=friend thing=toy color         a shape and its facts; `color` is short for color=color
    @meet                                                 a beat, shared with other plots

    {A} had a {color} {thing}[| with a bell].             a beat: one line is told, chosen from these
    {His} favorite toy was a {color} {thing}.

    ?@weather                                             a beat that may be left out
    --                                                    a new paragraph begins here

`{A}` is the hero, `{B}` the other one; `{he} {him} {his} {himself} {He} {His} {kind}` speak of the hero and `{B.he}` …
of the other. `{place.at}` is the place with its preposition. A name that is no fact is a free word. `[a|b]` is one of
several wordings.

A line is expanded into wordings, a wording is cut into *units* (sentence templates). The writer fills units in, the
checker matches the very same units: neither has a list of its own.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from linnet.core.errors import DataError, explain
from linnet.core.names import nearest
from linnet.data.worlds.lexicon import FREE, KINDS, NAMES, PLACES, PRONOUNS, THINGS
from linnet.data.worlds.plots import PLOTS
from linnet.data.worlds.shared import SHARED

Binding = tuple[tuple[str, str], ...]  # (fact, value) pairs that a word in a slot says

HOLE = re.compile(r"\{([A-Za-z.]+)\}")
CHOICE = re.compile(r"\[([^\]]*)\]")
ENDS = re.compile(r'[.!?]"?(?=\s+(?:"|[A-Z]|\{(?:[AB]|(?:\w+\.)?(?:He|His))\})|\s*$)')  # a hole counts as what fills it
PATIENCE = 3  # no quotation of the world is longer than this many sentences


@dataclass(frozen=True)
class Slot:
    """A hole in a template. `fact` is None for a free word; `form` is a pronoun, "kind", "at" or empty."""

    fact: str | None
    words: str  # the class of words
    form: str = ""

    @functools.cached_property
    def key(self) -> str:
        """The fact that decides which word stands here."""
        if self.form == "kind":
            return f"{self.fact}.kind"
        return f"{self.fact}.sex" if self.form in PRONOUNS else str(self.fact)

    @functools.cached_property
    def surfaces(self) -> dict[str, Binding]:
        """Every word that may stand here, and the facts that it says."""
        fact, name = self.fact, self.words
        if fact is None:
            return dict.fromkeys(FREE[name], ())
        if self.form in PRONOUNS:
            return {word: ((f"{fact}.sex", sex),) for sex, word in PRONOUNS[self.form].items()}
        if self.form == "kind":
            sexes = KINDS[name].items()
            return {kind: ((f"{fact}.kind", kind), *([(f"{fact}.sex", sex)] if sex else [])) for kind, sex in sexes}
        if name in NAMES:
            return {word: ((fact, word), (f"{fact}.sex", sex)) for word, sex in NAMES[name].items()}
        if name in PLACES:
            return {(at if self.form == "at" else place): ((fact, place),) for place, at in PLACES[name].items()}
        return {word: ((fact, word),) for word in THINGS[name]}

    @functools.cached_property
    def told(self) -> dict[str, str]:
        """value of `key` → the word to write; empty for a free word."""
        return {value: word for word, pairs in self.surfaces.items() for fact, value in pairs if fact == self.key}


Unit = tuple[str | Slot, ...]  # one sentence, as its fixed text and its slots
Wording = tuple[Unit, ...]


@dataclass
class Beat:
    """One step of a plot: the lines it may be told with."""

    optional: bool = False
    paragraph: bool = False  # a new paragraph begins with it
    lines: list[list[Wording]] = field(default_factory=list)  # line → its wordings

    @functools.cached_property
    def after(self) -> dict[Wording, set[Unit]]:
        """The units that may follow what was told of this beat so far."""
        table: dict[Wording, set[Unit]] = {}
        for wording in itertools.chain.from_iterable(self.lines):
            for n, unit in enumerate(wording):
                table.setdefault(wording[:n], set()).add(unit)
        return table

    @functools.cached_property
    def whole(self) -> set[Wording]:
        """The wordings after which this beat is told."""
        return set(itertools.chain.from_iterable(self.lines))

    @functools.cached_property
    def units(self) -> set[Unit]:
        """Every unit of this beat."""
        return set(itertools.chain.from_iterable(self.whole))


@dataclass
class Shape:
    """A plot: its facts (name → class of words) and its beats in order."""

    name: str
    facts: dict[str, str]
    beats: list[Beat]


def sentences_of(text: str) -> list[str]:
    """Cut a paragraph after . ! ? outside quotation marks, where a capital or a quotation mark follows.

    `"Where is it?" asked Tom.` is one sentence. A quotation that does not close soon is cut as if it were not one, so
    that one lost quotation mark does not swallow a paragraph.
    """
    found: list[str] = []
    start = inner = 0  # where this sentence began, and the first end inside its open quotation
    waited = 0
    ends = [match.end() for match in ENDS.finditer(text)]
    at = 0
    while at < len(ends):
        end = ends[at]
        at += 1
        if text.count('"', start, end) % 2:
            waited += 1
            inner = inner or at
            if waited < PATIENCE and at < len(ends):
                continue
            at, end = inner, ends[inner - 1]
        found.append(text[start:end].strip())
        start, inner, waited = end, 0, 0
    rest = text[start:].strip()
    return [*found, rest] if rest else found


def _expand(line: str) -> Iterator[str]:
    """All wordings of a line with [a|b] choices."""
    pieces = CHOICE.split(line)  # fixed, choices, fixed, choices, …, fixed
    options = [piece.split("|") if n % 2 else [piece] for n, piece in enumerate(pieces)]
    for picked in itertools.product(*options):
        yield "".join(picked)


def _slot(hole: str, facts: dict[str, str], where: str) -> Slot:
    fact, _, form = hole.partition(".")
    if fact in PRONOUNS or fact == "kind":
        fact, form = "A", fact
    if fact in facts:
        slot = Slot(fact, facts[fact], form)
        forms = {*PRONOUNS, "kind"} if facts[fact] in NAMES else {"at"} if facts[fact] in PLACES else set()
        if form and form not in forms:
            raise DataError(explain(f"{where}: {{{hole}}}", need=nearest(form, forms)))
        return slot
    if fact in FREE and not form:
        return Slot(None, fact)
    problem = f"{where}: {{{hole}}} is neither a fact of this plot nor a free word"
    raise DataError(explain(problem, hint=nearest(fact, {*facts, *FREE})))


def _wordings(line: str, facts: dict[str, str], where: str) -> list[Wording]:
    result = []
    for text in _expand(line):
        units = []
        for sentence in sentences_of(text):
            pieces = HOLE.split(sentence)
            units.append(tuple(_slot(p, facts, where) if n % 2 else p for n, p in enumerate(pieces) if p or n % 2))
        result.append(tuple(units))
    return result


def _shared() -> dict[str, list[str]]:
    beats: dict[str, list[str]] = {}
    for block in SHARED.strip().split("\n\n"):
        name, *lines = block.splitlines()
        beats[name] = lines
    return beats


def _shape(text: str, shared: dict[str, list[str]]) -> Shape:
    header, _, body = text.partition("\n")
    name, _, declared = header.partition(":")
    facts = {word.partition("=")[0]: word.partition("=")[2] or word for word in declared.split()}
    for fact, words in facts.items():
        if not any(words in table for table in (NAMES, PLACES, THINGS)):
            raise DataError(explain(f"plot {name}: {fact}={words}", need=nearest(words, {*NAMES, *PLACES, *THINGS})))
    if len(set(facts.values())) < len(facts):
        raise DataError(
            explain(f"plot {name}: {declared.strip()}", need="a class of its own for each fact: two could get one name")
        )
    beats = []
    for block in body.strip().split("\n\n"):
        beat = Beat()
        for line in block.splitlines():
            if line == "--":
                beat.paragraph = True
                continue
            if line.startswith("?"):
                beat.optional, line = True, line[1:]
            if line.startswith("@") and line not in shared:
                raise DataError(explain(f"plot {name}: {line}", hint=nearest(line, shared)))
            for told in shared.get(line, [line]):
                beat.lines.append(_wordings(told, facts, f"plot {name}"))
        beats.append(beat)
    return Shape(name, facts, beats)


@functools.cache
def shapes() -> dict[str, Shape]:
    """Every shape of the world by name, read once."""
    shared = _shared()
    found: dict[str, Shape] = {}
    for text in "".join(PLOTS).split("== ")[1:]:
        shape = _shape(text.strip(), shared)
        assert shape.name not in found, f"two plots are called {shape.name}"
        found[shape.name] = shape
    return found
