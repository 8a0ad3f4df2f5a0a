"""Calls of primitives where programs have them: loops, in place, containers, closures, threads, second order."""

import concurrent.futures
import gc
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import odead
from odead import Active, BatchDuplicated, Const, Duplicated, autodiff, check_derivatives, check_rule, gradient, hessian

X = np.array([0.4, -0.7, 1.1])


def opaque(x):
    """The same values, by a way that no tracer follows."""
    return np.frombuffer(bytearray(np.asarray(x, dtype=float).tobytes())).reshape(np.shape(x))


@pytest.fixture
def wave():
    """sin(x) * c, with a rule made of NumPy."""

    @odead.primitive
    def wave(x, c):
        return np.sin(opaque(x)) * c

    @odead.rule(wave)
    def _(x, c):
        def pullback(bar):
            return bar * c * np.cos(x), lambda: (bar * np.sin(x)).sum()

        return wave(x, c), pullback

    check_rule(wave, X, 1.3)
    return wave


@pytest.fixture
def square_into():
    """out = c * x**2, in place."""

    @odead.primitive(writes=("out",))
    def square_into(out, x, c):
        out[:] = c * opaque(x) ** 2

    @odead.rule(square_into)
    def _(out, x, c):
        square_into(out, x, c)
        entry = x.copy()

        def pullback(out_bar):
            return None, 2 * c * entry * out_bar, (entry**2 * out_bar).sum()

        return None, pullback

    check_rule(square_into, np.zeros(3), X, 1.3)
    return square_into


def test_a_primitive_is_the_function_itself_on_ordinary_values(wave):
    assert_array_equal(wave(X, 2.0), np.sin(X) * 2.0)
    assert wave.__name__ == "wave"


def test_a_loop_returns_the_sum_over_its_calls_not_the_last(square_into):
    def loop(x):
        out, total = np.zeros(3), 0.0
        for c in (1.0, 2.0, 3.0, 4.0):
            square_into(out, x, c)
            total = total + out.sum()
        return total

    assert_allclose(gradient(loop, X), 10.0 * 2.0 * X)
    check_derivatives(loop, X)


def test_each_of_many_calls_has_its_own_saved_values(wave):
    def chain(x, c):
        for k in range(7):
            x = wave(x, c + k)
        return x @ x

    check_derivatives(chain, 0.1 * X, 0.6)


def test_second_order_differentiates_the_rule(wave):
    def energy(x):
        y = wave(wave(x, 1.3), 0.7)
        return y @ y

    found = hessian(energy, X)
    step = 1e-5
    columns = [(gradient(energy, X + step * e) - gradient(energy, X - step * e)) / (2 * step) for e in np.eye(3)]
    assert_allclose(found, columns, rtol=1e-6, atol=1e-8)
    assert_allclose(found, found.T, rtol=1e-12)


def test_third_order(wave):
    def third(x):
        return odead.hvp(lambda y: wave(y, 1.3).sum(), x, np.ones(3))

    assert_allclose(third(X), -1.3 * np.sin(X))


@pytest.mark.filterwarnings("error")
def test_one_application_per_output_warns_where_it_is_dear():
    @odead.primitive
    def spread(x):
        return np.full(20, opaque(x).sum())

    @odead.rule(spread)
    def _(x):
        return spread(x), lambda bar: (np.full(3, opaque(bar).sum()),)

    with pytest.warns(odead.OdeadWarning, match="20 applications"):
        check_rule(spread, X)


def test_arguments_and_scratch_overwritten_afterwards(wave, square_into):
    def f(x, work):
        y = wave(x, 2.0)
        square_into(work, x, 3.0)
        x[:] = 0.0
        z = wave(work, 1.0)
        work[:] = -1.0
        return (y * z).sum()

    check_derivatives(f, X, np.zeros(3))


def test_views_are_written(square_into):
    def f(out, x):
        square_into(out[1:4], x[::-1], 2.0)
        out[0] = out[1] * x[0]

    check_derivatives(f, np.zeros(5), X)


