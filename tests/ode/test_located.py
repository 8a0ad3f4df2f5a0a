"""Switches recorded as values are located where they jump: derivatives against closed forms."""

import warnings

import numpy as np
import pytest

import odead
from odead import IntegrationError

MODES = pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
TOLERANCES = pytest.mark.parametrize("rtol", [1e-6, 1e-9])


def threshold(dx, x, p, t):
    dx[:] = np.where(x[0] > p[2], -p[0] * x, -p[1] * x)


def threshold_value(x0, p, t):
    return p[2] * np.exp(-p[1] * (t - np.log(x0[0] / p[2]) / p[0]))


def infusion(dx, x, p, t):
    dx[0] = np.where(t > p[1], p[2], 0.0) - p[0] * x[0]


def infusion_value(x0, p, t):
    return x0[0] * np.exp(-p[0] * t) + p[2] / p[0] * (1 - np.exp(-p[0] * (t - p[1])))


def friction(dx, x, p, t):
    """A body that slides to the right, is pushed back, and slides to the left; position, velocity."""
    dx[0] = x[1]
    dx[1] = -p[0] - p[1] * np.sign(x[1])


def friction_value(x0, p, t):
    turn = x0[1] / (p[0] + p[1])
    return x0[0] + x0[1] * turn / 2 - (p[0] - p[1]) * (t - turn) ** 2 / 2


