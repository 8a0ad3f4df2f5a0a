"""Steady states against closed forms."""

import pickle

import numpy as np
import pytest

import odead
from odead.errors import ArgumentValueError, IntegrationError


def exchange(dx, x, p, t):
    """A <-> B, fed and drained: x = (in / out, k1 in / (k2 out)) does not depend on the guess."""
    dx[0] = p[0] - p[1] * x[0] - p[2] * x[0] + p[3] * x[1]
    dx[1] = p[2] * x[0] - p[3] * x[1]


def enzyme(dx, x, p, t):
    """E + S <-> C -> E + P, P -> S: E + C and S + C + P are conserved."""
    e, s, c, q = x
    bind, split, turn, back = p[0] * e * s, p[1] * c, p[2] * c, p[3] * q
    dx[0] = -bind + split + turn
    dx[1] = -bind + split + back
    dx[2] = bind - split - turn
    dx[3] = turn - back


ENZYME_P = np.array([1e3, 2.0, 0.5, 0.1])
ENZYME_X0 = np.array([0.3, 2.0, 0.0, 0.0])


def differences(f, x, step=1e-6):
    columns = []
    for k in range(x.size):
        h = np.zeros(x.size)
        h[k] = step * max(1.0, abs(x[k]))
        columns.append((f(x + h) - f(x - h)) / (2 * h[k]))
    return np.array(columns).T


def test_closed_form():
    p = np.array([3.0, 1.5, 0.7, 0.2])
    result = odead.steady_state(exchange, np.array([0.0, 0.0]), p, loss=lambda x, p: x[0] * x[1] + p[0])
    a, (k_in, k_out, k1, k2) = 2.0, p
    np.testing.assert_allclose(result.x, [a, a * k1 / k2], rtol=1e-13)
    exact = [[1 / k_out, -k_in / k_out**2, 0, 0], [k1 / k2 / k_out, -a * k1 / k2 / k_out, a / k2, -a * k1 / k2**2]]
    np.testing.assert_allclose(result.sens, exact, rtol=1e-12, atol=1e-13)
    assert result.loss == pytest.approx(a * a * k1 / k2 + 3.0)
    by_x = np.array([a * k1 / k2, a])
    np.testing.assert_allclose(result.grad, by_x @ exact + [1, 0, 0, 0], rtol=1e-12)
    assert result.success
    assert result.conserved.shape == (0, 2)


def test_conserved_totals_come_from_x0():
    result = odead.steady_state(enzyme, ENZYME_X0, ENZYME_P, wrt=("p", "x0"), loss=lambda x: x[3] ** 2)
    assert result.conserved.shape == (2, 4)
    dx = np.empty(4)
    enzyme(dx, result.x, ENZYME_P, 0.0)
    np.testing.assert_allclose(dx, 0, atol=1e-13)
    assert result.x[0] + result.x[2] == pytest.approx(0.3, rel=1e-13)
    assert result.x[1:].sum() == pytest.approx(2.0, rel=1e-13)
    np.testing.assert_allclose(
        result.sens, differences(lambda p: odead.steady_state(enzyme, ENZYME_X0, p).x, ENZYME_P), rtol=1e-5, atol=1e-8
    )
    np.testing.assert_allclose(
        result.sens_x0, differences(lambda x: odead.steady_state(enzyme, x, ENZYME_P).x, ENZYME_X0), rtol=1e-5, atol=1e-8
    )
    np.testing.assert_allclose(result.grad, 2 * result.x[3] * result.sens[3], rtol=1e-12)
    np.testing.assert_allclose(result.grad_x0, 2 * result.x[3] * result.sens_x0[3], rtol=1e-12)


def test_start_that_depends_on_parameters():
    def start(p):
        return np.array([p[4], 2.0, 0.0, 0.0])

    def rhs(dx, x, p, t):
        enzyme(dx, x, p, t)

    p = np.append(ENZYME_P, 0.3)
    result = odead.steady_state(rhs, start, p)
    other = odead.steady_state(enzyme, ENZYME_X0, ENZYME_P, wrt="x0")
    np.testing.assert_allclose(result.sens[:, 4], other.sens_x0[:, 0], rtol=1e-10)


def test_far_start_follows_the_solution():
    def switch(dx, x, p, t):  # two stable states and one between
        dx[0] = p[0] + x[0] ** 8 / (1 + x[0] ** 8) - p[1] * x[0]

    result = odead.steady_state(switch, np.array([40.0]), np.array([0.05, 0.6]))
    assert abs(0.05 + result.x[0] ** 8 / (1 + result.x[0] ** 8) - 0.6 * result.x[0]) < 1e-14
    assert result.x[0] > 1.5


def test_containers_and_returned_derivatives():
    def rhs(x, p, t):
        return {"a": p["k"] - x["a"] ** 2}

    result = odead.steady_state(rhs, {"a": np.array([1.0, 2.0])}, {"k": np.array([4.0, 9.0])}, loss=lambda x: np.sum(x["a"]))
    np.testing.assert_allclose(result.x, [2, 3], rtol=1e-14)
    np.testing.assert_allclose(result.grad["k"], [0.25, 1 / 6], rtol=1e-13)


def test_results_pickle():
    result = odead.steady_state(exchange, np.array([0.0, 0.0]), np.array([3.0, 1.5, 0.7, 0.2]))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(result)).sens, result.sens)


def test_none_exists():
    def grows(dx, x, p, t):
        dx[0] = p[0] + x[0] ** 2

    with pytest.raises(IntegrationError, match="no steady state of grows") as caught:
        odead.steady_state(grows, np.array([1.0]), np.array([1.0]))
    assert not caught.value.result.success


def test_fold_has_no_derivative():
    def fold(dx, x, p, t):
        dx[0] = p[0] - (x[0] - 1) ** 2

    with pytest.raises(IntegrationError, match="singular"):
        odead.steady_state(fold, np.array([2.0]), np.array([0.0]))


def test_drift_is_refused():
    def drift(dx, x, p, t):
        dx[0] = -x[0] + p[0]
        dx[1] = x[0] - p[1]
        dx[2] = -dx[1]

    with pytest.raises(IntegrationError, match="singular"):
        odead.steady_state(lambda dx, x, p, t: drift(dx, x, p, t), np.array([1.0, 1.0, 1.0]), np.array([1.0, 2.0]))


def test_time_dependence_is_refused():
    def forced(dx, x, p, t):
        dx[0] = np.sin(t) - p[0] * x[0]

    with pytest.raises(ArgumentValueError, match="depends on t"):
        odead.steady_state(forced, np.array([1.0]), np.array([1.0]))
    with pytest.raises(ArgumentValueError, match="t1"):
        odead.steady_state(exchange, np.zeros(2), np.ones(4), wrt="t1")
