"""Modes, return activities, annotations and the derived tools: what each call returns, and what it leaves alone."""

import threading
import tracemalloc
import typing
import warnings

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal

import odead
from odead import (
    Active,
    BatchDuplicated,
    BatchDuplicatedNoNeed,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    Forward,
    ForwardWithPrimal,
    Result,
    Reverse,
    ReverseWithPrimal,
    autodiff,
    make_zero,
)

X = np.array([0.5, 0.7, 0.9])
Z = X + 1j


def squares(x):
    return (x * x).sum()


def doubled_in_place(x):
    x *= 2
    return x.sum()


# ---------------------------------------------------------------------------------------------------- annotations


class Rate(typing.NamedTuple):
    value: float
    order: int


def test_ints_are_promoted_in_plain_tuples_and_static_in_fields():
    assert autodiff(lambda p: p[0] * p[1], Active((2, 3))) == ((3.0, 2.0),)
    assert autodiff(lambda n: n * 0.5, Active(2)) == (0.5,)
    assert autodiff(lambda p: p.value**p.order, Active(Rate(2.0, 3))) == (Rate(12.0, 3),)
    assert autodiff(Forward, lambda p: p.value**p.order, Duplicated(Rate(2.0, 3), Rate(1.0, 3))) == 12.0


def test_an_active_complex_number():
    assert autodiff(lambda z: abs(z) ** 2, Active(1 + 2j)) == (2 + 4j,)


def test_strides_of_a_shadow_may_differ():
    d_x = np.zeros((2, 4))[:, ::2].T
    x = np.arange(4.0).reshape(2, 2)
    autodiff(lambda x: (x**3).sum(), Duplicated(x, d_x))
    assert_array_equal(d_x, 3 * x**2)


@pytest.mark.parametrize("mode", [Forward, Reverse])
def test_batches_without_need_are_served_as_batches(mode):
    found = []
    for annotation in (BatchDuplicated, BatchDuplicatedNoNeed):
        lanes, other = (np.ones(3), np.arange(3.0)), (np.zeros(3), np.ones(3))
        derivs = autodiff(mode, lambda x, y: (x * x * y).sum(), annotation(X, lanes), annotation(X + 1, other))
        found.append((np.array(derivs, float), np.array(lanes), np.array(other)))
    for one, two in zip(*found, strict=True):
        assert_array_equal(one, two)


def test_an_object_that_holds_arrays_is_an_argument():
    class Body:
        def __init__(self):
            self.mass, self.gravity = X.copy(), 3.0

    body = Body()
    shadow = make_zero(body)
    autodiff(lambda b, x: (b.mass * x).sum() * b.gravity, Duplicated(body, shadow), Const(X))
    assert_allclose(shadow.mass, 3 * X)
    assert shadow.gravity == squares(X)


def test_annotations_inside_a_differentiated_function():
    def const_of_the_function(x):
        d_x = np.zeros(3)
        autodiff(Const(lambda v: (v**3).sum()), Duplicated(x, d_x))
        return d_x

    def without_need(x):
        d_x = np.zeros(3)
        autodiff(lambda v: (v**3).sum(), DuplicatedNoNeed(x, d_x))
        return d_x

    for f in (const_of_the_function, without_need):
        assert_allclose(odead.jacobian(f, X), np.diag(6 * X))

    def holds(x):
        weights = x * 1.0

        def g(v):
            return (weights * v).sum()

        shadow = make_zero(g)
        autodiff(Duplicated(g, shadow), Const(x))
        return shadow.__closure__[0].cell_contents

    assert_allclose(odead.jacobian(holds, X), np.eye(3))


# ---------------------------------------------------------------------------------------------------- modes


@pytest.mark.parametrize("mode", [Forward, ForwardWithPrimal, Reverse, ReverseWithPrimal])
def test_modes_are_callable_for_options(mode):
    chosen = mode(strong_zero=True, holomorphic=True, check=True)
    assert (chosen.strong_zero, chosen.holomorphic, chosen.check, chosen.with_primal) == (True, True, True, mode.with_primal)
    assert {mode.strong_zero, mode.holomorphic, mode.check} == {False}, "the mode itself stays as it was"
    value = 1 + 2j
    result = autodiff(chosen, lambda z: z**3, Duplicated(value, 1 + 0j) if "Forward" in type(mode).__name__ else Active(value))
    derivs = result.derivs if mode.with_primal else result
    assert_allclose(derivs if "Forward" in type(mode).__name__ else derivs[0], 3 * value**2)


