"""A program for training: the works of a forward pass over whole sequences, and the way back, written from it.

The vocabulary is that of every program (ops/program.py), so one `lower` of a layer serves decoding and training. Each writes its work and notes how its
gradients are made; `finish` writes these down in reverse order, as autograd would (reverse-mode differentiation). A buffer
that holds the gradient of a value is used again once the works that need it are written.

    x₂ = x + y      ∂x and ∂y are the same numbers: ∂x₂ is handed on, and what x feeds besides is added to it later
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from linnet.core.native import opened
from linnet.ops.kernels import Matmul, norm_pieces, numbers, run_program
from linnet.ops.program import POINTWISE, Positional, Program, insist

LINE = 16  # numbers in a line of the cache: where every parameter's gradient begins


@dataclass(eq=False)
class Held:
    """What a state would hold: here the whole sequence."""

    value: Tensor | None = None


class TrainingProgram(Program):
    """`batch` sequences of `length` tokens: hidden states, and the gradients of everything that they were made from.

    with_documents   whether places see only their own document
    """

    def __init__(self, batch: int, length: int, *, with_documents: bool) -> None:
        super().__init__(batch * length)
        self.batch, self.length, self.with_documents = batch, length, with_documents
        self.parameters: list[Tensor] = []
        self.firsts: dict[int | None, Tensor] = {}  # for each window the first key that each place sees, (B, T)
        self._offsets: dict[int, int] = {}  # of each parameter's gradient, by id
        self._size = 0  # numbers in all of them
        self._back: list[Callable[[], None]] = []
        self._needed: set[int] = set()  # values that the way back reads, by id
        self._gradients: dict[int, Tensor] = {}  # by id of the value, while the way back is written
        self._free: defaultdict[int, list[Tensor]] = defaultdict(list)
        self._slots: list[tuple[int, str, str, int]] = []  # work, its kind, the field that names a parameter's gradient, offset
        self._forward: list[dict[str, Any]] = []

    # the forward pass

    def memory(self) -> Held:
        return Held()

    def remember(self, memory: Held, x: Tensor, width: int) -> None:
        self._read(x)
        memory.value = x

    def embed(self, table: Tensor, scale: float = 1.0) -> Tensor:
        y, d = self._room(self.rows, table.shape[1]), table.shape[1]
        self._write("embed", (self._table(table, table).struct, 0, 0, d, scale, numbers(y)))
        offset = self._parameter(table)

        def back() -> None:
            g = self._take(y)
            self._slot("embed_back", "table", offset, (0, len(table), d, scale, numbers(g), opened()[0].NULL))
            self._release(g)

        self._back.append(back)
        return y

    def add_position(self, x: Tensor, table: Positional, key: Hashable = None) -> Tensor:
        d, found = x.shape[1], self._table(table if key is None else key, table)
        insist(found.rows.shape[1] == d, f"positions of {found.rows.shape[1]} numbers for {d}")
        self._change(x)
        self._write("embed", (found.struct, 1, 1, d, 1.0, numbers(x)))
        if isinstance(table, Tensor):
            offset = self._parameter(table)

            def back() -> None:
                g, given = self._target(x)
                insist(given, "a value that nothing uses")
                self._slot("embed_back", "table", offset, (1, len(table), d, 1.0, numbers(g), opened()[0].NULL))

            self._back.append(back)
        return x

    def _norm(self, x: Tensor, width: int, weight: Tensor | None, bias: Tensor | None, eps: float, *, center: bool) -> Tensor:
        insist(x.shape[1] % width == 0, f"a norm of {width} numbers for {x.shape[1]}")
        y, count = self._room(*x.shape), x.numel() // width
        places = (self._read(x), self._given(weight, width), self._given(bias, width), numbers(y))
        task = (count, width, count, 0, *places, numbers(self._room(count)), eps, center)
        self._write("norm", task)
        learned = [(i, self._parameter(p)) for i, p in enumerate((weight, bias)) if p is not None]

        def back() -> None:
            g = self._take(y)
            pieces = norm_pieces(count, width)
            sums = numbers(self._room(pieces, 2, width)) if learned else opened()[0].NULL
            with self._adding(x, g) as (to, add):
                self._write("norm_back", (task, numbers(g), to, sums, add))
            for which, offset in learned:
                self._slot("column_sum", "y", offset, (pieces, 2 * width, width, sums + which * width, opened()[0].NULL))
            self._release(g)

        self._back.append(back)
        return y

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        (f, d), n, null = weight.shape, self.rows, opened()[0].NULL
        insist(x.shape[1] == d, f"{x.shape[1]} numbers for a matrix of {d}")
        y, w = self._room(n, f), self._given(weight, f, d)
        self._write("matmul", Matmul(n, f, d, False, True, self._read(x), w, null, self._given(bias, f), numbers(y)))
        of_weight = self._parameter(weight)
        of_bias = None if bias is None else self._parameter(bias)

        def back() -> None:
            g = self._take(y)
            with self._adding(x, g) as (to, add):
                self._write("matmul", Matmul(n, d, f, False, False, numbers(g), w, to if add else null, null, to))
            self._slot("matmul", "c", of_weight, Matmul(f, d, n, True, False, numbers(g), numbers(x), null, null, null))
            if of_bias is not None:
                self._slot("column_sum", "y", of_bias, (n, f, f, numbers(g), null))
            self._release(g)

        self._back.append(back)
        return y

    def pointwise(self, what: str, x: Tensor, other: Tensor | None = None) -> Tensor:
        insist(what in POINTWISE, what)
        insist(other is not x and (other is None or other.shape == x.shape), f"{what} of these two")
        index, null = POINTWISE.index(what), opened()[0].NULL
        read = numbers if what == "add" else self._read
        first, second = read(x), null if other is None else read(other)
        if what == "add" and other is not None and self._begin_with(x, other):
            y = other.view_as(other)  # a value of its own, in the same place
        else:
            y = self._room(*x.shape)
            self._write("pointwise", (index, x.numel(), first, second, numbers(y)))

        def back_of_sum() -> None:
            assert other is not None
            g = self._take(y)
            insist(id(other) not in self._gradients, "a summand that is used elsewhere")
            self._gradients[id(other)] = g
            if id(x) in self._gradients:
                to, _ = self._target(x)
                self._write("pointwise", (index, x.numel(), numbers(to), numbers(g), numbers(to)))
            else:
                self._gradients[id(x)] = g

        def back() -> None:
            g = self._take(y)
            insist(
                id(x) not in self._gradients and id(other) not in self._gradients, f"an input of {what} that is used elsewhere"
            )
            to = self._take_buffer(x.shape[1]) if self._shared(g) else g
            self._gradients[id(x)] = to
            to_other = null
            if other is not None:
                self._gradients[id(other)] = self._take_buffer(other.shape[1])
                to_other = numbers(self._gradients[id(other)])
            self._write("pointwise_back", (index, x.numel(), first, second, numbers(g), numbers(to), to_other))

        self._back.append(back_of_sum if what == "add" else back)
        return y

    def _begin_with(self, x: Tensor, product: Tensor) -> bool:
        """Let the product that was written last begin with x instead of 0: a sum that costs no work of its own.

        Nobody has read the product itself, and who does so later is refused by the way back of the sum.
        """
        last = self._works[-1]["work"].get("matmul")
        if last is None or last.c != numbers(product) or last.base != opened()[0].NULL:
            return False
        self._works[-1]["work"]["matmul"] = last._replace(base=numbers(x))
        self._needed.add(id(product))  # what lies there is the sum from now on, which nobody may change in the product's name
        return True

    def rotate(self, x: Tensor, d_head: int, make: Callable[[Tensor], tuple[Tensor, Tensor]], key: Hashable) -> Tensor:
        table = self._table(key, lambda positions: torch.cat(make(positions), -1))
        sizes = (x.shape[1] // d_head, d_head, table.rows.shape[1] // 2)
        insist(x.shape[1] % d_head == 0, f"heads of {d_head} in {x.shape[1]} numbers")
        self._change(x)
        self._write("rotate", (table.struct, *sizes, False, numbers(x)))

        def back() -> None:
            to, given = self._target(x)
            insist(given, "what is rotated is used nowhere")
            self._write("rotate", (table.struct, *sizes, True, numbers(to)))

        self._back.append(back)
        return x

    def attend(self, q: Tensor, keys: Held, values: Held, groups: int, d_head: int, scale: float, window: int | None) -> Tensor:
        k, v, ffi = keys.value, values.value, opened()[0]
        assert k is not None
        assert v is not None
        y, heads = self._room(*q.shape), q.shape[1] // d_head
        insist(q.shape[1] == heads * d_head and heads % groups == 0, f"queries of {q.shape[1]} numbers, heads of {d_head}")
        insist(k.shape[1] == v.shape[1] == groups * d_head, f"keys and values of {k.shape[1]} and {v.shape[1]} numbers")
        insist(len({id(q), id(k), id(v)}) == 3, "queries, keys or values that are the same")
        log_sums = self._room(self.batch, heads, self.length)
        first = ffi.NULL
        if self.with_documents or (window is not None and window < self.length):
            if window not in self.firsts:
                self.firsts[window] = torch.zeros(self.batch, self.length, dtype=torch.int64, device="cpu")
            first = ffi.cast("int64_t *", self.firsts[window].data_ptr())
        self._read(q), self._read(y)
        shape = (self.batch, heads, groups, self.length, self.length, d_head, scale, first)
        task = (shape, *(self._rows(x, d_head) for x in (q, k, v, y)), numbers(log_sums))
        self._write("sequences", (task,))

        def back() -> None:
            g = self._take(y)
            insist(all(id(x) not in self._gradients for x in (q, k, v)), "queries, keys or values that are used elsewhere")
            for x in (q, k, v):
                self._gradients[id(x)] = self._take_buffer(x.shape[1])
            gradients = (self._rows(x, d_head) for x in (g, *(self._gradients[id(x)] for x in (q, k, v))))
            self._write("sequences_back", (task, tuple(gradients)))
            self._release(g)

        self._back.append(back)
        return y

    def convolve(self, memory: Held, taps: Tensor, bias: Tensor | None = None) -> Tensor:
        x, (width, d) = memory.value, taps.shape
        assert x is not None
        insist(bias is None, "a convolution with a bias")
        insist(x.shape[1] == d, f"taps of {d} numbers for {x.shape[1]}")
        y = self._room(self.rows, d)
        task = (self.length, width, d, self._read(x), self._given(taps, width, d), numbers(y))
        self._write("convolution", task)
        offset = self._parameter(taps)

        def back() -> None:
            g = self._take(y)
            with self._adding(x, g) as (to, add):
                self._slot("convolution_back", "taps", offset, (task, numbers(g), to, opened()[0].NULL, add))
            self._release(g)

        self._back.append(back)
        return y

    # the way back

    def finish(self, hidden: Tensor) -> None:
        """Write the way back from the gradient of `hidden` (rows, D), the last value."""
        ffi = opened()[0]
        self.hidden, self.grad_hidden = hidden, self._room(*hidden.shape)
        self._forward, self._works = self._works, []
        self._gradients[id(hidden)] = self.grad_hidden
        for back in reversed(self._back):
            back()
        self.abandon()
        self._inputs_made = self._input_struct()
        self._forward_made = ffi.new("linnet_instruction[]", self._forward)
        self._back_made = ffi.new("linnet_instruction[]", self._works)
        self._places = [(getattr(self._back_made[i].work, kind), field, offset) for i, kind, field, offset in self._slots]

    def abandon(self) -> None:
        """Let go of the notes for the way back, which would keep a program that is not used alive."""
        self._back.clear()

    def forward(self, tokens: Tensor, positions: Tensor, begins: Tensor) -> bool:
        """Fill `hidden`. False, and nothing is done: a token or position has no row in its table.

        tokens, positions, begins   (rows,) int64; begins: the place in its sequence where each place's document began
        """
        self._fill_inputs(tokens, positions, begins)
        return run_program(self._forward_made, self._inputs_made)

    def backward(self, gradient: Tensor) -> list[Tensor]:
        """The gradient of each of `parameters` from that of `hidden`."""
        ffi = opened()[0]
        self.grad_hidden.copy_(gradient)
        everything = torch.empty(self._size, dtype=torch.float32, device="cpu")
        start = everything.data_ptr()
        for work, field, offset in self._places:
            setattr(work, field, ffi.cast("float *", start + 4 * offset))
        if not run_program(self._back_made, self._inputs_made):
            raise RuntimeError("the way back of a program was refused")
        places = zip(self.parameters, self._offsets.values(), strict=True)
        return [everything.as_strided(p.shape, p.stride(), at) for p, at in places]

    def _parameter(self, weight: Tensor) -> int:
        """The offset of a weight's gradient."""
        insist(id(weight) not in self._offsets, "a weight that is used twice")
        self._offsets[id(weight)] = self._size
        self.parameters.append(weight)
        self._size += -(-weight.numel() // LINE) * LINE
        return self._offsets[id(weight)]

    def _slot(self, kind: str, field: str, offset: int, fields: tuple[Any, ...]) -> None:
        """A work that writes a parameter's gradient."""
        self._slots.append((len(self._works), kind, field, offset))
        self._write(kind, fields)

    def _rows(self, x: Tensor, d_head: int) -> tuple[Any, int, int, int]:
        return numbers(x), self.length * x.shape[1], d_head, x.shape[1]

    def _take(self, value: Tensor) -> Tensor:
        """The gradient of a value, all of whose uses have been written."""
        insist(id(value) in self._gradients, "a value that nothing uses")
        return self._gradients.pop(id(value))

    def _target(self, value: Tensor) -> tuple[Tensor, bool]:
        """Where to write or, if there is something already, to add to the gradient of a value."""
        if id(value) not in self._gradients:
            self._gradients[id(value)] = self._take_buffer(value.shape[1])
            return self._gradients[id(value)], False
        to = self._gradients[id(value)]
        insist(
            sum(other is to for other in self._gradients.values()) == 1, "a gradient that is handed on twice before it is whole"
        )
        return to, True

    @contextmanager
    def _adding(self, value: Tensor, g: Tensor) -> Iterator[tuple[Any, bool]]:
        """Where a work that reads g writes the gradient of a value, and whether it adds to it.

        A sum may have left g itself there (x + f(x) without a norm): a work that wrote there would read what it wrote.
        """
        to, add = self._target(value)
        if to is not g:
            yield numbers(to), add
            return
        to = self._gradients[id(value)] = self._take_buffer(value.shape[1])
        yield numbers(to), False
        self._write("pointwise", (POINTWISE.index("add"), to.numel(), numbers(to), numbers(g), numbers(to)))

    def _read(self, value: Tensor) -> Any:
        """Where a value lies that the way back reads: from here on it must stay as it is."""
        self._needed.add(id(value))
        return numbers(value)

    def _change(self, value: Tensor) -> None:
        insist(id(value) not in self._needed, "a value that is changed after the way back has come to need it")

    def _shared(self, buffer: Tensor) -> bool:
        return any(other is buffer for other in self._gradients.values())

    def _take_buffer(self, width: int) -> Tensor:
        return self._free[width].pop() if self._free[width] else self._room(self.rows, width)

    def _release(self, buffer: Tensor) -> None:
        if not self._shared(buffer):
            self._free[buffer.shape[1]].append(buffer)
