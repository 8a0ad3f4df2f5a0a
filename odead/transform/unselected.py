"""Where a cotangent may be 0 because an element was not selected, beside a partial that may be infinite there.

`where(x > 0, sqrt(x), 0)` gives the square root the cotangent 0 where x <= 0. The partial 1 / (2 sqrt(x)) is infinite or NaN
there, and 0 times that is NaN, though the value was not selected. Such products must be `zero_mul`, which is 0 where
either factor is. It costs a comparison, so only those get it that are *unselected* (some `where` may discard the result) and
*singular* (an operand or the operation itself may be infinite or NaN at finite arguments).
"""

from typing import Final

from ..ops import TABLE
from ..tape import Program, Role

__all__ = ["unselected_singular"]

_REGULAR: Final = frozenset({
    "copy", "cast", "stop", "neg", "add", "sub", "mul", "muladd", "mulsub", "negmuladd", "addmul", "submul", "addadd",
    "zero_mul", "square", "abs", "sign", "copysign", "heaviside", "maximum", "minimum", "fmax", "fmin", "where",
    "floor", "ceil", "trunc", "rint", "sin", "cos", "arctan", "tanh", "arcsinh", "expit", "erf", "erfc", "hypot",
    "deg2rad", "rad2deg",
    "sum", "matmul", "take", "put", "put_add", "amax", "amin",
})  # fmt: skip
"""Operations that are finite, with finite partials, wherever their operands are moderate."""


def unselected_singular(program: Program) -> frozenset[int]:
    """The numbers of the elementwise instructions whose partials must be contracted by `zero_mul`."""
    if "where" not in program.op:
        return frozenset()
    singular = _singular(program)
    if not singular:
        return singular
    found: set[int] = set()
    discarded: set[int] = set()  # buffers of which a `where` may discard elements, at this or a later instruction
    for number in range(len(program) - 1, -1, -1):
        op, out, ins = program.op[number], program.out[number], program.ins[number]
        if op == "where":
            discarded.update(view.buffer for view in ins[1:])
        elif out is not None and out.buffer in discarded:
            discarded.update(view.buffer for view in ins)
            if number in singular and op in TABLE:
                found.add(number)
    return frozenset(found)


def _singular(program: Program) -> frozenset[int]:
    """The instructions whose partials may be infinite or NaN at finite arguments."""
    tainted: set[int] = set()  # buffers
    found: set[int] = set()
    for number, (op, out, ins) in enumerate(zip(program.op, program.out, program.ins, strict=True)):
        if out is None:
            continue
        regular = op in _REGULAR or (op == "div" and program.buffers[ins[1].buffer].role is Role.CONSTANT)
        if not regular or not tainted.isdisjoint([view.buffer for view in ins]):
            found.add(number)
            tainted.add(out.buffer)
    return frozenset(found)
