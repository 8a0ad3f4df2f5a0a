"""Matrices I - scale J that are never factored: products with J, and the generalised minimal residual method."""

from libc.stdint cimport int64_t

from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._system cimport Outcome

cdef enum:
    RESTART = 30                        # products of a cycle
    CYCLES = 2


cdef class Products(Linearised):        # J alone, or its transpose, by the products at a point that stays where `at` put it
    cdef double* point
    cdef double* covector               # a copy that the program may use up; NULL: the products are those of J itself

    cdef Outcome multiply(self, const double* v, double* out) noexcept nogil


cdef class Krylov(Matrix):
    cdef readonly int64_t products      # so far
    cdef readonly bint anywhere         # J costs nothing to take at another point
    cdef double tolerance               # of the norm of a residual
    cdef int most                       # products of a cycle
    cdef int cycles                     # after which a system counts as one that does not converge
    cdef double* weight                 # per row: what the residual is multiplied by in that norm
    cdef double* basis                  # RESTART + 1 rows, in the scaled coordinates
    cdef double* found                  # the solution so far
    cdef double* preconditioned         # what the products were taken of, if it is kept; or NULL
    cdef double* vector                 # what the matrix is multiplied with
    cdef double* image                  # the product
    cdef double upper[RESTART][RESTART + 1]     # columns of the least squares problem, rotated to a triangle
    cdef double cosine[RESTART]
    cdef double sine[RESTART]
    cdef double remaining[RESTART + 1]  # right-hand side of the least squares problem

    cdef void demand(self, const double* y, double rtol, const double* atol, double tolerance) noexcept nogil
    cdef void demand_of_cotangents(self, const double* x, const double* b, double tolerance) noexcept nogil
    cdef Outcome approximate(self, double* b) noexcept nogil
    cdef Outcome multiply(self, const double* v, double* out) noexcept nogil
    cdef void precondition(self, double* v) noexcept nogil
    cdef Outcome cycle(self, double* norm) noexcept nogil
    cdef double rotate(self, int column) noexcept nogil
    cdef void add_correction(self, int count) noexcept nogil


cdef class ByProducts(Krylov):
    cdef Products of
    cdef double scale                   # as assembled


cdef class ByEntries(Krylov):           # storage: rows of elements, in the order of their columns; then the incomplete factors
    cdef bint transposed                # the matrix is to be solved with
    cdef int64_t* start                 # of each row
    cdef int64_t* place                 # of the elements of the row that is eliminated, by column; -1: none
    cdef int64_t* column                # of the elements
    cdef double* elements               # the matrix
    cdef double* sizes                  # of its rows: the largest moduli


cdef class ByNeighbour(ByEntries):      # the elements alone are kept, nothing in the storage
    cdef int64_t* picked                # per element: the position of its value among those of J
    cdef int64_t* missing               # elements of the diagonal that J has not
    cdef int64_t n_missing
    cdef readonly Matrix factored       # another matrix on the same pattern, whose factors are the preconditioner
    cdef double price                   # of a factorisation, in products
    cdef double spent                   # since the last one, with it
    cdef int64_t solved                 # systems since then
    cdef int64_t latest                 # products for the last of them
    cdef bint is_there                  # the factors are

    cdef void forget(self) noexcept nogil
    cdef void renew(self) noexcept nogil
    cdef bint pays(self) noexcept nogil
