"""Solves of one problem for many initial values and parameters, one after the other without Python between them.

Each is done by the very loops that serve a single solve, and a single solve is a batch of one: results are the same to the bit.
What a member needs that is not ordinary, as a failure that has to be described, is not done here: the member is marked.
"""

import numpy as np

cimport numpy as cnp
from cpython.time cimport monotonic
from libc.math cimport fabs, fmax, frexp, ldexp
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from ._adjoint cimport Adjoint
from ._arrays cimport floats, integers
from ._core cimport WHOLE, Tape
from ._record cimport Record
from ._steppers cimport Explicit, odead_all_finite
from ._system cimport DONE, RAISED, Outcome, Recorded

cnp.import_array()

cdef int64_t LIGHT = 1 << 17  # floats; to make what is larger takes a small part of a solve
cdef double LIGHT_SAVED = 4e6  # bytes; as in `ode/gradients/discrete.py`
LISTEN = 0.05

STATES = {"solved": <int> SOLVED, "unusual": <int> UNUSUAL, "raised": <int> RAISED_ERROR}


cdef class Members:
    """What the solves of some members begin with, and what they give.

    Parameters
    ----------
    x0 : (count, n) array
    p : (count, n_p) array
    times : int
        At which each solution is wanted.
    blocks : int
        The states, and the sensitivities beside them.
    with_loss : bool
    """

    def __init__(self, cnp.ndarray x0, cnp.ndarray p, int64_t times, int64_t blocks, bint with_loss):
        cdef int64_t count = x0.shape[0], n = x0.shape[1]
        cdef bint are_floats = cnp.PyArray_TYPE(x0) == cnp.NPY_FLOAT64 and cnp.PyArray_TYPE(p) == cnp.NPY_FLOAT64
        if p.shape[0] != count or not (cnp.PyArray_IS_C_CONTIGUOUS(x0) and cnp.PyArray_IS_C_CONTIGUOUS(p) and are_floats):
            raise ValueError("x0 and p must be contiguous arrays of floats with a row for each member")
        self.count, self.x0, self.p = count, x0, p
        self.out = _floats(3, count, times, blocks * n)
        self.y = _floats(3, count, n, times)
        self.cotangents = _floats(3, count if with_loss else 0, n, times)
        self.loss = _floats(1, count)
        self.by_p, self.by_x0 = _floats(2, count, p.shape[1]), _floats(2, count, n)
        self.sums = _floats(2, count, blocks)
        self.counts = _integers(2, count, 5)
        self.states = _integers(1, count)


cdef cnp.ndarray _floats(int ndim, cnp.npy_intp i, cnp.npy_intp j=0, cnp.npy_intp k=0):
    cdef cnp.npy_intp[3] shape = [i, j, k]
    return cnp.PyArray_EMPTY(ndim, shape, cnp.NPY_FLOAT64, 0)


cdef cnp.ndarray _integers(int ndim, cnp.npy_intp i, cnp.npy_intp j=0):
    cdef cnp.npy_intp[2] shape = [i, j]
    return cnp.PyArray_ZEROS(ndim, shape, cnp.NPY_INT64, 0)


# ---------------------------------------------------------------------------------------------------------- where to begin


cdef class Start:
    """The state in which a solve begins: x0.

    Parameters
    ----------
    n, n_p : int
    """

    def __init__(self, int64_t n, int64_t n_p):
        self.n, self.n_p = n, n_p

    cdef void begin(self, const double* x0, const double* p, double* state, double* atol) noexcept nogil:
        """Write the state, and what else depends on x0 and p."""
        memcpy(state, x0, self.n * sizeof(double))


