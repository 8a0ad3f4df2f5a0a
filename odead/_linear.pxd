"""The kernels that call LAPACK and triangular BLAS."""

from ._structured cimport Instruction

cdef void linear(const Instruction* i, int operation, bint double_precision) noexcept nogil
