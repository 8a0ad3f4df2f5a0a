"""What a function has captured: arrays are read at each call, numbers are never stale, scratch stays private, threads apart."""

import functools
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

import odead
from odead import Active, Const, Duplicated, Forward, Reverse, ReverseWithPrimal, autodiff

RATE = 2.0
GAINS = np.array([1.0, 2.0, 3.0])
SCRATCH = np.zeros(8)
SETTINGS = {"power": 2, "gain": 1.0}
X = np.array([0.5, -1.0, 2.0])


def weighted(x):
    return RATE * (GAINS * x * x).sum()


def helper(x):
    return RATE * x


def through_a_helper(x):
    return helper(x).sum() ** 2


def scratched(x):
    SCRATCH[: len(x)] = np.sin(x)
    SCRATCH[1 : len(x)] += SCRATCH[: len(x) - 1] * x[1:]
    return SCRATCH[: len(x)].sum()


def set_up(x):
    return SETTINGS["gain"] * (x ** SETTINGS["power"]).sum()


def gradients(f, x):
    """By every call that keeps a kernel."""
    d_x = np.zeros_like(x)
    autodiff(Reverse, f, Duplicated(x, d_x))
    unit = [autodiff(Forward, f, Duplicated(x, e)) for e in np.eye(len(x))]
    compiled = odead.compile(f, x)
    return [d_x, np.array(unit), odead.gradient(f, x), odead.jacobian(f, x), compiled.vjp((x,), 1.0)[0]]


def same(found, expected):
    for gradient in found:
        assert_allclose(gradient, expected, rtol=1e-13)


# -------------------------------------------------------------------------------------------- numbers and arrays


def test_a_global_number_is_never_stale(monkeypatch):
    for rate in (2.0, 3.0, 2.0):
        monkeypatch.setitem(globals(), "RATE", rate)
        same(gradients(weighted, X), 2 * rate * GAINS * X)
        same(gradients(through_a_helper, X), np.full(3, 2 * rate**2 * X.sum()))


def test_a_global_array_is_read_at_each_call(monkeypatch):
    monkeypatch.setitem(globals(), "GAINS", GAINS.copy())
    compiled = odead.compile(weighted, X)
    for factor in (1.0, 5.0):
        GAINS[:] = factor
        same(gradients(weighted, X), 2 * RATE * factor * X)
        assert_allclose(compiled.vjp((X,), 1.0)[0], 2 * RATE * factor * X)
    monkeypatch.setitem(globals(), "GAINS", np.array([0.0, 1.0, 0.0]))  # another array under the same name
    same(gradients(weighted, X), 2 * RATE * np.array([0.0, 1.0, 0.0]) * X)


def test_a_helper_that_is_replaced(monkeypatch):
    monkeypatch.setitem(globals(), "helper", lambda x: 3 * x)
    same(gradients(through_a_helper, X), np.full(3, 18 * X.sum()))
    monkeypatch.setitem(globals(), "helper", lambda x: 5 * x)
    same(gradients(through_a_helper, X), np.full(3, 50 * X.sum()))


def test_settings_in_a_dict(monkeypatch):
    for power, gain in ((2, 1.0), (3, 1.0), (3, 4.0)):
        monkeypatch.setitem(SETTINGS, "power", power)
        monkeypatch.setitem(SETTINGS, "gain", gain)
        same(gradients(set_up, X), gain * power * X ** (power - 1))


def test_numbers_and_arrays_of_a_closure():
    def make():
        rate, table = 2.0, np.array([1.0, 0.0, 1.0])

        def f(x):
            return rate * (table * x).sum()

        def change(new):
            nonlocal rate
            rate = new

        return f, change, table

    f, change, table = make()
    same(gradients(f, X), [2.0, 0.0, 2.0])
    change(3.0)
    same(gradients(f, X), [3.0, 0.0, 3.0])
    table[:] = 1.0
    same(gradients(f, X), [3.0, 3.0, 3.0])


def test_the_loop_variable_of_closures():
    functions = [lambda x, k=k: x[k] ** 2 for k in range(3)] + [functools.partial(lambda k, x: x[k] ** 2, k) for k in range(3)]
    for k, f in enumerate(functions):
        same(gradients(f, X), 2 * X * np.eye(3)[k % 3])


def test_a_captured_argument_is_the_argument():
    x = X.copy()

    def f(y):
        return (x * y).sum()

    assert_allclose(odead.gradient(f, np.ones(3)), x)
    x[:] = 7.0
    assert_allclose(odead.gradient(f, np.ones(3)), 7.0)


# -------------------------------------------------------------------------------------------- objects


class Decay:
    """A model as scientists write them: parameters, a table and scratch as attributes."""

    def __init__(self, rate, n):
        self.rate, self.work, self.table = rate, np.zeros(n), np.linspace(0.0, 1.0, n)

    def __call__(self, x):
        return self.energy(x) + self.rate

    def energy(self, x):
        self.work[:] = self.table * x
        self.work *= self.rate
        return (self.work * x).sum()

    @property
    def double(self):
        return 2 * self.rate

    def by_property(self, x):
        return self.double * x.sum()


