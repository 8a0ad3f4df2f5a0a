"""The Rosenbrock methods: one linearisation and one factorisation for all stages of a step, no iteration.

With stages k_i that are already multiplied by the method's matrix Gamma, so that none needs a product with J, a step is
(E. Hairer, G. Wanner, Solving Ordinary Differential Equations II, section IV.7)

    (I - h gamma J) k_i = gamma (f(t + c_i h, x + h sum_j a_ij k_j) + sum_j C_ij k_j + h d_i df/dt),
    new x = x + h sum_j m_j k_j.

With a mass matrix, M x' = f, which may be singular where the index is 1, M takes the place of I and multiplies the sums with
C_ij (section VI.2; G. Steinebach, Construction of Rosenbrock-Wanner method Rodas5P and numerical benchmarks within the Julia
Differential Equations package, BIT 63, 2023): nothing else changes.

Sensitivities are blocks of the state that follow the states. The method is applied to all of them as one system, with its
exact Jacobian: I - h gamma J along the diagonal, and below the first block how J s + f_p e changes with x, so that one
factorisation of n rows serves all. A Rosenbrock method commutes with differentiation: what comes out are the derivatives of
the computed states by the parameters, steps held.

The way back transposes this line by line. J and df/dt themselves depend on x and p; with the cotangents mu_i of the brackets
above, that adds to the cotangents of x and p the gradient of sum_i h mu_i^T (J k_i + d_i df/dt). Here J k_i + d_i df/dt is a
tangent of f, so one reverse run of the program with all stages as tangents gives it, whatever n and n_p. Where J has fewer
groups of columns than there are stages, the tangents are those of the groups instead: the cotangent of the entry (r, c) of J
is sum_i h mu_i[r] k_i[c].
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from ._adjoint cimport Adjoint
from ._arrays cimport floats, integers
from ._core cimport Tape
from ._implicit cimport ImplicitMethod, Step
from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._record cimport Record
from ._steppers cimport Combination, compress, odead_combine, odead_spread
from ._system cimport DONE, NOT_FINITE, Cotangents, Outcome, Recorded, System

cnp.import_array()

cdef int64_t FEW = 64  # states


cdef class RosenbrockMethod(ImplicitMethod):
    """Coefficients in the form that the loop reads.

    Parameters
    ----------
    tableau : RosenbrockTableau
    """

    def __init__(self, tableau):
        cdef int64_t i
        self.read(tableau)
        compress(tableau.m, &self.solution)
        for i in range(self.stages):
            self.d[i] = tableau.d[i]
            compress(tableau.shift[i], &self.shift[i])

    @property
    def weights_of_time(self):
        """The weights d of h df/dt, shape (stages,)."""
        return np.array([self.d[i] for i in range(self.stages)])


cdef class RosenbrockStep(Step):
    """One step and what it needs.

    Parameters
    ----------
    system, matrix
        As in `Step`.
    method : RosenbrockMethod
    linearised : Linearised
        With the sensitivities of `system`.
    """

    def __init__(self, System system, RosenbrockMethod method, Linearised linearised, Matrix matrix):
        Step.__init__(self, system, method, linearised, matrix)
        if linearised.n != system.n:
            raise ValueError("system and linearisation do not fit together")
        self.rosenbrock = method

    cdef Outcome compute_stages(self, double h) noexcept nogil:
        cdef int64_t i
        cdef const Combination* argument
        cdef Outcome outcome
        self.complete_stage(0, h, self.slope)
        for i in range(1, self.method.stages):
            argument = &self.method.argument[i]
            odead_combine(self.n, self.x, h, argument.count, argument.weight, argument.index, self.k, self.n, self.z)
            if self.place != NULL:
                self.system.saved = self.place + (i - 1) * self.system.n_saved
            outcome = self.system.evaluate(self.t + self.method.c[i] * h, self.z, self.w)
            if outcome != DONE:
                return outcome
            self.complete_stage(i, h, self.w)
        return DONE

    cdef void complete_stage(self, int64_t i, double h, const double* slope) noexcept nogil:
        """Solve the equations of stage i, the states' first: the others have them on their right-hand side."""
        cdef const Combination* shift = &self.rosenbrock.shift[i]
        cdef double* stage = self.k + i * self.n
        cdef const double* by_time
        cdef double gamma = self.method.gamma, weight = h * self.rosenbrock.d[i]
        cdef int64_t size = self.linearised.n_x, block, j
        self.add_sum(slope, 1, shift, stage)
        if self.linearised.timed and weight != 0:
            for block in range(1 + self.linearised.width):
                by_time = self.linearised.slope_in_time(block)
                for j in range(size):
                    stage[block * size + j] += weight * by_time[j]
        for j in range(self.n):
            stage[j] *= gamma
        if not self.linearised.changing:
            self.matrix.solve(stage, 1 + self.linearised.width)
        else:
            self.matrix.solve(stage, 1)
            self.linearised.add_changes(stage, gamma * h, stage + size)
            self.matrix.solve(stage + size, self.linearised.width)


