"""The loop of the Rosenbrock methods."""

from libc.stdint cimport int64_t

from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._steppers cimport MOST_STAGES, Combination, Explicit, Method
from ._system cimport Outcome


cdef class RosenbrockMethod(Method):    # here a stage is a multiple of 1/h times what is added to x
    cdef double gamma                   # the equations of all stages have the matrix I - h gamma J
    cdef double d[MOST_STAGES]          # weight of h df/dt
    cdef Combination shift[MOST_STAGES]     # of the stages before, added to the derivative
    cdef Combination solution               # weights of the stages in the new state
    cdef double middle_slope[MOST_STAGES]   # and in the derivative of the interpolant in the middle of a step


cdef class Rosenbrock(Explicit):
    cdef readonly Linearised linearised
    cdef readonly Matrix matrix
    cdef readonly int64_t njev          # linearisations
    cdef readonly int64_t nlu           # factorisations
    cdef RosenbrockMethod coefficients
    cdef double* slope                  # the derivative at the start of the step
    cdef double* residual               # error estimate of the interpolant
    cdef double linearised_at           # the time of the last linearisation
    cdef bint failed                    # the step could not be computed
    cdef bint looks_inside              # the residual counts
    cdef bint interpolates(self, double t_new) noexcept nogil
    cdef Outcome judge_interpolant(self, double h) noexcept nogil

    cdef Outcome pass_on(self, Outcome outcome) noexcept with gil
    cdef void complete_stage(self, int64_t i, double h, const double* slope) noexcept nogil