def test_one_item_per_argument_and_none_for_the_callable():
    class Scaled:
        def __init__(self):
            self.k = np.ones(3)

        def __call__(self, x, a, b):
            return (self.k * x).sum() * a * b

    f = Scaled()
    assert autodiff(Duplicated(f, make_zero(f)), Const(X), Active(2.0), Const(1.0)) == (None, 2.1, None)


def test_with_primal_returns_the_named_tuple():
    result = autodiff(ReverseWithPrimal, squares, Duplicated(X, np.zeros(3)))
    assert isinstance(result, Result)
    assert result._fields == ("derivs", "value")
    assert result == ((None,), squares(X))


def test_forward_batches_give_tuples_of_tangents():
    result = autodiff(ForwardWithPrimal, squares, BatchDuplicated(X, (np.ones(3), np.zeros(3))))
    assert_allclose(result.derivs, (4.2, 0.0))
    assert isinstance(result.derivs, tuple)
    assert result.value == squares(X)
    assert autodiff(Forward, squares, Const, BatchDuplicated(X, (np.ones(3), np.zeros(3)))) is None


def test_the_warning_of_a_mutating_function_comes_only_where_its_number_is_dropped():
    def through_scratch(x, work):
        work[:] = x
        return work.sum()

    with pytest.warns(odead.OdeadWarning, match=r"autodiff\(f, Active, \.\.\.\)") as caught:
        autodiff(doubled_in_place, Duplicated(X.copy(), np.ones(3)))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        autodiff(doubled_in_place, Const, Duplicated(X.copy(), np.ones(3)))
        autodiff(doubled_in_place, Active, Duplicated(X.copy(), np.ones(3)))
        autodiff(Forward, doubled_in_place, Duplicated(X.copy(), np.ones(3)))
        d_x = np.zeros(3)
        autodiff(through_scratch, Duplicated(X, d_x), Const(np.zeros(3)))
    assert_array_equal(d_x, 1.0)


@pytest.mark.parametrize(("annotate", "function"), [
    (lambda f: (f, BatchDuplicated(X.copy(), (np.ones(3),))), doubled_in_place),
    (lambda f: (f, DuplicatedNoNeed(X.copy(), np.ones(3))), doubled_in_place),
])  # fmt: skip
def test_every_annotation_of_a_written_argument_warns(annotate, function):
    with pytest.warns(odead.OdeadWarning):
        autodiff(*annotate(function))


# ---------------------------------------------------------------------------------------------------- helpers


HELPERS = {
    "gradient": lambda x: odead.gradient(doubled_in_place, x),
    "value_and_gradient": lambda x: odead.value_and_gradient(doubled_in_place, x),
    "jacobian": lambda x: odead.jacobian(lambda x: x.__imul__(x), x),
    "sparse jacobian": lambda x: odead.jacobian(lambda x: x.__imul__(x), x, sparse=True),
    "hessian": lambda x: odead.hessian(doubled_in_place, x),
    "hvp": lambda x: odead.hvp(doubled_in_place, x, x),
    "jvp": lambda x: odead.jvp(doubled_in_place, (x,), (x,)),
    "vjp": lambda x: odead.vjp(doubled_in_place, x)[1](1.0),
    "sparsity": lambda x: odead.sparsity(doubled_in_place, x),
    "check": lambda x: odead.check_derivatives(doubled_in_place, x),
    "explain": lambda x: odead.explain(doubled_in_place, Active, Duplicated(x, x * 0)),
}


@pytest.mark.parametrize("name", HELPERS)
def test_helpers_work_on_private_copies_and_never_warn(name):
    x = X.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HELPERS[name](x)
    assert_array_equal(x, X)


def test_gradient_accepts_what_has_size_one_and_nothing_else():
    for f in (lambda x: x[:1] * 2, lambda x: [x[0] * 2], lambda x: (x[:1] * 2).reshape(1, 1)):
        assert_array_equal(odead.gradient(f, X), [2.0, 0.0, 0.0])
    for f in (lambda x: x, lambda x: x[0] * 1j, lambda x: x[0] > 0):
        with pytest.raises(TypeError):
            odead.gradient(f, X)


