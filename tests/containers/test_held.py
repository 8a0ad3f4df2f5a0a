"""Functions and objects that hold arrays, and shadows for them: `Duplicated(f, make_zero(f))`, `Const(f)`, a bare f."""

import dataclasses
import functools
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import odead
from odead import (
    Active,
    BatchDuplicated,
    Const,
    Duplicated,
    Forward,
    ForwardWithPrimal,
    Reverse,
    ReverseWithPrimal,
    autodiff,
    make_zero,
)

X = np.array([0.5, -1.0, 2.0])
OUT = np.zeros(3)


def closure():
    weights, rate, work = np.array([1.0, 2.0, 3.0]), 2.0, np.zeros(3)

    def f(x):
        work[:] = weights * x
        work[1:] += work[:-1] * x[1:]
        return rate * work.sum()

    return f


class Model:
    def __init__(self):
        self.weights, self.rate, self.work = np.array([1.0, 2.0, 3.0]), 2.0, np.zeros(3)
        self.name = "model"

    def __call__(self, x):
        self.work[:] = self.weights * x
        self.work[1:] += self.work[:-1] * x[1:]
        return self.rate * self.work.sum()

    def method(self, x):
        return self(x)


def plain(weights, rate, x):
    work = weights * x
    work = np.concatenate([work[:1], work[1:] + work[:-1] * x[1:]])
    return rate * work.sum()


