"""The instructions of a program as NumPy columns, for passes that look at many instructions at once."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from ..._places import aligned, kinds, may_roll, numbered, views_in_columns
from ...tape import Program

__all__ = ["OPERANDS", "Columns", "combined"]

OPERANDS: Final = 4  # columns of views, at least: the result, then up to three operands; a call may have more


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
        n, buffers = len(program), len(program.buffers)
        rows = max(OPERANDS, 1 + max(map(len, program.ins), default=0))
        self.buffer = np.full((rows, n), -1)
        self.offset = np.zeros((rows, n), dtype=np.int64)
        layout = np.zeros((rows, n), dtype=np.int64)
        views_in_columns(program.out, program.ins, self.buffer, self.offset, layout)
        kind = np.full(buffers + 1, buffers)  # the last one where there is no view
        self.size = np.zeros(buffers, dtype=np.int64)
        self.is_temp, self.is_number = np.zeros(buffers, dtype=bool), np.zeros(buffers, dtype=bool)
        kinds(program.buffers, kind[:-1], self.size, self.is_temp.view(np.int8), self.is_number.view(np.int8))
        ops = _numbered(program.op)
        self._is_copy = ops == (ops[program.op.index("copy")] if "copy" in program.op else -1)
        after_split = np.arange(n) >= (n if program.split is None else program.split)
        self.signature = combined(
            [ops, _numbered(program.params), np.array(program.line) + 1, after_split.astype(np.int64),
             *layout, *kind[self.buffer]]
        )  # fmt: skip
        self._writes(n, buffers)

    def aligned(self, start: int, period: int) -> int:
        """Where an iteration begins: the first position that the fewest temporaries reach across."""
        return aligned(self.buffer, self.first, self.is_temp.view(np.int8), start, period)

    def may_roll(self, start: int, period: int, count: int, erratic: float, steps: int, least: int) -> bool:
        """Whether a region may have loops; False is sure, at a hundredth of the price of looking for them.

        There are slots of which at most this part of the steps is erratic, or gathers of more than so many steps, and all the
        former go on as before for `least` iterations together.
        """
        marks = self.is_temp.view(np.int8), self.is_number.view(np.int8), self._is_copy.view(np.int8)
        where = start, period, count
        return may_roll(self.buffer, self.offset, self.first, self.last, *marks, *where, erratic, steps, least)

    def _writes(self, n: int, buffers: int) -> None:
        written = np.flatnonzero(self.buffer[0] >= 0)
        targets = self.buffer[0, written]
        self.first, self.last = np.full(buffers, n), np.full(buffers, -1)
        self.last[targets] = written
        self.first[targets[::-1]] = written[::-1]  # of repeated indices, the last assignment holds


def _numbered(items: list[Any]) -> np.ndarray:
    numbers = np.empty(len(items), dtype=np.int64)
    numbered(items, numbers)
    return numbers


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
