"""Where Python's arithmetic raises and NumPy's does not: `math.sqrt(-1.0)`, `1.0 / 0.0`, `10.0 ** 400`.

An operation of this kind is computed as any other; the recorder only notes its result. Whether a run has left the domain of one
is seen from the processor's flags at its end (`_core.Tape`), at no cost per operation. Flags are raised without need too: by
NumPy's operations, by derivatives, by a side of an `if` that is not chosen. So where one is raised, `leaves_domain` decides, a
program that computes what those operations need and nothing else.

A division of an infinity or nan by zero raises no flag: the plain call raises, a replay gives an infinity or nan.
"""

from collections.abc import Mapping
from typing import Final

from ..tape import Program, Role
from ..views import View

__all__ = ["DOMAINS", "WITHOUT_FLAG", "leaves_domain", "outside"]

_DIVIDING: Final = frozenset({"div", "floor_divide", "remainder"})

DOMAINS: Final = _DIVIDING | {
    "sqrt", "log", "log2", "log10", "log1p", "exp", "exp2", "expm1", "sin", "cos", "tan", "arcsin", "arccos", "sinh", "cosh",
    "arccosh", "arctanh", "gamma", "gammaln", "pow", "fmod",
}  # fmt: skip
"""Operations that may raise where Python computes them."""

WITHOUT_FLAG: Final = frozenset({"gamma", "gammaln"})
"""Those that may go wrong without a flag: SciPy's functions return an infinity or nan as any other number."""


def outside(program: Program, op: str, out: View, ins: tuple[View, ...], line: int) -> View:
    """Append the test whether Python raises where `op` has this scalar result; returns where the outcome is.

    Python raises where a function makes a nan of numbers, or an infinity of finite ones, and at each division by zero.
    """

    def emit(test: str, *operands: View) -> View:
        result = program.temp("bool", ())
        program.emit(test, result, operands, None, line)
        return result

    if op in _DIVIDING:
        return emit("equal", ins[1], program.constant(0, program.dtype(ins[1])))
    numbers = finite = None
    for x in ins:
        number, is_finite = emit("logical_not", emit("isnan", x)), emit("isfinite", x)
        numbers = number if numbers is None else emit("logical_and", numbers, number)
        finite = is_finite if finite is None else emit("logical_and", finite, is_finite)
    assert numbers is not None and finite is not None, f"{op} has no operands"
    invalid, infinite = emit("logical_and", emit("isnan", out), numbers), emit("logical_and", emit("isinf", out), finite)
    return emit("logical_or", invalid, infinite)


def leaves_domain(recorded: Program, noted: Mapping[int, View | None]) -> Program:
    """The program whose only guard is missed where Python would have raised in a run of `recorded`.

    Parameters
    ----------
    recorded : Program
        As it was recorded; a run of it has met its guards.
    noted : mapping
        By the buffer of a result that may be out of the domain: whether a run computes it at all, None for always.
    """
    program = Program(recorded.name)
    program.buffers, program.lines = list(recorded.buffers), recorded.lines
    program.arguments = list(recorded.arguments)
    for buffer in recorded.results:  # nobody asks for them
        program.buffers[buffer] = program.buffers[buffer]._replace(role=Role.TEMP)
    outcomes = program.temp("bool", (len(noted),))
    count = 0
    for op, out, ins, params, line in recorded:
        if op == "guard":
            continue
        program.emit(op, out, ins, params, line)
        if out is not None and out.buffer in noted and not out.shape:
            wrong, condition = outside(program, op, out, ins, line), noted[out.buffer]
            if condition is not None:
                chosen = program.temp("bool", ())
                program.emit("logical_and", chosen, (wrong, condition), None, line)
                wrong = chosen
            program.emit("copy", View(outcomes.buffer, count, (), ()), (wrong,), None, line)
            count += 1
    whole = View(outcomes.buffer, 0, (count,), (1,))
    if count:
        program.emit("guard", None, (whole,), False)
    return program
