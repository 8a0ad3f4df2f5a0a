"""Square matrices I - scale J that are assembled, factored and solved with again and again."""

from libc.stdint cimport int64_t


cdef class Matrix:
    cdef readonly int64_t n
    cdef readonly int64_t entries       # structural nonzeros of J
    cdef const int64_t* source          # per entry: its position among the values that J is assembled from
    cdef int64_t* target                # per entry: its position in the storage
    cdef int64_t* diagonal              # per row: the position of its diagonal element in the storage
    cdef double* storage                # the matrix, then its factors
    cdef int64_t size                   # of the storage
    cdef double* inverse                # of the pivots, where the factors are not LAPACK's
    cdef int* pivots                    # row swaps
    cdef list owners

    cdef double* _new(self, int64_t size) except NULL
    cdef void assemble(self, const double* values, double scale) noexcept nogil
    cdef bint factor(self) noexcept nogil
    cdef void solve(self, double* b, int64_t count) noexcept nogil
    cdef void solve_transposed(self, double* b, int64_t count) noexcept nogil


cdef class Dense(Matrix):               # storage: columns; pivots are counted from 1 where the factors are LAPACK's
    cdef bint _factor_small(self) noexcept nogil
    cdef void _solve_small(self, double* b) noexcept nogil
    cdef void _solve_small_transposed(self, double* b) noexcept nogil


cdef class Band(Matrix):                # storage: LAPACK's, column j has the rows from j - upper - lower to j + lower
    cdef readonly int64_t lower         # diagonals below the main one
    cdef readonly int64_t upper
    cdef int64_t height                 # of a column

    cdef bint _factor_narrow(self) noexcept nogil
    cdef void _solve_narrow(self, double* b, int64_t count) noexcept nogil
    cdef void _solve_narrow_transposed(self, double* b, int64_t count) noexcept nogil
