"""The kernels of the structured operations (`structured.py` says what each one is), by hand, for every dtype.

Each gets its rows from a `Walk`; what its extra words mean beyond the strides is said where it reads them. A kernel returns
1 if the run must stop: a guard that is missed, an index out of bounds.
"""

from libc.stdint cimport int64_t, uint8_t
from scipy.linalg.cython_blas cimport dgemm, dgemv, sgemm, sgemv

from ._structured cimport AXIS, HEAD, Instruction, Walk, advance, begin

# In the order of the enums below.
OPERATIONS = ("sum", "sum_add", "take", "put", "put_add", "guard", "matmul", "gemm", "gemv")
DTYPES = ("float64", "float32", "int64", "bool")


cdef enum Structured:
    SUM                     # out = the sum of a row of x
    SUM_ADD                 # out += the sum of a row of x
    TAKE
    PUT
    PUT_ADD
    GUARD
    MATMUL                  # by plain loops
    GEMM                    # by BLAS
    GEMV


cdef enum Dtype:
    FLOAT64
    FLOAT32
    INT64
    BOOL


ctypedef fused number:
    double
    float
    int64_t
    uint8_t


cdef inline const int64_t* parameters(const Instruction* i) noexcept nogil:
    return i.extra + HEAD + AXIS * i.extra[4]


cdef number pairwise(const char* x, int64_t n, int64_t stride, number* tag) noexcept nogil:
    """Sum in NumPy's order: halves, down to blocks of 128 with eight running sums (error O(log n), and the same bits)."""
    cdef number part[8]
    cdef number total
    cdef int64_t k, j, half
    if n > 128:
        half = n // 2
        half -= half % 8
        return pairwise(x, half, stride, tag) + pairwise(x + half * stride, n - half, stride, tag)
    if n < 8:
        total = 0
        for k in range(n):
            total += (<const number*> (x + k * stride))[0]
        return total
    for j in range(8):
        part[j] = (<const number*> (x + j * stride))[0]
    k = 8
    while k + 8 <= n:
        for j in range(8):
            part[j] += (<const number*> (x + (k + j) * stride))[0]
        k += 8
    total = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]))
    while k < n:
        total += (<const number*> (x + k * stride))[0]
        k += 1
    return total


cdef int add_up(const Instruction* i, bint accumulate, number* tag) noexcept nogil:
    cdef Walk walk
    cdef number* out
    begin(&walk, i)
    while True:
        out = <number*> walk.at[0]
        out[0] = (out[0] if accumulate else 0) + pairwise(walk.at[1], i.n, i.extra[1], tag)
        if not advance(&walk):
            return 0


cdef int take(const Instruction* i, number* tag) noexcept nogil:
    """Gather; the stride of x is that of the gathered axis. Fails at an index outside of 0..n-1, as put and put_add do."""
    cdef Walk walk
    cdef const int64_t* stride = i.extra
    cdef int64_t size = parameters(i)[0]
    cdef int64_t k, j
    begin(&walk, i)
    while True:
        for k in range(i.n):
            j = (<const int64_t*> (walk.at[2] + k * stride[2]))[0]
            if j < 0 or j >= size:
                return 1
            (<number*> (walk.at[0] + k * stride[0]))[0] = (<const number*> (walk.at[1] + j * stride[1]))[0]
        if not advance(&walk):
            return 0


cdef int put(const Instruction* i, bint accumulate, number* tag) noexcept nogil:
    """Scatter y through the indices z; the stride of out is that of the scattered axis."""
    cdef Walk walk
    cdef const int64_t* stride = i.extra
    cdef int64_t size = parameters(i)[0]
    cdef int64_t k, j
    cdef number value
    cdef number* out
    begin(&walk, i)
    while True:
        for k in range(i.n):
            j = (<const int64_t*> (walk.at[3] + k * stride[3]))[0]
            if j < 0 or j >= size:
                return 1
            out = <number*> (walk.at[0] + j * stride[0])
            value = (<const number*> (walk.at[2] + k * stride[2]))[0]
            out[0] = out[0] + value if accumulate else value
        if not advance(&walk):
            return 0


