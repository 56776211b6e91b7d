"""Law 9: load(dump(s)) == s; every misspelt field, wrong type and unknown kind is refused, all at once, with the nearest name."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args

import pytest
from pydantic import ConfigDict
from sentences import GRAMMAR, SENTENCES

import linnet
from linnet.core.errors import ConfigError
from linnet.core.meanings import meanings
from linnet.core.spec import FAMILY_MARK, Spec, dump, is_family, json_schema, load, word_of, words
from linnet.model import Attention, Head, Init, Model, MoE, RMSNorm, Rope, Stack
from linnet.model.spec import ChannelMixer, Mixer, Norm, Part, TokenMixer
from linnet.train.spec import RunSpec
from linnet.zoo import Family, Llama

for module in pkgutil.walk_packages(linnet.__path__, "linnet."):
    with contextlib.suppress(ImportError):  # an optional library
        importlib.import_module(module.name)


def below(cls: type[Spec]) -> Iterator[type[Spec]]:
    for child in cls.__subclasses__():
        if child.__module__.startswith("linnet."):
            yield child
            yield from below(child)


ALL = sorted(set(below(Spec)), key=lambda cls: (cls.__module__, cls.__name__))
WORDS = [cls for cls in ALL if word_of(cls) is not None]
PLAIN = [  # neither words nor families, and nothing in them has to be said
    cls
    for cls in ALL
    if word_of(cls) is None and not is_family(cls) and not inspect.isabstract(cls)
    if not any(field.is_required() for field in cls.model_fields.values())
]
name_of = lambda cls: cls.__name__  # noqa: E731


def test_there_are_words() -> None:
    assert {Attention, RMSNorm, Llama} <= set(WORDS)


@pytest.mark.parametrize("word", WORDS, ids=name_of)
def test_every_word_has_examples_of_itself(word: type[Spec]) -> None:
    examples = word.examples()
    assert examples
    assert all(type(one) is word for one in examples)


def unvaried(word: type[Spec]) -> list[str]:
    """Fields that no two examples say differently, and choices that no example takes."""
    examples, found = word.examples(), []
    for name, field in word.model_fields.items():
        values = [getattr(one, name) for one in examples] + ([] if field.is_required() else [field.default])
        if name in ("kind", "linear"):  # each way of holding a matrix has sentences of its own (sentences.py)
            continue
        if all(value == values[0] for value in values):
            found.append(name)
        choices = get_args(field.annotation) if field.annotation is not None and "Literal" in str(field.annotation) else ()
        if word_of(word) is not None and issubclass(word, Part):
            found += [f"{name}={choice}" for choice in choices if choice not in (*values, "flex")]  # which trains on a GPU alone
    return found


@pytest.mark.parametrize("word", [cls for cls in WORDS if issubclass(cls, GRAMMAR)], ids=name_of)
def test_examples_of_the_grammar_vary_every_field(word: type[Spec]) -> None:
    assert unvaried(word) == []


def test_the_law_kills_a_word_without_examples() -> None:
    class Bare(Spec):
        kind: Literal["bare"] = "bare"
        width: int

    class Dull(Spec):
        kind: Literal["dull"] = "dull"
        eps: float = 1.0

    with pytest.raises(NotImplementedError, match="Bare has no examples"):
        Bare.examples()
    assert unvaried(Dull) == ["eps"]


def examples() -> dict[str, Spec]:
    found: dict[str, Spec] = {f"{word.__name__} {i}": one for word in WORDS for i, one in enumerate(word.examples())}
    found |= {f"{cls.__name__} {i}": one for cls in PLAIN for i, one in enumerate(cls.examples())}
    return found | SENTENCES


EXAMPLES = examples()


def round_trip(spec: Spec) -> None:
    table = json.loads(json.dumps(dump(spec)))
    assert load(type(spec), table) == spec
    assert hash(load(type(spec), table)) == hash(spec)
    for family in type(spec).__mro__[1:]:
        if word_of(type(spec)) and issubclass(family, Spec) and is_family(family):
            assert load(family, table) == spec


@pytest.mark.parametrize("name", EXAMPLES)
def test_round_trip(name: str) -> None:
    round_trip(EXAMPLES[name])


def misspellings(word: str) -> Iterator[str]:
    """Each letter dropped, doubled, and swapped with the next."""
    for i in range(len(word)):
        yield word[:i] + word[i + 1 :]
        yield word[:i] + word[i] + word[i:]
        yield word[:i] + word[i + 1 : i + 2] + word[i] + word[i + 2 :]


def refuses_misspellings(spec: Spec) -> None:
    cls, table = type(spec), dump(spec)
    for name in cls.model_fields:
        for wrong in {*misspellings(name)} - {*cls.model_fields, ""}:
            moved = {(wrong if key == name else key): value for key, value in table.items()}
            try:
                load(cls, moved)
            except ConfigError as error:
                said = next(line for line in str(error).splitlines() if line.startswith(f"  - {wrong}: "))
                candidates = [other for other in cls.model_fields if other != name and wrong in {*misspellings(other)}]
                assert any(f"did you mean {other!r}?" in said for other in (name, *candidates)), said
            else:
                raise AssertionError(f"{cls.__name__} accepts {wrong!r} for {name!r}")


@pytest.mark.parametrize("cls", [*WORDS, *PLAIN, Model, Stack], ids=name_of)
def test_every_misspelt_field_raises_and_names_the_nearest(cls: type[Spec]) -> None:
    whole = SENTENCES["sentence"]
    one = {Model: whole, Stack: whole.decoder}.get(cls) or cls.examples()[0]
    refuses_misspellings(one)


def test_the_law_kills_a_spec_that_lets_extra_keys_through() -> None:
    class Loose(Spec):
        model_config = ConfigDict(extra="ignore")
        eps: float = 1.0

    with pytest.raises(AssertionError, match="accepts"):
        refuses_misspellings(Loose())


def test_the_law_kills_a_dump_that_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dump
    monkeypatch.setitem(globals(), "dump", lambda spec: {k: v for k, v in whole(spec).items() if k != "window"})
    with pytest.raises(AssertionError):
        round_trip(Attention(n_heads=4, window=5))


@pytest.mark.parametrize("cls", [*WORDS, *PLAIN], ids=name_of)
def test_wrong_types_raise(cls: type[Spec]) -> None:
    one = cls.examples()[0]
    for name in cls.model_fields:
        with pytest.raises(ConfigError, match=name):
            load(cls, dump(one) | {name: {"nonsense": object()}})
    useless: list[object] = [None, 3, [], "nonsense"]
    for nothing in useless:
        with pytest.raises(ConfigError):
            load(cls, nothing)


@pytest.mark.parametrize("family", [cls for cls in ALL if is_family(cls) and words(cls)], ids=name_of)
def test_unknown_kinds_raise_with_the_nearest(family: type[Spec]) -> None:
    for kind in words(family):
        for wrong in set(misspellings(kind)) - {*words(family), ""}:
            with pytest.raises(ConfigError, match=r"did you mean|known:"):
                load(family, {"kind": wrong})
    for bad in ({}, {"kind": None}, {"kind": ["x"]}, 3, None, {3: 4}):
        with pytest.raises(ConfigError):
            load(family, bad)


def test_all_problems_at_once_and_no_others() -> None:
    table = dump(SENTENCES["attention n_heads=4"])
    sublayer = table["decoder"]["layers"][0]["pattern"][0]["sublayers"][0]
    sublayer["mixer"]["n_haeds"] = 4
    sublayer["norm"] = "rms_nrom"
    table["decoder"]["layers"][0]["times"] = "twice"
    table["d_modle"] = 3
    with pytest.raises(ConfigError) as caught:
        load(Model, table, path="model")
    lines = str(caught.value).splitlines()
    where = "  - model.decoder.layers[0]"
    assert lines[0].endswith("4 problems")
    assert {line.split(": ")[0] for line in lines[1:]} == {
        f"{where}.pattern[0].sublayers[0].mixer.n_haeds",
        f"{where}.pattern[0].sublayers[0].norm",
        f"{where}.times",
        "  - model.d_modle",
    }
    assert sum("did you mean" in line for line in lines) == 3


def reachable(cls: type[Spec], seen: set[type[Spec]] | None = None) -> Iterator[type[Spec]]:
    """The specs that a run file can hold, from one of its parts inwards; families may contain themselves."""
    seen = set() if seen is None else seen
    if cls in seen:
        return
    seen.add(cls)
    yield cls
    inner = words(cls).values() if is_family(cls) else [field.annotation for field in cls.model_fields.values()]
    queue = list(inner)
    while queue:
        each = queue.pop()
        if isinstance(each, type) and issubclass(each, Spec):
            yield from reachable(each, seen)
        queue += get_args(each)


RUN_FILE = sorted({cls for cls in reachable(RunSpec) if not is_family(cls)}, key=lambda cls: cls.__name__)


def unexplained(cls: type[Spec]) -> list[str]:
    """Fields that no docstring explains."""
    return [name for name in cls.model_fields if name != "kind" and name not in meanings(cls)]


def names_a_class(message: str) -> list[str]:
    """What a message should not know: how our classes are called, and Python's types."""
    classes = {cls.__name__ for cls in ALL if cls.__name__.lower() != word_of(cls)}  # an MLP is called so by everybody
    return sorted({word for word in re.findall(r"\w+", message) if word in classes | {"NoneType", "str", "int", "dict", "tuple"}})


