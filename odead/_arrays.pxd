"""The storage of arrays, as C sees it."""

cimport numpy as cnp
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport realloc


cdef inline double* floats(cnp.ndarray array) noexcept:
    return <double*> cnp.PyArray_DATA(array)


cdef inline double* checked_floats(cnp.ndarray array, int ndim) except NULL:
    """The same of an array that somebody gives. A memoryview would check it too, and bring 20 000 lines of C to its module."""
    if cnp.PyArray_TYPE(array) != cnp.NPY_FLOAT64 or cnp.PyArray_NDIM(array) != ndim or not cnp.PyArray_IS_C_CONTIGUOUS(array):
        raise ValueError(f"a C-contiguous array of float64 with {ndim} axes is needed")
    return <double*> cnp.PyArray_DATA(array)


cdef inline int64_t* integers(cnp.ndarray array) noexcept:
    return <int64_t*> cnp.PyArray_DATA(array)


cdef inline char* aligned(cnp.ndarray memory) noexcept:
    """Its first byte on a line of the cache; the array has 64 bytes to spare."""
    return <char*> ((<uintptr_t> cnp.PyArray_DATA(memory) + 63) & ~(<uintptr_t> 63))


cdef inline bint grow(void** storage, int64_t size) noexcept nogil:
    """Have so many bytes there; False if there is no memory, and it stays as it is."""
    cdef void* larger = realloc(storage[0], size)
    if larger == NULL:
        return False
    storage[0] = larger
    return True
