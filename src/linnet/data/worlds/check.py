"""Is this text a story of the world, and does it contradict itself?

    text → sentences → the units that derive each one → a way through one shape with one value for every fact

A sentence is *of the world* when some sentence template derives it whole, every slot filled from its class and the
words of one slot agreeing with those of another ("Lily lost his ball" has no derivation). A text is *consistent* when
all its sentences are of the world and one shape can tell them, in this order, from its first beat to its last, with
one value for every fact. That is a proof, not a score: a consistent text is one that the writer could have written.

Works on any text, cut off anywhere. What is wrong with an inconsistent one is said in words; these explanations are
found by a second, more patient look (`Witness`), and never decide anything.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from linnet.data.worlds.shapes import Binding, Shape, Slot, Unit, Wording, sentences_of, shapes

TOKEN = re.compile(r" ?[A-Za-z]+| ?[^A-Za-z\s]| ")
Facts = dict[str, str]
SPOKEN = {"A": "the hero", "B": "the other one", "thing": "the thing", "place": "the place", "color": "the color"}


@dataclass(frozen=True)
class Sentence:
    """One sentence of a text; `shapes` are the plots that it may stand in."""

    text: str
    of_world: bool
    shapes: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What `check` found. `tail` is a last sentence that was cut off but had begun as a sentence of the world."""

    sentences: tuple[Sentence, ...]
    consistent: bool
    problems: tuple[str, ...]
    shape: str | None = None  # the plot that it is, or looks most like
    facts: Facts = field(default_factory=dict)
    tail: str = ""

    @property
    def share_of_world(self) -> float:
        """The share of sentences that are of the world; 0 for a text without sentences."""
        return sum(s.of_world for s in self.sentences) / len(self.sentences) if self.sentences else 0.0


class _Node:
    """A place in the tree of all sentence templates: which tokens may follow, and which templates end here."""

    __slots__ = ("slots", "units", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Node] = {}
        self.slots: dict[tuple[Slot, str], tuple[dict[str, list[tuple[list[str], Binding]]], _Node]] = {}
        self.units: list[Unit] = []

    def slot(self, slot: Slot, space: str) -> _Node:
        """The node behind a slot; `space` is what stands before its word."""
        if (slot, space) not in self.slots:
            table: dict[str, list[tuple[list[str], Binding]]] = {}
            for word, binding in slot.surfaces.items():
                tokens = TOKEN.findall(space + word)
                table.setdefault(tokens[0], []).append((tokens, binding))
            self.slots[slot, space] = table, _Node()
        return self.slots[slot, space][1]


@dataclass(frozen=True)
class _Grammar:
    """The tree of templates, and where each one stands: unit → shape → the numbers of its beats."""

    root: _Node
    places: dict[Unit, dict[str, tuple[int, ...]]]


@functools.cache
def _grammar() -> _Grammar:
    places: dict[Unit, dict[str, list[int]]] = {}
    for shape in shapes().values():
        for number, beat in enumerate(shape.beats):
            for unit in beat.units:
                places.setdefault(unit, {}).setdefault(shape.name, []).append(number)
    root = _Node()
    for unit in places:
        node, space = root, ""
        for part in unit:
            if isinstance(part, Slot):
                node, space = node.slot(part, space), ""
                continue
            space = " " if part.endswith(" ") else ""
            for token in TOKEN.findall(part.removesuffix(" ")):
                node = node.words.setdefault(token, _Node())
        node.units.append(unit)
    return _Grammar(root, {unit: {name: tuple(numbers) for name, numbers in where.items()} for unit, where in places.items()})


def agree(facts: Facts, binding: Binding) -> Facts | None:
    """The facts with those of the binding added; None where they contradict."""
    added: Facts = {}
    for fact, value in binding:
        known = facts.get(fact) or added.get(fact)
        if known is None:
            added[fact] = value
        elif known != value:
            return None
    return facts | added if added else facts


def _parses(tokens: list[str], at: int, node: _Node, said: Facts, partly: bool) -> Iterator[tuple[Unit | None, Facts]]:
    """Every template that derives the tokens from `at` on; with `partly`, also (None, facts) for a mere beginning."""
    if at == len(tokens):
        for unit in node.units:
            yield unit, said
        if partly:
            yield None, said
        return
    following = node.words.get(tokens[at])
    if following is not None:
        yield from _parses(tokens, at + 1, following, said, partly)
    for table, behind in node.slots.values():
        for words, binding in table.get(tokens[at], ()):
            if tokens[at : at + len(words)] == words:
                facts = agree(said, binding)
                if facts is not None:
                    yield from _parses(tokens, at + len(words), behind, facts, partly)


Derivation = tuple[Unit, Facts]


def derivations(sentence: str) -> list[Derivation]:
    """Every (template, facts) that derives this sentence."""
    tokens = TOKEN.findall(sentence)
    found = _parses(tokens, 0, _grammar().root, {}, partly=False)
    return [(unit, facts) for unit, facts in found if unit is not None]


@dataclass(frozen=True)
class _State:
    """One way of reading the text so far: in this beat of this shape, with this much of the beat told."""

    shape: Shape
    beat: int
    told: Wording
    facts: Facts


def _following(state: _State, unit: Unit, said: Facts) -> Iterator[_State]:
    """The states after one more sentence."""
    facts = agree(state.facts, tuple(said.items()))
    if facts is None:
        return
    beats = state.shape.beats
    if state.beat >= 0:
        beat = beats[state.beat]
        if unit in beat.after.get(state.told, ()):
            yield _State(state.shape, state.beat, (*state.told, unit), facts)
        if state.told not in beat.whole:
            return
    for number in range(state.beat + 1, len(beats)):
        if unit in beats[number].after[()]:
            yield _State(state.shape, number, (unit,), facts)
        if not beats[number].optional:
            return


