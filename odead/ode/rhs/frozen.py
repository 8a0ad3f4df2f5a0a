"""Switches recorded as values - `np.where`, steps, kinks, comparisons used as numbers, lookups - and how they become branches.

Each has *keys*, boolean or integer arrays: as long as they stay what they are, it is smooth. A frozen switch reads its keys
from arrays of ours, with guards that they are these; from there on it is a branch like any other, located (`piecewise`).
One program serves all sides: they differ by what is in these arrays (`sides`).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from ...structured.movement import SEAMLESS
from ...tape import Instruction, Program, Role
from ...transform.builder import FLOATS
from ...views import View
from .values import without_values

__all__ = ["freeze", "keys_alone", "lines_of_keys", "observe_keys", "source_of"]

# A kink is smooth as long as one comparison of its operands, or of the only one with 0, stays what it is.
KINKS: Final = {
    "abs": "greater", "maximum": "greater_equal", "fmax": "greater_equal", "minimum": "less_equal", "fmin": "less_equal",
}  # fmt: skip
SIGNS: Final = frozenset({"sign", "heaviside"})
ROUNDINGS: Final = frozenset({"floor", "ceil", "trunc", "rint"})
QUOTIENTS: Final = frozenset({"floor_divide", "remainder", "fmod"})
LOOKUPS: Final = frozenset({"take", "take_along"})


def source_of(program: Program, instruction: Instruction) -> str:
    """The line of the user's code, in words."""
    return str(program.lines[instruction.line]) if instruction.line >= 0 else "an unknown line"


def observe_keys(program: Program, lines: frozenset[str] | None = None) -> Program:
    """The program with a result for each key of a switch, named for its source line; None: of all lines."""
    observed, moving = program.empty_like(), _moving(program)
    for instruction in program:
        source = source_of(program, instruction)
        if lines is None or source in lines:
            for view in _keys(observed, instruction, moving):
                result = observed.bound(observed.dtype(view), view.shape, Role.RESULT, source)
                observed.emit("copy", result, (view,), None, instruction.line)
        observed.append(instruction)
    return observed


def lines_of_keys(program: Program) -> list[str]:
    """The source line of each key of `keys_alone`."""
    results = [observed.buffers[b] for observed in [observe_keys(program)] for b in observed.results]
    return [buffer.name for buffer in results for _ in range(buffer.size)]


def keys_alone(program: Program) -> Program:
    """The keys as one vector of floats, bound in place of dx."""
    observed = without_values(observe_keys(program))
    results, observed.results = observed.results, []
    size = sum(observed.buffers[b].size for b in results)
    keys = observed.bound("float64", (size,), Role.ARGUMENT, "keys")
    observed.arguments.insert(0, observed.arguments.pop())
    offset = 0
    for number in results:
        buffer = observed.buffers[number]
        observed.buffers[number] = buffer._replace(role=Role.TEMP, shape=None)
        observed.emit("cast", View(keys.buffer, offset, (buffer.size,), (1,)), (observed.whole(number),))
        offset += buffer.size
    return observed


def freeze(program: Program, lines: frozenset[str]) -> tuple[Program, list[np.ndarray]]:
    """The program with the switches of some source lines as keys say, guarded, and the arrays from which it reads the keys.

    They are zeros here, in the order of the results of `observe_keys`.

    Parameters
    ----------
    program : Program
        Optimised.
    lines : frozenset of str
        As they are in warnings.
    """
    frozen, moving, arrays = program.empty_like(), _moving(program), []
    for instruction in program:
        views = _keys(frozen, instruction, moving) if source_of(program, instruction) in lines else []
        if not views:
            frozen.append(instruction)
            continue
        own = [np.zeros(view.shape, frozen.dtype(view)) for view in views]
        arrays += own
        keys = [_guarded(frozen, view, array, instruction.line) for view, array in zip(views, own, strict=True)]
        _replace(frozen, instruction, keys)
    return frozen, arrays


