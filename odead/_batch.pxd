"""Solves of one problem for many initial values and parameters."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from ._adjoint cimport Adjoint
from ._core cimport Tape
from ._steppers cimport Explicit

cdef enum:
    MOST_SYSTEMS = 8

cdef double LISTEN              # seconds after which to return, so that the interpreter can see Ctrl-C


cdef enum State:                    # of a member
    WAITING
    SOLVED
    UNUSUAL                         # something came up that is not done here: the member is to be solved in the ordinary way
    RAISED_ERROR                    # the exception is the batch's `error`


cdef class Members:
    cdef readonly int64_t count
    cdef readonly cnp.ndarray x0            # (count, n)
    cdef readonly cnp.ndarray p             # (count, n_p)
    cdef readonly cnp.ndarray out           # (count, times, blocks n): states, then sensitivities, as the loop writes them
    cdef readonly cnp.ndarray y             # (count, n, times): the states
    cdef readonly cnp.ndarray cotangents    # (count, n, times): of y in the loss
    cdef readonly cnp.ndarray loss          # (count,)
    cdef readonly cnp.ndarray by_p          # (count, n_p): gradients; in forward mode that part which is not through y
    cdef readonly cnp.ndarray by_x0         # (count, n): gradients
    cdef readonly cnp.ndarray sums          # (count, blocks): of error norms
    cdef readonly cnp.ndarray counts        # (count, 5): steps, rejected ones, evaluations, Jacobians, factorisations
    cdef readonly cnp.ndarray states        # (count,): a State each


cdef class Start:
    cdef int64_t n
    cdef int64_t n_p

    cdef void begin(self, const double* x0, const double* p, double* state, double* atol) noexcept nogil


cdef class StartWithProbes(Start):
    cdef const double* sign_p               # or NULL
    cdef const double* sign_x0
    cdef double* direction[2]               # of p, for the first probe, as each system has it; or NULL
    cdef const int64_t* group               # or NULL
    cdef int64_t groups
    cdef double* total                      # of each group, then how many it has
    cdef tuple owners

    cdef void move(self, const double* p, double* direction) noexcept nogil


cdef class StartWithColumns(Start):
    cdef bint with_p
    cdef bint with_x0
    cdef double share
    cdef double* states_atol
    cdef object owner


cdef class Runner:
    cdef readonly object error


cdef class Batch(Runner):
    cdef readonly Explicit loop
    cdef readonly Adjoint adjoint           # or None
    cdef public bint one_by_one             # return after each member, whose steps are wanted
    cdef Start start
    cdef Tape loss                          # or None
    cdef int64_t n
    cdef int64_t n_p
    cdef int64_t m
    cdef int64_t size                       # of the state
    cdef int64_t stages                     # to be kept of each step
    cdef list systems
    cdef int64_t n_systems
    cdef double* p_of[MOST_SYSTEMS]
    cdef int64_t* calls_of[MOST_SYSTEMS]
    cdef int64_t* flips_of[MOST_SYSTEMS]
    cdef bint* settled_of[MOST_SYSTEMS]
    cdef bint counts[MOST_SYSTEMS]
    cdef double* p_bar                      # of the adjoint
    cdef double* state                      # start of a solve
    cdef double* rows                       # cotangents, a row for each time
    cdef double* y                          # arguments and results of the loss
    cdef double* p
    cdef double* y_bar
    cdef double* loss_p_bar
    cdef double* seed
    cdef double* value
    cdef double* times
    cdef double t0
    cdef double t1
    cdef list captured                      # arrays behind the last slots of the loss
    cdef tuple owners

    cdef int _resume(self) except -1
    cdef int64_t _evaluations(self) noexcept nogil
    cdef int64_t _flips(self) noexcept nogil
    cdef void _take(self, const double* x0, const double* p) noexcept nogil
    cdef State _solve(self, const double* x0, const double* p, double* out, double* y, double* cotangents, double* loss,
                      double* by_p, double* by_x0, double* sums, int64_t* counts) noexcept nogil
    cdef bint _differentiate_loss(self, const double* p, const double* y) noexcept nogil
