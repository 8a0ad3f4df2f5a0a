"""`odead.steady_state` inside differentiated functions, against closed forms and differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead.errors import IntegrationError

P = np.array([1.0, 2.0, 3.0])


def chain(dx, x, p, t):
    """Steady at x = (p0 / p1, sqrt(p0 / p2))."""
    dx[0] = p[0] - p[1] * x[0]
    dx[1] = p[1] * x[0] - p[2] * x[1] ** 2


def exchange(dx, x, p, t):
    """x0 + x1 is conserved; steady at p0 x0 = p1 x1."""
    rate = p[0] * x[0] - p[1] * x[1]
    dx[0] = -rate
    dx[1] = rate


def weighted(p):
    x = odead.steady_state(chain, [1.0, 1.0], p).x
    return x[0] * x[1]


def closed(p):
    return p[0] / p[1] * np.sqrt(p[0] / p[2])


@pytest.mark.parametrize("mode", [odead.Forward, odead.Reverse])
def test_gradient(mode):
    assert_allclose(odead.gradient(weighted, P, mode=mode), odead.gradient(closed, P), rtol=1e-12)


def test_higher_derivatives():
    assert_allclose(odead.hessian(weighted, P), odead.hessian(closed, P), rtol=1e-11)

    def third(f):
        return odead.gradient(lambda p: odead.hessian(f, p)[0] @ np.array([1.0, -2.0, 0.5]), P)

    assert_allclose(third(weighted), third(closed), rtol=1e-10)


def test_totals_come_from_a_traced_start():
    def share(z):
        return odead.steady_state(exchange, z[:2], z[2:]).x[0]

    z = np.array([1.0, 2.0, 0.5, 1.5])
    assert_allclose(odead.gradient(share, z), odead.gradient(lambda z: (z[0] + z[1]) * z[3] / (z[2] + z[3]), z), rtol=1e-12)
    odead.check_derivatives(share, z)


def test_a_start_that_depends_on_p():
    def share(p):
        return odead.steady_state(exchange, lambda p: np.array([p[0], 1.0]), p).x[0]

    p = np.array([0.5, 1.5])
    assert_allclose(odead.gradient(share, p), odead.gradient(lambda p: (p[0] + 1) * p[1] / (p[0] + p[1]), p), rtol=1e-12)


def test_derivatives_of_its_results():
    def total(p):
        result = odead.steady_state(chain, [1.0, 1.0], p, loss=lambda x, p: x[0] * x[1] * p[0])
        return result.grad @ np.array([1.0, 2.0, 3.0]) + result.sens[1, 0] + result.loss

    def by_hand(p):
        gradient = odead.gradient(lambda p: closed(p) * p[0], p)
        return gradient @ np.array([1.0, 2.0, 3.0]) + 0.5 / np.sqrt(p[0] * p[2]) + closed(p) * p[0]

    assert total(P) == pytest.approx(by_hand(P), rel=1e-12)
    assert_allclose(odead.gradient(total, P), odead.gradient(by_hand, P), rtol=1e-11)


def test_what_the_right_hand_side_closes_over():
    def level(q):
        def tank(dx, x, p, t):
            dx[0] = p["in"] * q[1] - q[2] * x[0]

        return odead.steady_state(tank, [1.0], {"in": q[0]}).x[0]

    assert_allclose(odead.gradient(level, P), [2 / 3, 1 / 3, -2 / 9], rtol=1e-12)


def test_a_later_run_without_a_steady_state():
    def root(p):
        def rate(dx, x, p, t):
            dx[0] = p[0] - x[0] ** 2

        return odead.steady_state(rate, [1.0], p).x[0]

    compiled = odead.compile(root, np.array([4.0]))
    assert compiled.primal(np.array([9.0])) == pytest.approx(3.0)
    with pytest.raises(IntegrationError, match="no steady state of rate was found"):
        compiled.primal(np.array([-1.0]))


def test_a_function_as_start_has_no_derivative_by_x0():
    with pytest.raises(NotImplementedError, match="x0 is a function"):
        odead.gradient(lambda p: odead.steady_state(exchange, lambda p: p, p, wrt="x0").x[0], np.array([1.0, 2.0]))


def test_a_right_hand_side_that_makes_arrays():
    """Made inside the differentiated function, it makes arrays of traced numbers there too."""

    def f(q):
        def rhs(dx, x, p, t):
            rate = p[0] * x[0] * x[1] - p[1] * x[2]
            dx[:] = np.array([-rate, -rate, rate])

        return odead.steady_state(rhs, q[2:], q[:2]).x[2] ** 2 * q[0]

    q = np.array([2.0, 0.5, 1.0, 1.5, 0.2])
    odead.check_derivatives(f, q)
