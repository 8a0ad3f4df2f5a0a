"""The kernels of the structured operations (`structured.py` says what each one is), by hand, for every dtype.

Each gets its rows from a `Walk`; what its extra words mean beyond the strides is said where it reads them. A kernel returns
1 if the run must stop: a guard that is missed, an index out of bounds.
"""

from libc.stdint cimport int64_t, uint8_t
from scipy.linalg.cython_blas cimport dgemm, dgemv, sgemm, sgemv

from ._fourier import FOUND

from ._fourier cimport fourier
from ._linear cimport linear
from ._structured cimport AXIS, HEAD, Instruction, Walk, advance, begin, parameters

cdef extern from "_products.h" nogil:
    void odead_outer(int64_t m, int64_t n, const double* x, int64_t step_x, const double* y, int64_t step_y, double* out,
                     int64_t ld, int add)
    void odead_rows(int64_t m, int64_t n, const double* x, int64_t ld, const double* y, int64_t step_y, double* out,
                    int64_t step_out, int add)
    void odead_columns(int64_t m, int64_t n, const double* x, int64_t ld, const double* y, int64_t step_y, double* out,
                       int64_t step_out, int add)
    void odead_dots(int64_t m, int64_t n, const double* x, int64_t ld, const double* y, double* out, int64_t step_out, int add)
    void odead_outers(int64_t m, int64_t n, int64_t terms, const double* x, int64_t ldx, const double* y, int64_t ldy,
                      double* out, int64_t ld, int add)
    void odead_matvecs(int64_t m, int64_t n, const double* x, int64_t ld, int few, const double* const* y, double* const* out,
                       int add)
    void odead_turned(int64_t m, int64_t n, const double* x, int64_t ld, int few, const double* const* y, double* const* out,
                      int add)
    void odead_combination(int64_t m, int64_t n, const double* x, int64_t ld, const double* y, int64_t step_y, double* out,
                           int add)

cdef extern from "_sums.h" nogil:
    double odead_sum_or_dot(int64_t n, const double* x, const double* y)

# In the order of the enums below.
OPERATIONS = (
    "sum", "sum_add", "prod", "amax", "amin", "recurrence", "cumprod", "take", "put", "put_add", "searchsorted", "guard",
    "matmul", "gemm", "gemv", "outer", "rows", "columns", "dots", "combination", "outers", "matvec", "turned",
    "fft" if FOUND else "", "lu", "lu_solve", "trsm",
)
DTYPES = ("float64", "float32", "int64", "bool")


cdef enum Structured:
    SUM                     # out = the sum of a row of x
    SUM_ADD                 # out += the sum of a row of x
    PROD
    AMAX                    # out = the largest of out and a row of x
    AMIN
    RECURRENCE
    CUMPROD
    TAKE
    PUT
    PUT_ADD
    SEARCHSORTED
    GUARD
    MATMUL                  # by plain loops
    GEMM                    # by BLAS
    GEMV
    OUTER                   # by loops for narrow matrices, of doubles
    ROWS
    COLUMNS
    DOTS
    COMBINATION
    OUTERS
    MATVEC                  # these two in one pass for several vectors
    TURNED                  # by the transpose
    FFT                     # in `_fourier.pyx`
    LINEAR                  # this one and those behind are in `_linear.pyx`


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


cdef number pairwise(const char* x, int64_t n, int64_t stride, number* tag) noexcept nogil:
    """Sum in NumPy's order: halves, down to blocks of 128 with eight running sums (error O(log n), and the same bits)."""
    cdef number part[8]
    cdef number total
    cdef int64_t k, j, half
    if number is double:
        if stride == sizeof(double):
            return odead_sum_or_dot(n, <const double*> x, NULL)
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


cdef double sum_of(const char* x, int64_t n, int64_t stride) noexcept nogil:
    return pairwise(x, n, stride, <double*> NULL)


cdef double dot_of(const char* x, const char* y, int64_t n) noexcept nogil:
    """The sum of the products of two contiguous rows, with the bits of `sum_of` the row of products."""
    return odead_sum_or_dot(n, <const double*> x, <const double*> y)


cdef int add_up(const Instruction* i, bint accumulate, number* tag) noexcept nogil:
    cdef Walk walk
    cdef number* out
    begin(&walk, i)
    while True:
        out = <number*> walk.at[0]
        out[0] = (out[0] if accumulate else 0) + pairwise(walk.at[1], i.n, i.extra[1], tag)
        if not advance(&walk):
            return 0


