"""The compiled loop of the explicit methods on lanes: as many members of an ensemble side by side as there are lanes."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from ._batch cimport Batch
from ._core cimport Tape
from ._steppers cimport MOST_DEGREES, MOST_STAGES, Combination, Explicit, Method
from ._system cimport Outcome, Recorded

cdef extern from "_lanes.h" nogil:
    enum:
        ODEAD_MEMBERS
    void odead_lanes_combine(int64_t n, const double* y, const double* h, int count, const double* weight,
                             const int64_t* index, const double* k, int64_t stride, double* out)
    void odead_lanes_interpolate(int64_t n, const double* y, const double* h, int count, const double* weight,
                                 const int64_t* index, const double* k, int64_t stride, double* out)
    void odead_lanes_spread(int64_t n, const double* x, const double* h, int count, const double* weight, int each,
                            const int64_t* index, double* k, int64_t stride)
    void odead_lanes_error(int64_t n, const double* x, const double* y, double rtol, const double* atol, int count,
                           const double* weight, const int64_t* index, const double* k, int64_t stride, double* squares)
    void odead_lanes_basis(int64_t degree, const int* flip, const double* q, double* basis)
    void odead_lanes_weight(int64_t degree, const double* coefficient, const double* basis, double* weight)
    void odead_lanes_take(int64_t n, const double* taken, const double* source, double* to)
    void odead_lanes_add(int64_t n, const double* y, double* x)
    void odead_lanes_finite(int64_t n, const double* x, double* total)
    void odead_lanes_put(int64_t n, const double* x, double* lane)
    void odead_lanes_get(int64_t n, const double* lane, double* x)


cdef struct Trail:                      # the steps of one member
    double* rows                        # for each step, and for the end: the time and state before it, and its stages
    int64_t count                       # steps
    int64_t room                        # rows


cdef class Trails:
    cdef readonly int64_t members
    cdef readonly int64_t n             # numbers of a state
    cdef readonly int64_t stages        # of a step
    cdef int64_t size                   # numbers of a row
    cdef int64_t left                   # numbers for which there is room in the budget
    cdef Trail* trails                  # by member

    cdef Outcome begin(self, int64_t member, double t, const double* lane) noexcept nogil
    cdef Outcome add(self, int64_t member, double t, const double* lane, const double* stages, int64_t stride) noexcept nogil
    cdef bint _reserve(self, Trail* trail, int64_t room) noexcept nogil


cdef struct Weights:                    # of the interpolant, for each lane at a time of its own
    int count
    int64_t index[MOST_STAGES]
    double weight[MOST_STAGES][ODEAD_MEMBERS]


cdef void weigh_lanes(Method method, const double* q, Weights* found) noexcept nogil
cdef cnp.ndarray rows_of_lanes(int64_t count)


cdef struct Those:                      # the arrays of `Members`
    int64_t count
    double* x0
    double* p
    double* out
    double* y
    double* cotangents
    double* loss
    double* by_p
    double* by_x0
    double* sums
    int64_t* counts
    int64_t* states


cdef struct Lane:                       # one member on its way; what is a vector over lanes is in `Lanes`
    double t_new                        # end of the step tried
    double h_abs                        # its size
    double smallest                     # size below which a step drowns in round-off
    double last_error                   # of the last accepted step
    bint begins                         # the step to try next is a new one
    bint rejected                       # the step tried was rejected before
    Outcome outcome                     # DONE, or what stops this member
    int64_t nsteps
    int64_t nrejected
    int64_t evaluations
    int64_t delivered                   # outputs
    int64_t signs                       # of stiffness


cdef class Crew:
    cdef readonly Batch batch           # how it is done for one member
    cdef readonly Trails trails         # or None
    cdef Method method
    cdef Tape tape                      # of the right-hand side
    cdef bint settled                   # what the tape makes of parameters alone is there
    cdef int64_t n                      # numbers of a state, with sensitivities
    cdef int64_t n_p
    cdef Those those                    # of this run
    cdef int64_t next                   # member
    cdef int64_t active                 # lanes
    cdef int64_t member[ODEAD_MEMBERS]  # -1: none
    cdef double t[ODEAD_MEMBERS]        # at the start of the step
    cdef double h[ODEAD_MEMBERS]        # of the step, signed; 0 where there is no member
    cdef double at[ODEAD_MEMBERS]       # bound to the tapes as t
    cdef double q[ODEAD_MEMBERS]        # fraction of the step where there is an output
    cdef bint waits[ODEAD_MEMBERS]      # whether there is one
    cdef double* x                      # (n, lanes), as the following: the state at the start of the step
    cdef double* z                      # argument of a stage
    cdef double* f                      # its derivative
    cdef double* k                      # (stages, n, lanes)
    cdef double* p                      # (n_p, lanes)
    cdef cnp.ndarray owner
    cdef list captured                  # arrays behind the last slots of the tapes

    cdef void start(self) noexcept nogil
    cdef void fill(self, int64_t s) noexcept nogil
    cdef void abandon(self) noexcept nogil
    cdef bint take(self, int64_t s) noexcept nogil
    cdef void close(self, int64_t s, Outcome outcome) noexcept nogil


cdef class Lanes(Crew):
    cdef Explicit single                # the loop of one member: how to begin, and all that is the same for all
    cdef Recorded system                # its right-hand side
    cdef int64_t n_directions
    cdef Lane lane[ODEAD_MEMBERS]
    cdef double taken[ODEAD_MEMBERS]    # whether the step tried is accepted
    cdef double error[ODEAD_MEMBERS]    # the largest norm of a block
    cdef double* w                      # (n, lanes), as the following
    cdef double* atol
    cdef double* directions             # (width * n_p, lanes)
    cdef double* norms                  # (blocks, lanes)
    cdef double* sums                   # (blocks, lanes)

    cdef int resume(self) except -1
    cdef void place(self, double* x) noexcept nogil
    cdef Outcome advance(self) noexcept nogil
    cdef Outcome begin(self, int64_t s) noexcept nogil
    cdef void visit(self, int64_t member) noexcept nogil
    cdef bint propose(self, int64_t s) noexcept nogil
    cdef bint attempt(self) noexcept nogil
    cdef bint evaluate(self, int64_t stage) noexcept nogil
    cdef void estimate(self) noexcept nogil
    cdef void decide(self, int64_t s, double finite) noexcept nogil
    cdef bint deliver(self) noexcept nogil
    cdef bint has_output(self, int64_t s) noexcept nogil
    cdef bint add_stages(self) noexcept nogil
    cdef void write(self, int64_t s, const double* state) noexcept nogil
    cdef void accept(self, int64_t s) noexcept nogil
    cdef Outcome judge(self, int64_t s) noexcept nogil
