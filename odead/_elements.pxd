"""Per-element maps of buffers, addressed by views, for the passes; `_elements.pyx` says more."""

cdef struct Walk:                # the axes of a view that are longer than 1
    int axes
    Py_ssize_t shape[64]
    Py_ssize_t strides[64]


cdef Py_ssize_t walk(tuple view, Walk* found) except -1
cdef void fill(int* memory, const Walk* way, int axis, int number) noexcept nogil
cdef void bounds(const int* memory, const Walk* way, int axis, int* low, int* high) noexcept nogil

cdef int stamp(int* memory, tuple view, int number) except -1
cdef int latest(const int* memory, tuple view) except -2
cdef int common(const int* memory, tuple view) except -2
cdef Py_ssize_t mark(char* memory, tuple view) except -1
cdef Py_ssize_t clear(char* memory, tuple view) except -1
cdef bint has_mark(const char* memory, tuple view) except -1


cdef class Stamps:
    cdef bytearray _storage
    cdef int* memory


cdef class Marks:
    cdef bytearray _storage
    cdef char* memory
