"""The compiled loop of the explicit methods on lanes.

All lanes evaluate the right-hand side together, an instruction for all of them; everything else is their own: time, step size,
error, acceptance, outputs. A lane that has come to its end takes the next member, so that all are busy until the last ones.
What a lane does is what `Explicit` does, operation by operation; where kernels of arrays round as those of numbers do, so are
the results, to the last bit.

What does not go smoothly (a step too small, a state that is not finite, too many steps, a right-hand side that stops) is not
dealt with here: the member is left waiting, and solved by itself.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport fabs, fmax, fmin
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ._arrays cimport aligned, grow
from ._batch cimport SOLVED, WAITING, Batch
from ._core cimport REVERSE, WHOLE, Tape
from ._steppers cimport PERIOD, Combination, Explicit, Method, odead_norm_of, smallest_step
from ._system cimport DONE, NO_MEMORY, NOT_FINITE, RAISED, TOO_MANY, TOO_SMALL, TURNED, Outcome, Recorded, bind_captured

cnp.import_array()


# ------------------------------------------------------------------------------------------------------------- trails


cdef class Trails:
    """The steps of many members, for the way back.

    Parameters
    ----------
    members : int
    n : int
        Numbers of a state to keep, from its start.
    stages : int
        Of a step.
    budget : float
        Bytes for all of them.
    """

    def __cinit__(self, int64_t members, int64_t n, int64_t stages, double budget):
        self.members, self.n, self.stages, self.size = members, n, stages, 1 + n + stages * n
        self.left = <int64_t> (budget / sizeof(double))
        self.trails = <Trail*> calloc(members, sizeof(Trail))
        if self.trails == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef int64_t k
        if self.trails != NULL:
            for k in range(self.members):
                free(self.trails[k].rows)
            free(self.trails)

    cdef Outcome begin(self, int64_t member, double t, const double* lane) noexcept nogil:
        """Forget the steps of a member, which starts at (t, lane)."""
        cdef Trail* trail = self.trails + member
        trail.count = 0
        if trail.room == 0 and not self._reserve(trail, 64):
            return NO_MEMORY
        trail.rows[0] = t
        odead_lanes_get(self.n, lane, trail.rows + 1)
        return DONE

    cdef Outcome add(self, int64_t member, double t, const double* lane, const double* stages, int64_t stride) noexcept nogil:
        """Append a step that ends at (t, lane)."""
        cdef Trail* trail = self.trails + member
        cdef double* row
        cdef int64_t j
        if trail.count + 2 > trail.room and not self._reserve(trail, 2 * trail.room):
            return NO_MEMORY
        row = trail.rows + trail.count * self.size
        for j in range(self.stages):
            odead_lanes_get(self.n, stages + j * stride, row + 1 + (1 + j) * self.n)
        trail.count += 1
        row += self.size
        row[0] = t
        odead_lanes_get(self.n, lane, row + 1)
        return DONE

    cdef bint _reserve(self, Trail* trail, int64_t room) noexcept nogil:
        cdef int64_t more = (room - trail.room) * self.size
        if more > self.left or not grow(<void**> &trail.rows, room * self.size * sizeof(double)):
            return False
        self.left -= more
        trail.room = room
        return True


cdef void weigh_lanes(Method method, const double* q, Weights* found) noexcept nogil:
    """The combination of stages that the interpolant is at the fractions q of the steps."""
    cdef double basis[MOST_DEGREES * ODEAD_MEMBERS]
    cdef double coefficient[MOST_DEGREES]
    cdef int flip[MOST_DEGREES]
    cdef int64_t i, j
    for j in range(method.degree):
        flip[j] = method.flip[j]
    odead_lanes_basis(method.degree, flip, q, basis)
    found.count = method.used.count
    for i in range(found.count):
        for j in range(method.degree):
            coefficient[j] = method.interpolant[j][i]
        odead_lanes_weight(method.degree, coefficient, basis, found.weight[i])
        found.index[i] = method.used.index[i]


cdef cnp.ndarray rows_of_lanes(int64_t count):
    """Storage of so many rows, all 0, with room to be aligned to a cache line."""
    return np.zeros((count + 1) * ODEAD_MEMBERS)


# --------------------------------------------------------------------------------------------------------------- crew


cdef class Crew:
    """Lanes each of which takes a member, and the next one when it is done with that, as long as there are any."""

    cdef void start(self) noexcept nogil:
        cdef int64_t s
        self.next = 0
        self.active = ODEAD_MEMBERS
        for s in range(ODEAD_MEMBERS):
            self.fill(s)

    cdef void fill(self, int64_t s) noexcept nogil:
        """Let a lane take the next member that it has something to do for."""
        while self.next < self.those.count:
            self.member[s] = self.next
            self.next += 1
            if self.take(s):
                return
        self.member[s] = -1
        self.h[s] = 0
        self.active -= 1

    cdef void abandon(self) noexcept nogil:
        """The right-hand side has stopped, and does not say for which of the members."""
        cdef int64_t s
        for s in range(ODEAD_MEMBERS):
            if self.member[s] >= 0:
                self.close(s, RAISED)
                self.fill(s)

    cdef bint take(self, int64_t s) noexcept nogil:
        """Begin with a member; False if there is nothing to do for it."""
        return False

    cdef void close(self, int64_t s, Outcome outcome) noexcept nogil:
        """Write down how the member of a lane has fared."""


# --------------------------------------------------------------------------------------------------------------- loop


cdef class Lanes(Crew):
    """Solves of many members by an explicit method.

    Parameters
    ----------
    batch : Batch
        How one of them is solved: by a method of `Explicit`, and without branches.
    tape : Tape
        The program of its right-hand side on lanes.
    trails : Trails, optional
        Get the steps.
    """

    def __init__(self, Batch batch not None, Tape tape not None, Trails trails=None):
        cdef Explicit single = batch.loop
        cdef Recorded system = single.system
        cdef int64_t n = single.n, stages = single.method.all_stages, n_p = system.n_p
        if tape.code.n_bound != system.n_slots - (system.n_saved > 0) or single.watch is not None or single.divide is not None:
            raise ValueError("the tape does not fit, or the solve is not plain")
        if trails is not None and (trails.n > n or trails.stages > stages):
            raise ValueError("the trails do not fit")
        self.batch, self.single, self.system, self.method, self.trails = batch, single, system, single.method, trails
        self.n, self.n_p, self.n_directions = n, n_p, system.width * n_p
        self.owner = rows_of_lanes((5 + stages) * n + n_p + self.n_directions + 2 * single.blocks)
        self.x = <double*> aligned(self.owner)
        self.z = self.x + n * ODEAD_MEMBERS
        self.w = self.z + n * ODEAD_MEMBERS
        self.f = self.w + n * ODEAD_MEMBERS
        self.atol = self.f + n * ODEAD_MEMBERS
        self.k = self.atol + n * ODEAD_MEMBERS
        self.p = self.k + stages * n * ODEAD_MEMBERS
        self.directions = self.p + n_p * ODEAD_MEMBERS
        self.norms = self.directions + self.n_directions * ODEAD_MEMBERS
        self.sums = self.norms + single.blocks * ODEAD_MEMBERS
        self.tape = tape.clone()
        self.tape.bind(system.slot_dx, <char*> self.f)
        if n_p:
            self.tape.bind(system.slot_x + 1, <char*> self.p)
        self.tape.bind(system.slot_x + 1 + (n_p > 0), <char*> self.at)
        if system.width:
            self.tape.bind(system.slot_d_dx, <char*> (self.f + system.n_x * ODEAD_MEMBERS))
            if n_p:
                self.tape.bind(system.slot_d_x + 1, <char*> self.directions)
        self.place(self.z)

    cdef void place(self, double* x) noexcept nogil:
        """Let the right-hand side be evaluated there."""
        self.tape.bind(self.system.slot_x, <char*> x)
        if self.system.width:
            self.tape.bind(self.system.slot_d_x, <char*> (x + self.system.n_x * ODEAD_MEMBERS))

    cdef int resume(self) except -1:
        """Bind the captured arrays as they are now."""
        self.captured, self.settled = bind_captured(self.tape), False
        return 0

    cdef Outcome advance(self) noexcept nogil:
        """Solve all members; RAISED by Ctrl-C only."""
        cdef double finite[ODEAD_MEMBERS]
        cdef int64_t s
        self.start()
        while self.active:
            if self.system.count() != DONE:
                return RAISED
            if not self.attempt():
                self.abandon()
                continue
            self.estimate()
            odead_lanes_finite(self.n, self.z, finite)
            for s in range(ODEAD_MEMBERS):
                self.decide(s, finite[s])
            if not self.deliver():
                self.abandon()
                continue
            for s in range(ODEAD_MEMBERS):
                if self.taken[s]:
                    self.accept(s)
            odead_lanes_take(self.n, self.taken, self.z, self.x)
            odead_lanes_take(self.n, self.taken, self.k + (self.method.stages - 1) * self.n * ODEAD_MEMBERS, self.k)
            for s in range(ODEAD_MEMBERS):
                if self.member[s] >= 0 and not self.propose(s):
                    self.close(s, self.lane[s].outcome)
                    self.fill(s)
        return DONE

    # ------------------------------------------------------------------------------------------------- members

    cdef bint take(self, int64_t s) noexcept nogil:
        cdef Lane* lane = self.lane + s
        lane.outcome = self.begin(s)
        if lane.outcome == DONE and self.propose(s):
            return True
        self.close(s, lane.outcome)
        return False

    cdef Outcome begin(self, int64_t s) noexcept nogil:
        """Evaluate the first derivative of a member, and choose its first step: as a solve of one."""
        cdef Lane* lane = self.lane + s
        cdef int64_t calls = self.system.calls, b
        cdef Outcome outcome
        self.visit(self.member[s])
        self.single.restart(self.batch.t0, self.batch.t1, self.batch.state, self.batch.times, self.batch.m, NULL)
        lane.nsteps = lane.nrejected = lane.delivered = lane.signs = 0
        outcome = self.single.start()
        lane.evaluations = self.system.calls - calls
        if outcome != DONE:
            return outcome
        lane.h_abs, lane.last_error, lane.begins = self.single.h_abs, self.single.last_error, True
        self.t[s] = self.single.t
        for b in range(self.single.blocks):
            self.sums[b * ODEAD_MEMBERS + s] = 0
        odead_lanes_put(self.n, self.single.x, self.x + s)
        odead_lanes_put(self.n, self.single.k, self.k + s)
        odead_lanes_put(self.n, self.single.atol, self.atol + s)
        if self.n_p:
            odead_lanes_put(self.n_p, <double*> self.system.address[self.system.slot_x + 1], self.p + s)
        if self.n_directions:
            odead_lanes_put(self.n_directions, <double*> self.system.address[self.system.slot_d_x + 1], self.directions + s)
        self.settled = False
        return DONE if self.trails is None else self.trails.begin(self.member[s], self.single.t, self.x + s)

    cdef void visit(self, int64_t member) noexcept nogil:
        """Let the solve of one member be that of this one."""
        self.batch._take(self.those.x0 + member * self.batch.n, self.those.p + member * self.n_p)

    cdef bint propose(self, int64_t s) noexcept nogil:
        """Choose the step to try next; False where there is none, because the end is reached or something stops it."""
        cdef Lane* lane = self.lane + s
        if lane.outcome != DONE:
            return False
        if lane.begins:
            if self.single.direction * (self.t[s] - self.single.t_end) >= 0:
                return False
            if lane.nsteps >= self.single.max_steps:
                lane.outcome = TOO_MANY
                return False
            lane.smallest = smallest_step(self.t[s], self.single.direction)
            lane.h_abs = fmax(fmin(lane.h_abs, self.single.max_step), lane.smallest)
            lane.begins = lane.rejected = False
        if lane.h_abs < lane.smallest:
            lane.outcome = TOO_SMALL
            return False
        lane.t_new = self.t[s] + lane.h_abs * self.single.direction
        if self.single.direction * (lane.t_new - self.single.t_end) > 0:
            lane.t_new = self.single.t_end
        self.h[s] = lane.t_new - self.t[s]
        lane.h_abs = fabs(self.h[s])
        return True

    cdef void close(self, int64_t s, Outcome outcome) noexcept nogil:
        cdef Lane* lane = self.lane + s
        cdef int64_t member = self.member[s], b
        cdef int64_t* counts = self.those.counts + 5 * member
        self.those.states[member] = SOLVED if outcome == DONE else WAITING
        counts[0], counts[1], counts[2] = lane.nsteps, lane.nrejected, lane.evaluations
        for b in range(self.single.blocks):
            self.those.sums[member * self.single.blocks + b] = self.sums[b * ODEAD_MEMBERS + s]

    # --------------------------------------------------------------------------------------------------- steps

    cdef bint attempt(self) noexcept nogil:
        """Compute the stages of all steps; the argument of the last one is the new state."""
        cdef const Combination* argument
        cdef int64_t i
        for i in range(1, self.method.stages):
            argument = &self.method.argument[i]
            odead_lanes_combine(self.n, self.x, self.h, argument.count, argument.weight, argument.index, self.k,
                                self.n * ODEAD_MEMBERS, self.z)
            if not self.evaluate(i):
                return False
        for i in range(ODEAD_MEMBERS):
            self.lane[i].evaluations += self.method.stages - 1
        return True

    cdef bint evaluate(self, int64_t stage) noexcept nogil:
        """Compute one stage at its argument; False if the right-hand side stops."""
        cdef double c = self.method.c[stage]
        cdef int64_t s
        for s in range(ODEAD_MEMBERS):
            self.at[s] = self.t[s] + c * self.h[s]
        if self.tape.execute(REVERSE if self.settled else WHOLE) >= 0:
            return False
        self.settled = self.tape.code.settles
        memcpy(self.k + stage * self.n * ODEAD_MEMBERS, self.f, self.n * ODEAD_MEMBERS * sizeof(double))
        return True

    cdef void estimate(self) noexcept nogil:
        """The norms of the errors of each block, and the largest of them."""
        cdef double squares[ODEAD_MEMBERS]
        cdef double others[ODEAD_MEMBERS]
        cdef const Combination* first = &self.method.error[0]
        cdef const Combination* second = &self.method.error[1]
        cdef const double* rtol = self.single.rtol
        cdef int64_t size = self.n // self.single.blocks, stride = self.n * ODEAD_MEMBERS, b, start, s
        cdef double norm
        memset(self.error, 0, sizeof(self.error))
        memset(others, 0, sizeof(others))
        for b in range(self.single.blocks):
            start = b * size * ODEAD_MEMBERS
            odead_lanes_error(size, self.x + start, self.z + start, rtol[b], self.atol + start, first.count,
                              first.weight, first.index, self.k + start, stride, squares)
            if self.method.n_errors == 2:
                odead_lanes_error(size, self.x + start, self.z + start, rtol[b], self.atol + start, second.count,
                                  second.weight, second.index, self.k + start, stride, others)
            for s in range(ODEAD_MEMBERS):
                norm = odead_norm_of(self.h[s], squares[s], &others[s] if self.method.n_errors == 2 else NULL, size)
                self.norms[b * ODEAD_MEMBERS + s] = norm
                if not norm <= self.error[s]:  # a NaN stays
                    self.error[s] = norm if self.error[s] == self.error[s] else self.error[s]

    cdef void decide(self, int64_t s, double finite) noexcept nogil:
        """Take the step of a lane, or a smaller one next."""
        cdef Lane* lane = self.lane + s
        self.taken[s] = 0
        if self.member[s] < 0:
            return
        if not self.error[s] < 1:
            lane.rejected = True
            lane.nrejected += 1
            lane.h_abs *= self.method.shrinking(self.error[s])
        elif finite != 0:
            lane.outcome = NOT_FINITE
        else:
            self.taken[s] = 1

    cdef void accept(self, int64_t s) noexcept nogil:
        cdef Lane* lane = self.lane + s
        cdef double factor
        cdef int64_t b
        if self.trails is not None:
            lane.outcome = self.trails.add(self.member[s], lane.t_new, self.z + s, self.k + s, self.n * ODEAD_MEMBERS)
        for b in range(self.single.blocks):
            self.sums[b * ODEAD_MEMBERS + s] += self.norms[b * ODEAD_MEMBERS + s]
        factor = self.method.growth(self.error[s], &lane.last_error)
        lane.h_abs *= fmin(1, factor) if lane.rejected else factor
        if self.single.judges and lane.t_new != self.single.t_end and lane.outcome == DONE:
            lane.outcome = self.judge(s)
        self.t[s] = lane.t_new
        lane.nsteps += 1
        lane.begins = True

    cdef Outcome judge(self, int64_t s) noexcept nogil:
        """Whether another kind of method suits this member better: as a solve of one looks for it."""
        cdef Lane* lane = self.lane + s
        cdef int64_t calls = self.system.calls, i
        cdef bint turned = False
        cdef Outcome outcome
        if lane.nsteps % PERIOD == 0:
            self.visit(self.member[s])
            odead_lanes_get(self.n, self.z + s, self.single.z)
            for i in range(self.method.stages):
                odead_lanes_get(self.n, self.k + i * self.n * ODEAD_MEMBERS + s, self.single.k + i * self.n)
        self.single.nsteps, self.single.signs = lane.nsteps, lane.signs
        outcome = self.single.judge(lane.t_new, self.h[s], &turned)
        lane.signs = self.single.signs
        self.single.nsteps = 0
        lane.evaluations += self.system.calls - calls
        return TURNED if turned else outcome

    # ------------------------------------------------------------------------------------------------- outputs

    cdef bint deliver(self) noexcept nogil:
        """Write the outputs in the steps taken, one for each lane at a time; False if the right-hand side stops."""
        cdef Weights weights
        cdef bint first = True, inside
        cdef int64_t s
        while True:
            inside = False
            for s in range(ODEAD_MEMBERS):
                self.waits[s] = self.taken[s] != 0 and self.has_output(s)
                inside |= self.waits[s]
            if not inside:
                return True
            if first and not self.add_stages():
                return False
            first = False
            weigh_lanes(self.method, self.q, &weights)
            odead_lanes_interpolate(self.n, self.x, self.h, weights.count, weights.weight[0], weights.index, self.k,
                                    self.n * ODEAD_MEMBERS, self.w)
            for s in range(ODEAD_MEMBERS):
                if self.waits[s]:
                    self.write(s, self.w + s)

    cdef bint has_output(self, int64_t s) noexcept nogil:
        """Whether the next output of a lane is inside its step, and where; one at its end is written."""
        cdef Lane* lane = self.lane + s
        cdef double t
        while lane.delivered < self.single.n_times:
            t = self.single.times[lane.delivered]
            if self.single.direction * (t - lane.t_new) > 0:
                return False
            if t != lane.t_new:
                self.q[s] = (t - self.t[s]) / self.h[s]
                return True
            self.write(s, self.z + s)
        return False

    cdef bint add_stages(self) noexcept nogil:
        """Compute the stages that only the interpolant needs; counted where they are needed."""
        cdef const Combination* argument
        cdef int64_t i, s, more = self.method.all_stages - self.method.stages
        cdef bint ran = True
        if not more:
            return True
        self.place(self.w)
        for i in range(self.method.stages, self.method.all_stages):
            if ran:
                argument = &self.method.argument[i]
                odead_lanes_combine(self.n, self.x, self.h, argument.count, argument.weight, argument.index, self.k,
                                    self.n * ODEAD_MEMBERS, self.w)
                ran = self.evaluate(i)
        self.place(self.z)
        for s in range(ODEAD_MEMBERS):
            self.lane[s].evaluations += more * self.waits[s]
        return ran

    cdef void write(self, int64_t s, const double* state) noexcept nogil:
        """Write an output."""
        cdef Lane* lane = self.lane + s
        cdef int64_t m = self.batch.m, n = self.batch.n, j
        cdef double* out = self.those.out + (self.member[s] * m + lane.delivered) * self.n
        cdef double* y = self.those.y + self.member[s] * n * m + lane.delivered
        odead_lanes_get(self.n, state, out)
        for j in range(n):
            y[j * m] = out[j]
        lane.delivered += 1
