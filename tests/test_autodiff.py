"""The annotated call: the one law on functions as users write them, return activities, batches, bad input."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import odead
from odead import (
    Active,
    BatchDuplicated,
    Cache,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    Forward,
    ForwardWithPrimal,
    Reverse,
    ReverseWithPrimal,
    autodiff,
)

RNG = np.random.default_rng(3)


def diffusion(dx, x, p, t):
    for i in range(1, len(x) - 1):
        dx[i] = p[0] * (x[i - 1] - 2 * x[i] + x[i + 1]) + math.exp(-t) * p[1]
    dx[0] = p[0] * (x[1] - x[0])
    dx[-1] = p[0] * (x[-2] - x[-1])


def test_the_seeds_call_in_reverse():
    x, p = RNG.normal(size=6), np.array([0.3, 2.0])
    dx, d_dx = np.full(6, np.nan), RNG.normal(size=6)
    seed, d_x, d_p = d_dx.copy(), np.zeros(6), np.zeros(2)
    t = 0.7
    result = autodiff(diffusion, Duplicated(dx, d_dx), Duplicated(x, d_x), Duplicated(p, d_p), Const(t))
    expected = np.empty(6)
    diffusion(expected, x, p, t)
    assert result == (None, None, None, None)
    assert_array_equal(dx, expected)
    assert_array_equal(d_dx, 0.0)
    stencil = np.diag(np.full(6, -2.0)) + np.diag(np.ones(5), 1) + np.diag(np.ones(5), -1)
    stencil[0, 0] = stencil[-1, -1] = -1.0
    assert_allclose(d_x, p[0] * stencil.T @ seed, rtol=1e-13)
    assert_allclose(d_p, [seed @ stencil @ x, math.exp(-t) * seed[1:-1].sum()], rtol=1e-13)


def test_forward_and_reverse_are_dual():
    x, p, dx = RNG.normal(size=6), np.array([0.3, 2.0]), np.zeros(6)
    tangents = [RNG.normal(size=6), RNG.normal(size=6), RNG.normal(size=2)]
    cotangents = [RNG.normal(size=6), RNG.normal(size=6), RNG.normal(size=2)]
    forward, reverse = [a.copy() for a in tangents], [a.copy() for a in cotangents]
    assert autodiff(Forward, diffusion, *map(Duplicated, (dx, x, p), forward), Const(0.7)) is None
    autodiff(Reverse, diffusion, *map(Duplicated, (dx, x, p), reverse), Const(0.7))
    left = sum(c @ f for c, f in zip(cotangents, forward, strict=True))
    right = sum(r @ f for r, f in zip(reverse, tangents, strict=True))
    assert_allclose(left, right, rtol=1e-13)


def test_read_only_arguments_accumulate_over_calls():
    x, d_x = np.array([1.0, 2.0]), np.zeros(2)
    for _ in range(2):
        autodiff(lambda x: x[0] * x[1], Duplicated(x, d_x))
    assert_array_equal(d_x, [4.0, 2.0])


def test_in_place_updates_transform_their_shadow():
    def scale(x, a):
        x *= a

    x, d_x, a, d_a = np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([4.0, 7.0]), np.zeros(2)
    autodiff(scale, Duplicated(x, d_x), Duplicated(a, d_a))
    assert_array_equal(x, [4.0, 14.0])
    assert_array_equal(d_x, [12.0, 35.0])
    assert_array_equal(d_a, [3.0, 10.0])


def test_active_numbers_are_returned():
    def f(a, x, b):
        return a * x[0] + math.sin(b)

    x, d_x = np.array([5.0]), np.zeros(1)
    derivs = autodiff(f, Active(2.0), Duplicated(x, d_x), Active(1))
    assert derivs == (5.0, None, math.cos(1.0))
    assert_array_equal(d_x, [2.0])
    result = autodiff(ReverseWithPrimal, f, Active(2.0), Const(x), Const(1.0))
    assert result.derivs == (5.0, None, None)
    assert result.value == 10.0 + math.sin(1.0)


def test_active_containers_keep_their_structure():
    derivs = autodiff(lambda pair: pair[0] * pair[1], Active((3, 4.0)))
    assert derivs == ((4.0, 3.0),)


def test_forward_returns_the_tangent():
    assert autodiff(Forward, lambda x: x * x, Duplicated(3.0, 2.0)) == 12.0
    result = autodiff(ForwardWithPrimal, lambda x: x * x, Duplicated(3.0, 2.0))
    assert result == (12.0, 9.0)
    assert autodiff(Forward, lambda x: x * x, Const, Duplicated(3.0, 2.0)) is None


def test_batches_run_in_one_sweep():
    x, shadows = np.array([1.0, 2.0, 3.0]), (np.eye(3)[0].copy(), np.ones(3))
    tangents = autodiff(Forward, lambda x: x * x, BatchDuplicated(x, shadows))
    assert_array_equal(tangents[0], [2.0, 0.0, 0.0])
    assert_array_equal(tangents[1], [2.0, 4.0, 6.0])
    d_x = (np.zeros(3), np.ones(3))
    derivs = autodiff(lambda x, a: a * x.sum(), BatchDuplicated(x, d_x), Active(2.0))
    assert_array_equal(d_x[0], 2.0)
    assert_array_equal(d_x[1], 3.0)
    assert derivs == (None, (6.0, 6.0))


def test_const_scratch_carries_derivatives_inside_the_call():
    def f(x, work):
        work[:] = x * x
        return work.sum()

    x = np.array([1.0, 2.0])
    for scratch in (Const, Cache):
        d_x = np.zeros(2)
        autodiff(f, Duplicated(x, d_x), scratch(np.full(2, np.nan)))
        assert_array_equal(d_x, [2.0, 4.0])


def test_same_array_twice_has_one_shadow():
    x, d_x = np.array([2.0, 3.0]), np.zeros(2)
    autodiff(lambda a, b: (a * b).sum(), Duplicated(x, d_x), Duplicated(x, d_x))
    assert_array_equal(d_x, [4.0, 6.0])
    with pytest.raises(odead.OdeadError, match="same shadow twice"):
        autodiff(lambda a, b: (a * b).sum(), Duplicated(x, d_x), Duplicated(x, np.zeros(2)))


def test_mutating_function_that_returns_a_number_warns_and_is_const():
    def f(x):
        x *= 2
        return x[0]

    x, d_x = np.ones(2), np.ones(2)
    with pytest.warns(odead.OdeadWarning, match="Active"):
        autodiff(f, Duplicated(x, d_x))
    assert_array_equal(d_x, 2.0)
    d_x = np.ones(2)
    autodiff(f, Active, Duplicated(np.ones(2), d_x))
    assert_array_equal(d_x, [4.0, 2.0])


def test_no_need_is_served_like_duplicated():
    d_x = np.zeros(2)
    autodiff(lambda x: x[0] * x[1], DuplicatedNoNeed(np.array([2.0, 3.0]), d_x))
    assert_array_equal(d_x, [3.0, 2.0])


def test_what_is_not_needed_is_not_computed():
    def f(dx, x):
        dx[:] = 3.0 * x[::-1]

    def call(annotation, x=None):
        dx, d_dx, d_x = np.full(3, 7.0), np.arange(1.0, 4.0), np.ones(3)
        autodiff(f, annotation(dx, d_dx), Duplicated(np.ones(3) if x is None else x, d_x))
        assert_array_equal(d_dx, 0.0)
        assert_array_equal(d_x, [10.0, 7.0, 4.0])
        return dx

    for _ in range(2):  # the second time on the short way
        assert_array_equal(call(DuplicatedNoNeed), 7.0)
        assert_array_equal(call(Duplicated), 3.0)


def test_what_is_not_needed_at_the_exit_may_be_needed_before():
    def f(x, y):
        x *= x
        y += x
        x += y

    def call(annotation):
        x, y, d_x, d_y = np.array([2.0, 3.0]), np.ones(2), np.array([1.0, 0.5]), np.array([0.0, 2.0])
        autodiff(f, annotation(x, d_x), Duplicated(y, d_y))
        return y, d_x, d_y

    for found, expected in zip(call(DuplicatedNoNeed), call(Duplicated), strict=True):
        assert_array_equal(found, expected)


def test_an_array_is_needed_where_one_of_its_annotations_says_so():
    def f(x, again):
        x *= 2.0

    x, d_x = np.ones(2), np.ones(2)
    autodiff(f, DuplicatedNoNeed(x, d_x), Duplicated(x, d_x))
    assert_array_equal(x, 2.0)
    assert_array_equal(d_x, 2.0)


def test_branches_are_recorded_when_they_are_met():
    def f(x):
        if x[0] > 1:
            return x[0] ** 3
        return 2 * x[0]

    for value, slope in ((2.0, 12.0), (0.5, 2.0), (3.0, 27.0), (-1.0, 2.0)):
        assert_allclose(odead.gradient(f, np.array([value])), [slope])


def test_keyword_arguments_are_const():
    d_x = np.zeros(2)
    autodiff(lambda x, weight: weight * x.sum(), Duplicated(np.ones(2), d_x), weight=3.0)
    assert_array_equal(d_x, 3.0)


def total(x):
    return x.sum()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (lambda x: (total, x), TypeError, "argument 0, x is a bare ndarray"),
        (lambda x: (total, Active(x)), TypeError, r"Active is for numbers.*Duplicated\(x, dx\)"),
        (lambda x: (total, Duplicated(x, np.zeros(5))), ValueError, r"shape \(5,\), the value \(3,\)"),
        (lambda x: (total, Duplicated(x, np.zeros(3, np.float32))), TypeError, "float32"),
        (lambda x: (total, Duplicated(x, x)), ValueError, "shares memory with its own value"),
        (lambda x: (total, Duplicated(x, x[::-1])), ValueError, "shares memory"),
        (lambda x: (total, Duplicated(x, [0.0, 0.0, 0.0])), TypeError, "another container"),
        (lambda x: (total, Duplicated(x, np.broadcast_to(0.0, 3))), ValueError, "read-only"),
        (lambda x: (Reverse(check=True), total, Duplicated(x, np.full(3, np.nan))), ValueError, "NaN"),
        (lambda x: (Forward, total, Active(1.0)), TypeError, "reverse mode"),
        (lambda x: (lambda y: y * 2, Duplicated(x, np.zeros(3))), TypeError, "odead.vjp.*odead.jacobian"),
        (lambda x: (3, Duplicated(x, np.zeros(3))), TypeError, "cannot be called"),
        (lambda x: (total, BatchDuplicated(x, ())), ValueError, "widths"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(arguments, error, words):
    x = np.arange(3.0)
    with pytest.raises(error, match=words) as caught:
        autodiff(*arguments(x))
    assert isinstance(caught.value, odead.OdeadError)
    assert_array_equal(x, np.arange(3.0))


def test_exceptions_of_the_function_pass_unchanged():
    class Mine(Exception):
        pass

    def f(x):
        x[0] = 5.0
        raise Mine("stop")

    x = np.zeros(2)
    with pytest.raises(Mine, match="stop"):
        autodiff(f, Duplicated(x, np.zeros(2)))
    assert_array_equal(x, 0.0)


def test_what_is_a_view_depends_on_the_strides():
    def f(x):
        x.ravel()[1] = 5.0  # of an array that is not contiguous, this is an element of a copy
        return x.sum()

    square = np.ones((2, 2))
    for x in (np.ones(4), np.ones(8)[::2], np.ones(4)[::-1], square.copy(), square.T, square[::-1], np.ones((4, 4))[::2, ::2]):
        expected = x.copy("K")
        is_view = np.shares_memory(x.ravel(), x)
        assert odead.gradient(f, x).sum() == 4.0 - is_view
        autodiff(Const(f), Const, Duplicated(x, np.zeros_like(x)))
        expected.reshape(-1)[1] = 5.0 if is_view else 1.0
        assert_array_equal(x, expected)


def test_a_branch_that_returns_something_else_does_not_get_in_the_way():
    def f(x):
        if x[0] > 0:
            return x * 2
        return x[0] * 3

    negative, positive = -np.ones(2), np.ones(2)
    with pytest.raises(TypeError, match=r"odead\.jacobian"):
        odead.gradient(f, positive)
    assert_array_equal(odead.gradient(f, negative), [3.0, 0.0])
    with pytest.raises(TypeError, match=r"odead\.jacobian"):
        odead.gradient(f, positive)
    assert_array_equal(odead.gradient(f, negative), [3.0, 0.0])


def test_strong_zero_keeps_infinite_partials_from_derivatives_that_are_zero():
    def f(x):
        return np.sqrt(x[0]) * x[1]

    for mode, expected in ((Reverse, np.nan), (Reverse(strong_zero=True), 0.0)):
        x, d_x = np.array([0.0, 0.0]), np.zeros(2)
        autodiff(mode, f, Duplicated(x, d_x))
        assert_array_equal(d_x, [expected, 0.0])
    x, d_x = np.array([0.0, 0.0]), np.array([0.0, 1.0])
    assert autodiff(Forward(strong_zero=True), f, Duplicated(x, d_x)) == 0.0


@pytest.mark.parametrize("mode", [Reverse, Forward, Reverse(holomorphic=True), Forward(holomorphic=True)])
def test_strong_zero_in_gradients(mode):
    def f(x, k):
        return (k * np.log(x)).sum()

    x = np.zeros(2, complex if mode.holomorphic else float)
    with np.errstate(divide="ignore", invalid="ignore"):
        assert mode.holomorphic or np.isnan(odead.gradient(f, x, 0.0, mode=mode)).all()
        assert_array_equal(odead.gradient(f, x, 0.0, mode=mode(strong_zero=True)), np.zeros(2))


def cube(a):
    return a**3


@pytest.mark.parametrize("kind", [np.float32, np.float64, float])
def test_numbers_of_every_precision(kind):
    """The shadow of a float32 is one, whichever annotation it has, and whatever the call before was at."""
    x, dx = kind(2.0), kind(1.0)
    assert odead.autodiff(cube, Active, Active(x)) == (12.0,)
    assert odead.gradient(cube, x) == 12.0
    assert odead.autodiff(Forward, cube, Duplicated(x, dx)) == 12.0
    assert odead.autodiff(Forward, cube, BatchDuplicated(x, (dx, kind(2.0)))) == (12.0, 24.0)
    shadow = {"a": kind(0.0)}
    odead.autodiff(lambda p: p["a"] ** 3, Active, Duplicated({"a": x}, shadow))
    assert shadow["a"] == 12.0
