"""Jamba's logits equal Hugging Face's, in both directions, on tiny random models in float32; files as they are saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from equivalence import Hold
from linnet.core.errors import CheckpointError, ConfigError
from linnet.core.rules import export, import_
from linnet.core.spec import dump, load
from linnet.interop.huggingface import export_network, import_network, read_folder, spelt_out, write_folder
from linnet.model import GLU, Attention, Mamba, Model, MoE, Network
from linnet.model.weights import model_tensors
from linnet.zoo import Family, Jamba, jamba
from linnet.zoo.family import SIZES
from parity import PROMPT, VOCAB, greedy, randomise, scores, their_greedy, tokens

transformers = pytest.importorskip("transformers")
TOLERANCE = 1e-4  # float32; measured maxima are below 5e-5
TINY: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 48, "intermediate_size": 40, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_experts": 4, "num_experts_per_tok": 2, "attn_layer_period": 4, "attn_layer_offset": 2, "mamba_d_state": 8, "initializer_range": 0.2,
    "use_mamba_kernels": False, "max_position_embeddings": 96,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attention first": {"attn_layer_period": 3, "attn_layer_offset": 0, "expert_layer_period": 3, "expert_layer_offset": 2},
    "other widths": {
        "mamba_d_state": 5, "mamba_d_conv": 3, "mamba_expand": 1, "mamba_dt_rank": 7, "mamba_proj_bias": True, "mamba_conv_bias": False,
        "rms_norm_eps": 1e-3, "tie_word_embeddings": True, "num_experts_per_tok": 1,
    },
    "no experts": {"num_experts": 1, "num_experts_per_tok": 1},
    "Mamba alone": {"attn_layer_period": 9, "attn_layer_offset": 8, "expert_layer_period": 1, "expert_layer_offset": 0},
    "attention alone": {"attn_layer_period": 1, "attn_layer_offset": 0},
}  # fmt: skip
FAMILIES = {
    "plain": Jamba(n_layers=4, n_heads=4, n_kv_heads=2, d_model=48, d_state=8, d_ff=40, n_experts=4, context_length=96),
    "all fields": Jamba.examples()[1].replace(d_model=48, n_layers=5, dropout=0.0),
    "no experts": Jamba(n_layers=3, n_heads=4, d_model=48, d_state=4, d_ff=40, n_experts=1, context_length=96),
}


def theirs(name: str) -> Any:
    torch.manual_seed(0)
    config = transformers.JambaConfig(**TINY | CONFIGS[name])
    made = transformers.JambaForCausalLM._from_config(config, attn_implementation="eager").eval()
    randomise(made)
    return made


@torch.no_grad()
@pytest.mark.parametrize("name", CONFIGS)
def test_import_gives_their_logits_and_export_their_file(name: str, tmp_path: Path, hold: Hold) -> None:
    model = theirs(name)
    model.save_pretrained(tmp_path)
    ours = read_folder(tmp_path)
    expected = model(tokens(), use_cache=False).logits
    assert expected.std() > 0.1, "logits too flat to tell models apart"
    hold("10 theirs here", (scores(ours, tokens()) - expected).abs().max().item(), TOLERANCE)
    _, tensors = export_network(ours, Jamba, 96)
    saved = load_file(tmp_path / "model.safetensors")
    assert tensors.keys() == saved.keys()
    assert all(torch.equal(tensors[key], saved[key]) for key in saved)


@pytest.mark.parametrize("name", ["plain", "no experts"])
def test_weights_as_they_are_held_in_memory(name: str, hold: Hold) -> None:
    """One tensor for all experts, where the file has one for each."""
    model = theirs(name)
    ours = import_network(model.config.to_dict(), model.state_dict())
    with torch.no_grad():
        hold(
            "10 in part, padded, or a piece at a time",
            (scores(ours, tokens()) - model(tokens(), use_cache=False).logits).abs().max().item(),
            TOLERANCE,
        )


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_export_gives_our_logits(name: str, tmp_path: Path, hold: Hold) -> None:
    ours = Network(FAMILIES[name].sentence(VOCAB), seed=3)
    randomise(ours)
    write_folder(tmp_path, ours, Jamba, 96)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager", local_files_only=True).eval()
    hold("10 ours there", (scores(ours, tokens()) - model(tokens(), use_cache=False).logits).abs().max().item(), TOLERANCE)
    again = read_folder(tmp_path)
    assert spelt_out(again.spec) == spelt_out(ours.spec)
    weights = model_tensors(again)
    assert all(torch.equal(tensor, weights[key]) for key, tensor in model_tensors(ours).items())


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "Mamba alone"])  # their cache asks for an attention layer
def test_64_greedy_tokens_are_theirs(name: str) -> None:
    """Through the state: keys and values of attention, the recurrence and the convolution of Mamba."""
    model, prompt = theirs(name), tokens()[:1, :PROMPT]
    ours = import_network(model.config.to_dict(), model.state_dict())
    expected = their_greedy(model, prompt, 64)
    assert len(set(expected)) > 10, "one word said over and over is no test"
    assert greedy(ours, prompt, 64) == expected


def swap(state: dict[str, torch.Tensor], one: str, other: str) -> None:
    state[one], state[other] = state[other], state[one]


def swap_norms_of_b(state: dict[str, torch.Tensor]) -> None:
    """… of two layers. B's and C's of one layer may be swapped: only their product is ever heard."""
    swap(state, "model.layers.0.mamba.b_layernorm.weight", "model.layers.1.mamba.b_layernorm.weight")


def forget_norms_of_steps(state: dict[str, torch.Tensor]) -> None:
    state["model.layers.1.mamba.dt_layernorm.weight"] = torch.ones(3)


def swap_experts(state: dict[str, torch.Tensor]) -> None:
    state["model.layers.1.feed_forward.experts.down_proj"] = state["model.layers.1.feed_forward.experts.down_proj"].flip(0)


def swap_norms_of_a_layer(state: dict[str, torch.Tensor]) -> None:
    swap(state, "model.layers.2.input_layernorm.weight", "model.layers.2.pre_ff_layernorm.weight")


@pytest.mark.parametrize(
    "mutate", [swap_norms_of_b, forget_norms_of_steps, swap_experts, swap_norms_of_a_layer], ids=lambda f: f.__name__
)
def test_a_wrong_name_map_is_caught(mutate: Callable[[dict[str, torch.Tensor]], None]) -> None:
    model = theirs("plain")
    state = dict(model.state_dict())
    mutate(state)
    with torch.no_grad():
        assert (
            scores(import_network(model.config.to_dict(), state), tokens()) - model(tokens(), use_cache=False).logits
        ).abs().max() > TOLERANCE


@pytest.mark.parametrize("change", [{"normalise": True}, {"top_k": 1}], ids=str)
def test_other_routing_is_caught(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model = theirs("plain")
    monkeypatch.setattr(jamba, "MoE", lambda **fields: MoE(**fields | change))
    ours = Network(Jamba.from_hf(model.config.to_dict()), seed=None)
    monkeypatch.undo()
    right = import_network(model.config.to_dict(), model.state_dict())
    ours.load_state_dict(right.state_dict())
    with torch.no_grad():
        assert (scores(ours, tokens()) - model(tokens(), use_cache=False).logits).abs().max() > TOLERANCE


@pytest.mark.parametrize("family", Jamba.examples(), ids=lambda family: str(family.n_layers))
def test_the_name_map_holds_every_weight_once_and_goes_both_ways(family: Jamba) -> None:
    network = Network(family.sentence(VOCAB), seed=0)
    ours, rules = model_tensors(network), Jamba.rules(network.spec)
    assert sorted(name for rule in rules for name in rule.names) == sorted(ours)
    there = export(rules, ours)
    assert len(there) == len(rules)
    back = import_(rules, there, {name: tensor.shape for name, tensor in ours.items()})
    assert all(torch.equal(back[name], tensor) for name, tensor in ours.items())
    config = json.loads(json.dumps(Jamba.to_hf(network.spec, 96)))
    assert spelt_out(Jamba.from_hf(config)) == spelt_out(network.spec)


PUBLISHED = {  # the config.json of ai21labs/Jamba-v0.1
    "architectures": ["JambaForCausalLM"], "attention_dropout": 0.0, "attn_layer_offset": 4, "attn_layer_period": 8, "bos_token_id": 1,
    "calc_logits_for_entire_prompt": False, "eos_token_id": 2, "expert_layer_offset": 1, "expert_layer_period": 2, "hidden_act": "silu",
    "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336, "mamba_conv_bias": True, "mamba_d_conv": 4,
    "mamba_d_state": 16, "mamba_dt_rank": 256, "mamba_expand": 2, "mamba_inner_layernorms": True, "mamba_proj_bias": False,
    "model_type": "jamba", "n_ctx": 262144, "num_attention_heads": 32, "num_experts": 16, "num_experts_per_tok": 2, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "num_logits_to_keep": 1, "output_router_logits": False, "pad_token_id": 0, "rms_norm_eps": 1e-06,
    "router_aux_loss_coef": 0.001, "sliding_window": None, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True,
    "use_mamba_kernels": True, "vocab_size": 65536,
}  # fmt: skip


def test_the_published_model_is_counted() -> None:
    """51,570,323,328, or 103,140,646,656 bytes in bfloat16: what public recounts of the published weights say, and what transformers
    builds of its config. 2403.19887 says 52B, of which 12B are active (section 1)."""
    model = Jamba.from_hf(PUBLISHED)
    with torch.device("meta"):
        built = transformers.JambaForCausalLM(transformers.JambaConfig())
    assert model.n_params() == 103_140_646_656 // 2 == sum(parameter.numel() for parameter in built.parameters())
    assert model.n_active_params() == 12_110_311_296
    assert [sum(isinstance(s.mixer, kind) for s in model.decoder.sublayers()) for kind in (Attention, Mamba, MoE, GLU)] == [
        4,
        28,
        16,
        16,
    ]
    assert spelt_out(Jamba.from_hf(Jamba.to_hf(model, 262_144))) == spelt_out(model)


def test_every_size_has_attention_and_experts() -> None:
    for size in SIZES:
        mixers = [type(sublayer.mixer) for sublayer in Jamba.model_validate({"size": size}).sentence(VOCAB).decoder.sublayers()]
        assert {Attention, Mamba, MoE, GLU} == set(mixers), size


def test_refusals() -> None:
    model = theirs("plain")
    config, state = model.config.to_dict(), dict(model.state_dict())
    for change, said in (
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu'; needed: 'silu'"),
        ({"sliding_window": 7}, "sliding_window = 7; needed: None"),
        ({"mamba_inner_layernorms": False}, "mamba_inner_layernorms = False; needed: True"),
        ({"attn_layer_ofset": 1}, "did you mean 'attn_layer_offset'"),
        ({"attn_layer_offset": 4}, "attention_offset = 4 of attention_period = 4; needed: one that is below it"),
    ):
        with pytest.raises(ConfigError, match=said):
            import_network(config | change, {})
    del state["model.layers.0.mamba.dt_layernorm.weight"]
    state["model.layers.2.mamba.D"] = torch.zeros(96)
    with pytest.raises(CheckpointError) as caught:
        import_network(config, state)
    assert "model.layers.0.mamba.dt_layernorm.weight is missing" in str(caught.value)
    assert "model.layers.2.mamba.D is not expected" in str(caught.value)
    irregular = Jamba.examples()[0].sentence(VOCAB)
    blocks = tuple(irregular.decoder.blocks())
    [repeat] = irregular.decoder.layers
    mixed = repeat.replace(pattern=(blocks[2], blocks[0], blocks[2], blocks[2]), times=1)
    with pytest.raises(ConfigError, match="not a plain jamba"):
        export_network(Network(irregular.replace(decoder=irregular.decoder.replace(layers=(mixed,)))), Jamba, 96)


def test_words_and_back() -> None:
    for one in Jamba.examples():
        assert load(Family, json.loads(json.dumps(dump(one)))) == one  # type: ignore[type-abstract]
        sentence = one.sentence(VOCAB)
        assert load(Model, json.loads(json.dumps(dump(sentence)))) == sentence


def test_layers_that_contradict_the_periods_are_refused() -> None:
    config = transformers.JambaConfig(**TINY)
    said, plain = config.to_dict(), Jamba.from_hf(config.to_dict())
    assert Jamba.from_hf(said | {"layers_block_type": config.layers_block_type, "layer_types": config.layer_types}) == plain
    for key, kind in (("layers_block_type", "attention"), ("layer_types", "full_attention")):
        with pytest.raises(ConfigError, match=rf"{key}\[0\] = '{kind}'"):
            Jamba.from_hf(said | {key: [kind] * 4})
        with pytest.raises(ConfigError, match=f"3 {key} of num_hidden_layers = 4"):
            Jamba.from_hf(said | {key: getattr(config, key)[:3]})
