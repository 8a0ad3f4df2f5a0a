"""Events, resets and terminal events, against closed forms, in all modes."""

import numpy as np
import pytest

import odead
from ode.problems import central
from odead.errors import ArgumentTypeError, ArgumentValueError, IntegrationError

ENGINES = [
    ("native", "RK45"),
    ("native", "DOP853"),
    ("native", "Rodas5P"),
    ("native", "Kvaerno5"),
    ("native", "BDF"),
    ("scipy", "RK45"),
    ("scipy", "LSODA"),
]
EVERY = pytest.mark.parametrize(("engine", "method"), ENGINES)
MODES = pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
TOLERANCES = pytest.mark.parametrize("rtol", [1e-6, 1e-9])


def event(f, **attributes):
    for name, value in attributes.items():
        setattr(f, name, value)
    return f


# ------------------------------------------------------------------------------------------------- bouncing ball


def ball(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = -p[0]


def bounce(x, p, t):
    x[1] = -p[1] * x[1]


def floor(**attributes):
    return event(lambda x, p, t: x[0], reset=bounce, direction=-1, **attributes)


def ball_exact(q, t):
    """Height and velocity at t, and the times of the bounces, for q = (g, restitution, height at the start)."""
    g, e, h = q
    at, v, bounces = np.sqrt(2 * h / g), np.sqrt(2 * h * g), []
    if t <= at:
        return h - g * t**2 / 2, -g * t, bounces
    while True:
        bounces.append(at)
        v *= e
        if t <= at + 2 * v / g:
            return v * (t - at) - g * (t - at) ** 2 / 2, v - g * (t - at), bounces
        at += 2 * v / g


Q = np.array([9.81, 0.8, 1.0])
TIMES = np.array([0.3, 0.9, 2.0, 2.9])  # after 0, 1, 3 and 6 bounces


def bounced(engine, method, rtol, **options):
    how = {"engine": engine, "method": method, "rtol": rtol, "atol": rtol, "events": floor(), "wrt": ("p", "x0")}
    return odead.sensitivity(ball, [Q[2], 0.0], Q[:2], (0, 3), t_eval=TIMES, **how, **options)


@EVERY
@TOLERANCES
def test_ball_forward(engine, method, rtol):
    found = bounced(engine, method, rtol)
    for k, t in enumerate(TIMES):
        exact = np.array(ball_exact(Q, t)[:2])
        by = central(lambda q, t=t: np.array(ball_exact(q, t)[:2]), Q)
        condition = max(1.0, np.abs(by).max())  # of the ball itself: an error of a flight grows with each bounce
        np.testing.assert_allclose(found.y[:, k], exact, atol=50 * rtol * condition)
        ours = np.column_stack([found.sens[k], found.sens_x0[k][:, 0]])
        np.testing.assert_allclose(ours, by, rtol=50 * rtol, atol=50 * rtol * np.abs(by).max())
    bounces = ball_exact(Q, 3.0)[2]
    np.testing.assert_allclose(found.t_events[0], bounces, rtol=50 * rtol)
    moves = central(lambda q: np.array(ball_exact(q, 3.0)[2]), Q)
    np.testing.assert_allclose(found.sens_t_events[0], moves[:, :2], rtol=50 * rtol, atol=50 * rtol)
    np.testing.assert_allclose(found.y_events[0][:, 0], 0, atol=1e-12)


@EVERY
@MODES
@TOLERANCES
def test_ball_gradient(engine, method, mode, rtol):
    found = bounced(engine, method, rtol, mode=mode, loss=lambda y: np.sum(y[0]) + y[1, -1])

    def exact(q):
        return sum(ball_exact(q, t)[0] for t in TIMES) + ball_exact(q, TIMES[-1])[1]

    by = central(exact, Q)
    assert found.loss == pytest.approx(exact(Q), abs=50 * rtol * np.abs(by).max())
    np.testing.assert_allclose(np.append(found.grad, found.grad_x0[0]), by, rtol=50 * rtol, atol=50 * rtol * np.abs(by).max())


@pytest.mark.parametrize("engine", ["native", "scipy"])
def test_ball_backwards(engine):
    """Backwards in time the ball gains at each bounce, and the sensitivities of there and back multiply to 1."""

    def gain(x, p, t):
        x[1] = -x[1] / p[1]

    options = {"method": "DOP853", "engine": engine, "rtol": 1e-11, "atol": 1e-12, "wrt": "x0"}
    there = odead.sensitivity(ball, [1.0, 0.0], Q[:2], (0, 1.5), events=floor(), t_eval=[1.5], **options)
    back = odead.sensitivity(
        ball, there.y[:, -1], Q[:2], (1.5, 0), t_eval=[0.0], events=event(lambda x, p, t: x[0], reset=gain), **options
    )
    np.testing.assert_allclose(back.y[:, 0], [1, 0], atol=1e-8)
    np.testing.assert_allclose(back.sens_x0[0] @ there.sens_x0[0], np.eye(2), atol=1e-7)


@pytest.mark.parametrize("engine", ["native", "scipy"])
@pytest.mark.parametrize("restitution", [0.5, 0.0])
def test_zeno_raises(engine, restitution):
    with pytest.raises(IntegrationError, match="chattering") as caught:
        odead.solve(ball, [1.0, 0.0], [9.81, restitution], (0, 5), events=floor(), method="RK45", engine=engine)
    e = restitution
    assert caught.value.result.t[-1] == pytest.approx(np.sqrt(2 / 9.81) * (1 + 2 * e / (1 - e)), rel=1e-6)
    assert caught.value.result.y[0].min() > -1e-6


# ----------------------------------------------------------------------------------------------- terminal events


def growth(dx, x, p, t):
    dx[0] = p[0] * x[0]


def reaches(**attributes):
    return event(lambda x, p, t: x[0] - p[1], terminal=True, **attributes)


P = np.array([0.7, 3.0])


@EVERY
@MODES
@TOLERANCES
@pytest.mark.parametrize("wrt", [("p", "x0"), ("p", "x0", "t0")])
def test_time_to_a_threshold(engine, method, mode, rtol, wrt):
    """T = log(c / x0) / a, as an integral of 1."""
    found = odead.sensitivity(
        growth,
        [1.0],
        P,
        (0, 10),
        running=lambda x, p, t: 1.0 + 0 * x[0],
        wrt=(*wrt, "t1"),
        method=method,
        engine=engine,
        mode=mode,
        rtol=rtol,
        atol=rtol,
        events=[reaches()],
    )
    end = np.log(3) / 0.7
    assert found.status == 1
    assert found.success
    assert "<lambda>" in found.message
    assert found.t[-1] == found.t_events[0][0] == pytest.approx(end, rel=50 * rtol)
    assert found.loss == pytest.approx(end, rel=50 * rtol)
    np.testing.assert_allclose(found.grad, [-end / 0.7, 1 / (0.7 * 3)], rtol=50 * rtol)
    np.testing.assert_allclose(found.grad_x0, [-1 / 0.7], rtol=50 * rtol)
    assert found.grad_t1 == 0
    if "t0" in wrt:
        assert found.grad_t0 == pytest.approx(0, abs=50 * rtol)


@MODES
def test_state_at_a_terminal_event(mode):
    """x at the end is c, whatever else; the other state is total too."""

    def two(dx, x, p, t):
        dx[0] = p[0] * x[0]
        dx[1] = t

    tight = {"rtol": 1e-9, "atol": 1e-9, "mode": mode, "wrt": ("p", "x0")}
    found = odead.sensitivity(two, [1.0, 0.0], P, (0, 10), events=reaches(), loss=lambda y: y[0, -1] + y[1, -1], **tight)
    end = np.log(3) / 0.7
    assert found.loss == pytest.approx(3 + end**2 / 2)
    np.testing.assert_allclose(found.grad, [-(end**2) / 0.7, 1 + end / 2.1], rtol=1e-7)
    np.testing.assert_allclose(found.grad_x0, [-end / 0.7, 1], rtol=1e-7)
    if mode == "forward":
        np.testing.assert_allclose(found.sens[-1], [[0, 1], [-(end**2) / 0.7, end / 2.1]], rtol=1e-7, atol=1e-7)


@MODES
def test_data_before_a_terminal_event_stay(mode):
    """Data after the end are left out; one at a fixed time before it does not move with it."""
    found = odead.sensitivity(
        growth,
        [1.0],
        P,
        (0, 10),
        t_eval=[0.5, 1.0, 5.0],
        events=reaches(),
        loss=lambda y: np.sum(y),
        running=lambda x, p, t: x[0],
        mode=mode,
        rtol=1e-9,
        atol=1e-9,
        wrt=("p", "t_eval"),
    )
    assert found.t.tolist() == [0.5, 1.0]
    assert found.y.shape == (1, 2)
    e = np.exp(0.7 * found.t)
    assert found.loss == pytest.approx(e.sum() + 2 / 0.7)  # the integral of x is (c - 1) / a
    np.testing.assert_allclose(found.grad, [found.t @ e - 2 / 0.49, 1 / 0.7], rtol=1e-7)
    np.testing.assert_allclose(found.grad_t_eval, 0.7 * e, rtol=1e-7)


@MODES
def test_all_data_after_a_terminal_event(mode):
    found = odead.sensitivity(
        growth, [1.0], P, (0, 10), t_eval=[8.0, 9.0], events=reaches(), loss=lambda y, p: np.sum(y) + p[0], mode=mode,
        running=lambda x, p, t: x[0], rtol=1e-9, atol=1e-9, wrt=("p", "x0", "t0", "t1", "t_eval"),
    )  # fmt: skip
    assert found.y.shape == (1, 0)
    assert found.loss == pytest.approx(2 / 0.7 + 0.7)  # the integral of x is (c - 1) / a
    np.testing.assert_allclose(found.grad, [1 - 2 / 0.49, 1 / 0.7], rtol=1e-7)
    assert found.grad_x0 == pytest.approx([-1 / 0.7])
    assert (found.grad_t1, found.grad_t_eval.size) == (0, 0)
    assert found.grad_t0 == pytest.approx(0, abs=1e-7)


@MODES
def test_terminal_count(mode):
    """The third bounce ends the solve."""
    found = odead.sensitivity(
        ball,
        [1.0, 0.0],
        Q[:2],
        (0, 9),
        events=floor(terminal=3),
        running=lambda x, p, t: 1.0 + 0 * t,
        mode=mode,
        rtol=1e-9,
        atol=1e-9,
        wrt=("p", "x0"),
    )
    assert found.t_events[0].size == 3
    by = central(lambda q: ball_exact(q, 2.5)[2][2], Q)
    np.testing.assert_allclose([*found.grad, found.grad_x0[0]], by, rtol=1e-7)


# ---------------------------------------------------------------------------------- directions, order, coincidences


def turning(dx, x, p, t):
    dx[0] = np.cos(t)


@pytest.mark.parametrize("engine", ["native", "scipy"])
@pytest.mark.parametrize(
    ("direction", "expected"), [(0, [0, np.pi, 2 * np.pi, 3 * np.pi]), (1, [0, 2 * np.pi]), (-1, [np.pi, 3 * np.pi])]
)
def test_direction(engine, direction, expected):
    """sin t; the root at t0 counts where it is left in the direction, as in SciPy."""
    found = odead.solve(
        turning,
        [0.0],
        None,
        (0, 10),
        method="RK45",
        engine=engine,
        rtol=1e-9,
        atol=1e-9,
        events=[event(lambda x, p, t: x[0], direction=direction), lambda x, p, t: x[0] - 2],
    )
    np.testing.assert_allclose(found.t_events[0], expected, rtol=1e-7)
    assert found.t_events[1].shape == (0,)
    assert found.y_events[1].shape == (0, 1)
    assert found.y_events[0].shape == (len(expected), 1)


def test_same_events_as_scipy():
    from scipy.integrate import solve_ivp

    def hill(t, y):
        return y[0] - 0.5

    ours = odead.solve(turning, [0.0], None, (0, 20), method="DOP853", rtol=1e-8, events=lambda x, p, t: x[0] - 0.5)
    theirs = solve_ivp(lambda t, y: [np.cos(t)], (0, 20), [0.0], method="DOP853", rtol=1e-8, atol=1e-9, events=hill)
    np.testing.assert_allclose(ours.t_events[0], theirs.t_events[0], rtol=1e-7)


@MODES
def test_simultaneous_events(mode):
    """Two equal balls, each with its floor, bounce together, and each gradient is that of one ball."""

    def balls(dx, x, p, t):
        dx[0], dx[1] = x[1], -p[0]
        dx[2], dx[3] = x[3], -p[2]

    def first(x, p, t):
        x[1] *= -p[1]

    def second(x, p, t):
        x[3] *= -p[3]

    events = [event(lambda x, p, t: x[0], reset=first), event(lambda x, p, t: x[2], reset=second)]
    p = np.array([9.81, 0.8, 9.81, 0.8])
    found = odead.sensitivity(
        balls, [1.0, 0, 1, 0], p, (0, 2), events=events, loss=lambda y: y[0, -1] + 2 * y[2, -1], mode=mode, rtol=1e-9, atol=1e-9
    )
    by = central(lambda q: ball_exact(q, 2.0)[0], Q)[:2]
    np.testing.assert_allclose(found.grad, [*by, *(2 * by)], rtol=1e-7)
    np.testing.assert_allclose(found.t_events[0], found.t_events[1], rtol=1e-12)


@pytest.mark.parametrize("engine", ["native", "scipy"])
def test_events_of_one_instant_in_list_order(engine):
    def double(x, p, t):
        x[0] *= 2

    def add(x, p, t):
        x[0] += 1

    def at_one(reset):
        return event(lambda x, p, t: t - 1.0, reset=reset)

    for resets, expected in (((double, add), 11.0), ((add, double), 12.0)):
        found = odead.solve(
            lambda x, p, t: 0 * x, [5.0], None, (0, 2), events=[at_one(r) for r in resets], engine=engine, method="RK45"
        )
        assert found.y[0, -1] == expected


@EVERY
@MODES
def test_datum_at_an_event(engine, method, mode):
    """At a reset y is the value before it, with that gradient."""

    def dose(x, p, t):
        x[0] += p[1]

    found = odead.sensitivity(
        lambda x, p, t: -p[0] * x,
        [2.0],
        [0.5, 3.0],
        (0, 2),
        t_eval=[1.0, 1.0],
        method=method,
        engine=engine,
        events=event(lambda x, p, t: t - 1.0, reset=dose),
        loss=lambda y: np.sum(y),
        mode=mode,
        rtol=1e-9,
        atol=1e-9,
    )
    np.testing.assert_allclose(found.y, 2 * np.exp(-0.5), rtol=1e-7)
    np.testing.assert_allclose(found.grad, [-4 * np.exp(-0.5), 0], rtol=1e-7, atol=1e-9)


@MODES
def test_event_and_branch_at_the_same_threshold(mode):
    """A right-hand side that switches where an event resets: x' = a below c, else 0; at c x goes back to 0."""

    def saw(dx, x, p, t):
        dx[0] = p[0] if x[0] < p[1] else 0.0

    def back(x, p, t):
        x[0] = 0.0

    p = np.array([1.3, 0.7])
    found = odead.sensitivity(
        saw,
        [0.1],
        p,
        (0, 2),
        events=event(lambda x, p, t: x[0] - p[1], reset=back),
        t_eval=[2.0],
        loss=lambda y: y[0, 0],
        mode=mode,
        rtol=1e-9,
        wrt=("p", "x0"),
    )
    assert found.loss == pytest.approx(0.1 + 2 * 1.3 - 3 * 0.7)
    np.testing.assert_allclose(found.grad, [2.0, -3.0], rtol=1e-7)
    np.testing.assert_allclose(found.grad_x0, [1.0], rtol=1e-7)


@pytest.mark.parametrize("engine", ["native", "scipy"])
def test_twice_within_one_step(engine):
    """A dip whose ends lie inside one step is seen where one of the looks falls into it."""
    found = odead.solve(
        lambda x, p, t: 1 + 0 * x,
        [0.0],
        None,
        (0, 10),
        method="RK45",
        engine=engine,
        first_step=10.0,
        events=lambda x, p, t: (x[0] - 4.0) * (x[0] - 6.0),
    )
    np.testing.assert_allclose(found.t_events[0], [4, 6], rtol=1e-9)


def test_containers_and_dense_output():
    def rhs(dx, x, p, t):
        dx["height"][:] = x["speed"]
        dx["speed"][:] = -p["g"]

    def reset(x, p, t):
        x["speed"][:] = -p["e"] * x["speed"]

    start = {"height": np.array([1.0]), "speed": np.array([0.0])}
    hit = event(lambda x, p, t: x["height"], reset=reset)
    found = odead.sensitivity(
        rhs,
        start,
        {"g": 9.81, "e": 0.8},
        (0, 2),
        events=hit,
        loss=lambda y: y["height"][0, -1],
        rtol=1e-9,
        atol=1e-9,
        dense_output=True,
    )
    by = central(lambda q: ball_exact(q, 2.0)[0], Q)
    assert found.grad["g"] == pytest.approx(by[0], rel=1e-7)
    assert found.grad["e"] == pytest.approx(by[1], rel=1e-7)
    for t in (0.2, 0.7, 1.7):
        assert found.sol(t)[0] == pytest.approx(ball_exact(Q, t)[0], rel=1e-7)


@pytest.mark.parametrize("engine", ["native", "scipy"])
@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_an_event_in_the_first_step_leaves_the_datum_at_t0(engine, mode):
    """A dose at p1 = 0.1, in a first step of length 0.5."""
    dose = event(lambda x, p, t: t - p[1], reset=add_one)
    found = odead.sensitivity(
        lambda x, p, t: -p[0] * x, [1.0], np.array([0.7, 0.1]), (0, 2), t_eval=[0.0, 0.05, 2.0], events=dose, first_step=0.5,
        loss=lambda y: y[0].sum(), mode=mode, engine=engine, rtol=1e-8,
    )  # fmt: skip
    later = np.exp(-0.7 * 1.9)
    np.testing.assert_allclose(found.y[0], [1.0, np.exp(-0.035), np.exp(-1.4) + later], rtol=1e-6)
    by_rate = -0.05 * np.exp(-0.035) - 2 * np.exp(-1.4) - 1.9 * later
    np.testing.assert_allclose(found.grad, [by_rate, 0.7 * later], rtol=1e-6)


def add_one(x, p, t):
    x += 1


# ---------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("events", "error", "match"),
    [
        (3, ArgumentTypeError, "events must be a function"),
        (lambda t, y: y[0], ArgumentTypeError, "three positional"),
        (lambda t, y, p: y[0], ArgumentTypeError, "has t before its last parameter"),
        (event(lambda x, p, t: x[0], reset=lambda t, x, p: x), ArgumentTypeError, "reset: .* has t before its last parameter"),
        (lambda x, p, t: x, ArgumentTypeError, r"must return one float.*shape \(2,\)"),
        (lambda x, p, t: None, ArgumentTypeError, "returned None"),
        (lambda x, p, t: x[0] > 1, ArgumentTypeError, "must return one float"),
        (event(lambda x, p, t: x[0], terminal=-1), ArgumentValueError, "terminal"),
        (event(lambda x, p, t: x[0], terminal="yes"), ArgumentValueError, "terminal"),
        (event(lambda x, p, t: x[0], direction="up"), ArgumentValueError, "direction"),
        (event(lambda x, p, t: x[0], reset=lambda x: x), ArgumentTypeError, "reset must take three"),
        (event(lambda x, p, t: x[0], reset=lambda x, p, t: x), ArgumentTypeError, "return nothing"),
        (event(lambda x, p, t: x[0], reset=lambda x, p, t: None), ArgumentValueError, "leaves x as it is"),
    ],
)
def test_wrong_events(events, error, match):
    with pytest.raises(error, match=match):
        odead.solve(ball, [1.0, 0.0], [9.81, 0.8], (0, 1), events=events)


