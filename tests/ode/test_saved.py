"""What the way forth saves for the way back: the layers of a network are not computed again."""

import numpy as np
import pytest

import odead
from odead import check_derivatives
from odead.ode.engines.native import NativeEngine
from odead.ode.gradients.continuous import AdjointOptions
from odead.ode.gradients.discrete import solve_for_adjoint
from odead.ode.options import check_controls
from odead.ode.problem.problem import make_problem

HIDDEN = 20
P = np.random.default_rng(0).normal(size=5 * HIDDEN + 2) / 3
X0 = np.array([1.0, 0.5])
TIMES = np.linspace(0, 5, 11)
METHODS = pytest.mark.parametrize("method", ["Tsit5", "DOP853", "Rodas5P", "BDF", "auto"])


def network(dx, x, p, t):
    first, bias = p[: 2 * HIDDEN].reshape(HIDDEN, 2), p[2 * HIDDEN : 3 * HIDDEN]
    second, offset = p[3 * HIDDEN : 5 * HIDDEN].reshape(2, HIDDEN), p[5 * HIDDEN :]
    dx[:] = second @ np.tanh(first @ x + bias) + offset * np.cos(t) - x


def loss(y):
    return np.sum(y**2)


def gradient(method, **options):
    options = {"t_eval": TIMES, "method": method, "mode": "adjoint", "wrt": ("p", "x0")} | options
    return odead.sensitivity(network, X0, P, (0, 5), loss=loss, **options)


