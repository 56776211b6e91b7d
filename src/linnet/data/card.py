"""The data card: what a model was fed, as JSON for programs and Markdown for people.

Two shares of each source are shown, each column adding up to 100.00 %: *asked*, its share of the rows that training
draws (its weight ÷ the sum of weights; where these change, over a whole run), and *actual*, its share of the training tokens that there are. Where the
two differ, `passes` says what that means: how often the source is gone through while as many tokens are drawn as the
whole training part holds.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator

from linnet.core.errors import DataError
from linnet.core.spec import fitting
from linnet.data.mixture import as_course

Number = TypeVar("Number", int, float)
PASSED_OVER = "Rows in which nothing is learned are passed over, so that conversations are gone through more often than that."
ONLY_WHERE_SAID = ("asked_course", "learned", "template", "learn")  # fields of cards: of ramps, of conversations


def of_both(counts: dict[str, Number]) -> dict[str, Number]:
    """Numbers of training and of validation. Raises ValueError where one is missing."""
    if missing := {"train", "validation"} - counts.keys():
        raise ValueError(f"lacks {' and '.join(sorted(missing))}")
    return counts


Counts = Annotated[dict[str, int], AfterValidator(of_both)]


@dataclass(frozen=True)
class SourceCard:
    """One source. Documents: read = dropped + copies + near copies + overlaps + train + validation (one that a tail divides
    counts in both).

    overlapping      evaluation text → documents that overlap with it, left out or not
    asked_course     where weights change over a run, the asked share in per cent at its start, wherever it turns, at its end
    learned          tokens that are learned, by split; empty: all are
    template, learn  how conversations are written down, and whose words are learned
    """

    name: str
    kind: str
    licence: str
    split: str
    documents_read: int
    documents_dropped: int
    duplicates_dropped: int
    cleaned: dict[str, int]
    documents: Counts
    bytes: Counts
    tokens: Counts
    unknown: Counts
    bytes_per_token: float
    asked_percent: float
    actual_percent: float
    passes: float
    sha256: dict[str, str]
    near_dropped: int = 0
    overlaps_dropped: int = 0
    overlapping: dict[str, int] = field(default_factory=dict)
    asked_course: tuple[float, ...] = ()
    learned: dict[str, int] = field(default_factory=dict)
    template: dict[str, Any] | None = None
    learn: tuple[str, ...] = ()

    @property
    def documents_kept(self) -> int:
        """Documents, each once."""
        left_out = self.documents_dropped + self.duplicates_dropped + self.near_dropped + self.overlaps_dropped
        return self.documents_read - left_out

    @property
    def divided(self) -> bool:
        """Whether a tail divides a document, whose first part is training text and whose second is validation text."""
        return sum(self.documents.values()) > self.documents_kept


@dataclass(frozen=True)
class DataCard:
    """A corpus as prepared. Totals are by split: train, validation; exact: whether decoding gives the text back to the byte; near and against:
    what its spec says; learned: tokens that are learned, empty where all are."""

    fingerprint: str
    tokenizer: str
    vocab_size: int
    validation_asked: float
    split_asked: str
    deduplicate: bool
    documents: Counts
    bytes: Counts
    tokens: Counts
    bytes_per_token: Annotated[dict[str, float], AfterValidator(of_both)]
    sources: tuple[SourceCard, ...]
    exact: bool = True
    near: dict[str, Any] | None = None
    against: tuple[dict[str, Any], ...] = ()
    learned: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for card.json; of ramps and of conversations nothing where there are none."""
        return _told(self) | {"sources": [_told(source) for source in self.sources]}

    @classmethod
    def from_json(cls, table: Any, name: str = "card.json") -> DataCard:
        """The card from card.json's content. Raises DataError with all that is missing in it; name: of the file."""
        return fitting(cls, table, name=name, error=DataError)

    def announcement(self) -> str:
        """One line for the terminal: sizes, and how each source was split."""
        splits = ", ".join(f"{source.name} by {source.split}" for source in self.sources)
        unknown = sum(sum(source.unknown.values()) for source in self.sources)
        documents = sum(source.documents_kept for source in self.sources)
        return (
            f"{documents:,} document{'s' if documents > 1 else ''}, {self.bytes['train']:,} + {self.bytes['validation']:,} bytes, "
            f"{self.tokens['train']:,} + {self.tokens['validation']:,} tokens (train + validation)"
            + (f", of which {pair(self.learned)} are learned ({share(self.learned, self.tokens)} %)" if self.learned else "")
            + f"; split: {splits}"
            + (f"; {unknown:,} tokens are unknown to the tokenizer" if unknown else "")
            + ("" if self.exact else "; the tokenizer is lossy: decoding gives another text than it was")
        )

    def to_markdown(self) -> str:
        """The card for people, for card.md."""
        what = f"Data `{self.fingerprint}`, tokenizer `{self.tokenizer}` with {self.vocab_size:,} ids."
        asked = f"Asked for: {100 * self.validation_asked:g} % validation, split {self.split_asked}, {self.left_out_asked()}."
        cleaning = [
            f"- {s.name}: {s.documents_read:,} read, {s.documents_dropped:,} dropped"
            + "".join(f", {k} {v:,}" for k, v in s.cleaned.items())
            + (f"; tokens unknown to the tokenizer {pair(s.unknown)}" if any(s.unknown.values()) else "")
            for s in self.sources
        ]
        blocks = [
            "# Data card",
            *(
                []
                if self.exact
                else ["**The tokenizer is lossy**: what the tokens say, and what is evaluated, is another text than it was."]
            ),
            f"{what} Pairs are training + validation. {asked}",
            self.table(),
            f"asked %: share of the rows drawn{self.over_a_run()}; actual %: share of the training tokens there are; "
            "passes: times through a source for as many tokens as the training part holds.",
            *([PASSED_OVER] if self.learned else []),
            *[f"One document of {s.name} is divided, and counts on both sides." for s in self.sources if s.divided],
            "## Cleaning (documents changed or dropped, by step)",
            "\n".join(cleaning),
        ]
        if any(source.template for source in self.sources):
            blocks += ["## Conversations", "\n".join(self.conversations())]
        if self.against:
            blocks += ["## Documents that overlap with evaluation texts", self.overlaps()]
        hashes = [f"- `{file}` `{sha256}`" for source in self.sources for file, sha256 in source.sha256.items()]
        blocks += ["## SHA-256 of each shard", "\n".join(hashes)]
        return "\n\n".join(blocks) + "\n"

    def over_a_run(self) -> str:
        """What else has to be said of shares that change."""
        return " over a whole run, and on the way from its start to its end" if any(s.asked_course for s in self.sources) else ""

    def conversations(self) -> list[str]:
        """A line for each source of conversations: how they are written down, and how much of them is learned."""
        return [
            f"- {s.name}: {pair(s.documents)} conversations, written as {s.template['kind']}; learned: what {' and '.join(s.learn)} "
            f"says, {pair(s.learned)} tokens of {pair(s.tokens)} ({share(s.learned, s.tokens)} %)"
            for s in self.sources
            if s.template
        ]

    def left_out_asked(self) -> str:
        """Which copies were to be left out, in words."""
        exact = f"copies {'dropped' if self.deduplicate else 'kept'}"
        if self.near is None:
            return exact
        return f"{exact}, near copies dropped (about {100 * self.near['threshold']:g} % of {self.near['shingle']} words in a row equal)"

    def table(self) -> str:
        """A line a source, and their sums."""
        sources = self.sources

        def counts(of: Callable[[SourceCard], int]) -> list[str]:
            return [f"{number:,}" for number in [*map(of, sources), sum(map(of, sources))]]

        def pairs(of: Callable[[SourceCard], dict[str, int]], total: dict[str, int]) -> list[str]:
            return [pair(each) for each in [*map(of, sources), total]]

        def shares(of: Callable[[SourceCard], float]) -> list[str]:
            return [*[f"{of(s):.2f}" for s in sources], f"{sum(round(100 * of(s)) for s in sources) / 100:.2f}"]

        total = sum(self.bytes.values())
        columns = {
            "source": [*[s.name for s in sources], "**total**"],
            "kind": [*[s.kind for s in sources], ""],
            "licence": [*[s.licence for s in sources], ""],
            "split": [*[s.split for s in sources], ""],
            "read": counts(lambda s: s.documents_read),
            "cleaned out": counts(lambda s: s.documents_dropped),
            "copies": counts(lambda s: s.duplicates_dropped),
            "near copies": counts(lambda s: s.near_dropped) if self.near is not None else [],
            "overlaps": counts(lambda s: s.overlaps_dropped) if self.against else [],
            "documents": pairs(lambda s: s.documents, self.documents),
            "bytes": pairs(lambda s: s.bytes, self.bytes),
            "tokens": pairs(lambda s: s.tokens, self.tokens),
            "learned %": [*[share(s.learned or s.tokens, s.tokens) for s in sources], share(self.learned, self.tokens)]
            if self.learned
            else [],
            "bytes/token": [*[f"{s.bytes_per_token:.3f}" for s in sources], f"{total / sum(self.tokens.values()):.3f}"],
            "asked %": shares(lambda s: s.asked_percent),
            "asked on the way %": [*[as_course(s.asked_course) for s in sources], ""]
            if any(s.asked_course for s in sources)
            else [],
            "actual %": shares(lambda s: s.actual_percent),
            "passes": [*[f"{s.passes:.2f}" for s in sources], ""],
        }
        return as_table({head: cells for head, cells in columns.items() if cells}, left=4)

    def overlaps(self) -> str:
        """A line an evaluation text: with how many documents of each source it overlaps."""
        said = [f"{each['path']} ({'dropped' if each['drop'] else 'kept'})" for each in self.against]
        columns = {"evaluation text": said, "words in a row": [str(each["n"]) for each in self.against]}
        for source in self.sources:
            columns[source.name] = [f"{source.overlapping[each['path']]:,}" for each in self.against]
        return as_table(columns, left=1)


