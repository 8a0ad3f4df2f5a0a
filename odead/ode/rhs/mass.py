"""Mass: the constant matrix M of M x' = f(x, p, t), which may be singular.

Where it is, some combinations of the equations have no derivative and are constraints. With U and V whose columns span the left
and right null spaces of M, Uᵀ f = 0, and V is what no derivative determines: the algebraic part of x. The index is 1 where
Uᵀ f_x V is regular (E. Hairer, G. Wanner, Solving Ordinary Differential Equations II, section VI.1).
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from ...errors import ArgumentTypeError, ArgumentValueError
from ..arguments.layout import Layout
from ..arguments.signature import Flat, multiplied

__all__ = ["SMALL", "Mass", "check_mass", "dense", "without_regular"]

SMALL: Final = 100  # states up to which arrays cost less than sparse matrices

_RANK: Final = 10 * float(np.finfo(float).eps)  # times the number of rows: a singular value as small as this is 0
_LARGE: Final = 500  # rows of a part of M above which no singular values are taken, if it can be factored


@dataclass(frozen=True)
class Mass:
    """A square matrix, by its nonzeros in the order of compressed columns. Hashable, by its values.

    Attributes
    ----------
    n : int
    rows, columns, values : bytes
    """

    n: int
    rows: bytes
    columns: bytes
    values: bytes

    @classmethod
    def of(cls, matrix: Any) -> "Mass":
        found = scipy.sparse.csc_array(matrix, dtype=np.float64)
        found.sum_duplicates()
        found.eliminate_zeros()
        rows, columns = found.tocoo().coords
        return cls(found.shape[0], rows.astype(np.int64).tobytes(), columns.astype(np.int64).tobytes(), found.data.tobytes())

    @cached_property
    def elements(self) -> scipy.sparse.coo_array:
        rows, columns = np.frombuffer(self.rows, dtype=np.int64), np.frombuffer(self.columns, dtype=np.int64)
        return scipy.sparse.coo_array((np.frombuffer(self.values), (rows, columns)), shape=(self.n, self.n))

    @cached_property
    def is_identity(self) -> bool:
        found = self.elements
        return found.nnz == self.n and bool((found.row == found.col).all() and (found.data == 1).all())

    @property
    def is_singular(self) -> bool:
        return bool(self.null_right.shape[1] > 0)

    @property
    def is_diagonal(self) -> bool:
        return bool((self.elements.row == self.elements.col).all())

    @cached_property
    def inverse(self) -> np.ndarray:
        """Of a regular one, shape (n, n); where it is diagonal, its diagonal."""
        if self.is_diagonal:
            return np.asarray(1 / self.elements.data)
        rows = np.eye(self.n)
        self.divide(rows, transposed=True)
        return rows

    @cached_property
    def extended(self) -> "Mass":
        """With one more row and column, those of the identity."""
        return Mass.of(scipy.sparse.block_diag([self.elements, np.ones((1, 1))]))

    @cached_property
    def transposed(self) -> "Mass":
        return Mass.of(self.elements.T)

    def doubled(self) -> "Mass":
        """Of twice as many states, each half with this one."""
        return Mass.of(scipy.sparse.block_diag([self.elements, self.elements]))

    @property
    def null_left(self) -> Any:
        """U, shape (n, number of constraints), orthonormal columns; sparse beyond `SMALL` states."""
        return self._analysis.left

    @property
    def null_right(self) -> Any:
        """V, of the same shape."""
        return self._analysis.right

    def divide(self, rows: np.ndarray, *, transposed: bool = False) -> None:
        """Make of each row of f, in place, the x' with M x' = f that has no algebraic part."""
        found = self._analysis
        divided = rows @ (found.inverse if transposed else found.inverse.T)
        for equations, states, factors in found.factored:
            if transposed:
                divided[:, equations] = factors.solve(rows[:, states].T, trans="T").T
            else:
                divided[:, states] = factors.solve(rows[:, equations].T).T
        rows[:] = divided

    def divide_transposed(self, rows: np.ndarray) -> None:
        """The transpose of `divide`."""
        self.divide(rows, transposed=True)

    @cached_property
    def _analysis(self) -> "_Analysis":
        """By the sets of equations that M couples, so that a large M whose parts are small costs no more than these."""
        elements, n = self.elements, self.n
        coupling = scipy.sparse.coo_array((np.ones(elements.nnz), (elements.row, elements.col + n)), shape=(2 * n, 2 * n))
        count, labels = connected_components(coupling, directed=False)
        matrix, factored = elements.tocsc(), []
        left, right, inverse = _Blocks(), _Blocks(), _Blocks()
        ends = np.cumsum(np.bincount(labels, minlength=count))
        for members in np.split(np.argsort(labels, kind="stable"), ends[:-1]):
            equations, states = members[members < n], members[members >= n] - n
            block = matrix[equations][:, states]
            factors = _factor(block) if equations.size == states.size > _LARGE else None
            if factors is not None:
                factored.append((equations, states, factors))
                continue
            u, values, vt = np.linalg.svd(block.toarray())
            rank = int(np.sum(values > _RANK * max(block.shape) * values.max(initial=0.0)))
            left.append(equations, u[:, rank:])
            right.append(states, vt[rank:].T)
            inverse.add(states, equations, vt[:rank].T @ (u[:, :rank] / values[:rank]).T)
        return _Analysis(left.matrix(n), right.matrix(n), inverse.matrix(n, n), factored)

    @property
    def has_mixed_constraints(self) -> bool:
        """Whether a constraint is a combination of equations that have derivatives."""
        return bool(np.count_nonzero(dense(self.null_left)) > self.null_left.shape[1])

    @property
    def has_mixed_states(self) -> bool:
        """Whether what no derivative determines is a combination of states that others are in too."""
        return bool(np.count_nonzero(dense(self.null_right)) > self.null_right.shape[1])

    @cached_property
    def separation(self) -> np.ndarray:
        """An orthogonal matrix, shape (n, n), that makes equations of their own of the constraints."""
        return np.linalg.qr(dense(self.null_left), mode="complete")[0].T

    @cached_property
    def separated(self) -> "Mass":
        """The mass matrix of the equations multiplied by `separation`."""
        rows = self.separation @ self.elements.toarray()
        rows[: self.null_left.shape[1]] = 0
        return Mass.of(rows)


@dataclass(frozen=True)
class _Analysis:
    """Null spaces, and a pseudoinverse: as a matrix, and by factors of large parts with the equations and states of each."""

    left: Any
    right: Any
    inverse: Any
    factored: list[tuple[np.ndarray, np.ndarray, Any]]


class _Blocks:
    """A sparse matrix that is built block by block."""

    def __init__(self) -> None:
        self._width = 0
        self._blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, rows: np.ndarray, columns: np.ndarray, block: np.ndarray) -> None:
        self._blocks.append((np.repeat(rows, columns.size), np.tile(columns, rows.size), block.ravel()))

    def append(self, rows: np.ndarray, block: np.ndarray) -> None:
        """Add new columns."""
        self.add(rows, self._width + np.arange(block.shape[1]), block)
        self._width += block.shape[1]

    def matrix(self, n: int, width: int | None = None) -> Any:
        shape = (n, self._width if width is None else width)
        if not self._blocks:  # all parts are large, and factored
            return scipy.sparse.csc_array(shape)
        rows, columns, values = (np.concatenate(parts) for parts in zip(*self._blocks, strict=True))
        found = scipy.sparse.csc_array((values, (rows, columns)), shape=shape)
        found.eliminate_zeros()
        return found.toarray() if n <= SMALL else found


def dense(matrix: Any) -> np.ndarray:
    """A sparse matrix, or one that is dense already, as an array."""
    return matrix if isinstance(matrix, np.ndarray) else np.asarray(matrix.toarray())


def _factor(block: scipy.sparse.csc_array) -> Any:
    """LU factors; None if it is singular, or nearly so."""
    try:
        factors = splu(block.tocsc())
    except RuntimeError:
        return None
    pivots = np.abs(factors.U.diagonal())
    return factors if pivots.min() > _RANK * pivots.size * pivots.max() else None


def without_regular(flat: Flat, mass: Mass | None) -> tuple[Flat, Mass | None]:
    """A right-hand side with its mass matrix, or a regular one on its side."""
    if mass is None or mass.is_singular:
        return flat, mass
    return multiplied(flat, mass.inverse), None


def check_mass(mass_matrix: Any, n: int, layout: Layout) -> Mass | None:
    """The mass matrix of n states of this layout; None for the identity.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        It is no constant real matrix of shape (n, n), or zero.
    """
    if mass_matrix is None:
        return None
    if callable(mass_matrix):
        raise ArgumentTypeError(
            "mass_matrix must be a constant matrix, not a function; one that depends on x or t is not supported"
        )
    sparse = scipy.sparse.issparse(mass_matrix)
    try:
        matrix = mass_matrix.tocsr() if sparse else np.asarray(mass_matrix)
        if np.issubdtype(matrix.dtype, np.complexfloating):
            raise ArgumentTypeError("mass_matrix must be real, not complex")
        values = matrix.astype(np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, ArgumentTypeError):
            raise
        raise ArgumentTypeError("mass_matrix must be an array of real numbers or a scipy.sparse matrix") from None
    if layout.has_complex:
        raise NotImplementedError(
            "mass_matrix with complex states is not supported yet; write real and imaginary parts as states"
        )
    if values.shape != (n, n):
        raise ArgumentValueError(f"mass_matrix must have shape ({n}, {n}), one row per state; its shape is {values.shape}")
    if not np.isfinite(values.data if sparse else values).all():
        raise ArgumentValueError("mass_matrix must be finite")
    mass = _known(Mass.of(values))
    return None if mass.is_identity else mass


@lru_cache(maxsize=64)
def _known(mass: Mass) -> Mass:
    """The same matrix that was there before, with all that has been found out about it."""
    return mass
