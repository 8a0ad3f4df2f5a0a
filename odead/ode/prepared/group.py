"""Members of an ensemble that one thread solves, without Python between them where they are ordinary."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from ...derivatives.nested import nest_of
from ...errors import ArgumentTypeError, ArgumentValueError
from ..arguments.signature import name_of
from ..results.solution import Solution
from .arguments import Given, When, given_rows, numbers, together, when
from .prepared import Asked, Beside, find, usual

__all__ = ["Group"]

Result = Solution | Exception


class Group:
    """One problem, solved for any initial values and parameters.

    Parameters
    ----------
    run : callable
        `solve` or `sensitivity`.
    rhs, tspan
        As there.
    same : dict
        Further arguments.
    """

    def __init__(self, run: Callable[..., Solution], rhs: Any, tspan: Any, same: dict[str, Any]) -> None:
        self._run, self._rhs, self._tspan, self._same = run, rhs, tspan, same
        self._asked = self._usual()
        self._when: When | None = None
        if self._asked is not None:
            with suppress(ArgumentTypeError, ArgumentValueError):  # which each member says
                self._when = when(tspan, same.get("t_eval"))
        self._beside: Beside = {}

    def _usual(self) -> Asked | None:
        """What the members have in common, if it is ordinary."""
        try:
            bound = _signature(self._run).bind(self._rhs, None, None, self._tspan, **self._same)
        except TypeError:  # which each member says
            return None
        bound.apply_defaults()
        options = {name: value for name, value in bound.arguments.items() if name in _OPTIONS}
        if nest_of(self._rhs, self._tspan, options.get("t_eval")) is not None or nest_of(options.get("loss")) is not None:
            return None
        if "wrt" not in bound.arguments:  # they matter only to a solve that is differentiated
            for name in ("mode", "sens_rtol", "sens_atol"):
                options.pop(name, None)
        return usual(**options)

    def solve(self, x0s: list[Any], ps: list[Any]) -> list[Result]:
        """Solve for some x0 and p: a result for each, or its exception."""
        results: list[Result | None] = [None] * len(x0s)
        if self._asked is not None and self._when is not None and len(x0s) > 1:  # the first ones have prepared it
            results = self._solve_prepared(self._asked, self._when, x0s, ps)
        return [self._solve_alone(x0s[k], ps[k]) if found is None else found for k, found in enumerate(results)]

    def _solve_alone(self, x0: Any, p: Any) -> Result:
        try:
            return self._run(self._rhs, x0, p, self._tspan, **self._same)
        except Exception as error:
            return error

    def _solve_prepared(self, asked: Asked, timed: When, x0s: list[Any], ps: list[Any]) -> list[Result | None]:
        """The results of ordinary members, and None for others."""
        those = given_rows(x0s, ps, timed)
        if those is not None:
            return self._solve_alike(asked, those)
        results: list[Result | None] = [None] * len(x0s)
        alike, those = _laid_out(x0s, ps, timed, results)
        if those is not None:
            for k, result in zip(alike, self._solve_alike(asked, those), strict=True):
                results[k] = result
        return results

    def _solve_alike(self, asked: Asked, those: Given) -> list[Result | None]:
        """The same for members that are laid out alike."""
        found = find(asked, those)
        if found is not None:
            with suppress(Exception):  # of one of them, which says so when it is solved alone
                return found.solve(those, name_of(self._rhs), until_error=False, beside=self._beside)
        return [None] * len(those.x0)


def _laid_out(x0s: list[Any], ps: list[Any], timed: When, results: list[Result | None]) -> tuple[list[int], Given | None]:
    """The numbers of the members that are laid out as the first one, and these; what others raise is their result."""
    those: dict[int, Given] = {}
    for k, (x0, p) in enumerate(zip(x0s, ps, strict=True)):
        try:
            laid_out = numbers(x0, p, timed)
        except Exception as error:
            results[k] = error
            continue
        if laid_out is not None:
            those[k] = laid_out
    if not those:
        return [], None
    first = next(iter(those.values()))
    alike = [k for k, each in those.items() if (each.x_layout, each.p_layout) == (first.x_layout, first.p_layout)]
    return alike, together([those[k] for k in alike])


@cache
def _signature(run: Callable[..., Solution]) -> inspect.Signature:
    return inspect.signature(run)


_OPTIONS = frozenset(inspect.signature(usual).parameters)
