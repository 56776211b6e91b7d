"""The kernels of the Rust library for float32 on a CPU, called with tensors. What each computes is defined beside its caller.

    gelu_forward, gelu_backward             ops/activation.py
    attention_forward, attention_backward   ops/attention.py
    rms_norm_forward, rms_norm_backward     ops/norm.py
    few_rows, matmul                        ops/linear.py
    cross_entropy_in_place                  ops/loss.py
    run_program                             ops/program.py
    clip_in_place, adamw_step               train/precision.py, train/optimizers.py

Those of ops/scan.py are in ops/scan_kernel.py. All run on PyTorch's own OpenMP threads, because those wait by spinning and threads of our own would fight with them for
the cores. Where that library is not found (not on Linux, or no GNU OpenMP), PyTorch's kernels stay in use.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from linnet.core.native import checked, native_available, opened

MOST_ROWS = 32  # that few_rows takes
BAD_ARGUMENT = -1  # what the library answers where something does not fit together
PLAIN = (Tensor, torch.nn.Parameter)  # and no subclass that means something else by its numbers
VECTORS = ("portable", "AVX2", "AVX-512")  # that the kernels are compiled for


@cache
def _team() -> tuple[int, int] | None:
    """Addresses of GOMP_parallel and omp_get_thread_num in this process; None where there are none."""
    try:
        process = ctypes.CDLL(None)
        entries = (process.GOMP_parallel, process.omp_get_thread_num)
    except (OSError, AttributeError, TypeError):
        return None
    addresses = [ctypes.cast(entry, ctypes.c_void_p).value for entry in entries]
    return (addresses[0], addresses[1]) if addresses[0] and addresses[1] else None


def products() -> Any:
    """The SGEMM that programs multiply large matrices with; NULL: the Rust library's own, where that was found to be faster
    than the BLAS of PyTorch, or where there is none."""
    return opened()[0].NULL if opened()[1].linnet_products_pay() else _sgemm() or opened()[0].NULL


@cache
def _sgemm() -> Any:
    """That of the BLAS inside PyTorch (MKL), for threads that each call it for rows of their own; None where it is not there."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        address = ctypes.cast(ctypes.CDLL(str(library)).SGEMM, ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None
    ffi = opened()[0]
    return ffi.cast("linnet_sgemm", address) if address else None


@cache
def kernels_available() -> bool:
    """Whether the Rust library, PyTorch's threads and vectors that were found to pay (AVX2 or wider) are all there."""
    return native_available() and _team() is not None and vectors_in_use() != "portable"


def vectors_in_use() -> str:
    """The widest vectors that this processor has and that are allowed. Needs `native_available()`."""
    return VECTORS[opened()[1].linnet_vectors()]


def limit_vectors(at_most: str = VECTORS[-1]) -> None:
    """Allow no wider vectors in this process: for tests. Needs `native_available()`."""
    opened()[1].linnet_limit_vectors(VECTORS.index(at_most))


def kernels_take(*tensors: Tensor) -> bool:
    """Whether the kernels can work on these: plain float32 on a CPU, not empty, and nobody is tracing or transforming.

    `torch.compile`, `torch.jit.trace`, `torch.func` and forward-mode derivatives need operations that they can see through.
    """
    for x in tensors:
        if type(x) not in PLAIN or x.dtype is not torch.float32 or not x.is_cpu or x.is_neg():
            return False
    return (
        kernels_available()
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
        and all(x.numel() for x in tensors)
    )


def kernels_take_whole(tensors: Sequence[Tensor]) -> bool:
    """`kernels_take`, and each of them lies in one piece."""
    return kernels_take(*tensors) and all([x.is_contiguous() for x in tensors])  # noqa: C419 (a list is twice as fast here)


@cache
def _threads(count: int) -> Any:
    ffi, _, _ = opened()
    team, number = _team() or (0, 0)
    return ffi.new("linnet_threads *", (ffi.cast("void *", team), ffi.cast("void *", number), count))


