"""M x' = f with a constant mass matrix, singular or not: solutions, derivatives in all modes, and what is refused."""

import pickle

import numpy as np
import pytest
import scipy.sparse

import odead
from ode.problems import ROBERTSON_P, robertson
from odead.ode.problem import problem as problem_module

IMPLICIT = ("Rodas5P", "BDF")
MODES = ("forward", "adjoint", "continuous")
PRECISE = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-14}

# x' = z - a x, 0 = z - b x - c t in other variables and with the equations mixed.
LEFT = np.array([[1.0, 0.5], [-0.3, 2.0]])
RIGHT = np.array([[0.8, -0.4], [0.6, 1.5]])
MASS = LEFT @ np.diag([1.0, 0.0]) @ RIGHT
P = np.array([2.0, 0.5, 1.5])
TIMES = np.array([0.3, 0.5, 1.7, 2.0])


def mixed(dx, x, p, t):
    a, b, c = p
    y = RIGHT @ x
    dx[:] = LEFT @ np.array([y[1] - a * y[0], y[1] - b * y[0] - c * t])


def exact(p, x0, t0, times):
    """The solution, shape (2, m)."""
    a, b, c = p
    k = a - b
    start = RIGHT[0] @ x0
    y = (start - c * t0 / k + c / k**2) * np.exp(-k * (times - t0)) + c * times / k - c / k**2
    return np.linalg.solve(RIGHT, np.array([y, b * y + c * times]))


def exact_loss(p, x0, t0, times=TIMES):
    return np.sum(exact(p, x0, t0, times) ** 2)


def loss(y):
    return np.sum(y**2)


def difference(f, at):
    """The derivative of a function that can be computed to round-off, by complex steps."""
    at = np.asarray(at, dtype=complex)
    steps = np.eye(at.size) * 1e-30j
    return np.array([np.imag(f((at.ravel() + step).reshape(at.shape))) / 1e-30 for step in steps])


X0 = np.array([0.7, -0.2])
ALL = ("p", "x0", "t0", "t1", "t_eval")


@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", IMPLICIT)
def test_linear_problem_against_its_closed_form(method, mode, rtol):
    found = odead.sensitivity(
        mixed, X0, P, (0.3, 2.0), t_eval=TIMES, loss=loss, wrt=ALL, mode=mode, method=method, mass_matrix=MASS, rtol=rtol,
        atol=rtol / 100,
    )  # fmt: skip
    assert (found.mode, found.method) == (mode, method)
    gradients = {
        "grad": difference(lambda p: exact_loss(p, X0, 0.3), P),
        "grad_x0": difference(lambda x0: exact_loss(P, x0, 0.3), X0),
        # a datum at t0 is x0, of which the algebraic part moves with t0
        "grad_t0": difference(lambda t0: exact_loss(P, X0, t0[0], np.append(t0[0], TIMES[1:])), [0.3]),
        "grad_t_eval": difference(lambda times: exact_loss(P, X0, 0.3, times), TIMES),
    }
    np.testing.assert_allclose(found.y, exact(P, X0, 0.3, TIMES), rtol=50 * rtol, atol=50 * rtol)
    for name, expected in gradients.items():
        np.testing.assert_allclose(found[name], np.squeeze(expected), rtol=50 * rtol, atol=50 * rtol, err_msg=name)
    assert found.grad_t1 == 0
    np.testing.assert_allclose(found.grad_x0 @ np.linalg.solve(RIGHT, [0.0, 1.0]), 0, atol=1e-12)


@pytest.mark.parametrize("method", IMPLICIT)
def test_columns_against_the_closed_form(method):
    found = odead.sensitivity(
        mixed, X0, P, (0.3, 2.0), t_eval=TIMES, wrt=("p", "x0"), method=method, mass_matrix=MASS, rtol=1e-8, atol=1e-10
    )
    by_p = np.array([difference(lambda p, k=k: exact(p, X0, 0.3, TIMES).ravel()[k], P) for k in range(8)])
    np.testing.assert_allclose(found.sens, by_p.reshape(2, 4, 3).transpose(1, 0, 2), atol=3e-7)
    by_x0 = np.array([difference(lambda x0, k=k: exact(P, x0, 0.3, TIMES).ravel()[k], X0) for k in range(8)])
    np.testing.assert_allclose(found.sens_x0, by_x0.reshape(2, 4, 2).transpose(1, 0, 2), atol=3e-7)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", IMPLICIT)
