"""A program for decoding: one more token for each of a few rows, from what states hold and into them.

Sums and activations are done in place, and a sublayer's buffers serve the next one again: what is written last is still in the
cache when it is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from linnet.core.native import opened
from linnet.ops.kernels import MOST_ROWS, kernels_take, numbers, run_program
from linnet.ops.program import POINTWISE, CannotRun, Positional, Program, insist


class Memory:
    """Where a state holds one of its tails: filled in before each run."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.heads, self.width = 1, 0  # of what is remembered
        self.struct = opened()[0].new("linnet_memory *")

    def fits(self, store: Tensor) -> bool:
        """Whether (B, H, S, K) or (B, S, K) of these numbers is what the works expect."""
        shape = (self.rows, self.heads, self.width) if store.dim() == 4 else (self.rows, self.width)
        return (*store.shape[:-2], store.shape[-1]) == shape and store.stride(-1) == 1 and kernels_take(store)

    def show(self, store: Tensor, start: int, places: int, first: int) -> None:
        """Places start … start + places - 1 of store (B, H, S, K) or (B, S, K), of which the last is to be written.

        first   place of the first one in the stream
        """
        batch, *heads, place, _ = store.stride()
        address = opened()[0].cast("float *", store.data_ptr() + store.element_size() * start * place)
        self.struct.rows = (address, batch, heads[0] if heads else 0, place)
        self.struct.places, self.struct.first = places, first


