"""Forward sensitivities against closed forms and against tight references, with every method."""

import numpy as np
import pytest

from ode.problems import (
    HEAT_BY_A,
    HEAT_BY_B,
    HEAT_END,
    HEAT_P,
    HEAT_X0,
    LINEAR_P,
    LINEAR_X0,
    LOTKA_P,
    LOTKA_X0,
    ROBERTSON_P,
    ROBERTSON_X0,
    heat_eq,
    linear,
    linear_exact,
    logistic,
    logistic_exact,
    lotka_volterra,
    robertson,
)
from odead.ode import sensitivity, solve

METHODS = ("RK45", "DOP853", "LSODA", "BDF", "Radau")
STIFF = ("LSODA", "BDF", "Radau")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("end", [2.0, -1.0])
def test_linear_system(method, end):
    result = sensitivity(
        linear, LINEAR_X0, LINEAR_P, (0, end), t_eval=[0, end / 2, end], wrt=("p", "x0"), method=method, rtol=1e-8
    )
    for k, t in enumerate((0, end / 2, end)):
        x, by_p, by_x0 = linear_exact(LINEAR_P, LINEAR_X0, t)
        np.testing.assert_allclose(result.y[:, k], x, atol=1e-6)
        np.testing.assert_allclose(result.sens[k], by_p, atol=1e-6)
        np.testing.assert_allclose(result.sens_x0[k], by_x0, atol=1e-6)
    assert (result.mode, result.method) == ("forward", method)
    assert result.grad is None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
def test_logistic_within_50_times_the_tolerance(method, rtol):
    p, times = np.array([1.3, 2.0]), np.linspace(0, 6, 13)
    result = sensitivity(logistic, [0.1], p, (0, 6), t_eval=times, wrt=("p", "x0"), method=method, rtol=rtol, atol=1e-3 * rtol)
    x, derivatives = logistic_exact(p, 0.1, times)
    found = np.concatenate([result.sens[:, 0], result.sens_x0[:, 0]], axis=1).T
    np.testing.assert_allclose(result.y[0], x, rtol=50 * rtol)
    scale = np.abs(derivatives).max(axis=1, keepdims=True)
    assert (np.abs(found - derivatives) / scale).max() < 50 * rtol


def test_an_equilibrium_start_does_not_fool_the_step_control():
    """x stays where it is, so that the error estimate of x alone is zero; its derivative is not."""
    p = np.array([1.0, 2.0])
    result = sensitivity(logistic, [2.0], p, (0, 5), t_eval=[5.0], method="RK45")
    np.testing.assert_allclose(result.sens[0, 0], [0, 1 - np.exp(-5)], atol=1e-5)


def test_robertson_with_parameters_of_many_orders():
    times = [0.4, 4, 40, 400]
    options = {"atol": np.array([1e-8, 1e-12, 1e-8])}
    reference = sensitivity(
        robertson, ROBERTSON_X0, ROBERTSON_P, (0, 400), t_eval=times, method="Radau", rtol=1e-11, atol=1e-15
    )
    # as published for CVODES at t = 0.4
    published = [
        [-3.5595e-01, 9.5428e-08, -1.5832e-11],
        [3.9026e-04, -2.1310e-10, -5.2900e-13],
        [3.5556e-01, -9.5213e-08, 1.6361e-11],
    ]
    np.testing.assert_allclose(reference.sens[0], published, rtol=2e-4)
    scale = np.abs(reference.sens).max(axis=0)
    for method in STIFF:
        found = sensitivity(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 400), t_eval=times, method=method, **options)
        assert (np.abs(found.sens - reference.sens) / scale).max() < 5e-5, method
        assert found.nsteps < 1000, method


@pytest.mark.parametrize("method", STIFF)
def test_heat_equation(method):
    result = sensitivity(heat_eq, HEAT_X0, HEAT_P, (0, 6000), t_eval=[6000.0], method=method)
    np.testing.assert_allclose(result.y[:, 0], HEAT_END, rtol=2e-6)
    np.testing.assert_allclose(result.sens[0, :, 0], HEAT_BY_A, rtol=5e-6)
    np.testing.assert_allclose(result.sens[0, :, 1], HEAT_BY_B, rtol=5e-5)


