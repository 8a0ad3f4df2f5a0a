"""The discrete Fourier transform by NumPy's own loops (pocketfft), which run without the GIL.

The loops belong to the ufuncs behind `np.fft`, which are no public interface: where they are not what is expected,
`FOUND` is False and the operation is left to Python.
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t

from ._structured cimport Instruction, Walk, advance, begin, parameters
from ._ufuncs cimport Loop, PyUFuncObject

cnp.import_array()

# By sign of the exponent, minus first, and precision, single first.
cdef Loop loops[2][2]


cdef bint _find(Loop* loop, object function, int type_number):
    """The loop of (n),()->(m) or (m),()->(n) over complex numbers of a type, and a real factor."""
    cdef const PyUFuncObject* found = <const PyUFuncObject*> function
    cdef int k
    for k in range(found.ntypes):
        if found.nargs == 3 and found.types[3 * k] == type_number and found.types[3 * k + 2] == type_number:
            loop.call, loop.data, loop.arity = found.functions[k], found.data[k], 2
            return True
    return False


def _find_all():
    try:
        from numpy.fft import _pocketfft_umath as module

        functions = module.fft, module.ifft
    except (ImportError, AttributeError):
        return False
    expected = ("(n),()->(m)", "(m),()->(n)")
    if any(not isinstance(f, np.ufunc) or f.signature != s for f, s in zip(functions, expected)):
        return False
    return (
        _find(&loops[0][0], functions[0], cnp.NPY_CFLOAT) and _find(&loops[0][1], functions[0], cnp.NPY_CDOUBLE)
        and _find(&loops[1][0], functions[1], cnp.NPY_CFLOAT) and _find(&loops[1][1], functions[1], cnp.NPY_CDOUBLE)
    )


FOUND = _find_all()


cdef void fourier(const Instruction* i, bint double_precision) noexcept nogil:
    """A row is a transform; see `Fourier` in structured/fourier.py."""
    cdef const int64_t* p = parameters(i)       # direction, transforms side by side, bytes between them in out and x
    cdef const Loop* loop = &loops[1 if p[0] else 0][1 if double_precision else 0]
    cdef Walk walk
    cdef double one = 1
    cdef float single = 1
    cdef char* pointers[3]
    cdef cnp.npy_intp counts[3]
    cdef cnp.npy_intp steps[5]
    counts[0], counts[1], counts[2] = p[1], i.n, i.n
    steps[0], steps[1], steps[2], steps[3], steps[4] = p[3], 0, p[2], i.extra[1], i.extra[0]
    begin(&walk, i)
    while True:
        pointers[0], pointers[2] = walk.at[1], walk.at[0]
        pointers[1] = <char*> &one if double_precision else <char*> &single
        loop.call(pointers, counts, steps, loop.data)
        if not advance(&walk):
            return
