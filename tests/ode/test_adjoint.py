"""The continuous adjoint against closed forms, forward sensitivities and finite differences."""

import numpy as np
import pytest

from ode.problems import (
    HEAT_BY_A,
    HEAT_BY_B,
    HEAT_P,
    HEAT_X0,
    LOTKA_P,
    LOTKA_X0,
    ROBERTSON_P,
    ROBERTSON_X0,
    heat_eq,
    logistic,
    logistic_exact,
    lotka_volterra,
    robertson,
)
from odead.activity import Active, Const, Duplicated
from odead.ode import sensitivity
from odead.ode.methods import NATIVE

METHODS = ("RK45", "DOP853", "LSODA", "BDF", "Radau")
STIFF = ("LSODA", "BDF", "Radau")
ALL = ("p", "x0", "t0", "t1", "t_eval")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
def test_logistic_within_50_times_the_tolerance(method, rtol):
    p = np.array([1.3, 2.0])
    options = {"method": method, "rtol": rtol, "atol": 1e-3 * rtol, "mode": "adjoint"}
    result = sensitivity(
        logistic, [0.1], p, (0, 4), t_eval=[1, 4], loss=lambda y: y[0, 0] ** 2 + y[0, 1], wrt=("p", "x0"), **options
    )
    x, by = logistic_exact(p, 0.1, np.array([1.0, 4.0]))
    expected = 2 * x[0] * by[:, 0] + by[:, 1]
    np.testing.assert_allclose(result.grad, expected[:2], rtol=50 * rtol)
    np.testing.assert_allclose(result.grad_x0, expected[2:], rtol=50 * rtol)
    np.testing.assert_allclose(result.loss, x[0] ** 2 + x[1], rtol=50 * rtol)
    assert result.mode == ("adjoint" if method in NATIVE else "continuous")
    assert result.sens is None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("span", [(0, 4), (4, 0)])
def test_agrees_with_forward_in_everything(method, span):
    times = [*np.linspace(*span, 5), span[1]]

    def loss(y, p):
        return np.sum(y**2) * p[0] + y[1, 2]

    def both(mode):
        options = {"method": method, "rtol": 1e-9, "atol": 1e-11, "wrt": ALL, "mode": mode}
        return sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, span, t_eval=times, loss=loss, running=energy, **options)

    def energy(x, p, t):
        return p[1] * x[0] * x[1] + t

    forward, adjoint = both("forward"), both("continuous")
    for name in ("loss", "grad", "grad_x0", "grad_t0", "grad_t1", "grad_t_eval"):
        np.testing.assert_allclose(adjoint[name], forward[name], rtol=2e-6, err_msg=name)
    assert adjoint.y.shape == forward.y.shape == (2, 6)


def test_time_gradients_against_finite_differences():
    options = {"rtol": 1e-11, "atol": 1e-12, "method": "DOP853", "mode": "continuous"}

    def loss(t0, t1, times, **more):
        return sensitivity(
            lotka_volterra, LOTKA_X0, LOTKA_P, (t0, t1), t_eval=times,
            loss=lambda y: np.sum(y**2), running=lambda x, p, t: x[0] * t, **options, **more,
        )  # fmt: skip

    def slope(f):
        return (f(1e-5) - f(-1e-5)) / 2e-5

    result = loss(0.0, 3.0, [1.0, 2.0], wrt=ALL)
    np.testing.assert_allclose(result.grad_t0, slope(lambda e: loss(e, 3.0, [1.0, 2.0]).loss), rtol=1e-6)
    np.testing.assert_allclose(result.grad_t1, slope(lambda e: loss(0.0, 3.0 + e, [1.0, 2.0]).loss), rtol=1e-6)
    np.testing.assert_allclose(result.grad_t_eval[1], slope(lambda e: loss(0.0, 3.0, [1.0, 2.0 + e]).loss), rtol=1e-6)
    at_end = loss(0.0, 3.0, None, wrt=[name for name in ALL if name != "t_eval"])
    np.testing.assert_allclose(at_end.grad_t1, slope(lambda e: loss(0.0, 3.0 + e, None).loss), rtol=1e-6)
    assert at_end.grad_t_eval is None


