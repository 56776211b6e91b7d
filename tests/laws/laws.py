"""The laws of networks and their states, each a plain function: it takes a built network and returns the largest error.

Errors are relative to the largest number of the right answer. Laws that are about raising raise AssertionError.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from linnet.model import Network, State
from linnet.model.network import Output

ROWS, LENGTH = 3, 18


def shapes_and_types(network: Network, text: Tensor) -> Output:
    """Law 1: what goes in as (B, T) comes out as (B, T, D) and (B, T, V) of the weights' dtype, finite, and every weight learns."""
    dtype, shape = network.embedding.weight.dtype, tuple(text.shape)
    for state in (None, network.new_state(len(text)), network.new_state(len(text), capacity=text.shape[1])):
        out = network(text, state=state)
        assert (out.hidden.shape, out.hidden.dtype) == ((*shape, network.spec.d_model), dtype)
        assert (out.state is None) == (state is None)
        logits = network.logits(out.hidden)
        assert (logits.shape, logits.dtype) == ((*shape, network.spec.vocab_size), dtype)
        assert torch.isfinite(logits).all()
    logits.float().sin().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{name} learns nothing"
        assert torch.isfinite(parameter.grad).all()
    return out


def gap(got: Tensor, right: Tensor) -> float:
    """max |got - right| / max |right|."""
    assert got.shape == right.shape, f"{tuple(got.shape)} is not {tuple(right.shape)}"
    assert torch.isfinite(got).all(), "not finite"
    return ((got - right).abs().max() / right.abs().max()).item()


def cuts(n: int, seed: int, most: int = 6) -> list[int]:
    """A few places to cut n tokens at."""
    chance = random.Random(seed)
    return sorted(chance.sample(range(1, n), chance.randint(1, most)))


def in_pieces(
    network: Network,
    tokens: Tensor,
    at: Sequence[int],
    *,
    documents: Tensor | None = None,
    state: State | None = None,
    capacity: int | None = None,
) -> tuple[Tensor, State]:
    """Hidden states of tokens read piece by piece, and the state after them."""
    state = network.new_state(tokens.shape[0], capacity=capacity) if state is None else state
    hidden = []
    for start, stop in zip([0, *at], [*at, tokens.shape[1]], strict=True):
        here = None if documents is None else documents[:, start:stop]
        out = network(tokens[:, start:stop], documents=here, state=state)
        assert out.state is not None
        state = out.state
        hidden.append(out.hidden)
    assert state.length >= tokens.shape[1]
    return torch.cat(hidden, 1), state


