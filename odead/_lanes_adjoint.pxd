"""The discrete adjoint of the explicit methods on lanes."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from ._core cimport Tape
from ._lanes cimport ODEAD_MEMBERS, Crew
from ._system cimport Cotangents, Outcome


cdef struct Way:                        # the way back of one member
    int64_t number                      # of the step gone back last
    int64_t last                        # of the outputs to come, or -1
    int64_t evaluations


cdef class LanesAdjoint(Crew):
    cdef Cotangents cotangents          # of one member, for the end of its way
    cdef Tape pulling                   # of the cotangents of the right-hand side
    cdef Way way[ODEAD_MEMBERS]
    cdef double* x_bar                  # (n, lanes), as the following: of the state at the end of the step, then at its start
    cdef double* slope_bar              # of the derivative there, where it is the first stage of the next step
    cdef double* sum_bar                # of the state at the start of the step, while it is being summed
    cdef double* z_bar                  # of the argument of a stage
    cdef double* covector               # of a stage, used up
    cdef double* row                    # of an output
    cdef double* k_bar                  # (stages, n, lanes)
    cdef double* p_bar                  # (n_p, lanes)
    cdef double* numbers                # the covector of one member
    cdef cnp.ndarray covectors          # owns that

    cdef int resume(self) except -1
    cdef Outcome sweep(self) noexcept nogil
    cdef void begin(self, int64_t s) noexcept nogil
    cdef Outcome finish(self, int64_t s) noexcept nogil
    cdef void load(self, int64_t s) noexcept nogil
    cdef bint step_back(self) noexcept nogil
    cdef bint take_outputs(self) noexcept nogil
    cdef bint has_output(self, int64_t s) noexcept nogil
    cdef bint restore(self) noexcept nogil
    cdef bint pull_stage(self, int64_t i) noexcept nogil
    cdef void set_times(self, int64_t stage) noexcept nogil