cdef int multiply_up(const Instruction* i, number* tag) noexcept nogil:
    cdef Walk walk
    cdef number total
    cdef int64_t k
    begin(&walk, i)
    while True:
        total = 1
        for k in range(i.n):
            total *= (<const number*> (walk.at[1] + k * i.extra[1]))[0]
        (<number*> walk.at[0])[0] = total
        if not advance(&walk):
            return 0


cdef inline bint is_nan(number x) noexcept nogil:
    if number is double or number is float:
        return x != x
    return False


cdef inline number better(number x, number y, int sign) noexcept nogil:
    """The larger (sign 1) or smaller (-1) of two; NaN wins."""
    if sign > 0:
        return y if y > x or is_nan(y) else x
    return y if y < x or is_nan(y) else x


cdef int extremum(const Instruction* i, int sign, number* tag) noexcept nogil:
    """Four rows of candidates, since each comparison waits for the one before."""
    cdef Walk walk
    cdef number best[4]
    cdef int64_t k, j
    cdef int64_t stride = i.extra[1]
    begin(&walk, i)
    while True:
        for j in range(4):
            best[j] = (<number*> walk.at[0])[0]
        k = 0
        while k + 4 <= i.n:
            for j in range(4):
                best[j] = better(best[j], (<const number*> (walk.at[1] + (k + j) * stride))[0], sign)
            k += 4
        while k < i.n:
            best[0] = better(best[0], (<const number*> (walk.at[1] + k * stride))[0], sign)
            k += 1
        for j in range(1, 4):
            best[0] = better(best[0], best[j], sign)
        (<number*> walk.at[0])[0] = best[0]
        if not advance(&walk):
            return 0


cdef int recurrence(const Instruction* i, number* tag) noexcept nogil:
    cdef Walk walk
    cdef const int64_t* stride = i.extra
    cdef number last
    cdef int64_t k
    begin(&walk, i)
    while True:
        last = 0
        for k in range(i.n):
            if k:
                last = (<const number*> (walk.at[1] + (k - 1) * stride[1]))[0] * last
                last = last + (<const number*> (walk.at[2] + k * stride[2]))[0]
            else:
                last = (<const number*> walk.at[2])[0]
            (<number*> (walk.at[0] + k * stride[0]))[0] = last
        if not advance(&walk):
            return 0


cdef int cumprod(const Instruction* i, number* tag) noexcept nogil:
    cdef Walk walk
    cdef number last
    cdef int64_t k
    begin(&walk, i)
    while True:
        last = 1
        for k in range(i.n):
            last = last * (<const number*> (walk.at[1] + k * i.extra[1]))[0]
            (<number*> (walk.at[0] + k * i.extra[0]))[0] = last
        if not advance(&walk):
            return 0


cdef int searchsorted(const Instruction* i, number* tag) noexcept nogil:
    """By bisection; NaN is larger than everything, as in NumPy."""
    cdef Walk walk
    cdef const int64_t* stride = i.extra
    cdef const int64_t* p = parameters(i)       # length of the grid, its step in bytes, whether equal elements are passed
    cdef const char* grid
    cdef number value, point
    cdef int64_t k, low, high, middle
    begin(&walk, i)
    while True:
        for k in range(i.n):
            grid = walk.at[1] + k * stride[1]
            value = (<const number*> (walk.at[2] + k * stride[2]))[0]
            low, high = 0, p[0]
            while low < high:
                middle = (low + high) // 2
                point = (<const number*> (grid + middle * p[1]))[0]
                if (not (value < point or (is_nan(point) and not is_nan(value)))) if p[2] \
                        else (point < value or (is_nan(value) and not is_nan(point))):
                    low = middle + 1
                else:
                    high = middle
            (<int64_t*> (walk.at[0] + k * stride[0]))[0] = low
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


cdef int put(const Instruction* i, number* tag) noexcept nogil:
    """Scatter y through the indices z; the stride of out is that of the scattered axis."""
    cdef Walk walk
    cdef const int64_t* stride = i.extra
    cdef int64_t size = parameters(i)[0]
    cdef int64_t k, j
    begin(&walk, i)
    while True:
        for k in range(i.n):
            j = (<const int64_t*> (walk.at[3] + k * stride[3]))[0]
            if j < 0 or j >= size:
                return 1
            (<number*> (walk.at[0] + j * stride[0]))[0] = (<const number*> (walk.at[2] + k * stride[2]))[0]
        if not advance(&walk):
            return 0


