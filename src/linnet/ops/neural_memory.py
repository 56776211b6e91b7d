"""A memory that is trained while it is read (Titans, 2501.00663, section 3.1): gradient descent with momentum and forgetting.

    S_t = η_t S_{t-1} - θ_t ∇‖M(k_t) - v_t‖²        M_t = (1 - α_t) M_{t-1} + S_t        y_t = M_t(q_t)

These are eq. 12 to 15. The gradient of token t is taken at the *anchor*: the memory as it was where t's chunk began
(section 3.2). Momentum and forgetting run on from token to token, over the borders of chunks too, and each token reads its
own M_t. A memory is a matrix, M(x) = W x (depth 1), or an MLP, M(x) = x + W₂ silu(W₁ x) (depth 2).

`recall_reference` is this, token by token, its inner gradient by autograd. `recall` does a chunk at once, and all rows, each cut
where its own chunks and documents begin: where a row's piece is shorter, nothing is forgotten, moved or written. Every gradient is
an outer product l_j r_jᵀ, and running through momentum and forgetting is linear, so that within a chunk

    M_i = A_i M + B_i S - Σ_{j ≤ i} L_ij l_j r_jᵀ        L = P(1 - α) P(η)        P(a)_ij = a_{j+1} … a_i

and W_i q_i needs no W_i: it is a sum over j of L_ij (r_j · q_i) l_j, attention without a softmax. Not done: memories that are
deeper; a scan over chunks (an anchor depends on the chunk before it, so chunks go one after another).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, silu

from linnet.ops.segments import Segments

TOGETHER = 64  # pieces of a row whose decays are made at once: all of a long text would take room for T · C numbers
Weights = tuple[Tensor, ...]  # (W,) or (W₁, W₂), each (B, H, out, in)


class Tokens(NamedTuple):
    """What the memory is told, for T tokens in H heads.

    queries, keys, values       (B, H, T, K)
    rate, momentum, forgetting  (B, H, T): θ times anything; η and α before the sigmoid
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    rate: Tensor
    momentum: Tensor
    forgetting: Tensor


@dataclass(frozen=True)
class Memory:
    """Where a memory stands: the anchor of its chunk, the memory itself and its momentum."""

    anchor: Weights
    weights: Weights
    momentum: Weights

    @staticmethod
    def begin(initial: Weights) -> Memory:
        """A memory that has read nothing: initial weights (B, H, out, in), no momentum."""
        return Memory(initial, initial, tuple(torch.zeros_like(w) for w in initial))

    def each(self, change: Callable[[Tensor], Tensor]) -> Memory:
        """All matrices changed alike."""
        parts = (self.anchor, self.weights, self.momentum)
        return Memory(*(tuple(change(w) for w in part) for part in parts))

    def nbytes(self) -> int:
        """Bytes of all matrices."""
        return sum(w.numel() * w.element_size() for w in (*self.anchor, *self.weights, *self.momentum))

    def chosen(self, rows: Tensor, other: Memory) -> Memory:
        """This memory in rows (B,) that are true, the other one elsewhere."""
        where = rows[:, None, None, None]

        def pick(a: Weights, b: Weights) -> Weights:
            return tuple(torch.where(where, x, y) for x, y in zip(a, b, strict=True))

        return Memory(pick(self.anchor, other.anchor), pick(self.weights, other.weights), pick(self.momentum, other.momentum))


def apply(weights: Weights, x: Tensor) -> Tensor:
    """M(x) for x (B, H, T, K)."""
    if len(weights) == 1:
        return x @ weights[0].mT
    first, second = weights
    return x + silu(x @ first.mT) @ second.mT


# --------------------------------------------------------------------------------------------------------- the oracle


