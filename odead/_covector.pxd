"""The problem that a continuous adjoint solves backwards, for the compiled loops."""

from libc.stdint cimport int64_t

from ._curve cimport Curve
from ._krylov cimport Products
from ._linearised cimport Linearised
from ._system cimport Outcome, Recorded, System


cdef class ByParameters(Products):      # products of the transpose of f_p; an image is n_p numbers
    pass


cdef class ChangeInTime(Recorded):      # d/dt J^T along the solution
    cdef object vectors                 # own what follows
    cdef double* point
    cdef double* velocity
    cdef double* covector
    cdef double one
    cdef Outcome multiply(self, double t, const double* w, double* out) noexcept nogil


cdef class Covector(System):            # its time grows from 0 while that of the problem goes back
    cdef readonly Curve curve
    cdef readonly Products products
    cdef double begins                  # the time of the problem where this part of the solve begins, and where it ends
    cdef double ends
    cdef double sign                    # 1 where the time of the problem falls

    cdef void place(self, double begins, double ends) noexcept nogil
    cdef double time(self, double elapsed) noexcept nogil


cdef class MovingProducts(Products):    # those of J^T, for a covector's own time and direction
    cdef Covector of


cdef class LinearisedCovector(Linearised):
    cdef readonly Covector covector
    cdef readonly Linearised of         # the right-hand side itself
    cdef readonly ChangeInTime change   # or None: not asked for
    cdef object order                   # owns `taken`
    cdef object vectors                 # own the next ones
    cdef double* x
    cdef double* scratch
    cdef double* by_time
    cdef int64_t* taken                 # per entry: its position among the values of `of`
