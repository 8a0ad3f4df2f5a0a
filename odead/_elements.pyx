"""Per-element maps of buffers: what is known about each element, addressed by views.

The passes decide about overlapping views element by element, which is exact for views of any shape. Only buffers
that are written more than once need a map, so the cost is that of touching this memory once, as a run does.

A view is the tuple (buffer, offset, shape, strides) of `views.py`; the memory of a map begins at element 0 of the buffer.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.string cimport memset


cdef Py_ssize_t walk(tuple view, Walk* found) except -1:
    """Fill `found`, where neighbouring axes that are one in memory are one axis; return the number of elements."""
    cdef tuple shape = <tuple> view[2], strides = <tuple> view[3]
    cdef Py_ssize_t k, extent, stride, last, size = 1
    found.axes = 0
    for k in range(len(shape)):
        extent = shape[k]
        size *= extent
        if extent > 1:
            stride, last = strides[k], found.axes - 1
            if last >= 0 and found.strides[last] == extent * stride:
                found.shape[last] *= extent
                found.strides[last] = stride
                continue
            if found.axes == 64:
                raise ValueError("a view has more than 64 axes")
            found.shape[found.axes] = extent
            found.strides[found.axes] = stride
            found.axes += 1
    return size


cdef void fill(int* memory, const Walk* way, int axis, int number) noexcept nogil:
    cdef Py_ssize_t k, stride, extent
    if axis < way.axes - 1:
        for k in range(way.shape[axis]):
            fill(memory + k * way.strides[axis], way, axis + 1, number)
        return
    innermost(way, axis, &extent, &stride)
    if stride == 1:  # here and below: as vectors of the processor
        for k in range(extent):
            memory[k] = number
    else:
        for k in range(extent):
            memory[k * stride] = number


cdef inline void innermost(const Walk* way, int axis, Py_ssize_t* extent, Py_ssize_t* stride) noexcept nogil:
    """The last axis; of a view of one element there is none."""
    extent[0] = 1 if axis == way.axes else way.shape[axis]
    stride[0] = 1 if axis == way.axes else way.strides[axis]


cdef void bounds(const int* memory, const Walk* way, int axis, int* low, int* high) noexcept nogil:
    """Widen `low` and `high` to the numbers of the elements."""
    cdef Py_ssize_t k, stride, extent
    cdef int least, most
    if axis < way.axes - 1:
        for k in range(way.shape[axis]):
            bounds(memory + k * way.strides[axis], way, axis + 1, low, high)
        return
    least, most = low[0], high[0]
    innermost(way, axis, &extent, &stride)
    if stride == 1:
        for k in range(extent):
            least = min(least, memory[k])
            most = max(most, memory[k])
    else:
        for k in range(extent):
            least = min(least, memory[k * stride])
            most = max(most, memory[k * stride])
    low[0], high[0] = least, most


cdef Py_ssize_t _set(char* memory, const Walk* way, int axis, char value) noexcept nogil:
    """Set the elements to `value`; return how many were not."""
    cdef Py_ssize_t k, stride, extent, changed = 0
    if axis < way.axes - 1:
        for k in range(way.shape[axis]):
            changed += _set(memory + k * way.strides[axis], way, axis + 1, value)
        return changed
    innermost(way, axis, &extent, &stride)
    if stride == 1:
        for k in range(extent):
            changed += memory[k] != value
        memset(memory, value, extent)
    else:
        for k in range(extent):
            changed += memory[k * stride] != value
            memory[k * stride] = value
    return changed


cdef bint _any(const char* memory, const Walk* way, int axis) noexcept nogil:
    cdef Py_ssize_t k, stride, extent
    if axis < way.axes - 1:
        for k in range(way.shape[axis]):
            if _any(memory + k * way.strides[axis], way, axis + 1):
                return True
        return False
    innermost(way, axis, &extent, &stride)
    for k in range(extent):
        if memory[k * stride]:
            return True
    return False


cdef int _distinct(const int* memory, const Walk* way, int axis, set found) except -1:
    cdef Py_ssize_t k, stride, extent
    cdef int last = -1
    if axis < way.axes - 1:
        for k in range(way.shape[axis]):
            _distinct(memory + k * way.strides[axis], way, axis + 1, found)
        return 0
    innermost(way, axis, &extent, &stride)
    for k in range(extent):
        if memory[k * stride] != last:
            last = memory[k * stride]
            if last >= 0:
                found.add(last)
    return 0


cdef int stamp(int* memory, tuple view, int number) except -1:
    cdef Walk way
    cdef Py_ssize_t offset = view[1]
    if not <tuple> view[2]:
        memory[offset] = number
    elif walk(view, &way):
        fill(memory + offset, &way, 0, number)
    return 0


cdef int latest(const int* memory, tuple view) except -2:
    cdef int low, high
    _extremes(memory, view, &low, &high)
    return high


cdef int common(const int* memory, tuple view) except -2:
    cdef int low, high
    _extremes(memory, view, &low, &high)
    return high if low == high else -1


cdef int _extremes(const int* memory, tuple view, int* low, int* high) except -1:
    """Find the smallest and the largest number of a view; -1 where it is empty."""
    cdef Walk way
    cdef Py_ssize_t offset = view[1]
    low[0] = high[0] = -1
    if not <tuple> view[2]:
        low[0] = high[0] = memory[offset]
    elif walk(view, &way):
        low[0] = high[0] = memory[offset]
        bounds(memory + offset, &way, 0, low, high)
    return 0


cdef Py_ssize_t mark(char* memory, tuple view) except -1:
    cdef Walk way
    return _set(memory + <Py_ssize_t> view[1], &way, 0, 1) if walk(view, &way) else 0


cdef Py_ssize_t clear(char* memory, tuple view) except -1:
    cdef Walk way
    return _set(memory + <Py_ssize_t> view[1], &way, 0, 0) if walk(view, &way) else 0


cdef bint has_mark(const char* memory, tuple view) except -1:
    cdef Walk way
    return walk(view, &way) and _any(memory + <Py_ssize_t> view[1], &way, 0)


cdef class Stamps:
    """A number per element, of the last instruction that did something to it; -1 where none did."""

    def __cinit__(self, Py_ssize_t size):
        self._storage = bytearray(size * sizeof(int))
        self.memory = <int*> PyByteArray_AS_STRING(self._storage)
        memset(self.memory, 0xFF, size * sizeof(int))

    def latest(self, view):
        """The largest number among the elements of a view, -1 for an empty one."""
        return latest(self.memory, <tuple> view)

    def common(self, view):
        """The number that all elements of a view have, -1 if there is none."""
        return common(self.memory, <tuple> view)

    def all(self, view):
        """The different numbers among the elements of a view."""
        cdef Walk way
        cdef set found = set()
        if walk(<tuple> view, &way):
            _distinct(self.memory + <Py_ssize_t> (<tuple> view)[1], &way, 0, found)
        return sorted(found)

    def stamp(self, view, int number):
        stamp(self.memory, <tuple> view, number)


cdef class Marks:
    """One bit of knowledge per element."""

    def __cinit__(self, Py_ssize_t size, bint marked):
        self._storage = bytearray(size)
        self.memory = PyByteArray_AS_STRING(self._storage)
        memset(self.memory, marked, size)

    def any(self, view):
        return has_mark(self.memory, <tuple> view)

    def mark(self, view):
        """Mark the elements of a view and return how many were not marked before."""
        return mark(self.memory, <tuple> view)

    def clear(self, view):
        """Clear the elements of a view and return how many were marked before."""
        return clear(self.memory, <tuple> view)
