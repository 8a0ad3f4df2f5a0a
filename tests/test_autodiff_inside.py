"""`autodiff` inside a function that is differentiated itself: every annotation, against the same calls written out."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead import Active, BatchDuplicated, Const, Duplicated, Forward, Reverse, autodiff, check_derivatives, gradient, jacobian

X = np.array([0.3, 0.7, 1.1])
V = np.array([0.2, -1.0, 0.5])
Z = X + 1j * V


def moved(out: np.ndarray, x: np.ndarray) -> None:
    """Reads and writes both."""
    out[:2] = x[:2] ** 3
    x[2] *= x[0]


@pytest.mark.parametrize("dtype", [float, complex])
def test_batches(dtype: type) -> None:
    def forward(x: np.ndarray) -> Any:
        y, x = np.zeros(3, dtype), x * 1.0
        lanes, seeds = [np.zeros(3, dtype) for _ in range(2)], [x * 2.0, x**2]
        autodiff(Forward, moved, BatchDuplicated(y, tuple(lanes)), BatchDuplicated(x, tuple(seeds)))
        return np.concatenate([y, x, *lanes, *seeds])

    def reverse(x: np.ndarray) -> Any:
        y, x = np.zeros(3, dtype), x * 1.0
        lanes, seeds = [x * 3.0, np.sin(x)], [x * 2.0, x**2]
        autodiff(moved, BatchDuplicated(y, tuple(lanes)), BatchDuplicated(x, tuple(seeds)))
        return np.concatenate([y, x, *lanes, *seeds])

    x = X.astype(dtype) * (1 + (0.3j if dtype is complex else 0))
    for f in (forward, reverse):
        assert_allclose(odead.jvp(f, (x,), (x,))[0], f(x), rtol=1e-14)
        check_derivatives(f, x, entries=2)


def test_batches_of_active_numbers_and_of_the_returned_tangent() -> None:
    def f(x: np.ndarray) -> Any:
        seeds = (x * 0.0, x * 1.0)
        slopes = autodiff(lambda a, y: a**3 * (y * y).sum(), Active, Active(x[0]), BatchDuplicated(x, seeds))[0]
        tangents = autodiff(Forward, lambda y: y[0] * y[1], BatchDuplicated(x, (V * 1.0, x**2)))
        return np.array([*slopes, *tangents]), seeds

    (slopes, seeds) = f(X)
    assert_allclose(slopes[:2], 3 * X[0] ** 2 * (X @ X))
    assert_allclose(seeds[1] - seeds[0], X)
    check_derivatives(lambda x: f(x)[0], X)
    check_derivatives(lambda x: np.concatenate(f(x)[1]), X)


def shifted(out: np.ndarray, x: np.ndarray) -> None:
    out[:] = x * x[::-1]


@pytest.mark.parametrize("base", [np.arange(1.0, 5.0), np.arange(1.0, 5.0) * (1 - 0.5j)])
def test_arguments_that_overlap(base: np.ndarray) -> None:
    def reverse(x: np.ndarray) -> Any:
        x, dx = x * 1.0, x * 2.0
        autodiff(shifted, Duplicated(x[1:], dx[1:]), Duplicated(x[:-1], dx[:-1]))
        return np.concatenate([x, dx])

    def forward(x: np.ndarray) -> Any:
        x, dx = x * 1.0, np.sin(x)
        autodiff(Forward, shifted, Duplicated(x[1:], dx[1:]), Const(x[:-1]))
        return np.concatenate([x, dx])

    def lanes(x: np.ndarray) -> Any:
        x, dx = x * 1.0, np.array([x, x**2])
        autodiff(shifted, BatchDuplicated(x[1:], tuple(dx[:, 1:])), BatchDuplicated(x[:-1], tuple(dx[:, :-1])))
        return np.concatenate([x, *dx])

    for f in (reverse, forward, lanes):
        assert_allclose(odead.jvp(f, (base,), (base,))[0], f(base), rtol=1e-14)
        check_derivatives(f, base, entries=2)


def test_overlap_at_parts_of_elements() -> None:
    def f(z: np.ndarray) -> Any:
        z = z * 1.0
        autodiff(lambda y, x: None, Duplicated(z, z * 0), Const(z.real))
        return abs(z).sum()

    with pytest.raises(odead.OdeadError, match="overlap in memory"):
        gradient(f, Z)


def test_numbers_in_a_dict() -> None:
    def f(x: np.ndarray) -> Any:
        shadow = {"rate": 0.0}
        autodiff(lambda p, y: p["rate"] ** 2 * (y * y).sum(), Active, Duplicated({"rate": x[0]}, shadow), Const(x))
        return shadow["rate"] * x[1]

    assert_allclose(f(X), 2 * X[0] * (X @ X) * X[1])
    check_derivatives(f, X)


def test_check() -> None:
    def f(x: np.ndarray) -> Any:
        dx = np.where(x > 5.0, np.nan, x)
        autodiff(Reverse(check=True), lambda y: (y * y).sum(), Active, Duplicated(x, dx))
        return dx

    assert_allclose(jacobian(f, X), 3 * np.eye(3))
    with pytest.raises(ValueError, match="its shadow contains NaN"):
        jacobian(f, X + 9)  # also where the recorded run had none


def test_strong_zero() -> None:
    def f(x: np.ndarray) -> Any:
        dx = x * 0.0
        autodiff(Reverse(strong_zero=True), lambda y: 0.0 * np.log(y[0] - y[0]) + y.sum(), Active, Duplicated(x, dx))
        return dx + x

    with np.errstate(divide="ignore", invalid="ignore"):
        assert_allclose(jacobian(f, X), np.eye(3))


def test_explain_inside_says_where_to_call_it():
    def f(x):
        odead.explain(lambda y: y**2, Active(x[0]))
        return x.sum()

    with pytest.raises(odead.TracingError, match=r"test_autodiff_inside\.py:\d+ in f: odead\.explain is called .* outside of"):
        odead.gradient(f, np.ones(2))