# --------------------------------------------------------------------------------------------------------- adjoint


cdef class StepCotangents(Recorded):
    """Cotangents of all that a step takes from its start: f, and the tangents J k_i + d_i df/dt of all stages.

    Parameters
    ----------
    tape : Tape
        Of the reverse program of the one with tangents, of all stages or of all groups of columns of J: binds x, p (unless it
        is empty), t, the tangents of x, those of t if `timed`, then the shadows of dx, x, p (unless it is empty) and of the
        tangents of dx.
    n, find
        As in `Recorded`.
    cotangents : Cotangents
        Has p, and takes the cotangent of p.
    weights : (stages,) array
        Of df/dt.
    timed : bool
    find
        As in `Recorded`.
    groups : tuple of array, optional
        Where the tangents are those of groups of columns: the seeds of these, shape (groups, n), and rows, columns and source
        of the entries as in `Linearised`.
    """

    def __init__(self, Tape tape, int64_t n, Cotangents cotangents, weights, bint timed, find=None, groups=None):
        cdef int64_t slot
        self.n = self.n_x = n
        self.timed = timed
        self.p, self.shadow_p, self.find = cotangents.p, cotangents.shadow_p, find
        self.weights = np.array(weights, dtype=np.float64)
        self.tangents_of_t, self.stages, self.weight = self.weights, len(self.weights), floats(self.weights)
        if groups is not None:
            self._take_groups(groups)
        slot = self._bind_p_and_t(1)
        self.slot_d_x_lanes = slot
        slot += 1
        if timed:
            self._assign(slot, self.tangents_of_t)
            slot += 1
        self.slot_d_dx, self.slot_d_x = slot, slot + 1
        slot += 2
        if self.n_p:
            self._assign(slot, self.shadow_p)
            slot += 1
        self.slot_products = slot
        self._complete(tape, slot + 1)

    cdef int _take_groups(self, tuple groups) except -1:
        """Have tangents of x along the groups of columns, then one of t if there is need of it."""
        seeds, rows, columns, source = groups
        tangents = np.zeros((len(seeds) + self.timed, self.n_x))
        tangents[: len(seeds)] = seeds
        products = np.zeros_like(tangents)
        self.tangents_of_t = np.zeros(len(tangents))
        self.tangents_of_t[len(seeds) :] = 1
        self.owners = (tangents, products, rows, columns, source)
        self.tangents, self.products, self.lanes, self.entries = floats(tangents), floats(products), len(tangents), len(rows)
        self.row, self.column, self.position = integers(rows), integers(columns), integers(source)
        return 0

    cdef void gather(self, const double* k, const double* products) noexcept nogil:
        """From the cotangents of the products with k to those of the products with the groups of columns."""
        cdef int64_t e, i, j, n = self.n_x
        cdef const double* at_row
        cdef const double* at_column
        cdef double* row
        cdef double total
        for e in range(self.entries):
            at_row, at_column, total = products + self.row[e], k + self.column[e], 0
            for i in range(self.stages):
                total += at_row[i * n] * at_column[i * n]
            self.products[self.position[e]] = total
        if self.timed:
            row = self.products + (self.lanes - 1) * n
            memset(row, 0, n * sizeof(double))
            for i in range(self.stages):
                for j in range(n):
                    row[j] += self.weight[i] * products[i * n + j]

    cdef Outcome pull(self, double t, const double* x, const double* k, double* covector, double* products,
                      double* x_bar) noexcept nogil:
        """Add to x_bar, and to the cotangent of p, what these of f and of the products with k make; they are used up."""
        cdef Outcome outcome
        if self.products != NULL:
            self.gather(k, products)
            k, products = self.tangents, self.products
        self.t = t
        self._place(self.slot_x, x)
        self._place(self.slot_d_x_lanes, k)
        self._place(self.slot_d_dx, covector)
        self._place(self.slot_d_x, x_bar)
        self._place(self.slot_products, products)
        outcome = self._run()
        return outcome if outcome != DONE else self.count()