cdef int put_add(const Instruction* i, number* tag) noexcept nogil:
    """The same, added; an element that is met again and again, as in maps of regions, waits for no memory."""
    cdef Walk walk
    cdef const int64_t* stride = i.extra
    cdef int64_t size = parameters(i)[0]
    cdef int64_t k, j, held
    cdef number total = 0
    cdef number* out = NULL
    begin(&walk, i)
    while True:
        held = -1
        for k in range(i.n):
            j = (<const int64_t*> (walk.at[3] + k * stride[3]))[0]
            if j != held:
                if j < 0 or j >= size:
                    return 1
                held, out = j, <number*> (walk.at[0] + j * stride[0])
                total = out[0]
            total = total + (<const number*> (walk.at[2] + k * stride[2]))[0]
            out[0] = total
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
    cdef const int64_t* p = parameters(i)       # whether to add, m, n, k, strides in bytes of rows and columns of out, x, y
    cdef int64_t row, column, k
    cdef const char* x
    cdef const char* y
    cdef number* out
    cdef number total
    begin(&walk, i)
    while True:
        for row in range(p[1]):
            for column in range(p[2]):
                out = <number*> (walk.at[0] + row * p[4] + column * p[5])
                x = walk.at[1] + row * p[6]
                y = walk.at[2] + column * p[9]
                total = 0
                for k in range(p[3]):
                    total += (<const number*> (x + k * p[7]))[0] * (<const number*> (y + k * p[8]))[0]
                out[0] = out[0] + total if p[0] else total
        if not advance(&walk):
            return 0


cdef int gemm(const Instruction* i, number* tag) noexcept nogil:
    """out = x @ y for column-major out."""
    cdef Walk walk
    cdef const int64_t* p = parameters(i)       # add?, m, n, k, leading dimensions of x, y, out, whether x, y are transposed
    cdef int m = <int> p[1], n = <int> p[2], k = <int> p[3], ldx = <int> p[4], ldy = <int> p[5], ldout = <int> p[6]
    cdef char* turn_x = "T" if p[7] else "N"
    cdef char* turn_y = "T" if p[8] else "N"
    cdef number one = 1, before = 1 if p[0] else 0
    begin(&walk, i)
    while True:
        if number is double:
            dgemm(turn_x, turn_y, &m, &n, &k, &one, <number*> walk.at[1], &ldx, <number*> walk.at[2], &ldy, &before,
                  <number*> walk.at[0], &ldout)
        elif number is float:
            sgemm(turn_x, turn_y, &m, &n, &k, &one, <number*> walk.at[1], &ldx, <number*> walk.at[2], &ldy, &before,
                  <number*> walk.at[0], &ldout)
        if not advance(&walk):
            return 0


cdef int gemv(const Instruction* i, number* tag) noexcept nogil:
    """out = x @ y for a vector y."""
    cdef Walk walk
    # Whether to add, rows and columns of x as BLAS sees it, its leading dimension, transposed?, steps of y and out in elements
    cdef const int64_t* p = parameters(i)
    cdef int rows = <int> p[1], columns = <int> p[2], ldx = <int> p[3], step_y = <int> p[5], step_out = <int> p[6]
    cdef char* turn_x = "T" if p[4] else "N"
    cdef number one = 1, before = 1 if p[0] else 0
    begin(&walk, i)
    while True:
        if number is double:
            dgemv(turn_x, &rows, &columns, &one, <number*> walk.at[1], &ldx, <number*> walk.at[2], &step_y, &before,
                  <number*> walk.at[0], &step_out)
        elif number is float:
            sgemv(turn_x, &rows, &columns, &one, <number*> walk.at[1], &ldx, <number*> walk.at[2], &step_y, &before,
                  <number*> walk.at[0], &step_out)
        if not advance(&walk):
            return 0


cdef int narrow(const Instruction* i, int operation) noexcept nogil:
    cdef Walk walk
    cdef const int64_t* p = parameters(i)       # as `_products.h` wants them: add?, m, n, then steps in elements
    cdef double* out
    cdef const double* x
    cdef const double* y
    begin(&walk, i)
    while True:
        out, x, y = <double*> walk.at[0], <const double*> walk.at[1], <const double*> walk.at[2]
        if operation == OUTER:
            odead_outer(p[1], p[2], x, p[3], y, p[4], out, p[5], p[0] != 0)
        elif operation == ROWS:
            odead_rows(p[1], p[2], x, p[3], y, p[4], out, p[5], p[0] != 0)
        elif operation == COLUMNS:
            odead_columns(p[1], p[2], x, p[3], y, p[4], out, p[5], p[0] != 0)
        elif operation == DOTS:
            odead_dots(p[1], p[2], x, p[3], y, out, p[5], p[0] != 0)
        elif operation == OUTERS:
            odead_outers(p[1], p[2], p[3], x, p[4], y, p[5], out, p[6], p[0] != 0)
        else:
            odead_combination(p[1], p[2], x, p[3], y, p[4], out, p[0] != 0)
        if not advance(&walk):
            return 0