cdef int guard(const Instruction* i, number* tag) noexcept nogil:
    cdef Walk walk
    cdef number expected = <number> parameters(i)[0]
    cdef int64_t k
    begin(&walk, i)
    while True:
        for k in range(i.n):
            if (<const number*> (walk.at[1] + k * i.extra[1]))[0] != expected:
                return 1
        if not advance(&walk):
            return 0


cdef int matmul(const Instruction* i, number* tag) noexcept nogil:
    cdef Walk walk
    cdef const int64_t* p = parameters(i)       # m, n, k, strides in bytes of rows and columns of out, x, y
    cdef int64_t row, column, k
    cdef const char* x
    cdef const char* y
    cdef number total
    begin(&walk, i)
    while True:
        for row in range(p[0]):
            for column in range(p[1]):
                x = walk.at[1] + row * p[5]
                y = walk.at[2] + column * p[8]
                total = 0
                for k in range(p[2]):
                    total += (<const number*> (x + k * p[6]))[0] * (<const number*> (y + k * p[7]))[0]
                (<number*> (walk.at[0] + row * p[3] + column * p[4]))[0] = total
        if not advance(&walk):
            return 0


cdef int gemm(const Instruction* i, number* tag) noexcept nogil:
    """out = x @ y for column-major out."""
    cdef Walk walk
    cdef const int64_t* p = parameters(i)       # m, n, k, leading dimensions of x, y, out, whether x, y are transposed
    cdef int m = <int> p[0], n = <int> p[1], k = <int> p[2], ldx = <int> p[3], ldy = <int> p[4], ldout = <int> p[5]
    cdef char* turn_x = "T" if p[6] else "N"
    cdef char* turn_y = "T" if p[7] else "N"
    cdef number one = 1, zero = 0
    begin(&walk, i)
    while True:
        if number is double:
            dgemm(turn_x, turn_y, &m, &n, &k, &one, <number*> walk.at[1], &ldx, <number*> walk.at[2], &ldy, &zero,
                  <number*> walk.at[0], &ldout)
        elif number is float:
            sgemm(turn_x, turn_y, &m, &n, &k, &one, <number*> walk.at[1], &ldx, <number*> walk.at[2], &ldy, &zero,
                  <number*> walk.at[0], &ldout)
        if not advance(&walk):
            return 0


cdef int gemv(const Instruction* i, number* tag) noexcept nogil:
    """out = x @ y for a vector y."""
    cdef Walk walk
    cdef const int64_t* p = parameters(i)       # rows and columns of x as BLAS sees it, its leading dimension, transposed?,
    cdef int rows = <int> p[0], columns = <int> p[1], ldx = <int> p[2], step_y = <int> p[4], step_out = <int> p[5]
    cdef char* turn_x = "T" if p[3] else "N"    # steps of y and out in elements
    cdef number one = 1, zero = 0
    begin(&walk, i)
    while True:
        if number is double:
            dgemv(turn_x, &rows, &columns, &one, <number*> walk.at[1], &ldx, <number*> walk.at[2], &step_y, &zero,
                  <number*> walk.at[0], &step_out)
        elif number is float:
            sgemv(turn_x, &rows, &columns, &one, <number*> walk.at[1], &ldx, <number*> walk.at[2], &step_y, &zero,
                  <number*> walk.at[0], &step_out)
        if not advance(&walk):
            return 0


cdef int structured_of(const Instruction* i, int operation, number* tag) noexcept nogil:
    if operation == GUARD:
        return guard(i, tag)
    if operation == TAKE:
        return take(i, tag)
    if operation == PUT:
        return put(i, False, tag)
    if operation == PUT_ADD:
        return put(i, True, tag)
    if operation == SUM:
        return add_up(i, False, tag)
    if operation == SUM_ADD:
        return add_up(i, True, tag)
    if operation == MATMUL:
        return matmul(i, tag)
    if operation == GEMM:
        return gemm(i, tag)
    return gemv(i, tag)


cdef int structured(const Instruction* i, int operation, int dtype) noexcept nogil:
    if dtype == FLOAT64:
        return structured_of(i, operation, <double*> NULL)
    if dtype == FLOAT32:
        return structured_of(i, operation, <float*> NULL)
    if dtype == INT64:
        return structured_of(i, operation, <int64_t*> NULL)
    return structured_of(i, operation, <uint8_t*> NULL)