def test_the_end_may_move_and_time_run_backwards(method, mode):
    for span in ((0.3, 2.0), (2.0, 0.3)):
        found = odead.sensitivity(
            mixed, X0, P, span, loss=loss, wrt=ALL[:4], mode=mode, method=method, mass_matrix=MASS, rtol=1e-8, atol=1e-10
        )
        t0, t1 = span
        for name, expected in {
            "grad": difference(lambda p, t0=t0, t1=t1: exact_loss(p, X0, t0, np.array([t1])), P),
            "grad_t0": difference(lambda t, t1=t1: exact_loss(P, X0, t[0], np.array([t1])), [t0])[0],
            "grad_t1": difference(lambda t, t0=t0: exact_loss(P, X0, t0, t), [t1])[0],
        }.items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("method", IMPLICIT)
def test_discrete_adjoint_is_the_gradient_of_the_steps_taken(method):
    """Few long steps of a given size, so that the truncation error is far larger than what is asserted."""

    def rhs(dx, x, p, t):
        dx[0] = -p[0] * x[0] ** 2 + x[1] * np.cos(t)
        dx[1] = x[1] + p[1] * x[1] ** 3 - x[0] - p[2] * t

    def solved(p):
        return odead.sensitivity(
            rhs, np.array([1.0, 0.0]), p, (0.0, 2.0), loss=loss, t_eval=[0.0, 0.7, 2.0], mode="adjoint", method=method,
            mass_matrix=np.diag([1.0, 0.0]), rtol=1e3, atol=1e3, first_step=0.25, max_step=0.25,
        )  # fmt: skip

    found = solved(P)
    assert found.nsteps <= 40
    for k, step in enumerate(1e-5 * np.eye(3)):
        slope = (solved(P + step).loss - solved(P - step).loss) / 2e-5
        # BDF's Newton iteration stops at a part of the tolerance, which is coarse here.
        assert found.grad[k] == pytest.approx(slope, rel=2e-8 if method == "Rodas5P" else 0.02)


def robertson_with_constraint(dx, x, p, t):
    dx[0] = -p[0] * x[0] + p[1] * x[1] * x[2]
    dx[1] = p[0] * x[0] - p[1] * x[1] * x[2] - p[2] * x[1] ** 2
    dx[2] = x[0] + x[1] + x[2] - 1


