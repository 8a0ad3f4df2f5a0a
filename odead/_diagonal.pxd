"""The diagonally implicit Runge-Kutta methods: a step, and the way back over steps."""

from libc.stdint cimport int64_t

from ._adjoint cimport Adjoint
from ._krylov cimport ByNeighbour
from ._implicit cimport ImplicitMethod, Step
from ._steppers cimport MOST_STAGES, Combination
from ._system cimport Outcome, System


cdef class DiagonalMethod(ImplicitMethod):  # the last weight of an argument is that of the stage itself
    cdef Combination guess[MOST_STAGES]     # of the stages before: where the iteration begins


cdef class DiagonalStep(Step):
    cdef readonly System states         # without the sensitivities that follow
    cdef DiagonalMethod diagonal
    cdef int64_t size                   # states
    cdef double rtol
    cdef double* atol
    cdef readonly ByNeighbour guards    # solves for sensitivities that only guard the steps; or None: they are exact
    cdef double[::1] guards_rtol        # per block
    cdef double[::1] guards_atol
    cdef double tolerance               # of the Newton iteration, part of that of the step
    cdef double point                   # time at which the linearisation is
    cdef double* known                  # part of the argument of a stage that is made of the stages before
    cdef double* change                 # of a Newton iteration
    cdef double* zero
    cdef double* found                  # changes of the sensitivities, until all are there

    cdef Outcome linearise(self, double t, const double* x) noexcept nogil
    cdef Outcome solve_stage(self, int64_t i, double h) noexcept nogil
    cdef Outcome iterate(self, double t, double c, double* stage) noexcept nogil
    cdef Outcome solve_sensitivities(self, int64_t i, double t, double h, double* stage) noexcept nogil
    cdef bint solve_changes(self, double h) noexcept nogil
    cdef bint solve_guards(self, double c) noexcept nogil


cdef class DiagonalAdjoint(Adjoint):
    cdef readonly DiagonalStep step
    cdef public ByNeighbour neighbour   # solves with the factors of another stage, where it pays; or None

    cdef Outcome linearise(self, int64_t i, double t) noexcept nogil
    cdef bint solve(self, double h) noexcept nogil
