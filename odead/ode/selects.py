"""Switches that are recorded as values: `np.where`, steps, and an `if` per element, which the recording turns into `where`.

They are not located as the branches of `switches` are. Where the right-hand side jumps at the instant of the switch, the
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
AGREE: Final = 1e-9  # a change of the slope at the switch, relative to its size on the way, that is rounding or less: no jump


def observe_selects(program: Program) -> Program:
    """The program with a result for each switch: its condition; for a step its value."""
    observed = program.empty_like()
    for instruction in program:
        if instruction.op == "where" and _varies(program, instruction):
            _keep(observed, instruction, instruction.ins[0])
        observed.append(instruction)
        if instruction.op in STEPS and instruction.out is not None:
            _keep(observed, instruction, instruction.out)
    return observed


def _varies(program: Program, instruction: Instruction) -> bool:
    return instruction.out is not None and program.dtype(instruction.out) in FLOATS


def _keep(observed: Program, instruction: Instruction, view: View) -> None:
    source = str(observed.lines[instruction.line]) if instruction.line >= 0 else "an unknown line"
    result = observed.bound(observed.dtype(view), view.shape, Role.RESULT, source)
    observed.emit("copy", result, (view,), None, instruction.line)


class _Seen(NamedTuple):
    """What the switches of a right-hand side were at one point, and its slope there."""

    variant: Variant
    slope: np.ndarray
    values: list[np.ndarray]

    def switches(self) -> Iterator[tuple[str, np.ndarray]]:
        """Source line, condition or step."""
        program = self.variant.executable.program
        for buffer, value in zip(program.results, self.values, strict=True):
            yield program.buffers[buffer].name, np.ravel(value)


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
        slope = np.empty(x.size)
        arguments = (slope, np.ascontiguousarray(x), *p, float(time))

        def assemble(variant: Variant) -> list[object]:
            values[:] = empty_results(variant)
            return [*arguments, *values]

        return _Seen(kernel.run(arguments, assemble), slope, values)

    found: dict[str, None] = {}
    points = [seen(time, x) for time, x in zip(t, y.T, strict=True)]
    negligible = AGREE * max((np.abs(point.slope).max(initial=0.0) for point in points), default=0.0)
    for k in range(len(points) - 1):
        before, after = points[k], points[k + 1]
        if before.variant is not after.variant:
            continue  # a branch, which is located
        for number, ((line, a), (_, b)) in enumerate(zip(before.switches(), after.switches(), strict=True)):
            flipped = np.flatnonzero(a != b)
            if line in found or not flipped.size:
                continue
            element = int(flipped[0])
            low, high = (t[k], y[:, k]), (t[k + 1], y[:, k + 1])
            slopes = [before.slope, after.slope]
            for _ in range(BISECTIONS):
                middle = (0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1]))
                here = seen(*middle)
                if here.variant is not before.variant:
                    break
                if list(here.switches())[number][1][element] == a[element]:
                    low, slopes[0] = middle, here.slope
                else:
                    high, slopes[1] = middle, here.slope
            if np.abs(slopes[1] - slopes[0]).max(initial=0.0) > negligible:
                found[line] = None
    return list(found)
