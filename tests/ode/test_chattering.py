"""Switches to which both sides lead back, and those that only look like them."""

import warnings

import numpy as np
import pytest

import odead
from odead import IntegrationError

MODES = pytest.mark.parametrize("mode", ["solve", "forward", "adjoint", "continuous"])
METHODS = pytest.mark.parametrize(
    ("method", "engine"),
    [
        ("auto", "native"), ("RK23", "native"), ("RK45", "native"), ("DOP853", "native"), ("Kvaerno5", "native"),
        ("Rodas5P", "native"), ("BDF", "native"), ("LSODA", "scipy"), ("Radau", "scipy"),
    ],
)  # fmt: skip


def run(rhs, x0, p, end, mode, **options):
    """The result, with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if mode == "solve":
            return odead.solve(rhs, x0, p, (0.0, end), **options)
        return odead.sensitivity(rhs, x0, p, (0.0, end), loss=lambda y: np.mean(y[0] ** 2), mode=mode, **options)


def differences(rhs, x0, p, end, h=1e-5, **options):
    def loss(p):
        return np.mean(odead.solve(rhs, x0, p, (0.0, end), method="DOP853", rtol=1e-11, atol=1e-12, **options).y[0] ** 2)

    return np.array([(loss(p + h * e) - loss(p - h * e)) / (2 * h) for e in np.eye(p.size)])


def by_where(dx, x, p, t):
    dx[0] = -p[0] * (x[0] - p[1]) + p[2] * np.where(x[0] < p[3], 1.0, 0.0)


def by_if(dx, x, p, t):
    dx[0] = -p[0] * (x[0] - p[1])
    if x[0] < p[3]:
        dx[0] += p[2]


def by_sign(dx, x, p, t):
    dx[0] = -p[0] * (x[0] - p[1]) + p[2] * (0.5 - 0.5 * np.sign(x[0] - p[3]))


def by_step(dx, x, p, t):
    dx[0] = -p[0] * (x[0] - p[1]) + p[2] * np.heaviside(p[3] - x[0], 0.5)


def by_mask(dx, x, p, t):
    dx[0] = -p[0] * (x[0] - p[1] - np.sin(t)) + (x[0] < p[3]) * p[2]


def rooms(dx, x, p, t):
    dx[:] = -p[0] * (x - p[1] - np.sin(t)) + p[2] * np.where(x < p[3], 1.0, 0.0)
    dx[1:] += 0.3 * (x[:-1] - x[1:])
    dx[:-1] += 0.3 * (x[1:] - x[:-1])


HEATER = np.array([0.2, 10.0, 5.0, 20.0])


@pytest.mark.parametrize("rhs", [by_where, by_if, by_sign, by_step, by_mask])
@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
@METHODS
@MODES
def test_a_thermostat_without_hysteresis(rhs, rtol, method, engine, mode):
    """It says when, at which line, and what to do."""
    with pytest.raises(IntegrationError, match="chattering") as caught:
        run(rhs, [15.0], HEATER, 10.0, mode, method=method, engine=engine, rtol=rtol, atol=rtol)
    said = str(caught.value)
    line = rhs.__code__.co_firstlineno + (2 if rhs is by_if else 1)
    assert f"{__file__.rpartition('/')[2]}:{line} in {rhs.__name__}" in said
    assert "hysteresis" in said
    assert "np.tanh" in said
    assert caught.value.result.y[0, -1] == pytest.approx(20.0, abs=1e-4)