def refusal_of(cls: type[Spec], table: Any) -> str | None:
    """What is said of a table that cannot be read; None for one that can."""
    try:
        load(cls, table, path="part", name="notes.yaml")
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("cls", RUN_FILE, ids=name_of)
def test_every_field_of_a_run_file_has_a_meaning(cls: type[Spec]) -> None:
    assert unexplained(cls) == []
    described = cls.model_json_schema()["properties"]
    assert all(described[name]["description"] == meaning for name, meaning in meanings(cls).items())


@pytest.mark.parametrize("cls", RUN_FILE, ids=name_of)
def test_refusals_speak_of_what_was_written(cls: type[Spec]) -> None:
    wrong = ("nonsense", -1.5, None, [1], {"a": 1}, True)
    tables: list[Any] = [*wrong, {"nonsense": 1}, *({name: value} for name in cls.model_fields for value in wrong)]
    for table in tables:
        said = refusal_of(cls, table)
        if said is not None:
            heading, *problems = said.splitlines()
            assert names_a_class(said) == [], said
            assert heading.startswith("notes.yaml cannot be read: ")
            assert all(line.startswith("  - part") for line in problems), said
    assert refusal_of(cls, "nonsense") is not None


def test_the_laws_kill_a_field_without_a_meaning_and_a_message_with_a_class() -> None:
    class Bare(Spec):
        """A spec.

        eps   what is added
        """

        eps: float = 1.0
        width: int = 1

    assert unexplained(Bare) == ["width"]
    assert names_a_class("3 is not a TokenizerSpec (int)") == ["TokenizerSpec", "int"]


