"""What the implicit one-step methods share: a step behind C methods, and the loop over steps."""

import numpy as np

cimport numpy as cnp
from libc.math cimport NAN, fabs, fmax, fmin
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from ._arrays cimport floats
from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._record cimport Record
from ._steppers cimport MOST_DEGREES, MOST_STAGES, Combination, Explicit, Method, compress, odead_combine, odead_norm
from ._system cimport DONE, Outcome, System

cnp.import_array()

cdef double ROUNDING = 1e-12  # by which steps of the same size differ: a size is a difference of times
cdef double CALM = 2  # below this an eigenvalue times h is no limit for Tsit5


cdef class ImplicitMethod(Method):
    """Coefficients in the form that the loop reads. Subclasses are made from tableaus."""

    cdef int read(self, tableau) except -1:
        """Take from a tableau what all have."""
        cdef int64_t i, j, degree = tableau.interpolant.shape[1]
        self.stages = self.all_stages = tableau.stages
        if self.stages > MOST_STAGES or degree > MOST_DEGREES:
            raise ValueError(f"{tableau.name} has too many stages, or an interpolant of too high a degree")
        self.gamma, self.exponent, self.n_errors = tableau.gamma, -1 / (tableau.error_order + 1), 1
        compress(tableau.error, &self.error[0])
        for i in range(self.stages):
            self.c[i] = tableau.c[i]
            compress(tableau.a[i], &self.argument[i])
            self.middle_slope[i] = 0
            for j in range(degree):
                self.middle_slope[i] += (j + 1) * 0.5 ** j * <double> tableau.interpolant[i, j]
        self.interpolate_with(tableau.interpolant, [True] * self.stages, [False] * degree)
        return 0


