"""`linnet import`: folders that transformers made are read exactly, and what does not fit is said at once, with nothing written."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import linnet
from linnet.core.errors import CheckpointError, LinnetError
from linnet.interop.exporting import export_run
from linnet.interop.huggingface import read_folder
from linnet.interop.importing import import_folder, read_import
from linnet.language_model import LanguageModel
from linnet.ops.ternary import ternary_weights
from linnet.tokenizer.chat import ChatML
from tiny_run import linnet as command

pytest.importorskip("transformers")
from folders import CONFIGS, END, SIZE, edit, hf_tokenizer, make

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@torch.no_grad()
def greedy(model: Any, ids: list[int], n: int = 64) -> list[int]:
    row = torch.tensor([ids])
    written = model.generate(row, attention_mask=torch.ones_like(row), max_new_tokens=n, do_sample=False)
    return written[0, len(ids) :].tolist()


@pytest.mark.parametrize("family", CONFIGS)
def test_generates_what_transformers_does(family: str, tmp_path: Path) -> None:
    theirs = make(tmp_path / "hf", family)
    import_folder(tmp_path / "hf", tmp_path / "run")
    ours = linnet.load(tmp_path / "run")
    for prompt in ("Once upon a time", "The"):
        ids = hf_tokenizer().encode(prompt)
        written = ours.complete([prompt], max_tokens=64, temperature=0)[0]
        assert list(written.tokens) == greedy(theirs, ids)


def test_an_encoder_is_read(tmp_path: Path) -> None:
    import transformers

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "##s", "bird", "sing"]
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "vocab.txt").write_text("\n".join(names) + "\n", "utf-8")
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    theirs = transformers.BertForMaskedLM(config).eval()
    theirs.save_pretrained(tmp_path / "hf")
    import_folder(tmp_path / "hf", tmp_path / "run")
    ours = linnet.load(tmp_path / "run")
    ids = torch.tensor([ours.tokenizer.encode("the birds sing")])
    with torch.no_grad():
        assert (ours.network.logits(ours.network(ids).hidden) - theirs(ids).logits).abs().max() < 1e-4


def test_parts_are_one_file(tmp_path: Path) -> None:
    make(tmp_path / "hf", shard="40KB")
    assert len(list((tmp_path / "hf").glob("*.safetensors"))) > 1
    make(tmp_path / "whole")
    parts, whole = read_import(tmp_path / "hf"), read_import(tmp_path / "whole")
    for (name, a), (_, b) in zip(parts.network.named_parameters(), whole.network.named_parameters(), strict=True):
        assert torch.equal(a, b), name


def test_the_run_folder_explains_itself(tmp_path: Path) -> None:
    make(tmp_path / "hf")
    (tmp_path / "hf" / "LICENSE").write_text("as you like", "utf-8")
    (tmp_path / "hf" / "modeling_evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", "utf-8")
    import_folder(tmp_path / "hf", tmp_path / "run")
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {"model.safetensors", "tokenizer.json", "manifest.json", "model.yaml", "import.json", "LICENSE"}
    assert not (tmp_path / "ran").exists()
    record = json.loads((tmp_path / "run" / "import.json").read_text("utf-8"))
    assert record["family"] == "llama"
    assert "model.safetensors" in record["files"]


def test_half_precision_is_kept_exactly(tmp_path: Path) -> None:
    model = make(tmp_path / "hf")
    model.to(torch.bfloat16).save_pretrained(tmp_path / "hf")
    found = read_import(tmp_path / "hf")
    assert torch.equal(found.network.embedding.weight, model.get_input_embeddings().weight.float())
    assert any("BF16" in note for note in found.notes)


def packed(folder: Path) -> None:
    """Make a bitnet folder one of 2-bit weights, as the published ones are."""
    from transformers.integrations.bitnet import pack_weights

    make(folder, "bitnet")
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        codes, gamma = ternary_weights(tensors[name])
        tensors[name], tensors[f"{name}_scale"] = pack_weights(codes.clone()), (1.3 * gamma).view(1).bfloat16()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    how = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"}
    edit(folder / "config.json", quantization_config=how)


def test_packed_ternary_weights(tmp_path: Path) -> None:
    packed(tmp_path / "hf")
    found = import_folder(tmp_path / "hf", tmp_path / "run")
    ids = torch.arange(40)[None]
    expected = read_folder(tmp_path / "hf")(ids).hidden  # which tests/parity holds to transformers
    assert torch.equal(LanguageModel.load(tmp_path / "run").network(ids).hidden, expected)
    assert "four in a byte" in found.notes[-1]
    tensors = load_file(tmp_path / "hf" / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    for change, said in (
        ({f"{name}_scale": torch.ones(2)}, rf"{name}_scale is F32 of shape \[2\]; needed: one number"),
        ({f"{name}_scale": torch.zeros(1)}, rf"{name}_scale is no scale"),
        ({name: tensors[name][:-1].clone()}, r"up_proj"),
        ({f"{name}_scale": None}, r"of dtype U8"),
    ):
        other = {key: value for key, value in (tensors | change).items() if value is not None}
        save_file(other, tmp_path / "hf" / "model.safetensors", {"format": "pt"})
        with pytest.raises(CheckpointError, match=said):
            import_folder(tmp_path / "hf", tmp_path / "wrong")
        assert not (tmp_path / "wrong").exists()


def test_the_chat_template_is_known_by_what_it_writes(tmp_path: Path) -> None:
    made = hf_tokenizer()
    made.chat_template = CHATML
    make(tmp_path / "hf", tokenizer=made, eos_token_id=[0, 2])
    found = read_import(tmp_path / "hf")
    assert found.foreign.template == ChatML()
    assert found.foreign.stop == (), "the template's own mark is no other stop"


@pytest.mark.parametrize(
    "template",
    [
        CHATML.replace("'<|im_end|>' + '\n'", "'<|im_end|>'"),
        CHATML + "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
        "{% set x = 'a' %}" + "{% set x = x ~ x %}" * 40 + CHATML,
        CHATML + "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{% for message in messages %}{{ broken",
    ],
    ids=["another", "endless", "growing", "reaching", "broken"],
)
def test_another_template_is_kept_and_not_followed(template: str, tmp_path: Path) -> None:
    make(tmp_path / "hf")
    (tmp_path / "hf" / "chat_template.jinja").write_text(template, "utf-8")
    found = import_folder(tmp_path / "hf", tmp_path / "run")
    assert found.foreign.template is None
    assert (tmp_path / "run" / "chat_template.jinja").read_text("utf-8") == template


def test_more_stops_are_kept(tmp_path: Path) -> None:
    theirs = make(tmp_path / "hf", eos_token_id=[0, 7, 9, 11, 40, 50, 60, 70])
    import_folder(tmp_path / "hf", tmp_path / "run")
    ours = linnet.load(tmp_path / "run")
    assert ours.manifest.stop == [7, 9, 11, 40, 50, 60, 70]
    ended = 0
    for prompt in ("The", "a", "He said", "x", "Once", "bird"):
        written = ours.complete([prompt], max_tokens=64, temperature=0)[0]
        assert list(written.tokens) == greedy(theirs, hf_tokenizer().encode(prompt))
        ended += written.reason == "stop_token"
    assert ended, "no text ended at a stop: the prompts test nothing"


def test_rows_without_a_token_get_one(tmp_path: Path) -> None:
    make(tmp_path / "hf", vocab_size=SIZE + 16)
    found = read_import(tmp_path / "hf")
    assert found.foreign.tokenizer.vocab_size == SIZE + 16
    assert any("16 rows" in note for note in found.notes)
    assert found.foreign.tokenizer.encode("Once") == hf_tokenizer().encode("Once")


def test_a_sentencepiece_model_alone(tmp_path: Path, shared_data: Path) -> None:
    import sentencepiece

    make(tmp_path / "hf", vocab_size=32_000)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "hf" / name).unlink()
    shutil.copyfile(shared_data / "tokenizers" / "llama2" / "tokenizer.model", tmp_path / "hf" / "tokenizer.model")
    edit(tmp_path / "hf" / "generation_config.json", eos_token_id=2)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "hf" / "tokenizer.model"))
    import_folder(tmp_path / "hf", tmp_path / "run")
    ours = linnet.load(tmp_path / "run")
    assert ours.manifest.begin == [1], "Llama's texts begin with <s>"
    assert ours.tokenizer.encode("Grüße, world 12") == theirs.encode("Grüße, world 12")
    assert (ours.tokenizer.end, ours.manifest.stop) == ("</s>", [])
    path = tmp_path / "hf" / "tokenizer.json"
    added = [{"content": name, "id": each} for name, each in ours.tokenizer.special.items()]
    path.write_text(json.dumps({"added_tokens": added, "model": {"type": "Other"}}), "utf-8")
    beside = read_import(tmp_path / "hf").foreign
    assert beside.tokenizer.fingerprint == ours.tokenizer.fingerprint
    assert any("in its place" in note for note in beside.notes)
    path.write_text(json.dumps({"added_tokens": [{"content": "<more>", "id": 32_000}], "model": {"type": "Other"}}), "utf-8")
    with pytest.raises(CheckpointError, match="type 'Other'"):
        read_import(tmp_path / "hf")


# ── What does not fit ───────────────────────────────────────────────────────────────────────────────────────────────


def rewrite(folder: Path, change: Any) -> None:
    """The weights with something changed."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def as_pickle(folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (open, (str(folder / "ran"), "w"))

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))


