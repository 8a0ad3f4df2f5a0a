"""The direction of p in which the sensitivity in the error test of an adjoint moves."""

import numpy as np
import pytest

import odead
from odead.ode.gradients.directions import Direction
from odead.ode.problem.problem import make_problem

SIZE = 36
WEIGHTS = SIZE * SIZE


def layered(dx, x, p, t):
    dx[:] = p[WEIGHTS:].reshape(2, SIZE) @ np.tanh(p[:WEIGHTS].reshape(SIZE, SIZE) @ np.tanh(np.tile(x, SIZE // 2)))


def direction(p, *, alone):
    problem = make_problem(layered, np.ones(2), p, (0.0, 1.0), None)
    return Direction.of(problem.rhs, alone=alone).at(p), Direction.of(problem.rhs, alone=alone).group


def test_direction_has_rank_one_and_no_zeros():
    p = np.random.default_rng(0).normal(size=WEIGHTS + 2 * SIZE)
    p[[3, -1]] = 0
    found, group = direction(p, alone=True)
    assert group is not None
    np.testing.assert_array_equal(group, np.repeat([0, -1], [WEIGHTS, 2 * SIZE]))
    matrix = found[:WEIGHTS].reshape(SIZE, SIZE)
    assert np.linalg.matrix_rank(matrix) == 1
    np.testing.assert_array_equal(np.abs(matrix), 0.5)  # the mean of the moduli is 0.8
    np.testing.assert_array_equal(np.abs(found[WEIGHTS:]), np.append(np.abs(p[WEIGHTS:-1]), 1.0))
    p[:WEIGHTS] = 0
    np.testing.assert_array_equal(np.abs(direction(p, alone=True)[0][:WEIGHTS]), 1.0)


def test_direction_beside_another_probe_is_the_usual_one():
    p = np.random.default_rng(0).normal(size=WEIGHTS + 2 * SIZE)
    found, group = direction(p, alone=False)
    assert group is None
    np.testing.assert_array_equal(np.abs(found), np.abs(p))


@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P"])
@pytest.mark.parametrize("zeros", [False, True])
def test_prepared_solves_take_the_same_steps(method, zeros):
    p = np.random.default_rng(0).normal(size=WEIGHTS + 2 * SIZE) / 6
    if zeros:
        p[:WEIGHTS] = 0
    options = {"loss": lambda y: np.sum(y[:, -1] ** 2), "t_eval": [1.0, 3.0], "method": method}
    results = [odead.sensitivity(layered, [1.0, -0.5], p, (0.0, 3.0), mode="adjoint", **options) for _ in range(3)]
    for result in results[1:]:
        assert result.nsteps == results[0].nsteps
        np.testing.assert_array_equal(result.grad, results[0].grad)
    precise = odead.sensitivity(
        layered, [1.0, -0.5], p, (0.0, 3.0), mode="adjoint", wrt=("p", "x0"), rtol=1e-10, atol=1e-12, **options
    )
    assert np.abs(results[0].grad - precise.grad).max() < 50 * 1e-6 * np.abs(precise.grad).max()
