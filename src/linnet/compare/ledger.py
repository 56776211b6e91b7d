"""The ledger: technique, paper, file, test, effect with its interval, also where there was none or it was worse.

    effect = mean loss - the baseline's mean loss, at one budget          (below 0: better)

Numbers come from comparisons that are kept beside the page (PAGE/NAME.json, compare.json without its curves). All else is read from the code when
the page is made: what a family is and its paper from the docstring of its file, which words make the difference from the two sentences,
where it is tested from the tests. So a page cannot say of a technique what its file does not.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import linnet
from linnet.compare.pages import conditions, ranked, spread, troubles
from linnet.compare.question import Budget
from linnet.compare.summary import GOOD, read_summary
from linnet.core.errors import ConfigError, explain
from linnet.core.files import write_json, write_text
from linnet.core.meanings import first_line
from linnet.core.spec import Spec, dump, load, word_of
from linnet.objective import NextToken
from linnet.report.numbers import NOTHING, short, size
from linnet.zoo import Family

ARXIV = re.compile(r"(?<![\d.])\d{4}\.\d{4,5}(?![\d.])")
CITED = re.compile(r"\(([A-Z][^()]*?\b(?:19|20)\d\d)\)")  # (Radford et al. 2019)
LAWS = "tests/laws/test_networks.py"  # run over every family and word
INTRO = """# Ledger: what each technique did

Each row is a family of the zoo, trained at one budget beside a plain one, from several seeds. The effect is the difference of mean losses on the
validation part in nats a token, with a 95 % interval (Welch) over seeds: below 0 it is better than the baseline. An interval that holds 0 shows no difference, and
that is written down as well. A family is more than what is new in its name: what experts did is Mixtral's row beside Llama's, whose shape it has. Of minutes a slow step has its share: the tokens that were read
stand beside the loss. What a technique does in small models, on one text, in minutes, it need not do elsewhere.

