"""A right-hand side with its exact derivatives at one point.

One run of one program gives f, J in the compressed form of its colouring, df/dt, and, where sensitivities are carried along,
what each of them makes of these: J s + f_p e, and the derivatives of J and df/dt in the direction (s, e).
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t

from ._arrays cimport floats, integers
from ._core cimport Tape
from ._system cimport DONE, Outcome, Recorded

cnp.import_array()


cdef class Linearised(Recorded):
    """f(x, p, t) with the derivatives of f.

    Parameters
    ----------
    tape : Tape
        Of the right-hand side with tangents in several lanes, shadows of dx, x and, if `timed`, t; then, with W > 0, of that
        program with W tangents, shadows of dx, x, p (unless it is empty) and the shadow of dx.
    n, p, find
        As in `Recorded`.
    seeds : (colours, n) array
        The directions in x.
    rows, columns, source : (entries,) int array
        The pattern of J, and where its entries are among the (lanes, n) products.
    timed : bool
        Whether there is one more lane, for t.
    constant : bool
        Whether J depends neither on x nor on t.
    directions : (W, n_p) array
        What p moves along.
    changes : bool
        False: the tape leaves out the derivatives of J and df/dt, and does not bind the shadow of the shadow of dx.
    n_saved : int
        As in `Tangents`.
    """

    def __init__(self, Tape tape, int64_t n, p, seeds, rows, columns, source, bint timed, bint constant, directions,
                 find=None, bint changes=True, int64_t n_saved=0):
        cdef int64_t slot, width = len(directions)
        self.n = self.n_x = n
        self.width, self.timed, self.constant, self.find = width, timed, constant, find
        self.colours, self.lanes = len(seeds), len(seeds) + timed
        self.p = np.array(p, dtype=np.float64)
        self.shadow_p = np.array(directions, dtype=np.float64)
        self.rows, self.columns, self.source = (np.ascontiguousarray(a, dtype=np.int64) for a in (rows, columns, source))
        self.entries = len(self.rows)
        self.row = integers(self.rows)
        self.column = integers(self.columns)
        self.position = integers(self.source)
        along_x, along_t = np.zeros((self.lanes, n)), np.zeros(self.lanes)
        along_x[: self.colours] = seeds
        along_t[self.colours :] = 1
        values = np.zeros((1 + width * changes, self.lanes, n))
        self.directions = (along_x, along_t, values)
        self.values = floats(values)
        slot = self._bind_p_and_t(2)  # behind dx and x
        self.address[slot] = <char*> self.values
        self._assign(slot + 1, along_x)
        slot += 2
        if timed:
            self._assign(slot, along_t)
            slot += 1
        self.slot_dx, self.slot_x = 0, 1
        if width:
            self.n = n * (1 + width)
            self.slot_d_dx, self.slot_d_x = slot, slot + 1
            slot += 2
            if self.n_p:
                self._assign(slot, self.shadow_p)
                slot += 1
            if changes:
                self.changes = self.values + self.lanes * n
                self.address[slot] = <char*> self.changes
                slot += 1
        if n_saved:
            slot = self._save(slot, n_saved)
        self._complete(tape, slot)

    cdef Outcome at(self, double t, const double* x, double* dx) noexcept nogil:
        """Linearise at (t, x): write f, and J s + f_p e for each sensitivity s that follows x, into dx; keep the rest."""
        cdef Outcome outcome
        self.t = t
        self._place(self.slot_dx, dx)
        self._place(self.slot_x, x)
        if self.width:
            self._place(self.slot_d_dx, dx + self.n_x)
            self._place(self.slot_d_x, x + self.n_x)
        if self.n_saved:
            self._place(self.slot_saved, self.saved)
        outcome = self._run()
        if outcome != DONE:
            return outcome
        self.changing = self.changes != NULL and self._changes()
        return self.count()

    cdef bint _changes(self) noexcept nogil:
        """Whether J changes along one of the sensitivities."""
        cdef int64_t size = self.colours * self.n_x, k, j
        cdef const double* values
        for k in range(self.width):
            values = self.changes + k * self.lanes * self.n_x
            for j in range(size):
                if values[j] != 0:
                    return True
        return False

    cdef const double* slope_in_time(self, int64_t block) noexcept nogil:
        """df/dt of the states (block 0) or of a sensitivity; NULL if f does not depend on t."""
        return self.values + (block * self.lanes + self.colours) * self.n_x if self.timed else NULL

    cdef void add_changes(self, const double* u, double factor, double* out) noexcept nogil:
        """Add factor * (derivative of J along each sensitivity) u to the rows of out."""
        cdef int64_t k, e
        cdef const double* values
        cdef double* row
        for k in range(self.width):
            values, row = self.changes + k * self.lanes * self.n_x, out + k * self.n_x
            for e in range(self.entries):
                row[self.row[e]] += factor * values[self.position[e]] * u[self.column[e]]
