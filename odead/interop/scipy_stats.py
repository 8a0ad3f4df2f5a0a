"""Densities and distribution functions of `scipy.stats` inside traced functions, also of frozen distributions.

SciPy's own code checks its arguments in ways that cannot be recorded; here the same formulas are selected by the same
conditions: 0 (or -inf) outside of the support, nan for parameters out of range and at nan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy import linalg, stats
from scipy.stats import _multivariate
from scipy.stats._distn_infrastructure import rv_continuous, rv_discrete, rv_frozen

from ..containers import flatten, map_leaves
from ..errors import TracingError
from ..rules.primitive import see_as
from ..tracing.functions.creation import as_traced, concrete
from ..tracing.recorder import Recorder, is_traced
from .scipy_special import SPECIAL as special  # noqa: N811  # stands for the module
from .stats_formulas import CONTINUOUS, DISCRETE, Standard

__all__ = ["METHODS"]

METHODS: Final = {
    "continuous": ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf"),
    "discrete": ("pmf", "logpmf", "cdf", "logcdf", "sf", "logsf"),
}


def _recorder(*trees: Any) -> Recorder | None:
    return next((leaf.rec for leaf in flatten(trees)[0] if is_traced(leaf)), None)


class _Distribution:
    """Stands for a distribution."""

    def __init__(self, distribution: Any) -> None:
        self._of = distribution

    def __call__(self, *args: Any, **kwargs: Any) -> _Frozen:
        return _Frozen(self, args, kwargs)

    def __getattr__(self, method: str) -> Any:
        if method.startswith("__") or not callable(getattr(self._of, method)):
            return getattr(self._of, method)
        return lambda *args, **kwargs: self.evaluated(method, args, kwargs)

    def evaluated(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        rec = _recorder(args, kwargs)
        plain_args, plain_kwargs = map_leaves(concrete, (args, kwargs))
        value = getattr(self._of, method)(*plain_args, **plain_kwargs)  # raises SciPy's own errors
        if rec is None:
            return value
        formula = self.formula(method)
        if formula is None:
            rec.fail(
                f"scipy.stats.{getattr(self._of, 'name', type(self._of).__name__)}.{method} cannot be traced",
                "Write it with scipy.special (gammaln, betaln, xlogy, ndtr, gammainc, betainc, ...), or give it a rule by "
                "@odead.primitive with @odead.rule",
            )
        result = formula(rec, *args, **kwargs)
        return result if np.ndim(value) or not is_traced(result) else as_traced(rec, result)[()]

    def formula(self, method: str) -> Callable[..., Any] | None:
        """A function of the recorder and the arguments of the method."""
        return None


class _Frozen:
    """Stands for a distribution with its parameters."""

    def __init__(self, distribution: _Distribution, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._of, self._args, self._kwargs = distribution, args, kwargs

    def __getattr__(self, method: str) -> Any:
        if method.startswith("__"):
            raise AttributeError(method)
        return lambda x, **options: self._of.evaluated(method, (x, *self._args), {**self._kwargs, **options})


# ---------------------------------------------------------------------------------------------------- of one number


class _OfNumber(_Distribution):
    """With shapes, location and, if continuous, a scale."""

    def __init__(self, distribution: Any, standard: Standard | None) -> None:
        super().__init__(distribution)
        self._standard, self._is_discrete = standard, isinstance(distribution, rv_discrete)

    def formula(self, method: str) -> Callable[..., Any] | None:
        known = METHODS["discrete" if self._is_discrete else "continuous"]
        standard = self._standard.formula(method) if self._standard is not None and method in known else None
        if standard is None:
            return None
        return lambda rec, *args, **kwargs: self._selected(method, standard, *self._parsed(rec, args, kwargs))

    def _parsed(self, rec: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Point, shapes, location and scale."""
        assert self._standard is not None
        names = ("k" if self._is_discrete else "x", *self._standard.shapes, "loc", *(() if self._is_discrete else ("scale",)))
        given = {"loc": 0.0, "scale": 1.0, **dict(zip(names, args, strict=False)), **kwargs}
        point, *shapes, loc = [_operand(rec, given[name]) for name in names if name != "scale"]
        return point, shapes, loc, _operand(rec, given["scale"])

    def _selected(self, method: str, formula: Callable[..., Any], x: Any, shapes: list[Any], loc: Any, scale: Any) -> Any:
        standard, is_density = self._standard, method.endswith(("pdf", "pmf"))
        assert standard is not None
        low, high = standard.support
        valid_scale = np.greater(scale, 0)
        valid_shapes = standard.is_valid(*shapes)
        valid = np.logical_and(valid_shapes, valid_scale)
        width = np.where(valid_scale, scale, 1.0)
        y = x - loc if self._is_discrete else (x - loc) / width
        if is_density or self._is_discrete:
            inside = np.logical_and(y >= low, y <= high if is_density else y < high)
        else:
            inside = np.logical_and(y > low, y < high)
        if self._is_discrete and is_density:
            inside = np.logical_and(inside, np.floor(y) == y)
        inside = np.logical_and(np.logical_and(inside, np.isfinite(y) if self._is_discrete else True), valid)
        undefined = np.isnan(y) | np.isposinf(y) if self._is_discrete and is_density and high == math.inf else np.isnan(y)
        point = np.where(inside, y, standard.inside)
        value = formula(point, *[np.where(valid_shapes, shape, standard.inside)[()] for shape in shapes])
        if method == "pdf":
            value = value / width
        elif method == "logpdf":
            value = value - np.log(width)
        nothing, everything = (-np.inf, 0.0) if method.startswith("log") else (0.0, 1.0)
        outside = nothing if is_density else np.where(y >= high if method.endswith("cdf") else y <= low, everything, nothing)
        if self._is_discrete and method.endswith("sf"):
            outside = np.where(y < low, everything, nothing)
        result = np.where(inside, value, outside)
        return np.where(np.logical_and(valid, np.logical_not(undefined)), result, np.nan)


