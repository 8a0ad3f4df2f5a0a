"""A program as the compiled scans of the passes see it.

Element loops give 10**5 scalar instructions, so what a scan asks at each of them is kept in C arrays by number of buffer, and
scalar views take no detours.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.object cimport PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.string cimport memset

from .structured import STRUCTURED as _STRUCTURED
from .tape import Role
from .views import View, contiguous

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject* kind, Py_ssize_t items)

cdef object TEMP = Role.TEMP
cdef dict OPERATIONS = _STRUCTURED
cdef PyTypeObject* VIEW = <PyTypeObject*> View


cdef tuple moved(tuple view, Py_ssize_t buffer):
    """The same view of another buffer."""
    cdef tuple new = <tuple> PyType_GenericAlloc(VIEW, 4)
    cdef object number = buffer, part
    cdef Py_ssize_t k
    Py_INCREF(number)
    PyTuple_SET_ITEM(new, 0, number)
    for k in range(1, 4):
        part = view[k]
        Py_INCREF(part)
        PyTuple_SET_ITEM(new, k, part)
    return new


def on_buffer(view, Py_ssize_t buffer):
    """The same view of another buffer; what `view._replace(buffer=buffer)` gives, in a tenth of the time."""
    return moved(<tuple> view, buffer)


def picked(list column, list positions):
    """The items of a column at these positions."""
    cdef list items = []
    cdef Py_ssize_t k
    for k in positions:
        items.append(column[k])
    return items


cdef bint updates_in_place(object op) except -1:
    """Whether the first operand of `op` is its result before, of which only a part may be overwritten."""
    return op in OPERATIONS and OPERATIONS[op].in_place


cdef class Scan:
    """A program as the scans see it.

    Per buffer: `size`; `count`, how many instructions write it; `single`, whether it is a temporary that one instruction
    writes; `base`, where its elements begin in the memory of a map, -1 where it has none.
    """

    def __cinit__(self, program):
        cdef Py_ssize_t k, b
        cdef object out
        cdef tuple buffer
        self.op, self.out, self.ins, self.buffers = program.op, program.out, program.ins, program.buffers
        self.length, self.many = len(self.op), len(self.buffers)
        self.split = self.length if program.split is None else program.split
        self._storage = []
        self.size = <Py_ssize_t*> self.zeros(self.many * sizeof(Py_ssize_t))
        self.base = <Py_ssize_t*> self.zeros(self.many * sizeof(Py_ssize_t))
        self.count = <int*> self.zeros(self.many * sizeof(int))
        self.single = self.zeros(self.many)
        self.is_temp = self.zeros(self.many)
        for k in range(self.length):
            out = self.out[k]
            if out is not None:
                self.count[buffer_of(<tuple> out)] += 1
        for b in range(self.many):
            buffer = <tuple> self.buffers[b]
            self.size[b] = buffer[1]
            self.base[b] = -1
            self.is_temp[b] = buffer[2] is TEMP
            self.single[b] = self.is_temp[b] and self.count[b] == 1

    cdef char* zeros(self, Py_ssize_t size) except NULL:
        """Zeroed memory that lives as long as this."""
        cdef bytearray memory = bytearray(size)
        self._storage.append(memory)
        return PyByteArray_AS_STRING(memory)

    cdef int* numbers(self, Py_ssize_t count) except NULL:
        """So many numbers, -1 each."""
        cdef int* memory = <int*> self.zeros(count * sizeof(int))
        memset(memory, 0xFF, count * sizeof(int))
        return memory

    cdef Py_ssize_t give_map(self, Py_ssize_t buffer, Py_ssize_t total):
        """Let the elements of a buffer begin at `total`; returns where they end."""
        self.base[buffer] = total
        return total + self.size[buffer]

    cdef Py_ssize_t map_rewritten(self):
        """Give a map to each buffer that is written, but for temporaries written once; returns the number of elements."""
        cdef Py_ssize_t b, total = 0
        for b in range(self.many):
            if self.count[b] and not self.single[b]:
                total = self.give_map(b, total)
        return total

    cdef bint is_whole(self, tuple view) except -1:
        """Whether a view is all of its buffer, in order."""
        cdef Py_ssize_t size = 1
        if is_scalar(view):
            return self.size[buffer_of(view)] == 1
        if offset_of(view) or <tuple> view[3] != <tuple> contiguous(view[2]):
            return False
        for extent in <tuple> view[2]:
            size *= <Py_ssize_t> extent
        return size == self.size[buffer_of(view)]
