"""The sweep: a lowered program is an array of instructions with absolute addresses, run one after the other.

Scalar instructions are threaded code (`odead_scalars` of `_kernels.h`); everything else goes row by row (`Walk`) through the
loops of that header or through the kernels of `_structured.pyx`. Nothing here allocates, takes the GIL or raises while a
program runs.

An array bound to another address than last time is relocated: the addresses of the operands inside it are rewritten. A
program over the same arrays therefore pays for no indirection, and a solver that passes the same buffers for nothing at all.
"""

import numpy as np
from scipy import special

from ._structured import DTYPES, OPERATIONS
from .errors import ArgumentTypeError, ArgumentValueError

from ._calls cimport Calls, call_pointer

cimport numpy as cnp
from cpython.pythread cimport (
    NOWAIT_LOCK,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_release_lock,
)
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uintptr_t
from libc.string cimport memcpy, memmove, memset

from ._structured cimport Instruction, Walk, advance, begin, dot_of, parameters, structured, sum_of
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
        ODEAD_FIRST_ON_LANES
        ODEAD_STRUCTURED
        ODEAD_CHECKED

cdef extern from "Python.h":
    tuple PySequence_Tuple(object)

cdef extern from "<fenv.h>" nogil:
    int FE_INVALID, FE_DIVBYZERO, FE_OVERFLOW
    int feclearexcept(int)
    int feraiseexcept(int)
    int fetestexcept(int)

cnp.import_array()


cdef enum Base:
    ARENA = -1
    CONSTANTS = -2
    NOTHING = -3


OPCODES = {odead_names[k].decode(): k for k in range(ODEAD_STRUCTURED)}
for _operation in OPERATIONS:
    OPCODES.update({f"{_operation}.{dtype}": len(OPCODES) + k for k, dtype in enumerate(DTYPES)})
for _name in ("call", "call_pointer", "block", "carry", "dot"):
    OPCODES[_name] = len(OPCODES)
BUSY = -2

cdef int CALL = OPCODES["call"]
cdef int CALL_POINTER = OPCODES["call_pointer"]
cdef int BLOCK = OPCODES["block"]
cdef int SUM = OPCODES["sum.float64"]
cdef int DOT = OPCODES["dot"]      # of two contiguous rows, inside a block

# --------------------------------------------------------------------------------------------------------- sweep


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


