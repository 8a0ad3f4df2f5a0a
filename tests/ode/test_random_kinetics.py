"""Gradients of random reaction networks with rates over ten decades, whose species may be far below the absolute tolerance.

A solve that keeps s to rtol |s| + atol keeps a gradient to the sum of |dL/dy| (rtol |s| + atol), for s = p_k dx/dp_k. What is
smaller than that, because species are rare or because data with weights of both signs cancel, is known only with a smaller
atol: then the gradients are right to rtol, with the same guard in the error test. `sens_error` tells one from the other.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

import odead

SEEDS = [3040, 3236, 3245, 3314, 3346, 3412, 3475, 3674, 3693]
METHODS = ["auto", "Rodas5P", "Kvaerno5", "BDF"]
RTOL = 1e-5
WITHIN = 50


class Network(NamedTuple):
    """Reactions p_k x_a (x_b) from species a to species c, which gets nine tenths of what is lost."""

    a: np.ndarray
    b: np.ndarray  # -1: only species a reacts
    c: np.ndarray
    swing: float  # of the first two species around each other

    def __call__(self, dx, x, p, t):
        dx[:] = 0.0
        for k, (a, b, c) in enumerate(zip(self.a, self.b, self.c, strict=True)):
            rate = p[k] * x[a]
            if b >= 0:
                rate = rate * x[b]
            dx[a] -= rate
            dx[c] += 0.9 * rate
        dx[0] += self.swing * x[1]
        dx[1] -= self.swing * x[0]


class Random(NamedTuple):
    rhs: Network
    x0: np.ndarray
    rates: np.ndarray
    times: np.ndarray
    weights: np.ndarray

    def solve(self, rtol: float, atol: float, **how) -> odead.Sensitivity:
        return odead.sensitivity(
            self.rhs, self.x0, self.rates, (0.0, self.times[-1]), t_eval=self.times, rtol=rtol, atol=atol, **how
        )


@cache
def random(seed: int) -> Random:
    rng = np.random.default_rng(seed)
    n, r = int(rng.integers(2, 7)), int(rng.integers(2, 9))
    rates = 10.0 ** rng.uniform(-4, 6, r)
    a = rng.integers(0, n, r)
    b = np.where(rng.random(r) < 0.4, rng.integers(0, n, r), -1)
    c = rng.integers(0, n, r)
    swings, swing = rng.random() < 0.3, rng.uniform(1, 6)
    x0 = np.abs(rng.standard_normal(n)) * (rng.random(n) < 0.8) * 10.0 ** rng.uniform(-4, 0, n)
    end, m = 10.0 ** rng.uniform(-1, 1.5), int(rng.integers(1, 8))
    times = np.sort(rng.uniform(0, end, m))
    times[-1] = end
    weights = rng.standard_normal((n, m)) * 10.0 ** rng.uniform(-2, 2, (n, 1))
    return Random(Network(a, b, c, swing * swings), x0, rates, times, weights)


@cache
def reference(seed: int) -> np.ndarray:
    """The derivatives by the logarithms of the rates, shape (m, n, r)."""
    problem = random(seed)
    return problem.solve(1e-10, 1e-20, method="Rodas5P", mode="forward").sens * problem.rates


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("relative_atol", [1e-3, 1e-10])
def test_gradients_within_the_tolerances_asked_for(seed, method, relative_atol):
    problem, exact = random(seed), reference(seed)
    weights, atol = problem.weights, relative_atol * RTOL

    def loss(y):
        return np.sum(weights * y)

    found = problem.solve(RTOL, atol, method=method, mode="adjoint", loss=loss)
    gradient = np.einsum("im,mik->k", weights, exact)
    error = np.abs(found.grad * problem.rates - gradient)
    asked = RTOL * np.einsum("im,mik->k", np.abs(weights), np.abs(exact)).max() + atol * np.abs(weights).sum()
    assert error.max() < WITHIN * asked
    assert np.linalg.norm(error) < 3 * found.sens_error * np.linalg.norm(gradient)
    if relative_atol < 1e-3:
        assert error.max() < WITHIN * RTOL * np.abs(gradient).max()


def beside_one_that_rests(dx, x, p, t):
    """A species that is not there, and would decay in no time: what an explicit method does to lambda moves no state."""
    dx[0] = -p[0] * x[0]
    dx[1] = -p[1] * x[1]


def resting(method: str, **how) -> odead.Sensitivity:
    p, x0, times = np.array([0.7, 1e4]), np.array([1.0, 0.0]), np.linspace(0.1, 3.0, 100)
    how |= {"t_eval": times, "loss": np.sum, "mode": "adjoint", "method": method, "rtol": 1e-9, "atol": 1e-12}
    return odead.sensitivity(beside_one_that_rests, x0, p, (0.0, 3.0), **how)


@pytest.mark.parametrize("method", ["auto", "Tsit5", "DOP853"])
def test_steps_too_long_for_a_species_that_is_not_there(method):
    found, times = resting(method), np.linspace(0.1, 3.0, 100)
    assert found.grad[0] == pytest.approx(-np.sum(times * np.exp(-0.7 * times)), rel=50e-9)
    assert found.grad[1] == 0
    assert found.grad_x0 is None


def test_the_error_tells_of_a_stiff_method_where_shorter_steps_are_too_many():
    with pytest.raises(odead.IntegrationError, match=r"too long for a state that rests.*take a stiff method"):
        resting("Tsit5", max_steps=1000)
