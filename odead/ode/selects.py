"""Switches that are recorded as values: `np.where`, steps, and an `if` per element, which the recording turns into `where`.

They are not located as the branches of `switches` are. Where their two sides differ at the instant of the switch, the
sensitivities lack a jump, so that a solve that met one says so.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from ..derivatives.kernel import Kernel, Variant, empty_results
from ..tape import Instruction, Program, Role
from ..transform.builder import FLOATS
from ..views import View

__all__ = ["discontinuous_selects", "observe_selects"]

STEPS: Final = frozenset({"sign", "heaviside", "floor", "ceil", "trunc", "rint", "floor_divide"})
BISECTIONS: Final = 50  # down to neighbouring floats of the time
AGREE: Final = 1e-3  # a difference of the sides this much smaller at the switch than beside it belongs to a kink


def observe_selects(program: Program) -> Program:
    """The program with results for each switch: condition and difference of the sides; for a step its value."""
    observed = program.empty_like()
    for instruction in program:
        if instruction.op == "where" and _varies(program, instruction):
            condition, left, right = instruction.ins
            _keep(observed, "copy", instruction, condition.shape, "bool", (condition,))
            _keep(observed, "sub", instruction, left.shape, program.dtype(left), (left, right))
        observed.append(instruction)
        if instruction.op in STEPS and instruction.out is not None:
            _keep(observed, "copy", instruction, instruction.out.shape, program.dtype(instruction.out), (instruction.out,))
    return observed


def _varies(program: Program, instruction: Instruction) -> bool:
    return instruction.out is not None and program.dtype(instruction.out) in FLOATS


def _keep(
    observed: Program, op: str, instruction: Instruction, shape: tuple[int, ...], dtype: str, ins: tuple[View, ...]
) -> None:
    source = str(observed.lines[instruction.line]) if instruction.line >= 0 else "an unknown line"
    observed.emit(op, observed.bound(dtype, shape, Role.RESULT, source), ins, None, instruction.line)


class _Seen(NamedTuple):
    """What the switches of a right-hand side were at one point."""

    variant: Variant
    values: list[np.ndarray]

    def switches(self) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
        """Source line, condition or step, and the difference of the sides."""
        program = self.variant.executable.program
        results = iter(zip(program.results, self.values, strict=True))
        for buffer, value in results:
            is_condition = program.buffers[buffer].dtype == "bool"
            yield program.buffers[buffer].name, value, next(results)[1] if is_condition else None


def discontinuous_selects(kernel: Kernel, t: np.ndarray, y: np.ndarray, p: tuple[np.ndarray, ...]) -> list[str]:
    """The source lines of switches that flip between the columns of `y` while their two sides differ.

    Parameters
    ----------
    kernel : Kernel
        Derived by `observe_selects`.
    t : array, shape (m,)
    y : array, shape (n, m)
    p : tuple of array
        The parameters, if there are any.

    Returns
    -------
    list of str
        Each line once. Between two columns the states are taken on the straight line.
    """

    def seen(time: float, x: np.ndarray) -> _Seen:
        values: list[np.ndarray] = []
        arguments = (np.empty(x.size), np.ascontiguousarray(x), *p, float(time))

        def assemble(variant: Variant) -> list[object]:
            values[:] = empty_results(variant)
            return [*arguments, *values]

        return _Seen(kernel.run(arguments, assemble), values)

    found: dict[str, None] = {}
    points = [seen(time, x) for time, x in zip(t, y.T, strict=True)]
    for k in range(len(points) - 1):
        before, after = points[k], points[k + 1]
        if before.variant is not after.variant:
            continue  # a branch, which is located
        for number, ((line, a, gap_a), (_, b, gap_b)) in enumerate(zip(before.switches(), after.switches(), strict=True)):
            flipped = np.flatnonzero(np.ravel(a) != np.ravel(b))
            if line in found or not flipped.size:
                continue
            if gap_a is None or gap_b is None:
                found[line] = None  # a step
                continue
            element = int(flipped[0])
            beside = max(abs(float(np.ravel(gap_a)[element])), abs(float(np.ravel(gap_b)[element])))
            low, high = (t[k], y[:, k]), (t[k + 1], y[:, k + 1])
            gap = np.inf
            for _ in range(BISECTIONS):
                middle = (0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1]))
                here = seen(*middle)
                if here.variant is not before.variant:
                    break
                _, condition, difference = list(here.switches())[number]
                assert difference is not None
                gap = abs(float(np.ravel(difference)[element]))
                low, high = (middle, high) if np.ravel(condition)[element] == np.ravel(a)[element] else (low, middle)
            if gap > AGREE * beside:
                found[line] = None
    return list(found)