@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", IMPLICIT)
def test_robertson_with_a_constraint_as_without(method, mode, rtol):
    def cost(y):
        return 1e4 * np.sum(y[1]) + np.sum(y[2])

    options = {"t_eval": [0.0, 0.4, 4.0, 40.0], "loss": cost}
    expected = odead.sensitivity(
        robertson, np.array([1.0, 0.0, 0.0]), ROBERTSON_P, (0.0, 40.0), method="Rodas5P", mode="forward", rtol=1e-11,
        atol=1e-15, **options,
    )  # fmt: skip
    found = odead.sensitivity(
        robertson_with_constraint, np.array([1.0, 0.0, 0.4]), ROBERTSON_P, (0.0, 40.0), method=method, mode=mode, rtol=rtol,
        atol=rtol * np.array([1e-2, 1e-5, 1e-2]), mass_matrix=np.diag([1.0, 1.0, 0.0]), **options,
    )  # fmt: skip
    np.testing.assert_allclose(found.y[:, 0], [1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(found.y, expected.y, rtol=50 * rtol, atol=1e-5 * rtol)
    np.testing.assert_allclose(found.grad, expected.grad, rtol=50 * rtol)


# The amplifier with one transistor of E. Hairer, G. Wanner, Solving Ordinary Differential Equations II, section VI.1, by its
# capacities and resistances; the mass matrix couples states and has rank 3.
CAPACITIES = 1e-3 * np.array([1.0, 2.0, 3.0])
AMPLIFIER = np.zeros((5, 5))
AMPLIFIER[:2, :2] = CAPACITIES[0] * np.array([[-1, 1], [1, -1]])
AMPLIFIER[2, 2] = -CAPACITIES[1]
AMPLIFIER[3:, 3:] = CAPACITIES[2] * np.array([[-1, 1], [1, -1]])


def amplifier(dx, x, p, t):
    r0, r, supply, gain = p
    current = 1e-3 * (np.exp((x[1] - x[2]) / 0.26) - 1)
    dx[0] = (x[0] - 0.4 * np.sin(200 * np.pi * t)) / r0
    dx[1] = x[1] / r - (supply - x[1]) / r + (1 - gain) * current
    dx[2] = x[2] / r - current
    dx[3] = (x[3] - supply) / r + gain * current
    dx[4] = x[4] / r


AMPLIFIER_P = np.array([1000.0, 9000.0, 6.0, 0.99])
AMPLIFIER_X0 = np.array([0.0, 3.0, 2.9, 5.0, 0.0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", IMPLICIT)
def test_amplifier_against_differences(method, mode):
    def solved(p, **options):
        return odead.sensitivity(
            amplifier, AMPLIFIER_X0, p, (0.0, 0.02), t_eval=[0.0, 0.005, 0.0131, 0.02], loss=loss, mass_matrix=AMPLIFIER,
            **options,
        )  # fmt: skip

    def precise(p):
        y = odead.solve(
            amplifier, AMPLIFIER_X0, p, (0.0, 0.02), t_eval=[0.0, 0.005, 0.0131, 0.02], mass_matrix=AMPLIFIER, rtol=1e-11,
            atol=1e-12,
        ).y  # fmt: skip
        return loss(y)

    found = solved(AMPLIFIER_P, mode=mode, method=method, rtol=1e-7, atol=1e-8)
    for k, size in enumerate(1e-4 * AMPLIFIER_P):
        step = size * np.eye(4)[k]
        slope = (8 * (precise(AMPLIFIER_P + step) - precise(AMPLIFIER_P - step))
                 - precise(AMPLIFIER_P + 2 * step) + precise(AMPLIFIER_P - 2 * step)) / (12 * size)  # fmt: skip
        assert found.grad[k] == pytest.approx(slope, rel=5e-6)


# ------------------------------------------------------------------------------------------------ initial values


def circle(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = p[0] - x[0] ** 2 - x[1] ** 2


def test_the_guess_is_made_consistent_and_chooses_the_solution():
    for sign in (1, -1):
        found = odead.sensitivity(
            circle, np.array([0.6, 0.3 * sign]), np.array([1.0]), (0.0, 0.1), t_eval=[0.0], wrt=("p", "x0"),
            mass_matrix=np.diag([1.0, 0.0]),
        )  # fmt: skip
        np.testing.assert_allclose(found.y[:, 0], [0.6, 0.8 * sign], rtol=1e-15)
        np.testing.assert_allclose(found.sens[0, :, 0], [0, 1 / (1.6 * sign)], rtol=1e-14)
        np.testing.assert_allclose(found.sens_x0[0], [[1, 0], [-0.75 * sign, 0]], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", IMPLICIT)
def test_start_that_depends_on_p_and_a_running_cost(method, mode):
    """x is sin(t + asin p1) on the circle."""
    p, options = np.array([1.0, 0.5]), {"mass_matrix": np.diag([1.0, 0.0]), "rtol": 1e-9, "atol": 1e-11}
    found = odead.sensitivity(
        circle, lambda p: np.array([p[1], 1.0 + p[1]]), p, (0.0, 0.8), running=lambda x, p, t: x[0] * x[1], wrt=("p", "t1"),
        mode=mode, method=method, **options,
    )  # fmt: skip

    def integral(q):  # with amplitude sqrt(q0)
        phase = np.arcsin(q[1] / np.sqrt(q[0]))
        return q[0] * (np.sin(0.8 + phase) ** 2 - np.sin(phase) ** 2) / 2

    assert found.loss == pytest.approx(integral(p), rel=1e-8)
    np.testing.assert_allclose(found.grad, difference(integral, p), rtol=5e-8)
    phase = 0.8 + np.arcsin(0.5)
    assert found.grad_t1 == pytest.approx(np.sin(phase) * np.cos(phase), rel=1e-8)


def test_many_constraints_on_a_sparse_pattern():
    """Heat in a rod of which one end follows the time, and a state per node that is its square: large, sparse and banded."""
    n = 80

    def rhs(dx, x, p, t):
        u, v = x[:n], x[n:]
        dx[1 : n - 1] = p[0] * (u[2:] - 2 * u[1:-1] + u[:-2]) - 1e-2 * v[1:-1]
        dx[0] = u[0] - np.sin(t)
        dx[n - 1] = u[n - 1] - u[n - 2]
        dx[n:] = v - u**2

    def reduced(dx, x, p, t):
        u = np.zeros(n)
        u[0] = np.sin(t)
        u[1 : n - 1] = x
        u[n - 1] = x[n - 3]
        dx[:] = p[0] * (u[2:] - 2 * u[1:-1] + u[:-2]) - 1e-2 * u[1:-1] ** 2

    diagonal = np.zeros(2 * n)
    diagonal[1 : n - 1] = 1
    p, start = np.array([3.0]), np.zeros(2 * n)
    tight = {"loss": lambda y: np.sum(y[: n - 2] ** 2), "method": "Rodas5P", "rtol": 1e-9, "atol": 1e-11}
    expected = odead.sensitivity(reduced, start[: n - 2], p, (0.0, 5.0), **tight)
    for matrix in (np.diag(diagonal), scipy.sparse.lil_matrix(np.diag(diagonal)), scipy.sparse.csr_array(np.diag(diagonal))):
        for method, mode in (("Rodas5P", "forward"), ("Rodas5P", "adjoint"), ("BDF", "forward"), ("BDF", "adjoint")):
            found = odead.sensitivity(
                rhs, start, p, (0.0, 5.0), loss=lambda y: np.sum(y[1 : n - 1] ** 2), mass_matrix=matrix, method=method,
                mode=mode, rtol=1e-7, atol=1e-9,
            )  # fmt: skip
            np.testing.assert_allclose(found.grad, expected.grad, rtol=5e-6)


# ---------------------------------------------------------------------------------------------- regular matrices


REGULAR = np.array([[2.0, 0.3, 0.0], [-0.4, 1.5, 0.2], [0.1, 0.0, 0.8]])


def nonlinear(dx, x, p, t):
    dx[0] = -p[0] * x[0] + x[1] * np.sin(t)
    dx[1] = -p[1] * x[1] ** 3 + x[2]
    dx[2] = -x[2] + p[0] * x[0] * np.cos(t)


def solved_for_slopes(x, p, t):
    dx = np.zeros(3)
    nonlinear(dx, x, p, t)
    return np.linalg.solve(REGULAR, dx)


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", ["auto", "RK45", "Tsit5", "Rodas5P", "BDF", "LSODA"])
def test_regular_matrix_as_on_the_other_side(monkeypatch, method, mode, keeps):
    if keeps:  # the branch of large problems
        monkeypatch.setattr(problem_module, "FEW", 0)
    x0, p = np.array([1.0, 0.5, -0.3]), np.array([1.2, 0.7])
    options = {"t_eval": [0.0, 1.0, 3.0], "loss": loss, "running": lambda x, p, t: p[1] * x[0] ** 2, "wrt": ALL}
    expected = odead.sensitivity(solved_for_slopes, x0, p, (0.0, 3.0), mode="forward", **options, **PRECISE)
    found = odead.sensitivity(
        nonlinear, x0, p, (0.0, 3.0), mass_matrix=REGULAR, method=method, mode=mode, rtol=1e-8, atol=1e-10, **options
    )
    for name in ("loss", "grad", "grad_x0", "grad_t0", "grad_t1", "grad_t_eval"):
        np.testing.assert_allclose(found[name], expected[name], rtol=5e-7, atol=5e-7, err_msg=name)


def test_identity_and_diagonal_change_nothing_but_slopes():
    x0, p = np.array([1.0, 0.5, -0.3]), np.array([1.2, 0.7])
    plain = odead.solve(nonlinear, x0, p, (0.0, 3.0))
    np.testing.assert_array_equal(odead.solve(nonlinear, x0, p, (0.0, 3.0), mass_matrix=np.eye(3)).y, plain.y)
    np.testing.assert_allclose(
        odead.solve(lambda x, p, t: -x, x0, p, (0.0, 4.0), t_eval=[4.0], mass_matrix=np.diag([2.0, 2.0, -4.0])).y[:, 0],
        x0 * np.exp([-2.0, -2.0, 1.0]), rtol=1e-5,
    )  # fmt: skip


def test_regular_matrix_with_events_and_branches():
    def falls(dx, x, p, t):
        dx[0] = x[1]
        dx[1] = -p[0] if x[0] > 0 else 0.0

    def ground(x, p, t):
        return x[0]

    ground.terminal = True
    found = odead.sensitivity(
        falls, np.array([1.0, 0.0]), np.array([9.81]), (0.0, 5.0), events=ground, loss=lambda y: y[1, -1],
        mass_matrix=np.diag([1.0, 2.0]),
    )  # fmt: skip
    assert found.loss == pytest.approx(-np.sqrt(9.81), rel=1e-6)
    assert found.grad[0] == pytest.approx(-0.5 / np.sqrt(9.81), rel=1e-5)


# --------------------------------------------------------------------------------------------------- discontinuities


def valve(dx, x, p, t):
    """A flow z out of a tank, algebraic, which jumps where the tank is half empty and at t = 1."""
    opening = p[0] if x[0] > 0.5 else p[1]
    dx[0] = -x[1]
    dx[1] = x[1] + 0.1 * x[1] ** 3 - opening * x[0] - (0.2 if t > 1.0 else 0.0)


def valve_without(dx, x, p, t):
    """The same with the flow computed, by Cardano's formula."""
    opening = p[0] if x[0] > 0.5 else p[1]
    q = (opening * x[0] + (0.2 if t > 1.0 else 0.0)) / 0.1
    root = np.sqrt(0.25 * q * q + 1000.0 / 27.0)
    dx[0] = -((root + 0.5 * q) ** (1 / 3) - (root - 0.5 * q) ** (1 / 3))


def refill(x, p, t):
    return x[0] - p[2]


def refilled(x, p, t):
    x[0] = x[0] + p[3] + 0.1 * t


refill.reset = refilled
refill.direction = -1
VALVE_P = np.array([0.9, 0.6, 0.3, 0.7])


@pytest.mark.parametrize("events", [None, refill])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", IMPLICIT)
def test_switches_stops_and_resets_as_without_the_constraint(method, mode, events):
    times = [0.2, 0.9, 1.0, 1.7, 3.0]
    options = {"wrt": ("p", "x0", "t0"), "events": events, "t_eval": times}
    expected = odead.sensitivity(
        valve_without, np.array([1.0]), VALVE_P, (0.0, 3.0), loss=lambda y: np.sum(y[0] ** 2), **options, **PRECISE
    )
    found = odead.sensitivity(
        valve, np.array([1.0, 0.5]), VALVE_P, (0.0, 3.0), loss=lambda y: np.sum(y[0] ** 2), mass_matrix=np.diag([1.0, 0.0]),
        method=method, mode=mode, rtol=1e-8, atol=1e-10, **options,
    )  # fmt: skip
    np.testing.assert_allclose(found.y[0], expected.y[0], rtol=5e-7)
    np.testing.assert_allclose(found.grad, expected.grad, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.grad_x0, [expected.grad_x0[0], 0.0], rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(found.grad_t0, expected.grad_t0, rtol=1e-6)
    if events is not None:
        assert found.t_events[0].size == expected.t_events[0].size > 0
        np.testing.assert_allclose(found.t_events[0], expected.t_events[0], rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", IMPLICIT)
def test_end_at_an_event_of_the_algebraic_part_and_stops_that_move(method, mode):
    """x' = -z, z = p0 x: z falls to p1 at t = log(p0 / p1) / p0; the integral of z is 1 - p1 / p0."""

    def flow(dx, x, p, t):
        dx[:] = -x[1], x[1] - p[0] * x[0]

    def low(x, p, t):
        return x[1] - p[1]

    low.terminal = True
    p = np.array([2.0, 0.5])
    found = odead.sensitivity(
        flow, np.array([1.0, 0.0]), p, (0.0, 5.0), events=low, running=lambda x, p, t: x[1] + t, tstops=lambda p: [p[1]],
        mass_matrix=np.diag([1.0, 0.0]), method=method, mode=mode, rtol=1e-9, atol=1e-11,
    )  # fmt: skip

    def cost(p):
        return 1 - p[1] / p[0] + (np.log(p[0] / p[1]) / p[0]) ** 2 / 2

    assert found.loss == pytest.approx(cost(p), rel=1e-8)
    np.testing.assert_allclose(found.grad, difference(cost, p), rtol=1e-7)


def test_no_consistent_values_after_a_reset():
    def outside(x, p, t):
        x[0] = 2.0

    def at(x, p, t):
        return x[0] - 0.5

    at.reset = outside
    with pytest.raises(odead.IntegrationError, match="no values of the algebraic part of x were found"):
        odead.solve(circle, np.array([0.0, 1.0]), np.array([1.0]), (0.0, 1.0), mass_matrix=np.diag([1.0, 0.0]), events=at)


# ------------------------------------------------------------------------------------------------- other ways in


def test_solution_between_the_steps_is_consistent():
    for method in IMPLICIT:
        found = odead.solve(mixed, X0, P, (0.3, 2.0), mass_matrix=MASS, method=method, dense_output=True, rtol=1e-7, atol=1e-9)
        times = np.linspace(0.3, 2.0, 50)
        np.testing.assert_allclose(found.sol(times), exact(P, X0, 0.3, times), atol=1e-5)


def test_inside_a_function_that_is_differentiated():
    def outer(p):
        x0 = np.array([p[0] * 0.3, -0.2])
        y = odead.solve(
            mixed, x0, p, (0.3, 2.0), t_eval=TIMES, mass_matrix=MASS, rtol=1e-9, atol=1e-11
        ).y  # fmt: skip
        return np.sum(y**2)

    expected = difference(lambda p: exact_loss(p, np.array([p[0] * 0.3, -0.2]), 0.3), P)
    np.testing.assert_allclose(odead.gradient(outer, P), expected, rtol=1e-7)
    np.testing.assert_allclose(odead.jvp(outer, (P,), (np.array([1.0, 2.0, 3.0]),))[1], expected @ [1, 2, 3], rtol=1e-7)
    by_t = odead.gradient(
        lambda t: odead.solve(mixed, X0, P, (0.3, 2.0), t_eval=t, mass_matrix=MASS, rtol=1e-9, atol=1e-11).y[0, 0], TIMES[1:2]
    )  # fmt: skip
    np.testing.assert_allclose(by_t, difference(lambda t: exact(P, X0, 0.3, t)[0, 0], TIMES[1:2]), rtol=1e-6)
    with pytest.raises(TypeError, match="mass_matrix: an option of a solve cannot be computed"):
        odead.gradient(lambda a: odead.solve(mixed, X0, P, (0.3, 2.0), t_eval=[1.0], mass_matrix=a * MASS).y[0, 0], 2.0)


def test_inside_with_a_regular_matrix_and_times_that_move():
    def last(m, t):
        return odead.solve(decays, np.array([1.0]), m, (0.0, 3.0), t_eval=t, mass_matrix=np.array([[2.0]]), rtol=1e-9).y[0, 0]

    by_m, by_t = odead.gradient(last, np.array([0.5]), np.array([1.5]), wrt=(0, 1))
    np.testing.assert_allclose([by_m[0], by_t[0]], np.array([-0.75, -0.25]) * np.exp(-0.375), rtol=1e-7)


def decays(dx, x, p, t):
    dx[0] = -p[0] * x[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", IMPLICIT)
def test_second_derivatives(method, mode):
    found = odead.sensitivity(
        mixed, X0, P, (0.3, 2.0), t_eval=TIMES, loss=loss, wrt=("p", "x0"), order=2, mode=mode, method=method,
        mass_matrix=MASS, rtol=1e-9, atol=1e-11,
    )  # fmt: skip
    steps, joint = 1e-5 * np.eye(5), np.concatenate([P, X0])

    def gradient(q):
        return difference(lambda q: exact_loss(q[:3], q[3:], 0.3), q)

    expected = [(gradient(joint + step) - gradient(joint - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(found.hess, expected, rtol=1e-5, atol=1e-6)
    hessian = odead.hessian(lambda p: loss(odead.solve(
        mixed, X0, p, (0.3, 2.0), t_eval=TIMES, mass_matrix=MASS, method=method, rtol=1e-9, atol=1e-11,
    ).y), P)  # fmt: skip
    np.testing.assert_allclose(hessian, found.hess[:3, :3], rtol=1e-5, atol=1e-6)


def test_ensemble_and_pickling():
    members = odead.ensemble(mixed, [X0], [P, 2 * P], (0.3, 2.0), threads=2, loss=loss, t_eval=TIMES, mass_matrix=MASS)
    for member, p in zip(members, (P, 2 * P), strict=True):
        np.testing.assert_allclose(member.grad, difference(lambda p: exact_loss(p, X0, 0.3), p), rtol=1e-5)
    again = pickle.loads(pickle.dumps(members[0]))
    np.testing.assert_array_equal(again.grad, members[0].grad)


# ------------------------------------------------------------------------------------------------ what is refused


def pendulum_by_position(dx, x, p, t):
    dx[0], dx[1] = x[2], x[3]
    dx[2], dx[3] = -x[4] * x[0], -x[4] * x[1] - p[0]
    dx[4] = x[0] ** 2 + x[1] ** 2 - 1


def test_higher_index():
    with pytest.raises(ValueError, match=r"not of index 1 at t = 0: .* of pendulum_by_position do not determine x\[4\]"):
        odead.solve(
            pendulum_by_position,
            np.array([1.0, 0, 0, 0, 0]),
            np.array([9.81]),
            (0.0, 1.0),
            mass_matrix=np.diag([1.0] * 4 + [0.0]),
        )


def test_no_consistent_values():
    with pytest.raises(ValueError, match=r"x0: no values of its algebraic part \(x\[1\]\) .* of circle hold"):
        odead.solve(circle, np.array([2.0, 0.5]), np.array([1.0]), (0.0, 1.0), mass_matrix=np.diag([1.0, 0.0]))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"method": "RK45"}, ValueError, 'method="RK45" is explicit .* singular mass_matrix'),
        ({"engine": "scipy"}, ValueError, 'engine="scipy" cannot .* singular mass_matrix'),
        ({"method": "LSODA"}, ValueError, 'engine="scipy" cannot .* singular mass_matrix'),
    ],
)
def test_what_a_singular_matrix_does_not_go_with(change, error, words):
    arguments = {"rhs": mixed, "mass_matrix": np.diag([1.0, 0.0])} | change
    with pytest.raises(error, match=words):
        odead.sensitivity(arguments.pop("rhs"), X0, P, (0.0, 1.0), **arguments)