def test_write_into_the_operand_itself():
    @odead.primitive(writes=("x",))
    def double(x):
        x *= 2.0

    @odead.rule(double)
    def _(x):
        double(x)
        return None, lambda bar: (2.0 * bar,)

    check_rule(double, X)

    def f(x):
        double(x)
        x[1] = x[0] * x[2]
        double(x)
        return x.sum()

    check_derivatives(f, X)


class Pair(NamedTuple):
    left: float
    right: np.ndarray


def test_containers_keywords_and_several_outputs():
    @odead.primitive
    def mix(p, x, *, power=2):
        return Pair(float(p["a"] * opaque(x).sum()), p["b"][0] * opaque(x) ** power), [p["b"][1]]

    @odead.rule(mix)
    def _(p, x, *, power=2):
        value = mix(p, x, power=power)

        def pullback(bar):
            (left, right), (last,) = bar
            p_bar = {"a": left * x.sum(), "b": (lambda: (right * x**power).sum(), last)}
            return p_bar, left * p["a"] + right * p["b"][0] * power * x ** (power - 1)

        return value, pullback

    check_rule(mix, {"a": 0.3, "b": (1.7, 0.2)}, X)

    def f(p, x):
        (left, right), (last,) = mix(p, x, power=3)
        return left * right.sum() + last * x[0]

    check_derivatives(f, {"a": 0.3, "b": (1.7, 0.2)}, X)


def test_closures_and_methods():
    scale = np.array([2.0])

    class Law:
        def __init__(self, n):
            self.n = n

        @odead.primitive
        def value(self, x):
            return scale[0] * opaque(x) ** self.n

    @odead.rule(Law.value)
    def _(self, x):
        return Law.value(self, x), lambda bar: (None, bar * scale[0] * self.n * x ** (self.n - 1))

    law = Law(3)
    check_rule(Law.value, law, X)
    assert_allclose(gradient(lambda x: law.value(x).sum(), X), 6.0 * X**2)
    scale[0] = 5.0
    assert_allclose(gradient(lambda x: law.value(x).sum(), X), 15.0 * X**2)


def test_integers_and_booleans_are_operands():
    @odead.primitive
    def pick(x, index):
        return opaque(x)[index], bool(opaque(x)[index] > 0), int(index)

    @odead.rule(pick)
    def _(x, index):
        def pullback(bar):
            out = np.zeros(len(x))
            out[index] = bar[0]
            return out, None

        return pick(x, index), pullback

    check_rule(pick, X, 1)
    where = np.array([2])

    def f(x, where):
        value, positive, index = pick(x, where[0])
        return np.where(positive, value * x[0], 0.0) + 0.0 * index

    assert_allclose(gradient(f, X, where), [X[2], 0.0, X[0]])
    assert_allclose(gradient(f, X, np.array([0])), [2 * X[0], 0.0, 0.0])


def test_two_pullbacks_interleaved_and_repeated(wave):
    f = lambda x: wave(wave(x, 2.0), 3.0)  # noqa: E731
    _, first = odead.vjp(f, X)
    _, second = odead.vjp(f, 2.0 * X)
    bar = np.ones(3)
    alone = [odead.vjp(f, x)[1](bar)[0] for x in (X, 2.0 * X)]
    for _ in range(2):
        assert_array_equal(first(bar)[0], alone[0])
        assert_array_equal(second(bar)[0], alone[1])


def test_threads_do_not_share_pullbacks(wave):
    f = lambda x: wave(wave(x, 2.0), 3.0).sum()  # noqa: E731
    gradient(f, X)
    points = [X * (k + 1) for k in range(40)]
    expected = [gradient(f, x) for x in points]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found, exact in zip(pool.map(lambda x: gradient(f, x), points), expected, strict=True):
            assert_array_equal(found, exact)


@pytest.mark.unchecked("the rule of `wave`, seen from outside")
def test_pullbacks_do_not_pile_up():
    class Saved:
        count = 0

        def __init__(self):
            Saved.count += 1

        def __del__(self):
            Saved.count -= 1

    @odead.primitive
    def f(x):
        return opaque(x)

    @odead.rule(f)
    def _(x):
        saved = Saved()
        return f(x), lambda bar: (bar if saved else None,)

    for k in range(50):
        gradient(lambda x: f(x).sum(), X + k)
    g = lambda x: f(f(x)).sum()  # noqa: E731
    kept = [odead.vjp(g, X)[1] for _ in range(5)]
    for k in range(50):
        gradient(g, X + k)
    gc.collect()
    at_most = Saved.count
    for k in range(50):
        gradient(g, X + k)
    gc.collect()
    assert Saved.count <= at_most
    before = Saved.count
    kept.clear()
    gc.collect()
    assert before - Saved.count >= 10


