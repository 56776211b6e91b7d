"""Law 8: what a spec counts is what is built, and what was published."""

from __future__ import annotations

import pytest
import torch
from ledger import Hold
from sentences import SENTENCES, build, tokens
from torch.utils.flop_counter import FlopCounterMode

from linnet.core.spec import words
from linnet.model import KNN, Attention, Convolution, Model, Network, RMSNorm
from linnet.model.count import count
from linnet.model.mixer import attention as attention_module
from linnet.model.mixer import knn as knn_module
from linnet.model.spec import EXAMPLE_WIDTH, Mixer, Part
from linnet.model.state import first_capacity
from linnet.ops.attention import attention_from_reference, attention_reference
from linnet.ops.mask import Mask
from linnet.zoo import GPT2, SIZES, Decoder, Family, Llama, Mistral

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
    monkeypatch.setattr(attention_module, "attention", attention_reference)
    monkeypatch.setattr(knn_module, "attention_from", attention_from_reference)
    network, index = build(model, torch.float64), torch.arange(n)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.logits(network(tokens(1, n)).hidden)
    hidden_pairs = 0.0
    for sublayer in model.decoder.sublayers():
        mixer = sublayer.mixer
        if isinstance(mixer, Attention):
            seen = Mask(mixer.causal, mixer.window).dense(index, index).sum().item()
            hidden_pairs += 4 * mixer.n_heads * mixer.width(model.d_model) * (n * n - seen)
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
    if isinstance(mixer, KNN):
        return mixer.replace(capacity=n)
    return mixer.replace(width=n + 1) if isinstance(mixer, Convolution) else mixer


@pytest.mark.parametrize("name", SENTENCES)
def test_state_bytes(name: str) -> None:
    """A fixed state is exactly what was counted (a window saves nothing there); a growing one at most a few times it."""
    model, n = SENTENCES[name], 96
    network = build(model)
    mixers = [sublayer.mixer for sublayer in model.decoder.sublayers()]
    full = sum(without_limit(m, n).state_bytes(model.d_model, n, 4) for m in mixers)
    assert network.new_state(1, capacity=n).nbytes() == full
    state = network.new_state(1)
    with torch.no_grad():
        for piece in tokens(1, n).split(8, 1):
            state = network(piece, state=state).state
    assert state is not None
    windows = [m.window if isinstance(m, Attention) else None for m in mixers]
    said, spare = count(model, n).state_bytes, 1.4 * max(map(first_capacity, windows)) * full / n  # what a buffer begins with
    assert said <= state.nbytes() <= 2 * said + spare


def test_activations_cost_something() -> None:
    for model in SENTENCES.values():
        assert count(model, 64).activation_bytes > 0
