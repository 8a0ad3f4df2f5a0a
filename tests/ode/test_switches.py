"""Right-hand sides with branches: the switch is stepped onto, and derivatives jump there as they must."""

import itertools

import numpy as np
import pytest

import odead
from odead.errors import IntegrationError

ENGINES = [
    ("native", "RK45"),
    ("native", "Tsit5"),
    ("native", "DOP853"),
    ("native", "Rodas5P"),
    ("native", "Kvaerno5"),
    ("native", "BDF"),
    ("scipy", "RK45"),
    ("scipy", "LSODA"),
    ("scipy", "Radau"),
]
EVERY = pytest.mark.parametrize(("engine", "method"), ENGINES)
MODES = pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
TIGHT = {"rtol": 1e-9, "atol": 1e-12}


def threshold(dx, x, p, t):
    """x = x0 + a t until it reaches c, then decays at the rate b."""
    if x[0] > p[2]:
        dx[0] = -p[1] * x[0] + 2 * p[1] * p[2]
    else:
        dx[0] = p[0]


def threshold_exact(p, x0, t):
    """For t after the switch: x = 2c - c exp(-b (t - s)), s = (c - x0) / a; and its derivatives by a, b, c, x0."""
    a, b, c = p
    s = (c - x0) / a
    e = np.exp(-b * (t - s))
    by_s = -c * b * e
    return 2 * c - c * e, np.array([by_s * -(c - x0) / a**2, c * e * (t - s), 2 - e + by_s / a, -by_s / a])


P = np.array([0.8, 0.5, 1.0])


@EVERY
def test_state_switch_forward(engine, method):
    times = np.array([0.5, 2.0, 4.0])
    found = odead.sensitivity(threshold, [0.2], P, (0, 4), t_eval=times, wrt=("p", "x0"), method=method, engine=engine, **TIGHT)
    np.testing.assert_allclose(found.sens[0, 0], [0.5, 0, 0], atol=1e-9)
    for k in (1, 2):
        x, by = threshold_exact(P, 0.2, times[k])
        np.testing.assert_allclose(found.y[0, k], x, rtol=2e-8)
        np.testing.assert_allclose(found.sens[k, 0], by[:3], rtol=2e-7, atol=1e-9)
        np.testing.assert_allclose(found.sens_x0[k, 0, 0], by[3], rtol=2e-7)


@EVERY
@MODES
def test_state_switch_gradient(engine, method, mode):
    times = np.array([0.5, 2.0, 4.0])
    found = odead.sensitivity(
        threshold, [0.2], P, (0, 4), t_eval=times, wrt=("p", "x0"), method=method, engine=engine, mode=mode,
        loss=lambda y: np.sum(y[0]), **TIGHT,
    )  # fmt: skip
    exact = np.array([0.5, 0, 0, 1]) + threshold_exact(P, 0.2, 2.0)[1] + threshold_exact(P, 0.2, 4.0)[1]
    np.testing.assert_allclose(found.grad, exact[:3], rtol=1e-6)
    np.testing.assert_allclose(found.grad_x0, exact[3:], rtol=1e-6)
    assert found.mode == ("continuous" if mode == "adjoint" and engine == "scipy" else mode)


@EVERY
@MODES
def test_time_switch(engine, method, mode):
    """A dose from p[0] to p[1]: x' = p[2] [p0 < t < p1] - x."""

    def dose(dx, x, p, t):
        dx[:] = -x
        if p[0] < t and t < p[1]:
            dx[0] += p[2]

    def exact(p):
        return p[2] * (np.exp(p[1] - 3) - np.exp(p[0] - 3))

    p = np.array([0.7, 1.9, 2.0])
    found = odead.sensitivity(dose, [0.0], p, (0, 3), t_eval=[3.0], loss=lambda y: y[0, 0], method=method, engine=engine,
                              mode=mode, max_step=0.5, **TIGHT)  # fmt: skip
    assert found.loss == pytest.approx(exact(p), rel=1e-7)
    np.testing.assert_allclose(found.grad, [-p[2] * np.exp(p[0] - 3), p[2] * np.exp(p[1] - 3), exact(p) / p[2]], rtol=1e-6)


