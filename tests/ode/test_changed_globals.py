"""What a right-hand side reads from globals may change between two solves, also what it reads on one branch only."""

import numpy as np
import pytest

import odead

settings = {"gain": 1.0}
rates = [1.0, 2.0]


def branches(dx, x, p, t):
    dx[0] = settings["gain"] * p[0] if x[0] > 0 else -p[0] * x[0]


def reads_a_list(dx, x, p, t):
    dx[0] = rates[0] * p[0]


@pytest.mark.parametrize("mode", ["forward", "adjoint"])
def test_a_change_on_the_branch_that_was_not_taken_last(mode):
    p, options = np.array([1.0]), {"t_eval": [1.0], "loss": lambda y: y.sum(), "mode": mode}
    for gain in (1.0, 3.0, 1.0):
        settings["gain"] = gain
        above = odead.sensitivity(branches, [1.0], p, (0.0, 1.0), **options)
        below = odead.sensitivity(branches, [-1.0], p, (0.0, 1.0), **options)
        np.testing.assert_allclose([above.loss, above.grad[0]], [1.0 + gain, gain], rtol=1e-6)
        np.testing.assert_allclose([below.loss, below.grad[0]], [-np.exp(-1.0), np.exp(-1.0)], rtol=1e-5)


def test_the_same_in_a_gradient():
    def f(x):
        return settings["gain"] * x[0] if x[0] > 0 else x[0] ** 2

    for gain in (2.0, 5.0):
        settings["gain"] = gain
        assert [odead.gradient(f, np.array([x]))[0] for x in (1.0, -1.0)] == [gain, -2.0]


def test_a_changed_item_of_a_list():
    for rate in (1.0, 4.0):
        rates[0] = rate
        np.testing.assert_allclose(odead.solve(reads_a_list, [0.0], np.array([2.0]), (0.0, 1.0)).y[0, -1], 2.0 * rate)


@pytest.mark.parametrize("times", [[float("nan")], [0.0, float("nan"), 1.0], [0.5, 0.25], [0.0, 2.0], [-1.0, 0.5]])
def test_times_that_do_not_go_from_start_to_end(times):
    with pytest.raises(odead.OdeadError, match="t_eval"):
        odead.solve(reads_a_list, [0.0], np.array([2.0]), (0.0, 1.0), t_eval=times)
