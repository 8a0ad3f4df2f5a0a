"""The instructions of a program as NumPy columns, for passes that look at many instructions at once."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from itertools import chain
from operator import itemgetter
from typing import Final

import numpy as np

from ...tape import Buffer, Program, Role
from ...views import View

__all__ = ["OPERANDS", "Columns", "combined"]

OPERANDS: Final = 4  # columns of views, at least: the result, then up to three operands; a call may have more
_ABSENT: Final = View(-1, 0, (), ())


class Columns:
    """A program in columns.

    Attributes
    ----------
    buffer, offset : ndarray of int64, (OPERANDS, n)
        Of the result (row 0) and the operands of each instruction; buffer -1 where there is none.
    signature : ndarray of int64, (n,)
        Equal for instructions that differ at most in which temporaries, constants and offsets they use.
    first, last : ndarray of int64, (buffers,)
        The first and the last instruction that writes each buffer; n and -1 for none.
    is_temp, is_number : ndarray of bool, (buffers,)
        Temporaries, and constants of one element.
    size : ndarray of int64, (buffers,)
    """

    def __init__(self, program: Program) -> None:
        n = len(program)
        views, row, position = _flat(program)
        rows = max(OPERANDS, 1 + max(map(len, program.ins), default=0))
        self.buffer = np.full((rows, n), -1)
        self.offset = np.zeros((rows, n), dtype=np.int64)
        layout = np.zeros((rows, n), dtype=np.int64)
        self.buffer[row, position] = np.fromiter(map(itemgetter(0), views), np.int64, len(views))
        self.offset[row, position] = np.fromiter(map(itemgetter(1), views), np.int64, len(views))
        layout[row, position] = _numbered(map(itemgetter(2, 3), views), len(views))
        buffers = len(program.buffers)
        kind = _numbered(chain(map(_kind, range(buffers), program.buffers), [None]), buffers + 1)
        after_split = np.arange(n) >= (n if program.split is None else program.split)
        self.signature = combined(
            [_numbered(program.op, n), _numbered(program.params, n), np.array(program.line) + 1, after_split.astype(np.int64),
             *layout, *kind[self.buffer]]
        )  # fmt: skip
        self._writes(n, buffers)
        self.is_temp = np.array([buffer.role is Role.TEMP for buffer in program.buffers])
        self.is_number = np.array([buffer.role is Role.CONSTANT and buffer.size == 1 for buffer in program.buffers])
        self.size = np.array([buffer.size for buffer in program.buffers])

    def _writes(self, n: int, buffers: int) -> None:
        written = np.flatnonzero(self.buffer[0] >= 0)
        targets = self.buffer[0, written]
        self.first, self.last = np.full(buffers, n), np.full(buffers, -1)
        self.last[targets] = written
        self.first[targets[::-1]] = written[::-1]  # of repeated indices, the last assignment holds


def _flat(program: Program) -> tuple[list[View], np.ndarray, np.ndarray]:
    """All views, and for each whether it is a result (0) or which operand (1, 2, 3), and of which instruction."""
    n = len(program)
    views = [_ABSENT if out is None else out for out in program.out]
    views += chain.from_iterable(program.ins)
    arity = np.fromiter(map(len, program.ins), np.int64, n)
    instruction = np.arange(n)
    position = np.concatenate([instruction, np.repeat(instruction, arity)])
    start = np.cumsum(arity) - arity
    operand = np.arange(len(views) - n) - np.repeat(start, arity)
    return views, np.concatenate([np.zeros(n, dtype=np.int64), operand + 1]), position


def _kind(number: int, buffer: Buffer) -> Hashable:
    """Equal for temporaries of the same dtype and size, and for constants of the same dtype."""
    if buffer.role is Role.TEMP:
        return buffer.dtype, buffer.size
    return buffer.dtype if buffer.role is Role.CONSTANT else number


def _numbered(items: Iterable[Hashable], count: int) -> np.ndarray:
    """Number the distinct items in the order in which they come."""
    numbers: defaultdict[Hashable, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    return np.fromiter(map(numbers.__getitem__, items), np.int64, count)


def combined(columns: Iterable[np.ndarray]) -> np.ndarray:
    """One column of numbers, equal where all of the columns of non-negative numbers are equal."""
    result, bound = None, 1
    for column in columns:
        distinct = int(column.max(initial=0)) + 1
        if result is None:
            result, bound = column, distinct
            continue
        if bound * distinct >= 2**62:
            result = np.unique(result, return_inverse=True)[1]
            bound = int(result.max(initial=0)) + 1
        result, bound = result * distinct + column, bound * distinct
    assert result is not None
    return result