@pytest.mark.parametrize("mode", ["forward", "continuous"])
def test_a_datum_at_t0_is_x0(mode):
    options = {"wrt": ("p", "x0", "t0"), "mode": mode}
    result = sensitivity(logistic, [0.1], [1.3, 2.0], (0, 1), t_eval=[0, 0], loss=lambda y: y[0, 0] + 2 * y[0, 1], **options)
    np.testing.assert_array_equal(result.grad, [0, 0])
    np.testing.assert_allclose(result.grad_x0, [3])
    assert result.grad_t0 == 0


@pytest.mark.parametrize("mode", ["forward", "continuous"])
def test_a_span_of_no_length(mode):
    result = sensitivity(logistic, [0.1], [1.3, 2.0], (1, 1), loss=lambda y: y[0, 0], wrt=("p", "x0"), mode=mode)
    np.testing.assert_array_equal(result.grad, [0, 0])
    np.testing.assert_array_equal(result.grad_x0, [1])


@pytest.mark.parametrize("method", STIFF)
def test_robertson(method):
    def loss(y):
        return np.sum(y[0] ** 2) + 1e4 * np.sum(y[1])

    def gradient(mode, method, **options):
        times = [0.4, 4, 40, 400]
        return sensitivity(
            robertson, ROBERTSON_X0, ROBERTSON_P, (0, 400), t_eval=times, loss=loss, mode=mode, method=method, **options
        )

    reference = gradient("forward", "Radau", rtol=1e-10, atol=1e-14).grad
    found = gradient("continuous", method, atol=np.array([1e-8, 1e-12, 1e-8])).grad
    np.testing.assert_allclose(found, reference, rtol=5e-5)


@pytest.mark.parametrize("method", STIFF)
def test_heat_equation(method):
    result = sensitivity(
        heat_eq, HEAT_X0, HEAT_P, (0, 6000), t_eval=[6000.0], loss=lambda y: y[-1, -1], mode="adjoint", method=method
    )
    np.testing.assert_allclose(result.grad / [HEAT_BY_A, HEAT_BY_B], 1, rtol=1e-5)


@pytest.mark.parametrize("units", [1e-12, 1.0, 1e12])
def test_the_units_of_the_loss_do_not_matter(units):
    result = sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 5), loss=lambda y: units * y[0, 0], mode="continuous")
    forward = sensitivity(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 5), t_eval=[5.0], rtol=1e-9)
    np.testing.assert_allclose(result.grad, units * forward.sens[0, 0], rtol=5e-5)


def test_a_forcing_that_lambda_does_not_see():
    """The adjoint is constant, and takes steps far longer than the pulse whose parameters are wanted."""

    def rhs(dx, x, p, t):
        dx[0] = p[0] * np.exp(-(((t - p[1]) / p[2]) ** 2))

    p = np.array([2.0, 50.0, 0.1])
    result = sensitivity(rhs, [0.0], p, (0, 100), loss=lambda y: y[0, 0], mode="continuous", max_step=1.0)
    area = np.sqrt(np.pi)
    np.testing.assert_allclose(result.grad, [area * p[2], 0, area * p[0]], rtol=1e-5, atol=1e-7)


def test_an_equilibrium_start():
    result = sensitivity(
        logistic, [2.0], np.array([1.0, 2.0]), (0, 5), loss=lambda y: y[0, 0], mode="continuous", method="RK45"
    )
    np.testing.assert_allclose(result.grad, [0, 1 - np.exp(-5)], atol=1e-5)


def test_a_start_and_a_loss_that_depend_on_the_parameters():
    def both(mode):
        return sensitivity(
            logistic, lambda p: 0.05 * p[1:], np.array([1.3, 2.0]), (0, 2), t_eval=[0, 2],
            loss=lambda y, p: p[0] * y[0, 0] + y[0, 1] ** 2, mode=mode, wrt=("p", "x0"), rtol=1e-9,
        )  # fmt: skip

    np.testing.assert_allclose(both("continuous").grad, both("forward").grad, rtol=1e-7)
    np.testing.assert_allclose(both("continuous").grad_x0, both("forward").grad_x0, rtol=1e-7)


def test_a_running_cost_alone():
    p = np.array([1.3, 2.0])
    for mode in ("forward", "continuous"):
        result = sensitivity(logistic, [0.1], p, (0, 3), running=lambda x, p, t: x[0], mode=mode, wrt=("p", "x0"), rtol=1e-9)
        # the integral of x is K/r log(1 + x0/K (exp(rt) - 1))
        e = np.exp(3 * p[0])
        np.testing.assert_allclose(result.loss, p[1] / p[0] * np.log(1 + 0.1 / p[1] * (e - 1)), rtol=1e-8)
        np.testing.assert_allclose(result.grad_x0, [(e - 1) / p[0] / (1 + 0.1 / p[1] * (e - 1))], rtol=1e-7)
        assert result.y.shape[0] == 1


