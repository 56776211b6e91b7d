"""Everything that a run file can say, as data: its parts, the words that are chosen among, the tables of a sentence.

What each means is in the docstring of its class (core/meanings.py); what it is where nothing is said, and what it takes, is read off
its fields here. `linnet words` prints it.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from linnet.core.refusals import LIMITS, alternatives
from linnet.core.spec import Spec, is_family, words
from linnet.data.clean import CleanStep
from linnet.data.contamination import Against
from linnet.data.mixture import Ramp
from linnet.data.near import Near
from linnet.data.sources import Source
from linnet.model.spec import (
    AttentionPosition,
    Block,
    ChannelMixer,
    Encoder,
    Head,
    Init,
    InputPosition,
    Linear,
    Model,
    Norm,
    Repeat,
    RopeScaling,
    Stack,
    Sublayer,
    TokenMixer,
)
from linnet.objective import ObjectiveSpec
from linnet.tokenizer.chat import ChatTemplate
from linnet.tokenizer.spec import TokenizerSpec
from linnet.train.optimizers import Optimizer
from linnet.train.schedule import Schedule
from linnet.train.spec import RunSpec
from linnet.zoo import Family

NOT_SAID = "\N{EN DASH}"  # a default of null: what happens then is said in the meaning
TAKES: dict[object, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}

# what is chosen by a word → the family of words: parts of a run file, what stands in `data`, what stands in a sentence
PARTS: dict[str, type[Spec]] = {
    "tokenizer": TokenizerSpec,
    "model": Family,
    "objective": ObjectiveSpec,
    "optimizer": Optimizer,
    "schedule": Schedule,
}
OF_DATA: dict[str, type[Spec]] = {"source": Source, "clean": CleanStep, "template": ChatTemplate}
OF_A_SENTENCE: dict[str, type[Spec]] = {
    "token mixer": TokenMixer,
    "channel mixer": ChannelMixer,
    "norm": Norm,
    "position in the model": InputPosition,
    "position in attention": AttentionPosition,
    "rope scaling": RopeScaling,
    "linear": Linear,
}
TABLES_OF_DATA: dict[str, type[Spec]] = {"weight": Ramp, "near": Near, "against": Against}
GROUPS = PARTS | OF_DATA | OF_A_SENTENCE

# the tables of a sentence that is written out, from the outermost in, by the names that they stand under
SENTENCE: dict[str, type[Spec]] = {
    "sentence.model": Model,
    "encoder": Encoder,
    "decoder": Stack,
    "layers": Repeat,
    "pattern": Block,
    "sublayers": Sublayer,
    "head": Head,
    "init": Init,
}


def tables() -> dict[str, type[Spec]]:
    """Everything that has fields, by its name in a run file: the parts, the tables of data and of a sentence, all words.

    A word whose kind is another's too stands under both names: linear is a schedule, scaling.linear is not.
    """
    parts = {name: field.annotation for name, field in RunSpec.model_fields.items() if is_table(field.annotation)}
    found: dict[str, type[Spec]] = {}
    for group, family in GROUPS.items():
        for kind, cls in words(family).items():
            found[kind if kind not in found else f"{group.split()[-1]}.{kind}"] = cls
    return {**parts, **TABLES_OF_DATA, **SENTENCE, **found}  # type: ignore[dict-item]


def is_table(annotation: Any) -> bool:
    """Whether a field holds a plain table, such as `train`, and not one of several words."""
    return isinstance(annotation, type) and issubclass(annotation, Spec) and not is_family(annotation)


def fields_of(cls: type[Spec]) -> dict[str, FieldInfo]:
    """The fields that somebody can write beside the kind, those that are needed first."""
    fields = {name: field for name, field in cls.model_fields.items() if name != "kind"}
    return dict(sorted(fields.items(), key=lambda item: not item[1].is_required()))


def default_of(field: FieldInfo) -> str:
    """What a field is where nothing is said, as a run file would say it."""
    return "needed" if field.is_required() else as_written(field.get_default(call_default_factory=True))


def as_written(value: Any) -> str:
    """A value in YAML, on one line; a word that says nothing but its kind is its kind.

    >>> as_written(None), as_written(True), as_written((0.9, 0.95)), as_written("")
    ('–', 'true', '[0.9, 0.95]', '""')
    """
    if value is None:
        return NOT_SAID
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Spec):
        usual = {name: field.default for name, field in type(value).model_fields.items()}
        said = {name: getattr(value, name) for name in usual if getattr(value, name) != usual[name]}
        kind = getattr(value, "kind", None)
        if kind is not None and not said:
            return str(kind)
        return "{" + ", ".join(f"{name}: {as_written(each)}" for name, each in said.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(as_written, value)) + "]"
    if isinstance(value, float):
        return str(int(value)) if value == int(value) and abs(value) < 1e9 else f"{value:g}"
    return str(value) or '""'


def accepted(field: FieldInfo) -> str:
    """What a field takes, with its limits: a whole number, at least 1."""
    limits = [
        f"{said} {getattr(each, short):g}"
        for each in _constraints(field)
        for said, short in LIMITS.values()
        if getattr(each, short, None) is not None
    ]
    choices = [each for each in get_args(field.annotation) if each is not type(None)]
    if limits and len(choices) == 2 and is_table(choices[1]):  # the limits are those of the number
        return ", ".join([_kind_accepted(choices[0]), *limits, f"or {_kind_accepted(choices[1])}"])
    return ", ".join([_kind_accepted(field.annotation), *limits])


def _constraints(field: FieldInfo) -> Iterator[Any]:
    """The limits that stand on a field, or inside its type."""
    yield from field.metadata
    for inner in get_args(field.annotation):
        for each in getattr(inner, "__metadata__", ()):
            yield from getattr(each, "metadata", [each])


def _kind_accepted(annotation: Any) -> str:
    """A type in the words of whoever fills the field."""
    origin, arguments = get_origin(annotation), [each for each in get_args(annotation) if each is not type(None)]
    if annotation in TAKES:
        return TAKES[annotation]
    if origin is Literal:
        return alternatives(map(str, arguments))
    if origin is Annotated:
        return _kind_accepted(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_kind_accepted(each) for each in arguments)
    if origin is tuple:
        inner = [each for each in arguments if each is not Ellipsis]
        return f"a list of {len(inner)} numbers" if inner == [float, float] else f"a list; each {_kind_accepted(inner[0])}"
    if is_table(annotation):
        return f"a table of {', '.join(fields_of(annotation))}"
    assert isinstance(annotation, type) and is_family(annotation), f"{annotation} is not known here"
    return alternatives(words(annotation))