def friction_by_heaviside(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = -p[0] - p[1] * (2 * np.heaviside(x[1], 0.5) - 1)


def comparison(dx, x, p, t):
    dx[0] = -p[1] * x[0] - (x[0] > p[2]) * (p[0] - p[1]) * x[0]


def two_elements(dx, x, p, t):
    """Each decays towards its own threshold; the sum of both is measured."""
    y = x[1:]
    dx[1:] = np.where(y > p[2], -p[0] * y, -p[1] * y)
    dx[0] = (y > p[2]).sum()


def two_elements_value(x0, p, t):
    return x0[0] + sum(np.log(x0[1:] / p[2]) / p[0])


def loop(dx, x, p, t):
    dx[0] = 0.0
    for i in range(1, len(x)):
        if x[i] > p[2]:
            dx[i] = -p[0] * x[i]
            dx[0] += 1.0
        else:
            dx[i] = -p[1] * x[i]


def staircase(dx, x, p, t):
    """A ramp that is rounded: 0, then p[0], then 2 p[0], at the times (k - x0) / p[1]."""
    dx[0] = p[0] * np.floor(x[1])
    dx[1] = p[1]


def staircase_value(x0, p, t):
    return x0[0] + p[0] * sum(t - (k - x0[1]) / p[1] for k in (1, 2))


def lookup(dx, x, p, t):
    dx[0] = np.array([0.0, p[0], 2 * p[0]])[int(x[1])]
    dx[1] = p[1]


def search(dx, x, p, t):
    dx[0] = np.array([0.0, p[0], 2 * p[0]])[np.searchsorted([1.0, 2.0], x[1])]
    dx[1] = p[1]


def periodic(dx, x, p, t):
    """On in the first part of each period."""
    dx[0] = np.where(t % p[1] < p[2], p[0], 0.0)


def periodic_value(x0, p, t):
    return x0[0] + 2 * p[0] * p[2] + p[0] * (t - 2 * p[1])


DECAY = (np.array([2.0]), np.array([1.3, 0.5, 1.2]), 2.0)
SLIDE = (np.array([0.1, 1.0]), np.array([1.0, 0.4]), 2.0)
BOTH = (np.array([0.0, 2.0, 3.0]), np.array([1.3, 0.5, 1.2]), 2.0)
RAMP = (np.array([0.2, 0.3]), np.array([0.7, 1.1]), 2.3)
CASES = {
    "threshold": (threshold, threshold_value, *DECAY),
    "infusion": (infusion, infusion_value, np.array([0.3]), np.array([0.8, 0.9, 1.5]), 2.0),
    "sign": (friction, friction_value, *SLIDE),
    "heaviside": (friction_by_heaviside, friction_value, *SLIDE),
    "comparison": (comparison, threshold_value, *DECAY),
    "two elements": (two_elements, two_elements_value, *BOTH),
    "loop": (loop, two_elements_value, *BOTH),
    "floor": (staircase, staircase_value, *RAMP),
    "lookup": (lookup, staircase_value, *RAMP),
    "search": (search, staircase_value, *RAMP),
    "remainder": (periodic, periodic_value, np.array([0.1]), np.array([0.7, 1.0, 0.4]), 2.3),
}
EVERY = pytest.mark.parametrize("case", CASES)


def gradient_of(value, x0, p, t):
    """By x0 and p, with complex steps."""
    z, h = np.concatenate([x0, p]), 1e-30
    return np.array([value((z + 1j * h * e)[: x0.size], (z + 1j * h * e)[x0.size :], t).imag / h for e in np.eye(z.size)])


@EVERY
@MODES
@TOLERANCES
def test_closed_forms(case, mode, rtol):
    rhs, value, x0, p, t = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = odead.sensitivity(
            rhs, x0, p, (0.0, t), t_eval=[t], loss=lambda y: y[0, 0], mode=mode, rtol=rtol, atol=rtol, wrt=("p", "x0")
        )
    assert found.loss == pytest.approx(value(x0, p, t), rel=50 * rtol)
    expected = gradient_of(value, x0, p, t)
    np.testing.assert_allclose(np.append(found.grad_x0, found.grad), expected, rtol=50 * rtol, atol=50 * rtol)


@pytest.mark.parametrize(
    ("method", "engine"),
    [("RK45", "native"), ("DOP853", "native"), ("BDF", "native"), ("Rodas5P", "native"), ("LSODA", "scipy"), ("RK45", "scipy")],
)
@pytest.mark.parametrize("mode", ["forward", "adjoint"])
def test_methods(mode, method, engine):
    x0, p, t = DECAY
    found = odead.sensitivity(
        threshold, x0, p, (0.0, t), loss=lambda y: y[0, 0], mode=mode, method=method, engine=engine, rtol=1e-7, atol=1e-7
    )
    np.testing.assert_allclose(found.grad, gradient_of(threshold_value, x0, p, t)[1:], rtol=5e-6, atol=5e-6)


@MODES
def test_backwards(mode):
    x0, p, t = DECAY
    end = threshold_value(x0, p, t)
    found = odead.sensitivity(threshold, [end], p, (t, 0.0), loss=lambda y: y[0, 0], mode=mode, rtol=1e-9, atol=1e-9, wrt="p")
    assert found.loss == pytest.approx(x0[0], rel=1e-7)
    by_x0, *by_p = gradient_of(threshold_value, x0, p, t)
    np.testing.assert_allclose(found.grad, -np.array(by_p) / by_x0, rtol=5e-8, atol=5e-8)


def test_inside_a_function():
    x0, p, t = DECAY

    def final(p):
        return odead.solve(threshold, x0, p, (0.0, t), t_eval=[t], rtol=1e-9, atol=1e-9).y[0, -1]

    expected = gradient_of(threshold_value, x0, p, t)[1:]
    np.testing.assert_allclose(odead.gradient(final, p), expected, rtol=5e-8)
    np.testing.assert_allclose(odead.jvp(final, (p,), (np.array([0.0, 0.0, 1.0]),))[1], expected[2], rtol=5e-8)
    hessian = odead.sensitivity(threshold, x0, p, (0.0, t), loss=lambda y: y[0, 0], rtol=1e-9, atol=1e-9, order=2).hess
    np.testing.assert_allclose(odead.hessian(final, p), hessian, rtol=1e-6)


@pytest.mark.parametrize("case", ["threshold", "infusion", "comparison"])
def test_second_derivatives(case):
    rhs, value, x0, p, t = CASES[case]
    found = odead.sensitivity(rhs, x0, p, (0.0, t), loss=lambda y: y[0, 0], rtol=1e-9, atol=1e-9, order=2, mode="adjoint")
    h = 1e-5
    expected = [
        (gradient_of(value, x0, p + h * e, t) - gradient_of(value, x0, p - h * e, t))[x0.size :] / (2 * h)
        for e in np.eye(p.size)
    ]
    np.testing.assert_allclose(found.hess, expected, rtol=1e-6, atol=1e-6)


def test_what_jumped_once_is_known():
    """The second solve locates at once, also where the switch moves or is not reached."""

    def rhs(dx, x, p, t):
        dx[:] = np.where(x[0] > p[2], -p[0] * x, -p[1] * x)

    x0, p, t = DECAY
    for scale in (1.0, 0.8, 0.1):
        here = p * [1, 1, scale]
        found = odead.sensitivity(rhs, x0, here, (0.0, t), loss=lambda y: y[0, 0], rtol=1e-9, atol=1e-9)
        expected = gradient_of(threshold_value, x0, here, t)[1:] if scale > 0.5 else [-t * x0[0] * np.exp(-here[0] * t), 0, 0]
        np.testing.assert_allclose(found.grad, expected, rtol=5e-8, atol=5e-8)


@MODES
def test_equal_elements_switch_together(mode):
    """Elements that do not act on each other, at the same instant."""

    def rhs(dx, x, p, t):
        dx[:] = np.where(x > p[2], -p[0] * x, -p[1] * x)

    _, p, t = DECAY
    x0 = np.full(4, 2.0)
    found = odead.sensitivity(rhs, x0, p, (0.0, t), loss=lambda y: y.sum(), mode=mode, rtol=1e-9, atol=1e-9, wrt=("p", "x0"))
    by_x0, *by_p = gradient_of(threshold_value, x0[:1], p, t)
    np.testing.assert_allclose(found.grad, 4 * np.array(by_p), rtol=5e-8)
    np.testing.assert_allclose(found.grad_x0, np.full(4, by_x0), rtol=5e-8)


@MODES
@pytest.mark.parametrize("n", [9, 12])
def test_thermostats_of_a_rod(mode, n):
    """Cells on both sides of the middle switch together, up to rounding."""

    def rod(du, u, p, t):
        du[:] = -2 * u
        du[1:] += u[:-1]
        du[:-1] += u[1:]
        du *= 10 * p[0]
        du += np.where(u < p[1], p[2], 0.0)

    def solved(p, mode="adjoint"):
        return odead.sensitivity(rod, np.ones(n), p, (0, 0.15), loss=lambda y: (y**2).sum(), mode=mode, rtol=1e-10, atol=1e-10)

    p, h = np.array([1.0, 0.5, 1.0]), 1e-4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = [(solved(p + h * e).loss - solved(p - h * e).loss) / (2 * h) for e in np.eye(3)]
        np.testing.assert_allclose(solved(p, mode).grad, expected, rtol=1e-6)


@MODES
def test_chattering_raises(mode):
    """Dry friction that holds the body: both sides point at the switch."""

    def rhs(dx, x, p, t):
        dx[0] = x[1]
        dx[1] = -p[0] - p[1] * np.sign(x[1])

    with pytest.raises(IntegrationError, match="chattering"):
        odead.sensitivity(rhs, [0.1, 1.0], [0.3, 0.9], (0.0, 2.0), loss=lambda y: y[0, 0], mode=mode, max_steps=2000)


@EVERY
@TOLERANCES
def test_a_solve_steps_onto_them_too(case, rtol):
    """The same instants as in a sensitivity, and nothing of what crossing a jump costs in accuracy."""
    rhs, value, x0, p, t = CASES[case]
    found = odead.solve(rhs, x0, p, (0.0, t), rtol=rtol, atol=rtol)
    assert found.y[0, -1] == pytest.approx(value(x0, p, t), rel=5 * rtol, abs=5 * rtol)
    assert found.nrejected <= 2
    measured = odead.sensitivity(rhs, x0, p, (0.0, t), rtol=rtol, atol=rtol, loss=lambda y: y[0, 0], mode="continuous")
    assert measured.loss == pytest.approx(found.y[0, -1], rel=5 * rtol, abs=5 * rtol)


def square_wave(dx, x, p, t):
    dx[0] = -p[0] * x[0] + np.sign(np.sin(p[1] * t))


@MODES
def test_a_switch_in_the_first_step(mode):
    """The sine is 0 at t0 and at no other time near it, so that the first step ends at once, with the datum at t0 in it."""
    p, x0, end = np.array([0.5, 2.0]), np.array([0.3]), 2.0
    turn = np.pi / p[1]

    def value(p):
        turn = np.pi / p[1]
        first = x0[0] * np.exp(-p[0] * turn) + (1 - np.exp(-p[0] * turn)) / p[0]
        return first * np.exp(-p[0] * (end - turn)) - (1 - np.exp(-p[0] * (end - turn))) / p[0]

    found = odead.sensitivity(
        square_wave, x0, p, (0.0, end), t_eval=[0.0, end], loss=lambda y: y[0].sum(), mode=mode, rtol=1e-9, atol=1e-9
    )
    assert turn < end
    np.testing.assert_allclose(found.y[0], [0.3, value(p)], rtol=1e-7)
    steps = 1e-5 * np.eye(2)
    np.testing.assert_allclose(found.grad, [(value(p + h) - value(p - h)) / 2e-5 for h in steps], rtol=1e-6)


def test_a_relay_that_switches_often():
    """It would slide where the signal is slow, at its peaks, and is never there."""

    def relay(dx, x, p, t):
        dx[0] = -p[0] * np.sign(x[0] - np.sin(20 * t))

    rough, fine = (odead.solve(relay, [0.5], [1.0], (0.0, 3.0), rtol=r, atol=r, method="RK45") for r in (1e-4, 1e-9))
    assert rough.y[0, -1] == pytest.approx(fine.y[0, -1], abs=1e-3)


def test_one_element_of_two_jumps():
    """They flip in the same step, and the first one has a kink only."""

    def rhs(dx, x, p, t):
        dx[:] = -p[0] * x + np.where(x > 1, p[1] * np.array([0.0, 1.0]), 0.0)

    x0, p, t = np.array([1.5, 1.5]), np.array([1.0, 1e-3]), 2.0
    rest = p[1] / p[0]
    switch = np.log((x0[1] - rest) / (1 - rest)) / p[0]
    found = odead.sensitivity(rhs, x0, p, (0.0, t), loss=lambda y: y[1, 0], rtol=1e-9, atol=1e-9)
    assert found.loss == pytest.approx(np.exp(-p[0] * (t - switch)), rel=5e-8)
    by_rest = p[0] * np.exp(-p[0] * (t - switch)) * (1 / (1 - rest) - 1 / (x0[1] - rest)) / p[0]
    assert found.grad[1] == pytest.approx(by_rest / p[0], rel=5e-8)


@MODES
@pytest.mark.parametrize("method", ["auto", "Rodas5P", "Kvaerno5", "BDF"])
def test_a_jump_after_a_fast_start(method, mode):
    """A state that falls with a slope of 1e10 at first does not hide that another one jumps by 1 later."""

    def rhs(dx, x, p, t):
        dx[0] = -p[1] * x[0]
        dx[1] = -np.where(x[1] > 0.5, p[0], 2 * p[0])

    p = np.array([1.0, 1e6])
    found = odead.sensitivity(rhs, [1e4, 1.0], p, (0, 0.7), loss=lambda y: y[1, -1], mode=mode, method=method, wrt=("p", "x0"))
    assert found.loss == pytest.approx(0.1, rel=1e-6)  # 0.5 - 2 p (t - (x0 - 0.5) / p)
    np.testing.assert_allclose(found.grad, [-1.4, 0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.grad_x0, [0, 2], rtol=1e-6, atol=1e-9)
