"""Colouring of a sparse pattern: columns that share no row are differentiated in one sweep.

Curtis, Powell and Reid (1974) saw that one direction serves all columns of such a group; Gebremedhin, Manne and Pothen
(SIAM Review 47, 2005) is the survey, also of the greedy algorithm used here and its orderings. Rows are coloured in the
same way for cotangents.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csc_array, csr_array

__all__ = ["Colouring", "bandwidths", "colour"]


@dataclass(frozen=True, eq=False)
class Colouring:
    """How to obtain a sparse Jacobian from `count` products.

    Attributes
    ----------
    pattern : csr_array of bool (m, n)
        Indices sorted, no repeats.
    colours : array of int64
        Of the columns (n,), for Jacobian times vector, or of the rows (m,), for transposed Jacobian times vector.
    columns : bool
        Which of the two.
    """

    pattern: csr_array
    colours: np.ndarray
    columns: bool

    @classmethod
    def of(cls, pattern: csr_array) -> "Colouring":
        """By columns or by rows, whichever needs fewer products; columns at a tie, as tangents cost less."""
        by_row = pattern.astype(bool)
        by_row.sum_duplicates()
        transposed = csr_array(by_row.T)
        # The longest row bounds the number of column colours from below: often that settles it without the other colouring.
        by_columns = _longest(by_row) <= _longest(transposed)
        first, other = (by_row, transposed) if by_columns else (transposed, by_row)
        chosen = cls(by_row, colour(first), by_columns)
        if chosen.count <= _longest(other):
            return chosen
        return min(chosen, cls(by_row, colour(other), not by_columns), key=lambda c: (c.count, not c.columns))

    @property
    def count(self) -> int:
        """Number of colours: the products needed."""
        return int(self.colours.max(initial=-1)) + 1

    def seeds(self, dtype: str = "float64") -> np.ndarray:
        """The directions, (count, n) tangents or (count, m) cotangents."""
        seeds = np.zeros((self.count, self.colours.size), dtype)
        seeds[self.colours, np.arange(self.colours.size)] = 1
        return seeds

    def entries(self, compressed: np.ndarray) -> np.ndarray:
        """The entries of the Jacobian in the order of the pattern.

        Parameters
        ----------
        compressed : array (count, m) or (count, n)
            Products with the seeds: by columns tangents of the outputs, by rows cotangents of the inputs.
        """
        entries: np.ndarray = compressed.reshape(-1)[self._position]
        return entries

    @cached_property
    def _position(self) -> np.ndarray:
        """Where each entry is in the flattened products."""
        m, n = self.pattern.shape
        row, column = np.repeat(np.arange(m), np.diff(self.pattern.indptr)), self.pattern.indices
        return self.colours[column] * m + row if self.columns else self.colours[row] * n + column


def colour(pattern: csr_array) -> np.ndarray:
    """Colours for the columns, such that columns of one colour share no row.

    The number of colours is the smallest possible for matrices with a full band, and for all whose longest row it equals.

    Parameters
    ----------
    pattern : csr_array (m, n)
        Its values do not matter.

    Returns
    -------
    array of int64 (n,)
        From 0, without gaps.
    """
    by_column = csc_array(pattern.astype(bool))
    by_column.sum_duplicates()
    lengths = np.bincount(by_column.indices, minlength=by_column.shape[0])
    fewest = int(lengths.max(initial=0))
    n = by_column.shape[1]
    lower, upper = bandwidths(pattern)
    if min(lower + upper + 1, n) == fewest:
        return np.arange(n) % max(fewest, 1)
    natural = _greedy(by_column, np.arange(n))
    if natural.max(initial=-1) + 1 <= fewest:
        return natural
    # Neighbours in the intersection graph of the columns, those met in several rows counted several times.
    neighbours = csr_array(by_column.T).astype(np.int64) @ (lengths - 1)
    largest_first = _greedy(by_column, np.argsort(-neighbours, kind="stable"))
    return min(natural, largest_first, key=lambda colours: int(colours.max(initial=-1)))


def _greedy(by_column: csc_array, order: np.ndarray) -> np.ndarray:
    """Give each column in turn the first colour that no column sharing a row with it has.

    A row keeps the set of its colours as the bits of an integer, so that the cost is that of reading the pattern once,
    and not, as with neighbour lists, that of its intersection graph.
    """
    starts, rows = by_column.indptr.tolist(), by_column.indices.tolist()
    taken = [0] * by_column.shape[0]
    colours = np.zeros(by_column.shape[1], np.int64)
    for column in order.tolist():
        own = rows[starts[column] : starts[column + 1]]
        forbidden = 0
        for row in own:
            forbidden |= taken[row]
        lowest_free = ~forbidden & (forbidden + 1)
        for row in own:
            taken[row] |= lowest_free
        colours[column] = lowest_free.bit_length() - 1
    return colours


def bandwidths(pattern: csr_array) -> tuple[int, int]:
    """Diagonals below and above the main one that have entries."""
    entries = pattern.tocoo()
    offset = entries.col.astype(np.int64) - entries.row
    return int(-offset.min(initial=0)), int(offset.max(initial=0))


def _longest(pattern: csr_array) -> int:
    """Entries of the longest row."""
    return int(np.diff(pattern.indptr).max(initial=0))
