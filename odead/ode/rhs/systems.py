"""The systems that the compiled loop steps, made from a compiled right-hand side."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..._system import Cotangents, Recorded, Sums, Tangents
from ...derivatives.kernel import Kernel, Variant
from .rhs import CompiledRhs

__all__ = ["adding", "behind", "cotangents", "kernel_along", "recorded", "tangents"]


def recorded(rhs: CompiledRhs, x: np.ndarray, p: np.ndarray, t: float) -> Recorded:
    """The right-hand side itself, on the way through its branches taken at these values."""
    first, find = _tapes(rhs.value_kernel, x, p, t)
    return Recorded(first, rhs.n, p, find)


def tangents(
    rhs: CompiledRhs, x: np.ndarray, p: np.ndarray, t: float, directions: np.ndarray, *, saves: bool = False
) -> Tangents:
    """The right-hand side with one sensitivity for each of the (W, n_p) directions of p.

    One that saves for the way back is for probes, see `Direction`: alone, that has the matrices of `CompiledRhs.ranked`.
    """
    if saves and rhs.saving is not None:
        is_ranked = len(directions) == 1 and rhs.ranked is not None and directions.any()
        kernel = rhs.ranked_kernel if is_ranked else rhs.saving_kernel(len(directions))
        return Tangents(kernel.first.executable.tape, rhs.n, p, directions, None, rhs.saving.size)
    first, find = _tapes(kernel_along(rhs, directions), x, p, t)
    return Tangents(first, rhs.n, p, directions, find)


def kernel_along(rhs: CompiledRhs, directions: np.ndarray) -> Kernel:
    """That of columns, if these are the directions of columns."""
    first = directions[: rhs.n_p]
    by_p = rhs.n_p > 0 and np.array_equal(first, np.eye(rhs.n_p))
    if directions[rhs.n_p if by_p else 0 :].any():
        return rhs.tangent_kernel(len(directions))
    return rhs.column_kernel(len(directions), by_p=by_p)


def cotangents(rhs: CompiledRhs, x: np.ndarray, p: np.ndarray, t: float) -> Cotangents:
    """The cotangents of the right-hand side."""
    first, find = _tapes(rhs.cotangent_kernel, x, p, t, leave_out=1)
    return Cotangents(first, rhs.n, p, find)


def adding(rhs: CompiledRhs, x: np.ndarray, p: np.ndarray, t: float) -> Cotangents:
    """The same, which leave what they can add up for the end of the way back."""
    whole = cotangents(rhs, x, p, t)
    if rhs.totals is None:
        return whole
    later = Sums(rhs.sums.tape, whole, rhs.totals.size, True)
    return Cotangents(rhs.adding_kernel.first.executable.tape, rhs.n, p, None, 0, whole, later)


def behind(rhs: CompiledRhs, whole: Cotangents, p: np.ndarray) -> Cotangents:
    """The cotangents from what an evaluation has saved."""
    assert rhs.saving is not None, "nothing is saved"
    tape, deferral = rhs.behind_kernel.first.executable.tape, rhs.deferral
    later = None if deferral is None else Sums(rhs.sums.tape, whole, deferral.size)
    return Cotangents(tape, rhs.n, p, None, rhs.saving.size, whole, later)


def _tapes(
    kernel: Kernel, x: np.ndarray, p: np.ndarray, t: float, leave_out: int = 0
) -> tuple[Any, Callable[[np.ndarray, float], Any]]:
    """The tape for (x, t), and a function of (x, t) that gives one whose guards hold there, recorded anew if need be.

    `leave_out` is how many of the first arguments of the right-hand side the tape does not bind.
    """

    def find(x: np.ndarray, t: float) -> Any:
        arguments = [np.zeros(x.size), x, *((p,) if p.size else ()), t]
        values = arguments[leave_out:]

        def assemble(variant: Variant) -> list[Any]:
            program = variant.executable.program
            shadows = program.arguments[len(values) :]
            return [*values, *(np.zeros(program.buffers[b].shape or ()) for b in shadows)]

        return kernel.run(arguments, assemble).executable.tape

    return find(x, t) if kernel.variant.guarded else kernel.variant.executable.tape, find
