"""Conversations as ids: how turns are written down for a model, and which of their tokens it learns to say.

    [system, user, assistant]  →  ids  and  where in them each turn's own words stand

A template puts text around each turn: names of special tokens, a role. The same renderer gives ids and spans, so that nobody has
to find a turn again in text that was made already, and a mask cannot be off by one. Names of special tokens in what people
say are ordinary text: nobody ends a turn, or begins one in another's role, by typing its mark.

Frames and words become ids each by themselves, so that what a model was taught to go on from is what it is given later: the ids of a
conversation begin with those of every earlier part of it. They are the ids of the finished text, too, unless words begin or end with
white space that a token would join to the frame's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

from pydantic import Field, field_validator, model_validator

from linnet.core.errors import DataError, TokenizerError, explain
from linnet.core.spec import Spec
from linnet.tokenizer.base import END_OF_TEXT, Tokenizer

Role = Literal["system", "user", "assistant"]


class Turn(NamedTuple):
    """What one side says once; learned: whether it is to be learned where what its role says is."""

    role: Role
    content: str
    learned: bool = True


Said = Sequence[Turn | tuple[Role, str] | Mapping[str, str]] | Turn | Mapping[str, str] | str  # what people write for turns


def as_turns(said: Said) -> list[Turn]:
    """Turns as people write them: Turns, pairs (role, words), tables of role and content; one of these alone is a conversation of
    one turn, and a text alone is the user's.

    Raises DataError with the number of the turn that is none, or says nothing: only a model may have had nothing to say.
    """
    if isinstance(said, str):
        said = [Turn("user", said)]
    elif isinstance(said, (Turn, Mapping)):
        said = [said]
    turns = [_as_turn(each, number) for number, each in enumerate(said, 1)]
    check_words(turns, silent=("assistant",))
    return turns


def _as_turn(said: Any, number: int) -> Turn:
    if isinstance(said, Mapping):
        beside = ", ".join(sorted(map(str, set(said) - {"role", "content"})))
        if beside and {"role", "content"} <= set(said):
            got = f"turn {number} has {beside} beside role and content"
            raise DataError(explain(got, need="role and content alone", hint="leaving it out"))
        fits = set(said) == {"role", "content"}
        pair: tuple[Any, ...] = (said.get("role"), said.get("content"))
    else:
        fits = isinstance(said, (tuple, list)) and len(said) in (2, len(Turn._fields))
        pair = tuple(said[:2]) if fits else ()
    if not fits or pair[0] not in get_args(Role) or not isinstance(pair[1], str):
        roles = ", ".join(get_args(Role))
        need = f'a pair of a role ({roles}) and words, or {{"role": …, "content": …}}'
        raise DataError(explain(f"turn {number} is {said!r}", need=need))
    return Turn(pair[0], pair[1])


class Span(NamedTuple):
    """A turn's own tokens, `start` to `stop`, and the mark that ends it, if the template has one, to `end`; learned: as the turn."""

    role: Role
    start: int
    stop: int
    end: int
    learned: bool = True


class Rendered(NamedTuple):
    """A conversation as ids, and where its turns stand in them."""

    ids: list[int]
    spans: list[Span]

    def weights(self, roles: Sequence[Role] = ("assistant",)) -> list[int]:
        """1 for every token that is to be learned: what these roles say, and the mark with which they end; 0 for all others."""
        learned = [0] * len(self.ids)
        for span in self.spans:
            if span.learned and span.role in roles:
                learned[span.start : span.end] = [1] * (span.end - span.start)
        return learned


class Frame(NamedTuple):
    """What stands around a turn: text before it, the mark that ends it and that its speaker has to say, text after that."""

    before: str
    mark: str
    after: str


