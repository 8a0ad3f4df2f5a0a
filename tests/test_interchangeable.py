"""A lambda made anew for each call is recorded once; one that differs in anything is another function."""

import numpy as np
import pytest

import odead
from odead.derivatives.interchangeable import representative

X = np.array([1.0, 2.0])


def made(scale=1.0, shift=0.0):
    return lambda x: scale * np.sum(x**2) + shift


def test_functions_of_the_same_parts_have_one_representative():
    weights = np.array([1.0, 3.0])
    functions = [lambda x: np.sum(weights * x) for _ in range(3)]
    assert {representative(f) for f in functions} == {functions[0]}
    assert representative(made()) is not representative(made())  # cells of their own
    assert representative(np.sum) is np.sum


def test_defaults_and_attributes_tell_functions_apart():
    first, second = [lambda x, k=k: k * x for k in (1000.5, 2000.5)]
    assert representative(first) is first
    assert representative(second) is second
    marked = [lambda x: x for _ in range(2)]
    marked[1].terminal = True
    assert representative(marked[0]) is marked[0]
    assert representative(marked[1]) is marked[1]


def test_a_function_changed_later_stands_for_nobody():
    first, second = [lambda x, k=2.5: k * x for _ in range(2)]
    second.__defaults__ = first.__defaults__
    assert representative(second) is representative(first)
    first.__defaults__ = (7.0,)
    assert representative(second) is second


def test_a_lambda_is_recorded_once():
    runs = []

    def gradient():
        return odead.gradient(lambda x: (runs.append(1), np.sum(x**3))[1], X)

    first, again = gradient(), gradient()
    np.testing.assert_array_equal(first, 3 * X**2)
    np.testing.assert_array_equal(again, first)
    assert len(runs) == 1


def test_what_its_cells_hold_is_read_at_each_call():
    power = 2.0

    def gradient():
        return odead.gradient(lambda x: np.sum(x**power), X)

    np.testing.assert_allclose(gradient(), 2 * X)
    power = 3.0
    np.testing.assert_allclose(gradient(), 3 * X**2)


def test_a_loss_written_in_the_call():
    runs = []

    def rhs(dx, x, p, t):
        dx[:] = -p * x

    def gradient(p):
        return odead.sensitivity(rhs, [1.0], p, (0, 1), loss=lambda y: (runs.append(1), y[0, -1])[1], mode="adjoint").grad

    for rate in (0.5, 1.0):
        assert gradient(np.array([rate]))[0] == pytest.approx(-np.exp(-rate), rel=1e-5)
    assert len(runs) == 1
