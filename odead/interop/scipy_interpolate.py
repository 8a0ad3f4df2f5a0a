"""Rules of `scipy.interpolate`: interpolants are differentiable in the points at which they are evaluated.

Those whose values are numbers are evaluated by what is traced and compiled (`pieces`); others are called as they are.
One made inside the function is differentiable in its values too. By `CubicSpline` or `make_interp_spline` it is linear in
them; PCHIP and Akima are written in NumPy (`hermite.py`) and differentiable in their knots as well.
"""

from collections.abc import Callable
from copy import copy
from typing import Any, Final, NoReturn

import numpy as np
from scipy import interpolate

from ..containers import flatten
from ..errors import RuleError
from ..rules.primitive import primitive, replace, see_as
from ..rules.registry import rule
from ..tracing.functions.creation import recorder_of
from .hermite import Hermite, akima_slopes, pchip_slopes
from .pieces import OUTSIDE, ROUNDING, Pieces, Steps, beyond

# ---------------------------------------------------------------------------------------------------- evaluation


@primitive
def spline_value(spline: Any, x: Any, nu: int, options: dict[str, Any]) -> Any:
    """Derivative number `nu` of a spline at x."""
    return spline(x, nu, **options)


@rule(spline_value)
def _spline_value(spline: Any, x: Any, nu: int, options: dict[str, Any]) -> Any:
    def pullback(bar: Any) -> tuple[Any, ...]:
        slope = spline_value(spline, x, nu + 1, options)
        return None, _contracted(bar * slope, np.ndim(x)), None, None

    return spline_value(spline, x, nu, options), pullback


def _contracted(products: Any, axes: int) -> Any:
    """The sum over the axes of the values, which come last."""
    extra = np.ndim(products) - axes
    return products.sum(axis=tuple(range(axes, axes + extra))) if extra else products


class Spline:
    """A spline inside a traced function."""

    def __init__(self, spline: Any) -> None:
        self._spline = spline

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
        if getattr(self._spline, "axis", 0) != 0:
            raise RuleError(
                "an interpolant with axis != 0 is not differentiable here: move the axis of its values to the front"
            )
        pieces = Pieces.of(self._spline) if _is_traced(x) else None
        if pieces is None:
            return spline_value(self._spline, x, nu, {"extrapolate": extrapolate})
        extrapolate = self._spline.extrapolate if extrapolate is None else extrapolate
        if extrapolate == "periodic":
            return pieces(pieces.within(x), nu)
        value = pieces(x, nu)
        return value if extrapolate else beyond(x, value, pieces.ends, (OUTSIDE, OUTSIDE))

    def derivative(self, nu: int = 1) -> "Spline":
        return Spline(self._spline.derivative(nu))

    def antiderivative(self, nu: int = 1) -> "Spline":
        return Spline(self._spline.antiderivative(nu))

    def integrate(self, a: Any, b: Any) -> Any:
        primitive_function = self.antiderivative()
        return primitive_function(b) - primitive_function(a)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spline, name)


for _cls in (interpolate.PPoly, interpolate.BSpline):  # CubicSpline, PchipInterpolator and Akima1DInterpolator are PPoly
    see_as(_cls, Spline)


# ---------------------------------------------------------------------------------------------------- values


@primitive
def interpolated(make: Callable[..., Any], knots: Any, values: Any, x: Any, nu: int, options: dict[str, Any]) -> Any:
    """An interpolant that is linear in its values, made and evaluated."""
    return make(knots, values, **options)(x, nu)


@rule(interpolated)
def _interpolated(make: Any, knots: Any, values: Any, x: Any, nu: int, options: dict[str, Any]) -> Any:
    def pullback(bar: Any) -> tuple[Any, ...]:
        def x_bar() -> Any:
            return _contracted(bar * interpolated(make, knots, values, x, nu + 1, options), np.ndim(x))

        def values_bar() -> Any:
            basis = make(knots, np.eye(len(knots)), **options)(x, nu)  # one column per value
            return np.tensordot(basis.reshape(-1, len(knots)).T, np.reshape(bar, (-1, *np.shape(values)[1:])), 1)

        return None, _refuse_knots, values_bar, x_bar, None, None

    return interpolated(make, knots, values, x, nu, options), pullback


def _refuse_knots() -> NoReturn:
    raise RuleError("interpolation: there is no derivative with respect to the knots; make them Const")


class Interpolant:
    """An interpolant of traced values."""

    def __init__(self, make: Callable[..., Any], knots: Any, values: Any, options: dict[str, Any]) -> None:
        self._make, self._knots, self._values, self._options = make, knots, values, options

    def __call__(self, x: Any, nu: int = 0) -> Any:
        return interpolated(self._make, self._knots, self._values, x, nu, self._options)

    def __getattr__(self, name: str) -> NoReturn:
        raise RuleError(f"an interpolant of differentiated values can only be called, with x and nu; it has no .{name}")


