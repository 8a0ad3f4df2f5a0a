"""The Rosenbrock methods: a step, the loop over steps, and the way back over them."""

from libc.stdint cimport int64_t

from ._adjoint cimport Adjoint
from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._steppers cimport MOST_STAGES, Combination, Explicit, Method
from ._system cimport Outcome, Recorded, System


cdef class RosenbrockMethod(Method):    # here a stage is 1/h times what is added to x, up to a factor
    cdef double gamma                   # the equations of all stages have the matrix I - h gamma J
    cdef double d[MOST_STAGES]          # weight of h df/dt
    cdef Combination shift[MOST_STAGES]     # of the stages before, added to the derivative
    cdef double middle_slope[MOST_STAGES]   # weights of the stages in the derivative of the interpolant in the middle of a step


cdef class Step:
    cdef readonly System system         # its states, then the sensitivities that `linearised` has
    cdef readonly Linearised linearised
    cdef readonly Matrix matrix
    cdef readonly int64_t njev          # linearisations
    cdef readonly int64_t nlu           # factorisations
    cdef RosenbrockMethod method
    cdef int64_t n
    cdef double t                       # where it starts; the linearisation is there
    cdef const double* x
    cdef double* slope                  # the derivative there
    cdef double* k                      # stages; whose they are says who made the step
    cdef double* z                      # argument of a stage
    cdef double* w                      # derivative there
    cdef double* sum                    # of stages, where a mass matrix multiplies it
    cdef object owner                   # of slope, z, w and sum

    cdef Outcome begin(self, double t, const double* x) noexcept nogil
    cdef bint factor(self, double h) noexcept nogil
    cdef Outcome compute_stages(self, double h) noexcept nogil
    cdef void complete_stage(self, int64_t i, double h, const double* slope) noexcept nogil
    cdef void add_sum(self, const double* start, double factor, const Combination* weights, double* out) noexcept nogil
    cdef Outcome interpolant_error(self, double h, double* error) noexcept nogil
    cdef void pass_on(self, System other) noexcept with gil


cdef class Rosenbrock(Explicit):
    cdef readonly Step attempted        # the step
    cdef double* residual               # error estimate of the interpolant
    cdef double* row_sums               # of the moduli of J, then of its columns
    cdef bint failed                    # the step could not be computed
    cdef bint looks_inside              # the error estimate of the interpolant counts

    cdef bint interpolates(self, double t_new) noexcept nogil
    cdef Outcome look_for_sign(self, double t_new, double h, bint* sign) noexcept nogil


cdef class StepCotangents(Recorded):
    cdef int64_t slot_d_x_lanes         # the stages
    cdef int64_t slot_products          # cotangents of the products with them
    cdef object weights                 # d of the method

    cdef Outcome pull(self, double t, const double* x, const double* k, double* covector, double* products,
                      double* x_bar) noexcept nogil


cdef class RosenbrockAdjoint(Adjoint):
    cdef readonly Step step
    cdef readonly StepCotangents joint
    cdef double* mu                     # cotangents of the right-hand sides of the stages' equations

    cdef void spread_shift(self, int64_t i, const double* covector) noexcept nogil
