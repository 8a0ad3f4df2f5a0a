"""What the compiled steppers call: systems of differential equations behind C methods."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from ._core cimport Tape


cdef enum Outcome:          # of everything that a stepper calls; the first two are those of a system
    DONE
    RAISED                  # a Python exception is waiting in System.error
    TOO_SMALL               # the step that the error asks for is below the spacing of floating-point numbers
    NOT_FINITE              # the new state is infinite or not a number
    TOO_MANY                # max_steps were taken
    NO_MEMORY
    FLIPPED                 # what is watched no longer holds inside the step or at its end
    TURNED                  # another kind of method suits the problem from here on


cdef class System:
    cdef readonly int64_t n         # states
    cdef readonly int64_t calls     # evaluations so far
    cdef readonly object error      # the exception behind RAISED
    cdef readonly int64_t n_saved   # numbers that an evaluation keeps for the way back
    cdef double* saved              # where they go to, or come from
    cdef double* scratch            # for those that nobody wants
    cdef int64_t next_poll          # value of `calls` at which to look at the clock
    cdef int64_t interval           # calls from one look to the next
    cdef double polled              # when the clock was read last
    cdef double listened            # when signals were handled last

    cdef Outcome value(self, double t, const double* x, double* dx) noexcept nogil
    cdef Outcome evaluate(self, double t, const double* x, double* dx) noexcept nogil
    cdef Outcome count(self) noexcept nogil
    cdef Outcome pass_on(self, System other, Outcome outcome) noexcept with gil
    cdef Outcome _poll(self) noexcept nogil
    cdef Outcome _listen(self) noexcept with gil


cdef class Callback(System):
    cdef object fun                     # (t, x) -> dx


cdef list bind_captured(Tape tape)


cdef class Recorded(System):
    cdef readonly int64_t n_x           # states of the recorded right-hand side
    cdef readonly int64_t n_p
    cdef readonly int64_t width         # tangents or cotangents; 0: none
    cdef readonly int64_t branch        # number of the way through the branches taken last
    cdef readonly int64_t flips         # how often another one was taken
    cdef double t                       # bound to the tapes, as are x and the others by their address
    cdef char* address[12]              # per slot: dx, x, p, t, d_dx, d_x, d_p, as far as the tape binds them
    cdef int64_t n_slots
    cdef int64_t slot_dx                # the slots that change from run to run
    cdef int64_t slot_x
    cdef int64_t slot_d_dx
    cdef int64_t slot_d_x
    cdef int64_t slot_saved
    cdef int64_t slot_factors
    cdef Tape tape                      # of that branch
    cdef bint settled                   # what it makes of p and captured arrays alone is there
    cdef list tapes                     # of all branches taken so far
    cdef object find
    cdef object p                       # own what `address` points to
    cdef object shadow_p
    cdef object room                    # owns `scratch`
    cdef list captured                  # per tape: the arrays behind its last slots

    cdef int _set_up(self, Tape tape, int64_t n, p, find, shadow_p, bint has_dx, int64_t n_saved,
                     bint has_factors=*) except -1
    cdef int64_t _bind_p_and_t(self, int64_t slot) except -1
    cdef int64_t _save(self, int64_t slot, int64_t n_saved) except -1
    cdef int _complete(self, Tape tape, int64_t n_slots) except -1
    cdef int _assign(self, int64_t slot, cnp.ndarray array) except -1
    cdef int _adopt(self, Tape tape) except -1
    cdef int _switch(self, int64_t number) except -1
    cdef int _bind_captured(self, int64_t number) except -1
    cdef int resume(self) except -1
    cdef void _place(self, int64_t slot, const double* data) noexcept nogil
    cdef bint _execute(self) noexcept nogil
    cdef Outcome _run(self) noexcept nogil
    cdef bint holds(self, double t, const double* x, double* dx) noexcept nogil
    cdef Outcome _run_other(self) noexcept with gil


cdef class Roots(Recorded):
    cdef Recorded also                  # or None: what has to hold besides
    cdef object signs                   # own what `sign` and `found` point to
    cdef object values
    cdef int64_t m
    cdef double* sign                   # that each value has to have; 0: any
    cdef double* found


cdef class Keys(Recorded):
    cdef object values                  # owns what the others point to
    cdef int64_t m
    cdef double* first                  # what they were
    cdef double* found

    cdef bint take(self, double t, const double* x) noexcept nogil
    cdef double error_of_step(self, double t, const double* x, double error) noexcept nogil


cdef class Resetting(Recorded):
    cdef object rates                   # of t, along the tangents: 0

    cdef Outcome apply(self, double t, double* x) noexcept nogil


cdef class Tangents(Recorded):
    pass


cdef class Sums:
    cdef Tape tape
    cdef object owner                   # owns `factors`
    cdef object target
    cdef double* factors                # (runs, size)
    cdef readonly int64_t runs
    cdef readonly int64_t size
    cdef int64_t waiting                # runs whose factors are there
    cdef bint adds

    cdef double* row(self) noexcept nogil
    cdef void take(self) noexcept nogil
    cdef void forget(self) noexcept nogil
    cdef void settle(self) noexcept nogil


cdef class Cotangents(Recorded):
    cdef readonly Sums later            # or None: what an evaluation leaves for later

    cdef Outcome pull(self, double t, const double* x, double* covector, double* x_bar) noexcept nogil
