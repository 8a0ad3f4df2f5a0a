"""The compiled loop of the explicit Runge-Kutta methods. A vector is n numbers, a stage a row of n numbers."""

from libc.stdint cimport int64_t

from ._record cimport Record
from ._system cimport Keys, Outcome, Recorded, System

cdef extern from "_vectors.h" nogil:
    void odead_combine(int64_t n, const double* y, double h, int count, const double* weight, const int64_t* index,
                       const double* k, int64_t stride, double* out)
    void odead_gather(int64_t n, const double* start, double h, int count, const double* weight, const int64_t* index,
                      const double* k, int64_t stride, double* out)
    void odead_spread(int64_t n, const double* x, double h, int count, const double* weight, const int64_t* index, double* k,
                      int64_t stride)
    void odead_errors(int64_t blocks, int64_t size, const double* x, const double* y, const double* rtol, const double* atol,
                      int count, const double* weight, const int64_t* index, const double* k, int64_t stride, double* squares)
    double odead_norm_of(double h, double squares, const double* others, int64_t size)
    double odead_norm(int64_t n, const double* x, const double* y, double rtol, const double* atol)
    bint odead_all_finite(int64_t n, const double* x)
    void odead_copy(int64_t n, const double* x, double* y)
    void odead_weigh(int count, int64_t degree, double (*coefficient)[16], const double* power, double* weight)


cdef enum:
    MOST_STAGES = 16
    MOST_DEGREES = 8
    PERIOD = 8              # steps from one look for stiffness to the next


cdef struct Combination:    # of stages, without those of weight 0
    int count
    double weight[MOST_STAGES]
    int64_t index[MOST_STAGES]


cdef int compress(object weights, Combination* found) except -1


cdef class Method:
    cdef readonly int64_t stages            # that a step uses; the last is the derivative at its end
    cdef readonly int64_t all_stages        # those for the interpolant included
    cdef double c[MOST_STAGES]
    cdef Combination argument[MOST_STAGES]  # of stage i, as x + h * combination
    cdef Combination onward[MOST_STAGES]    # of the later stages, the last first: what each has of stage i in its argument
    cdef Combination solution               # the new state, as x + h * combination
    cdef Combination error[2]
    cdef int n_errors                       # 1, or 2 for the combined estimate of DOP853
    cdef double exponent                    # of the error in the factor of the next step
    cdef double gain                        # the same where the error of the step before counts too, and its exponent;
    cdef double memory                      # 0: it does not
    cdef double interpolant[MOST_DEGREES][MOST_STAGES]  # of the stages that the interpolant uses, one after the other
    cdef Combination used                   # those stages, without weights
    cdef bint flip[MOST_DEGREES]
    cdef int64_t degree

    cdef int turn_round(self, int own) except -1
    cdef int interpolate_with(self, interpolant, used, flips) except -1
    cdef void weigh(self, double q, Combination* found) noexcept nogil
    cdef double shrinking(self, double error) noexcept nogil
    cdef double growth(self, double error, double* last_error) noexcept nogil


cdef double smallest_step(double t, double direction) noexcept nogil


