"""Switches recorded as values that stay what they are: kinks, of which nothing is said, and jumps that are warned of."""

import warnings

import numpy as np
import pytest

from odead import OdeadWarning, sensitivity
from odead.ode.rhs import selects

P = np.array([1.0, 0.5])


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


def restless(x, p, t):
    """Its sides differ by little, and it flips some 1270 times."""
    return -p * x + 1e-3 * np.where(np.sin(200 * t + x) > 0, 1.0, 0.0)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_what_flips_often_is_located(mode):
    """The instants move with x, though little."""
    options = {"method": "RK45", "rtol": 1e-5, "loss": lambda y: y.sum()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sensitivity(restless, [1.0], 1.0, (0, 3), mode=mode, **options)
        ends = [sensitivity(restless, [1.0], p, (0, 3), mode=mode, **options).loss for p in (0.999, 1.001)]
    assert found.grad == pytest.approx((ends[1] - ends[0]) / 2e-3, rel=1e-3)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_what_flips_too_often_is_warned_of(mode, monkeypatch):
    """With its line, at the line of the call."""

    def restless(x, p, t):
        return -p * x + 1e-3 * np.where(np.sin(200 * t + x) > 0, 1.0, 0.0)

    monkeypatch.setattr(selects, "MOST_JUMPS", 10)
    line = restless.__code__.co_firstlineno + 1
    with pytest.warns(OdeadWarning, match=rf"switched during.*test_selects.py:{line} in restless.*too often") as caught:
        sensitivity(restless, [1.0], 1.0, (0, 20), loss=lambda y: y.sum(), mode=mode, method="RK45", rtol=1e-3)
    assert {warning.filename for warning in caught} == {__file__}
