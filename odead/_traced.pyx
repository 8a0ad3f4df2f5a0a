"""What traced numbers and arrays do at each scalar operation of an element loop.

`tracing.scalar` and `tracing.array` derive their classes from these, and do there what is not between float64 numbers.

The value of an operation is computed here where it is sure to be the one that Python or NumPy gives, and to give no warning:
where it is a normal number, or a zero of zeros. All else is left to Python's operators.
"""

from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.object cimport Py_EQ, Py_GE, Py_GT, Py_LE, Py_NE, PyObject
from libc.float cimport DBL_MIN
from libc.math cimport fabs, isfinite

from ._recording cimport Rows, element_of

import operator

import numpy as np

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        object (*tp_alloc)(PyTypeObject*, Py_ssize_t)
        object (*tp_new)(PyTypeObject*, PyObject*, PyObject*)
    ctypedef struct PyFloatObject:
        double ob_fval

cdef enum Operation:
    ADD, SUB, MUL, DIV, POW, FLOOR_DIVIDE, REMAINDER, LESS, LESS_EQUAL, EQUAL, NOT_EQUAL, GREATER, GREATER_EQUAL

cdef tuple OPS = (
    "add", "sub", "mul", "div", "pow", "floor_divide", "remainder",
    "less", "less_equal", "equal", "not_equal", "greater", "greater_equal",
)
cdef tuple PYTHON = (
    operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.floordiv, operator.mod,
    operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge,
)
cdef tuple UFUNCS = (
    np.add, np.subtract, np.multiply, np.divide, np.power, np.floor_divide, np.remainder,
    np.less, np.less_equal, np.equal, np.not_equal, np.greater, np.greater_equal,
)
cdef type FLOAT64 = np.float64
cdef object FLOAT64_DTYPE = np.dtype(np.float64)
cdef object TRUE = np.True_, FALSE = np.False_
cdef tuple NOTHING = ()
cdef long long EXACT = 1LL << 53    # integers up to here are floats


# ------------------------------------------------------------------------------------------------------------- values


cdef inline bint read(object x, double* number) noexcept:
    """Whether `x` is a float64, float, or an int that is one of them; if so, its value."""
    cdef int overflow = 0
    cdef long long whole
    if type(x) is FLOAT64 or type(x) is float:
        number[0] = PyFloat_AS_DOUBLE(x)
        return True
    if type(x) is int:
        whole = PyLong_AsLongLongAndOverflow(x, &overflow)
        number[0] = <double> whole
        return not overflow and -EXACT <= whole <= EXACT
    return False


cdef inline object number_like(double value, bint is_numpy):
    """A float64 or a float; the former is laid out as the latter, of which it is a subclass."""
    if not is_numpy:
        return value
    new = (<PyTypeObject*> FLOAT64).tp_alloc(<PyTypeObject*> FLOAT64, 0)
    (<PyFloatObject*> new).ob_fval = value
    return new


cdef object value_of(Operation op, object x, object y):
    """`x op y`, by Python's operator where that is not sure to be what C gives."""
    cdef double a, b, result
    cdef bint is_numpy, truth
    if not (read(x, &a) and read(y, &b)) or (type(x) is int and type(y) is int):
        return PYTHON[op](x, y)
    is_numpy = type(x) is FLOAT64 or type(y) is FLOAT64
    if op >= LESS:
        if a != a or b != b:
            return PYTHON[op](x, y)
        if op == LESS:
            truth = a < b
        elif op == LESS_EQUAL:
            truth = a <= b
        elif op == EQUAL:
            truth = a == b
        elif op == NOT_EQUAL:
            truth = a != b
        elif op == GREATER:
            truth = a > b
        else:
            truth = a >= b
        return (TRUE if truth else FALSE) if is_numpy else truth
    if op == ADD:
        result = a + b
    elif op == SUB:
        result = a - b
    elif op == MUL:
        result = a * b
    elif op == DIV and b != 0:
        result = a / b
    else:
        return PYTHON[op](x, y)
    if not isfinite(result) or (op >= MUL and fabs(result) < DBL_MIN and a != 0 and b != 0):
        return PYTHON[op](x, y)
    return number_like(result, is_numpy)


