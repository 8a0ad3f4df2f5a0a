"""check_derivatives passes what is right and names what is wrong: it is tested with planted errors."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import odead
from odead import errors, ops
from odead.derivatives.autodiff import Result, autodiff
from odead.derivatives.modes import AbstractMode, Forward, ForwardMode, Reverse, ReverseMode
from odead.testing import check, check_derivatives
from odead.testing.differences import slope

RNG = np.random.default_rng(0)

# ---------------------------------------------------------------------------------------------------- what is right


def square_sum(x):
    return np.sum(x * x)


def scaled(x, a):
    return a * np.sin(x)


def in_place(dx, x, p, t):
    dx[1:-1] = p[0] * (x[:-2] - 2 * x[1:-1] + x[2:])
    dx[0] = np.exp(-t) * p[1]
    dx[-1] = dx[0] * x[0]


def partly_overwritten(y, x):
    y[::2] = x[::2] * y[1]


def transformed_in_place(y, x):
    y *= x
    y += y


def writes_and_returns(y, x):
    y[:] = np.tanh(x)
    return np.sum(y * x)


def through_scratch(scratch, x):
    scratch[:] = x * x
    return np.sum(scratch[1:] * scratch[:-1])


def loop(x, n):
    total = 0.0
    for k in range(n):
        total = total + np.cos(k * x[k]) / (1 + k)
    return total


def of_size(n, x, index):
    out = np.zeros(n)
    for k in range(n):
        out[k] = x[k] ** 2 * x[k + 1]
    return out[index]


def several(x, y):
    return x * y, {"sum": np.sum(x) + y[0]}


def kinks(x):
    return np.sum(np.abs(x)) + np.max(np.maximum(x, -x))


def dictionary(p, x):
    return np.sum(p["a"] * x + p["b"] * x**2)


class Rates(NamedTuple):
    a: float
    b: float


def rates(k, x):
    return k.a * x[0] - k.b * x[1] ** 3


def same_twice(x, y):
    y += x * y
    return np.sum(x)


def of_numbers(t, a):
    return a * t / (1 + t * t)


X = RNG.uniform(0.5, 1.5, 5)
SAME = RNG.uniform(0.5, 1.5, 3)

RIGHT = [
    (square_sum, (X,)),
    (scaled, (X, 2.0)),
    (in_place, (np.full(5, np.nan), X, np.array([2.0, 3.0]), 0.7)),
    (partly_overwritten, (RNG.uniform(size=5), X)),
    (transformed_in_place, (RNG.uniform(size=5), X)),
    (writes_and_returns, (np.zeros(5), X)),
    (through_scratch, (np.zeros(5), X)),
    (loop, (X, 4)),
    (of_size, (4, X, np.array([0, 2, 2]))),
    (several, (X, X[::-1].copy())),
    (kinks, (np.array([1.0, -2.0, 0.5]),)),
    (dictionary, ({"a": X, "b": X[::-1].copy()}, X + 1)),
    (rates, (Rates(1.5, 0.3), X)),
    (same_twice, (SAME, SAME)),
    (scaled, (X.astype(np.float32), 2.0)),
    (square_sum, (RNG.uniform(size=(3, 4)),)),
    (square_sum, (RNG.uniform(size=60),)),
    (square_sum, (np.array([1.0, 1e-12, 0.0, 1e9]),)),
    (of_numbers, (0.3, 6000.0)),
]


@pytest.mark.parametrize(("f", "args"), RIGHT, ids=lambda x: getattr(x, "__name__", ""))
@pytest.mark.parametrize("mode", [None, Forward, Reverse], ids=["both", "forward", "reverse"])
def test_right_derivatives_pass(f: Callable[..., Any], args: tuple[Any, ...], mode: AbstractMode | None) -> None:
    before = [np.copy(a) for a in args if isinstance(a, np.ndarray)]
    check_derivatives(f, *args, mode=mode)
    for array, value in zip((a for a in args if isinstance(a, np.ndarray)), before, strict=True):
        np.testing.assert_array_equal(array, value)


# ------------------------------------------------------------------------------------------------------ what is wrong


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Let `tamper(mode, annotated, result)` spoil every derivative call."""

    def plant(tamper: Callable[..., Any]) -> None:
        def spoiled(mode: AbstractMode, f: Callable[..., Any], *rest: Any) -> Any:
            result = autodiff(mode, f, *rest)
            changed = tamper(mode, [r for r in rest if not isinstance(r, type)], result)
            return result if changed is None else changed

        monkeypatch.setattr(check, "autodiff", spoiled)

    return plant


def complaint(f: Callable[..., Any], *args: Any, **options: Any) -> str:
    with pytest.raises(errors.DerivativeError) as caught:
        check_derivatives(f, *args, **options)
    return str(caught.value)