def test_shapes_and_kinds_of_jacobians():
    def f(a, b):
        return np.multiply.outer(a, b)

    one, two = odead.jacobian(f, np.ones((2, 2)), X, wrt=(0, 1))
    assert one.shape == (2, 2, 3, 2, 2)
    assert two.shape == (2, 2, 3, 3)
    found = odead.jacobian(np.diff, X, sparse=True)
    assert isinstance(found, scipy.sparse.sparray)
    assert_array_equal(found.toarray(), odead.jacobian(np.diff, X))
    pattern = odead.sparsity(lambda x: x * [1.0, 0.0, 1.0] * x[::-1], X)
    assert pattern.dtype == bool
    assert pattern.toarray().tolist() == odead.sparsity(lambda x: x * [1.0, 0.0, 1.0] * x[::-1], 0 * X).toarray().tolist()


def test_a_pullback_is_called_again_and_survives_its_inputs():
    x = X.copy()
    value, pullback = odead.vjp(lambda x, k: k * x**3, x, 2.0)
    first = pullback(np.ones(3))
    x[:] = np.nan
    pullback(np.full(3, 5.0))
    second = pullback(np.ones(3))
    assert isinstance(first, tuple)
    assert len(first) == 2
    assert_allclose(first[0], 6 * X**2)
    assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
    assert_allclose(value, 2 * X**3)


def test_a_compiled_function_writes_into_the_callers_buffers_without_allocating():
    x, v, out = np.ones(10_000), np.ones(10_000), np.empty(10_000)
    compiled = odead.compile(lambda x: x * np.roll(x, 1), x)
    compiled.primal((x), out=out)
    compiled.jvp((x,), (v,), out=out)
    tracemalloc.start()
    try:
        for _ in range(3):
            compiled.primal(x, out=out)
            compiled.jvp((x,), (v,), out=out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < out.nbytes / 8
    assert_array_equal(out, 2.0)


def test_the_report_of_explain_names_lines_shapes_activities_guards_and_what_is_saved():
    def f(x, k):
        y = np.exp(x) * k
        if k > 0:
            y[0] *= y[1]
        y[1] = 2.0
        return y.sum()

    text = str(odead.explain(f, Duplicated(X, np.zeros(3)), Const(2.0)))
    for words in ("argument 0, x (Duplicated)", "(3,)", "active", "inactive", f"{__file__}:", "guards", "saved"):
        assert words in text


def test_stop_gradient():
    assert_array_equal(odead.gradient(lambda x: (odead.stop_gradient(x) * x).sum(), X), X)
    assert_array_equal(odead.stop_gradient(X), X)


def test_threads_that_differentiate_different_functions():
    def make(k):
        def f(x):
            total = 0.0
            for i in range(len(x)):
                total = total + (x[i] ** k if x[i] > 0.6 else x[i] * k)
            return total

        return f

    found = {}

    def work(k):
        for _ in range(3):
            found[k] = odead.gradient(make(k), X)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(2, 6):
        assert_allclose(found[k], np.where(X > 0.6, k * X ** (k - 1), k))


def test_holomorphic_mode():
    assert_allclose(odead.gradient(lambda z: (z**3).sum(), Z, mode=Reverse(holomorphic=True)), 3 * Z**2)
    assert_allclose(odead.gradient(lambda z: (abs(z) ** 2).sum(), Z), 2 * Z)
    with pytest.raises(TypeError, match=r"not holomorphic.*u_x"):
        odead.gradient(lambda z: abs(z[0]) ** 2 + 0j, Z, mode=Reverse(holomorphic=True))


def test_functions_that_return_an_argument_or_a_view_of_one():
    assert_array_equal(odead.jacobian(lambda x: x, X), np.eye(3))
    assert_array_equal(odead.jacobian(lambda x: x[::2], X), np.eye(3)[::2])
    assert_allclose(odead.jacobian(lambda x: x.__imul__(x), X), np.diag(2 * X))
    result = autodiff(
        ForwardWithPrimal, lambda x, w: np.multiply(x, x, out=w)[1:], Duplicated(X, np.ones(3)), Const(np.zeros(3))
    )
    assert_allclose(result.derivs, 2 * X[1:])
    result.value[:] = 0.0
    assert_array_equal(X, [0.5, 0.7, 0.9])


def test_defaults_and_keywords_are_const():
    d_x, work = np.zeros(3), np.zeros(3)

    def f(x, *, k=2.0, work=None):
        if work is not None:
            work[:] = x
        return (k * x).sum()

    autodiff(f, Duplicated(X, d_x))
    autodiff(f, Duplicated(X, d_x), k=3, work=work)
    assert_array_equal(d_x, 5.0)
    assert_array_equal(work, X)
