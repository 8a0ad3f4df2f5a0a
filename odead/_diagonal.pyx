"""The diagonally implicit Runge-Kutta methods with an explicit first stage: Newton iterations, one stage after the other.

A step is (E. Hairer, G. Wanner, Solving Ordinary Differential Equations II, section IV.6)

    z_i = x + h sum_{j<=i} a_ij k_j,   k_i = f(t + c_i h, z_i),   new x = z_s,

with the same a_ii = gamma but in the first stage, which is the last one of the step before. The simplified Newton iteration for
z_i has the matrix I - h gamma J; what it finds is k_i = (z_i - known part) / (h gamma), not f(z_i): for a stiff component the
two differ by as much as the iteration left over, times its rate.

Sensitivities are blocks of the state that follow the states, and are staggered: once z_i is found, the equations of the
sensitivities are linear, with I - h gamma J(z_i), and are solved exactly. That matrix then serves the iteration of the next
stage. Sensitivities that only guard the steps of an adjoint are solved to a part of their tolerances, with the factors that
are there.

The way back transposes this. With the cotangents k_bar of k_i and z_bar of z_i, the equation of a stage gives
mu = (I - h gamma J(z_i)^T)^-1 (k_bar + h gamma z_bar), and the known part of z_i gets z_bar + J^T mu, p gets f_p^T mu: one
system and one reverse run for each stage. The systems are solved with the factors of a stage close by, to rounding, where
this costs less than a factorisation. The stages are taken for solutions of their equations.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport NAN, fmax, fmin, isfinite, pow, sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from ._adjoint cimport Adjoint
from ._arrays cimport floats
from ._implicit cimport ImplicitMethod, Step
from ._krylov cimport ByNeighbour
from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._record cimport Record
from ._steppers cimport Combination, compress, odead_combine, odead_norm
from ._system cimport DONE, NOT_FINITE, Cotangents, Outcome, System

cnp.import_array()

cdef int MOST_ITERATIONS = 7
cdef double GUARDED = 1e-2  # of the tolerance of a sensitivity that guards
cdef double ACCURACY = 1e-11  # of linear systems on the way back: the steps are transposed, not approximated
cdef double AT_ONCE = 1e-2  # of the tolerance: a first change so small needs no second one


cdef class DiagonalMethod(ImplicitMethod):
    """Coefficients in the form that the loop reads.

    Parameters
    ----------
    tableau : DiagonalTableau
    """

    def __init__(self, tableau):
        cdef int64_t i
        self.read(tableau)
        self.turn_round(1)
        self.solution = self.argument[self.stages - 1]
        for i in range(self.stages):
            compress(tableau.guess[i], &self.guess[i])


cdef class DiagonalStep(Step):
    """One step and what it needs.

    Parameters
    ----------
    system, matrix
        As in `Step`.
    states : System
        The right-hand side without sensitivities.
    linearised : Linearised
        Of `states`.
    method : DiagonalMethod
    rtol : float
    atol : (n,) array
        Of the states in the error test, part of which is the tolerance of the iteration.
    """

    def __init__(self, System system, System states, Linearised linearised, Matrix matrix, DiagonalMethod method, double rtol,
                 atol):
        Step.__init__(self, system, method, linearised, matrix)
        tolerances = np.array(atol[: states.n], dtype=np.float64)
        if linearised.n != states.n or tolerances.size != states.n:
            raise ValueError("states, linearisation and tolerances do not fit together")
        vectors = np.zeros((4, self.n))
        self.owner = (self.owner, vectors, tolerances)
        self.known, self.change, self.zero = floats(vectors), floats(vectors[1]), floats(vectors[2])
        self.found = floats(vectors[3])
        self.states, self.diagonal, self.size, self.point = states, method, states.n, NAN
        self.rtol, self.atol = rtol, floats(tolerances)
        self.tolerance = fmax(10 * np.finfo(float).eps / rtol, fmin(0.03, sqrt(rtol)))

    cdef void restart(self) noexcept nogil:
        Step.restart(self)
        self.point = NAN
        if self.guards is not None:
            self.guards.forget()

    def guard(self, ByNeighbour guards not None, rtol, atol):
        """Take the sensitivities for such as only guard the steps.

        Parameters
        ----------
        guards : ByNeighbour
            Of the matrix.
        rtol : (blocks,) array
        atol : (n,) array
            Of the error test.
        """
        if guards.factored is not self.matrix or len(rtol) != self.n // self.size or len(atol) != self.n:
            raise ValueError("the guards do not fit")
        self.guards = guards
        self.guards_rtol, self.guards_atol = np.array(rtol, dtype=np.float64), np.array(atol, dtype=np.float64)

    cdef bint factor(self, double h) noexcept nogil:
        if not Step.factor(self, h):
            return False
        if self.guards is not None:
            self.guards.renew()
        return True

    cdef Outcome begin(self, double t, const double* x) noexcept nogil:
        cdef bint known = self.point == t and self.t == self.t  # after a stop there is no t, and the state is another one
        self.t, self.x = t, x
        return DONE if known else self.linearise(t, x)

    cdef int64_t numbers(self):
        return (self.method.stages - 1) * Step.numbers(self)

    cdef void save(self) noexcept nogil:
        pass  # each stage does, when its linearisation is there

    cdef Outcome linearise(self, double t, const double* x) noexcept nogil:
        """Have the derivatives at (t, x); those that are the same everywhere are computed once."""
        cdef Outcome outcome
        if self.linearised.constant and self.njev:
            return DONE
        outcome = self.linearised.at(t, x, self.slope)
        if outcome != DONE:
            return self.system.pass_on(self.linearised, outcome)
        self.point = t
        self.njev += 1
        return DONE

    cdef Outcome compute_stages(self, double h) noexcept nogil:
        """Compute the stages after the first one, which is there."""
        cdef int64_t i
        cdef Outcome outcome = DONE
        self.failed = False
        for i in range(1, self.method.stages):
            outcome = self.solve_stage(i, h)
            if outcome != DONE or self.failed:
                return outcome
        return outcome

    cdef Outcome solve_stage(self, int64_t i, double h) noexcept nogil:
        cdef const Combination* argument = &self.method.argument[i]
        cdef const Combination* guess = &self.diagonal.guess[i]
        cdef double t = self.t + self.method.c[i] * h, c = h * self.method.gamma
        cdef double* stage = self.k + i * self.n
        cdef int64_t j
        cdef Outcome outcome
        odead_combine(self.n, self.zero, 1, guess.count, guess.weight, guess.index, self.k, self.n, stage)
        odead_combine(self.n, self.x, h, argument.count - 1, argument.weight, argument.index, self.k, self.n, self.known)
        for j in range(self.n):
            self.z[j] = self.known[j] + c * stage[j]
        outcome = self.iterate(t, c, stage)
        if outcome != DONE or self.failed or self.n == self.size:
            return outcome
        return self.solve_sensitivities(i, t, h, stage)

    cdef Outcome iterate(self, double t, double c, double* stage) noexcept nogil:
        """Solve z = known + c f(t, z) for the states, with stage = f; `failed` if it does not converge."""
        cdef int64_t j
        cdef int k
        cdef double norm, before = -1, rate = -1
        cdef Outcome outcome
        for k in range(MOST_ITERATIONS):
            outcome = self.states.evaluate(t, self.z, self.w)
            if outcome != DONE:
                return self.system.pass_on(self.states, outcome)
            for j in range(self.size):
                self.change[j] = self.known[j] + c * self.w[j] - self.z[j]
            self.matrix.solve(self.change, 1)
            norm = odead_norm(self.size, self.change, self.x, self.rtol, self.atol)
            self.failed = not isfinite(norm)
            if before >= 0:
                rate = norm / before
                if rate >= 1 or pow(rate, MOST_ITERATIONS - 1 - k) / (1 - rate) * norm > self.tolerance:
                    self.failed = norm > AT_ONCE * self.tolerance  # what rounding leaves need not shrink
            if self.failed:
                return DONE
            for j in range(self.size):
                self.z[j] += self.change[j]
                stage[j] += self.change[j] / c
            if self.linearised.constant or norm <= AT_ONCE * self.tolerance:
                return DONE  # it is linear in x, or near enough
            if 0 <= rate < 1 and rate / (1 - rate) * norm < self.tolerance:
                return DONE
            before = norm
        self.failed = True
        return DONE

    cdef Outcome solve_sensitivities(self, int64_t i, double t, double h, double* stage) noexcept nogil:
        """Solve s = known + c (J s + f_p e) for each sensitivity, at the states found."""
        cdef int64_t j
        cdef double c = h * self.method.gamma
        cdef Outcome outcome = self.system.evaluate(t, self.z, self.w)
        if outcome == DONE:
            outcome = self.linearise(t, self.z)
        if outcome != DONE:
            return outcome
        if self.record is not None and not self.linearised.constant:
            self.record.save_part(i - 1, self.linearised.values, self.linearised.lanes * self.size)
        for j in range(self.size, self.n):
            self.change[j] = self.known[j] + c * self.w[j] - self.z[j]
        self.failed = not self.solve_changes(h)
        if self.failed:
            return DONE
        for j in range(self.size, self.n):
            self.z[j] += self.change[j]
            stage[j] += self.change[j] / c
        return DONE

    cdef bint solve_changes(self, double h) noexcept nogil:
        """Solve for the changes of the sensitivities; False if the matrix is singular."""
        if not self.linearised.constant:
            if self.guards is not None and self.guards.pays() and self.solve_guards(h * self.method.gamma):
                return True
            if not self.factor(h):
                return False
        self.matrix.solve(self.change + self.size, (self.n - self.size) // self.size)
        return True

    cdef bint solve_guards(self, double c) noexcept nogil:
        """The same with the factors that are there; False, and no changes, if they are too far away."""
        cdef int64_t b, start
        self.guards.assemble(self.linearised.values, c)
        self.guards.factor()
        memcpy(self.found, self.change, self.n * sizeof(double))
        for b in range(1, self.n // self.size):
            start = b * self.size
            self.guards.demand(self.z + start, self.guards_rtol[b], &self.guards_atol[start], GUARDED)
            if self.guards.approximate(self.found + start) != DONE:
                return False
        memcpy(self.change, self.found, self.n * sizeof(double))
        return True


cdef class DiagonalAdjoint(Adjoint):
    """The backward sweep over the steps of a record.

    Parameters
    ----------
    step : DiagonalStep
        Computes again what the record has not; without sensitivities.
    record : Record
        Of the states, and of the stages of each step; without stages, they are computed again.
    cotangents : Cotangents
        Of the right-hand side.
    """

    def __init__(self, DiagonalStep step, Record record, Cotangents cotangents):
        Adjoint.__init__(self, step.method, record, step.system, cotangents)
        self.step = step
        step.k = self.k

    cdef void restart(self) noexcept nogil:
        self.step.restart()
        if self.neighbour is not None:
            self.neighbour.forget()

    cdef void tally(self, int64_t* njev, int64_t* nlu) noexcept nogil:
        njev[0] += self.step.njev
        nlu[0] += self.step.nlu

    cdef Outcome restore(self, int64_t number, int64_t stop) noexcept nogil:
        """Have all stages of the step in k: the last one is part of the new state."""
        cdef int64_t at = number - self.first
        cdef double t = self.record.t[number], h = self.record.t[number + 1] - t
        cdef const double* x = self.states + at * self.n
        cdef Outcome outcome
        if self.rows:
            self.taken = self.slopes + at * self.rows * self.n
            return DONE
        self.taken = self.k
        memcpy(self.z, x, self.n * sizeof(double))
        outcome = self.system.evaluate(t, self.z, self.k)
        if outcome == DONE:
            outcome = self.step.begin(t, x)
        if outcome == DONE and not self.step.factor(h):
            return NOT_FINITE
        if outcome == DONE:
            outcome = self.step.compute_stages(h)
        return NOT_FINITE if outcome == DONE and self.step.failed else outcome

    cdef Outcome pull_stage(self, int64_t i, double t, double h, const double* x, double* z_bar) noexcept nogil:
        cdef const Combination* argument = &self.method.argument[i]
        cdef double time = t + self.method.c[i] * h, c = h * self.step.method.gamma
        cdef int64_t j
        cdef Outcome outcome
        odead_combine(self.n, x, h, argument.count, argument.weight, argument.index, self.taken, self.n, self.z)
        outcome = self.linearise(i, time)
        if outcome != DONE:
            return outcome
        for j in range(self.n):
            self.covector[j] += c * z_bar[j]
        if not self.solve(h):
            return NOT_FINITE
        return self.cotangents.pull(time, self.z, self.covector, z_bar)

    cdef Outcome linearise(self, int64_t i, double t) noexcept nogil:
        """Have the derivatives at the argument of a stage."""
        cdef int64_t size = self.step.linearised.lanes * self.n
        if self.step.linearised.constant or not self.rows:
            return self.step.linearise(t, self.z)
        if not self.record.load_part(self.number, i - 1, self.step.linearised.values, size):
            return self.step.linearise(t, self.z)
        self.step.point = NAN
        return DONE

    cdef bint solve(self, double h) noexcept nogil:
        """Solve the transposed system of a stage with the covector; False if its matrix is singular."""
        if self.neighbour is not None and not self.step.linearised.constant and self.neighbour.pays():
            self.neighbour.assemble(self.step.linearised.values, h * self.step.method.gamma)
            self.neighbour.factor()
            self.neighbour.demand_of_cotangents(self.z, self.covector, ACCURACY)
            if self.neighbour.approximate(self.covector) == DONE:
                return True
        if not self.step.factor(h):
            return False
        if self.neighbour is not None:
            self.neighbour.renew()
        self.step.matrix.solve_transposed(self.covector, 1)
        return True
