"""Named families: what they are made of, how large they are, how they are written down and read back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from linnet.core.errors import ConfigError
from linnet.core.spec import dump, load, words
from linnet.model import MLP, XL, Attention, Convolution, Infini, LayerNorm, Learned, Model, Network, RMSNorm, Rope
from linnet.model.count import count
from linnet.model.describe import describe
from linnet.zoo import GPT2, SIZES, Bert, BitNet, Decoder, Deepseek, Family, Linnet, Llama, Mistral, Qwen3, Sentence, Translate
from linnet.zoo.family import HuggingFace, SizeName, expect, gated_width

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = [family for family in words(Family).values() if issubclass(family, Decoder)]
FOREIGN = [family for family in FAMILIES if issubclass(family, HuggingFace)]
DENSE = [
    family for family in FAMILIES if (one := family().sentence(97)).n_active_params() == one.n_params() and one.encoder is None
]
name_of = lambda cls: cls.__name__  # noqa: E731

# parameters as their makers' checkpoints hold them; law 8 has GPT-2, Llama 2 7B and Mistral 7B
PUBLISHED = {
    "GPT-2 medium": (GPT2(n_layers=24, n_heads=16, d_model=1024, context_length=1024), 50_257, 354_823_168),
    "GPT-2 large": (GPT2(n_layers=36, n_heads=20, d_model=1280, context_length=1024), 50_257, 774_030_080),
    "GPT-2 XL": (GPT2(n_layers=48, n_heads=25, d_model=1600, context_length=1024), 50_257, 1_557_611_200),
    "TinyLlama 1.1B": (Llama(n_layers=22, n_heads=32, n_kv_heads=4, d_model=2048, d_ff=5632), 32_000, 1_100_048_384),
    "Llama 2 13B": (Llama(n_layers=40, n_heads=40, d_model=5120, d_ff=13_824), 32_000, 13_015_864_320),
    "Qwen3 0.6B": (Qwen3(n_layers=28, n_heads=16, n_kv_heads=8, d_head=128, d_model=1024, d_ff=3072), 151_936, 596_049_920),
    "Qwen3 1.7B": (Qwen3(n_layers=28, n_heads=16, n_kv_heads=8, d_head=128, d_model=2048, d_ff=6144), 151_936, 1_720_574_976),
}


def first_mixers(model: Model) -> list[object]:
    return [sublayer.mixer for sublayer in next(model.decoder.blocks()).sublayers]


def attention_of(model: Model) -> Any:
    [found] = [mixer for mixer in first_mixers(model) if isinstance(mixer, Attention | Infini | XL)]
    return found


def test_names() -> None:
    assert {"gpt2", "linnet", "llama", "mistral", "qwen3", "sentence"} <= set(words(Family))
    assert tuple(SIZES) == get_args(SizeName), "the type that a run file is checked against"
    assert load(Family, "gpt2") == GPT2()  # type: ignore[type-abstract]
    assert len({family.model_type for family in FOREIGN}) == len(FOREIGN), "two families for one of their types"


@pytest.mark.parametrize("family", FOREIGN, ids=name_of)
def test_their_names_are_those_of_transformers(family: type[HuggingFace]) -> None:
    auto = pytest.importorskip("transformers.models.auto.modeling_auto")
    maps = (auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    assert family.architecture in {found[family.model_type] for found in maps if family.model_type in found}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name: str) -> None:
    family, vocab_size, number = PUBLISHED[name]
    model = family.sentence(vocab_size)
    assert model.n_params() == number
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in Network(model, seed=None).parameters()) == number


def test_base_is_gpt2_s_124_million() -> None:
    assert GPT2(size="base", context_length=1024).sentence(50_257).n_params() == 124_439_808


def stated() -> dict[str, float]:
    """Millions of parameters in the layers by size, as the page on run files states them."""
    page = (ROOT / "docs" / "techniques" / "run-files.md").read_text("utf-8")
    found = re.search(r"`size` is one of `([a-z ]+)` \(([\d., ]+) million parameters in the layers\)", page)
    assert found is not None
    names, numbers = found[1].split(), [float(number) for number in found[2].split(", ")]
    assert len(names) == len(numbers)
    return dict(zip(names, numbers, strict=True))


@pytest.mark.parametrize("family", DENSE, ids=name_of)
def test_sizes_have_the_parameters_that_are_stated(family: type[Decoder]) -> None:
    said = stated()
    assert list(said) == list(SIZES)
    for size, number in said.items():
        body = count(family.model_validate({"size": size}).sentence(1024), 256).body / 1e6
        assert body == pytest.approx(number, rel=0.04, abs=0.05), size  # widths in eights, biases, norms; one figure stated


def test_sizes_grow_and_heads_divide_them() -> None:
    bodies = [count(Linnet.model_validate({"size": size}).sentence(1024), 256).body for size in SIZES]
    assert bodies == sorted(bodies)
    for shape in SIZES.values():
        assert shape.d_model % shape.n_heads == 0
        assert shape.d_model // shape.n_heads % 2 == 0, "rotary positions turn pairs"


def test_a_gated_mlp_has_about_as_many_parameters_as_a_plain_one() -> None:
    for width in (shape.d_model for shape in SIZES.values()):
        assert gated_width(width) % 8 == 0
        assert 3 * gated_width(width) == pytest.approx(2 * 4 * width, rel=0.035)  # to the nearest eight


@pytest.mark.parametrize("family", FAMILIES, ids=name_of)
def test_sentences_round_trip(family: type[Decoder]) -> None:
    for one in family.examples():
        sentence = one.sentence(97)
        assert load(Model, json.loads(json.dumps(dump(sentence)))) == sentence
        assert Sentence(model=sentence).sentence(97) == sentence
        assert load(Family, json.loads(json.dumps(dump(one)))).sentence(97) == sentence  # type: ignore[type-abstract]


@pytest.mark.parametrize("family", FAMILIES, ids=name_of)
def test_fields_lie_over_the_size(family: type[Decoder]) -> None:
    one = family.model_validate({"size": "mini", "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_head": 6, "d_ff": 24})
    model = one.sentence(97)
    attention, mlp = attention_of(model), first_mixers(model)[-1]
    assert (model.decoder.n_layers, model.d_model) == (2, SIZES["mini"].d_model)
    assert (attention.n_heads, attention.groups, attention.width(model.d_model)) == (4, 2, 6)
    assert getattr(mlp, "expert", mlp).d_ff == 24  # type: ignore[attr-defined]
    assert family.model_validate({"dropout": 0.25}).sentence(97).dropout == 0.25
    with pytest.raises(ConfigError, match="n_heads = 5 does not divide d_model = 64"):
        family.model_validate({"n_heads": 5, "d_model": 64}).sentence(97)


def test_what_each_family_is_made_of() -> None:
    gpt2, llama, mistral, qwen3 = (family().sentence(97) for family in (GPT2, Llama, Mistral, Qwen3))
    assert gpt2.position == Learned(max_length=256)
    assert gpt2.decoder.final_norm == LayerNorm()
    assert first_mixers(gpt2) == [Attention(n_heads=4, bias=True), MLP(d_ff=512, activation="gelu_tanh", bias=True)]
    assert gpt2.head.tied
    assert llama.position is None
    assert attention_of(llama) == Attention(n_heads=4, position=Rope())
    assert llama.decoder.final_norm == RMSNorm(eps=1e-5)
    assert not llama.head.tied
    assert attention_of(mistral) == attention_of(llama).replace(window=128)
    assert attention_of(qwen3) == Attention(n_heads=4, position=Rope(base=1e6), qk_norm=RMSNorm(eps=1e-6))
    assert qwen3.head.tied


def test_linnet_begins_with_an_even_prediction_and_blocks_that_add_nothing() -> None:
    model = Linnet(size="nano", n_layers=2).sentence(97)
    assert [type(mixer) for mixer in first_mixers(model)] == [Convolution, Attention, MLP]
    network = Network(model, seed=3).eval()
    tokens = torch.randint(0, 97, (2, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        hidden = network(tokens).hidden
        assert torch.equal(network.logits(hidden), torch.zeros(2, 9, 97))
        norm = network.decoder.final_norm
        assert norm is not None
        assert torch.equal(hidden, norm(network.embedding(tokens)))
    assert [type(mixer) for mixer in first_mixers(Linnet(convolution=None).sentence(97))] == [Attention, MLP]


@pytest.mark.parametrize("family", FOREIGN, ids=name_of)
def test_rules_name_every_weight_once_on_both_sides(family: type[GPT2]) -> None:
    for one in family.examples():
        model = one.sentence(97)
        rules = family.rules(model)
        ours = [name for rule in rules for name in rule.names]
        with torch.device("meta"):
            built = [name for name, _ in Network(model, seed=None).named_parameters()]
        assert sorted(ours) == sorted(built)
        assert len({rule.theirs for rule in rules}) == len(rules)


@pytest.mark.parametrize("family", FOREIGN, ids=name_of)
def test_their_config_says_the_same_sentence(family: type[GPT2]) -> None:
    compared = 0
    for one in family.examples():
        model = one.replace(dropout=0.0, **({"qk_norm": family().qk_norm} if "qk_norm" in family.model_fields else {})).sentence(
            97
        )
        apart = attention_of(model).n_kv_heads or attention_of(model).d_head
        if family in (GPT2, Bert, BitNet) and apart:  # their configs have no word for one of the two, or for either
            continue
        if family in (Llama, Qwen3, BitNet) and attention_of(model).window:
            continue
        config = json.loads(json.dumps(family.to_hf(model, one.context_length)))
        again = family.from_hf(config)
        assert again.n_params() == model.n_params()
        assert [attention_of(again).groups, attention_of(again).width(again.d_model)] == [
            attention_of(model).groups, attention_of(model).width(model.d_model),
        ]  # fmt: skip
        assert family.to_hf(again, one.context_length) == config
        compared += 1
    assert compared >= 2


def test_a_foreign_config_is_read_strictly() -> None:
    config = Llama.to_hf(Llama(n_layers=1, n_heads=2, d_model=16).sentence(97), 64)
    with pytest.raises(ConfigError, match="hidden_act = 'gelu'; needed: 'silu'"):
        Llama.from_hf(config | {"hidden_act": "gelu"})
    with pytest.raises(ConfigError, match="did you mean 'rms_norm_eps'"):
        Llama.from_hf(config | {"rms_norm_esp": 1e-5})
    with pytest.raises(ConfigError, match="rope_type = 'longrope'; needed: rope_type 'default', 'linear', 'yarn', 'llama3'"):
        Llama.from_hf(config | {"rope_parameters": {"rope_type": "longrope"}})
    assert expect({"_name": 1, "use_cache": True}, {}, "llama") == {"_name": 1, "use_cache": True}
    old = {key: value for key, value in config.items() if key != "rope_parameters"} | {"rope_theta": 500.0}
    assert attention_of(Llama.from_hf(old)).position == Rope(base=500.0)


def test_a_sentence_must_have_the_tokenizer_s_vocabulary() -> None:
    sentence = Sentence.examples()[0]
    with pytest.raises(ConfigError, match="vocab_size = 97; needed: the tokenizer's 98"):
        sentence.sentence(98)


def test_a_line_of_words_tells_layers_apart() -> None:
    assert describe(GPT2().sentence(67)) == "4 × (attention + mlp), width 128, learned positions, 67 ids, tied head"
    said = "1 × (latent + glu), 3 × (latent + moe), width 128, rope positions, 67 ids, free head"
    assert describe(Deepseek().sentence(67)) == said
    assert describe(Sentence.examples()[0].sentence(97)).startswith("2 × (attention + mlp, attention), 1 × (attention + mlp), ")
    said = "encoder of 1 × (attention + mlp), decoder of 4 × (attention + cross + mlp), width 128, sinusoidal positions, 67 ids, tied head"
    assert describe(Translate(n_encoder_layers=1).sentence(67)) == said