@MODES
def test_bounce_on_a_stiff_floor(mode):
    """A ball on a spring: contact is a kink, the damping in contact a jump."""

    def ball(dx, x, p, t):
        dx[0] = x[1]
        if x[0] < 0:
            dx[1] = -p[0] - p[1] * x[0] - p[2] * x[1]
        else:
            dx[1] = -p[0]

    def loss(y):
        return y[0, -1]

    p = np.array([9.81, 400.0, 2.0])
    options = {"t_eval": [2.0], "method": "DOP853", "rtol": 1e-11, "atol": 1e-13, "max_step": 0.05}
    found = odead.sensitivity(ball, [1.0, 0.0], p, (0, 2), loss=loss, mode=mode, **options)
    for k in range(3):
        h = np.zeros(3)
        h[k] = 1e-5 * p[k]
        up, down = (odead.solve(ball, [1.0, 0.0], q, (0, 2), **options).y[0, -1] for q in (p + h, p - h))
        assert found.grad[k] == pytest.approx((up - down) / (2 * h[k]), rel=2e-5)


def test_thermostat_with_hysteresis_by_time():
    """Heating by a clock, backwards too; every second a switch."""

    def heater(dx, x, p, t):
        phase = t - int(t)
        dx[0] = -p[0] * x[0] + (p[1] if phase < p[2] else 0.0)

    def exact(p):
        x = 0.5
        for _ in range(4):
            on = p[1] / p[0]
            x = on + (x - on) * np.exp(-p[0] * p[2])
            x *= np.exp(-p[0] * (1 - p[2]))
        return x

    p = np.array([0.9, 2.0, 0.4])
    found = odead.sensitivity(heater, [0.5], p, (0, 4), t_eval=[4.0], method="RK45", max_step=0.2, **TIGHT)
    assert found.y[0, 0] == pytest.approx(exact(p), rel=1e-8)
    steps = 1e-6 * np.eye(3)
    np.testing.assert_allclose(found.sens[0, 0], [(exact(p + h) - exact(p - h)) / 2e-6 for h in steps], rtol=1e-6)


@EVERY
def test_backwards_and_dense(engine, method):
    there = odead.solve(threshold, [0.2], P, (0, 4), method=method, engine=engine, dense_output=True, **TIGHT)
    back = odead.solve(threshold, there.y[:, -1], P, (4, 0), method=method, engine=engine, dense_output=True, **TIGHT)
    assert back.y[0, -1] == pytest.approx(0.2, abs=1e-6)
    np.testing.assert_allclose(there.sol(2.0), threshold_exact(P, 0.2, 2.0)[0], rtol=1e-7)
    np.testing.assert_allclose(there.sol(there.t), there.y, rtol=1e-8)
    np.testing.assert_allclose(back.sol(np.array([3.0, 0.1])), there.sol(np.array([3.0, 0.1])), atol=2e-6)
    assert (np.diff(there.t) > 0).all()


@pytest.mark.parametrize("engine", ["native", "scipy"])
def test_sliding_raises(engine):
    def sliding(dx, x, p, t):
        dx[0] = -p[0] if x[0] > 0 else p[0]

    with pytest.raises(IntegrationError, match="chattering") as caught:
        odead.solve(sliding, [1.0], [1.0], (0, 3), method="RK45", engine=engine)
    assert caught.value.result.t[-1] == pytest.approx(1.0)


def test_the_other_side_may_be_undefined():
    def outflow(dx, x, p, t):
        dx[0] = -p[0] * np.sqrt(x[0]) if x[0] > 0.25 else -p[1]

    found = odead.sensitivity(outflow, [1.0], [1.0, 0.2], (0, 2), t_eval=[2.0], method="RK45", **TIGHT)
    assert found.y[0, 0] == pytest.approx(0.25 - 0.2, rel=1e-7)
    np.testing.assert_allclose(found.sens[0, 0], [-0.2, -1.0], rtol=1e-6)