def test_wrong_tangent_of_the_result(plant: Any) -> None:
    def tamper(mode, annotated, result):
        return (
            Result(result.derivs * 1.00001, result.value)
            if isinstance(mode, ForwardMode) and result.derivs is not None
            else None
        )

    plant(tamper)
    message = complaint(square_sum, X)
    assert message.startswith("square_sum: the returned value: forward mode gives the tangent ")
    assert "differences of plain calls" in message
    assert message.endswith("(x active)")


def test_wrong_exit_tangent(plant: Any) -> None:
    def tamper(mode, annotated, result):
        if isinstance(mode, ForwardMode) and annotated[0].shadows:
            annotated[0].dval[3] += 1e-3

    plant(tamper)
    message = complaint(in_place, np.zeros(5), X, np.array([2.0, 3.0]), 0.7)
    assert message.startswith("in_place: argument 0, dx[3]: forward mode gives the tangent ")


def test_wrong_cotangent(plant: Any) -> None:
    def tamper(mode, annotated, result):
        if isinstance(mode, ReverseMode) and annotated[1].shadows:
            annotated[1].dval[2] *= 1.001

    plant(tamper)
    message = complaint(in_place, np.zeros(5), X, np.array([2.0, 3.0]), 0.7)
    assert message.startswith("in_place: argument 1, x[2]: reverse mode gives the cotangent ")
    assert "x active" in message


def test_shadow_that_is_not_consumed(plant: Any) -> None:
    def tamper(mode, annotated, result):
        if isinstance(mode, ReverseMode) and annotated[0].shadows:
            annotated[0].dval[:] = 1.0

    plant(tamper)
    message = complaint(in_place, np.zeros(5), X, np.array([2.0, 3.0]), 0.7)
    assert message.startswith(
        "in_place: argument 0, dx[0]: reverse mode gives the cotangent 1.0, differences of plain calls 0.0"
    )


def test_wrong_derivative_of_a_number(plant: Any) -> None:
    def tamper(mode, annotated, result):
        if isinstance(mode, ReverseMode) and result.derivs[1] is not None:
            return Result((None, result.derivs[1] + 1), result.value)

    plant(tamper)
    message = complaint(writes_with_number, np.zeros(5), 2.0)
    assert message.startswith("writes_with_number: argument 1, a: reverse mode gives the cotangent ")


def writes_with_number(y, a):
    y[:] = y * a


def test_wrong_entry_that_is_not_drawn_is_found_by_the_other_mode(plant: Any) -> None:
    def tamper(mode, annotated, result):
        if isinstance(mode, ReverseMode) and annotated[0].shadows:
            annotated[0].dval[5] += 1e-3

    plant(tamper)
    message = complaint(square_sum, RNG.uniform(size=200), entries=1)
    assert message.startswith("square_sum with x active: forward and reverse mode contradict each other: ")


def test_other_mutation(plant: Any) -> None:
    def tamper(mode, annotated, result):
        annotated[0].val[1] += 1.0

    plant(tamper)
    message = complaint(in_place, np.zeros(5), X, np.array([2.0, 3.0]), 0.7)
    assert message.startswith("in_place: argument 0, dx[1]: the plain call leaves ")
    assert "the forward call " in message


def test_other_mutation_of_integers(plant: Any) -> None:
    def counts(x, n):
        n += 1
        return np.sum(x)

    def tamper(mode, annotated, result):
        annotated[1].val[0] += 1

    plant(tamper)
    message = complaint(counts, X, np.array([1, 2]))
    assert message.startswith("counts: argument 1, n[0]: the plain call leaves ")


def test_other_value(plant: Any) -> None:
    plant(lambda mode, annotated, result: Result(result.derivs, result.value + 1e-3) if isinstance(mode, ReverseMode) else None)
    message = complaint(square_sum, X)
    assert message.startswith("square_sum: the returned value: the plain call leaves ")
    assert "the reverse call " in message


def test_nan_where_there_is_a_derivative(plant: Any) -> None:
    def tamper(mode, annotated, result):
        if isinstance(mode, ReverseMode) and annotated[0].shadows:
            annotated[0].dval[0] = np.nan

    plant(tamper)
    assert "reverse mode gives the cotangent nan" in complaint(square_sum, X)


def test_containers_are_named_by_their_keys(plant: Any) -> None:
    def tamper(mode, annotated, result):
        if isinstance(mode, ReverseMode) and annotated[0].shadows:
            annotated[0].dval["b"][1] += 1

    plant(tamper)
    assert "dictionary: argument 0, p['b'][1]: reverse mode gives" in complaint(dictionary, {"a": X, "b": X.copy()}, X)


