"""The backward solve of a continuous adjoint, with the quadrature of the parameters."""

from libc.stdint cimport int64_t

from ._covector cimport Covector
from ._krylov cimport Products
from ._record cimport Record
from ._steppers cimport Explicit
from ._system cimport Outcome

cdef enum:
    NODES = 7                           # of a panel
    STEPS_PER_PANEL = 3                 # at most; where they are too long for that, each is integrated by itself
    HALVINGS = 12                       # of it: below 1/4096 of a few steps the integrand is noise


cdef struct Panel:
    double start
    double stop
    double ends[STEPS_PER_PANEL]        # of its steps
    int64_t steps


cdef struct Half:                       # of a panel, or half of a half
    double middle
    double length                       # of half of it
    int depth


cdef class Quadrature:
    cdef readonly Covector covector
    cdef readonly Products products     # of the transpose of f_p
    cdef Record record                  # of lambda
    cdef Explicit loop                  # that filled it
    cdef readonly object total          # (n_p,) array
    cdef tuple owners
    cdef double* sum                    # the data of `total`
    cdef double* size                   # sum of the moduli of all panels
    cdef double* scale                  # |p|
    cdef double* absolute               # by how much the two rules may differ on a panel, beside a part of the integral
    cdef double* values                 # NODES rows
    cdef double* fine
    cdef double* part
    cdef double* lambda_                # at a node
    cdef double* knots                  # ends of the forward steps, by the time elapsed since the end of the problem
    cdef double* atol                   # or NULL
    cdef int64_t n_knots
    cdef int64_t knot                   # the first that is not behind
    cdef int64_t n_p
    cdef double rtol
    cdef double span                    # of the whole problem
    cdef int64_t parts                  # between data
    cdef double least_share             # of the absolute tolerance: a transient has many panels in no time
    cdef Panel* panels
    cdef int64_t room

    cdef Outcome add(self, double origin) noexcept nogil
    cdef int64_t arrange(self, double origin) noexcept nogil
    cdef Outcome integrate(self, const Panel* panel) noexcept nogil
    cdef Outcome evaluate(self, double middle, double half) noexcept nogil
    cdef bint agrees(self, double half) noexcept nogil
    cdef void tolerate(self, double share) noexcept nogil


cdef class Backwards:
    cdef readonly Explicit loop
    cdef readonly Covector covector
    cdef readonly Quadrature quadrature     # or None
    cdef readonly double begins             # of the part that was solved last, in the time of the problem
    cdef readonly double ends
    cdef readonly int64_t nsteps            # of all parts
    cdef readonly int64_t njev
    cdef readonly int64_t nlu
    cdef double worst                       # sum of the estimated errors of the parts, over rtol
    cdef double power
    cdef double* lambda_
    cdef readonly object arriving           # owns it: lambda at the start, without a datum there
    cdef public object jump                 # (number of a datum, lambda before it) -> lambda after it; None: it adds up

    cdef Outcome sweep(self, double t0, double t1, const double* times, const double* cotangents, int64_t m) noexcept nogil
    cdef Outcome pass_datum(self, int64_t number) noexcept with gil
    cdef Outcome solve_part(self, Explicit loop, double origin) noexcept nogil
