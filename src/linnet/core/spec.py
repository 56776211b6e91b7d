"""Specs: frozen values that say what to build, strict on the way in and complete on the way out.

A *word* is a spec with a `kind`. A *family* of words (norms, token mixers, tokenizers …) is an abstract spec class
without one; annotate a field with the family and any registered word of it is accepted, told apart by `kind`:

    class Norm(Spec): ...                                  # a family
    class RMSNorm(Norm):                                   # a word; importing its file registers it
        kind: Literal["rms_norm"] = "rms_norm"
        eps: float = 1e-6

Laws: `load(cls, dump(s)) == s`; an unknown key, an unknown kind or a wrong type raises one `ConfigError` that lists
*all* problems, each with its path and, for a misspelling, the nearest valid name. What a field means stands in the
docstring of its class (core/meanings.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from linnet.core.errors import ConfigError, LinnetError, explain, listing
from linnet.core.meanings import meanings
from linnet.core.names import nearest
from linnet.core.refusals import alternatives, in_words, kind_of, shown

S = TypeVar("S", bound="Spec")
T = TypeVar("T")


FAMILY_MARK = "x-linnet-family"


def word_of(cls: type[BaseModel]) -> str | None:
    """The `kind` of a word, None for a family or for a plain spec."""
    field = cls.model_fields.get("kind")
    return field.default if field is not None and get_args(field.annotation) == (field.default,) else None


def is_family(cls: type[BaseModel]) -> bool:
    """A family is a spec class that declares no fields of its own and is meant to be subclassed by words."""
    return not cls.model_fields and BaseModel not in cls.__bases__


class Spec(BaseModel):
    """A frozen, strict, comparable value of finite numbers. Subclass it with plain annotated fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())

    _words: ClassVar[dict[str, type[Spec]]]  # on a family: kind → class

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        kind = word_of(cls)
        if kind is None:
            cls._words = {}
            return
        for family in families_of(cls):
            other = family._words.setdefault(kind, cls)
            if other is not cls and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                raise TypeError(f"two words of {family.__name__} are called {kind!r}: {other.__name__} and {cls.__name__}")
            family._words[kind] = cls

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if not is_family(cls):
            return handler(source)
        return core_schema.no_info_plain_validator_function(
            cls._read_word, serialization=core_schema.plain_serializer_function_ser_schema(dump)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        if not is_family(cls):
            return _described(cls, handler(schema))
        return {FAMILY_MARK: cls.__name__}  # families may contain one another; `json_schema` ties the knot

    @classmethod
    def _read_word(cls, value: Any) -> Spec:
        """Validate one value annotated with this family."""
        if isinstance(value, cls):
            return value
        if isinstance(value, str):  # `norm: rms_norm` is short for `norm: {kind: rms_norm}`
            value = {"kind": value}
        known, kind = alternatives(sorted(cls._words)), value.get("kind") if isinstance(value, Mapping) else None
        if not isinstance(value, Mapping):
            raise _not_a_word(f"got {shown(value)}; needed: {known}, or a table with that as its kind")
        if kind is None:
            raise _not_a_word(f"its kind is missing; needed: kind: {known}")
        if not isinstance(kind, str) or kind not in cls._words:
            raise _not_a_word(f"kind {shown(kind)} is not known here; {nearest(kind, cls._words)}")
        return cls._words[kind].model_validate(dict(value))

    @model_validator(mode="wrap")
    @classmethod
    def _name_nearest(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Add the nearest field name to every refusal of an unknown key."""
        try:
            return handler(data)
        except ValidationError as error:
            found = error.errors(include_url=False)
            locations = [e["loc"] for e in found]
            # a list with a bad item counts as too short: the item says what is wrong, the list says nothing
            mine = [e for e in found if not (e["type"] == "too_short" and any(_within(loc, e["loc"]) for loc in locations))]
            raise ValidationError.from_exception_data(cls.__name__, [_reword(cls, e) for e in mine]) from None

    @classmethod
    def examples(cls) -> tuple[Self, ...]:
        """Small ones, which the laws run over: together they give every field more than one value.

        A word with a required field has to say its own; without them its tests fail.
        """
        required = [name for name, field in cls.model_fields.items() if field.is_required()]
        if required:
            need = f"a classmethod `examples` that fills {', '.join(required)}"
            raise NotImplementedError(f"{cls.__name__} has no examples; needed: {need}")
        return (cls(),)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked like any other input."""
        return load(type(self), {name: getattr(self, name) for name in type(self).model_fields} | changes, name="the change")


def families_of(cls: type[Spec]) -> Iterator[type[Spec]]:
    """The families that a word belongs to."""
    for base in cls.__mro__[1:]:
        if isinstance(base, type) and issubclass(base, Spec) and is_family(base):
            yield base


def words(family: type[S]) -> dict[str, type[S]]:
    """All registered words of a family by kind, in alphabetical order."""
    return dict(sorted(family._words.items()))  # type: ignore[arg-type]


def _not_a_word(message: str) -> PydanticCustomError:
    return PydanticCustomError("word", "{msg}", {"msg": message})


def _reword(cls: type[Spec], error: Any) -> InitErrorDetails:
    message = in_words(error, kind=word_of(cls), fields=dict.fromkeys(cls.model_fields, "") | meanings(cls))
    kind = "linnet" if error["type"] != "word" else "word"
    return InitErrorDetails(type=PydanticCustomError(kind, "{msg}", {"msg": message}), loc=error["loc"], input=error["input"])


def load(cls: type[S], table: Any, *, path: str = "", name: str = "the run") -> S:
    """Read a spec from plain data (a parsed YAML or JSON table), strictly.

    path   where the table stands in what the user wrote: "model" for the model of a run
    name   what the whole is called: its file, where there is one

    Raises ConfigError with every problem and its path: `model.decoder.layers[0].times: …`.
    """
    try:
        if is_family(cls):
            return cls._read_word(table)  # type: ignore[return-value]
        return cls.model_validate(table)
    except ValidationError as error:
        raise refusal(error, path, name) from None
    except PydanticCustomError as error:
        raise ConfigError(listing([_at(path, (), error.message())], f"{name} cannot be read")) from None


def refusal(error: ValidationError, path: str = "", name: str = "the run") -> ConfigError:
    """The ConfigError for what pydantic found, all of it."""
    problems = [
        _at(path, each["loc"], str(each["msg"]).removeprefix("Value error, ")) for each in error.errors(include_url=False)
    ]
    return ConfigError(listing(problems, f"{name} cannot be read"))


def fitting(cls: type[T], table: Any, *, name: str, error: type[LinnetError]) -> T:
    """Plain data that a program wrote as a value of a dataclass, fields that it does not know aside. Raises `error`, naming the
    file, with all that is missing or of another type."""
    try:
        return TypeAdapter(cls).validate_python(table)
    except ValidationError as problem:
        if not isinstance(table, Mapping):
            raise error(explain(f"{name} holds {kind_of(table)}", need="a table", hint="an undamaged copy of it")) from None
        problems = [_at("", each["loc"], in_words(each, kind=None, fields={})) for each in problem.errors(include_url=False)]
        raise error(f"{listing(problems, f'{name} is damaged')}\n  try: an undamaged copy of it") from None


def dump(spec: Any) -> Any:
    """Plain data (dicts, lists, numbers, strings, None) that `load` reads back to an equal spec."""
    if isinstance(spec, Spec):
        return {name: dump(getattr(spec, name)) for name in type(spec).model_fields}
    if isinstance(spec, (list, tuple)):
        return [dump(item) for item in spec]
    if isinstance(spec, dict):
        return {key: dump(value) for key, value in spec.items()}
    return spec


def _within(inner: tuple[Any, ...], outer: tuple[Any, ...]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _at(path: str, place: tuple[Any, ...], message: str) -> str:
    """train.steps: what is wrong there."""
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    where = f"{path}{dotted}".removeprefix(".")
    return f"{where}: {message}" if where else message


def _described(cls: type[Spec], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with what each field means, which editors show."""
    for name, meaning in meanings(cls).items():
        schema.get("properties", {}).get(name, {})["description"] = meaning
    return schema


def json_schema(cls: type[Spec]) -> dict[str, Any]:
    """The JSON schema of a spec with every registered word in it, for editors and forms."""
    definitions: dict[str, Any] = {}

    def define(name: str, spec_class: type[Spec]) -> dict[str, str]:
        if name not in definitions:
            definitions[name] = {}  # taken before the contents are read: families contain one another
            if is_family(spec_class):
                definitions[name] = {"anyOf": [define(word.__name__, word) for word in words(spec_class).values()]}
            else:
                schema = spec_class.model_json_schema()
                for inner, body in schema.pop("$defs", {}).items():
                    definitions.setdefault(inner, resolve(body))
                definitions[name] = resolve(schema)
        return {"$ref": f"#/$defs/{name}"}

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if FAMILY_MARK in node:
                return define(node[FAMILY_MARK], _family_named(node[FAMILY_MARK]))
            return {key: resolve(value) for key, value in node.items()}
        return [resolve(item) for item in node] if isinstance(node, list) else node

    return {**define(cls.__name__, cls), "$defs": definitions}


def _family_named(name: str) -> type[Spec]:
    found: list[type[Spec]] = []
    queue: list[type[Spec]] = [Spec]
    while queue:
        cls = queue.pop()
        queue.extend(cls.__subclasses__())
        if cls.__name__ == name and is_family(cls):
            found.append(cls)
    assert len(found) == 1, f"{len(found)} spec families are called {name}"
    return found[0]
