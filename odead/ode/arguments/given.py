"""What the user gives as x0, tspan and t_eval, checked."""

import copy
from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np

from ..._results import goes_strictly
from ...containers import Structure, flatten
from ...errors import ArgumentTypeError, ArgumentValueError
from ...tracing.recorder import is_plain, is_traced
from .signature import name_of, required_parameters

__all__ = ["check_t_eval", "check_tspan", "initial_values", "real", "refuse_traced"]


def real(value: Any) -> np.ndarray:
    """A new array of floats; TypeError of text, dates and complex numbers, which NumPy would convert."""
    given = np.asarray(value)
    if given.dtype.kind not in "fiubO":
        raise TypeError(f"{given.dtype} is no real number")
    return np.array(given, dtype=np.float64)


def refuse_traced(**given: Any) -> None:
    for name, value in given.items():
        if not is_plain(value) and any(map(is_traced, flatten(value)[0])):
            raise NotImplementedError(
                f"{name} comes from a function that is being differentiated, inside which odead.solve, odead.sensitivity and "
                f"odead.steady_state are what can be differentiated"
            )


def check_tspan(tspan: Any) -> tuple[float, float]:
    if type(tspan) is tuple and tuple(map(type, tspan)) == (float, float) and isfinite(tspan[0]) and isfinite(tspan[1]):
        return tspan  # the usual case, in a tenth of the time
    try:
        ends = real(tspan)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"tspan must be two numbers (t0, t1), not {tspan!r}") from None
    if ends.shape != (2,):
        raise ArgumentValueError(f"tspan must be two numbers (t0, t1), not {tspan!r}")
    if not np.isfinite(ends).all():
        raise ArgumentValueError(f"tspan must be finite, not {tspan!r}")
    return float(ends[0]), float(ends[1])


def check_t_eval(t_eval: Any, t0: float, t1: float) -> np.ndarray | None:
    if t_eval is None:
        return None
    try:
        times = real(t_eval)
    except (TypeError, ValueError):
        raise ArgumentTypeError("t_eval must be a sequence of real numbers") from None
    if times.ndim != 1 or not times.size:
        raise ArgumentValueError(f"t_eval must be one-dimensional and not empty; its shape is {times.shape}")
    sign = 1.0 if t1 >= t0 else -1.0
    if goes_strictly(times, sign) and sign * times[0] >= sign * t0 and sign * times[-1] <= sign * t1:
        return times  # the usual case, at once
    outside = ~((times >= min(t0, t1)) & (times <= max(t0, t1)))
    if outside.any():
        k = int(np.argmax(outside))
        shown, low, high = f"{times[k]:.6g}", min(t0, t1), max(t0, t1)
        if not low <= float(shown) <= high:
            raise ArgumentValueError(f"t_eval[{k}] = {shown} is outside tspan = ({t0:.6g}, {t1:.6g})")
        raise ArgumentValueError(
            f"t_eval[{k}] = {float(times[k])!r} is outside tspan = ({t0!r}, {t1!r}) by rounding; "
            f"np.clip(t_eval, {low!r}, {high!r}) is inside"
        )
    steps = np.diff(times)
    wrong = steps < 0 if t1 >= t0 else steps > 0
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ArgumentValueError(
            f"t_eval must be sorted from t0 = {t0:.6g} to t1 = {t1:.6g}, but t_eval[{k}] = {times[k]:.6g} comes before "
            f"t_eval[{k + 1}] = {times[k + 1]:.6g}"
        )
    return times


def initial_values(x0: Any, p: Any) -> tuple[Any, Callable[..., Any] | None]:
    """x0 as a container of arrays, and the function it came from if it was one."""
    initial = None
    if type(x0) is np.ndarray and x0.ndim:
        return x0, None
    if callable(x0):
        initial = x0
        if required_parameters(x0, "x0") != 1:
            raise ArgumentTypeError(f"x0: {name_of(x0)} must take one positional parameter: x0(p)")
        x0 = x0(copy.deepcopy(p))
        if x0 is None:
            raise ArgumentTypeError("x0: the function returned None; x0(p) must return the initial state")
    leaves, structure = flatten(x0)
    if _is_plain(structure) and all(isinstance(leaf, (int, float, complex, np.number)) for leaf in leaves):
        try:
            x0 = np.atleast_1d(np.asarray(x0))
        except ValueError:
            raise ArgumentValueError("x0 is a ragged list of numbers; pass an array, or a tuple of arrays") from None
    if isinstance(x0, np.ndarray) and x0.ndim == 0:
        x0 = x0[None]
    return x0, initial


def _is_plain(structure: Structure) -> bool:
    """Whether it is a number, or lists and tuples of numbers: what NumPy would make an array of."""
    return structure.kind in (None, list, tuple) and all(map(_is_plain, structure.children))