def call(name: str, *arguments: Any) -> None:
    """Run a kernel on as many threads as PyTorch uses."""
    checked(getattr(opened()[1], name)(*arguments, _threads(torch.get_num_threads())), name)


def numbers(x: Tensor) -> Any:
    """Where the numbers of a float32 tensor begin."""
    return opened()[0].cast("float *", x.data_ptr())


def or_null(x: Tensor | None) -> Any:
    return opened()[0].NULL if x is None else numbers(x)


def gelu_forward(x: Tensor) -> Tensor:
    """x, contiguous → GELU(x) in its tanh form."""
    y = torch.empty_like(x)
    call("linnet_gelu_forward", numbers(x), numbers(y), x.numel())
    return y


def gelu_backward(x: Tensor, grad: Tensor) -> Tensor:
    """x and the gradient of GELU(x), both contiguous → the gradient of x."""
    grad_x = torch.empty_like(x)
    call("linnet_gelu_backward", numbers(x), numbers(grad), numbers(grad_x), x.numel())
    return grad_x


class Matmul(NamedTuple):
    """c (m, n) = base + A B + bias; A lies as (m, k), or as (k, m) if `a_turned`, B as (k, n), or (n, k)."""

    m: int
    n: int
    k: int
    a_turned: bool
    b_turned: bool
    a: Any
    b: Any
    base: Any  # (m, n), which may be c, or NULL
    bias: Any  # (n,), or NULL
    c: Any


def matmul(a: Tensor, b: Tensor, c: Tensor, *, a_turned: bool, b_turned: bool, add: bool) -> None:
    """C (m, n) = A B, added to what is in C if `add`; all contiguous, A as (m, k), or (k, m) if turned, B as (k, n), or (n, k)."""
    (m, k), (k_too, n) = (reversed(x.shape) if turned else x.shape for x, turned in ((a, a_turned), (b, b_turned)))
    insist(k == k_too and c.shape == (m, n), f"a product of {tuple(a.shape)} and {tuple(b.shape)} into {tuple(c.shape)}")
    to, null = numbers(c), opened()[0].NULL
    task = Matmul(m, n, k, a_turned, b_turned, numbers(a), numbers(b), to if add else null, null, to)
    call("linnet_matmul_run", opened()[0].new("linnet_matmul *", task), products())


def cross_entropy_in_place(scores: Tensor, targets: Tensor, weights: Tensor, *, gradient: bool) -> Tensor:
    """weight · -log softmax(scores)[target] (N,) of scores (N, V), targets (N,) int64, weights (N,), all contiguous.

    With `gradient` the scores become the gradient of the sum.
    """
    (rows, vocab), losses = scores.shape, weights.new_empty(weights.shape)
    insist(targets.shape == weights.shape == (rows,), f"{tuple(targets.shape)} targets and {tuple(weights.shape)} weights")
    insist(targets.dtype is torch.int64 and targets.is_cpu and targets.is_contiguous(), f"targets in {targets.dtype}")
    insist(
        all(x.dtype is torch.float32 and x.is_cpu and x.is_contiguous() for x in (scores, weights)),
        "scores or weights of another kind",
    )
    places = opened()[0].cast("int64_t *", targets.data_ptr())
    task = (rows, vocab, numbers(scores), places, numbers(weights), numbers(losses), gradient)
    arguments = opened()[0].new("linnet_cross_entropy_task *", task), _threads(torch.get_num_threads())
    if opened()[1].linnet_cross_entropy(*arguments) == BAD_ARGUMENT:
        raise IndexError(f"a target outside of the vocabulary of {vocab}")
    return losses


def _rows(x: Tensor) -> tuple[Any, int, int, int]:
    """x (B, H, T, K) with its last dimension in one piece."""
    batch, head, place, _ = x.stride()
    return numbers(x), batch, head, place


def _like(x: Tensor) -> Tensor:
    """Room for x (B, H, T, K), laid out as (B, T, H, K): what a projection reads and writes."""
    batch, heads, places, width = x.shape
    return x.new_empty(batch, places, heads, width).transpose(1, 2)