def _operand(rec: Recorder, x: Any) -> Any:
    return as_traced(rec, x) if isinstance(x, (list, tuple)) else x


# ---------------------------------------------------------------------------------------------------- of vectors


class _MultivariateNormal(_Distribution):
    def formula(self, method: str) -> Callable[..., Any] | None:
        if method == "logpdf":
            return self._logpdf
        return (lambda *args, **kwargs: np.exp(self._logpdf(*args, **kwargs))) if method == "pdf" else None

    @staticmethod
    def _logpdf(rec: Recorder, x: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False) -> Any:
        """By the Cholesky factor of the covariance."""
        if allow_singular or isinstance(cov, stats.Covariance):
            rec.fail(
                "scipy.stats.multivariate_normal with allow_singular= or an object for cov= cannot be traced",
                "Give the covariance as a matrix",
            )
        cov = _operand(rec, cov)
        center = 0.0 if mean is None else np.atleast_1d(as_traced(rec, mean))
        dim = (
            np.size(concrete(center)) if mean is not None else 1 if np.ndim(concrete(cov)) == 0 else np.shape(concrete(cov))[0]
        )
        if np.ndim(concrete(cov)) < 2:
            cov = np.multiply(cov, np.eye(dim))
        points = as_traced(rec, x)
        if points.ndim == 0:
            points = points.reshape(1, 1)
        elif points.ndim == 1:
            points = points[:, None] if dim == 1 else points[None, :]
        factor = np.linalg.cholesky(as_traced(rec, cov))
        flat = (points - center).reshape(-1, dim)
        whitened = rec.calls.inside(linalg.solve_triangular)(factor, flat.T, lower=True)
        squares = np.sum(whitened * whitened, axis=0).reshape(points.shape[:-1])
        sizes = 2 * np.sum(np.log(np.diagonal(factor)))
        result = -0.5 * (dim * math.log(2 * math.pi) + sizes + squares)
        return np.squeeze(result)


class _Dirichlet(_Distribution):
    def formula(self, method: str) -> Callable[..., Any] | None:
        if method == "logpdf":
            return self._logpdf
        return (lambda *args, **kwargs: np.exp(self._logpdf(*args, **kwargs))) if method == "pdf" else None

    @staticmethod
    def _logpdf(rec: Recorder, x: Any, alpha: Any) -> Any:
        points, weights = as_traced(rec, x), as_traced(rec, alpha)
        if points.shape[0] < weights.shape[0]:
            points = np.concatenate([points, (1 - np.sum(points, 0))[None]])
        norm = np.sum(special.gammaln(weights)) - special.gammaln(np.sum(weights))
        return np.squeeze(np.sum(special.xlogy(weights - 1, points.T).T, 0) - norm)


# ---------------------------------------------------------------------------------------------------- registration


def _of_number(distribution: rv_continuous | rv_discrete) -> _OfNumber:
    known = {**CONTINUOUS, **DISCRETE}
    name = str(distribution.name)
    return _OfNumber(distribution, known.get(name) if type(getattr(stats, name, None)) is type(distribution) else None)


def _frozen(frozen: Any) -> _Frozen:
    if any(isinstance(x, np.ndarray) for x in flatten((frozen.args, frozen.kwds))[0]):
        raise TracingError(
            f"a frozen distribution scipy.stats.{frozen.dist.name}(...) from outside holds arrays, whose later changes would "
            f"not be seen. Write scipy.stats.{frozen.dist.name}.logpdf(x, ...) with its parameters, or freeze it inside"
        )
    return _Frozen(_of_number(frozen.dist), frozen.args, frozen.kwds)


def _refused(frozen: Any) -> Any:
    raise TracingError(
        f"a {type(frozen).__name__} from outside cannot be traced. Write scipy.stats.multivariate_normal.logpdf(x, mean, cov), "
        f"or freeze it inside of the function"
    )


see_as(rv_continuous, _of_number)
see_as(rv_discrete, _of_number)
see_as(rv_frozen, _frozen)
see_as(_multivariate.multivariate_normal_gen, _MultivariateNormal)
see_as(_multivariate.dirichlet_gen, _Dirichlet)
see_as(_multivariate.multi_rv_frozen, _refused)
