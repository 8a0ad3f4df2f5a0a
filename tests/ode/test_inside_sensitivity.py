"""`sensitivity` inside a function that is being differentiated."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from ode.problems import LOTKA_P, LOTKA_X0, lotka_volterra, sum_of_squares
from odead import gradient, hvp, jacobian, value_and_gradient

TIMES = np.linspace(0.0, 2.0, 5)
FINE = {"rtol": 1e-9, "atol": 1e-12}
W = np.array([0.3, -1.0, 0.2, 0.5])


def asked(p, x0=LOTKA_X0, **options):
    options = {"t_eval": TIMES, "loss": sum_of_squares, **FINE, **options}
    return odead.sensitivity(lotka_volterra, x0, p, (0.0, 2.0), **options)


OUTSIDE = asked(LOTKA_P, wrt=("p", "x0"), order=2)


def test_gradient_of_the_loss():
    value, slope = value_and_gradient(lambda p: asked(p).loss, LOTKA_P)
    assert_allclose(value, OUTSIDE.loss, rtol=1e-8)
    assert_allclose(slope, OUTSIDE.grad, rtol=1e-7)
    assert_allclose(gradient(lambda x: asked(LOTKA_P, x).loss, LOTKA_X0), OUTSIDE.grad_x0, rtol=1e-7)


def test_product_with_the_hessian():
    product = gradient(lambda p: (asked(p).grad * W).sum(), LOTKA_P)
    assert_allclose(product, OUTSIDE.hess[:4, :4] @ W, rtol=1e-6)
    assert_allclose(jacobian(lambda p: asked(p).grad, LOTKA_P), OUTSIDE.hess[:4, :4], rtol=1e-6, atol=1e-7)
    mixed = gradient(lambda x: (asked(LOTKA_P, x).grad * W).sum(), LOTKA_X0)
    assert_allclose(mixed, OUTSIDE.hess[4:, :4] @ W, rtol=1e-6)
    by_x0 = gradient(lambda p: asked(p, wrt=("x0", "p")).grad_x0[1], LOTKA_P)
    assert_allclose(by_x0, OUTSIDE.hess[5, :4], rtol=1e-6)


def test_sens_and_y():
    assert_allclose(gradient(lambda p: (asked(p).y ** 2).sum(), LOTKA_P), OUTSIDE.grad, rtol=1e-7)
    through = gradient(lambda p: (asked(p).sens[:, 0] @ W).sum(), LOTKA_P)
    expected = hvp(lambda p: odead.solve(lotka_volterra, LOTKA_X0, p, (0.0, 2.0), t_eval=TIMES, **FINE).y[0].sum(), LOTKA_P, W)
    assert_allclose(through, expected, rtol=1e-6)


def test_closures_and_a_running_cost():
    """What the functions close over is constant for the inner derivative, not for the outer one."""

    def misfit(q):
        def rhs(x, p, t):
            return -p * q[0] * x

        def loss(y, p):
            return q[1] * (y**2).sum() + p[0]

        result = odead.sensitivity(rhs, [1.0], q[2:], (0.0, 1.0), loss=loss, running=lambda x, p, t: q[1] * x[0], **FINE)
        return result.loss + result.grad[0]

    def closed(q):
        a = q[0] * q[2]
        loss = q[1] * np.exp(-2 * a) + q[2] + q[1] * (1 - np.exp(-a)) / a
        by_a = q[1] * (-2 * np.exp(-2 * a) + np.exp(-a) / a - (1 - np.exp(-a)) / a**2)
        return loss + by_a * q[0] + 1.0

    q = np.array([0.7, 1.3, 0.9])
    value, slope = value_and_gradient(misfit, q)
    expected, by_q = value_and_gradient(closed, q)
    assert_allclose(value, expected, rtol=1e-7)
    assert_allclose(slope, by_q, rtol=1e-6)


def test_containers_times_and_an_end_at_an_event():
    """A fall: x'' = -g from height h; the end is at the ground, at sqrt(2 h / g) with the speed sqrt(2 h g)."""

    def fall(dx, x, p, t):
        dx[0], dx[1] = x[1], -p["g"]

    def ground(x, p, t):
        return x[0]

    ground.terminal, ground.direction = True, -1

    def speed(h):
        result = odead.sensitivity(
            fall, np.array([h[0], 0.0]), {"g": h[1]}, (0.0, 5.0), loss=lambda y: y[1, -1], events=ground, **FINE
        )
        return result.grad["g"] + result.t_events[0][0]

    def closed(h):
        return -np.sqrt(h[0] / (2 * h[1])) + np.sqrt(2 * h[0] / h[1])

    h = np.array([1.7, 9.81])
    assert_allclose(value_and_gradient(speed, h)[0], closed(h), rtol=1e-7)
    assert_allclose(gradient(speed, h), gradient(closed, h), rtol=1e-6)

    def by_t1(e):
        result = odead.sensitivity(lambda x, p, t: p * x, [1.0], 0.5, (0.0, e[0]), loss=lambda y: y[0, -1], wrt="t1", **FINE)
        return result.grad_t1

    assert_allclose(gradient(by_t1, np.array([1.2])), 0.25 * np.exp(0.6), rtol=1e-7)


def decay(x, p, t):
    return p[1] - p[0] * x


def by_differences(f, x, h=1e-5):
    return np.array([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(x.size)])


@pytest.mark.parametrize("options", [{"method": "BDF"}, {"mode": "continuous"}, {"mode": "forward"}], ids=str)
def test_options(options):
    def f(q):
        result = odead.sensitivity(
            decay, lambda p: 2 * p[:1], q, (0.0, 1.0), loss=sum_of_squares, tstops=lambda p: [p[1]], **FINE, **options
        )
        return result.grad[0]

    q = np.array([0.9, 0.4])
    assert_allclose(gradient(f, q), by_differences(f, q), rtol=1e-5)


def test_times_that_move():
    def f(q):
        result = odead.sensitivity(
            decay, [1.0], q, (0.0, q[1] + 1), t_eval=[q[1], q[0]], loss=sum_of_squares, wrt=("t_eval", "p", "t0"), **FINE
        )
        return result.grad_t_eval[0] + result.grad_t0

    q = np.array([0.9, 0.4])
    assert_allclose(gradient(f, q), by_differences(f, q), rtol=1e-6)


def test_complex_states_and_parameters():
    def f(q):
        result = odead.sensitivity(
            lambda x, p, t: 1j * q[0] * p * x, np.array([1 + 0.5j]) * q[0], q[1], (0.0, 1.0), loss=lambda y: y[0, -1].real ** 3,
            wrt=("x0", "p"), **FINE,
        )  # fmt: skip
        return result.grad_x0[0].imag * result.grad

    q = np.array([0.9, 0.4])
    assert_allclose(gradient(f, q), by_differences(f, q), rtol=1e-6)


def test_a_singular_mass_matrix():
    def rhs(dx, x, p, t):
        dx[0], dx[1] = -p[0] * x[0], x[0] + x[1] - p[1]

    def f(q):
        result = odead.sensitivity(
            rhs, np.array([1.0, 0.0]), q, (0.0, 1.0), t_eval=[1.0], mass_matrix=np.diag([1.0, 0.0]), loss=sum_of_squares, **FINE
        )
        return result.grad[0]

    q = np.array([0.9, 0.4])
    assert_allclose(gradient(f, q), by_differences(f, q), rtol=1e-6)


def test_a_singular_mass_matrix_with_an_end_that_moves_and_closures():
    def f(q):
        factor = q[1] * 2.0

        def rhs(dx, x, p, t):
            dx[0], dx[1] = -p * x[0], factor * x[0] + x[1] - p

        result = odead.sensitivity(
            rhs, np.array([1.0, 0.0]), q[0] * 1.0, (0.0, 1.5), mass_matrix=np.diag([1.0, 0.0]),
            running=lambda x, p, t: x[1] ** 2 * factor, wrt=("p", "t1"), **FINE,
        )  # fmt: skip
        return result.grad * result.grad_t1

    q = np.array([0.9, 0.4])
    assert_allclose(gradient(f, q), by_differences(f, q), rtol=1e-6)


def test_hess_inside():
    trace = value_and_gradient(lambda p: np.trace(asked(p, order=2, rtol=1e-7, atol=1e-9).hess), LOTKA_P)[0]
    assert_allclose(trace, np.trace(OUTSIDE.hess[:4, :4]), rtol=1e-4)


def test_without_data_the_states_at_the_steps():
    def f(p):
        result = asked(p, t_eval=None, loss=None)
        return result.y[0, -1] ** 2 + (result.sens[-1, 1] @ W) + result.t[-1]

    expected = by_differences(f, LOTKA_P)
    assert_allclose(gradient(f, LOTKA_P), expected, rtol=1e-6)
    plain = asked(LOTKA_P, t_eval=None, loss=None)
    assert_allclose(f(LOTKA_P), plain.y[0, -1] ** 2 + plain.sens[-1, 1] @ W + 2.0, rtol=1e-8)
    assert_allclose(gradient(lambda p: asked(p, t_eval=None).y[1, -1], LOTKA_P), plain.sens[-1, 1], rtol=1e-7)


def test_without_data_the_end_at_an_event():
    def low(x, p, t):
        return x[0] - p[1]

    low.terminal = True

    def f(q):
        result = odead.sensitivity(lambda x, p, t: -p[0] * x, q[2:], q[:2], (0.0, 9.0), events=low, wrt=("p", "x0"), **FINE)
        return result.t[-1] + result.sens_x0[-1, 0, 0] + result.sens_t_events[0][0, 1] * q[1]

    def exact(q):
        return np.log(q[2] / q[1]) / q[0] - 1 / q[0]

    q = np.array([0.7, 0.3, 1.2])
    assert_allclose(f(q), exact(q), rtol=1e-7)
    assert_allclose(gradient(f, q), gradient(exact, q), rtol=1e-6, atol=1e-8)


def test_dense_output():
    def f(p):
        result = asked(p, dense_output=True, running=lambda x, p, t: x[0])
        return result.sol(0.7)[1] * result.sol([1.3, 0.2])[0].sum()

    assert_allclose(gradient(f, LOTKA_P), by_differences(f, LOTKA_P), rtol=1e-6)


def test_an_initial_function_and_a_jacobian_of_the_user():
    def jac(x, p, t):
        return [[-p[0] * p[1]]]

    def f(q):
        result = odead.sensitivity(
            lambda x, p, t: -p[0] * p[1] * x, lambda p: p[:1] ** 2, q, (0.0, 1.0), loss=lambda y: y[0, -1] ** 2, jac=jac,
            wrt=("p", "x0"), method="BDF", **FINE,
        )  # fmt: skip
        return result.grad_x0[0] * result.grad[1]

    def exact(q):
        decay = np.exp(-2 * q[0] * q[1])
        return 2 * q[0] ** 2 * decay * -2 * q[0] ** 5 * decay

    q = np.array([0.8, 0.5])
    assert_allclose(f(q), exact(q), rtol=1e-6)
    assert_allclose(gradient(f, q), gradient(exact, q), rtol=1e-6)
    with pytest.raises(ValueError, match="jac"):
        gradient(lambda q: asked(q, jac=lambda x, p, t: np.zeros((2, 2))).loss, LOTKA_P)


def test_what_is_not_known_raises():
    for name in ("nsteps", "nfev", "sens_error"):
        with pytest.raises(NotImplementedError, match=f"{name} of .* outside"):
            gradient(lambda p, name=name: getattr(asked(p), name) * p[0], LOTKA_P)
    with pytest.raises(AttributeError):
        gradient(lambda p: asked(p).nothing * p[0], LOTKA_P)
    with pytest.raises(NotImplementedError, match="Duplicated inside"):
        gradient(lambda p: asked(odead.Duplicated(p, np.zeros(4))).loss, LOTKA_P)
