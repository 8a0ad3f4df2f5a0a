"""Loops over tables of neighbours, edges and reactions: loads and stores at places without a pattern roll, too."""

import numpy as np
import pytest

import odead
from odead.tracing.trace import trace
from odead.transform.passes import optimise

N = 60
RNG = np.random.default_rng(7)
TABLE = RNG.integers(0, N, size=(N, 3))
LISTS = [[int(j) for j in row] for row in TABLE]
EDGES = RNG.integers(0, N, size=(90, 2))
PAIRS = [(int(a), int(b)) for a, b in EDGES]
REACTIONS = [(a, b, float(rate)) for (a, b), rate in zip(PAIRS, RNG.random(90), strict=True)]
ORDER = RNG.permutation(N)
PLACES = [int(k) for k in ORDER]


def by_table(dx, x):
    for i in range(N):
        dx[i] = 0.0
        for j in TABLE[i]:
            dx[i] += 0.3 * (x[j] - x[i]) * x[j]


def by_lists(dx, x):
    for i in range(N):
        dx[i] = 0.0
        for j in LISTS[i]:
            dx[i] += 0.3 * (x[j] - x[i]) * x[j]


def by_edges(dx, x):
    dx[:] = 0.0
    for a, b in EDGES:
        flux = 0.3 * (x[b] - x[a]) * x[a]
        dx[a] -= flux
        dx[b] += flux


def by_pairs(dx, x):
    dx[:] = 0.0
    for a, b in PAIRS:
        flux = 0.3 * (x[b] - x[a]) * x[a]
        dx[a] -= flux
        dx[b] += flux


def by_reactions(dx, x):
    dx[:] = 0.0
    for a, b, rate in REACTIONS:
        r = rate * x[a] * x[b]
        dx[a] -= r
        dx[b] += 2.0 * r


def scattered(dx, x):
    for i in range(N):
        dx[PLACES[i]] = np.sin(x[i]) * x[PLACES[N - 1 - i]]


def scattered_by_array(dx, x):
    for i in range(N):
        dx[ORDER[i]] = np.sin(x[i]) * x[ORDER[N - 1 - i]]


def in_place(dx, x):
    """A store that a later iteration reads: the order is kept."""
    dx[:] = x
    for a, b in PAIRS:
        dx[b] = 0.5 * dx[a] + 0.5 * x[b]


ALL = [by_table, by_lists, by_edges, by_pairs, by_reactions, scattered, scattered_by_array, in_place]


@pytest.mark.parametrize("f", ALL)
def test_values_are_those_of_the_loop(f):
    x, expected, dx = RNG.standard_normal(N), np.zeros(N), np.zeros(N)
    f(expected, x)
    odead.autodiff(odead.Forward, f, odead.Duplicated(dx, np.zeros(N)), odead.Duplicated(x, np.zeros(N)))
    assert dx.tobytes() == expected.tobytes()


@pytest.mark.parametrize("f", ALL)
def test_derivatives_in_both_modes(f):
    x, v, w, h = RNG.standard_normal(N), RNG.standard_normal(N), RNG.standard_normal(N), 1e-6
    dx, tangent, gradient, up, down = (np.zeros(N) for _ in range(5))
    odead.autodiff(odead.Forward, f, odead.Duplicated(dx, tangent), odead.Duplicated(x.copy(), v))
    odead.autodiff(odead.Reverse, f, odead.Duplicated(dx, w.copy()), odead.Duplicated(x.copy(), gradient))
    f(up, x + h * v)
    f(down, x - h * v)
    np.testing.assert_allclose(tangent, (up - down) / (2 * h), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(gradient @ v, w @ tangent, rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "most"),
    [
        (by_table, 20),
        (by_lists, 20),
        (scattered, 8),
        (scattered_by_array, 8),
        (by_edges, 200),
        (by_pairs, 200),
        (by_reactions, 280),
    ],
)
def test_the_program_is_short(f, most):
    """Sums into elements that recur keep their order: two instructions per edge, on fluxes computed at once."""
    assert len(optimise(trace(f, (np.zeros(N), np.ones(N))).program)) <= most


def test_short_nests_stay_slices():
    """Two inner iterations are no table: a field of two components rolls into slices, with no index."""

    def f(dx, x):
        for i in range(40):
            for c in range(2):
                dx[i, c] = x[i, c + 1] - x[i, c]

    program = optimise(trace(f, (np.zeros((40, 2)), np.ones((40, 3)))).program)
    assert set(program.op) <= {"sub", "copy"}
    assert len(program) <= 5
