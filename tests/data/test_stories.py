"""The story world: the same for ever, rich enough, small enough."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from linnet.core.errors import DataError
from linnet.data.worlds.check import check
from linnet.data.worlds.lexicon import FREE, KINDS, NAMES, PLACES, THINGS
from linnet.data.worlds.shapes import _shape, sentences_of, shapes
from linnet.data.worlds.stories import stories, story


def test_a_story_depends_on_seed_and_index_alone():
    stream = list(itertools.islice(stories(7), 20))
    assert stream == [story(7, n) for n in range(20)]
    assert list(itertools.islice(stories(7, start=15), 5)) == stream[15:]
    assert story(8, 0) != story(7, 0)
    code = "from linnet.data.worlds.stories import story; print(story(7, 3).text)"
    env = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "5"}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert other.stdout == stream[3].text + "\n"


def test_the_language_is_rich_and_small():
    told = [story(1, n) for n in range(4000)]
    words = [re.findall(r"[a-z]+", s.text.lower()) for s in told]
    assert len(shapes()) >= 40
    assert {s.shape for s in told} == set(shapes())
    assert 500 <= len({w for text in words for w in text}) <= 1500
    assert len({s.text for s in told}) == len(told)
    lengths = [len(s.text.split()) for s in told]
    assert min(lengths) >= 60
    assert max(lengths) <= 170
    sentences = [len(t.split()) for s in told[:500] for p in s.text.split("\n\n") for t in sentences_of(p)]
    assert max(sentences) <= 20
    assert sum(3 <= n <= 12 for n in sentences) / len(sentences) > 0.9
    counts = Counter(s.shape for s in told)  # the first of 53 is told in √(1/53) = 14 % of the cases, the last in 1 %
    assert 0.11 < max(counts.values()) / len(told) < 0.17
    assert min(counts.values()) / len(told) > 0.005


def test_every_line_of_every_plot_is_told():
    """Each sentence template is reached by the checker's parse of something the writer told."""
    heard = set()
    for s in itertools.islice(stories(2), 6000):
        heard.update((s.shape, re.sub(r"[A-Z]\w+", "X", t)) for p in s.text.split("\n\n") for t in sentences_of(p))
    for shape in shapes().values():
        for beat in shape.beats:
            assert 1 <= len(beat.lines) <= 16, shape.name
            assert all(wording for line in beat.lines for wording in line)
    assert len(heard) > 5000


def test_text_is_clean():
    for s in itertools.islice(stories(4), 2000):
        assert s.text == s.text.strip()
        assert re.fullmatch(r"""[A-Za-z ,.!?"'\n]+""", s.text), s.text
        assert not re.search(r"  |[{}\[\]|]| [,.!?]|\ba [aeiou]|\n{3}", s.text), s.text
        assert s.text.count('"') % 2 == 0
        assert s.text[-1] in '.!?"'


def test_facts_are_told_and_hold():
    for s in itertools.islice(stories(9), 500):
        assert s.facts["A"] in s.text
        assert s.facts["A"] != s.facts["B"]
        report = check(s.text)
        assert {"A", "A.sex"} <= set(report.facts)
        assert report.facts.items() <= s.facts.items()


def test_word_classes_do_not_overlap_where_they_must_not():
    names = [name for table in NAMES.values() for name in table]
    assert len(names) == len(set(names))
    for table in (*NAMES.values(), *PLACES.values(), *KINDS.values()):
        assert table
    for words in (*THINGS["color"], *THINGS["toy"], *KINDS["animal"], *KINDS["pet"], *THINGS["baby"]):
        assert words[0] not in "aeiou"  # "a {word}"
    assert all(len(set(words)) == len(words) for words in (*FREE.values(), *THINGS.values()))


@pytest.mark.parametrize(
    ("plot", "word"),
    [
        ("bad: A=chlid\nHello.", "child"),
        ("bad: A=child B=child\nHello.", "a class of its own"),
        ("bad: A=child\n{colour} {A}.", "colour"),
        ("bad: A=child\n{A.hee} ran.", "he"),
        ("bad: A=child\n@met", "@meet"),
    ],
)
def test_a_misspelt_plot_is_refused_with_help(plot, word):
    with pytest.raises(DataError, match=word):
        _shape(plot, {"@meet": ["Hello."]})


def test_stories_are_the_same_for_ever():
    """Frozen: a change here changes what models were trained on, and says so in its commit."""
    text = "\n".join(s.text for s in itertools.islice(stories(0), 200))
    assert hashlib.sha256(text.encode()).hexdigest() == "16b71714807ec67786ca1831efcee82910880a0353e4e87d16583c5d9bd3ba6f"


def test_the_example_of_the_docs_is_a_story_of_the_world():
    page = (Path(__file__).parents[2] / "docs/techniques/stories.md").read_text("utf-8")
    quoted = "\n".join(line.removeprefix(">").strip() for line in page.splitlines() if line.startswith(">"))
    assert " ".join(quoted.split()) == " ".join(story(42, 7).text.split())
    assert check(quoted).consistent
