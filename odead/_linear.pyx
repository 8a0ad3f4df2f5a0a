"""The kernels that call LAPACK and triangular BLAS: small dense systems inside right-hand sides.

BLAS sees matrices column by column. Right-hand sides that lie row by row are its transposes, and are solved from the right.
"""

from libc.stdint cimport int64_t
from scipy.linalg.cython_blas cimport dtrsm, dtrsv, strsm, strsv
from scipy.linalg.cython_lapack cimport dgetrf, sgetrf

from ._structured cimport Instruction, Walk, advance, begin, parameters


cdef enum Linear:           # in the order of OPERATIONS in `_structured.pyx`
    LU
    LU_SOLVE
    TRSM


ctypedef fused real:
    double
    float


cdef struct Columns:        # right-hand sides
    int n                   # rows
    int k
    bint straight           # column by column in memory
    int distance            # of columns (or rows) in elements


cdef void substitute(const Columns* b, real* matrix, int distance, bint lower, bint transposed, bint unit,
                     real* x) noexcept nogil:
    """x = op(matrix)^-1 x with one triangle of the matrix."""
    cdef char* uplo = "L" if lower else "U"
    cdef char* diag = "U" if unit else "N"
    cdef char* trans = "T" if transposed else "N"
    cdef char* opposite = "N" if transposed else "T"
    cdef int n = b.n, k = b.k, step = b.distance
    cdef real one = 1
    if k == 1:
        if real is double:
            dtrsv(uplo, trans, diag, &n, matrix, &distance, x, &step)
        else:
            strsv(uplo, trans, diag, &n, matrix, &distance, x, &step)
    elif b.straight:
        if real is double:
            dtrsm("L", uplo, trans, diag, &n, &k, &one, matrix, &distance, x, &step)
        else:
            strsm("L", uplo, trans, diag, &n, &k, &one, matrix, &distance, x, &step)
    elif real is double:
        dtrsm("R", uplo, opposite, diag, &k, &n, &one, matrix, &distance, x, &step)
    else:
        strsm("R", uplo, opposite, diag, &k, &n, &one, matrix, &distance, x, &step)


cdef void lu(const Instruction* i, real* tag) noexcept nogil:
    """See `Lu` in structured/solves.py for the pack."""
    cdef Walk walk
    cdef const int64_t* p = parameters(i)       # n, strides of a in bytes
    cdef int n = <int> p[0], info, k, j, other
    cdef real* pack
    cdef real* exchanged
    cdef real* rows
    cdef int* pivots
    cdef real held
    begin(&walk, i)
    while True:
        pack = <real*> walk.at[0]
        exchanged, rows = pack + n * n, pack + n * n + n
        pivots = <int*> exchanged               # as LAPACK has them, until they are converted in place, from the last one on
        for j in range(n):
            for k in range(n):
                pack[j * n + k] = (<const real*> (walk.at[1] + k * p[1] + j * p[2]))[0]
        if real is double:
            dgetrf(&n, &n, pack, &n, pivots, &info)
        else:
            sgetrf(&n, &n, pack, &n, pivots, &info)
        for k in range(n - 1, -1, -1):
            other = pivots[k] - 1
            exchanged[k] = other if k <= other < n else k    # NaN has no place
        for k in range(n):
            rows[k] = k
        for k in range(n):
            other = <int> exchanged[k]
            held = rows[k]
            rows[k] = rows[other]
            rows[other] = held
        if not advance(&walk):
            return


cdef void lu_solve(const Instruction* i, real* tag) noexcept nogil:
    cdef Walk walk
    cdef const int64_t* p = parameters(i)       # Columns, strides in bytes of rows and columns of out and b, transposed?
    cdef Columns b
    cdef int64_t row, column
    cdef int64_t source
    cdef const real* pack
    cdef const real* rows
    cdef char* x
    cdef char* y
    cdef real held
    b.n, b.k, b.straight, b.distance = <int> p[0], <int> p[1], p[2], <int> p[3]
    begin(&walk, i)
    while True:
        pack = <const real*> walk.at[3]
        rows = pack + b.n * b.n + b.n
        for row in range(b.n):
            source = row if p[8] else <int64_t> rows[row]
            for column in range(b.k):
                (<real*> (walk.at[0] + row * p[4] + column * p[5]))[0] = \
                    (<const real*> (walk.at[2] + source * p[6] + column * p[7]))[0]
        substitute(&b, <real*> pack, b.n, not p[8], p[8], not p[8], <real*> walk.at[0])
        substitute(&b, <real*> pack, b.n, p[8], p[8], p[8], <real*> walk.at[0])
        if p[8]:
            for row in range(b.n - 1, -1, -1):
                source = <int64_t> pack[b.n * b.n + row]
                for column in range(b.k):
                    x = walk.at[0] + row * p[4] + column * p[5]
                    y = walk.at[0] + source * p[4] + column * p[5]
                    held = (<real*> x)[0]
                    (<real*> x)[0] = (<real*> y)[0]
                    (<real*> y)[0] = held
        if not advance(&walk):
            return


cdef void trsm(const Instruction* i, real* tag) noexcept nogil:
    cdef Walk walk
    # Columns, strides in bytes of rows and columns of out and b; of the matrix: distance, lower, transposed, unit diagonal
    cdef const int64_t* p = parameters(i)
    cdef Columns b
    cdef int64_t row, column
    b.n, b.k, b.straight, b.distance = <int> p[0], <int> p[1], p[2], <int> p[3]
    begin(&walk, i)
    while True:
        for row in range(b.n):
            for column in range(b.k):
                (<real*> (walk.at[0] + row * p[4] + column * p[5]))[0] = \
                    (<const real*> (walk.at[2] + row * p[6] + column * p[7]))[0]
        substitute(&b, <real*> walk.at[1], <int> p[8], p[9], p[10], p[11], <real*> walk.at[0])
        if not advance(&walk):
            return


cdef void linear_of(const Instruction* i, int operation, real* tag) noexcept nogil:
    if operation == LU:
        lu(i, tag)
    elif operation == LU_SOLVE:
        lu_solve(i, tag)
    else:
        trsm(i, tag)


cdef void linear(const Instruction* i, int operation, bint double_precision) noexcept nogil:
    if double_precision:
        linear_of(i, operation, <double*> NULL)
    else:
        linear_of(i, operation, <float*> NULL)
