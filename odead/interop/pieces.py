"""Piecewise polynomials and step functions with given knots, in NumPy, so that they are traced and compiled as written."""

from typing import Any, Final

import numpy as np
from scipy import interpolate

from ..structured.movement import SEAMLESS
from ..tracing.functions.creation import as_traced, recorder_of
from ..tracing.functions.structured import structured

__all__ = ["Pieces", "Steps", "beyond"]

OUTSIDE: Final = np.nan  # instead of an error, which compiled code cannot raise
SMOOTH: Final = 1e-9  # relative difference of derivatives at a knot that is rounding: they come from a linear system
ROUNDING: Final = 1e-14  # of the ends: a time that an integrator adds up may be beyond the last one by so much


def beyond(x: Any, value: Any, ends: tuple[float, float], fill: tuple[float, float]) -> Any:
    """What an interpolant is outside its interval: given constants, or `OUTSIDE`."""
    margin = ROUNDING * (abs(ends[0]) + abs(ends[1]))
    ends = ends[0] - margin * np.isnan(fill[0]), ends[1] + margin * np.isnan(fill[1])
    return np.where(x < ends[0], fill[0], np.where(x > ends[1], fill[1], value))[()]


def _picked(table: np.ndarray, place: Any, params: str | None = None) -> Any:
    rec = recorder_of((place,))
    places = as_traced(rec, place)
    return structured(rec, "take", places.shape, as_traced(rec, table), places, params=params)[()]


def _meet_smoothly(knots: np.ndarray, coefficients: np.ndarray) -> bool:
    """Whether neighbouring polynomials agree at their knot, to rounding, with their first and second derivatives."""
    powers = np.arange(len(coefficients) - 1, -1, -1.0)[:, None]
    width = np.diff(knots)
    for order in range(3):
        terms = coefficients * np.prod([powers - j for j in range(order)], axis=0) * width ** np.maximum(powers - order, 0)
        before = terms.sum(axis=0)[:-1]
        after = terms[-1 - order, 1:] if order < len(terms) else np.zeros_like(before)
        if (np.abs(after - before) > SMOOTH * np.maximum(np.abs(terms).sum(axis=0)[:-1], np.abs(after))).any():
            return False
    return True


class Pieces:
    """A polynomial between each two neighbouring knots, as `scipy.interpolate.PPoly`.

    Parameters
    ----------
    knots : array, shape (m + 1,)
        Ascending.
    coefficients : array, shape (k + 1, m)
        Of powers of the distance from the knot before, the highest first.
    """

    def __init__(self, knots: np.ndarray, coefficients: np.ndarray) -> None:
        self._knots, self._coefficients = knots, coefficients
        self.ends = float(knots[0]), float(knots[-1])

    @classmethod
    def of(cls, spline: Any) -> "Pieces | None":
        """Of a PPoly, or a BSpline that is no step function, whose values are real numbers; None of another one."""
        if spline.c.dtype != np.float64 or spline.c.ndim != (1 if isinstance(spline, interpolate.BSpline) else 2):
            return None
        if isinstance(spline, interpolate.BSpline):
            degree, count = spline.k, spline.t.size - spline.k - 1
            if degree == 0:
                return None
            between = slice(degree, count)
            knots, coefficients = spline.t[degree : count + 1], interpolate.PPoly.from_spline(spline.tck).c[:, between]
            wide = np.diff(knots) > 0
            return cls(np.append(knots[:-1][wide], knots[-1]), coefficients[:, wide])
        return cls(spline.x, spline.c) if spline.x[0] < spline.x[-1] else None

    def __call__(self, x: Any, nu: int = 0) -> Any:
        """The derivative number `nu`, from outside the knots by the first or the last polynomial."""
        coefficients = self._coefficients if nu == 0 else interpolate.PPoly(self._coefficients, self._knots).derivative(nu).c
        place = np.clip(np.searchsorted(self._knots, x, side="right") - 1, 0, self._knots.size - 2)
        seam = SEAMLESS if _meet_smoothly(self._knots, coefficients) else None
        distance = x - _picked(self._knots, place, seam)
        value, power = _picked(coefficients[-1], place, seam), distance
        for row in coefficients[-2::-1]:  # in the order in which SciPy adds up
            value = value + _picked(row, place, seam) * power
            power = power * distance
        return value

    def within(self, x: Any) -> Any:
        """x brought between the knots by whole periods."""
        return self.ends[0] + np.remainder(x - self.ends[0], self.ends[1] - self.ends[0])


class Steps:
    """A step function.

    Parameters
    ----------
    bounds : array, shape (m,)
        Where it jumps.
    values : array, shape (m + 1,)
    side : str
        "right": at a bound it is what it is after it.
    """

    def __init__(self, bounds: np.ndarray, values: np.ndarray, side: str) -> None:
        self._bounds, self._values, self._side = bounds, values, side

    def __call__(self, x: Any) -> Any:
        return _picked(self._values, np.searchsorted(self._bounds, x, side=self._side))  # type: ignore[call-overload]
