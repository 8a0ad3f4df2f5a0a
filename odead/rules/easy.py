"""Rules from partial derivatives written as strings, and `stop_gradient`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from ..containers import map_leaves
from ..errors import RuleError
from .primitive import Primitive, place, primitive_of
from .registry import Rule, add
from .signature import shape_of

__all__ = ["UNKNOWN", "easy_rule", "is_zero", "stop_gradient", "summed"]

UNKNOWN: Final = "unknown()"  # a partial of which no formula is at hand; the name `unknown` raises


def easy_rule(f: Any, partials: Sequence[str | None], *, names: Mapping[str, Any] | None = None) -> Primitive:
    """Register a rule of an elementwise primitive from its partial derivatives.

    Parameters
    ----------
    f : Primitive
        Returns one number or array, elementwise in its arguments, which may broadcast.
    partials : sequence of str
        One Python expression per parameter, in the names of the parameters, `out` and `np`; None: no derivative.
    names : mapping, optional
        More names that the expressions may use.

    Returns
    -------
    Primitive
        f.

    Examples
    --------
    >>> easy_rule(f, partials=("2*p*x", "x**2"))  # doctest: +SKIP
    """
    target = primitive_of(f)
    if target is None:
        raise RuleError(
            f"easy_rule for {getattr(f, '__name__', f)!r}, which is no primitive: write @odead.primitive above its definition"
        )
    parameters = target.parameters
    if target.signature is None or len(partials) != len(parameters):
        raise RuleError(
            f"{place(target.function)}: easy_rule has {len(partials)} partials, and {target.__name__} has {len(parameters)} "
            f"parameters"
        )
    functions = [_compiled(target, parameters, partial, {**(names or {}), "np": np}) for partial in partials]

    def value_and_pullback(*args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        out = target(*args)

        def pullback(bar: Any) -> tuple[Any, ...]:
            return tuple([None if d is None else _lazy(d, args, out, bar, x) for d, x in zip(functions, args, strict=False)])

        return out, pullback

    def tangent(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        out = target(*primals)
        total: Any = None
        for d, dx in zip(functions, tangents, strict=False):
            if d is not None and dx is not None and not (getattr(d, "is_unknown", False) and is_zero(dx)):
                term = d(*primals, out) * dx
                total = term if total is None else total + term
        if total is None:
            total = np.zeros(shape_of(out)) if shape_of(out) else 0.0
        elif shape_of(total) != shape_of(out):
            total = total + 0.0 * out
        return out, total

    add(target, Rule(value_and_pullback, "reverse"))
    add(target, Rule(tangent, "forward"))
    return target


def is_zero(dx: Any) -> bool:
    """Whether a tangent is the zero of an operand that is not differentiated, and not one that happens to be 0."""
    if hasattr(type(dx), "__odead_stop__"):  # traced
        return dx.place.buffer in dx.rec.static and not np.any(dx.value)
    return not np.any(dx)


def _lazy(partial: Callable[..., Any], args: tuple[Any, ...], out: Any, bar: Any, x: Any) -> Callable[[], Any]:
    return lambda: summed(bar * partial(*args, out), shape_of(x))


def summed(bar: Any, shape: tuple[int, ...]) -> Any:
    """The sum over what broadcasting has repeated."""
    own = shape_of(bar)
    if own == shape:
        return bar
    bar = bar.sum(axis=tuple(range(len(own) - len(shape))))
    repeated = tuple(k for k, (a, b) in enumerate(zip(shape_of(bar), shape, strict=True)) if a != b)
    return bar.sum(axis=repeated, keepdims=True) if repeated else bar


def _compiled(
    target: Primitive, parameters: Sequence[str], partial: str | None, known: dict[str, Any]
) -> Callable[..., Any] | None:
    if partial is None:
        return None
    what = f"{place(target.function)}: the partial {partial!r} of {target.__name__}"
    try:
        tree = ast.parse(partial, mode="eval")
    except SyntaxError as error:
        raise RuleError(f"{what} is no Python expression: {error.msg}") from error
    unknown = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - {*parameters, "out", *known}
    if unknown:
        raise RuleError(f"{what} names {', '.join(sorted(unknown))}; it may name {', '.join((*parameters, 'out', *known))}")
    function: Any = eval(f"lambda {', '.join((*parameters, 'out'))}: {partial}", known)
    function.is_unknown = partial == UNKNOWN
    return function  # type: ignore[no-any-return]


_STOP: Final = "__odead_stop__"


def stop_gradient(x: Any) -> Any:
    """The value of `x`, with derivative 0.

    Parameters
    ----------
    x : array, number, or a container of them
    """
    return map_leaves(_stopped, x)


def _stopped(leaf: Any) -> Any:
    stop = getattr(type(leaf), _STOP, None)
    if stop is not None:
        return stop(leaf)
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf
