"""Functions made inside a traced function: taken apart into their code and the traced values that they close over.

``brentq(lambda x: x**2 - p, 0, 2)`` depends on p. As an argument of a call the lambda becomes a `Closure`, a container whose
leaves are the values in its cells, so that they are operands of the call and carry derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import CellType, FunctionType
from typing import Any

from ..containers import flatten, map_leaves

__all__ = ["Closure", "Code", "detached"]


class Code:
    """What a function is without its cells and defaults: a leaf."""

    def __init__(self, function: FunctionType) -> None:
        self._function = function

    def made(self, cells: tuple[Any, ...], defaults: tuple[Any, ...]) -> FunctionType:
        """The function with these cells and defaults, in the user's own namespace."""
        own = self._function
        names = getattr(own.__globals__, "true", own.__globals__)
        made = FunctionType(own.__code__, names, own.__name__, defaults or None, tuple(map(CellType, cells)))
        made.__kwdefaults__ = own.__kwdefaults__
        return made


@dataclass(frozen=True, eq=False)
class Closure:
    """A function whose cells and defaults are leaves."""

    code: Code
    cells: tuple[Any, ...]
    defaults: tuple[Any, ...]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        made = self.code.made(self.cells, self.defaults)
        for leaf in flatten((self.cells, self.defaults, args))[0]:
            if hasattr(type(leaf), "__odead_inside__"):  # one more trace: in its namespace
                return leaf.__odead_inside__(made)(*args, **kwargs)
        return made(*args, **kwargs)


def detached(function: FunctionType, original: Callable[[Any], Any], is_traced: Callable[[Any], bool]) -> Any:
    """A function of the traced code as one of the user's world; a `Closure` if it was made inside."""
    true = original(function)
    if true is not function or not hasattr(function.__globals__, "true"):
        return true

    def outside(x: Any) -> Any:
        if is_traced(x):
            return x
        if isinstance(x, FunctionType):
            return detached(x, original, is_traced)
        return map_leaves(outside, x) if _holds(x, is_traced) else original(x)

    cells = tuple(outside(cell.cell_contents) for cell in function.__closure__ or ())
    return Closure(Code(function), cells, tuple(map(outside, function.__defaults__ or ())))


def _holds(x: Any, is_traced: Callable[[Any], bool]) -> bool:
    """Whether a container has something traced, or a function made inside, in it."""
    leaves, structure = flatten(x)
    return structure.kind is not None and any(
        is_traced(leaf) or (isinstance(leaf, FunctionType) and hasattr(leaf.__globals__, "true")) for leaf in leaves
    )
