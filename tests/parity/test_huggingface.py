"""Logits equal Hugging Face's, in both directions, on tiny random models in float32."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from equivalence import Hold
from linnet.core.errors import CheckpointError, ConfigError
from linnet.core.rules import Rule
from linnet.interop.huggingface import export_network, family_of, import_network, read_folder, write_folder
from linnet.model import Attention, LinearScaling, Llama3Scaling, Model, Network, NTKScaling, YarnScaling
from linnet.zoo import GPT2, Llama, MambaFamily, Mistral, Mixtral, Qwen3
from parity import PROMPT, greedy, randomise, their_greedy, tokens

transformers = pytest.importorskip("transformers")
TOLERANCE = 1e-4  # float32; measured maxima are below 5e-5

CONFIGS = {
    "gpt2": lambda: transformers.GPT2Config(vocab_size=97, n_positions=80, n_embd=48, n_layer=3, n_head=4, initializer_range=0.2),
    "llama": lambda: transformers.LlamaConfig(
        vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=40, initializer_range=0.2,
    ),
    "mistral": lambda: transformers.MistralConfig(
        vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=40, sliding_window=7, initializer_range=0.2,
    ),
    "qwen3": lambda: transformers.Qwen3Config(
        vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        max_position_embeddings=40, initializer_range=0.2, tie_word_embeddings=True,
    ),
    "mamba": lambda: transformers.MambaConfig(vocab_size=97, hidden_size=48, state_size=8, num_hidden_layers=3, initializer_range=0.2),
    "mamba with biases": lambda: transformers.MambaConfig(
        vocab_size=97, hidden_size=48, state_size=5, conv_kernel=3, expand=1, time_step_rank=7, num_hidden_layers=3, initializer_range=0.2,
        use_bias=True, use_conv_bias=False, tie_word_embeddings=False, layer_norm_epsilon=1e-3,
    ),
    "mixtral": lambda: transformers.MixtralConfig(
        vocab_size=97, hidden_size=48, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=40, num_local_experts=4, num_experts_per_tok=2, initializer_range=0.2,
    ),
    "mixtral with one expert a token": lambda: transformers.MixtralConfig(
        vocab_size=97, hidden_size=48, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=40, num_local_experts=4, num_experts_per_tok=1, initializer_range=0.2,
    ),
}  # fmt: skip
# their types of scaled positions, so short in training that every pair is on another part of the ramp
SCALED = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 10, "beta_fast": 2.0, "beta_slow": 0.1},
    "yarn by mscale": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 10, "mscale": 1.5, "mscale_all_dim": 0.5, "truncate": False,
    },
    "llama3": {
        "rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 16, "low_freq_factor": 0.1, "high_freq_factor": 2.0,
    },
}  # fmt: skip


def scaled_config(family: str, kind: str) -> Any:
    config = CONFIGS[family]().to_dict()
    return transformers.AutoConfig.for_model(**config | {"rope_parameters": {"rope_theta": 500.0, **SCALED[kind]}})


CONFIGS |= {
    f"{family} {kind}": partial(scaled_config, family, kind)
    for family in ("llama", "mistral", "qwen3")
    for kind in SCALED
    if family == "llama" or kind == "yarn"
}
FAMILIES = {
    "gpt2": GPT2(n_layers=3, n_heads=4, d_model=48, context_length=40),
    "llama": Llama(n_layers=3, n_heads=4, n_kv_heads=2, d_model=48, context_length=40),
    "mistral": Mistral(n_layers=3, n_heads=4, n_kv_heads=2, d_model=48, window=7, context_length=40),
    "qwen3": Qwen3(n_layers=3, n_heads=4, n_kv_heads=2, d_model=48, d_head=16, context_length=40),
    "mixtral": Mixtral(n_layers=3, n_heads=4, n_kv_heads=2, d_model=48, n_experts=4, context_length=40),
}
YARN = YarnScaling(factor=4.0, original_length=10, beta_fast=2.0, beta_slow=0.1)
FAMILIES |= {
    "llama linear": FAMILIES["llama"].replace(rope_scaling=LinearScaling(), rope_base=500.0),
    "llama yarn": FAMILIES["llama"].replace(rope_scaling=YARN, rope_base=500.0),
    "llama llama3": FAMILIES["llama"].replace(rope_scaling=Llama3Scaling(original_length=16, high_freq_factor=2.0)),
    "mistral yarn": FAMILIES["mistral"].replace(rope_scaling=YARN.replace(attention_factor=1.3, truncate=False)),
    "qwen3 yarn": FAMILIES["qwen3"].replace(rope_scaling=YARN),
    "mamba": MambaFamily(n_layers=3, d_model=48, d_state=8, context_length=40),
    "mamba with biases": MambaFamily(
        n_layers=3, d_model=48, d_state=5, d_conv=3, dt_rank=7, bias=True, conv_bias=False, tied=False
    ),
}


def build_theirs(config: object) -> torch.nn.Module:
    torch.manual_seed(0)
    theirs = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    randomise(theirs)
    return theirs


@pytest.mark.parametrize("name", CONFIGS)
def test_import_gives_their_logits(name: str, hold: Hold) -> None:
    config = CONFIGS[name]()
    theirs = build_theirs(config)
    ours = import_network(config.to_dict(), theirs.state_dict())
    with torch.no_grad():
        expected = theirs(tokens()).logits
        got = ours.logits(ours(tokens()).hidden)
    assert expected.std() > 0.1, "logits too flat to tell models apart"
    hold("10 theirs here", (got - expected).abs().max().item(), TOLERANCE)


@pytest.mark.parametrize("name", FAMILIES)
def test_export_gives_our_logits(name: str, tmp_path, hold: Hold) -> None:  # type: ignore[no-untyped-def]
    family = FAMILIES[name]
    ours = Network(family.sentence(97), seed=3)
    randomise(ours)
    write_folder(tmp_path, ours, type(family), 40)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, attn_implementation="eager", local_files_only=True
    ).eval()
    with torch.no_grad():
        expected = ours.logits(ours(tokens()).hidden)
        got = theirs(tokens()).logits
    hold("10 ours there", (got - expected).abs().max().item(), TOLERANCE)
    again = read_folder(tmp_path)
    for (key, a), (_, b) in zip(ours.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("name", CONFIGS)
def test_export_of_import_is_the_same(name: str) -> None:
    config = CONFIGS[name]()
    theirs = build_theirs(config)
    ours = import_network(config.to_dict(), theirs.state_dict())
    _, tensors = export_network(ours, family_of(config.to_dict()), 40)
    for key, tensor in tensors.items():
        assert torch.equal(tensor, theirs.state_dict()[key]), key


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_continuation_is_theirs(name: str) -> None:
    """Cached decoding, ours against theirs, token by token."""
    config = CONFIGS[name]()
    theirs = build_theirs(config)
    ours = import_network(config.to_dict(), theirs.state_dict())
    prompt, many = tokens()[:1, :PROMPT], 30 if name == "gpt2" else 64  # GPT-2 has learned 40 positions, turns go on
    assert greedy(ours, prompt, many) == their_greedy(theirs, prompt, many)


def test_mutant_swapped_gate_and_up_is_caught() -> None:
    """The parity test must fail for a name map with two tensors of one shape swapped."""
    config = CONFIGS["llama"]()
    theirs = build_theirs(config)
    state = dict(theirs.state_dict())
    key = "model.layers.1.mlp.{}_proj.weight"
    state[key.format("gate")], state[key.format("up")] = state[key.format("up")], state[key.format("gate")]
    ours = import_network(config.to_dict(), state)
    with torch.no_grad():
        assert (ours.logits(ours(tokens()).hidden) - theirs(tokens()).logits).abs().max() > TOLERANCE


def test_refusals_name_everything() -> None:
    config = CONFIGS["llama"]().to_dict()
    theirs = build_theirs(CONFIGS["llama"]())
    state = dict(theirs.state_dict())
    del state["model.norm.weight"]
    state["model.layers.0.self_attn.q_proj.bias"] = torch.zeros(48)
    state["lm_head.weight"] = torch.zeros(98, 48)
    with pytest.raises(CheckpointError) as caught:
        import_network(config, state)
    for words in ("model.norm.weight is missing", "q_proj.bias is not expected", "lm_head.weight has shape (98, 48)"):
        assert words in str(caught.value)
    with pytest.raises(ConfigError, match="of type 'falcon'"):
        family_of({"model_type": "falcon"})
    with pytest.raises(ConfigError, match="hidden_act = 'gelu'"):
        import_network(config | {"hidden_act": "gelu"}, {})
    with pytest.raises(ConfigError, match="rope_type = 'dynamic'"):
        import_network(config | {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, {})
    with pytest.raises(ConfigError, match="attention_multiplier"):
        import_network(config | {"attention_multiplier": 2.0}, {})


@pytest.mark.parametrize("kind", SCALED)
def test_older_configs_say_it_with_rope_scaling(kind: str) -> None:
    """`rope_theta` and `rope_scaling` (with "type" before 2024) mean what `rope_parameters` means."""
    new = CONFIGS[f"llama {kind}"]().to_dict()
    family = family_of(new)
    fields = {key: value for key, value in new["rope_parameters"].items() if key not in ("rope_theta", "rope_type")}
    for word in ("rope_type", "type"):
        old = {key: value for key, value in new.items() if key != "rope_parameters"} | {"rope_theta": 500.0}
        assert family.from_hf(old | {"rope_scaling": {**fields, word: SCALED[kind]["rope_type"]}}) == family.from_hf(new)


@pytest.mark.parametrize("kind", ["linear", "yarn", "llama3"])
def test_mutant_scaling_left_out_is_caught(kind: str) -> None:
    """Parity must fail for positions that are not scaled."""
    config = CONFIGS[f"llama {kind}"]()
    theirs = build_theirs(config)
    plain = config.to_dict() | {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}
    ours = import_network(plain, theirs.state_dict())
    with torch.no_grad():
        assert (ours.logits(ours(tokens()).hidden) - theirs(tokens()).logits).abs().max() > TOLERANCE


def test_scalings_that_cannot_be_said_are_refused() -> None:
    config = CONFIGS["llama yarn"]().to_dict()
    parameters = config["rope_parameters"]
    refused = {
        "beta_fsat = 3.0 is not known; did you mean 'beta_fast'": parameters | {"beta_fsat": 3.0},
        "partial_rotary_factor = 0.5; needed: 1.0": parameters | {"partial_rotary_factor": 0.5},
        "low_freq_factor is missing; high_freq_factor is missing": {"rope_type": "llama3", "factor": 8.0},
        "needed: beta_fast above beta_slow": parameters | {"beta_slow": 5.0},
    }
    for words, wrong in refused.items():
        with pytest.raises(ConfigError, match=words):
            import_network(config | {"rope_parameters": wrong}, {})
    with pytest.raises(ConfigError, match="differ in factor"):
        import_network(config | {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, {})
    ntk = Network(FAMILIES["llama"].replace(rope_scaling=NTKScaling()).sentence(97), seed=3)
    with pytest.raises(ConfigError, match="ntk scaling cannot be said"):
        export_network(ntk, Llama, 40)


def test_mutant_taps_in_their_order_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hugging Face's convolution counts its taps from the oldest place, ours from the newest."""
    config = CONFIGS["mamba"]()
    theirs = build_theirs(config)
    monkeypatch.setattr(Rule, "turned", lambda self, tensor: tensor[:, 0].t() if self.taps else tensor)
    ours = import_network(config.to_dict(), theirs.state_dict())
    with torch.no_grad():
        assert (ours.logits(ours(tokens()).hidden) - theirs(tokens()).logits).abs().max() > TOLERANCE


