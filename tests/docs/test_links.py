"""Links inside the repository lead somewhere, and the README's tree is the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs_pages import FENCE, PAGES, ROOT, blocks, name_of

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
CODE = re.compile(r"(?<!`)`([\w./-]+\.(?:py|rs|yaml|md))`")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or ROOT not in (found, *found.parents) or (anchor and anchor not in anchors(found)):
            wrong.append(target)
    assert not wrong


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "architecture.md"], ids=name_of)
def test_files_that_are_named_exist(page: Path) -> None:
    """`train/loop.py` in a page is src/linnet/train/loop.py, or stands in the root of the repository, or in a run folder."""
    made_by_runs = {"card.md", "run.yaml", "my.yaml", "style.py"}
    folders = (ROOT, ROOT / "docs", ROOT / "native")

    def exists(name: str) -> bool:
        return any((folder / name).exists() for folder in folders) or any((ROOT / "src" / "linnet").rglob(name))

    named = [name for name in CODE.findall(FENCE.sub("", page.read_text("utf-8"))) if "NAME" not in name]
    assert [name for name in named if name not in made_by_runs and not exists(name)] == []


def tree() -> list[str]:
    """The paths in the README's tree, folders with a slash at their end."""
    (block,) = blocks(ROOT / "README.md", "tree")
    paths: list[str] = []
    above: list[str] = []
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, clause = line.strip().partition(" ")
        assert clause.strip() or name == "src/" or name == "linnet/", f"{name} has no clause"
        above = [*above[:depth], name]
        paths.append("".join(above))
    return paths


def test_the_tree_exists() -> None:
    assert [path for path in tree() if not (ROOT / path).exists() or path.endswith("/") != (ROOT / path).is_dir()] == []


def test_the_tree_names_all_of_linnet() -> None:
    """Every file of the package, or one of its folders that has a clause and no file of its own in the tree."""
    named, source = set(tree()), ROOT / "src" / "linnet"
    files = {path.relative_to(ROOT).as_posix() for path in source.rglob("*") if path.suffix in (".py", ".html", ".typed")}
    files = {path for path in files if not path.endswith("/__init__.py") and "/_native/" not in path}
    whole = {
        folder for folder in named if folder.endswith("/") and not any(other.startswith(folder) for other in named - {folder})
    }
    assert sorted(path for path in files if path not in named and not any(path.startswith(folder) for folder in whole)) == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    assert sorted(page for page in pages if f"({page})" not in index) == []
