"""What is done for each call of a prepared solve, and for each member of an ensemble: arguments checked, results made.

In Python that was 10 us of the 34 of a gradient in an ensemble, under the GIL, and 10 us of the 75 of one gradient.
"""

cimport cython

import numpy as np

cimport numpy as cnp
from cpython.dict cimport PyDict_SetItem, PyDict_Update
from cpython.object cimport PyObject_GenericSetAttr
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy

from ._arrays cimport checked_floats, floats, integers
from ._batch cimport SOLVED, Members

cnp.import_array()


cdef inline bint is_plain(object each, int ndim) noexcept:
    return type(each) is np.ndarray and cnp.PyArray_TYPE(<cnp.ndarray> each) == cnp.NPY_FLOAT64 \
        and cnp.PyArray_NDIM(<cnp.ndarray> each) == ndim and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray> each)


def all_finite(cnp.ndarray vector not None):
    """Whether no element of a vector of floats is infinite or not a number."""
    cdef const double* x = checked_floats(vector, 1)
    cdef double total = 0
    cdef Py_ssize_t k
    for k in range(cnp.PyArray_SIZE(vector)):
        total += 0 * x[k]
    return total == 0


def goes_strictly(cnp.ndarray vector not None, double sign):
    """Whether a vector of floats increases strictly (sign 1.0) or decreases strictly (sign -1.0)."""
    cdef const double* x = checked_floats(vector, 1)
    cdef Py_ssize_t k
    for k in range(cnp.PyArray_SIZE(vector) - 1):
        if not sign * (x[k + 1] - x[k]) > 0:
            return False
    return True


def rows_of(arrays):
    """Vectors of floats of one length as rows, copied; None if they are anything else, or not finite.

    Parameters
    ----------
    arrays : list
        Not empty.

    Returns
    -------
    array, shape (count, n), or None
    """
    cdef list given = arrays
    cdef cnp.npy_intp[2] shape = [len(given), 0]
    cdef cnp.ndarray rows, each
    cdef double* row
    cdef double total = 0
    cdef int64_t k, j
    for k in range(shape[0]):
        if not is_plain(given[k], 1):
            return None
        each = given[k]
        if k == 0:
            shape[1] = each.shape[0]
            rows = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT64, 0)
        elif each.shape[0] != shape[1]:
            return None
        row = floats(rows) + k * shape[1]
        memcpy(row, floats(each), shape[1] * sizeof(double))
        for j in range(shape[1]):
            total += 0 * row[j]
    return rows if total == 0 else None


def times_of(given, double t0, double t1):
    """A copy of t_eval if it is a vector of floats that goes strictly from t0 to t1, inside; else None."""
    cdef double sign = 1 if t1 >= t0 else -1
    cdef const double* t
    cdef int64_t k, m
    if not is_plain(given, 1):
        return None
    t, m = floats(given), (<cnp.ndarray> given).shape[0]
    if m == 0 or not (sign * t[0] >= sign * t0 and sign * t[m - 1] <= sign * t1):
        return None
    for k in range(m - 1):
        if not sign * (t[k + 1] - t[k]) > 0:
            return None
    return cnp.PyArray_NewCopy(given, cnp.NPY_CORDER)


def are_equal(cnp.ndarray one not None, cnp.ndarray other not None):
    """Whether two contiguous vectors of floats are the same to the bit."""
    return one.shape[0] == other.shape[0] and memcmp(floats(one), floats(other), one.shape[0] * sizeof(double)) == 0


cdef object part(cnp.ndarray stacked, int64_t k):
    """A view of what stacked, contiguous floats hold at index k."""
    cdef int ndim = cnp.PyArray_NDIM(stacked) - 1, axis
    cdef int64_t size = 1
    for axis in range(ndim):
        size *= stacked.shape[1 + axis]
    view = cnp.PyArray_SimpleNewFromData(ndim, stacked.shape + 1, cnp.NPY_FLOAT64, floats(stacked) + k * size)
    Py_INCREF(stacked)
    cnp.PyArray_SetBaseObject(view, stacked)
    return view


