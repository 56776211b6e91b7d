"""Memory as a context: what a neural memory answers are tokens that attention sees (Titans, 2501.00663, section 4.1).

    h_t = M_s(q_t)     y_t = attention of x_t over [persistent | h_a … h_t | x_a … x_t]     o_t = norm(y_t) ⊙ σ(norm(M_t(y_t)))

Texts are read by segments; a is the first place of t's, and M_s the memory as it stood there. Attention decides what of the
past it needs; the memory learns from what attention found, token by token as NeuralMemory does, and gates it as Gated does.
What lies before the segment is in the memory alone, so that the state does not grow with the text. See ops/memory_context.py.

Where the paper leaves a choice:
- Causality is exact: a place sees the answers to its own and earlier tokens of its segment. The paper has all answers
  before the segment (eq. 22), where each would see what later tokens asked.
- An answer stands at the place of the token that asked, and is a token as Wo writes it: with a norm of its own, answers of a
  memory that has learned nothing yet are as loud as the text, and a model learned more slowly (docs/techniques/neural-memory.md).
- One Wq asks for h and for o, one Wo writes both, and attention's Wk and Wv read tokens and answers alike.
- Chunks, whose gradients are taken at one memory, divide a segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from linnet.model.context import Context
from linnet.model.linear import project
from linnet.model.mixer.attention import Attention, AttentionLayer
from linnet.model.mixer.heads import rotation, rotation_at
from linnet.model.mixer.neural_memory import NeuralMemory, NeuralMemoryLayer
from linnet.model.norm import LayerNorm, RMSNorm
from linnet.model.position import Alibi, Rope
from linnet.model.spec import Norm, TokenMixer
from linnet.model.state import Tail
from linnet.ops.memory_context import Inputs, Parts, Reading, memory_context
from linnet.ops.neural_memory import Memory, Tokens, Weights
from linnet.ops.rope import rotate


class MemoryContext(TokenMixer):
    """Attention within segments that sees a neural memory's answers beside the tokens, and trains that memory.

    attention   within a segment; persistent tokens are its `persistent`
    memory      what was read before the segment
    segment     tokens after which the memory is asked as it stands then
    norm        a norm on what attention found and on its gate before they meet; null: none
    """

    kind: Literal["memory_context"] = "memory_context"
    attention: Attention
    memory: NeuralMemory = NeuralMemory()
    segment: int = Field(default=64, ge=1)
    norm: Norm | None = Field(default=RMSNorm())

    @classmethod
    def examples(cls) -> tuple[MemoryContext, ...]:
        attention, memory = Attention(n_heads=4, position=Rope()), NeuralMemory(chunk=3)
        return (
            cls(attention=attention, memory=memory, segment=6),
            cls(attention=attention.replace(persistent=3, n_kv_heads=2), memory=memory.replace(n_heads=2, chunk=2), segment=4),
            cls(attention=attention.replace(position=None, bias=True, qk_norm=RMSNorm()), memory=memory, segment=3, norm=None),
            cls(attention=attention.replace(d_head=6, persistent=1), memory=memory.replace(depth=2, rate=0.05), segment=9),
            cls(attention=attention, memory=NeuralMemory(chunk=1, n_heads=1), segment=1, norm=LayerNorm()),
            cls(attention=attention.replace(kernel="sdpa", persistent=2)),
            cls(attention=attention.replace(d_head=6, sub_norm=RMSNorm()), memory=memory, segment=3),
        )

    def problems(self, d_model: int) -> list[str]:
        found = self.attention.problems(d_model) + self.memory.problems(d_model)
        if self.attention.window is not None or not self.attention.causal:
            found.append(
                "attention within a window, or to both sides; needed: causal, without a window: the segment is the window"
            )
        if isinstance(self.attention.position, Alibi):
            found.append("attention with position alibi; needed: rope or none; try: position: rope")
        if self.attention.kernel not in ("auto", "sdpa"):
            found.append(f"attention with kernel {self.attention.kernel}; needed: auto or sdpa; try: kernel: auto")
        if self.segment % self.memory.chunk:
            found.append(f"the memory's chunk = {self.memory.chunk} does not divide segment = {self.segment}; needed: a divisor")
        return [f"memory_context: {problem}" for problem in found]

    def build(self, d_model: int) -> nn.Module:
        return MemoryContextLayer(self, d_model)

    def n_params(self, d_model: int) -> int:
        norms = 0 if self.norm is None else 2 * self.norm.n_params(d_model)
        return self.attention.n_params(d_model) + self.memory.n_params(d_model) + norms

    def flops(self, d_model: int, context: int) -> float:
        attention, k = self.attention, self.attention.width(d_model)
        matrices = 2 * d_model * k * (2 * attention.n_heads + 4 * attention.groups)  # Wk and Wv read answers too
        whole, rest = divmod(context, self.segment)
        own = (whole * self.segment * (self.segment + 1) + rest * (rest + 1)) / 2 / context  # places of its segment up to its own
        scores = 4 * attention.n_heads * k * (2 * own + attention.persistent)
        asked = 4 * d_model * d_model + 2 * self.memory.memory_numbers(d_model)  # h, besides what the memory does for o
        memory = whole * self.memory.reading_flops(d_model, self.segment) + self.memory.reading_flops(d_model, rest)
        own_memory = self.memory.matrix_flops(d_model) + memory / context
        return matrices + scores + attention.persistent_flops(d_model) / context + asked + own_memory

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        of_place = 4 * self.attention.groups * self.attention.width(d_model)  # keys and values of a token and of an answer
        before = self.memory.memory_numbers(d_model) * max(number, 4)
        return of_place * min(length, self.segment) * number + before + self.memory.state_bytes(d_model, length, number)

    def activation_numbers(self, d_model: int, context: int) -> float:
        of_place = 4 * self.attention.groups * self.attention.width(d_model)
        parts = self.attention.activation_numbers(d_model, context) + self.memory.activation_numbers(d_model, context)
        return parts + 2 * of_place + 6 * d_model


@dataclass(frozen=True, eq=False)
class SegmentUnderWay:
    """What memory as a context remembers: all but the tails is replaced, never written to.

    memory         as it is now
    before         M_s, each matrix (B, M, out, in)
    keys, values   (B, 2G, S, K) of answers and tokens of the segment under way
    """

    memory: Memory
    before: Weights
    keys: Tail
    values: Tail

    def select(self, rows: Tensor) -> SegmentUnderWay:
        before = tuple(w[rows] for w in self.before)
        return SegmentUnderWay(self.memory.each(lambda w: w[rows]), before, self.keys.select(rows), self.values.select(rows))

    def reclaim(self) -> SegmentUnderWay:
        return SegmentUnderWay(self.memory, self.before, self.keys.reclaim(), self.values.reclaim())

    def detach(self) -> SegmentUnderWay:
        before = tuple(w.detach() for w in self.before)
        return SegmentUnderWay(self.memory.each(Tensor.detach), before, self.keys.detach(), self.values.detach())

    def nbytes(self) -> int:
        before = sum(w.numel() * w.element_size() for w in self.before)
        return self.memory.nbytes() + before + self.keys.nbytes() + self.values.nbytes()


class MemoryContextLayer(nn.Module):
    """Attention and a neural memory as they are built alone, and the norms (D,)."""

    def __init__(self, spec: MemoryContext, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.attention, self.memory = AttentionLayer(spec.attention, d_model), NeuralMemoryLayer(spec.memory, d_model)
        self.mixer_norm = spec.norm.build(d_model) if spec.norm is not None else None
        self.gate_norm = spec.norm.build(d_model) if spec.norm is not None else None

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> SegmentUnderWay:
        """Nothing read, for `batch` rows of `like`'s dtype and device."""
        nothing = self.memory.nothing(batch, like)
        shape = like.new_empty(batch, 2 * self.spec.attention.groups, 0, self.attention.d_head)
        keys, values = (Tail.empty(shape, window=self.spec.segment, capacity=capacity) for _ in range(2))
        return SegmentUnderWay(nothing, nothing.weights, keys, values)

    def forward(self, x: Tensor, context: Context, state: SegmentUnderWay | None = None) -> tuple[Tensor, SegmentUnderWay | None]:
        positions, segment, chunk = context.positions, self.spec.segment, self.spec.memory.chunk
        reading = None
        if state is not None:
            back = int(
                (positions[..., 0] % segment).max()
            )  # places of the segment under way, in the row that has read most of it
            reading = Reading(state.memory, state.before, state.keys.last(back), state.values.last(back))
        inputs, parts = self.inputs(x, context), self.parts(x)
        y, z, after = memory_context(inputs, positions, parts, self.memory.start(x.dtype), reading, segment=segment, chunk=chunk)
        if state is not None:
            state = SegmentUnderWay(after.memory, after.before, state.keys.append(after.keys), state.values.append(after.values))
        return self.gated(y, z), state  # (B, T, D)

    def inputs(self, x: Tensor, context: Context) -> Inputs:
        """What is known of tokens (B, T, D) before anything is read: all of it by one product."""
        attention, position = self.attention, self.spec.attention.position
        q, k, v, asked = project(x, (attention.q, attention.k, attention.v, self.memory.q))
        q, k, v = (self._by_head(part) for part in (q, k, v))
        if attention.q_norm is not None and attention.k_norm is not None:
            q, k = attention.q_norm(q), attention.k_norm(k)
        plain = q
        if isinstance(position, Rope):
            cos, sin = rotation(position, context, attention.d_head, q.dtype)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        return Inputs(q, plain, k, v, self.memory.asked(asked))

    def parts(self, x: Tensor) -> Parts:
        """The layers around the memory and attention, for a stream like x (B, T, D)."""
        attention, memory, position = self.attention, self.memory, self.spec.attention.position

        def shows(answers: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
            h = memory.written(answers, x.dtype)  # (B, T, D)
            k, v = (self._by_head(part) for part in project(h, (attention.k, attention.v)))  # (B, G, T, K)
            if attention.k_norm is not None:
                k = attention.k_norm(k)
            if isinstance(position, Rope):
                k = rotate(k, *rotation_at(positions, position, attention.d_head, k.dtype))
            return k, v

        def found(y: Tensor) -> tuple[Tensor, Tokens]:
            y = y.transpose(1, 2).flatten(2)  # (B, T, H·K)
            written = attention.o(y if attention.sub_norm is None else attention.sub_norm(y))  # (B, T, D)
            return written, memory.tokens(written)

        always = attention.always_seen(x)
        return Parts(shows, found, None if always is None else (always.keys, always.values), attention.scale)

    def gated(self, y: Tensor, z: Tensor) -> Tensor:
        """What attention found (B, T, D), gated by the memory's answers (B, M, T, N) to it."""
        gate = self.memory.written(z, y.dtype)
        if self.mixer_norm is not None and self.gate_norm is not None:
            y, gate = self.mixer_norm(y), self.gate_norm(gate)
        return y * gate.sigmoid()

    def _by_head(self, x: Tensor) -> Tensor:
        """(B, T, H · K) → (B, H, T, K)."""
        return x.view(*x.shape[:2], -1, self.attention.d_head).transpose(1, 2)