def test_first_derivative_of_t0():
    found = odead.sensitivity(
        threshold, [0.2], P, (0, 4), t_eval=[4.0], wrt="t0", loss=lambda y: y[0, 0], mode="continuous", **TIGHT
    )
    other = odead.sensitivity(
        threshold, [0.2], P, (0, 4), t_eval=[4.0], wrt="t0", loss=lambda y: y[0, 0], mode="forward", **TIGHT
    )
    _, by = threshold_exact(P, 0.2, 4.0)
    assert found.grad_t0 == pytest.approx(-by[3] * P[0], rel=1e-6)
    assert other.grad_t0 == pytest.approx(-by[3] * P[0], rel=1e-6)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_a_datum_at_the_instant_of_a_switch_moves_with_the_slope_before_it(mode):
    def rhs(x, p, t):
        return [p[0] if x[0] < 1 else 3 * p[0] * x[0]]

    result = odead.sensitivity(
        rhs,
        [0.0],
        [0.5],
        (0, 3),
        t_eval=[2.0, 2.5],
        loss=lambda y: y.sum(),
        wrt=("p", "t_eval"),
        mode=mode,
        rtol=1e-9,
        atol=1e-11,
    )
    np.testing.assert_allclose(result.grad_t_eval, [0.5, 1.5 * np.exp(0.75)], rtol=1e-7)


MATERIALS = np.array([0, 2, 1, 0])


def layers(dx, x, p, t):
    dx[:] = -p[MATERIALS] * x if p[2] > 0 else p[MATERIALS] * x