def embedded(network: Network, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """(hidden, embeddings), with the embeddings asking for a gradient."""
    kept: list[Tensor] = []

    def catch(module: torch.nn.Module, inputs: object, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    handle = network.embedding.register_forward_hook(catch)
    hidden = network(tokens).hidden
    handle.remove()
    return hidden, kept[-1]  # where there is an encoder, it has read before


# 2 ---------------------------------------------------------------------------------------------------- causality


def future_gradient(network: Network, tokens: Tensor) -> float:
    """The largest gradient of a place with respect to any later one; exactly 0 is right."""
    hidden, places = embedded(network, tokens)
    worst = 0.0
    for t in (0, tokens.shape[1] // 2, tokens.shape[1] - 2):
        (gradient,) = torch.autograd.grad(hidden[:, t].sin().sum(), places, retain_graph=True)
        worst = max(worst, gradient[:, t + 1 :].abs().max().item())
        assert gradient[:, t].abs().max() > 0, "a place does not even see itself"
    return worst


@torch.no_grad()
def future_change(network: Network, tokens: Tensor) -> float:
    """How far another future moves the past."""
    cut = tokens.shape[1] // 2
    other = tokens.clone()
    other[:, cut:] = (other[:, cut:] + 1) % network.spec.vocab_size
    before, after = network(tokens).hidden, network(other).hidden
    assert gap(after[:, cut:], before[:, cut:]) > 1e-3, "the future itself did not move"
    return gap(after[:, :cut], before[:, :cut])


def reach(network: Network, tokens: Tensor) -> Tensor:
    """(T, T) bool: whether place t feels place s."""
    hidden, places = embedded(network, tokens)
    rows = []
    for t in range(tokens.shape[1]):
        (gradient,) = torch.autograd.grad(hidden[:, t].sin().sum(), places, retain_graph=True)
        rows.append(gradient.abs().amax((0, 2)) > 0)
    return torch.stack(rows)


# 3 -------------------------------------------------------------------------- train = prefill cut anywhere = step by step


@torch.no_grad()
def cut_anywhere(network: Network, tokens: Tensor, seed: int = 0) -> float:
    """One pass, against pieces and single tokens, in both modes of the buffer."""
    right = network(tokens).hidden
    n = tokens.shape[1]
    worst = 0.0
    for at in (cuts(n, seed), list(range(1, n))):
        for capacity in (None, n + 3):
            worst = max(worst, gap(in_pieces(network, tokens, at, capacity=capacity)[0], right))
    return worst


def cut_anywhere_gradients(network: Network, tokens: Tensor, seed: int = 0) -> float:
    """The gradient of every parameter through the state, against one pass."""

    def gradients(hidden: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(hidden.sin().sum(), parameters))

    parameters = [p for name, p in network.named_parameters() if not name.startswith("head")]
    right = gradients(network(tokens).hidden)
    scale = max(g.abs().max().item() for g in right)
    worst = 0.0
    for capacity in (None, tokens.shape[1]):
        got = gradients(in_pieces(network, tokens, cuts(tokens.shape[1], seed), capacity=capacity)[0])
        worst = max(worst, *((a - b).abs().max().item() / scale for a, b in zip(got, right, strict=True)))
    return worst


# 4 ------------------------------------------------------------------------------- packed documents = separate documents


@torch.no_grad()
def packed_is_separate(network: Network, tokens: Tensor, seed: int = 0) -> float:
    """Documents in one row against each alone: whole, cut inside documents, and with numbers in any order."""
    n = tokens.shape[1]
    bounds = [0, *cuts(n, seed + 7, most=4), n]
    numbers = random.Random(seed).sample(range(20), len(bounds) - 1)
    documents = torch.cat(
        [torch.full((tokens.shape[0], b - a), k) for a, b, k in zip(bounds, bounds[1:], numbers, strict=False)], 1
    )
    right = torch.cat([network(tokens[:, a:b]).hidden for a, b in pairwise(bounds)], 1)
    worst = gap(network(tokens, documents=documents).hidden, right)
    for at in (cuts(n, seed + 3), list(range(1, n))) if seed == 0 else (cuts(n, seed + 3),):
        for capacity in (None, n):
            worst = max(worst, gap(in_pieces(network, tokens, at, documents=documents, capacity=capacity)[0], right))
    return worst


@torch.no_grad()
def rows_may_differ(network: Network, tokens: Tensor) -> float:
    """Each row its own documents, begun without any (a row is then document 0), goes on with them, and ends without."""
    n, first = tokens.shape[1], 6
    ends = [first + 3, first + 5, n - 2]
    documents = torch.stack([torch.cat((torch.zeros(end - first), torch.ones(n - end))) for end in ends]).long()
    right = torch.cat(
        [
            torch.cat((network(row[None, :end]).hidden, network(row[None, end:]).hidden), 1)
            for row, end in zip(tokens, ends, strict=True)
        ]
    )
    _, state = in_pieces(network, tokens[:, :first], [])
    middle, state = in_pieces(network, tokens[:, first:-1], [4], documents=documents[:, :-1], state=state)
    last, _ = in_pieces(network, tokens[:, -1:], [], state=state)
    return gap(torch.cat((middle, last), 1), right[:, first:])


@torch.no_grad()
def padding_changes_nothing(network: Network, tokens: Tensor) -> float:
    """Rows of different length, padded on the left with document -1 and decoded on, against each row alone."""
    n, prompt = tokens.shape[1], tokens.shape[1] - 4
    lengths = [prompt, prompt - 5, 2]
    padded = torch.stack([torch.cat((torch.full((prompt - k,), 3), row[:k])) for row, k in zip(tokens, lengths, strict=True)])
    documents = torch.stack([torch.cat((torch.full((prompt - k,), -1), torch.zeros(k))) for k in lengths]).long()
    worst = 0.0
    for capacity in (None, n):
        read, state = in_pieces(network, padded, [prompt // 2], documents=documents, capacity=capacity)
        more, _ = in_pieces(network, tokens[:, prompt:], [1], state=state)
        for i, k in enumerate(lengths):
            right = network(torch.cat((tokens[i, :k], tokens[i, prompt:]))[None]).hidden[0]
            worst = max(worst, gap(torch.cat((read[i, prompt - k :], more[i])), right))
    return worst


# 5 ------------------------------------------------------------------------------------- select = running those rows


@torch.no_grad()
def select_is_running_those_rows(network: Network, tokens: Tensor) -> float:
    """Rows reordered, doubled and dropped, with and without documents, against running them from the start."""
    half = tokens.shape[1] // 2
    documents = torch.stack([torch.tensor([0] * k + [1] * (half - k)) for k in (half, 3, half - 1)])
    worst = 0.0
    for rows in ([2, 0, 0, 1], [1]):
        index = torch.tensor(rows)
        for capacity in (None, tokens.shape[1]):
            for here in (None, documents):
                _, state = in_pieces(network, tokens[:, :half], [2], documents=here, capacity=capacity)
                got, _ = in_pieces(network, tokens[index][:, half:], [1], state=state.select(index))
                _, fresh = in_pieces(
                    network, tokens[index][:, :half], [2], documents=None if here is None else here[index], capacity=capacity
                )
                right, _ = in_pieces(network, tokens[index][:, half:], [1], state=fresh)
                worst = max(worst, gap(got, right))
    return worst


# 6 ---------------------------------------------------------------------- rollback, interleaved branches, reclaim, stale


@torch.no_grad()
def branches_are_independent(network: Network, tokens: Tensor) -> float:
    """Two lives of one handle in turns, then the handle itself once more; reclaimed after every rejected draft."""
    n, half = tokens.shape[1], tokens.shape[1] // 2
    other = (tokens + 1) % network.spec.vocab_size
    at = list(range(1, n - half))
    worst = 0.0
    for capacity in (None, n):

        def fresh(capacity: int | None = capacity) -> State:
            return in_pieces(network, tokens[:, :half], [3], capacity=capacity)[1]

        right = in_pieces(network, tokens[:, half:], at, state=fresh())[0]
        right_other = in_pieces(network, other[:, half:], at, state=fresh())[0]
        root = fresh()
        a = b = root
        seen_a, seen_b = [], []
        for t in range(half, n):
            out = network(tokens[:, t : t + 1], state=a)
            a = out.state
            seen_a.append(out.hidden)
            out = network(other[:, t : t + 1], state=b)
            b = out.state
            seen_b.append(out.hidden)
        worst = max(worst, gap(torch.cat(seen_a, 1), right), gap(torch.cat(seen_b, 1), right_other))
        worst = max(worst, gap(in_pieces(network, tokens[:, half:], at, state=root)[0], right))  # the root is what it was
        root = fresh()
        detached = root.detach()
        one = network(tokens[:, half : half + 1], state=root)
        network(other[:, half:], state=detached)
        got = torch.cat((one.hidden, in_pieces(network, tokens[:, half + 1 :], at[:-1], state=one.state)[0]), 1)
        worst = max(worst, gap(got, right))
        kept = fresh()
        for t in range(half, n):  # a draft of three, rejected; one token, kept
            in_pieces(network, other[:, :3], [1, 2], state=kept) if t + 3 <= n else None
            kept = kept.reclaim()
            out = network(tokens[:, t : t + 1], state=kept)
            kept = out.state
            worst = max(worst, gap(out.hidden, right[:, t - half : t - half + 1]))
    return worst


@torch.no_grad()
def stale_handles_raise(network: Network, tokens: Tensor) -> None:
    """What was made from a state before it was reclaimed cannot be read."""
    _, root = in_pieces(network, tokens[:, :3], [], capacity=8)
    _, later = in_pieces(network, tokens[:, 3:5], [1], state=root)
    network(tokens[:, 3:4], state=root.reclaim())
    with pytest.raises(RuntimeError, match="given up"):
        network(tokens[:, 5:6], state=later)
