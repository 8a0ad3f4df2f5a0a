"""Distributions of `scipy.stats` in standard form: density, distribution function and survival function, as SciPy writes them.

A method that is missing follows as in SciPy: the logarithm of the other, its exponential, or 1 minus it. Arguments lie inside
the support, parameters in their range; elsewhere `scipy_stats` chooses other values, whose derivatives are left out.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from .scipy_special import SPECIAL as special  # noqa: N811  # stands for the module

__all__ = ["CONTINUOUS", "DISCRETE", "Standard"]

Formula = Callable[..., Any]

_LOG_ROOT: Final = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Standard:
    """A distribution with location 0 and scale 1.

    Attributes
    ----------
    shapes : tuple of str
    support : tuple of float
        Its ends belong to the density.
    formulas : mapping
        Methods as functions of the point and the shapes.
    inside : float
        A point in the support.
    is_valid : callable
        Of the shapes.
    """

    formulas: Mapping[str, Formula]
    shapes: tuple[str, ...] = ()
    support: tuple[float, float] = (-math.inf, math.inf)
    inside: float = 0.5
    is_valid: Formula = field(
        default=lambda *shapes: functools.reduce(np.logical_and, [np.greater(s, 0) for s in shapes], True)
    )

    def formula(self, method: str) -> Formula | None:
        """How to compute a method, also by another one."""
        known = self.formulas.get(method)
        if known is not None:
            return known
        for prefix, inverse in (("log", np.log), ("", np.exp)):
            other = self.formulas.get(method.removeprefix("log") if prefix else f"log{method}")
            if method.startswith("log") == bool(prefix) and other is not None:
                return lambda *xs, inverse=inverse, other=other: inverse(other(*xs))
        if method == "sf" and (cdf := self.formula("cdf")) is not None:
            return lambda *xs: 1.0 - cdf(*xs)
        if method == "logsf" and (sf := self.formula("sf")) is not None:
            return lambda *xs: np.log(sf(*xs))
        return None


def _t_logpdf(x: Any, df: Any) -> Any:
    finite = np.isfinite(df)
    n = np.where(finite, df, 1.0)
    log = np.log(special.poch(0.5 * n, 0.5)) - 0.5 * (np.log(n) + math.log(math.pi)) - (n + 1) / 2 * np.log1p(x * x / n)
    return np.where(finite, log, -(x**2) / 2.0 - _LOG_ROOT)


def _cauchy_logpdf(x: Any) -> Any:
    size = np.abs(x)
    near = size < 1
    small, large = np.where(near, size, 0.5), np.where(near, 2.0, size)
    far = 2 * np.log(large) + np.log1p((1 / large) ** 2)
    return -math.log(math.pi) - np.where(near, np.log1p(small**2), far)


def _lognorm_logpdf(x: Any, s: Any) -> Any:
    positive = np.greater(x, 0)
    y = np.where(positive, x, 1.0)
    return np.where(positive, -(np.log(y) ** 2) / (2 * s**2) - np.log(s * y * math.sqrt(2 * math.pi)), -np.inf)


def _logistic_logpdf(x: Any) -> Any:
    y = -np.abs(x)
    return y - 2.0 * np.log1p(np.exp(y))


def _binom_logpmf(k: Any, n: Any, p: Any) -> Any:
    count = special.gammaln(n + 1) - (special.gammaln(k + 1) + special.gammaln(n - k + 1))
    return count + special.xlogy(k, p) + special.xlog1py(n - k, -p)


_HALF_LINE: Final = (0.0, math.inf)

CONTINUOUS: Final[Mapping[str, Standard]] = {
    "norm": Standard({
        "pdf": lambda x: np.exp(-(x**2) / 2.0) / math.sqrt(2 * math.pi), "logpdf": lambda x: -(x**2) / 2.0 - _LOG_ROOT,
        "cdf": lambda x: special.ndtr(x), "logcdf": lambda x: special.log_ndtr(x), "sf": lambda x: special.ndtr(-x),
        "logsf": lambda x: special.log_ndtr(-x)}),
    "t": Standard({
        "logpdf": _t_logpdf, "cdf": lambda x, df: special.stdtr(df, x), "sf": lambda x, df: special.stdtr(df, -x)}, ("df",)),
    "gamma": Standard({
        "logpdf": lambda x, a: special.xlogy(a - 1.0, x) - x - special.gammaln(a),
        "cdf": lambda x, a: special.gammainc(a, x), "sf": lambda x, a: special.gammaincc(a, x)}, ("a",), _HALF_LINE),
    "beta": Standard({
        "logpdf": lambda x, a, b: special.xlog1py(b - 1.0, -x) + special.xlogy(a - 1.0, x) - special.betaln(a, b),
        "cdf": lambda x, a, b: special.betainc(a, b, x), "sf": lambda x, a, b: special.betaincc(a, b, x)},
        ("a", "b"), (0.0, 1.0)),
    "chi2": Standard({
        "logpdf": lambda x, df: (
            special.xlogy(df / 2.0 - 1, x) - x / 2.0 - special.gammaln(df / 2.0) - (math.log(2) * df) / 2.0),
        "cdf": lambda x, df: special.chdtr(df, x), "sf": lambda x, df: special.chdtrc(df, x)}, ("df",), _HALF_LINE),
    "expon": Standard({
        "pdf": lambda x: np.exp(-x), "logpdf": lambda x: -x, "cdf": lambda x: -np.expm1(-x), "sf": lambda x: np.exp(-x),
        "logsf": lambda x: -x}, (), _HALF_LINE),
    "lognorm": Standard({
        "logpdf": _lognorm_logpdf, "cdf": lambda x, s: special.ndtr(np.log(x) / s),
        "logcdf": lambda x, s: special.log_ndtr(np.log(x) / s), "sf": lambda x, s: special.ndtr(-np.log(x) / s),
        "logsf": lambda x, s: special.log_ndtr(-np.log(x) / s)}, ("s",), _HALF_LINE),
    "uniform": Standard({
        "pdf": lambda x: 0.0 * x + 1.0, "logpdf": lambda x: 0.0 * x, "cdf": lambda x: x}, (), (0.0, 1.0)),
    "cauchy": Standard({
        "pdf": lambda x: 1.0 / math.pi / (1.0 + x * x), "logpdf": _cauchy_logpdf,
        "cdf": lambda x: np.arctan2(1.0, -x) / math.pi, "sf": lambda x: np.arctan2(1.0, x) / math.pi}),
    "laplace": Standard({
        "pdf": lambda x: 0.5 * np.exp(-abs(x)), "logpdf": lambda x: -abs(x) - math.log(2),
        "cdf": lambda x: np.where(x > 0, 1.0 - 0.5 * np.exp(-abs(x)), 0.5 * np.exp(-abs(x))),
        "sf": lambda x: np.where(x < 0, 1.0 - 0.5 * np.exp(-abs(x)), 0.5 * np.exp(-abs(x)))}),
    "logistic": Standard({
        "logpdf": _logistic_logpdf, "cdf": lambda x: special.expit(x), "logcdf": lambda x: special.log_expit(x),
        "sf": lambda x: special.expit(-x), "logsf": lambda x: special.log_expit(-x)}),
}  # fmt: skip

DISCRETE: Final[Mapping[str, Standard]] = {
    "poisson": Standard({
        "logpmf": lambda k, mu: special.xlogy(k, mu) - special.gammaln(k + 1) - mu,
        "cdf": lambda k, mu: special.pdtr(np.floor(k), mu), "sf": lambda k, mu: special.pdtrc(np.floor(k), mu)},
        ("mu",), _HALF_LINE, 1.0, lambda mu: np.greater_equal(mu, 0)),
    "bernoulli": Standard({
        "logpmf": lambda k, p: _binom_logpmf(k, 1.0, p), "cdf": lambda k, p: 1.0 - p + 0.0 * k},
        ("p",), (0.0, 1.0), 0.0, lambda p: np.greater_equal(p, 0) & np.less_equal(p, 1)),
}  # fmt: skip