def _told(card: SourceCard | DataCard) -> dict[str, Any]:
    """The fields of a card, but for those of ramps and of conversations that say nothing."""
    return {name: value for name, value in dataclasses.asdict(card).items() if value or name not in ONLY_WHERE_SAID}


def pair(counts: dict[str, int]) -> str:
    """Training + validation."""
    return f"{counts['train']:,} + {counts['validation']:,}"


def share(counts: dict[str, int], total: dict[str, int]) -> str:
    """Of both parts together, in per cent."""
    return f"{100 * sum(counts.values()) / max(1, sum(total.values())):.2f}"


def as_table(columns: dict[str, list[str]], *, left: int) -> str:
    """Head → cells as a table in markdown; all but the first `left` columns are numbers."""
    rows = [list(columns), ["---"] * left + ["---:"] * (len(columns) - left), *map(list, zip(*columns.values()))]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in rows)


def percentages(parts: Sequence[float]) -> list[float]:
    """Shares in per cent, two decimals each, that add up to 100.00 exactly (largest remainders get the odd hundredths).

    >>> percentages([1, 1, 1])
    [33.34, 33.33, 33.33]
    """
    total = sum(parts)
    if not total:
        return [0.0 for _ in parts]
    exact = [10_000 * part / total for part in parts]
    floors = [int(value) for value in exact]
    order = sorted(range(len(parts)), key=lambda i: (floors[i] - exact[i], i))
    for i in order[: 10_000 - sum(floors)]:
        floors[i] += 1
    return [value / 100 for value in floors]


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Data card</title>
<style>
body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }}
th:nth-child(-n+4), td:nth-child(-n+4) {{ text-align: left; }}
code {{ font-size: .85em; word-break: break-all; }}
</style>
{body}
</html>
"""


def markdown_page(card: DataCard) -> str:
    """The card as a page that opens without a network: the headings, paragraphs, lists and tables of `to_markdown`."""
    parts: list[str] = []
    for block in card.to_markdown().strip().split("\n\n"):
        lines = block.split("\n")
        if block.startswith("#"):
            level = len(block) - len(block.lstrip("#"))
            parts.append(f"<h{level}>{inline(block.lstrip('# '))}</h{level}>")
        elif lines[0].startswith("| "):
            rows = [
                [inline(cell.strip().replace("\\|", "|")) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
                for line in lines
                if not line.startswith("| ---")
            ]
            cells = ["".join(f"<{tag}>{cell}</{tag}>" for cell in row) for tag, row in zip(["th"] + ["td"] * len(rows), rows)]
            parts.append("<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>")
        elif lines[0].startswith("- "):
            parts.append("<ul>" + "".join(f"<li>{inline(line[2:])}</li>" for line in lines) + "</ul>")
        else:
            parts.append(f"<p>{inline(block)}</p>")
    return PAGE.format(body="\n".join(parts))


def inline(text: str) -> str:
    """Markdown within a line: code and bold, and everything else as it stands."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))
    return re.sub("`(.+?)`", r"<code>\1</code>", text)
