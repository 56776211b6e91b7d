"""A list of kernel calls over a few rows, written once and run by one call (native/src/kernels/program.rs).

Decoding a small model is bound by what lies between the kernels: Python, PyTorch's dispatcher, a fresh result for each
operation. A program names the works, their weights and their buffers beforehand; a step then only says which tokens and
positions come next and where states keep them.

Every method that writes a work returns the buffer (rows, n) in which its result will stand. What a work computes is defined
by the operation of the same name (torch, linnet/ops); float32 on a CPU, without gradients.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from linnet.core.native import opened
from linnet.ops.kernels import MOST_ROWS, kernels_take, numbers, run_program

KINDS = ("embed", "norm", "product", "pointwise", "rotate", "remember", "attend", "convolve")  # as in native/include/linnet.h
POINTWISE = ("add", "multiply", "relu", "relu2", "gelu_tanh", "silu", "sigmoid")
FIRST_POSITIONS = 256  # rows of a new table by position; it doubles when they are used up


class CannotRun(Exception):
    """Something that there is no work for, or that the kernels do not take."""


class Memory:
    """Where a state holds one of its tails: filled in before each run."""

    def __init__(self) -> None:
        self.struct = opened()[0].new("linnet_memory *")

    def show(self, store: Tensor, start: int, places: int, first: int) -> None:
        """Places start … start + places - 1 of store (B, H, S, K) or (B, S, K), of which the last is to be written.

        first   place of the first one in the stream
        """
        batch, *heads, place, _ = store.stride()
        address = opened()[0].cast("float *", store.data_ptr() + store.element_size() * start * place)
        self.struct.rows = (address, batch, heads[0] if heads else 0, place)
        self.struct.places, self.struct.first = places, first


class Table:
    """Rows of numbers by token or position. With `make`, which gives them for positions (P,), it grows as they are asked for."""

    def __init__(self, rows: Tensor, make: Callable[[Tensor], Tensor] | None = None) -> None:
        self.make = make
        self.struct = opened()[0].new("linnet_table *")
        self._hold(rows)

    def reach(self, n: int) -> None:
        """Have rows for positions 0 … n - 1, if they can be made."""
        if self.make is not None and len(self.rows) < n:
            self._hold(self.make(torch.arange(max(n, 2 * len(self.rows)), device="cpu")))

    def _hold(self, rows: Tensor) -> None:
        self.rows = rows.detach().contiguous()
        if not kernels_take(self.rows):
            raise CannotRun(f"a table in {rows.dtype}")
        self.struct.start, self.struct.rows = numbers(self.rows), len(self.rows)


class Program:
    """Works over `rows` rows, done in the order in which they are written."""

    def __init__(self, rows: int) -> None:
        if not 0 < rows <= MOST_ROWS:
            raise CannotRun(f"{rows} rows")
        self.rows = rows
        self.memories: list[Memory] = []
        self._tables: dict[Hashable, Table] = {}
        self._works: list[dict[str, Any]] = []
        self._alive: list[Tensor] = []  # everything that works point to
        self._taken: list[Tensor] = []
        self._free: defaultdict[int, list[Tensor]] = defaultdict(list)
        with torch.inference_mode(False):  # so that it can be filled in any mode
            self._inputs = torch.zeros(3, rows, dtype=torch.int64, device="cpu")  # tokens, positions, begins
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
        self.memories.append(Memory())
        return self.memories[-1]

    def embed(self, table: Tensor, scale: float = 1.0) -> Tensor:
        """table (V, D) → each token's row times `scale`, (rows, D)."""
        y = self._buffer(table.shape[1])
        self._write("embed", (self._table(table, table).struct, 0, 0, table.shape[1], scale, numbers(y)))
        return y

    def add_position(self, x: Tensor, table: Tensor | Callable[[Tensor], Tensor], key: Hashable = None) -> Tensor:
        """x (rows, D) + the row of its position in a table (P, D), or in what makes one of positions (P,); in place."""
        found = self._table(table if key is None else key, table)
        self._write("embed", (found.struct, 1, 1, x.shape[1], 1.0, numbers(x)))
        return x

    def layer_norm(self, x: Tensor, width: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        """LayerNorm of each `width` numbers of x (rows, n)."""
        return self._norm(x, width, weight, bias, eps, center=True)

    def rms_norm(self, x: Tensor, width: int, weight: Tensor | None, eps: float) -> Tensor:
        """RMSNorm of each `width` numbers of x (rows, n)."""
        return self._norm(x, width, weight, None, eps, center=False)

    def _norm(self, x: Tensor, width: int, weight: Tensor | None, bias: Tensor | None, eps: float, *, center: bool) -> Tensor:
        y = self._buffer(x.shape[1])
        places = (numbers(x), self._given(weight, width), self._given(bias, width), numbers(y))
        count, null = x.numel() // width, opened()[0].NULL
        self._write("norm", (count, width, count, 0, *places, null, eps, center))
        return y

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x (rows, D), weight (F, D), bias (F,) → x Wᵀ + b (rows, F)."""
        f, d = weight.shape
        if x.shape[1] != d:
            raise CannotRun(f"{x.shape[1]} numbers for a matrix of {d}")
        y = self._buffer(f)
        self._write("product", (self.rows, d, f, numbers(x), self._given(weight, f, d), self._given(bias, f), numbers(y)))
        return y

    def pointwise(self, what: str, x: Tensor, other: Tensor | None = None) -> Tensor:
        """One of POINTWISE over all numbers of x (rows, n), in its place."""
        if what not in POINTWISE:
            raise CannotRun(what)
        second = opened()[0].NULL if other is None else numbers(other)
        self._write("pointwise", (POINTWISE.index(what), x.numel(), numbers(x), second, numbers(x)))
        return x

    def rotate(self, x: Tensor, d_head: int, make: Callable[[Tensor], tuple[Tensor, Tensor]], key: Hashable) -> Tensor:
        """Each head of x (rows, H · K) turned by its position, in place. make: positions (P,) → cos and sin (P, R)."""
        table = self._table(key, lambda positions: torch.cat(make(positions), -1))
        self._write("rotate", (table.struct, x.shape[1] // d_head, d_head, table.rows.shape[1] // 2, numbers(x)))
        return x

    def remember(self, memory: Memory, x: Tensor, width: int) -> None:
        """x (rows, H · width) to the last place of a memory."""
        self._write("remember", (memory.struct, x.shape[1] // width, width, numbers(x)))

    def attend(self, q: Tensor, keys: Memory, values: Memory, groups: int, d_head: int, scale: float) -> Tensor:
        """q (rows, H · K) with what two memories hold → (rows, H · K); see `attention_from` (ops/attention.py)."""
        y = self._buffer(q.shape[1])
        heads = q.shape[1] // d_head
        self._write("attend", (keys.struct, values.struct, heads, groups, d_head, scale, numbers(q), numbers(y)))
        return y

    def convolve(self, memory: Memory, taps: Tensor) -> Tensor:
        """taps (W, D) over the last W places of a memory → (rows, D); see ops/convolution.py."""
        width, d = taps.shape
        y = self._buffer(d)
        self._write("convolve", (memory.struct, width, d, self._given(taps, width, d), numbers(y)))
        return y

    def run(self, tokens: Tensor, positions: Tensor, begins: Tensor) -> bool:
        """Do all works. False, and nothing is done: a token or position has no row in its table.

        tokens, positions   (rows,) int64
        begins              (rows,) int64 place in the stream where the document of each row began
        """
        ffi = opened()[0]
        self._inputs[0], self._inputs[1], self._inputs[2] = tokens, positions, begins
        last = int(self._inputs[1].max())
        for table in self._tables.values():
            table.reach(last + 1)
        if self._made is None:
            places = (ffi.cast("int64_t *", row.data_ptr()) for row in self._inputs)
            self._made = ffi.new("linnet_instruction[]", self._works), ffi.new("linnet_inputs *", (self.rows, *places))
        return run_program(*self._made)

    def _write(self, kind: str, fields: tuple[Any, ...]) -> None:
        self._works.append({"kind": KINDS.index(kind), "work": {kind: fields}})

    def _buffer(self, width: int) -> Tensor:
        """Room for (rows, width) numbers."""
        buffer = (
            self._free[width].pop() if self._free[width] else torch.zeros(self.rows, width, dtype=torch.float32, device="cpu")
        )
        self._alive.append(buffer)
        self._taken.append(buffer)
        return buffer

    def _given(self, weight: Tensor | None, *shape: int) -> Any:
        """Where the numbers of a weight of this shape lie."""
        if weight is None:
            return opened()[0].NULL
        if not kernels_take(weight) or weight.shape != shape or not weight.is_contiguous():
            raise CannotRun(f"a weight of {tuple(weight.shape)} in {weight.dtype} on {weight.device}")
        self._alive.append(weight.detach())
        return numbers(weight)

    def _table(self, key: Hashable, rows: Tensor | Callable[[Tensor], Tensor]) -> Table:
        if key not in self._tables:
            made = (rows, None) if isinstance(rows, Tensor) else (rows(torch.arange(FIRST_POSITIONS, device="cpu")), rows)
            self._tables[key] = Table(*made)
        return self._tables[key]


def lower(module: nn.Module, program: Program, *inputs: Tensor) -> Tensor:
    """Write down what a module does, as its class says in `lower`. Where a subclass has another `forward`, that is no longer it."""
    line = type(module).__mro__
    known = [next((i for i, one in enumerate(line) if name in vars(one)), len(line)) for name in ("lower", "forward")]
    if known[0] == len(line) or known[0] > known[1]:
        raise CannotRun(f"{type(module).__name__}, which no program knows")
    if listened_to(module):
        raise CannotRun(f"{type(module).__name__} with hooks")
    return module.lower(program, *inputs)  # type: ignore[operator]


def listened_to(module: nn.Module) -> bool:
    """Whether somebody has hooked into a module's calls, or put another `forward` on it."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))
