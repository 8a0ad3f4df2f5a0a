"""Square matrices I - scale J, or M - scale J, that are assembled, factored and solved with again and again."""

from libc.stdint cimport int64_t


cdef class MassMatrix:
    cdef readonly int64_t n
    cdef int64_t count                  # elements
    cdef const int64_t* row
    cdef const int64_t* column
    cdef const int64_t* entry           # which entry of the pattern of J each element is
    cdef const double* value
    cdef tuple owners

    cdef void add_product(self, const double* v, double factor, double* out, int64_t count) noexcept nogil
    cdef void add_transposed_product(self, const double* v, double factor, double* out, int64_t count) noexcept nogil


cdef class Matrix:
    cdef readonly MassMatrix mass       # M; None: I
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
    pass


cdef class DenseByRows(Dense):
    pass


cdef class Band(Matrix):                # storage: LAPACK's, column j has the rows from j - upper - lower to j + lower
    cdef readonly int64_t lower         # diagonals below the main one
    cdef readonly int64_t upper
    cdef int64_t height                 # of a column
    cdef bint is_reduced                # a tridiagonal matrix was factored by cyclic reduction
    cdef double* reduction              # then its factors
    cdef double* systems                # what their computation needs
    cdef double* work                   # what a solution needs

    cdef bint _factor_narrow(self) noexcept nogil
    cdef void _solve_narrow(self, double* b, int64_t count) noexcept nogil
    cdef void _solve_narrow_transposed(self, double* b, int64_t count) noexcept nogil


cdef class Sparse(Matrix):              # storage: the entries as given, then diagonal elements that are none of them
    cdef object rows                    # of the stored
    cdef object columns
    cdef double* work                   # one column; 0 between calls
    cdef int64_t* row_order             # in the order of elimination
    cdef int64_t* column_order
    cdef int64_t* entry                 # the stored, by columns of the reordered matrix
    cdef int64_t* entry_row             # there
    cdef int64_t* entry_start           # of each column
    cdef int64_t* lower_row             # L by columns, without its diagonal of ones
    cdef int64_t* lower_start
    cdef double* lower_value
    cdef int64_t* upper_row             # U by columns, without its diagonal, whose inverse is in `inverse`
    cdef int64_t* upper_start
    cdef double* upper_value
    cdef tuple patterns                 # owns these

    cdef bint _eliminate(self, double margin) noexcept nogil
    cdef bint _exchange_rows(self) noexcept with gil