def _maker(make: Callable[..., Any]) -> Callable[..., Any]:
    def made(x: Any, y: Any, *args: Any, **options: Any) -> Any:
        if not _is_traced((x, y)):
            return Spline(make(x, y, *args, **options))
        if args or not isinstance(options.get("bc_type", ""), str) or options.get("axis", 0) != 0:
            raise RuleError("interpolation of differentiated values: options by keyword, bc_type a string, axis 0")
        return Interpolant(make, x, y, options)

    return made


def _local(cls: Any) -> Callable[..., Any]:
    """An interpolant that is not linear in its values: of traced ones, it is written in NumPy."""

    def made(x: Any, y: Any, axis: int = 0, *, method: str = "akima", extrapolate: Any = None) -> Any:
        options = {"axis": axis, "extrapolate": extrapolate}
        if cls is interpolate.Akima1DInterpolator:
            options["method"] = method
        plain = cls(*[getattr(part, "value", part) if _is_traced(part) else part for part in (x, y)], **options)
        if not _is_traced(x) and not _is_traced(y):
            return Spline(plain)
        if axis != 0 or extrapolate == "periodic":
            raise RuleError("interpolation of differentiated values: axis 0, and no periodic extrapolation")
        if cls is interpolate.PchipInterpolator:
            return Hermite(x, y, pchip_slopes(x, y), plain.extrapolate)
        return Hermite(x, y, akima_slopes(x, y, method == "makima"), plain.extrapolate)

    return made


def _is_traced(x: Any) -> bool:
    return any(hasattr(type(leaf), "__odead_call__") for leaf in flatten(x)[0])


for _make in (interpolate.CubicSpline, interpolate.make_interp_spline):
    replace(_make, _maker(_make))
for _other in (interpolate.PchipInterpolator, interpolate.Akima1DInterpolator):
    replace(_other, _local(_other))


# ---------------------------------------------------------------------------------------------------- older classes


class Interp1d:
    """An `interp1d` inside a traced function."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def __call__(self, x: Any) -> Any:
        made = self._made
        if not _is_traced(x):
            return made(x)
        if np.ndim(made.y) != 1 or made.y.dtype.kind not in "fiu":
            raise RuleError("interp1d of values that are no real numbers is not differentiable here: make one for each column")
        made(_value(x))  # raises what the plain call raises
        ends = float(made.x[0]), float(made.x[-1])
        value = _evaluator(made)(x)
        if made._extrapolate:
            return value
        return beyond(x, value, ends, (float(np.ravel(made._fill_value_below)[0]), float(np.ravel(made._fill_value_above)[0])))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


def _evaluator(made: Any) -> Callable[[Any], Any]:
    """What an `interp1d` is between its ends, and beyond them if it extrapolates."""
    x, y, kind = made.x, np.asarray(made.y, dtype=np.float64), made._kind
    if kind == "linear":
        return Pieces(x, np.stack([np.diff(y) / np.diff(x), y[:-1]]))
    if kind in ("nearest", "nearest-up"):
        return Steps((x[1:] + x[:-1]) / 2, y, "left" if kind == "nearest" else "right")
    if kind == "previous" or (kind == "spline" and made._spline.k == 0):
        return Steps(x[1:], y, "right")
    if kind == "next":
        return Steps(x[:-1], y, "left")
    spline = made._spline
    pieces = Pieces.of(interpolate.BSpline(spline.t, np.ravel(spline.c), spline.k))
    assert pieces is not None
    return pieces


class Fitted:
    """A `UnivariateSpline` inside a traced function."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def __call__(self, x: Any, nu: int = 0, ext: int | str | None = None) -> Any:
        if not _is_traced(x):
            return self._made(x, nu, ext)
        return _fitpack(x, self._made._eval_args, nu, _BEYOND[self._made.ext if ext is None else ext])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


_BEYOND: Final = {0: 0, 1: 1, 2: 2, 3: 3, "extrapolate": 0, "zeros": 1, "raise": 2, "const": 3}


def _fitpack(x: Any, tck: Any, nu: int, ext: int) -> Any:
    """A spline of FITPACK; beyond its ends extrapolated, 0, nothing, or what it is there."""
    knots, coefficients, degree = tck
    pieces = Pieces.of(interpolate.BSpline(knots, np.asarray(coefficients)[: len(knots) - degree - 1], degree))
    if pieces is None:
        raise RuleError("a spline of several values is not differentiable here: make one for each of them")
    low, high = pieces.ends
    if ext == 0:
        return pieces(x, nu)
    if ext == 3:
        return pieces(np.clip(x, low, high), nu)
    if ext == 2 and not np.all((low <= _value(x)) & (_value(x) <= high)):
        raise ValueError("Error code returned by splev: 1")  # as the plain call
    return beyond(x, pieces(x, nu), pieces.ends, (0.0, 0.0) if ext == 1 else (OUTSIDE, OUTSIDE))


