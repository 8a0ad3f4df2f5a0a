"""The sweep: the instructions of a lowered program, with absolute addresses, run one after the other.

Scalar instructions are threaded code (`odead_scalars` of `_kernels.h`); everything else goes row by row (`Walk`) through the
loops of that header or through the kernels of `_structured.pyx`. Nothing here allocates, takes the GIL or raises while a
program runs.
"""

import numpy as np
from scipy import special

from ._structured import DTYPES, OPERATIONS

from ._calls cimport Calls, call_pointer

cimport numpy as cnp
from libc.stdint cimport int16_t, int32_t, int64_t
from libc.string cimport memmove

from ._structured cimport (
    Instruction,
    Walk,
    advance,
    begin,
    dot_of,
    is_one_pass,
    matvecs,
    parameters,
    reach,
    structured,
    sum_of,
)
from ._ufuncs cimport Loop, PyUFuncObject

cdef extern from "_kernels.h" nogil:
    const Instruction* odead_scalars(const Instruction* i, const Instruction* stop)
    void odead_choose_loops()
    void odead_row(int opcode, int64_t n, char* out, const char* x, const char* y, const char* z, const int64_t* stride)
    const Instruction* odead_on_lanes(const Instruction* i, const Instruction* stop)
    const char* const odead_names[]
    const char* const odead_ufuncs[]
    const int16_t odead_after[][4]
    enum:
        ODEAD_CHAINED       # scalar opcodes of programs; those behind take an operand from a register
        ODEAD_CHECKED
        ODEAD_FIRST_ON_LANES
        ODEAD_STRUCTURED

cdef extern from "<fenv.h>" nogil:
    int FE_INVALID, FE_DIVBYZERO, FE_OVERFLOW
    int feclearexcept(int)
    int feraiseexcept(int)
    int fetestexcept(int)

cnp.import_array()


OPCODES = {odead_names[k].decode(): k for k in range(ODEAD_STRUCTURED)}
for _operation in OPERATIONS:
    OPCODES.update({f"{_operation}.{dtype}": len(OPCODES) + k for k, dtype in enumerate(DTYPES)})
for _name in ("call", "call_pointer", "block", "carry", "dot", "matvecs"):
    OPCODES[_name] = len(OPCODES)

cdef int CALL = OPCODES["call"]
cdef int CALL_POINTER = OPCODES["call_pointer"]
cdef int BLOCK = OPCODES["block"]
cdef int MATVEC = OPCODES["matvec.float64"]
cdef int MATVECS = OPCODES["matvecs"]       # with the same matrix as the next instruction, which it does too
cdef int SUM = OPCODES["sum.float64"]
cdef int DOT = OPCODES["dot"]      # of two contiguous rows, inside a block

# NumPy's loops over exp, sin, pow, ... are vectorised (0.8 against 2.6 ns per exp) and give NumPy's bits. Filled once, below.
cdef Loop foreign[ODEAD_STRUCTURED]


cdef void _find_loop(Loop* loop, const PyUFuncObject* function, int type_number) noexcept nogil:
    """Find the loop of `function` with operands and result of one type."""
    cdef int k, j
    for k in range(function.ntypes):
        j = 0
        while j < function.nargs and function.types[k * function.nargs + j] == type_number:
            j += 1
        if j == function.nargs:
            loop.call, loop.data, loop.arity = function.functions[k], function.data[k], function.nin
            return


cdef bint _clears(const Loop* loop, cnp.ndarray numbers):
    """Whether a loop of NumPy's clears the processor's flags, as some do in some versions on some processors."""
    cdef char* pointers[4]
    cdef cnp.npy_intp strides[4]
    cdef cnp.npy_intp n = 33
    cdef int k
    if loop.call == NULL:
        return False
    for k in range(4):
        pointers[k] = cnp.PyArray_BYTES(numbers)
        strides[k] = cnp.PyArray_ITEMSIZE(numbers)
    pointers[loop.arity] += 33 * strides[0]
    feclearexcept(FE_DIVBYZERO)
    feraiseexcept(FE_DIVBYZERO)
    loop.call(pointers, &n, strides, loop.data)
    k = fetestexcept(FE_DIVBYZERO)
    feclearexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW)
    return not k


