"""Linear algebra of the implicit methods: matrices I - scale J, in the storage that the pattern of J asks for.

The pattern is known from the start, so that assembling is one pass over the entries with positions computed once, and nothing
is allocated afterwards. Right-hand sides are the rows of an array, solved with all at once.

LAPACK does the work where there is some. For small matrices and narrow bands its calls cost more than the arithmetic, so these
have loops of their own, with the same pivoting.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport fabs
from libc.stdint cimport int64_t
from libc.string cimport memset
from scipy.linalg.cython_lapack cimport dgbtrf, dgbtrs, dgetrf, dgetrs

cnp.import_array()

cdef enum:
    SMALL = 32          # rows
    NARROW = 24         # diagonals beside the main one


cdef class Matrix:
    """A matrix I - scale J.

    Parameters
    ----------
    n : int
    rows, columns : (entries,) int array
        Where J may differ from 0.
    source : (entries,) int array
        Position of each entry among the values given to `assemble`.
    """

    def __cinit__(self, int64_t n, rows, columns, source):
        positions = np.ascontiguousarray(source, dtype=np.int64)
        pivots = np.zeros(n + 1, dtype=np.intc)
        self.n = n
        self.entries = len(positions)
        self.source = <const int64_t*> cnp.PyArray_DATA(positions)
        self.pivots = <int*> cnp.PyArray_DATA(pivots)
        self.owners = [positions, pivots]
        self.inverse = self._new(n)

    cdef double* _new(self, int64_t size) except NULL:
        array = np.zeros(size + 1)
        self.owners.append(array)
        return <double*> cnp.PyArray_DATA(array)

    def _place(self, target, diagonal, int64_t size):
        """Take the storage, and where entries and diagonal are in it."""
        places = [np.ascontiguousarray(p, dtype=np.int64) for p in (target, diagonal)]
        self.owners.extend(places)
        self.target = <int64_t*> cnp.PyArray_DATA(<cnp.ndarray> places[0])
        self.diagonal = <int64_t*> cnp.PyArray_DATA(<cnp.ndarray> places[1])
        self.size = size
        self.storage = self._new(size)

    cdef void assemble(self, const double* values, double scale) noexcept nogil:
        """Become I - scale J for the J with these values; forgets the factors."""
        cdef int64_t e
        memset(self.storage, 0, self.size * sizeof(double))
        for e in range(self.n):
            self.storage[self.diagonal[e]] = 1
        for e in range(self.entries):
            self.storage[self.target[e]] -= scale * values[self.source[e]]

    cdef bint factor(self) noexcept nogil:
        """Replace the matrix by its factors; False if it is singular."""
        return False

    cdef void solve(self, double* b, int64_t count) noexcept nogil:
        """Solve with each of the `count` rows of b, in place."""
        pass

    cdef void solve_transposed(self, double* b, int64_t count) noexcept nogil:
        """Solve the transposed system with each of the `count` rows of b, in place."""
        pass

    def solved(self, values, double scale, b, bint transposed=False):
        """Assemble, factor and solve: the rows of b, solved; None if the matrix is singular."""
        cdef double[::1] given = np.append(np.asarray(values, dtype=np.float64), 0.0)
        found = np.array(b, dtype=np.float64, ndmin=2)
        cdef double[:, ::1] rows = found
        if rows.shape[1] != self.n or rows.shape[0] == 0:
            raise ValueError(f"right-hand sides of {self.n} numbers expected")
        self.assemble(&given[0], scale)
        if not self.factor():
            return None
        if transposed:
            self.solve_transposed(&rows[0, 0], rows.shape[0])
        else:
            self.solve(&rows[0, 0], rows.shape[0])
        return found


# ---------------------------------------------------------------------------------------------------------- dense


cdef class Dense(Matrix):
    """All elements stored; LU with row pivoting."""

    def __init__(self, int64_t n, rows, columns, source):
        rows, columns = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
        self._place(columns * n + rows, np.arange(n) * (n + 1), n * n)

    cdef bint factor(self) noexcept nogil:
        cdef int n = <int> self.n, info = 0
        if n <= SMALL:
            return self._factor_small()
        dgetrf(&n, &n, self.storage, &n, self.pivots, &info)
        return info == 0

    cdef bint _factor_small(self) noexcept nogil:
        cdef int64_t n = self.n, i, j, k, best
        cdef double* a = self.storage
        cdef double* column
        cdef double* other
        cdef double largest, inverse, swapped
        for j in range(n):
            column = a + j * n
            best, largest = j, fabs(column[j])
            for i in range(j + 1, n):
                if fabs(column[i]) > largest:
                    best, largest = i, fabs(column[i])
            if not largest > 0:
                return False
            self.pivots[j] = <int> best
            if best != j:
                for k in range(n):
                    swapped = a[k * n + j]
                    a[k * n + j] = a[k * n + best]
                    a[k * n + best] = swapped
            inverse = self.inverse[j] = 1 / column[j]
            for i in range(j + 1, n):
                column[i] *= inverse
            for k in range(j + 1, n):
                other = a + k * n
                swapped = other[j]
                if swapped != 0:
                    for i in range(j + 1, n):
                        other[i] -= column[i] * swapped
        return True

    cdef void solve(self, double* b, int64_t count) noexcept nogil:
        cdef int n = <int> self.n, m = <int> count, info = 0
        cdef int64_t k
        if n > SMALL:
            dgetrs(b"N", &n, &m, self.storage, &n, self.pivots, b, &n, &info)
            return
        for k in range(count):
            self._solve_small(b + k * n)

    cdef void _solve_small(self, double* b) noexcept nogil:
        cdef int64_t n = self.n, i, j
        cdef const double* column
        cdef double value
        for j in range(n):
            value = b[self.pivots[j]]
            b[self.pivots[j]] = b[j]
            b[j] = value
        for j in range(n):
            column, value = self.storage + j * n, b[j]
            for i in range(j + 1, n):
                b[i] -= column[i] * value
        for j in range(n - 1, -1, -1):
            column = self.storage + j * n
            value = b[j] = b[j] * self.inverse[j]
            for i in range(j):
                b[i] -= column[i] * value

    cdef void solve_transposed(self, double* b, int64_t count) noexcept nogil:
        cdef int n = <int> self.n, m = <int> count, info = 0
        cdef int64_t k
        if n > SMALL:
            dgetrs(b"T", &n, &m, self.storage, &n, self.pivots, b, &n, &info)
            return
        for k in range(count):
            self._solve_small_transposed(b + k * n)

    cdef void _solve_small_transposed(self, double* b) noexcept nogil:
        cdef int64_t n = self.n, i, j
        cdef const double* column
        cdef double value
        for j in range(n):
            column, value = self.storage + j * n, b[j]
            for i in range(j):
                value -= column[i] * b[i]
            b[j] = value * self.inverse[j]
        for j in range(n - 1, -1, -1):
            column, value = self.storage + j * n, b[j]
            for i in range(j + 1, n):
                value -= column[i] * b[i]
            b[j] = value
        for j in range(n - 1, -1, -1):
            value = b[self.pivots[j]]
            b[self.pivots[j]] = b[j]
            b[j] = value


# ---------------------------------------------------------------------------------------------------------- banded


cdef class Band(Matrix):
    """The diagonals from `-lower` to `upper` stored, and `lower` more for what row pivoting fills in."""

    def __init__(self, int64_t n, rows, columns, source):
        rows, columns = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
        self.lower, self.upper = np.max(rows - columns, initial=0), np.max(columns - rows, initial=0)
        self.height = 2 * self.lower + self.upper + 1
        top = self.lower + self.upper
        self._place(columns * self.height + top + rows - columns, np.arange(n) * self.height + top, n * self.height)

    cdef bint factor(self) noexcept nogil:
        cdef int n = <int> self.n, kl = <int> self.lower, ku = <int> self.upper, ld = <int> self.height, info = 0
        if self.lower + self.upper <= NARROW:
            return self._factor_narrow()
        dgbtrf(&n, &n, &kl, &ku, self.storage, &ld, self.pivots, &info)
        return info == 0

    cdef bint _factor_narrow(self) noexcept nogil:
        cdef int64_t n = self.n, top = self.lower + self.upper, step = self.height - 1  # to the same row in the next column
        cdef int64_t i, j, k, best, below, last = 0
        cdef double* pivot
        cdef double* other
        cdef double largest, inverse, swapped
        for j in range(n):
            pivot = self.storage + j * self.height + top
            below = min(self.lower, n - 1 - j)
            best, largest = 0, fabs(pivot[0])
            for i in range(1, below + 1):
                if fabs(pivot[i]) > largest:
                    best, largest = i, fabs(pivot[i])
            if not largest > 0:
                return False
            self.pivots[j] = <int> best
            last = max(last, min(j + self.upper + best, n - 1))
            if best:
                for k in range(last - j + 1):
                    swapped = pivot[k * step]
                    pivot[k * step] = pivot[k * step + best]
                    pivot[k * step + best] = swapped
            inverse = self.inverse[j] = 1 / pivot[0]
            for i in range(1, below + 1):
                pivot[i] *= inverse
            for k in range(1, last - j + 1):
                other = pivot + k * step
                swapped = other[0]
                for i in range(1, below + 1):
                    other[i] -= pivot[i] * swapped
        return True

    cdef void solve(self, double* b, int64_t count) noexcept nogil:
        cdef int n = <int> self.n, kl = <int> self.lower, ku = <int> self.upper, ld = <int> self.height
        cdef int m = <int> count, info = 0
        if self.lower + self.upper <= NARROW:
            self._solve_narrow(b, count)
        else:
            dgbtrs(b"N", &n, &kl, &ku, &m, self.storage, &ld, self.pivots, b, &n, &info)

    cdef void _solve_narrow(self, double* b, int64_t count) noexcept nogil:
        """Row after row, all right-hand sides at each: one alone waits for each sum to be ready for the next."""
        cdef int64_t n = self.n, top = self.lower + self.upper, i, j, k, reach
        cdef const double* pivot
        cdef double* row
        cdef double value
        for j in range(n):
            pivot = self.storage + j * self.height + top
            reach = min(self.lower, n - 1 - j)
            for k in range(count):
                row = b + k * n + j
                value = row[self.pivots[j]]
                row[self.pivots[j]] = row[0]
                row[0] = value
                for i in range(1, reach + 1):
                    row[i] -= pivot[i] * value
        for j in range(n - 1, -1, -1):
            pivot = self.storage + j * self.height + top
            reach = min(top, j)
            for k in range(count):
                row = b + k * n + j
                value = row[0] = row[0] * self.inverse[j]
                for i in range(1, reach + 1):
                    row[-i] -= pivot[-i] * value

    cdef void solve_transposed(self, double* b, int64_t count) noexcept nogil:
        cdef int n = <int> self.n, kl = <int> self.lower, ku = <int> self.upper, ld = <int> self.height
        cdef int m = <int> count, info = 0
        if self.lower + self.upper <= NARROW:
            self._solve_narrow_transposed(b, count)
        else:
            dgbtrs(b"T", &n, &kl, &ku, &m, self.storage, &ld, self.pivots, b, &n, &info)

    cdef void _solve_narrow_transposed(self, double* b, int64_t count) noexcept nogil:
        cdef int64_t n = self.n, top = self.lower + self.upper, i, j, k, reach
        cdef const double* pivot
        cdef double* row
        cdef double value
        for j in range(n):
            pivot = self.storage + j * self.height + top
            reach = min(top, j)
            for k in range(count):
                row = b + k * n + j
                value = row[0]
                for i in range(1, reach + 1):
                    value -= pivot[-i] * row[-i]
                row[0] = value * self.inverse[j]
        for j in range(n - 1, -1, -1):
            pivot = self.storage + j * self.height + top
            reach = min(self.lower, n - 1 - j)
            for k in range(count):
                row = b + k * n + j
                value = row[0]
                for i in range(1, reach + 1):
                    value -= pivot[i] * row[i]
                row[0] = row[self.pivots[j]]
                row[self.pivots[j]] = value
