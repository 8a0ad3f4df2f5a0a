"""Switches recorded as values: a jump that the derivatives lack is warned of, a kink is not."""

import warnings

import numpy as np
import pytest

from odead import OdeadWarning, sensitivity

P = np.array([1.0, 0.5])


def threshold(dx, x, p, t):
    dx[:] = np.where(x > 1, -p[0] * x, -p[1] * x)


def step(dx, x, p, t):
    dx[:] = -p[0] * x - p[1] * np.floor(t)


def kink(dx, x, p, t):
    dx[:] = p[1] * np.where(x > 1, -p[0] * (x - 1), -2 * (x - 1)) - p[0]


def upwind(du, u, p, t):
    n = len(u)
    for i in range(1, n - 1):
        if u[i] > 0:
            du[i] = -p[0] * u[i] * (u[i] - u[i - 1])
        else:
            du[i] = -p[0] * u[i] * (u[i + 1] - u[i])
    du[0], du[n - 1] = p[1], -p[1]


def loss(y):
    return y[0].sum()


@pytest.mark.parametrize("options", [{"method": "RK45"}, {"method": "BDF"}, {"method": "RK45", "mode": "adjoint", "loss": loss},
                                     {"method": "LSODA", "mode": "adjoint", "loss": loss}])  # fmt: skip
@pytest.mark.parametrize("rhs", [threshold, step])
def test_a_jump_is_warned_of_with_its_line(rhs, options):
    line = rhs.__code__.co_firstlineno + 1
    with pytest.warns(OdeadWarning, match=rf"test_selects.py:{line} in {rhs.__name__}"):
        sensitivity(rhs, [2.0], P, (0.0, 2.0), t_eval=np.linspace(0, 2, 11), **options)


@pytest.mark.parametrize("options", [{"method": "RK45"}, {"method": "RK45", "mode": "adjoint", "loss": loss}])
@pytest.mark.parametrize(("rhs", "x0"), [(kink, [2.0]), (upwind, np.linspace(1, -1, 20))])
def test_a_kink_is_not(rhs, x0, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sensitivity(rhs, x0, P, (0.0, 2.0), t_eval=np.linspace(0, 2, 11), **options)


def test_sides_that_agree_in_effect_are_no_jump():
    """A limiter guarded against division by zero, and a sign times what vanishes with it."""

    def limited(u, p, t):
        du = np.array([u[0] - np.cos(3 * t), u[1] - u[0]])
        ratio = np.where(np.abs(du) < 1e-12, 0.0, du[::-1] / np.where(np.abs(du) < 1e-12, 1.0, du))
        return -p * u - (ratio + np.abs(ratio)) / (1 + np.abs(ratio)) * du - np.sign(du) * du

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sensitivity(limited, [1.0, 0.5], 0.3, (0, 4), loss=lambda y: (y**2).sum())


def test_a_warning_is_at_the_line_of_the_call():
    def jumps(x, p, t):
        return -p * np.where(x > 0.5, x, 2 * x)

    for mode in ("forward", "adjoint", "continuous"):
        with pytest.warns(OdeadWarning, match="switched during") as caught:
            sensitivity(jumps, [1.0], 1.0, (0, 2), loss=lambda y: y.sum(), mode=mode)
        assert {warning.filename for warning in caught} == {__file__}
