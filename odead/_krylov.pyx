"""Linear systems with I - scale J that are solved without a factorisation, by products with J.

The generalised minimal residual method with restarts (Y. Saad, M. H. Schultz, GMRES: a generalized minimal residual algorithm
for solving nonsymmetric linear systems, SIAM J. Sci. Stat. Comput. 7, 1986), modified Gram and Schmidt, Givens rotations. It
stops at a residual whose norm, on the scale of the error test, is small against the tolerance of Newton's iteration, as in
P. N. Brown, A. C. Hindmarsh, Reduced storage matrix methods in stiff ODE systems, Appl. Math. Comput. 31, 1989.

Full matrices have no preconditioner: there, c J is small but for a few fast modes, or these are close together. Where the
iteration needs more than a few cycles, a factorisation is the better choice. Sparse ones are preconditioned from the right by
an incomplete factorisation on their own pattern (J. A. Meijerink, H. A. van der Vorst, Math. Comp. 31, 1977), which holds what
states of one place do to each other.

Where factors of another matrix are there, of a step close by, they are a preconditioner with which a few products are enough.
"""

import numpy as np

cimport numpy as cnp
from libc.float cimport DBL_MIN
from libc.math cimport fabs, fmax, isfinite, sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset
from scipy.linalg.cython_blas cimport daxpy, ddot, dscal

from ._arrays cimport floats, integers
from ._core cimport Tape
from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._system cimport DONE, NOT_FINITE, Outcome

cnp.import_array()

cdef double SMALLEST = 1e-6     # part of the largest state that counts in the scale of a small one


cdef double norm_of(int n, double* v) noexcept nogil:
    """Of numbers whose squares are in range; BLAS takes twice the time for those whose squares are not."""
    cdef int one = 1
    return sqrt(ddot(&n, v, &one, v, &one))


cdef class Products(Linearised):
    """The products of J with vectors, at one point after another.

    Parameters
    ----------
    tape : Tape
        Of the tangent, or cotangent, of the right-hand side along x alone, one lane, with dx as scratch: binds x, p (unless it
        is empty), t, then the shadows of dx and x.
    n, p, find
        As in `Recorded`.
    transposed : bool
        Whether the tape is that of the cotangent, and the products those of the transpose.
    """

    def __init__(self, Tape tape, int64_t n, p, find=None, bint transposed=False):
        cdef int64_t slot
        self.n = self.n_x = n
        self.p, self.find = np.array(p, dtype=np.float64), find
        vectors = np.zeros((2, n))
        self.directions = vectors
        self.point, self.covector = floats(vectors), floats(vectors[1]) if transposed else NULL
        self.address[0] = <char*> self.point
        slot = self._bind_p_and_t(1)
        self.slot_d_dx, self.slot_d_x = slot, slot + 1
        self._complete(tape, slot + 2)

    cdef Outcome at(self, double t, const double* x, double* dx) noexcept nogil:
        """Go to (t, x); dx is left as it is."""
        self.t = t
        memcpy(self.point, x, self.n_x * sizeof(double))
        return DONE

    cdef Outcome multiply(self, const double* v, double* out) noexcept nogil:
        """Write the product with v into out."""
        cdef Outcome outcome
        if self.covector != NULL:
            memcpy(self.covector, v, self.n_x * sizeof(double))
            memset(out, 0, self.n_x * sizeof(double))  # what the program adds to
        self._place(self.slot_d_dx, out if self.covector == NULL else self.covector)
        self._place(self.slot_d_x, v if self.covector == NULL else out)
        outcome = self._run()
        return outcome if outcome != DONE else self.count()