def insist(condition: bool, what: str) -> None:
    """The kernels read memory by addresses: what does not fit together must not reach them, under `python -O` either."""
    if not condition:
        raise ValueError(f"a kernel was given {what}")


def _task(q: Tensor, k: Tensor, v: Tensor, y: Tensor, log_sums: Tensor | None, first: Tensor | None, scale: float) -> Any:
    ffi, _, _ = opened()
    batch, heads, queries, width = q.shape
    _, groups, keys, _ = k.shape
    insist(
        k.shape == v.shape == (batch, groups, keys, width), f"q, k and v of {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}"
    )
    insist(heads % groups == 0, f"{heads} heads on {groups}")
    insist(queries <= keys, f"{queries} queries and {keys} keys")
    insist(y.shape == q.shape, f"y of {tuple(y.shape)} for q of {tuple(q.shape)}")
    seen = ffi.NULL
    if first is not None:
        insist(first.shape == (batch, queries), f"first of {tuple(first.shape)} for {batch} rows of {queries} queries")
        insist(
            first.dtype == torch.int64 and first.is_cpu and first.is_contiguous(),
            f"first in {first.dtype} on {first.device}, not int64 on the CPU without gaps",
        )
        seen = ffi.cast("int64_t *", first.data_ptr())
    shape = (batch, heads, groups, queries, keys, width, scale, seen)
    return ffi.new("linnet_attention *", (shape, _rows(q), _rows(k), _rows(v), _rows(y), or_null(log_sums)))


def attention_forward(
    q: Tensor, k: Tensor, v: Tensor, first: Tensor | None, scale: float, *, log_sums: bool
) -> tuple[Tensor, Tensor | None]:
    """q (B, H, T, K), k and v (B, G, S, K), first (B, T) int64, contiguous → y (B, H, T, K), and log_sums (B, H, T) if asked for."""
    y = _like(q)
    sums = q.new_empty(q.shape[:3]) if log_sums else None
    call("linnet_attention_forward", _task(q, k, v, y, sums, first, scale))
    return y, sums


