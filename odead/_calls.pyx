"""Instructions without a C kernel: the sweep calls a Python function on views of its memory, or a C function by its address.

The views are made once; one whose array is bound to another address than last time is made anew. C functions get addresses
in that memory, and are called without the GIL.
"""

import numpy as np

cimport numpy as cnp

from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport int64_t, intptr_t

from ._arrays cimport checked_floats, integers
from ._structured cimport Instruction, parameters

cnp.import_array()

cdef enum:
    OPERANDS = 4            # out, x, y, z


cdef extern from "_pointers.h" nogil:
    void odead_call_pointer(const int64_t* plan, double* out, double* row)


cdef void call_pointer(const Instruction* i) noexcept nogil:
    """Call a C function on the row x; see `_pointers.h`."""
    odead_call_pointer(parameters(i), <double*> i.out, <double*> i.x)


def run_pointer(cnp.ndarray plan not None, cnp.ndarray out not None, cnp.ndarray row not None):
    """The same outside a program."""
    cdef const int64_t* how = integers(plan)
    cdef double* into = checked_floats(out, 1)
    cdef double* given = checked_floats(row, 1)
    with nogil:
        odead_call_pointer(how, into, given)


def opened(capsule):
    """The two addresses in a capsule: the function, and its context."""
    return (<int64_t> <intptr_t> PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule)),
            <int64_t> <intptr_t> PyCapsule_GetContext(capsule))


cdef class Calls:
    """The Python functions of one tape.

    Parameters
    ----------
    specs : tuple
        Per call (function, parameters, layouts): `function(out, ins, parameters)`, and for out and each operand its dtype,
        shape and strides in bytes.
    """

    def __init__(self, tuple specs):
        self.specs = specs
        self.views = [[None] * OPERANDS for _ in specs]
        self.failure = None

    cdef int run(self, const Instruction* i) noexcept:
        """Execute a call; 1 if the run must stop: what was asked for does not exist, or the function raised."""
        cdef int64_t number = parameters(i)[0]
        try:
            function, params, layouts = self.specs[number]
            out, *ins = self._views(i, self.views[number], layouts)
            function(out, tuple(ins), params)
            return 0
        except np.linalg.LinAlgError:
            return 1  # where the function is recorded again, it raises the same, or goes the way of its `except`
        except BaseException as error:
            self.failure = error
            return 1

    cdef list _views(self, const Instruction* i, list views, tuple layouts):
        cdef const char* address
        cdef Py_ssize_t k
        for k in range(len(layouts)):
            address = (&i.out)[k]
            if views[k] is None or cnp.PyArray_BYTES(<cnp.ndarray> views[k]) != address:
                views[k] = _view(<char*> address, layouts[k], k == 0)
        return views[:len(layouts)]


cdef object _view(char* address, tuple layout, bint writeable):
    cdef cnp.npy_intp shape[64]
    cdef cnp.npy_intp strides[64]
    cdef int k, flags = cnp.NPY_ARRAY_WRITEABLE if writeable else 0
    for k in range(len(layout[1])):
        shape[k], strides[k] = layout[1][k], layout[2][k]
    return cnp.PyArray_New(np.ndarray, len(layout[1]), shape, layout[0].num, strides, address, 0, flags, None)
