"""A list of kernel calls over some rows, written once and run by one call (native/src/kernels/program/).

A small model on a CPU is bound by what lies between its kernels: Python, PyTorch's dispatcher, a fresh result for each operation.
A program names the works, their weights and their buffers beforehand; a run only says which tokens and positions come.

`Program` is the vocabulary in which a layer's `lower` says what it is made of. Every method writes a work and returns the buffer
(rows, n) in which its result will stand, which may be that of its input. What a work computes is defined by the operation of the
same name (torch, linnet/ops); float32 on a CPU.

    ops/one_token_program.py   one more token a row, from states: decoding
    ops/training_program.py    whole sequences, and the way back
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from linnet.core.native import opened
from linnet.ops.kernels import kernels_take, numbers, products

KINDS = (
    "embed", "norm", "product", "pointwise", "rotate", "remember", "attend", "convolve", "matmul", "column_sum", "norm_back",
    "pointwise_back", "embed_back", "sequences", "sequences_back", "convolution", "convolution_back", "route", "mix", "scan_step",
    "columns", "by_head",
)  # as in native/include/linnet.h  # fmt: skip
INSTANCE_METHODS = {"forward", "logits", "context"}  # that make a module another one when they are put on it
POINTWISE = ("add", "multiply", "relu", "relu2", "gelu_tanh", "silu", "sigmoid")
FIRST_POSITIONS = 256  # rows of a new table by position; it doubles when they are used up
Positional = Tensor | Callable[[Tensor], Tensor]  # a table (P, D), or what makes one of positions (P,)


class CannotRun(Exception):
    """Something that there is no work for, or that the kernels do not take."""


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
        self.rows = rows.detach()
        if not (kernels_take(self.rows) and rows.dim() == 2 and rows.is_contiguous()):
            raise CannotRun(f"a table of {tuple(rows.shape)} in {rows.dtype}")
        self.struct.start, self.struct.rows = numbers(self.rows), len(self.rows)


class Program:
    """Works over `rows` rows, done in the order in which they are written."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._tables: dict[Hashable, Table] = {}
        self._works: list[dict[str, Any]] = []
        self._only_if: Tensor | None = None  # for the works that are being written
        self._alive: list[Tensor] = []  # buffers that works point to
        self._weights: list[Tensor] = []
        self._addresses: list[int] = []  # where their numbers lay, and in what shapes
        self._shapes: list[torch.Size] = []
        with torch.inference_mode(False):  # so that it can be filled in any mode
            self._inputs = torch.zeros(3, rows, dtype=torch.int64, device="cpu")  # tokens, positions, begins

    def temporary(self) -> AbstractContextManager[None]:
        """Buffers that are taken within may be free for others afterwards."""
        return nullcontext()

    def embed(self, table: Tensor, scale: float = 1.0) -> Tensor:
        """table (V, D) → each token's row times `scale`, (rows, D)."""
        raise NotImplementedError

    def add_position(self, x: Tensor, table: Positional, key: Hashable = None) -> Tensor:
        """x (rows, D) + the row of its position. `key` names a table that is made."""
        raise NotImplementedError

    def layer_norm(self, x: Tensor, width: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        """LayerNorm of each `width` numbers of x (rows, n)."""
        return self._norm(x, width, weight, bias, eps, center=True)

    def rms_norm(self, x: Tensor, width: int, weight: Tensor | None, eps: float) -> Tensor:
        """RMSNorm of each `width` numbers of x (rows, n)."""
        return self._norm(x, width, weight, None, eps, center=False)

    def _norm(self, x: Tensor, width: int, weight: Tensor | None, bias: Tensor | None, eps: float, *, center: bool) -> Tensor:
        raise NotImplementedError

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x (rows, D), weight (F, D), bias (F,) → x Wᵀ + b (rows, F)."""
        raise NotImplementedError

    def pointwise(self, what: str, x: Tensor, other: Tensor | None = None) -> Tensor:
        """One of POINTWISE over all numbers of x (rows, n)."""
        raise NotImplementedError

    def rotate(self, x: Tensor, d_head: int, make: Callable[[Tensor], tuple[Tensor, Tensor]], key: Hashable) -> Tensor:
        """Each head of x (rows, H · K) turned by its position. make: positions (P,) → cos and sin (P, R); `key` names them."""
        raise NotImplementedError

    def memory(self) -> Any:
        """What a state holds of the places so far, for the next of its tails in the order of the layers."""
        raise NotImplementedError

    def remember(self, memory: Any, x: Tensor, width: int) -> None:
        """x (rows, H · width) into a memory."""
        raise NotImplementedError

    def attend(self, q: Tensor, keys: Any, values: Any, groups: int, d_head: int, scale: float, window: int | None) -> Tensor:
        """q (rows, H · K) with what two memories hold → (rows, H · K); see `attention_from` (ops/attention.py)."""
        raise NotImplementedError

    def convolve(self, memory: Any, taps: Tensor, bias: Tensor | None = None) -> Tensor:
        """taps (W, D) over the last W places of a memory, + bias (D,) → (rows, D); see ops/convolution.py."""
        raise NotImplementedError

    def split(self, x: Tensor, widths: Sequence[int], heads: int = 1) -> list[Tensor]:
        """x (rows, heads · Σ n) → the columns of each head apart, (rows, heads · n) for each n."""
        raise CannotRun("columns that are taken apart")

    def join(self, parts: Sequence[Tensor], heads: int = 1) -> Tensor:
        """The way back from `split`."""
        raise CannotRun("columns that are laid side by side")

    def by_head(self, x: Tensor, weight: Tensor, heads: int, *, turned: bool = False) -> Tensor:
        """x (rows, H · D), weight (H · F, D), or (H · D, F) if turned: a matrix for each head → (rows, H · F)."""
        raise CannotRun("a matrix for each head")

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
        """logits (rows, E), bias (E,) → weights (E, rows), 0 for experts that are not asked; see ops/route.py."""
        raise CannotRun("routing")

    def mix(self, weights: Tensor, said: Sequence[Tensor]) -> Tensor:
        """weights (E, rows), what each expert said (rows, D) → its sum by weight (rows, D)."""
        raise CannotRun("a mixture of experts")

    def held(self) -> Any:
        """What a state holds and replaces at each token, for the next of its tensors in the order of the layers."""
        raise CannotRun("a state that is replaced")

    def scan_step(self, held: Any, x: Tensor, delta: Tensor, a_log: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> Tensor:
        """One token of a selective scan: x, delta (rows, E), b, c (rows, N), a_log (E, N), skip (E,) → (rows, E); see ops/scan.py.

        The steps are softplus(delta), A is -exp(a_log), and the state that is held (rows, E, N).
        """
        raise CannotRun("a selective scan")

    def only_if(self, asked: Tensor) -> AbstractContextManager[None]:
        """Works that are written within are passed over where `asked`, one expert's weights of `route`, is 0 in all rows."""
        raise CannotRun("works that may be passed over")

    def _fill_inputs(self, tokens: Tensor, positions: Tensor, begins: Tensor) -> None:
        """What the works read: each (rows,) int64. begins: the place where the document of each row began."""
        self._inputs[0], self._inputs[1], self._inputs[2] = tokens, positions, begins
        last = int(self._inputs[1].max())
        for table in self._tables.values():
            table.reach(last + 1)

    def _input_struct(self) -> Any:
        ffi = opened()[0]
        places = (ffi.cast("int64_t *", row.data_ptr()) for row in self._inputs)
        return ffi.new("linnet_inputs *", (self.rows, *places, products()))

    def _write(self, kind: str, fields: tuple[Any, ...]) -> None:
        asked = opened()[0].NULL if self._only_if is None else numbers(self._only_if)
        self._works.append({"kind": KINDS.index(kind), "only_if": asked, "work": {kind: fields}})

    def _room(self, *shape: int) -> Tensor:
        """Room for numbers that lives as long as the program."""
        room = torch.zeros(*shape, dtype=torch.float32, device="cpu")
        self._alive.append(room)
        return room

    def _given(self, weight: Tensor | None, *shape: int) -> Any:
        """Where the numbers of a weight of this shape lie."""
        if weight is None:
            return opened()[0].NULL
        if not kernels_take(weight) or weight.shape != shape or not weight.is_contiguous():
            raise CannotRun(f"a weight of {tuple(weight.shape)} in {weight.dtype} on {weight.device}")
        return self._noted(weight)

    def _noted(self, weight: Tensor) -> Any:
        self._weights.append(weight)
        self._addresses.append(weight.data_ptr())
        self._shapes.append(weight.shape)
        return numbers(weight)

    def weights_lie(self) -> bool:
        """Whether all weights still lie where and as they did when the works were written."""
        weights = self._weights  # lists: these two run at every step
        if [weight.data_ptr() for weight in weights] != self._addresses or [weight.shape for weight in weights] != self._shapes:
            return False
        return all([weight.is_contiguous() for weight in weights])  # noqa: C419

    def weights_stay(self) -> bool:
        """Whether they do, and are what the kernels take."""
        return self.weights_lie() and kernels_take(*self._weights)

    def _table(self, key: Hashable, rows: Positional) -> Table:
        if key not in self._tables:
            made = (rows, None) if isinstance(rows, Tensor) else (rows(torch.arange(FIRST_POSITIONS, device="cpu")), rows)
            self._tables[key] = Table(*made)
            if isinstance(rows, Tensor):
                self._noted(rows)
        return self._tables[key]


def insist(fits: bool, what: str) -> None:
    """No program where something does not fit together: works read memory by addresses, and look at no shapes."""
    if not fits:
        raise CannotRun(what)


def lower(module: nn.Module, program: Program, *inputs: Tensor) -> Tensor:
    """Write down what a module does, as its very class says in `lower`: a subclass may do something else."""
    if "lower" not in vars(type(module)):
        raise CannotRun(f"{type(module).__name__}, which no program knows")
    if not untouched(module) or nn.modules.module._has_any_global_hook():
        raise CannotRun(f"{type(module).__name__} with hooks")
    if not vars(module).keys().isdisjoint(dir(type(module))):
        raise CannotRun(f"{type(module).__name__} with something of its own in place of what its class says")
    return module.lower(program, *inputs)  # type: ignore[operator]


def hooks_of(module: nn.Module) -> list[Any]:
    """The tables of who listens to a module's calls or their gradients; they stay the same ones."""
    return [module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks]


def rewritten(module: nn.Module) -> bool:
    """Whether another method was put on this very module."""
    return not INSTANCE_METHODS.isdisjoint(vars(module))


def untouched(module: nn.Module) -> bool:
    """Whether a module is what its class says: its works may be done without calling it."""
    return not any(hooks_of(module)) and not rewritten(module)
