"""The sweep, and the flags that floating point operations leave in the processor."""

from libc.stdint cimport int32_t, int64_t

from ._structured cimport Instruction


cdef int64_t sweep(const Instruction* i, const Instruction* stop, void* calls) noexcept nogil
cdef int32_t chained(int32_t opcode, int32_t before, int k) noexcept nogil      # with operand k from the register; -1: none
cdef int32_t in_one_pass(const Instruction* i, const int64_t* bases, const int64_t* offsets) noexcept nogil
cdef bint is_checked() noexcept nogil   # whether this is the build with assertions
cdef int raised() noexcept nogil        # those that tell of a nan or infinity out of numbers
cdef void clear() noexcept nogil        # these
