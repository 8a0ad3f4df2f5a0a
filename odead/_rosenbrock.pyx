"""The loop of the Rosenbrock methods: one linearisation and one factorisation for all stages of a step, no iteration.

With stages k_i that are already multiplied by the inverse of the method's matrix Gamma, so that none needs a product with J,
a step is (E. Hairer, G. Wanner, Solving Ordinary Differential Equations II, section IV.7)

    (I - h gamma J) k_i = gamma (f(t + c_i h, x + h sum_j a_ij k_j) + sum_j C_ij k_j + h d_i df/dt),
    new x = x + h sum_j m_j k_j.

Sensitivities are blocks of the state that follow the states. The method is applied to all of them as one system, with its
exact Jacobian: I - h gamma J along the diagonal, and below the first block how J s + f_p e changes with x, so that one
factorisation of n rows serves all. A Rosenbrock method commutes with differentiation: what comes out are the derivatives of
the computed states by the parameters, steps held.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport NAN, fmax
from libc.stdint cimport int64_t

from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._steppers cimport MOST_DEGREES, MOST_STAGES, Combination, Explicit, Method, Record, compress, odead_combine, odead_norm
from ._system cimport DONE, Outcome, System

cnp.import_array()


cdef class RosenbrockMethod(Method):
    """Coefficients in the form that the loop reads.

    Parameters
    ----------
    tableau : RosenbrockTableau
    """

    def __init__(self, tableau):
        cdef int64_t i, j
        self.stages = self.all_stages = tableau.stages
        self.degree = tableau.interpolant.shape[1]
        if self.stages > MOST_STAGES or self.degree > MOST_DEGREES:
            raise ValueError(f"{tableau.name} has too many stages, or an interpolant of too high a degree")
        self.gamma, self.exponent, self.n_errors = tableau.gamma, -1 / (tableau.error_order + 1), 1
        compress(tableau.m, &self.solution)
        compress(tableau.error, &self.error[0])
        for i in range(self.stages):
            self.c[i], self.d[i], self.used[i] = tableau.c[i], tableau.d[i], True
            compress(tableau.a[i], &self.argument[i])
            compress(tableau.shift[i], &self.shift[i])
            self.middle_slope[i] = 0
            for j in range(self.degree):
                self.interpolant[i][j] = tableau.interpolant[i, j]
                self.middle_slope[i] += (j + 1) * 0.5 ** j * self.interpolant[i][j]
        for j in range(self.degree):
            self.flip[j] = False


cdef class Rosenbrock(Explicit):
    """One solve by a Rosenbrock method.

    Parameters
    ----------
    system, method, t0, t1, x0, rtol, atol, first_step, max_step, max_steps, times, record
        As in `Explicit`.
    linearised : Linearised
        Of the same right-hand side, with the sensitivities of `system`.
    matrix : Matrix
        On its pattern.
    """

    def __init__(self, System system, RosenbrockMethod method, double t0, double t1, x0, rtol, atol, first_step,
                 double max_step, int64_t max_steps, times, Linearised linearised, Matrix matrix, Record record=None):
        Explicit.__init__(self, system, method, t0, t1, x0, rtol, atol, first_step, max_step, max_steps, times, record)
        if linearised.n != self.n or matrix.n != linearised.n_x or matrix.entries != linearised.entries:
            raise ValueError("system, linearisation and matrix do not fit together")
        vectors = np.zeros((2, self.n))
        self.owners += (vectors,)
        self.slope = <double*> cnp.PyArray_DATA(vectors)
        self.residual = self.slope + self.n
        self.coefficients, self.linearised, self.matrix = method, linearised, matrix
        self.linearised_at = NAN

    cdef Outcome attempt(self, double h) noexcept nogil:
        cdef int64_t i
        cdef const Combination* argument
        cdef Outcome outcome
        if self.linearised_at != self.t:
            outcome = self.linearised.at(self.t, self.x, self.slope)
            if outcome != DONE:
                return self.pass_on(outcome)
            self.linearised_at = self.t
            self.njev += 1
        self.matrix.assemble(self.linearised.values, h * self.coefficients.gamma)
        self.nlu += 1
        self.failed = not self.matrix.factor()
        if self.failed:
            return DONE
        self.complete_stage(0, h, self.slope)
        for i in range(1, self.coefficients.stages):
            argument = &self.coefficients.argument[i]
            odead_combine(self.n, self.x, h, argument.count, argument.weight, argument.index, self.k, self.n, self.z)
            outcome = self.system.evaluate(self.t + self.coefficients.c[i] * h, self.z, self.w)
            if outcome != DONE:
                return outcome
            self.complete_stage(i, h, self.w)
        argument = &self.coefficients.solution
        odead_combine(self.n, self.x, h, argument.count, argument.weight, argument.index, self.k, self.n, self.z)
        self.looks_inside = self.interpolates(self.t + h) and Explicit.error_norm(self, h) < 1
        return self.judge_interpolant(h) if self.looks_inside else DONE

    cdef bint interpolates(self, double t_new) noexcept nogil:
        """Whether the solution is wanted between the ends of the step."""
        if self.record is not None and self.record.rows:
            return True
        return self.delivered < self.n_times and self.direction * (self.times[self.delivered] - t_new) < 0

    cdef Outcome judge_interpolant(self, double h) noexcept nogil:
        """Estimate the error of the interpolant in the middle of the step.

        Where stiff components only follow, the ends of a step are far more accurate than its inside, and the error estimate
        says nothing about that: on Prothero and Robinson's problem with rate 1e6 and tolerance 1e-6 the interpolant was wrong
        by 3e-3. A component with rate r has the residual r e where the interpolant is off by e; h gamma (I - h gamma J)^-1
        makes e of it where h r is large, and where h r is small the integral of the residual over a part of the step.
        """
        cdef Combination weights
        cdef int64_t i, j
        cdef double gamma = self.coefficients.gamma
        cdef Outcome outcome
        self.coefficients.weigh(0.5, &weights)
        odead_combine(self.n, self.x, h, weights.count, weights.weight, weights.index, self.k, self.n, self.w)
        outcome = self.system.evaluate(self.t + 0.5 * h, self.w, self.residual)
        if outcome != DONE:
            return outcome
        for i in range(weights.count):
            weights.weight[i] = -self.coefficients.middle_slope[weights.index[i]]
        odead_combine(self.n, self.residual, 1, weights.count, weights.weight, weights.index, self.k, self.n, self.w)
        for j in range(self.n):
            self.residual[j] = h * gamma * self.w[j]
        self.matrix.solve(self.residual, 1 + self.linearised.width)
        return DONE

    cdef void complete_stage(self, int64_t i, double h, const double* slope) noexcept nogil:
        """Solve the equations of stage i, the states' first: the others have them on their right-hand side."""
        cdef const Combination* shift = &self.coefficients.shift[i]
        cdef double* stage = self.k + i * self.n
        cdef const double* by_time
        cdef double gamma = self.coefficients.gamma, weight = h * self.coefficients.d[i]
        cdef int64_t size = self.linearised.n_x, block, j
        odead_combine(self.n, slope, 1, shift.count, shift.weight, shift.index, self.k, self.n, stage)
        if self.linearised.timed and weight != 0:
            for block in range(1 + self.linearised.width):
                by_time = self.linearised.slope_in_time(block)
                for j in range(size):
                    stage[block * size + j] += weight * by_time[j]
        for j in range(self.n):
            stage[j] *= gamma
        self.matrix.solve(stage, 1)
        if self.linearised.width:
            self.linearised.add_changes(stage, gamma * h, stage + size)
            self.matrix.solve(stage + size, self.linearised.width)

    cdef Outcome pass_on(self, Outcome outcome) noexcept with gil:
        """An outcome of the linearisation, as one of the system: that is where `run` looks for exceptions."""
        self.system.error = self.linearised.error
        return outcome

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
