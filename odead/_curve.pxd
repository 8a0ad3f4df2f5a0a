"""The solution between the steps, as a function of time for the compiled loops."""

from libc.stdint cimport int64_t

from ._steppers cimport MOST_DEGREES, Method

cdef class Curve:
    cdef readonly int64_t n
    cdef readonly Method method             # of this part
    cdef readonly Curve earlier             # the part before it in the order of integration; or None
    cdef tuple owners
    cdef double sign                        # 1 where time grows
    cdef double* ts                         # count + 1 ends of steps
    cdef double* states                     # there
    cdef double* slopes                     # of each step, `rows` stages
    cdef int64_t count
    cdef int64_t rows
    cdef int64_t step                       # asked for last

    cdef void at(self, double t, double* x) noexcept nogil
    cdef void slope_at(self, double t, double* dx) noexcept nogil
    cdef bint _find(self, double t) noexcept nogil


cdef void blend(Method method, double q, double h, const double* x, const double* stages, int64_t n, double* out) noexcept nogil
