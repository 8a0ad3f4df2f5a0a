"""Right-hand sides with known answers, as a scientist would write them, and their exact solutions and derivatives."""

import numpy as np
from scipy.linalg import expm


def lotka_volterra(dx, x, p, t):
    a, b, c, d = p
    dx[0] = a * x[0] - b * x[0] * x[1]
    dx[1] = -c * x[1] + d * x[0] * x[1]


LOTKA_X0 = np.array([1.0, 1.0])
LOTKA_P = np.array([1.5, 1.0, 3.0, 1.0])


def sum_of_squares(y):
    return np.sum(y**2)


def fit(count):
    """Losses against data of two states at so many times: without p, and with it."""
    data = np.random.default_rng(0).uniform(0.5, 2.0, (2, count))

    def misfit(y):
        return np.sum((y - data) ** 2)

    def penalised(y, p):
        return misfit(y) + np.sum(p**2)

    return misfit, penalised


def modes_of(misfit, penalised):
    """Ways to differentiate that share what is prepared, as options."""
    return [
        {"mode": "adjoint", "loss": misfit},
        {"mode": "adjoint", "loss": penalised, "wrt": ("p", "x0")},
        {"mode": "adjoint", "loss": misfit, "wrt": "x0"},
        {"mode": "forward", "loss": penalised},
        {},
    ]


def explodes(dx, x, p, t):
    """Reaches infinity at t = 1 / (p[0] x0)."""
    dx[0] = p[0] * x[0] ** 2


def branching(dx, x, p, t):
    """The second state decides on the way; on the later one the Jacobian has one more entry."""
    dx[1] = 1.0
    dx[0] = -p[0] * x[0]
    if x[1] > 1:
        dx[0] = dx[0] + p[1] * (x[1] - 1) ** 3


def robertson(dx, x, p, t):
    """Stiff, with parameters and states of very different sizes."""
    dx[0] = -p[0] * x[0] + p[1] * x[1] * x[2]
    dx[2] = p[2] * x[1] ** 2
    dx[1] = -dx[0] - dx[2]


ROBERTSON_X0 = np.array([1.0, 0.0, 0.0])
ROBERTSON_P = np.array([0.04, 1e4, 3e7])


def linear(dx, x, p, t):
    dx[:] = p.reshape(3, 3) @ x


LINEAR_P = np.array([-0.5, 0.3, 0.1, 0.2, -0.7, 0.4, -0.1, 0.2, -0.3])
LINEAR_X0 = np.array([1.0, -0.5, 2.0])


def linear_exact(p, x0, t):
    """x(t), dx/dp (3, 9) and dx/dx0 (3, 3); the derivative of the matrix exponential by the block triangular formula."""
    a = p.reshape(3, 3)
    propagator = expm(a * t)
    by_p = np.empty((3, 9))
    for k in range(9):
        direction = np.zeros((3, 3))
        direction.flat[k] = 1.0
        block = np.block([[a, direction], [np.zeros((3, 3)), a]])
        by_p[:, k] = expm(block * t)[:3, 3:] @ x0
    return propagator @ x0, by_p, propagator


def logistic(dx, x, p, t):
    dx[:] = p[0] * x * (1 - x / p[1])


def logistic_exact(p, x0, t):
    """x(t) and dx/d(r, K, x0) for one state, t an array."""
    r, k = p
    e = np.exp(-r * t)
    q = (k - x0) / x0
    w = 1 + q * e
    return k / w, np.array([k * q * t * e / w**2, (w - k * e / x0) / w**2, k * k * e / x0**2 / w**2])


NODES = 101
SPACING = 0.1 / (NODES - 1)


def heat_eq(dx, x, p, t):
    """A slab heated at its left end; linear in exp(p[0])."""
    a, b = p
    c = b * np.sqrt(-np.log(1e-6))
    u = np.exp(a - (c * (t / 6000.0 - 1 / b)) ** 2)
    for i in range(1, NODES - 1):
        dx[i] = (x[i - 1] - 2 * x[i] + x[i + 1]) / SPACING**2
    dx[0] = 2 * (x[1] - x[0]) / SPACING**2
    dx[NODES - 1] = 2 * (x[NODES - 2] - x[NODES - 1]) / SPACING**2
    dx[:] = 1e-5 * dx
    dx[0] = dx[0] + 1e-5 / (50.0 * SPACING) * u


HEAT_X0 = np.full(NODES, 300.0)
HEAT_P = np.array([15.0, 10.0])
HEAT_END, HEAT_BY_A, HEAT_BY_B = 1235.31933855191, 935.31933855191, -93.531933855191


def central(f, q, h=1e-6):
    """Derivatives by central differences of order four, for closed forms."""
    q = np.asarray(q, dtype=float)
    columns = []
    for k in range(q.size):
        d = np.zeros(q.size)
        d[k] = h
        columns.append((8 * (np.asarray(f(q + d)) - f(q - d)) - np.asarray(f(q + 2 * d)) + f(q - 2 * d)) / (12 * h))
    return np.moveaxis(np.array(columns), 0, -1)