cdef class StartWithProbes(Start):
    """x0 and the sensitivities in the error test of a discrete adjoint, in directions of the size of p and of x0.

    Parameters
    ----------
    n, n_p : int
    signs_p, signs_x0 : array, shapes (n_p,) and (n,), or None
        Of these directions; None: no such probe.
    group : int array, shape (n_p,), or None
        As in `Direction` of `ode/gradients/directions.py`.
    systems : list of Recorded
        One or two, with their sensitivities.
    """

    def __init__(self, int64_t n, int64_t n_p, cnp.ndarray signs_p, cnp.ndarray signs_x0, cnp.ndarray group, list systems):
        Start.__init__(self, n, n_p)
        self.sign_p = NULL if signs_p is None else floats(signs_p)
        self.sign_x0 = NULL if signs_x0 is None else floats(signs_x0)
        self.direction[0] = self.direction[1] = NULL
        for k, system in enumerate(systems):
            self.direction[k] = floats((<Recorded?> system).shadow_p)
        self.groups, self.group, self.total = 0, NULL, NULL
        totals = None
        if group is not None:
            self.groups, self.group, totals = group.max() + 1, integers(group), np.zeros((2, group.max() + 1))
            self.total = floats(totals)
        self.owners = (signs_p, signs_x0, group, totals, systems)

    cdef void move(self, const double* p, double* direction) noexcept nogil:
        """Write the direction of p."""
        cdef double* count = self.total + self.groups
        cdef int64_t j
        cdef int exponent
        for j in range(self.groups):
            self.total[j] = count[j] = 0
        for j in range(self.n_p):
            direction[j] = (1 if p[j] == 0 else fabs(p[j])) * self.sign_p[j]
            if self.groups and self.group[j] >= 0:
                self.total[self.group[j]] += fabs(p[j])
                count[self.group[j]] += 1
        for j in range(self.groups):
            if self.total[j] != 0:
                frexp(self.total[j] / count[j], &exponent)
            self.total[j] = 1 if self.total[j] == 0 else ldexp(0.5, exponent)
        for j in range(self.n_p if self.groups else 0):
            if self.group[j] >= 0:
                direction[j] = self.total[self.group[j]] * self.sign_p[j]

    cdef void begin(self, const double* x0, const double* p, double* state, double* atol) noexcept nogil:
        cdef int64_t j, k
        cdef double* probe = state + self.n
        memcpy(state, x0, self.n * sizeof(double))
        if self.sign_p != NULL:
            for k in range(2):
                if self.direction[k] != NULL:
                    self.move(p, self.direction[k])
            memset(probe, 0, self.n * sizeof(double))
            probe += self.n
        if self.sign_x0 != NULL:
            for j in range(self.n):
                probe[j] = self.sign_x0[j] * fmax(1, fabs(x0[j]))


cdef class StartWithColumns(Start):
    """x0 and its derivatives by p and by x0, whose absolute tolerances are those of the states over the size of the variable.

    Parameters
    ----------
    n, n_p : int
    with_p, with_x0 : bool
    atol : (n,) array
        Of the states.
    share : float
        Of the tolerances that the loop may use.
    """

    def __init__(self, int64_t n, int64_t n_p, bint with_p, bint with_x0, cnp.ndarray atol, double share):
        Start.__init__(self, n, n_p)
        self.with_p, self.with_x0, self.share = with_p, with_x0, share
        self.owner = atol
        self.states_atol = floats(atol)

    cdef void begin(self, const double* x0, const double* p, double* state, double* atol) noexcept nogil:
        cdef int64_t j, k, width = self.n_p * self.with_p + self.n * self.with_x0
        cdef double* row
        cdef double scale
        memcpy(state, x0, self.n * sizeof(double))
        memset(state + self.n, 0, width * self.n * sizeof(double))
        for k in range(width):
            row = atol + (1 + k) * self.n
            if self.with_p and k < self.n_p:
                scale = 1 if p[k] == 0 else fabs(p[k])
            else:
                j = k - self.n_p * self.with_p
                state[(1 + k) * self.n + j] = 1
                scale = fmax(1, fabs(x0[j]))
            for j in range(self.n):
                row[j] = self.share * (self.states_atol[j] / scale)


# ---------------------------------------------------------------------------------------------------------------- running


cdef class Runner:
    """Solves members.

    Attributes
    ----------
    error : BaseException or None
        Of the member that was the last to be tried, if it raised one.
    """

    def run(self, Members members not None, cnp.ndarray times not None, double t0, double t1, int64_t first):
        """Solve members from number `first` on, and return the number of the first that is still waiting.

        It returns after the last one, after one that raised an exception, and after a while, for the interpreter to look for
        Ctrl-C. Members that must be solved in the ordinary way are marked.

        Parameters
        ----------
        members : Members
        times : array
            Strictly sorted from t0 to t1, inside.
        t0, t1 : float
        first : int
        """
        raise NotImplementedError("a Runner is what Batch and LanesBatch have in common; run one of these")


