"""DeepSeek-V3's logits equal Hugging Face's, in both directions, on tiny random models in float32; files as they are saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from equivalence import Hold
from linnet.core.errors import ConfigError
from linnet.core.rules import export, import_
from linnet.interop.huggingface import export_network, import_network, read_folder, write_folder
from linnet.model import LatentAttention, Network, Rope, YarnScaling
from linnet.model.weights import model_tensors
from linnet.zoo import Deepseek, deepseek
from parity import PROMPT, greedy, randomise, their_greedy, tokens

transformers = pytest.importorskip("transformers")
TOLERANCE = 1e-4  # float32; measured maxima are below 1e-5
YARN = {
    "rope_type": "yarn", "rope_theta": 10_000.0, "factor": 40.0, "original_max_position_embeddings": 24, "beta_fast": 4.0, "beta_slow": 1.0,
    "mscale": 1.0, "mscale_all_dim": 1.0,
}  # fmt: skip
TINY: dict[str, Any] = {
    "vocab_size": 97, "hidden_size": 48, "intermediate_size": 80, "moe_intermediate_size": 24, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 4, "n_routed_experts": 8, "q_lora_rank": 20, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 10, "v_head_dim": 12, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 3, "first_k_dense_replace": 1,
    "max_position_embeddings": 96, "initializer_range": 0.2,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "queries of the input": {"q_lora_rank": None, "v_head_dim": 20},
    "no experts": {"first_k_dense_replace": 3},
    "experts only": {"first_k_dense_replace": 0, "n_shared_experts": 2, "norm_topk_prob": False, "rms_norm_eps": 1e-3},
    "yarn": {"rope_parameters": YARN},
    "one expert": {"num_experts_per_tok": 1, "topk_group": 1, "norm_topk_prob": True},
}
FAMILIES = {
    "plain": Deepseek(n_layers=3, n_heads=4, d_model=48, n_experts=8, n_groups=4, top_groups=2, d_latent=16, context_length=96),
    "yarn": Deepseek(
        n_layers=2, n_heads=4, d_model=48, d_query_latent=20, d_rope=8, n_experts=4, top_k=2, context_length=96, tied=True,
        scale=deepseek._sharpened(12 + 8, 40.0, 0.707), rope_scaling=YarnScaling(factor=40.0, original_length=24, beta_fast=4.0),
    ),
}  # fmt: skip


BUFFERS = ("e_score_correction_bias", "mixer.bias")  # what no gradient moves, so that a swapped one shows


def theirs(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.DeepseekV3Config(**TINY | CONFIGS[name])
    made = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    randomise(made, BUFFERS)
    return made


@pytest.mark.parametrize("name", CONFIGS)
def test_import_gives_their_logits_and_export_their_file(name: str, tmp_path: Path, hold: Hold) -> None:
    model = theirs(name)
    model.save_pretrained(tmp_path)
    ours = read_folder(tmp_path)
    with torch.no_grad():
        expected = model(tokens()).logits
        got = ours.logits(ours(tokens()).hidden)
    assert expected.std() > 0.1, "logits too flat to tell models apart"
    hold("10 theirs here", (got - expected).abs().max().item(), TOLERANCE)
    _, tensors = export_network(ours, Deepseek, 96)
    saved = load_file(tmp_path / "model.safetensors")
    assert tensors.keys() == saved.keys()
    assert all(torch.equal(tensors[key], saved[key]) for key in saved)


@pytest.mark.parametrize("name", FAMILIES)
def test_export_gives_our_logits(name: str, tmp_path: Path, hold: Hold) -> None:
    family = FAMILIES[name]
    ours = Network(family.sentence(97), seed=3)
    randomise(ours, BUFFERS)
    write_folder(tmp_path, ours, Deepseek, 96)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager", local_files_only=True).eval()
    with torch.no_grad():
        expected = ours.logits(ours(tokens()).hidden)
        got = model(tokens()).logits
    hold("10 ours there", (got - expected).abs().max().item(), TOLERANCE)
    again = model_tensors(read_folder(tmp_path))
    assert all(torch.equal(tensor, again[key]) for key, tensor in model_tensors(ours).items())


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_continuation_is_theirs(name: str, tmp_path: Path) -> None:
    """64 tokens of cached decoding, by the absorbed way, against theirs, which writes keys and values out."""
    model = theirs(name)
    model.save_pretrained(tmp_path)
    prompt = tokens()[:1, :PROMPT]
    assert greedy(read_folder(tmp_path), prompt, 64) == their_greedy(model, prompt, 64)


@pytest.mark.parametrize("mutant", ["_turned", "_keys_then_values"])
def test_rows_in_another_order_are_caught(mutant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = theirs("plain")
    model.save_pretrained(tmp_path)
    right = getattr(deepseek, mutant)
    monkeypatch.setattr(deepseek, mutant, lambda *sizes: tuple(range(len(right(*sizes)))))
    ours = read_folder(tmp_path)
    with torch.no_grad():
        assert (ours.logits(ours(tokens()).hidden) - model(tokens()).logits).abs().max() > 100 * TOLERANCE


def test_a_scale_that_is_ignored_is_caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = theirs("yarn")
    model.save_pretrained(tmp_path)
    monkeypatch.setattr(deepseek, "_read_scale", lambda config, rope: None)
    ours = read_folder(tmp_path)
    with torch.no_grad():
        assert (ours.logits(ours(tokens()).hidden) - model(tokens()).logits).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("family", Deepseek.examples(), ids=lambda family: str(family.n_layers))
def test_the_name_map_holds_every_weight_once_and_goes_both_ways(family: Deepseek) -> None:
    network = Network(family.sentence(97), seed=0)
    ours, rules = model_tensors(network), Deepseek.rules(network.spec)
    assert sorted(name for rule in rules for name in rule.names) == sorted(ours)
    there = export(rules, ours)
    assert len(there) == len(rules)
    back = import_(rules, there, {name: tensor.shape for name, tensor in ours.items()})
    assert all(torch.equal(back[name], tensor) for name, tensor in ours.items())


PUBLISHED = {  # the config.json of deepseek-ai/DeepSeek-V3, without its 8-bit numbers
    "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "aux_loss_alpha": 0.001, "bos_token_id": 0,
    "ep_size": 1, "eos_token_id": 1, "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168, "initializer_range": 0.02,
    "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840, "model_type": "deepseek_v3",
    "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": True,
    "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 1,
    "pretraining_tp": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_theta": 10000,
    "rope_scaling": {
        "beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096,
        "type": "yarn",
    },
    "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "seq_aux": True, "tie_word_embeddings": False, "topk_group": 4,
    "topk_method": "noaux_tc", "torch_dtype": "bfloat16", "transformers_version": "4.33.1", "use_cache": True, "v_head_dim": 128,
    "vocab_size": 129280,
}  # fmt: skip


def test_the_published_config_is_read_and_written() -> None:
    model = Deepseek.from_hf(PUBLISHED)
    assert model.n_params() + 58 * 256 == 671_026_419_200
    attention = next(model.decoder.sublayers()).mixer
    assert isinstance(attention, LatentAttention)
    assert isinstance(attention.position, Rope)
    assert attention.scale == pytest.approx(192**-0.5 * 1.3689**2, rel=1e-4)
    assert attention.position.scaling == YarnScaling(factor=40, original_length=4096, attention_factor=1.0)
    config = json.loads(json.dumps(Deepseek.to_hf(model, 163840)))
    assert config["rope_parameters"]["mscale_all_dim"] == 1.0
    assert Deepseek.from_hf(config) == model


def test_refusals() -> None:
    config = transformers.DeepseekV3Config(**TINY).to_dict()
    for change, said in (
        ({"rope_interleave": False}, "rope_interleave = False; needed: True"),
        ({"num_key_value_heads": 2}, "num_key_value_heads = 2; needed: 4"),
        ({"scoring_func": "softmax"}, "scoring_func = 'softmax'; needed: 'sigmoid'"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config"),
    ):
        with pytest.raises(ConfigError, match=said):
            import_network(config | change, {})
    with pytest.raises(ConfigError, match=r"scale = 0.3 of latent attention, which a config.json of DeepSeek-V3 cannot say"):
        Deepseek.to_hf(Deepseek(scale=0.3).sentence(97), 64)
    with pytest.raises(ConfigError, match="n_dense = 5 of n_layers = 2; needed: no more than there are"):
        Deepseek(n_layers=2, n_dense=5).sentence(97)


def test_no_shared_expert(tmp_path: Path, hold: Hold) -> None:
    """Theirs holds matrices of no width then; ours holds none."""
    model = transformers.DeepseekV3ForCausalLM(transformers.DeepseekV3Config(**TINY | {"n_shared_experts": 0})).eval()
    randomise(model, BUFFERS)
    model.save_pretrained(tmp_path / "theirs")
    ours = read_folder(tmp_path / "theirs")
    with torch.no_grad():
        expected, got = model(tokens()).logits, ours.logits(ours(tokens()).hidden)
    assert expected.std() > 0.1, "logits too flat to tell models apart"
    hold("10 theirs here", (got - expected).abs().max().item(), TOLERANCE)
    write_folder(tmp_path / "ours", ours, Deepseek, 96)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", local_files_only=True).eval()
    with torch.no_grad():
        hold("10 ours there", (again(tokens()).logits - expected).abs().max().item(), TOLERANCE)
