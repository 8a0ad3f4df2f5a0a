"""An instruction, the walk over its rows, and the kernels that are written by hand."""

from libc.stdint cimport int32_t, int64_t


cdef extern from "_instruction.h" nogil:
    ctypedef struct Instruction "odead_instruction":
        int32_t opcode
        int32_t position
        int64_t n
        char* out
        char* x
        char* y
        char* z
        const int64_t* extra


cdef enum:
    MOST_AXES = 64          # NumPy's own limit
    AXIS = 5                # words per axis: extent, strides of out, x, y, z
    HEAD = 5                # words before the axes


cdef struct Walk:           # over the rows of an instruction
    char* at[4]
    const int64_t* axes
    int64_t depth
    int64_t count[MOST_AXES]


cdef inline void begin(Walk* walk, const Instruction* i) noexcept nogil:
    cdef int64_t k
    walk.at[0], walk.at[1], walk.at[2], walk.at[3] = i.out, i.x, i.y, i.z
    walk.depth = i.extra[4]
    walk.axes = i.extra + HEAD
    for k in range(walk.depth):
        walk.count[k] = 0


cdef inline bint advance(Walk* walk) noexcept nogil:
    """Go to the next row, in C order; False after the last one."""
    cdef int64_t k, j
    cdef const int64_t* axis
    for k in range(walk.depth - 1, -1, -1):
        axis = walk.axes + AXIS * k
        walk.count[k] += 1
        if walk.count[k] < axis[0]:
            for j in range(4):
                walk.at[j] += axis[1 + j]
            return True
        walk.count[k] = 0
        for j in range(4):
            walk.at[j] -= axis[1 + j] * (axis[0] - 1)
    return False


cdef inline const int64_t* parameters(const Instruction* i) noexcept nogil:
    """What the operation asks for beyond strides."""
    return i.extra + HEAD + AXIS * i.extra[4]


cdef int structured(const Instruction* i, int operation, int dtype) noexcept nogil
cdef double sum_of(const char* x, int64_t n, int64_t stride) noexcept nogil
cdef double dot_of(const char* x, const char* y, int64_t n) noexcept nogil
cdef void matvecs(const Instruction* i, int count, bint turned) noexcept nogil
cdef bint is_one_pass(const Instruction* i, const Instruction* j) noexcept nogil
cdef int64_t reach(const Instruction* i, int operand, int64_t dense) noexcept nogil
