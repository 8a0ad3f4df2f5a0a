"""The problem that a continuous adjoint solves backwards, for the compiled loops.

With the solution x(t) between its steps at hand, lambda' = -J(x(t), t)^T lambda. The time of the loop, which is called elapsed
here, grows from 0 while that of the problem goes from one datum to the one before: after a datum the steps begin small, and
close to 0 there is always room for them.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport fmax, nextafter
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from ._arrays cimport floats, integers
from ._core cimport Tape
from ._curve cimport Curve
from ._krylov cimport Products
from ._linearised cimport Linearised
from ._system cimport DONE, Outcome, Recorded, System

cnp.import_array()


cdef class ByParameters(Products):
    """The products of the transpose of f_p with vectors, at one point after another.

    Parameters
    ----------
    tape : Tape
        Of the cotangent of the right-hand side along p alone, with dx as scratch: binds x, p, t, then the shadows of dx and p.
    n, p, find
        As in `Recorded`.
    """

    def __init__(self, Tape tape, int64_t n, p, find=None):
        Products.__init__(self, tape, n, p, find, True)

    cdef Outcome multiply(self, const double* v, double* out) noexcept nogil:
        cdef Outcome outcome
        memcpy(self.covector, v, self.n_x * sizeof(double))
        memset(out, 0, self.n_p * sizeof(double))
        self._place(self.slot_d_dx, self.covector)
        self._place(self.slot_d_x, out)
        outcome = self._run()
        return outcome if outcome != DONE else self.count()


cdef class ChangeInTime(Recorded):
    """The products of d/dt J^T with vectors, at points that move.

    Parameters
    ----------
    tape : Tape
        Of the reverse program of the right-hand side's tangent along x and t: binds x, p (unless it is empty), t, the tangents
        of x and of t, then the shadows of x and of the tangent of dx.
    n, p, find
        As in `Recorded`.
    """

    def __init__(self, Tape tape, int64_t n, p, find=None):
        cdef int64_t slot
        self.n = self.n_x = n
        self.p, self.find, self.one = np.array(p, dtype=np.float64), find, 1
        self.vectors = np.zeros((3, n))
        self.point = floats(self.vectors)
        self.velocity, self.covector = self.point + n, self.point + 2 * n
        self.address[0] = <char*> self.point
        slot = self._bind_p_and_t(1)
        self.address[slot], self.address[slot + 1] = <char*> self.velocity, <char*> &self.one
        self.slot_d_x = slot + 2
        self.address[slot + 3] = <char*> self.covector
        self._complete(tape, slot + 4)

    cdef Outcome multiply(self, double t, const double* w, double* out) noexcept nogil:
        """Write the product with w into out, at the point and with the velocity that are there."""
        self.t = t
        memcpy(self.covector, w, self.n_x * sizeof(double))
        memset(out, 0, self.n_x * sizeof(double))
        self._place(self.slot_d_x, out)
        return self._run()


cdef class Covector(System):
    """The right-hand side of lambda.

    Parameters
    ----------
    curve : Curve
        x(t).
    products : Products
        Of J^T.
    sign : float
        1.0 where the time of the problem falls, -1.0 where it grows.
    """

    def __init__(self, Curve curve, Products products, double sign):
        if curve.n != products.n_x or products.covector == NULL:
            raise ValueError("solution and products do not fit together")
        self.n, self.curve, self.products, self.sign = curve.n, curve, products, sign
        self.start()

    cdef void place(self, double begins, double ends) noexcept nogil:
        """Solve from here to there next.

        Where the state was reset, the end itself belongs to the solution before that, which this part does not know.
        """
        self.begins, self.ends = begins, nextafter(ends, begins)

    cdef double time(self, double elapsed) noexcept nogil:
        """The time of the problem; never beyond the end of this part."""
        return self.sign * fmax(self.sign * (self.begins - self.sign * elapsed), self.sign * self.ends)

    cdef Outcome value(self, double t, const double* x, double* dx) noexcept nogil:
        cdef int64_t j
        cdef Outcome outcome
        self.products.t = self.time(t)
        self.curve.at(self.products.t, self.products.point)
        outcome = self.products.multiply(x, dx)
        if outcome != DONE:
            return self.pass_on(self.products, outcome)
        if self.sign < 0:
            for j in range(self.n):
                dx[j] = -dx[j]
        return DONE


cdef class MovingProducts(Products):
    """The right-hand side of lambda by products with its Jacobian, for what solves linear systems by iteration.

    Parameters
    ----------
    covector : Covector
    tape, p, find
        As in `Products`; of the transpose.
    """

    def __init__(self, Covector covector, Tape tape, p, find=None):
        Products.__init__(self, tape, covector.n, p, find, True)
        self.of = covector

    cdef Outcome at(self, double t, const double* x, double* dx) noexcept nogil:
        self.t = self.of.time(t)
        self.of.curve.at(self.t, self.point)
        return DONE

    cdef Outcome multiply(self, const double* v, double* out) noexcept nogil:
        cdef int64_t j
        cdef Outcome outcome = Products.multiply(self, v, out)
        if self.of.sign < 0:
            for j in range(self.n_x):
                out[j] = -out[j]
        return outcome


cdef class LinearisedCovector(Linearised):
    """The right-hand side of lambda with its derivatives: J^T, and for the methods that want it d/dt J^T lambda.

    Parameters
    ----------
    covector : Covector
    of : Linearised
        The right-hand side of the problem, without sensitivities.
    order : (entries,) int array
        Which entry of J each entry of J^T is.
    change : ChangeInTime, optional
    """

    def __init__(self, Covector covector, Linearised of, order, ChangeInTime change=None):
        cdef int64_t n = covector.n
        if of.n != n or len(order) != of.entries:
            raise ValueError("solution and linearisation do not fit together")
        self.n = self.n_x = n
        self.covector, self.of, self.change = covector, of, change
        self.entries, self.constant, self.timed = of.entries, of.constant, change is not None
        self.order = np.ascontiguousarray(of.source[order], dtype=np.int64)
        self.rows, self.columns = (np.ascontiguousarray(a[order]) for a in (of.columns, of.rows))
        self.source = np.arange(self.entries)
        self.taken, self.position = integers(self.order), integers(self.source)
        self.row, self.column = integers(self.rows), integers(self.columns)
        vectors = np.zeros((3, n))
        numbers = np.zeros(self.entries + 1)
        self.vectors = (vectors, numbers)
        self.x, self.values = floats(vectors), floats(numbers)
        self.scratch, self.by_time = self.x + n, self.x + 2 * n
        self.start()

    cdef Outcome at(self, double t, const double* x, double* dx) noexcept nogil:
        cdef int64_t e, j
        cdef double now = self.covector.time(t), sign = self.covector.sign
        cdef Outcome outcome
        self.covector.curve.at(now, self.x)
        outcome = self.of.at(now, self.x, self.scratch)
        if outcome != DONE:
            return self.pass_on(self.of, outcome)
        memset(dx, 0, self.n * sizeof(double))
        for e in range(self.entries):
            self.values[e] = sign * self.of.values[self.taken[e]]
            dx[self.row[e]] += self.values[e] * x[self.column[e]]
        if self.change is not None:
            memcpy(self.change.point, self.x, self.n * sizeof(double))
            self.covector.curve.slope_at(now, self.change.velocity)
            outcome = self.change.multiply(now, x, self.by_time)
            if outcome != DONE:
                return self.pass_on(self.change, outcome)
            for j in range(self.n):
                self.by_time[j] = -self.by_time[j]
        return self.count()

    cdef const double* slope_in_time(self, int64_t block) noexcept nogil:
        return self.by_time
