"""Linear algebra of the implicit methods: matrices I - scale J, in the storage that the pattern of J asks for.

With a mass matrix M they are M - scale J, on a pattern of J in which M has its places too.

The pattern is known from the start, so that assembling is one pass over the entries with positions computed once, and nothing
is allocated afterwards. Right-hand sides are the rows of an array, solved with all at once.

LAPACK factors large matrices. For small ones and narrow bands its calls cost more than the arithmetic, so these have loops of
their own, with the same pivoting. A sparse matrix is ordered by SuperLU and then factored on a fixed pattern, which takes a
fraction of the time of SuperLU itself, and no GIL.
"""

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import splu

cimport numpy as cnp
from libc.math cimport fabs, fmax
from libc.stdint cimport int64_t
from libc.string cimport memset
from scipy.linalg.cython_lapack cimport dgbtrf, dgbtrs, dgetrf, dgetrs

from ._arrays cimport checked_floats, floats, integers

cdef extern from "_lu.h" nogil:
    bint odead_lu_factor(int64_t n, double* a, int* pivots, double* inverse)
    void odead_lu_solve(int64_t n, const double* a, const int* pivots, const double* inverse, double* b)
    void odead_lu_solve_few(int64_t n, const double* a, const int* pivots, const double* inverse, int64_t count, double* b)
    enum: ODEAD_LU_MOST
    void odead_lu_solve_transposed(int64_t n, const double* a, const int* pivots, const double* inverse, double* b)

cdef extern from "_tridiagonal.h" nogil:
    int64_t odead_reduction_size(int64_t n)
    int64_t odead_reduction_work(int64_t n)
    bint odead_reduction_factor(int64_t n, const double* diagonal, const double* below, const double* above, int64_t step,
                                double* factors, double* systems)
    void odead_reduction_solve(int64_t n, const double* factors, bint transposed, double* b, double* work)

cnp.import_array()

cdef enum:
    SMALL = ODEAD_LU_MOST   # rows
    AT_ONCE = 8             # right-hand sides, and how many are needed for that to pay
    ENOUGH = 3
    NARROW = 24         # diagonals beside the main one

cdef double MARGIN = 1e-3  # by which a pivot may be smaller than the largest element of its column


