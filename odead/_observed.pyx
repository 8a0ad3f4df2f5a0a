"""Reading what a recorded function read again, and comparing: at each call of a solve that was prepared.

In Python that took 10 of the 100 us of a solve of 25 reactions kept in nested lists.
"""

import math

import numpy as np

from cpython.ref cimport PyObject

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(object, object) except? NULL   # borrowed
    object PyCell_Get(object)
    PyObject* PyCell_GET(object)
    bint PyCell_Check(object)

MISSING = object()
IMMUTABLE = frozenset({bool, int, float, complex, str, bytes, type(None), type(Ellipsis), range, slice})

cdef object _MISSING = MISSING
cdef object _IMMUTABLE = IMMUTABLE


def entry_of(namespace, name):
    """What a dict or another mapping has under a name."""
    return entry(namespace, name)


def contents_of(cell, _):
    """What a cell of a closure holds."""
    return contents(cell)


def attribute_of(place, name):
    return getattr(place, name, _MISSING)


cdef object entry(object namespace, object name):
    cdef PyObject* found
    if type(namespace) is dict:
        found = PyDict_GetItemWithError(namespace, name)
        return _MISSING if found is NULL else <object> found
    return namespace.get(name, _MISSING)


cdef object contents(object cell):
    if not PyCell_Check(cell) or PyCell_GET(cell) is NULL:  # empty
        return _MISSING
    return PyCell_Get(cell)


def changed(dict entries not None, dict lists not None, dict others not None):
    """Whether anything is not what it was.

    Parameters
    ----------
    entries : dict
        Tuples (mapping, name, value).
    lists : dict
        Tuples (list, the items that it had).
    others : dict
        Tuples (read, place, name, value).
    """
    cdef tuple noted, then
    cdef list items
    cdef Py_ssize_t k
    cdef object now
    for noted in entries.values():
        now = entry(<object> noted[0], <object> noted[1])
        if now is not noted[2] and not same(now, noted[2]):
            return True
    for noted in lists.values():
        items, then = noted[0], noted[1]
        if len(items) != len(then):
            return True
        for k in range(len(then)):
            if k >= len(items):  # another thread has shortened it
                return True
            now = items[k]
            if now is not then[k] and not same(now, then[k]):
                return True
    for noted in others.values():
        if noted[0] is contents_of:
            now = contents(noted[1])
        elif noted[0] is attribute_of:
            now = getattr(noted[1], noted[2], _MISSING)
        else:
            now = noted[0](noted[1], noted[2])
        if now is not noted[3] and not same(now, noted[3]):
            return True
    return False


def any_changed(kernels):
    """Whether anything that the variants of some kernels have read is not what it was; as `Kernel.is_stale` of each.

    Three calls in Python for each were a twentieth of a solve with two doses.
    """
    cdef object kernel, variant, seen
    for kernel in kernels:
        for variant in <list> kernel._variants:
            seen = variant.trace.namespace
            if changed(seen._entries, seen._lists, seen._others):
                return True
    return False


def same(now, then):
    """Whether two objects are equal for good: immutable ones by value, others never."""
    kind = type(then)
    if type(now) is not kind:
        return False
    if kind is tuple:
        return len(now) == len(then) and all([a is b or same(a, b) for a, b in zip(now, then)])
    if kind in _IMMUTABLE or issubclass(kind, np.generic):
        return bool(now == then and _sign(now) == _sign(then)) or bool(now != now and then != then)
    return False


cdef double _sign(x):
    """Tells -0.0 from 0.0, which are equal."""
    return math.copysign(1.0, x) if isinstance(x, (float, np.floating)) else 0.0
