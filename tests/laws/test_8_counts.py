"""Law 8: what a spec counts is what is built, and what was published."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sentences import SENTENCES, build, tokens
from torch.utils.flop_counter import FlopCounterMode

from equivalence import Hold
from linnet.core.spec import words
from linnet.model import (
    KNN,
    XL,
    Attention,
    Convolution,
    Gated,
    Infini,
    LatentAttention,
    Llama3Scaling,
    Longformer,
    Mamba,
    MemoryContext,
    Model,
    Network,
    RMSNorm,
)
from linnet.model.count import count
from linnet.model.mixer import attention as attention_module
from linnet.model.mixer import cross as cross_module
from linnet.model.mixer import infini as infini_module
from linnet.model.mixer import knn as knn_module
from linnet.model.mixer import latent as latent_module
from linnet.model.spec import EXAMPLE_WIDTH, Mixer, Part
from linnet.model.state import first_capacity
from linnet.ops import memory_context as memory_context_module
from linnet.ops.attention import attention_from_reference, attention_reference
from linnet.ops.mask import Mask
from linnet.ops.persistent import attention_with_reference
from linnet.zoo import GPT2, SIZES, Decoder, Deepseek, Family, Jamba, Llama, MambaFamily, Mistral, Mixtral

PUBLISHED = {
    "GPT-2": (GPT2(size="base", context_length=1024).sentence(50_257), 124_439_808),
    "Llama-2-7B": (
        Llama(n_layers=32, n_heads=32, d_model=4096, d_ff=11_008, context_length=4096).sentence(32_000),
        6_738_415_616,
    ),
    "Mistral-7B": (
        Mistral(n_layers=32, n_heads=32, n_kv_heads=8, d_model=4096, d_ff=14_336, window=4096).sentence(32_000),
        7_241_732_096,
    ),
    "Llama-3.1-8B": (
        Llama(
            n_layers=32,
            n_heads=32,
            n_kv_heads=8,
            d_model=4096,
            d_ff=14_336,
            context_length=131_072,
            rope_base=500_000.0,
            rope_scaling=Llama3Scaling(),
        ).sentence(128_256),
        8_030_261_248,
    ),
    "Llama-3.2-1B": (
        Llama(
            n_layers=16,
            n_heads=32,
            n_kv_heads=8,
            d_head=64,
            d_model=2048,
            d_ff=8192,
            context_length=131_072,
            tied=True,
            rope_base=500_000.0,
            rope_scaling=Llama3Scaling(factor=32.0),
        ).sentence(128_256),
        1_235_814_400,
    ),
    "Mamba-130m": (MambaFamily(n_layers=24, d_model=768).sentence(50_280), 129_135_360),
    "Mixtral-8x7B": (
        Mixtral(n_layers=32, n_heads=32, n_kv_heads=8, d_model=4096, d_ff=14_336, context_length=32_768).sentence(32_000),
        46_702_792_704,
    ),
    "Jamba-v0.1": (  # as public recounts of its weights have it: 103,140,646,656 bytes in bfloat16
        Jamba(
            n_layers=32,
            n_heads=32,
            n_kv_heads=8,
            d_model=4096,
            d_ff=14_336,
            attention_period=8,
            attention_offset=4,
            n_experts=16,
            context_length=262_144,
        ).sentence(65_536),
        51_570_323_328,
    ),
}


def built(model: Model) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in Network(model, seed=None).parameters())


def uncounted(model: Model) -> int:
    """Parameters that the spec forgot."""
    return built(model) - model.n_params()


@pytest.mark.parametrize("name", SENTENCES)
def test_counted_parameters_are_the_built_ones(name: str) -> None:
    assert uncounted(SENTENCES[name]) == 0


@pytest.mark.parametrize("word", words(Part).values(), ids=lambda word: word.__name__)
def test_each_word_counts_itself(word: type[Part]) -> None:
    for one in word.examples():
        for width in (EXAMPLE_WIDTH, 2 * EXAMPLE_WIDTH):
            assert one.n_params(width) == sum(p.numel() for p in one.build(width).parameters())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "family", [word for word in words(Family).values() if issubclass(word, Decoder)], ids=lambda w: w.__name__
)
def test_every_size_of_every_family(family: type[Decoder], size: str) -> None:
    assert uncounted(family.model_validate({"size": size}).sentence(1024)) == 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name: str) -> None:
    model, number = PUBLISHED[name]
    assert model.n_params() == number == count(model, 512).parameters


def test_the_law_kills_a_forgotten_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RMSNorm, "n_params", lambda self, d_model: 0)
    assert uncounted(PUBLISHED["GPT-2"][0]) == 0
    assert uncounted(SENTENCES["attention n_heads=4"]) > 0


def attentions(mixer: Mixer) -> list[Attention]:
    """The attention that a mixer is or holds."""
    if isinstance(mixer, Gated):
        return attentions(mixer.mixer) + attentions(mixer.gate)
    return [mixer] if isinstance(mixer, Attention) else []


def unseen(mixer: KNN, n: int) -> int:
    """Products of K numbers that are computed for n places and seen by none of them, or weighed with 0."""
    everything = (n - 1) // mixer.segment * mixer.segment  # what is finished when the last place comes
    total = 0
    for t in range(n):
        own = t % mixer.segment + 1
        memory = sum(1 for s in range(t + 1 - own) if s >= t + 1 - own - mixer.capacity)
        total += 2 * (n - own) + everything - memory + min(everything, mixer.top_k) - min(memory, mixer.top_k)
    return total


def counted_flops(model: Model, n: int, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float]:
    """(what the spec says, what the products of one forward pass cost), for a row of n tokens.

    The oracle multiplies the scores that a mask hides as well; they are taken off by counting what the mask allows.
    """
    for module in (attention_module, cross_module, latent_module, memory_context_module):
        monkeypatch.setattr(module, "attention", attention_reference)
    for module in (attention_module, memory_context_module):
        monkeypatch.setattr(module, "attention_with", attention_with_reference)
    for module in (infini_module, knn_module):
        monkeypatch.setattr(module, "attention_from", attention_from_reference)
    network, index = build(model, torch.float64), torch.arange(n)
    network.source_length = n  # of a network that reads one
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.logits(network(tokens(1, n)).hidden)
    hidden_pairs = 0.0
    for sublayer in model.decoder.sublayers():
        for attention in attentions(sublayer.mixer):
            seen = Mask(attention.causal, attention.window).dense(index, index).sum().item()
            hidden_pairs += 4 * attention.n_heads * attention.width(model.d_model) * (n * n - seen)
        mixer = sublayer.mixer
        if isinstance(mixer, LatentAttention):
            width = mixer.widths(model.d_model)
            hidden_pairs += 2 * mixer.n_heads * (width.qk + width.v) * (n * n - n) / 2
        if isinstance(mixer, Longformer):  # the window for all queries, and all keys for global ones
            first = (index < mixer.n_global)[None]
            near = Mask(mixer.causal, mixer.window, everyone=(first & False, first)).dense(index, index).sum().item()
            whole = Mask(mixer.causal).dense(index, index)[first[0]]
            hidden_pairs += 4 * model.d_model * (n * n - near + whole.numel() - whole.sum().item())
        if isinstance(mixer, Infini):
            seen = ((index % mixer.segment) + 1).sum().item()
            hidden_pairs += 4 * mixer.n_heads * mixer.width(model.d_model) * (n * n - seen)
        if isinstance(mixer, MemoryContext):  # a segment's answers and tokens, for all of its queries
            pieces = [min(mixer.segment, n - start) for start in range(0, n, mixer.segment)]
            hidden = sum(2 * w * w - w * (w + 1) for w in pieces)
            hidden_pairs += 4 * mixer.attention.n_heads * mixer.attention.width(model.d_model) * hidden
        if isinstance(mixer, KNN):  # all queries at once are scored against all that the last of them may recall
            hidden_pairs += 2 * mixer.n_heads * mixer.width(model.d_model) * unseen(mixer, n)
    return count(model, n).forward_flops * n, counter.get_total_flops() - hidden_pairs


@pytest.mark.parametrize("n", [1, 6, 20])
@pytest.mark.parametrize("name", SENTENCES)
def test_flops_are_those_of_the_products(name: str, n: int, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    said, right = counted_flops(SENTENCES[name], n, monkeypatch)
    hold("8 FLOPs = products counted", abs(said - right) / right, 1e-9)


def test_the_law_kills_a_window_that_is_taken_for_full(monkeypatch: pytest.MonkeyPatch) -> None:
    flops = Attention.flops
    monkeypatch.setattr(Attention, "flops", lambda self, d, n: flops(self.replace(window=None), d, n))
    said, right = counted_flops(SENTENCES["attention n_heads=4 window=5 position=rope"], 20, monkeypatch)
    assert abs(said - right) / right > 1e-3


def without_limit(mixer: Mixer, n: int) -> Mixer:
    """The mixer as a fixed state of n places holds it: all of them, whether its window needs them or not."""
    if isinstance(mixer, Attention):
        return mixer.replace(window=None)
    if isinstance(mixer, Mamba):
        return mixer.replace(d_conv=n + 1)
    if isinstance(mixer, Infini | XL | MemoryContext):
        return mixer.replace(segment=n + 1)
    if isinstance(mixer, Gated):
        return mixer.replace(mixer=without_limit(mixer.mixer, n), gate=without_limit(mixer.gate, n))
    if isinstance(mixer, KNN):
        return mixer.replace(capacity=n)
    return mixer.replace(width=n + 1) if isinstance(mixer, Convolution) else mixer


@pytest.mark.parametrize("name", SENTENCES)
def test_state_bytes(name: str) -> None:
    """A fixed state is exactly what was counted (a window saves nothing there); a growing one at most a few times it."""
    model, n = SENTENCES[name], 96
    network = build(model, torch.float32)
    network.source_length = n
    mixers = [sublayer.mixer for sublayer in model.decoder.sublayers()]
    full = sum(without_limit(m, n).state_bytes(model.d_model, n, 4) for m in mixers)
    if model.encoder is None:  # of a source the length is known when it is there
        assert network.new_state(1, capacity=n).nbytes() == full
    state = network.new_state(1)
    with torch.no_grad():
        for piece in tokens(1, n).split(8, 1):
            state = network(piece, state=state).state
    assert state is not None
    state = replace(state, source=None)  # the same for all layers: what is counted is what they make of it
    windows = [m.window if isinstance(m, Attention) else None for m in mixers]
    said, spare = count(model, n).state_bytes, 1.4 * max(map(first_capacity, windows)) * full / n  # what a buffer begins with
    assert said <= state.nbytes() <= 2 * said + spare


def test_activations_cost_something() -> None:
    for model in SENTENCES.values():
        assert count(model, 64).activation_bytes > 0


# 2412.19437, section 4.2. 671,026,419,200 are the elements of the published checkpoint's tensors without its second head and the
# scales of its 8-bit numbers, as tables of config.json's shapes on GitHub have it; the paper says 671 B, 37 B of them active
DEEPSEEK_V3 = Deepseek(
    n_layers=61, n_heads=128, d_model=7168, d_latent=512, d_query_latent=1536, d_nope=128, d_rope=64, d_v=128, n_dense=3, d_ff=18_432,
    n_experts=256, top_k=8, n_shared=1, d_expert=2048, n_groups=8, top_groups=4, expert_scale=2.5,
)  # fmt: skip


def test_deepseek_v3_has_its_published_count() -> None:
    model = DEEPSEEK_V3.sentence(129_280)
    biases = (61 - 3) * 256  # one an expert, which no gradient moves: a buffer here, a tensor of the checkpoint there
    assert model.n_params() + biases == 671_026_419_200
    embedding = 129_280 * 7168
    assert model.n_active_params() - embedding == pytest.approx(36.6e9, rel=2e-3)  # what it reads of the embedding is one row