cdef class MassMatrix:
    """The constant matrix M of M x' = f, by its elements.

    Parameters
    ----------
    n : int
    rows, columns, entries : (count,) int array
        Where its elements are, and which entries of the pattern of J these are.
    values : (count,) array
    """

    def __init__(self, int64_t n, rows, columns, entries, values):
        places = tuple(np.ascontiguousarray(a, dtype=np.int64) for a in (rows, columns, entries))
        numbers = np.array(values, dtype=np.float64)
        self.n, self.count, self.owners = n, len(numbers), (*places, numbers)
        self.row, self.column, self.entry = integers(places[0]), integers(places[1]), integers(places[2])
        self.value = floats(numbers)

    cdef void add_product(self, const double* v, double factor, double* out, int64_t count) noexcept nogil:
        """Add factor * M v to out, for each of the `count` rows of v and out."""
        cdef int64_t e, k
        for k in range(count):
            for e in range(self.count):
                out[k * self.n + self.row[e]] += factor * self.value[e] * v[k * self.n + self.column[e]]

    cdef void add_transposed_product(self, const double* v, double factor, double* out, int64_t count) noexcept nogil:
        """The same with the transpose of M."""
        cdef int64_t e, k
        for k in range(count):
            for e in range(self.count):
                out[k * self.n + self.column[e]] += factor * self.value[e] * v[k * self.n + self.row[e]]


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

    def __cinit__(self, int64_t n, rows, columns, source, *_):
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
        return floats(array)

    def _place(self, target, diagonal, int64_t size):
        """Take the storage, and where entries and diagonal are in it."""
        places = [np.ascontiguousarray(p, dtype=np.int64) for p in (target, diagonal)]
        self.owners.extend(places)
        self.target = integers(places[0])
        self.diagonal = integers(places[1])
        self.size = size
        self.storage = self._new(size)

    def take_mass(self, MassMatrix mass):
        """Be M - scale J from now on."""
        if mass.n != self.n:
            raise ValueError(f"a mass matrix of {mass.n} rows does not fit {self.n} states")
        self.mass = mass

    cdef void assemble(self, const double* values, double scale) noexcept nogil:
        """Become I - scale J, or M - scale J, for the J with these values; forgets the factors."""
        cdef int64_t e
        memset(self.storage, 0, self.size * sizeof(double))
        if self.mass is None:
            for e in range(self.n):
                self.storage[self.diagonal[e]] = 1
        else:
            for e in range(self.mass.count):
                self.storage[self.target[self.mass.entry[e]]] = self.mass.value[e]
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
        cdef cnp.ndarray given = np.append(np.asarray(values, dtype=np.float64), 0.0)
        cdef cnp.ndarray found = np.array(b, dtype=np.float64, order="C", ndmin=2)
        cdef double* rows = checked_floats(found, 2)
        if found.shape[1] != self.n:
            raise ValueError(f"right-hand sides of {self.n} numbers expected")
        self.assemble(floats(given), scale)
        if not self.factor():
            return None
        if transposed:
            self.solve_transposed(rows, found.shape[0])
        else:
            self.solve(rows, found.shape[0])
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
            return odead_lu_factor(self.n, self.storage, self.pivots, self.inverse)
        dgetrf(&n, &n, self.storage, &n, self.pivots, &info)
        return info == 0

    cdef void solve(self, double* b, int64_t count) noexcept nogil:
        cdef int n = <int> self.n, m = <int> count, info = 0
        cdef int64_t k = 0
        if n > SMALL:
            dgetrs(b"N", &n, &m, self.storage, &n, self.pivots, b, &n, &info)
            return
        while count - k >= ENOUGH:
            odead_lu_solve_few(n, self.storage, self.pivots, self.inverse, min(count - k, AT_ONCE), b + k * n)
            k += AT_ONCE
        while k < count:
            odead_lu_solve(n, self.storage, self.pivots, self.inverse, b + k * n)
            k += 1

    cdef void solve_transposed(self, double* b, int64_t count) noexcept nogil:
        cdef int n = <int> self.n, m = <int> count, info = 0
        cdef int64_t k
        if n > SMALL:
            dgetrs(b"T", &n, &m, self.storage, &n, self.pivots, b, &n, &info)
            return
        for k in range(count):
            odead_lu_solve_transposed(n, self.storage, self.pivots, self.inverse, b + k * n)


cdef class DenseByRows(Dense):
    """The same with its transpose factored: transposed systems take the shorter time (50 rows: 290 ns, not 590)."""

    def __init__(self, int64_t n, rows, columns, source):
        rows, columns = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
        self._place(rows * n + columns, np.arange(n) * (n + 1), n * n)

    cdef void solve(self, double* b, int64_t count) noexcept nogil:
        Dense.solve_transposed(self, b, count)

    cdef void solve_transposed(self, double* b, int64_t count) noexcept nogil:
        Dense.solve(self, b, count)


# ---------------------------------------------------------------------------------------------------------- banded


cdef class Band(Matrix):
    """The diagonals from `-lower` to `upper` stored, and `lower` more for what row pivoting fills in."""

    def __init__(self, int64_t n, rows, columns, source):
        rows, columns = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
        self.lower, self.upper = np.max(rows - columns, initial=0), np.max(columns - rows, initial=0)
        self.height = 2 * self.lower + self.upper + 1
        top = self.lower + self.upper
        self._place(columns * self.height + top + rows - columns, np.arange(n) * self.height + top, n * self.height)
        if self.lower == self.upper == 1:
            self.reduction = self._new(odead_reduction_size(n))
            self.systems = self._new(3 * odead_reduction_work(n))
            self.work = self._new(odead_reduction_work(n))

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
        self.is_reduced = self.lower == self.upper == 1 and odead_reduction_factor(
            n, self.storage + 2, self.storage + 3, self.storage + 5, 4, self.reduction, self.systems
        )
        if self.is_reduced:
            return True
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
        if self.is_reduced:
            for k in range(count):
                odead_reduction_solve(n, self.reduction, False, b + k * n, self.work)
            return
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
        if self.is_reduced:
            for k in range(count):
                odead_reduction_solve(n, self.reduction, True, b + k * n, self.work)
            return
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


