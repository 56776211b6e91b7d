"""The documentation that every Python brings along, as text to train on: a real corpus without a download.

Module, class and function docstrings of the standard library, read from its source files with `ast`, and the language
reference behind `help("assert")` (`pydoc_data.topics`). Nothing is imported and nothing is executed. The text depends
on the Python version alone, so a run should note which one it was.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from linnet.core.errors import DataError, explain

SKIPPED = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "pydoc_data"}  # noise, and what is read in its own way
SKIPPED |= {"site-packages", "dist-packages", "_bundled", "__pycache__"}  # not the standard library
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def python_docs(folder: Path | None = None) -> Iterator[tuple[str, str]]:
    """(name, text) of every documented module of the standard library, then of every topic of the language reference.

    In alphabetical order of the names. `folder` is the library to read, by default that of the running interpreter.
    Raises DataError where there is no documentation: an interpreter without source files, or stripped of docstrings.
    """
    folder = Path(folder or sysconfig.get_paths()["stdlib"])
    found = False
    for name, path in _modules(folder):
        text = _docs_of(name, path)
        if text:
            found = True
            yield name, text
    for topic, text in _topics(folder / "pydoc_data" / "topics.py"):
        found = True
        yield f"topics/{topic}", text
    if not found:
        need = "a standard library with its source files and docstrings"
        raise DataError(explain(f"no documentation in {folder}", need=need, hint="another Python"))


def _modules(folder: Path) -> list[tuple[str, Path]]:
    """Dotted names and files of all modules worth reading, by name."""
    named = []
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        if SKIPPED.isdisjoint(parts) and all(part.isidentifier() for part in parts):
            named.append((".".join(parts).removesuffix(".__init__"), path))
    return sorted(named)


def _parse(path: Path) -> ast.Module | None:
    """The syntax tree of a file; None for a file that is not Python of this version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            return None


def _docs_of(name: str, path: Path) -> str:
    """All docstrings of one module, each under the line that declares what it documents."""
    tree = _parse(path)
    return "\n\n".join(_said(tree, name)) if tree else ""


def _said(node: Documented, heading: str) -> Iterator[str]:
    doc = ast.get_docstring(node)
    if doc and doc.strip():
        yield f"{heading}\n\n{doc.strip()}"
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield from _said(child, f"class {child.name}")
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
            yield from _said(child, f"{owner}{child.name}({ast.unparse(child.args)})")


def _topics(path: Path) -> list[tuple[str, str]]:
    """The entries of pydoc_data/topics.py: one assignment of one dictionary of texts, read as a literal."""
    tree = _parse(path)
    for statement in tree.body if tree else ():
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            table = ast.literal_eval(statement.value)
            return sorted((topic, text.strip()) for topic, text in table.items() if text.strip())
    return []
