"""Constant sparse matrices inside a traced function: products with traced vectors and matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .creation import as_traced, from_numpy
from .linalg import swapped
from .observations import items_of
from .recorder import contains_traced
from .structured import as_float, structured

if TYPE_CHECKING:
    from .namespace import Namespace

__all__ = ["SparseView", "is_sparse"]


def is_sparse(x: Any) -> bool:
    """Whether x is a sparse matrix of SciPy; without an import of scipy.sparse, which takes a while."""
    return type(x).__module__.startswith("scipy.sparse") and hasattr(x, "tocsr") and hasattr(x, "nnz")


class SparseView:
    """A sparse matrix of which the numbers are read at each run, as those of a captured array; its pattern is recorded.

    Parameters
    ----------
    namespace : Namespace
    matrix : sparse array or matrix
    name : str
    """

    __array_priority__ = 2000.0
    __array_ufunc__ = None  # `x @ matrix` is for us
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, namespace: Namespace, matrix: Any, name: str = "") -> None:
        stored = matrix if matrix.format in ("csr", "csc") else matrix.tocsr()
        if stored is not matrix and isinstance(getattr(matrix, "data", None), np.ndarray):
            namespace.observations.note(items_of, matrix.data, None)  # of which the program has a copy
        inner: np.ndarray = np.asarray(stored.indices, dtype=np.int64)
        outer: np.ndarray = np.repeat(np.arange(len(stored.indptr) - 1), np.diff(stored.indptr))
        self._rec, self._matrix = namespace.rec, matrix
        self._rows, self._columns = (outer, inner) if stored.format == "csr" else (inner, outer)
        self._data = as_float(namespace.rec, namespace.translate(stored.data, name))

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # `isinstance` and `issparse` answer as for the matrix itself
        return type(self._matrix)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._matrix, name)

    @property
    def T(self) -> SparseView:  # noqa: N802  # as SciPy calls it
        made = object.__new__(SparseView)
        made.__dict__.update(self.__dict__, _rows=self._columns, _columns=self._rows, _matrix=self._matrix.T)
        return made

    def transpose(self, axes: Any = None, copy: bool = False) -> SparseView:
        return self.T

    def dot(self, other: Any) -> Any:
        return self @ other

    def __matmul__(self, other: Any) -> Any:
        if not contains_traced(other):
            return from_numpy(self._rec, self._matrix @ other)
        x = as_float(self._rec, other)
        self._matrix @ x.value  # raises SciPy's own errors
        if x.ndim == 1:
            return self._times(x)
        return swapped(self._times(swapped(x)))

    def __rmatmul__(self, other: Any) -> Any:
        if not contains_traced(other):
            return from_numpy(self._rec, other @ self._matrix)
        x = as_float(self._rec, other)
        x.value @ self._matrix  # raises SciPy's own errors
        return self.T._times(x)

    def __mul__(self, other: Any) -> Any:
        if contains_traced(other) and not type(self._matrix).__name__.endswith("_matrix"):
            self._rec.fail("a sparse array times a traced value cannot be traced", "Multiply the vector instead: a * (A @ x)")
        return self @ other if contains_traced(other) else self._matrix * other

    def _times(self, x: Any) -> Any:
        """The product with each row of x."""
        rec, lead = self._rec, x.shape[:-1]
        picked = structured(rec, "take", (*lead, self._data.size), x, from_numpy(rec, self._columns))
        terms = as_traced(rec, picked * self._data)
        made = as_traced(rec, from_numpy(rec, np.zeros((*lead, self._matrix.shape[0]), terms.dtype)))
        if terms.size:
            rec.writes(made.place)
            rec.emit("put_add", made.place, (made.place, terms.place, rec.program.constant(self._rows, "int64")))
            made.value[...] = (self._matrix @ x.value.T).T
        return made
