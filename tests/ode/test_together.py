"""BDF with guards: the values of the sensitivities and J come from one program, at the last look of Newton's iteration."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import odead
from odead.ode.rhs.linearised import Linearisations

HIDDEN = 20


def network(dx, x, p, t):
    first, bias = p[: 3 * HIDDEN].reshape(HIDDEN, 3), p[3 * HIDDEN : 4 * HIDDEN]
    dx[:] = p[4 * HIDDEN :].reshape(3, HIDDEN) @ np.tanh(first @ x + bias) - x


def driven(dx, x, p, t):
    dx[:] = np.tanh(p[:9].reshape(3, 3) @ x) - x + p[9] * np.sin(3 * t)


def kinetics(dx, x, p, t):
    fast = p[1] * x[1] * x[2]
    dx[0] = -p[0] * x[0] + fast
    dx[1] = p[0] * x[0] - fast - p[2] * x[1] ** 2
    dx[2] = p[2] * x[1] ** 2


def chain(dx, x, p, t):
    dx[:] = -p[0] * x + p[1] * x**2 / (1 + x**2)
    dx[1:] += p[2] * (x[:-1] - x[1:])


def without_p(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = 5 * (1 - x[0] ** 2) * x[1] - x[0]
    dx[2] = x[0] - x[2]


RNG = np.random.default_rng(0)
CASES: dict[str, tuple[Callable[..., None], np.ndarray, np.ndarray]] = {
    "saves a layer": (network, np.array([1.0, 0.5, -0.2]), RNG.normal(size=7 * HIDDEN) / 2),
    "depends on t": (driven, np.array([1.0, 0.5, -0.2]), RNG.normal(size=10)),
    "element by element": (kinetics, np.array([1.0, 0.0, 0.0]), np.array([0.4, 1e2, 3e3])),
    "by groups of columns": (chain, np.linspace(1, 2, 40), np.array([0.5, 1.5, 3.0])),
    "without p": (without_p, np.array([2.0, 0.0, 1.0]), np.zeros(0)),
}


def squares(y):
    return np.sum(y**2)


def gradient(case: str, **more: Any) -> odead.Sensitivity:
    rhs, x0, p = CASES[case]
    options = {"t_eval": np.linspace(0.5, 4, 8), "rtol": 1e-6, "atol": 1e-9, "wrt": ("p", "x0") if p.size else ("x0",)}
    return odead.sensitivity(rhs, x0, p, (0.0, 4.0), loss=squares, mode="adjoint", **{"method": "BDF"} | options | more)


@pytest.mark.parametrize("case", CASES)
def test_the_same_as_with_two_programs(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [gradient(case) for _ in range(2)]  # the second one is prepared
    monkeypatch.setattr(Linearisations, "together", lambda *_: None)
    apart = gradient(case, max_steps=9_999)  # not one that is prepared
    for result in found:
        assert (result.nsteps, result.nrejected, result.nfev) == (found[0].nsteps, found[0].nrejected, found[0].nfev)
        assert abs(result.nsteps - apart.nsteps) <= 2
        np.testing.assert_allclose(result.grad_x0, apart.grad_x0, rtol=1e-5)
        if result.grad is not None:
            np.testing.assert_allclose(result.grad, apart.grad, rtol=1e-5, atol=1e-6 * np.abs(result.grad).max())


@pytest.mark.parametrize("case", CASES)
def test_gradient_is_the_derivative(case: str) -> None:
    found = gradient(case)
    exact = gradient(case, method="DOP853" if case != "element by element" else "Rodas5P", rtol=1e-10, atol=1e-12)
    assert np.linalg.norm(found.grad_x0 - exact.grad_x0) < 50e-6 * np.linalg.norm(exact.grad_x0)
    if found.grad is not None:
        assert np.linalg.norm(found.grad - exact.grad) < 50e-6 * np.linalg.norm(exact.grad)


def test_most_steps_take_two_evaluations_and_one_on_the_way_back() -> None:
    found = gradient("saves a layer")
    assert found.nfev < 3.3 * (found.nsteps + found.nrejected)
    assert found.njev < 1.3 * (found.nsteps + found.nrejected)


def test_a_step_over_a_pole_of_the_right_hand_side_is_tried_again() -> None:
    """Newton's iteration ends in NaN there, with J already evaluated: the shorter step must not begin with that one."""

    def near(dx, x, p, t):
        dx[0] = -p[0] * np.sqrt(x[0] - p[1]) * (1 + 10 * np.exp(-200 * (t - 1) ** 2))

    found = odead.sensitivity(
        near, np.array([4.0]), np.array([1.0, 0.05]), (0.0, 2.0), loss=lambda y: y[0, -1], method="BDF", mode="adjoint",
        t_eval=[2.0], rtol=1e-4, atol=1e-6, first_step=0.5,
    )  # fmt: skip
    # sqrt(x - b) falls by half of p0 times the integral of the factor
    integral = 2 + 10 * np.sqrt(np.pi / 200)
    root = np.sqrt(4 - 0.05) - integral / 2
    assert found.loss == pytest.approx(0.05 + root**2, abs=5e-3)
    assert found.grad[0] == pytest.approx(-root * integral, rel=5e-3)
