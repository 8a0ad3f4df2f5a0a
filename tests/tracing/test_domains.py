"""Where Python's arithmetic raises, later calls of what was recorded raise the same; elsewhere they have Python's value."""

import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import odead
from odead import Const, Duplicated
from odead.execute.compiled import Executable
from odead.ops import TABLE
from odead.tracing.domains import DOMAINS, WITHOUT_FLAG, leaves_domain
from odead.tracing.functions.math_api import _ONE, _TWO
from odead.tracing.trace import trace
from odead.transform.passes import optimise

INF, NAN = math.inf, math.nan
ONE = {
    math.sqrt: -1.0, math.log: 0.0, math.log2: -2.0, math.log10: 0.0, math.log1p: -1.0, math.exp: 1000.0, math.exp2: 2000.0,
    math.expm1: 1000.0, math.sin: INF, math.cos: -INF, math.tan: INF, math.asin: 1.5, math.acos: -1.5, math.sinh: 1000.0,
    math.cosh: -1000.0, math.acosh: 0.5, math.atanh: 1.0, math.gamma: -1.0, math.lgamma: 0.0,
}  # fmt: skip
"""Functions of one number, and where they raise."""

TWO = {
    math.pow: [(-2.0, 0.5), (0.0, -1.0), (1e200, 2.0)], math.fmod: [(1.0, 0.0), (INF, 1.0)],
    operator.truediv: [(1.0, 0.0), (0.0, 0.0)], operator.floordiv: [(1.0, 0.0), (-0.0, 0.0)],
    operator.mod: [(2.0, -0.0)], operator.pow: [(0.0, -1.0), (1e200, 2.0)],
}  # fmt: skip
INSIDE = {math.acosh: 1.5}


def raised(f, *args):
    with pytest.raises((ValueError, ArithmeticError)) as caught:
        f(*args)
    return caught.type, str(caught.value)


def test_every_operation_that_may_raise_is_looked_at():
    names = {(_ONE | _TWO).get(f, "log") for f in (*ONE, math.pow, math.fmod)} | {"div", "floor_divide", "remainder"}
    assert names == DOMAINS