cdef inline int raised() noexcept nogil:
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
    for _ in range(stop - start):
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
        elif i.opcode == CALL:
            if call(i, calls):
                return i.position
        elif i.opcode == CALL_POINTER:
            call_pointer(i)
        elif structured(i, (i.opcode - ODEAD_STRUCTURED) // 4, (i.opcode - ODEAD_STRUCTURED) % 4):
            return i.position
        i += 1


# -------------------------------------------------------------------------------------------------- code and tape


cdef char* _aligned(cnp.ndarray memory) noexcept:
    return <char*> ((<uintptr_t> cnp.PyArray_DATA(memory) + 63) & ~(<uintptr_t> 63))


cdef cnp.ndarray _memory(int64_t size):
    """Storage with room to be aligned to a cache line; an array owns it, so that nobody has to free it."""
    return np.empty(size + 64, dtype=np.uint8)


cdef class Code:
    """What a program was lowered to: immutable, shared by the tapes that run it.

    Parameters
    ----------
    rows : (n, 12) int64 array
        Per instruction: opcode, position, n, start of its extra words or -1, then base and offset of out, x, y, z.
    words : int64 array
        Extra words, see `_core.pxd`.
    split : int
        The first row of the reverse part.
    slots : (m, 6) int64 array
        Per array bound at each run the fields of `Slot`.
    arena_size : int
        Bytes of writable storage.
    constants : uint8 array
        Read-only storage.
    captured : tuple of array
        Bound to the last slots at each run.
    names : tuple of str
        Of the slots.
    is_long : bool
        Whether to release the GIL during a run.
    calls : tuple
        Of the instructions without a kernel, see `_calls.pyx`.
    """

    def __cinit__(self, rows, words, int64_t split, slots, int64_t arena_size, constants, tuple captured, tuple names,
                  bint is_long, tuple calls):
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        bases = np.ascontiguousarray(rows[:, 4::2])
        offsets = np.ascontiguousarray(rows[:, 5::2])
        words = np.ascontiguousarray(words, dtype=np.int64)
        slots = np.ascontiguousarray(slots, dtype=np.int64)
        # The operands inside bound arrays, sorted by slot, in program order.
        where = np.flatnonzero(bases >= 0)
        where = where[np.argsort(bases.ravel()[where], kind="stable")]
        relocations = np.stack([where // 4, where % 4, offsets.ravel()[where]], axis=1)
        first = np.searchsorted(bases.ravel()[where], np.arange(len(slots) + 1))
        aligned_constants = _memory(constants.size)

        self.length = len(rows)
        self.split = split
        self.bases = <int64_t*> cnp.PyArray_DATA(bases)
        self.offsets = <int64_t*> cnp.PyArray_DATA(offsets)
        self.relocations = <Relocation*> cnp.PyArray_DATA(relocations)
        self.first = <int64_t*> cnp.PyArray_DATA(first)
        self.slots = <Slot*> cnp.PyArray_DATA(slots)
        self.n_slots = len(slots)
        self.n_staged = np.count_nonzero(slots.reshape(-1, 6)[:, 4])
        self.n_bound = self.n_slots - len(captured)
        self.arena_size = arena_size
        self.constants = _aligned(aligned_constants)
        memcpy(self.constants, cnp.PyArray_DATA(constants), constants.size)
        self.is_long = is_long
        self.captured = captured
        self.names = names
        self.calls = calls
        instructions = _memory(self.length * sizeof(Instruction))
        self.instructions = <Instruction*> _aligned(instructions)
        self.owners = (bases, offsets, relocations, first, slots, words, aligned_constants, instructions)
        self._fill(<const int64_t*> cnp.PyArray_DATA(rows), <const int64_t*> cnp.PyArray_DATA(words))

    cdef void _fill(self, const int64_t* rows, const int64_t* words) noexcept:
        cdef const int64_t* row
        cdef Instruction* i
        cdef int64_t k
        cdef int32_t before = -1
        for k in range(self.length):
            row = rows + 12 * k
            i = self.instructions + k
            i.opcode = <int32_t> row[0]
            if k != self.split:     # where a run may begin
                i.opcode = self._chained(k, i.opcode, before)
            before = <int32_t> row[0]
            i.position = <int32_t> row[1]
            i.n = row[2]
            i.extra = words + row[3] if row[3] >= 0 else NULL
            i.out = i.x = i.y = i.z = NULL

    cdef int32_t _chained(self, int64_t k, int32_t opcode, int32_t before) noexcept:
        """The opcode with which instruction k takes an operand from the one before it, if that one computes it."""
        cdef int64_t operand, result = 4 * k - 4
        cdef int j
        if not 0 <= opcode < ODEAD_CHAINED or not 0 <= before < ODEAD_CHAINED or not odead_after[before][3]:
            return opcode
        for j in range(3):
            operand = 4 * k + 1 + j
            if odead_after[opcode][j] >= 0 and self.bases[operand] == self.bases[result] \
                    and self.offsets[operand] == self.offsets[result]:
                return odead_after[opcode][j]
        return opcode


cdef inline char** _operand(Instruction* i, int64_t k) noexcept nogil:
    return &i.out + k


cdef class Tape:
    """A program that can run, in one thread at a time.

    Parameters
    ----------
    code : Code
        What to run.
    """

    def __cinit__(self, Code code):
        cdef int64_t k, j, base
        cdef char* origin
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError
        self.code = code
        self.captured = code.captured
        self.calls = Calls(code.calls)
        arena = _memory(code.arena_size)
        instructions = _memory(code.length * sizeof(Instruction))
        addresses = np.zeros((2, code.n_slots), dtype=np.uintp)
        self.owners = (arena, instructions, addresses)
        self.arena = _aligned(arena)
        self.instructions = <Instruction*> _aligned(instructions)
        self.bound = <char**> cnp.PyArray_DATA(addresses)
        self.caller = self.bound + code.n_slots
        self.bounces = [None] * code.n_slots
        self.entry = NULL
        if code.leaves is not None:
            entry = _memory(sum([code.slots[k].size * code.slots[k].item for k in range(code.n_bound) if code.slots[k].writes]))
            self.entry = _aligned(entry)
            self.owners += (entry,)
        if ODEAD_CHECKED:
            memset(self.arena, 0xff, code.arena_size)  # NaN, so that what is read before it is written shows

        memcpy(self.instructions, code.instructions, code.length * sizeof(Instruction))
        for k in range(code.length):
            for j in range(4):
                base = code.bases[4 * k + j]
                if base == ARENA or base == CONSTANTS:
                    origin = self.arena if base == ARENA else code.constants
                    _operand(self.instructions + k, j)[0] = origin + code.offsets[4 * k + j]
        for k in range(code.n_slots):
            if code.slots[k].staged:
                self._relocate(k, self.arena + code.slots[k].home)

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)

    def clone(self, bint frozen=False):
        """Return a tape with storage of its own for the same code; frozen, with what captured arrays hold now."""
        cdef Tape twin = Tape(self.code)
        if frozen:
            twin.captured = tuple([np.array(array, order="C") for array in self.captured])
        return twin

    def run(self, arrays, Part part, bint asks=True):
        """Bind, run, and return -1, the position of the instruction that stopped the run, or BUSY.

        `asks` says whether to look for operations out of their domain where the code does; such a run ends with the position
        of the last instruction.
        """
        if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            return BUSY
        try:
            return self._run(PySequence_Tuple(arrays), part, asks and self.entry != NULL and part == WHOLE)
        finally:
            PyThread_release_lock(self.lock)

    cdef int64_t _run(self, tuple arrays, Part part, bint asks) except -3:
        cdef Code code = self.code
        cdef int64_t slot, status
        cdef bint bounced = False
        if len(arrays) != code.n_bound:
            raise TypeError(f"{code.n_bound} arrays expected, got {len(arrays)}")
        for slot in range(code.n_bound):
            bounced |= self._bind_object(slot, arrays[slot], part)
        for slot in range(code.n_bound, code.n_slots):
            bounced |= self._bind_object(slot, self.captured[slot - code.n_bound], part)
        self._refuse_overlap(arrays, part, bounced)
        if asks:
            self._keep_entry()
        if code.is_long:
            with nogil:
                status = self.execute(part)
        else:
            status = self.execute(part)
        if status >= 0 and self.calls.failure is not None:
            failure, self.calls.failure = self.calls.failure, None
            raise failure
        if asks and status < 0 and (code.always_asks or raised()) and self._undone(arrays):
            return code.length - 1
        if bounced and status < 0:
            self._unbounce(arrays, part)
        return status

    cdef void _keep_entry(self) noexcept nogil:
        cdef int64_t slot, size
        cdef char* entry = self.entry
        for slot in range(self.code.n_bound):
            if self.code.slots[slot].writes:
                size = self.code.slots[slot].size * self.code.slots[slot].item
                memcpy(entry, self.caller[slot], size)
                entry += size

    cdef void _exchange_entry(self) noexcept nogil:
        cdef int64_t slot, size, done, n
        cdef char* entry = self.entry
        cdef char[256] held
        for slot in range(self.code.n_bound):
            if self.code.slots[slot].writes:
                size, done = self.code.slots[slot].size * self.code.slots[slot].item, 0
                while done < size:
                    n = min(size - done, <int64_t> sizeof(held))
                    memcpy(held, self.caller[slot] + done, n)
                    memcpy(self.caller[slot] + done, entry, n)
                    memcpy(entry, held, n)
                    done += n
                    entry += n

    cdef bint _undone(self, tuple arrays) except -1:
        """Whether a run has left the domain of an operation; if so, the arrays hold what they held at entry."""
        self._exchange_entry()
        if self.code.leaves(arrays):
            return True
        self._exchange_entry()
        # Not before each run, for looking takes 10 ns and clearing 60: a flag that someone else has left costs one question.
        feclearexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW)
        return False

    cdef bint _bind_object(self, int64_t slot, object item, Part part) except -1:
        """Bind a slot; True if the array is not laid out as the program expects and a copy was bound instead."""
        cdef Slot* spec = self.code.slots + slot
        cdef cnp.ndarray array
        if not isinstance(item, cnp.ndarray):
            if not isinstance(item, complex):
                self._bind_number(slot, item)
                return False
            item = self.bounces[slot] = np.array(item)  # keeps it alive
        array = item
        if not _fits(array, spec):
            raise ArgumentValueError(
                f"{self.code.names[slot]}: an array of {array.dtype} with {array.size} elements does not fit"
            )
        if _writes(spec, part) and not cnp.PyArray_ISWRITEABLE(array):
            raise ArgumentValueError(f"{self.code.names[slot]}: the array is read-only and would be written")
        if cnp.PyArray_ISCARRAY_RO(array):
            self.bind(slot, <char*> cnp.PyArray_DATA(array))
            return False
        bounce = self.bounces[slot]
        if bounce is None or bounce.shape != item.shape:
            bounce = self.bounces[slot] = np.empty(item.shape, dtype=array.dtype.newbyteorder("="))
        cnp.PyArray_CopyInto(bounce, array)
        self.bind(slot, <char*> cnp.PyArray_DATA(bounce))
        return True

    cdef int _refuse_overlap(self, tuple arrays, Part part, bint bounced) except -1:
        """Raise where an array that is written shares memory with another: the program was recorded for arrays apart."""
        cdef int64_t slot, other
        cdef Slot* written
        cdef Slot* beside
        cdef char* low
        cdef char* high
        for slot in range(self.code.n_bound):
            written = self.code.slots + slot
            if not written.size or not _writes(written, part):
                continue
            low = self.caller[slot]
            high = low + written.size * written.item
            for other in range(self.code.n_slots):
                beside = self.code.slots + other
                if other != slot and beside.size and self.caller[other] < high \
                        and low < self.caller[other] + beside.size * beside.item:
                    self._fail_overlap(slot, other)
        if bounced:     # what was bound are copies: look at the arrays themselves
            arrays = arrays + self.captured
            for slot in range(self.code.n_bound):
                if _writes(self.code.slots + slot, part):
                    for other in range(self.code.n_slots):
                        if other != slot and _share(arrays[slot], arrays[other]):
                            self._fail_overlap(slot, other)
        return 0

    cdef int _fail_overlap(self, int64_t slot, int64_t other) except -1:
        raise ArgumentValueError(
            f"{self.code.names[slot]} is written by this call and shares memory with {self.code.names[other]}: pass a copy of "
            f"one of them"
        )

    cdef int _bind_number(self, int64_t slot, object item) except -1:
        cdef Slot* spec = self.code.slots + slot
        cdef char* home = self.arena + spec.home
        if spec.home < 0 or spec.size != 1:
            raise ArgumentTypeError(f"{self.code.names[slot]}: an array is expected, not {type(item).__name__}")
        if spec.type_number == cnp.NPY_FLOAT64:
            (<double*> home)[0] = item
        elif spec.type_number == cnp.NPY_FLOAT32:
            (<float*> home)[0] = item
        elif spec.type_number == cnp.NPY_INT64:
            (<int64_t*> home)[0] = item
        else:
            (<uint8_t*> home)[0] = bool(item)
        self.bind(slot, home)
        return 0

    cdef int _unbounce(self, tuple arrays, Part part) except -1:
        cdef int64_t slot
        for slot in range(self.code.n_bound):
            bounce = self.bounces[slot]
            if bounce is not None and _writes(self.code.slots + slot, part) \
                    and self.caller[slot] == <char*> cnp.PyArray_DATA(bounce):
                cnp.PyArray_CopyInto(arrays[slot], bounce)
        return 0

    cdef void bind(self, int64_t slot, char* address) noexcept nogil:
        """Use contiguous, aligned memory at `address` for a slot in the runs to come."""
        self.caller[slot] = address
        if address != self.bound[slot] and not self.code.slots[slot].staged:
            self._relocate(slot, address)

    cdef void _relocate(self, int64_t slot, char* address) noexcept nogil:
        cdef const Relocation* r
        cdef int64_t k
        for k in range(self.code.first[slot], self.code.first[slot + 1]):
            r = self.code.relocations + k
            _operand(self.instructions + r.instruction, r.operand)[0] = address + r.offset
        self.bound[slot] = address

    cdef int64_t execute(self, Part part) noexcept nogil:
        """Run with what is bound; see `run`. Staged arrays are copied in, and out if no guard was missed."""
        cdef const Instruction* i = self.instructions
        cdef int64_t start = self.code.split if part == REVERSE else 0
        cdef int64_t stop = self.code.split if part == FORWARD else self.code.length
        cdef int64_t status
        cdef int64_t slot
        cdef Slot* spec
        if not self.code.n_staged:
            return sweep(i + start, i + stop, <void*> self.calls)
        for slot in range(self.code.n_slots):
            spec = self.code.slots + slot
            if spec.staged and self.caller[slot] != self.bound[slot]:
                memcpy(self.bound[slot], self.caller[slot], spec.size * spec.item)
        status = sweep(i + start, i + stop, <void*> self.calls)
        if status >= 0:
            return status
        for slot in range(self.code.n_slots):
            spec = self.code.slots + slot
            if spec.staged and _writes(spec, part) and self.caller[slot] != self.bound[slot]:
                memcpy(self.caller[slot], self.bound[slot], spec.size * spec.item)
        return -1


def _share(x, y):
    return isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and np.shares_memory(x, y)


cdef inline bint _fits(cnp.ndarray array, const Slot* spec):
    """Whether an array is of the dtype and size of a slot; complex numbers are pairs of floats."""
    cdef int kind = cnp.PyArray_TYPE(array)
    if kind == cnp.NPY_COMPLEX128 and spec.type_number == cnp.NPY_FLOAT64:
        return 2 * cnp.PyArray_SIZE(array) == spec.size
    return kind == spec.type_number and cnp.PyArray_SIZE(array) == spec.size


cdef inline bint _writes(const Slot* spec, Part part) noexcept nogil:
    return spec.writes & (3 if part == WHOLE else part)
