"""A program as the compiled scans see it; `_scan.pyx` says more."""

cdef inline Py_ssize_t buffer_of(tuple view):
    return view[0]


cdef inline Py_ssize_t offset_of(tuple view):
    return view[1]


cdef inline bint is_scalar(tuple view):
    return len(<tuple> view[2]) == 0


cdef tuple moved(tuple view, Py_ssize_t buffer)
cdef bint updates_in_place(object op) except -1


cdef class Scan:
    cdef list op, out, ins, buffers, _storage
    cdef Py_ssize_t length, many, split
    cdef Py_ssize_t* size
    cdef Py_ssize_t* base
    cdef int* count
    cdef char* single
    cdef char* is_temp

    cdef char* zeros(self, Py_ssize_t size) except NULL
    cdef int* numbers(self, Py_ssize_t count) except NULL
    cdef Py_ssize_t give_map(self, Py_ssize_t buffer, Py_ssize_t total)
    cdef Py_ssize_t map_rewritten(self)
    cdef bint is_whole(self, tuple view) except -1
