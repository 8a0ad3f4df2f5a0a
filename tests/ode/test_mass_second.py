"""Second derivatives of problems with constraints where something jumps, against the same problems with these solved."""

import numpy as np
import pytest

import odead
from odead import Reverse, check_derivatives, gradient, hessian, jvp

MODES = ("forward", "adjoint", "continuous")
TIGHT = {"rtol": 1e-9, "atol": 1e-11}
M = np.diag([1.0, 1.0, 0.0])
P = np.array([0.9, 0.4, 0.55, 0.3])
START = np.array([1.0, 0.2])
TIMES = [0.4, 1.3, 2.5]
# States and equations in other combinations: no state is algebraic alone, no equation a constraint alone.
STATES = np.array([[1.0, 0.0, 0.4], [0.2, 1.0, 0.0], [0.0, -0.5, 1.0]])
EQUATIONS = np.array([[1.0, 0.3, 0.0], [0.0, 1.0, 0.5], [-0.6, 0.0, 1.0]])


def rates(x, z, p, t):
    """With a flow z; a valve that opens where the flow is large, and a feed that stops."""
    feed = p[1] if t < 1.0 + p[3] else 0.0
    return -z + feed, (p[0] if z > 0.5 else p[2]) * z - x[1]


def constraint(x, z, p, t):
    return z + 0.1 * z**3 - p[0] * x[0] - 0.1 * np.sin(t) * x[1]


def flow(x, p, t):
    """The root of the constraint, by Cardano's formula."""
    q = (p[0] * x[0] + 0.1 * np.sin(t) * x[1]) / 0.1
    root = np.sqrt(0.25 * q * q + 1000.0 / 27.0)
    return (root + 0.5 * q) ** (1 / 3) - (root - 0.5 * q) ** (1 / 3)


def constrained(dx, x, p, t):
    dx[0], dx[1] = rates(x, x[2], p, t)
    dx[2] = constraint(x, x[2], p, t)


def eliminated(dx, x, p, t):
    dx[0], dx[1] = rates(x, flow(x, p, t), p, t)


def mixed(dx, x, p, t):
    own = np.zeros(3)
    constrained(own, STATES @ x, p, t)
    dx[:] = EQUATIONS @ own


def event_of(flow_of, level, refilled, *, terminal=False):
    """The flow falls to a level, and what flows is refilled; states are told apart by `flow_of`."""

    def low(x, p, t):
        return flow_of(x, p, t) - level(p, t)

    low.direction, low.terminal = -1, terminal
    if not terminal:
        low.reset = refilled
    return low


def refill(x, z, p, t):
    return x[0] + p[3] + 0.3 * z * t


def level(p, t):
    return 0.4 * p[2] + 0.02 * t


def reset_eliminated(x, p, t):
    x[0] = refill(x, flow(x, p, t), p, t)


def reset_constrained(x, p, t):
    x[0] = refill(x, x[2], p, t)


def reset_mixed(x, p, t):
    own = STATES @ x
    own[0] = refill(own, own[2], p, t)
    x[:] = np.linalg.solve(STATES, own)


FORMS = {
    "plain": (constrained, M, np.append(START, 0.8), lambda x, p, t: x[2], reset_constrained, np.eye(3)),
    "mixed": (
        mixed, EQUATIONS @ M @ STATES, np.linalg.solve(STATES, np.append(START, 0.8)), lambda x, p, t: STATES[2] @ x,
        reset_mixed, STATES,
    ),
}  # fmt: skip


def loss(y):
    return np.sum(y[0] ** 2) + y[0, -1] * y[1, -1]


def reference(terminal=False, **options):
    events = event_of(flow, level, reset_eliminated, terminal=terminal)
    return odead.sensitivity(
        eliminated, START, P, (0.0, 2.5), loss=loss, events=events, order=2, method="DOP853", **TIGHT, **options
    )


def found_by(form, terminal=False, **options):
    rhs, mass, x0, flow_of, reset, back = FORMS[form]
    events = event_of(flow_of, level, reset, terminal=terminal)
    return odead.sensitivity(
        rhs, x0, P, (0.0, 2.5), loss=lambda y: loss(back @ y), events=events, order=2, mass_matrix=mass, **TIGHT, **options
    )