def test_branches_that_cannot_flip_are_not_looked_for():
    """A table of materials, and a test of a parameter: as fast as without, and right for each value."""
    start, span, times = np.ones(4), (0, 1), np.array([0.5, 1.0])

    def plain(dx, x, p, t):
        dx[0], dx[1], dx[2], dx[3] = -p[0] * x[0], -p[2] * x[1], -p[1] * x[2], -p[0] * x[3]

    for sign in (1.0, -1.0, 1.0):
        p = np.array([0.5, 1.0, sign * 2.0])
        found = odead.sensitivity(layers, start, p, span, t_eval=times, method="Tsit5", mode="forward")
        expected = odead.sensitivity(plain, start, sign * p, span, t_eval=times, method="Tsit5", mode="forward")
        assert found.nfev == expected.nfev
        np.testing.assert_allclose(found.y, expected.y, rtol=1e-13)
        np.testing.assert_allclose(found.sens, sign * expected.sens, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("seed", [10, 34, 53])
def test_a_branch_at_a_sum_that_rounds_otherwise_when_compiled(seed):
    """NumPy and the compiled sum put the state at which this switch is located on different sides of it."""
    r = np.random.default_rng(seed)
    weights, couple = r.normal(size=(5, 5)), r.normal(size=(5, 5))
    flow, level, start = couple - couple.T - 0.3 * np.eye(5), 0.1 * r.normal(), r.normal(size=5)

    def rhs(dx, x, p, t):
        dx[:] = flow @ x * p[0]
        if (weights @ x)[0] > level:
            dx[0] -= p[1] * x[1]

    def solved(p1):
        return odead.sensitivity(rhs, start, np.array([1.0, p1]), (0.0, 4.0), loss=lambda y: np.sum(y**2), rtol=1e-7)

    found = solved(0.5)  # the first one, which records the other side
    difference = (solved(0.5001).loss - solved(0.4999).loss) / 2e-4
    assert found.grad[1] == pytest.approx(difference, rel=1e-3, abs=1e-4)


def root_by_newton(x, p, t):
    """How often it iterates, and so passes the line with abs, depends on x."""
    root = 1.0
    while abs(root**3 + p[0] * root - x[0]) > 1e-10:
        root = root - (root**3 + p[0] * root - x[0]) / (3 * root**2 + p[0])
    return [-p[1] * root, root - x[1]]


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_a_loop_that_iterates_until_it_has_converged(mode):
    def smooth(x, p, t):  # Cardano's formula
        d = np.sqrt(x[0] ** 2 / 4 + p[0] ** 3 / 27)
        root = np.cbrt(x[0] / 2 + d) + np.cbrt(x[0] / 2 - d)
        return [-p[1] * root, root - x[1]]

    p = np.array([1.5, 0.8])
    given = {"x0": np.array([3.0, 0.0]), "p": p, "tspan": (0, 3), "loss": lambda y: np.sum(y**2), "mode": mode}
    result = odead.sensitivity(root_by_newton, **given)
    np.testing.assert_allclose(result.grad, odead.sensitivity(smooth, **given, rtol=1e-10, atol=1e-12).grad, rtol=2e-5)


def exact_doses(p, times):
    """x' = rate - k x, where the rate is p[1] during half a unit of time at the start of each period p[0], by hand."""
    instants = sorted({0.0, 10.0, *(k * p[0] for k in range(1, 5)), *(k * p[0] + 0.5 for k in range(5))})
    x, found = 0.0, np.empty(times.size)
    for start, end in itertools.pairwise([s for s in instants if s <= 10.0]):
        level = p[1] / p[2] if (start + end) / 2 % p[0] < 0.5 else 0.0
        inside = (times >= start) & (times <= end)
        found[inside] = level + (x - level) * np.exp(-p[2] * (times[inside] - start))
        x = level + (x - level) * np.exp(-p[2] * (end - start))
    return found


PERIODIC = {
    "remainder": lambda x, p, t: [(p[1] if t % p[0] < 0.5 else 0.0) - p[2] * x[0]],
    "quotient": lambda x, p, t: [(p[1] if t - p[0] * (t // p[0]) < 0.5 else 0.0) - p[2] * x[0]],
    "divmod": lambda x, p, t: [(p[1] if divmod(t, p[0])[1] < 0.5 else 0.0) - p[2] * x[0]],
    "fmod": lambda x, p, t: [(p[1] if np.fmod(t, p[0]) < 0.5 else 0.0) - p[2] * x[0]],
    "floor": lambda x, p, t: [(p[1] if t - p[0] * np.floor(t / p[0]) < 0.5 else 0.0) - p[2] * x[0]],
    "where": lambda x, p, t: [np.where(t % p[0] < 0.5, p[1], 0.0) - p[2] * x[0]],
    "where fmod": lambda x, p, t: [np.where(np.fmod(t, p[0]) < 0.5, p[1], 0.0) - p[2] * x[0]],
    "sign of floor": lambda x, p, t: [(p[1] if np.sign(np.floor(t / p[0]) - (t - 0.5) / p[0]) > 0 else 0.0) - p[2] * x[0]],
}


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("name", PERIODIC)
def test_doses_that_come_back_by_a_remainder(name, mode):
    """The third one is at 6.3 = 3 * 2.1, where 6.3 / 2.1 is rounded to 3 although 6.3 // 2.1 is 2."""
    p, times = np.array([2.1, 3.0, 0.4]), np.linspace(0.07, 9.9, 23)
    result = odead.sensitivity(
        PERIODIC[name], [0.0], p, (0, 10), t_eval=times, loss=lambda y: np.sum(y**2), mode=mode, max_step=0.4
    )
    loss = [[np.sum(exact_doses(p + h * side, times) ** 2) for side in (1, -1)] for h in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(result.grad, [(above - below) / 2e-6 for above, below in loss], rtol=2e-5)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_a_branch_on_the_remainder_of_a_state(mode):
    def staircase(x, p, t):
        return [p[0] + (0.2 if x[0] % 1.0 < 0.5 else -0.2)]

    p = np.array([3.0])  # half a unit of x at each of two rates, in turn
    result = odead.sensitivity(staircase, [0.0], p, (0, 1), loss=lambda y: y[0, -1], mode=mode, max_step=0.1)
    fast, slow = 0.5 / (p[0] + 0.2), 0.5 / (p[0] - 0.2)
    since = 1 - 3 * fast - 2 * slow
    later = 3 * 0.5 / (p[0] + 0.2) ** 2 + 2 * 0.5 / (p[0] - 0.2) ** 2
    assert 0 < since < slow
    np.testing.assert_allclose(result.loss, 2.5 + since * (p[0] - 0.2), rtol=1e-6)
    np.testing.assert_allclose(result.grad, [since + later * (p[0] - 0.2)], rtol=1e-6)
