"""The discrete adjoint of the explicit methods on lanes.

Each lane goes back over the steps of its own member, as `Adjoint` does for one, operation by operation; see there. What does
not go smoothly is left waiting, as in `Lanes`.
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from ._arrays cimport aligned, floats
from ._batch cimport SOLVED, WAITING, Batch
from ._core cimport REVERSE, WHOLE, Tape
from ._lanes cimport (
    ODEAD_MEMBERS,
    Crew,
    Trails,
    Weights,
    odead_lanes_add,
    odead_lanes_combine,
    odead_lanes_get,
    odead_lanes_put,
    odead_lanes_spread,
    rows_of_lanes,
    weigh_lanes,
)
from ._steppers cimport Combination, odead_all_finite
from ._system cimport DONE, NOT_FINITE, RAISED, Cotangents, Outcome, bind_captured

cnp.import_array()


cdef class LanesAdjoint(Crew):
    """The backward sweeps over the steps of many members.

    Parameters
    ----------
    batch : Batch
        How it is done for one of them.
    trails : Trails
        Of the states.
    pulling, tape : Tape
        The program of the cotangents of the right-hand side, and that of itself, on lanes.
    """

    def __init__(self, Batch batch not None, Trails trails not None, Tape pulling not None, Tape tape not None):
        cdef Cotangents cotangents = batch.adjoint.cotangents
        cdef int64_t n = trails.n, n_p = batch.n_p, stages = batch.adjoint.method.all_stages
        cdef int64_t slot = 1 + (n_p > 0)       # of t, of the cotangents
        if n != batch.n or trails.stages != batch.adjoint.method.stages or tape.code.n_bound != slot + 2 \
                or pulling.code.n_bound != cotangents.n_slots:
            raise ValueError("trails, tapes and cotangents do not fit together")
        self.batch, self.method, self.trails, self.cotangents = batch, batch.adjoint.method, trails, cotangents
        self.n, self.n_p = n, n_p
        self.owner = rows_of_lanes((9 + 2 * stages) * n + 2 * n_p)
        self.x = <double*> aligned(self.owner)
        self.z = self.x + n * ODEAD_MEMBERS
        self.f = self.z + n * ODEAD_MEMBERS
        self.x_bar = self.f + n * ODEAD_MEMBERS
        self.slope_bar = self.x_bar + n * ODEAD_MEMBERS
        self.sum_bar = self.slope_bar + n * ODEAD_MEMBERS
        self.z_bar = self.sum_bar + n * ODEAD_MEMBERS
        self.covector = self.z_bar + n * ODEAD_MEMBERS
        self.row = self.covector + n * ODEAD_MEMBERS
        self.k = self.row + n * ODEAD_MEMBERS
        self.k_bar = self.k + stages * n * ODEAD_MEMBERS
        self.p = self.k_bar + stages * n * ODEAD_MEMBERS
        self.p_bar = self.p + n_p * ODEAD_MEMBERS
        self.covectors = np.zeros(n)
        self.numbers = floats(self.covectors)
        self.tape, self.pulling = tape.clone(), pulling.clone()
        self.tape.bind(0, <char*> self.f)
        self.tape.bind(1, <char*> self.z)
        self.tape.bind(1 + slot, <char*> self.at)
        self.pulling.bind(0, <char*> self.z)
        self.pulling.bind(slot, <char*> self.at)
        self.pulling.bind(slot + 1, <char*> self.covector)
        self.pulling.bind(slot + 2, <char*> self.z_bar)
        if n_p:
            self.tape.bind(2, <char*> self.p)
            self.pulling.bind(1, <char*> self.p)
            self.pulling.bind(slot + 3, <char*> self.p_bar)

    cdef int resume(self) except -1:
        """Bind the captured arrays as they are now."""
        self.captured, self.settled = [bind_captured(self.tape), bind_captured(self.pulling)], False
        return 0

    cdef Outcome sweep(self) noexcept nogil:
        """Go back over the steps of all members that are solved; RAISED by Ctrl-C only."""
        cdef int64_t s
        self.start()
        while self.active:
            if self.cotangents.count() != DONE:
                return RAISED
            for s in range(ODEAD_MEMBERS):
                self.load(s)
            if not self.step_back():
                self.abandon()
                continue
            for s in range(ODEAD_MEMBERS):
                if self.member[s] >= 0 and self.way[s].number == 0:
                    self.close(s, self.finish(s))
                    self.fill(s)
        return DONE

    # ------------------------------------------------------------------------------------------------- members

    cdef bint take(self, int64_t s) noexcept nogil:
        if self.those.states[self.member[s]] != SOLVED:
            return False
        self.begin(s)
        return True

    cdef void begin(self, int64_t s) noexcept nogil:
        cdef Way* way = self.way + s
        cdef int64_t j
        way.number = self.trails.trails[self.member[s]].count
        way.last = self.batch.m - 1
        way.evaluations = 0
        self.settled = False
        odead_lanes_put(self.n_p, self.those.p + self.member[s] * self.n_p, self.p + s)
        for j in range(self.n_p):
            self.p_bar[j * ODEAD_MEMBERS + s] = 0
        for j in range(self.n):
            self.x_bar[j * ODEAD_MEMBERS + s] = self.slope_bar[j * ODEAD_MEMBERS + s] = 0

    cdef Outcome finish(self, int64_t s) noexcept nogil:
        """Carry the cotangent of the first slope to the initial state, and add those of outputs there: as for one member."""
        cdef Way* way = self.way + s
        cdef const double* start = self.trails.trails[self.member[s]].rows
        cdef const double* given = self.those.cotangents + self.member[s] * self.n * self.batch.m
        cdef double* by_x0 = self.those.by_x0 + self.member[s] * self.n
        cdef double* by_p = self.those.by_p + self.member[s] * self.n_p
        cdef double* p_bar = self.batch.p_bar
        cdef int64_t calls = self.cotangents.calls, j
        cdef Outcome outcome
        self.batch._take(self.those.x0 + self.member[s] * self.n, self.those.p + self.member[s] * self.n_p)
        odead_lanes_get(self.n, self.slope_bar + s, self.numbers)
        odead_lanes_get(self.n, self.x_bar + s, by_x0)
        odead_lanes_get(self.n_p, self.p_bar + s, p_bar)
        outcome = self.cotangents.pull(start[0], start + 1, self.numbers, by_x0)
        way.evaluations += self.cotangents.calls - calls
        while way.last >= 0:
            for j in range(self.n):
                by_x0[j] += given[j * self.batch.m + way.last]
            way.last -= 1
        if outcome == DONE and not (odead_all_finite(self.n, by_x0) and odead_all_finite(self.n_p, p_bar)):
            outcome = NOT_FINITE
        for j in range(self.n_p):
            by_p[j] = p_bar[j] + by_p[j]
        return outcome

    cdef void close(self, int64_t s, Outcome outcome) noexcept nogil:
        cdef Way* way = self.way + s
        self.those.states[self.member[s]] = SOLVED if outcome == DONE else WAITING
        self.those.counts[5 * self.member[s] + 2] += way.evaluations

    # --------------------------------------------------------------------------------------------------- steps

    cdef void load(self, int64_t s) noexcept nogil:
        """Go back over one more step: have its start and its stages in the lane."""
        cdef Way* way = self.way + s
        cdef const double* row
        cdef int64_t i
        if self.member[s] < 0:
            return
        way.number -= 1
        row = self.trails.trails[self.member[s]].rows + way.number * self.trails.size
        self.t[s], self.h[s] = row[0], row[self.trails.size] - row[0]
        odead_lanes_put(self.n, row + 1, self.x + s)
        for i in range(self.method.stages):
            odead_lanes_put(self.n, row + 1 + (1 + i) * self.n, self.k + i * self.n * ODEAD_MEMBERS + s)

    cdef bint step_back(self) noexcept nogil:
        """Transpose the steps; False if the right-hand side stops."""
        cdef int64_t size = self.n * ODEAD_MEMBERS, bytes = size * sizeof(double), stages = self.method.stages, i, s
        cdef bint inside
        memset(self.k_bar, 0, self.method.all_stages * bytes)
        memset(self.sum_bar, 0, bytes)
        memcpy(self.k_bar + (stages - 1) * size, self.slope_bar, bytes)
        inside = self.take_outputs()
        if inside and not self.restore():
            return False
        i = self.method.all_stages if inside else stages
        while i > 1:
            i -= 1
            if i == stages - 1:  # its argument is the new state
                memcpy(self.z_bar, self.x_bar, bytes)
            else:
                memset(self.z_bar, 0, bytes)
            if not self.pull_stage(i):
                return False
        for s in range(ODEAD_MEMBERS):
            self.way[s].evaluations += stages - 1
        memcpy(self.x_bar, self.sum_bar, bytes)
        memcpy(self.slope_bar, self.k_bar, bytes)
        return True

    cdef bint take_outputs(self) noexcept nogil:
        """Add the cotangents of the outputs in (t, t + h], one for each lane at a time; True if some were interpolated."""
        cdef int64_t more = 2 * (self.method.all_stages - self.method.stages), s, j
        cdef Weights weights
        cdef const double* given
        cdef bint any = False, waits
        while True:
            waits = False
            for s in range(ODEAD_MEMBERS):
                self.waits[s] = self.has_output(s)
                waits |= self.waits[s]
            if not waits:
                return any
            for s in range(ODEAD_MEMBERS):
                if not self.waits[s]:
                    for j in range(self.n):
                        self.row[j * ODEAD_MEMBERS + s] = 0
                    continue
                given = self.those.cotangents + self.member[s] * self.n * self.batch.m + self.way[s].last
                for j in range(self.n):
                    self.row[j * ODEAD_MEMBERS + s] = given[j * self.batch.m]
                self.way[s].last -= 1
                if not any:     # stages that only the interpolant needs, and their cotangents
                    self.way[s].evaluations += more
            any = True
            weigh_lanes(self.method, self.q, &weights)
            odead_lanes_spread(self.n, self.row, self.h, weights.count, weights.weight[0], 1, weights.index, self.k_bar,
                               self.n * ODEAD_MEMBERS)
            odead_lanes_add(self.n, self.row, self.sum_bar)

    cdef bint has_output(self, int64_t s) noexcept nogil:
        """Whether the next output of a lane is inside its step, and where; the cotangent of one at its end is added."""
        cdef Way* way = self.way + s
        cdef const double* given
        cdef int64_t j
        if self.member[s] < 0:
            return False
        while way.last >= 0 and (self.batch.times[way.last] - self.t[s]) * self.h[s] > 0:
            self.q[s] = (self.batch.times[way.last] - self.t[s]) / self.h[s]
            if self.q[s] != 1:
                return True
            given = self.those.cotangents + self.member[s] * self.n * self.batch.m + way.last
            for j in range(self.n):
                self.x_bar[j * ODEAD_MEMBERS + s] += given[j * self.batch.m]
            way.last -= 1
        return False

    cdef bint restore(self) noexcept nogil:
        """Compute the stages that only the interpolant needs; False if the right-hand side stops."""
        cdef int64_t size = self.n * ODEAD_MEMBERS, i
        cdef const Combination* argument
        for i in range(self.method.stages, self.method.all_stages):
            argument = &self.method.argument[i]
            odead_lanes_combine(self.n, self.x, self.h, argument.count, argument.weight, argument.index, self.k, size, self.z)
            self.set_times(i)
            if self.tape.execute(REVERSE if self.settled else WHOLE) >= 0:
                return False
            self.settled = self.tape.code.settles
            memcpy(self.k + i * size, self.f, size * sizeof(double))
        return True

    cdef bint pull_stage(self, int64_t i) noexcept nogil:
        """Carry the cotangent of stage i to its argument, and from there to what it is made of."""
        cdef const Combination* argument = &self.method.argument[i]
        cdef int64_t size = self.n * ODEAD_MEMBERS
        odead_lanes_combine(self.n, self.x, self.h, argument.count, argument.weight, argument.index, self.k, size, self.z)
        memcpy(self.covector, self.k_bar + i * size, size * sizeof(double))
        self.set_times(i)
        if self.pulling.execute(WHOLE) >= 0:
            return False
        odead_lanes_add(self.n, self.z_bar, self.sum_bar)
        odead_lanes_spread(self.n, self.z_bar, self.h, argument.count, argument.weight, 0, argument.index, self.k_bar, size)
        return True

    cdef void set_times(self, int64_t stage) noexcept nogil:
        cdef double c = self.method.c[stage]
        cdef int64_t s
        for s in range(ODEAD_MEMBERS):
            self.at[s] = self.t[s] + c * self.h[s]
