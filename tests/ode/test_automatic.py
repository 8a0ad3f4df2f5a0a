"""method="auto" of the compiled loop: Tsit5 until the problem is stiff, then Rodas5P, and back, or BDF."""

import numpy as np
import pytest

import odead
from ode.problems import (
    LOTKA_P,
    LOTKA_X0,
    ROBERTSON_P,
    ROBERTSON_X0,
    logistic,
    logistic_exact,
    lotka_volterra,
    robertson,
    sum_of_squares,
)

TOLERANCES = pytest.mark.parametrize("rtol", [1e-6, 1e-9])
MODES = pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])


def attracted(dx, x, p, t):
    """The second state runs to the first one, 1000 times as fast: x = x0 exp(-p0 t)."""
    dx[0] = -p[0] * x[0]
    dx[1] = 1e3 * p[1] * (x[0] - x[1])


def attracted_exact(p, t):
    """The states from (1, 0), and their derivatives by p, shape (2, 2)."""
    a, b = p[0], 1e3 * p[1]
    slow, fast, weight = np.exp(-a * t), np.exp(-b * t), b / (b - a)
    by_a = b / (b - a) ** 2 * (slow - fast) - weight * t * slow
    by_b = -a / (b - a) ** 2 * (slow - fast) + weight * t * fast
    return np.array([slow, weight * (slow - fast)]), np.array([[-t * slow, 0.0], [by_a, 1e3 * by_b]])


def stiff_at_times(dx, x, p, t):
    dx[0] = -p[0] * (1 + 1e3 * np.sin(t) ** 8) * (x[0] - np.cos(t)) + p[1] * np.sin(x[1])
    dx[1] = 1 - p[1] * x[1]


@TOLERANCES
@MODES
def test_gradients_across_the_change(mode, rtol):
    p, t = np.array([0.7, 1.1]), np.array([0.0, 0.001, 0.7, 1.5, 3.0])
    run = odead.sensitivity(
        attracted, [1.0, 0.0], p, (0, 3), t_eval=t, loss=sum_of_squares, mode=mode, rtol=rtol, atol=1e-3 * rtol
    )
    exact = [attracted_exact(p, time) for time in t]
    assert run.method == "Tsit5+Rodas5P"
    assert "Tsit5 until t = " in run.message
    np.testing.assert_allclose(run.y, np.transpose([y for y, _ in exact]), rtol=50 * rtol, atol=50 * rtol)
    np.testing.assert_allclose(run.grad, sum(2 * y @ by for y, by in exact), rtol=50 * rtol, atol=50 * rtol)
    if mode == "forward":
        np.testing.assert_allclose(run.sens, [by for _, by in exact], rtol=50 * rtol, atol=50 * rtol)


def test_the_adjoint_is_exact_for_the_steps_taken():
    """Sensitivities that do not count in the error test leave both modes the same steps, several changes among them."""
    options = {"t_eval": np.linspace(0, 12, 23), "loss": sum_of_squares, "wrt": ("p", "x0"), "sens_rtol": 1.0, "sens_atol": 1e9}
    x0, p = np.array([1.0, 0.5]), np.array([2.0, 0.3])
    forward, adjoint = (
        odead.sensitivity(stiff_at_times, x0, p, (0, 12), mode=mode, **options) for mode in ("forward", "adjoint")
    )
    assert forward.message == adjoint.message
    assert forward.message.count("Tsit5 until") > 1
    np.testing.assert_allclose(adjoint.loss, forward.loss, rtol=1e-12)
    np.testing.assert_allclose(adjoint.grad, forward.grad, rtol=1e-9)
    np.testing.assert_allclose(adjoint.grad_x0, forward.grad_x0, rtol=1e-9)


@pytest.mark.parametrize("checkpoints", [20e3, 4e3])
def test_a_budget_changes_nothing(checkpoints):
    options = {"t_eval": [10.0, 150.0], "loss": sum_of_squares, "mode": "adjoint"}
    free, bound = (
        odead.sensitivity(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 150), checkpoints=budget, **options)
        for budget in ("auto", checkpoints)
    )
    np.testing.assert_array_equal(bound.grad, free.grad)


@TOLERANCES
@pytest.mark.parametrize("end", [4.0, -1.5])
def test_a_problem_that_is_not_stiff_stays_with_the_explicit_method(rtol, end):
    t = np.linspace(0, end, 7)
    run = odead.solve(logistic, [0.5], [1.3, 2.0], (0, end), t_eval=t, rtol=rtol, atol=rtol)
    assert (run.method, run.engine) == ("Tsit5", "native")
    np.testing.assert_allclose(run.y[0], logistic_exact([1.3, 2.0], 0.5, t)[0], rtol=50 * rtol)
    assert odead.solve(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 100)).method == "Tsit5"


