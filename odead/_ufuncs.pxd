"""The inner loops of NumPy's functions. They need no GIL: NumPy itself runs them without."""

cimport numpy as cnp

cdef extern from "numpy/ufuncobject.h" nogil:
    ctypedef void (*PyUFuncGenericFunction)(char** args, const cnp.npy_intp* n, const cnp.npy_intp* strides, void* d) noexcept

    ctypedef struct PyUFuncObject:      # NumPy's own declarations for Cython hide these fields from 2.5 on
        int nin
        int nargs
        int ntypes
        const char* types
        PyUFuncGenericFunction* functions
        void** data


cdef struct Loop:           # of a NumPy function
    PyUFuncGenericFunction call
    void* data
    int arity
    bint clears              # the flags that floating point operations have raised, as SciPy's do
