"""Ufuncs and their methods given lists and tuples of traced values: values and derivatives as NumPy's arrays of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import odead

X = np.array([0.9, 0.6, 1.3])
Y = np.array([0.7, 1.1, 0.2])

LISTS = [
    lambda x, y: np.maximum.reduce([x, y, x * y]),
    lambda x, y: np.minimum.reduce([x[0], y[0], 0.8]),
    lambda x, y: np.add.reduce((x, y, x), axis=1),
    lambda x, y: np.multiply.accumulate([x[0], y[0], 2.0]),
    lambda x, y: np.multiply.outer([x[0], y[0]], [1.0, 2.0]),
    lambda x, y: np.where(np.logical_or.reduce([x > 1.0, y > 1.0]), x, y),
    lambda x, y: np.exp([x[0], [y[0]][0], 1.0]) + np.arctan2((x[1], y[1], 1.0), 2.0),
    lambda x, y: np.matmul([[x[0], 0.0], [1.0, y[0]]], [x[1], 1.0]),
    lambda x, y: np.hypot.reduce([x, y]) if isinstance(np.hypot, np.ufunc) and np.hypot.nin == 2 else x,
    lambda x, y: np.abs([x[0] + 1j * y[0], 2.0 * x[1]]),
]


@pytest.mark.parametrize("f", LISTS)
def test_ufuncs_take_lists(f: Callable[..., Any]) -> None:
    np.testing.assert_allclose(odead.compile(f, X, Y).primal(X, Y), f(X, Y), rtol=1e-15)
    odead.check_derivatives(f, X, Y)


def test_what_a_ufunc_writes_by_lists() -> None:
    def f(x: Any, y: Any) -> None:
        np.add.at(x, [0, 2, 2], [y[0], y[1], 3.0 * y[2]])
        np.multiply(x, [y[0], 1.0, y[2]], out=x)

    odead.check_derivatives(f, X, Y)


def test_the_loops_of_functions_without_lists_keep_the_ufuncs_of_numpy() -> None:
    seen = []
    odead.gradient(lambda x: seen.append(np.sin) or np.sum(np.sin(x)), X)
    assert seen[0] is np.sin