def test_against_finite_differences():
    times = np.linspace(0, 8, 5)
    result = sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 8), t_eval=times, wrt=("p", "x0"), rtol=1e-10, method="DOP853")
    for k in range(4):
        step = np.zeros(4)
        step[k] = 1e-5
        high, low = (solve(lotka_volterra, LOTKA_X0, p, (0, 8), t_eval=times, rtol=1e-12, atol=1e-13, method="DOP853").y
                     for p in (LOTKA_P + step, LOTKA_P - step))  # fmt: skip
        np.testing.assert_allclose(result.sens[:, :, k].T, (high - low) / 2e-5, rtol=1e-5, atol=1e-6)


def test_one_column_per_entry_of_a_container():
    def rhs(x, p, t):
        return [p["prey"][0] * x[0] - p["prey"][1] * x[0] * x[1], -p["predator"] * x[1] + p["gain"] * x[0] * x[1]]

    p = {"gain": 1.0, "prey": np.array([1.5, 1.0]), "predator": 3.0}
    found = sensitivity(rhs, LOTKA_X0, p, (0, 3), t_eval=[1, 3], loss=lambda y: y.sum(), mode="forward")
    plain = sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 3), t_eval=[1, 3], loss=lambda y: y.sum(), mode="forward")
    np.testing.assert_allclose(found.sens, plain.sens[:, :, [3, 0, 1, 2]], rtol=1e-9)
    assert found.parameter_names == ["p['gain']", "p['prey'][0]", "p['prey'][1]", "p['predator']"]
    assert list(found.grad) == ["gain", "prey", "predator"]
    np.testing.assert_allclose(found.grad["prey"], plain.grad[:2], rtol=1e-9)
    assert isinstance(found.grad["gain"], float)


def test_a_start_that_depends_on_the_parameters():
    p = np.array([1.3, 2.0])
    result = sensitivity(logistic, lambda p: 0.05 * p[1:], p, (0, 2), t_eval=[0, 2], wrt=("p", "x0"), rtol=1e-9)
    np.testing.assert_allclose(result.sens[0], [[0, 0.05]])
    _, (by_r, by_k, by_x0) = logistic_exact(p, 0.1, np.array([2.0]))
    np.testing.assert_allclose(result.sens[1, 0], [by_r[0], by_k[0] + 0.05 * by_x0[0]], rtol=1e-6)
    np.testing.assert_allclose(result.sens_x0[1, 0], by_x0, rtol=1e-6)


def test_repeated_times_add_up():
    once = sensitivity(
        logistic, [0.1], [1.3, 2.0], (0, 2), t_eval=[1, 2], loss=lambda y: 3 * y[0, 0] + y[0, 1], wrt=("p", "x0")
    )
    twice = sensitivity(logistic, [0.1], [1.3, 2.0], (0, 2), t_eval=[1, 1, 1, 2], loss=lambda y: y[0].sum(), wrt=("p", "x0"))
    assert twice.y.shape == (1, 4)
    assert twice.sens.shape == (4, 1, 2)
    np.testing.assert_allclose(twice.grad, once.grad)
    np.testing.assert_allclose(twice.grad_x0, once.grad_x0)


def test_every_step_is_kept_without_times():
    result = sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 3), loss=lambda y: y[0, 0], dense_output=True, mode="forward")
    assert result.sens.shape == (result.t.size, 2, 4)
    np.testing.assert_allclose(result.grad, result.sens[-1, 0])
    assert result.sol(1.5).shape == (2,)


def test_nothing_of_the_user_is_changed():
    x0, p, times = LOTKA_X0.copy(), LOTKA_P.copy(), np.array([1.0, 3.0])
    sensitivity(lotka_volterra, x0, p, (0, 3), t_eval=times)
    np.testing.assert_array_equal(x0, LOTKA_X0)
    np.testing.assert_array_equal(p, LOTKA_P)
    np.testing.assert_array_equal(times, [1, 3])


@pytest.mark.parametrize(
    ("wrt", "mode"), [("p", "adjoint"), ("x0", "forward"), (("p", "x0"), "forward")], ids=["four", "two", "four and two"]
)
def test_auto_takes_what_is_faster(wrt, mode):
    """A column costs a third of an adjoint, which needs a probe for each of p and x0."""
    result = sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 2), t_eval=[1.0, 2.0], loss=lambda y: (y**2).sum(), wrt=wrt)
    assert result.mode == mode
