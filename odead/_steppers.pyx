"""The loop of the explicit Runge-Kutta methods, written once: a method is data.

Initial step, error norm, step control and output are those of SciPy's RungeKutta classes (Hairer, Norsett and Wanner, Solving
Ordinary Differential Equations I, section II.4), operation by operation, so that the steps agree to round-off. One thing is
added: the state may be several blocks of the same size with tolerances of their own, and the largest of their errors counts.

The state of a loop is in the object, and changes only when a step has been accepted: `run` may be called again.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport INFINITY, fabs, fmax, fmin, nextafter, pow
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from ._arrays cimport floats
from ._record cimport Record, copy_of
from ._system cimport DONE, FLIPPED, NOT_FINITE, RAISED, TOO_MANY, TOO_SMALL, TURNED, Outcome, Resetting, System

cnp.import_array()

# In the order of Outcome.
OUTCOMES = ("done", "raised", "too small", "not finite", "too many", "no memory", "flipped", "turned")

cdef double SAFETY = 0.9
cdef double MIN_FACTOR = 0.2
cdef double MAX_FACTOR = 10
cdef double NO_ERROR = 1e-4  # of a step, for the control of those after it
cdef int64_t FEW = 128  # states
cdef int64_t LOOKS = 4  # per step, for what may change its sign twice within one
cdef double STABLE = 0.9 * 3.5  # most that h times an eigenvalue may be for Tsit5, with a margin
cdef double STRETCHED = 1 + 1e-9  # a step to the end of a piece that is the end of the solve, but for rounding, gets there
cdef double SEEN = 1e-7  # relative change of a state that shows in its derivative despite rounding


cdef int compress(weights, Combination* found) except -1:
    found.count = 0
    for j, weight in enumerate(weights):
        if weight != 0:
            found.weight[found.count] = weight
            found.index[found.count] = j
            found.count += 1
    return 0


cdef class Method:
    """A tableau in the form that the loop reads.

    Parameters
    ----------
    tableau : Tableau
    """

    def __init__(self, tableau):
        cdef int64_t i
        self.stages, self.all_stages, self.degree = tableau.stages, tableau.all_stages, len(tableau.flips)
        if self.all_stages > MOST_STAGES or self.degree > MOST_DEGREES:
            raise ValueError(f"{tableau.name} has too many stages, or an interpolant of too high a degree")
        for i in range(self.stages):
            self.c[i] = tableau.c[i]
            compress(tableau.a[i], &self.argument[i])
        for i in range(self.all_stages - self.stages):
            self.c[self.stages + i] = tableau.extra_c[i]
            compress(tableau.extra_a[i], &self.argument[self.stages + i])
        self.turn_round(0)
        self.solution = self.argument[self.stages - 1]
        self.n_errors = len(tableau.errors)
        for i in range(self.n_errors):
            compress(tableau.errors[i], &self.error[i])
        self.exponent = -1 / (tableau.error_order + 1)
        self.gain, self.memory = (share * self.exponent for share in tableau.control)
        self.interpolate_with(tableau.interpolant, tableau.interpolant.any(axis=1), tableau.flips)

    cdef int turn_round(self, int own) except -1:
        """From the arguments, of which the last `own` weights are of the stage itself, derive where each stage goes."""
        cdef const Combination* argument
        cdef Combination* onward
        cdef int64_t i, j
        for i in range(self.all_stages):
            self.onward[i].count = 0
        for i in range(self.all_stages - 1, -1, -1):
            argument = &self.argument[i]
            for j in range(argument.count - own):
                onward = &self.onward[argument.index[j]]
                onward.weight[onward.count], onward.index[onward.count] = argument.weight[j], i
                onward.count += 1
        return 0

    cdef int interpolate_with(self, interpolant, used, flips) except -1:
        """Take over what stages weigh in each degree, (stages, degree), which are used, and which factors are 1 - q."""
        cdef int64_t i, j
        self.degree = len(flips)
        compress(used, &self.used)
        for j in range(self.degree):
            self.flip[j] = flips[j]
            for i in range(self.used.count):
                self.interpolant[j][i] = interpolant[self.used.index[i], j]
        return 0

    cdef void weigh(self, double q, Combination* found) noexcept nogil:
        """The combination of stages that the interpolant is at the fraction q of a step."""
        cdef double basis[MOST_DEGREES]
        cdef double last = 1
        cdef int64_t j
        for j in range(self.degree):
            last *= 1 - q if self.flip[j] else q
            basis[j] = last
        found.count = self.used.count
        for j in range(found.count):
            found.index[j] = self.used.index[j]
        odead_weigh(found.count, self.degree, self.interpolant, basis, found.weight)

    cdef double shrinking(self, double error) noexcept nogil:
        """The factor of the step after one that was rejected with this error."""
        cdef double factor = SAFETY * pow(error, self.exponent)
        return factor if factor > MIN_FACTOR else MIN_FACTOR  # so that a NaN gives the smallest factor

    cdef double growth(self, double error, double* last_error) noexcept nogil:
        """The factor of the next step after one that was accepted with this error."""
        cdef double factor
        if error == 0:
            factor = MAX_FACTOR
        elif self.memory == 0:
            factor = SAFETY * pow(error, self.exponent)
        else:
            factor = SAFETY * pow(error, self.gain) * pow(last_error[0], self.memory)
        last_error[0] = fmax(error, NO_ERROR)
        return fmin(MAX_FACTOR, factor)


cdef double smallest_step(double t, double direction) noexcept nogil:
    """The size below which a step from t drowns in round-off."""
    return 10 * fabs(nextafter(t, direction * INFINITY) - t)


cdef class Explicit:
    """One solve by an explicit method.

    Parameters
    ----------
    system : System
    method : Method
    t0, t1 : float
    x0 : (n,) array
    rtol : (blocks,) array
        n is a multiple of its length.
    atol : float or (n,) array
    first_step : float or None
        None: chosen.
    max_step : float
    max_steps : int
        Accepted steps after which to give up.
    times : (m,) array
        Where the state is wanted, sorted in the direction of integration, inside [t0, t1].
    record : Record, optional
        Filled step by step. If it has more rows than a step has stages, those of the interpolant are computed at every step.
    """

    def __init__(self, System system, Method method, double t0, double t1, x0, rtol, atol, first_step, double max_step,
                 int64_t max_steps, times, Record record=None):
        cdef int64_t n = system.n
        x = np.array(x0, dtype=np.float64)
        rtol = np.array(rtol, dtype=np.float64)
        atol = np.array(atol, dtype=np.float64)
        if atol.ndim == 0:
            atol = np.full(n, atol)
        times = np.array(times, dtype=np.float64)
        if x.shape != (n,) or atol.shape != (n,) or rtol.size == 0 or n % rtol.size:
            raise ValueError(f"a system of {n} states does not fit x0 {x.shape}, rtol {rtol.shape} and atol {atol.shape}")
        if record is not None and (record.n > n or record.rows not in (0, method.stages, method.all_stages)):
            raise ValueError("the record does not fit")
        z, w, f = np.empty((3, n))
        k = np.empty((method.all_stages, n))
        norms, each = np.zeros((4, rtol.size)), np.repeat(rtol, n // rtol.size)
        self.y = np.empty((times.size, n))
        self.state = x
        self.owners = (rtol, atol, times, z, w, f, k, norms, each)
        if record is not None and record.n_saved > record.n_matrix and not system.n_saved:
            raise ValueError("the record does not fit what the system saves")
        self.system, self.method, self.record = system, method, record
        self.n, self.blocks, self.n_times = n, rtol.size, times.size
        self.x, self.z, self.w, self.f, self.k = floats(x), floats(z), floats(w), floats(f), floats(k)
        self.rtol, self.atol, self.times, self.out = floats(rtol), floats(atol), floats(times), floats(self.y)
        self.norms, self.sums, self.squares, self.others = floats(norms), floats(norms[1]), floats(norms[2]), floats(norms[3])
        self.each = floats(each)
        self.t, self.t_end, self.direction = t0, t1, -1 if t1 < t0 else 1
        self.max_step, self.max_steps, self.last_error = max_step, max_steps, 1
        self.h_abs = self.first_step = -1 if first_step is None else first_step
        self.wants_all_stages = record is not None and record.rows > method.stages

    def run(self):
        """Step until something stops the loop and return the name of that `Outcome`; exceptions of the system are raised."""
        cdef Outcome outcome
        with nogil:
            outcome = DONE if self.nsteps else self.start()
            if outcome == DONE:
                outcome = self.advance()
        if outcome == RAISED:
            raise self.system.error
        return OUTCOMES[<int> outcome]

    def reset_at(self, stops, resets):
        """Before `run`: step onto these times inside the span, reset the state at each where there is a reset, and go on.

        The record has the state after the reset, not that before.

        Parameters
        ----------
        stops : (k,) array
            In the direction of integration.
        resets : sequence of Resetting or None
        """
        stops = np.array(stops, dtype=np.float64)
        if len(resets) != stops.size:
            raise ValueError("resets inside a loop do not fit")
        self.before = np.empty((stops.size, self.n))
        self.stop_times, self.stops, self.row_before, self.resets = stops, floats(stops), floats(self.before), tuple(resets)
        self.n_stops = stops.size
        if self.n_stops:
            self.t_last, self.t_end = self.t_end, stops[0]

    def keep_pace(self, ends, longest, beyond):
        """Before `run`, of a solve in which time grows: limit its steps, as `Pace` says.

        Parameters
        ----------
        ends : (k + 1,) array
        longest, beyond : (k,) array
        """
        ends, longest, beyond = (np.array(each, dtype=np.float64) for each in (ends, longest, beyond))
        if self.direction < 0 or longest.size == 0 or ends.size != longest.size + 1 or beyond.size != longest.size:
            raise ValueError("the limits of the steps do not fit")
        self.limits = (ends, longest, beyond)
        self.ends, self.longest, self.beyond, self.n_pieces = floats(ends), floats(longest), floats(beyond), longest.size

    @property
    def errors(self):
        """Per block, the sum of the local error estimates of all steps, in units of the tolerances, shape (blocks,)."""
        cdef cnp.npy_intp blocks = self.blocks
        return copy_of(self.sums, &blocks, 1)

    def last_step(self):
        """The state at the end of the step tried last, and all its stages, shape (stages, n)."""
        cdef cnp.npy_intp[2] shape = [self.method.all_stages, self.n]
        return copy_of(self.z, &shape[1], 1), copy_of(self.k, shape, 2)

    def at(self, double t):
        """The state at a time inside the step tried last, after which `run` said that it flipped."""
        row = np.empty(self.n)
        self.interpolate(t, self.h, floats(row))
        return row

    def locate(self):
        """Two neighbouring times inside this step: what is watched holds at the first, and no longer at the second.

        By bisection, 50 times; in Python, with an interpolant of arrays, it took nine tenths of the time of a bouncing ball.
        """
        cdef double low = self.held, high = self.flipped, middle = low + (high - low) / 2
        with nogil:
            while middle != low and middle != high:
                self.interpolate(middle, self.h, self.w)
                if self.watch.holds(middle, self.w, self.f):
                    low = middle
                else:
                    high = middle
                middle = low + (high - low) / 2
        return low, high

    def keep_last_step(self):
        """Append the step tried last, which was not taken, to the record."""
        if self.record.add(self.t + self.h, self.z, self.k, self.n) != DONE:
            raise MemoryError("no memory for the steps of a solve")

    cdef void restart(self, double t0, double t1, const double* x0, double* times, int64_t n_times,
                      double* out) noexcept nogil:
        """Forget all steps and begin elsewhere, with output into memory of the caller's."""
        memcpy(self.x, x0, self.n * sizeof(double))
        memset(self.sums, 0, self.blocks * sizeof(double))
        self.t, self.t_last, self.passed, self.direction = t0, t1, 0, -1 if t1 < t0 else 1
        self.t_end = self.stops[0] if self.n_stops else t1
        self.h_abs, self.last_error = self.first_step, 1
        self.nsteps = self.nrejected = self.delivered = self.signs = 0
        self.times, self.n_times, self.out = times, n_times, out

    cdef void tally(self, int64_t* njev, int64_t* nlu) noexcept nogil:
        """Add linearisations and factorisations."""
        pass

    cdef int check_room(self, int64_t numbers) except -1:
        """Refuse a record that has room for linearisations of another size."""
        if self.record is not None and self.record.n_matrix not in (0, numbers):
            raise ValueError("the record does not fit the linearisation")
        return 0

    cdef Outcome start(self) noexcept nogil:
        """Evaluate the first derivative, and choose the first step."""
        cdef Outcome outcome
        memcpy(self.z, self.x, self.n * sizeof(double))
        outcome = self.differentiate(self.t, self.z, self.k)
        if outcome == DONE and not odead_all_finite(self.n, self.k):
            outcome = NOT_FINITE
        if outcome == DONE and self.record is not None:
            outcome = self.record.turn(self.x) if self.passed else self.record.begin(self.t, self.x)
        if outcome == DONE and self.h_abs < 0:
            outcome = self.choose_step()
        return outcome

    cdef Outcome differentiate(self, double t, const double* x, double* out) noexcept nogil:
        """The derivative of the state, to begin with; with a singular mass matrix its algebraic part is 0."""
        cdef Outcome outcome = self.system.evaluate(t, x, out)
        return self.divide_by_mass(out) if outcome == DONE and self.divide is not None else outcome

    cdef Outcome divide_by_mass(self, double* out) noexcept with gil:
        cdef cnp.npy_intp[2] shape = [self.blocks, self.n // self.blocks]
        try:
            self.divide(cnp.PyArray_SimpleNewFromData(2, shape, cnp.NPY_FLOAT64, out))
        except BaseException as error:
            self.system.error = error
            return RAISED
        return DONE

    cdef Outcome choose_step(self) noexcept nogil:
        cdef int64_t size = self.n // self.blocks, b, start
        cdef double length = fabs(self.t_end - self.t), h0 = INFINITY, h1, d0, d1, d2 = 0, largest = 0
        cdef double* f0 = self.k
        cdef double* f1 = self.k + self.n
        cdef Combination once
        cdef Outcome outcome
        if self.n == 0 or length == 0:
            self.h_abs = length
            return DONE
        once.count, once.weight[0], once.index[0] = 1, 1, 0
        for b in range(self.blocks):
            start = b * size
            d0 = odead_norm(size, self.x + start, self.x + start, self.rtol[b], self.atol + start)
            d1 = odead_norm(size, f0 + start, self.x + start, self.rtol[b], self.atol + start)
            largest = fmax(largest, d1)
            # A sensitivity that starts at 0 says nothing about the scale of time.
            if b == 0 or (d0 >= 1e-5 and d1 >= 1e-5):
                h0 = fmin(h0, 1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1)
        h0 = fmin(h0, length)
        odead_combine(self.n, self.x, h0 * self.direction, 1, once.weight, once.index, f0, self.n, self.z)
        outcome = self.differentiate(self.t + h0 * self.direction, self.z, f1)
        if outcome != DONE:
            return outcome
        odead_combine(self.n, f1, -1, 1, once.weight, once.index, f0, self.n, self.z)
        for b in range(self.blocks):
            start = b * size
            d2 = fmax(d2, odead_norm(size, self.z + start, self.x + start, self.rtol[b], self.atol + start) / h0)
        if largest <= 1e-15 and d2 <= 1e-15:
            h1 = fmax(1e-6, h0 * 1e-3)
        else:
            h1 = pow(0.01 / fmax(largest, d2), -self.method.exponent)
        self.h_abs = fmin(fmin(100 * h0, h1), fmin(length, self.max_step))
        return DONE

    cdef Outcome advance(self) noexcept nogil:
        """Step until the end is reached."""
        cdef Outcome outcome = DONE
        if self.t == self.t_end:
            return self.deliver(self.t, 0)
        if self.kinks is not None:
            self.kinks.take(self.t, self.x)
        while outcome == DONE:
            while outcome == DONE and self.direction * (self.t - self.t_end) < 0:
                if self.nsteps >= self.max_steps:
                    return TOO_MANY
                outcome = self.step()
            if outcome != DONE or self.passed == self.n_stops:
                return outcome
            outcome = self.pass_stop()
            if outcome == DONE and self.begins_anew:
                outcome = self.start()
        return outcome

    cdef Outcome pass_stop(self) noexcept with gil:
        """Reset the state, if it is to be; then the steps begin anew."""
        cdef Resetting reset = self.resets[self.passed]
        cdef Outcome outcome
        memcpy(self.row_before + self.passed * self.n, self.x, self.n * sizeof(double))
        self.begins_anew = reset is not None
        if self.begins_anew:
            outcome = reset.apply(self.t, self.x)
            if outcome != DONE:
                self.system.error = reset.error
                return outcome
            self.h_abs, self.last_error = -1, 1
        self.passed += 1
        self.t_end = self.stops[self.passed] if self.passed < self.n_stops else self.t_last
        return DONE

    cdef double limit(self) noexcept nogil:
        """The longest step from here."""
        if not self.n_pieces:
            return fmin(self.max_step, self.reach + fabs(self.t - self.began) / 8) if self.reach > 0 else self.max_step
        cdef double t = self.origin + self.t
        while self.piece < self.n_pieces - 1 and self.ends[self.piece + 1] <= t:
            self.piece += 1
        return fmin(self.max_step, STRETCHED * fmin(
            self.longest[self.piece], fmax(self.beyond[self.piece], self.ends[self.piece + 1] - t)
        ))

    cdef Outcome step(self) noexcept nogil:
        """Take one step: try until the error is small enough."""
        cdef double smallest = smallest_step(self.t, self.direction)
        cdef double h_abs = fmax(fmin(self.h_abs, self.limit()), smallest)
        cdef double h, t_new, error, factor
        cdef bint rejected = False, turned = False
        cdef Outcome outcome
        while True:
            if h_abs < smallest:
                return TOO_SMALL
            t_new = self.t + h_abs * self.direction
            if self.direction * (t_new - self.t_end) > 0:
                t_new = self.t_end
            h = self.h = t_new - self.t
            h_abs = fabs(h)
            outcome = self.attempt(h)
            if outcome != DONE:
                return outcome
            error = self.error_norm(h)
            if error < 1 and self.kinks is not None:
                error = self.kinks.error_of_step(t_new, self.z, error)
            if error < 1:
                break
            rejected = True
            self.nrejected += 1
            h_abs *= self.method.shrinking(error)
        if not odead_all_finite(self.n, self.z):
            return NOT_FINITE
        outcome = DONE if self.watch is None else self.look(t_new, h)
        if outcome == DONE and self.keys is not None and not self.keys.holds(t_new, self.z, self.f):
            outcome = FLIPPED
        if outcome == DONE:
            outcome = self.deliver(t_new, h)
        if outcome == DONE and self.record is not None:
            outcome = self.record.add(t_new, self.z, self.k, self.n)
        if outcome != DONE:
            return outcome
        self.add_norms()
        factor = self.method.growth(error, &self.last_error)
        self.h_abs = h_abs * (fmin(1, factor) if rejected else factor)
        if self.judges and t_new != self.t_end:
            outcome = self.judge(t_new, h, &turned)
            if outcome != DONE:
                return outcome
        self.t = t_new
        self.nsteps += 1
        odead_copy(self.n, self.z, self.x)
        odead_copy(self.n, self.k + (self.method.stages - 1) * self.n, self.k)
        return TURNED if turned else DONE

    cdef Outcome attempt(self, double h) noexcept nogil:
        """Compute the stages of a step of size h; the argument of the last one is the new state."""
        cdef int64_t i
        cdef double* place = NULL if self.record is None else self.record.place()
        cdef Outcome outcome = DONE
        self.has_extra = False
        for i in range(1, self.method.stages):
            if place != NULL:
                self.system.saved = place + (i - 1) * self.system.n_saved
            outcome = self.evaluate_stage(i, h, self.z)
            if outcome != DONE:
                break
        self.system.saved = self.system.scratch
        return outcome

    cdef Outcome evaluate_stage(self, int64_t i, double h, double* argument) noexcept nogil:
        cdef const Combination* found = &self.method.argument[i]
        cdef double* stage = self.k + i * self.n
        cdef Outcome outcome
        odead_combine(self.n, self.x, h, found.count, found.weight, found.index, self.k, self.n, argument)
        if self.n > FEW:
            return self.system.evaluate(self.t + self.method.c[i] * h, argument, stage)
        outcome = self.system.evaluate(self.t + self.method.c[i] * h, argument, self.f)
        odead_copy(self.n, self.f, stage)  # binding another address costs more
        return outcome

    cdef Outcome add_stages(self, double h) noexcept nogil:
        """Compute the stages that only the interpolant needs, once in a step."""
        cdef int64_t i
        cdef Outcome outcome
        if self.has_extra:
            return DONE
        for i in range(self.method.stages, self.method.all_stages):
            outcome = self.evaluate_stage(i, h, self.w)
            if outcome != DONE:
                return outcome
        self.has_extra = True
        return DONE

    cdef Outcome deliver(self, double t_new, double h) noexcept nogil:
        """Write the output at the times up to t_new, and the stages that the record wants."""
        cdef Outcome outcome
        cdef double* row
        if self.wants_all_stages and h != 0:
            outcome = self.add_stages(h)
            if outcome != DONE:
                return outcome
        while self.delivered < self.n_times and self.direction * (self.times[self.delivered] - t_new) <= 0:
            row = self.out + self.delivered * self.n
            if self.times[self.delivered] == t_new:
                odead_copy(self.n, self.z, row)
            else:
                outcome = self.add_stages(h)
                if outcome != DONE:
                    return outcome
                self.interpolate(self.times[self.delivered], h, row)
            self.delivered += 1
        return DONE

    cdef void interpolate(self, double t, double h, double* row) noexcept nogil:
        """Write the state at a time inside the step of size h; all its stages are there."""
        cdef Combination weights
        self.method.weigh((t - self.t) / h, &weights)
        odead_combine(self.n, self.x, h, weights.count, weights.weight, weights.index, self.k, self.n, row)

    cdef Outcome look(self, double t_new, double h) noexcept nogil:
        """FLIPPED if what is watched does not hold at some times inside the step, or at its end."""
        cdef Outcome outcome = self.add_stages(h)
        cdef int64_t i
        self.held = self.t
        for i in range(1, LOOKS):
            if outcome != DONE:
                return outcome
            self.flipped = self.t + i * h / LOOKS
            self.interpolate(self.flipped, h, self.w)
            if not self.watch.holds(self.flipped, self.w, self.f):
                return FLIPPED
            self.held = self.flipped
        self.flipped = t_new
        return DONE if self.watch.holds(t_new, self.z, self.f) else FLIPPED

    cdef double error_norm(self, double h) noexcept nogil:
        cdef int64_t size = self.n // self.blocks, b
        cdef bint combines = self.method.n_errors == 2
        cdef double worst = 0
        if size == 0:
            return 0
        self.square(&self.method.error[0], self.squares)
        if combines:
            self.square(&self.method.error[1], self.others)
        for b in range(self.blocks):
            self.norms[b] = odead_norm_of(h, self.squares[b], &self.others[b] if combines else NULL, size)
            if self.norms[b] != self.norms[b]:
                return self.norms[b]
            worst = fmax(worst, self.norms[b])
        return worst

    cdef void square(self, const Combination* error, double* squares) noexcept nogil:
        """The sums of squares of an error estimate, block by block."""
        odead_errors(self.blocks, self.n // self.blocks, self.x, self.z, self.each, self.atol, error.count, error.weight,
                     error.index, self.k, self.n, squares)

    cdef void add_norms(self) noexcept nogil:
        """Add the errors of a step that is accepted to those before."""
        cdef int64_t b
        for b in range(self.blocks):
            self.sums[b] += self.norms[b]

    # -------------------------------------------------------------------------------------------------- stiffness

    cdef Outcome judge(self, double t_new, double h, bint* turned) noexcept nogil:
        """Whether another kind of method suits the problem better, after many steps have shown it."""
        cdef bint sign = False
        cdef Outcome outcome = self.look_for_sign(t_new, h, &sign)
        self.signs = self.signs + 1 if sign else max(self.signs - 1, 0)
        turned[0] = self.signs >= self.patience
        return outcome

    cdef Outcome look_for_sign(self, double t_new, double h, bint* sign) noexcept nogil:
        """Whether stability limits the step; costs an evaluation at every eighth step.

        Then the error estimate consists of what stability lets grow, and how far the derivative changes along it is the
        eigenvalue in question. (The difference between two stages at the end of the step, which Hairer, Norsett and Wanner II,
        section IV.2 take for that, costs nothing, but is too smooth at tight tolerances.) Sensitivities are part of it: they
        have the same eigenvalues, and move where the states are at rest.
        """
        cdef int64_t size = self.n // self.blocks, b, j
        cdef const double* last = self.k + (self.method.stages - 1) * self.n
        cdef const Combination* error = &self.method.error[0]
        cdef double enlarged = h * fmax(1, SEEN / self.rtol[0]), slopes = 0, states = 0, scale
        cdef Outcome outcome
        sign[0] = self.signs > 0
        if self.nsteps % PERIOD:
            return DONE
        odead_combine(self.n, self.z, enlarged, error.count, error.weight, error.index, self.k, self.n, self.w)
        outcome = self.system.evaluate(t_new, self.w, self.f)
        for b in range(self.blocks):
            for j in range(b * size, (b + 1) * size):
                scale = 1 / (self.atol[j] + self.rtol[b] * fabs(self.z[j]))
                slopes += ((self.f[j] - last[j]) * scale) ** 2
                states += ((self.w[j] - self.z[j]) * scale) ** 2
        sign[0] = h * h * slopes > STABLE * STABLE * states
        return outcome