cdef class Batch(Runner):
    """Members one by one.

    Parameters
    ----------
    loop : Explicit
        Made for any start; its record is that of `adjoint`.
    start : Start
    times : int
        How many.
    systems : list of (Recorded, bool)
        All that loop and adjoint evaluate, and whether evaluations count.
    adjoint : Adjoint, optional
    loss : Tape, optional
        Binds y, shape (n, times), p (unless it is empty), their shadows, the seed and the value.

    Attributes
    ----------
    one_by_one : bool
        Whether to return after each member: its steps are in the record of the loop until the next one.
    """

    def __init__(self, Explicit loop, Start start, int64_t times, list systems, Adjoint adjoint=None, Tape loss=None):
        cdef Recorded system
        cdef int64_t n = start.n, n_p = start.n_p
        self.loop, self.start, self.adjoint, self.loss = loop, start, adjoint, loss
        self.n, self.n_p, self.m, self.size = n, n_p, times, loop.n
        self.stages = 0 if loop.record is None else loop.record.rows
        self.systems = [system for system, _ in systems]
        self.n_systems = len(systems)
        if self.n_systems > MOST_SYSTEMS or loop.n % n:
            raise ValueError("too many systems, or one that does not fit the start")
        for k, (item, counts) in enumerate(systems):
            system = item
            self.p_of[k] = floats(system.p)
            self.calls_of[k], self.flips_of[k], self.counts[k] = &system.calls, &system.flips, counts
            self.settled_of[k] = &system.settled
        if adjoint is not None:
            self.p_bar = floats(adjoint.cotangents.shadow_p)
        state, rows = np.zeros(loop.n), np.zeros((times, n))
        values = np.zeros((2, n * times + n_p + 1))
        self.owners = (state, rows, values)
        self.state, self.rows = floats(state), floats(rows)
        self.y, self.y_bar = floats(values), floats(values[1])
        self.p, self.loss_p_bar = self.y + n * times, self.y_bar + n * times
        self.value, self.seed = self.p + n_p, self.loss_p_bar + n_p
        if loss is not None:
            self._bind_loss()

    def _bind_loss(self):
        cdef int64_t slot = 0
        cdef double* arguments[6]
        arguments[:] = [self.y, self.p, self.y_bar, self.loss_p_bar, self.seed, self.value]
        for k in range(6):
            if self.n_p or k not in (1, 3):
                self.loss.bind(slot, <char*> arguments[k])
                slot += 1
        if slot != self.loss.code.n_bound:
            raise ValueError(f"the tape of the loss binds {self.loss.code.n_bound} arrays, not {slot}")

    @property
    def is_light(self):
        """Whether it is worth keeping: it takes little memory, and the record has given nothing up."""
        cdef Record record = self.loop.record
        cdef int64_t room = self.size * self.loop.method.all_stages + 3 * self.n * self.m
        if record is not None:
            if record.rows != self.stages:
                return False
            room += (record.room_for_stages * record.rows + record.room_for_states) * record.n
            if record.bytes_of_saved() > LIGHT_SAVED:
                return False
        return room < LIGHT

    cdef int _resume(self) except -1:
        """Bind captured arrays as they are now, and forget counts and errors."""
        cdef Recorded system
        cdef int64_t slot
        self.error = None
        for system in self.systems:
            system.resume()
        for system in self.loop.resets or ():
            system.resume()
        if self.loss is not None and self.loss.code.captured:
            arrays = [np.require(array, array.dtype.newbyteorder("="), ["C", "ALIGNED"]) for array in self.loss.code.captured]
            for slot in range(len(arrays)):
                self.loss.bind(self.loss.code.n_bound + slot, <char*> cnp.PyArray_DATA(<cnp.ndarray> arrays[slot]))
            self.captured = arrays
        return 0

    def run(self, Members members not None, cnp.ndarray times not None, double t0, double t1, int64_t first):
        cdef int64_t k = first, n = self.n, m = self.m, n_p = self.n_p, width = self.size // n
        cdef double* x0 = floats(members.x0)
        cdef double* p = floats(members.p)
        cdef double* out = floats(members.out)
        cdef double* y = floats(members.y)
        cdef double* cotangents = floats(members.cotangents)
        cdef double* loss = floats(members.loss)
        cdef double* by_p = floats(members.by_p)
        cdef double* by_x0 = floats(members.by_x0)
        cdef double* sums = floats(members.sums)
        cdef int64_t* counts = integers(members.counts)
        cdef int64_t* states = integers(members.states)
        cdef double since
        if times.size != m or members.out.shape[1] != m or members.out.shape[2] != self.size or members.p.shape[1] != n_p \
                or (self.loss is not None and members.cotangents.shape[0] != members.count):
            raise ValueError("the members do not fit")
        self._resume()
        self.times, self.t0, self.t1 = floats(times), t0, t1
        with nogil:
            since = monotonic()
            while k < members.count:
                states[k] = self._solve(
                    x0 + k * n, p + k * n_p, out + k * m * self.size, y + k * n * m, cotangents + k * n * m, loss + k,
                    by_p + k * n_p, by_x0 + k * n, sums + k * width, counts + 5 * k,
                )
                k += 1
                if self.one_by_one or states[k - 1] == RAISED_ERROR or monotonic() - since > LISTEN:
                    break
        if k and states[k - 1] == RAISED_ERROR:
            self.error = [system.error for system in self.systems if system.error is not None][0]
        return k

    cdef int64_t _evaluations(self) noexcept nogil:
        cdef int64_t k, total = 0
        for k in range(self.n_systems):
            if self.counts[k]:
                total += self.calls_of[k][0]
        return total

    cdef int64_t _flips(self) noexcept nogil:
        cdef int64_t k, total = 0
        for k in range(self.n_systems):
            total += self.flips_of[k][0]
        return total

    cdef void _take(self, const double* x0, const double* p) noexcept nogil:
        """Give all systems the parameters of a member, and have the state in which it begins."""
        cdef int64_t k
        for k in range(self.n_systems):
            memcpy(self.p_of[k], p, self.n_p * sizeof(double))
            self.settled_of[k][0] = False
        self.start.begin(x0, p, self.state, self.loop.atol)

    cdef State _solve(self, const double* x0, const double* p, double* out, double* y, double* cotangents, double* loss,
                      double* by_p, double* by_x0, double* sums, int64_t* counts) noexcept nogil:
        """Solve for a member."""
        cdef int64_t calls = self._evaluations(), flips = self._flips(), j, k
        cdef Outcome outcome
        self._take(x0, p)
        if self.loop.keys is not None and not self.loop.keys.take(self.t0, self.state):
            return UNUSUAL
        self.loop.restart(self.t0, self.t1, self.state, self.times, self.m, out)
        outcome = self.loop.start()
        if outcome == DONE:
            outcome = self.loop.advance()
        if self._flips() != flips:
            return UNUSUAL
        if outcome != DONE:
            return RAISED_ERROR if outcome == RAISED else UNUSUAL
        for k in range(self.m):
            for j in range(self.n):
                y[j * self.m + k] = out[k * self.size + j]
        counts[0], counts[1] = self.loop.nsteps, self.loop.nrejected
        self.loop.tally(counts + 3, counts + 4)
        memcpy(sums, self.loop.sums, self.loop.blocks * sizeof(double))
        if self.loss is not None:
            if not self._differentiate_loss(p, y):
                return UNUSUAL
            loss[0] = self.value[0]
            memcpy(cotangents, self.y_bar, self.n * self.m * sizeof(double))
            memcpy(by_p, self.loss_p_bar, self.n_p * sizeof(double))
        if self.adjoint is not None:
            if self.loop.record.stride != 1 or self.loop.record.rows != self.stages:
                return UNUSUAL      # not all could be kept
            for k in range(self.m):
                for j in range(self.n):
                    self.rows[k * self.n + j] = cotangents[j * self.m + k]
            memset(self.p_bar, 0, self.n_p * sizeof(double))
            self.adjoint.restart()
            outcome = self.adjoint.sweep(self.times, self.rows, self.m)
            if self._flips() != flips:
                return UNUSUAL
            if outcome != DONE or not odead_all_finite(self.n_p, self.p_bar):
                return RAISED_ERROR if outcome == RAISED else UNUSUAL
            for j in range(self.n_p):
                by_p[j] = self.p_bar[j] + by_p[j]
            memcpy(by_x0, self.adjoint.x_bar, self.n * sizeof(double))
            self.adjoint.tally(counts + 3, counts + 4)
        counts[2] = self._evaluations() - calls
        return SOLVED

    cdef bint _differentiate_loss(self, const double* p, const double* y) noexcept nogil:
        """Evaluate the loss, and its derivatives by y and p; False if it takes another way, or they are not finite."""
        memcpy(self.y, y, self.n * self.m * sizeof(double))
        memcpy(self.p, p, self.n_p * sizeof(double))
        memset(self.y_bar, 0, (self.n * self.m + self.n_p) * sizeof(double))
        self.seed[0] = 1
        return self.loss.execute(WHOLE) < 0 and odead_all_finite(self.n * self.m + self.n_p, self.y_bar)