# ------------------------------------------------------------------------------------------------------------ numbers


cdef class Value:
    """A value of the recorded run and where the program keeps it."""

    cdef public Rows rec
    cdef public object place        # a View
    cdef public object value

    def __init__(self, rec, view, value):
        self.rec, self.place, self.value = rec, view, value


cdef class Number(Value):
    """A number; `kind` is the dtype of its buffer."""

    cdef public str kind

    def __init__(self, rec, view, value, kind="float64"):
        self.rec, self.place, self.value, self.kind = rec, view, value, kind

    def __add__(self, other):
        return operated(ADD, <Number> self, other, False)

    def __radd__(self, other):
        return operated(ADD, <Number> self, other, True)

    def __sub__(self, other):
        return operated(SUB, <Number> self, other, False)

    def __rsub__(self, other):
        return operated(SUB, <Number> self, other, True)

    def __mul__(self, other):
        return operated(MUL, <Number> self, other, False)

    def __rmul__(self, other):
        return operated(MUL, <Number> self, other, True)

    def __truediv__(self, other):
        return operated(DIV, <Number> self, other, False)

    def __rtruediv__(self, other):
        return operated(DIV, <Number> self, other, True)

    def __pow__(self, other, modulo):
        return NotImplemented if modulo is not None else operated(POW, <Number> self, other, False)

    def __rpow__(self, other, modulo):
        return NotImplemented if modulo is not None else operated(POW, <Number> self, other, True)

    def __floordiv__(self, other):
        return operated(FLOOR_DIVIDE, <Number> self, other, False)

    def __rfloordiv__(self, other):
        return operated(FLOOR_DIVIDE, <Number> self, other, True)

    def __mod__(self, other):
        return operated(REMAINDER, <Number> self, other, False)

    def __rmod__(self, other):
        return operated(REMAINDER, <Number> self, other, True)

    def __richcmp__(self, other, int comparison):
        cdef Operation op = LESS
        if comparison == Py_LE:
            op = LESS_EQUAL
        elif comparison == Py_EQ:
            op = EQUAL
        elif comparison == Py_NE:
            op = NOT_EQUAL
        elif comparison == Py_GT:
            op = GREATER
        elif comparison == Py_GE:
            op = GREATER_EQUAL
        return operated(op, <Number> self, other, False)

    def __hash__(self):
        raise TypeError("a traced number is hashed by what derives from this")

    def __neg__(self):
        cdef object value = self.value
        if self.kind != "float64":
            return self.slow(np.negative, operator.neg)
        if type(value) is FLOAT64 or type(value) is float:
            value = number_like(-PyFloat_AS_DOUBLE(value), type(value) is FLOAT64)
        else:
            value = -value
        return number(self.rec, self.rec.new_number("neg", "float64", (self.place,)), value, "float64")

    def __abs__(self):
        if self.kind != "float64":
            return self.slow(np.absolute, operator.abs)
        return number(self.rec, self.rec.new_number("abs", "float64", (self.place,)), abs(self.value), "float64")


cdef Number number(Rows rec, object place, object value, str kind):
    """A number of the class that the recorder has for them."""
    cdef PyTypeObject* made = <PyTypeObject*> rec.number_type
    cdef Number new = <Number> made.tp_new(made, <PyObject*> NOTHING, NULL)
    new.rec, new.place, new.value, new.kind = rec, place, value, kind
    return new


cdef inline bint may_raise(Operation op, object y, bint varies):
    """Whether Python's `x op y` may raise, or be complex, where x and maybe y vary; a divisor that is known is not zero."""
    return varies or op == POW and not (type(y) is int and 0 <= y <= 1)


