"""Rules of functions of `scipy.special` beyond those of the op table, from the tables of their partial derivatives."""

from collections.abc import Callable
from typing import Any, Final, NoReturn

import numpy as np
from scipy import special

from ..errors import RuleError
from ..rules.easy import UNKNOWN, easy_rule, is_zero, summed
from ..rules.primitive import Primitive, adopt, primitive_of, standin_of
from ..rules.registry import Rule, add
from ..rules.signature import shape_of
from . import special_complex
from .special_tables import SEVERAL, TABLE

__all__ = ["SPECIAL", "special_complex"]  # which registers its functions


class _Special:
    """`scipy.special` with primitives for the functions of the table, so that partials have derivatives too."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(special, name)
        return primitive_of(function) or standin_of(function) or function


def _unknown() -> NoReturn:
    raise RuleError(
        "the derivative of a function of scipy.special with respect to its order or shape is asked for, and no formula for it "
        "is at hand: make that argument a Const, or give the function a rule of your own by @odead.primitive"
    )


SPECIAL: Final = _Special()
_NAMES: Final = {"special": SPECIAL, "unknown": _unknown, "np": np}


def _primitive(name: str, parameters: str) -> Primitive:
    function: Callable[..., Any] = eval(f"lambda {parameters}: special.{name}({parameters})", {"special": special})
    function.__name__ = name
    return adopt(getattr(special, name), Primitive(function))


def _register_several(name: str, parameters: str, partials: tuple[tuple[str, ...], ...]) -> None:
    """Rules of a function that returns several arrays."""
    target = _primitive(name, parameters)
    functions = [[eval(f"lambda {parameters}, outs: {partial}", _NAMES) for partial in row] for row in partials]
    by_parameter = list(zip(*partials, strict=True))  # the partials by each parameter

    def value_and_pullback(*xs: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        outs = target(*xs)

        def of(k: int, bars: Any) -> Any:
            return summed(sum(bar * row[k](*xs, outs) for bar, row in zip(bars, functions, strict=True)), shape_of(xs[k]))

        def pullback(bars: Any) -> tuple[Any, ...]:
            return tuple([lambda k=k: of(k, bars) for k in range(len(xs))])

        return outs, pullback

    def tangent(xs: tuple[Any, ...], dxs: tuple[Any, ...]) -> tuple[Any, Any]:
        outs = target(*xs)
        active = [k for k, dx in enumerate(dxs) if dx is not None and not (UNKNOWN in by_parameter[k] and is_zero(dx))]
        return outs, tuple([sum(row[k](*xs, outs) * dxs[k] for k in active) for row in functions])

    add(target, Rule(value_and_pullback, "reverse"))
    add(target, Rule(tangent, "forward"))


for _name, _parameters, _partials in TABLE:
    easy_rule(_primitive(_name, _parameters), _partials, names=_NAMES)
for _row in SEVERAL:
    _register_several(*_row)
