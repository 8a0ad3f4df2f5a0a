"""Functions and objects that hold what is differentiated, inside a function that is differentiated itself."""

import dataclasses
import functools
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead import Active, BatchDuplicated, Const, Duplicated, Forward, Reverse, autodiff, check_derivatives, gradient, make_zero

X = np.array([0.3, 0.7, 1.1])
V = np.array([0.2, -1.0, 0.5])
WEIGHTS = np.array([1.0, 2.0, 3.0])


class Model:
    """Holds an array, a number and scratch."""

    def __init__(self, weights: Any, rate: Any) -> None:
        self.weights, self.rate, self.work, self.name = weights, rate, np.zeros(3), "model"

    def __call__(self, x: Any) -> Any:
        self.work[:] = self.weights**2 * x
        self.work[1:] += self.work[:-1] * x[1:]
        return self.rate**2 * self.work.sum()

    def method(self, x: Any) -> Any:
        return self(x)


def closure(weights: Any, rate: Any) -> Any:
    work = np.zeros(3)

    def f(x: Any) -> Any:
        work[:] = weights**2 * x
        work[1:] += work[:-1] * x[1:]
        return rate**2 * work.sum()

    return f


def plain(weights: Any, rate: Any, x: Any) -> Any:
    work = weights**2 * x
    work = np.concatenate([work[:1], work[1:] + work[:-1] * x[1:]])
    return rate**2 * work.sum()


def read(df: Any) -> tuple[Any, Any]:
    """The shadows of weights and rate."""
    if isinstance(df, FunctionType):
        cells = dict(zip(df.__code__.co_freevars, df.__closure__, strict=True))
        return cells["weights"].cell_contents, cells["rate"].cell_contents
    owner = getattr(df, "__self__", df)
    return owner.weights, owner.rate


KINDS = {"closure": closure, "object": Model, "method": lambda weights, rate: Model(weights, rate).method}


@pytest.mark.parametrize("kind", ["closure", "object"])
def test_made_inside(kind: str) -> None:
    make = KINDS[kind]

    def slopes(x: np.ndarray) -> Any:
        f = make(x * 2.0, x[0])
        df, dx = make_zero(f), np.zeros(3)
        value = autodiff(odead.ReverseWithPrimal, Duplicated(f, df), Active, Duplicated(np.sin(x), dx)).value
        weights, rate = read(df)
        return np.concatenate([weights, np.array([rate, value]), dx])

    exact = odead.gradient(plain, X * 2.0, X[0], np.sin(X), wrt=(0, 1, 2))
    expected = [*exact[0], exact[1], plain(X * 2.0, X[0], np.sin(X)), *exact[2]]
    assert_allclose(odead.jvp(slopes, (X,), (V,))[0], expected, rtol=1e-13)
    check_derivatives(slopes, X)