def test_states_of_any_shape():
    def rhs(dx, x, p, t):
        dx["u"][:] = -p * x["u"] + x["v"]
        dx["v"][:] = -2 * p * x["v"]

    x0 = {"u": np.arange(4.0).reshape(2, 2), "v": np.ones(2)}

    def loss(y):
        assert y["u"].shape == (2, 2, 3)
        return np.sum(y["u"][:, :, 1]) + np.sum(y["v"][:, 2] ** 2)

    results = [
        sensitivity(rhs, x0, 0.7, (0, 2), t_eval=[0, 1, 2], loss=loss, mode=mode, wrt=("p", "x0"), rtol=1e-9)
        for mode in ("forward", "continuous")
    ]
    assert results[0].y.shape == (6, 3)
    assert isinstance(results[0].grad, float)
    np.testing.assert_allclose(results[1].grad, results[0].grad, rtol=1e-7)
    np.testing.assert_allclose(results[1].grad_x0["u"], np.full((2, 2), np.exp(-0.7)), rtol=1e-7)
    np.testing.assert_allclose(results[1].grad_x0["v"], results[0].grad_x0["v"], rtol=1e-7)


def test_annotations_say_what_is_differentiated():
    shadow = np.ones(4)
    result = sensitivity(lotka_volterra, Active(LOTKA_X0), Duplicated(LOTKA_P, shadow), (0, 2), loss=lambda y: y[0, 0])
    np.testing.assert_allclose(shadow, 1 + result.grad)
    assert result.grad_x0.shape == (2,)
    result = sensitivity(lotka_volterra, LOTKA_X0, Const(LOTKA_P), (0, 2), loss=lambda y: y[0, 0], wrt=("p", "x0"))
    assert result.grad is None


def test_auto_mode_is_the_cheaper_one():
    def decay(dx, x, p, t):
        dx[:] = -p * x

    many = sensitivity(decay, np.ones(80), np.ones(80), (0, 1), loss=lambda y: y.sum())
    few = sensitivity(decay, np.ones(2), np.ones(2), (0, 1), loss=lambda y: y.sum())
    assert (many.mode, few.mode) == ("adjoint", "forward")
    np.testing.assert_allclose(many.grad, -np.exp(-1), rtol=1e-5)


@pytest.mark.parametrize("mode", ["forward", "adjoint"])
def test_a_repeated_time_and_a_running_cost(mode):
    """As many data as times of the solve, of which the last is only the end of the cost."""
    run = sensitivity(
        logistic, [0.1], np.array([1.3, 2.0]), (0, 3), t_eval=[1, 1, 2], loss=lambda y: y[0, 0] + 2 * y[0, 1] + 4 * y[0, 2],
        running=lambda x, p, t: 0.0 * x[0], mode=mode, method="RK45", rtol=1e-9, atol=1e-12,
    )  # fmt: skip
    by = logistic_exact(np.array([1.3, 2.0]), 0.1, np.array([1.0, 2.0]))[1]
    np.testing.assert_allclose(run.grad, 3 * by[:2, 0] + 4 * by[:2, 1], rtol=1e-7)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("t_eval", [None, [1.0, 1.0]])
def test_over_no_time(mode, t_eval):
    """x at t1 moves with both ends of an empty span, data do not; of the running cost each end sees the integrand."""
    found = sensitivity(
        logistic, [0.3], [0.7, 2.0], (1.0, 1.0), t_eval=t_eval, wrt=("p", "x0", "t0", "t1"), mode=mode,
        loss=lambda y: (y[0] ** 2).sum(), running=lambda x, p, t: p[1] * x[0],
    )  # fmt: skip
    slope = np.zeros(1)
    logistic(slope, np.array([0.3]), np.array([0.7, 2.0]), 1.0)
    moving, data = (0.6 * slope[0], 1) if t_eval is None else (0.0, 2)
    assert found.loss == pytest.approx(0.09 * data)
    np.testing.assert_allclose(found.grad, 0.0)
    np.testing.assert_allclose(found.grad_x0, 0.6 * data)
    assert found.grad_t1 == pytest.approx(moving + 0.6)
    assert found.grad_t0 == pytest.approx(-moving - 0.6)
