"""x0, p, tspan and t_eval of ordinary calls, checked and laid out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._results import goes_strictly, rows_of, times_of
from ...activity import AbstractAnnotation
from ..arguments.given import check_t_eval, check_tspan, initial_values
from ..arguments.layout import Layout, lay_out, vector_layout

__all__ = ["Given", "When", "given", "given_rows", "numbers", "together", "when"]


class When(NamedTuple):
    """tspan and t_eval of a call, checked.

    Attributes
    ----------
    t0, t1 : float
    times : array
        Strictly sorted; the end alone where all steps are wanted.
    steps : bool
    """

    t0: float
    t1: float
    times: np.ndarray
    steps: bool


class Given(NamedTuple):
    """x0 and p of one or several calls that have all else in common, checked and laid out.

    Attributes
    ----------
    x_layout, p_layout : Layout
    x0, p : array, shapes (count, n) and (count, n_p)
    when : When
    arrays : sequence of tuple
        p and x0 of each as they were passed.
    """

    x_layout: Layout
    p_layout: Layout
    x0: np.ndarray
    p: np.ndarray
    when: When
    arrays: Sequence[tuple[Any, Any]]

    def member(self, k: int) -> "Given":
        """One of them."""
        part = slice(k, k + 1)
        return self._replace(x0=self.x0[part], p=self.p[part], arrays=self.arrays[part])


def given(x0: Any, p: Any, tspan: Any, t_eval: Any) -> Given | None:
    """What an ordinary call has as x0 and so on.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As in the long way.
    """
    timed = when(tspan, t_eval)
    return None if timed is None else numbers(x0, p, timed)


def when(tspan: Any, t_eval: Any) -> When | None:
    """t0, t1 and the times of an ordinary call."""
    t0, t1 = check_tspan(tspan)
    if t_eval is None:
        return When(t0, t1, np.array([t1]), True)
    times = times_of(t_eval, t0, t1)
    if times is not None:
        return When(t0, t1, times, False)
    times = check_t_eval(t_eval, t0, t1)
    assert times is not None
    return When(t0, t1, times, False) if goes_strictly(times, 1.0 if t1 >= t0 else -1.0) else None


def numbers(x0: Any, p: Any, timed: When) -> Given | None:
    """The same with times that are known."""
    found = given_rows([x0], [p], timed)
    if found is not None:
        return found
    if callable(x0) or isinstance(x0, AbstractAnnotation) or isinstance(p, AbstractAnnotation):
        return None
    p_layout, p_vector = lay_out(p, "p", complex_allowed=True)
    x_layout, x_vector = lay_out(initial_values(x0, p)[0], "x0", complex_allowed=True)
    return Given(x_layout, p_layout, x_vector[None], p_vector[None], timed, [(p, x0)])


def given_rows(x0s: list[Any], ps: list[Any], timed: When) -> Given | None:
    """Several at once, if all are vectors of floats: in a tenth of the time."""
    starts, parameters = rows_of(x0s), rows_of(ps)
    if starts is None or parameters is None:
        return None
    layouts = vector_layout(starts.shape[1]), vector_layout(parameters.shape[1])
    return Given(*layouts, starts, parameters, timed, list(zip(ps, x0s, strict=True)))


def together(those: Sequence[Given]) -> Given:
    """As one, what was laid out apart; the layouts and the times are those of the first."""
    x0, p = np.concatenate([each.x0 for each in those]), np.concatenate([each.p for each in those])
    return those[0]._replace(x0=x0, p=p, arrays=[each.arrays[0] for each in those])
