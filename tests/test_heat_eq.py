"""The heat equation of `examples/heat_eq`: known answers, in three ways of writing the same function."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import odead
import rhs
from odead import Const, Duplicated
from odead.tracing.trace import trace
from odead.transform.passes import optimise

VERSIONS = (rhs.heat_eq, rhs.heat_eq_sliced, rhs.heat_eq_buffered)
STIFF = ("Radau", "BDF", "LSODA")

p = np.array([15.0, 10.0])
x0 = np.full(rhs.Nx, rhs.T0)
span = (0.0, rhs.Tf)

# By hand: the heat that has come in is proportional to e^a / b, and after Tf it is spread evenly.
END = 1235.31933855191
END_BY_P = (END - rhs.T0, -93.531933855191)


@pytest.fixture(params=VERSIONS, ids=lambda f: f.__name__)
def heat_eq(request):
    return request.param


@pytest.fixture
def state():
    i = np.arange(rhs.Nx)
    return 300 + 50 * np.sin(0.1 * i) + 0.01 * i**2


@pytest.fixture
def cotangent():
    return np.cos(0.05 * np.arange(rhs.Nx))


def matrix():
    """The Jacobian of the right-hand side with respect to x: tridiagonal, with mirrored ends."""
    n = rhs.Nx
    second = np.diag(np.ones(n - 1), -1) - 2 * np.eye(n) + np.diag(np.ones(n - 1), 1)
    second[0, 1] = second[-1, -2] = 2
    return rhs.alpha / rhs.dz**2 * second


def recorded(f, state):
    return optimise(trace(f, (np.zeros(rhs.Nx), state, p, 300.0)).program)


# ------------------------------------------------------------------------------------------------- one call


def test_reverse(heat_eq, state, cotangent):
    dx, d_dx = np.full(rhs.Nx, np.nan), cotangent.copy()
    d_x, d_p = np.zeros(rhs.Nx), np.zeros(2)
    odead.autodiff(heat_eq, Duplicated(dx, d_dx), Duplicated(state, d_x), Duplicated(p, d_p), Const(300.0))
    assert_allclose(d_p, (20.675081215341784, 14.28184014086616), rtol=1e-13)
    assert_allclose(d_x[0], -10.012497396050337, rtol=1e-13)
    assert_allclose(d_x, matrix().T @ cotangent, rtol=1e-9, atol=1e-12)
    assert_array_equal(d_dx, 0.0)


def test_reverse_accumulates(heat_eq, state, cotangent):
    d_p = np.zeros(2)
    for _ in range(2):
        d_dx = cotangent.copy()
        odead.autodiff(heat_eq, Duplicated(np.zeros(rhs.Nx), d_dx), Const(state), Duplicated(p, d_p), Const(300.0))
    assert_allclose(d_p, (2 * 20.675081215341784, 2 * 14.28184014086616), rtol=1e-13)


def test_forward(heat_eq, state, cotangent):
    dx, d_dx = np.zeros(rhs.Nx), np.zeros(rhs.Nx)
    d_x, d_p = np.sin(np.arange(rhs.Nx)), np.array([1.0, -0.5])
    odead.autodiff(odead.Forward, heat_eq, Duplicated(dx, d_dx), Duplicated(state, d_x), Duplicated(p, d_p), Const(300.0))
    expected = matrix() @ d_x
    expected[0] += 20.675081215341784 - 0.5 * 14.28184014086616
    assert_allclose(d_dx, expected, rtol=1e-9, atol=1e-9)


def test_primal_is_that_of_the_plain_call(heat_eq, state, cotangent):
    plain, dx = np.zeros(rhs.Nx), np.zeros(rhs.Nx)
    heat_eq(plain, state, p, 300.0)
    odead.autodiff(heat_eq, Duplicated(dx, cotangent), Const(state), Const(p), Const(300.0))
    assert_allclose(dx, plain, rtol=1e-15, atol=1e-13)


def test_check_derivatives(heat_eq, state):
    odead.check_derivatives(heat_eq, np.zeros(rhs.Nx), state, p, 300.0)


def test_sparse_jacobian_is_tridiagonal(heat_eq, state):
    def right_hand_side(x):
        dx = np.empty_like(x)
        heat_eq(dx, x, p, 300.0)
        return dx

    jacobian = odead.jacobian(right_hand_side, state, sparse=True)
    assert jacobian.nnz == 3 * rhs.Nx - 2
    assert_allclose(jacobian.toarray(), matrix(), rtol=1e-12)


def test_the_three_versions_become_one_program(state):
    first, *others = (recorded(f, state) for f in VERSIONS)
    for other in others:
        assert instructions(other) == instructions(first), f"{first}\n\n{other}"


def test_the_element_loop_is_rolled(state):
    assert len(recorded(rhs.heat_eq, state)) < 40


def instructions(program):
    """What a program does, without names of temporaries, source lines and the order of the operands of a sum or product."""
    numbers = {}

    def named(view):
        return None if view is None else (describe(program, view, numbers), *view[1:])

    return [
        (op, sorted(map(named, ins), key=repr) if op in ("add", "mul") else [*map(named, ins)], params, named(out))
        for op, out, ins, params, _ in program
    ]


def describe(program, view, numbers):
    """What a view's buffer is: its name, its value, or how many temporaries came before it."""
    buffer = program.buffers[view.buffer]
    return buffer.name or (buffer.data.tobytes() if buffer.data is not None else numbers.setdefault(view.buffer, len(numbers)))


