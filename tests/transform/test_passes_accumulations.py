"""Additions of a loop that meet at elements: one instruction, the sums of the loop bit for bit."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import odead
from odead.execute.compiled import Executable
from odead.tape import verify
from odead.tracing.trace import trace
from odead.transform.passes import optimise
from odead.transform.passes.accumulations import accumulations

RNG = np.random.default_rng(3)
EDGES = [(int(i), int(j)) for i, j in RNG.integers(0, 300, (1000, 2))]
LEFT, RIGHT = np.array(EDGES).T


def network(dx, x, p):
    for i, j in EDGES:
        flow = p[0] * (x[j] - x[i])
        dx[i] += flow
        dx[j] -= flow


def network_at_once(dx, x, p):
    flow = p[0] * (x[RIGHT] - x[LEFT])
    both = np.empty(2 * len(flow))
    both[::2], both[1::2] = flow, -flow
    np.add.at(dx, np.stack([LEFT, RIGHT], axis=1).ravel(), both)


def network_without_a_name(dx, x, p):
    for i, j in EDGES:
        dx[i] += p[0] * (x[j] - x[i])
        dx[j] += p[0] * (x[i] - x[j])


def faces(du, u):
    for i in range(len(u) - 1):
        flux = u[i] * u[i] if u[i] > 0 else u[i + 1] * u[i]
        du[i] -= flux
        du[i + 1] += flux


def faces_of_a_grid(du, u):
    rows, columns = u.shape
    for i in range(rows - 1):
        for j in range(columns):
            flux = u[i, j] * u[i + 1, j]
            du[i, j] -= flux
            du[i + 1, j] += flux


def twice_in_an_iteration(du, u):
    for i in range(len(u)):
        du[i] += u[i]
        du[i] += u[i] * u[i]


def read_between(dx, x, p):
    for i, j in EDGES[:100]:
        dx[i] += p[0] * x[j]
        dx[j] -= x[i]
    dx *= 2.0
    for i, j in EDGES[100:200]:
        dx[j] += p[0] * x[i]


def read_within(dx, x, p):
    for i, j in EDGES[:100]:
        dx[i] += p[0] * x[j] + dx[j]
        dx[j] -= x[i] * dx[i]


def product(y, a, x):
    for i in range(len(y)):
        for j in range(len(x)):
            y[i] += a[i, j] * x[j]


def pairs(a, r):
    for i in range(len(r)):
        for j in range(i + 1, len(r)):
            d = r[j] - r[i]
            force = d / (0.1 + d * d)
            a[i] += force
            a[j] -= force


NETWORK = (RNG.normal(size=300), RNG.normal(size=300), np.array([0.7]))
LINE, GRID = (RNG.normal(size=200), RNG.normal(size=200)), (RNG.normal(size=(20, 30)), RNG.normal(size=(20, 30)))
EXACT = {
    network: (NETWORK, 8), network_without_a_name: (NETWORK, 8), faces: (LINE, 7), faces_of_a_grid: (GRID, 3),
    twice_in_an_iteration: (LINE, 3), read_between: (NETWORK, 12), read_within: (NETWORK, 1000), pairs: (LINE, 1500),
}  # fmt: skip


def copies(args):
    return [x.copy() for x in args]


@pytest.mark.parametrize("f", list(EXACT), ids=lambda f: f.__name__)
def test_values_are_those_of_the_loop_bit_for_bit(f):
    args, most = EXACT[f]
    recorded = trace(f, args).program
    rewritten = accumulations(recorded)
    verify(rewritten)
    program = optimise(recorded)
    assert len(program) <= most, Counter(program.op)
    expected = copies(args)
    f(*expected)
    for each in (rewritten, program):
        values = copies(args)
        assert Executable(each).run(values) == -1
        np.testing.assert_array_equal(values[0], expected[0])


def test_a_product_is_one_sum_over_the_inner_loop():
    args = RNG.uniform(size=40), RNG.uniform(size=(40, 40)), RNG.uniform(size=40)
    assert optimise(trace(product, args).program).op == ["mul", "sum", "add"]
    expected, values = copies(args), copies(args)
    product(*expected)
    odead.compile(product, *args).primal(*values)
    np.testing.assert_allclose(values[0], expected[0], rtol=1e-13)


def test_what_rolls_as_it_is_stays():
    for f, args in ((twice_in_an_iteration, LINE), (read_within, NETWORK)):
        program = trace(f, args).program
        assert accumulations(program) is program


@pytest.mark.parametrize("f", [network, faces, faces_of_a_grid, read_between, pairs], ids=lambda f: f.__name__)
def test_derivatives(f):
    args, _ = EXACT[f]
    if f is pairs:
        args = tuple(x[:12] for x in args)
    odead.check_derivatives(f, *copies(args))


def test_the_derivative_is_that_of_the_form_at_once():
    shadows = []
    for f in (network, network_at_once):
        shadow = RNG.normal(size=0), np.ones(300), np.zeros(300), np.zeros(1)
        odead.compile(f, *NETWORK).vjp(tuple(copies(NETWORK)), None, shadow[1:])
        shadows.append(shadow)
    for one, other in zip(*shadows, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


_STATEMENT = st.tuples(st.sampled_from("+-r="), st.integers(0, 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(_STATEMENT, min_size=1, max_size=4), st.integers(2, 9), st.integers(16, 40), st.integers(0, 2**32 - 1))
def test_random_loops_over_edges(body, n, count, seed):
    rng = np.random.default_rng(seed)
    edges = [tuple(map(int, edge)) for edge in rng.integers(0, n, (count, 2))]

    def f(y, z, x):
        for edge in edges:
            for kind, side in body:
                k = edge[side]
                if kind == "+":
                    y[k] += x[edge[1 - side]] * 1.5
                elif kind == "-":
                    z[k] -= x[k] + x[0]
                elif kind == "r":
                    y[k] = x[k] + z[edge[1 - side]]
                else:
                    z[k] = x[k]

    args = [rng.normal(size=n) for _ in range(3)]
    expected, values = copies(args), copies(args)
    f(*expected)
    assert Executable(optimise(trace(f, tuple(args)).program)).run(values) == -1
    np.testing.assert_array_equal(values, expected)
