"""Piecewise cubic interpolation with slopes that depend on the values, in NumPy, so that it is differentiated as written.

PCHIP: Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5 (1984) 300, with one-sided three-point slopes at the ends, as SciPy.
Akima: J. ACM 17 (1970) 589; modified: MATLAB's makima.
"""

from typing import Any

import numpy as np

from ..errors import RuleError

__all__ = ["Hermite", "akima_slopes", "pchip_slopes"]

FLAT = 1e-9  # weights below this part of the largest one are taken for 0, as in SciPy


def _along(h: Any, like: Any) -> Any:
    """A vector that broadcasts along the first axis of an array."""
    return h.reshape(h.shape + (1,) * (like.ndim - 1))


def pchip_slopes(x: Any, y: Any) -> Any:
    """Slopes at the knots that keep the interpolant monotone where the values are."""
    h = _along(x[1:] - x[:-1], y)
    m = (y[1:] - y[:-1]) / h
    if y.shape[0] == 2:
        return np.concatenate([m, m])
    turns = m[1:] * m[:-1] <= 0
    low, high = np.where(turns, 1.0, m[:-1]), np.where(turns, 1.0, m[1:])
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    inner = np.where(turns, 0.0, (w1 + w2) / (w1 / low + w2 / high))
    first = _end_slope(h[:1], h[1:2], m[:1], m[1:2])
    last = _end_slope(h[-1:], h[-2:-1], m[-1:], m[-2:-1])
    return np.concatenate([first, inner, last])


def _end_slope(h0: Any, h1: Any, m0: Any, m1: Any) -> Any:
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    overshoots = (np.sign(m0) != np.sign(m1)) & (np.abs(d) > 3 * np.abs(m0))
    return np.where(np.sign(d) != np.sign(m0), 0.0, np.where(overshoots, 3 * m0, d))


def akima_slopes(x: Any, y: Any, modified: bool) -> Any:
    """Slopes at the knots, from the five nearest values."""
    inner = (y[1:] - y[:-1]) / _along(x[1:] - x[:-1], y)
    if y.shape[0] == 2:
        return np.concatenate([inner, inner])
    before = 2 * inner[:1] - inner[1:2]
    after = 2 * inner[-1:] - inner[-2:-1]
    m = np.concatenate([2 * before - inner[:1], before, inner, after, 2 * after - inner[-1:]])
    change = np.abs(m[1:] - m[:-1])
    if modified:
        change = change + 0.5 * np.abs(m[1:] + m[:-1])
    before, after = change[2:], change[:-2]
    weight = before + after
    flat = weight <= FLAT * weight.max()
    share = np.where(flat, 0.0, after) / np.where(flat, 1.0, weight)
    return np.where(flat, 0.5 * (m[3:] + m[:-3]), m[1:-2] + share * (m[2:-1] - m[1:-2]))


class Hermite:
    """The interpolant of knots, values and slopes."""

    def __init__(self, x: Any, y: Any, slopes: Any, extrapolate: bool) -> None:
        self._x, self._extrapolate = x, extrapolate
        self._h = _along(x[1:] - x[:-1], y)
        chord = (y[1:] - y[:-1]) / self._h
        bend = (slopes[:-1] + slopes[1:] - 2 * chord) / self._h
        self._c = (y[:-1], slopes[:-1], (chord - slopes[:-1]) / self._h - bend, bend / self._h)

    def __call__(self, x: Any, nu: int = 0, extrapolate: bool | None = None) -> Any:
        shape = getattr(x, "shape", ())
        points = x.reshape(-1) if shape else x * np.ones(1)
        cell = np.clip(np.searchsorted(self._x, points, side="right") - 1, 0, self._x.shape[0] - 2)
        s = _along(points - self._x[cell], self._c[0])
        value = 0.0 * self._c[0][cell]
        for power in range(3, nu - 1, -1):
            factor = float(np.prod(np.arange(power - nu + 1, power + 1)))
            value = value * s + factor * self._c[power][cell]
        if not (self._extrapolate if extrapolate is None else extrapolate):
            outside = (points < self._x[0]) | (points > self._x[-1])
            value = value * _along(np.where(outside, np.nan, 1.0), value)
        return value.reshape(shape + tuple(value.shape[1:])) if shape else value[0]

    def __getattr__(self, name: str) -> Any:
        raise RuleError(f"an interpolant of differentiated values can only be called, with x and nu; it has no .{name}")
