"""Documentation of the running interpreter: there, in order, from source alone."""

from __future__ import annotations

import inspect
import itertools
import json
import sys
import textwrap

import pytest

from linnet.core.errors import DataError
from linnet.data.python_docs import python_docs


@pytest.fixture(scope="module")
def documents():
    return list(python_docs())


def test_the_library_is_a_real_corpus(documents):
    names = [name for name, _ in documents]
    assert len(names) == len(set(names))
    modules = [name for name in names if not name.startswith("topics/")]
    assert modules == sorted(modules)
    assert names[len(modules) :] == sorted(names[len(modules) :])
    assert {"json", "argparse", "asyncio.events", "topics/assert", "topics/with"} <= set(names)
    assert not any({"test", "tests", "idlelib"} & set(name.split(".")) for name in names)
    assert sum(len(text) for _, text in documents) > 2_000_000


def test_texts_are_the_docstrings_that_python_itself_shows(documents):
    text = dict(documents)["json"]
    assert inspect.getdoc(json).strip() in text
    assert inspect.getdoc(json.loads) in text
    assert "loads(s, *, cls=None" in text
    assert "The assert statement" in dict(documents)["topics/assert"] or '"assert" statement' in dict(documents)["topics/assert"]


def test_nothing_is_imported_or_executed(tmp_path):
    before = set(sys.modules)
    (tmp_path / "bomb.py").write_text(
        textwrap.dedent('''
        """A module with a say."""
        raise SystemExit("executed")
        class Fuse:
            """Burns."""
            async def light(self, seconds=1, *args): "Lights it."
        ''')
    )
    (tmp_path / "broken.py").write_text("def (:")
    (tmp_path / "silent.py").write_text("x = 1")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "noise.py").write_text('"""Noise."""')
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_bytes('# coding: latin-1\n"""caf\u00e9"""'.encode("latin-1"))
    found = list(python_docs(tmp_path))
    assert found == [
        ("bomb", "bomb\n\nA module with a say.\n\nclass Fuse\n\nBurns.\n\nFuse.light(self, seconds=1, *args)\n\nLights it."),
        ("pack", "pack\n\ncaf\u00e9"),
    ]
    assert set(sys.modules) == before


def test_the_order_is_always_the_same(documents):
    assert list(itertools.islice(python_docs(), 30)) == documents[:30]


def test_no_documentation_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no documentation"):
        list(python_docs(tmp_path / "nowhere"))
