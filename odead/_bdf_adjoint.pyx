"""The discrete adjoint of the backward differentiation formulas: the exact gradient of the steps taken.

Between two steps there are the backward differences D_0 ... D_k of the last states, spaced like the step that follows. With
s_j = gamma_j / alpha_k and c = h / alpha_k, a step of order k is

    predicted = sum_j D_j,   d = c f(t + h, predicted + d) - sum_{j>=1} s_j D_j,
    new D_{k+1} = d,   new D_j = D_j + ... + D_k + d,   output at t + q h = D_0 + sum_{j>=1} w_j(q) new D_j,

and a change of the step size is a matrix over the rows from 1 on. All of it but d is linear, and d is the solution of an
equation, so that its cotangent costs one solve with the transpose of I - c J at the new state. (With a mass matrix M it is
M - c J, and M multiplies d and the sum with s_j.) The orders and sizes of the
steps are those that were taken; the control that chose them is not differentiated. The new states are taken for solutions of
their equations: what the Newton iteration left over is a small part of the tolerance.
"""

cimport numpy as cnp
from libc.math cimport NAN, fabs
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from ._adjoint cimport Adjoint
from ._bdf cimport MOST_ORDER, Formulas, odead_mix, odead_running_sums, resizing
from ._krylov cimport Krylov
from ._linearised cimport Linearised
from ._matrices cimport Matrix
from ._record cimport Record
from ._steppers cimport Combination, odead_spread
from ._system cimport DONE, NOT_FINITE, Cotangents, Outcome, System

cnp.import_array()

cdef double ROUNDING = 1e-12    # by which steps of the same size differ: a size is a difference of times
cdef double ACCURACY = 1e-11    # of linear systems that are solved by iteration: the steps are transposed, not approximated


