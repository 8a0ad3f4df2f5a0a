"""Arguments that overlap in memory: views of one array, whose shadows are the same views of one shadow."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import odead
from odead import Active, BatchDuplicated, Const, Duplicated, Forward, Reverse, ReverseWithPrimal, autodiff


def mix(a, b):
    a *= 2.0
    b[1:] += b[:-1] * a[0]
    a[0] = b[-1] ** 2


VIEWS = {
    "slices": (lambda x: x[:4], lambda x: x[2:]),
    "reversed": (lambda x: x[:4], lambda x: x[::-1]),
    "whole and part": (lambda x: x, lambda x: x[1:5:2]),
    "strided": (lambda x: x[::2], lambda x: x[::3]),
    "two views of all": (lambda x: x[:], lambda x: x[:]),
    "same array": (lambda x: x, lambda x: x),
}


def jacobian(views):
    """Of the whole array, with the views taken inside."""

    def f(x):
        mix(*[view(x) for view in views])
        return x

    return odead.jacobian(f, START), f(START.copy())


START = np.array([1.0, -2.0, 0.5, 3.0, 1.5, -0.5])


@pytest.mark.parametrize("case", VIEWS)
def test_forward_and_reverse(case):
    views = VIEWS[case]
    expected, exits = jacobian(views)
    direction = np.linspace(-1.0, 2.0, 6)
    covered = np.zeros(6, bool)
    for view in views:
        view(covered)[...] = True
    direction[~covered] = 0.0

    for mode, matrix in ((Forward, expected), (Reverse, expected.T)):
        for _ in range(2):
            x, dx = START.copy(), direction.copy()
            autodiff(mode, mix, *[Duplicated(view(x), view(dx)) for view in views])
            assert_allclose(x, exits, rtol=1e-15)
            assert_allclose(dx[covered], (matrix @ direction)[covered], rtol=1e-13, atol=1e-14)
            assert_array_equal(dx[~covered], 0.0)

    x, lanes = START.copy(), np.stack([direction, 2 * direction])
    autodiff(Reverse, mix, *[BatchDuplicated(view(x), tuple(view(lane) for lane in lanes)) for view in views])
    assert_allclose(lanes[1][covered], (2 * expected.T @ direction)[covered], rtol=1e-13, atol=1e-14)


def test_shadows_of_another_layout_that_overlap_alike():
    x, dx = START.copy(), np.linspace(-1.0, 2.0, 6)
    other, wide = START.copy(), np.zeros((6, 3))
    wide[:, 1] = dx
    autodiff(mix, Duplicated(x[:4], dx[:4]), Duplicated(x[2:], dx[2:]))
    autodiff(mix, Duplicated(other[:4], wide[:4, 1]), Duplicated(other[2:], wide[2:, 1]))
    assert_array_equal(wide[:, 1], dx)
    assert_array_equal(wide[:, 0], 0.0)


def test_shadows_that_do_not_overlap_alike_raise():
    x, dx = START.copy(), np.ones(6)
    for shadows in ((dx[:4], np.ones(4)), (dx[:4], dx[1:5]), (dx[:4], dx[2:][::-1])):
        with pytest.raises(ValueError, match=r"argument 0, a \(Duplicated\) and argument 1, b.*same views of one array"):
            autodiff(mix, Duplicated(x[:4], shadows[0]), Duplicated(x[2:], shadows[1]))
    assert_array_equal(x, START)
    assert_array_equal(dx, 1.0)


def test_one_of_the_two_is_const():
    """What lies under the Const view alone has entry tangent 0; where both lie, the derivative is wanted."""

    def f(a, b):
        return (a * b).sum()

    x, dx = START.copy(), np.zeros(6)
    autodiff(f, Duplicated(x[:5], dx[:5]), Const(x[1:]))
    expected = np.zeros(6)
    expected[:5] += x[1:]
    expected[1:] += x[:5]
    expected[5] = 0.0
    assert_allclose(dx, expected)


def test_parts_of_one_array_that_do_not_overlap_are_apart():
    x, dx = START.copy(), np.zeros(6)
    result = autodiff(
        ReverseWithPrimal, lambda a, b: (a * b).sum(), Active, Duplicated(x[0::2], dx[:3]), Duplicated(x[1::2], dx[3:])
    )
    assert_allclose(result.value, (x[0::2] * x[1::2]).sum())
    assert_allclose(dx, [*x[1::2], *x[0::2]])


def test_in_containers_keywords_and_branches():
    def f(p, *, table):
        if p["a"][0] > 0:
            return (p["a"] * table).sum()
        return (p["a"] ** 2 * table).sum()

    for sign in (1.0, -1.0, 1.0):
        x, dx = sign * START, np.zeros(6)
        autodiff(f, Duplicated({"a": x[:3], "b": x[1:]}, {"a": dx[:3], "b": dx[1:]}), table=x[:3])
        x = x[:3]
        assert_allclose(dx[:3], 2 * x if sign > 0 else 3 * x**2)


def test_two_dimensional_blocks():
    def f(a, b):
        a += 2 * b.T @ b
        return None

    x, dx = np.arange(16.0).reshape(4, 4) / 10, np.linspace(0.0, 1.0, 16).reshape(4, 4)

    def whole(x):
        f(x[:3, :3], x[1:, 1:])
        return x

    _, pullback = odead.vjp(whole, x)
    (expected,) = pullback(np.where(np.add.outer(np.arange(4), np.arange(4)) >= 0, dx, 0))
    corners = np.zeros((4, 4), bool)
    corners[0, 3] = corners[3, 0] = True  # in neither block
    autodiff(f, Duplicated(x[:3, :3], dx[:3, :3]), Duplicated(x[1:, 1:], dx[1:, 1:]))
    assert_allclose(dx[~corners], expected[~corners], rtol=1e-13)


def test_dtypes_that_differ_raise():
    x = START.copy()
    with pytest.raises(odead.OdeadError, match=r"b and a overlap in memory.*different dtypes"):
        autodiff(mix, Duplicated(x, np.zeros(6)), Const(x.view(np.int64)[1:]))
