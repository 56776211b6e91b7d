"""Neural memory: a small model inside the layer, trained on the text while it reads (Titans, 2501.00663, section 3.1).

    S_t = η_t S_{t-1} - θ_t ∇‖M(k_t) - v_t‖²        M_t = (1 - α_t) M_{t-1} + S_t        y_t = M_t(q_t) Wo

What surprises (a large gradient) is written down; momentum η carries surprise on to the tokens that follow, forgetting α
makes room. All three depend on the token. Queries, keys and values go through silu; queries and keys have length 1 (4.4).
Gradients of a chunk are taken where the chunk began, so that it costs matrix products (3.2): see ops/neural_memory.py. Chunks
are counted within a document. Not done: the convolutions behind the projections, and the gate before Wo (both 4.4); a
`convolution` sublayer before it is nearly the former.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize, silu

from linnet.model.context import Context
from linnet.model.linear import Dense, build_linear, project
from linnet.model.spec import Linear, TokenMixer
from linnet.model.state import Tail, uncounted_places
from linnet.ops.neural_memory import Memory, Tokens, Weights, recall
from linnet.ops.segments import pieces_of, segments_of


class NeuralMemory(TokenMixer):
    """A memory that is trained on the text while it reads it.

    n_heads     heads, each with a memory of its own
    chunk       tokens whose gradients are taken at the same memory
    depth       1: the memory is a matrix; 2: an MLP with a residual
    expansion   width inside a memory of depth 2, in widths of a head
    rate        the largest rate that it learns with
    linear      how matrices are held
    """

    kind: Literal["neural_memory"] = "neural_memory"
    n_heads: int = Field(default=4, ge=1)
    chunk: int = Field(default=16, ge=1)
    depth: int = Field(default=1, ge=1, le=2)
    expansion: int = Field(default=2, ge=1)
    rate: float = Field(default=0.1, gt=0, le=1)
    linear: Linear = Dense()

    @classmethod
    def examples(cls) -> tuple[NeuralMemory, ...]:
        return (
            cls(chunk=4),
            cls(chunk=5, depth=2, n_heads=2, expansion=1),
            cls(n_heads=1, chunk=1),
            cls(n_heads=2, chunk=7, depth=2, rate=0.05),
            cls(),
        )

    def problems(self, d_model: int) -> list[str]:
        if d_model % self.n_heads:
            return [f"neural_memory: n_heads = {self.n_heads} does not divide d_model = {d_model}; needed: a divisor"]
        return []

    def build(self, d_model: int) -> nn.Module:
        return NeuralMemoryLayer(self, d_model)

    def shapes(self, d_model: int) -> tuple[tuple[int, int, int], ...]:
        """(H, out, in) of each of the memory's matrices."""
        h, k = self.n_heads, d_model // self.n_heads
        return ((h, k, k),) if self.depth == 1 else ((h, self.expansion * k, k), (h, k, self.expansion * k))

    def memory_numbers(self, d_model: int) -> int:
        """Numbers in the memory's matrices, all heads."""
        return sum(h * a * b for h, a, b in self.shapes(d_model))

    def n_params(self, d_model: int) -> int:
        return 4 * d_model * d_model + 3 * self.n_heads * (d_model + 1) + self.memory_numbers(d_model)

    def flops(self, d_model: int, context: int) -> float:
        return self.matrix_flops(d_model) + self.reading_flops(d_model, context) / context

    def matrix_flops(self, d_model: int) -> int:
        """Of a token's queries, keys, values, gates and answer."""
        return 8 * d_model * d_model + 6 * self.n_heads * d_model

    def reading_flops(self, d_model: int, n: int) -> int:
        """Of n tokens that are read at once, without what `matrix_flops` counts; the last chunk is filled up, unless it is the only one."""
        n_pieces, width = pieces_of(n, self.chunk)
        return n_pieces * self._piece_flops(d_model, width) if n else 0

    def _piece_flops(self, d_model: int, n: int) -> int:
        """Of n tokens that share an anchor: their gradients, reads, and what is written."""
        h, k = self.n_heads, d_model // self.n_heads
        gradients = 2 * n * h * k * k if self.depth == 1 else 6 * n * h * k * self.expansion * k
        reads = sum(4 * n * h * a * b + 2 * n * n * h * (a + b) for h, a, b in self.shapes(d_model))
        return gradients + reads + 4 * n * self.memory_numbers(d_model) + 2 * n**3 * h

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        return 3 * self.memory_numbers(d_model) * max(number, 4)

    def activation_numbers(self, d_model: int, context: int) -> float:
        between = 4 * self.chunk * self.n_heads
        wide = 8 * d_model if self.depth == 1 else (8 + 8 * self.expansion) * d_model
        return 7 * d_model + wide + between + 4 * self.memory_numbers(d_model) / self.chunk


