"""What runs once per scalar operation of the user while a function is recorded: a row more in the columns of the program.

`tracing.recorder.Recorder` is built on this. The user's frame is the innermost one for what `_traced` calls from C, and the
one above the method of the traced value for what Python calls.
"""

from cpython.list cimport PyList_Append
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.math cimport copysign

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
cdef object FLOAT64 = SCALARS["float64"]
cdef tuple NO_AXES = ()
cdef object ZERO = 0
cdef tuple SECOND = ("div", "floor_divide", "remainder", "fmod")    # what depends on the second operand


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
    """The columns of a program under construction; see the `.pxd`."""

    def record(self, op, dtype, tuple ins):
        """Append a scalar instruction with a result of its own; called straight from a traced value's method."""
        cdef list buffers = self._buffers
        out = element_of(len(buffers), ZERO)
        PyList_Append(buffers, NUMBERS[dtype])
        self.append(op, out, ins, True)
        return out

    cdef object new_number(self, object op, object dtype, tuple ins):
        """As `record`, for calls from C."""
        cdef list buffers = self._buffers
        out = element_of(len(buffers), ZERO)
        PyList_Append(buffers, NUMBERS[dtype])
        self.append(op, out, ins, False)
        return out

    def record_python(self, op, dtype, tuple ins):
        """As `record`, for an operation that Python computes, so that it may raise; see `tracing.domains`."""
        condition = None if self.side is None else self.side.valid()
        out = self.record(op, dtype, self.sheltered(op, ins, condition))
        self.domains[out[0]] = condition
        return out

    cdef tuple sheltered(self, object op, tuple ins, object condition):
        """The operands, with a number from the domain in runs that do not take the side on which the operation is.

        There it would raise flags at each run, and asking what they mean takes 6 us: three times a loop over 1000 dry cells.
        """
        if condition is None:
            return ins
        cdef Py_ssize_t place = 1 if op in SECOND else 0
        inside = self.constant_number(2.0 if op == "arccosh" else 0.5)
        chosen = self.new_number("where", "float64", (condition, ins[place], inside))
        return (chosen, *ins[1:]) if place == 0 else (ins[0], chosen)

    cdef object new_python_number(self, object op, object dtype, tuple ins):
        """The same for calls from C."""
        condition = None if self.side is None else self.side.valid()
        out = self.new_number(op, dtype, self.sheltered(op, ins, condition))
        self.domains[(<tuple> out)[0]] = condition
        return out

    cdef object new_load(self, object buffer, object offset):
        """Append the copy of a float64 element into a number of its own."""
        cdef list buffers = self._buffers
        out = element_of(len(buffers), ZERO)
        PyList_Append(buffers, FLOAT64)
        self.append("copy", out, (element_of(buffer, offset),), False)
        return out

    cdef int new_store(self, object out, object source) except -1:
        """Append the copy of a scalar into an element."""
        return self.append("copy", out, (source,), False)

    def number(self, value):
        """The view of a float64 constant."""
        return self.constant_number(value)

    cdef object constant_number(self, object value):
        cdef object key = value, view
        if not value and copysign(1.0, value) < 0:
            key = "-0.0"  # -0.0 == 0.0
        view = self._numbers.get(key)
        if view is None:  # nan is found by identity or not at all
            view = self._numbers[key] = self.program.constant(value, "float64")
        return view

    cdef int append(self, object op, object out, tuple ins, bint from_python) except -1:
        PyList_Append(self._op, op)
        PyList_Append(self._out, out)
        PyList_Append(self._ins, ins)
        PyList_Append(self._params, None)
        cdef PyFrameObject* frame = PyEval_GetFrame()
        if from_python:
            frame = PyFrame_GetBack(frame)
        else:
            Py_INCREF(<object> frame)
        cdef PyCodeObject* code = PyFrame_GetCode(frame)
        line = None
        if <void*> code == <void*> self._code:
            line = self._table.get(PyFrame_GetLasti(frame))
        PyList_Append(self._line, self._locate(<object> frame) if line is None else line)
        Py_DECREF(<object> code)
        Py_DECREF(<object> frame)
        return 0