def recall_reference(tokens: Tokens, segments: Segments, initial: Weights, memory: Memory | None = None) -> tuple[Tensor, Memory]:
    """(y (B, H, T, K), the memory after them), a row, a head and a token at a time.

    segments    `segments_of(positions, chunk)`, of which only these two are looked at: position 0 begins a document, a multiple of
                the chunk begins a chunk
    initial     weights that a document begins with, each (H, out, in)
    memory      where an earlier piece ended; None: the first token begins a document
    """
    batch, heads, n, _ = tokens.queries.shape
    positions, chunk = segments.positions.expand(batch, n), segments.length
    begin = Memory.begin(tuple(w.expand(batch, *w.shape) for w in initial))
    memory = begin if memory is None else memory
    rows, after = [], []
    for b in range(batch):
        for h in range(heads):
            here = Memory(*([w[b, h] for w in part] for part in (memory.anchor, memory.weights, memory.momentum)))  # type: ignore[arg-type]
            reads = []
            for t in range(n):
                if positions[b, t] == 0:
                    here = Memory(*([w[b, h] for w in part] for part in (begin.anchor, begin.weights, begin.momentum)))  # type: ignore[arg-type]
                elif positions[b, t] % chunk == 0:
                    here = replace(here, anchor=here.weights)
                here = _step(here, Tokens(*(x[b, h, t] for x in tokens)))
                reads.append(apply(here.weights, tokens.queries[b, h, t][None])[0])
            rows.append(torch.stack(reads))
            after.append(here)

    def gathered(name: str) -> Weights:
        return tuple(
            torch.stack([getattr(one, name)[i] for one in after]).view(batch, heads, *initial[i].shape[1:])
            for i in range(len(initial))
        )

    y = torch.stack(rows).view(tokens.queries.shape)
    return y, Memory(gathered("anchor"), gathered("weights"), gathered("momentum"))


def _step(memory: Memory, token: Tokens) -> Memory:
    """One token: the inner gradient by autograd."""
    with torch.enable_grad():
        anchor = [w if w.requires_grad else w.detach().requires_grad_() for w in memory.anchor]
        loss = (apply(tuple(anchor), token.keys[None])[0] - token.values).square().sum()
        gradients = torch.autograd.grad(loss, anchor, create_graph=True)
    eta, kept = token.momentum.sigmoid(), 1 - token.forgetting.sigmoid()
    momentum = tuple(eta * s - token.rate * g for s, g in zip(memory.momentum, gradients, strict=True))
    weights = tuple(kept * w + s for w, s in zip(memory.weights, momentum, strict=True))
    return Memory(memory.anchor, weights, momentum)


# ------------------------------------------------------------------------------------------------- a chunk at a time


def recall(tokens: Tokens, segments: Segments, initial: Weights, memory: Memory | None = None) -> tuple[Tensor, Memory]:
    """What `recall_reference` gives. Each row is cut where its own chunks and documents begin; piece by piece, all rows at once.

    segments   `segments_of(positions, chunk)`: these tokens, cut where chunks and documents begin; within one, positions rise by one
    """
    batch, _, n, _ = tokens.queries.shape
    begin = Memory.begin(tuple(w.expand(batch, *w.shape) for w in initial))
    memory = begin if memory is None else memory
    assert segments.n_tokens == n
    reads = []
    for i, (piece, decay) in enumerate(_by_piece(tokens, segments)):
        memory = _entered(memory, begin, segments, i)
        y, memory = _read_and_learn(memory, piece, decay)
        reads.append(y)
    return segments.join(torch.stack(reads, 2)), memory


def _entered(memory: Memory, begin: Memory, segments: Segments, i: int) -> Memory:
    """The memory before piece i: a chunk's first piece takes a new anchor, a document's first begins anew."""
    opens, begins = segments.opens[:, i], segments.begins[:, i]  # (R,)
    anchored = replace(memory, anchor=memory.weights)
    if segments.alike:
        return begin if bool(begins) else anchored if bool(opens) else memory
    return begin.chosen(begins, anchored.chosen(opens, memory))


def _read_and_learn(memory: Memory, tokens: Tokens, decay: _Decay) -> tuple[Tensor, Memory]:
    """y (B, H, C, K) of tokens that share an anchor, and the memory after them."""
    steps = _gradients(memory.anchor, tokens)
    x = tokens.queries
    parts = list(zip(memory.weights, memory.momentum, steps, strict=True))
    y = _product(x, *parts[0], decay, decay.found)
    if len(parts) == 2:
        y = silu(y)
        y = x + _product(y, *parts[1], decay, (y @ steps[1][1].mT) * decay.steps)
    after = [_after(*part, decay) for part in parts]
    return y, Memory(memory.anchor, tuple(w for w, _ in after), tuple(s for _, s in after))


class _Decay(NamedTuple):
    """How much of what is left after each token i of a piece.

    weights, momentum   A, B (B, H, C): of the weights and the momentum before the piece, in the weights
    steps               L (B, H, C, C): of each token's gradient, in the weights
    found               L ∘ (q kᵀ) (B, H, C, C): what a query finds of each token that the first matrix was told
    lasting             (B, H): of the momentum before the piece, in the last momentum
    latest              (B, H, C): of each token's gradient, in the last momentum
    """

    weights: Tensor
    momentum: Tensor
    steps: Tensor
    found: Tensor
    lasting: Tensor
    latest: Tensor


