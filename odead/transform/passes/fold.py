"""Folding: what is known when the program is derived is computed then, and operations that do nothing go.

A rewrite is in the table only if it gives the same IEEE value for all operands, NaN, infinities and signed zeros
included: `x * 1` is `x`, but `x + 0` is not (-0 + 0 is +0), and neither is `x * 0`. Powers are rewritten as NumPy
itself evaluates `array ** number`.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ..._passes import folded, unchanging
from ...ops import TABLE
from ...tape import Program, Role
from ...views import View, broadcast
from .facts import is_whole, rewritten

__all__ = ["fold"]

Operands = tuple[View, ...]
Rewrite = tuple[str, Operands] | None


def fold(program: Program) -> Program:
    """Replace operations on constants by their values, and operations by simpler ones with the same value."""
    return _Folding(program).run()


class _Folding:
    def __init__(self, program: Program) -> None:
        self.program = rewritten(program, list(program.op), ins=list(program.ins))
        self.stable = unchanging(program)
        self.known: list[View | None] = [None] * len(program.buffers)  # the constant that fills a temporary
        self.origin = [-1] * len(program.buffers)  # the instruction that writes a temporary which is written once
        self.original = program

    def run(self) -> Program:
        return self.program if folded(self.program, self.known, self.origin, self.rewritten, self.fill) else self.original

    def fill(self, buffer: int, source: View) -> None:
        """Note what a copy fills a temporary with."""
        self.known[buffer] = self.constant_view(source)

    def rewritten(self, k: int, op: str, out: View, ins: Operands) -> Rewrite:
        constants = [self.constant_view(view) for view in ins]
        if None not in constants and TABLE[op].numpy:
            return "copy", (self.evaluated(op, out, tuple(view for view in constants if view is not None)),)
        rule = _RULES.get(op)
        return None if rule is None else rule(self, out, *ins)

    def evaluated(self, op: str, out: View, ins: Operands) -> View:
        """The value of an operation on constants, as a constant of the shape of `out`; a broadcast one where it repeats."""
        repeats = all(not any(view.strides) for view in ins)
        operands = [view._replace(shape=(1,), strides=(0,)) for view in ins] if repeats else ins
        with np.errstate(all="ignore"):
            value = getattr(np, TABLE[op].numpy)(*(self.gathered(view) for view in operands))
        return self.constant(value.reshape(()) if repeats else value, out)

    # ------------------------------------------------------------------------------------------ what rules may ask

    def constant_view(self, view: View) -> View | None:
        """The view of a constant that has the values of `view`, if there is one."""
        if self.program.buffers[view.buffer].role is Role.CONSTANT:
            return view
        filled = self.known[view.buffer]
        if filled is None:
            return None
        if not any(filled.strides):
            return filled._replace(shape=view.shape, strides=(0,) * len(view.shape))
        return filled if is_whole(self.program, view) and view.shape == filled.shape else None

    def gathered(self, view: View) -> np.ndarray:
        data = self.program.buffers[view.buffer].data
        assert data is not None
        return np.asarray(data.reshape(-1)[view.indices()])

    def number(self, view: View) -> Any:
        """The value that all elements of `view` have, if that is known; else None."""
        filled = self.constant_view(view)
        if filled is None or any(filled.strides):
            return None
        data = self.program.buffers[filled.buffer].data
        assert data is not None
        return data.reshape(-1)[filled.offset].item()

    def definition(self, view: View, op: str) -> Operands | None:
        """The operands of the instruction that computes `view`, if that is an `op` and they have not changed since."""
        k = self.origin[view.buffer] if view.buffer < len(self.origin) else -1
        if k < 0 or self.program.op[k] != op or self.program.out[k] != view:
            return None
        ins = self.program.ins[k]
        appended = len(self.stable)
        return ins if all(operand.buffer >= appended or self.stable[operand.buffer] for operand in ins) else None

    def constant(self, value: Any, like: View) -> View:
        constant = self.program.constant(value, self.program.dtype(like))
        return broadcast(constant, like.shape)


# ------------------------------------------------------------------------------------------------------ the rules


def _add(folding: _Folding, out: View, x: View, y: View) -> Rewrite:
    if (negated := folding.definition(y, "neg")) is not None:
        return "sub", (x, *negated)
    if (negated := folding.definition(x, "neg")) is not None:
        return "sub", (y, *negated)
    return None


def _sub(folding: _Folding, out: View, x: View, y: View) -> Rewrite:
    negated = folding.definition(y, "neg")
    return None if negated is None else ("add", (x, *negated))


def _mul(folding: _Folding, out: View, x: View, y: View) -> Rewrite:
    for factor, other in ((x, y), (y, x)):
        number = folding.number(factor)
        if number == 1:
            return "copy", (other,)
        if number == -1:
            return "neg", (other,)
    return None


def _muladd(folding: _Folding, out: View, x: View, y: View, z: View) -> Rewrite:
    for factor, other in ((x, y), (y, x)):
        number = folding.number(factor)
        if number == 1:
            return "add", (other, z)
        if number == -1:
            return "sub", (z, other)
    return None


def _div(folding: _Folding, out: View, x: View, y: View) -> Rewrite:
    number = folding.number(y)
    if number == 1:
        return "copy", (x,)
    return ("neg", (x,)) if number == -1 else None


def _pow(folding: _Folding, out: View, x: View, y: View) -> Rewrite:
    match folding.number(y):
        case 0:
            return "copy", (folding.constant(1.0, out),)
        case 1:
            return "copy", (x,)
        case 2:
            return "square", (x,)
        case -1:
            return "reciprocal", (x,)
        case 0.5 if out.shape:  # NumPy does so for arrays; a scalar power differs at -0 and -inf
            return "sqrt", (x,)
    return None


def _neg(folding: _Folding, out: View, x: View) -> Rewrite:
    negated = folding.definition(x, "neg")
    return None if negated is None else ("copy", negated)


def _where(folding: _Folding, out: View, condition: View, x: View, y: View) -> Rewrite:
    if x == y:
        return "copy", (x,)
    chosen = folding.number(condition)
    return None if chosen is None else ("copy", (x if chosen else y,))


def _zero_mul(folding: _Folding, out: View, factor: View, d: View) -> Rewrite:
    number = folding.number(factor)
    if number == 0:
        return "copy", (folding.constant(0.0, out),)
    if number is not None and np.isfinite(number):
        return ("copy", (d,)) if number == 1 else ("mul", (factor, d))
    choice = folding.definition(factor, "where")
    if choice is None:
        return None
    condition, x, y = choice
    zero = folding.constant(0.0, out)
    match folding.number(x), folding.number(y):
        case 1, 0:
            return "where", (condition, d, zero)
        case 0, 1:
            return "where", (condition, zero, d)
    return None


def _cast(folding: _Folding, out: View, x: View) -> Rewrite:
    return ("copy", (x,)) if folding.program.dtype(out) == folding.program.dtype(x) else None


_RULES: Final[dict[str, Callable[..., Rewrite]]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "muladd": _muladd,
    "div": _div,
    "pow": _pow,
    "neg": _neg,
    "where": _where,
    "zero_mul": _zero_mul,
    "cast": _cast,
}
