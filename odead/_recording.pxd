"""The columns of a program under construction, for the traced values that append to them."""


cdef class Rows:
    cdef public list _buffers, _op, _out, _ins, _params, _line
    cdef public dict _table         # of the code of the user's met last, `_code`: position in it -> line of the program
    cdef public object _code
    cdef public dict _numbers       # constants of float64: number -> view
    cdef public set static          # buffers whose contents depend on no input
    cdef public set captured        # buffers of arrays that the function found in closures and globals
    cdef public object side         # the innermost side of an `if` that is being recorded beside the other one
    cdef public dict domains        # see `Recorder`
    cdef public type number_type    # of traced numbers

    cdef object new_number(self, object op, object dtype, tuple ins)
    cdef tuple sheltered(self, object op, tuple ins, object condition)
    cdef object new_python_number(self, object op, object dtype, tuple ins)
    cdef object new_load(self, object buffer, object offset)
    cdef int new_store(self, object out, object source) except -1
    cdef object constant_number(self, object value)
    cdef int append(self, object op, object out, tuple ins, bint from_python) except -1


cdef object element_of(object buffer, object offset)
