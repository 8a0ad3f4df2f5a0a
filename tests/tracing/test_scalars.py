"""Numbers: Python's and NumPy's arithmetic, math, builtins, and the branches that are guarded."""
# ruff: noqa: E501  (a table of expressions)

import builtins
import math
from math import erf, exp, pi
from math import log as ln

import numpy as np
import pytest

from odead.execute import reference
from odead.tracing.trace import trace

EXPRESSIONS = """
a + b; a - b; a * b; a / b; a // b; a % b; a ** b; a ** 2; 2 ** a; -a; +a; abs(-a); 3 - a; 2 / a; 7 // a; 7 % a; divmod(a, b); a - 1; 1 * a
math.exp(a); math.expm1(a); math.log(a); math.log(a, 2); math.log(a, b); math.log2(a); math.log10(a); math.log1p(a); math.sqrt(a); math.sin(a); math.cos(a)
math.tan(a); math.asin(a / 9); math.acos(a / 9); math.atan(a); math.atan2(a, b); math.sinh(a); math.cosh(a); math.tanh(a); math.asinh(a); math.acosh(a + 1); math.atanh(a / 9)
math.erf(a); math.erfc(a); math.fabs(-a); math.pow(a, b); math.pow(a, 2); math.hypot(a, b); math.hypot(a, b, 1.0); math.fmod(a, b); math.copysign(a, -1); math.degrees(a)
math.radians(a); math.exp2(a); math.cbrt(a); math.fsum([a, b, 1.0]); math.prod([a, b]); math.dist([a, b], [1.0, 2.0]); math.modf(a); math.remainder(a, b); math.floor(a); math.ceil(a)
math.trunc(a); math.isnan(a); math.isinf(a); math.isfinite(a); math.isclose(a, b); math.pi * a; exp(a) * pi; erf(a) + ln(b); math.e ** a; math.inf > a
max(a, b); min(a, b); max(a, 0.0); max(0.0, a); min(a, b, 1.0) + a; max([a, b]); max(a, b, key=lambda v: -v); sum([a, b]); round(a); round(np.float64(a), 1); pow(a, 2); int(a); float(a); bool(a)
isinstance(a, float); isinstance(a, (int, float)); isinstance(a, int); sorted([b, a]); a == b; a != b; a < b; (a < b) + (b < 9); (a < b) * 2.5; not a; a and b; a or b; 0 < a < 9
f'{a > 0}'; a.real; a.imag; a.conjugate(); a == None; [a, b].index(b); a in (a, b); np.exp(a); np.where(a > 1, a, b); np.maximum(a, b); np.hypot(a, b); np.sum([a, b]) + 0.0
np.array([a, b]); np.float64(a) * 2; np.sqrt(2.0) * a; a * np.sqrt(2.0); np.array([1.0, 2.0]) * a; a * np.array([1.0, 2.0]); [1.0, a][1]; (lambda s: s * s)(a); [v * b for v in (a, 2.0)]
np.asarray(a) + 1; np.isscalar(a); np.ndim(a); np.shape(a); np.zeros(int(a)); list(range(int(a))); float('inf') > a; float(3) * a; float.fromhex('0x1p1') * a; isinstance(1, float); type(a) == float; type(a) is float; type(a) is np.float64; type([a]) is list; isinstance(float, type)
""".strip()

NAMES = {"np": np, "math": math, "exp": exp, "erf": erf, "ln": ln, "pi": pi, "__builtins__": vars(builtins)}


@pytest.mark.parametrize("kind", [float, np.float64])
@pytest.mark.parametrize("expression", [e.strip() for line in EXPRESSIONS.splitlines() for e in line.split("; ")])
def test_expression(replays, expression, kind):
    replays(eval(f"lambda a, b: {expression}", NAMES), kind(2.3), kind(1.7))


def test_elements_of_arrays_are_numpy_numbers(replays):
    def f(x):
        s = x[0]
        return (
            s.dtype.name,
            s.shape,
            s.ndim,
            s.size,
            s.item(),
            s.copy(),
            s.astype(int),
            s[()],
            s.sum(),
            s.reshape(1),
            s.max(),
            s.T,
        )

    replays(f, np.array([2.5, 1.0]))


