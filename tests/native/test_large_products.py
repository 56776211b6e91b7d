"""Products of whole matrices by the library itself and by MKL, as programs call them: C = base + A B + bias, however they lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from linnet.core.native import native_problem, opened
from linnet.ops import kernels
from linnet.ops.kernels import VECTORS, Matmul, kernels_available, limit_vectors
from linnet.ops.program import KINDS

pytestmark = pytest.mark.skipif(not kernels_available(), reason=f"no kernels: {native_problem() or 'no GNU OpenMP'}")

Matrix = NDArray[np.float32]
ROUNDING = 2.0**-24  # of float32
SHAPES = [
    (1, 1, 1),
    (1, 33, 2),
    (7, 5, 3),
    (12, 32, 256),
    (13, 65, 257),
    (96, 31, 128),
    (193, 100, 40),
    (500, 66, 300),
    (2, 16, 1000),
]
DRAWS = np.random.default_rng(0)


@pytest.fixture(params=VECTORS)
def vectors(request: pytest.FixtureRequest) -> Iterator[str]:
    limit_vectors(request.param)
    yield request.param
    limit_vectors()


def draw(*shape: int) -> Matrix:
    return DRAWS.standard_normal(shape).astype(np.float32)


def at(x: Matrix | None) -> Any:
    ffi = opened()[0]
    return ffi.NULL if x is None else ffi.cast("float *", x.ctypes.data)


def product(
    a: Matrix,
    b: Matrix,
    base: Matrix | None,
    bias: Matrix | None,
    *,
    a_turned: bool,
    b_turned: bool,
    threads: int,
    sgemm: Any = None,
) -> Matrix:
    """A (m, k), B (k, n), base (m, n), bias (n,) → C (m, n), within a frame that nothing may touch."""
    ffi, lib, _ = opened()
    (m, k), n = a.shape, b.shape[1]
    a, b = np.ascontiguousarray(a.T if a_turned else a), np.ascontiguousarray(b.T if b_turned else b)
    framed = np.full(m * n + 64, np.float32(7))
    c = framed[32:-32].reshape(m, n)
    fields = Matmul(m, n, k, a_turned, b_turned, at(a), at(b), at(base), at(bias), at(c))
    one = ffi.new("linnet_instruction[]", [{"kind": KINDS.index("matmul"), "work": {"matmul": fields}}])
    places = ffi.new("int64_t[1]")
    inputs = ffi.new("linnet_inputs *", (1, places, places, places, sgemm or ffi.NULL))
    assert lib.linnet_run(one, 1, inputs, kernels._threads(threads)) == 0
    assert (framed[:32] == 7).all()
    assert (framed[-32:] == 7).all()
    return c.copy()


@pytest.mark.usefixtures("vectors")
@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, False), (True, True)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_the_product(shape: tuple[int, int, int], turned: tuple[bool, bool]) -> None:
    m, n, k = shape
    a, b, base, bias = draw(m, k), draw(k, n), draw(m, n), draw(n)
    lies = {"a_turned": turned[0], "b_turned": turned[1]}
    exact, sizes = a.astype(float) @ b, abs(a).astype(float) @ abs(b)
    for sgemm in (None, kernels._sgemm()):
        for start in (None, base):
            for shift in (None, bias):
                more = [x for x in (start, shift) if x is not None]
                got = product(a, b, start, shift, threads=2, sgemm=sgemm, **lies)
                bound = 4 * (k + 2) ** 0.5 * ROUNDING * sum((abs(x) for x in more), sizes)  # 10.1137/18M1226312
                assert (abs(got - sum(more, exact)) <= bound).all()


@pytest.mark.usefixtures("vectors")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_however_it_is_shared_out_it_is_the_same(shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    a, b, bias = draw(m, k), draw(k, n), draw(n)
    for lies in ({"a_turned": False, "b_turned": True}, {"a_turned": True, "b_turned": False}):
        alone = product(a, b, None, bias, threads=1, **lies)
        for threads in (2, 3, 7):
            np.testing.assert_array_equal(product(a, b, None, bias, threads=threads, **lies), alone)


def test_long_sums_keep_their_digits() -> None:
    a, b = draw(3, 100_000) + 2, draw(100_000, 5) + 2
    right = a.astype(float) @ b.astype(float)
    got = product(a, b, None, None, a_turned=False, b_turned=False, threads=1)
    assert abs(got / right - 1).max() < 1e-6


def test_what_is_no_number_stays_none() -> None:
    a, b = draw(20, 40), draw(40, 50)
    a[3, 4], b[7, 49] = np.nan, np.inf
    got = product(a, b, None, None, a_turned=False, b_turned=True, threads=2)
    assert np.isnan(got[3]).all()
    assert not np.isfinite(got[:, 49]).any()
    assert np.isfinite(np.delete(np.delete(got, 3, 0), 49, 1)).all()