class Held:
    """Where a state holds a tensor that each token replaces: filled in before each run."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.struct = opened()[0].new("linnet_held *")

    def fits(self, before: Tensor) -> bool:
        """Whether these are the numbers that the works expect."""
        return before.shape == self.shape and before.is_contiguous() and kernels_take(before)

    def show(self, before: Tensor, after: Tensor) -> None:
        """Read the one, write the other."""
        self.struct.before, self.struct.after = numbers(before), numbers(after)


class OneTokenProgram(Program):
    """One more token for each of `rows` rows."""

    def __init__(self, rows: int) -> None:
        if not 0 < rows <= MOST_ROWS:
            raise CannotRun(f"{rows} rows")
        super().__init__(rows)
        self.memories: list[Memory] = []
        self.replaced: list[Held] = []
        self._deciding: set[int] = set()  # where rows of `route` lie, which one work writes, and nothing again
        self._pointers: list[Any] = []  # lists of buffers, which works point to
        self._taken: list[Tensor] = []
        self._free: defaultdict[int, list[Tensor]] = defaultdict(list)
        self._made: tuple[Any, Any] | None = None  # instructions and inputs, for the library

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """Buffers that are taken within are free for others afterwards."""
        before = len(self._taken)
        yield
        for buffer in self._taken[before:]:
            self._free[buffer.shape[1]].append(buffer)
        del self._taken[before:]

    def memory(self) -> Memory:
        """A place for the next tail of the states, in the order of the layers."""
        self.memories.append(Memory(self.rows))
        return self.memories[-1]

    def embed(self, table: Tensor, scale: float = 1.0) -> Tensor:
        y = self._buffer(table.shape[1])
        self._write("embed", (self._table(table, table).struct, 0, 0, table.shape[1], scale, numbers(y)))
        return y

    def add_position(self, x: Tensor, table: Positional, key: Hashable = None) -> Tensor:
        found = self._table(table if key is None else key, table)
        insist(found.rows.shape[1] == x.shape[1], f"positions of {found.rows.shape[1]} numbers for {x.shape[1]}")
        self._write("embed", (found.struct, 1, 1, x.shape[1], 1.0, numbers(x)))
        return x

    def _norm(self, x: Tensor, width: int, weight: Tensor | None, bias: Tensor | None, eps: float, *, center: bool) -> Tensor:
        insist(x.shape[1] % width == 0, f"a norm of {width} numbers for {x.shape[1]}")
        y = self._buffer(x.shape[1])
        places = (numbers(x), self._given(weight, width), self._given(bias, width), numbers(y))
        count, null = x.numel() // width, opened()[0].NULL
        self._write("norm", (count, width, count, 0, *places, null, eps, center))
        return y

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        f, d = weight.shape
        insist(x.shape[1] == d, f"{x.shape[1]} numbers for a matrix of {d}")
        y = self._buffer(f)
        self._write("product", (self.rows, d, f, numbers(x), self._given(weight, f, d), self._given(bias, f), numbers(y)))
        return y

    def pointwise(self, what: str, x: Tensor, other: Tensor | None = None) -> Tensor:
        insist(what in POINTWISE, what)
        insist(other is None or other.shape == x.shape, f"{what} of these two")
        second = opened()[0].NULL if other is None else numbers(other)
        self._write("pointwise", (POINTWISE.index(what), x.numel(), numbers(x), second, numbers(x)))
        return x

    def rotate(self, x: Tensor, d_head: int, make: Callable[[Tensor], tuple[Tensor, Tensor]], key: Hashable) -> Tensor:
        table = self._table(key, lambda positions: torch.cat(make(positions), -1))
        insist(x.shape[1] % d_head == 0, f"heads of {d_head} in {x.shape[1]} numbers")
        self._write("rotate", (table.struct, x.shape[1] // d_head, d_head, table.rows.shape[1] // 2, False, numbers(x)))
        return x

    def remember(self, memory: Memory, x: Tensor, width: int) -> None:
        memory.heads, memory.width = x.shape[1] // width, width
        self._write("remember", (memory.struct, memory.heads, width, numbers(x)))

    def attend(
        self, q: Tensor, keys: Memory, values: Memory, groups: int, d_head: int, scale: float, window: int | None
    ) -> Tensor:
        y = self._buffer(q.shape[1])
        heads = q.shape[1] // d_head
        insist(q.shape[1] == heads * d_head and heads % groups == 0, f"queries of {q.shape[1]} numbers, heads of {d_head}")
        fits = {(memory.heads, memory.width) for memory in (keys, values)} == {(groups, d_head)}
        insist(fits, f"keys and values that are not {groups} heads of {d_head}")
        self._write("attend", (keys.struct, values.struct, heads, groups, d_head, scale, numbers(q), numbers(y)))
        return y

    def convolve(self, memory: Memory, taps: Tensor, bias: Tensor | None = None) -> Tensor:
        width, d = taps.shape
        insist((memory.heads, memory.width) == (1, d), f"taps of {d} numbers for {memory.heads} heads of {memory.width}")
        y = self._buffer(d)
        self._write("convolve", (memory.struct, width, d, self._given(taps, width, d), self._given(bias, d), numbers(y)))
        return y

    def split(self, x: Tensor, widths: Sequence[int], heads: int = 1) -> list[Tensor]:
        n, found, first = x.shape[1] // heads, [], 0
        insist(sum(widths) * heads == x.shape[1], f"columns of {widths} in {heads} heads of {n}")
        for d in widths:
            found.append(self._buffer(heads * d))
            self._write("columns", (self.rows * heads, d, n, d, numbers(x) + first, numbers(found[-1])))
            first += d
        return found

    def join(self, parts: Sequence[Tensor], heads: int = 1) -> Tensor:
        y, first = self._buffer(sum(part.shape[1] for part in parts)), 0
        for part in parts:
            d = part.shape[1] // heads
            insist(d * heads == part.shape[1], f"{heads} heads in {part.shape[1]} numbers")
            self._write("columns", (self.rows * heads, d, d, y.shape[1] // heads, numbers(part), numbers(y) + first))
            first += d
        return y

    def by_head(self, x: Tensor, weight: Tensor, heads: int, *, turned: bool = False) -> Tensor:
        d = x.shape[1] // heads
        f = weight.shape[1] if turned else weight.shape[0] // heads
        shape = (heads * d, f) if turned else (heads * f, d)
        insist(d * heads == x.shape[1], f"{heads} heads in {x.shape[1]} numbers")
        y = self._buffer(heads * f)
        self._write("by_head", (heads, d, f, turned, numbers(x), self._given(weight, *shape), numbers(y)))
        return y

    def route(
        self,
        logits: Tensor,
        bias: Tensor | None,
        *,
        top_k: int,
        score: str,
        normalise: bool,
        scale: float,
        n_groups: int,
        top_groups: int,
    ) -> Tensor:
        n = logits.shape[1]
        weights = self._room(n, self.rows)
        self._deciding.update(row.data_ptr() for row in weights)
        places = (numbers(logits), self._given(bias, n), numbers(weights))
        self._write("route", (n, top_k, n_groups, top_groups, score == "sigmoid", normalise, scale, *places))
        return weights

    def mix(self, weights: Tensor, said: Sequence[Tensor]) -> Tensor:
        y = self._buffer(said[0].shape[1])
        insist(weights.data_ptr() in self._deciding and weights.is_contiguous(), "weights that are not those of `route`")
        insist(len(weights) == len(said) and {each.shape for each in said} == {y.shape}, "experts of different widths")
        self._pointers.append(opened()[0].new("float *[]", [numbers(each) for each in said]))
        self._write("mix", (len(said), y.shape[1], numbers(weights), self._pointers[-1], numbers(y)))
        return y

    @contextmanager
    def only_if(self, asked: Tensor) -> Iterator[None]:
        """A late thread may look after the others have run on: so `asked` has to be a row that nothing writes again."""
        fits = asked.shape == (self.rows,) and asked.is_contiguous()
        insist(fits and asked.data_ptr() in self._deciding, "a condition that is not an expert's weights")
        insist(self._only_if is None, "works that are passed over within others that are")
        self._only_if = asked
        try:
            yield
        finally:
            self._only_if = None

    def held(self) -> Held:
        """A place for the next tensor that states replace, in the order of the layers."""
        self.replaced.append(Held())
        return self.replaced[-1]

    def scan_step(self, held: Held, x: Tensor, delta: Tensor, a_log: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> Tensor:
        channels, n = a_log.shape
        insist(held.shape == (), "a state that is replaced twice")
        held.shape = (self.rows, channels, n)
        insist(x.shape == delta.shape == (self.rows, channels), f"{x.shape[1]} and {delta.shape[1]} channels of {channels}")
        insist(b.shape == c.shape == (self.rows, n), f"{b.shape[1]} and {c.shape[1]} numbers of {n}")
        y = self._buffer(channels)
        read = (numbers(x), numbers(delta), self._given(a_log, channels, n), numbers(b), numbers(c), self._given(skip, channels))
        self._write("scan_step", (held.struct, channels, n, *read, numbers(y)))
        return y

    def run(self, tokens: Tensor, positions: Tensor, begins: Tensor) -> bool:
        """Do all works. False, and nothing is done: a token or position has no row in its table.

        tokens, positions   (rows,) int64
        begins              (rows,) int64 place in the stream where the document of each row began
        """
        self._fill_inputs(tokens, positions, begins)
        if self._made is None:
            self._made = opened()[0].new("linnet_instruction[]", self._works), self._input_struct()
        return run_program(*self._made)

    def _buffer(self, width: int) -> Tensor:
        """Room for (rows, width) numbers."""
        buffer = self._free[width].pop() if self._free[width] else self._room(self.rows, width)
        self._taken.append(buffer)
        return buffer
