"""The loop of the backward differentiation formulas."""

from libc.stdint cimport int64_t

from ._krylov cimport ByNeighbour, Krylov
from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._steppers cimport Explicit, Method
from ._system cimport Outcome, System

cdef enum:
    MOST_ORDER = 5
    ROWS = MOST_ORDER + 3               # of the differences


cdef class Formulas(Method):            # the stages of its interpolant are the differences of orders 1 to 5, over h
    cdef double gamma[MOST_ORDER + 1]   # per order
    cdef double alpha[MOST_ORDER + 1]
    cdef double error_constant[MOST_ORDER + 1]


cdef extern from "_differences.h" nogil:
    void odead_running_sums(int64_t n, const double* start, int64_t count, double* row, int64_t stride)
    void odead_mix(int64_t n, int64_t count, const double* weight, double* row, int64_t stride)


cdef void resizing(double factor, int64_t order, double[MOST_ORDER + 1][MOST_ORDER + 1] matrix) noexcept nogil


cdef class BDF(Explicit):               # the rows of k are the backward differences of orders 0 to 7
    cdef readonly System states         # the right-hand side without sensitivities
    cdef readonly Linearised linearised     # of the states, or
    cdef readonly bint is_together          # of the whole state
    cdef readonly Matrix matrix
    cdef readonly Krylov krylov         # the matrix, where it is, or was at first, solved with by iteration; or None
    cdef readonly bint iterates         # it still is
    cdef public ByNeighbour guards      # solves for sensitivities that only guard the steps; or None: they are exact
    cdef public object direct           # makes what to go on with where the iteration stalls: (Linearised, Matrix); or None
    cdef int64_t stalls                 # systems that the iteration gave up
    cdef readonly int64_t njev
    cdef readonly int64_t nlu
    cdef readonly int64_t order
    cdef Formulas formulas
    cdef int64_t size                   # states
    cdef int64_t equal_steps            # taken with this order and size
    cdef bint fresh                     # J was evaluated for this step
    cdef bint spoiled                   # J was evaluated where the Newton iteration did not end
    cdef bint evaluated                 # the sensitivities were, next to the new state
    cdef double rate                    # at which the Newton iteration converged last
    cdef bint factored                  # the matrix, for this order and size or those before an error was too large
    cdef double factored_at             # the value of c there
    cdef double tolerance               # of the Newton iteration, part of that of the step
    cdef double* predicted              # new state, extrapolated
    cdef double* psi                    # what is known of the formula
    cdef double* correction             # new state minus predicted
    cdef double* change                 # of a Newton iteration
    cdef public object slopes           # derivatives at the start, (blocks, states), where there is a mass matrix; or None
    cdef double* scaled                 # differences of orders 1 to 5 over h, for the record

    cdef void resize(self, double factor) noexcept nogil
    cdef Outcome linearise(self, double t, const double* x) noexcept nogil
    cdef Outcome factor_instead(self) noexcept with gil
    cdef bint prepare(self, double c) noexcept nogil
    cdef Outcome solve(self, double* b, int64_t first, int64_t count) noexcept nogil
    cdef Outcome try_step(self, double t_new, double h, int* iterations) noexcept nogil
    cdef Outcome iterate(self, double t_new, double c, int* iterations) noexcept nogil
    cdef void subtract_formula(self, double c, const double* slope, const double* psi, const double* d, int64_t count,
                               double* out) noexcept nogil
    cdef Outcome evaluate_all(self, double t_new) noexcept nogil
    cdef Outcome solve_sensitivities(self, double t_new, double c) noexcept nogil
    cdef Outcome solve_exactly(self, double* b, int64_t first, double c) noexcept nogil
    cdef Outcome solve_guards(self, double* b, double c) noexcept nogil
    cdef double worst(self, const double* row, double factor, int64_t blocks) noexcept nogil
    cdef void update_differences(self) noexcept nogil
    cdef void choose_order(self, double error, double safety) noexcept nogil
    cdef void scale_differences(self, double h) noexcept nogil
    cdef Outcome keep(self, double t_new, double h) noexcept nogil
    cdef void take_slopes(self) noexcept with gil