def _splev(x: Any, tck: Any, der: int = 0, ext: int = 0) -> Any:
    if _is_traced(tck):
        recorder_of((tck,)).fail(
            "scipy.interpolate.splev of a tuple of arrays that the function reads from outside cannot be traced",
            "Make a BSpline(*tck) of them once, outside, and call that, or write a rule with @odead.primitive",
        )
    if not _is_traced(x):
        return interpolate.splev(x, tck, der, ext)  # type: ignore[call-overload]
    return tck(x, der) if isinstance(tck, Spline) else _fitpack(x, tck, der, ext)


def _value(x: Any) -> Any:
    return getattr(x, "value", x)


see_as(interpolate.interp1d, Interp1d)
see_as(interpolate.UnivariateSpline, Fitted)
replace(interpolate.splev, _splev)


# ---------------------------------------------------------------------------------------------------- regular grids


@primitive
def grid_value(grid: Any, xi: Any, options: dict[str, Any]) -> Any:
    """A `RegularGridInterpolator` at the points xi, whose last axis is the space."""
    return grid(xi, **options)


@rule(grid_value)
def _grid_value(grid: Any, xi: Any, options: dict[str, Any]) -> Any:
    def pullback(bar: Any) -> tuple[Any, ...]:
        slopes = [_slope(grid, xi, k, options) for k in range(len(grid.grid))]
        axes = np.ndim(xi) - 1
        return None, np.stack([_contracted(bar * slope, axes) for slope in slopes], axis=-1).reshape(np.shape(xi)), None

    return grid_value(grid, xi, options), pullback


def _slope(grid: Any, xi: Any, k: int, options: dict[str, Any]) -> Any:
    method = options.get("method") or grid.method
    nu = tuple(int(j == k) for j in range(len(grid.grid)))
    if method in ("slinear", "cubic", "quintic"):
        return grid_value(
            grid, xi, {**options, "nu": tuple(a + b for a, b in zip(options.get("nu") or (0,) * len(nu), nu, strict=True))}
        )
    if method == "nearest":
        return 0.0 * grid_value(grid, xi, options)
    if method != "linear":
        raise RuleError(
            f"RegularGridInterpolator with method {method!r} has no derivative here; use linear, slinear, cubic or quintic"
        )
    return grid_slope(grid, xi, k)


@primitive
def grid_slope(grid: Any, xi: Any, k: int) -> Any:
    """Slope of a multilinear interpolant along axis k; at a grid point that of the cell above it."""
    points = grid.grid[k]
    cell = np.clip(np.searchsorted(points, xi[..., k], side="right") - 1, 0, len(points) - 2)
    low, high = xi.copy(), xi.copy()
    low[..., k], high[..., k] = points[cell], points[cell + 1]
    rise = grid(high) - grid(low)
    width = (points[cell + 1] - points[cell]).reshape(xi.shape[:-1])
    return rise / width.reshape(width.shape + (1,) * (np.ndim(rise) - width.ndim))


def _extrapolating(grid: Any) -> Any:
    """The same grid, continued beyond its ends."""
    twin = copy(grid)
    twin.bounds_error, twin.fill_value = False, None
    return twin


class Grid:
    """A `RegularGridInterpolator` inside a traced function."""

    def __init__(self, grid: Any) -> None:
        self._grid = grid

    def __call__(self, xi: Any, method: str | None = None, *, nu: Any = None) -> Any:
        options = {key: value for key, value in (("method", method), ("nu", nu)) if value is not None}
        points = np.stack(np.broadcast_arrays(*xi), axis=-1) if isinstance(xi, tuple) else xi
        if np.ndim(points) < 2:  # one point, or several on a line
            points = np.reshape(points * np.ones(1), (-1, len(self._grid.grid)))
        if not _is_traced(points) or not (self._grid.bounds_error or self._grid.fill_value is not None):
            return grid_value(self._grid, points, options)
        if self._grid.bounds_error:
            self._grid(_value(points), **options)  # raises what the plain call raises
        return self._filled(points, grid_value(_extrapolating(self._grid), points, options))

    def _filled(self, points: Any, value: Any) -> Any:
        """What it is outside: its constant, or `OUTSIDE`; a switch, beyond which an ODE solver continues what is inside."""
        grid = self._grid
        margin, fill = (ROUNDING, OUTSIDE) if grid.bounds_error else (0.0, grid.fill_value)
        for k, axis in enumerate(grid.grid):
            low, high = float(axis.min()), float(axis.max())
            more = margin * (abs(low) + abs(high))
            x = np.reshape(points[..., k], np.shape(points)[:-1] + (1,) * (np.ndim(value) - np.ndim(points) + 1))
            value = np.where((x < low - more) | (x > high + more), fill, value)
        return value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)


see_as(interpolate.RegularGridInterpolator, Grid)