@pytest.mark.parametrize(
    "pick", [lambda m: m, lambda m: m.energy, lambda m: lambda x: m.energy(x)], ids=["object", "method", "inner"]
)
def test_methods_with_scratch(pick):
    model = Decay(3.0, 3)
    f = pick(model)
    same(gradients(f, X), 2 * 3.0 * model.table * X)
    model.rate = 4.0
    same(gradients(f, X), 2 * 4.0 * model.table * X)
    model.table[:] = 2.0
    same(gradients(f, X), 16.0 * X)


def test_properties_are_never_stale():
    model = Decay(3.0, 3)
    same(gradients(model.by_property, X), np.full(3, 6.0))
    model.rate = 5.0
    same(gradients(model.by_property, X), np.full(3, 10.0))


def test_two_objects_of_a_class():
    one, two = Decay(1.0, 3), Decay(2.0, 3)
    for _ in range(2):
        same(gradients(one.energy, X), 2 * one.table * X)
        same(gradients(two.energy, X), 4 * two.table * X)


# -------------------------------------------------------------------------------------------- scratch


def test_global_scratch():
    def plain(x):
        return np.sin(x[0]) + np.sin(x[1]) + np.sin(x[0]) * x[1] + np.sin(x[2]) + np.sin(x[1]) * x[2]

    expected = odead.gradient(plain, X)
    SCRATCH[:] = np.nan  # what is in it at entry does not matter
    same(gradients(scratched, X), expected)
    d_x = np.zeros(3)
    autodiff(Const(scratched), Active, Duplicated(X.copy(), d_x))
    assert_allclose(d_x, expected, rtol=1e-13)
    same(gradients(scratched, X + 1), odead.gradient(plain, X + 1))


def test_scratch_that_is_updated_by_an_operator(monkeypatch):
    work, items, table = np.zeros(3), [np.zeros(3)], {"a": np.zeros(3)}

    def f(x):
        nonlocal work
        global SCRATCH
        SCRATCH[:3] = work[:] = items[0][:] = table["a"][:] = x
        SCRATCH *= 2
        work *= x
        items[0] *= 3
        table["a"] **= 3
        return (SCRATCH[:3] + work + items[0] + table["a"]).sum()

    with pytest.raises(odead.TracingError, match="SCRATCH"):  # five of its elements keep values from call to call
        odead.gradient(f, X)
    monkeypatch.setitem(globals(), "SCRATCH", np.zeros(3))
    same(gradients(f, X), 5 + 2 * X + 3 * X**2)


def test_const_of_a_function():
    d_x = np.zeros(3)
    result = autodiff(ReverseWithPrimal, Const(weighted), Active, Duplicated(X, d_x))
    assert_allclose(result.value, weighted(X), rtol=1e-15)
    assert_allclose(d_x, 2 * RATE * GAINS * X, rtol=1e-13)


def test_scratch_that_carries_values_from_call_to_call_is_refused():
    total = np.zeros(1)

    def f(x):
        total[0] += x.sum()
        return total[0]

    with pytest.raises(odead.TracingError, match=r"test_callables\.py:\d+.*total"):
        autodiff(f, Duplicated(X, np.zeros(3)))
    assert_array_equal(total, 0.0)


# -------------------------------------------------------------------------------------------- threads


def test_threads_that_record_and_run_at_once():
    """Each its own functions, and one shared by all, whose branches differ between them."""

    def shared(x):
        if x[0] > 0:
            return (x**2).sum()
        return (x**3).sum()

    start = threading.Barrier(4)

    def work(number):
        rng = np.random.default_rng(number)
        start.wait()
        for k in range(12):
            scale = number + k / 7

            def own(x, scale=scale):
                total = 0.0
                for i in range(len(x)):
                    total += math.sin(scale * x[i]) * x[i - 1]
                return total

            x = rng.normal(size=5)
            expected = scale * np.cos(scale * x) * np.roll(x, 1) + np.roll(np.sin(scale * x), -1)
            for _ in range(2):
                assert_allclose(odead.gradient(own, x), expected, rtol=1e-12, atol=1e-13)
            for _ in range(5):
                x = rng.normal(size=5)
                d_x = np.zeros(5)
                autodiff(shared, Duplicated(x, d_x))
                assert_allclose(d_x, 2 * x if x[0] > 0 else 3 * x**2, rtol=1e-13)
                assert_allclose(odead.gradient(shared, x), d_x, rtol=1e-13)
        return number

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [0, 1, 2, 3]


def test_threads_share_a_function_with_scratch():
    def work(seed):
        for x in np.random.default_rng(seed).normal(size=(40, 3)):
            expected = np.array([
                np.cos(x[0]) * (1 + x[1]),
                np.cos(x[1]) * (1 + x[2]) + np.sin(x[0]),
                np.cos(x[2]) + np.sin(x[1]),
            ])  # fmt: skip
            d_x = np.zeros(3)
            autodiff(scratched, Duplicated(x, d_x))
            assert_allclose(d_x, expected, rtol=1e-12, atol=1e-13)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))