def _moving(program: Program) -> set[int]:
    """The buffers that depend on x or t, of the arguments dx, x, p (unless it is empty), t."""
    moving = {program.arguments[1], program.arguments[-1]}
    for out, ins in zip(program.out, program.ins, strict=True):
        if out is not None and any(view.buffer in moving for view in ins):
            moving.add(out.buffer)
    return moving


def _keys(program: Program, instruction: Instruction, moving: set[int]) -> list[View]:
    """Emit what makes the keys of an instruction; none if it is no switch that depends on x or t."""
    op, out, ins, params, line = instruction
    if out is None or program.dtype(out) not in FLOATS or params == SEAMLESS:
        return []
    if op == "where" or (op == "cast" and program.dtype(ins[0]) in ("bool", "int64")):
        return [ins[0]] if ins[0].buffer in moving else []
    if op in LOOKUPS:
        return [ins[1]] if ins[1].buffer in moving else []
    if not any(view.buffer in moving for view in ins):
        return []
    if op in SIGNS:
        return [_emit(program, test, "bool", (ins[0], _zero(program, ins[0])), line) for test in ("greater", "less")]
    if op in KINKS:
        other = ins[1] if len(ins) > 1 else _zero(program, ins[0])
        return [_emit(program, KINKS[op], "bool", (ins[0], other), line)]
    if op in ROUNDINGS:
        return [_rounded(program, op, ins, line)]
    if op in QUOTIENTS:  # without division: 6.3 / 2.1 is rounded to 3, but 3 * 2.1 > 6.3
        operands = tuple(_emit(program, "abs", program.dtype(out), (view,), line) for view in ins) if op == "fmod" else ins
        return [_rounded(program, "floor_divide", operands, line)]
    return []


def _emit(program: Program, op: str, dtype: str, ins: tuple[View, ...], line: int) -> View:
    made = program.temp(dtype, ins[0].shape)
    program.emit(op, made, ins, None, line)
    return made


def _rounded(program: Program, rounding: str, views: tuple[View, ...], line: int) -> View:
    return _emit(program, "cast", "int64", (_emit(program, rounding, program.dtype(views[0]), views, line),), line)


def _zero(program: Program, like: View) -> View:
    return program.constant(0.0, program.dtype(like), like.shape)


def _guarded(program: Program, key: View, array: np.ndarray, line: int) -> View:
    """A key as the array has it, with a guard that it is this one."""
    given = program.bound(program.dtype(key), key.shape, Role.CAPTURED, "keys", array)
    same = _emit(program, "equal", "bool", (key, given), line)
    program.emit("guard", None, (same,), True, line)
    return given


def _replace(program: Program, instruction: Instruction, keys: Sequence[View]) -> None:
    """Emit a switch with given keys."""
    op, out, ins, params, line = instruction
    assert out is not None
    dtype = program.dtype(out)
    if op == "where":
        program.emit("where", out, (keys[0], *ins[1:]), params, line)
    elif op in LOOKUPS:
        program.emit(op, out, (ins[0], keys[0]), params, line)
    elif op in KINKS:
        other = ins[1] if len(ins) > 1 else _emit(program, "neg", dtype, ins, line)
        program.emit("where", out, (keys[0], ins[0], other), None, line)
    elif op == "sign":
        program.emit("sub", out, (_cast(program, keys[0], dtype, line), _cast(program, keys[1], dtype, line)), None, line)
    elif op == "heaviside":  # at 0 the second operand
        at_zero_or_below = program.temp(dtype, out.shape)
        program.emit("where", at_zero_or_below, (keys[1], _zero(program, ins[0]), ins[1]), None, line)
        program.emit("where", out, (keys[0], program.constant(1.0, dtype, out.shape), at_zero_or_below), None, line)
    elif op in ("remainder", "fmod"):
        product = _emit(program, "mul", dtype, (ins[1], _cast(program, keys[0], dtype, line)), line)
        product = _emit(program, "copysign", dtype, (product, ins[0]), line) if op == "fmod" else product
        program.emit("sub", out, (ins[0], product), None, line)
    else:
        program.emit("cast", out, (keys[0],), None, line)


def _cast(program: Program, key: View, dtype: str, line: int) -> View:
    return _emit(program, "cast", dtype, (key,), line)