cdef class Krylov(Matrix):
    """A matrix I - scale J that is solved with by `approximate` alone. Subclasses implement `multiply`."""

    def __cinit__(self, int64_t n, *_):
        self.weight, self.found, self.vector, self.image = self._new(n), self._new(n), self._new(n), self._new(n)
        self.basis = self._new((RESTART + 1) * n)
        self.most, self.cycles = RESTART, CYCLES

    cdef Outcome multiply(self, const double* v, double* out) noexcept nogil:
        """Write the product with v into out."""
        return NOT_FINITE

    cdef void precondition(self, double* v) noexcept nogil:
        """Solve approximately, in place."""
        pass

    cdef void demand(self, const double* y, double rtol, const double* atol, double tolerance) noexcept nogil:
        """Solve from now on to this root mean square of the residual over atol + rtol |y|."""
        cdef int64_t j
        cdef double share = 1 / sqrt(<double> self.n)
        for j in range(self.n):
            self.weight[j] = share / (atol[j] + rtol * fabs(y[j]) + DBL_MIN)
        self.tolerance = tolerance

    cdef void demand_of_cotangents(self, const double* x, const double* b, double tolerance) noexcept nogil:
        """Solve from now on to this part of the norm of b, a cotangent of states of these sizes."""
        cdef int64_t j
        cdef double largest = 0, total = 0
        for j in range(self.n):
            if fabs(x[j]) > largest:
                largest = fabs(x[j])
        for j in range(self.n):
            self.weight[j] = fabs(x[j]) / largest + SMALLEST if largest > 0 else 1
            total += (self.weight[j] * b[j]) * (self.weight[j] * b[j])
        self.tolerance = tolerance * sqrt(total)

    cdef Outcome approximate(self, double* b) noexcept nogil:
        """Replace b by the solution to that tolerance; NOT_FINITE if it cannot be reached."""
        cdef int n = <int> self.n, _
        cdef int64_t j
        cdef double norm
        cdef Outcome outcome
        memset(self.found, 0, self.n * sizeof(double))
        for j in range(self.n):
            self.basis[j] = self.weight[j] * b[j]
        norm = norm_of(n, self.basis)
        for _ in range(self.cycles):
            if not isfinite(norm):
                return NOT_FINITE
            if norm <= self.tolerance:
                memcpy(b, self.found, self.n * sizeof(double))
                return DONE
            outcome = self.cycle(&norm)
            if outcome != DONE:
                return outcome
            if norm > self.tolerance:  # the residual itself, for the next cycle
                outcome = self.multiply(self.found, self.image)
                if outcome != DONE:
                    return outcome
                for j in range(self.n):
                    self.basis[j] = self.weight[j] * (b[j] - self.image[j])
                norm = norm_of(n, self.basis)
        if norm <= self.tolerance:
            memcpy(b, self.found, self.n * sizeof(double))
            return DONE
        return NOT_FINITE

    cdef Outcome cycle(self, double* norm) noexcept nogil:
        """Improve `found` by the residual of this norm in the first row of the basis; the norm becomes that of the new one."""
        cdef int n = <int> self.n, one = 1, i, k = 0
        cdef int64_t j
        cdef double factor = 1 / norm[0], length
        cdef double* column
        cdef double* newest
        cdef double* vector
        cdef const double* v
        cdef Outcome outcome
        dscal(&n, &factor, self.basis, &one)
        self.remaining[0] = norm[0]
        for k in range(self.most):
            column, v, newest = self.upper[k], self.basis + k * self.n, self.basis + (k + 1) * self.n
            vector = self.vector if self.preconditioned == NULL else self.preconditioned + k * self.n
            for j in range(self.n):
                vector[j] = v[j] / self.weight[j]
            self.precondition(vector)
            outcome = self.multiply(vector, self.image)
            if outcome != DONE:
                return outcome
            for j in range(self.n):
                newest[j] = self.weight[j] * self.image[j]
            for i in range(k + 1):
                column[i] = ddot(&n, newest, &one, self.basis + i * self.n, &one)
                factor = -column[i]
                daxpy(&n, &factor, self.basis + i * self.n, &one, newest, &one)
            length = column[k + 1] = norm_of(n, newest)
            norm[0] = self.rotate(k)
            if not isfinite(norm[0]):
                return NOT_FINITE
            if norm[0] <= self.tolerance or length == 0:
                break
            factor = 1 / length
            dscal(&n, &factor, newest, &one)
        self.add_correction(k + 1)
        return DONE

    cdef double rotate(self, int column) noexcept nogil:
        """Bring a new column to the triangle; the norm of the residual that is left with it."""
        cdef double* h = self.upper[column]
        cdef double value, length
        cdef int i
        for i in range(column):
            value = self.cosine[i] * h[i] + self.sine[i] * h[i + 1]
            h[i + 1] = self.cosine[i] * h[i + 1] - self.sine[i] * h[i]
            h[i] = value
        length = sqrt(h[column] * h[column] + h[column + 1] * h[column + 1])
        self.cosine[column], self.sine[column] = h[column] / length, h[column + 1] / length
        h[column] = length
        self.remaining[column + 1] = -self.sine[column] * self.remaining[column]
        self.remaining[column] *= self.cosine[column]
        return fabs(self.remaining[column + 1])

    cdef void add_correction(self, int count) noexcept nogil:
        """Add the combination of the first rows of the basis with the smallest residual to `found`."""
        cdef int n = <int> self.n, one = 1, i, k
        cdef int64_t j
        cdef double coefficient
        cdef const double* v
        for i in range(count - 1, -1, -1):
            for k in range(i + 1, count):
                self.remaining[i] -= self.upper[k][i] * self.remaining[k]
            self.remaining[i] /= self.upper[i][i]
        if self.preconditioned != NULL:
            for i in range(count):
                daxpy(&n, &self.remaining[i], self.preconditioned + i * self.n, &one, self.found, &one)
            return
        memset(self.vector, 0, self.n * sizeof(double))
        for i in range(count):
            v, coefficient = self.basis + i * self.n, self.remaining[i]
            for j in range(self.n):
                self.vector[j] += coefficient * v[j]
        for j in range(self.n):
            self.vector[j] /= self.weight[j]
        self.precondition(self.vector)
        for j in range(self.n):
            self.found[j] += self.vector[j]