cdef class Step:
    """One step and what it needs.

    Parameters
    ----------
    system : System
    method : ImplicitMethod
    linearised : Linearised
        Of the same right-hand side.
    matrix : Matrix
        On its pattern.
    """

    def __init__(self, System system, ImplicitMethod method, Linearised linearised, Matrix matrix):
        if matrix.n != linearised.n_x or matrix.entries != linearised.entries or system.n % matrix.n:
            raise ValueError("system, linearisation and matrix do not fit together")
        self.system, self.method, self.linearised, self.matrix, self.n = system, method, linearised, matrix, system.n
        vectors = np.zeros((4, self.n))
        self.owner = vectors
        self.slope = floats(vectors)
        self.z, self.w, self.sum = self.slope + self.n, self.slope + 2 * self.n, self.slope + 3 * self.n
        self.t = self.factored_at = NAN

    cdef void restart(self) noexcept nogil:
        """Forget the steps before."""
        self.t, self.factored_at, self.njev, self.nlu = NAN, NAN, 0, 0

    cdef Outcome begin(self, double t, const double* x) noexcept nogil:
        """Linearise at (t, x), unless that was done last time."""
        cdef Outcome outcome
        self.x = x
        if self.t == t:
            return DONE
        outcome = self.linearised.at(t, x, self.slope)
        if outcome != DONE:
            return self.system.pass_on(self.linearised, outcome)
        self.t = t
        self.njev += 1
        return DONE

    cdef bint factor(self, double h) noexcept nogil:
        """Factor the matrix of the stages' equations, unless that was done last time; False if it is singular."""
        if self.linearised.constant and fabs(h - self.factored_at) <= ROUNDING * fabs(h):
            return True
        self.matrix.assemble(self.linearised.values, h * self.method.gamma)
        self.nlu += 1
        self.factored_at = NAN
        if not self.matrix.factor():
            return False
        self.factored_at = h
        return True

    cdef int64_t numbers(self):
        """How many the linearisations of a step have."""
        return self.linearised.lanes * self.linearised.n_x

    cdef void save(self) noexcept nogil:
        """Have what belongs to the start of a step saved for the way back, and a place for what its stages save."""
        self.record.save_matrix(self.linearised.values)
        if self.system.n_saved:
            self.place = self.record.place()

    cdef Outcome compute_stages(self, double h) noexcept nogil:
        """Compute the stages of a step of size h, or set `failed`."""
        return DONE

    cdef void add_sum(self, const double* start, double factor, const Combination* weights, double* out) noexcept nogil:
        """Write start + factor * (sum of stages, times the mass matrix if there is one) into out."""
        if self.matrix.mass is None:
            odead_combine(self.n, start, factor, weights.count, weights.weight, weights.index, self.k, self.n, out)
            return
        memset(self.sum, 0, self.n * sizeof(double))
        odead_combine(self.n, self.sum, factor, weights.count, weights.weight, weights.index, self.k, self.n, self.sum)
        memcpy(out, start, self.n * sizeof(double))
        self.matrix.mass.add_product(self.sum, 1, out, self.n // self.matrix.n)

    cdef Outcome interpolant_error(self, double h, double* error) noexcept nogil:
        """Estimate the error of the interpolant in the middle of the step.

        Where stiff components only follow, the ends of a step are far more accurate than its inside, and the error estimate
        says nothing about that: on Prothero and Robinson's problem with rate 1e6 and tolerance 1e-6 the interpolant was wrong
        by 3e-3. A component with rate r has the residual r e where the interpolant is off by e; h gamma (I - h gamma J)^-1
        makes e of it where h r is large, and where h r is small the integral of the residual over a part of the step.
        """
        cdef Combination weights
        cdef int64_t i, j
        cdef double gamma = self.method.gamma
        cdef Outcome outcome
        self.method.weigh(0.5, &weights)
        odead_combine(self.n, self.x, h, weights.count, weights.weight, weights.index, self.k, self.n, self.z)
        outcome = self.system.evaluate(self.t + 0.5 * h, self.z, self.w)
        if outcome != DONE:
            return outcome
        for i in range(weights.count):
            weights.weight[i] = self.method.middle_slope[weights.index[i]]
        self.add_sum(self.w, -1, &weights, error)
        for j in range(self.n):
            error[j] *= h * gamma
        self.matrix.solve(error, self.n // self.matrix.n)
        return DONE


cdef class Implicit(Explicit):
    """One solve by an implicit one-step method.

    Parameters
    ----------
    step : Step
        Whose system is solved.
    t0, t1, x0, rtol, atol, first_step, max_step, max_steps, times, record
        As in `Explicit`.
    """

    def __init__(self, Step step, double t0, double t1, x0, rtol, atol, first_step, double max_step, int64_t max_steps, times,
                 Record record=None):
        Explicit.__init__(
            self, step.system, step.method, t0, t1, x0, rtol, atol, first_step, max_step, max_steps, times, record
        )
        residual, sums = np.zeros(self.n), np.zeros((2, step.matrix.n))
        self.owners += (residual, sums)
        self.residual, self.row_sums = floats(residual), floats(sums)
        self.attempted = step
        step.k, step.record = self.k, record
        self.check_room(step.numbers())

    cdef void restart(self, double t0, double t1, const double* x0, double* times, int64_t n_times,
                      double* out) noexcept nogil:
        Explicit.restart(self, t0, t1, x0, times, n_times, out)
        self.attempted.restart()

    cdef void tally(self, int64_t* njev, int64_t* nlu) noexcept nogil:
        njev[0] += self.attempted.njev
        nlu[0] += self.attempted.nlu

    cdef Outcome start(self) noexcept nogil:
        self.attempted.t = NAN  # at a stop, the state is another one at the same time
        return Explicit.start(self)

    cdef Outcome attempt(self, double h) noexcept nogil:
        cdef const Combination* solution = &self.method.solution
        cdef Outcome outcome = self.attempted.begin(self.t, self.x)
        if outcome != DONE:
            return outcome
        self.failed = not self.attempted.factor(h)
        if self.failed:
            return DONE
        self.attempted.place = NULL
        if self.record is not None and self.record.n_saved:
            self.attempted.save()
        outcome = self.attempted.compute_stages(h)
        self.system.saved = self.system.scratch
        self.failed = self.attempted.failed
        if outcome != DONE or self.failed:
            return outcome
        odead_combine(self.n, self.x, h, solution.count, solution.weight, solution.index, self.k, self.n, self.z)
        self.looks_inside = self.interpolates(self.t + h) and Explicit.error_norm(self, h) < 1
        return self.attempted.interpolant_error(h, self.residual) if self.looks_inside else DONE

    cdef bint interpolates(self, double t_new) noexcept nogil:
        """Whether the solution is wanted between the ends of the step; what is watched is looked for there."""
        if self.watch is not None or (self.record is not None and self.record.interpolated):
            return True
        return self.delivered < self.n_times and self.direction * (self.times[self.delivered] - t_new) < 0

    cdef double error_norm(self, double h) noexcept nogil:
        cdef int64_t size = self.n // self.blocks, block, start
        cdef double norm
        if self.failed:
            return NAN
        norm = Explicit.error_norm(self, h)
        if self.looks_inside:
            for block in range(self.blocks):
                start = block * size
                norm = fmax(norm, odead_norm(size, self.residual + start, self.z + start, self.rtol[block], self.atol + start))
        return norm

    cdef Outcome look_for_sign(self, double t_new, double h, bint* sign) noexcept nogil:
        """Whether steps of this size are stable for an explicit method too: norms of J bound its eigenvalues."""
        cdef int64_t e, j, n = self.attempted.linearised.n_x
        cdef const double* values = self.attempted.linearised.values
        cdef const int64_t* at = self.attempted.linearised.position
        cdef const int64_t* row = self.attempted.linearised.row
        cdef const int64_t* column = self.attempted.linearised.column
        cdef double* column_sums = self.row_sums + n
        cdef double size, by_rows = 0, by_columns = 0
        memset(self.row_sums, 0, 2 * n * sizeof(double))
        for e in range(self.attempted.linearised.entries):
            size = fabs(values[at[e]])
            self.row_sums[row[e]] += size
            column_sums[column[e]] += size
        for j in range(n):
            by_rows, by_columns = fmax(by_rows, self.row_sums[j]), fmax(by_columns, column_sums[j])
        sign[0] = fabs(h) * fmin(by_rows, by_columns) < CALM
        return DONE
