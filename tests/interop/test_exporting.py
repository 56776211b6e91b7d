"""`linnet export --to hf`: the folder is the model, by everyone who reads it; and a folder that is not is refused, line by line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import linnet
from linnet.core.errors import ConfigError, LinnetError
from linnet.data.worlds.stories import story
from linnet.generate.beam import Beam, beam_search
from linnet.generate.decode import score_tokens
from linnet.generate.generate import generate
from linnet.generate.sampler import Sampling
from linnet.interop import certify, exporting
from linnet.interop.certificate import CertificateError
from linnet.interop.chat_jinja import CONVERSATIONS, jinja_of, matching, render, text_of
from linnet.interop.exporting import export_run
from linnet.interop.huggingface import spelt_out
from linnet.interop.importing import import_folder, read_import, same_weights
from linnet.interop.native import load_model
from linnet.language_model import LanguageModel
from linnet.model.network import Network
from linnet.model.weights import model_tensors
from linnet.tokenizer import Tokenizer
from linnet.tokenizer.bpe_tokenizer import BPETokenizer
from linnet.tokenizer.chat import ChatML, ChatTemplate, Llama3, Plain
from linnet.tokenizer.load import load_tokenizer
from linnet.tokenizer.simple import byte_tokenizer, train_char
from linnet.tokenizer.spec import BPE
from linnet.zoo import GPT2, BitNet, Family, Linnet, Llama, LongformerFamily, MambaFamily, Marian, Mistral, Mixtral, Qwen3
from linnet.zoo.deepseek import Deepseek
from linnet.zoo.jamba import Jamba
from tiny_run import linnet as command

transformers = pytest.importorskip("transformers")
from folders import make  # noqa: E402

SMALL: dict[str, Any] = {"n_layers": 2, "d_model": 32, "context_length": 80}
FAMILIES: dict[str, Family] = {
    "gpt2": GPT2(**SMALL, n_heads=4),
    "llama": Llama(**SMALL, n_heads=4, n_kv_heads=2),
    "mistral": Mistral(**SMALL, n_heads=4, window=9),
    "qwen3": Qwen3(**SMALL, n_heads=4),
    "mixtral": Mixtral(**SMALL, n_heads=4, n_experts=4),
    "mamba": MambaFamily(**SMALL, d_state=6),
    "deepseek_v3": Deepseek(**SMALL, n_heads=4, n_experts=4, n_groups=2, top_groups=1, top_k=2, d_latent=16),
    "bitnet": BitNet(**SMALL, n_heads=4),
    "jamba": Jamba(**SMALL | {"n_layers": 4}, n_heads=4, d_state=6, n_experts=2),
    "longformer": LongformerFamily(**SMALL, n_heads=4, window=5),
    "marian": Marian(**SMALL, n_heads=4),
}
CHAT = ("<|im_start|>", "<|im_end|>")


def bpe(*special: str) -> Tokenizer:
    return BPE(vocab_size=300, special=special).train([story(seed=0, index=index).text for index in range(30)])


def run_of(folder: Path, family: Family, tokenizer: Tokenizer, template: ChatTemplate | None = None) -> Path:
    """A finished model that was never trained: large weights, so that a small error shows."""
    network = Network(family.sentence(tokenizer.vocab_size), seed=3)
    draws = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.15, generator=draws))
    LanguageModel.assemble(network.eval(), tokenizer, context_length=80, template=template).save(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_the_folder_is_the_run(family: str, tmp_path: Path) -> None:
    if family == "bitnet":
        pytest.importorskip("accelerate")  # without which transformers opens no ternary model
    run = run_of(tmp_path / "run", FAMILIES[family], bpe())
    found = export_run(run, tmp_path / "hf")
    assert {line.verdict for line in found.lines} == {"equal", "does not apply"}
    assert json.loads((tmp_path / "hf" / "config.json").read_text("utf-8"))["model_type"] == family
    network, tokenizer, manifest = load_model(run)
    import_folder(tmp_path / "hf", tmp_path / "again")
    again, same, other = load_model(tmp_path / "again")
    assert same_weights(model_tensors(network), model_tensors(again))
    assert spelt_out(network.spec) == spelt_out(again.spec)
    assert same.fingerprint == tokenizer.fingerprint
    assert (other.context_length, other.begin, other.stop) == (manifest.context_length, [], [])


@pytest.mark.parametrize("family", ["llama", "longformer", "marian"])
def test_the_card_says_how_it_is_used(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of the model card run where it lies, and give what the run gives."""
    run = run_of(tmp_path / "run", FAMILIES[family], bpe("<|first|>", "<|second|>"))
    export_run(run, tmp_path / "hf")
    card = (tmp_path / "hf" / "README.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path / "hf")
    found: dict[str, Any] = {}
    exec(card.split("```python\n")[1].split("```")[0], found)
    model = linnet.load(run)
    if family == "longformer":
        expected = model.network.logits(model.network(found["ids"]).hidden)
        assert (found["out"].logits - expected).abs().max() < 1e-4
        assert (found["model"](found["ids"]).logits - expected).abs().max() > 1e-2, "what the card says would not matter"
    elif family == "marian":
        end = model.tokenizer.end_id
        assert end != model.tokenizer.vocab_size - 1, "where an answer begins would not matter"
        assert found["source"].tolist() == [[*model.tokenizer.encode("ein Hund"), end]]
        read = model.network.read(found["source"])
        most = 64  # as the card says
        [[best]] = beam_search(model.network, torch.tensor([[end]]), Beam(n_beams=1), end_id=end, max_tokens=most, source=read)
        assert found["said"] == model.tokenizer.decode([token for token in best.tokens if token != end])


def test_a_translator_that_begins_elsewhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path / "run", FAMILIES["marian"], bpe())
    spoil = edit("generation_config.json", lambda t: t.update(decoder_start_token_id=7))
    write = exporting.write_export

    def mutant(model: Any, folder: Path, **options: Any) -> None:
        write(model, folder, **options)
        spoil(folder)

    monkeypatch.setattr(exporting, "write_export", mutant)
    with pytest.raises(CertificateError, match=r"stop, read by transformers"):
        export_run(run, tmp_path / "hf")