def test_wrong_shape_in_a_reset():
    def reset(x, p, t):
        x[:] = np.zeros(3)

    with pytest.raises(ValueError, match=r"\(3,\)"):
        odead.solve(ball, [1.0, 0.0], [9.81, 0.8], (0, 1), events=event(lambda x, p, t: x[0], reset=reset))


def test_resets_and_events_that_write_elsewhere():
    def writes_p(x, p, t):
        x[0] = 0.0
        p[0] = 1.0

    def writes_x(x, p, t):
        x[0] = 1.0
        return x[1]

    with pytest.raises(ArgumentValueError, match="may change x only"):
        odead.solve(ball, [1.0, 0.0], np.ones(2), (0, 1), events=event(lambda x, p, t: x[0], reset=writes_p))
    with pytest.raises(ArgumentValueError, match="writes into x"):
        odead.solve(ball, [1.0, 0.0], np.ones(2), (0, 1), events=writes_x)


def test_exceptions_of_events_pass():
    def broken(x, p, t):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        odead.solve(ball, [1.0, 0.0], [9.81, 0.8], (0, 1), events=broken)


def test_touching_has_no_derivative():
    """x = t^2 touches 0 from above at its start only; (t - 1)^2 touches at 1."""

    def reset(x, p, t):
        x[0] += 1.0

    touch = event(lambda x, p, t: (t - 1.0) ** 3, reset=reset)
    with pytest.raises(IntegrationError, match="only touched"):
        odead.sensitivity(lambda x, p, t: p[0] * x, [1.0], [0.5], (0, 2), events=touch, method="RK45")


@pytest.mark.parametrize("method", ["RK23", "Tsit5", "Rodas5P"])
def test_discrete_adjoint_is_that_of_the_computed_solution(method):
    """Parabolas are computed exactly at any tolerance, and so is the gradient over the bounces between them."""
    run = {"method": method, "rtol": 1e-3, "atol": 1e-3, "events": floor(), "t_eval": [1.2], "loss": lambda y: y[0, 0]}
    found = odead.sensitivity(ball, [1.0, 0.0], Q[:2], (0, 1.2), mode="adjoint", **run)
    assert found.mode == "adjoint"
    by = central(lambda q: ball_exact(q, 1.2)[0], Q)[:2]
    np.testing.assert_allclose(found.grad, by, rtol=1e-9)