HOLDERS = {
    "closure": (closure, lambda f: [cell.cell_contents for cell in f.__closure__]),
    "object": (Model, lambda f: [f.rate, f.weights, f.work]),
    "method": (lambda: Model().method, lambda f: [f.__self__.rate, f.__self__.weights, f.__self__.work]),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_reverse_forward_and_batch_agree_with_the_function_of_all_arguments(kind):
    make, read = HOLDERS[kind]
    weights, rate = np.array([1.0, 2.0, 3.0]), 2.0
    d_weights, d_rate, d_x = odead.gradient(plain, weights, rate, X, wrt=(0, 1, 2))
    f = make()
    df, dx = make_zero(f), np.zeros(3)
    result = autodiff(ReverseWithPrimal, Duplicated(f, df), Active, Duplicated(X, dx))
    assert_allclose(result.value, plain(weights, rate, X), rtol=1e-15)
    assert_allclose(dx, d_x, rtol=1e-13)
    found = read(df)
    assert_allclose(found[0], d_rate, rtol=1e-13)
    assert_allclose(found[1], d_weights, rtol=1e-13)
    assert_array_equal(found[2], 0.0)  # written before it is read
    assert_array_equal(read(f)[2], np.array([0.5, -2.0 - 0.5, 6.0 - 4.0]))  # as the plain call leaves it
    autodiff(Duplicated(f, df), Active, Duplicated(X, dx))  # two calls add up
    assert_allclose(read(df)[1], 2 * d_weights, rtol=1e-13)

    lanes = []
    for k in range(3):
        shadow = make_zero(f)
        read(shadow)[1][k] = 1.0
        lanes.append(shadow)
        alone = make_zero(f)
        read(alone)[1][k] = 1.0
        tangent = autodiff(Forward, Duplicated(f, alone), Duplicated(X, np.zeros(3)))
        assert_allclose(tangent, d_weights[k], rtol=1e-13)
    batch = autodiff(Forward, BatchDuplicated(f, tuple(lanes)), BatchDuplicated(X, tuple(np.zeros((3, 3)))))
    assert_allclose(batch, d_weights, rtol=1e-13)


def test_an_array_that_the_function_changes_carries_its_derivative():
    def make():
        total = np.array([3.0])

        def f(x):
            total[0] *= x.sum()
            return None

        return f, total

    f, total = make()
    df = make_zero(f)
    shadow = df.__closure__[0].cell_contents
    shadow[0] = 5.0
    dx = np.zeros(3)
    autodiff(Duplicated(f, df), Duplicated(X, dx))
    assert_allclose(total, 3 * X.sum())
    assert_allclose(shadow, 5 * X.sum())
    assert_allclose(dx, 5 * 3.0)
    result = autodiff(ForwardWithPrimal, Duplicated(f, df), Duplicated(X, np.ones(3)))
    assert result.value is None
    assert_allclose(total, 3 * X.sum() ** 2)
    assert_allclose(shadow, 5 * X.sum() ** 2 + 3 * X.sum() * 3)


def test_const_of_a_function_follows_its_scratch():
    def make():
        total = np.zeros(1)

        def f(x):
            total[0] += (x**2).sum()
            return total[0]

        return f, total

    f, total = make()
    with pytest.raises(odead.TracingError, match="total"):
        autodiff(f, Active, Duplicated(X, np.zeros(3)))
    dx = np.zeros(3)
    for k in range(3):
        result = autodiff(ReverseWithPrimal, Const(f), Active, Duplicated(X, dx))
        assert_allclose(result.value, (k + 1) * (X**2).sum())
        assert_allclose(dx, 2 * X * (k + 1))
    assert_allclose(total, 3 * (X**2).sum())


def test_a_bare_function_that_writes_results_into_what_it_holds_is_refused():
    held = np.zeros(3)

    def f(x):
        held[:] = x**2

    def to_global(x):
        OUT[:] = x**2

    dx = np.ones(3)
    with pytest.raises(odead.OdeadError, match=r"(?s)held at .*test_held\.py:\d+.*Duplicated\(f, odead\.make_zero\(f\)\)"):
        autodiff(f, Duplicated(X, dx))
    with pytest.raises(TypeError, match=r"OUT.*pass a global array as an argument"):
        autodiff(Forward, to_global, Duplicated(X, dx))
    assert_array_equal(dx, 1.0)
    assert_array_equal(held, 0.0)
    autodiff(Const(f), Duplicated(X, dx))
    assert_array_equal(held, X**2)
    assert_array_equal(dx, 1.0)


def test_containers_objects_and_functions_inside_are_gone_through():
    @dataclasses.dataclass
    class Rates:
        k: np.ndarray
        scale: float

    rates = Rates(np.array([1.0, 2.0, 3.0]), 4.0)
    table = {"a": np.array([2.0, 2.0, 2.0]), "b": [0.5]}
    bag = SimpleNamespace(c=3.0, label="c")

    def inner(x):
        return rates.scale * rates.k * x

    def f(x):
        return bag.c * (inner(x) * table["a"]).sum() * table["b"][0]

    df = make_zero(f)
    autodiff(Duplicated(f, df), Active, Duplicated(X, np.zeros(3)))
    shadows = dict(zip(f.__code__.co_freevars, [cell.cell_contents for cell in df.__closure__], strict=True))
    base = (rates.k * X * 2.0).sum()
    assert_allclose(shadows["bag"].c, 4.0 * base * 0.5)
    assert_allclose(shadows["table"]["b"], [3.0 * 4.0 * base])
    assert_allclose(shadows["table"]["a"], 3.0 * 4.0 * rates.k * X * 0.5)
    found = shadows["inner"].__closure__[0].cell_contents
    assert_allclose(found.scale, 3.0 * base * 0.5)
    assert_allclose(found.k, 3.0 * 4.0 * X * 2.0 * 0.5)
    assert shadows["bag"].label == "c"


def test_a_function_among_the_arguments():
    def apply(g, x):
        return g(x).sum()

    weights = np.array([1.0, 2.0, 3.0])
    g = functools.partial(lambda w, x: w * x, weights)
    dg = make_zero(g)
    dx = np.zeros(3)
    autodiff(apply, Duplicated(g, dg), Duplicated(X, dx))
    assert_allclose(dg.args[0], X)
    assert_allclose(dx, weights)


def test_numbers_in_places_that_cannot_be_set_are_refused_in_reverse_mode():
    f = functools.partial(lambda k, x: k * x.sum(), 2.0)
    with pytest.raises(TypeError, match=r"Active\(x\)"):
        autodiff(Duplicated(f, make_zero(f)), Active, Duplicated(X, np.zeros(3)))
    df = functools.partial(f.func, 1.0)
    assert_allclose(autodiff(Forward, Duplicated(f, df), Duplicated(X, np.zeros(3))), X.sum())


def test_arrays_that_are_replaced_and_numbers_that_change_need_no_new_recording():
    model = Model()
    for k in range(4):
        model.weights, model.rate = np.array([1.0, 2.0, 3.0]) * (k + 1), 1.0 + k
        dm = make_zero(model)
        autodiff(Duplicated(model, dm), Active, Duplicated(X, np.zeros(3)))
        assert_allclose(dm.weights, odead.gradient(plain, model.weights, model.rate, X), rtol=1e-13)
        assert_allclose(dm.rate, plain(model.weights, 1.0, X), rtol=1e-13)


def test_views_of_one_array_among_the_attributes():
    class Flow:
        def __init__(self):
            self.state = np.arange(1.0, 7.0)
            self.inner = self.state[1:-1]

        def __call__(self, x):
            self.inner *= x
            self.state[1:] += self.state[:-1].copy()
            return (self.inner**2).sum()

    def alone(state, x):
        new = np.concatenate([state[:1], state[1:-1] * x, state[-1:]])
        new = np.concatenate([new[:1], new[1:] + new[:-1]])
        return (new[1:-1] ** 2).sum()

    x, flow = np.array([1.0, 2.0, -1.0, 0.5]), Flow()
    df, dx = make_zero(flow), np.zeros(4)
    assert np.shares_memory(df.inner, df.state)
    before = flow.state.copy()
    autodiff(Duplicated(flow, df), Active, Duplicated(x, dx))
    d_state, d_x = odead.gradient(alone, before, x, wrt=(0, 1))
    assert_allclose(df.state, d_state, rtol=1e-13)
    assert_allclose(dx, d_x, rtol=1e-13)


def test_branches_of_a_function_that_holds_arrays():
    weights = np.array([1.0, 2.0, 3.0])

    def f(x):
        if weights[0] > 0:
            return (weights * x).sum()
        return (weights**2 * x).sum()

    for sign in (1.0, -1.0, 1.0, -1.0):
        weights[:] = sign * np.array([1.0, 2.0, 3.0])
        df = make_zero(f)
        autodiff(Duplicated(f, df), Active, Duplicated(X, np.zeros(3)))
        assert_allclose(df.__closure__[0].cell_contents, X if sign > 0 else 2 * weights * X)


def test_make_zero_of_functions_and_objects():
    f = closure()
    zero = make_zero(f)
    assert zero.__code__ is f.__code__
    assert [np.sum(cell.cell_contents) for cell in zero.__closure__] == [0.0, 0.0, 0.0]
    model = make_zero(Model())
    assert type(model) is Model
    assert (model.name, model.rate, model.weights.tolist()) == ("model", 0.0, [0.0, 0.0, 0.0])

    def recursive(n, x):
        return x if n == 0 else recursive(n - 1, x)

    assert make_zero(recursive).__closure__[0].cell_contents is not recursive
    assert make_zero(np.sin) is np.sin


def test_errors_of_annotations_on_the_function():
    f = closure()
    with pytest.raises(TypeError, match=r"Active on the function itself: write Duplicated\(f, odead\.make_zero\(f\)\)"):
        autodiff(Active(f), Duplicated(X, np.zeros(3)))
    with pytest.raises(TypeError, match=r"holds other arrays than it; odead\.make_zero"):
        autodiff(Duplicated(f, lambda x: x), Duplicated(X, np.zeros(3)))
    with pytest.raises(ValueError, match=r"what the function f holds.*its own value"):
        autodiff(Duplicated(f, f), Duplicated(X, np.zeros(3)))
    with pytest.raises(TypeError, match="must be too"):
        autodiff(Forward, Duplicated(f, make_zero(f)), BatchDuplicated(X, (np.zeros(3),)))
    with pytest.warns(odead.OdeadWarning, match="writes into a differentiated argument"):
        autodiff(Reverse, Duplicated(f, make_zero(f)), Duplicated(X, np.zeros(3)))
    assert "weights" in str(odead.explain(Duplicated(f, make_zero(f)), Duplicated(X, np.zeros(3))))
