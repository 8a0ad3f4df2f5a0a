"""Switching functions: what decides the branches of a right-hand side, with its derivatives.

A guard of a recorded program looks at comparisons, perhaps combined by logic, or at rounded numbers. Each comparison a < b has
the switching function a - b, each rounding the number that is rounded, each search in a grid the distances from its points.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final

import numpy as np

from ...derivatives.kernel import Kernel, Variant, empty_results
from ...ops import TABLE
from ...tape import Instruction, Program, Role
from ...transform.builder import FLOATS
from ...transform.forward import forward
from ...transform.passes import optimise
from ...transform.reverse import reverse
from ...views import View, broadcast
from .frozen import source_of
from .jumps import Gradient

__all__ = ["Switches", "guards_may_flip", "without_guards"]

CLOSE: Final = 1e-6  # what a continuous function changes by at most between neighbouring numbers
COMPARISONS: Final = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
ROUNDINGS: Final = ("floor", "ceil", "trunc", "rint")
QUOTIENTS: Final = ("floor_divide", "remainder", "fmod")
SIGNS: Final = ("sign", "heaviside")
STEPS: Final = (*ROUNDINGS, *QUOTIENTS, *SIGNS)


class Switches:
    """The switching functions of one way through the branches.

    Parameters
    ----------
    kernel : Kernel
        Of the right-hand side, derived by `derive`.
    second : callable
        Makes one derived by `derive_twice`.
    n, n_p : int
    """

    def __init__(self, kernel: Kernel, second: Callable[[], Kernel], n: int, n_p: int) -> None:
        self._kernel, self._second = kernel, cache(second)
        self._n, self._n_p = n, n_p
        program = kernel.program
        results = [program.buffers[b] for b in program.results]
        self._shapes = [buffer.shape or () for buffer in results]
        names = [buffer.name.partition(" ") for buffer in results]
        self._decide, self._lines = [_decision(name) for name, _, _ in names], [line for _, _, line in names]

    def seeing(self, others: Sequence[tuple[np.ndarray, np.ndarray]]) -> "Switches":
        """The same with other captured arrays in place of some: pairs of old and new."""
        return Switches(self._kernel.seeing(others), lambda: self._second().seeing(others), self._n, self._n_p)

    def changed(
        self, before: tuple[np.ndarray, float], after: tuple[np.ndarray, float], p: np.ndarray
    ) -> list[tuple[Gradient, Callable[[Gradient], Gradient]]]:
        """Of those that decide differently at two neighbouring states (x, t).

        Their gradients, before, and what gives the product of their second derivatives with a direction.
        One that is itself discontinuous there, as that of ``t - int(t) < p[0]`` at t = 1, follows another one.
        """
        found: list[tuple[Gradient, Callable[[Gradient], Gradient]]] = []
        for number, which in enumerate(self._which(before, after, p)):
            for at in which:
                seeds = self._zeros()
                seeds[number][tuple(at)] = 1.0
                found.append((self._run(*before, p, seeds)[1], partial(self._product, *before, p, seeds)))
        return found

    def lines_changed(self, before: tuple[np.ndarray, float], after: tuple[np.ndarray, float], p: np.ndarray) -> list[str]:
        """The source lines of those, in words."""
        changed = zip(self._lines, self._which(before, after, p), strict=True)
        return list(dict.fromkeys(line for line, which in changed if len(which)))

    def _which(self, before: tuple[np.ndarray, float], after: tuple[np.ndarray, float], p: np.ndarray) -> list[np.ndarray]:
        """Of each array of switching functions, the indices of those that decide differently."""
        nothing = self._zeros()
        values, others = self._run(*before, p, nothing)[0], self._run(*after, p, nothing)[0]
        return [
            np.argwhere((np.abs(other - value) <= CLOSE * (1 + np.abs(value))) & (decide(value) != decide(other)))
            for decide, value, other in zip(self._decide, values, others, strict=True)
        ]

    def _product(self, x: np.ndarray, t: float, p: np.ndarray, seeds: list[np.ndarray], direction: Gradient) -> Gradient:
        """The second derivatives of the switching functions, weighted by seeds, times a direction."""
        kernel, n, n_p = self._second(), self._n, self._n_p

        def filled(d_x: np.ndarray, d_p: np.ndarray, d_t: float) -> list[np.ndarray]:
            return [np.zeros(n), d_x.copy(), *([d_p.copy()] if n_p else []), np.array(d_t)]

        zeros, given, made = (
            filled(np.zeros(n), np.zeros(n_p), 0.0),
            filled(direction.x, direction.p, direction.t),
            filled(np.zeros(n), np.zeros(n_p), 0.0),
        )
        values = (np.zeros(n), x.copy(), *((p,) if n_p else ()), t)

        def assemble(variant: Variant) -> list[Any]:
            return [*values, *zeros, *(s.copy() for s in seeds), *given, *made, *empty_results(variant)]

        kernel.run(values, assemble)
        return Gradient(made[1], made[2] if n_p else np.zeros(0), float(made[-1]))

    def _zeros(self) -> list[np.ndarray]:
        return [np.zeros(shape) for shape in self._shapes]

    def _run(self, x: np.ndarray, t: float, p: np.ndarray, seeds: list[np.ndarray]) -> tuple[list[np.ndarray], Gradient]:
        values = self._zeros()
        x_bar, p_bar, t_bar = np.zeros(self._n), np.zeros(self._n_p), np.zeros(())
        parameters, shadows = ((p,), (p_bar,)) if self._n_p else ((), ())
        dx, dx_bar = np.zeros(self._n), np.zeros(self._n)
        self._kernel(dx, x.copy(), *parameters, t, dx_bar, x_bar, *shadows, t_bar, *(s.copy() for s in seeds), *values)
        return values, Gradient(x_bar, p_bar, float(t_bar))

    @staticmethod
    def derive(program: Program) -> Program:
        """The program of the switching functions, with cotangents of everything."""
        found = _switching_functions(program)
        return reverse(found, range(len(found.arguments)))

    @staticmethod
    def derive_twice(program: Program) -> Program:
        """The program of the tangents of these cotangents."""
        count = len(program.arguments)
        return forward(optimise(Switches.derive(program)), range(2 * count), None)


def guards_may_flip(program: Program) -> bool:
    """Whether a guard may look at something that changes during a solve: at x or t, not at p and captured arrays alone.

    Nobody knows what a call reads. Captured arrays do not change: those that carry values from call to call are not recorded.
    """
    rows = [(op, out.buffer, ins) for op, out, ins in zip(program.op, program.out, program.ins, strict=True) if out is not None]
    moving = {program.arguments[1], program.arguments[-1]}
    moving |= {out for op, out, _ in rows if op == "call"}
    before = -1
    while before != len(moving):  # more than once only where memory is written again
        before = len(moving)
        moving |= {out for _, out, ins in rows if any(view.buffer in moving for view in ins)}
    guarded = (ins for op, ins in zip(program.op, program.ins, strict=True) if op == "guard")
    return any(view.buffer in moving for ins in guarded for view in ins)


def without_guards(program: Program) -> Program:
    """The way through the branches, taken everywhere: what a right-hand side is on one side of a switch, continued."""
    return program.replaced([instruction for instruction in program if instruction.op != "guard"])


def _switching_functions(program: Program) -> Program:
    """The program with one result for each comparison and rounding of floats on which a guard may depend."""
    wanted = _deciding(program)
    found = program.empty_like()
    for number, instruction in enumerate(program):
        if instruction.op == "guard":
            continue
        if number in wanted:  # before it, as it may overwrite an operand
            _emit_switching_function(found, instruction)
        found.append(instruction)
    return found


def _deciding(program: Program) -> set[int]:
    """The instructions that make of floats what the guards look at, and all that make integers of floats."""
    needed: set[int] = set()
    deciding: set[int] = set()
    rows = list(program)
    for number in range(len(rows) - 1, -1, -1):
        op, out, ins, _, _ = rows[number]
        if op == "guard":
            needed.add(ins[0].buffer)
            continue
        if out is None or not (out.buffer in needed or (op == "cast" and program.dtype(out) == "int64")):
            continue
        needed.update(view.buffer for view in ins)  # of floats too: what decides may itself jump
        is_step = program.dtype(out) not in FLOATS and (op in TABLE or _is_search(rows[number]))
        if (is_step or op in STEPS) and any(program.dtype(view) == "float64" for view in ins):
            deciding.add(number)
    return deciding


def _is_search(instruction: Instruction) -> bool:
    """Whether it is a search of numbers in one sorted grid: each compares with all of the grid."""
    return instruction.op == "searchsorted" and len(instruction.ins[0].shape) == 1


def _decision(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """What a switching function decides by its value; a comparison also by which side its root belongs to."""
    ufunc: np.ufunc = getattr(np, name)
    return (lambda value: ufunc(value, 0.0)) if name in COMPARISONS else ufunc


def _emit_switching_function(found: Program, instruction: Instruction) -> None:
    """Emit a result, named for the function of NumPy by which it decides, and for its source line."""
    source = source_of(found, instruction)
    ins = [view for view in instruction.ins if found.dtype(view) == "float64"]
    if _is_search(instruction):
        grid, values = instruction.ins
        shape = (*values.shape, *grid.shape)
        name = "greater" if instruction.params == "left" else "greater_equal"
        every = View(values.buffer, values.offset, shape, (*values.strides, 0))
        found.emit("sub", _result(found, name, source, shape), (every, broadcast(grid, shape)))
    elif instruction.op in QUOTIENTS:
        _emit_nearest_remainder(found, source, *ins)
    elif instruction.op in ROUNDINGS or instruction.op in SIGNS:
        name = instruction.op if instruction.op in ROUNDINGS else "sign"
        found.emit("copy", _result(found, name, source, ins[0].shape), (ins[0],))
    elif len(ins) == 2:
        name = instruction.op if instruction.op in COMPARISONS else "sign"
        found.emit("sub", _result(found, name, source, ins[0].shape), (ins[0], ins[1]))
    elif instruction.op == "cast" and _origin(found, ins[0]) not in STEPS:
        found.emit("copy", _result(found, "trunc", source, ins[0].shape), (ins[0],))


def _origin(found: Program, view: View) -> str:
    """The last operation that made a number: a rounding, perhaps, before it became an integer."""
    return next((op for op, out in zip(reversed(found.op), reversed(found.out), strict=True) if out == view), "")


def _emit_nearest_remainder(found: Program, source: str, x: View, y: View) -> None:
    """Emit what is left of x beyond the nearest multiple of y: its sign changes, without rounding, where x // y jumps."""

    def emit(op: str, *ins: View, dtype: str = "float64") -> View:
        made = found.temp(dtype, x.shape)
        found.emit(op, made, ins)
        return made

    rest = emit("fmod", x, y)
    size = emit("abs", rest)
    is_far = emit("greater", emit("add", size, size), emit("abs", y), dtype="bool")
    beyond = emit("sub", rest, emit("copysign", y, rest))
    found.emit("where", _result(found, "greater_equal", source, x.shape), (is_far, beyond, rest))


def _result(found: Program, name: str, source: str, shape: tuple[int, ...]) -> View:
    return found.bound("float64", shape, Role.RESULT, f"{name} {source}")
