"""Stops: times that are stepped onto, given or computed from p."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from ...containers import flatten
from ...derivatives.kernel import Kernel
from ...derivatives.second_order import hvp
from ...errors import ArgumentTypeError, ArgumentValueError
from ...transform.forward import forward
from ..arguments.given import real
from ..arguments.layout import Layout, lay_out
from ..arguments.signature import flat_of_p, name_of, required_parameters
from ..rhs.validation import refuse_captured

__all__ = ["Stops", "derivative_by_p", "make_stops"]


@dataclass(frozen=True)
class Stops:
    """Times inside the span, in the order in which they come.

    Attributes
    ----------
    times : array, shape (k,)
    derive : callable or None
        From nothing to the derivatives of all that the function gives; None where they were given as numbers.
    function : callable or None
        Of p as the user wrote it; it gives times in another order, perhaps.
    order : array of int, shape (k,)
        Where these times are in what it gives.
    """

    times: np.ndarray
    derive: Callable[[], np.ndarray] | None
    function: Callable[..., Any] | None
    order: np.ndarray

    @cached_property
    def by_p(self) -> np.ndarray | None:
        """Their derivatives, shape (k, n_p). Recording the function takes longer than 100 stops; most solves do without."""
        return None if self.derive is None else self.derive()[self.order]

    def product(self, number: int, p: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """The second derivatives of a time times a direction of p; for a function of vectors."""
        assert self.function is not None
        entry = partial(_entry, self.function, int(self.order[number]))
        return np.asarray(hvp(entry, p, direction))


def _entry(function: Callable[..., Any], number: int, p: Any) -> Any:
    return function(p)[number]


def make_stops(tstops: Any, p: Any, p_layout: Layout, p_vector: np.ndarray, t0: float, t1: float) -> Stops | None:
    """The stops of the user, checked; None without any inside (t0, t1).

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        They are not numbers, or outside the span.
    """
    if type(tstops) is tuple and not tstops:
        return None
    given = tstops
    if callable(tstops):
        if required_parameters(tstops, "tstops") != 1:
            raise ArgumentTypeError(f"tstops: {name_of(tstops)} must take one positional parameter: tstops(p)")
        given = tstops(copy.deepcopy(p))
    try:
        times = real(given)
    except (TypeError, ValueError):
        raise ArgumentTypeError("tstops must be a sequence of times, or a function tstops(p) that returns one") from None
    if times.ndim != 1:
        raise ArgumentValueError(f"tstops must be one-dimensional; its shape is {times.shape}")
    outside = ~((times >= min(t0, t1)) & (times <= max(t0, t1)))
    if outside.any():
        k = int(np.argmax(outside))
        raise ArgumentValueError(f"tstops[{k}] = {times[k]:.6g} is outside tspan = ({t0:.6g}, {t1:.6g})")
    if not times.size:
        return None
    derive = None
    if callable(tstops) and p_vector.size:
        derive = partial(derivative_by_p, tstops, "tstops", lay_out(times, "tstops")[0], p_layout, p, p_vector)
    order = np.argsort(times if t1 >= t0 else -times, kind="stable")
    order = order[(times[order] != t0) & (times[order] != t1)]
    if not order.size:
        return None
    return Stops(times[order], derive, tstops if callable(tstops) else None, order)


def derivative_by_p(
    function: Callable[..., Any], argument: str, layout: Layout, p_layout: Layout, p: Any, p_vector: np.ndarray
) -> np.ndarray:
    """d function(p) / dp, shape (n, n_p), of a function whose values have this layout."""
    n, n_p = layout.size, p_vector.size
    kernel = Kernel(
        flat_of_p(function, argument, layout, p_layout),
        (np.zeros(n), p_vector.copy()),
        lambda program: forward(program, (0, 1), n_p),
    )
    refuse_captured(kernel.primal, [leaf for leaf in flatten(p)[0] if isinstance(leaf, np.ndarray)], "p")
    tangents = np.zeros((n_p, n))
    kernel(np.zeros(n), p_vector.copy(), tangents, np.eye(n_p))
    return tangents.T
