"""BitNet is Hugging Face's, both ways: with matrices as they are, rounded at each call, and packed in 2 bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from equivalence import Hold
from linnet.core.errors import CheckpointError, ConfigError
from linnet.generate.decode import Decoder
from linnet.generate.sampler import Sampling
from linnet.interop.huggingface import export_network, import_network, read_folder, write_folder
from linnet.interop.roundings import both
from linnet.model import Dense, Network, Ternary
from linnet.model.linear import TernaryLayer
from linnet.model.rewrite import linears
from linnet.ops.ternary import ternary_weights
from linnet.zoo import BitNet, Llama
from linnet.zoo.bitnet import ONLINE

transformers = pytest.importorskip("transformers")
TOLERANCE = 1e-4  # float32; what is measured stands in docs/equivalence.md
TINY: dict[str, Any] = {
    "vocab_size": 97, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 96, "initializer_range": 0.2, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tied": {"tie_word_embeddings": True, "num_key_value_heads": 4, "rms_norm_eps": 1e-3, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
}  # fmt: skip
FAMILY = BitNet(n_layers=3, n_heads=4, n_kv_heads=2, d_model=48, context_length=96)


def tokens(rows: int = 3, n: int = 33) -> Tensor:
    return torch.randint(0, 97, (rows, n), generator=torch.Generator().manual_seed(1))


def randomise(module: torch.nn.Module) -> None:
    """Norm scales too, so that a swapped one shows."""
    draws = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=draws))


def theirs(name: str = "plain") -> Any:
    torch.manual_seed(0)
    config = transformers.BitNetConfig(**TINY | CONFIGS[name])
    made = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    randomise(made)
    return made


def made_ternary(model: Any, **how: Any) -> Any:
    """Their model with their own ternary layers in place of the plain ones, by their own door."""
    from transformers.integrations.bitnet import replace_with_bitnet_linear
    from transformers.utils.quantization_config import BitNetQuantConfig

    state = model.state_dict()
    model = replace_with_bitnet_linear(model, ["lm_head"], BitNetQuantConfig(**how))
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    whole = {name: tensor for name, tensor in state.items() if shapes[name] == tensor.shape}  # packed ones the test fills itself
    model.load_state_dict(whole, strict=False, assign=True)
    return model


@torch.no_grad()
def logits(network: Network, text: Tensor) -> Tensor:
    return network.logits(network(text).hidden)


@torch.no_grad()
@pytest.mark.parametrize("name", CONFIGS)
def test_import_gives_their_logits_and_export_their_weights(name: str, hold: Hold) -> None:
    model = theirs(name)
    ours = import_network(model.config.to_dict(), model.state_dict())
    assert set(linears(ours.spec)) == {Dense()}
    expected = model(tokens()).logits
    assert expected.std() > 0.1, "logits too flat to tell models apart"
    hold("10 theirs here", (logits(ours, tokens()) - expected).abs().max().item(), TOLERANCE)
    _, tensors = export_network(ours, BitNet, 96)
    right = model.state_dict()
    assert all(torch.equal(tensor, right[key]) for key, tensor in tensors.items())
    assert set(right) - set(tensors) <= {"lm_head.weight"}


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
def test_export_gives_our_logits(tied: bool, tmp_path: Path, hold: Hold) -> None:
    ours = Network(FAMILY.replace(linear=Dense(), tied=tied).sentence(97), seed=3)
    randomise(ours)
    write_folder(tmp_path, ours, BitNet, 96)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager", local_files_only=True).eval()
    hold("10 ours there", (logits(ours, tokens()) - model(tokens()).logits).abs().max().item(), TOLERANCE)
    again = read_folder(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), again.parameters(), strict=True))


def greedy(network: Network, prompt: Tensor, many: int) -> list[int]:
    decoder, got = Decoder(network, prompt.tolist(), Sampling(temperature=0.0)), []
    for _ in range(many):
        token, _ = decoder.step()
        got.append(int(token))
        decoder.read()
    return got


def their_greedy(model: Any, prompt: Tensor, many: int) -> list[int]:
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        found = model.generate(prompt, max_new_tokens=many, do_sample=False, pad_token_id=0, eos_token_id=None)
    return found[0, prompt.shape[1] :].tolist()


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_continuation_is_theirs(name: str) -> None:
    model, prompt = theirs(name), tokens()[:1, :5]
    ours = import_network(model.config.to_dict(), model.state_dict()).eval()
    assert greedy(ours, prompt, 64) == their_greedy(model, prompt, 64)


# ternary ---------------------------------------------------------------------------------------------------------------


def alike(ours: Network, theirs: Any, run_ours: Callable[[], Any], run_theirs: Callable[[], Any]) -> tuple[Any, Any]:
    """What both say, activations rounded alike: one that falls the other way is off by 1e-2. Their layers ask for a compiler, which
    nothing here needs."""
    with torch.compiler.set_stance("force_eager"):
        here, there, settled = both(ours, theirs, BitNet.rules(ours.spec), run_ours, run_theirs)
    assert settled.problem is None
    return here, there


def nowhere_near(got: Tensor, right: Tensor) -> bool:
    """Whether every row is off somewhere."""
    return bool(((got - right).abs().amax((1, 2)) > TOLERANCE).all())


@torch.no_grad()
def test_rounded_at_each_call_is_theirs_both_ways(hold: Hold) -> None:
    model = theirs()
    config, state = model.config.to_dict() | {"quantization_config": dict(ONLINE)}, dict(model.state_dict())
    ours = import_network(config, state)
    assert set(linears(ours.spec)) == {Ternary()}
    text = tokens(12, 33)
    plain = model(text).logits
    model = made_ternary(model, linear_class="autobitlinear", quantization_mode="online")
    got, right = alike(ours, model, lambda: logits(ours, text), lambda: model(text).logits)
    hold("10 theirs here, rounded alike", (got - right).abs().max().item(), TOLERANCE)
    assert nowhere_near(plain, right), "rounding changes everything"
    written, tensors = export_network(ours, BitNet, 96)
    assert written["quantization_config"] == ONLINE
    assert all(torch.equal(tensor, state[key]) for key, tensor in tensors.items())


def test_greedy_continuation_of_a_ternary_one_is_theirs() -> None:
    model, prompt = theirs(), tokens()[:1, :5]
    ours = import_network(model.config.to_dict() | {"quantization_config": dict(ONLINE)}, model.state_dict()).eval()
    model = made_ternary(model, linear_class="autobitlinear", quantization_mode="online")
    got, right = alike(ours, model, lambda: greedy(ours, prompt, 64), lambda: their_greedy(model, prompt, 64))
    assert got == right


@torch.no_grad()
@pytest.mark.parametrize("linear_class", ["autobitlinear", "bitlinear"])
def test_packed_weights_are_read(linear_class: str, hold: Hold) -> None:
    """As the published weights of 2 bits are held: four in a byte, γ (or 1 / γ) beside them."""
    from transformers.integrations.bitnet import pack_weights, unpack_weights

    model = theirs("tied")
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("_proj.weight"):
            codes, gamma = ternary_weights(tensor)
            gamma = gamma * 1.37  # learned on its own: no longer the mean of what it was made of
            state[name] = pack_weights(codes.clone())
            state[f"{name}_scale"] = (gamma if linear_class == "autobitlinear" else 1 / gamma).to(torch.float32).view(1)
        else:
            state[name] = tensor
    how = {"quant_method": "bitnet", "linear_class": linear_class, "quantization_mode": "offline"}
    ours = import_network(model.config.to_dict() | {"quantization_config": how}, state)
    text = tokens(12, 33)
    model = made_ternary(model, linear_class=linear_class, quantization_mode="offline")
    with torch.compiler.set_stance("force_eager"):
        for name, module in model.named_modules():
            if f"{name}.weight_scale" in state:
                packed = state[f"{name}.weight"]
                weight = packed if linear_class == "bitlinear" else torch.nn.Parameter(unpack_weights(packed, torch.float32))
                module.weight, module.weight_scale = weight, state[f"{name}.weight_scale"]
        got, right = alike(ours, model, lambda: logits(ours, text), lambda: model(text).logits)
    hold("10 theirs here, rounded alike", (got - right).abs().max().item(), TOLERANCE)
    del state["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(CheckpointError, match=r"up_proj\.weight is missing"):
        import_network(model.config.to_dict() | {"quantization_config": how}, state)


def test_refusals() -> None:
    config = transformers.BitNetConfig(**TINY).to_dict()
    for wrong in (
        {"quant_method": "gptq"},
        ONLINE | {"linear_class": "bitlinear"},
        ONLINE | {"use_rms_norm": True},
        ONLINE | {"bits": 3},
    ):
        with pytest.raises(ConfigError, match="quantization_config"):
            BitNet.from_hf(config | {"quantization_config": wrong})
    with pytest.raises(ConfigError, match="hidden_act = 'silu'; needed: 'relu2'"):
        BitNet.from_hf(config | {"hidden_act": "silu"})
    odd = Network(BitNet(n_layers=1, n_heads=4, d_head=6, d_model=48).sentence(97))
    with pytest.raises(ConfigError, match="not a plain bitnet"):
        export_network(odd, BitNet, 96)
    with pytest.raises(ConfigError, match="not a plain llama"):
        export_network(Network(Llama(n_layers=1, n_heads=4, d_model=48, linear=Ternary()).sentence(97)), Llama, 96)


def test_swapped_norms_and_layers_that_are_not_rounded_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    model = theirs("tied")
    state = dict(model.state_dict())
    inside, outside = "model.layers.1.self_attn.attn_sub_norm.weight", "model.layers.1.input_layernorm.weight"
    state[inside], state[outside] = state[outside], state[inside]
    with torch.no_grad():
        right = model(tokens()).logits
    assert (logits(import_network(model.config.to_dict(), state), tokens()) - right).abs().max() > TOLERANCE
    ours = import_network(model.config.to_dict() | {"quantization_config": dict(ONLINE)}, model.state_dict())
    rounded = logits(ours, tokens())
    monkeypatch.setattr(TernaryLayer, "forward", lambda self, x: torch.nn.functional.linear(x, self.weight, self.bias))
    assert nowhere_near(logits(ours, tokens()), rounded)


def test_the_2b_model_is_as_large_as_theirs() -> None:
    """BitNet b1.58 2B4T (2504.12285): 2.4 billion parameters, of which 2.1 are ternary."""
    config = transformers.BitNetConfig(tie_word_embeddings=True, max_position_embeddings=4096)
    with torch.device("meta"):
        right = sum(p.numel() for p in transformers.AutoModelForCausalLM.from_config(config).parameters())
    family = BitNet(n_layers=30, n_heads=20, n_kv_heads=5, d_model=2560, d_ff=6912, context_length=4096)
    assert family.sentence(128_256).n_params() == right == 2_412_820_480