cdef class ByProducts(Krylov):
    """The matrix by the products of a linearisation.

    Parameters
    ----------
    n : int
    rows, columns, source : (0,) int array
        No entry is known.
    products : Products
    """

    def __init__(self, int64_t n, rows, columns, source, Products products):
        self.of, self.anywhere = products, True

    cdef void assemble(self, const double* values, double scale) noexcept nogil:
        self.scale = scale

    cdef bint factor(self) noexcept nogil:
        return True

    cdef Outcome multiply(self, const double* v, double* out) noexcept nogil:
        cdef int64_t j
        cdef Outcome outcome = self.of.multiply(v, out)
        self.products += 1
        for j in range(self.n):
            out[j] = v[j] - self.scale * out[j]
        return outcome


cdef class ByEntries(Krylov):
    """The matrix by its elements.

    Parameters
    ----------
    n, rows, columns, source
        As in `Matrix`.
    transposed : bool
        Whether its transpose is to be solved with.
    """

    def __init__(self, int64_t n, rows, columns, source, bint transposed=False):
        self.transposed = transposed
        rows, columns = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
        missing = np.setdiff1d(np.arange(n), rows[rows == columns])  # of the diagonal
        all_rows, all_columns = np.append(rows, missing), np.append(columns, missing)
        order = np.lexsort((all_columns, all_rows))
        target = np.argsort(order)
        by_row = np.ascontiguousarray(all_columns[order])
        starts = np.searchsorted(all_rows[order], np.arange(n + 1))
        self._place(target[: rows.size], np.flatnonzero(all_rows[order] == by_row), by_row.size)
        places = (np.ascontiguousarray(starts, dtype=np.int64), by_row, np.full(n, -1, dtype=np.int64))
        self.owners.extend(places)
        self.start, self.column, self.place = integers(places[0]), integers(places[1]), integers(places[2])
        self.elements, self.sizes = self._new(by_row.size), self._new(n)

    cdef void demand(self, const double* y, double rtol, const double* atol, double tolerance) noexcept nogil:
        """The same; with a mass matrix of each equation divided by the largest element of its row.

        An equation x' = f has 1 in its row. One of a mass matrix may have small elements, and a constraint has only those of J
        times the step: what is left over in it is as much smaller than the error of the solution.
        """
        cdef int64_t j
        Krylov.demand(self, y, rtol, atol, tolerance)
        if self.mass is not None:
            for j in range(self.n):
                self.weight[j] /= self.sizes[j]

    cdef bint factor(self) noexcept nogil:
        """Keep the matrix, and replace the storage by its factors as far as these have its pattern."""
        cdef int64_t i, k, e, other
        cdef double* a = self.storage
        memcpy(self.elements, a, self.size * sizeof(double))
        for i in range(self.n):
            self.sizes[i] = 0
            for e in range(self.start[i], self.start[i + 1]):
                self.sizes[i] = fmax(self.sizes[i], fabs(a[e]))
            for e in range(self.start[i], self.start[i + 1]):
                self.place[self.column[e]] = e
            for e in range(self.start[i], self.diagonal[i]):
                k = self.column[e]
                a[e] *= self.inverse[k]
                for other in range(self.diagonal[k] + 1, self.start[k + 1]):
                    if self.place[self.column[other]] >= 0:
                        a[self.place[self.column[other]]] -= a[e] * a[other]
            for e in range(self.start[i], self.start[i + 1]):
                self.place[self.column[e]] = -1
            if not fabs(a[self.diagonal[i]]) > 0:
                return False
            self.inverse[i] = 1 / a[self.diagonal[i]]
        return True

    cdef void precondition(self, double* v) noexcept nogil:
        cdef int64_t i, e
        cdef double total
        if self.transposed:
            for i in range(self.n):
                v[i] *= self.inverse[i]
                for e in range(self.diagonal[i] + 1, self.start[i + 1]):
                    v[self.column[e]] -= self.storage[e] * v[i]
            for i in range(self.n - 1, -1, -1):
                for e in range(self.start[i], self.diagonal[i]):
                    v[self.column[e]] -= self.storage[e] * v[i]
            return
        for i in range(self.n):
            total = v[i]
            for e in range(self.start[i], self.diagonal[i]):
                total -= self.storage[e] * v[self.column[e]]
            v[i] = total
        for i in range(self.n - 1, -1, -1):
            total = v[i]
            for e in range(self.diagonal[i] + 1, self.start[i + 1]):
                total -= self.storage[e] * v[self.column[e]]
            v[i] = total * self.inverse[i]

    cdef Outcome multiply(self, const double* v, double* out) noexcept nogil:
        cdef int64_t i, e
        cdef double total
        self.products += 1
        if self.transposed:
            memset(out, 0, self.n * sizeof(double))
            for i in range(self.n):
                for e in range(self.start[i], self.start[i + 1]):
                    out[self.column[e]] += self.elements[e] * v[i]
            return DONE
        for i in range(self.n):
            total = 0
            for e in range(self.start[i], self.start[i + 1]):
                total += self.elements[e] * v[self.column[e]]
            out[i] = total
        return DONE


