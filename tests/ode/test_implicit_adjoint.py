"""The discrete adjoint of the implicit methods: the derivative of what was computed, to round-off, and known gradients."""

import numpy as np
import pytest

import odead
from ode.problems import (
    HEAT_BY_A,
    HEAT_BY_B,
    HEAT_P,
    HEAT_X0,
    LINEAR_P,
    LINEAR_X0,
    ROBERTSON_P,
    ROBERTSON_X0,
    branching,
    heat_eq,
    linear,
    linear_exact,
    robertson,
)
from odead.errors import ArgumentValueError
from odead.ode.gradients.forward import SHARES
from odead.ode.methods import DIAGONAL, MULTISTEP, ROSENBROCK

METHODS = pytest.mark.parametrize("method", [*ROSENBROCK, *DIAGONAL, *MULTISTEP])
ONE_STEP = pytest.mark.parametrize("method", list(ROSENBROCK))
STEPS = pytest.mark.parametrize("method", [*DIAGONAL, *MULTISTEP])
MULTISTEPS = pytest.mark.parametrize("method", list(MULTISTEP))


def forced(dx, x, p, t):
    """Nonlinear in everything, and in t."""
    dx[0] = -p[0] * x[0] * x[1] + np.sin(p[1] * t * x[0])
    dx[1] = p[0] * x[0] ** 2 - x[1] ** 3 * t + p[1]


def autonomous(dx, x, p, t):
    dx[0] = -p[0] * x[0] * x[1]
    dx[1] = p[0] * x[0] ** 2 - p[1] * x[1] ** 3


def loss(y):
    return (y**2).sum() + y[0, 1] * y[1, -1]


# ------------------------------------------------------------------------------------------------- exact to round-off


