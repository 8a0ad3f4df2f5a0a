"""The storage of arrays, as C sees it."""

cimport numpy as cnp
from libc.stdint cimport int64_t


cdef inline double* floats(cnp.ndarray array) noexcept:
    return <double*> cnp.PyArray_DATA(array)


cdef inline int64_t* integers(cnp.ndarray array) noexcept:
    return <int64_t*> cnp.PyArray_DATA(array)
