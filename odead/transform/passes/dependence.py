"""Dependence: whether the iterations of a region may run instruction by instruction instead of one after the other.

*Loop distribution* runs slot 0 of every iteration, then slot 1 of every iteration, and so on. Two accesses to one element, at
least one of them a write, must keep their order; so an access may not follow one of an earlier iteration that has a
later slot, or the same slot, which will be a single instruction. The test is exact: it looks at every element.

Slots that must stay in a loop form a *block*: its iterations run one after the other, as a whole, where its first slot was.
"""

from typing import NamedTuple

import numpy as np

from ...views import View

__all__ = ["Accesses", "Blocks", "Violations"]


class Blocks:
    """Disjoint ranges of slots that stay loops.

    Attributes
    ----------
    group : ndarray of int64, (slots,)
        The first slot of the block of each slot; the slot itself outside of blocks.
    inside : ndarray of bool, (slots,)
    """

    def __init__(self, slots: int) -> None:
        self.group = np.arange(slots)
        self.end = np.arange(slots)
        self.inside = np.zeros(slots, dtype=bool)

    def add(self, first: int, last: int) -> None:
        """Make the slots from `first` to `last`, and the blocks they touch, one block."""
        first, last = int(self.group[first]), int(self.end[last])
        self.group[first : last + 1] = first
        self.end[first : last + 1] = last
        self.inside[first : last + 1] = True


class Violations(NamedTuple):
    """Accesses that distribution would put before one that they must follow."""

    iteration: np.ndarray
    slot: np.ndarray
    after: np.ndarray  # the slot, or first slot of the block, that must come first


class Accesses:
    """All accesses to memory that a region writes, by element, then in program order.

    Parameters
    ----------
    element : ndarray of int64, (columns, iterations, slots)
        A number of the first element of each view, different for different elements of all buffers; column 0 is written,
        the others are read.
    counted : ndarray of bool, (columns, iterations, slots)
        Which of them to look at.
    stretch : ndarray of int64, (iterations,)
        Accesses of iterations with different numbers are not compared.
    layouts : list of list of (View or None)
        By column and slot: a view with the shape and strides of what is accessed.
    """

    def __init__(self, element: np.ndarray, counted: np.ndarray, stretch: np.ndarray, layouts: list[list[View | None]]) -> None:
        slots = element.shape[2]
        column, iteration, slot, element = _expanded(element, counted, layouts)
        cell = stretch[iteration] * (element.max(initial=0) + 1) + element
        order = iteration * slots + slot
        by = np.lexsort((order, cell))
        cell, order, write = cell[by], order[by], column[by] == 0
        starts = np.flatnonzero(_changes(cell) | _changes(order))  # one entry per element and instruction
        self._write = np.logical_or.reduceat(write, starts) if len(starts) else write
        self._iteration, self._slot = np.divmod(order[starts], slots)
        self._opens = _changes(cell[starts])  # the first access to its element

    def violations(self, blocks: Blocks) -> Violations:
        group = blocks.group[self._slot] + 1
        before = self._greatest_before(group)
        written_before = self._greatest_before(np.where(self._write, group, 0))
        after = np.where(self._write, before, written_before)
        wrong = (after > group) | ((after == group) & ~blocks.inside[self._slot])
        return Violations(self._iteration[wrong], self._slot[wrong], after[wrong] - 1)

    def _greatest_before(self, values: np.ndarray) -> np.ndarray:
        """The maximum over the earlier accesses to the same element, 0 if there are none."""
        if not len(values):
            return values
        lift = np.cumsum(self._opens) * (int(values.max()) + 1)  # so that no maximum reaches into the next element
        running = np.maximum.accumulate(values + lift) - lift
        return np.where(self._opens, 0, np.concatenate([[0], running[:-1]]))


def _changes(values: np.ndarray) -> np.ndarray:
    """Where a value differs from the one before it."""
    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]


def _expanded(element: np.ndarray, counted: np.ndarray, layouts: list[list[View | None]]) -> tuple[np.ndarray, ...]:
    """Column, iteration, slot and element of each single element that is accessed."""
    scalar = np.array([[view is not None and not view.shape for view in row] for row in layouts])
    column, iteration, slot = np.nonzero(counted & scalar[:, None, :])
    parts = [(column, iteration, slot, element[column, iteration, slot])]
    for c, k in zip(*np.nonzero(counted.any(axis=1) & ~scalar), strict=True):
        view = layouts[c][k]
        assert view is not None
        inner = np.unique(view._replace(offset=0).indices())
        at = np.flatnonzero(counted[c, :, k])
        elements = (element[c, at, k][:, None] + inner).reshape(-1)
        parts.append((np.full(len(elements), c), np.repeat(at, len(inner)), np.full(len(elements), k), elements))
    column, iteration, slot, element = (np.concatenate(part) for part in zip(*parts, strict=True))
    return column, iteration, slot, element