def test_a_model_that_transformers_fails_at_is_refused(tmp_path: Path) -> None:
    """A Jamba without attention is opened, but its state cannot be made: a line of the certificate, and not a traceback."""
    run = run_of(tmp_path / "run", Jamba(**SMALL, n_heads=4, attention_period=5, attention_offset=4, n_experts=2), bpe())
    with pytest.raises(CertificateError, match=r"reading, read by transformers: transformers cannot read the folder: \w+"):
        export_run(run, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize("kind", ["chatml", "llama3", "plain", "other names", "pieces", "bytes", "characters"])
def test_tokenizers_and_templates_go_with_it(kind: str, tmp_path: Path, shared_data: Path) -> None:
    templates: dict[str, ChatTemplate] = {
        "chatml": ChatML(), "llama3": Llama3(), "plain": Plain(), "other names": Plain(user="Der 'Gast' #}", assistant="Bot {{ 1 }} \\"),
    }  # fmt: skip
    template = templates.get(kind, Plain())
    tokenizer: Tokenizer
    match kind:
        case "pieces":
            tokenizer = load_tokenizer(shared_data / "tokenizers" / "llama2" / "tokenizer.model")
        case "bytes":
            tokenizer = byte_tokenizer()
        case "characters":
            tokenizer = train_char([story(seed=0, index=index).text for index in range(9)])
        case _:
            tokenizer = bpe(*template.special_names())
    run = run_of(tmp_path / "run", FAMILIES["llama"], tokenizer, template)
    export_run(run, tmp_path / "hf")
    assert read_import(tmp_path / "hf").foreign.template == template


def test_an_import_goes_back(tmp_path: Path) -> None:
    """What begins texts, where writing stops, and a template that linnet has none for, come out again."""
    make(tmp_path / "hf", eos_token_id=[0, 9, 40])
    path = tmp_path / "hf" / "tokenizer.json"
    table = json.loads(path.read_text("utf-8"))
    single = [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    table["post_processor"] = {
        "type": "TemplateProcessing", "single": single, "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}},
    }  # fmt: skip
    path.write_text(json.dumps(table), "utf-8")
    (tmp_path / "hf" / "chat_template.jinja").write_text("{{ bos_token }} their own", "utf-8")
    (tmp_path / "hf" / "LICENSE").write_text("as you like", "utf-8")
    import_folder(tmp_path / "hf", tmp_path / "run")
    manifest = load_model(tmp_path / "run")[2]
    assert (manifest.begin, manifest.stop) == ([1], [9, 40])
    model = linnet.load(tmp_path / "run")
    ids = model.tokenizer.encode("The bird")
    begun = generate(
        model.network, model.tokenizer, [[1, *ids]], sampling=Sampling(temperature=0), max_tokens=8, stop_tokens=(9, 40)
    )
    assert model.complete(["The bird"], temperature=0, max_tokens=8)[0].tokens == begun[0].tokens
    expected = -score_tokens(model.network, [1, *ids], context_length=96).mean()
    assert model.score("The bird") == pytest.approx(float(expected), rel=1e-6)
    export_run(tmp_path / "run", tmp_path / "back")
    again = read_import(tmp_path / "back")
    assert (again.foreign.begin, again.foreign.stop) == ((1,), (9, 40))
    assert again.foreign.jinja == "{{ bos_token }} their own"
    assert (tmp_path / "back" / "LICENSE").read_text("utf-8") == "as you like"
    a, b = load_file(tmp_path / "hf" / "model.safetensors"), load_file(tmp_path / "back" / "model.safetensors")
    assert same_weights(a, b)


def test_half_precision_and_parts(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", FAMILIES["llama"], bpe())
    found = export_run(run, tmp_path / "hf", dtype="bfloat16", largest=20_000)
    assert any("bfloat16 costs" in word for word in found.facts)
    parts = sorted((tmp_path / "hf").glob("model-*.safetensors"))
    assert len(parts) > 1
    assert all(tensor.dtype == torch.bfloat16 for part in parts for tensor in load_file(part).values())
    assert sum(len(load_file(part)) for part in parts) == len(
        json.loads((tmp_path / "hf" / "model.safetensors.index.json").read_text())["weight_map"]
    )


def test_the_certificate_says_what_was_compared(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", FAMILIES["llama"], bpe(*CHAT), ChatML())
    export_run(run, tmp_path / "hf")
    table = json.loads((tmp_path / "hf" / "certificate.json").read_text("utf-8"))
    assert {line["what"] for line in table["lines"]} == {"tokens", "weights", "logits", "specials", "template", "stop"}
    assert set(table["files"]) == {path.name for path in (tmp_path / "hf").iterdir()} - {"certificate.json", "certificate.md"}
    page = (tmp_path / "hf" / "certificate.md").read_text("utf-8")
    assert "500 texts" in page
    assert "max \\|Δ\\|" in page


# ── Mutants: one for each line ──────────────────────────────────────────────────────────────────────────────────────


def edit(name: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        table = json.loads((folder / name).read_text("utf-8"))
        change(table)
        (folder / name).write_text(json.dumps(table), "utf-8")

    return spoil


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        text = (folder / name).read_text("utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), "utf-8")

    return spoil


def one_weight(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][3] += 1e-3
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def swap_merges(table: Any) -> None:
    merges = table["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]


def swap_specials(table: Any) -> None:
    by_name = {each["content"]: each for each in table["added_tokens"]}
    a, b = (by_name[name] for name in CHAT)
    a["id"], b["id"] = b["id"], a["id"]
    table["model"]["vocab"] |= {a["content"]: a["id"], b["content"]: b["id"]}


MUTANTS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "weights": (one_weight, ("weights, read by linnet", "logits, read by linnet", "logits, read by transformers")),
    "eps": (edit("config.json", lambda t: t.update(rms_norm_eps=1e-2)), ("weights, read by linnet", "logits, read by transformers")),
    "tokenizer": (edit("tokenizer.json", swap_merges), ("tokens, read by linnet",)),
    "a space in front": (
        replaced("tokenizer.json", '"add_prefix_space": false', '"add_prefix_space": true'),
        ("reading, read by linnet", "tokens, read by tokenizers", "tokens, read by transformers"),
    ),
    "special ids": (edit("tokenizer.json", swap_specials), ("specials, read by linnet", "specials, read by transformers")),
    "end": (edit("tokenizer_config.json", lambda t: t.update(eos_token="<|im_end|>")), ("specials, read by transformers",)),
    "template": (
        replaced("chat_template.jinja", "<|im_end|>\\n", "<|im_end|>"),
        ("template, read by linnet", "template, read by transformers"),
    ),
    "stop": (
        edit("generation_config.json", lambda t: t.update(eos_token_id=5)),
        ("stop, read by linnet", "stop, read by transformers"),
    ),
    "no folder": (lambda folder: (folder / "config.json").unlink(), ("reading, read by linnet",)),
}  # fmt: skip


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(tmp_path_factory.mktemp("spoken") / "run", FAMILIES["llama"], bpe(*CHAT), ChatML())


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_export_is_refused(name: str, spoken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil, words = MUTANTS[name]
    write = exporting.write_export

    def mutant(model: Any, folder: Path, **options: Any) -> None:
        write(model, folder, **options)
        spoil(folder)

    monkeypatch.setattr(exporting, "write_export", mutant)
    with pytest.raises(CertificateError) as caught:
        export_run(spoken, tmp_path / "hf")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_texts_that_stop_elsewhere_are_found(spoken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The greedy texts themselves are compared, not the ids of stops alone."""
    from linnet.interop.readers import ByTransformers

    honest = ByTransformers.greedy
    monkeypatch.setattr(ByTransformers, "greedy", lambda self, prompt, n: honest(self, prompt, n)[:-1])
    with pytest.raises(CertificateError, match=r"stop, read by transformers.*greedy texts part"):
        export_run(spoken, tmp_path / "hf")


def test_without_transformers(spoken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certify, "has", lambda module: module != "transformers")
    with pytest.raises(CertificateError, match="could not be checked") as caught:
        export_run(spoken, tmp_path / "hf")
    assert "--unchecked" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    found = export_run(spoken, tmp_path / "hf", unchecked=True)
    assert {line.what for line in found.lines if line.verdict == "not checked"} == {
        "tokens",
        "logits",
        "specials",
        "template",
        "stop",
    }
    assert "Not checked" in (tmp_path / "hf" / "certificate.md").read_text("utf-8")


# ── What cannot be exported, templates, the verb ────────────────────────────────────────────────────────────────────


def test_a_model_that_nobody_has_a_name_for(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", Linnet(**SMALL, n_heads=4), bpe())
    with pytest.raises(ConfigError, match="no family for"):
        export_run(run, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


def test_nothing_is_written_over(spoken: Path, tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    with pytest.raises(LinnetError, match="is there already"):
        export_run(spoken, tmp_path / "hf")
    with pytest.raises(LinnetError, match="did you mean 'bfloat16'"):
        export_run(spoken, tmp_path / "other", dtype="bfloat")


@pytest.mark.parametrize("template", [ChatML(), Llama3(), Plain(), Plain(user="a'b\\", assistant="{{ c }} #} -#}")], ids=repr)
def test_jinja_says_what_the_template_does(template: ChatTemplate) -> None:
    source = jinja_of(template, end="</s>")
    for turns in CONVERSATIONS:
        for reply in (True, False):
            assert render(source, turns, names={}, reply=reply) == text_of(template, turns, end="</s>", reply=reply)
    assert matching(source, names={}, end="</s>") == template
    assert matching(source, names={}, end="</t>") is None or "</s>" not in source, "another end of a document"


def test_the_text_is_what_the_template_gives_ids_of() -> None:
    tokenizer = bpe(*CHAT)
    assert isinstance(tokenizer, BPETokenizer)
    for turns in CONVERSATIONS:
        ids = ChatML().render(tokenizer, turns, reply=True).ids
        assert tokenizer.decode(ids) == text_of(ChatML(), turns, end=tokenizer.end, reply=True)


def test_the_verb(spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(spoken, tmp_path / "run")
    code, out, err = command(capsys, "export", tmp_path / "run", "--to", "hf")
    assert code == 0, err
    assert all(word in out for word in ("500 texts", "max |Δ|", "transformers", "equal"))
    model = linnet.load(tmp_path / "run")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "hf", local_files_only=True)
    ids = torch.tensor([model.tokenizer.encode("Once upon a time")])
    with torch.no_grad():
        assert (model.network.logits(model.network(ids).hidden) - theirs(ids).logits).abs().max() < 1e-4
    code, _, err = command(capsys, "export", tmp_path / "run", "--to", "gguf")
    assert code == 2
    assert "--to hf" in err
