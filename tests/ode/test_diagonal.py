"""The diagonally implicit methods: coefficients against the order conditions, and what their iteration leaves over."""

from dataclasses import replace

import numpy as np
import pytest

import odead
from ode.problems import LINEAR_P, LINEAR_X0, ROBERTSON_P, ROBERTSON_X0, linear, robertson
from ode.test_tableaus import density, nodes, stage_values, trees
from odead.ode.methods import DIAGONAL

TABLEAUS = pytest.mark.parametrize("tableau", DIAGONAL.values(), ids=list(DIAGONAL))
METHODS = pytest.mark.parametrize("method", list(DIAGONAL))


def residuals(tableau, weights, order):
    return [abs(weights @ stage_values(tree, tableau.a) - 1 / density(tree)) for tree in trees(order)]


@TABLEAUS
def test_order_of_both_solutions(tableau):
    lower = tableau.a[-1] - tableau.error
    for order in range(1, tableau.order + 1):
        assert max(residuals(tableau, tableau.a[-1], order)) < 2e-14
    for order in range(1, tableau.error_order + 1):
        assert max(residuals(tableau, lower, order)) < 2e-14
    assert max(residuals(tableau, tableau.a[-1], tableau.order + 1)) > 1e-6
    assert max(residuals(tableau, lower, tableau.error_order + 1)) > 1e-6


@TABLEAUS
@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_interpolant_has_order_four(tableau, q):
    for order in range(1, 5):
        for tree in trees(order):
            assert tableau.weights(np.array(q)) @ stage_values(tree, tableau.a) == pytest.approx(
                q ** nodes(tree) / density(tree), abs=2e-14
            )


@TABLEAUS
def test_the_interpolant_meets_the_derivative_at_the_end(tableau):
    slope = tableau.interpolant @ np.arange(1, tableau.interpolant.shape[1] + 1)
    np.testing.assert_allclose(slope, np.eye(tableau.stages)[-1], atol=1e-13)


@TABLEAUS
@pytest.mark.parametrize("z", [-1e2, -1e4, -1e8])
def test_decay_within_a_step(tableau, z):
    """On x' = (z / h) x the step damps, and the solution inside it stays between its ends, about."""
    stages = np.linalg.solve(np.eye(tableau.stages) - z * tableau.a, np.ones(tableau.stages)) * z
    assert abs(1 + tableau.a[-1] @ stages) < 0.1
    assert np.abs(1 + tableau.weights(np.linspace(0, 1, 51)).T @ stages).max() < 1 + 1e-6


@TABLEAUS
def test_a_guess_is_exact_for_polynomials(tableau):
    for i in range(1, tableau.stages):
        before = tableau.c[:i]
        degree = 0 if (before == tableau.c[i]).any() else len(before) - 1
        assert tableau.guess[i, :i] @ before**degree == pytest.approx(tableau.c[i] ** degree, abs=1e-12)


@TABLEAUS
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gamma": 0.3}, "another weight than gamma"),
        ({"c": np.array([0, 0.5, 1.2, 0.9, 0.4, 1, 1])}, "do not sum to c"),
        ({"error": np.ones(7)}, "error weights"),
        ({"interpolant": np.ones((7, 4))}, "does not join"),
    ],
)
def test_wrong_coefficients_are_refused(tableau, change, words):
    with pytest.raises(ValueError, match=words):
        replace(tableau, **change)


# ------------------------------------------------------------------------------------------------------- the steps


def follow(dx, x, p, t):
    """Linear in x, so that the iteration leaves nothing over; the solution is cos(t)."""
    dx[0] = -p[0] * (x[0] - np.cos(t)) - np.sin(t)