def test_a_new_rule_is_used_by_what_was_derived_before(wave):
    f = lambda x: wave(x, 1.0).sum()  # noqa: E731
    assert_allclose(gradient(f, X), np.cos(X))

    @odead.rule(wave, mode=odead.Reverse, activity=(Duplicated, Const))
    def _(config, x, c):
        return wave(x, c), lambda bar: (100.0 * bar, None)

    assert_allclose(gradient(f, X), 100.0)


def test_body_is_traced_where_there_is_no_rule():
    @odead.primitive
    def cube(x):
        return x**3

    assert_allclose(gradient(lambda x: cube(x).sum(), X), 3 * X**2)
    assert_allclose(hessian(lambda x: cube(x).sum(), X), np.diag(6 * X))


def test_body_is_traced_where_only_a_specific_rule_is():
    @odead.primitive
    def product(x, y):
        return x * y

    @odead.rule(product, mode=odead.Reverse, activity=(Duplicated, Const))
    def _(config, x, y):
        return x * y, lambda bar: (bar * y, None)

    check_rule(product, X, X + 1)
    assert_allclose(gradient(lambda x, y: product(x, y).sum(), X, X + 1, wrt=(0, 1))[1], X)


def test_finite_differences_where_opted_in():
    @odead.primitive(finite_differences=True)
    def f(x, c):
        return np.sin(opaque(x)) * c

    check_derivatives(lambda x, c: f(x, c) ** 2, X, 1.2, rtol=1e-5)
    assert "finite differences" in str(odead.explain(lambda x: f(x, 1.2).sum(), Duplicated(X, np.zeros(3))))


def test_inactive():
    @odead.inactive
    def steps(x):
        return np.floor(opaque(x) * 10)

    assert_array_equal(gradient(lambda x: (steps(x) * x).sum(), X), np.floor(X * 10))

    @odead.primitive
    def look_up(table, x):
        return table[0] * opaque(x)

    @odead.rule(look_up)
    def _(table, x):
        def wrong():
            raise AssertionError("asked for the derivative of an inactive argument")

        return look_up(table, x), lambda bar: (wrong, table[0] * bar)

    odead.inactive(look_up, args=("table",))
    f = lambda table, x: look_up(table, x).sum()  # noqa: E731
    assert_array_equal(gradient(f, np.ones(2), X, wrt=(0, 1))[0], np.zeros(2))
    check_rule(odead.primitive(lambda x: x), X)  # of what remains active, nothing is left to check beside the line below
    check_derivatives(lambda x: look_up(np.array([3.0, 1.0]), x), X)


test_inactive = pytest.mark.unchecked("its derivative is zero by decree, which differences do not know")(test_inactive)


def test_stop_gradient():
    assert_array_equal(gradient(lambda x: (odead.stop_gradient(x) * x).sum(), X), X)
    assert gradient(lambda c: odead.stop_gradient({"c": c})["c"] * c, 2.0) == 2.0
    assert_array_equal(odead.stop_gradient([X, 1.0])[0], X)


def test_easy_rule():
    @odead.primitive
    def f(x, p):
        return opaque(x) ** 2 * p

    odead.easy_rule(f, partials=("2*p*x", "x**2"))
    check_rule(f, X, 1.3)
    check_rule(f, 0.7, 1.3)
    check_rule(f, X, np.array([[0.5], [2.0]]))
    assert_allclose(hessian(lambda x: f(x, 1.3).sum(), X), np.diag(np.full(3, 2.6)))


