"""What runs once per scalar operation of the user while a function is recorded: a row more in the columns of the program.

`tracing.recorder.Recorder` is built on this. The user's frame is two Python frames up, above the method of the traced value.
"""

from cpython.list cimport PyList_Append
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM

from .tape import DTYPES as _DTYPES
from .tape import Buffer, Role
from .views import View

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        object (*tp_alloc)(PyTypeObject*, Py_ssize_t)
    ctypedef struct PyFrameObject
    ctypedef struct PyCodeObject
    PyFrameObject* PyEval_GetFrame()
    PyFrameObject* PyFrame_GetBack(PyFrameObject*)  # a new reference, as the next one
    PyCodeObject* PyFrame_GetCode(PyFrameObject*)
    int PyFrame_GetLasti(PyFrameObject*)

SCALARS = {dtype: Buffer(dtype, 1, Role.TEMP) for dtype in _DTYPES}
cdef dict NUMBERS = SCALARS
cdef tuple NO_AXES = ()
cdef object ZERO = 0


cdef object element_of(object buffer, object offset):
    """`View(buffer, offset, (), ())`."""
    view = (<PyTypeObject*> View).tp_alloc(<PyTypeObject*> View, 4)
    Py_INCREF(buffer)
    PyTuple_SET_ITEM(view, 0, buffer)
    Py_INCREF(offset)
    PyTuple_SET_ITEM(view, 1, offset)
    Py_INCREF(NO_AXES)
    PyTuple_SET_ITEM(view, 2, NO_AXES)
    Py_INCREF(NO_AXES)
    PyTuple_SET_ITEM(view, 3, NO_AXES)
    return view


cdef class Rows:
    """The columns of a program under construction.

    Attributes
    ----------
    _table : dict
        Of the code of the user's met last, `_code`: position in it -> line of the program.
    """

    cdef public list _buffers, _op, _out, _ins, _params, _line
    cdef public dict _table
    cdef public object _code

    def record(self, op, dtype, tuple ins):
        """Append a scalar instruction with a result of its own; called straight from a traced value's method."""
        cdef list buffers = self._buffers
        out = element_of(len(buffers), ZERO)
        PyList_Append(buffers, NUMBERS[dtype])
        self.append(op, out, ins)
        return out

    def load(self, buffer, offset):
        """Append the copy of a float64 element into a number of its own; called straight from a traced value's method."""
        cdef list buffers = self._buffers
        out = element_of(len(buffers), ZERO)
        PyList_Append(buffers, NUMBERS["float64"])
        self.append("copy", out, (element_of(buffer, offset),))
        return out

    def store(self, out, source):
        """Append the copy of a scalar into an element; called straight from a traced value's method."""
        self.append("copy", out, (source,))

    cdef int append(self, op, out, tuple ins) except -1:
        PyList_Append(self._op, op)
        PyList_Append(self._out, out)
        PyList_Append(self._ins, ins)
        PyList_Append(self._params, None)
        cdef PyFrameObject* frame = PyFrame_GetBack(PyEval_GetFrame())
        cdef PyCodeObject* code = PyFrame_GetCode(frame)
        line = None
        if <void*> code == <void*> self._code:
            line = self._table.get(PyFrame_GetLasti(frame))
        PyList_Append(self._line, self._locate(<object> frame) if line is None else line)
        Py_DECREF(<object> code)
        Py_DECREF(<object> frame)
        return 0
