"""Constant sparse matrices inside a traced function: products with traced vectors and matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..observations import Observations, items_of
from ..recorder import Recorder, contains_traced
from ..traced.complexes import is_complex
from .complex_api import multilinear
from .creation import as_traced, concrete, from_numpy
from .linalg import swapped
from .structured import as_float, structured

if TYPE_CHECKING:
    from ..names.namespace import Namespace

__all__ = ["SparseView", "is_sparse"]


_STRUCTURE: Final = frozenset({"shape", "ndim", "nnz", "format", "dtype", "size", "indices", "indptr", "row", "col", "offsets"})


def is_sparse(x: Any) -> bool:
    """Whether x is a sparse matrix of SciPy; without an import of scipy.sparse, which takes a while."""
    return type(x).__module__.startswith("scipy.sparse") and hasattr(x, "tocsr") and hasattr(x, "nnz")


def _entries_of(matrix: Any, _: Any) -> tuple[Any, ...]:
    """What a matrix holds that has no array of its entries: a snapshot."""
    stored = matrix.tocsr()
    return tuple(items_of(array, None) for array in (stored.data, stored.indices, stored.indptr))


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
        if matrix.format in ("dok", "lil"):
            namespace.observations.note(_entries_of, matrix, None)
        elif stored is not matrix and isinstance(getattr(matrix, "data", None), np.ndarray):
            namespace.observations.note(items_of, matrix.data, None)  # of which the program has a copy
        inner: np.ndarray = np.asarray(stored.indices, dtype=np.int64)
        outer: np.ndarray = np.repeat(np.arange(len(stored.indptr) - 1), np.diff(stored.indptr))
        self._rec, self._matrix = namespace.rec, matrix
        self._observations: Observations | None = namespace.observations
        self._rows, self._columns = (outer, inner) if stored.format == "csr" else (inner, outer)
        data: Any = as_traced(namespace.rec, namespace.translate(stored.data, name))
        self._data = data if is_complex(data) else as_float(namespace.rec, data)

    @classmethod
    def made(cls, rec: Recorder, matrix: Any, rows: np.ndarray, columns: np.ndarray, data: Any) -> SparseView:
        """A matrix with traced entries; `matrix` has their values."""
        view = object.__new__(cls)
        view._rec, view._matrix, view._observations = rec, matrix, None
        view._rows, view._columns, view._data = np.asarray(rows, np.int64), np.asarray(columns, np.int64), data
        return view

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # `isinstance` and `issparse` answer as for the matrix itself
        return type(self._matrix)

    def __getattr__(self, name: str) -> Any:
        if name not in _STRUCTURE:
            if self._observations is None:
                self._rec.fail(
                    f".{name} of a sparse matrix that is computed inside the function cannot be traced",
                    "Use @, .T, .data, .toarray(), .diagonal(), or a dense one",
                )
            self._observations.note(items_of, self._matrix.data, name)  # of which the result is a copy
        return getattr(self._matrix, name)

    @property
    def data(self) -> Any:
        """The entries, read at each run; SciPy's order only where the matrix is CSR or CSC."""
        return self._data

    def toarray(self, order: Any = None, out: Any = None) -> Any:
        made = from_numpy(self._rec, np.zeros(self._matrix.shape, self._data.dtype)) if out is None else out
        np.add.at(made, (self._rows, self._columns), self._data)
        return made

    todense = toarray

    def diagonal(self, k: int = 0) -> Any:
        own = np.flatnonzero(self._columns - self._rows == k)
        made = from_numpy(self._rec, np.zeros(self._matrix.diagonal(k).shape, self._data.dtype))
        np.add.at(made, self._rows[own] + min(k, 0), self._data[own])
        return made

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
        if not contains_traced(other) and self._observations is not None:
            return from_numpy(self._rec, self._matrix @ other)
        x = as_traced(self._rec, other)
        self._matrix @ x.value  # raises SciPy's own errors
        return self._applied(x)

    def __rmatmul__(self, other: Any) -> Any:
        if not contains_traced(other) and self._observations is not None:
            return from_numpy(self._rec, other @ self._matrix)
        x = as_traced(self._rec, other)
        x.value @ self._matrix  # raises SciPy's own errors
        return swapped(self.T._applied(swapped(x))) if x.ndim > 1 else self.T._applied(x)

    def __mul__(self, other: Any) -> Any:
        if np.ndim(concrete(other)) == 0:
            return self._scaled(other)
        if contains_traced(other) and not type(self._matrix).__name__.endswith("_matrix"):
            self._rec.fail("a sparse array times a traced array cannot be traced", "Multiply the vector instead: a * (A @ x)")
        return self @ other if contains_traced(other) else self._matrix * other

    def __rmul__(self, other: Any) -> Any:
        return self._scaled(other) if np.ndim(concrete(other)) == 0 else other @ self

    def __truediv__(self, other: Any) -> Any:
        return self._scaled(1.0 / other)

    def __neg__(self) -> SparseView:
        return self._scaled(-1.0)

    def __add__(self, other: Any) -> Any:
        return self._joined(other, 1.0)

    def __sub__(self, other: Any) -> Any:
        return self._joined(other, -1.0)

    def __getitem__(self, key: Any) -> Any:
        self._rec.fail("an element of a sparse matrix is read", "Use .toarray()[...], or read it outside of the function")

    def _scaled(self, factor: Any) -> SparseView:
        scaled = self._matrix * concrete(factor)
        return SparseView.made(self._rec, scaled, self._rows, self._columns, self._data * factor)

    def _joined(self, other: Any, sign: float) -> Any:
        """The sum with another sparse matrix, or the difference: the entries of both, which add up in products."""
        if type(other) is not SparseView:
            self._rec.fail("a sparse matrix plus something dense cannot be traced", "Use .toarray()")
        rows, columns = (np.concatenate([getattr(m, k) for m in (self, other)]) for k in ("_rows", "_columns"))
        whole, added = self._matrix + sign * other._matrix, np.multiply(sign, other._data)
        return SparseView.made(self._rec, whole, rows, columns, np.concatenate([self._data, added]))

    def _applied(self, x: Any) -> Any:
        """The product with a vector or the columns of a matrix."""
        rows = x if x.ndim == 1 else swapped(x)
        if is_complex(rows) or is_complex(self._data):
            made = multilinear(lambda data, part: self._times(part, data))(self._rec, self._data, rows)
        else:
            made = self._times(as_float(self._rec, rows), self._data)
        return made if x.ndim == 1 else swapped(made)

    def _times(self, x: Any, data: Any) -> Any:
        """The product of a matrix with these entries and each row of x."""
        rec, lead = self._rec, x.shape[:-1]
        picked = structured(rec, "take", (*lead, data.size), x, from_numpy(rec, self._columns))
        terms = as_traced(rec, picked * data)
        made = as_traced(rec, from_numpy(rec, np.zeros((*lead, self._matrix.shape[0]), terms.dtype)))
        if terms.size:
            rec.writes(made.place)
            rec.emit("put_add", made.place, (made.place, terms.place, rec.program.constant(self._rows, "int64")))
            np.add.at(made.value.T, self._rows, terms.value.T)
        return made
