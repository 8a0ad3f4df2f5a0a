"""Arrays that a call binds: what is written may not share memory with anything else, nor be read-only."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import odead

X = np.arange(1.0, 5.0)
TABLE = np.arange(2.0, 6.0)


def shifted(a: np.ndarray, b: np.ndarray) -> None:
    a[1:] = b[:-1] * 2


def turned(x: np.ndarray) -> Any:
    return x[::-1] * 2


def from_table(a: np.ndarray) -> None:
    for k in range(1, 4):
        a[k] = TABLE[k - 1] * a[0]


@pytest.mark.parametrize(
    "same", [lambda x: (x, x), lambda x: (x[:3], x[1:]), lambda x: (x[:3], x[::-1][:3]), lambda x: (x[::2], x[::-2])]
)
def test_arguments_of_a_compiled_function(same: Any) -> None:
    base = np.arange(1.0, 5.0)
    a, b = same(base)
    compiled = odead.compile(shifted, a.copy(), b.copy())
    if not np.shares_memory(a, b):
        compiled.primal(a, b)
        return
    for call in (
        lambda: compiled.primal(a, b),
        lambda: compiled.jvp((a, b), (a * 0, b * 0)),
        lambda: compiled.vjp((a, b), None, out=(a * 0, b * 0)),
    ):
        with pytest.raises(ValueError, match="a is written by this call and shares memory with b: pass a copy") as caught:
            call()
        assert isinstance(caught.value, odead.OdeadError)
        assert_array_equal(base, X)


def test_buffers_for_results() -> None:
    compiled, x = odead.compile(turned, X), X.copy()
    for call in (
        lambda: compiled.primal(x, out=x),
        lambda: compiled.jvp((x,), (x * 1.0,), out=x),
        lambda: compiled.vjp((x,), X, out=(x,)),
    ):
        with pytest.raises(ValueError, match="shares memory with"):
            call()
        assert_array_equal(x, X)
    assert_allclose(compiled.jvp((x,), (x,)), 2 * X[::-1])  # what is only read may be the same
    assert_allclose(compiled.vjp((x,), x)[0], 2 * X[::-1])


def test_a_captured_array_as_an_argument() -> None:
    compiled = odead.compile(from_table, X)
    compiled.primal(X.copy())
    with pytest.raises(ValueError, match="a is written by this call and shares memory with TABLE"):
        compiled.primal(TABLE)
    for array in (TABLE, X.copy(), TABLE):  # as the first array met, and as another one
        if array is not TABLE:
            odead.autodiff(from_table, odead.Duplicated(array, np.zeros(4)))
            continue
        with pytest.raises(odead.OdeadError, match="share"):
            odead.autodiff(from_table, odead.Duplicated(array, np.zeros(4)))
    assert_array_equal(TABLE, np.arange(2.0, 6.0))


def test_read_only_buffers() -> None:
    frozen = np.zeros(4)
    frozen.flags.writeable = False
    compiled = odead.compile(turned, X)
    for call in (lambda: compiled.primal(X, out=frozen), lambda: compiled.vjp((X,), X, out=(frozen,))):
        with pytest.raises(odead.OdeadError, match="read-only"):
            call()


def test_a_pullback_holds_what_captured_arrays_had() -> None:
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    _, pullback = odead.vjp(lambda x: weights * x**2, X)
    _, strided = odead.vjp(lambda x: weights[::2] * x[::2] ** 2, X)
    weights[:] = 100.0
    for _ in range(2):
        assert_allclose(pullback(np.ones(4))[0], 2 * np.arange(1.0, 5.0) * X)
        assert_allclose(strided(np.ones(2))[0], [2 * X[0], 0, 6 * X[2], 0])