cdef object operated(Operation op, Number self, object other, bint reflected):
    """`self op other`, or `other op self`."""
    cdef Rows rec = self.rec
    cdef object value, x, y
    cdef tuple places
    cdef str kind = "bool" if op >= LESS else "float64"
    if self.kind == "float64":
        if type(other) is type(self):
            if (<Number> other).kind != "float64":
                return self.slow(UFUNCS[op], PYTHON[op], other)
            x, y = self.value, (<Number> other).value
        elif type(other) is FLOAT64 or type(other) is float or type(other) is int:
            x, y = (other, self.value) if reflected else (self.value, other)
        else:
            return self.slow(UFUNCS[op], PYTHON[op], other, reflected=reflected)
        if type(other) is type(self):
            places = (self.place, (<Number> other).place)
        elif reflected:
            places = (rec.constant_number(other), self.place)
        else:
            places = (self.place, rec.constant_number(other))
        try:
            value = value_of(op, x, y)
        except ArithmeticError as error:
            value = rec.raised(error, OPS[op], places)
        if type(value) is complex:
            rec.raised(None, OPS[op], places)
            places = (other, self) if reflected else (self, other)
            return rec.api.ufunc(rec, UFUNCS[op], "__call__", places, {"value": value})
        if DIV <= op <= REMAINDER and type(value) is not FLOAT64 and may_raise(op, y, type(other) is type(self) or reflected):
            return number(rec, rec.new_python_number(OPS[op], kind, places), value, kind)
        return number(rec, rec.new_number(OPS[op], kind, places), value, kind)
    return self.slow(UFUNCS[op], PYTHON[op], other, reflected=reflected)


# ------------------------------------------------------------------------------------------------------------- arrays


cdef class Elements(Value):
    """An array; what is not a single float64 element at places that are known goes to `_item` and `_set_item`."""

    def __getitem__(self, key):
        cdef Rows rec = self.rec
        cdef tuple view = <tuple> self.place
        cdef object position, value
        if not is_place(view, key):
            return self._item(key)
        value = self.value[key]  # IndexError as NumPy's
        if view[0] in rec.static:
            return value
        position = position_of(view, key)
        if type(value) is FLOAT64:
            return number(rec, rec.new_load(view[0], position), value, "float64")
        return self._element(position, value)

    def __setitem__(self, key, item):
        cdef Rows rec = self.rec
        cdef tuple view = <tuple> self.place
        cdef object element, value, source
        cdef bint special
        if not is_place(view, key) or self.value.dtype is not FLOAT64_DTYPE:
            self._set_item(key, item)
            return
        special = view[0] in rec.static or view[0] in rec.captured
        if type(item) is rec.number_type and (<Number> item).kind == "float64":
            value, source = (<Number> item).value, (<Number> item).place
        elif type(item) is float and not special:
            value, source = item, rec.constant_number(item)
        else:
            self._set_item(key, item)
            return
        if special or rec.side is not None:
            self.value[key]  # raises NumPy's own error
            element = element_of(view[0], position_of(view, key))
            rec.writes(element)
            self.value[key] = value
        else:
            self.value[key] = value
            element = element_of(view[0], position_of(view, key))
        rec.new_store(element, source)


cdef inline bint is_place(tuple view, object key):
    """Whether a key is an integer for each of one or two axes."""
    cdef Py_ssize_t axes = len(<tuple> view[3])
    if type(key) is int:
        return axes == 1
    return (
        type(key) is tuple and axes == 2 == len(<tuple> key)
        and type((<tuple> key)[0]) is int and type((<tuple> key)[1]) is int
    )


cdef inline object position_of(tuple view, object key):
    """Where in the buffer the element is; the key is within bounds."""
    cdef Py_ssize_t i, j, n, step, place = view[1]
    cdef tuple shape = <tuple> view[2], strides = <tuple> view[3]
    if type(key) is int:
        i, n, step = key, shape[0], strides[0]
        return place + (i if i >= 0 else i + n) * step
    i, n, step = (<tuple> key)[0], shape[0], strides[0]
    place += (i if i >= 0 else i + n) * step
    j, n, step = (<tuple> key)[1], shape[1], strides[1]
    return place + (j if j >= 0 else j + n) * step