cdef void _find_loops():
    cdef int k
    for k in range(ODEAD_STRUCTURED):
        foreign[k].call = NULL
        if odead_ufuncs[k][0]:
            dtype = odead_names[k].split(b".")[1].decode()
            module, _, name = odead_ufuncs[k].decode().rpartition(".")
            function = getattr(special if module else np, name)
            _find_loop(&foreign[k], <const PyUFuncObject*> function, np.dtype(dtype).num)
            foreign[k].clears = bool(module) or _clears(&foreign[k], np.full(66, 0.7, dtype))


_find_loops()
odead_choose_loops()


cdef int raised() noexcept nogil:
    """The flags of the processor that tell of a nan or infinity out of numbers."""
    return fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW)


cdef void foreign_row(const Loop* loop, const Walk* walk, const Instruction* i) noexcept nogil:
    cdef char* pointers[4]
    cdef cnp.npy_intp strides[4]
    cdef cnp.npy_intp n = i.n
    cdef int k, before = 0
    if loop.clears:
        before = raised()
    for k in range(loop.arity):
        pointers[k] = walk.at[k + 1]
        strides[k] = i.extra[k + 1]
    pointers[loop.arity] = walk.at[0]
    strides[loop.arity] = i.extra[0]
    loop.call(pointers, &n, strides, loop.data)
    if before:
        feraiseexcept(before)


cdef void elementwise(const Instruction* i) noexcept nogil:
    cdef Walk walk
    if i.extra == NULL:
        odead_row(i.opcode, i.n, i.out, i.x, i.y, i.z, NULL)
        return
    begin(&walk, i)
    if foreign[i.opcode].call != NULL:
        while True:
            foreign_row(&foreign[i.opcode], &walk, i)
            if not advance(&walk):
                return
    while True:
        odead_row(i.opcode, i.n, walk.at[0], walk.at[1], walk.at[2], walk.at[3], i.extra)
        if not advance(&walk):
            return


cdef enum:
    MOST_MEMBERS = 64       # of a block; as in `execute/fusion.py`


cdef struct Cut:            # parameters of a member of a block
    int64_t count           # indices
    int64_t lag             # indices it stays behind
    int64_t unit            # elements of a row per index; 0: each index has rows of its own
    int64_t step[4]         # bytes per index of out, x, y, z
    int64_t moving[4]       # bytes to go back per index at which the tile begins: local storage moves with the tile


cdef double run_member(const Instruction* i, int64_t s, int64_t e) noexcept nogil:
    """Do the indices of a member that belong to the tile from `s` to `e`; for a sum returns its part, else 0."""
    cdef const Cut* cut = <const Cut*> parameters(i)
    cdef int64_t start = s - cut.lag if s > cut.lag else 0
    cdef int64_t stop = e - cut.lag if e - cut.lag < cut.count else cut.count
    cdef Instruction part
    cdef bint is_plain
    cdef int64_t _
    if stop <= start:
        return 0
    part.opcode, part.extra = i.opcode, i.extra
    part.out = i.out + start * cut.step[0] + s * cut.moving[0]
    part.x = i.x + start * cut.step[1] + s * cut.moving[1]
    part.y = i.y + start * cut.step[2] + s * cut.moving[2]
    part.z = i.z + start * cut.step[3] + s * cut.moving[3]
    if i.opcode == SUM:
        return sum_of(part.x, stop - start, cut.step[1])
    if i.opcode == DOT:
        return dot_of(part.x, part.y, stop - start)
    if cut.unit:
        part.n = (stop - start) * cut.unit
        if i.extra[4] == 0 and foreign[i.opcode].call == NULL:      # 10 % of a stencil of 10**4 points
            odead_row(i.opcode, part.n, part.out, part.x, part.y, part.z, i.extra)
        else:
            elementwise(&part)
        return 0
    part.n = i.n
    is_plain = i.extra[4] == 0 and foreign[i.opcode].call == NULL
    for _ in range(stop - start):
        if is_plain:
            odead_row(part.opcode, part.n, part.out, part.x, part.y, part.z, part.extra)
        else:
            elementwise(&part)
        part.out += cut.step[0]
        part.x += cut.step[1]
        part.y += cut.step[2]
        part.z += cut.step[3]
    return 0


cdef void run_tile(const Instruction* head, int64_t s, int64_t n, double* totals) noexcept nogil:
    cdef const int64_t* p = parameters(head)
    cdef const Instruction* i
    cdef int64_t k
    cdef int64_t e = s + n if s + n < p[0] else p[0] + p[3]         # the last tile leaves nothing undone
    for k in range(head.n - p[2]):
        totals[k] = run_member(head + 1 + k, s, e)
    for k in range(head.n - p[2], head.n):
        i = head + 1 + k
        memmove(i.out, i.out + n * parameters(i)[0], i.n)