cdef class BackwardAdjoint(Adjoint):
    """The backward sweep over the steps of a record.

    Parameters
    ----------
    method : Formulas
    record : Record
        With all states, and the order of each step.
    system : System
        The right-hand side.
    linearised : Linearised
        Of the same right-hand side.
    matrix : Matrix
        On its pattern. Where it is solved with by iteration, it is the transpose, and `stalled` tells that it did not converge.
    cotangents : Cotangents
        Of the right-hand side.
    """

    def __init__(self, Formulas method, Record record, System system, Linearised linearised, Matrix matrix,
                 Cotangents cotangents):
        Adjoint.__init__(self, method, record, system, cotangents)
        if record.stride != 1:
            raise ValueError("the record must have all states")
        if not linearised.n == matrix.n == self.n or matrix.entries != linearised.entries:
            raise ValueError("record, linearisation and matrix do not fit together")
        self.formulas, self.linearised, self.matrix = method, linearised, matrix
        self.krylov = matrix if isinstance(matrix, Krylov) else None
        self.factored_at = NAN

    cdef void restart(self) noexcept nogil:
        self.njev = self.nlu = 0
        self.factored_at = NAN
        if self.neighbour is not None:
            self.neighbour.forget()

    cdef void tally(self, int64_t* njev, int64_t* nlu) noexcept nogil:
        njev[0] += self.njev
        nlu[0] += self.nlu

    cdef Outcome sweep(self, const double* times, const double* y_bar, int64_t n_times) noexcept nogil:
        memset(self.k_bar, 0, self.method.all_stages * self.n * sizeof(double))
        return Adjoint.sweep(self, times, y_bar, n_times)

    cdef Outcome step_back(self, int64_t number, const double* times, const double* y_bar, int64_t* last) noexcept nogil:
        cdef const double* x = self.new_state(number)
        cdef double t = self.record.t[number], t_new = self.record.t[number + 1], h = t_new - t, c, weight
        cdef double* row
        cdef double* correction
        cdef int64_t i, j, n = self.n, size = self.n * sizeof(double)
        cdef Outcome outcome
        self.number, self.order = number, self.record.order[number]
        c = h / self.formulas.alpha[self.order]
        memset(self.sum_bar, 0, size)
        self.take_outputs(t, h, times, y_bar, last)
        odead_running_sums(n, self.x_bar, self.order + 1, self.k_bar + n, n)  # new differences: sums of the old ones and of d
        correction = self.k_bar + (self.order + 1) * n
        outcome = self.factor(t_new, x, c)
        if outcome != DONE:
            return outcome
        outcome = self.solve(x, c, correction)
        if outcome != DONE:
            return outcome
        for j in range(n):
            self.covector[j] = c * correction[j]
        memset(self.z_bar, 0, size)
        memcpy(self.z, x, size)
        outcome = self.pull(0, t_new, self.z, self.z_bar)
        if self.matrix.mass is not None:
            memcpy(self.covector, correction, size)
            memset(correction, 0, size)
            self.matrix.mass.add_transposed_product(self.covector, 1, correction, 1)
        for i in range(1, self.order + 1):
            row, weight = self.k_bar + i * n, self.formulas.gamma[i] / self.formulas.alpha[self.order]
            for j in range(n):
                row[j] += self.z_bar[j] - weight * correction[j]
        for j in range(n):
            self.x_bar[j] += self.z_bar[j] + self.sum_bar[j]
        memset(correction, 0, size)
        if number > self.begins:
            self.pull_resize(h / (t - self.record.t[number - 1]))
        else:  # D_1 = h f
            for j in range(n):
                self.slope_bar[j] = h * self.k_bar[n + j]
            if self.divide_transposed is not None:
                self.divide_slope()
        return outcome

    cdef void divide_slope(self) noexcept with gil:
        """From the cotangent of the derivative of the first state to that of f there."""
        cdef cnp.npy_intp[2] shape = [1, self.n]
        self.divide_transposed(cnp.PyArray_SimpleNewFromData(2, shape, cnp.NPY_FLOAT64, self.slope_bar))

    cdef void take_inside(self, double q, double h, const double* row) noexcept nogil:
        cdef Combination weights
        self.method.weigh(q, &weights)
        odead_spread(self.n, row, 1, <int> self.order, weights.weight, weights.index, self.k_bar + self.n, self.n)

    cdef Outcome solve(self, const double* x, double c, double* b) noexcept nogil:
        """Solve the transposed system with b, a cotangent of the state x."""
        cdef Outcome outcome
        if self.is_near:
            self.neighbour.demand_of_cotangents(x, b, ACCURACY)
            if self.neighbour.approximate(b) == DONE:
                return DONE
            outcome = self.factor_now(c)
            if outcome != DONE:
                return outcome
        if self.krylov is None:
            self.matrix.solve_transposed(b, 1)
            return DONE
        self.krylov.demand_of_cotangents(x, b, ACCURACY)
        outcome = self.krylov.approximate(b)
        if outcome == NOT_FINITE:
            self.stalled = True
        elif outcome != DONE:
            return self.system.pass_on(self.linearised, outcome)
        return outcome

    cdef Outcome factor(self, double t, const double* x, double c) noexcept nogil:
        """Factor I - c J at (t, x)."""
        cdef Outcome outcome
        if self.krylov is None and self.record.load_matrix(self.number, self.linearised.values):
            pass
        elif not self.linearised.constant or not self.njev:
            outcome = self.linearised.at(t, x, self.covector)
            if outcome != DONE:
                return self.system.pass_on(self.linearised, outcome)
            self.njev += self.krylov is None or not self.krylov.anywhere
        if self.linearised.constant and fabs(c - self.factored_at) <= ROUNDING * fabs(c):
            return DONE
        self.is_near = self.neighbour is not None and self.neighbour.pays()
        if not self.is_near:
            return self.factor_now(c)
        self.neighbour.assemble(self.linearised.values, c)
        self.neighbour.factor()
        self.factored_at = c
        return DONE

    cdef Outcome factor_now(self, double c) noexcept nogil:
        """Factor the matrix itself, or make it ready for the iteration."""
        self.matrix.assemble(self.linearised.values, c)
        self.factored_at = c
        self.nlu += self.krylov is None
        self.is_near = False
        if not self.matrix.factor():
            return NOT_FINITE
        if self.neighbour is not None:
            self.neighbour.renew()
        return DONE

    cdef void pull_resize(self, double factor) noexcept nogil:
        """From the differences after a change of the step size by this factor to those before."""
        cdef double[MOST_ORDER + 1][MOST_ORDER + 1] matrix
        cdef double weight[MOST_ORDER * MOST_ORDER]
        cdef int64_t i, j
        if factor == 1:
            return
        resizing(factor, self.order, matrix)
        for i in range(self.order):
            for j in range(self.order):
                weight[i * self.order + j] = matrix[i + 1][j + 1]
        odead_mix(self.n, self.order, weight, self.k_bar + self.n, self.n)
