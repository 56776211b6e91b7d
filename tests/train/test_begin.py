"""A run that begins from weights that exist: they are where its first step starts, and nothing that does not fit begins."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from linnet.core.errors import CheckpointError, LinnetError, TokenizerError
from linnet.core.spec import dump, load
from linnet.interop.native import load_model, read_manifest, save_model, template_of
from linnet.model.weights import model_tensors
from linnet.tokenizer.chat import Plain
from linnet.train.begin import begun_from, fill
from linnet.train.record import read_run
from linnet.train.spec import RunSpec
from tiny_run import go, tiny, trained_copy


def longer(weights: Path, **changes: Any) -> dict[str, Any]:
    """A run from those weights that says no more than it has to."""
    table = tiny(**changes)
    for part in ("model", "tokenizer"):
        if part not in changes:
            del table[part]
    return table | {"weights": str(weights)}


def test_training_goes_on_from_the_weights_and_takes_over_what_is_left_open(tmp_path: Path) -> None:
    before = trained_copy(tmp_path / "before")
    still = {"kind": "adamw", "learning_rate": 1e-12, "weight_decay": 0.0}
    go(tmp_path / "after", longer(before, train__steps=2, optimizer=still))
    old, tokenizer, manifest = load_model(before)
    new, same, after = load_model(tmp_path / "after")
    assert new.spec == old.spec
    assert same.fingerprint == tokenizer.fingerprint
    assert after.context_length == manifest.context_length
    theirs = model_tensors(old)
    for name, tensor in model_tensors(new).items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-9)
    resolved = read_run(tmp_path / "after")
    assert resolved.weights == str(before)
    assert resolved.train.context_length == manifest.context_length


def test_from_chance_it_would_have_been_another_model(tmp_path: Path) -> None:
    """The mutant of the test above: without `weights` the same steps end elsewhere."""
    trained_copy(tmp_path / "before")
    still = {"kind": "adamw", "learning_rate": 1e-12, "weight_decay": 0.0}
    go(tmp_path / "after", tiny(train__steps=2, optimizer=still))
    old, new = (model_tensors(load_model(tmp_path / name)[0]) for name in ("before", "after"))
    assert max((old[name] - new[name]).abs().max().item() for name in old) > 1e-3


def test_resumed_it_is_the_uninterrupted_run_though_the_weights_are_gone(tmp_path: Path) -> None:
    import shutil

    before = trained_copy(tmp_path / "before")
    table = longer(before, train__steps=6)
    go(tmp_path / "whole", table)
    go(tmp_path / "again", table)
    newest = sorted((tmp_path / "again" / "checkpoints").glob("step-*"))[-1]
    shutil.rmtree(newest)
    for name in ("model.safetensors", "manifest.json", "evaluation.json", "summary.json"):
        (tmp_path / "again" / name).unlink()
    shutil.rmtree(before)
    go(tmp_path / "again", table, resume=True)
    one, other = (model_tensors(load_model(tmp_path / name)[0]) for name in ("whole", "again"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": {"kind": "linnet", "n_layers": 3, "n_heads": 2, "d_model": 16}}, CheckpointError, ["weights", "is missing"]),
        ({"model": {"kind": "linnet", "n_layers": 2, "n_heads": 2, "d_model": 24}}, CheckpointError, ["has shape"]),
        ({"tokenizer": "char"}, TokenizerError, ["tokenizer is not the run's", "kind: file"]),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[LinnetError], words: list[str]
) -> None:
    before = trained_copy(tmp_path / "before")
    with pytest.raises(error) as caught:
        go(tmp_path / "after", longer(before, **changes))
    assert all(word in str(caught.value) for word in words), caught.value
    assert not (tmp_path / "after" / "run.yaml").exists(), "a run that was refused does not take its folder"


def test_a_folder_without_a_model_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere.*manifest\.json"):
        begun_from(load(RunSpec, longer(tmp_path / "nowhere")))


def test_weights_are_not_half_loaded(tmp_path: Path) -> None:
    before = trained_copy(tmp_path / "before")
    network, _, _ = load_model(before)
    wrong = load(RunSpec, tiny(model={"kind": "linnet", "n_layers": 1, "n_heads": 2, "d_model": 16})).model.sentence(
        network.spec.vocab_size
    )
    other = type(network)(wrong, seed=3)
    kept = {name: tensor.clone() for name, tensor in model_tensors(other).items()}
    with pytest.raises(CheckpointError, match="not part of this model"):
        fill(other, before)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model_tensors(other).items())


def test_what_belongs_to_the_weights_goes_with_them(tmp_path: Path) -> None:
    """Also when the run goes on after they are gone."""
    import shutil

    before = trained_copy(tmp_path / "before")
    network, tokenizer, manifest = load_model(before)
    save_model(
        before, network, tokenizer, replace(manifest, begin=[65], stop=[7, 9], template=dump(Plain(user="Q", assistant="A")))
    )
    (before / "LICENSE").write_text("as you like")
    (before / "chat_template.jinja").write_text("{{ messages }}")
    table = longer(before, train__steps=4)
    go(tmp_path / "after", table)
    for name in ("model.safetensors", "manifest.json", "evaluation.json", "summary.json"):
        (tmp_path / "after" / name).unlink()
    shutil.rmtree(before)
    go(tmp_path / "after", table, resume=True)
    after = read_manifest(tmp_path / "after")
    assert (after.begin, after.stop) == ([65], [7, 9])
    assert template_of(after) == Plain(user="Q", assistant="A")
    assert (tmp_path / "after" / "LICENSE").read_text() == "as you like"
    assert (tmp_path / "after" / "chat_template.jinja").read_text() == "{{ messages }}"


def test_a_template_that_is_taught_takes_the_place_of_theirs(tmp_path: Path) -> None:
    before = trained_copy(tmp_path / "before")
    network, tokenizer, manifest = load_model(before)
    save_model(before, network, tokenizer, replace(manifest, stop=[7], template=dump(Plain(user="Q", assistant="A"))))
    (before / "chat_template.jinja").write_text("{{ messages }}")
    (tmp_path / "chats.jsonl").write_text(
        "".join(
            json.dumps(
                {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"It is {n}, as asked."}]}
            )
            + "\n"
            for n in range(60)
        )
    )
    source = {"kind": "conversations", "path": str(tmp_path / "chats.jsonl"), "template": {"kind": "plain"}}
    go(tmp_path / "after", longer(before, train__steps=2, data={"sources": [source], "validation": 0.3}))
    after = read_manifest(tmp_path / "after")
    assert (template_of(after), after.stop) == (Plain(), [7])
    assert not (tmp_path / "after" / "chat_template.jinja").exists()