def test_steps_and_dense_output_go_through_the_change():
    run = odead.solve(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 1e4), dense_output=True, atol=1e-12)
    assert run.method == "Tsit5+Rodas5P"
    assert (np.diff(run.t) > 0).all()
    assert run.t.size == run.nsteps + 1
    np.testing.assert_allclose(run.sol(run.t), run.y, rtol=1e-12, atol=1e-15)
    tight = {"method": "Rodas5P", "t_eval": run.t[1:], "rtol": 1e-9, "atol": 1e-14}
    same = odead.solve(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 1e4), **tight)
    np.testing.assert_allclose(run.y[:, 1:], same.y, rtol=5e-5)


def test_stiffness_that_only_the_sensitivities_show():
    """At rest the states do not move, and an explicit method sees nothing; the sensitivities do."""

    def rest(dx, x, p, t):
        dx[:] = 1e4 * (p[0] - x)

    run = odead.sensitivity(rest, [1.0], [1.0], (0, 10), t_eval=[10.0])
    assert run.method == "Tsit5+Rodas5P"
    np.testing.assert_allclose(run.sens, 1.0, rtol=1e-5)
    assert run.nsteps < 200


def test_a_switch_of_the_right_hand_side_and_a_change_of_method():
    def rhs(dx, x, p, t):
        rate = p[0] if x[0] > 0.5 else 1e4 * p[0]
        dx[0] = -p[0] * x[0]
        dx[1] = rate * (1 - x[1])

    p = np.array([0.3])
    for mode in ("forward", "adjoint"):
        run = odead.sensitivity(
            rhs, [1.0, 0.0], p, (0, 5), t_eval=[5.0], loss=lambda y: y[0, 0] + y[1, 0], mode=mode, rtol=1e-8, atol=1e-10
        )
        assert "Rodas5P" in run.method
        np.testing.assert_allclose(run.loss, np.exp(-1.5) + 1, rtol=1e-7)
        np.testing.assert_allclose(run.grad, [-5 * np.exp(-1.5)], rtol=1e-6)


def test_the_steps_of_both_methods_count():
    with pytest.raises(odead.IntegrationError, match=r"Tsit5\+Rodas5P stopped .* after 60 steps.* max_steps=60") as failure:
        odead.solve(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 1e4), max_steps=60)
    assert failure.value.result.t.size == 61


def test_after_a_stop_the_method_found_before_goes_on():
    p = np.array([0.7, 1.1])
    once = odead.solve(attracted, [1.0, 0.0], p, (0, 3), t_eval=[3.0])
    stopped = odead.solve(attracted, [1.0, 0.0], p, (0, 3), t_eval=[3.0], tstops=[1.0, 2.0])
    assert once.nfev < stopped.nfev < 1.3 * once.nfev  # Tsit5 alone would take as many to find out again
    np.testing.assert_allclose(stopped.y[:, -1], attracted_exact(p, 3.0)[0], rtol=5e-5, atol=5e-5)


def mean_field(dx, x, p, t):
    """All states are coupled; the fast ones decay to the mean, which follows a closed form."""
    mean = x.sum() / x.size
    dx[:] = 1e3 * p[1] * (mean - x) - p[0] * mean


@MODES
def test_large_full_matrices_are_left_to_bdf(mode):
    """x = m + (x0 - m0) exp(-1000 p1 t), with the mean m = m0 exp(-p0 t); to factor 250 x 250 numbers takes longer."""
    x0, p, times = 1 + np.sin(np.arange(250.0)), np.array([0.7, 1.1]), np.array([1e-3, 2.0])
    options = {"t_eval": times, "loss": sum_of_squares, "mode": mode, "wrt": ("p", "x0"), "rtol": 1e-7, "atol": 1e-10}
    run = odead.sensitivity(mean_field, x0, p, (0, 2), **options)
    assert run.method == "Tsit5+BDF"
    assert "GMRES" in run.message
    slow, fast = np.exp(-p[0] * times), np.exp(-1e3 * p[1] * times)
    mean, rest = x0.mean(), (x0 - x0.mean())[:, None]
    y = mean * slow + rest * fast
    np.testing.assert_allclose(run.y, y, rtol=5e-6, atol=5e-6)
    by_p = [np.sum(2 * y * mean * slow * -times), np.sum(2 * y * rest * fast * -1e3 * times)]
    np.testing.assert_allclose(run.grad, by_p, rtol=5e-6, atol=5e-6)
    by_x0 = 2 * (y - y.mean(axis=0)) @ fast + 2 * y.mean(axis=0) @ slow
    np.testing.assert_allclose(run.grad_x0, by_x0, rtol=5e-6, atol=5e-6)
