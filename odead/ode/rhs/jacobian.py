"""Jacobians as values on a pattern: what the steppers get, whichever form their linear algebra wants.

The pattern is found once; the values come at each evaluation, one per entry, in the order of compressed columns.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.sparse import csc_array, csr_array, sparray

__all__ = ["Jacobian", "Pattern"]


@dataclass(frozen=True, eq=False)
class Pattern:
    """Structural nonzeros of a square matrix.

    Attributes
    ----------
    n : int
    rows : array of int32, shape (nnz,)
        Row of each entry, sorted within a column.
    starts : array of int32, shape (n + 1,)
        Where each column begins.
    """

    n: int
    rows: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, matrix: sparray) -> "Pattern":
        """The pattern of a sparse matrix; its values do not matter."""
        ones = csc_array(matrix, dtype=np.float64)
        ones.sort_indices()
        return cls(ones.shape[0], ones.indices.astype(np.int32), ones.indptr.astype(np.int32))

    @cached_property
    def columns(self) -> np.ndarray:
        """Column of each entry."""
        return np.repeat(np.arange(self.n, dtype=np.int32), np.diff(self.starts))

    @cached_property
    def lower(self) -> int:
        """Diagonals below the main one."""
        return int(np.max(self.rows - self.columns, initial=0))

    @cached_property
    def upper(self) -> int:
        """Diagonals above the main one."""
        return int(np.max(self.columns - self.rows, initial=0))

    @property
    def density(self) -> float:
        return self.rows.size / max(self.n * self.n, 1)

    def union(self, other: "Pattern") -> "Pattern":
        return Pattern.of(self.matrix() + other.matrix())

    def matrix(self) -> csr_array:
        """As a boolean matrix."""
        return csr_array(csc_array((np.ones(self.rows.size, bool), self.rows, self.starts), shape=(self.n, self.n)))

    @cached_property
    def transposed(self) -> "tuple[Pattern, np.ndarray]":
        """The pattern of the transpose, and for each of its entries the position here."""
        order = np.lexsort((self.columns, self.rows))
        starts = np.searchsorted(self.rows[order], np.arange(self.n + 1)).astype(np.int32)
        return Pattern(self.n, self.columns[order], starts), order

    def block_diagonal(self, copies: int) -> "Pattern":
        """The pattern of this matrix, repeated along the diagonal."""
        return _block_diagonal(self, copies)

    def block_arrow(self, copies: int) -> "tuple[Pattern, np.ndarray]":
        """The pattern of this matrix, repeated along the diagonal and down the first block column.

        Also the order in which the first block column lists its entries, numbered block after block.
        """
        return _block_arrow(self, copies)


@lru_cache(maxsize=16)
def _block_diagonal(pattern: Pattern, copies: int) -> Pattern:
    shifts = np.arange(copies, dtype=np.int32)
    rows = (pattern.rows + pattern.n * shifts[:, None]).ravel()
    starts = np.append((pattern.starts[:-1] + pattern.rows.size * shifts[:, None]).ravel(), copies * pattern.rows.size)
    return Pattern(pattern.n * copies, rows, starts.astype(np.int32))


@lru_cache(maxsize=16)
def _block_arrow(pattern: Pattern, copies: int) -> tuple[Pattern, np.ndarray]:
    blocks = np.arange(copies, dtype=np.int32)[:, None]
    rows = (pattern.rows + pattern.n * blocks).ravel()
    order = np.lexsort((rows, np.tile(pattern.columns, copies)))
    rest = pattern.block_diagonal(copies)
    starts = np.concatenate([pattern.starts[:-1] * copies, rest.starts[pattern.n :] + pattern.rows.size * (copies - 1)])
    all_rows = np.concatenate([rows[order], rest.rows[pattern.rows.size :]])
    return Pattern(pattern.n * copies, all_rows, starts.astype(np.int32)), order


@dataclass(frozen=True, eq=False)
class Jacobian:
    """A square matrix: `values[k]` is its entry number k on the pattern."""

    pattern: Pattern
    values: np.ndarray

    def block_diagonal(self, copies: int) -> "Jacobian":
        return Jacobian(self.pattern.block_diagonal(copies), np.tile(self.values, copies))

    def block_arrow(self, below: np.ndarray) -> "Jacobian":
        """Copies along the diagonal, and below the first one the matrices with the values `below[k]` on the same pattern."""
        copies = 1 + below.shape[0]
        pattern, order = self.pattern.block_arrow(copies)
        first = np.concatenate([self.values, below.ravel()])[order]
        return Jacobian(pattern, np.concatenate([first, np.tile(self.values, copies - 1)]))

    def transposed(self, sign: float) -> "Jacobian":
        """The transpose, times `sign`."""
        pattern, order = self.pattern.transposed
        return Jacobian(pattern, sign * self.values[order])

    def dense(self) -> np.ndarray:
        matrix = np.zeros((self.pattern.n, self.pattern.n))
        matrix[self.pattern.rows, self.pattern.columns] = self.values
        return matrix

    def sparse(self) -> csc_array:
        return csc_array((self.values, self.pattern.rows, self.pattern.starts), shape=(self.pattern.n, self.pattern.n))

    def banded(self, lower: int, upper: int) -> np.ndarray:
        """Diagonals as rows: ``ab[upper + i - j, j]`` is entry (i, j), the layout of LAPACK and LSODA."""
        rows, columns = self.pattern.rows, self.pattern.columns
        diagonals = np.zeros((lower + upper + 1, self.pattern.n))
        diagonals[upper + rows - columns, columns] = self.values
        return diagonals