def lose_a_part(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    table = {"model.norm.weight": "model-00001-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}), "utf-8")


def leave_the_folder(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    table = {"model.norm.weight": "../elsewhere.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}), "utf-8")


BAD: dict[str, tuple[Any, tuple[str, ...]]] = {
    "family": (lambda f: edit(f / "config.json", model_type="lama"), ("'lama'", "did you mean 'llama'?")),
    "field": (lambda f: edit(f / "config.json", hidden_sizes=3), ("hidden_sizes", "did you mean 'hidden_size'?")),
    "field missing": (lambda f: edit(f / "config.json", hidden_size=...), ("hidden_size",)),
    "far too deep": (
        lambda f: edit(f / "config.json", num_hidden_layers=10**12),
        ("num_hidden_layers = 1,000,000,000,000", "tensors"),
    ),
    "far too wide": (lambda f: edit(f / "config.json", vocab_size=10**11), ("parameters", "304 ids beside")),
    "field of another kind": (lambda f: edit(f / "config.json", hidden_size="wide"), ("wide",)),
    "no config": (lambda f: (f / "config.json").unlink(), ("config.json",)),
    "config is a folder": (
        lambda f: ((f / "config.json").unlink(), (f / "config.json").mkdir()),
        ("config.json cannot be read",),
    ),
    "config is a list": (lambda f: (f / "config.json").write_text("[1]"), ("table",)),
    "missing": (lambda f: rewrite(f, lambda t: t.pop("model.norm.weight")), ("model.norm.weight is missing",)),
    "extra": (
        lambda f: rewrite(f, lambda t: t.update({"model.nrm.weight": torch.ones(3)})),
        ("model.nrm.weight is not expected",),
    ),
    "shape": (lambda f: rewrite(f, lambda t: t.update({"model.norm.weight": torch.ones(3)})), ("(3,)", "(32,)")),
    "dtype": (
        lambda f: rewrite(f, lambda t: t.update({"model.norm.weight": torch.ones(32, dtype=torch.int8)})),
        ("I8", "model.norm.weight"),
    ),
    "not finite": (lambda f: rewrite(f, lambda t: t["model.norm.weight"].fill_(float("nan"))), ("not finite",)),
    "tied": (lambda f: edit(f / "config.json", tie_word_embeddings=True), ("lm_head.weight differs",)),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), ("tokenizer.json",)),
    "another tokenizer": (lambda f: edit(f / "tokenizer.json", normalizer={"type": "Lowercase"}), ("normalizer",)),
    "a name without a token": (lambda f: edit(f / "tokenizer_config.json", bos_token="<s>"), ("'<s>'",)),
    "pickle": (as_pickle, ("pytorch_model.bin", "pickle")),
    "cut": (cut, ("model.safetensors cannot be read",)),
    "no part": (lose_a_part, ("model-00001-of-00002.safetensors is missing",)),
    "a part elsewhere": (leave_the_folder, ("weight_map",)),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), ("there is no model.safetensors",)),
}