def _by_piece(tokens: Tokens, segments: Segments) -> Iterator[tuple[Tokens, _Decay]]:
    """The tokens of each piece (B, H, W, …) and its decays, which do not depend on what the memory holds and are made together."""
    laid = Tokens(*(segments.split(x if x.dim() == 4 else x[..., None]) for x in tokens))  # (B, H, N, W, K or 1)
    real = None
    if segments.slots is not None or segments.n_pieces * segments.width != segments.n_tokens:
        real = segments.split(torch.ones_like(segments.positions)[:, None, :, None])[..., 0] > 0  # (R, 1, N, W)
    stretches = zip(*(x.split(TOGETHER, 2) for x in laid), strict=True)
    for i, (*rows, rate, momentum, forgetting) in enumerate(stretches):
        here = Tokens._make((*rows, rate[..., 0], momentum[..., 0], forgetting[..., 0]))
        decays = _decay(here, None if real is None else real[:, :, i * TOGETHER : (i + 1) * TOGETHER])
        parts = zip(*(x.unbind(2) for x in here), strict=True)
        for piece, decay in zip(parts, zip(*(x.unbind(2) for x in decays), strict=True), strict=True):
            yield Tokens(*piece), _Decay(*decay)


def _decay(tokens: Tokens, real: Tensor | None) -> _Decay:
    """Of pieces (B, H, N, W, …). Where no token is (R, 1, N, W), nothing is forgotten, moved or written."""
    kept, moved = logsigmoid(-tokens.forgetting), logsigmoid(tokens.momentum)
    if real is not None:
        kept, moved = (x.masked_fill(~real, 0.0) for x in (kept, moved))
    kept, moved = kept.cumsum(-1), moved.cumsum(-1)  # log (1 - α₁) … (1 - α_i), log η₁ … η_i
    by_forgetting, by_momentum = _between(kept), _between(moved)
    if real is not None:  # the momentum is added to the weights by tokens alone: M_t = (1 - α_t) M_{t-1} + S_t
        by_forgetting = by_forgetting * real[..., None, :]
    momentum = (by_forgetting * moved.exp()[..., None, :]).sum(-1)
    steps = by_forgetting @ by_momentum
    found = (tokens.queries @ tokens.keys.mT) * steps
    return _Decay(kept.exp(), momentum, steps, found, moved[..., -1].exp(), by_momentum[..., -1, :])


def _between(sums: Tensor) -> Tensor:
    """P_ij = exp(sums_i - sums_j) for j ≤ i, else 0: (..., C) → (..., C, C)."""
    n = sums.shape[-1]
    later = torch.ones(n, n, dtype=torch.bool, device=sums.device).triu(1)
    return (sums[..., :, None] - sums[..., None, :]).masked_fill(later, -torch.inf).exp()


def _gradients(anchor: Weights, tokens: Tokens) -> list[tuple[Tensor, Tensor]]:
    """θ_j times the gradient of every token at the anchor, as (l, r) with l_j r_jᵀ: (B, H, C, out), (B, H, C, in)."""
    twice = 2 * tokens.rate[..., None]
    if len(anchor) == 1:
        return [(twice * (tokens.keys @ anchor[0].mT - tokens.values), tokens.keys)]
    first, second = anchor
    z = tokens.keys @ first.mT  # (B, H, C, F)
    inner = silu(z)
    error = twice * (tokens.keys + inner @ second.mT - tokens.values)
    gate = z.sigmoid()
    slope = gate * (1 + z * (1 - gate))  # silu'(z)
    return [((error @ second) * slope, tokens.keys), (error, inner)]


def _product(x: Tensor, weights: Tensor, momentum: Tensor, step: tuple[Tensor, Tensor], decay: _Decay, found: Tensor) -> Tensor:
    """W_i x_i for every token i of a piece: (B, H, C, in) → (B, H, C, out); found: L ∘ (x rᵀ) (B, H, C, C)."""
    old = decay.weights[..., None] * (x @ weights.mT) + decay.momentum[..., None] * (x @ momentum.mT)
    return old - found @ step[0]


def _after(weights: Tensor, momentum: Tensor, step: tuple[Tensor, Tensor], decay: _Decay) -> tuple[Tensor, Tensor]:
    """(W, S) after the last token of a piece."""
    left, right = step
    a, b, lasting = (x[..., None, None] for x in (decay.weights[..., -1], decay.momentum[..., -1], decay.lasting))
    learned = (left * decay.steps[..., -1, :, None]).mT @ right
    moved = (left * decay.latest[..., None]).mT @ right
    return a * weights + b * momentum - learned, lasting * momentum - moved