# ---------------------------------------------------------------------------------------------- all the way


def test_solution(heat_eq):
    result = odead.solve(heat_eq, x0, p, span, method="BDF", rtol=1e-9, atol=1e-9)
    assert_allclose(result.y[:, -1], END, rtol=1e-8)


@pytest.mark.parametrize("method", STIFF)
def test_forward_sensitivities(method):
    result = odead.sensitivity(rhs.heat_eq, x0, p, span, method=method, mode="forward")
    assert result.sens.shape == (len(result.t), rhs.Nx, 2)
    assert_allclose(result.y[:, -1], END, rtol=1e-4)
    assert_allclose(result.sens[-1], np.tile(END_BY_P, (rhs.Nx, 1)), rtol=1e-3)


def test_forward_sensitivities_to_high_accuracy(heat_eq):
    result = odead.sensitivity(heat_eq, x0, p, span, method="BDF", mode="forward", rtol=1e-9, atol=1e-9)
    assert_allclose(result.sens[-1], np.tile(END_BY_P, (rhs.Nx, 1)), rtol=1e-7)
    assert_allclose(result.sens[-1, :, 0], result.y[:, -1] - rhs.T0, rtol=1e-8)  # the model is linear in e^a


def test_adjoint(heat_eq):
    result = odead.sensitivity(
        heat_eq, x0, p, span, method="BDF", mode="adjoint", loss=lambda y: y[-1, -1], rtol=1e-8, atol=1e-8
    )
    assert_allclose(result.loss, END, rtol=1e-7)
    assert_allclose(result.grad, END_BY_P, rtol=1e-6)


def test_adjoint_and_forward_agree_on_a_loss_over_time():
    times = np.linspace(0.0, 1800.0, 31)
    options = {"t_eval": times, "method": "BDF", "rtol": 1e-8, "atol": 1e-8}
    adjoint = odead.sensitivity(rhs.heat_eq, x0, p, span, mode="adjoint", loss=lambda y: np.sum(y[0] ** 2), **options)
    forward = odead.sensitivity(rhs.heat_eq, x0, p, span, mode="forward", **options)
    assert_allclose(adjoint.grad, 2 * forward.y[0] @ forward.sens[:, 0], rtol=1e-6)


def test_solution_does_not_depend_on_a_changed_global_of_before(monkeypatch, state):
    def derivative_of_flux():
        d_p = np.zeros(2)
        d_dx = np.eye(1, rhs.Nx)[0].copy()
        odead.autodiff(rhs.heat_eq, Duplicated(np.zeros(rhs.Nx), d_dx), Const(state), Duplicated(p, d_p), Const(300.0))
        return d_p

    before = derivative_of_flux()
    monkeypatch.setattr(rhs, "lam", 2 * rhs.lam)
    assert_allclose(derivative_of_flux(), before / 2, rtol=1e-14)
