"""`kernel` of attention: every word for one computes the same, and is what computes it."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from linnet.core.errors import ConfigError
from linnet.interop.huggingface import export_network, spelt_out
from linnet.model import MLP, Alibi, Attention, Block, Model, Network, Repeat, RMSNorm, Rope, Stack, Sublayer
from linnet.model.mixer import attention as module
from linnet.zoo import Llama

KERNELS = ["auto", "sdpa", "flash", "reference"]
POSITIONS = {"rope": Rope(), "alibi": Alibi()}
CALLED = {"sdpa": "attention", "flash": "flash_attention", "reference": "attention_reference", "flex": "flex"}


def sentence(kernel: str, position: str, causal: bool = True, persistent: int = 0) -> Model:
    mixer = Attention(n_heads=4, n_kv_heads=2, window=6, causal=causal, position=POSITIONS[position], persistent=persistent)
    mixer = mixer.replace(kernel=kernel)
    block = Block(sublayers=tuple(Sublayer(mixer=each, norm=RMSNorm()) for each in (mixer, MLP(d_ff=16))))
    return Model(vocab_size=31, d_model=16, decoder=Stack(layers=(Repeat(pattern=(block,), times=2),), final_norm=RMSNorm()))


def answers(kernel: str, position: str, causal: bool, dtype: torch.dtype = torch.float64, persistent: int = 0) -> list[Tensor]:
    """Hidden states of packed rows, and the gradient of every parameter."""
    network = Network(sentence(kernel, position, causal, persistent).replace(init={"residual": "plain", "std": 0.4}), seed=5).to(
        dtype
    )
    text = torch.randint(0, 31, (2, 23), generator=torch.Generator().manual_seed(0))
    documents = torch.tensor([[4] * 9 + [1] * 14, [0] * 23])
    hidden = network(text, documents=documents).hidden
    hidden.sin().sum().backward()
    return [hidden.detach(), *(p.grad for p in network.parameters() if p.grad is not None)]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("kernel", "position"), itertools.product(KERNELS, POSITIONS))
@pytest.mark.parametrize("persistent", [0, 3])
def test_every_kernel_computes_the_same(kernel: str, position: str, causal: bool, persistent: int) -> None:
    right = answers("reference", position, causal, persistent=persistent)
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        for a, b in zip(answers(kernel, position, causal, dtype, persistent), right, strict=True):
            assert (a.double() - b).abs().max() <= bound * max(b.abs().max().item(), 1)


@pytest.mark.parametrize("kernel", CALLED)
def test_the_kernel_that_is_asked_for_is_what_runs(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in CALLED.values():
        way = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, name=name, way=way, **rest: calls.append(name) or way(*a, **rest))
    with torch.no_grad():
        Network(sentence(kernel, "rope"), seed=5)(torch.zeros(1, 9, dtype=torch.int64))
    assert calls == [CALLED[kernel]] * 2


@pytest.mark.parametrize(
    ("kernel", "called"), [("flash", "joined"), ("sdpa", "attention_with"), ("reference", "attention_with_reference")]
)
def test_what_runs_beside_persistent_tokens(kernel: str, called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("joined", "attention_with", "attention_with_reference", *CALLED.values()):
        way = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, name=name, way=way, **rest: calls.append(name) or way(*a, **rest))
    with torch.no_grad():
        Network(sentence(kernel, "rope", persistent=2), seed=5)(torch.zeros(1, 9, dtype=torch.int64))
    assert calls == [called] * 2


def test_our_kernel_is_kept_beside_persistent_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(1, 4, 9, 8)
    if not module.kernels_take(x, x, x):
        pytest.skip("no library here")
    for name in ("attention_with", "attention"):
        monkeypatch.delattr(module, name)
    Network(sentence("auto", "rope", persistent=2), seed=5)(torch.zeros(1, 9, dtype=torch.int64))


def test_the_comparison_kills_a_kernel_that_forgets_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    right = answers("reference", "rope", True)
    flash = module.flash_attention
    monkeypatch.setattr(module, "flash_attention", lambda q, k, v, mask, **rest: flash(q, k, v, type(mask)(window=6), **rest))
    assert max((a - b).abs().max().item() for a, b in zip(answers("flash", "rope", True), right, strict=True)) > 1e-3


def test_a_kernel_is_no_part_of_what_a_model_is_to_others() -> None:
    llama = Llama(n_layers=1, n_heads=2, d_model=16).sentence(31)
    attention, glu = next(llama.decoder.blocks()).sublayers
    block = Block(sublayers=(attention.model_copy(update={"mixer": attention.mixer.replace(kernel="flash")}), glu))
    by_tiles = llama.replace(decoder=Stack(layers=(Repeat(pattern=(block,)),), final_norm=llama.decoder.final_norm))
    assert by_tiles != llama
    assert spelt_out(by_tiles) == spelt_out(llama)
    export_network(Network(by_tiles, seed=1), Llama, 64)


def test_persistent_tokens_are_one_matrix_of_the_layer_and_not_for_flex() -> None:
    (problem,) = Attention(n_heads=4, persistent=2, kernel="flex").problems(16)
    assert problem == "attention: persistent tokens with kernel flex; needed: another kernel; try: kernel: auto"
    network = Network(sentence("auto", "rope", persistent=2), seed=5)
    assert {name: p.shape for name, p in network.named_parameters() if "persistent" in name} == {
        f"decoder.layers.{i}.sublayers.0.mixer.persistent": (2, 16) for i in range(2)
    }


def test_a_model_with_persistent_tokens_is_no_llama() -> None:
    llama = Llama(n_layers=1, n_heads=2, d_model=16).sentence(31)
    attention, glu = next(llama.decoder.blocks()).sublayers
    block = Block(sublayers=(attention.model_copy(update={"mixer": attention.mixer.replace(persistent=2)}), glu))
    other = llama.replace(decoder=Stack(layers=(Repeat(pattern=(block,)),), final_norm=llama.decoder.final_norm))
    with pytest.raises(ConfigError, match="not a plain llama"):
        export_network(Network(other, seed=1), Llama, 64)