def _ended(state: _State) -> bool:
    beats = state.shape.beats
    return state.told in beats[state.beat].whole and all(beat.optional for beat in beats[state.beat + 1 :])


def _tell(parsed: list[list[Derivation]], names: set[str]) -> list[_State]:
    """Every way of telling these sentences from the beginning of one of the named shapes; empty where there is none."""
    states = [_State(shapes()[name], -1, (), {}) for name in sorted(names)]
    for options in parsed:
        states = [after for unit, said in options for state in states for after in _following(state, unit, said)]
        if not states:
            break
    return states


def check(text: str) -> Report:
    """Read a text as a story: which of its sentences are of the world, and is it one consistent story?"""
    texts = [sentence for paragraph in re.split(r"\n\s*\n", text) for sentence in sentences_of(" ".join(paragraph.split()))]
    tail = ""
    if texts and not re.search(r'[.!?]"?$', texts[-1]):
        tokens = TOKEN.findall(texts[-1])
        begun = any(True for _ in _parses(tokens, 0, _grammar().root, {}, partly=True)) or any(
            True for _ in _parses(tokens[:-1], 0, _grammar().root, {}, partly=True)
        )
        tail = texts.pop() if begun else ""
    parsed = [derivations(sentence) for sentence in texts]
    places = _grammar().places
    sentences = tuple(
        Sentence(sentence, bool(options), tuple(dict.fromkeys(name for unit, _ in options for name in places[unit])))
        for sentence, options in zip(texts, parsed)
    )
    if texts and not tail and all(parsed):
        shared = set.intersection(*(set(sentence.shapes) for sentence in sentences))
        ended = [state for state in _tell(parsed, shared) if _ended(state)]
        if ended:
            return Report(sentences, True, (), ended[0].shape.name, ended[0].facts)
    name = _likeliest(parsed)
    witness = Witness(shapes()[name]) if name else None
    problems = witness.listen(texts, parsed, tail) if witness else ["there is no sentence of the world in it"]
    return Report(sentences, False, tuple(problems), name, witness.facts if witness else {}, tail)


def _likeliest(parsed: list[list[Derivation]]) -> str | None:
    """The shape that knows most of the sentences."""
    votes: Counter[str] = Counter()
    for options in parsed:
        votes.update({name for unit, _ in options for name in _grammar().places[unit]})
    return min(votes, key=lambda name: (-votes[name], name)) if votes else None


class Witness:
    """Goes through an inconsistent text with one shape in mind and says what is wrong, sentence by sentence."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.facts: Facts = {}
        self.problems: list[str] = []

    def listen(self, texts: list[str], parsed: list[list[Derivation]], tail: str) -> list[str]:
        """All problems in order of the text; never empty."""
        reached, heard, seen = -1, set(), Counter(texts)
        for number, (text, options) in enumerate(zip(texts, parsed), 1):
            quoted = f"sentence {number} ({text if len(text) <= 60 else text[:57] + '…'})"
            if not options:
                self.problems.append(f"{quoted} is not of the world")
                continue
            ours = [(unit, said) for unit, said in options if self.shape.name in _grammar().places[unit]]
            if not ours:
                others = sorted({name for unit, _ in options for name in _grammar().places[unit]})
                self.problems.append(f"{quoted} belongs to another story: {', '.join(others[:3])}")
                continue
            unit, said = min(ours, key=lambda option: len(self._against(option[1])))
            self.problems += [f"{quoted}: {what}" for what in self._against(said)]
            self.facts = said | self.facts
            beats = _grammar().places[unit][self.shape.name]
            beat = min((b for b in beats if b >= reached), default=max(beats))
            if beat < reached:
                self.problems.append(f"{quoted} comes too late: it is told before what stands before it")
            heard.add(beat)
            reached = max(reached, beat)
        for text, times in seen.items():
            if times > 1 and len(text.split()) > 3:
                self.problems.append(f"said {times} times: {text}")
        self._missing(heard, reached)
        if tail:
            self.problems.append(f"it is cut off: {tail}")
        self._edges(parsed)
        return self.problems or ["these sentences cannot follow one another like this"]

    def _against(self, said: Facts) -> list[str]:
        """What contradicts the facts so far."""
        wrong = []
        for fact, value in said.items():
            known = self.facts.get(fact)
            if known is not None and known != value:
                who, _, what = fact.partition(".")
                name = SPOKEN.get(who, who) + (f"'s {what}" if what else "")
                wrong.append(f"{name} was {known} and is now {value}")
        return wrong

    def _missing(self, heard: set[int], reached: int) -> None:
        beats = list(enumerate(self.shape.beats))[1:-1]
        left_out = [number for number, beat in beats if not beat.optional and number < reached and number not in heard]
        if left_out:
            self.problems.append(f"{len(left_out)} step(s) of the story are left out, the first is step {left_out[0] + 1}")

    def _edges(self, parsed: list[list[Derivation]]) -> None:
        """Does it begin with the first words of the shape and end with its last?"""
        beats = self.shape.beats
        last = max(number for number, beat in enumerate(beats) if not beat.optional)
        final = {wording[-1] for beat in beats[last:] for wording in beat.whole}
        if not any(unit in beats[0].after[()] for unit, _ in parsed[0]):
            self.problems.append("the story has no beginning")
        if not any(unit in final for unit, _ in parsed[-1]):
            self.problems.append("the story has no end")
