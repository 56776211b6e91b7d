"""Sampling: equal to Hugging Face's processors, drawn in the right proportions, rows independent of their batch."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import ConfigError, LinnetError
from linnet.core.spec import dump, load
from linnet.generate import sampler as module
from linnet.generate.sampler import (
    Sampler,
    Sampling,
    count_tokens,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize,
    temperature,
    uniforms,
)

B, V = 3, 501


def normal(*shape: int, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same_distribution(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert torch.equal(ours == -math.inf, theirs == -math.inf)
    torch.testing.assert_close(ours.softmax(-1), theirs.softmax(-1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0.7},
        {"top_k": 5},
        {"top_k": 10_000},
        {"top_p": 0.9},
        {"top_p": 0.02},
        {"min_p": 0.05},
        {"repetition_penalty": 1.3},
        {"repetition_penalty": 0.8, "temperature": 1.5, "top_k": 40, "top_p": 0.8, "min_p": 0.02},
    ],
)
@pytest.mark.parametrize("scale", [0.1, 3.0, 20.0])
def test_processed_distribution_equals_hugging_face(fields, scale):
    transformers = pytest.importorskip("transformers")
    spec = Sampling(**fields)
    logits = normal(B, V, scale=scale)
    tokens = torch.randint(0, V, (B, 60), generator=rng(1))
    theirs = logits
    order = [
        (spec.repetition_penalty != 1, lambda: transformers.RepetitionPenaltyLogitsProcessor(spec.repetition_penalty)),
        (spec.temperature != 1, lambda: transformers.TemperatureLogitsWarper(spec.temperature)),
        (spec.top_k != 0, lambda: transformers.TopKLogitsWarper(spec.top_k)),
        (spec.top_p != 1, lambda: transformers.TopPLogitsWarper(spec.top_p)),
        (spec.min_p != 0, lambda: transformers.MinPLogitsWarper(spec.min_p)),
    ]
    for wanted, make in order:
        if wanted:
            theirs = make()(tokens, theirs)
    same_distribution(Sampler(spec).process(logits, count_tokens(tokens, V)), theirs)


def test_the_order_of_the_steps_matters_and_is_kept():
    """top_p of the tempered distribution is not the tempered top_p: the law above can fail."""
    logits = normal(B, V)
    right = Sampler(Sampling(temperature=2.0, top_p=0.8)).process(logits)
    wrong = temperature(keep_top_p(logits, 0.8), 2.0)
    with pytest.raises(AssertionError):
        same_distribution(wrong, right)


def test_penalties_by_hand():
    logits = torch.tensor([[2.0, -2.0, 1.0, 0.5]])
    counts = torch.tensor([[1, 3, 0, 0]])
    prompt = torch.tensor([[0, 0, 0, 2]])
    torch.testing.assert_close(penalize(logits, counts, repetition=2.0), torch.tensor([[1.0, -4.0, 1.0, 0.5]]))
    torch.testing.assert_close(penalize(logits, counts, repetition=2.0, prompt=prompt), torch.tensor([[1.0, -4.0, 1.0, 0.25]]))
    torch.testing.assert_close(penalize(logits, counts, presence=0.5, prompt=prompt), torch.tensor([[1.5, -2.5, 1.0, 0.5]]))
    torch.testing.assert_close(penalize(logits, counts, frequency=0.5), torch.tensor([[1.5, -3.5, 1.0, 0.5]]))


def test_count_tokens_skips_what_is_masked():
    tokens = torch.tensor([[1, 1, 2], [0, 3, 3]])
    assert count_tokens(tokens, 4).tolist() == [[0, 2, 1, 0], [1, 0, 0, 2]]
    assert count_tokens(tokens, 4, tokens != 3).tolist() == [[0, 2, 1, 0], [1, 0, 0, 0]]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9), st.floats(0.01, 0.99), st.integers(1, 9), st.floats(0, 1))
def test_cuts_follow_their_definitions_with_ties(raw, p, k, share):
    """Against the definitions, token by token; integers make ties, which stay together."""
    logits = torch.tensor([raw], dtype=torch.float32)
    probs = logits.double().softmax(-1)[0].tolist()
    better = [sum(q for q in probs if q > own * (1 + 1e-6)) for own in probs]
    n_better = [sum(q > own * (1 + 1e-6) for q in probs) for own in probs]
    if all(abs(mass - p) > 1e-5 for mass in better):
        assert (keep_top_p(logits, p)[0] > -math.inf).tolist() == _nucleus(probs, p)
    assert (keep_top_k(logits, k)[0] > -math.inf).tolist() == [n < k for n in n_better]
    if all(abs(own - share * max(probs)) > 1e-6 for own in probs):
        assert (keep_min_p(logits, share)[0] > -math.inf).tolist() == [own >= share * max(probs) for own in probs]


def _nucleus(probs: list[float], p: float) -> list[bool]:
    mass, last = 0.0, 0.0
    for own in sorted(probs, reverse=True):
        if mass >= p - 1e-9:
            break
        mass, last = mass + own, own
    return [own >= last * (1 - 1e-6) for own in probs]


def test_a_flat_nucleus_is_found_beyond_the_first_look():
    logits = normal(2, 5000, scale=0.01)
    kept = (keep_top_p(logits, 0.9) > -math.inf).sum(-1)
    assert all(4450 < n < 4550 for n in kept.tolist())


def frequencies_law(draw_tokens) -> None:
    """Chi-square of 20 000 draws against the softmax; 30.6 is the 0.9999 quantile at 6 degrees of freedom (27.9) and a bit."""
    logits = torch.tensor([0.0, 1.0, -math.inf, 2.0, -1.0, 0.5, 1.5, -2.0])
    n = 20_000
    tokens = draw_tokens(logits.expand(n, -1), uniforms(rng(3), n, logits.device))
    counts = torch.bincount(tokens, minlength=8).double()
    expected = logits.double().softmax(-1) * n
    assert counts[2] == 0
    live = expected > 0
    assert float(((counts - expected)[live] ** 2 / expected[live]).sum()) < 30.6


def test_tokens_are_drawn_in_proportion():
    frequencies_law(draw)


def test_the_frequency_law_catches_a_draw_that_is_off_by_one():
    def left(logits, uniform):
        cdf = logits.softmax(-1).cumsum(-1, dtype=torch.float64)
        return (torch.searchsorted(cdf, uniform[:, None], right=True)[:, 0] - 1).clamp(min=0)

    with pytest.raises(AssertionError):
        frequencies_law(left)


def test_a_uniform_on_the_edge_never_draws_a_cut_token():
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]])
    edges = {0.0: 1, 0.5: 3, math.nextafter(0.5, 0): 1, math.nextafter(1.0, 0): 3}
    for uniform, want in edges.items():
        assert draw(logits, torch.tensor([uniform], dtype=torch.float64)).item() == want


def batch_law(make) -> None:
    """Rows sampled together equal rows sampled alone, with one seed per row."""
    logits = normal(5, V, seed=2)
    together = make()(logits, None, [rng(s) for s in range(5)])
    for row in range(5):
        alone = make()(logits[row : row + 1], None, [rng(row)])
        assert together[0][row].item() == alone[0].item()
        assert together[1][row].item() == alone[1].item()


@pytest.mark.parametrize(
    "fields",
    [{}, {"temperature": 0.9}, {"top_k": 50}, {"top_p": 0.9}, {"top_k": 50, "top_p": 0.9, "min_p": 0.1}, {"temperature": 0}],
)
def test_rows_together_equal_rows_alone(fields):
    batch_law(lambda: Sampler(Sampling(**fields)))


def test_the_batch_law_catches_rows_that_share_a_stream(monkeypatch):
    monkeypatch.setattr(
        module, "uniforms", lambda generators, rows, device: torch.rand(rows, generator=generators[0], dtype=torch.float64)
    )
    with pytest.raises(AssertionError):
        batch_law(lambda: Sampler(Sampling()))


def test_one_generator_serves_a_batch_and_moves_on():
    sampler, logits, g = Sampler(Sampling()), normal(4, V), rng(1)
    first, second = sampler(logits, None, g)[0], sampler(logits, None, g)[0]
    assert first.tolist() == sampler(logits, None, rng(1))[0].tolist() != second.tolist()


def test_greedy_is_the_argmax_after_penalties():
    logits, seen = torch.tensor([[1.0, 1.2, 0.0]]), torch.tensor([[0, 1, 0]])
    assert Sampler(Sampling(temperature=0))(logits)[0].tolist() == [1]
    assert Sampler(Sampling(temperature=0, presence_penalty=1.0))(logits, seen)[0].tolist() == [0]


def test_logprob_is_the_models_own_whatever_the_sampling():
    logits = normal(B, V)
    token, logprob = Sampler(Sampling(temperature=0.3, top_k=3))(logits, None, rng())
    torch.testing.assert_close(logprob, logits.log_softmax(-1)[torch.arange(B), token])


def test_top_k_1_is_greedy_and_half_precision_is_read_as_float():
    logits = normal(B, V).to(torch.bfloat16)
    token, logprob = Sampler(Sampling(top_k=1))(logits, None, rng())
    assert logprob.dtype == torch.float32
    assert torch.equal(logits[torch.arange(B), token], logits.amax(-1))


def test_what_is_missing_is_said():
    with pytest.raises(LinnetError, match="generator"):
        Sampler(Sampling())(normal(1, 5))
    with pytest.raises(LinnetError, match="counts"):
        Sampler(Sampling(presence_penalty=1.0))(normal(1, 5), None, rng())
    with pytest.raises(LinnetError, match="3 rows"):
        Sampler(Sampling())(normal(3, 5), None, [rng()])
    with pytest.raises(LinnetError, match="NaN"):
        Sampler(Sampling())(torch.full((1, 5), math.nan), None, rng())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_k", 1.5),
        ("top_p", 0),
        ("top_p", 1.01),
        ("min_p", -0.1),
        ("min_p", 1.2),
        ("repetition_penalty", 0),
        ("presence_penalty", 2.5),
        ("frequency_penalty", math.nan),
        ("top_n", 3),
    ],
)
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=field):
        load(Sampling, {field: value})


def test_spec_round_trip():
    spec = Sampling(temperature=0.7, top_k=40)
    assert load(Sampling, dump(spec)) == spec
