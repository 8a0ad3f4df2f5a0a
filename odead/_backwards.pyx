"""The backward solve of a continuous adjoint: from datum to datum, and after each part the integral of f_p^T lambda over it.

Only lambda is in the steps; the gradient is a quadrature over them, so that many parameters cost no step and no linear algebra.
A panel has a few steps, and is halved until two rules agree on it.

Reference: A. S. Kronrod, Nodes and weights of quadrature formulas (1965); the pair with 3 and 7 nodes.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport INFINITY, fabs, fmax, nextafter, pow
from libc.stdint cimport int64_t
from libc.stdlib cimport free, qsort
from libc.string cimport memcpy, memset

from ._arrays cimport floats, grow
from ._covector cimport ByParameters, Covector
from ._curve cimport blend
from ._record cimport Record
from ._steppers cimport Explicit, odead_all_finite
from ._system cimport DONE, NO_MEMORY, NOT_FINITE, RAISED, Outcome

from ._steppers import OUTCOMES as _OUTCOMES

cnp.import_array()

cdef double NEGLIGIBLE = 1e-3  # of the largest effect of a parameter: what is smaller is held to an absolute tolerance
cdef double NO_TIME = 4  # spacings of floats between two data, in which lambda does not change

cdef double[NODES] PLACE
cdef double[NODES] KRONROD
cdef double[NODES] GAUSS
PLACE[:] = [
    -0.9604912687080202, -0.7745966692414834, -0.4342437493468026, 0.0,
    0.4342437493468026, 0.7745966692414834, 0.9604912687080202,
]
KRONROD[:] = [
    0.1046562260264673, 0.2684880898683334, 0.4013974147759622, 0.4509165386584741,
    0.4013974147759622, 0.2684880898683334, 0.1046562260264673,
]
GAUSS[:] = [0.0, 5.0 / 9, 0.0, 8.0 / 9, 0.0, 5.0 / 9, 0.0]


cdef int longer(const void* one, const void* other) noexcept nogil:
    """Order panels by their length, the longest first; of equal ones the first."""
    cdef const Panel* a = <const Panel*> one
    cdef const Panel* b = <const Panel*> other
    cdef double difference = (b.stop - b.start) - (a.stop - a.start)
    if difference == 0:
        difference = a.start - b.start
    return 1 if difference > 0 else -1 if difference < 0 else 0


cdef int take_apart(const Panel* panel, Half* parts) noexcept nogil:
    """Make a part of each step of a panel; how many. The integrand has kinks between them, which halves would keep."""
    cdef double start = panel.start
    cdef int64_t k
    for k in range(panel.steps):
        parts[k].middle, parts[k].length, parts[k].depth = (start + panel.ends[k]) / 2, (panel.ends[k] - start) / 2, 1
        start = panel.ends[k]
    return panel.steps


cdef class Quadrature:
    """The integral of f_p^T lambda.

    Parameters
    ----------
    covector : Covector
        What the loop solves.
    products : ByParameters
        Of the transpose of f_p.
    loop : Explicit
    record : Record
        That it fills, with the stages.
    knots : (k,) array
        Ends of the forward steps, by the time elapsed since the end of the problem, sorted. They are needed: a forcing that x
        follows may leave lambda alone, which then takes no steps there.
    p : (n_p,) array
    rtol : float
    atol : (n_p,) array or None
    span : float
        Of the whole problem.
    parts : int
        In which it is solved: between data, at most so many.
    """

    def __init__(self, Covector covector, ByParameters products, Explicit loop, Record record, knots, p, double rtol, atol,
                 double span, int64_t parts):
        cdef int64_t n_p = products.n_p
        knots, scale = np.array(knots, dtype=np.float64), np.abs(np.asarray(p, dtype=np.float64))
        if products.n_x != covector.n or record is not loop.record or scale.shape != (n_p,):
            raise ValueError("covector, products and record do not fit together")
        tolerances = None if atol is None else np.array(np.broadcast_to(atol, n_p), dtype=np.float64)
        self.total, rows, vector = np.zeros(n_p), np.zeros((NODES + 4, n_p)), np.zeros(covector.n)
        self.owners = (knots, scale, tolerances, rows, vector)
        self.covector, self.products, self.loop, self.record = covector, products, loop, record
        self.n_p, self.n_knots, self.rtol, self.span = n_p, len(knots), rtol, span
        self.parts = parts
        self.knots, self.scale, self.values, self.sum = floats(knots), floats(scale), floats(rows), floats(self.total)
        self.size, self.absolute = self.values + NODES * n_p, self.values + (NODES + 1) * n_p
        self.fine, self.part = self.values + (NODES + 2) * n_p, self.values + (NODES + 3) * n_p
        self.lambda_ = floats(vector)
        self.atol = NULL if atol is None else floats(tolerances)

    def __dealloc__(self):
        free(self.panels)

    cdef Outcome add(self, double origin) noexcept nogil:
        """Add the integral over the steps of the record, which began so long after the end of the problem."""
        cdef int64_t number, count = self.arrange(origin)
        cdef Outcome outcome
        if count < 0:
            return NO_MEMORY
        self.least_share = 1.0 / (count * self.parts)
        for number in range(count):
            outcome = self.integrate(&self.panels[number])
            if outcome != DONE:
                return outcome
        return DONE if odead_all_finite(self.n_p, self.sum) else NOT_FINITE

    cdef int64_t arrange(self, double origin) noexcept nogil:
        """Pieces of a few steps of both solves, longest first, so that the size of the integral is known early; how many."""
        cdef int64_t step = 0, among = 0, count = 0, most
        cdef double end = self.record.t[self.record.count], last = 0, following, forward
        while self.knot < self.n_knots and self.knots[self.knot] - origin <= 0:
            self.knot += 1
        most = (self.record.count + self.n_knots - self.knot) // STEPS_PER_PANEL + 2
        if most > self.room:
            if not grow(<void**> &self.panels, 2 * most * sizeof(Panel)):
                return -1
            self.room = 2 * most
        following = 0
        while following < end:
            forward = self.knots[self.knot] - origin if self.knot < self.n_knots else INFINITY
            following = self.record.t[step + 1]
            if forward < following:
                following = forward
                self.knot += 1
            else:
                step += 1
                self.knot += forward == following
            self.panels[count].ends[among] = following
            among += 1
            self.panels[count].start, self.panels[count].stop, self.panels[count].steps = last, following, among
            if among == STEPS_PER_PANEL or following == end:
                count += 1
                among, last = 0, following
        qsort(self.panels, count, sizeof(Panel), longer)
        return count

    cdef Outcome integrate(self, const Panel* panel) noexcept nogil:
        """Add the integral over a panel."""
        cdef Half[HALVINGS + STEPS_PER_PANEL + 2] halves
        cdef int64_t j
        cdef int left = 1
        cdef double quarter
        cdef Half half
        cdef Outcome outcome
        memset(self.part, 0, self.n_p * sizeof(double))
        self.tolerate(fmax((panel.stop - panel.start) / self.span, self.least_share))
        halves[0].middle, halves[0].length = (panel.start + panel.stop) / 2, (panel.stop - panel.start) / 2
        halves[0].depth = 0
        while left:
            left -= 1
            half = halves[left]
            outcome = self.evaluate(half.middle, half.length)
            if outcome != DONE:
                return outcome
            if half.depth < HALVINGS and not self.agrees(half.length):
                if half.depth == 0 and panel.steps > 1:
                    left = take_apart(panel, halves)
                    continue
                quarter = half.length / 2
                halves[left].middle, halves[left].length, halves[left].depth = half.middle - quarter, quarter, half.depth + 1
                halves[left + 1] = halves[left]
                halves[left + 1].middle = half.middle + quarter
                left += 2
                continue
            for j in range(self.n_p):
                self.part[j] += half.length * self.fine[j]
        for j in range(self.n_p):
            self.size[j] += fabs(self.part[j])
            self.sum[j] += self.covector.sign * self.part[j]
        return DONE

    cdef void tolerate(self, double share) noexcept nogil:
        """Find the absolute tolerance for a panel that has this share of it."""
        cdef int64_t j
        cdef double largest = 0, floor
        for j in range(self.n_p):  # the change of the loss by a relative change of p, so comparable between parameters
            largest = fmax(largest, self.scale[j] * self.size[j])
        for j in range(self.n_p):
            floor = self.size[j]
            if self.scale[j] > 0:
                floor += NEGLIGIBLE * largest / self.scale[j]
            self.absolute[j] = share * (self.rtol * floor + (self.atol[j] if self.atol != NULL else 0))

    cdef Outcome evaluate(self, double middle, double half) noexcept nogil:
        """Have the integrand at the nodes, and the sum of the finer rule."""
        cdef int64_t k, j, low, high, at, n = self.covector.n, rows = self.record.rows
        cdef double elapsed, h
        cdef const double* t = self.record.t
        cdef double* row
        cdef Outcome outcome
        memset(self.fine, 0, self.n_p * sizeof(double))
        for k in range(NODES):
            elapsed = middle + half * PLACE[k]
            low, high = 0, self.record.count - 1
            while low < high:
                at = (low + high) // 2
                if elapsed <= t[at + 1]:
                    high = at
                else:
                    low = at + 1
            h = t[low + 1] - t[low]
            blend(
                self.loop.method, (elapsed - t[low]) / h, h, self.record.x + low * n, self.record.k + low * rows * n, n,
                self.lambda_,
            )
            self.products.t = self.covector.time(elapsed)
            self.covector.curve.at(self.products.t, self.products.point)
            row = self.values + k * self.n_p
            outcome = self.products.multiply(self.lambda_, row)
            if outcome != DONE:
                return self.covector.pass_on(self.products, outcome)
            for j in range(self.n_p):
                self.fine[j] += KRONROD[k] * row[j]
        return DONE

    cdef bint agrees(self, double half) noexcept nogil:
        """Whether the two rules differ by no more than is tolerated."""
        cdef int64_t j
        cdef double coarse
        cdef const double* v = self.values
        cdef int64_t m = self.n_p
        for j in range(m):
            coarse = GAUSS[1] * v[m + j] + GAUSS[3] * v[3 * m + j] + GAUSS[5] * v[5 * m + j]
            if half * fabs(self.fine[j] - coarse) > self.rtol * half * fabs(self.fine[j]) + self.absolute[j]:
                return False
        return True


cdef class Backwards:
    """The backward solve, all of it.

    Parameters
    ----------
    loop : Explicit
        Of any method, from 0, one block; if there is a quadrature, with a record that keeps the stages.
    covector : Covector
        Its system.
    quadrature : Quadrature or None
        None: no gradient by p is wanted.
    power : float
        By which the mean error of a step, in units of the tolerance, counts once more (`estimate.accumulated`); 0: it does not.
    """

    def __init__(self, Explicit loop, Covector covector, Quadrature quadrature, double power):
        if loop.system is not covector or loop.blocks != 1 or loop.n_times:
            raise ValueError("the loop does not fit")
        self.loop, self.covector, self.quadrature, self.power = loop, covector, quadrature, power
        self.arriving = np.zeros(covector.n)
        self.lambda_ = floats(self.arriving)

    @property
    def error(self):
        """The estimated relative error of lambda."""
        return self.loop.rtol[0] * self.worst

    def run(self, double t0, double t1, times, cotangents):
        """Go back from the last datum to t0; the name of the `Outcome`. Exceptions of the right-hand side are raised.

        Parameters
        ----------
        t0, t1 : float
            Of the problem.
        times : (m,) array
            In the direction of the forward solve, each once.
        cotangents : (m, n) array
            By how much lambda jumps there; not at t0.
        """
        cdef Outcome outcome
        cdef int64_t m = len(times)
        times = np.ascontiguousarray(times, dtype=np.float64)
        cotangents = np.ascontiguousarray(cotangents, dtype=np.float64)
        if cotangents.shape != (m, self.covector.n):
            raise ValueError(f"cotangents have shape {cotangents.shape}, not {(m, self.covector.n)}")
        cdef double* at = floats(times)
        cdef double* given = floats(cotangents)
        with nogil:
            outcome = self.sweep(t0, t1, at, given, m)
        if outcome == RAISED:
            raise self.covector.error
        return _OUTCOMES[<int> outcome]

    cdef Outcome sweep(self, double t0, double t1, const double* times, const double* cotangents, int64_t m) noexcept nogil:
        cdef int64_t k, j, n = self.covector.n
        cdef bint any_left
        cdef double spacing
        cdef Outcome outcome
        for k in range(m - 1, -1, -1):
            if times[k] == t0:
                break
            any_left = False
            if self.jump is not None:
                outcome = self.pass_datum(k)
                if outcome != DONE:
                    return outcome
            for j in range(n):
                if self.jump is None:
                    self.lambda_[j] += cotangents[k * n + j]
                any_left = any_left or self.lambda_[j] != 0
            self.begins, self.ends = times[k], times[k - 1] if k else t0
            spacing = nextafter(fabs(self.begins), INFINITY) - fabs(self.begins)
            if not any_left or fabs(self.begins - self.ends) <= NO_TIME * spacing:  # jumps may cancel
                continue
            outcome = self.solve_part(self.loop, fabs(t1 - self.begins))
            if outcome != DONE:
                return outcome
        return DONE

    cdef Outcome pass_datum(self, int64_t number) noexcept with gil:
        """Let lambda jump; where there are constraints, a cotangent alone would not fulfil them."""
        try:
            self.arriving[:] = self.jump(number, self.arriving.copy())
        except BaseException as error:
            self.covector.error = error
            return RAISED
        return DONE

    cdef Outcome solve_part(self, Explicit loop, double origin) noexcept nogil:
        """Solve between two data, so long after the end of the problem."""
        cdef double sums
        cdef Outcome outcome
        self.covector.place(self.begins, self.ends)
        loop.origin = origin
        loop.restart(0, fabs(self.begins - self.ends), self.lambda_, NULL, 0, NULL)
        outcome = loop.start()
        if outcome == DONE:
            outcome = loop.advance()
        loop.tally(&self.njev, &self.nlu)
        self.nsteps += loop.nsteps
        if outcome != DONE:
            return outcome
        sums = loop.sums[0]
        self.worst += sums if self.power == 0 or sums == 0 else sums * pow(loop.rtol[0] * sums / loop.nsteps, self.power)
        memcpy(self.lambda_, loop.x, self.covector.n * sizeof(double))
        return DONE if self.quadrature is None else self.quadrature.add(origin)