def test_exceptions_of_the_function_pass_unchanged(wave):
    @odead.primitive
    def picky(x):
        if opaque(x)[0] > 1:
            raise KeyError("too large")
        return opaque(x)

    @odead.rule(picky)
    def _(x):
        return picky(x), lambda bar: (bar,)

    check_rule(picky, X)
    f = lambda x: picky(x).sum()  # noqa: E731
    gradient(f, X)
    entry = np.array([2.0, 0.0, 0.0])
    with pytest.raises(KeyError, match="too large"):
        gradient(f, entry)
    assert_allclose(gradient(f, X), 1.0)


def test_constant_arguments_are_not_recorded(wave):
    def f(x):
        return wave(np.linspace(0.0, 1.0, 3), 2.0) @ x

    assert "call" not in str(odead.compile(f, X).tape)
    assert_allclose(gradient(f, X), 2 * np.sin(np.linspace(0.0, 1.0, 3)))


def test_explain_prints_lines_shapes_activity_and_resolution(wave):
    def f(x, c):
        y = wave(x, c)
        if y[0] > -10:
            y = y * 2.0
        return y.sum()

    report = odead.explain(f, Duplicated(X, np.zeros(3)), Const(1.0))
    text = str(report)
    assert "test_calls.py" in text
    assert "guards" in text
    assert "the default reverse rule" in text
    assert len(report.calls) == 1
    assert any(operation.active for operation in report.operations)


def test_autodiff_of_a_primitive_itself(wave):
    shadow = np.zeros(3)
    result = autodiff(lambda x, c: wave(x, c).sum(), Duplicated(X, shadow), Active(2.0))
    assert_allclose(shadow, 2.0 * np.cos(X))
    assert_allclose(result[1], np.sin(X).sum())


def test_rules_for_batches_take_all_lanes_at_once(square_into):
    lanes = []

    @odead.primitive
    def cube(x, c):
        return c * opaque(x) ** 3

    @odead.rule(cube)
    def _(x, c):
        return cube(x, c), lambda bar: (3 * c * x**2 * bar, lambda: (x**3 * bar).sum())

    check_rule(cube, X, 1.3)

    @odead.rule(cube, mode=odead.Reverse, activity=(BatchDuplicated, Const))
    def _(config, x, c):
        def pullback(bars):
            lanes.append((config.width, bars.shape))
            return 3 * c * x**2 * bars, None

        return cube(x, c), pullback

    @odead.rule(cube, mode=odead.Forward, activity=(BatchDuplicated, Const))
    def _(config, x, c):
        lanes.append((config.width, x.dval.shape))
        return cube(x.val, c.val), 3 * c.val * x.val**2 * x.dval

    check_rule(cube, X, 1.3)
    assert lanes.count((2, (2, 3))) >= 2
    assert_allclose(odead.jacobian(cube, X, 1.3), np.diag(3.9 * X**2))
    assert_allclose(gradient(lambda x: cube(x, 1.3).sum(), X), 3.9 * X**2)

    @odead.rule(square_into, mode=odead.Forward, activity=(BatchDuplicated, BatchDuplicated, BatchDuplicated))
    def _(config, out, x, c):
        square_into(out.val, x.val, c.val)
        slope = np.asarray(c.dval).reshape(-1, 1) * x.val**2
        out.dval[:] = 2 * c.val * x.val * x.dval + slope

    check_rule(square_into, np.zeros(3), X, 1.3)


def test_the_tangent_of_a_constant_is_zero():
    """Made inside, captured, or written out, alone and in a batch: a rule need not ask what it is given."""

    @odead.primitive
    def scaled(x, c, s):
        return opaque(x) * opaque(c) * s

    @odead.frule(scaled)
    def _(primals, tangents):
        x, c, s = primals
        dx, dc, ds = tangents
        return scaled(x, c, s), dx * c * s + x * dc * s + x * c * ds

    check_rule(scaled, X, X + 2, 1.5)
    outside = np.array([1.0, 2.0, 3.0])
    for f in (
        lambda x: scaled(x, np.array([1.0, 2.0, 3.0]), 2.0).sum(),
        lambda x: scaled(x, outside, 2.0).sum(),
        lambda x: scaled(np.array([1.0, 2.0, 3.0]), x, 2.0).sum(),
    ):
        for mode in (odead.Forward, odead.Reverse):
            assert_allclose(gradient(f, X, mode=mode), [2.0, 4.0, 6.0])