@pytest.mark.parametrize("n", [1, 3, 4, 37, 1000])
@pytest.mark.parametrize("function", list(ONE), ids=lambda f: f.__name__)
def test_one_number_out_of_the_domain_among_many(function, n):
    def f(dx, x):
        for i in range(len(x)):
            dx[i] = function(x[i])

    inside, compiled = INSIDE.get(function, 0.5), None
    x, dx = np.full(n, inside), np.zeros(n)
    compiled = odead.compile(f, dx, x)
    compiled.primal(dx, x)
    np.testing.assert_allclose(dx, function(inside), rtol=1e-14)
    for place in {0, n // 2, n - 1}:
        x[:] = inside
        x[place] = ONE[function]
        plain = raised(f, dx.copy(), x)
        shadows = np.full(n, 2.0), np.full(n, 3.0)
        assert raised(compiled.primal, dx, x) == plain
        assert raised(compiled.jvp, (dx, x), shadows) == plain
        assert raised(compiled.vjp, (dx, x), None, shadows) == plain
        np.testing.assert_array_equal(shadows, [np.full(n, 2.0), np.full(n, 3.0)], "changed by a call that raised")
        assert x[place] == ONE[function]
    x[:] = inside
    compiled.vjp((dx, x), None, (np.ones(n), np.zeros(n)))


@pytest.mark.parametrize("function", list(TWO), ids=lambda f: f.__name__)
def test_two_numbers_out_of_the_domain(function):
    def f(x, y):
        return function(x, y)

    compiled = odead.compile(f, 2.5, 1.5)
    assert compiled.primal(2.5, 1.5) == function(2.5, 1.5)
    for x, y in TWO[function]:
        assert raised(compiled.primal, x, y) == raised(f, x, y)
        assert raised(odead.gradient, f, x, y) == raised(f, x, y)


def test_numbers_of_numpy_do_not_raise():
    def f(x):
        return 1 / x[0] + x[1] ** 0.5 + np.log(x[2])

    assert odead.value_and_gradient(f, np.array([1.0, 1.0, 1.0]))[0] == 2.0
    assert np.isnan(odead.value_and_gradient(f, np.array([0.0, -1.0, -1.0]))[0])


def test_nan_and_infinity_pass_where_python_lets_them():
    def f(x):
        return math.sqrt(x[0]) + math.exp(x[1]) + math.log(x[0]) + math.pow(x[0], x[1])

    compiled = odead.compile(f, np.ones(2))
    for x in ([NAN, 1.0], [INF, 1.0], [INF, INF], [1.0, -INF], [1.0, NAN]):
        np.testing.assert_equal(compiled.primal(np.array(x)), f(np.array(x)))


def test_a_caught_exception_is_another_way():
    def f(x):
        try:
            y = math.sqrt(x[0])
        except ValueError:
            y = -x[0]
        return y * x[0]

    def steep(x):
        return odead.value_and_gradient(f, np.array([x]))

    for x in (4.0, -3.0, 9.0, -1.0):
        assert steep(x)[0] == f(np.array([x]))
        np.testing.assert_allclose(steep(x)[1], 1.5 * math.sqrt(x) if x > 0 else -2 * x)


def test_a_negative_number_to_a_fraction_is_complex():
    def f(a):
        return (a**0.5 * 1.0) ** 2.0

    compiled = odead.compile(f, 2.0)
    assert compiled.primal(2.0) == f(2.0)
    np.testing.assert_allclose(compiled.primal(-2.0), f(-2.0), rtol=1e-14)
    assert compiled.primal(3.0) == f(3.0)


@pytest.mark.parametrize("n", [1, 3, 50])
def test_the_side_of_an_if_that_is_not_taken_never_raises(n):
    def f(dx, x):
        for i in range(len(x)):
            if x[i] > 0:
                dx[i] = math.log(x[i]) / math.sqrt(x[i])
            elif x[i] < -5:
                dx[i] = math.exp(-x[i])
            else:
                dx[i] = 2.0 * x[i]

    x, rng = np.linspace(-7.0, 8.0, n), np.random.default_rng(1)
    compiled = odead.compile(f, np.zeros(n), x)
    for _ in range(5):
        x = rng.uniform(-9, 9, n)
        x[0] = 0.0
        dx, expected, dx_bar, x_bar = np.empty(n), np.empty(n), np.ones(n), np.zeros(n)
        f(expected, x)
        compiled.vjp((dx, x), None, (dx_bar, x_bar))
        np.testing.assert_allclose(dx, expected, rtol=1e-14)
        size = np.where(x > 0, x, 1.0)
        slope = np.where(x > 0, (1 - 0.5 * np.log(size)) / size**1.5, np.where(x < -5, -np.exp(-x), 2.0))
        np.testing.assert_allclose(x_bar, slope, rtol=1e-12)
    x[-1] = -800.0
    assert raised(compiled.primal, np.empty(n), x) == raised(f, np.empty(n), x) == (OverflowError, "math range error")


def test_arrays_are_as_they_were_after_the_exception():
    def f(x, y):
        x *= 2.0
        y[0] = math.sqrt(x[1])

    x, y, dx, dy = np.array([1.0, 2.0]), np.zeros(1), np.array([3.0, 4.0]), np.array([5.0])
    odead.autodiff(f, Duplicated(x, dx), Duplicated(y, dy))
    x, dx, dy = np.array([1.0, -2.0]), np.array([3.0, 4.0]), np.array([5.0])
    for mode in (odead.Reverse, odead.Forward):
        with pytest.raises(ValueError, match="math domain error"):
            odead.autodiff(mode, f, Const, Duplicated(x, dx), Duplicated(y, dy))
        assert (x.tolist(), dx.tolist(), dy.tolist()) == ([1.0, -2.0], [3.0, 4.0], [5.0])
    strided = np.array([1.0, 7.0, -2.0, 7.0])
    with pytest.raises(ValueError, match="math domain error"):
        odead.autodiff(f, Duplicated(strided[::2], dx), Duplicated(y, dy))
    assert strided.tolist() == [1.0, 7.0, -2.0, 7.0]


def test_a_solve_rejects_the_step_instead():
    def rhs(dx, x, p, t):
        dx[0] = -p[0] * math.sqrt(x[0])  # reaches 0 at t = 2 / p: trial steps go beyond

    result = odead.sensitivity(rhs, np.ones(1), np.array([1.0]), (0.0, 1.9), rtol=1e-4)
    np.testing.assert_allclose(result.y[0, -1], (1 - 0.95) ** 2, rtol=1e-2)


def test_what_is_asked_at_a_flag_is_rolled_too():
    def f(dx, x):
        for i in range(len(x)):
            if x[i] > 0:
                dx[i] = math.log(x[i])

    recorded = trace(f, (np.zeros(400), np.ones(400)))
    program = optimise(leaves_domain(recorded.program, recorded.domains))
    assert len(program) < 30
    assert Executable(program).run([np.zeros(400), np.linspace(-1, 1, 400)]) == -1
    with_guard = np.linspace(0.5, 1, 400)
    assert Executable(program).run([np.zeros(400), with_guard]) == -1
    assert WITHOUT_FLAG < DOMAINS


def test_a_value_that_nobody_needs_raises_too():
    def f(x):
        math.log(x[1])
        return math.log(x[0]) * 2.0

    assert odead.gradient(f, np.array([2.0, 1.0]))[0] == 1.0
    for x in ([2.0, -1.0], [-2.0, 1.0]):
        assert raised(odead.gradient, f, np.array(x)) == (ValueError, "math domain error")
        assert raised(odead.hvp, f, np.array(x), np.ones(2)) == (ValueError, "math domain error")
        assert raised(odead.hessian, f, np.array(x)) == (ValueError, "math domain error")


@pytest.mark.parametrize("name", sorted(op.name for op in TABLE.values() if op.numpy and "f" in op.kinds))
def test_other_operations_leave_the_flags_as_they_are(name):
    op = TABLE[name]

    def f(out, x, y):
        for i in range(len(x)):
            out[i] = math.sqrt(x[i])
        return op.function(*(y > 0.5 if op.name == "where" and not k else y for k in range(op.arity)))

    y = np.full(40, 1.5 if name == "arccosh" else 0.7)
    compiled = odead.compile(f, np.zeros(40), np.ones(40), y)
    compiled.primal(np.zeros(40), np.ones(40), y)
    x = np.ones(40)
    x[7] = -1.0
    assert raised(compiled.primal, np.zeros(40), x, y) == (ValueError, "math domain error")


# -------------------------------------------------------------------------------------------------------- random programs

_UNARY = (*(f for f in ONE if f not in (math.gamma, math.lgamma)), math.atan, math.fabs, operator.neg)
_BINARY = (*TWO, operator.add, operator.mul, operator.sub, math.hypot, math.atan2, max)
_NUMBERS = st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.0, 2.0, -3.5, 1e-300, 700.0, 1e200, INF, -INF, NAN])
_STEPS = st.lists(
    st.tuples(st.sampled_from((*_UNARY, *_BINARY)), st.integers(0, 20), st.integers(0, 20), st.booleans()),
    min_size=1,
    max_size=8,
)