cdef enum:
    MOST_VECTORS = 4        # of one pass over a matrix


cdef void matvecs(const Instruction* i, int count, bint turned) noexcept nogil:
    """Products of matrices, or their transposes, with vectors: in one pass those in a row that have the same matrix."""
    cdef Walk walk
    cdef bint adds = parameters(i)[0] != 0      # then there is one instruction, whose results may overlap
    cdef const double* matrix = NULL
    cdef const double* y[MOST_VECTORS]
    cdef double* out[MOST_VECTORS]
    cdef int few = 0, most = 1 if adds else MOST_VECTORS
    cdef int k
    for k in range(count):
        begin(&walk, i + k)
        while True:
            if few == most or (few and <const double*> walk.at[1] != matrix):
                one_pass(parameters(i), matrix, few, y, out, turned)
                few = 0
            matrix, y[few], out[few] = <const double*> walk.at[1], <const double*> walk.at[2], <double*> walk.at[0]
            few += 1
            if not advance(&walk):
                break
    one_pass(parameters(i), matrix, few, y, out, turned)


cdef inline void one_pass(const int64_t* p, const double* matrix, int few, const double** y, double** out, bint turned) \
        noexcept nogil:
    # Parameters: whether to add, rows and columns of the matrix in memory, its leading dimension.
    if turned:
        odead_turned(p[1], p[2], matrix, p[3], few, y, out, p[0] != 0)
    else:
        odead_matvecs(p[1], p[2], matrix, p[3], few, y, out, p[0] != 0)


cdef bint is_one_pass(const Instruction* i, const Instruction* j) noexcept nogil:
    """Whether two products can be computed in one pass over their matrix, as far as their parameters tell."""
    cdef const int64_t* p = parameters(i)
    cdef const int64_t* q = parameters(j)
    return p[0] == q[0] == 0 and p[1] == q[1] and p[2] == q[2] and p[3] == q[3]


cdef int64_t reach(const Instruction* i, int operand, int64_t dense) noexcept nogil:
    """Bytes from the beginning of an operand, which has so many at each point of the walk, to its end; -1: it goes back."""
    cdef const int64_t* axis = i.extra + HEAD
    cdef int64_t _, total = dense
    for _ in range(i.extra[4]):
        if axis[1 + operand] < 0:
            return -1
        total += (axis[0] - 1) * axis[1 + operand]
        axis += AXIS
    return total


cdef int structured_of(const Instruction* i, int operation, number* tag) noexcept nogil:
    if operation == GUARD:
        return guard(i, tag)
    if operation == TAKE:
        return take(i, tag)
    if operation == PUT:
        return put(i, tag)
    if operation == PUT_ADD:
        return put_add(i, tag)
    if operation == SUM:
        return add_up(i, False, tag)
    if operation == SUM_ADD:
        return add_up(i, True, tag)
    if operation == PROD:
        return multiply_up(i, tag)
    if operation == AMAX:
        return extremum(i, 1, tag)
    if operation == AMIN:
        return extremum(i, -1, tag)
    if operation == RECURRENCE:
        return recurrence(i, tag)
    if operation == CUMPROD:
        return cumprod(i, tag)
    if operation == SEARCHSORTED:
        return searchsorted(i, tag)
    if operation == MATMUL:
        return matmul(i, tag)
    if operation == GEMM:
        return gemm(i, tag)
    return gemv(i, tag)


cdef int structured(const Instruction* i, int operation, int dtype) noexcept nogil:
    if operation >= LINEAR:
        linear(i, operation - LINEAR, dtype == FLOAT64)
        return 0
    if operation == FFT:
        fourier(i, dtype == FLOAT64)
        return 0
    if operation >= MATVEC:
        matvecs(i, 1, operation == TURNED)
        return 0
    if operation >= OUTER:
        return narrow(i, operation)
    if dtype == FLOAT64:
        return structured_of(i, operation, <double*> NULL)
    if dtype == FLOAT32:
        return structured_of(i, operation, <float*> NULL)
    if dtype == INT64:
        return structured_of(i, operation, <int64_t*> NULL)
    return structured_of(i, operation, <uint8_t*> NULL)
