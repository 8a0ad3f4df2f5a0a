"""The kernel of the discrete Fourier transform."""

from ._structured cimport Instruction

cdef void fourier(const Instruction* i, bint double_precision) noexcept nogil