@dataclass(frozen=True, eq=False)
class Trained:
    """What a neural memory remembers: where it stands, each matrix (B, H, out, in), and how far it has read."""

    memory: Memory
    read: Tail

    def select(self, rows: Tensor) -> Trained:
        return Trained(self.memory.each(lambda w: w[rows]), self.read.select(rows))

    def reclaim(self) -> Trained:
        return replace(self, read=self.read.reclaim())

    def detach(self) -> Trained:
        return Trained(self.memory.each(Tensor.detach), self.read.detach())

    def nbytes(self) -> int:
        return self.memory.nbytes() + self.read.nbytes()


class NeuralMemoryLayer(nn.Module):
    """Wq, Wk, Wv, Wo (D, D); the gates' rows (3·H, D); the matrices that a memory begins with (H, out, in)."""

    own_init = frozenset({"gate_offset"})

    def __init__(self, spec: NeuralMemory, d_model: int) -> None:
        super().__init__()
        self.spec, self.d_head = spec, d_model // spec.n_heads
        self.q = build_linear(spec.linear, d_model, d_model)
        self.k = build_linear(spec.linear, d_model, d_model)
        self.v = build_linear(spec.linear, d_model, d_model)
        self.o = build_linear(spec.linear, d_model, d_model, writes_residual=True)
        self.gates = build_linear(Dense(), d_model, 3 * spec.n_heads)
        # θ a quarter of `rate`; η 0.73; α 0.007, so that a memory begins as one that lasts some hundred tokens
        self.gate_offset = nn.Parameter(torch.tensor([-1.0, 1.0, -5.0])[:, None].repeat(1, spec.n_heads))  # (3, H)
        self.initial = nn.ParameterList(nn.Parameter(torch.empty(shape)) for shape in spec.shapes(d_model))

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> Trained:
        """A memory for `batch` rows before its first document; what it begins with is taken when that begins."""
        return Trained(self.nothing(batch, like), uncounted_places(batch, like, capacity))

    def nothing(self, batch: int, like: Tensor) -> Memory:
        """Room for the memories of `batch` rows, zeros, in at least 32 bits."""
        like = like.new_empty(0, dtype=_precise(like.dtype))
        zeros: Weights = tuple(like.new_zeros(batch, *w.shape) for w in self.initial)
        return Memory(zeros, zeros, zeros)

    def forward(self, x: Tensor, context: Context, state: Trained | None = None) -> tuple[Tensor, Trained | None]:
        batch, n, _ = x.shape  # (B, T, D)
        read = None if state is None else state.read.append(state.read.line.store.new_empty(batch, n, 0))
        memory = None if state is None else state.memory
        chunk, at = self.spec.chunk, context.positions
        segments = context.once(("segments", chunk), lambda: segments_of(at, chunk))
        y, memory = recall(self.tokens(x), segments, self.start(x.dtype), memory)
        return self.written(y, x.dtype), None if read is None else Trained(memory, read)

    def asked(self, q: Tensor) -> Tensor:
        """What Wq made of tokens (B, T, D), as the memory is asked it: (B, H, T, K)."""
        return normalize(self._by_head(q), dim=-1)

    def written(self, y: Tensor, dtype: torch.dtype) -> Tensor:
        """The memory's answers (B, H, T, K) as the stream has them, (B, T, D)."""
        written: Tensor = self.o(y.transpose(1, 2).flatten(2).to(dtype))
        return written

    def start(self, dtype: torch.dtype) -> Weights:
        """What a document begins with, for tokens of this type."""
        return tuple(w.to(_precise(dtype)) for w in self.initial)

    def _by_head(self, x: Tensor) -> Tensor:
        return silu(x.to(_precise(x.dtype))).view(*x.shape[:2], -1, self.d_head).transpose(1, 2)

    def tokens(self, x: Tensor) -> Tokens:
        """What the memory is told, in at least 32 bits: it adds up over the whole text."""
        batch, n, _ = x.shape
        q, k, v = (self._by_head(part) for part in project(x, (self.q, self.k, self.v)))  # (B, H, T, K)
        gates = self.gates(x).to(q.dtype).view(batch, n, 3, -1) + self.gate_offset.to(q.dtype)
        rate, momentum, forgetting = gates.permute(2, 0, 3, 1)  # (B, H, T)
        return Tokens(normalize(q, dim=-1), normalize(k, dim=-1), v, self.spec.rate * rate.sigmoid(), momentum, forgetting)


def _precise(dtype: torch.dtype) -> torch.dtype:
    """The type that a memory is kept in."""
    return torch.promote_types(dtype, torch.float32)
