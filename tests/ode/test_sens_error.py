"""`sens_error` against the true error, over problems with known or tightly computed gradients."""

import numpy as np
import pytest

from ode.problems import (
    HEAT_P,
    HEAT_X0,
    LINEAR_P,
    LINEAR_X0,
    LOTKA_P,
    LOTKA_X0,
    ROBERTSON_P,
    ROBERTSON_X0,
    heat_eq,
    linear,
    logistic,
    lotka_volterra,
    robertson,
)
from odead.ode import sensitivity

BELOW = 3  # the true error is at most this multiple of the estimate
ABOVE = 1e5  # and the estimate at most this multiple of the true error


def pendulum(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = -p[0] * np.sin(x[0]) - p[1] * x[1] + p[2] * np.cos(2 * t)


def van_der_pol(dx, x, p, t):
    dx[0] = x[1]
    dx[1] = p[0] * (1 - x[0] ** 2) * x[1] - p[1] * x[0]


# Right-hand side, x0, p, end, size of the states, whether it is stiff.
PROBLEMS = {
    "logistic": (logistic, [0.1], [1.3, 2.0], 6.0, 1.0, False),
    "linear": (linear, LINEAR_X0, LINEAR_P, 3.0, 1.0, False),
    "Lotka-Volterra": (lotka_volterra, LOTKA_X0, LOTKA_P, 10.0, 1.0, False),
    "pendulum": (pendulum, [1.0, 0.0], [9.81, 0.1, 0.5], 10.0, 1.0, False),
    "van der Pol": (van_der_pol, [2.0, 0.0], [3.0, 1.0], 10.0, 1.0, False),
    "Robertson": (robertson, ROBERTSON_X0, ROBERTSON_P, 4e3, np.array([1.0, 1e-4, 1.0]), True),
    "heat": (heat_eq, HEAT_X0, HEAT_P, 0.05, 1.0, True),
}
NON_STIFF = ("RK45", "DOP853", "Tsit5", "Rodas5P", "Kvaerno5", "BDF", "auto")
STIFF = ("Rodas5P", "Kvaerno5", "BDF", "auto")


def run(name, mode="forward", with_loss=True, wrt="p", **options):
    rhs, x0, p, end, size, _ = PROBLEMS[name]
    scale = 1 / np.broadcast_to(size, len(x0))[:, None]
    loss = (lambda y: np.sum((scale * y - 0.3) ** 2)) if with_loss else None
    times = np.linspace(0, end, 12)[1:]
    return sensitivity(rhs, np.asarray(x0), np.array(p), (0, end), t_eval=times, loss=loss, mode=mode, wrt=wrt, **options)


@pytest.fixture(scope="module")
def exact():
    """Gradients, and sensitivities, of much tighter solves."""
    return {
        name: run(name, method="Rodas5P" if stiff else "DOP853", rtol=1e-11, atol=1e-15)
        for name, (*_, stiff) in PROBLEMS.items()
    }


def check(name, found, error):
    assert np.isfinite(found.sens_error)
    assert error <= BELOW * found.sens_error
    assert found.sens_error <= ABOVE * max(error, 1e-10)


@pytest.mark.parametrize("mode", ["forward", "adjoint"])
@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
@pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name, (*_, stiff) in PROBLEMS.items() for method in (STIFF if stiff else NON_STIFF)]
)
def test_gradient(name, method, rtol, mode, exact):
    p, size = np.array(PROBLEMS[name][2]), PROBLEMS[name][4]
    found = run(name, mode, method=method, rtol=rtol, atol=1e-3 * rtol * np.broadcast_to(size, found_size(name)))
    error = np.linalg.norm(p * (found.grad - exact[name].grad)) / np.linalg.norm(p * exact[name].grad)
    check(name, found, error)


@pytest.mark.parametrize("name", ["logistic", "Lotka-Volterra", "Robertson"])
@pytest.mark.parametrize("method", ["BDF", "Rodas5P"])
def test_columns(name, method, exact):
    rtol, size = 1e-7, np.broadcast_to(PROBLEMS[name][4], found_size(name))
    found = run(name, with_loss=False, method=method, rtol=rtol, atol=1e-3 * rtol * size)
    scale = np.abs(exact[name].sens).max(axis=0) + 1e-3 * size[:, None] / np.abs(PROBLEMS[name][2])
    check(name, found, (np.abs(found.sens - exact[name].sens).max(axis=0) / scale).max())


@pytest.mark.parametrize(
    ("engine", "method"), [("native", "RK45"), ("scipy", "LSODA"), ("scipy", "DOP853"), ("scipy", "Radau")]
)
@pytest.mark.parametrize("name", ["logistic", "Lotka-Volterra"])
def test_continuous_adjoint(name, engine, method, exact):
    found = run(name, "continuous", engine=engine, method=method)
    error = np.linalg.norm(found.grad - exact[name].grad) / np.linalg.norm(exact[name].grad)
    check(name, found, error)


def found_size(name):
    return len(PROBLEMS[name][1])


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_tighter_tolerances_lower_it(mode):
    coarse, fine = (run("pendulum", mode, method="DOP853", rtol=rtol, wrt=("p", "x0")) for rtol in (1e-5, 1e-9))
    assert fine.sens_error < 1e-2 * coarse.sens_error


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_a_gradient_of_zero_has_no_error(mode):
    found = sensitivity(
        lambda x, p, t: -p[0] * x, [0.0], [2.0], (0, 1), loss=lambda y: y[0, -1] ** 2, mode=mode, wrt="p", method="RK45"
    )
    assert found.grad[0] == 0
    assert 0 <= found.sens_error < 1e-5


def test_nothing_differentiated():
    found = sensitivity(lambda x, p, t: -x, [1.0], None, (0, 1), loss=lambda y: y[0, -1], wrt="t1")
    assert 0 < found.sens_error < 1e-4
    assert "sens_error" in str(found)


def test_it_adds_up_over_the_pieces_of_a_solve():
    whole = sensitivity(lambda x, p, t: -p[0] * x, [1.0], [2.0], (0, 1), method="RK45", mode="forward")
    parts = sensitivity(lambda x, p, t: -p[0] * x, [1.0], [2.0], (0, 1), method="RK45", mode="forward", tstops=[0.3, 0.5])
    assert 0.1 * whole.sens_error < parts.sens_error < 10 * whole.sens_error


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("times", [None, [0.5, 1.0]])
def test_it_is_a_number_where_events_happen(mode, terminal, times):
    def half(x, p, t):
        return x[0] - 0.5 - 0.1 * t

    def reset(x, p, t):
        x[0] = x[0] + p[0]

    half.reset, half.terminal = reset, terminal
    found = sensitivity(
        lambda x, p, t: -p[0] * x, [1.0], [2.0], (0, 1.5), method="RK45", mode=mode, events=half, t_eval=times,
        loss=lambda y: np.sum(y), wrt=("p", "x0"),
    )  # fmt: skip
    assert 0 < found.sens_error < 1e-2