@pytest.mark.parametrize(
    ("form", "method", "mode"), [("plain", "Rodas5P", mode) for mode in MODES] + [("mixed", "BDF", mode) for mode in MODES[1:]]
)
def test_resets_switches_and_stops_of_the_algebraic_part(form, method, mode):
    options = {"t_eval": TIMES, "wrt": ("p", "x0"), "tstops": lambda p: [1.0 + p[3]]}
    expected, found = reference(**options), found_by(form, mode=mode, method=method, **options)
    assert expected.t_events[0].size == found.t_events[0].size > 0
    back = np.zeros((7, 6))  # from p and the states of this form to p and the states without the flow
    back[:4, :4] = np.eye(4)
    back[4:, 4:] = np.linalg.inv(FORMS[form][5])[:, :2]
    size = np.abs(expected.hess).max()
    np.testing.assert_allclose(back.T @ found.hess @ back, expected.hess, rtol=0, atol=1e-7 * size)
    algebraic = np.zeros((1, 7))
    algebraic[0, 4:] = np.linalg.inv(FORMS[form][5])[:, 2]
    np.testing.assert_allclose(algebraic @ found.hess, 0, atol=1e-8 * size)


@pytest.mark.parametrize("mode", MODES)
def test_an_end_at_an_event_with_a_running_cost(mode):
    options = {"terminal": True, "wrt": ("p", "x0", "t0", "t1"), "t_eval": None}
    cost = {"running": lambda x, p, t: p[1] * x[0] ** 2 + t}
    expected, found = reference(**options, **cost), found_by("plain", mode=mode, **options, **cost)
    own = np.array([0, 1, 2, 3, 4, 5, 7, 8])
    size = np.abs(expected.hess).max()
    np.testing.assert_allclose(found.hess[np.ix_(own, own)], expected.hess, rtol=0, atol=1e-7 * size)
    np.testing.assert_allclose(found.grad, expected.grad, rtol=1e-7)


def test_times_that_move():
    v = np.array([0.1, 2.5, 0.4, 1.3])

    def solved(rhs, x0, v, events, **options):
        return odead.sensitivity(
            rhs, x0, P, v[:2], t_eval=v[2:], loss=loss, events=events, running=lambda x, p, t: x[0] * t,
            wrt=("t0", "t1", "t_eval", "p"), order=2, **TIGHT, **options,
        )  # fmt: skip

    rhs, mass, x0, flow_of, reset, _ = FORMS["plain"]
    expected = solved(eliminated, START, v, event_of(flow, level, reset_eliminated), method="DOP853")
    found = solved(rhs, x0, v, event_of(flow_of, level, reset), mass_matrix=mass)
    np.testing.assert_allclose(found.grad_t0, expected.grad_t0, rtol=1e-7)
    np.testing.assert_allclose(found.grad_t_eval, expected.grad_t_eval, rtol=1e-7)
    np.testing.assert_allclose(found.hess, expected.hess, rtol=0, atol=1e-7 * np.abs(expected.hess).max())


def inside(form):
    """A function of p, x0 and times, of the times and states of events and of the solution."""
    flat = (eliminated, None, START, flow, reset_eliminated, np.eye(2)) if form == "none" else FORMS[form]
    rhs, mass, x0, flow_of, reset, back = flat
    x0 = x0.copy()

    def f(q):
        start = x0 + np.linalg.solve(back, q[4] * np.eye(len(x0))[0])
        result = odead.solve(
            rhs, start, q[:4], (q[5], 2.5 + q[5]), t_eval=np.array([0.4, 1.3, 2.4]) + q[6:7], mass_matrix=mass,
            events=event_of(flow_of, level, reset), **TIGHT,
        )  # fmt: skip
        y = back @ result.y
        return loss(y) + result.t_events[0][0] ** 2 + (back @ result.y_events[0][0])[1]

    return f


