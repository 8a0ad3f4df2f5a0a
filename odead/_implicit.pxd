"""What the implicit one-step methods share: a step behind C methods, and the loop over steps."""

from libc.stdint cimport int64_t

from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._record cimport Record
from ._steppers cimport MOST_STAGES, Combination, Explicit, Method
from ._system cimport Outcome, System


cdef class ImplicitMethod(Method):
    cdef double gamma                   # the equations of all stages have the matrix I - h gamma J
    cdef double middle_slope[MOST_STAGES]   # weights of the stages in the derivative of the interpolant in the middle of a step

    cdef int read(self, object tableau) except -1


cdef class Step:
    cdef readonly System system         # its states, then sensitivities
    cdef readonly Linearised linearised
    cdef readonly Matrix matrix
    cdef Record record                  # of the loop; None: nothing is saved
    cdef readonly int64_t njev          # linearisations
    cdef readonly int64_t nlu           # factorisations
    cdef ImplicitMethod method
    cdef int64_t n
    cdef double t                       # where it starts
    cdef double factored_at             # h of the factors, where J is constant; NAN: none
    cdef const double* x
    cdef double* slope                  # the derivative where the linearisation is
    cdef double* k                      # stages; whose they are says who made the step
    cdef double* z                      # argument of a stage
    cdef double* w                      # derivative there
    cdef double* place                  # where the evaluations of the stages save; NULL: nowhere
    cdef bint failed                    # the equations of a stage could not be solved
    cdef double* sum                    # of stages, where a mass matrix multiplies it
    cdef object owner                   # of slope, z, w and sum

    cdef void restart(self) noexcept nogil
    cdef Outcome begin(self, double t, const double* x) noexcept nogil
    cdef bint factor(self, double h) noexcept nogil
    cdef int64_t numbers(self)
    cdef void save(self) noexcept nogil
    cdef Outcome compute_stages(self, double h) noexcept nogil
    cdef void add_sum(self, const double* start, double factor, const Combination* weights, double* out) noexcept nogil
    cdef Outcome interpolant_error(self, double h, double* error) noexcept nogil


cdef class Implicit(Explicit):
    cdef readonly Step attempted        # the step
    cdef double* residual               # error estimate of the interpolant
    cdef double* row_sums               # of the moduli of J, then of its columns
    cdef bint failed                    # the step could not be computed
    cdef bint looks_inside              # the error estimate of the interpolant counts

    cdef bint interpolates(self, double t_new) noexcept nogil
    cdef Outcome look_for_sign(self, double t_new, double h, bint* sign) noexcept nogil
