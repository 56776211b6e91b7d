"""Logits equal Hugging Face's, in both directions, on tiny random models in float32."""

from __future__ import annotations

import pytest
import torch

from linnet.core.errors import CheckpointError, ConfigError
from linnet.interop.huggingface import export_network, family_of, import_network, read_folder, write_folder
from linnet.model import Network
from linnet.zoo import GPT2, Llama, Mistral, Mixtral, Qwen3

transformers = pytest.importorskip("transformers")
TOLERANCE = 1e-4  # float32; measured maxima are below 2e-6

CONFIGS = {
    "gpt2": lambda: transformers.GPT2Config(vocab_size=97, n_positions=40, n_embd=48, n_layer=3, n_head=4, initializer_range=0.2),
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
    "mixtral": lambda: transformers.MixtralConfig(
        vocab_size=97, hidden_size=48, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=40, num_local_experts=4, num_experts_per_tok=2, initializer_range=0.2,
    ),
}  # fmt: skip
FAMILIES = {
    "gpt2": GPT2(n_layers=3, n_heads=4, d_model=48, context_length=40),
    "llama": Llama(n_layers=3, n_heads=4, n_kv_heads=2, d_model=48, context_length=40),
    "mistral": Mistral(n_layers=3, n_heads=4, n_kv_heads=2, d_model=48, window=7, context_length=40),
    "qwen3": Qwen3(n_layers=3, n_heads=4, n_kv_heads=2, d_model=48, d_head=16, context_length=40),
    "mixtral": Mixtral(n_layers=3, n_heads=4, n_kv_heads=2, d_model=48, n_experts=4, context_length=40),
}


def tokens() -> torch.Tensor:
    return torch.randint(0, 97, (3, 33), generator=torch.Generator().manual_seed(1))


def randomise(module: torch.nn.Module) -> None:
    """Norm scales and biases too, so that a swapped one shows."""
    draws = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=draws))


def build_theirs(config: object) -> torch.nn.Module:
    torch.manual_seed(0)
    theirs = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    randomise(theirs)
    return theirs


@pytest.mark.parametrize("name", CONFIGS)
def test_import_gives_their_logits(name: str) -> None:
    config = CONFIGS[name]()
    theirs = build_theirs(config)
    ours = import_network(config.to_dict(), theirs.state_dict())
    with torch.no_grad():
        expected = theirs(tokens()).logits
        got = ours.logits(ours(tokens()).hidden)
    assert expected.std() > 0.1, "logits too flat to tell models apart"
    assert (got - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", FAMILIES)
def test_export_gives_our_logits(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
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
    assert (got - expected).abs().max() < TOLERANCE
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
    from linnet.generate.decode import Decoder
    from linnet.generate.sampler import Sampling

    config = CONFIGS[name]()
    theirs = build_theirs(config)
    ours = import_network(config.to_dict(), theirs.state_dict()).eval()
    prompt = tokens()[:1, :5]
    with torch.no_grad():
        expected = theirs.generate(prompt, max_new_tokens=30, do_sample=False, pad_token_id=0, eos_token_id=None)[0, 5:].tolist()
    decoder = Decoder(ours, prompt.tolist(), Sampling(temperature=0.0))
    got = []
    for _ in range(30):
        token, _ = decoder.step()
        got.append(int(token))
        decoder.read()
    assert got == expected


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
    with pytest.raises(ConfigError, match="rope_type"):
        import_network(config | {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, {})
    with pytest.raises(ConfigError, match="attention_multiplier"):
        import_network(config | {"attention_multiplier": 2.0}, {})


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
    from linnet.generate.decode import Decoder
    from linnet.generate.sampler import Sampling

    config = CONFIGS["mixtral"]()
    config.max_position_embeddings = 96
    theirs = build_theirs(config)
    ours = import_network(config.to_dict(), theirs.state_dict()).eval()
    prompt = tokens()[:1, :5]
    with torch.no_grad():
        expected = theirs.generate(prompt, max_new_tokens=64, do_sample=False, pad_token_id=0, eos_token_id=None)[0, 5:].tolist()
    decoder, got = Decoder(ours, prompt.tolist(), Sampling(temperature=0.0)), []
    for _ in range(64):
        token, _ = decoder.step()
        got.append(int(token))
        decoder.read()
    assert got == expected