def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, y: Tensor, log_sums: Tensor, first: Tensor | None, scale: float, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v from that of y and from what the forward pass gave."""
    insist(grad.shape == q.shape and kernels_take(grad), f"a gradient of {tuple(grad.shape)} in {grad.dtype}")
    grad_q, grad_k, grad_v = _like(q), _like(k), _like(v)
    task = _task(q, k, v, y, log_sums, first, scale)
    gradients = opened()[0].new("linnet_attention_gradients *", (_rows(grad), _rows(grad_q), _rows(grad_k), _rows(grad_v)))
    call("linnet_attention_backward", task, gradients)
    return grad_q, grad_k, grad_v


def _norm_task(x: Tensor, weight: Tensor | None, eps: float, y: Tensor | None, scale: Tensor | None) -> Any:
    """x (..., D) as `_evenly` leaves it."""
    d, count = x.shape[-1], x.numel() // x.shape[-1]
    inner, outer = (count, 0) if x.is_contiguous() else (x.shape[-2], x.stride(-3))
    task = (count, d, inner, outer, numbers(x), or_null(weight), opened()[0].NULL, or_null(y), or_null(scale), eps, False)
    return opened()[0].new("linnet_norm *", task)


def _evenly(x: Tensor) -> Tensor:
    """x, or a copy, with vectors in two even steps at most: heads that a joint projection left side by side need no copy."""
    if x.dim() < 3 or x.stride(-1) != 1 or x.stride(-2) != x.shape[-1] or x.stride(-3) < x.shape[-2] * x.shape[-1]:
        return x.contiguous()
    even = all(x.stride(i) == x.stride(i + 1) * x.shape[i + 1] for i in range(x.dim() - 3))
    return x if even else x.contiguous()


def rms_norm_forward(x: Tensor, weight: Tensor | None, eps: float, *, scales: bool) -> tuple[Tensor, Tensor | None]:
    """x (..., D), weight (D,) or None → RMSNorm (..., D), and if asked for by what each vector was multiplied."""
    x = _evenly(x)
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    scale = x.new_empty(x.numel() // x.shape[-1]) if scales else None
    call("linnet_norm_forward", _norm_task(x, weight, eps, y, scale))
    return y, scale


def rms_norm_backward(
    x: Tensor, weight: Tensor | None, scale: Tensor, grad: Tensor, *, weight_too: bool
) -> tuple[Tensor, Tensor | None]:
    """The gradients of x and of weight from that of y and from what the forward pass gave."""
    insist(grad.shape == x.shape and grad.is_contiguous(), f"a gradient of {tuple(grad.shape)} for {tuple(x.shape)}")
    insist(scale.numel() * x.shape[-1] == x.numel(), f"{scale.numel()} scales for {tuple(x.shape)}")
    x = _evenly(x)
    grad_x = torch.empty_like(grad)
    grad_weight = x.new_empty(x.shape[-1]) if weight_too else None
    gradients = opened()[0].new("linnet_norm_gradients *", (numbers(grad), numbers(grad_x), or_null(grad_weight)))
    call("linnet_norm_backward", _norm_task(x, weight, 0.0, grad_x, scale), gradients)
    return grad_x, grad_weight


def few_rows(x: Tensor, matrices: Sequence[tuple[Tensor, Tensor | None]]) -> list[Tensor]:
    """x (..., D) with at most MOST_ROWS rows, and some W (F, D) with b (F,) or None, all contiguous → each x Wᵀ + b (..., F)."""
    d = x.shape[-1]
    rows, start, tasks, results = x.numel() // d, numbers(x), [], []
    for weight, bias in matrices:
        f = weight.shape[0]
        y = x.new_empty(*x.shape[:-1], f)
        results.append(y)
        tasks.append((rows, d, f, start, numbers(weight), or_null(bias), numbers(y)))
    call("linnet_few_rows", opened()[0].new("linnet_few_rows_task[]", tasks), len(tasks))
    return results


def run_program(instructions: Any, inputs: Any) -> bool:
    """Run a list of instructions (linnet_instruction[]); False: one of them makes no sense, and nothing was done."""
    result = opened()[1].linnet_run(instructions, len(instructions), inputs, _threads(torch.get_num_threads()))
    return result != BAD_ARGUMENT and checked(result, "linnet_run") == 0


def _parameters(numbers: list[int]) -> Any:
    """linnet_parameter[] from counts and addresses: for each a count, then where its value, gradient, mean, mean of squares and
    steps lie, 0 for what is not needed. All are of 64 bits; as plain numbers they are made in a fifth of the time of pointers.
    """
    return opened()[0].from_buffer("linnet_parameter[]", array("Q", numbers))


def norm_pieces(count: int, d: int) -> int:
    """In how many pieces the library takes a norm of `count` vectors of d numbers."""
    return int(opened()[1].linnet_norm_pieces(count, d))


def clip_in_place(gradients: Sequence[Tensor], at_most: float) -> float:
    """The norm of some contiguous tensors together; they are scaled so that it is `at_most`, if it was more."""
    norm = opened()[0].new("double *")
    if gradients:
        rows = _parameters([n for g in gradients for n in (g.numel(), 0, g.data_ptr(), 0, 0, 0)])
        call("linnet_clip", rows, len(gradients), at_most, norm)
    return float(norm[0])


def adamw_step(
    parameters: Sequence[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]],
    *,
    learning_rate: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """One step of AdamW, in place; like PyTorch's fused kernel it leaves autograd's version counters alone.

    Each parameter: value, gradient, mean, mean of squares, all contiguous, and steps taken ().
    """
    rates = opened()[0].new("linnet_adamw_rates *", (learning_rate, *betas, eps, weight_decay))
    if parameters:
        rows = [n for p, *rest in parameters for n in (p.numel(), p.data_ptr(), *[x.data_ptr() for x in rest])]
        call("linnet_adamw", _parameters(rows), len(parameters), rates)