def test_inside_a_function_that_is_differentiated():
    q = np.concatenate([P, [0.1, 0.05, 0.02]])
    expected, slope = hessian(inside("none"), q), gradient(inside("none"), q)
    f = inside("plain")
    np.testing.assert_allclose(gradient(f, q), slope, rtol=0, atol=1e-7 * np.abs(slope).max())
    np.testing.assert_allclose(jvp(f, (q,), (slope,))[1], slope @ slope, rtol=1e-7)
    np.testing.assert_allclose(hessian(f, q), expected, rtol=0, atol=1e-7 * np.abs(expected).max())
    v = np.linspace(1, 2, q.size)
    np.testing.assert_allclose(odead.hvp(f, q, v), expected @ v, rtol=0, atol=1e-7 * np.abs(expected @ v).max())


def test_against_differences():
    q, f = np.concatenate([P, [0.1, 0.05, 0.02]]), inside("plain")
    check_derivatives(f, q, mode=Reverse, rtol=1e-6, entries=1)
    v = np.linspace(-1, 1, q.size)
    differences = (gradient(f, q + 1e-4 * v) - gradient(f, q - 1e-4 * v)) / 2e-4
    np.testing.assert_allclose(odead.hvp(f, q, v), differences, rtol=1e-5, atol=1e-5)


def test_a_reset_after_which_constraints_choose_another_branch():
    """z = p0 x jumps with x beyond 1, where another branch of rhs begins; the branch is that of the consistent z."""

    def rhs(dx, x, p, t):
        dx[0] = -x[1] if x[1] > 1.0 else -p[1] * x[1]
        dx[1] = x[1] - p[0] * x[0]

    def low(x, p, t):
        return x[1] - 0.5

    def dose(x, p, t):
        x[0] = x[0] + p[2]

    low.direction, low.reset = -1, dose

    def exact(v):
        """z falls from p0 to 0.5 at the second rate, rises by p0 p2, falls to 1 at the first rate, and on."""
        p0, p1, p2 = v
        z = 0.5 + p0 * p2
        at = np.log(p0 / 0.5) / (p0 * p1) + np.log(z) / p0
        return np.exp(-p0 * p1 * (2.5 - at)) / p0

    p = np.array([0.8, 0.7, 1.5])
    options = {"t_eval": [2.5], "loss": lambda y: y[0, -1], "events": low, "mass_matrix": np.diag([1.0, 0.0])}
    for mode in MODES:
        found = odead.sensitivity(rhs, [1.0, 1.0], p, (0.0, 2.5), mode=mode, order=2, **options, **TIGHT)
        np.testing.assert_allclose(found.loss, exact(p), rtol=1e-7)
        np.testing.assert_allclose(found.grad, gradient(exact, p), rtol=1e-6)
        np.testing.assert_allclose(found.hess, hessian(exact, p), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_constraint_that_jumps_where_states_are_mixed(mode):
    """All states jump with the constraint, but not the combination of them that decides the branch, except by rounding."""

    def plain(x, z, p, t):
        return -z + p[0] * np.sin(t), z - p[1] * x - (0.4 * p[2] if x < 0.7 else 0.0)

    def rhs(dx, x, p, t):
        own = turned @ x
        rate, residual = plain(own[0], own[1], p, t)
        dx[0], dx[1] = rate + 0.3 * residual, residual - 0.2 * rate

    def without(dx, x, p, t):
        dx[0] = -(p[1] * x[0] + (0.4 * p[2] if x[0] < 0.7 else 0.0)) + p[0] * np.sin(t)

    turned = np.array([[1.0, 0.37], [-0.21, 1.0]])
    mass = np.array([[1.0, 0.0], [-0.2, 0.0]]) @ turned
    p = np.array([0.3, 0.8, 0.9])
    options = {"t_eval": [0.2, 1.1, 2.0], "order": 2, **TIGHT}
    expected = odead.sensitivity(without, [1.0], p, (0.0, 2.0), loss=lambda y: np.sum(y[0] ** 2), **options)
    found = odead.sensitivity(
        rhs, np.linalg.solve(turned, [1.0, 0.5]), p, (0.0, 2.0), loss=lambda y: np.sum((turned @ y)[0] ** 2), mode=mode,
        mass_matrix=mass, **options,
    )  # fmt: skip
    np.testing.assert_allclose(found.grad, expected.grad, rtol=1e-6)
    np.testing.assert_allclose(found.hess, expected.hess, rtol=1e-6, atol=1e-6)
