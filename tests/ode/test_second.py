"""order=2 of `odead.sensitivity`: the Hessian of a loss."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from odead import hessian, sensitivity

TIMES = np.array([0.5, 1.0, 2.0])
TIGHT = {"rtol": 1e-9, "atol": 1e-11, "t_eval": TIMES}


def logistic(dx, x, p, t):
    dx[:] = p[0] * x * (1 - x / p[1])


def exact(x0, r, k):
    return k / (1 + (k / x0 - 1) * np.exp(-r * TIMES))


def loss(y, p):
    return ((y[0] - 0.3) ** 2).sum() * p[1]


P, X0 = np.array([0.9, 2.0]), np.array([0.4])


def closed(v):
    return ((exact(v[2], v[0], v[1]) - 0.3) ** 2).sum() * v[1]


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("method", ["Tsit5", "RK45", "Rodas5P", "Kvaerno5"])
def test_logistic(mode, method):
    found = sensitivity(logistic, X0, P, (0, 2), loss=loss, wrt=("p", "x0"), mode=mode, method=method, order=2, **TIGHT)
    assert_allclose(found.hess, hessian(closed, np.array([*P, *X0])), rtol=1e-6, atol=1e-7)


def test_a_loss_without_parameters_and_an_initial_function():
    def f(v):
        return (exact(v[0] / 2, v[0], v[1]) ** 2).sum()

    found = sensitivity(logistic, lambda p: p[:1] / 2, P, (0, 2), loss=lambda y: (y**2).sum(), method="Tsit5", order=2, **TIGHT)
    assert_allclose(found.hess, hessian(f, P), rtol=1e-6)
    assert_allclose(found.hess, found.hess.T)


def test_containers_and_a_running_cost():
    """x' = -a x + b: the Hessian against differences of exact gradients."""

    def rhs(x, p, t):
        return {"u": -p["a"] * x["u"] + p["b"], "w": x["u"] ** 2 * np.cos(t)}

    def gradient(v):
        p = {"a": v[0], "b": v[1:]}
        x0 = {"u": np.array([1.0, 0.5]), "w": np.zeros(2)}
        result = sensitivity(
            rhs, x0, p, (0, 2), loss=lambda y: (y["u"] * y["w"]).sum(), running=lambda x, p, t: (x["u"] ** 3).sum() * p["a"],
            method="DOP853", order=order, rtol=1e-10, atol=1e-12, t_eval=TIMES,
        )  # fmt: skip
        return result.hess if order == 2 else np.array([result.grad["a"], *result.grad["b"]])

    v, step = np.array([0.7, 0.2, 0.4]), 1e-4
    order = 2
    found = gradient(v)
    order = 1
    steps = step * np.eye(3)
    differences = np.array([(gradient(v + d) - gradient(v - d)) / (2 * step) for d in steps])
    assert_allclose(found, differences, rtol=1e-6, atol=1e-7)


def test_no_parameters():
    found = sensitivity(
        lambda x, p, t: -(x**2), X0, None, (0, 2), loss=lambda y: y.sum(), wrt="x0", order=2, method="Tsit5", **TIGHT
    )
    assert_allclose(found.hess, hessian(lambda v: (v[0] / (1 + v[0] * TIMES)).sum(), X0), rtol=1e-6)


def test_what_is_refused_says_so():
    with pytest.raises(ValueError, match="order"):
        sensitivity(logistic, X0, P, (0, 2), loss=loss, order=3, **TIGHT)
    with pytest.raises(ValueError, match="loss"):
        sensitivity(logistic, X0, P, (0, 2), order=2, **TIGHT)