@ONE_STEP
@pytest.mark.parametrize("rhs", [forced, autonomous])
@pytest.mark.parametrize("checkpoints", ["auto", 2000.0])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_adjoint_is_the_derivative_of_the_steps(method, rhs, checkpoints, backwards):
    """With the same steps, forward and adjoint give the same numbers, for data between, at and before the steps."""
    end = -0.3 if backwards else 2.0
    options = {
        "method": method, "loss": loss, "t_eval": end * np.array([0.0, 0.15, 0.155, 0.5, 0.95, 1.0]), "wrt": ("p", "x0"),
        "rtol": 1e3, "atol": 1e3, "first_step": abs(end) / 16, "max_step": abs(end) / 16,
    }  # fmt: skip
    x0, p = np.array([1.0, 0.5]), np.array([2.0, 3.0])
    forward = odead.sensitivity(rhs, x0, p, (0, end), mode="forward", **options)
    adjoint = odead.sensitivity(rhs, x0, p, (0, end), mode="adjoint", checkpoints=checkpoints, **options)
    assert (forward.mode, adjoint.mode) == ("forward", "adjoint")
    np.testing.assert_allclose(adjoint.loss, forward.loss, rtol=1e-13)
    np.testing.assert_allclose(adjoint.grad, forward.grad, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(adjoint.grad_x0, forward.grad_x0, rtol=1e-11, atol=1e-12)


def driven(dx, x, p, t):
    """Linear in x, so that a Newton iteration solves it exactly."""
    dx[:] = p.reshape(3, 3) @ x
    dx[0] += np.sin(3 * t)


@STEPS
@pytest.mark.parametrize(
    ("rhs", "x0", "p", "rtol", "agreement"),
    [
        (driven, LINEAR_X0, LINEAR_P, 1e-4, 1e-10),
        (driven, LINEAR_X0, LINEAR_P, 1e-9, 1e-10),
        (forced, np.array([1.0, 0.5]), np.array([2.0, 3.0]), 1e-11, 1e-8),  # that far are the equations of the steps solved
    ],
)
@pytest.mark.parametrize("end", [4.0, -0.3])
def test_the_adjoint_of_several_orders_and_step_sizes(method, rhs, x0, p, rtol, agreement, end, monkeypatch):
    """Sensitivities that do not count in the error test leave both modes the same steps."""
    options = {
        "method": method, "loss": loss, "t_eval": end * np.array([0.0, 1e-7, 0.15, 0.155, 0.5, 0.95, 1.0]), "wrt": ("p", "x0"),
        "rtol": rtol, "atol": rtol, "sens_rtol": 1.0, "sens_atol": 1e9,
    }  # fmt: skip
    adjoint = odead.sensitivity(rhs, x0, p, (0, end), mode="adjoint", **options)
    if method in MULTISTEP:  # forward mode uses a part of the tolerances
        monkeypatch.setitem(SHARES, method, 1.0)
        monkeypatch.setattr("odead.ode.gradients.forward.POWER", 0.0)
    forward = odead.sensitivity(rhs, x0, p, (0, end), mode="forward", **options)
    assert forward.loss == adjoint.loss
    size = np.abs(forward.grad).max()
    np.testing.assert_allclose(adjoint.grad, forward.grad, rtol=agreement, atol=agreement * size)
    np.testing.assert_allclose(adjoint.grad_x0, forward.grad_x0, rtol=agreement, atol=agreement * size)


@MULTISTEPS
def test_a_budget_for_too_few_states(method):
    options = {"method": method, "loss": loss, "t_eval": [1.0, 2.0], "mode": "adjoint"}
    with pytest.raises(ArgumentValueError, match=r"checkpoints: .* needs the states of all steps"):
        odead.sensitivity(autonomous, np.array([1.0, 0.5]), np.array([2.0, 3.0]), (0, 2), checkpoints=300.0, **options)


@METHODS
def test_without_parameters(method):
    options = {"method": method, "loss": loss, "t_eval": [0.3, 1.0], "wrt": "x0", "rtol": 1e-8}
    forward, adjoint = (
        odead.sensitivity(lambda x, p, t: -(x**3), [1.0, 2.0], None, (0, 1), mode=mode, **options)
        for mode in ("forward", "adjoint")
    )
    np.testing.assert_allclose(adjoint.grad_x0, forward.grad_x0, rtol=5e-7)


# ------------------------------------------------------------------------------------------------------ known answers


@METHODS
@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
def test_a_linear_system(method, rtol):
    t = np.array([0.7, 2.0, 3.0])
    run = odead.sensitivity(
        linear, LINEAR_X0, LINEAR_P, (0, 3), t_eval=t, loss=lambda y: (y**2).sum(), mode="adjoint", wrt=("p", "x0"),
        method=method, rtol=rtol, atol=rtol,
    )  # fmt: skip
    by_p, by_x0 = np.zeros(9), np.zeros(3)
    for time in t:
        x, dx_dp, dx_dx0 = linear_exact(LINEAR_P, LINEAR_X0, time)
        by_p, by_x0 = by_p + 2 * x @ dx_dp, by_x0 + 2 * x @ dx_dx0
    np.testing.assert_allclose(run.grad, by_p, rtol=50 * rtol, atol=50 * rtol)
    np.testing.assert_allclose(run.grad_x0, by_x0, rtol=50 * rtol, atol=50 * rtol)


@METHODS
def test_the_heat_equation(method):
    run = odead.sensitivity(
        heat_eq, HEAT_X0, HEAT_P, (0, 6000), t_eval=[6000.0], loss=lambda y: y[40, 0], mode="adjoint", method=method,
        rtol=1e-6, atol=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(run.grad, [HEAT_BY_A, HEAT_BY_B], rtol=5e-5)


@METHODS
def test_robertsons_problem(method):
    options = {"t_eval": np.logspace(-2, 4, 7), "loss": lambda y: (y**2).sum(), "atol": 1e-10}
    found = odead.sensitivity(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 1e4), mode="adjoint", method=method, **options)
    options |= {"rtol": 1e-9, "atol": 1e-13}
    exact = odead.sensitivity(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 1e4), mode="forward", method="Radau", **options)
    np.testing.assert_allclose(found.grad * ROBERTSON_P, exact.grad * ROBERTSON_P, rtol=5e-5)


@METHODS
def test_a_pattern_that_grows(method):
    run = odead.sensitivity(
        branching, [1.0, 0.0], [2.0, 0.5], (0, 2), t_eval=[2.0], loss=lambda y: y[0, 0], mode="adjoint", method=method,
        rtol=1e-8, atol=1e-10,
    )  # fmt: skip
    s = np.linspace(0, 1, 20_001)
    np.testing.assert_allclose(run.grad[1], np.trapezoid(np.exp(-2 * (1 - s)) * s**3, s), rtol=1e-6)