def branches(x):
    if x[0] > x[1] and x[1] < 5:
        return x[0] * 2
    return x[1] if not x.any() else x.sum()


def halve(x):
    n = 0
    while x > 1.0:
        x = x / 2
        n += 1
    return x, n


def looked_up(t):
    return LIST[int(t / 0.5)] * t + LIST[math.floor(t)] + LIST[round(t)]


LIST = [1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 49.0]  # asks for the index itself, as an array does not


@pytest.mark.parametrize(("f", "here", "there"), [
    (branches, np.array([3.0, 2.0]), np.array([2.0, 3.0])),
    (halve, 5.0, 9.0),
    (looked_up, 2.2, 1.2),
    (lambda x: x[1:][x[0] > 2], np.array([3.0, 2.0]), np.array([1.0, 2.0])),
    (lambda x: x[x > 2.5], np.array([3.0, 2.0]), np.array([3.0, 4.0])),
    (lambda x: LIST[np.argmax(x)] * x, np.array([3.0, 2.0]), np.array([2.0, 4.0])),
])  # fmt: skip
def test_a_guard_stops_another_branch_and_changes_nothing(replays, f, here, there):
    recorded = replays(f, here)
    assert len(recorded.guards) >= 1
    arrays = [np.copy(there)] + [np.full(recorded.program.buffers[b].shape, 77.0) for b in recorded.program.results]
    assert reference.run(recorded.program, arrays) >= 0
    np.testing.assert_array_equal(arrays[0], there)


def test_shapes_from_traced_integers_are_guarded(replays):
    recorded = replays(
        lambda n: (np.zeros(n[0]), np.ones((n[1], 2)), np.full(n[0], 2.0), np.zeros((2, 3)).reshape(n[1], -1)), np.array([2, 3])
    )
    assert set(recorded.guards) == {2, 3}
    with pytest.raises(TypeError, match="not iterable"):
        trace(lambda n: list(n[0]), (np.array([2]),))


def test_guards_list_outcomes_in_order():
    assert trace(halve, (5.0,)).guards == (True, True, True, False)
    assert trace(looked_up, (2.2,)).guards == (True, 4, True, 2, True, 2)


def test_a_bool_asked_twice_is_guarded_once():
    def f(x):
        positive = x > 0
        return x if positive and positive else -x

    assert trace(f, (1.0,)).guards == (True,)


def test_selections_are_not_branches(replays):
    def f(x):
        return max(x[0], x[1]), min(x[0], 0.0) + x[0], abs(x[1]), np.where(x > 0, x, -x), np.clip(x, 0, 1)

    assert replays(f, np.array([1.0, -2.0]), at=(np.array([-3.0, 5.0]),)).guards == ()


@pytest.mark.parametrize(("first", "second"), [(math.nan, 1.0), (1.0, math.nan), (1.0, 1.0), (-0.0, 0.0)])
def test_max_and_min_treat_nan_as_python(replays, first, second):
    recorded = trace(lambda a, b: (max(a, b), min(a, b), max(a, 0.5), max(0.5, b), min(0.5, a), min(b, 0.5)), (1.5, 2.5))
    results = [np.zeros(()) for _ in range(6)]
    assert reference.run(recorded.program, [first, second, *results]) == -1
    a, b = first, second
    np.testing.assert_array_equal(results, [max(a, b), min(a, b), max(a, 0.5), max(0.5, b), min(0.5, a), min(b, 0.5)])


@pytest.mark.parametrize(("f", "error"), [
    (lambda a: a / 0, ZeroDivisionError), (lambda a: a % 0, ZeroDivisionError), (lambda a: math.log(-a), ValueError),
    (lambda a: math.exp(1e6 * a), OverflowError), (lambda a: range(a), TypeError), (lambda a: a + "x", TypeError),
    (lambda a: a[0], TypeError), (lambda a: a.nothing, AttributeError), (lambda a: {a: 1}, TypeError), (lambda a: len(a), TypeError),
])  # fmt: skip
def test_errors_of_python_pass_unchanged(f, error):
    with pytest.raises(error):
        trace(f, (2.0,))


def test_numpy_numbers_warn_instead_of_raising():
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        trace(lambda x: x[0] / 0, (np.ones(1),))
