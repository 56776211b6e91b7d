"""linnet words: all that a run file can say is listed, with its default and what it means."""

from __future__ import annotations

from typing import get_args

import pytest

import tiny_run


def test_words_says_everything_that_a_run_file_can_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from linnet.core.meanings import first_line, meanings
    from linnet.core.spec import words
    from linnet.data.sources import Source
    from linnet.train.catalogue import GROUPS, SENTENCE, accepted, fields_of, tables
    from linnet.train.spec import RunSpec, TrainSpec

    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = tiny_run.linnet(capsys, "words")
    flat = " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    for part, meaning in meanings(RunSpec).items():
        assert f"\n{part}  {meaning}"[:60] in out
    for cls in [*SENTENCE.values(), *(field.annotation for field in RunSpec.model_fields.values())]:
        for name, meaning in meanings(cls).items() if isinstance(cls, type) and cls in tables().values() else ():
            assert f"{name} " in out
            assert meaning.split()[-1] in flat
    for family in GROUPS.values():
        for kind, word in words(family).items():
            assert f" {kind} " in flat
            assert first_line(word).split()[0] in flat
    assert "batch_size 16 rows a step" in flat
    assert "learning_rate: 0.02, momentum: 0.95" in flat

    for name, table in tables().items():
        code, page, _ = tiny_run.linnet(capsys, "words", name)
        assert code == 0
        assert all(f"  {field}  " in page or f"  {field} " in page for field in fields_of(table)), (name, page)
    page = " ".join(tiny_run.linnet(capsys, "words", "train.steps")[1].split())
    assert "batch_size 16 rows a step a whole number, at least 1" in page
    assert accepted(TrainSpec.model_fields["compile"]) == "auto, yes or no"
    weight = accepted(words(Source)["stories"].model_fields["weight"])  # type: ignore[type-abstract]
    assert weight == "a number, more than 0, at most 1e+100, or a table of from, to, begin, end"
    assert "muon" in tiny_run.linnet(capsys, "words", "optimizer")[1]


@pytest.mark.parametrize(
    ("word", "family", "mixer"),
    [("infini", "n_layers", "gate"), ("mamba", "n_layers", "d_conv"), ("longformer", "layer_windows", "n_global")],
)
def test_a_family_and_a_mixer_of_one_name_are_both_shown(
    capsys: pytest.CaptureFixture[str], word: str, family: str, mixer: str
) -> None:
    code, page, _ = tiny_run.linnet(capsys, "words", word)
    assert code == 0
    first, _, second = page.partition(f"\nmixer.{word}  ")
    assert first.startswith(f"{word}  ")
    assert f"\n  {family} " in first
    assert f"\n  {mixer} " in second
    assert f"mixer.{word}  " not in tiny_run.linnet(capsys, "words", "llama")[1]
    alone = tiny_run.linnet(capsys, "words", f"mixer.{word}")[1]
    assert alone.startswith(f"mixer.{word}  ")


def test_the_catalogue_has_every_family_and_table_that_a_run_file_can_hold() -> None:
    from linnet.core.spec import Spec, is_family, words
    from linnet.train.catalogue import GROUPS, tables
    from linnet.train.spec import RunSpec

    def inside(annotation: object) -> set[type[Spec]]:
        if isinstance(annotation, type) and issubclass(annotation, Spec):
            if is_family(annotation):
                return {annotation, *words(annotation).values()}
            return {annotation}
        return {cls for each in get_args(annotation) for cls in inside(each)}

    seen: set[type[Spec]] = set()
    queue: list[type[Spec]] = [RunSpec]
    while queue:
        cls = queue.pop()
        found = {each for field in cls.model_fields.values() for each in inside(field.annotation)} - seen
        seen |= found
        queue += found
    listed = {*GROUPS.values(), *tables().values()}
    every_word = {word for family in GROUPS.values() for word in words(family).values()}
    assert {cls for cls in seen if not is_family(cls)} <= listed
    assert all(set(words(cls).values()) <= every_word for cls in seen if is_family(cls))  # Mixer is two groups
