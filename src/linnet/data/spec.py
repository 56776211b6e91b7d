"""What a corpus is: the `data:` part of a run file.

data: {sources: [{kind: files, path: input.txt}]}     text
data: {prepared: prepared/input}                      tokens that `linnet prepare` made of it
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from linnet.core.spec import Spec, load
from linnet.data import chats as chats  # more words of Source
from linnet.data import hub as hub
from linnet.data import pairs as pairs
from linnet.data import quality as quality  # and of CleanStep
from linnet.data import warc as warc
from linnet.data import wikipedia as wikipedia
from linnet.data.clean import DEFAULT_STEPS, CleanStep
from linnet.data.contamination import Against
from linnet.data.mixture import Mixture
from linnet.data.near import Near
from linnet.data.sources import Described, Source
from linnet.data.split import SplitKind
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.chat import ChatTemplate

Rows = Literal["windows", "documents", "pairs"]


class DataSpec(Spec):
    """Sources and what is done with their documents.

    sources         where text comes from; mixed by their weights, which may change over the run
    prepared        the folder in which `linnet prepare` left these sources' tokens; then nothing else has to be said
    validation      the share of the text that is never trained on
    split           hash: by each document's content; tail: the last part; auto: as fits each source
    exact           a tail begins at exactly that character, not at the next line
    clean           cleaning steps, in order
    deduplicate     drop a document that equals an earlier one
    near            drop near copies of earlier ones, too; true: with every default
    against         evaluation texts: a document that overlaps with one is dropped; a path alone stands for {path: …}
    document_mask   attention stays inside a document, where several stand in one row
    rows            windows: the text cut end to end; documents: each row begins with a document, which suits texts
                    that are short and refer back to their beginning; pairs: a pair each, which sources of pairs always are
    """

    sources: tuple[Source, ...] = Field((), strict=False)
    prepared: str | None = None
    validation: float = Field(0.1, gt=0, lt=1)
    split: SplitKind = "auto"
    exact: bool = False
    clean: tuple[CleanStep, ...] = Field(DEFAULT_STEPS, strict=False)
    deduplicate: bool = True
    near: Near | None = None
    against: tuple[Against, ...] = Field((), strict=False)
    document_mask: bool = True
    rows: Rows = "windows"

    @classmethod
    def examples(cls) -> tuple[DataSpec, ...]:
        return tuple(
            load(cls, table)
            for table in (
                {"sources": [{"kind": "stories"}], "validation": 0.2},
                {
                    "sources": [{"kind": "files", "path": "notes/"}],
                    "near": {"threshold": 0.8},
                    "against": [{"path": "exam.jsonl"}],
                },
                {"sources": [{"kind": "stories", "weight": {"from": 4, "to": 1}}, {"kind": "python_docs"}]},
                {"prepared": "prepared/notes"},
            )
        )

    @field_validator("near", mode="before", json_schema_input_type=Near | bool | None)
    @classmethod
    def _near(cls, said: Any) -> Any:
        return {True: {}, False: None}[said] if isinstance(said, bool) else said

    @field_validator("against", mode="before", json_schema_input_type=tuple[Against | str, ...])
    @classmethod
    def _against(cls, said: Any) -> Any:
        return [{"path": each} if isinstance(each, str) else each for each in said] if isinstance(said, (list, tuple)) else said

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.sources and self.prepared is not None:
            return self
        if not self.sources:
            raise ValueError("sources is empty; write at least one, such as {kind: files, path: input.txt}")
        named = [source.name for source in self.described() if source.name]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"two sources are named {', '.join(twice)}; give each a name of its own")
        if problem := self._pairs():
            raise ValueError(problem)
        paths = [against.path for against in self.against]
        if again := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"against names {', '.join(again)} twice")
        if len({talk.template for talk in self.conversations()}) > 1:
            raise ValueError("two sources of conversations with different templates; a model speaks in one: write the same")
        if all(source.part == "validation" for source in self.described()):
            raise ValueError("every source is validation only; at least one must be for training")
        if all(source.part == "train" for source in self.described()):
            raise ValueError("every source is training only; at least one must have validation text")
        if problem := Mixture(tuple(source.weight for source in self.described() if source.part != "validation")).problem():
            raise ValueError(problem)
        return self

    def _pairs(self) -> str | None:
        """Sets rows for sources of pairs; what is wrong with sources of pairs beside others, or None."""
        others = [source.label() for source in self.described() if not isinstance(source, pairs.Pairs)]
        if len(others) == len(self.sources):
            return (
                "rows: pairs without a source of pairs; needed: kind: pairs, or rows: windows" if self.rows == "pairs" else None
            )
        if others:
            return f"pairs beside {', '.join(others)}, which has no second side; needed: pairs alone, or none"
        if any(source.weight != 1 for source in self.described()):
            return "a weight on a source of pairs, which are all gone through once an epoch; try: leaving it out"
        if self.rows == "documents":
            return "rows: documents for pairs; needed: rows: pairs, which needs not be said"
        object.__setattr__(self, "rows", "pairs")
        return None

    def described(self) -> tuple[Described, ...]:
        """The sources, as what all words of the family are."""
        return tuple(source for source in self.sources if isinstance(source, Described))

    def conversations(self) -> tuple[chats.Conversations, ...]:
        """The sources of conversations."""
        return tuple(source for source in self.sources if isinstance(source, chats.Conversations))

    @property
    def template(self) -> ChatTemplate | None:
        """How conversations are written down; None where there are none."""
        return next((talk.template for talk in self.conversations()), None)

    @property
    def taught(self) -> ChatTemplate | None:
        """How those conversations are written down that a model is taught; None where all that there are only measure it."""
        return next((talk.template for talk in self.conversations() if talk.part != "validation"), None)

    def check(self, tokenizer: Tokenizer) -> None:
        """Raise TokenizerError for a tokenizer that lacks special tokens of the template."""
        if self.template is not None:
            self.template.check(tokenizer)

    def names(self) -> list[str]:
        """A name for each source, different from all others: its own, or its default with a number where that is taken."""
        taken = {source.name for source in self.described() if source.name}
        names = []
        for source in self.described():
            name, number = source.label(), 2
            while not source.name and name in taken:
                name, number = f"{source.label()}-{number}", number + 1
            taken.add(name)
            names.append(name)
        return names
