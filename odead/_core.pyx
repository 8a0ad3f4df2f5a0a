"""Code and tapes: a lowered program is an array of instructions with absolute addresses, which the sweep runs.

Nothing here allocates, takes the GIL or raises while a program runs.

An array bound to another address than last time is relocated: the addresses of the operands inside it are rewritten. A
program over the same arrays therefore pays for no indirection, and a solver that passes the same buffers for nothing at all.
"""

import numpy as np

from ._sweep import OPCODES  # no-cython-lint: for whoever lowers programs
from .errors import ArgumentTypeError, ArgumentValueError

from ._arrays cimport aligned
from ._calls cimport Calls

cimport numpy as cnp
from cpython.pythread cimport (
    NOWAIT_LOCK,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_release_lock,
)
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

from ._structured cimport Instruction
from ._sweep cimport chained, clear, in_one_pass, is_checked, raised, sweep

cdef extern from "Python.h":
    tuple PySequence_Tuple(object)

cnp.import_array()

BUSY = -2


cdef enum Base:
    ARENA = -1
    CONSTANTS = -2
    NOTHING = -3


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
        kept_constants = _memory(constants.size)

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
        self.constants = aligned(kept_constants)
        memcpy(self.constants, cnp.PyArray_DATA(constants), constants.size)
        self.is_long = is_long
        self.captured = captured
        self.names = names
        self.calls = calls
        instructions = _memory(self.length * sizeof(Instruction))
        self.instructions = <Instruction*> aligned(instructions)
        self.owners = (bases, offsets, relocations, first, slots, words, kept_constants, instructions)
        self._fill(<const int64_t*> cnp.PyArray_DATA(rows), <const int64_t*> cnp.PyArray_DATA(words))

    cdef void _fill(self, const int64_t* rows, const int64_t* words) noexcept:
        cdef const int64_t* row
        cdef Instruction* i
        cdef int64_t k
        cdef int32_t together, before = -1
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
        k = 0
        while k < self.length - 1:
            together = in_one_pass(self.instructions + k, self.bases + 4 * k, self.offsets + 4 * k)
            if together >= 0 and k + 1 != self.split:
                self.instructions[k].opcode = together
                k += 1
            k += 1

    cdef int32_t _chained(self, int64_t k, int32_t opcode, int32_t before) noexcept:
        """The opcode with which instruction k takes an operand from the one before it, if that one computes it."""
        cdef int64_t operand, result = 4 * k - 4
        cdef int j
        for j in range(3):
            operand = 4 * k + 1 + j
            if chained(opcode, before, j) >= 0 and self.bases[operand] == self.bases[result] \
                    and self.offsets[operand] == self.offsets[result]:
                return chained(opcode, before, j)
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
        self.arena = aligned(arena)
        self.instructions = <Instruction*> aligned(instructions)
        self.bound = <char**> cnp.PyArray_DATA(addresses)
        self.caller = self.bound + code.n_slots
        self.bounces = [None] * code.n_slots
        self.entry = NULL
        if code.leaves is not None:
            entry = _memory(sum([code.slots[k].size * code.slots[k].item for k in range(code.n_bound) if code.slots[k].writes]))
            self.entry = aligned(entry)
            self.owners += (entry,)
        if is_checked():
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
        twin.captured = tuple([np.array(array, order="C") for array in self.captured]) if frozen else self.captured
        return twin

    def seeing(self, others):
        """Return a clone that captures other arrays, of the same kind, in place of some: pairs of old and new."""
        cdef Tape twin = Tape(self.code)
        found = {id(old): new for old, new in others}
        twin.captured = tuple([found.get(id(array), array) for array in self.captured])
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
        if status >= 0:
            self.raise_failure()
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
        clear()
        return False

    cdef int raise_failure(self) except -1:
        """Raise what a Python function raised in a run that did not come to its end, if one did."""
        if self.calls.failure is not None:
            failure, self.calls.failure = self.calls.failure, None
            raise failure
        return 0

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