def test_wrong_pullback(monkeypatch: pytest.MonkeyPatch) -> None:
    real = check.vjp

    def wrong(f, *xs):
        value, pullback = real(f, *xs)
        return value, lambda ybar: tuple(2 * x for x in pullback(ybar))

    monkeypatch.setattr(check, "vjp", wrong)
    assert "the pullback of vjp gives the cotangent" in complaint(scaled, X, 2.0)


def test_wrong_row_of_the_op_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ops.TABLE, "tan", dataclasses.replace(ops.TABLE["tan"], partials=("1 - out * out",)))

    def tangents(x):
        return np.sum(np.tan(x))

    assert "tangents: the returned value: forward mode gives" in complaint(tangents, X, mode=Forward)
    assert "tangents: argument 0, x[0]: reverse mode gives" in complaint(tangents, X, mode=Reverse)


def test_function_that_differs_from_what_was_recorded() -> None:
    calls = []

    def impure(x):
        calls.append(1)
        return np.sum(x) * len(calls)

    with pytest.raises(errors.DerivativeError):
        check_derivatives(impure, X)


# ------------------------------------------------------------------------------------------------------ limits


def test_jumps_are_reported() -> None:
    def jump(x):
        return np.sum(np.where(x > 1.0, x + 3.0, x))

    with pytest.warns(errors.OdeadWarning, match="jump: differences of plain calls do not converge along x"):
        check_derivatives(jump, np.array([1.0, 0.4, 2.0]))


def test_nothing_to_differentiate() -> None:
    with pytest.raises(errors.ArgumentTypeError, match="no float among the arguments"):
        check_derivatives(lambda n: n, 3)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x * 2, len(x), "text", None, x.ndim == 1),
        lambda x: {"n": 3, "rates": [x, 7], "total": x.sum()},
        lambda x: np.sum(x * np.float16(0.5)),
    ],
)
def test_what_is_returned_beside_floats(f: Callable[..., Any]) -> None:
    check_derivatives(f, X)


def test_complex_numbers_whose_imaginary_part_cancels() -> None:
    def f(z: np.ndarray, x: np.ndarray) -> Any:
        z.real *= 2
        z[0] = x[0]
        z *= z.conj()
        z[1:] -= z[:-1] + x[1:]
        return np.fmod(x, 0.125)

    check_derivatives(f, X + 1j * X[::-1], X)


def test_integers_that_the_function_counts_up() -> None:
    def f(x: np.ndarray, count: np.ndarray) -> np.ndarray:
        count += 1
        return x * count

    check_derivatives(f, X, np.arange(X.size))


def test_containers_of_numbers_and_integers() -> None:
    check_derivatives(lambda x, p: x * p["rate"] * (1 + p["count"]), X, {"rate": 2.0, "count": np.arange(X.size)})


def test_errors_of_the_function_pass() -> None:
    def broken(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        check_derivatives(broken, X)


@pytest.mark.parametrize(
    ("f", "derivative"),
    [
        (np.sin, 1.0),
        (lambda h: np.exp(3 * h), 3.0),
        (lambda h: 300.0 + 1e-5 * h, 1e-5),
        (lambda h: np.log(1e-5 + h), 1e5),
        (lambda h: 1e6 * np.sin(h), 1e6),
        (np.abs, 0.0),
        (lambda h: np.fmod(4.3 + 4.0 * h, 0.125), 4.0),
        (lambda h: 7.0 + 0 * h, 0.0),
    ],
)
def test_slope(f: Callable[[float], Any], derivative: float) -> None:
    with np.errstate(all="ignore"):
        value, error = slope(lambda h: np.atleast_1d(f(h)))
    assert abs(value[0] - derivative) <= 1e-7 * abs(derivative) + 1e-15
    assert abs(value[0] - derivative) <= 10 * error[0]


def test_slope_knows_when_it_fails() -> None:
    assert slope(lambda h: np.atleast_1d(np.sign(h)))[1][0] > 1.0
    assert slope(lambda h: np.array([np.nan]))[1][0] == np.inf


def test_a_function_that_computes_in_single_precision_inside():
    """Its differences are as rough as its values: no false alarm, and a wrong derivative is still seen."""

    def f(x):
        return (np.sin(x.astype(np.float32)) * x.astype(np.float32) ** 2).astype(np.float64).sum()

    def scratch(x):
        y = np.zeros(3, np.float32)
        y[:] = np.exp(x)
        return y * 2.0

    x = np.array([0.3, 0.7, 1.1])
    check_derivatives(f, x)
    check_derivatives(scratch, x)

    @odead.primitive
    def wrong(x):
        return np.sin(x)

    @odead.rule(wrong)
    def _(x):
        return wrong(x), lambda bar: (bar * np.cos(x) * 1.01,)

    with pytest.raises(errors.DerivativeError):
        check_derivatives(lambda x: wrong(x.astype(np.float32).astype(np.float64)), x, mode=Reverse)
