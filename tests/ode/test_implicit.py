"""The implicit methods of the compiled loop: solutions and forward sensitivities against closed forms and known answers."""

import numpy as np
import pytest

import odead
from ode.problems import (
    HEAT_BY_A,
    HEAT_BY_B,
    HEAT_END,
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
    logistic,
    logistic_exact,
    robertson,
)
from odead.ode.methods import DIAGONAL, MULTISTEP, ROSENBROCK

METHODS = pytest.mark.parametrize("method", [*ROSENBROCK, *DIAGONAL, *MULTISTEP])
ONE_STEP = pytest.mark.parametrize("method", [*ROSENBROCK, *DIAGONAL])
TOLERANCES = pytest.mark.parametrize("rtol", [1e-6, 1e-9])


def relaxation(dx, x, p, t):
    """Prothero and Robinson's problem: the solution is cos(t) however large p[0] is, and depends on t explicitly."""
    dx[0] = -p[0] * (x[0] - np.cos(t)) - np.sin(t)


def decay(dx, x, p, t):
    dx[:] = -p * x


# ------------------------------------------------------------------------------------------------- coefficients


@pytest.mark.parametrize("tableau", ROSENBROCK.values(), ids=list(ROSENBROCK))
def test_order_conditions_of_rosenbrock_methods(tableau):
    """Up to order 4, of the solution and of the interpolant at the end; E. Hairer, G. Wanner, section IV.7."""
    gamma = tableau.gamma_matrix
    alpha = tableau.a @ gamma
    beta = alpha + gamma
    b, c, sums = tableau.m @ gamma, tableau.c, beta.sum(1)
    conditions = [
        (b.sum(), 1), (b @ sums, 1 / 2), (b @ c**2, 1 / 3), (b @ beta @ sums, 1 / 6), (b @ c**3, 1 / 4),
        (b @ (c * (alpha @ sums)), 1 / 8), (b @ beta @ c**2, 1 / 12), (b @ beta @ beta @ sums, 1 / 24), (b @ c**4, 1 / 5),
        (b @ beta @ beta @ beta @ sums, 1 / 120),
    ]  # fmt: skip
    np.testing.assert_allclose([c[0] for c in conditions], [c[1] for c in conditions], atol=1e-13)
    lower_order = (tableau.m - tableau.error) @ gamma
    np.testing.assert_allclose([lower_order.sum(), lower_order @ sums, lower_order @ c**2], [1, 1 / 2, 1 / 3], atol=1e-13)
    np.testing.assert_allclose(beta[-1], b, atol=1e-13)  # stiffly accurate


@pytest.mark.parametrize("method", list(ROSENBROCK))
def test_convergence_of_a_step(method):
    """Halving the steps divides the error at the end by 2**5, between the steps by 2**4 or more."""
    errors, between = [], []
    for steps in (20, 40):
        h = 2 / steps
        run = odead.solve(
            logistic, [0.5], [1.3, 2.0], (0, 2), method=method, first_step=h, max_step=h, rtol=1, atol=1, dense_output=True
        )
        t = (np.arange(steps) + 0.4) * h
        errors.append(abs(run.y[0, -1] - logistic_exact([1.3, 2.0], 0.5, 2.0)[0]))
        between.append(abs(run.sol(t)[0] - logistic_exact([1.3, 2.0], 0.5, t)[0]).max())
    assert np.log2(errors[0] / errors[1]) > 4.7
    assert np.log2(between[0] / between[1]) > 3.8


# ------------------------------------------------------------------------------------------------- closed forms


@METHODS
@TOLERANCES
def test_linear_systems(method, rtol):
    t = np.linspace(0.0, 3.0, 7)
    run = odead.sensitivity(linear, LINEAR_X0, LINEAR_P, (0, 3), t_eval=t, wrt=("p", "x0"), method=method, rtol=rtol, atol=rtol)
    for k, time in enumerate(t):
        x, by_p, by_x0 = linear_exact(LINEAR_P, LINEAR_X0, time)
        np.testing.assert_allclose(run.y[:, k], x, rtol=50 * rtol, atol=50 * rtol)
        np.testing.assert_allclose(run.sens[k], by_p, rtol=50 * rtol, atol=50 * rtol)
        np.testing.assert_allclose(run.sens_x0[k], by_x0, rtol=50 * rtol, atol=50 * rtol)


@METHODS
@TOLERANCES
@pytest.mark.parametrize("backwards", [False, True])
def test_logistic_growth(method, rtol, backwards):
    p, end = [1.3, 2.0], -1.5 if backwards else 4.0
    t = np.linspace(0, end, 11)
    run = odead.sensitivity(logistic, [0.5], p, (0, end), t_eval=t, wrt=("p", "x0"), method=method, rtol=rtol, atol=rtol)
    x, by = logistic_exact(p, 0.5, t)
    np.testing.assert_allclose(run.y[0], x, rtol=50 * rtol, atol=50 * rtol)
    found = np.concatenate([run.sens[:, 0, :].T, run.sens_x0[:, 0, :].T])
    np.testing.assert_allclose(found, by, rtol=50 * rtol, atol=50 * rtol)


