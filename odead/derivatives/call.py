"""One call of `autodiff`, taken apart, checked and bound."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..activity import AbstractAnnotation, Active
from ..errors import ArgumentTypeError, ArgumentValueError
from .arguments import Arguments
from .kernel import Kernel
from .modes import AbstractMode, ForwardMode

__all__ = ["Call", "Parsed", "refuse_unfit"]


class Parsed(NamedTuple):
    """The positional arguments of `autodiff` by their roles.

    Attributes
    ----------
    mode : AbstractMode
    f : callable
    function : AbstractAnnotation or None
        On f itself; None where f is bare.
    activity : type of AbstractAnnotation or None
        Of the returned value.
    annotated : tuple
        The arguments of f.
    """

    mode: AbstractMode
    f: Callable[..., Any]
    function: AbstractAnnotation | None
    activity: type[AbstractAnnotation] | None
    annotated: tuple[Any, ...]


class Call:
    """One call, ready to run.

    Attributes
    ----------
    kernel : Kernel
    values : list
        To bind to the arguments of the function.
    shadows : list of ndarray
        To bind beside them.
    arguments : Arguments or None
        None where there is nothing to give back or to return: no lanes, no `Active`.
    is_bare : bool
        The function has no annotation, so it must not write results into what it has captured.
    active : tuple of int
        The positions that have a shadow.
    count : int
        Number of arguments that the caller wrote; behind them comes what functions and objects hold.
    """

    __slots__ = ("active", "annotated", "arguments", "count", "is_bare", "kernel", "shadows", "values")

    def __init__(self, kernel: Kernel, values: list[Any], shadows: list[np.ndarray], annotated: Sequence[AbstractAnnotation],
                 active: tuple[int, ...], arguments: Arguments | None, is_bare: bool = True,
                 count: int | None = None) -> None:  # fmt: skip
        self.kernel, self.values, self.shadows = kernel, values, shadows
        self.annotated, self.active, self.arguments, self.is_bare = annotated, active, arguments, is_bare
        self.count = len(annotated) if count is None else count

    @property
    def width(self) -> int | None:
        return None if self.arguments is None else self.arguments.width


def refuse_unfit(mode: AbstractMode, arguments: Arguments, annotated: Sequence[AbstractAnnotation]) -> None:
    """Raise where an annotation or a shadow does not suit the mode."""
    if mode.check:
        _refuse_nan(arguments)
    if isinstance(mode, ForwardMode):
        _refuse_active(arguments, annotated)
    else:
        _refuse_numbers(arguments)


def _refuse_nan(arguments: Arguments) -> None:
    for position, lanes in arguments.shadows.items():
        if any(np.isnan(lane).any() for lane in lanes):
            raise ArgumentValueError(f"{arguments.describe(arguments.owner[position])}: its shadow contains NaN")


def _refuse_active(arguments: Arguments, annotated: Sequence[AbstractAnnotation]) -> None:
    for number_, annotation in enumerate(annotated):
        if isinstance(annotation, Active):
            raise ArgumentTypeError(f"{arguments.describe(number_)}: for reverse mode; in forward mode write Duplicated(x, dx)")


def _refuse_numbers(arguments: Arguments) -> None:
    for position, lanes in arguments.numbers.items():
        if None in lanes:
            raise ArgumentTypeError(
                f"{arguments.describe(arguments.owner[position])}: the shadow of a number cannot be updated in place, except "
                f"in a list, dict or dataclass; in reverse mode write Active(x), whose derivative is returned, or use "
                f"odead.gradient"
            )