@pytest.mark.parametrize("rows", [SIZE - 8, SIZE + 3, SIZE + 160], ids=["fewer", "no round number", "too many"])
def test_a_tokenizer_of_another_size_is_refused(rows: int, tmp_path: Path) -> None:
    make(tmp_path / "hf", vocab_size=rows)
    with pytest.raises(LinnetError, match=f"304 ids beside an embedding of {rows} rows"):
        import_folder(tmp_path / "hf", tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_said_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    spoil, words = BAD[name]
    make(tmp_path / "hf")
    spoil(tmp_path / "hf")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(LinnetError) as caught:
        import_folder(tmp_path / "hf", tmp_path / "run")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert not (tmp_path / "hf" / "ran").exists()


def test_all_of_it_is_said_at_once(tmp_path: Path) -> None:
    make(tmp_path / "hf")
    rewrite(tmp_path / "hf", lambda t: (t.pop("model.norm.weight"), t.update({"extra": torch.ones(2)})))
    edit(tmp_path / "hf" / "tokenizer.json", normalizer={"type": "Lowercase"})
    with pytest.raises(CheckpointError) as caught:
        read_import(tmp_path / "hf")
    assert all(word in str(caught.value) for word in ("model.norm.weight is missing", "extra is not expected", "normalizer"))


def test_an_unknown_field_hides_no_tensor(tmp_path: Path) -> None:
    make(tmp_path / "hf")
    rewrite(tmp_path / "hf", lambda t: t.pop("model.norm.weight"))
    edit(tmp_path / "hf" / "config.json", hidden_sizes=3)
    with pytest.raises(CheckpointError) as caught:
        read_import(tmp_path / "hf")
    assert all(word in str(caught.value) for word in ("2 problems", "hidden_sizes = 3", "model.norm.weight is missing"))


def test_hints_are_for_this_folder(tmp_path: Path) -> None:
    """A family that is not known brings the list of them once; a tokenizer that is missing is not looked for in a run."""
    make(tmp_path / "hf")
    (tmp_path / "hf" / "tokenizer.json").unlink()
    edit(tmp_path / "hf" / "config.json", model_type="xyz")
    with pytest.raises(CheckpointError) as caught:
        read_import(tmp_path / "hf")
    said = str(caught.value)
    assert said.count("mixtral") == 1
    assert "has no tokenizer; needed: tokenizer.json, tokenizer.model" in said
    assert "finished run" not in said


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "hf")

    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("linnet.interop.importing.write_json", full)
    with pytest.raises(LinnetError, match="disk is full"):
        import_folder(tmp_path / "hf", tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "hf")
    code, out, err = command(capsys, "import", tmp_path / "hf", "--out", tmp_path / "run")
    assert code == 0, err
    assert all(word in out for word in ("llama", "304 ids", "96 tokens", END))
    code, _, err = command(capsys, "import", tmp_path / "hf", "--out", tmp_path / "run")
    assert code == 2
    assert "is there already" in err
    code, out, err = command(capsys, "generate", tmp_path / "run", "Once", "--max-tokens", "4")
    assert code == 0, err
    (tmp_path / "text.txt").write_text("Once upon a time there was a bird.", "utf-8")
    code, out, err = command(capsys, "eval", tmp_path / "run", tmp_path / "text.txt")
    assert code == 0, err


