"""What a right-hand side must not do."""

from collections.abc import Sequence

import numpy as np

from ...errors import ArgumentValueError, TracingError
from ...tape import Program, Role
from ...views import View

__all__ = ["refuse_captured", "validate_arguments", "validate_output"]


def validate_arguments(program: Program, name: str) -> None:
    """Check that nothing is written into x, p and t."""
    for position, what in enumerate(("x", "p", "t")[: len(program.arguments) - 1], start=1):
        buffer = program.arguments[position]
        for out, line in zip(program.out, program.line, strict=True):
            if out is not None and out.buffer == buffer:
                raise ArgumentValueError(
                    f"rhs: {name} writes into {what}, which belongs to the solver{_at(program, line)}; "
                    f"work on a copy, and check the order of the parameters: rhs(dx, x, p, t) or rhs(x, p, t)"
                )


def validate_output(program: Program, name: str, in_place: bool) -> None:
    """Check that every element of dx is written, and none read before."""
    dx = program.arguments[0]
    written = np.zeros(program.buffers[dx].size, dtype=bool)
    for out, ins, line in zip(program.out, program.ins, program.line, strict=True):
        for view in ins:
            if view.buffer == dx and not written[view.indices()].all():
                raise ArgumentValueError(
                    f"rhs: {name} reads dx before writing it{_at(program, line)}; dx holds nothing meaningful on entry, "
                    f"begin with dx[:] = 0 if you accumulate into it"
                )
        if out is not None and out.buffer == dx:
            written[out.indices()] = True
    if written.all():
        return
    missing = np.flatnonzero(~written)
    which = (
        "dx" if missing.size == written.size else f"dx[{', '.join(map(str, missing[:5]))}{', ...' if missing.size > 5 else ''}]"
    )
    hint = "write dx[:] = ... (dx = ... only binds a new name)" if in_place else "return a value for every state"
    raise ArgumentValueError(f"rhs: {name} leaves {which} untouched ({missing.size} of {written.size} elements); {hint}")


def _at(program: Program, line: int) -> str:
    return f" ({program.lines[line]})" if line >= 0 else ""


def refuse_captured(program: Program, arrays: Sequence[np.ndarray], argument: str) -> None:
    """Raise TracingError if an array that was passed is also read through a closure or global.

    Its derivative would miss that part.
    """
    for number, buffer in enumerate(program.buffers):
        if buffer.role is not Role.CAPTURED or buffer.data is None:
            continue
        if any(np.may_share_memory(buffer.data, array) for array in arrays):
            where = next((line for ins, line in zip(program.ins, program.line, strict=True) if _reads(ins, number)), -1)
            raise TracingError(
                f"{program.name} reads the array passed as {argument} through a closure or global{_at(program, where)}, so its "
                f"derivative would miss that part; use the parameter instead"
            )


def _reads(ins: Sequence[View], buffer: int) -> bool:
    return any(view.buffer == buffer for view in ins)