cdef class RosenbrockAdjoint(Adjoint):
    """The backward sweep over the steps of a record.

    Parameters
    ----------
    step : RosenbrockStep
        Computes again what the record has not; without sensitivities.
    record : Record
        Of the states, and of the stages of each step; without stages, they are computed again.
    cotangents : Cotangents
        Of the right-hand side.
    joint : StepCotangents
    """

    def __init__(self, RosenbrockStep step, Record record, Cotangents cotangents, StepCotangents joint):
        Adjoint.__init__(self, step.method, record, step.system, cotangents)
        mu = np.zeros((step.method.stages, self.n))
        self.owners += (mu,)
        self.mu = floats(mu)
        self.step, self.joint = step, joint
        step.k = self.k

    cdef void restart(self) noexcept nogil:
        self.step.restart()

    cdef void tally(self, int64_t* njev, int64_t* nlu) noexcept nogil:
        njev[0] += self.step.njev
        nlu[0] += self.step.nlu

    cdef Outcome step_back(self, int64_t number, const double* times, const double* y_bar, int64_t* last) noexcept nogil:
        cdef const double* x = self.states + (number - self.first) * self.n
        cdef double t = self.record.t[number], h = self.record.t[number + 1] - t
        cdef const Combination* weights = &self.method.solution
        cdef double* covector
        cdef int64_t i, j, size = self.n * sizeof(double)
        cdef Outcome outcome
        self.number = number
        memset(self.k_bar, 0, self.method.stages * size)
        memset(self.sum_bar, 0, size)
        self.take_outputs(t, h, times, y_bar, last)
        odead_spread(self.n, self.x_bar, h, weights.count, weights.weight, weights.index, self.k_bar, self.n)
        for j in range(self.n):
            self.sum_bar[j] += self.x_bar[j]
        outcome = self.restore(number, self.method.stages)
        for i in range(self.method.stages - 1, -1, -1):
            if outcome != DONE:
                return outcome
            covector = self.mu + i * self.n
            memcpy(covector, self.k_bar + i * self.n, size)
            self.step.matrix.solve_transposed(covector, 1)
            for j in range(self.n):
                covector[j] *= self.step.method.gamma
            self.spread_shift(i, covector)
            if i:
                weights = &self.method.argument[i]
                memcpy(self.covector, covector, size)  # the cotangent of f there
                memset(self.z_bar, 0, size)
                outcome = self.pull_stage(i, t, h, x, self.z_bar)
                for j in range(self.n):
                    self.sum_bar[j] += self.z_bar[j]
                odead_spread(self.n, self.z_bar, h, weights.count, weights.weight, weights.index, self.k_bar, self.n)
        memcpy(self.covector, self.mu, size)
        for j in range(self.method.stages * self.n):
            self.mu[j] *= h
        if outcome == DONE:
            outcome = self.joint.pull(t, x, self.taken, self.covector, self.mu, self.sum_bar)
            if outcome != DONE:
                self.step.system.pass_on(self.joint, outcome)
        memcpy(self.x_bar, self.sum_bar, size)
        return outcome

    cdef void spread_shift(self, int64_t i, const double* covector) noexcept nogil:
        """Carry the cotangent of the right-hand side of stage i to the stages before, of which it has a sum."""
        cdef const Combination* weights = &self.step.rosenbrock.shift[i]
        if self.step.matrix.mass is not None:
            memset(self.z_bar, 0, self.n * sizeof(double))
            self.step.matrix.mass.add_transposed_product(covector, 1, self.z_bar, 1)
            covector = self.z_bar
        odead_spread(self.n, covector, 1, weights.count, weights.weight, weights.index, self.k_bar, self.n)

    cdef Outcome restore(self, int64_t number, int64_t stop) noexcept nogil:
        """Have all stages of the step in k, and its matrix factored."""
        cdef int64_t at = number - self.first
        cdef double t = self.record.t[number], h = self.record.t[number + 1] - t
        cdef Outcome outcome
        if not self.rows or not self.record.load_matrix(number, self.step.linearised.values):
            outcome = self.step.begin(t, self.states + at * self.n)
            if outcome != DONE:
                return outcome
        if not self.step.factor(h):
            return NOT_FINITE
        self.taken = self.k
        if self.rows:
            if self.n > FEW:
                self.taken = self.slopes + at * self.rows * self.n
            else:  # binding another address costs more than a copy
                memcpy(self.k, self.slopes + at * self.rows * self.n, stop * self.n * sizeof(double))
            return DONE
        return self.step.compute_stages(h)