def test_a_link_to_nothing_is_no_place_to_write(tmp_path: Path) -> None:
    make(tmp_path / "hf")
    (tmp_path / "run").symlink_to(tmp_path / "nowhere")
    with pytest.raises(LinnetError, match="is there already"):
        import_folder(tmp_path / "hf", tmp_path / "run")
    with pytest.raises(LinnetError, match="is there already"):
        export_run(tmp_path / "hf", tmp_path / "run")


def test_nothing_is_built_that_is_much_larger_than_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "hf")
    edit(tmp_path / "hf" / "config.json", num_hidden_layers=15)  # fewer than there are tensors
    monkeypatch.setattr("linnet.interop.importing.Network", lambda *args, **options: pytest.fail("it was built"))
    with pytest.raises(CheckpointError, match=r"a model of \d+,\d+ parameters, and the weights are \d+,\d+ numbers"):
        read_import(tmp_path / "hf")


def test_what_lacks_a_layer_is_named_tensor_by_tensor(tmp_path: Path) -> None:
    make(tmp_path / "hf")
    edit(tmp_path / "hf" / "config.json", num_hidden_layers=3)
    with pytest.raises(CheckpointError, match=r"model\.layers\.2\.mlp\.down_proj\.weight is missing"):
        read_import(tmp_path / "hf")