@METHODS
@TOLERANCES
def test_stiff_decay(method, rtol):
    p = np.array([0.5, 1e3, 1e6])
    run = odead.sensitivity(decay, np.ones(3), p, (0, 2), t_eval=[2.0], method=method, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(run.y[:, 0], np.exp(-2 * p), atol=50 * rtol)
    np.testing.assert_allclose(run.sens[0] * p, np.diag(-2 * p * np.exp(-2 * p)), atol=50 * rtol)
    assert run.nsteps < 2500


@METHODS
@TOLERANCES
@pytest.mark.parametrize("rate", [10.0, 1e6])
def test_explicit_dependence_on_time(method, rtol, rate):
    t = np.linspace(0, 3, 20)
    run = odead.solve(relaxation, [1.0], [rate], (0, 3), t_eval=t, method=method, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(run.y[0], np.cos(t), atol=50 * rtol)


@METHODS
def test_the_heat_equation(method):
    run = odead.sensitivity(heat_eq, HEAT_X0, HEAT_P, (0, 6000), t_eval=[6000.0], method=method, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(run.y[:, 0], HEAT_END, rtol=2e-6)
    np.testing.assert_allclose(run.sens[0], np.tile([HEAT_BY_A, HEAT_BY_B], (101, 1)), rtol=5e-5)


# Serban and Hindmarsh, CVODES (2005) and its example cvsRoberts_FSA_dns: t, y, then dy/dp for each parameter.
CVODES = {
    0.4: ([9.8517e-01, 3.3864e-05, 1.4794e-02], [-3.5595e-01, 3.9025e-04, 3.5556e-01], [9.5431e-08, -2.1309e-10, -9.5218e-08],
          [-1.5833e-11, -5.2900e-13, 1.6362e-11]),
    4.0e0: ([9.0552e-01, 2.2405e-05, 9.4459e-02], [-1.8761e00, 1.7922e-04, 1.8759e00], [2.9614e-06, -5.8305e-10, -2.9608e-06],
            [-4.9334e-10, -2.7626e-13, 4.9362e-10]),
    4.0e1: ([7.1583e-01, 9.1856e-06, 2.8416e-01], [-4.2475e00, 4.5913e-05, 4.2475e00], [1.3731e-05, -2.3573e-10, -1.3730e-05],
            [-2.2883e-09, -1.1380e-13, 2.2884e-09]),
    4.0e2: ([4.5052e-01, 3.2229e-06, 5.4947e-01], [-5.9584e00, 3.5431e-06, 5.9584e00], [2.2738e-05, -2.2605e-11, -2.2738e-05],
            [-3.7896e-09, -4.9948e-14, 3.7897e-09]),
    4.0e3: ([1.8318e-01, 8.9413e-07, 8.1682e-01], [-4.7500e00, -5.9948e-06, 4.7500e00], [1.8809e-05, 2.3132e-11, -1.8809e-05],
            [-3.1348e-09, -1.8757e-14, 3.1348e-09]),
}  # fmt: skip


@METHODS
def test_published_sensitivities_of_robertsons_problem(method):
    times = np.array(list(CVODES))
    run = odead.sensitivity(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 4e3), t_eval=times, method=method, rtol=1e-8, atol=1e-12)
    for k, (y, *by) in enumerate(CVODES.values()):
        np.testing.assert_allclose(run.y[:, k], y, rtol=3e-4)
        for j, column in enumerate(by):
            np.testing.assert_allclose(run.sens[k, :, j], column, rtol=2e-3)


# --------------------------------------------------------------------------------- the same problem in other forms


@METHODS
def test_a_pattern_that_grows(method):
    run = odead.sensitivity(branching, [1.0, 0.0], [2.0, 0.5], (0, 2), t_eval=[2.0], method=method, rtol=1e-8, atol=1e-10)
    s = np.linspace(0, 1, 20_001)
    added = 0.5 * np.trapezoid(np.exp(-2 * (1 - s)) * s**3, s)
    np.testing.assert_allclose(run.y[0, 0], np.exp(-4) + added, rtol=1e-6)
    np.testing.assert_allclose(run.sens[0, 0, 1], added / 0.5, rtol=1e-6)


@METHODS
def test_states_and_parameters_may_be_few(method):
    run = odead.solve(lambda x, p, t: -x, [1.0], None, (0, 1), method=method, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(run.y[0, -1], np.exp(-1), rtol=1e-7)


@METHODS
def test_the_dense_output_is_the_solution(method):
    run = odead.solve(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 100), method=method, dense_output=True, atol=1e-12)
    np.testing.assert_allclose(run.sol(run.t), run.y, rtol=1e-12, atol=1e-15)
    t = np.linspace(0, 100, 40)
    same = odead.solve(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 100), method=method, t_eval=t, atol=1e-12)
    np.testing.assert_allclose(same.y, run.sol(t), rtol=1e-5, atol=1e-11)  # the steps differ: each looks at what is asked for


@METHODS
@pytest.mark.parametrize("problem", ["robertson", "linear"])
def test_scipy_agrees(method, problem):
    rhs, x0, p, end = {
        "robertson": (robertson, ROBERTSON_X0, ROBERTSON_P, 1e3), "linear": (linear, LINEAR_X0, LINEAR_P, 4.0)
    }[problem]  # fmt: skip
    t = np.linspace(0, end, 9)[1:]
    tight = {"rtol": 1e-8, "atol": 1e-12}
    ours, theirs = (odead.sensitivity(rhs, x0, p, (0, end), t_eval=t, method=m, **tight) for m in (method, "Radau"))
    np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-6, atol=1e-11)
    np.testing.assert_allclose(ours.sens * p, theirs.sens * p, rtol=1e-5, atol=1e-7)


