"""Distributions of scipy.stats: values are SciPy's, at every kind of point, and derivatives those of plain calls."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import odead
from odead import check_derivatives, gradient, hessian
from odead.interop.scipy_stats import METHODS
from odead.interop.stats_formulas import CONTINUOUS, DISCRETE

SHAPES = {
    "t": (3.3,),
    "gamma": (1.7,),
    "beta": (1.6, 2.3),
    "chi2": (3.2,),
    "lognorm": (0.7,),
    "poisson": (2.3,),
    "bernoulli": (0.3,),
}
FIXED = {"t", "gamma", "beta", "chi2"}  # whose distribution functions have no derivative in their shapes
EDGES = np.array([-np.inf, -3.0, -1.0, -0.3, 0.0, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 30.0, np.inf, np.nan])
ROWS = [
    *((name, method) for name in CONTINUOUS for method in METHODS["continuous"]),
    *((name, method) for name in DISCRETE for method in METHODS["discrete"]),
]


def of(name, method):
    return getattr(getattr(stats, name), method)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("name", "method"), ROWS)
def test_values_are_scipys(name, method):
    shapes, f = SHAPES.get(name, ()), of(name, method)
    placed = {"loc": 0.5, "scale": 2.0} if name in CONTINUOUS else {"loc": 1}
    for options in ({}, placed):
        call = lambda x, *s, options=options: f(x, *s, **options)  # noqa: E731
        for x in (EDGES, EDGES[None, :] * np.ones((2, 1)), *EDGES[[2, 4, 5, 12]].tolist()):
            found = odead.jvp(call, (x, *shapes), (0 * np.ones_like(x), *shapes))[0] if name not in FIXED else odead.jvp(
                lambda x, call=call: call(x, *shapes), (x,), (0 * np.ones_like(x),))[0]  # fmt: skip
            assert_allclose(found, call(x, *shapes), rtol=1e-12, atol=1e-15)
            assert np.shape(found) == np.shape(call(x, *shapes))
    for wrong in ({"scale": -1.0}, {"scale": 0.0}) if name in CONTINUOUS else ():
        assert_array_equal(odead.jvp(lambda x, wrong=wrong: f(x, *shapes, **wrong), (EDGES,), (EDGES * 0,))[0], np.nan)
    for shape in (-1.0, np.nan) if shapes else ():
        x = np.array([0.4, 1.0])
        assert_array_equal(odead.jvp(lambda x, shape=shape: f(x, shape, *shapes[1:]), (x,), (x,))[0], np.nan)


@pytest.mark.parametrize(("name", "method"), ROWS)
def test_derivatives(name, method):
    shapes, f = SHAPES.get(name, ()), of(name, method)
    kept = () if name in FIXED and "pdf" not in method else shapes
    if name in DISCRETE:
        k = np.array([0.0, 1.0, 1.0])
        check_derivatives(lambda *s: f(k, *s), *shapes)
        return
    points = np.array([0.31, 0.62, 0.83])

    def placed(x, loc, scale, *s):
        return f(x, *(s or shapes), loc, scale)

    check_derivatives(placed, points, 0.1, 0.9, *kept)
    check_derivatives(lambda x, scale: f(x, *shapes, scale=scale), points, np.array([0.9, 1.1, 1.3]))
    check_derivatives(lambda p: gradient(lambda q: np.sum(placed(points, q[0], q[1])), p), np.array([0.1, 0.9]))


def test_infinitely_many_degrees_of_freedom():
    for method in ("pdf", "logpdf"):
        f = of("t", method)
        found = odead.jvp(lambda x, f=f: f(x, np.array([np.inf, 3.0])), (0.4,), (1.0,))
        assert_allclose(found[0], f(0.4, np.array([np.inf, 3.0])), rtol=1e-14)
        assert_allclose(found[1][0], gradient(of("norm", method), 0.4))


def test_gradients_of_points_outside_are_zero():
    x = np.array([-0.5, 0.5])
    for name, s in (("gamma", (2.0,)), ("expon", ()), ("lognorm", (0.5,)), ("beta", (2.0, 2.0))):
        for method in ("pdf", "logpdf", "cdf", "sf"):
            f = of(name, method)
            found = np.diag(odead.jacobian(lambda x, f=f, s=s: f(x, *s), x))
            assert found[0] == 0.0
            assert np.isfinite(found[1])


def test_frozen_distributions():
    outside = stats.norm(0.3, 2.0)

    def log_likelihood(p, x):
        model = stats.t(p[0], loc=p[1], scale=np.exp(p[2]))
        return model.logpdf(x).sum() + outside.logpdf(p[1]) + stats.gamma(2.0, scale=3.0).logpdf(p[0])

    p, x = np.array([4.0, 0.2, -0.3]), np.array([0.1, -0.7, 1.2])
    assert_allclose(odead.value_and_gradient(log_likelihood, p, x)[0], log_likelihood(p, x), rtol=1e-14)
    check_derivatives(log_likelihood, p, x)
    h = hessian(lambda p: log_likelihood(p, x), p)
    assert_allclose(h, h.T, rtol=1e-10)
    holding, frozen = stats.norm(x, 2.0), stats.multivariate_normal(x)
    with pytest.raises(odead.TracingError, match=r"frozen distribution scipy\.stats\.norm.* holds arrays.*freeze it inside"):
        gradient(lambda p: holding.logpdf(p).sum(), p)
    with pytest.raises(odead.TracingError, match=r"multivariate_normal_frozen from outside.*freeze it inside"):
        gradient(lambda p: frozen.logpdf(p), p)


COV = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 1.5]])


def test_multivariate_normal():
    x, mean = np.array([[0.1, 0.4, -0.3], [1.0, -1.0, 0.2]]), np.array([0.3, 0.1, -0.2])

    def spread(p):
        return COV + np.outer(p, p)

    for f in (
        lambda x, mean, p: stats.multivariate_normal.logpdf(x, mean, spread(p)),
        lambda x, mean, p: stats.multivariate_normal.pdf(x[0], mean, spread(p)),
        lambda x, mean, p: stats.multivariate_normal(mean, spread(p)).logpdf(x),
        lambda x, mean, p: stats.multivariate_normal.logpdf(x, mean, p**2),
        lambda x, mean, p: stats.multivariate_normal.logpdf(x, mean, p[0] ** 2),
        lambda x, mean, p: stats.multivariate_normal.logpdf(x[0], mean[0], p[0] ** 2),
        lambda x, mean, p: stats.multivariate_normal.logpdf(x, cov=spread(p)),
        lambda x, mean, p: stats.multivariate_normal.logpdf(x[0, 0] * p[0], mean[0]),
    ):
        p = np.array([0.4, 0.2, 0.9])
        found = odead.jvp(f, (x, mean, p), (x, mean, p))[0]
        assert_allclose(found, f(x, mean, p), rtol=1e-12)
        assert np.shape(found) == np.shape(f(x, mean, p))
        check_derivatives(f, x, mean, p)
    with pytest.raises(odead.TracingError, match="allow_singular"):
        gradient(lambda m: stats.multivariate_normal.logpdf(m, m, COV, allow_singular=True), mean)


def test_dirichlet():
    x, alpha = np.array([0.2, 0.5, 0.3]), np.array([1.5, 0.7, 2.2])
    for f in (stats.dirichlet.logpdf, stats.dirichlet.pdf, lambda x, a: stats.dirichlet(a).logpdf(np.array([x, x[::-1]]).T)):
        assert_allclose(odead.jvp(f, (x, alpha), (x * 0, alpha))[0], f(x, alpha), rtol=1e-13)
        check_derivatives(lambda a, f=f: f(x, a), alpha)
    check_derivatives(lambda x, a: stats.dirichlet.logpdf(x, a), x[:2], alpha)
    with pytest.raises(ValueError, match="simplex"):
        gradient(lambda a: stats.dirichlet.logpdf(x * 0.5, a), alpha)


def test_what_is_not_covered_says_so():
    for f, name in (
        (lambda x: stats.norm.ppf(x).sum(), "norm.ppf"),
        (lambda x: stats.skewnorm.logpdf(x, 1.0).sum(), "skewnorm.logpdf"),
        (lambda x: stats.multivariate_normal.cdf(x), "multivariate_normal.*cdf"),
    ):
        with pytest.raises(odead.TracingError, match=rf"test_stats\.py:\d+ in <lambda>: scipy\.stats\.{name} cannot be traced"):
            gradient(f, np.array([0.3, 0.6]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_allclose(gradient(lambda x: x * stats.norm.ppf(0.975), 1.0), stats.norm.ppf(0.975))  # of constants
