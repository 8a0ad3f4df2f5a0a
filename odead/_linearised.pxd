"""A right-hand side with its exact derivatives at one point: what the implicit methods build their equations from."""

from libc.stdint cimport int64_t

from ._system cimport Outcome, Recorded


cdef class Linearised(Recorded):
    cdef readonly int64_t colours           # groups of columns of J that are differentiated in one direction
    cdef readonly int64_t lanes             # these, and one more if time is a direction
    cdef readonly int64_t entries           # structural nonzeros of J
    cdef readonly object rows               # of the entries
    cdef readonly object columns
    cdef readonly object source             # positions of the entries in `values`
    cdef object directions                  # owns the lanes and what comes out of them
    cdef int64_t* row
    cdef int64_t* column
    cdef int64_t* position
    cdef double* values                     # per lane n numbers: J times its direction; the last lane may be df/dt
    cdef double* changes                    # per sensitivity, the derivative of `values` along it; NULL: not asked for
    cdef bint changing                      # whether one of those of J is not 0
    cdef readonly bint constant             # J is
    cdef readonly bint timed                # whether the last lane is df/dt; otherwise f does not depend on t

    cdef Outcome at(self, double t, const double* x, double* dx) noexcept nogil
    cdef bint _changes(self) noexcept nogil
    cdef const double* slope_in_time(self, int64_t block) noexcept nogil
    cdef void add_changes(self, const double* u, double factor, double* out) noexcept nogil
