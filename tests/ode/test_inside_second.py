"""Second derivatives through `odead.solve`, in every order of the modes."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead import gradient, hessian, hvp, jacobian, jvp

TIMES = np.linspace(0.0, 2.0, 5)


def logistic(dx, x, p, t):
    dx[:] = p[0] * x * (1 - x / p[1])


def closed(v):
    return ((v[1] / (1 + (v[1] / v[2] ** 2 - 1) * np.exp(-v[0] * TIMES))) ** 2).sum()


V, W = np.array([0.9, 2.0, 0.6]), np.array([1.0, -0.3, 0.2])


def solved(v, rtol, **options):
    y = odead.solve(logistic, v[2:] ** 2, v[:2], (0, 2), t_eval=TIMES, rtol=rtol, atol=1e-3 * rtol, **options).y
    return (y[0] ** 2).sum()


@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
@pytest.mark.parametrize(
    "options",
    [{}, {"method": "Rodas5P"}, {"method": "BDF"}, {"method": "DOP853", "mode": "continuous"}, {"method": "Radau"}],
    ids=str,
)
def test_hessian(options, rtol):
    reference = hessian(closed, V)
    assert_allclose(
        hessian(lambda v: solved(v, rtol, **options), V), reference, rtol=0, atol=50 * rtol * np.abs(reference).max()
    )


def test_every_order_of_the_modes():
    def f(v):
        return solved(v, 1e-9)

    expected = hvp(closed, V, W)
    assert_allclose(hvp(f, V, W), expected, rtol=5e-8)
    assert_allclose(gradient(lambda u: (gradient(f, u) * W).sum(), V), expected, rtol=5e-8)
    assert_allclose(gradient(lambda u: jvp(f, (u,), (W,))[1], V), expected, rtol=5e-8)
    assert_allclose(jvp(lambda u: jvp(f, (u,), (W,))[1], (V,), (W,))[1], expected @ W, rtol=5e-8)
    assert_allclose(jacobian(lambda u: gradient(f, u), V), hessian(closed, V), rtol=5e-8, atol=1e-8)


def test_third_derivatives():
    def f(v):
        return solved(v, 1e-9)

    expected = jvp(lambda u: hvp(closed, u, W), (V,), (W,))[1]
    assert_allclose(jvp(lambda u: hvp(f, u, W), (V,), (W,))[1], expected, rtol=1e-7)


def test_moving_times():
    """x' = p x cos(t), of which both ends and a time between them move."""

    def f(e):
        times = [e[0], e[0] + e[2], e[1]]
        y = odead.solve(lambda x, p, t: p * x * np.cos(t), e[3:4], e[4], (e[0], e[1]), t_eval=times, rtol=1e-9, atol=1e-12).y[0]
        return y[0] + y[1] ** 2 * y[2]

    def exact(e):
        y = [e[3] * np.exp(e[4] * (np.sin(t) - np.sin(e[0]))) for t in (e[0], e[0] + e[2], e[1])]
        return y[0] + y[1] ** 2 * y[2]

    e = np.array([0.1, 1.5, 0.6, 0.3, 0.7])
    assert_allclose(gradient(f, e), gradient(exact, e), rtol=1e-7, atol=1e-9)
    assert_allclose(hessian(f, e), hessian(exact, e), rtol=1e-6, atol=1e-8)


def test_a_product_with_the_hessian_costs_a_few_gradients_whatever_the_number_of_parameters():
    def network(dx, x, p, t):
        dx[:] = np.tanh(p.reshape(-1, 2) @ x).reshape(2, -1).sum(axis=1) / 100 - x

    def f(p):
        return (odead.solve(network, np.array([1.0, 0.5]), p, (0, 2), t_eval=[2.0], rtol=1e-8, atol=1e-10).y ** 2).sum()

    rng = np.random.default_rng(0)
    p, v = rng.normal(size=(2, 1000)) * 0.3
    product, step = hvp(f, p, v), 1e-4 * v
    difference = (gradient(f, p + step) - gradient(f, p - step)) / 2e-4
    assert_allclose(product, difference, rtol=0, atol=1e-6 * np.abs(product).max())

    def took(run):
        run()
        starts = [time.process_time()]
        for _ in range(5):
            run()
            starts.append(time.process_time())
        return np.diff(starts).min()

    assert took(lambda: hvp(f, p, v)) < 10 * took(lambda: gradient(f, p))  # the 1000 products of a Hessian take 1000 times that