# ---------------------------------------------------------------------------------------------------------- sparse


cdef class Sparse(Matrix):
    """The entries stored; LU on a pattern that is fixed until a pivot is too small, which asks SuperLU for new row exchanges.

    The columns of L and U are computed one by one, each from those before (J. R. Gilbert, T. Peierls, Sparse partial pivoting
    in time proportional to arithmetic operations, 1988), without looking for their pattern again.

    Parameters
    ----------
    n, rows, columns, source
        As in `Matrix`.
    order : (n,) int array or Sparse
        The rows and columns in the order of elimination, see `ordering`; or a matrix on the same pattern, to do as it does.
    """

    def __init__(self, int64_t n, rows, columns, source, order):
        rows, columns = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
        # Every diagonal element has a place, behind the entries if it is none of them.
        diagonal = np.full(n, -1)
        diagonal[rows[rows == columns]] = np.flatnonzero(rows == columns)
        missing = np.flatnonzero(diagonal < 0)
        diagonal[missing] = rows.size + np.arange(missing.size)
        self._place(np.arange(rows.size), diagonal, rows.size + missing.size)
        self.rows, self.columns = np.append(rows, missing), np.append(columns, missing)
        self.work = self._new(n)
        if isinstance(order, Sparse):
            self._share((<Sparse> order).patterns[0])
        else:
            self._analyse(np.asarray(order, dtype=np.int64), np.asarray(order, dtype=np.int64))

    @staticmethod
    def ordering(int64_t n, rows, columns):
        """An order in which elimination fills in little, the same for rows and columns."""
        diagonal = np.arange(n)
        at = (np.concatenate([rows, diagonal]), np.concatenate([columns, diagonal]))
        values = np.concatenate([np.full(len(rows), 1e-3), np.ones(n)])
        matrix = scipy.sparse.csc_array((values, at), shape=(n, n))
        factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        return np.argsort(factors.perm_c)

    def _analyse(self, row_order, column_order):
        """Find the patterns of L and U for pivots down the diagonal of the matrix so ordered."""
        cdef int64_t n = self.n, i, j, k, e
        cdef cnp.ndarray starts, at, marks, place
        cdef int64_t* start
        cdef int64_t* marked
        cdef list lower = [], upper = []
        new_row = np.argsort(row_order)
        new_column = np.argsort(column_order)
        by_column = np.lexsort((new_row[self.rows], new_column[self.columns]))
        at = np.ascontiguousarray(new_row[self.rows][by_column])
        starts = np.searchsorted(new_column[self.columns][by_column], np.arange(n + 1))
        marks = np.full(n, -1)
        start, marked = integers(starts), integers(marks)
        for j in range(n):
            for e in range(start[j], start[j + 1]):
                marked[integers(at)[e]] = j
            marked[j] = j
            above = []
            for k in range(j):
                if marked[k] == j:
                    above.append(k)
                    place = lower[k]
                    for i in range(place.shape[0]):
                        marked[integers(place)[i]] = j
            upper.append(above)
            lower.append(j + 1 + np.flatnonzero(marks[j + 1 :] == j))
        self._keep(by_column, at, starts, lower, upper, row_order, column_order)

    def _keep(self, by_column, at, starts, list lower, list upper, row_order, column_order):
        arrays = [
            by_column, at, starts, np.concatenate(lower), np.cumsum([0, *map(len, lower)]),
            np.array([k for column in upper for k in column]), np.cumsum([0, *map(len, upper)]), row_order, column_order,
        ]
        self._share([np.ascontiguousarray(array, dtype=np.int64) for array in arrays])

    def _share(self, list arrays):
        """Use these patterns, which nobody changes, with values of its own."""
        values = np.zeros(arrays[3].size + arrays[5].size + 1)
        self.patterns = (arrays, values)
        self.entry, self.entry_row, self.entry_start = integers(arrays[0]), integers(arrays[1]), integers(arrays[2])
        self.lower_row, self.lower_start = integers(arrays[3]), integers(arrays[4])
        self.upper_row, self.upper_start = integers(arrays[5]), integers(arrays[6])
        self.row_order, self.column_order = integers(arrays[7]), integers(arrays[8])
        self.lower_value = floats(values)
        self.upper_value = self.lower_value + <int64_t> arrays[3].size

    @property
    def work_to_factor(self):
        """Multiplications of a factorisation."""
        sizes = np.diff(self.patterns[0][4])
        return int(sizes[self.patterns[0][5]].sum())

    @property
    def stored(self):
        """Elements of the factors."""
        return int(self.patterns[0][3].size + self.patterns[0][5].size + self.n)

    cdef bint factor(self) noexcept nogil:
        return self._eliminate(MARGIN) or (self._exchange_rows() and self._eliminate(0))

    cdef bint _eliminate(self, double margin) noexcept nogil:
        """Compute L and U; False if a pivot is 0 or, by this margin, smaller than others in its column."""
        cdef int64_t j, k, e, i
        cdef double* work = self.work
        cdef double value, largest
        for j in range(self.n):
            for e in range(self.entry_start[j], self.entry_start[j + 1]):
                work[self.entry_row[e]] = self.storage[self.entry[e]]
            for e in range(self.upper_start[j], self.upper_start[j + 1]):
                k = self.upper_row[e]
                value = self.upper_value[e] = work[k]
                work[k] = 0
                if value != 0:
                    for i in range(self.lower_start[k], self.lower_start[k + 1]):
                        work[self.lower_row[i]] -= self.lower_value[i] * value
            largest, value = 0, work[j]
            work[j] = 0
            for e in range(self.lower_start[j], self.lower_start[j + 1]):
                largest = fmax(largest, fabs(work[self.lower_row[e]]))
            if not fabs(value) > margin * largest:
                for e in range(self.lower_start[j], self.lower_start[j + 1]):
                    work[self.lower_row[e]] = 0
                return False
            self.inverse[j] = value = 1 / value
            for e in range(self.lower_start[j], self.lower_start[j + 1]):
                self.lower_value[e] = work[self.lower_row[e]] * value
                work[self.lower_row[e]] = 0
        return True

    cdef bint _exchange_rows(self) noexcept with gil:
        """Have SuperLU choose other pivots for the matrix as it is; False if it finds it singular."""
        cdef int64_t e
        values = np.empty(self.size)
        for e in range(self.size):
            values[e] = self.storage[e]
        matrix = scipy.sparse.csc_array((values, (self.rows, self.columns)), shape=(self.n, self.n))
        try:
            factors = splu(matrix)
        except RuntimeError:
            return False
        self._analyse(np.argsort(factors.perm_r), np.argsort(factors.perm_c))
        return True

    cdef void solve(self, double* b, int64_t count) noexcept nogil:
        cdef int64_t j, e, _
        cdef double* work = self.work
        cdef double value
        for _ in range(count):
            for j in range(self.n):
                work[j] = b[self.row_order[j]]
            for j in range(self.n):
                value = work[j]
                for e in range(self.lower_start[j], self.lower_start[j + 1]):
                    work[self.lower_row[e]] -= self.lower_value[e] * value
            for j in range(self.n - 1, -1, -1):
                value = work[j] * self.inverse[j]
                b[self.column_order[j]] = value
                work[j] = 0
                for e in range(self.upper_start[j], self.upper_start[j + 1]):
                    work[self.upper_row[e]] -= self.upper_value[e] * value
            b += self.n

    cdef void solve_transposed(self, double* b, int64_t count) noexcept nogil:
        cdef int64_t j, e, _
        cdef double* work = self.work
        cdef double value
        for _ in range(count):
            for j in range(self.n):
                value = b[self.column_order[j]]
                for e in range(self.upper_start[j], self.upper_start[j + 1]):
                    value -= self.upper_value[e] * work[self.upper_row[e]]
                work[j] = value * self.inverse[j]
            for j in range(self.n - 1, -1, -1):
                value = work[j]
                for e in range(self.lower_start[j], self.lower_start[j + 1]):
                    value -= self.lower_value[e] * work[self.lower_row[e]]
                work[j] = value
            for j in range(self.n):
                b[self.row_order[j]] = work[j]
                work[j] = 0
            b += self.n
