"""Tangents along directions in which matrices have rank one, without the products with these matrices."""

import numpy as np
import pytest

from odead.derivatives.kernel import Kernel
from odead.execute.compiled import Executable
from odead.tape import verify
from odead.transform.forward import forward
from odead.transform.passes import optimise
from odead.transform.ranked import Ranked

SIZE = 36
WEIGHTS = SIZE * SIZE


def network(dx, x, p, t):
    dx[:] = np.tanh(p[:WEIGHTS].reshape(SIZE, SIZE) @ np.sin(x) + p[WEIGHTS : WEIGHTS + SIZE]) * t


def turned(dx, x, p, t):
    dx[:] = np.sin(x) @ p[:WEIGHTS].reshape(SIZE, SIZE) * p[WEIGHTS]


def twice(dx, x, p, t):
    weights = p[SIZE : SIZE + WEIGHTS].reshape(SIZE, SIZE)
    dx[:] = weights.T @ np.tanh(weights @ np.cos(x)) + np.sum(weights * weights)


ALL = [network, turned, twice]


def moved(f):
    """The program with tangents, and what is left of it."""
    program = Kernel(f, (np.zeros(SIZE), np.ones(SIZE), np.ones(WEIGHTS + SIZE), 1.0)).primal
    whole = optimise(forward(program, (0, 1, 2), None))
    return whole, Ranked.of(whole, 6)


@pytest.mark.parametrize("f", ALL)
def test_tangents_are_the_same(f):
    whole, ranked = moved(f)
    assert ranked is not None
    verify(ranked.program)
    (where,) = ranked.matrices
    rng = np.random.default_rng(0)
    x, d_x, p, d_p = (rng.normal(size=size) for size in (SIZE, SIZE, WEIGHTS + SIZE, WEIGHTS + SIZE))
    d_p[where] = np.outer(rng.uniform(1, 2, SIZE), rng.normal(size=SIZE))
    found = []
    for program in (whole, optimise(ranked.program)):
        dx, d_dx = np.zeros(SIZE), np.zeros(SIZE)
        assert Executable(program).run([dx, x, p, 0.7, d_dx, d_x, d_p]) == -1
        found.append((dx, d_dx))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-11, atol=1e-11)


def test_only_vectors_of_the_network_are_multiplied():
    ranked = moved(network)[1]
    assert ranked is not None
    operands = [ins for op, ins in zip(ranked.program.op, ranked.program.ins, strict=True) if op == "matmul"]
    assert sum(x.size == WEIGHTS or y.size == WEIGHTS for x, y in operands) == 2  # the weights, with x and its sensitivity


def overlapping(dx, x, p, t):
    one, other = p[:WEIGHTS].reshape(SIZE, SIZE), p[SIZE : SIZE + WEIGHTS].reshape(SIZE, SIZE)
    dx[:] = one @ x + other @ np.sin(x)


def of_matrices(dx, x, p, t):
    dx[:] = np.sum(p[:WEIGHTS].reshape(SIZE, SIZE) @ np.stack([np.sin(x), np.cos(x)], axis=1), axis=1)


def test_of_matrices_that_meet_one_has_rank_one():
    _, ranked = moved(overlapping)
    assert ranked is not None
    assert len(ranked.matrices) == 1


def test_products_of_matrices_stay():
    assert moved(of_matrices)[1] is None