cdef void halve(const Instruction* head, int64_t s, int64_t n, double* totals) noexcept nogil:
    """Execute n indices of a block from `s` on: halves, down to a tile, as in a pairwise sum."""
    cdef double others[MOST_MEMBERS]
    cdef int64_t half, k
    if n <= parameters(head)[1]:
        run_tile(head, s, n, totals)
        return
    half = n // 2
    half -= half % 8
    halve(head, s, half, totals)
    halve(head, s + half, n - half, others)
    for k in range(head.n):
        totals[k] += others[k]


cdef void run_block(const Instruction* head) noexcept nogil:
    # Indices, most of a tile, rows that carry storage on, longest lag, whether there are sums.
    cdef const int64_t* p = parameters(head)
    cdef double totals[MOST_MEMBERS]
    cdef int64_t k
    if not p[4]:
        k = 0
        while k < p[0]:
            run_tile(head, k, p[1] if k + p[1] < p[0] else p[0] - k, totals)
            k += p[1]
        return
    halve(head, 0, p[0], totals)
    for k in range(head.n):
        if head[1 + k].opcode == SUM or head[1 + k].opcode == DOT:
            (<double*> head[1 + k].out)[0] = totals[k]


cdef int call(const Instruction* i, void* calls) noexcept with gil:
    cdef int status, before = raised()
    status = (<Calls> calls).run(i)
    if before:
        feraiseexcept(before)       # NumPy's functions clear them
    return status


cdef int64_t sweep(const Instruction* i, const Instruction* stop, void* calls) noexcept nogil:
    """Execute instructions; -1, or the position of the one at which the run must stop."""
    while True:
        i = odead_scalars(i, stop)
        if i >= stop:
            return -1
        if i.opcode < ODEAD_FIRST_ON_LANES:
            elementwise(i)
        elif i.opcode < ODEAD_STRUCTURED:
            i = odead_on_lanes(i, stop)
            continue
        elif i.opcode == BLOCK:
            run_block(i)
            i += i.n
        elif i.opcode == MATVECS:
            matvecs(i, 2, False)
            i += 1
        elif i.opcode == CALL:
            if call(i, calls):
                return i.position
        elif i.opcode == CALL_POINTER:
            call_pointer(i)
        elif structured(i, (i.opcode - ODEAD_STRUCTURED) // 4, (i.opcode - ODEAD_STRUCTURED) % 4):
            return i.position
        i += 1


cdef int32_t chained(int32_t opcode, int32_t before, int k) noexcept nogil:
    if not 0 <= opcode < ODEAD_CHAINED or not 0 <= before < ODEAD_CHAINED or not odead_after[before][3]:
        return -1
    return odead_after[opcode][k]


cdef bint is_checked() noexcept nogil:
    return ODEAD_CHECKED


cdef void clear() noexcept nogil:
    feclearexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW)


cdef int32_t in_one_pass(const Instruction* i, const int64_t* bases, const int64_t* offsets) noexcept nogil:
    """The opcode with which an instruction does the next one too, by their four operands' places; -1: it cannot.

    They multiply the same matrix, and neither writes what the other reads or writes.
    """
    cdef const Instruction* j = i + 1
    cdef int64_t rows, columns
    if i.opcode != MATVEC or j.opcode != MATVEC or bases[1] != bases[5] or offsets[1] != offsets[5] or not is_one_pass(i, j):
        return -1
    rows, columns = 8 * parameters(i)[1], 8 * parameters(i)[2]
    if overlaps(bases, offsets, 0, reach(i, 0, rows), 4, reach(j, 0, rows)):
        return -1
    if overlaps(bases, offsets, 0, reach(i, 0, rows), 6, reach(j, 2, columns)):
        return -1
    return -1 if overlaps(bases, offsets, 2, reach(i, 2, columns), 4, reach(j, 0, rows)) else MATVECS


cdef bint overlaps(const int64_t* bases, const int64_t* offsets, int one, int64_t size, int other,
                   int64_t size_of_other) noexcept nogil:
    """Whether two operands, of so many bytes, may share some; -1 stands for any number."""
    if bases[one] != bases[other]:
        return False
    if size < 0 or size_of_other < 0:
        return True
    return offsets[one] < offsets[other] + size_of_other and offsets[other] < offsets[one] + size
