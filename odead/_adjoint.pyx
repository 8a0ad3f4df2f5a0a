"""The discrete adjoint: the exact gradient of what an explicit method computed; and what all backward sweeps share.

The steps are those that were taken; the control that chose them is not differentiated. A step is

    z_i = x + h sum_j a_ij k_j,   k_i = f(t + c_i h, z_i),   new x = z_s,   output at t + q h = x + h sum_j w_j(q) k_j,

and is transposed line by line, from the last to the first. Its first stage is the last one of the step before.
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from ._arrays cimport floats
from ._record cimport Record
from ._steppers cimport Combination, Method, odead_all_finite, odead_combine, odead_gather, odead_spread
from ._system cimport DONE, NOT_FINITE, RAISED, Cotangents, Outcome, System

from ._steppers import OUTCOMES as _OUTCOMES

cnp.import_array()

cdef int64_t FEW = 64  # states


cdef void forget(Cotangents pull) noexcept nogil:
    """Let it leave nothing for later that it has left so far."""
    if pull is not None and pull.later is not None:
        pull.later.forget()


cdef void settle(Cotangents pull) noexcept nogil:
    """Have what it has left for later."""
    if pull is not None and pull.later is not None:
        pull.later.settle()


cdef class Adjoint:
    """The backward sweep over the steps of a record.

    Parameters
    ----------
    method : Method
        Made the record.
    record : Record
        Of the states, and of the stages of each step; without stages, they are computed again.
    system : System
        The right-hand side.
    cotangents : Cotangents
        Its cotangents.

    Attributes
    ----------
    behind : Cotangents or None
        The same, from what the evaluations of a step have saved in the record.
    """

    def __init__(self, Method method, Record record, System system, Cotangents cotangents):
        cdef int64_t n = record.n
        if system.n != n or cotangents.n != n or record.rows not in (0, method.stages, method.all_stages):
            raise ValueError("record, system and cotangents do not fit together")
        self.method, self.record, self.system, self.cotangents, self.n = method, record, system, cotangents, n
        self.ends = -1
        fits = record.stride * method.stages * n * sizeof(double) <= record.budget / 2
        self.segment = Record(n, method.stages if fits else 0)
        vectors = np.zeros((6, n))
        stages = np.zeros((3, method.all_stages, n))
        self.owners = (vectors, stages)
        self.result = vectors[0]
        cdef double* vector = floats(vectors)
        self.x_bar, self.slope_bar, self.sum_bar = vector, vector + n, vector + 2 * n
        self.z, self.z_bar, self.covector = vector + 3 * n, vector + 4 * n, vector + 5 * n
        self.k_bar, self.k, self.arguments = floats(stages[0]), floats(stages[1]), floats(stages[2])

    def run(self, times, y_bar, int64_t begins=0, int64_t ends=-1, end=None):
        """Sweep back over all steps, or some of them; exceptions of the right-hand side are raised.

        The cotangent of p is added to `cotangents.p_bar`.

        Parameters
        ----------
        times : (m,) array
            Of the outputs, as they were given to the loop.
        y_bar : (m, n) array
            Their cotangents.
        begins, ends : int
            Number of the first step, and of the one after the last; -1: all. Of a record that has all states.
        end : (n,) array, optional
            The state after the last of them, where the record has there what it was reset to.

        Returns
        -------
        outcome : str
            Name of the `Outcome`.
        x0_bar : (n,) array
            Cotangent of the state before the first of them.
        """
        cdef Outcome outcome
        cdef int64_t m = len(times)
        times = np.ascontiguousarray(times, dtype=np.float64)
        y_bar = np.ascontiguousarray(y_bar, dtype=np.float64)
        if y_bar.shape != (m, self.n):
            raise ValueError(f"y_bar has shape {y_bar.shape}, not {(m, self.n)}")
        if not 0 <= begins <= (ends if ends >= 0 else 0) <= self.record.count or (ends >= 0 and self.record.stride > 1):
            raise ValueError("the record has no such steps")
        self.begins, self.ends, self.end = begins, ends, NULL
        if end is not None:
            end = np.array(end, dtype=np.float64)
            if end.shape != (self.n,) or ends < 0:
                raise ValueError("the state after the last step does not fit")
            self.end = floats(end)
        cdef double* at = floats(times)
        cdef double* given = floats(y_bar)
        with nogil:
            outcome = self.sweep(at, given, m)
        if outcome == RAISED:
            raise self.system.error or self.cotangents.error or self.behind.error
        return _OUTCOMES[<int> outcome], self.result.copy()

    cdef void restart(self) noexcept nogil:
        """Forget the sweep before: the record has other steps now."""
        pass

    cdef void tally(self, int64_t* njev, int64_t* nlu) noexcept nogil:
        """Add linearisations and factorisations."""
        pass

    cdef Outcome sweep(self, const double* times, const double* y_bar, int64_t n_times) noexcept nogil:
        cdef int64_t last = n_times - 1, j
        cdef int64_t number = self.record.count if self.ends < 0 else self.ends
        cdef Outcome outcome
        memset(self.x_bar, 0, self.n * sizeof(double))
        memset(self.slope_bar, 0, self.n * sizeof(double))
        forget(self.cotangents)  # what a sweep left that did not come to its end
        forget(self.behind)
        while number > self.begins:
            outcome = self.unfold((number - 1) // self.record.stride * self.record.stride)
            while outcome == DONE and number > max(self.first, self.begins):
                number -= 1
                outcome = self.step_back(number, times, y_bar, &last)
            if outcome != DONE:
                return outcome
        outcome = self.cotangents.pull(
            self.record.t[self.begins], self.record.x + self.begins * self.n, self.slope_bar, self.x_bar
        )
        settle(self.cotangents)
        settle(self.behind)
        while last >= 0:  # outputs at the start
            for j in range(self.n):
                self.x_bar[j] += y_bar[last * self.n + j]
            last -= 1
        if outcome == DONE and not odead_all_finite(self.n, self.x_bar):
            return NOT_FINITE
        return outcome

    cdef const double* new_state(self, int64_t number) noexcept nogil:
        """The state after a step."""
        if self.end != NULL and number + 1 == self.ends:
            return self.end
        return self.states + (number + 1 - self.first) * self.n

    cdef Outcome unfold(self, int64_t first) noexcept nogil:
        """Have the states of the steps from `first` to the next state that was kept."""
        cdef int64_t number, stop = min(first + self.record.stride, self.record.count)
        cdef const Combination* solution = &self.method.solution
        cdef double h
        cdef Outcome outcome
        if self.record.stride == 1:
            self.first, self.states, self.slopes, self.rows = 0, self.record.x, self.record.k, self.record.rows
            return DONE
        outcome = self.segment.begin(self.record.t[first], self.record.x + first // self.record.stride * self.n)
        for number in range(first, stop):
            if outcome != DONE:
                return outcome
            self.first, self.states, self.slopes, self.rows = first, self.segment.x, NULL, 0
            outcome = self.restore(number, self.method.stages)
            h = self.record.t[number + 1] - self.record.t[number]
            odead_combine(self.n, self.states + (number - first) * self.n, h, solution.count, solution.weight, solution.index,
                          self.k, self.n, self.z)
            if outcome == DONE:
                outcome = self.segment.add(self.record.t[number + 1], self.z, self.k, self.n)
        self.states, self.slopes, self.rows = self.segment.x, self.segment.k, self.segment.rows
        return outcome

    cdef Outcome step_back(self, int64_t number, const double* times, const double* y_bar, int64_t* last) noexcept nogil:
        cdef const double* x = self.states + (number - self.first) * self.n
        cdef double t = self.record.t[number], h = self.record.t[number + 1] - t
        cdef const double* start
        cdef double* row
        cdef double* z_bar
        cdef bint few = self.n <= FEW  # then binding another address costs more than a copy
        cdef bint inside = self.has_inside(number, times, last[0])
        cdef int64_t i, newest = self.method.stages - 1, size = self.n * sizeof(double)
        cdef int64_t stop = self.method.all_stages if inside else self.method.stages
        cdef Outcome outcome
        self.number = number
        if inside:  # then outputs are part of all cotangents
            memset(self.k_bar, 0, stop * size)
            memset(self.sum_bar, 0, size)
            memcpy(self.k_bar + newest * self.n, self.slope_bar, size)
        self.take_outputs(t, h, times, y_bar, last)
        outcome = self.restore(number, stop if inside else newest)
        for i in range(stop - 1, 0, -1):
            if outcome != DONE:
                return outcome
            row = self.k_bar + i * self.n
            z_bar = self.z_bar if few else row
            start = row if inside else self.slope_bar if i == newest else NULL
            self.gather(i, h, stop, start, self.covector)
            if i == newest:  # its argument is the new state
                memcpy(z_bar, self.x_bar, size)
            else:
                memset(z_bar, 0, size)
            outcome = self.pull_stage(i, t, h, x, z_bar)
            if few:
                memcpy(row, z_bar, size)
        self.gather(0, h, stop, self.k_bar if inside else NULL, self.slope_bar)
        self.add_arguments(stop, self.sum_bar if inside else NULL)
        return outcome

    cdef void gather(self, int64_t i, double h, int64_t stop, const double* start, double* out) noexcept nogil:
        """The cotangent of stage i: `start`, and what the arguments of the stages from `stop` down to i have of it."""
        cdef const Combination* onward = &self.method.onward[i]
        cdef int first = 0
        while first < onward.count and onward.index[first] >= stop:
            first += 1
        odead_gather(self.n, start, h, onward.count - first, onward.weight + first, onward.index + first, self.k_bar, self.n,
                     out)

    cdef void add_arguments(self, int64_t stop, const double* start) noexcept nogil:
        """The cotangent of the state at the start of the step: `start`, and those of the arguments of all stages."""
        cdef Combination ones
        cdef int i
        ones.count = <int> stop - 1
        for i in range(ones.count):
            ones.weight[i], ones.index[i] = 1, stop - 1 - i
        odead_gather(self.n, start, 1, ones.count, ones.weight, ones.index, self.k_bar, self.n, self.x_bar)

    cdef bint has_inside(self, int64_t number, const double* times, int64_t last) noexcept nogil:
        """Whether an output up to the last one was interpolated in this step."""
        cdef double t = self.record.t[number], t_new = self.record.t[number + 1]
        while last >= 0 and (times[last] - t) * (t_new - t) > 0:
            if times[last] != t_new:
                return True
            last -= 1
        return False

    cdef void take_outputs(self, double t, double h, const double* times, const double* y_bar, int64_t* last) noexcept nogil:
        """Add the cotangents of the outputs in (t, t + h]."""
        cdef double q
        cdef const double* row
        cdef int64_t j
        while last[0] >= 0 and (times[last[0]] - t) * h > 0:
            row = y_bar + last[0] * self.n
            q = (times[last[0]] - t) / h
            if q == 1:
                for j in range(self.n):
                    self.x_bar[j] += row[j]
            else:
                self.take_inside(q, h, row)
                for j in range(self.n):
                    self.sum_bar[j] += row[j]
            last[0] -= 1

    cdef void take_inside(self, double q, double h, const double* row) noexcept nogil:
        """Add the cotangent of an output at t + q h to those of the stages."""
        cdef Combination weights
        self.method.weigh(q, &weights)
        odead_spread(self.n, row, h, weights.count, weights.weight, weights.index, self.k_bar, self.n)

    cdef Outcome restore(self, int64_t number, int64_t stop) noexcept nogil:
        """Have the stages of the step before `stop` in k, and the arguments that it passes on the way.

        That of the last stage is the new state. In 2-D diffusion with 10^5 states a third of what the way back moves through
        memory was adding up the arguments once more.
        """
        cdef int64_t i, at = number - self.first, first = 1, newest = self.method.stages - 1
        cdef bint few = self.n <= FEW  # then binding another address costs more than adding up
        cdef double* z = self.z
        cdef double t = self.record.t[number], h = self.record.t[number + 1] - t
        cdef const double* x = self.states + at * self.n
        cdef const Combination* argument
        cdef Outcome outcome = DONE
        self.taken = self.k
        for i in range(self.method.all_stages):
            self.argument_of[i] = NULL
        if not few:
            self.argument_of[newest] = self.new_state(number)
        if self.rows >= stop:
            self.taken = self.slopes + at * self.rows * self.n
            return DONE
        if self.rows:
            memcpy(self.k, self.slopes + at * self.rows * self.n, self.rows * self.n * sizeof(double))
            first = self.rows
        else:
            memcpy(self.z, x, self.n * sizeof(double))
            outcome = self.system.evaluate(t, self.z, self.k)
        for i in range(first, stop):
            if outcome != DONE:
                return outcome
            argument = &self.method.argument[i]
            if not few:
                z = self.arguments + i * self.n
                self.argument_of[i] = z
            odead_combine(self.n, x, h, argument.count, argument.weight, argument.index, self.k, self.n, z)
            outcome = self.system.evaluate(t + self.method.c[i] * h, z, self.k + i * self.n)
        return outcome

    cdef Outcome pull(self, int64_t row, double t, const double* x, double* x_bar) noexcept nogil:
        """Carry the covector to x, where the evaluation with this number in the step has been."""
        cdef bint all_there = self.behind is not None and self.number < self.record.room_for_saved
        if not all_there or (row + 1) * self.behind.n_saved > self.record.n_saved - self.record.n_matrix:
            return self.cotangents.pull(t, x, self.covector, x_bar)
        self.behind.saved = self.record.saved + self.number * self.record.n_saved + row * self.behind.n_saved
        return self.behind.pull(t, x, self.covector, x_bar)

    cdef Outcome pull_stage(self, int64_t i, double t, double h, const double* x, double* z_bar) noexcept nogil:
        """Add to the cotangent of the argument of stage i what its own, in `covector`, makes of it."""
        cdef const Combination* argument = &self.method.argument[i]
        cdef const double* z = self.argument_of[i]
        if z == NULL:
            z = self.z
            odead_combine(self.n, x, h, argument.count, argument.weight, argument.index, self.taken, self.n, self.z)
        return self.pull(i - 1, t + self.method.c[i] * h, z, z_bar)