cdef class Explicit:
    cdef readonly System system
    cdef readonly Method method
    cdef readonly Record record             # or None
    cdef public Recorded watch              # or None: a step inside or after which it does not hold is not accepted
    cdef public Keys keys                   # or None: the same, looked at after each step only
    cdef public Keys kinks                  # or None: where it does not, the error of a step has to be smaller
    cdef readonly double flipped            # where it first did not, of the times looked at
    cdef double held                        # the one before, where it did
    cdef public bint judges                 # whether to stop where another kind of method suits the problem better
    cdef public int64_t patience            # steps in which that must show
    cdef int64_t signs                      # steps in which it did, less those in which it did not
    cdef readonly double t                  # of the last accepted state
    cdef readonly double h                  # signed, the step tried last
    cdef readonly int64_t nsteps            # accepted
    cdef readonly int64_t nrejected
    cdef readonly int64_t delivered         # rows of the output written so far
    cdef readonly object y                  # output: a row per time asked for
    cdef readonly object state              # x as an array
    cdef double t_end                       # of the solve, or the next of the stops
    cdef double t_last                      # of the solve, where there are stops
    cdef tuple resets                       # a `Resetting` for each stop, or None
    cdef bint begins_anew                   # after the last of them
    cdef double* stops                      # in the direction of integration
    cdef int64_t n_stops
    cdef readonly int64_t passed            # of the stops
    cdef readonly object before             # the states before the resets: a row per stop
    cdef double* row_before
    cdef readonly object stop_times         # owns `stops`
    cdef double direction                   # 1 or -1
    cdef readonly double h_abs              # of the step to try next
    cdef double first_step                  # -1: to be chosen
    cdef double last_error                  # of the last accepted step
    cdef double max_step
    cdef public double reach                # with > 0, the longest step from `began`; it grows with the time since
    cdef public double began
    cdef double* ends                       # with `keep_pace`, of pieces of time: in each a step is limited by its own length
    cdef double* longest
    cdef double* beyond                     # and by what comes later
    cdef int64_t n_pieces
    cdef int64_t piece                      # that the solve is in
    cdef double origin                      # time in these pieces at the time 0 of the solve
    cdef tuple limits                       # own these
    cdef int64_t max_steps
    cdef int64_t n
    cdef int64_t blocks                     # equal parts of the state; the error is the largest of their norms
    cdef double* rtol                       # per block
    cdef double* each                       # rtol per state
    cdef double* squares                    # per block: of the one or two error estimates of the step tried last
    cdef double* others
    cdef double* norms                      # per block: of the error of the step tried last
    cdef double* sums                       # per block: of the norms of all accepted steps
    cdef double* atol                       # per state
    cdef double* x
    cdef double* z                          # argument of a stage; after the last one, the new state
    cdef double* w                          # argument of a stage that only the interpolant needs
    cdef double* f                          # derivative, where it is copied to its stage
    cdef double* k                          # stages
    cdef double* times
    cdef double* out
    cdef int64_t n_times
    cdef bint wants_all_stages              # the record does, at every step
    cdef bint has_extra                     # the stages of the interpolant are there
    cdef tuple owners
    cdef public object divide               # where a mass matrix multiplies x': makes rows of f those of x' in place; or None

    cdef void restart(self, double t0, double t1, const double* x0, double* times, int64_t n_times, double* out) noexcept nogil
    cdef void tally(self, int64_t* njev, int64_t* nlu) noexcept nogil
    cdef int check_room(self, int64_t numbers) except -1
    cdef Outcome start(self) noexcept nogil
    cdef Outcome pass_stop(self) noexcept with gil
    cdef Outcome differentiate(self, double t, const double* x, double* out) noexcept nogil
    cdef Outcome divide_by_mass(self, double* out) noexcept with gil
    cdef Outcome choose_step(self) noexcept nogil
    cdef Outcome advance(self) noexcept nogil
    cdef double limit(self) noexcept nogil
    cdef Outcome step(self) noexcept nogil
    cdef Outcome attempt(self, double h) noexcept nogil
    cdef Outcome evaluate_stage(self, int64_t i, double h, double* argument) noexcept nogil
    cdef Outcome add_stages(self, double h) noexcept nogil
    cdef Outcome deliver(self, double t_new, double h) noexcept nogil
    cdef void interpolate(self, double t, double h, double* row) noexcept nogil
    cdef Outcome look(self, double t_new, double h) noexcept nogil
    cdef double error_norm(self, double h) noexcept nogil
    cdef void square(self, const Combination* error, double* squares) noexcept nogil
    cdef void add_norms(self) noexcept nogil
    cdef Outcome judge(self, double t_new, double h, bint* turned) noexcept nogil
    cdef Outcome look_for_sign(self, double t_new, double h, bint* sign) noexcept nogil