class ChatTemplate(Spec):
    """A family: how a conversation is written down."""

    def frame(self, role: Role) -> Frame:
        """What stands around a turn of this role."""
        raise NotImplementedError

    @property
    def begin(self) -> str:
        """What stands before the first turn."""
        return ""

    def special_names(self) -> tuple[str, ...]:
        """The special tokens that the template needs beside the one that ends a document."""
        return ()

    def render(self, tokenizer: Tokenizer, turns: Sequence[Turn], *, reply: bool = False) -> Rendered:
        """The ids of a conversation and where its turns stand; with `reply` as far as where the assistant begins to speak.

        Raises DataError for turns in an order that no conversation has, TokenizerError where the tokenizer lacks a special token.
        """
        check_turns(turns, reply=reply)
        self.check(tokenizer)
        ids, spans = self.written(tokenizer, self.begin), []
        for turn in turns:
            frame = self.frame(turn.role)
            ids += self.written(tokenizer, frame.before)
            start = len(ids)
            ids += tokenizer.encode(turn.content)
            stop = len(ids)
            ids += self.written(tokenizer, frame.mark)
            spans.append(Span(turn.role, start, stop, len(ids), turn.learned))
            ids += self.written(tokenizer, frame.after)
        if reply:
            ids += self.written(tokenizer, self.frame("assistant").before)
        return Rendered(ids, spans)

    def written(self, tokenizer: Tokenizer, frame: str) -> list[int]:
        """The ids of a part of a frame, in which END_OF_TEXT is whatever ends a document."""
        ids: list[int] = []
        for number, part in enumerate(frame.split(END_OF_TEXT)):
            ids += [tokenizer.end_id] * (number > 0) + (tokenizer.encode(part, special="token") if part else [])
        return ids

    def ordinary(self, frame: str) -> list[str]:
        """What of a part of a frame is ordinary text: all but the names of special tokens."""
        names = "|".join(map(re.escape, (*self.special_names(), END_OF_TEXT)))
        return [part for part in re.split(names, frame) if part]

    def texts(self, turns: Sequence[Turn]) -> Iterator[str]:
        """The texts that `render` gives to a tokenizer, one by one: what one that is trained for it should learn from."""
        yield from self.ordinary(self.begin)
        for turn in turns:
            frame = self.frame(turn.role)
            yield from self.ordinary(frame.before)
            yield turn.content
            yield from self.ordinary(frame.mark + frame.after)

    def marks(self, tokenizer: Tokenizer) -> tuple[int, ...]:
        """The ids of the special tokens that end what the assistant says: where its reply stops."""
        special = set(tokenizer.special.values()) | {tokenizer.end_id}
        return tuple(token for token in self.written(tokenizer, self.frame("assistant").mark) if token in special)

    def check(self, tokenizer: Tokenizer) -> None:
        """Raise TokenizerError where the tokenizer lacks one of the template's special tokens."""
        missing = [name for name in self.special_names() if name not in tokenizer.special]
        if missing:
            got = f"a tokenizer without the special tokens {', '.join(missing)}"
            need = f"them, for conversations written as {getattr(self, 'kind', 'they are')}"
            train = " ".join(["linnet tokenizer train …", *(f"--special '{name}'" for name in self.special_names())])
            raise TokenizerError(explain(got, need=need, hint=f"{train}, or the template plain, which needs none"))


class Plain(ChatTemplate):
    """User: … Assistant: …, each on a line of its own; needs no special token but the one that ends a document.

    user, assistant   what they are called
    """

    kind: Literal["plain"] = "plain"
    user: Annotated[str, Field(min_length=1)] = "User"
    assistant: Annotated[str, Field(min_length=1)] = "Assistant"

    @field_validator("user", "assistant")
    @classmethod
    def _name(cls, name: str) -> str:
        if not name.strip() or len(name.splitlines()) > 1 or "<|" in name:
            raise ValueError(f"got {name!r}; needed: a name on one line, without a special token's <|")
        return name

    @model_validator(mode="after")
    def _two_names(self) -> Self:
        if self.user == self.assistant:
            raise ValueError(
                f"user and assistant are both called {self.user!r}; nobody could tell who speaks: give them two names"
            )
        return self

    def frame(self, role: Role) -> Frame:
        if role == "system":
            return Frame("", "", "\n\n")
        if role == "user":
            return Frame(f"{self.user}:\n", "", "\n\n")
        return Frame(f"{self.assistant}:\n", END_OF_TEXT, "")


class ChatML(ChatTemplate):
    """<|im_start|>role … <|im_end|>, as Qwen and many others write it."""

    kind: Literal["chatml"] = "chatml"

    def frame(self, role: Role) -> Frame:
        return Frame(f"<|im_start|>{role}\n", "<|im_end|>", "\n")

    def special_names(self) -> tuple[str, ...]:
        return "<|im_start|>", "<|im_end|>"


class Llama3(ChatTemplate):
    """<|start_header_id|>role<|end_header_id|> … <|eot_id|>, as Llama 3 writes it."""

    kind: Literal["llama3"] = "llama3"

    @property
    def begin(self) -> str:
        return "<|begin_of_text|>"

    def frame(self, role: Role) -> Frame:
        return Frame(f"<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>", "")

    def special_names(self) -> tuple[str, ...]:
        return "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"


def check_turns(turns: Sequence[Turn], *, reply: bool = False) -> None:
    """Raise DataError unless a system's turn, if any, comes first, and the user and the assistant take turns, the user first."""
    got: str | None = None
    order = [turn.role for turn in turns]
    said = order[1:] if order[:1] == ["system"] else order
    expected = ["user", "assistant"] * len(said)
    wrong = next((i for i, role in enumerate(said) if role != expected[i]), None)
    if not said:
        got = "no turn of a user"
    elif wrong is not None:
        got = f"turn {wrong + 1 + len(order) - len(said)} of {said[wrong]}"
    elif reply and said[-1] != "user":
        got = "a reply after the assistant's own turn"
    if got:
        need = "system (if at all), user, assistant, user, assistant …" + (", user before a reply" if reply else "")
        raise DataError(explain(f"{got} in {' → '.join(order) or 'nothing'}", need=need))


def check_words(turns: Sequence[Turn], *, silent: Sequence[Role] = ()) -> None:
    """Raise DataError for a turn that says nothing, but for those of `silent` roles, or that holds half a character."""
    for number, turn in enumerate(turns, 1):
        if not turn.content.strip() and turn.role not in silent:
            hint = "leaving it out"
            raise DataError(explain(f"turn {number} says nothing", need="words in every turn", hint=hint))
        try:
            turn.content.encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"character {error.start:,}, U+{ord(turn.content[error.start]):04X}"
            raise DataError(explain(f"turn {number}, {half}, is half a surrogate pair", need="valid Unicode")) from error