cdef object copy_of(const double* values, int64_t n):
    """A vector of its own: in a third of the time of a view that is copied."""
    cdef cnp.npy_intp size = n
    vector = cnp.PyArray_EMPTY(1, &size, cnp.NPY_FLOAT64, 0)
    memcpy(floats(vector), values, n * sizeof(double))
    return vector


def events_of(result, list rows not None, cnp.ndarray instants not None, cnp.ndarray before not None, int64_t n):
    """Have `t_events` and `y_events` in a result.

    Parameters
    ----------
    result : dict
    rows : list of list of int
        For each event, which of the resets are its own.
    instants : array
        Of all resets.
    before : array
        Rows that begin with the n states before each.
    """
    cdef list times = [], states = [], numbers
    cdef cnp.npy_intp[2] shape = [0, n]
    cdef int64_t k, j
    for numbers in rows:
        shape[0] = len(numbers)
        t, y = cnp.PyArray_EMPTY(1, shape, cnp.NPY_FLOAT64, 0), cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT64, 0)
        for k in range(shape[0]):
            j = numbers[k]
            floats(t)[k] = floats(instants)[j]
            memcpy(floats(y) + k * n, floats(before) + j * before.shape[1], n * sizeof(double))
        times.append(t)
        states.append(y)
    PyDict_SetItem(result, "t_events", times)
    PyDict_SetItem(result, "y_events", states)


cdef struct Columns:
    const char* data
    const cnp.npy_intp* strides
    int64_t m
    int64_t n
    int64_t width


cdef Columns columns_of(cnp.ndarray derivatives) except *:
    cdef Columns found
    if cnp.PyArray_TYPE(derivatives) != cnp.NPY_FLOAT64 or cnp.PyArray_NDIM(derivatives) != 3:
        raise ValueError(f"derivatives of shape (m, n, W) are expected, not {np.shape(derivatives)} of {derivatives.dtype}")
    found.data, found.strides = cnp.PyArray_BYTES(derivatives), derivatives.strides
    found.m, found.n, found.width = derivatives.shape[0], derivatives.shape[1], derivatives.shape[2]
    return found


