"""Laws 1 to 6 over every sentence. Tolerances are float32's: sums of some hundred terms in another order differ by 1e-6."""

from __future__ import annotations

import pytest
import torch
from sentences import CAUSAL, FEW, SENTENCES, build, tokens

import laws
from equivalence import Hold
from linnet.model import Attention, Model
from linnet.model.spec import TokenMixer

ROUNDING = 2e-5  # float32: 24 places, at most 96 numbers a sum; the largest measured is below 5e-6
pytestmark = pytest.mark.usefixtures("_small_buffers")


def test_the_few_are_among_them() -> None:
    assert set(FEW) <= set(SENTENCES)
    assert len(CAUSAL) < len(SENTENCES), "sentences that see both ways are there too"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", SENTENCES)
def test_1_shape_and_dtype(name: str, dtype: torch.dtype, hold: Hold) -> None:
    network, text = build(SENTENCES[name], dtype), tokens(2, 9)
    out = laws.shapes_and_types(network, text)
    if dtype != torch.float32:  # the same numbers, up to the coarser of the two types
        coarse = {torch.float64: 1e-4, torch.bfloat16: 0.5}[dtype]  # bfloat16 has 8 bits, and sharp attention doubles an error
        exact = build(SENTENCES[name], dtype).double() if dtype == torch.bfloat16 else build(SENTENCES[name], torch.float32)
        hold(f"1 {str(dtype)[6:]} = another type", laws.gap(out.hidden.double(), exact(text).hidden.double()), coarse)


@pytest.mark.parametrize("name", CAUSAL)
def test_2_causality(name: str, hold: Hold) -> None:
    network = build(CAUSAL[name])
    hold("2 causality, gradient", laws.future_gradient(network, tokens(2, 17)), 0.0)  # a masked score has no gradient at all
    hold("2 causality, another future", laws.future_change(network, tokens(2, 17)), 1e-6)  # kernels may block rows together


def only_attention(model: Model) -> bool:
    """Whether nothing but attention carries anything from place to place."""
    return all(isinstance(s.mixer, Attention) for s in model.decoder.sublayers() if isinstance(s.mixer, TokenMixer))


@pytest.mark.parametrize("name", [name for name, model in CAUSAL.items() if "window" in name and only_attention(model)])
def test_2_a_window_reaches_exactly_so_far(name: str) -> None:
    model = CAUSAL[name]
    windows = [s.mixer.window for s in model.decoder.sublayers() if isinstance(s.mixer, Attention) and s.mixer.window]
    far = sum(window - 1 for window in windows)  # every layer passes it on
    n = far + 4
    index = torch.arange(n)
    distance = index[:, None] - index
    for dtype in (torch.float64, torch.float32):  # by PyTorch, and by the kernel where there is one
        assert torch.equal(laws.reach(build(model, dtype), tokens(2, n)), (distance >= 0) & (distance <= far))


@pytest.mark.parametrize("name", CAUSAL)
def test_3_train_is_prefill_cut_anywhere_is_step_by_step(name: str, hold: Hold) -> None:
    network = build(CAUSAL[name])
    text = tokens(laws.ROWS, laws.LENGTH)
    hold("3 cut anywhere", laws.cut_anywhere(network, text), ROUNDING)
    hold("3 cut anywhere, all gradients", laws.cut_anywhere_gradients(network, text), ROUNDING)


@pytest.mark.parametrize("name", SENTENCES)
def test_4_packed_documents_are_separate_documents(name: str, hold: Hold) -> None:
    network = build(SENTENCES[name])
    text = tokens(laws.ROWS, laws.LENGTH)
    if name not in CAUSAL:  # sees both ways: only whole rows mean the same
        documents = torch.tensor([[4] * 9 + [2] * (laws.LENGTH - 9)] * laws.ROWS)
        right = torch.cat((network(text[:, :9]).hidden, network(text[:, 9:]).hidden), 1)
        hold("4 packed = separate", laws.gap(network(text, documents=documents).hidden, right), ROUNDING)
        return
    for seed in range(2):
        hold("4 packed = separate", laws.packed_is_separate(network, text, seed), ROUNDING)
    hold("4 documents begin and end anywhere", laws.rows_may_differ(network, text), ROUNDING)
    hold("4 left padding", laws.padding_changes_nothing(network, text), ROUNDING)


@pytest.mark.parametrize("name", SENTENCES)
def test_5_select_is_running_those_rows(name: str, hold: Hold) -> None:
    hold("5 select = those rows", laws.select_is_running_those_rows(build(SENTENCES[name]), tokens(3, 12)), ROUNDING)


@pytest.mark.parametrize("name", SENTENCES)
def test_6_branches(name: str, hold: Hold) -> None:
    network = build(SENTENCES[name])
    hold("6 rollback, branches, reclaim", laws.branches_are_independent(network, tokens(2, 10)), ROUNDING)
    if any(isinstance(s.mixer, TokenMixer) for s in SENTENCES[name].decoder.sublayers()):
        laws.stale_handles_raise(network, tokens(2, 8))


@pytest.mark.parametrize("name", SENTENCES)
def test_6_both_modes_of_the_buffer_agree(name: str, hold: Hold) -> None:
    """Also where a place sees both ways: what is not written yet is not seen."""
    network = build(SENTENCES[name])
    text = tokens(2, 14)
    with torch.no_grad():
        right, _ = laws.in_pieces(network, text, [3, 4, 9])
        got, _ = laws.in_pieces(network, text, [3, 4, 9], capacity=20)
    hold("6 fixed capacity = growing", laws.gap(got, right), ROUNDING)