def published(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state of Mixtral as its weights were published: each expert by itself."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.partition(".mlp.")
        if part == "gate.weight":
            found[f"{layer}.block_sparse_moe.gate.weight"] = tensor
        elif part == "experts.gate_up_proj":
            for e, both in enumerate(tensor):
                for w, one in zip(("w1", "w3"), both.chunk(2), strict=True):
                    found[f"{layer}.block_sparse_moe.experts.{e}.{w}.weight"] = one
        elif part == "experts.down_proj":
            found |= {f"{layer}.block_sparse_moe.experts.{e}.w2.weight": one for e, one in enumerate(tensor)}
        else:
            found[name] = tensor
    return found


def test_mixtral_as_it_was_published() -> None:
    config = CONFIGS["mixtral"]()
    theirs = build_theirs(config)
    fused = import_network(config.to_dict(), theirs.state_dict())
    apart = published(theirs.state_dict())
    assert len(apart) > len(theirs.state_dict())
    ours = import_network(config.to_dict(), apart)
    for (name, a), (_, b) in zip(ours.named_parameters(), fused.named_parameters(), strict=True):
        assert torch.equal(a, b), name
    del apart["model.layers.1.block_sparse_moe.experts.2.w3.weight"]
    with pytest.raises(CheckpointError, match=r"experts\.2\.w3\.weight is missing"):
        import_network(config.to_dict(), apart)


def test_mutant_experts_in_another_order_are_caught() -> None:
    config = CONFIGS["mixtral"]()
    theirs = build_theirs(config)
    state = dict(theirs.state_dict())
    state["model.layers.1.mlp.experts.down_proj"] = state["model.layers.1.mlp.experts.down_proj"].flip(0)
    ours = import_network(config.to_dict(), state)
    with torch.no_grad():
        assert (ours.logits(ours(tokens()).hidden) - theirs(tokens()).logits).abs().max() > TOLERANCE
    state["model.layers.1.mlp.experts.down_proj"] = state["model.layers.1.mlp.experts.down_proj"][:3]
    with pytest.raises(CheckpointError, match="in 4 groups"):
        import_network(config.to_dict(), state)


def test_64_greedy_tokens_of_mixtral() -> None:
    config = CONFIGS["mixtral"]()
    config.max_position_embeddings = 96
    theirs = build_theirs(config)
    ours = import_network(config.to_dict(), theirs.state_dict())
    prompt = tokens()[:1, :PROMPT]
    assert greedy(ours, prompt, 64) == their_greedy(theirs, prompt, 64)


SHORT: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 80,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "initializer_range": 0.2,
}
LEFT_OUT: dict[str, dict[str, Any]] = {  # the least that a config.json may say
    "llama": {"num_attention_heads": 4},
    "mistral": {"num_attention_heads": 8},
    "mixtral": {"num_attention_heads": 8},
    "qwen3": {"num_attention_heads": 32},
    "bitnet": {"num_attention_heads": 10},
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_a_config_leaves_out_is_what_it_is_there(name: str, hold: Hold) -> None:
    said = {"model_type": name, **SHORT, **LEFT_OUT[name]}
    config = transformers.AutoConfig.for_model(**said)
    theirs = build_theirs(config)
    ours = import_network(said, theirs.state_dict())
    with torch.no_grad():
        expected, got = theirs(tokens()).logits, ours.logits(ours(tokens()).hidden)
    assert expected.std() > 0.1, "logits too flat to tell models apart"
    hold("10 theirs here", (got - expected).abs().max().item(), TOLERANCE)
    family = family_of(said)
    assert family.to_hf(ours.spec, 96) == family.to_hf(family.from_hf(config.to_dict()), 96)


def window_of(spec: Model) -> int | None:
    attention = next(spec.decoder.sublayers()).mixer
    assert isinstance(attention, Attention)
    return attention.window


def test_a_window_of_mistral_that_is_left_out_and_one_that_is_null() -> None:
    said = {"model_type": "mistral", **SHORT, "num_attention_heads": 8}
    assert window_of(Mistral.from_hf(said)) == transformers.MistralConfig().sliding_window == 4096
    everything = Network(Mistral.from_hf(said | {"sliding_window": None}))
    assert window_of(everything.spec) is None
    config, _ = export_network(everything, Mistral, 96)
    assert transformers.MistralConfig(**config).sliding_window is None


@pytest.mark.parametrize("theta", [0, 0.0, 1, -5.0])
def test_a_base_of_nothing_is_no_base_left_out(theta: float) -> None:
    config = CONFIGS["llama"]().to_dict()
    for said in (
        {"rope_parameters": {"rope_type": "default", "rope_theta": theta}},
        {"rope_parameters": None, "rope_theta": theta},
    ):
        with pytest.raises(ConfigError, match=f"rope_theta = {theta!r}; needed: a number above 1"):
            Llama.from_hf(config | said)


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        ("llama", {"layer_types": ["full_attention"] * 99}, "99 layer_types of num_hidden_layers = 3"),
        ("llama", {"layer_types": ["full_attention", "sliding_attention", "full_attention"]}, r"layer_types\[1\] = 'sliding_attention'"),
        ("mistral", {"layer_types": ["sliding_attention"] * 2 + ["full_attention"]}, r"layer_types\[2\].*needed: .*'sliding_attention'"),
        ("mistral", {"layer_types": ["sliding_attention"] * 3, "sliding_window": None}, r"layer_types\[0\]"),
        ("qwen3", {"layer_types": ["full_attention"] * 2}, "2 layer_types"),
        ("mamba", {"layer_types": ["linear_attention", "full_attention", "linear_attention"]}, r"layer_types\[1\]"),
        ("mamba", {"layer_types": ["linear_attention"] * 4}, "4 layer_types"),
    ],
)  # fmt: skip
def test_layers_that_contradict_the_other_fields_are_refused(name: str, said: dict[str, Any], words: str) -> None:
    config = CONFIGS[name]().to_dict()
    with pytest.raises(ConfigError, match=f"(?s)a {name} config with {words}"):
        family_of(config).from_hf(config | said)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("llama", "full_attention"), ("mistral", "sliding_attention"), ("mamba", "linear_attention"), ("mamba", "mamba")],
)
def test_layers_that_are_as_the_other_fields_say(name: str, kind: str) -> None:
    config = CONFIGS[name]().to_dict()
    family = family_of(config)
    assert family.from_hf(config | {"layer_types": [kind] * 3}) == family.from_hf(config)
