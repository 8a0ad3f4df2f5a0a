"""The continuous adjoint where J along the solution has spikes and jumps that lambda alone does not show to an error test."""

import numpy as np
import pytest

from odead import sensitivity
from odead.ode.engines.pace import RATIO, Pace


def rubbed(dx, x, p, t):
    """Dry friction, smoothed over a thousandth of the velocity, and some other."""
    dx[0] = x[1]
    dx[1] = -p[0] * x[0] - p[1] * np.tanh(x[1] / 1e-3) - p[2] * x[1]


def sliding(dx, x, p, t):
    """The same friction, less smooth, of a driven body."""
    dx[0] = x[1]
    dx[1] = -p[0] * x[0] - p[1] * x[1] / (np.abs(x[1]) + 1e-3) + p[2] * np.cos(t)


def saturated(dx, x, p, t):
    """A controller that is inside its bounds for moments only."""
    dx[0] = x[1]
    dx[1] = np.clip(20 * (p[0] * (1 - x[0]) - p[1] * x[1]), -0.5, 0.5)


def pulsed(dx, x, p, t):
    """A rate with a pulse of a hundredth of the time in which the rest changes."""
    dx[0] = -(p[0] + p[1] * np.exp(-(((t - 5) / p[2]) ** 2))) * x[0] + x[1]
    dx[1] = -0.1 * x[1] + 0.3 * np.cos(t)


MODELS = {
    "rubbed": (rubbed, [2.0, 0.0], [2.0, 0.15, 0.1]),
    "sliding": (sliding, [1.0, 0.0], [2.0, 0.4, 0.7]),
    "saturated": (saturated, [0.0, 0.0], [3.0, 1.5]),
    "pulsed": (pulsed, [1.0, 0.5], [0.5, 60.0, 1e-2]),
}


def gradient(name, mode, rtol, t0=0.0, **options):
    rhs, x0, p = MODELS[name]
    options |= {"t_eval": t0 + np.array([0.0, 5.0, 10.0]), "loss": lambda y: ((y[0] - 1) ** 2).sum()}
    return sensitivity(rhs, x0, np.array(p), (t0, t0 + 10), mode=mode, rtol=rtol, atol=1e-3 * rtol, **options).grad


@pytest.fixture(scope="module")
def exact():
    return {name: gradient(name, "forward", 1e-12, method="DOP853") for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
@pytest.mark.parametrize(
    ("engine", "method"),
    [
        ("native", "Tsit5"), ("native", "RK45"), ("native", "Rodas5P"), ("native", "BDF"),
        ("scipy", "DOP853"), ("scipy", "Radau"), ("scipy", "LSODA"),
    ],
)  # fmt: skip
def test_spikes(exact, name, engine, method, rtol):
    found = gradient(name, "continuous", rtol, engine=engine, method=method)
    np.testing.assert_allclose(found, exact[name], rtol=0, atol=50 * rtol * np.abs(exact[name]).max())


@pytest.mark.parametrize(("engine", "method"), [("native", "Tsit5"), ("scipy", "LSODA"), ("scipy", "BDF")])
def test_max_step_still_holds(engine, method):
    """Of what limits a step the smallest counts, in both directions."""

    def decay(dx, x, p, t):
        dx[0] = -p[0] * x[0]

    def solve(max_step):
        return sensitivity(
            decay, [1.0], np.array([0.3]), (0, 10), t_eval=[10.0], loss=lambda y: y[0, 0], mode="continuous", engine=engine,
            method=method, max_step=max_step, rtol=1e-6,
        )  # fmt: skip

    assert solve(0.01).nsteps >= 2000 > solve(np.inf).nsteps


def longest(ends, t):
    """The longest step from t that is at most `RATIO` times each piece it reaches into, by trying them all."""
    sizes = np.diff(ends)
    here = int(ends.searchsorted(t, "right")) - 1
    best = RATIO * sizes[here]
    for k in range(here + 1, sizes.size):
        best = min(best, max(ends[k] - t, RATIO * sizes[k]))
    return best


def test_limits_are_those_of_every_forward_step_within():
    rng = np.random.default_rng(5)
    sizes = 10.0 ** rng.uniform(-4, 0, 60)
    ends = np.concatenate([[0.0], np.cumsum(sizes)])
    pace = Pace.of(np.insert(ends, 1, 1e-9))  # and one that the end cut off
    np.testing.assert_array_equal(pace.ends, ends)
    np.testing.assert_allclose(pace.beyond[:-1], [longest(ends, t) for t in ends[1:-1]], rtol=1e-9)
    for t in rng.uniform(0, ends[-1], 300):
        end = ends[ends.searchsorted(t, "right")]
        assert longest(ends, t) - (end - t) <= pace.limit(t) * (
            1 + 1e-9
        )  # what is asked at the end of a piece holds in all of it
        assert pace.limit(t) <= longest(ends, t) * (1 + 1e-9)
        assert pace.since(0.5).limit(t - 0.5) == pytest.approx(pace.limit(t), rel=1e-9)


def test_limits_without_neighbours():
    assert Pace.of(np.array([0.0, 2.0])).limit(0.5) == RATIO * 2
    assert Pace.of(np.array([0.0, 1.0, 2.0])).limit(0.5) == RATIO * 2
