"""The solution between the steps, as a function of time for the compiled loops.

It is what `ode.engines.interpolant` evaluates for Python, in the same arrays: the polynomials of the method that took the
steps.
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memset

from ._arrays cimport floats
from ._steppers cimport MOST_DEGREES, Combination, Method, odead_combine, odead_copy, odead_weigh

cnp.import_array()


cdef void blend(
    Method method, double q, double h, const double* x, const double* stages, int64_t n, double* out
) noexcept nogil:
    """Write the state at the fraction q of a step of size h from x into out."""
    cdef Combination weights
    method.weigh(q, &weights)
    odead_combine(n, x, h, weights.count, weights.weight, weights.index, stages, n, out)


cdef class Curve:
    """A solution, piece by piece a polynomial; beyond the ends, the first and last one go on.

    Parameters
    ----------
    method : Method
        Took the steps.
    ts : (m + 1,) array
        Ends of the steps, in the order they were taken.
    states : (m + 1, n) array
    slopes : (m, rows, n) array
        The stages of each step.
    earlier : Curve, optional
        The solution before the first of them. The instant between two belongs to what ends there.
    """

    def __init__(self, Method method, ts, states, slopes, Curve earlier=None):
        arrays = tuple(np.ascontiguousarray(array, dtype=np.float64) for array in (ts, states, slopes))
        times, states, slopes = arrays
        self.n, self.count, self.rows = states.shape[1], len(slopes), slopes.shape[1]
        if times.shape != (self.count + 1,) or states.shape != (self.count + 1, self.n) or slopes.shape[2] != self.n:
            raise ValueError("times, states and stages do not fit together")
        if earlier is not None and earlier.n != self.n:
            raise ValueError("the parts of a solution have different states")
        if self.count and self.rows != method.all_stages and method.used.count > self.rows:
            raise ValueError("the stages are not those of the method")
        self.method, self.earlier, self.owners = method, earlier, arrays
        self.ts, self.states, self.slopes = floats(times), floats(states), floats(slopes)
        self.sign = -1 if self.ts[self.count] < self.ts[0] else 1

    cdef bint _find(self, double t) noexcept nogil:
        """Have in `step` the one that reaches t, the end of a step included; False if it is earlier than all of them."""
        cdef double ahead = self.sign * t
        cdef int64_t low = 0, high = self.count - 1, middle
        if self.earlier is not None and ahead <= self.sign * self.ts[0]:
            return False
        if self.step > 0 and ahead <= self.sign * self.ts[self.step]:
            self.step -= 1
        if (self.step == 0 or ahead > self.sign * self.ts[self.step]) and (
            self.step >= high or ahead <= self.sign * self.ts[self.step + 1]
        ):
            return True
        while low < high:
            middle = (low + high) // 2
            if ahead <= self.sign * self.ts[middle + 1]:
                high = middle
            else:
                low = middle + 1
        self.step = low
        return True

    cdef void at(self, double t, double* x) noexcept nogil:
        """Write the state at a time into x."""
        cdef double h
        if not self._find(t):
            self.earlier.at(t, x)
            return
        if self.count == 0:
            odead_copy(self.n, self.states, x)
            return
        h = self.ts[self.step + 1] - self.ts[self.step]
        blend(
            self.method, (t - self.ts[self.step]) / h, h, self.states + self.step * self.n,
            self.slopes + self.step * self.rows * self.n, self.n, x,
        )

    cdef void slope_at(self, double t, double* dx) noexcept nogil:
        """Write the derivative of the polynomial at a time into dx."""
        cdef double basis[MOST_DEGREES]
        cdef double q, last = 1, change = 0, factor
        cdef int64_t j, i
        cdef Combination weights
        cdef const double* slopes
        if not self._find(t):
            self.earlier.slope_at(t, dx)
            return
        memset(dx, 0, self.n * sizeof(double))
        if self.count == 0:
            return
        q = (t - self.ts[self.step]) / (self.ts[self.step + 1] - self.ts[self.step])
        for j in range(self.method.degree):  # a product, and its derivative
            factor = 1 - q if self.method.flip[j] else q
            change = change * factor + (-last if self.method.flip[j] else last)
            last *= factor
            basis[j] = change
        weights.count = self.method.used.count
        for i in range(weights.count):
            weights.index[i] = self.method.used.index[i]
        odead_weigh(weights.count, self.method.degree, self.method.interpolant, basis, weights.weight)
        slopes = self.slopes + self.step * self.rows * self.n
        odead_combine(self.n, dx, 1, weights.count, weights.weight, weights.index, slopes, self.n, dx)

    def both_at(self, double t):
        """The state at a time, and the derivative of the polynomial there."""
        x, dx = np.empty(self.n), np.empty(self.n)
        self.at(t, floats(x))
        self.slope_at(t, floats(dx))
        return x, dx