This page is made by [`linnet compare`](techniques/comparing.md) `--ledger`; do not edit it.
"""


def write_ledger(summary: Mapping[str, Any], page: Path, name: str) -> list[Path]:
    """Keep a comparison beside the page under a name, and make the page of all that are kept there; gives what was written.
    Raises ConfigError where another comparison has the name."""
    page = Path(page)
    kept = kept_at(page, name)
    check_kept(kept, Budget(**summary["budget"]), summary["data"].get("fingerprint"), objective_of(summary))
    entrants = [{key: value for key, value in row.items() if key != "curves"} for row in summary["entrants"]]
    write_json(kept, {**summary, "entrants": entrants})
    write_text(page, ledger_page(page))
    return [kept, page]


def kept_at(page: Path, name: str) -> Path:
    """Where a comparison is kept beside the page."""
    return page.with_suffix("") / f"{name}.json"


def objective_of(summary: Mapping[str, Any]) -> Any:
    """What was learned in a comparison, as plain data; those that do not say it learned the next token."""
    return summary["same"].get("objective") or dump(NextToken())


def check_kept(kept: Path, budget: Budget, fingerprint: str | None, objective: Any) -> None:
    """Raise ConfigError where a comparison at another budget, of other tokens, or of another objective is kept there: its numbers would
    be lost."""
    if not kept.is_file():
        return
    before = read_summary(kept)
    had = Budget(**before["budget"])
    same = before["data"].get("fingerprint") == fingerprint
    if had != budget or not same or objective_of(before) != objective:
        what = "" if had != budget else ", on other tokens" if not same else ", of another objective"
        got = f"{kept} is another comparison, at {had}{what}"
        hint = (
            f"a folder of another name, or linnet compare OTHER-NAME.json --ledger {kept.parent}.md with a copy of compare.json"
        )
        raise ConfigError(explain(got, need="a name of its own for each", hint=hint))


def ledger_page(page: Path) -> str:
    """The text of the page, from the comparisons that are kept beside it."""
    sections = [section(read_summary(kept), kept.stem, page) for kept in sorted(page.with_suffix("").glob("*.json"))]
    return "\n".join([INTRO, *sections])


def section(summary: Mapping[str, Any], name: str, page: Path) -> str:
    """One comparison."""
    vocab_size = summary["data"]["vocab_size"]
    models = {row["name"]: load(Family, row["model"]) for row in summary["entrants"]}  # type: ignore[type-abstract]
    plain = words_in(models[summary["baseline"]].sentence(vocab_size))
    lines = [
        f"## {name}: {Budget(**summary['budget'])}, {summary['seeds']} seed{'s' if summary['seeds'] != 1 else ''} each",
        "",
        f"| technique | paper | file | what is new beside {summary['baseline']} | test | parameters | state | tokens read | loss | effect | |",
        "|---|---|---|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in ranked(summary):
        model = models[row["name"]]
        new = [word for word in words_in(model.sentence(vocab_size)) if word not in plain]
        is_baseline = row["name"] == summary["baseline"]
        lines.append(
            f"| {first_line(type(model)).rstrip('.')} | {papers(type(model))} | {link(source_of(type(model)), page)} | "
            f"{', '.join(link(source_of(word), page, word_of(word) or '') for word in new) or NOTHING} | "
            f"{', '.join(link(test, page) for test in where_tested(type(model), new))} | {short(row['parameters'])} | {size(row['state_bytes'])} | {short(row['tokens']) if row.get('tokens') else NOTHING} | "
            f"{spread(row['loss'])} | {'baseline' if is_baseline else spread(row['difference'], signed=True)} | {verdict(row, is_baseline)} |"
        )
    lines += ["", *(f"- {line}" for line in [*troubles(summary), *conditions(summary)]), ""]
    return "\n".join(lines)


def verdict(row: Mapping[str, Any], is_baseline: bool) -> str:
    """An effect in words; runs that were lost are said with it."""
    lost = [seed for seed in row["seeds"] if seed["why"] not in GOOD]
    said = f"{len(lost)} of {len(row['seeds'])} lost" if lost else ""
    found = row["difference"]
    if is_baseline or found is None:
        return said
    if found["low"] is None or found["high"] is None:
        word = "not known from one seed"
    else:
        word = "better" if found["high"] < 0 else "worse" if found["low"] > 0 else "no difference shown"
    return ", ".join(each for each in (word, said) if each)


# ---- what the code says of itself --------------------------------------------------------------------------------------


def root() -> Path:
    """The checkout that this package lies in; an installed one has none, and then links lead nowhere."""
    return Path(linnet.__file__).resolve().parents[2]


def words_in(spec: Any) -> list[type[Spec]]:
    """The classes of all words in a spec, in order of first appearance."""
    found: dict[type[Spec], None] = {}

    def walk(value: Any) -> None:
        if isinstance(value, Spec):
            if word_of(type(value)) is not None:
                found.setdefault(type(value))
            for name in type(value).model_fields:
                walk(getattr(value, name))
        elif isinstance(value, (list, tuple)):
            for each in value:
                walk(each)

    walk(spec)
    return list(found)


def source_of(cls: type) -> str:
    """src/linnet/… of a class."""
    return Path(inspect.getfile(cls)).resolve().relative_to(root()).as_posix()


def papers(cls: type) -> str:
    """The papers that the first paragraph of a class's file names, as links; else who is cited there."""
    paragraph = inspect.cleandoc(inspect.getmodule(cls).__doc__ or "").partition("\n\n")[0]  # type: ignore[union-attr]
    ids = dict.fromkeys(ARXIV.findall(paragraph))
    if ids:
        return ", ".join(f"[{each}](https://arxiv.org/abs/{each})" for each in ids)
    return ", ".join(dict.fromkeys(CITED.findall(paragraph))) or NOTHING


def where_tested(family: type[Spec], new: list[type[Spec]]) -> list[str]:
    """Where a family is compared with another implementation, or else a word tested that is new in it, the one of the fewest families
    first; in each folder the file that is called after it, or after what it is compared with, or names it most. And the laws, which run over all."""
    zoo = [file.read_text("utf-8") for file in (root() / "src" / "linnet" / "zoo").glob("*.py")]
    rare = sorted(new, key=lambda word: sum(word.__name__ in text for text in zoo))
    tries = [("parity", family), *((folder, word) for word in rare for folder in ("model", "ops")), ("zoo", family)]
    for folder, cls in tries:
        named = re.compile(rf"\b{cls.__name__}\b")
        called = (f"test_{cls.model_fields['kind'].default}", "test_huggingface")
        counted = [
            (file.stem == called[0], file.stem == called[1], len(named.findall(file.read_text("utf-8"))), file)
            for file in sorted((root() / "tests" / folder).glob("test_*.py"))
        ]
        naming = [each for each in counted if each[2]]
        if naming:
            return [max(naming, key=lambda each: each[:3])[3].relative_to(root()).as_posix(), LAWS]
    return [LAWS]


def link(path: str, page: Path, name: str = "") -> str:
    """A link from the page to a file of the checkout, under a name or under the file's own; the name alone from outside it."""
    shown = name or Path(path).name
    if root() not in page.resolve().parents:
        return shown
    return f"[{shown}]({Path(os.path.relpath(root() / path, page.resolve().parent)).as_posix()})"
