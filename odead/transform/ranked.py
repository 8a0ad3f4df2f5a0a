"""Products of vectors with matrices that are known to be of rank one: those of a direction, not those of a derivative.

The sensitivity in the error test of an adjoint moves all parameters in one direction, which may be chosen. Where a matrix of
parameters multiplies vectors, the sensitivity has the product of its direction with the same vector: one more pass over as many
numbers, a third of the time of a step through a network of 100 x 100 weights. If the direction of the matrix is D = u v^T, so
that D = D[:, 0] D[0, :] / D[0, 0], the product is D[:, 0] times a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..tape import Program
from ..views import View, broadcast

__all__ = ["Ranked"]

_LEAST: Final = 512  # elements of a matrix; from 1024 on, Rodas5P took 7 % longer for layers of 100 beside some of 8


@dataclass(frozen=True)
class Ranked:
    """A program that takes matrices inside one of its arguments to be of rank one, with an element that is not 0 at the corner.

    Parameters
    ----------
    program : Program
    matrices : sequence of int array
        Where the elements of each are in the argument. None of them meet.
    """

    program: Program
    matrices: Sequence[np.ndarray]

    @staticmethod
    def of(program: Program, target: int) -> "Ranked | None":
        """Of argument number `target` of a program; None where no large matrices inside it are multiplied with vectors."""
        buffer = program.arguments[target]
        owner = np.full(program.buffers[buffer].size, -1)  # the number of the matrix
        matrices: list[np.ndarray] = []
        new = program.empty_like()
        for instruction in program:
            op, out, ins, _, line = instruction
            place = _matrix(ins, buffer) if op == "matmul" else None
            if place is None or out is None or not _is_one_of(ins[place], owner, matrices):
                new.append(instruction)
            elif place == 0:
                _emit_product(new, out, ins[0], ins[1], line)
            else:
                _emit_product(new, _turned(out), _turned(ins[1]), _turned(ins[0]), line)
        return Ranked(new, matrices) if matrices else None


def _matrix(ins: Sequence[View], buffer: int) -> int | None:
    """Which operand of a product is a large matrix inside the buffer, if the other one is a vector."""
    x, y = ins
    if len(x.shape) != 2 or len(y.shape) != 2:
        return None
    if x.buffer == buffer and y.buffer != buffer and y.shape[1] == 1 and min(x.shape) > 1 and x.size >= _LEAST:
        return 0
    if y.buffer == buffer and x.buffer != buffer and x.shape[0] == 1 and min(y.shape) > 1 and y.size >= _LEAST:
        return 1
    return None


def _is_one_of(view: View, owner: np.ndarray, matrices: list[np.ndarray]) -> bool:
    """Whether it is one of the matrices, perhaps transposed, or has become one since it meets none."""
    where = view.indices().reshape(view.shape)
    found = np.unique(owner[where])
    if found.size != 1:
        return False
    if found[0] >= 0:
        known = matrices[found[0]]
        return np.array_equal(known, where) or np.array_equal(known, where.T)
    owner[where] = len(matrices)
    matrices.append(where)
    return True


def _turned(view: View) -> View:
    return view._replace(shape=view.shape[::-1], strides=view.strides[::-1])


def _emit_product(program: Program, out: View, matrix: View, vector: View, line: int) -> None:
    """The product out, shape (m, 1), of a matrix (m, k) of rank one and a vector (k, 1)."""
    (m, k), (down, along) = matrix.shape, matrix.strides
    first = View(matrix.buffer, matrix.offset, (1, k), (0, along))
    column = View(matrix.buffer, matrix.offset, (m, 1), (down, 0))
    corner = View(matrix.buffer, matrix.offset, (1, 1), (0, 0))
    row, number, dense = (program.temp("float64", shape) for shape in ((1, k), (1, 1), (m, 1)))
    program.emit("div", row, (first, broadcast(corner, (1, k))), line=line)
    program.emit("copy", dense, (column,), line=line)  # once for all runs, as the row
    program.emit("matmul", number, (row, vector), line=line)
    program.emit("mul", out, (dense, broadcast(number, (m, 1))), line=line)
