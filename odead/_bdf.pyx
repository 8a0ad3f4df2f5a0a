"""The loop of the backward differentiation formulas, of orders 1 to 5 and quasi-constant step size.

Formulas, step control and Newton iteration are those of SciPy's BDF (L. F. Shampine, M. W. Reichelt, The MATLAB ODE suite, SIAM
J. Sci. Comput. 18, 1997), so that the steps agree up to the tolerance of the iteration.

With a mass matrix, M x' = f, the formulas multiplied by M determine the new state: nothing but M d = c f - M psi changes.

Sensitivities are blocks of the state that follow the states, and are staggered: once the states of a step are accepted, the
equations of the sensitivities are linear, with the matrix I - c J at the new state, and are solved exactly, all with one
factorisation of n rows. That matrix then serves the Newton iteration of the next step, so well that two iterations are most
often enough: the second one, which finds that little changes, evaluates the sensitivities as well. The largest of the errors
of the states and of each sensitivity decides on the step, its size and the order. Sensitivities that only guard the steps of an
adjoint are solved to a part of their tolerances, by iteration with the factors that are there, where that costs less than new
ones; their values and J are those of one program.

Where the matrix is not factored, but solved with by iteration, each linear system is solved to a fraction of the tolerance of
the Newton iteration; one that does not converge shortens the step, as a Newton iteration does. Where that happens again and
again, the matrix is factored after all from there on.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport INFINITY, fabs, fmax, fmin, isfinite, nextafter, pow, sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from ._arrays cimport floats
from ._krylov cimport Krylov
from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._record cimport Record
from ._steppers cimport Combination, Explicit, Method, odead_all_finite, odead_combine, odead_norm
from ._system cimport DONE, FLIPPED, NOT_FINITE, RAISED, TOO_SMALL, Outcome, System

cnp.import_array()

cdef int MOST_ITERATIONS = 4
cdef double GUARDED = 1e-2   # of the tolerance of a sensitivity that guards
cdef double ROUNDING = 1e-12  # by which steps of the same size differ: a size is a difference of times
cdef double MIN_FACTOR = 0.2
cdef double MAX_FACTOR = 10
cdef double AT_ONCE = 1e-2  # of the tolerance of the iteration: of constraints, what rounding leaves need not shrink
cdef double NEGLIGIBLE = 0.1  # of that tolerance: a change that is left out, so that all was evaluated at the new state
cdef int64_t MOST_STALLS = 3     # of an iteration for linear systems, before the matrix is factored instead
cdef double LINEAR = 0.05    # tolerance of linear systems that are solved by iteration, against that of the Newton iteration


cdef class Formulas(Method):
    """Coefficients in the form that the loop reads.

    Parameters
    ----------
    formulas : BackwardFormulas
    """

    def __init__(self, formulas):
        cdef int64_t i, degree = formulas.interpolant.shape[1]
        self.stages, self.all_stages = MOST_ORDER, ROWS
        self.exponent = -0.5  # the first step is of order 1
        for i in range(MOST_ORDER + 1):
            self.gamma[i], self.alpha[i] = formulas.gamma[i], formulas.alpha[i]
            self.error_constant[i] = formulas.error_constant[i]
        self.interpolate_with(formulas.interpolant, [True] * MOST_ORDER, [False] * degree)


cdef void resizing(double factor, int64_t order, double[MOST_ORDER + 1][MOST_ORDER + 1] matrix) noexcept nogil:
    """The matrix that makes differences those of steps that are longer by `factor`: new D_j = sum_i matrix[i][j] D_i."""
    cdef double[MOST_ORDER + 1][MOST_ORDER + 1] by_factor
    cdef double[MOST_ORDER + 1][MOST_ORDER + 1] by_one
    cdef int64_t i, j, k, m = order + 1
    for j in range(m):
        by_factor[0][j] = by_one[0][j] = 1
    for i in range(1, m):
        by_factor[i][0] = by_one[i][0] = 0
        for j in range(1, m):
            by_factor[i][j] = by_factor[i - 1][j] * (i - 1 - factor * j) / i
            by_one[i][j] = by_one[i - 1][j] * (i - 1 - j) / i
    for i in range(m):
        for j in range(m):
            matrix[i][j] = 0
            for k in range(m):
                matrix[i][j] += by_factor[i][k] * by_one[k][j]


cdef class BDF(Explicit):
    """One solve by backward differentiation formulas.

    Parameters
    ----------
    system : System
        The states, then the sensitivities if there are any.
    states : System
        The states alone.
    linearised : Linearised
        Of `states`, or, without changes of J, of `system`.
    matrix : Matrix
        On its pattern.
    method, t0, t1, x0, rtol, atol, first_step, max_step, max_steps, times, record
        As in `Explicit`; a record has 0 or 5 rows.
    """

    def __init__(self, System system, System states, Linearised linearised, Matrix matrix, Formulas method, double t0,
                 double t1, x0, rtol, atol, first_step, double max_step, int64_t max_steps, times, Record record=None):
        Explicit.__init__(self, system, method, t0, t1, x0, rtol, atol, first_step, max_step, max_steps, times, record)
        if not states.n == linearised.n_x == matrix.n or self.n % states.n or matrix.entries != linearised.entries:
            raise ValueError("system, linearisation and matrix do not fit together")
        vectors = np.zeros((4, self.n))
        scaled = np.zeros((MOST_ORDER if record is not None and record.rows else 0, self.n))
        self.owners += (vectors, scaled)
        self.predicted, self.psi = floats(vectors), floats(vectors[1])
        self.correction, self.change, self.scaled = floats(vectors[2]), floats(vectors[3]), floats(scaled)
        if linearised.n != states.n and (linearised.n != self.n or linearised.n_saved != system.n_saved):
            raise ValueError("system and linearisation do not fit together")
        self.states, self.linearised, self.matrix = states, linearised, matrix
        self.is_together = linearised.n != states.n
        self.check_room(linearised.lanes * states.n)
        self.krylov = matrix if isinstance(matrix, Krylov) else None
        self.iterates = self.krylov is not None
        self.formulas, self.size, self.order = method, states.n, 1
        self.tolerance = fmax(10 * np.finfo(float).eps / self.rtol[0], fmin(0.03, sqrt(self.rtol[0])))

    cdef void restart(self, double t0, double t1, const double* x0, double* times, int64_t n_times,
                      double* out) noexcept nogil:
        Explicit.restart(self, t0, t1, x0, times, n_times, out)
        self.order, self.equal_steps, self.factored, self.rate = 1, 0, False, 0
        self.njev = self.nlu = self.stalls = 0
        if self.guards is not None:
            self.guards.forget()

    cdef void tally(self, int64_t* njev, int64_t* nlu) noexcept nogil:
        njev[0] += self.njev
        nlu[0] += self.nlu

    cdef Outcome start(self) noexcept nogil:
        cdef double* first = self.k + self.n
        cdef int64_t i
        cdef Outcome outcome
        self.order, self.equal_steps = 1, 0
        outcome = Explicit.start(self)
        if outcome != DONE or self.t == self.t_end:
            return outcome
        if self.slopes is not None:
            self.take_slopes()
        for i in range(self.n):
            first[i] = self.k[i] * self.h_abs * self.direction
        memcpy(self.k, self.x, self.n * sizeof(double))
        memset(self.k + 2 * self.n, 0, (ROWS - 2) * self.n * sizeof(double))
        return self.linearise(self.t, self.x)

    cdef void take_slopes(self) noexcept with gil:
        """Begin with the right derivatives of algebraic states, which no new state depends on, but the error estimate."""
        slopes = np.ascontiguousarray(self.slopes, dtype=np.float64)
        memcpy(self.k, floats(slopes), self.n * sizeof(double))

    cdef Outcome linearise(self, double t, const double* x) noexcept nogil:
        cdef Outcome outcome = self.linearised.at(t, x, self.change)
        self.njev += not (self.iterates and self.krylov.anywhere)
        self.factored = self.spoiled = False
        return outcome if outcome == DONE else self.system.pass_on(self.linearised, outcome)

    cdef bint prepare(self, double c) noexcept nogil:
        """Make the matrix I - c J, ready to be solved with; False if it is singular."""
        self.matrix.assemble(self.linearised.values, c)
        self.nlu += not self.iterates
        self.factored = self.matrix.factor()
        self.stalls += self.iterates and not self.factored
        self.factored_at = c
        if self.guards is not None and self.factored:
            self.guards.renew()
        return self.factored

    cdef Outcome solve(self, double* b, int64_t first, int64_t count) noexcept nogil:
        """Solve with the `count` rows of b, which belong to the blocks from `first`; NOT_FINITE if an iteration gives up."""
        cdef int64_t k, start
        cdef Outcome outcome
        if not self.iterates:
            self.matrix.solve(b, count)
            return DONE
        for k in range(first, first + count):
            start = k * self.size
            self.krylov.demand(self.predicted + start, self.rtol[k], self.atol + start, LINEAR * self.tolerance)
            outcome = self.krylov.approximate(b + (k - first) * self.size)
            if outcome == NOT_FINITE:
                self.stalls += 1
                return outcome
            if outcome != DONE:
                return self.system.pass_on(self.linearised, outcome)
        return DONE

    cdef Outcome factor_instead(self) noexcept with gil:
        """Give up iterating."""
        try:
            self.linearised, self.matrix = self.direct()
        except BaseException as error:
            self.system.error = error
            return RAISED
        self.iterates = False
        return DONE

    # ------------------------------------------------------------------------------------------------------ steps

    cdef Outcome step(self) noexcept nogil:
        cdef double smallest = 10 * fabs(nextafter(self.t, self.direction * INFINITY) - self.t)
        cdef double t_new, h, error, safety
        cdef int iterations
        cdef Outcome outcome
        h = fmax(fmin(self.h_abs, self.limit()), smallest)
        if h != self.h_abs:
            self.resize(h / self.h_abs)
            self.h_abs = h
        self.fresh = self.linearised.constant
        while True:
            if self.h_abs < smallest:
                return TOO_SMALL
            t_new = self.t + self.h_abs * self.direction
            if self.direction * (t_new - self.t_end) > 0:
                t_new = self.t_end
                self.resize(fabs(t_new - self.t) / self.h_abs)
                self.factored = False
            h = self.h = t_new - self.t
            self.h_abs = fabs(h)
            iterations = 0
            outcome = self.try_step(t_new, h, &iterations)
            if outcome != DONE:
                return outcome
            if not iterations:
                self.nrejected += 1
                self.resize(0.5)
                self.factored = False
                continue
            safety = 0.9 * (2 * MOST_ITERATIONS + 1) / (2 * MOST_ITERATIONS + iterations)
            error = self.worst(self.correction, self.formulas.error_constant[self.order], 1)
            if error <= 1 and self.blocks > 1:
                outcome = self.solve_sensitivities(t_new, h / self.formulas.alpha[self.order])
                if outcome == NOT_FINITE and self.iterates:  # a shorter step makes it converge, or is too short
                    self.nrejected += 1
                    self.resize(0.5)
                    self.factored = False
                    continue
                if outcome != DONE:
                    return outcome
                error = self.worst(self.correction, self.formulas.error_constant[self.order], self.blocks)
            if error <= 1 and self.kinks is not None:
                error = self.kinks.error_of_step(t_new, self.z, error)
            if error <= 1:
                break
            self.nrejected += 1
            error = safety * pow(error, -1.0 / (self.order + 1))
            self.resize(error if error > MIN_FACTOR else MIN_FACTOR)
        self.add_norms()
        self.update_differences()
        outcome = DONE if self.watch is None else self.look(t_new, h)
        if outcome == DONE and self.keys is not None and not self.keys.holds(t_new, self.z, self.f):
            outcome = FLIPPED
        if outcome == DONE:
            outcome = self.deliver(t_new, h)
        if outcome == DONE and self.record is not None:
            outcome = self.keep(t_new, h)
        if outcome != DONE:
            return outcome
        self.t = t_new
        self.nsteps += 1
        self.equal_steps += 1
        memcpy(self.x, self.z, self.n * sizeof(double))
        if self.equal_steps > self.order:
            self.choose_order(error, safety)
        return DONE

    cdef Outcome keep(self, double t_new, double h) noexcept nogil:
        """Append the step to the record."""
        cdef Outcome outcome
        self.scale_differences(h)
        outcome = self.record.add(t_new, self.z, self.scaled, self.n)
        self.record.order[self.record.count - 1] = <char> self.order
        return outcome

    def keep_last_step(self):
        if self.keep(self.t + self.h, self.h) != DONE:
            raise MemoryError("no memory for the steps of a solve")

    def last_step(self):
        """The state at the end of the step tried last, and its differences as the interpolant takes them."""
        cdef int64_t i, k
        cdef cnp.ndarray differences = np.zeros((MOST_ORDER, self.n))
        cdef double* row = floats(differences)
        end = np.empty(self.n)
        memcpy(cnp.PyArray_DATA(<cnp.ndarray> end), self.z, self.n * sizeof(double))
        for i in range(self.order):
            for k in range(self.n):
                row[i * self.n + k] = self.k[(1 + i) * self.n + k] / self.h
        return end, differences

    cdef void resize(self, double factor) noexcept nogil:
        """Make the differences those of steps that are longer by this factor."""
        cdef double[MOST_ORDER + 1][MOST_ORDER + 1] both
        cdef double weight[MOST_ORDER * MOST_ORDER]
        cdef int64_t i, j
        self.h_abs *= factor
        self.equal_steps = 0
        resizing(factor, self.order, both)
        for j in range(self.order):  # D_0 has no part in the others
            for i in range(self.order):
                weight[j * self.order + i] = both[i + 1][j + 1]
        odead_mix(self.n, self.order, weight, self.k + self.n, self.n)

    cdef Outcome try_step(self, double t_new, double h, int* iterations) noexcept nogil:
        """Find the new states; `iterations` stays 0 if they cannot be found."""
        cdef double alpha = self.formulas.alpha[self.order], c = h / alpha
        cdef double weights[MOST_ORDER]
        cdef double ones[MOST_ORDER]
        cdef int64_t index[MOST_ORDER]
        cdef int64_t j, n = self.n
        cdef bint anew = self.iterates and self.krylov.anywhere
        cdef Outcome outcome
        for j in range(self.order):
            weights[j], ones[j], index[j] = self.formulas.gamma[j + 1] / alpha, 1, j
        odead_combine(n, self.k, 1, <int> self.order, ones, index, self.k + n, n, self.predicted)
        memset(self.psi, 0, n * sizeof(double))
        odead_combine(n, self.psi, 1, <int> self.order, weights, index, self.k + n, n, self.psi)
        if self.stalls >= MOST_STALLS and self.iterates and self.direct is not None:
            outcome = self.factor_instead()
            if outcome != DONE:
                return outcome
            self.stalls = 0
            anew = True
        if anew or self.spoiled:
            outcome = self.linearise(t_new, self.predicted)
            if outcome != DONE:
                return outcome
            self.fresh = True
        while True:
            outcome = DONE
            if self.factored or self.prepare(c):
                outcome = self.iterate(t_new, c, iterations)
            if outcome != DONE or iterations[0] or self.fresh:
                return outcome
            outcome = self.linearise(t_new, self.predicted)
            if outcome != DONE:
                return outcome
            self.fresh = True

    cdef Outcome iterate(self, double t_new, double c, int* iterations) noexcept nogil:
        """Solve d = c f(t_new, predicted + d) - psi by simplified Newton iterations."""
        cdef int64_t j
        cdef int k
        cdef double norm, before = -1, rate = -1
        cdef bint at_once = False, together = self.blocks > 1 and self.matrix.mass is None
        cdef Outcome outcome
        self.evaluated = False
        memcpy(self.z, self.predicted, self.size * sizeof(double))
        memset(self.correction, 0, self.size * sizeof(double))
        for k in range(MOST_ITERATIONS):
            self.evaluated = together and before >= 0 and self.rate * before <= NEGLIGIBLE * self.tolerance
            if self.evaluated:
                outcome = self.evaluate_all(t_new)
                self.spoiled = self.is_together
            else:
                outcome = self.states.evaluate(t_new, self.z, self.w)
                if outcome != DONE:
                    return self.system.pass_on(self.states, outcome)
            if outcome != DONE:
                return outcome
            if not odead_all_finite(self.size, self.w):
                return DONE
            self.subtract_formula(c, self.w, self.psi, self.correction, 1, self.change)
            outcome = self.solve(self.change, 0, 1)
            if outcome != DONE:
                return DONE if outcome == NOT_FINITE else outcome
            norm = odead_norm(self.size, self.change, self.predicted, self.rtol[0], self.atol)
            if not isfinite(norm):
                return DONE
            if before >= 0:
                self.rate = rate = norm / before
                at_once = self.matrix.mass is not None and norm <= AT_ONCE * self.tolerance
                if not at_once and (rate >= 1 or pow(rate, MOST_ITERATIONS - k) / (1 - rate) * norm > self.tolerance):
                    return DONE
            if self.evaluated and rate < 1 and norm <= NEGLIGIBLE * self.tolerance:
                iterations[0] = k + 1  # all is known at the state before this change
                self.spoiled = False
                return DONE
            self.evaluated = False
            for j in range(self.size):
                self.z[j] += self.change[j]
                self.correction[j] += self.change[j]
            if norm == 0 or at_once or (before >= 0 and rate / (1 - rate) * norm < self.tolerance):
                iterations[0] = k + 1
                return DONE
            before = norm
        return DONE

    cdef void subtract_formula(self, double c, const double* slope, const double* psi, const double* d, int64_t count,
                               double* out) noexcept nogil:
        """Write c f - psi - d into the `count` rows of out, where the mass matrix, if there is one, multiplies psi + d."""
        cdef int64_t j
        if self.matrix.mass is None:
            for j in range(count * self.size):
                out[j] = c * slope[j] - psi[j] - d[j]
            return
        for j in range(count * self.size):
            out[j] = c * slope[j]
        self.matrix.mass.add_product(psi, -1, out, count)
        self.matrix.mass.add_product(d, -1, out, count)

    cdef Outcome evaluate_all(self, double t_new) noexcept nogil:
        """Evaluate the states and the sensitivities, these at their predictions, into w, and J if that comes with it."""
        cdef double* place = NULL
        cdef Outcome outcome
        memcpy(self.z + self.size, self.predicted + self.size, (self.n - self.size) * sizeof(double))
        if self.record is not None and self.system.n_saved:
            place = self.record.place()
        if self.is_together:
            self.njev += 1
            self.linearised.saved = place if place != NULL else self.linearised.scratch
            outcome = self.linearised.at(t_new, self.z, self.w)
            self.linearised.saved = self.linearised.scratch
            return outcome if outcome == DONE else self.system.pass_on(self.linearised, outcome)
        self.system.saved = place if place != NULL else self.system.scratch
        outcome = self.system.evaluate(t_new, self.z, self.w)
        self.system.saved = self.system.scratch
        return outcome

    cdef Outcome solve_sensitivities(self, double t_new, double c) noexcept nogil:
        """Solve d = c (J (s + d) + f_p e) - psi for each sensitivity, s predicted, at the new states."""
        cdef int64_t j, rest = self.n - self.size
        cdef double* d = self.correction + self.size
        cdef bint near = self.guards is not None and self.factored and self.guards.pays()
        cdef Outcome outcome = DONE
        if not self.evaluated:
            outcome = self.evaluate_all(t_new)
            if outcome != DONE:
                return outcome
        if self.is_together:
            self.factored = self.spoiled = False
        elif not self.linearised.constant:
            outcome = self.linearise(t_new, self.z)
            if outcome != DONE:
                return outcome
        if self.record is not None:
            self.record.save_matrix(self.linearised.values)
        memset(self.change, 0, self.n * sizeof(double))
        self.subtract_formula(c, self.w + self.size, self.psi + self.size, self.change, rest // self.size, d)
        outcome = self.solve_guards(d, c) if near else self.solve_exactly(d, 1, c)
        if outcome != DONE:
            return outcome
        for j in range(self.size, self.n):
            self.z[j] += self.correction[j]
        return DONE if odead_all_finite(rest, d) else NOT_FINITE

    cdef Outcome solve_exactly(self, double* b, int64_t first, double c) noexcept nogil:
        """Solve I - c J with the rows of b, which belong to the blocks from `first` on."""
        if not self.factored or fabs(self.factored_at - c) > ROUNDING * fabs(c):
            if not self.prepare(c):
                return NOT_FINITE
        return self.solve(b, first, self.blocks - first)

    cdef Outcome solve_guards(self, double* b, double c) noexcept nogil:
        """The same with factors that are close by, as far as these are good enough."""
        cdef int64_t k, start
        self.guards.assemble(self.linearised.values, c)
        self.guards.factor()
        for k in range(1, self.blocks):
            start = k * self.size
            self.guards.demand(self.predicted + start, self.rtol[k], self.atol + start, GUARDED)
            if self.guards.approximate(b + start - self.size) != DONE:
                return self.solve_exactly(b + start - self.size, k, c)
        self.factored = True  # they serve the states too
        return DONE

    cdef double worst(self, const double* row, double factor, int64_t blocks) noexcept nogil:
        """The largest norm of factor * row in the first blocks, on the scale of the new state."""
        cdef int64_t b
        cdef double largest = 0
        for b in range(blocks):
            self.norms[b] = fabs(factor) * odead_norm(
                self.size, row + b * self.size, self.z + b * self.size, self.rtol[b], self.atol + b * self.size
            )
            largest = fmax(largest, self.norms[b])
        return largest

    cdef void update_differences(self) noexcept nogil:
        cdef int64_t j, n = self.n
        cdef double* row = self.k + (self.order + 2) * n
        cdef double* newest = self.k + (self.order + 1) * n
        for j in range(n):
            row[j] = self.correction[j] - newest[j]
            newest[j] = self.correction[j]
        odead_running_sums(n, newest, self.order + 1, newest - n, -n)

    cdef void choose_order(self, double error, double safety) noexcept nogil:
        """Go to the order that allows the longest step, and to that step."""
        cdef double factors[3]
        cdef int64_t k, best = 0, order = self.order
        factors[0] = factors[2] = INFINITY
        if order > 1:
            factors[0] = self.worst(self.k + order * self.n, self.formulas.error_constant[order - 1], self.blocks)
        factors[1] = error
        if order < MOST_ORDER:
            factors[2] = self.worst(self.k + (order + 2) * self.n, self.formulas.error_constant[order + 1], self.blocks)
        for k in range(3):
            factors[k] = pow(factors[k], -1.0 / (order + k)) if factors[k] > 0 else INFINITY
            if factors[k] > factors[best]:
                best = k
        self.order += best - 1
        self.resize(fmin(MAX_FACTOR, safety * factors[best]))
        self.factored = False

    # ----------------------------------------------------------------------------------------------------- output

    cdef Outcome deliver(self, double t_new, double h) noexcept nogil:
        cdef double* row
        while self.delivered < self.n_times and self.direction * (self.times[self.delivered] - t_new) <= 0:
            row = self.out + self.delivered * self.n
            if self.times[self.delivered] == t_new:
                memcpy(row, self.z, self.n * sizeof(double))
            else:
                self.interpolate(self.times[self.delivered], h, row)
            self.delivered += 1
        return DONE

    cdef Outcome add_stages(self, double h) noexcept nogil:
        return DONE  # the differences are all that the interpolant needs

    cdef void interpolate(self, double t, double h, double* row) noexcept nogil:
        cdef Combination weights
        self.method.weigh((t - self.t) / h, &weights)
        odead_combine(self.n, self.x, 1, <int> self.order, weights.weight, weights.index, self.k + self.n, self.n, row)

    cdef void scale_differences(self, double h) noexcept nogil:
        cdef int64_t i
        if self.record.rows:
            for i in range(MOST_ORDER * self.n):
                self.scaled[i] = self.k[self.n + i] / h if i < self.order * self.n else 0