OUTSIDE = {kind: make(WEIGHTS.copy(), 2.0) for kind, make in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_from_outside(kind: str) -> None:
    f = OUTSIDE[kind]

    def slopes(x: np.ndarray) -> Any:
        df, dx = make_zero(f), np.zeros(3)
        autodiff(Duplicated(f, df), Active, Duplicated(x, dx))
        weights, rate = read(df)
        return np.concatenate([weights, np.array([rate]), dx])

    exact = odead.gradient(plain, WEIGHTS, 2.0, X, wrt=(0, 1, 2))
    assert_allclose(odead.jvp(slopes, (X,), (V,))[0], [*exact[0], exact[1], *exact[2]], rtol=1e-13)
    check_derivatives(slopes, X)


@pytest.mark.parametrize("kind", KINDS)
def test_both_at_once(kind: str) -> None:
    """The outer call differentiates what the inner function holds, too."""
    f = KINDS[kind](WEIGHTS.copy(), 2.0)

    def slopes(x: np.ndarray) -> Any:
        df = make_zero(f)
        autodiff(Duplicated(f, df), Active, Const(x))
        weights, rate = read(df)
        return weights @ V + rate

    def written_out(weights: Any, rate: Any, x: Any) -> Any:
        found = gradient(plain, weights, rate, x, wrt=(0, 1))
        return found[0] @ V + found[1]

    d_f, dx = make_zero(slopes), np.zeros(3)
    autodiff(Duplicated(slopes, d_f), Active, Duplicated(X, dx))
    exact = gradient(written_out, WEIGHTS, 2.0, X, wrt=(0, 1, 2))
    shadow = next(c.cell_contents for c, n in zip(d_f.__closure__, slopes.__code__.co_freevars, strict=True) if n == "f")
    weights, rate = read(shadow)
    assert_allclose(weights, exact[0], rtol=1e-12)
    assert_allclose(rate, exact[1], rtol=1e-12)
    assert_allclose(dx, exact[2], rtol=1e-12)


@pytest.mark.parametrize("kind", ["closure", "object"])
def test_forward_and_batches(kind: str) -> None:
    make = KINDS[kind]

    def tangents(x: np.ndarray) -> Any:
        f = make(x * 2.0, x[0])
        lanes = tuple(make(seed, seed[1]) for seed in (x**2, np.cos(x)))
        return np.array(autodiff(Forward, BatchDuplicated(f, lanes), BatchDuplicated(x, (x * 3.0, x * 0.0))))

    def alone(x: np.ndarray) -> Any:
        one = autodiff(Forward, Duplicated(make(x * 2.0, x[0]), make(x**2, x[1] ** 2)), Duplicated(x, x * 3.0))
        two = autodiff(Forward, Duplicated(make(x * 2.0, x[0]), make(np.cos(x), np.cos(x[1]))), Const(x))
        return np.array([one, two])

    exact = [
        odead.jvp(plain, (X * 2.0, X[0], X), (X**2, X[1] ** 2, X * 3.0))[1],
        odead.jvp(plain, (X * 2.0, X[0], X), (np.cos(X), np.cos(X[1]), X * 0.0))[1],
    ]
    for f in (tangents, alone):
        assert_allclose(odead.jvp(f, (X,), (V,))[0], exact, rtol=1e-13)
        check_derivatives(f, X)


def test_what_is_updated_in_place() -> None:
    def slopes(x: np.ndarray) -> Any:
        total = x * 2.0

        def f(y: Any) -> None:
            total[:] *= y
            total[1] += total[0]

        df = make_zero(f)
        shadow = df.__closure__[0].cell_contents
        shadow[:] = np.sin(x)
        dy = np.zeros(3)
        autodiff(Duplicated(f, df), Duplicated(x, dy))
        return np.concatenate([total, shadow, dy])

    seed = np.sin(X) + np.array([np.sin(X[1]), 0.0, 0.0])
    left = 2 * X * X + np.array([0.0, 2 * X[0] ** 2, 0.0])
    assert_allclose(odead.jvp(slopes, (X,), (V,))[0], [*left, *(seed * X), *(seed * 2 * X)], rtol=1e-14)
    check_derivatives(slopes, X)


def test_functions_among_the_arguments() -> None:
    def apply(parts: Any, x: Any) -> Any:
        return (parts["g"](x) * parts["scale"]).sum()

    def slopes(x: np.ndarray) -> Any:
        parts = {"g": functools.partial(lambda w, y: w**2 * y, x**2), "scale": x[1]}
        d_parts = {"g": functools.partial(parts["g"].func, np.zeros(3)), "scale": 0.0}
        autodiff(apply, Duplicated(parts, d_parts), Const(x))
        return np.concatenate([d_parts["g"].args[0], np.array([d_parts["scale"]])])

    assert_allclose(odead.jvp(slopes, (X,), (V,))[0], [*(2 * X**3 * X[1]), (X**5).sum()], rtol=1e-13)
    check_derivatives(slopes, X)


def test_what_is_inside_of_what_is_held() -> None:
    @dataclasses.dataclass
    class Rates:
        k: Any
        scale: Any

    bag = SimpleNamespace(c=3.0, table={"a": np.array([2.0, 1.0, 0.5])})

    def slopes(x: np.ndarray) -> Any:
        rates = Rates(x**2, x[2])

        def inner(y: Any, shift: Any = x[1] * 2.0) -> Any:
            return rates.scale**2 * rates.k * y + shift

        def f(y: Any) -> Any:
            return (bag.c**2 * inner(y) * bag.table["a"] ** 2).sum()

        df = make_zero(f)
        autodiff(Duplicated(f, df), Active, Const(x))
        cells = dict(zip(f.__code__.co_freevars, [cell.cell_contents for cell in df.__closure__], strict=True))
        of_rates = cells["inner"].__closure__[0].cell_contents
        return np.concatenate([cells["bag"].table["a"], np.array([cells["bag"].c, of_rates.scale]), of_rates.k])

    a = bag.table["a"]
    y = X[2] ** 2 * X**3 + 2 * X[1]
    expected = [*(18.0 * a * y), 6.0 * (y * a**2).sum(), 9.0 * (2 * X[2] * X**3 * a**2).sum(), *(9.0 * X[2] ** 2 * X * a**2)]
    assert_allclose(odead.jvp(slopes, (X,), (V,))[0], expected, rtol=1e-13)
    check_derivatives(slopes, X)


def test_branches_and_loops() -> None:
    def slopes(x: np.ndarray) -> Any:
        total = np.zeros(3)
        for k in range(3):
            weights = x * (k + 1.0)

            def f(y: Any, weights: Any = weights) -> Any:
                return (weights * y**2).sum() if weights[0] > 1.0 else (weights**2 * y).sum()

            df = make_zero(f)
            autodiff(Duplicated(f, df), Active, Const(x))
            total += df.__defaults__[0]
        return total

    for x in (X, X + 1.0, X):
        expected = sum(x**2 if (k + 1.0) * x[0] > 1.0 else 2.0 * (k + 1) * x * x for k in range(3))
        assert_allclose(odead.jvp(slopes, (x,), (V,))[0], expected, rtol=1e-13)
        check_derivatives(slopes, x)


def test_recursion() -> None:
    def slopes(x: np.ndarray) -> Any:
        def power(n: int, y: Any) -> Any:
            return x if n == 0 else power(n - 1, y) * y

        dp, dy = make_zero(power), np.zeros(3)
        autodiff(lambda f, y: f(2, y).sum(), Active, Duplicated(power, dp), Duplicated(x * 1.0, dy))
        cells = dict(zip(power.__code__.co_freevars, dp.__closure__, strict=True))
        return np.concatenate([cells["x"].cell_contents, dy])

    assert_allclose(odead.jvp(slopes, (X,), (V,))[0], [*X**2, *(2 * X**2)], rtol=1e-13)
    check_derivatives(slopes, X)


class Counting(Model):
    """Remembers that it was called."""

    def __call__(self, x: Any) -> Any:
        self.calls = 1
        return super().__call__(x)


def test_attributes_that_are_set_are_refused() -> None:
    def f(x: np.ndarray) -> Any:
        model = Counting(x * 2.0, 1.0)
        dm = make_zero(model)
        autodiff(Duplicated(model, dm), Active, Const(x))
        return dm.weights.sum()

    with pytest.raises(odead.TracingError, match=r"sets the attribute \.calls of an object of Counting"):
        gradient(f, X)


def of_a_partial(x: np.ndarray) -> Any:
    f, df = (functools.partial(lambda k, y: k * y.sum(), k) for k in (x[0], 0.0))
    return autodiff(Duplicated(f, df), Active, Const(x))


def test_errors() -> None:
    def mistaken(shadow: Any) -> Any:
        def f(x: np.ndarray) -> Any:
            g = closure(x * 1.0, 2.0)
            autodiff(Reverse, Duplicated(g, shadow(g)), Active, Const(x))
            return x.sum()

        return f

    with pytest.raises(TypeError, match=r"what the function f holds: the shadow of f holds other arrays.*odead\.make_zero"):
        gradient(mistaken(lambda g: lambda x: x), X)
    with pytest.raises(ValueError, match="its own value"):
        gradient(mistaken(lambda g: g), X)
    with pytest.raises(TypeError, match=r"Active\(x\)"):
        gradient(of_a_partial, X)
