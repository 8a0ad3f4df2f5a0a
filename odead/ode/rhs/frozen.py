"""Switches recorded as values - `np.where`, steps, comparisons used as numbers, lookups - and how they are made branches.

Each has *keys*, boolean or integer arrays: as long as they stay what they are, it is smooth. A frozen switch has its keys as
constants, with guards that they are these; from there on it is a branch like any other, which is located (`piecewise`).
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ...execute.compiled import Executable
from ...tape import Instruction, Program, Role
from ...transform.builder import FLOATS
from ...transform.passes import optimise
from ...views import View
from .values import without_values

__all__ = ["freeze", "keys_alone", "lines_of_keys", "observe_keys"]

SIGNS: Final = frozenset({"sign", "heaviside"})
ROUNDINGS: Final = frozenset({"floor", "ceil", "trunc", "rint"})
QUOTIENTS: Final = {"floor_divide": "floor", "remainder": "floor", "fmod": "trunc"}
LOOKUPS: Final = frozenset({"take", "take_along"})


def _source_of(program: Program, instruction: Instruction) -> str:
    """The line of the user's code, in words."""
    return str(program.lines[instruction.line]) if instruction.line >= 0 else "an unknown line"


def observe_keys(program: Program) -> Program:
    """The program with a result for each key of a switch, named for its source line."""
    return _observed(program, None)


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


def freeze(program: Program, values: Sequence[Any], lines: frozenset[str]) -> Program:
    """The program with the switches of some source lines as they are at these values, guarded.

    Parameters
    ----------
    program : Program
    values : sequence of array or float
        Of its arguments.
    lines : frozenset of str
        As they are in warnings.
    """
    program = optimise(program)
    keys = iter(_evaluated(_observed(program, lines), values))
    frozen, moving = program.empty_like(), _moving(program)
    for instruction in program:
        views = _keys(frozen, instruction, moving) if _source_of(program, instruction) in lines else []
        if views:
            _replace(frozen, instruction, [_guarded(frozen, view, next(keys), instruction.line) for view in views])
        else:
            frozen.append(instruction)
    return frozen


def _observed(program: Program, lines: frozenset[str] | None) -> Program:
    observed, moving = program.empty_like(), _moving(program)
    for instruction in program:
        source = _source_of(program, instruction)
        if lines is None or source in lines:
            for view in _keys(observed, instruction, moving):
                result = observed.bound(observed.dtype(view), view.shape, Role.RESULT, source)
                observed.emit("copy", result, (view,), None, instruction.line)
        observed.append(instruction)
    return observed


def _evaluated(observed: Program, values: Sequence[Any]) -> list[np.ndarray]:
    """The results of a program that returns nothing else."""
    own = [np.array(value) if isinstance(value, np.ndarray) else value for value in values]
    found = [np.empty(observed.buffers[b].shape or (), observed.buffers[b].dtype) for b in observed.results]
    Executable(optimise(observed)).run([*own, *found])
    return found


def _moving(program: Program) -> set[int]:
    """The buffers that depend on x or t, of the arguments dx, x, p (unless it is empty), t."""
    moving = {program.arguments[1], program.arguments[-1]}
    for out, ins in zip(program.out, program.ins, strict=True):
        if out is not None and any(view.buffer in moving for view in ins):
            moving.add(out.buffer)
    return moving


def _keys(program: Program, instruction: Instruction, moving: set[int]) -> list[View]:
    """Emit what makes the keys of an instruction; none if it is no switch that depends on x or t."""
    op, out, ins, _, line = instruction
    if out is None or program.dtype(out) not in FLOATS:
        return []
    if op == "where" or (op == "cast" and program.dtype(ins[0]) in ("bool", "int64")):
        return [ins[0]] if ins[0].buffer in moving else []
    if op in LOOKUPS:
        return [ins[1]] if ins[1].buffer in moving else []
    if not any(view.buffer in moving for view in ins):
        return []
    if op in SIGNS:
        zero = program.constant(0.0, program.dtype(ins[0]), ins[0].shape)
        return [_emit(program, test, "bool", (ins[0], zero), line) for test in ("greater", "less")]
    if op in ROUNDINGS:
        return [_rounded(program, op, ins[0], line)]
    if op in QUOTIENTS:
        return [_rounded(program, QUOTIENTS[op], _emit(program, "div", program.dtype(out), ins, line), line)]
    return []


def _emit(program: Program, op: str, dtype: str, ins: tuple[View, ...], line: int) -> View:
    made = program.temp(dtype, ins[0].shape)
    program.emit(op, made, ins, None, line)
    return made


def _rounded(program: Program, rounding: str, view: View, line: int) -> View:
    return _emit(program, "cast", "int64", (_emit(program, rounding, program.dtype(view), (view,), line),), line)


def _guarded(program: Program, key: View, value: np.ndarray, line: int) -> View:
    """The value of a key as a constant, with a guard that it is this one."""
    constant = program.constant(value, program.dtype(key))
    same = _emit(program, "equal", "bool", (key, constant), line)
    program.emit("guard", None, (same,), True, line)
    return constant


def _replace(program: Program, instruction: Instruction, keys: Sequence[View]) -> None:
    """Emit a switch with constant keys."""
    op, out, ins, params, line = instruction
    assert out is not None
    values = [_value_of(program, key) for key in keys]
    if op == "where" and values[0].all() == values[0].any():
        chosen = ins[1] if values[0].all() else ins[2]
        if chosen != out:
            program.emit("copy", out, (chosen,), None, line)
    elif op == "where":
        program.emit("where", out, (keys[0], *ins[1:]), params, line)
    elif op in LOOKUPS:
        program.emit(op, out, (ins[0], keys[0]), params, line)
    elif op in SIGNS:
        _replace_sign(program, instruction, keys)
    elif op in ("remainder", "fmod"):
        whole = _constant(program, values[0], out)
        product = _emit(program, "mul", program.dtype(out), (ins[1], whole), line)
        program.emit("sub", out, (ins[0], product), None, line)
    else:
        program.emit("copy", out, (_constant(program, values[0], out),), None, line)


def _replace_sign(program: Program, instruction: Instruction, keys: Sequence[View]) -> None:
    op, out, ins, _, line = instruction
    assert out is not None
    positive, negative = (_value_of(program, key) for key in keys)
    if op == "sign":
        program.emit("copy", out, (_constant(program, positive.astype(float) - negative, out),), None, line)
    elif (positive | negative).all():
        program.emit("copy", out, (_constant(program, positive, out),), None, line)
    else:  # at 0 the second operand
        at_zero = program.constant(~(positive | negative), "bool")
        program.emit("where", out, (at_zero, ins[1], _constant(program, positive, out)), None, line)


def _value_of(program: Program, key: View) -> np.ndarray:
    data = program.buffers[key.buffer].data
    assert data is not None
    return data.reshape(key.shape)


def _constant(program: Program, value: np.ndarray, like: View) -> View:
    return program.constant(value, program.dtype(like))
