"""The checker must accept what the writer writes and nothing else: every corruption below is a mutant to be caught."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.data.worlds.check import check
from linnet.data.worlds.lexicon import FREE, KINDS, NAMES, THINGS
from linnet.data.worlds.shapes import sentences_of
from linnet.data.worlds.stories import Story, story

SHAKESPEARE = """Shall I compare thee to a summer's day? Thou art more lovely and more temperate. Rough winds do shake
the darling buds of May. "To be, or not to be, that is the question." What light through yonder window breaks? It is the
east, and Juliet is the sun. My kingdom for a horse! Now is the winter of our discontent."""

PLAIN_ENGLISH = """The committee met on Thursday to discuss the budget. A quick brown fox jumps over the lazy dog. She
had bought a train ticket online. Once upon a time there was a king. "Where are you?" asked the driver. Tom is a software
engineer. He opened the window because it was hot. The little girl was named after her aunt."""

Corrupt = Callable[[Story, random.Random], str | None]


def sentences(text: str) -> list[str]:
    return [s for paragraph in text.split("\n\n") for s in sentences_of(paragraph)]


def swap_word(text: str, word: str, other: str, rng: random.Random) -> str | None:
    """One mention of a word that is said at least twice becomes another one."""
    found = list(re.finditer(rf"\b{re.escape(word)}\b", text))
    if len(found) < 2:
        return None
    hit = rng.choice(found)
    return text[: hit.start()] + other + text[hit.end() :]


def other_of(values: list[str], value: str, rng: random.Random) -> str:
    return rng.choice([v for v in values if v != value])


def change_fact(fact: str, classes: tuple[str, ...], pool: dict) -> Corrupt:
    def corrupt(s: Story, rng: random.Random) -> str | None:
        if fact not in s.facts:
            return None
        words = next((c for c in classes if s.facts[fact] in pool[c]), None)
        return swap_word(s.text, s.facts[fact], other_of(list(pool[words]), s.facts[fact], rng), rng) if words else None

    return corrupt


def change_pronoun(s: Story, rng: random.Random) -> str | None:
    turn = {"he": "she", "she": "he", "his": "her", "her": "his", "him": "her", "He": "She", "She": "He", "His": "Her"}
    found = [m for m in re.finditer(r"\w+", s.text) if m[0] in turn]
    if not found:
        return None
    hit = rng.choice(found)
    return s.text[: hit.start()] + turn[hit[0]] + s.text[hit.end() :]


def change_feeling(s: Story, rng: random.Random) -> str | None:
    sad, happy = [w for c in ("sad", "scared", "angry") for w in FREE[c]], list(FREE["happy"])
    found = [m for m in re.finditer(r"\w+", s.text) if m[0] in (*sad, *happy)]
    if not found:
        return None
    hit = rng.choice(found)
    return s.text[: hit.start()] + rng.choice(happy if hit[0] in sad else sad) + s.text[hit.end() :]


def drop_end(s: Story, rng: random.Random) -> str:
    return " ".join(sentences(s.text)[:-1])


def drop_beginning(s: Story, rng: random.Random) -> str:
    return " ".join(sentences(s.text)[1:])


def cut_off(s: Story, rng: random.Random) -> str:
    return s.text[: rng.randrange(len(s.text) // 4, len(s.text) - 1)]


def repeat_sentence(s: Story, rng: random.Random) -> str:
    parts = sentences(s.text)
    n = rng.randrange(len(parts))
    return " ".join([*parts[: n + 1], *parts[n:]])


def loop(s: Story, rng: random.Random) -> str:
    parts = sentences(s.text)
    n = rng.randrange(3, len(parts))
    return " ".join([*parts[:n], *parts[n - 2 : n] * 4, *parts[n:]])


def shuffle(s: Story, rng: random.Random) -> str:
    parts = sentences(s.text)
    return " ".join(rng.sample(parts, len(parts)))


def swap_neighbours(s: Story, rng: random.Random) -> str | None:
    parts = sentences(s.text)
    n = rng.randrange(len(parts) - 1)
    parts[n], parts[n + 1] = parts[n + 1], parts[n]
    return " ".join(parts) if parts[n] != parts[n + 1] else None


def splice(s: Story, rng: random.Random) -> str | None:
    other = story(99, rng.randrange(10**6))
    a, b = sentences(s.text), sentences(other.text)
    return None if other.shape == s.shape else " ".join(a[: len(a) // 2] + b[len(b) // 2 :])


def splice_twins(s: Story, rng: random.Random) -> str | None:
    """Half of another story of the same shape: only the facts can tell."""
    index = rng.randrange(10**6)
    while (other := story(98, index)).shape != s.shape:
        index += 1
    a, b = sentences(s.text), sentences(other.text)
    return None if other.facts["A"] == s.facts["A"] else " ".join(a[: len(a) // 2] + b[len(b) // 2 :])


def foreign_sentence(s: Story, rng: random.Random) -> str | None:
    other = story(97, rng.randrange(10**6))
    parts = sentences(s.text)
    parts.insert(rng.randrange(1, len(parts)), rng.choice(sentences(other.text)))
    return None if other.shape == s.shape else " ".join(parts)


def wrong_word(s: Story, rng: random.Random) -> str | None:
    """One word becomes a random word of the world; words of one free class may stand for one another."""
    words = list(re.finditer(r"[A-Za-z]+", s.text))
    hit = rng.choice(words)
    other = rng.choice([w for w in re.findall(r"[A-Za-z]+", story(96, rng.randrange(10**6)).text) if w != hit[0]])
    if any(hit[0] in c and other in c for c in FREE.values()):
        return None
    return s.text[: hit.start()] + other + s.text[hit.end() :]


def lost_word(s: Story, rng: random.Random) -> str:
    hit = rng.choice(list(re.finditer(r"\w+ ", s.text)))
    return s.text[: hit.start()] + s.text[hit.end() :]


CORRUPTIONS: dict[str, Corrupt] = {
    "hero's name": change_fact("A", ("child", "animal"), NAMES),
    "friend's name": change_fact("B", ("friend", "neighbor", "pet", "family"), NAMES),
    "unknown name": lambda s, rng: swap_word(s.text, s.facts["A"], "Robert", rng),
    "kind": change_fact("A.kind", ("child", "animal"), KINDS),
    "thing": change_fact("thing", ("toy", "wear", "treasure"), THINGS),
    "plant": change_fact("plant", ("plant",), THINGS),
    "pronoun": change_pronoun,
    "feeling": change_feeling,
    "no end": drop_end,
    "no beginning": drop_beginning,
    "cut off": cut_off,
    "repeated sentence": repeat_sentence,
    "loop": loop,
    "shuffled": shuffle,
    "neighbours swapped": swap_neighbours,
    "spliced with another shape": splice,
    "spliced with a twin": splice_twins,
    "foreign sentence": foreign_sentence,
    "wrong word": wrong_word,
    "lost word": lost_word,
}


def test_the_writer_is_always_believed():
    for index in range(1500):
        told = story(5, index)
        report = check(told.text)
        assert report.consistent, (told.text, report.problems)
        assert report.share_of_world == 1.0
        assert report.shape == told.shape
        assert report.problems == ()
        assert report.facts.items() <= told.facts.items()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corruptions_are_caught_and_explained(kind):
    rng, tried, caught, index = random.Random(f"corrupt {kind}"), 0, 0, 0
    while tried < 150:
        told = story(6, index)
        index += 1
        text = CORRUPTIONS[kind](told, rng)
        if text is None or text == told.text:
            continue
        tried += 1
        report = check(text)
        caught += not report.consistent
        assert report.consistent == (not report.problems)
    assert caught >= 0.95 * tried, f"{kind}: {caught} of {tried} were caught"


@pytest.mark.parametrize("text", [SHAKESPEARE, PLAIN_ENGLISH])
def test_other_english_is_not_of_the_world(text):
    report = check(text)
    assert len(report.sentences) == 8
    assert report.share_of_world == 0.0
    assert not report.consistent


def test_a_sentence_is_parsed_whole():
    good = check("Lily was so sad that she began to cry.").sentences[0]
    assert good.of_world
    assert "lost_toy" in good.shapes
    for text in (
        "Lily was so sad that he began to cry.",  # Lily is she
        "Lily was so red that she began to cry.",  # not a feeling
        "Lily was so sad that she began to cry today.",
        "Lily  was so sad that she began to cry .",
        "lily was so sad that she began to cry.",
        "Was so sad that she began to cry.",
        "Lily thanked Lily again and again.",  # two people, one name
    ):
        assert not check(text).sentences[0].of_world, text


def test_explanations_name_the_fault():
    told = next(s for s in (story(8, n) for n in range(5000)) if s.shape == "quarrel" and s.facts["thing"] == "truck")
    before, _, after = told.text.rpartition("truck")
    assert any("the thing was truck and is now robot" in p for p in check(before + "robot" + after).problems)
    parts = sentences(told.text)
    assert "the story has no end" in check(" ".join(parts[:-1])).problems
    assert "the story has no beginning" in check(" ".join(parts[1:])).problems
    assert any(p.startswith("said 2 times") for p in check(" ".join([*parts[:4], parts[3], *parts[4:]])).problems)
    assert any("left out" in p for p in check(" ".join([*parts[:3], *parts[6:]])).problems)
    foreign = " ".join([*parts[:3], "{A} did not stop for one moment.".replace("{A}", told.facts["A"]), *parts[3:]])
    assert any("not of the world" in p or "belongs to another story: race" in p for p in check(foreign).problems)


def test_a_cut_off_tail_is_not_a_wrong_sentence():
    report = check("Once there was a young girl called Mia. Mia had a goo")
    assert report.tail == "Mia had a goo"
    assert report.share_of_world == 1.0
    assert not report.consistent
    assert check("Once there was a young girl called Mia. Colorless ideas sl").share_of_world == 0.5


@pytest.mark.parametrize("text", ["", " \n\n ", '"', '""""', "?!.", "No", "...", '" said Tom.', "\u201cHi,\u201d said Tom.", "."])
def test_odd_texts_are_refused_in_peace(text):
    report = check(text)
    assert not report.consistent
    assert report.problems
    assert 0.0 <= report.share_of_world <= 1.0


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_checked(text):
    assert not check(text).consistent


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 700))
def test_sentences_are_cut_without_loss(index, cut):
    text = story(0, index).text[:cut]
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_paragraphs_and_spaces_between_sentences_do_not_matter():
    told = story(3, 3)
    assert check(told.text.replace("\n\n", " ")).consistent
    assert check("\n" + told.text.replace(". ", ".\n") + "\n").consistent


def test_one_lost_quotation_mark_does_not_swallow_the_paragraph():
    shares = []
    for index in range(200):
        text = story(12, index).text
        marks = [m.start() for m in re.finditer('"', text)]
        if marks:
            report = check(text[: marks[0]] + text[marks[0] + 1 :])
            assert not report.consistent
            shares.append(report.share_of_world)
    assert sum(shares) / len(shares) > 0.7
