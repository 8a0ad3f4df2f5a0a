"""The data of the sweep. One `Code` is what a program was lowered to and never changes; a `Tape` is a copy that can run."""

from cpython.pythread cimport PyThread_type_lock
from libc.stdint cimport int32_t, int64_t

from ._calls cimport Calls
from ._structured cimport Instruction


cdef struct Relocation:     # an operand inside an array that is bound at each run
    int64_t instruction
    int64_t operand         # 0 to 3: out, x, y, z
    int64_t offset          # bytes from the start of the array


cdef struct Slot:           # what an array bound at each run must be
    int64_t type_number     # NumPy's
    int64_t size            # elements
    int64_t item            # bytes of an element
    int64_t writes          # bit 0: the forward part writes it, bit 1: the reverse part does
    int64_t staged          # the instructions use the tape's own copy: a missed guard must leave the caller's array alone
    int64_t home            # where in the arena the copy, or a number passed for a 0-d array, lives; -1: nowhere


cdef enum Part:
    WHOLE
    FORWARD
    REVERSE


cdef class Code:
    cdef Instruction* instructions      # addresses are left to the tapes
    cdef int64_t* bases                 # of the 4 operands of each instruction: a slot, ARENA, CONSTANTS or NOTHING
    cdef int64_t* offsets               # of the 4 operands of each instruction, in bytes
    cdef int64_t length                 # number of instructions
    cdef int64_t split                  # the first instruction of the reverse part
    cdef public bint settles            # what comes before the split stays as it is during a solve
    cdef public object leaves           # asked whether a run leaves the domain of an operation of Python's; see `Tape._undone`
    cdef public bint always_asks        # also where no flag of the processor is raised
    cdef Relocation* relocations        # sorted by slot
    cdef int64_t* first                 # slot s owns relocations[first[s]:first[s + 1]]
    cdef Slot* slots                    # arguments, results, then captured arrays
    cdef int64_t n_slots
    cdef int64_t n_staged               # slots that are
    cdef int64_t n_bound                # arguments and results
    cdef int64_t arena_size             # bytes
    cdef char* constants                # aligned to 64 bytes, never written
    cdef bint is_long                   # running takes so long that handing the GIL over is worth its price
    cdef tuple captured                 # the user's own arrays
    cdef tuple names                    # of the slots, for messages
    cdef tuple calls                    # of Python functions: see `_calls.pyx`
    cdef tuple owners                   # arrays that own the memory above

    cdef void _fill(self, const int64_t* rows, const int64_t* words) noexcept
    cdef int32_t _chained(self, int64_t k, int32_t opcode, int32_t before) noexcept


cdef class Tape:
    cdef Code code
    cdef Instruction* instructions
    cdef char* arena                    # aligned to 64 bytes
    cdef char** bound                   # per slot: the address that the instructions contain
    cdef char** caller                  # per slot: the address given last
    cdef list bounces                   # per slot: a contiguous stand-in for an array that is not, once one was needed
    cdef tuple captured                 # as in the code, or copies
    cdef char* entry                    # what arrays that are written held at entry, one after the other; NULL: not kept
    cdef Calls calls
    cdef PyThread_type_lock lock        # held during a run
    cdef tuple owners

    cdef void bind(self, int64_t slot, char* address) noexcept nogil
    cdef int64_t execute(self, Part part) noexcept nogil
    cdef void _relocate(self, int64_t slot, char* address) noexcept nogil
    cdef int64_t _run(self, tuple arrays, Part part, bint asks) except -3
    cdef int raise_failure(self) except -1
    cdef bint _bind_object(self, int64_t slot, object item, Part part) except -1
    cdef int _bind_number(self, int64_t slot, object item) except -1
    cdef int _refuse_overlap(self, tuple arrays, Part part, bint bounced) except -1
    cdef int _fail_overlap(self, int64_t slot, int64_t other) except -1
    cdef void _keep_entry(self) noexcept nogil
    cdef void _exchange_entry(self) noexcept nogil
    cdef bint _undone(self, tuple arrays) except -1
    cdef int _unbounce(self, tuple arrays, Part part) except -1
