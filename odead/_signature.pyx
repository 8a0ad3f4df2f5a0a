"""What the plain calls of one program have in common, checked in C: arrays of the same shapes and dtypes, and floats.

A plain call has neither containers nor numbers of other types, so that its arguments are bound as they are. All other calls
are right as well, but take a longer way; what this module refuses is never an error.
"""

import numpy as np

cimport numpy as cnp

from libc.stdint cimport int64_t, uintptr_t

cnp.import_array()

cdef enum:
    DISJOINT_LIMIT = 32     # arrays: a call with more of them is checked pair by pair in Python
    NUMBER = -1


cdef struct Kind:           # of an argument
    int type_number         # NumPy's, or NUMBER
    int axes
    int64_t start           # of its shape, then its strides, among those of all
    bint differentiated


cdef class Signature:
    """The kinds of the arguments of a call.

    Parameters
    ----------
    examples : sequence of (ndarray or float)
    active : container of int
        Which of them have shadows.
    strides : bool
        Whether the strides of arrays count, too.
    """

    cdef Py_ssize_t count
    cdef Kind* kinds
    cdef const cnp.npy_intp* extents
    cdef bint strides
    cdef tuple owners

    def __init__(self, examples, active, bint strides=False):
        cdef Py_ssize_t k
        layouts, extents = np.zeros((len(examples), sizeof(Kind)), np.uint8), []
        self.count, self.strides = len(examples), strides
        self.kinds = <Kind*> cnp.PyArray_DATA(layouts)
        for k, example in enumerate(examples):
            self.kinds[k].differentiated = k in active
            if isinstance(example, np.ndarray):
                self.kinds[k].type_number, self.kinds[k].axes = example.dtype.num, example.ndim
                self.kinds[k].start = len(extents)
                extents += [*example.shape, *example.strides]
            else:
                self.kinds[k].type_number = NUMBER
        all_extents = np.array(extents, dtype=np.intp)
        self.extents = <const cnp.npy_intp*> cnp.PyArray_DATA(all_extents)
        self.owners = layouts, all_extents

    @staticmethod
    def describes(examples):
        """Whether calls with these arguments are plain ones."""
        return all(
            type(example) is float
            or (type(example) is np.ndarray and example.dtype.isnative and example.dtype.kind in "fciub")
            for example in examples
        )

    def accepts(self, tuple args):
        """Whether these are arguments of the same kinds."""
        cdef Py_ssize_t k
        if len(args) != self.count:
            return False
        for k in range(self.count):
            if not self._fits(k, args[k], self.strides):
                return False
        return True

    def with_shadows(self, tuple args, shadows):
        """The arguments, then the shadows of the differentiated ones; None where one is of another kind.

        Parameters
        ----------
        args : tuple
        shadows : tuple
            One per argument; None for a number means 0.
        """
        cdef Py_ssize_t k
        if type(shadows) is not tuple or len(shadows) != self.count or not self.accepts(args):
            return None
        cdef list found = list(args)
        for k in range(self.count):
            if self.kinds[k].differentiated:
                shadow = shadows[k]
                if self.kinds[k].type_number == NUMBER and shadow is None:
                    shadow = 0.0
                elif not self._fits_shadow(k, shadow):
                    return None
                found.append(shadow)
        return found

    def of_annotated(self, tuple annotated, Py_ssize_t first):
        """The same for annotations, from the `first` on; None also where two arrays may share memory."""
        cdef Py_ssize_t k
        if len(annotated) - first != self.count:
            return None
        cdef list found = [annotation.val for annotation in annotated[first:]]
        for k in range(self.count):
            if not self._fits(k, found[k], self.strides):
                return None
        for k in range(self.count):
            if self.kinds[k].differentiated:
                shadow = annotated[first + k].dval
                if not self._fits_shadow(k, shadow) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray> shadow):
                    return None
                found.append(shadow)
        return found if _disjoint(found) else None

    cdef bint _fits(self, Py_ssize_t k, object item, bint strides):
        cdef const Kind* kind = self.kinds + k
        if kind.type_number == NUMBER:
            return type(item) is float
        if not cnp.PyArray_CheckExact(item):
            return False
        cdef cnp.ndarray array = item
        if cnp.PyArray_TYPE(array) != kind.type_number or array.ndim != kind.axes or not cnp.PyArray_ISNOTSWAPPED(array):
            return False
        cdef int axis
        for axis in range(kind.axes):
            if array.shape[axis] != self.extents[kind.start + axis]:
                return False
            if strides and array.strides[axis] != self.extents[kind.start + kind.axes + axis]:
                return False
        return True

    cdef bint _fits_shadow(self, Py_ssize_t k, object shadow):
        """Whether a shadow has the shape and dtype of an argument, a number's is a 0-d array."""
        if self.kinds[k].type_number != NUMBER:
            return self._fits(k, shadow, False)
        return (
            cnp.PyArray_CheckExact(shadow) and cnp.PyArray_TYPE(<cnp.ndarray> shadow) == cnp.NPY_FLOAT64
            and (<cnp.ndarray> shadow).ndim == 0 and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray> shadow)
        )


def disjoint(*items):
    """Whether no two of the arrays among the items can share memory, going by the addresses they span."""
    return _disjoint(list(items))


cdef bint _disjoint(list items):
    cdef uintptr_t low[DISJOINT_LIMIT]
    cdef uintptr_t high[DISJOINT_LIMIT]
    cdef Py_ssize_t n = 0, k
    cdef cnp.ndarray array
    cdef int axis
    for item in items:
        if not isinstance(item, cnp.ndarray):
            continue
        if n == DISJOINT_LIMIT:
            return False
        array = item
        low[n] = high[n] = <uintptr_t> cnp.PyArray_DATA(array)
        if cnp.PyArray_SIZE(array) == 0:
            continue
        for axis in range(array.ndim):
            if array.strides[axis] < 0:
                low[n] += (array.shape[axis] - 1) * array.strides[axis]
            else:
                high[n] += (array.shape[axis] - 1) * array.strides[axis]
        high[n] += cnp.PyArray_ITEMSIZE(array)
        for k in range(n):
            if low[k] < high[n] and low[n] < high[k]:
                return False
        n += 1
    return True