cdef class ByNeighbour(ByEntries):
    """The matrix by its elements, and by the factors of another one close to it.

    New factors pay as soon as a system takes more products than those since the last factors on the average, with these.

    Parameters
    ----------
    n, rows, columns, source, transposed
        As in `ByEntries`.
    factored : Matrix
        Who factors it says so by `renew`.
    price : float
        What a factorisation costs, in products with solutions.
    """

    def __init__(self, int64_t n, rows, columns, source, bint transposed, Matrix factored, double price):
        ByEntries.__init__(self, n, rows, columns, source, transposed)
        if factored.n != n or factored.mass is not None:
            raise ValueError("the other matrix does not fit")
        self.factored, self.price, self.cycles = factored, price, 1
        self.most = max(1, min(RESTART, <int> price))
        self.preconditioned = self._new(self.most * n)
        self._pick(source)

    def _pick(self, source):
        """Know which value makes each element, of which those of the diagonal may have none."""
        cdef int64_t[::1] target = <int64_t[:self.entries]> self.target if self.entries else np.empty(0, dtype=np.int64)
        picked = np.zeros(self.size + 1, dtype=np.int64)
        is_there = np.zeros(self.size, dtype=bool)
        picked[np.asarray(target)] = source
        is_there[np.asarray(target)] = True
        missing = np.append(np.flatnonzero(~is_there), 0)
        self.picked, self.missing, self.n_missing = integers(picked), integers(missing), len(missing) - 1
        self.owners.extend((picked, missing))

    cdef void forget(self) noexcept nogil:
        """There are no factors."""
        self.is_there = False

    cdef void renew(self) noexcept nogil:
        """The factors are new, and were solved with."""
        self.is_there, self.spent, self.solved, self.latest = True, self.price + 1, 1, 1

    cdef bint pays(self) noexcept nogil:
        """Whether to go on with the factors that are there costs less than new ones."""
        return self.is_there and self.latest * self.solved <= self.spent

    cdef void assemble(self, const double* values, double scale) noexcept nogil:
        cdef int64_t e
        for e in range(self.size):
            self.elements[e] = -scale * values[self.picked[e]]
        for e in range(self.n_missing):
            self.elements[self.missing[e]] = 0
        for e in range(self.n):
            self.elements[self.diagonal[e]] += 1

    cdef bint factor(self) noexcept nogil:
        return True

    cdef void precondition(self, double* v) noexcept nogil:
        if self.transposed:
            self.factored.solve_transposed(v, 1)
        else:
            self.factored.solve(v, 1)

    cdef Outcome approximate(self, double* b) noexcept nogil:
        cdef int64_t before = self.products
        cdef Outcome outcome = Krylov.approximate(self, b)
        self.latest = self.products - before
        self.spent += self.latest
        self.solved += 1
        return outcome
