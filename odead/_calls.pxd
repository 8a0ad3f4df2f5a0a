"""Instructions without a C kernel: the sweep calls a Python function on views of its memory, or a C function by its address."""

from ._structured cimport Instruction


cdef void call_pointer(const Instruction* i) noexcept nogil


cdef class Calls:
    cdef tuple specs        # per call: function, parameters, and per operand (dtype, shape, strides in bytes) or None
    cdef list views         # per call and operand: an array on the memory at which it was last
    cdef object failure     # what the last function raised, until the run ends

    cdef int run(self, const Instruction* i) noexcept
    cdef list _views(self, const Instruction* i, list views, tuple layouts)
