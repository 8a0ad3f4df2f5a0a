"""Second derivatives through roots and integrals, against closed forms."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, optimize

from odead import check_rule, gradient, hessian, hvp
from odead.interop import implicit, scipy_integrate

P = np.array([1.9, 0.7])


def both_ways(f, exact):
    """The Hessian, a Hessian times a vector, and differences of gradients."""
    assert_allclose(hessian(f, P), exact, rtol=1e-8, atol=1e-9)
    assert_allclose(hvp(f, P, np.array([0.3, -1.1])), exact @ [0.3, -1.1], rtol=1e-8, atol=1e-9)
    step = 1e-4
    columns = [(gradient(f, P + step * e) - gradient(f, P - step * e)) / (2 * step) for e in np.eye(2)]
    assert_allclose(columns, exact, rtol=1e-5, atol=1e-6)


def cube_root():
    """Hessian of (p q)^(1/3)."""
    (p, q), r = P, math.prod(P) ** (1 / 3)
    return np.array([[-2 / 9 * r / p**2, r / (9 * p * q)], [r / (9 * p * q), -2 / 9 * r / q**2]])


def cube(x, p, q):
    return x**3 - p * q


@pytest.mark.parametrize("way", ["closure", "args"])
def test_brentq(way):
    def f(p):
        if way == "closure":
            return optimize.brentq(lambda x: cube(x, p[0], p[1]), 0.0, 3.0, xtol=1e-15)
        return optimize.brentq(cube, 0.0, 3.0, args=(p[0], p[1]), xtol=1e-15)

    both_ways(f, cube_root())


def polar(x, p):
    """x = p[0] (cos p[1], sin p[1])."""
    return np.array([x[0] ** 2 + x[1] ** 2 - p[0] ** 2, x[1] * np.cos(p[1]) - x[0] * np.sin(p[1])])


@pytest.mark.parametrize("way", ["closure", "args"])
def test_root(way):
    start = np.array([1.0, 1.0])

    def f(p):
        if way == "closure":
            found = optimize.root(lambda x: polar(x, p), start, tol=1e-14)
        else:
            found = optimize.root(polar, start, args=(p,), tol=1e-14)
        return found.x[0] * found.x[1] ** 2

    r, a = P
    g = np.cos(a) * np.sin(a) ** 2
    first = 2 * np.sin(a) * np.cos(a) ** 2 - np.sin(a) ** 3
    second = 2 * np.cos(a) ** 3 - 7 * np.sin(a) ** 2 * np.cos(a)
    exact = np.array([[6 * r * g, 3 * r**2 * first], [3 * r**2 * first, r**3 * second]])
    both_ways(f, exact)


@pytest.mark.parametrize("way", ["closure", "args"])
def test_quad(way):
    """The integral of exp(-p x) from 0 to q is (1 - exp(-p q)) / p."""

    def f(p):
        if way == "closure":
            return integrate.quad(lambda x: np.exp(-p[0] * x), 0.0, p[1])[0]
        return integrate.quad(lambda x, rate: np.exp(-rate * x), 0.0, p[1], args=(p[0],))[0]

    (p, q), e = P, np.exp(-math.prod(P))
    both_ways(f, np.array([[2 * (1 - e) / p**3 - 2 * q * e / p**2 - q**2 * e / p, -q * e], [-q * e, -p * e]]))


def test_quad_to_infinity():
    f = lambda p: integrate.quad(lambda x: p[1] * np.exp(-p[0] * x), 0.0, np.inf)[0]  # noqa: E731
    p, q = P
    both_ways(f, np.array([[2 * q / p**3, -1 / p**2], [-1 / p**2, 0.0]]))


def test_of_each_other():
    """The integral of x^2 from 0 to the root of x^3 = p q is p q / 3."""
    f = lambda p: integrate.quad(lambda x: x * x, 0.0, optimize.brentq(cube, 0.0, 3.0, (p[0], p[1]), 1e-15))[0]  # noqa: E731
    both_ways(f, np.array([[0.0, 1 / 3], [1 / 3, 0.0]]))


def test_the_parts_pass_check_rule():
    x = np.array([0.8, 0.5])
    check_rule(implicit.value_at, cube, 1.1, (1.9, 0.7))
    check_rule(implicit.pulled, cube, 1.1, (1.9, 0.7), 1.3)
    check_rule(implicit.pulled, polar, x, (P,), np.array([0.3, -0.2]))
    check_rule(implicit.jacobian_at, polar, x, (P,))
    check_rule(scipy_integrate.integral_of_slopes, lambda x, rate: np.exp(-rate * x), 0.2, 0.8, (1.9,), 1.3)


def test_integers_among_the_arguments_stay_integers():
    f = lambda p: optimize.brentq(lambda x, n, q: x**n - q, 0.0, 3.0, (3, p), 1e-15)  # noqa: E731
    assert_allclose(hessian(f, 1.9), -2 / 9 * 1.9 ** (-5 / 3), rtol=1e-10)
    assert_allclose(gradient(f, 1.9), 1.9 ** (-2 / 3) / 3, rtol=1e-10)


def test_a_gradient_of_a_gradient():
    root = lambda q: optimize.brentq(cube, 0.0, 3.0, (q, 0.7), 1e-15)  # noqa: E731
    assert_allclose(gradient(lambda q: gradient(root, q), 1.9), -2 / 9 * 0.7 ** (1 / 3) * 1.9 ** (-5 / 3), rtol=1e-8)
