"""The discrete adjoint of the backward differentiation formulas."""

from libc.stdint cimport int64_t

from ._adjoint cimport Adjoint
from ._bdf cimport Formulas
from ._krylov cimport ByNeighbour, Krylov
from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._system cimport Outcome, System


cdef class BackwardAdjoint(Adjoint):    # the rows of k_bar from 1 on are the cotangents of the differences, x_bar that of row 0
    cdef readonly Linearised linearised
    cdef readonly Matrix matrix
    cdef readonly Krylov krylov         # the matrix, where it is solved with by iteration; or None
    cdef readonly bint stalled          # the iteration gave up
    cdef public ByNeighbour neighbour   # solves with the factors of another step, where it pays; or None
    cdef bint is_near                   # it does for this step
    cdef double factored_at             # c of the matrix as it was assembled last; NAN: not yet
    cdef readonly int64_t njev
    cdef readonly int64_t nlu
    cdef Formulas formulas
    cdef int64_t order                  # of the step being transposed
    cdef public object divide_transposed    # the transpose of `divide` of the loop, or None

    cdef Outcome solve(self, const double* x, double c, double* b) noexcept nogil
    cdef Outcome factor(self, double t, const double* x, double c) noexcept nogil
    cdef Outcome factor_now(self, double c) noexcept nogil
    cdef void divide_slope(self) noexcept with gil
    cdef void pull_resize(self, double factor) noexcept nogil
