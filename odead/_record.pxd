"""The steps of a solve, as they are kept. A state is n numbers."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from ._system cimport Outcome


cdef object copy_of(double* data, cnp.npy_intp* shape, int ndim)


cdef class Record:
    cdef readonly int64_t n                 # numbers kept of each vector, from its start
    cdef readonly int64_t rows              # stages kept of each step
    cdef int64_t asked                      # stages that were to be kept
    cdef readonly int64_t count             # steps
    cdef readonly int64_t stride            # the states after each so many steps are kept
    cdef readonly int64_t kept              # states
    cdef readonly double budget             # bytes
    cdef public bint interpolated           # whether the solution between the steps is wanted from the stages
    cdef double* t                          # times: count + 1
    cdef double* x                          # states: kept, the first at the start
    cdef double* k                          # rows stages of each step
    cdef readonly int64_t n_saved           # numbers that the evaluations of a step keep for the way back; 0: given up
    cdef readonly int64_t n_matrix          # of these, behind all others: the values of the linearisations of a step
    cdef readonly double most_saved          # bytes for them
    cdef double* saved                      # those of each step, as far as there is room
    cdef char* order                        # of each step, where the method has several
    cdef int64_t used                       # bytes of the memory, by this and those before
    cdef int64_t room_for_times
    cdef int64_t room_for_states
    cdef int64_t room_for_stages
    cdef int64_t room_for_saved

    cdef void _take_spare(self)
    cdef void _leave_spare(self)
    cdef Outcome begin(self, double t, const double* x) noexcept nogil
    cdef Outcome turn(self, const double* x) noexcept nogil
    cdef Outcome add(self, double t, const double* x, const double* k, int64_t stride) noexcept nogil
    cdef Outcome _keep(self, const double* x) noexcept nogil
    cdef double* place(self) noexcept nogil
    cdef void save_matrix(self, const double* values) noexcept nogil
    cdef bint load_matrix(self, int64_t number, double* values) noexcept nogil
    cdef void save_part(self, int64_t part, const double* values, int64_t size) noexcept nogil
    cdef bint load_part(self, int64_t number, int64_t part, double* values, int64_t size) noexcept nogil
    cdef void give_up_saved(self) noexcept nogil
    cdef double bytes_of_saved(self) noexcept nogil
    cdef bint _reserve_times(self, int64_t room) noexcept nogil
    cdef int64_t _with_reserve(self, int64_t item, int64_t room, double most) noexcept nogil
    cdef bint _reserve_saved(self) noexcept nogil
    cdef bint _reserve_states(self, int64_t room) noexcept nogil
    cdef bint _reserve_stages(self, int64_t room) noexcept nogil
    cdef bint _thin(self, int64_t most) noexcept nogil
