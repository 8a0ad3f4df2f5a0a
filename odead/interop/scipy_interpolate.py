"""Rules of `scipy.interpolate`: interpolants are differentiable in the points at which they are evaluated.

One made inside the function is differentiable in its values too. By `CubicSpline` or `make_interp_spline` it is linear in
them; PCHIP and Akima are written in NumPy (`hermite.py`) and differentiable in their knots as well.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from scipy import interpolate

from ..containers import flatten
from ..errors import RuleError
from ..rules.primitive import primitive, replace, see_as
from ..rules.registry import rule
from .hermite import Hermite, akima_slopes, pchip_slopes

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
        return spline_value(self._spline, x, nu, {"extrapolate": extrapolate})

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


class Grid:
    """A `RegularGridInterpolator` inside a traced function."""

    def __init__(self, grid: Any) -> None:
        self._grid = grid

    def __call__(self, xi: Any, method: str | None = None, *, nu: Any = None) -> Any:
        options = {key: value for key, value in (("method", method), ("nu", nu)) if value is not None}
        points = np.stack(np.broadcast_arrays(*xi), axis=-1) if isinstance(xi, tuple) else xi
        return grid_value(self._grid, points, options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)


see_as(interpolate.RegularGridInterpolator, Grid)