@METHODS
def test_gradient_is_the_same_without(method):
    saved = [gradient(method) for _ in range(2)][-1]  # the second one is prepared
    bytes_of_states = 8 * 2 * (saved.nsteps + 40)
    frugal = gradient(method, checkpoints=8.0 * bytes_of_states)
    np.testing.assert_allclose(frugal.grad, saved.grad, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(frugal.grad_x0, saved.grad_x0, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P", "BDF"])
def test_gradient_is_the_derivative(method):
    def cost(p):
        return loss(odead.solve(network, X0, p, (0, 5), t_eval=TIMES, method=method, rtol=1e-10, atol=1e-12).y)

    found = gradient(method, rtol=1e-9, atol=1e-11)
    step = 1e-5 * np.sin(np.arange(P.size))
    expected = (cost(P + step) - cost(P - step)) / 2
    assert found.grad @ step == pytest.approx(expected, rel=1e-6)


def recorded(method, budget):
    """The record of the steps of a forward solve with this budget."""
    problem = make_problem(network, X0, P, (0, 5), TIMES, None, differentiated=("p",))
    controls = check_controls(NativeEngine(), method, 1e-6, np.array(1e-9), None, np.inf, 10_000, 2, 5.0)
    course, _ = solve_for_adjoint(problem, controls, AdjointOptions(1e-6, None), TIMES, ("p",), budget=budget)
    return course.pieces[0].steps.legs[0].record


@pytest.mark.parametrize(("method", "evaluations"), [("Tsit5", 6), ("Rodas5P", 7), ("BDF", 1)])
def test_saved_values_are_the_first_to_go(method, evaluations):
    everything = recorded(method, 1e9)
    matrix = 0 if method == "Tsit5" else 3 * 2  # columns of J, and the derivative by t
    assert everything.n_saved == evaluations * (HIDDEN + 1) + matrix  # a layer, and the cosine
    stages = 8 * 2 * (everything.rows + 1) * 2 * (everything.count + 16)
    tight = recorded(method, float(stages))
    assert (tight.rows, tight.stride) == (everything.rows, 1)
    assert tight.bytes_saved < everything.bytes_saved
    assert tight.bytes_saved + 8 * 2 * (tight.rows * tight.count + tight.kept) <= stages


@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P", "BDF"])
@pytest.mark.parametrize("part", [0.1, 0.6])
def test_some_steps_are_saved(method, part, monkeypatch):
    whole = gradient(method)
    record = recorded(method, 1e9)
    most = part * 8 * record.n_saved * record.count
    monkeypatch.setattr("odead.ode.gradients.discrete.MOST_SAVED", most)
    assert recorded(method, 1e9).bytes_saved <= most

    def again(dx, x, p, t):  # for which nothing is prepared
        network(dx, x, p, t)

    options = {"t_eval": TIMES, "method": method, "mode": "adjoint", "wrt": ("p", "x0")}
    partly = odead.sensitivity(again, X0, P, (0, 5), loss=loss, **options)
    np.testing.assert_allclose(partly.grad, whole.grad, rtol=1e-12, atol=1e-13)


def test_steps_that_are_not_accepted_leave_nothing_behind():
    def stiffening(dx, x, p, t):
        dx[:] = p[0] * np.tanh(20 * np.sin(p[1:7] @ np.tanh(p[7:19].reshape(6, 2) @ x)) * (t - 2)) - x

    p = np.concatenate([[3.0], np.linspace(-1, 1, 18)])
    options = {"t_eval": [4.0], "loss": loss, "method": "Tsit5", "first_step": 1.0, "rtol": 1e-8, "atol": 1e-10}
    adjoint = odead.sensitivity(stiffening, X0, p, (0, 4), mode="adjoint", **options)
    assert adjoint.nrejected > 0
    forward = odead.sensitivity(stiffening, X0, p, (0, 4), mode="forward", **options)
    np.testing.assert_allclose(adjoint.grad, forward.grad, rtol=1e-5, atol=1e-8)


def test_two_layers_against_finite_differences():
    def rhs(dx, x, p, t):
        dx[:] = np.tanh(p[0:8].reshape(2, 4) @ np.tanh(p[8:16].reshape(4, 2) @ x)) - x

    def cost(p):
        return loss(odead.solve(rhs, X0, p, (0, 2), t_eval=[2.0], method="Tsit5", rtol=1e-9, atol=1e-11).y)

    check_derivatives(cost, np.linspace(-1, 1, 16))


DEEP = 30
WEIGHTS = np.random.default_rng(1).normal(size=DEEP * DEEP + 5 * DEEP) / 4


def deep(dx, x, p, t):
    first, second = p[: 2 * DEEP].reshape(DEEP, 2), p[2 * DEEP : -3 * DEEP].reshape(DEEP, DEEP)
    hidden = np.tanh(second @ np.tanh(first @ x) + p[-3 * DEEP : -2 * DEEP])
    dx[:] = p[-2 * DEEP :].reshape(2, DEEP) @ hidden - x


@METHODS
@pytest.mark.parametrize("until", [0.3, 5.0])
def test_weights_of_many_evaluations_at_once(method, until):
    """A few evaluations, and many; then the same with none of it saved, and against finite differences."""
    times = np.linspace(0, until, 4)
    options = {"t_eval": times, "method": method, "loss": loss, "rtol": 1e-8, "atol": 1e-10}

    def found(p, **more):
        return odead.sensitivity(deep, X0, p, (0, until), mode="adjoint", **options, **more)

    first, again = found(WEIGHTS), found(WEIGHTS)
    other = found(2 * WEIGHTS)  # prepared, with other numbers
    np.testing.assert_allclose(again.grad, first.grad, rtol=1e-12, atol=1e-13)
    frugal = found(2 * WEIGHTS, checkpoints=8.0 * 8 * 2 * (other.nsteps + 40))
    np.testing.assert_allclose(other.grad, frugal.grad, rtol=1e-11, atol=1e-12)
    options.pop("loss")
    step = 1e-5 * np.sin(np.arange(WEIGHTS.size))
    values = [
        loss(odead.solve(deep, X0, WEIGHTS + sign * step, (0, until), **options | {"rtol": 1e-10, "atol": 1e-12}).y)
        for sign in (1, -1)
    ]
    assert first.grad @ step == pytest.approx((values[0] - values[1]) / 2, rel=3e-6)
