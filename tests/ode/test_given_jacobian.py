"""jac= of the user: compared once with the exact Jacobian."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import odead
from ode.problems import LINEAR_P, LINEAR_X0, LOTKA_P, LOTKA_X0, ROBERTSON_P, ROBERTSON_X0, linear, lotka_volterra, robertson
from odead.errors import ArgumentTypeError, ArgumentValueError


def robertson_jacobian(x, p, t):
    return np.array([
        [-p[0], p[1] * x[2], p[1] * x[1]],
        [p[0], -p[1] * x[2] - 2 * p[2] * x[1], -p[1] * x[1]],
        [0, 2 * p[2] * x[1], 0],
    ])  # fmt: skip


@pytest.mark.parametrize("method", ["auto", "BDF", "Rodas5P", "Radau"])
@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, csr_array])
def test_a_right_one_changes_nothing(method, form):
    options = {"t_eval": [1.0, 100.0], "method": method, "atol": 1e-12}
    given = odead.sensitivity(
        robertson, ROBERTSON_X0, ROBERTSON_P, (0, 100), jac=lambda x, p, t: form(robertson_jacobian(x, p, t)), **options
    )
    plain = odead.sensitivity(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 100), **options)
    np.testing.assert_array_equal(given.sens, plain.sens)


def test_a_constant_one_beside_a_running_cost():
    run = odead.sensitivity(linear, LINEAR_X0, LINEAR_P, (0, 1), jac=LINEAR_P.reshape(3, 3), running=lambda x, p, t: x[0] ** 2)
    assert run.success
    with pytest.raises(ArgumentValueError, match="looks transposed"):
        odead.solve(linear, LINEAR_X0, LINEAR_P, (0, 1), jac=LINEAR_P.reshape(3, 3).T)


@pytest.mark.parametrize("call", [odead.solve, odead.sensitivity])
def test_a_wrong_entry_is_named(call):
    def wrong(x, p, t):
        found = robertson_jacobian(x, p, t)
        found[1, 2] = 0.0  # right at x0, where x[1] is 0
        return found

    with pytest.raises(ArgumentValueError, match=r"jac: wrong has 0 at \[1, 2\].* d x\[1\]/dt by x\[2\].* 1 of 9 entries"):
        call(robertson, ROBERTSON_X0, ROBERTSON_P, (0, 1), jac=wrong)


@pytest.mark.parametrize(
    ("jac", "error", "words"),
    [
        (lambda x, p, t: np.zeros((3, 3)), ArgumentValueError, r"shape \(3, 3\), and there are 2 states"),
        (lambda x, p, t: np.full((2, 2), np.nan), ArgumentValueError, "4 of 4 entries are wrong"),
        (lambda x, p, t: "no", ArgumentTypeError, "numbers in an array"),
        (lambda t, x: np.zeros((2, 2)), ArgumentTypeError, r"write jac\(x, p, t\)"),
        ("exact", ArgumentTypeError, "not 'exact'"),
        (3.0, ArgumentTypeError, "not 3.0"),
    ],
)
def test_what_cannot_be_one(jac, error, words):
    with pytest.raises(error, match=words):
        odead.solve(lotka_volterra, LOTKA_X0, LOTKA_P, (0, 1), jac=jac)