def test_pullbacks_of_one_function_are_apart():
    def f(x):
        x *= x
        return np.cumsum(x)

    xs = [np.random.default_rng(k).normal(size=4) for k in range(6)]
    pullbacks = [odead.vjp(f, x)[1] for x in xs]
    c = np.arange(1.0, 5.0)
    expected = [2 * x * np.cumsum(c[::-1])[::-1] for x in xs]
    for x in xs:
        x[:] = np.nan
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for found, right in zip(pool.map(lambda pullback: pullback(c)[0], pullbacks), expected, strict=True):
                assert_allclose(found, right, rtol=1e-13)


@dataclass
class Weighted:
    """Has no hash, as dataclasses that are not frozen."""

    weights: np.ndarray
    power: int = 3

    def __call__(self, x):
        return (self.weights * x**self.power).sum()


class Named:
    """Equals all others of its name, whatever they hold."""

    def __init__(self, name, weights):
        self.name, self.weights = name, weights

    def __eq__(self, other):
        return isinstance(other, Named) and other.name == self.name

    def __hash__(self):
        return hash(self.name)

    def __call__(self, x):
        return (self.weights * x).sum()


def test_objects_without_a_hash():
    f, x = Weighted(np.array([1.0, 2.0])), np.array([0.5, 1.5])
    dx = np.zeros(2)

    def slope(y):
        return odead.gradient(f, y)

    for scale in (1.0, 7.0):  # the array is read at each call, also inside
        f.weights[:] = [scale, 2 * scale]
        assert_allclose(odead.gradient(f, x), 3 * f.weights * x**2)
        assert_allclose(odead.hessian(f, x), np.diag(6 * f.weights * x))
        assert_allclose(odead.jacobian(lambda y: odead.gradient(f, y), x), np.diag(6 * f.weights * x))
        assert_allclose(odead.jacobian(slope, x), np.diag(6 * f.weights * x))
        assert odead.autodiff(odead.Forward, f, odead.Duplicated(x, np.ones(2))) == pytest.approx((3 * f.weights * x**2).sum())
        dx[:] = 0.0
        odead.autodiff(f, odead.Active, odead.Duplicated(x, dx))
        assert_allclose(dx, 3 * f.weights * x**2)


def test_a_changed_number_of_a_dataclass_is_noticed_inside():
    f, x = Weighted(np.ones(2)), np.array([0.5, 1.5])

    def slope(y):
        return odead.gradient(f, y)

    for power in (3, 2, 4):
        f.power = power
        assert_allclose(odead.jacobian(slope, x), np.diag(power * (power - 1) * x ** (power - 2)))


def test_objects_that_are_equal_but_hold_other_arrays():
    one, two = Named("a", np.array([1.0, 2.0])), Named("a", np.array([5.0, 6.0]))
    for f in (one, two, one):
        dx = np.zeros(2)
        odead.autodiff(f, odead.Active, odead.Duplicated(np.ones(2), dx))
        assert_allclose(dx, f.weights)
        assert_allclose(odead.gradient(f, np.ones(2)), f.weights)
        assert_allclose(odead.gradient(lambda x, f=f: odead.gradient(f, x * x) @ x, np.ones(2)), f.weights)


class Shaped:
    gain = 2.0

    def __call__(self, x):
        return np.sum(x) * self.gain * getattr(self, "late", 1.0) * (3.0 if hasattr(self, "later") else 1.0)


def test_attributes_that_an_object_is_given_later():
    model = Shaped()
    assert_array_equal(odead.gradient(model, X), np.full(3, 2.0))
    model.late = 5.0
    assert_array_equal(odead.gradient(model, X), np.full(3, 10.0))
    model.later = None
    assert_array_equal(odead.gradient(model, X), np.full(3, 30.0))
    model.gain = 1.0  # in front of that of the class
    assert_array_equal(odead.gradient(model, X), np.full(3, 15.0))
    del model.late, model.later
    assert_array_equal(odead.gradient(model, X), np.ones(3))


def test_functions_that_are_changed_in_place_as_by_autoreload():
    def inner(x, factor=1.0):
        return factor * x

    def outer(x):
        return np.sum(inner(x))

    assert_array_equal(odead.gradient(outer, X), np.ones(3))
    inner.__defaults__ = (4.0,)
    assert_array_equal(odead.gradient(outer, X), np.full(3, 4.0))
    inner.__code__ = (lambda x, factor=1.0: 2.0 * factor * x).__code__
    assert_array_equal(odead.gradient(outer, X), np.full(3, 8.0))


@pytest.mark.parametrize("kind", ["dok", "lil", "coo", "csr"])
def test_numbers_put_into_a_sparse_matrix(kind):
    matrix = sparse.eye(3).asformat(kind)

    def f(x):
        return np.sum(matrix @ x)

    assert_array_equal(odead.gradient(f, X), np.ones(3))
    if kind in ("coo", "csr"):
        matrix.data[0] = 5.0
    else:
        matrix[0, 0] = 5.0
    assert_array_equal(odead.gradient(f, X), [5.0, 1.0, 1.0])
