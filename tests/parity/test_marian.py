"""Marian's scores are Hugging Face's, both ways, and so is what it says, token by token through the state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from equivalence import Hold
from linnet.core.errors import CheckpointError, ConfigError
from linnet.interop.huggingface import export_network, import_network, read_folder, write_folder
from linnet.model import Network, Sinusoidal
from linnet.model.position import SinusoidalLayer
from linnet.zoo import Marian
from parity import VOCAB, randomise, scores, tokens

transformers = pytest.importorskip("transformers")
TOLERANCE = 1e-4  # float32; measured maxima are below 1e-5
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {"activation_function": "swish", "scale_embedding": True},
    "unequal sides": {"encoder_layers": 1, "encoder_ffn_dim": 60, "activation_function": "relu", "scale_embedding": False},
}
FAMILIES = {
    "plain": Marian(n_layers=2, n_heads=4, d_model=48, d_ff=80, context_length=96),
    "all fields": Marian.examples()[1].replace(d_model=48, dropout=0.0, activation="gelu_tanh", context_length=96),
}


def config(name: str) -> Any:
    return transformers.MarianConfig(
        **{
            "vocab_size": VOCAB, "d_model": 48, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
            "decoder_attention_heads": 4, "encoder_ffn_dim": 80, "decoder_ffn_dim": 80, "max_position_embeddings": 96, "init_std": 0.2,
            "pad_token_id": VOCAB - 1, "decoder_start_token_id": VOCAB - 1,
        }
        | CONFIGS[name]
    )  # fmt: skip


def theirs(name: str) -> Any:
    torch.manual_seed(0)
    made = transformers.MarianMTModel._from_config(config(name), attn_implementation="eager").eval()
    positions = [side.embed_positions.weight.clone() for side in (made.model.encoder, made.model.decoder)]
    randomise(made, ("final_logits_bias",))
    with torch.no_grad():
        for side, right in zip((made.model.encoder, made.model.decoder), positions, strict=True):
            side.embed_positions.weight.copy_(right)
    return made


def draw(length: int, seed: int) -> Tensor:
    return tokens(3, length, seed) % (VOCAB - 1)  # without padding


SOURCE, TARGET = draw(21, 1), draw(33, 2)


def read_and_score(network: Network, documents: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return scores(network, TARGET, source=network.read(SOURCE, documents=documents))


def their_scores(model: Any, **rest: Any) -> Tensor:
    with torch.no_grad():
        return model(SOURCE, decoder_input_ids=TARGET, **rest).logits


@pytest.mark.parametrize("name", CONFIGS)
def test_import_gives_their_scores(name: str, hold: Hold) -> None:
    right = theirs(name)
    ours = import_network(config(name).to_dict(), right.state_dict())
    expected = their_scores(right)
    assert expected.std() > 0.1, "scores too flat to tell models apart"
    hold("10 theirs here", (read_and_score(ours) - expected).abs().max().item(), TOLERANCE)


def test_padding_of_the_source_is_their_attention_mask(hold: Hold) -> None:
    right = theirs("plain")
    ours = import_network(config("plain").to_dict(), right.state_dict())
    mask = torch.ones_like(SOURCE)
    mask[1, 9:] = 0
    expected = their_scores(right, attention_mask=mask)
    assert (expected - their_scores(right)).abs().max() > 1e-2
    hold("10 in part, padded, or a piece at a time", (read_and_score(ours, mask - 1) - expected).abs().max().item(), TOLERANCE)


@pytest.mark.parametrize("name", FAMILIES)
def test_export_gives_ours(name: str, tmp_path: Path, hold: Hold) -> None:
    ours = Network(FAMILIES[name].sentence(VOCAB), seed=3)
    randomise(ours)
    write_folder(tmp_path, ours, Marian, 96)
    right = transformers.MarianMTModel.from_pretrained(tmp_path, attn_implementation="eager", local_files_only=True).eval()
    hold("10 ours there", (read_and_score(ours) - their_scores(right)).abs().max().item(), TOLERANCE)
    again = read_folder(tmp_path)
    for (key, a), (_, b) in zip(ours.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("name", CONFIGS)
def test_export_of_import_is_the_file_they_save(name: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = theirs(name)
    model.save_pretrained(tmp_path)
    saved, tensors = load_file(tmp_path / "model.safetensors"), export_network(read_folder(tmp_path), Marian, 96)[1]
    assert all(torch.equal(tensor, saved[key]) for key, tensor in tensors.items())
    assert {key for key in saved if key not in tensors} <= {"lm_head.weight"} | {
        f"model.{side}.embed_{what}.weight" for side in ("encoder", "decoder") for what in ("tokens", "positions")
    }


@torch.no_grad()
@pytest.mark.parametrize("name", CONFIGS)
def test_64_greedy_tokens_are_theirs(name: str) -> None:
    right = theirs(name)
    ours = import_network(config(name).to_dict(), right.state_dict()).eval()
    source = SOURCE[:1]
    expected = right.generate(
        source, max_new_tokens=64, do_sample=False, num_beams=1, eos_token_id=None, forced_eos_token_id=None
    )[0].tolist()
    assert len(expected) == 65
    state, got = ours.new_state(1, source=ours.read(source)), [VOCAB - 1]
    for _ in range(64):
        out = ours(torch.tensor([got[-1:]]), state=state)
        state = out.state
        got.append(int(ours.logits(out.hidden)[0, -1].argmax()))
    assert got == expected


@torch.no_grad()
def test_read_token_by_token_it_gives_their_scores(hold: Hold) -> None:
    """Other ids at every step: what it says by itself soon repeats, as a tied head without training does."""
    right = theirs("plain")
    ours, expected = import_network(config("plain").to_dict(), right.state_dict()), their_scores(right)
    state = ours.new_state(3, source=ours.read(SOURCE))
    for place in range(TARGET.shape[1]):
        out = ours(TARGET[:, place : place + 1], state=state)
        state = out.state
        hold("10 theirs here", (ours.logits(out.hidden)[:, 0] - expected[:, place]).abs().max().item(), TOLERANCE)


def test_positions_are_their_table() -> None:
    table = theirs("plain").model.encoder.embed_positions.weight
    ours = Sinusoidal(halves=True).build(48)
    assert isinstance(ours, SinusoidalLayer)
    torch.testing.assert_close(ours(torch.arange(96)), table, rtol=1e-5, atol=1e-5)
    assert (Sinusoidal().build(48)(torch.arange(96)) - table).abs().max() > 0.1


def swap_norms(state: dict[str, Tensor]) -> None:
    one, other = (f"model.decoder.layers.1.{part}_layer_norm.weight" for part in ("self_attn", "encoder_attn"))
    state[one], state[other] = state[other], state[one]


def swap_attentions(state: dict[str, Tensor]) -> None:
    one, other = (f"model.decoder.layers.0.{part}.v_proj.weight" for part in ("self_attn", "encoder_attn"))
    state[one], state[other] = state[other], state[one]


def forget_the_bias(state: dict[str, Tensor]) -> None:
    state["final_logits_bias"] = torch.zeros(1, VOCAB)


@pytest.mark.parametrize("mutate", [swap_norms, swap_attentions, forget_the_bias], ids=lambda f: f.__name__)
def test_a_wrong_name_map_is_caught(mutate: Any) -> None:
    right = theirs("plain")
    state = dict(right.state_dict())
    mutate(state)
    assert (read_and_score(import_network(config("plain").to_dict(), state)) - their_scores(right)).abs().max() > TOLERANCE


PUBLISHED = {  # the config.json of Helsinki-NLP/opus-mt-de-en, without what generation alone needs
    "activation_dropout": 0.0, "activation_function": "swish", "add_bias_logits": False, "add_final_layer_norm": False,
    "architectures": ["MarianMTModel"], "attention_dropout": 0.0, "bad_words_ids": [[58100]], "bos_token_id": 0, "classif_dropout": 0.0,
    "d_model": 512, "decoder_attention_heads": 8, "decoder_ffn_dim": 2048, "decoder_layerdrop": 0.0, "decoder_layers": 6,
    "decoder_start_token_id": 58100, "dropout": 0.1, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048, "encoder_layerdrop": 0.0,
    "encoder_layers": 6, "eos_token_id": 0, "init_std": 0.02, "is_encoder_decoder": True, "max_length": 512, "max_position_embeddings": 512,
    "model_type": "marian", "normalize_before": False, "normalize_embedding": False, "num_beams": 6, "num_hidden_layers": 6,
    "pad_token_id": 58100, "scale_embedding": True, "static_position_embeddings": True, "vocab_size": 58101,
}  # fmt: skip


def test_a_published_config_is_read() -> None:
    """Parameters as transformers builds them, but for the tables of positions, with the numbers that are added to scores."""
    model = Marian.from_hf(PUBLISHED)
    with torch.device("meta"):
        built = transformers.MarianMTModel(transformers.MarianConfig(**PUBLISHED))
    sizes = {name: tensor.numel() for name, tensor in built.named_parameters() if "embed_positions" not in name}
    assert model.n_params() == sum(sizes.values()) + 58_101
    assert model.embedding_scale == "sqrt_d_model"


def test_refusals() -> None:
    right = theirs("plain")
    for change, said in (
        ({"normalize_before": True}, "normalize_before = True; needed: False"),
        ({"decoder_attention_heads": 2}, "decoder_attention_heads = 2; needed: 4"),
        ({"decoder_vocab_size": 50}, "decoder_vocab_size = 50; needed: 97"),
        ({"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings = False; needed: True"),
        ({"activation_function": "tanh"}, "activation_function = 'tanh' of a marian config; needed: swish"),
    ):
        with pytest.raises(ConfigError, match=said):
            import_network(config("plain").to_dict() | change, {})
    state = dict(right.state_dict())
    del state["model.encoder.layers.1.fc2.bias"]
    state["final_logits_bias"] = state["final_logits_bias"][0]
    with pytest.raises(CheckpointError) as caught:
        import_network(config("plain").to_dict(), state)
    assert "model.encoder.layers.1.fc2.bias is missing" in str(caught.value)
    assert "final_logits_bias has shape (97,); needed: (97,) in 1 groups" in str(caught.value)
    for wrong in (Marian(place="pre"), Marian(n_kv_heads=2)):
        with pytest.raises(ConfigError, match="not a plain marian"):
            export_network(Network(wrong.sentence(VOCAB)), Marian, 96)
    with pytest.raises(ConfigError, match="activation = 'relu2'; needed: one of silu"):
        Marian.to_hf(Marian(activation="relu2").sentence(VOCAB), 96)
