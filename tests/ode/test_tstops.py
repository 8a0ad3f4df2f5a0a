"""Times stepped onto, and dosing with the dose time as a parameter, against closed forms."""

import numpy as np
import pytest

import odead
from odead.errors import ArgumentTypeError, ArgumentValueError

ENGINES = [
    ("native", "RK45"),
    ("native", "Tsit5"),
    ("native", "Rodas5P"),
    ("native", "Kvaerno5"),
    ("native", "BDF"),
    ("scipy", "DOP853"),
    ("scipy", "Radau"),
]
EVERY = pytest.mark.parametrize(("engine", "method"), ENGINES)
MODES = pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
TOLERANCES = pytest.mark.parametrize("rtol", [1e-6, 1e-9])
P = np.array([0.6, 1.3, 2.5, 4.0])  # rate, time and amount of a dose, time of a second, equal one
TIMES = np.array([1.0, 2.0, 3.5, 5.0])


def elimination(dx, x, p, t):
    dx[0] = -p[0] * x[0]


def exact(p, x0=1.0):
    """The amount at TIMES and its derivatives by p and x0."""
    rate, when, amount, again = p
    y, by = np.zeros(4), np.zeros((4, 5))
    for k, t in enumerate(TIMES):
        e = np.exp(-rate * t)
        y[k], by[k, 0], by[k, 4] = x0 * e, -t * x0 * e, e
        for column, s in ((1, when), (3, again)):
            if t > s:
                e = np.exp(-rate * (t - s))
                y[k] += amount * e
                by[k, 0] -= (t - s) * amount * e
                by[k, 2] += e
                by[k, column] += rate * amount * e
    return y, by


def dose(x, p, t):
    x[0] += p[2]


def doses():
    def first(x, p, t):
        return t - p[1]

    def second(x, p, t):
        return t - p[3]

    first.reset = second.reset = dose
    return [first, second]


@EVERY
@MODES
@TOLERANCES
def test_dosing(engine, method, mode, rtol):
    """A compartment with two doses; the stops make sure that no step passes over one."""
    how = {"engine": engine, "method": method, "mode": mode, "rtol": rtol, "atol": rtol}
    when = {"events": doses(), "tstops": lambda p: [p[3], p[1]]}
    found = odead.sensitivity(
        elimination,
        [1.0],
        P,
        (0, 5),
        t_eval=TIMES,
        loss=lambda y: np.sum(y[0] * np.arange(1.0, 5.0)),
        wrt=("p", "x0"),
        **when,
        **how,
    )
    y, by = exact(P)
    np.testing.assert_allclose(found.y[0], y, rtol=50 * rtol)
    gradient = np.arange(1, 5) @ by
    np.testing.assert_allclose([*found.grad, *found.grad_x0], gradient, rtol=50 * rtol)
    assert [t.tolist() for t in found.t_events] == [pytest.approx([1.3]), pytest.approx([4.0])]
    if mode == "forward":
        np.testing.assert_allclose(found.sens[:, 0], by[:, :4], rtol=50 * rtol, atol=50 * rtol)
        np.testing.assert_allclose(found.sens_t_events[0], [[0, 1, 0, 0]], atol=1e-12)


def infusion(dx, x, p, t):
    dx[0] = np.where(t > p[1], p[2], 0.0) * np.where(t < p[3], 1.0, 0.0) - p[0] * x[0]


@EVERY
@MODES
@TOLERANCES
def test_infusion_written_as_values(engine, method, mode, rtol):
    """Switches recorded as values, at stops that depend on p: their jumps are in the derivatives, and nothing warns."""
    how = {"engine": engine, "method": method, "mode": mode, "rtol": rtol, "atol": rtol, "tstops": lambda p: p[1::2]}
    found = odead.sensitivity(infusion, [0.0], P, (0, 5), t_eval=[5.0], loss=lambda y: y[0, 0], **how)
    rate, on, amount, off = P
    a, b = np.exp(-rate * (5 - on)), np.exp(-rate * (5 - off))
    assert found.loss == pytest.approx(amount / rate * (b - a), rel=50 * rtol)
    by_rate = -amount / rate**2 * (b - a) + amount / rate * (-(5 - off) * b + (5 - on) * a)
    np.testing.assert_allclose(found.grad, [by_rate, -amount * a, (b - a) / rate, amount * b], rtol=50 * rtol)


@pytest.mark.parametrize("engine", ["native", "scipy"])
def test_stops_are_steps(engine):
    """A pulse that every step would miss; backwards too. A stop at an end, and repeated ones, do no harm."""

    def pulse(dx, x, p, t):
        dx[0] = np.where((t > 5.0) & (t < 5.001), 1000.0, 0.0)

    for span in ((0, 10), (10, 0)):
        found = odead.solve(pulse, [0.0], None, span, method="RK45", engine=engine, tstops=[0.0, 5.0, 5.0, 5.001, 10.0])
        assert abs(found.y[0, -1]) == pytest.approx(1.0, rel=1e-6)
        assert np.abs(found.t - 5.001).min() < 1e-12


@MODES
def test_data_at_stops_count_once(mode):
    found = odead.sensitivity(
        elimination,
        [1.0],
        P,
        (0, 5),
        t_eval=[1.3, 4.0, 4.0],
        mode=mode,
        rtol=1e-9,
        atol=1e-9,
        tstops=lambda p: [p[1], p[3]],
        events=doses(),
        loss=lambda y: np.sum(y),
    )
    first, second = np.exp(-0.6 * 1.3), np.exp(-0.6 * 4) + 2.5 * np.exp(-0.6 * 2.7)
    np.testing.assert_allclose(found.y[0], [first, second, second], rtol=1e-7)
    by_amount, by_time = 2 * np.exp(-0.6 * 2.7), 2 * 0.6 * 2.5 * np.exp(-0.6 * 2.7)
    np.testing.assert_allclose(found.grad[1:], [by_time, by_amount, 0], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("tstops", "error", "match"),
    [
        ([6.0], ArgumentValueError, r"tstops\[0\] = 6 is outside tspan"),
        ([1.0, np.nan], ArgumentValueError, "outside"),
        ([[1.0]], ArgumentValueError, "one-dimensional"),
        ("soon", ArgumentTypeError, "sequence of times"),
        (lambda p, t: [1.0], ArgumentTypeError, "one positional parameter"),
        (lambda p: [9 * p[0]], ArgumentValueError, "outside"),
    ],
)
def test_wrong_stops(tstops, error, match):
    with pytest.raises(error, match=match):
        odead.solve(elimination, [1.0], P, (0, 5), tstops=tstops)