@METHODS
def test_convergence_of_a_step(method):
    """Halving the steps divides the error at the end by 2**5, between the steps by 2**4."""
    errors, between = [], []
    for steps in (10, 20):
        h = 4 / steps
        run = odead.solve(
            follow, [1.0], [2.0], (0, 4), method=method, first_step=h, max_step=h, rtol=1, atol=1, dense_output=True
        )
        t = (np.arange(steps) + 0.4) * h
        errors.append(abs(run.y[0, -1] - np.cos(4)))
        between.append(abs(run.sol(t)[0] - np.cos(t)).max())
    assert np.log2(errors[0] / errors[1]) > 4.5
    assert np.log2(between[0] / between[1]) > 3.7


def forced(dx, x, p, t):
    dx[0] = -p[0] * x[0] * x[1] + np.sin(p[1] * t * x[0])
    dx[1] = p[0] * x[0] ** 2 - x[1] ** 3 * t + p[1]


@METHODS
@pytest.mark.parametrize("checkpoints", ["auto", 2000.0])
@pytest.mark.parametrize("end", [2.0, -0.3])
def test_steps_computed_again_have_the_same_gradient(method, checkpoints, end):
    options = {
        "method": method, "loss": lambda y: (y**2).sum(), "t_eval": end * np.array([0.0, 0.15, 0.155, 0.95, 1.0]),
        "wrt": ("p", "x0", "t0", "t1"), "rtol": 1e-11, "atol": 1e-11,
    }  # fmt: skip
    problem = (forced, np.array([1.0, 0.5]), np.array([2.0, 3.0]), (0, end))
    forward = odead.sensitivity(*problem, mode="forward", **options)
    adjoint = odead.sensitivity(*problem, mode="adjoint", checkpoints=checkpoints, **options)
    assert adjoint.mode == "adjoint"
    np.testing.assert_allclose(adjoint.grad, forward.grad, rtol=1e-8)
    np.testing.assert_allclose(adjoint.grad_x0, forward.grad_x0, rtol=1e-8)
    np.testing.assert_allclose(adjoint.grad_t0, forward.grad_t0, rtol=1e-8, atol=1e-9)


@METHODS
def test_an_adjoint_of_a_stiff_problem(method):
    options = {"loss": lambda y: (y**2).sum(), "t_eval": [0.4, 40.0, 4e3], "rtol": 1e-8, "atol": 1e-12}
    problem = (robertson, ROBERTSON_X0, ROBERTSON_P, (0, 4e3))
    adjoint = odead.sensitivity(*problem, mode="adjoint", method=method, **options)
    forward = odead.sensitivity(*problem, mode="forward", method="Rodas5P", **options)
    np.testing.assert_allclose(adjoint.grad, forward.grad, rtol=1e-5)


@METHODS
def test_a_constant_jacobian_is_evaluated_once(method):
    run = odead.sensitivity(linear, LINEAR_X0, LINEAR_P, (0, 3), t_eval=[3.0], method=method)
    assert run.njev == 1
    assert run.nlu == run.nsteps + run.nrejected


@METHODS
def test_a_right_hand_side_that_fails_on_the_way(method):
    def fails(dx, x, p, t):
        dx[0] = -x[0] * p[0]
        dx[1] = np.sqrt(0.5 - t)

    with pytest.raises(odead.IntegrationError, match=r"stopped at t = 0\.(49|5)"):
        odead.solve(fails, [1.0, 0.0], [1.0], (0, 1), method=method)


@METHODS
def test_mass_matrices(method):
    def decay(dx, x, p, t):
        dx[:] = -p[0] * x

    run = odead.solve(decay, [1.0, 2.0], [3.0], (0, 1), method=method, mass_matrix=np.diag([1.0, 2.0]), rtol=1e-8)
    np.testing.assert_allclose(run.y[:, -1], [np.exp(-3.0), 2 * np.exp(-1.5)], rtol=1e-6)
    with pytest.raises(ValueError, match="begins with an explicit stage"):
        odead.solve(decay, [1.0, 0.0], [3.0], (0, 1), method=method, mass_matrix=np.diag([1.0, 0.0]))