def test_a_sentence_that_does_not_fit_its_width_says_everything() -> None:
    table = dump(SENTENCES["attention n_heads=4"]) | {"d_model": 33, "position": "sinusoidal"}
    with pytest.raises(ConfigError) as caught:
        load(Model, table)
    assert "n_heads = 4 does not divide d_model = 33" in str(caught.value)
    assert "sinusoidal positions with d_model = 33" in str(caught.value)


@pytest.mark.parametrize("family", words(Family).values(), ids=name_of)
def test_a_family_that_does_not_fit_raises_a_config_error(family: type[Family]) -> None:
    if "n_heads" in family.model_fields:
        with pytest.raises(ConfigError, match="n_heads = 5 does not divide d_model = 64"):
            family.model_validate({"n_heads": 5, "d_model": 64}).sentence(97)


def test_a_word_is_short_for_a_table_and_two_may_not_share_a_kind() -> None:
    assert load(Norm, "rms_norm") == RMSNorm()
    with pytest.raises(TypeError, match="two words of Norm are called 'rms_norm'"):
        type("Other", (Norm,), {"__annotations__": {"kind": Literal["rms_norm"]}, "kind": "rms_norm", "__module__": __name__})
    assert words(Norm)["rms_norm"] is RMSNorm


def test_replace_checks() -> None:
    assert Attention(n_heads=4).replace(window=3) == Attention(n_heads=4, window=3)
    with pytest.raises(ConfigError, match="did you mean 'window'"):
        Attention(n_heads=4).replace(windw=3)
    with pytest.raises(ConfigError, match="window"):
        Attention(n_heads=4).replace(window=0)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


@pytest.mark.parametrize("cls", [Model, Family, Head, Init], ids=name_of)
def test_json_schema_holds_every_word_and_every_reference_leads_somewhere(cls: type[Spec]) -> None:
    schema = json.loads(json.dumps(json_schema(cls)))
    assert FAMILY_MARK not in json.dumps(schema)
    for reference in references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"], reference
    if cls is Model:
        for family in (Mixer, TokenMixer, ChannelMixer, *Part.__subclasses__()):
            if family.__name__ not in schema["$defs"]:
                continue
            for word in words(family).values():
                definition = schema["$defs"][word.__name__]
                assert definition["properties"]["kind"]["const"] == word_of(word)
                assert definition["additionalProperties"] is False
        assert {"Attention", "MLP", "GLU", "RMSNorm", "LayerNorm", "Rope", "Alibi", "Learned", "Sinusoidal", "Dense"} <= set(
            schema["$defs"]
        )


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    given: list[tuple[type[Spec], str, dict[str, Any]]] = [
        (Attention, "scale", {"n_heads": 4}), (Rope, "base", {}), (RMSNorm, "eps", {}),
        (MoE, "scale", {"expert": {"kind": "glu", "d_ff": 8}, "n_experts": 4, "top_k": 2}), (Llama, "rope_base", {}),
    ]  # fmt: skip
    for word, name, rest in given:
        with pytest.raises(ConfigError, match=f"{name}: got {number}; needed: a finite number"):
            load(word, rest | {name: number})