def _program(steps):
    def f(a, b, c):
        values = [a, b, c]
        for function, i, j, branches in steps:
            x, y = values[i % len(values)], values[j % len(values)]
            if branches and not x > y:
                values.append(x)
            elif function in _UNARY:
                values.append(function(x))
            else:
                values.append(function(x, y))
        return values[-1]

    return f


def _outcome(f, *args):
    try:
        value = f(*args)
    except (ValueError, ArithmeticError) as error:
        return type(error)
    return value


def _is_quiet(steps, args):
    """Whether nothing but a finite number is divided by zero: such a division raises no flag."""

    class Divided(Exception):
        pass

    def careful(function):
        def call(x, y):
            if y == 0 and not math.isfinite(x):
                raise Divided
            return function(x, y)

        return call if function in (operator.truediv, operator.floordiv, operator.mod) else function

    try:
        _program([(careful(f) if f in _BINARY else f, *rest) for f, *rest in steps])(*args)
    except Divided:
        return False
    except (ValueError, ArithmeticError, TypeError):
        return True
    return True


@settings(max_examples=150, deadline=None)
@given(_STEPS, st.lists(st.tuples(_NUMBERS, _NUMBERS, _NUMBERS), min_size=1, max_size=5))
def test_random_programs_raise_what_python_raises(steps, points):
    f = _program(steps)
    try:
        compiled = odead.compile(f, 0.7, 1.3, 2.1)
        compiled.tape  # noqa: B018 - records it
    except (ValueError, ArithmeticError, TypeError):
        return
    for point in points:
        try:
            expected = _outcome(f, *point)
        except TypeError:  # complex numbers have no order
            continue
        if not _is_quiet(steps, point):
            continue
        found = _outcome(compiled.primal, *point)
        if isinstance(expected, type) or isinstance(found, type):
            assert found is expected, (point, found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-13, err_msg=str(point))
