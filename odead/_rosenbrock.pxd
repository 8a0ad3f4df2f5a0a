"""The Rosenbrock methods: a step, and the way back over steps."""

from libc.stdint cimport int64_t

from ._adjoint cimport Adjoint
from ._implicit cimport ImplicitMethod, Step
from ._steppers cimport MOST_STAGES, Combination
from ._system cimport Outcome, Recorded


cdef class RosenbrockMethod(ImplicitMethod):    # here a stage is 1/h times what is added to x, up to a factor
    cdef double d[MOST_STAGES]          # weight of h df/dt
    cdef Combination shift[MOST_STAGES]     # of the stages before, added to the derivative


cdef class RosenbrockStep(Step):
    cdef RosenbrockMethod rosenbrock

    cdef void complete_stage(self, int64_t i, double h, const double* slope) noexcept nogil


cdef class StepCotangents(Recorded):
    cdef int64_t slot_d_x_lanes         # the tangents of x
    cdef int64_t slot_products          # cotangents of the products with them
    cdef object weights                 # d of the method
    cdef object tangents_of_t
    cdef const double* weight
    cdef int64_t stages
    cdef bint timed
    cdef int64_t lanes                  # groups of columns of J, and one more if time is a direction
    cdef double* tangents               # of x, along them; NULL: the tangents are the stages
    cdef double* products               # cotangents of the products with them
    cdef int64_t entries                # of J, as in `Linearised`
    cdef const int64_t* row
    cdef const int64_t* column
    cdef const int64_t* position
    cdef tuple owners

    cdef int _take_groups(self, tuple groups) except -1
    cdef void gather(self, const double* k, const double* products) noexcept nogil

    cdef Outcome pull(self, double t, const double* x, const double* k, double* covector, double* products,
                      double* x_bar) noexcept nogil


cdef class RosenbrockAdjoint(Adjoint):
    cdef readonly RosenbrockStep step
    cdef readonly StepCotangents joint
    cdef double* mu                     # cotangents of the right-hand sides of the stages' equations

    cdef void spread_shift(self, int64_t i, const double* covector) noexcept nogil
