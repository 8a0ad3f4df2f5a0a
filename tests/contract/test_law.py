"""The one law of `autodiff`, clause by clause, where no other suite has the clause to itself."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import odead
from odead import Active, Cache, Const, Duplicated, Forward, Reverse, autodiff

X = np.array([0.5, 0.7, 0.9])


def partly(x, y):
    x *= 2
    y[:2] = x[:2] ** 2


def test_a_partly_overwritten_output_ends_zero_just_there():
    x, d_x, y, d_y = X.copy(), np.ones(3), np.full(3, np.nan), np.array([1.0, 1.0, 7.0])
    autodiff(partly, Duplicated(x, d_x), Duplicated(y, d_y))
    assert_array_equal(d_y, [0.0, 0.0, 7.0])
    assert_allclose(d_x, [2 + 8 * 0.5, 2 + 8 * 0.7, 2.0])
    assert np.isnan(y[2])


def test_two_calls_without_zeroing_add_up_where_an_argument_is_read_only():
    d_x = np.zeros(3)
    for _ in range(3):
        autodiff(lambda x, a: a * x.sum(), Duplicated(X, d_x), Active(2.0))
    assert_array_equal(d_x, 6.0)


def test_the_function_never_sees_the_users_arrays():
    seen = []

    def f(x):
        seen.append(id(x))
        x *= 2
        return x.sum()

    x = X.copy()
    for call in (
        lambda: autodiff(f, Active, Duplicated(x, np.zeros(3))),
        lambda: autodiff(Forward, f, Duplicated(x, np.zeros(3))),
        lambda: odead.gradient(f, x),
        lambda: odead.vjp(f, x),
        lambda: odead.compile(f, x).primal(x),
    ):
        call()
    assert id(x) not in seen
    assert len(seen) <= 5, "recorded once for each kind of call, and not called besides"


@pytest.mark.parametrize("mode", [Forward, Reverse])
def test_exit_values_are_those_of_the_plain_call(mode):
    def f(x, y):
        y[:] = np.exp(x[::-1]) / 3
        x += np.tanh(y)

    x, y = X.copy(), np.full(3, np.nan)
    f(x, y)
    other, out = X.copy(), np.full(3, np.nan)
    autodiff(mode, f, Duplicated(other, np.ones(3)), Duplicated(out, np.ones(3)))
    assert_array_equal(other, x)
    assert_array_equal(out, y)


def test_const_drops_its_own_derivative_and_carries_that_of_others():
    def f(x, k):
        k[0] = x[0] * k[1]
        return k.sum()

    d_x, k = np.zeros(3), np.array([5.0, 2.0])
    assert autodiff(f, Duplicated(X, d_x), Const(k)) == (None, None)
    assert_array_equal(d_x, [2.0, 0.0, 0.0])
    assert_array_equal(k, [1.0, 2.0])


def test_the_shadow_of_a_cache_is_zero_at_each_call_and_its_primal_that_of_the_plain_call():
    def f(x, work):
        value = work[0] * x[0]
        work[:] = x * x
        return value + work.sum()

    for _ in range(2):
        d_x, work = np.zeros(3), np.array([3.0, 0.0, 0.0])
        autodiff(f, Duplicated(X, d_x), Cache(work))
        assert_array_equal(work, X * X)
        assert_allclose(d_x, 2 * X + [3.0, 0.0, 0.0])


def test_a_const_return_has_no_part_in_the_law():
    d_x = np.ones(3)
    assert autodiff(lambda x: x.sum(), Const, Duplicated(X, d_x)) == (None,)
    assert_array_equal(d_x, 1.0)
    assert autodiff(Forward, lambda x: x.sum(), Const, Duplicated(X, d_x)) is None


@pytest.mark.parametrize("mode", [Forward, Reverse])
def test_scratch_full_of_nan_is_harmless(mode):
    def f(x, y, work):
        work[:] = x * 3
        y[...] = work**2

    shadows = [np.ones(3) for _ in range(3)]
    autodiff(
        mode, f, *(Duplicated(a, d) for a, d in zip((X.copy(), np.full(3, np.nan), np.full(3, np.nan)), shadows, strict=True))
    )
    assert np.isfinite(shadows).all()