def columns_in(cnp.ndarray rows not None, int64_t n):
    """A view, shape (m, n, W), of the sensitivities in the (m, (1 + W) n) rows of a loop, which are contiguous."""
    cdef cnp.npy_intp[3] shape = [rows.shape[0], n, rows.shape[1] // n - 1]
    cdef cnp.npy_intp[3] strides = [8 * rows.shape[1], 8, 8 * n]
    cdef double* first = checked_floats(rows, 2) + n
    view = cnp.PyArray_New(np.ndarray, 3, shape, cnp.NPY_FLOAT64, strides, first, 0, cnp.NPY_ARRAY_WRITEABLE, None)
    Py_INCREF(rows)
    cnp.PyArray_SetBaseObject(view, rows)
    return view


def copy_of_columns(cnp.ndarray derivatives not None, int64_t first, int64_t stop):
    """The columns from the first to that before `stop` of an (m, n, W) array, contiguous."""
    cdef Columns given = columns_of(derivatives)
    cdef cnp.npy_intp[3] shape
    cdef double* out
    cdef const double* row
    cdef int64_t k, j, w
    shape[:] = [given.m, given.n, stop - first]
    if not 0 <= first <= stop <= given.width:
        raise ValueError(f"there are {given.width} columns, none from {first} to {stop}")
    copied = cnp.PyArray_EMPTY(3, shape, cnp.NPY_FLOAT64, 0)
    out = floats(copied)
    for k in range(given.m):
        for j in range(given.n):
            row = <const double*> (given.data + k * given.strides[0] + j * given.strides[1] + first * given.strides[2])
            for w in range(stop - first):
                out[w] = (<const double*> (<const char*> row + w * given.strides[2]))[0]
            out += stop - first
    return copied


def chain_rule(cnp.ndarray cotangents not None, cnp.ndarray derivatives not None):
    """The derivatives of a loss, shape (W,), from those by the states, (n, m), and those of the states, (m, n, W).

    `numpy.einsum` took 4 us for 101 times, 2 states and 4 columns, of 60 in all, this takes 0.5.
    """
    cdef Columns given = columns_of(derivatives)
    cdef cnp.ndarray total
    cdef double* sums
    cdef double factor
    cdef const char* row
    cdef int64_t k, j, w
    if cnp.PyArray_TYPE(cotangents) != cnp.NPY_FLOAT64 or cnp.PyArray_NDIM(cotangents) != 2 \
            or cotangents.shape[0] != given.n or cotangents.shape[1] != given.m:
        raise ValueError(f"cotangents {np.shape(cotangents)} do not fit derivatives {np.shape(derivatives)}")
    total = np.zeros(given.width)
    sums = floats(total)
    for k in range(given.m):
        for j in range(given.n):
            row = cnp.PyArray_BYTES(cotangents) + j * cotangents.strides[0] + k * cotangents.strides[1]
            factor = (<const double*> row)[0]
            row = given.data + k * given.strides[0] + j * given.strides[1]
            for w in range(given.width):
                sums[w] += factor * (<const double*> (row + w * given.strides[2]))[0]
    return total


@cython.final
@cython.freelist(64)
@cython.no_gc  # it holds nothing that a user can tie to a result; 10^4 results that are held are looked through less often
cdef class LaterEstimate:
    """`sens_error` of a member, once somebody asks for it."""
    cdef object estimate
    cdef int64_t number

    def __call__(self):
        return self.estimate(self.number)


def results_of(kind, dict common not None, Members members not None, cnp.ndarray times not None, bint with_loss,
               tuple gradients not None, tuple names, estimate):
    """The results of members, in a list; None for one that was not solved.

    Parameters
    ----------
    kind : type
        A dict.
    common : dict
        What all have in common.
    members : Members
    times : (m,) array
    with_loss : bool
    gradients : tuple of (str, array, callable or None)
        Name of a gradient, its values for each member, and what makes one of them the user's container; None: a vector.
    names : tuple of str or None
        Of the parameters.
    estimate : callable or None
        From the number of a member to `sens_error`, once somebody asks for it.
    """
    cdef int64_t* counts = integers(members.counts)
    cdef int64_t* states = integers(members.states)
    cdef double* loss = floats(members.loss)
    cdef list results = []
    cdef int64_t k
    cdef LaterEstimate later
    cdef cnp.ndarray values
    for k in range(members.count):
        if states[k] != SOLVED:
            results.append(None)
            continue
        result = kind.__new__(kind)
        PyDict_Update(result, common)
        PyDict_SetItem(result, "t", copy_of(floats(times), times.shape[0]))
        PyDict_SetItem(result, "y", part(members.y, k))
        PyDict_SetItem(result, "nsteps", counts[5 * k])
        PyDict_SetItem(result, "nrejected", counts[5 * k + 1])
        PyDict_SetItem(result, "nfev", counts[5 * k + 2])
        PyDict_SetItem(result, "njev", counts[5 * k + 3])
        PyDict_SetItem(result, "nlu", counts[5 * k + 4])
        if names is not None:
            PyDict_SetItem(result, "parameter_names", list(names))
        if with_loss:
            PyDict_SetItem(result, "loss", loss[k])
        for name, rows, make in gradients:
            values = rows
            if make is None:
                gradient = copy_of(floats(values) + k * values.shape[1], values.shape[1])
            else:
                gradient = make(part(values, k))
            PyDict_SetItem(result, name, gradient)
        if estimate is not None:
            later = LaterEstimate.__new__(LaterEstimate)
            later.estimate, later.number = estimate, k
            PyObject_GenericSetAttr(result, "_estimate", later)
        results.append(result)
    return results
