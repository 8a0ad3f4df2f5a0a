"""The discrete adjoint of the explicit Runge-Kutta methods."""

from libc.stdint cimport int64_t

from ._record cimport Record
from ._steppers cimport MOST_STAGES, Method
from ._system cimport Cotangents, Outcome, System


cdef class Adjoint:
    cdef readonly Method method
    cdef readonly Record record
    cdef Record segment                 # the steps between two states that the record kept
    cdef int64_t first                  # number of the step whose states and slopes come first in the following
    cdef const double* states
    cdef const double* slopes           # NULL: to be computed again
    cdef int64_t rows                   # of slopes, per step
    cdef readonly System system         # the right-hand side, for stages that the record has not
    cdef readonly Cotangents cotangents
    cdef public Cotangents behind           # what comes behind the values that the evaluations have saved; or None
    cdef int64_t begins                     # number of the first step of a sweep
    cdef int64_t ends                       # and of the one after the last; -1: of all
    cdef const double* end                  # the state after the last of these, where it was reset; NULL: in the record
    cdef int64_t number                     # of the step
    cdef int64_t n
    cdef double* x_bar                  # cotangent of the state at the end of the step, then at its start
    cdef double* slope_bar              # of the derivative there, where it is the first stage of the next step
    cdef double* k_bar                  # of the stages; where a stage was dealt with, of its argument
    cdef double* sum_bar                # of the state at the start of the step, while it is being summed
    cdef double* z                      # argument of a stage
    cdef double* z_bar                  # and its cotangent
    cdef double* covector               # of a stage, used up
    cdef double* k                      # stages of a step, where they are computed again
    cdef const double* taken            # stages of a step: these, or the ones that were kept
    cdef double* arguments              # of stages that are computed again
    cdef const double* argument_of[MOST_STAGES]     # where that of a stage of this step is; NULL: to be added up
    cdef object result                  # x_bar as an array
    cdef tuple owners

    cdef void restart(self) noexcept nogil
    cdef void tally(self, int64_t* njev, int64_t* nlu) noexcept nogil
    cdef Outcome sweep(self, const double* times, const double* y_bar, int64_t n_times) noexcept nogil
    cdef const double* new_state(self, int64_t number) noexcept nogil
    cdef Outcome unfold(self, int64_t first) noexcept nogil
    cdef Outcome step_back(self, int64_t number, const double* times, const double* y_bar, int64_t* last) noexcept nogil
    cdef bint has_inside(self, int64_t number, const double* times, int64_t last) noexcept nogil
    cdef void gather(self, int64_t i, double h, int64_t stop, const double* start, double* out) noexcept nogil
    cdef void add_arguments(self, int64_t stop, const double* start) noexcept nogil
    cdef void take_outputs(self, double t, double h, const double* times, const double* y_bar, int64_t* last) noexcept nogil
    cdef void take_inside(self, double q, double h, const double* row) noexcept nogil
    cdef Outcome restore(self, int64_t number, int64_t stop) noexcept nogil
    cdef Outcome pull(self, int64_t row, double t, const double* x, double* x_bar) noexcept nogil
    cdef Outcome pull_stage(self, int64_t i, double t, double h, const double* x, double* z_bar) noexcept nogil
