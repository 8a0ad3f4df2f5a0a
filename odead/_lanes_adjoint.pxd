"""The discrete adjoint of the explicit methods on lanes."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from ._batch cimport Batch
from ._core cimport Tape
from ._lanes cimport ODEAD_MEMBERS, Those, Trails
from ._steppers cimport Method
from ._system cimport Cotangents, Outcome


cdef struct Way:                        # the way back of one member
    int64_t member                      # -1: none
    int64_t number                      # of the step gone back last
    int64_t last                        # of the outputs to come, or -1
    int64_t evaluations


cdef class LanesAdjoint:
    cdef readonly Batch batch           # how it is done for one member
    cdef Method method
    cdef readonly Trails trails
    cdef Cotangents cotangents          # of one member, for the end of its way
    cdef Tape tape                      # of the right-hand side
    cdef Tape pulling                   # of its cotangents
    cdef bint settled                   # what the former makes of parameters alone is there
    cdef int64_t n
    cdef int64_t n_p
    cdef Those those                    # of this run
    cdef int64_t next                   # member
    cdef int64_t active                 # lanes
    cdef Way way[ODEAD_MEMBERS]
    cdef double t[ODEAD_MEMBERS]        # at the start of the step
    cdef double h[ODEAD_MEMBERS]        # 0 where there is no member
    cdef double at[ODEAD_MEMBERS]       # bound to the tapes as t
    cdef double q[ODEAD_MEMBERS]        # fraction of the step where an output is
    cdef bint waits[ODEAD_MEMBERS]      # whether one is
    cdef double* x                      # (n, lanes), as the following: the state at the start of the step
    cdef double* z                      # argument of a stage
    cdef double* f                      # its derivative
    cdef double* x_bar                  # cotangent of the state at the end of the step, then at its start
    cdef double* slope_bar              # of the derivative there, where it is the first stage of the next step
    cdef double* sum_bar                # of the state at the start of the step, while it is being summed
    cdef double* z_bar                  # of the argument of a stage
    cdef double* covector               # of a stage, used up
    cdef double* row                    # of an output
    cdef double* k                      # (stages, n, lanes)
    cdef double* k_bar                  # (stages, n, lanes)
    cdef double* p                      # (n_p, lanes)
    cdef double* p_bar                  # (n_p, lanes)
    cdef double* numbers                # the covector of one member
    cdef cnp.ndarray covectors          # owns that
    cdef cnp.ndarray owner
    cdef list captured                  # arrays behind the last slots of the tapes

    cdef int resume(self) except -1
    cdef Outcome sweep(self) noexcept nogil
    cdef void fill(self, int64_t s) noexcept nogil
    cdef void begin(self, int64_t s) noexcept nogil
    cdef Outcome finish(self, int64_t s) noexcept nogil
    cdef void close(self, int64_t s, Outcome outcome) noexcept nogil
    cdef void abandon(self) noexcept nogil
    cdef void load(self, int64_t s) noexcept nogil
    cdef bint step_back(self) noexcept nogil
    cdef bint take_outputs(self) noexcept nogil
    cdef bint has_output(self, int64_t s) noexcept nogil
    cdef bint restore(self) noexcept nogil
    cdef bint pull_stage(self, int64_t i) noexcept nogil
    cdef void set_times(self, int64_t stage) noexcept nogil