# ------------------------------------------------------------------------------------------------------ failures


@METHODS
def test_a_solution_that_explodes(method):
    with pytest.raises(odead.IntegrationError, match=r"stopped at t = (0\.99|1\.00)"):
        odead.solve(lambda x, p, t: x**2, [1.0], None, (0, 2), method=method)


@METHODS
def test_too_many_steps(method):
    with pytest.raises(odead.IntegrationError, match="max_steps=5") as failure:
        odead.solve(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 100), method=method, max_steps=5)
    assert failure.value.result.t.size == 6


@ONE_STEP
def test_a_matrix_that_is_singular_at_one_step_size(method):
    """I - h gamma J is singular for the first step; a smaller one does."""
    gamma = {**ROSENBROCK, **DIAGONAL}[method].gamma
    run = odead.solve(
        lambda x, p, t: p * x, [1.0], [1.0], (0, 1 / gamma), method=method, first_step=1 / gamma, rtol=1e-8, atol=1e-8
    )
    np.testing.assert_allclose(run.y[0, -1], np.exp(1 / gamma), rtol=1e-6)


# ---------------------------------------------------------------------------------------------- agreement with SciPy


def forced(x, p, t):
    return np.array([p[0] * (x[1] - x[0] ** 3) + np.sin(t), -x[0] - p[1] * x[1]])


@pytest.mark.parametrize("problem", ["robertson", "forced", "backwards", "options"])
def test_every_step_is_scipys(problem):
    rhs, x0, p, span, options = {
        "robertson": (robertson, ROBERTSON_X0, ROBERTSON_P, (0, 1e3), {"atol": 1e-10}),
        "forced": (forced, [1.0, 0.0], [1e3, 0.5], (0, 20), {}),
        "backwards": (forced, [1.0, 0.0], [-1e2, -0.5], (0, -3), {}),
        "options": (forced, [1.0, 0.0], [1e1, 0.5], (0, 3), {"max_step": 0.1, "first_step": 0.01, "atol": [1e-4, 1e-7]}),
    }[problem]  # fmt: skip
    ours, theirs = (
        odead.solve(rhs, x0, p, span, method="BDF", engine=engine, dense_output=True, **options)
        for engine in ("native", "scipy")
    )
    assert (ours.nsteps, ours.nfev, ours.nlu, ours.njev) == (theirs.nsteps, theirs.nfev, theirs.nlu, theirs.njev)
    np.testing.assert_allclose(ours.t, theirs.t, rtol=1e-5)
    np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-5, atol=1e-9)
    t = np.linspace(*span, 50)
    np.testing.assert_allclose(ours.sol(t), theirs.sol(t), rtol=1e-5, atol=1e-9)


def test_a_constant_jacobian_is_evaluated_once():
    run = odead.sensitivity(heat_eq, HEAT_X0, HEAT_P, (0, 6000), t_eval=[6000.0], method="BDF", rtol=1e-5, atol=1e-5)
    assert run.njev == 1
    assert run.nlu < run.nsteps


@pytest.mark.parametrize(("engine", "ran"), [("auto", "native"), ("native", "native"), ("scipy", "scipy")])
def test_bdf_has_a_continuous_adjoint_by_scipy(engine, ran):
    """Backwards it is SciPy's in any case."""
    run = odead.sensitivity(
        linear, LINEAR_X0, LINEAR_P, (0, 3), t_eval=[3.0], loss=lambda y: y[0, 0], mode="continuous", method="BDF", rtol=1e-8,
        engine=engine,
    )  # fmt: skip
    assert (run.mode, run.engine) == ("continuous", ran)
    np.testing.assert_allclose(run.grad, linear_exact(LINEAR_P, LINEAR_X0, 3.0)[1][0], rtol=1e-5)
