"""Partials of the op table as instructions.

An expression such as ``"y * x**(y - 1)"`` becomes instructions of the same table. What is a literal in the program is a
number here and folded at once: the partial of `x**2` costs one instruction, not five.
"""

import ast
from collections.abc import Mapping
from functools import cache
from typing import Final

import numpy as np

from ..ops import TABLE, parse_partial
from ..tape import Role
from ..views import View
from .builder import Builder

__all__ = ["Value", "add_product", "expand"]

Value = View | float

_BINARY: Final = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}
_COMPARE: Final = {
    ast.Lt: "less", ast.LtE: "less_equal", ast.Gt: "greater", ast.GtE: "greater_equal", ast.Eq: "equal", ast.NotEq: "not_equal",
}  # fmt: skip


def expand(build: Builder, expression: str, values: Mapping[str, View], like: View) -> Value:
    """Emit the instructions of a partial.

    Parameters
    ----------
    build : Builder
        Where they go.
    expression : str
        A partial of the op table.
    values : mapping of str to View
        Where `x, y, z, out` are found.
    like : View
        Gives shape and dtype of the result.

    Returns
    -------
    View or float
        A float where the partial is the same number for each element.
    """
    simple = _simple(expression)
    if simple is not None:
        return simple if isinstance(simple, float) else _literal(build, values[simple])
    return _Expansion(build, {name: _literal(build, view) for name, view in values.items()}, like).visit(
        parse_partial(expression)
    )


@cache
def _simple(expression: str) -> float | str | None:
    """A partial that is a number or the value of an operand; None for all others."""
    match parse_partial(expression):
        case ast.Constant(value=float() | int() as number):
            return float(number)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=float() | int() as number)):
            return -float(number)
        case ast.Name(id=name):
            return name
    return None


def _literal(build: Builder, view: View) -> Value:
    buffer = build.program.buffers[view.buffer]
    if buffer.role is Role.CONSTANT and buffer.size == 1 and buffer.data is not None and buffer.dtype != "bool":
        return float(buffer.data.reshape(-1)[0])
    return view


class _Expansion:
    def __init__(self, build: Builder, values: Mapping[str, Value], like: View) -> None:
        self.build, self.values, self.like = build, values, like

    def visit(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=float() | int() as number):
                return float(number)
            case ast.Name(id=name):
                return self.values[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.apply("neg", self.visit(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self.apply(_BINARY[type(op)], self.visit(left), self.visit(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.apply(_COMPARE[type(op)], self.visit(left), self.visit(right))
            case ast.Call(func=ast.Name(id=name), args=args):
                return self.apply(name, *map(self.visit, args))
        raise ValueError(f"partials do not know {ast.unparse(node)!r}")

    def apply(self, op: str, *operands: Value) -> Value:
        row = TABLE[op]
        if row.function is not None and not any(isinstance(operand, View) for operand in operands):
            with np.errstate(all="ignore"):
                return float(row.function(*operands))
        if op == "where" and not isinstance(operands[0], View):
            return operands[1] if operands[0] else operands[2]
        out = self.build.program.temp(row.result or self.build.program.dtype(self.like), self.like.shape)
        self.build.emit(op, out, tuple(self.view(operand) for operand in operands))
        return out

    def view(self, operand: Value) -> View:
        return operand if isinstance(operand, View) else self.build.number(operand, self.like)


def add_product(build: Builder, target: View, factor: Value, d: View, addend: View | None, strong_zero: bool) -> None:
    """Emit target = factor * d (+ addend), in the cheapest form; `factor` is a primal value, `d` a shadow."""
    if factor == 1.0:
        build.emit("copy", target, (d,)) if addend is None else build.emit("add", target, (addend, d))
    elif factor == -1.0:
        build.emit("neg", target, (d,)) if addend is None else build.emit("sub", target, (addend, d))
    else:
        weight = build.lift(factor) if isinstance(factor, View) else build.number(factor, d)
        if addend is None:
            build.emit("zero_mul" if strong_zero else "mul", target, (weight, d))
        elif strong_zero:
            product = build.temp_like(target)
            build.emit("zero_mul", product, (weight, d))
            build.emit("add", target, (addend, product))
        else:
            build.emit("muladd", target, (weight, d, addend))
