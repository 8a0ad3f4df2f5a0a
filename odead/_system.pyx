"""Systems: what a stepper steps, called through C methods without the GIL.

A recorded right-hand side has one tape per way through its branches. A run that misses a guard tries the others, then asks
Python to record the way that these values take, and runs that one: a stepper never sees it happen.
"""

from threading import local

import numpy as np

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.time cimport monotonic
from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy, memset

from ._arrays cimport checked_floats, floats
from ._core cimport REVERSE, WHOLE, Tape

cnp.import_array()

cdef double LISTEN = 0.05       # seconds between two looks for Ctrl-C, which need the GIL
cdef double POLL = 0.01         # seconds between two looks at the clock, about 25 ns each
cdef double AT_KINK = 0.1       # the error that a step over a kink may have, in units of the tolerances


_THREAD = local()
cdef bint _is_heeded = False    # in some thread: to look for it costs 0.1 us for each system of a solve


def heed(stop):
    """Let the solves of this thread, which Ctrl-C does not reach, end with KeyboardInterrupt once `stop()` is true."""
    global _is_heeded
    _THREAD.stop, _is_heeded = stop, True


cdef int _ask() except -1:
    stop = getattr(_THREAD, "stop", None) if _is_heeded else None
    if stop is not None and stop():
        raise KeyboardInterrupt
    return 0


cdef class System:
    """A system x' = f(t, x) of n states. Subclasses implement `value`."""

    cdef Outcome value(self, double t, const double* x, double* dx) noexcept nogil:
        """Write f(t, x) into dx."""
        return RAISED

    cdef Outcome evaluate(self, double t, const double* x, double* dx) noexcept nogil:
        """Write f(t, x) into dx, count it, and look for Ctrl-C every now and then."""
        cdef Outcome outcome = self.value(t, x, dx)
        return outcome if outcome != DONE else self.count()

    cdef Outcome count(self) noexcept nogil:
        self.calls += 1
        return DONE if self.calls < self.next_poll else self._poll()

    cdef Outcome pass_on(self, System other, Outcome outcome) noexcept with gil:
        """An outcome of another system, with its exception here, where who runs this one looks for it."""
        self.error = other.error
        return outcome

    cdef Outcome _poll(self) noexcept nogil:
        cdef double now = monotonic()
        if now - self.polled < POLL:
            self.interval *= 2
        elif self.interval > 1:
            self.interval //= 2
        self.polled = now
        self.next_poll = self.calls + self.interval
        if now - self.listened < LISTEN:
            return DONE
        self.listened = now
        return self._listen()

    cdef Outcome _listen(self) noexcept with gil:
        try:
            PyErr_CheckSignals()
            _ask()
        except BaseException as error:
            self.error = error
            return RAISED
        return DONE

    def start(self):
        """Forget the counts and errors of an earlier solve."""
        _forget(self)


cdef int _forget(System system) except -1:
    _ask()
    system.calls = 0
    system.error = None
    system.interval = system.next_poll = 1
    system.polled = system.listened = monotonic()
    return 0


cdef class Callback(System):
    """A right-hand side that stays in Python.

    Parameters
    ----------
    fun : callable
        (t, x) -> array of shape (n,).
    n : int
    """

    def __init__(self, fun, int64_t n):
        self.fun = fun
        self.n = n
        self.start()

    cdef Outcome value(self, double t, const double* x, double* dx) noexcept nogil:
        with gil:
            try:
                state = np.empty(self.n)
                memcpy(floats(state), x, self.n * sizeof(double))
                found = np.ascontiguousarray(self.fun(t, state), dtype=np.float64).reshape(self.n)
                memcpy(dx, floats(found), self.n * sizeof(double))
            except BaseException as error:
                self.error = error
                return RAISED
        return DONE


cdef list bind_captured(Tape tape):
    """Bind the arrays that were captured, as they are now; they must be kept."""
    cdef int64_t slot
    arrays = [np.require(array, array.dtype.newbyteorder("="), ["C", "ALIGNED"]) for array in tape.captured]
    for slot in range(len(arrays)):
        tape.bind(tape.code.n_bound + slot, <char*> cnp.PyArray_DATA(<cnp.ndarray> arrays[slot]))
    return arrays


cdef class Recorded(System):
    """A right-hand side f(x, p, t) as recorded: tapes that bind dx, x, p (unless it is empty), t, then their shadows.

    Parameters
    ----------
    tape : Tape
        Cloned, since a tape serves one thread.
    n : int
        Length of x.
    p : (n_p,) array
    find : callable, optional
        (x, t) -> a Tape whose guards hold there. Needed where there are branches.
    """

    def __init__(self, Tape tape, int64_t n, p, find=None):
        self._set_up(tape, n, p, find, None, True, 0)

    cdef int _set_up(self, Tape tape, int64_t n, p, find, shadow_p, bint has_dx, int64_t n_saved,
                     bint has_factors=False) except -1:
        cdef int64_t x = 1 if has_dx else 0     # the slot; p and t follow, then the shadows of dx, x and p
        cdef int64_t slot
        self.n = self.n_x = n
        self.p, self.find = np.array(p, dtype=np.float64), find
        slot = self._bind_p_and_t(x + 1)
        self.slot_dx, self.slot_x, self.slot_d_dx, self.slot_d_x = 0, x, slot, slot + 1
        if shadow_p is not None:
            self.width = len(shadow_p)
            self.shadow_p = np.array(shadow_p, dtype=np.float64)
            slot += 2
            if self.n_p:
                self._assign(slot, self.shadow_p)
                slot += 1
        if n_saved:
            slot = self._save(slot, n_saved)
        if has_factors:
            self.slot_factors = slot
            slot += 1
        return self._complete(tape, slot)

    cdef int64_t _bind_p_and_t(self, int64_t slot) except -1:
        """Let p, unless it is empty, and t have the slots from this one on; returns the next one."""
        self.n_p = self.p.size
        if self.n_p:
            self._assign(slot, self.p)
            slot += 1
        self.address[slot] = <char*> &self.t
        return slot + 1

    cdef int64_t _save(self, int64_t slot, int64_t n_saved) except -1:
        """Have a place in this slot for what evaluations save; returns the next one."""
        self.room, self.n_saved, self.slot_saved = np.zeros(n_saved), n_saved, slot
        self.saved = self.scratch = floats(self.room)
        self.address[slot] = <char*> self.scratch
        return slot + 1

    cdef int _complete(self, Tape tape, int64_t n_slots) except -1:
        """Take the first tape: the slots have their addresses, or will have them by `_place`."""
        self.n_slots = n_slots
        self.tapes, self.captured = [], []
        self.start()
        return self._adopt(tape)

    cdef int _assign(self, int64_t slot, cnp.ndarray array) except -1:
        self.address[slot] = <char*> cnp.PyArray_DATA(array)
        return 0

    cdef int _adopt(self, Tape tape) except -1:
        """Make a tape with this code the current one."""
        cdef int64_t known
        if tape.code.n_bound != self.n_slots:
            raise ValueError(f"the tape binds {tape.code.n_bound} arrays, not {self.n_slots}")
        for known in range(len(self.tapes)):
            if (<Tape> self.tapes[known]).code is tape.code:
                return self._switch(known)
        self.tapes.append(tape.clone())
        self.captured.append(None)
        self._bind_captured(len(self.tapes) - 1)
        return self._switch(len(self.tapes) - 1)

    cdef int _switch(self, int64_t number) except -1:
        """Make this tape the current one, with what is bound to the other."""
        cdef int64_t slot
        self.tape, self.branch, self.settled = self.tapes[number], number, False
        for slot in range(self.n_slots):
            if self.address[slot] != NULL:
                self.tape.bind(slot, self.address[slot])
        return 0

    cdef int _bind_captured(self, int64_t number) except -1:
        """Bind the arrays that the right-hand side captured, as they are now."""
        if (<Tape> self.tapes[number]).captured:
            self.captured[number] = bind_captured(self.tapes[number])
        return 0

    def begin(self, Tape tape, p):
        """Prepare for a new solve, on the way of `tape`, with the parameters p."""
        self.p[...] = p
        self.resume()
        self._adopt(tape)

    def forbid_others(self):
        """From now on an evaluation that needs another way through the branches than those known raises."""
        self.find = None

    cdef int resume(self) except -1:
        """Forget counts and errors, and bind the captured arrays as they are now."""
        cdef int64_t number
        self.flips, self.settled = 0, False
        _forget(self)
        for number in range(len(self.tapes)):
            self._bind_captured(number)
        return 0

    cdef Outcome value(self, double t, const double* x, double* dx) noexcept nogil:
        self.t = t
        self._place(self.slot_dx, dx)
        self._place(self.slot_x, x)
        return self._run()

    cdef inline void _place(self, int64_t slot, const double* data) noexcept nogil:
        """Bind a slot, if it is not there already."""
        if self.address[slot] != <char*> data:
            self.address[slot] = <char*> data
            self.tape.bind(slot, <char*> data)

    cdef bint holds(self, double t, const double* x, double* dx) noexcept nogil:
        """Whether the way through the branches taken last is taken here too; dx may be overwritten."""
        self.t = t
        self._place(self.slot_dx, dx)
        self._place(self.slot_x, x)
        return self._execute()

    cdef inline bint _execute(self) noexcept nogil:
        """Run with what is bound; whether all guards held."""
        if self.tape.execute(REVERSE if self.settled else WHOLE) >= 0:
            return False
        self.settled = self.tape.code.settles
        return True

    cdef inline Outcome _run(self) noexcept nogil:
        return DONE if self._execute() else self._run_other()

    cdef Outcome _run_other(self) noexcept with gil:
        cdef int64_t missed = self.branch, number
        cdef cnp.npy_intp n = self.n_x
        self.flips += 1
        try:
            self.tape.raise_failure()
            for number in range(len(self.tapes)):
                if number != missed:
                    self._switch(number)
                    if self._execute():
                        return DONE
                    self.tape.raise_failure()
            if self.find is None:
                raise RuntimeError("a branch was taken that was not recorded")
            x = cnp.PyArray_SimpleNewFromData(1, &n, cnp.NPY_FLOAT64, self.address[self.slot_x]).copy()
            self._adopt(self.find(x, self.t))
            if not self._execute():
                raise RuntimeError("a program recorded at these values does not hold at them")
        except BaseException as error:
            self.error = error
            return RAISED
        return DONE


cdef class Roots(Recorded):
    """Functions of (x, p, t) whose signs a stepper watches.

    Parameters
    ----------
    tape : Tape
        Of the values: binds them in place of dx, then x, p (unless it is empty), t.
    n, p, find
        As in `Recorded`.
    signs : (m,) array
        1.0 or -1.0: what each has as long as nothing happens; 0.0 where it does not matter.
    also : Recorded, optional
        What has to hold besides.
    """

    def __init__(self, Tape tape, int64_t n, p, signs, find=None, Recorded also=None):
        self.signs = np.array(signs, dtype=np.float64)
        self.values = np.empty(self.signs.size)
        self.m = self.signs.size
        self.sign = floats(self.signs)
        self.found = floats(self.values)
        self.also = also
        self._set_up(tape, n, p, find, None, True, 0)

    cdef bint holds(self, double t, const double* x, double* dx) noexcept nogil:
        """Whether all have their signs here. An exception of theirs is no: who asks again in Python will see it."""
        cdef int64_t k
        if self.also is not None and not self.also.holds(t, x, dx):
            return False
        if self.value(t, x, self.found) != DONE:
            return False
        for k in range(self.m):
            if self.sign[k] != 0 and not self.sign[k] * self.found[k] > 0:
                return False
        return True

    def along(self, cnp.ndarray t not None, cnp.ndarray x not None):
        """Their values at k points, shape (k, m); None where one of them raises: who asks in Python will see it."""
        cdef int64_t k
        cdef const double* time = checked_floats(t, 1)
        cdef const double* point = checked_floats(x, 2)
        cdef cnp.ndarray found = np.empty((t.shape[0], self.m))
        cdef double* row = floats(found)
        if x.shape[0] != t.shape[0] or x.shape[1] != self.n_x:
            raise ValueError(f"the points have shape {np.shape(x)}, not {(t.shape[0], self.n_x)}")
        for k in range(t.shape[0]):
            if self.value(time[k], point + k * self.n_x, row + k * self.m) != DONE:
                return None
        return found

    def flip(self, double t0, cnp.ndarray x0 not None, double t1, cnp.ndarray x1 not None, int64_t which, int64_t halvings):
        """Where one of them, on the straight line between two points, changes its value.

        Returns two neighbouring points (t, x): the first still has the value of the first point. None as for `along`.
        """
        cdef int64_t k
        cdef double low = 0, high = 1, middle, kept
        cdef const double* start = checked_floats(x0, 1)
        cdef const double* end = checked_floats(x1, 1)
        cdef cnp.ndarray x = np.array(x0)
        cdef double* between = floats(x)
        if x0.shape[0] != self.n_x or x1.shape[0] != self.n_x:
            raise ValueError(f"the points do not have {self.n_x} numbers")
        if self.value(t0, start, self.found) != DONE:
            return None
        kept = self.found[which]
        for _ in range(halvings):
            middle = low + (high - low) / 2
            for k in range(self.n_x):
                between[k] = start[k] + middle * (end[k] - start[k])
            if self.value(t0 + middle * (t1 - t0), between, self.found) != DONE:
                return None
            if self.found[which] == kept:
                low = middle
            else:
                high = middle
        return [(t0 + s * (t1 - t0), x0 + s * (x1 - x0)) for s in (low, high)]


cdef class Keys(Recorded):
    """What switches recorded as values look at: as long as it stays what it is, all of them do.

    Parameters
    ----------
    tape : Tape
        Of m floats: binds them in place of dx, then x, p (unless it is empty), t. It has no branches.
    n, p
        As in `Recorded`.
    m : int
    """

    def __init__(self, Tape tape, int64_t n, p, int64_t m):
        self.values = np.empty((2, m))
        self.m = m
        self.first, self.found = floats(self.values), floats(self.values) + m
        self._set_up(tape, n, p, None, None, True, 0)

    cdef bint take(self, double t, const double* x) noexcept nogil:
        """Remember what they are here; False if that cannot be told."""
        return Recorded.holds(self, t, x, self.first)

    cdef bint holds(self, double t, const double* x, double* dx) noexcept nogil:
        """Whether they are what they were."""
        return Recorded.holds(self, t, x, self.found) and memcmp(self.found, self.first, self.m * sizeof(double)) == 0

    cdef double error_of_step(self, double t, const double* x, double error) noexcept nogil:
        """The error of a step to here as it counts: more if it passes a kink, over which the estimate has not its order."""
        if self.holds(t, x, self.found):
            return error
        if error >= AT_KINK:
            return error / AT_KINK
        self.take(t, x)
        return error


cdef class Resetting(Recorded):
    """A reset of the state in place, with its W tangents, at an instant that does not move.

    Parameters
    ----------
    tape : Tape
        Binds x, p (unless it is empty), t, and with W > 0 their shadows.
    n, p, find
        As in `Recorded`.
    directions : (W, n_p) array
        What p moves along.
    """

    def __init__(self, Tape tape, int64_t n, p, directions, find):
        cdef int64_t slot
        self.n_x, self.width, self.find = n, len(directions), find
        self.n = n * (1 + self.width)
        self.p, self.shadow_p = np.array(p, dtype=np.float64), np.array(directions, dtype=np.float64)
        self.rates = np.zeros(max(self.width, 1))
        slot = self._bind_p_and_t(1)
        if self.width:
            self.slot_d_x = slot
            slot += 1
            if self.n_p:
                self._assign(slot, self.shadow_p)
                slot += 1
            self._assign(slot, self.rates)
            slot += 1
        self._complete(tape, slot)

    def share_p(self, Recorded other):
        """Have p where another one has it."""
        self.p = other.p
        if self.n_p:
            self._assign(1, self.p)
        self._switch(self.branch)

    cdef Outcome apply(self, double t, double* x) noexcept nogil:
        self.t = t
        self._place(self.slot_x, x)
        if self.width:
            self._place(self.slot_d_x, x + self.n_x)
        return self._run()


cdef class Tangents(Recorded):
    """The right-hand side with W tangents: its state is x, then the W sensitivities of x, each of n numbers.

    Parameters
    ----------
    tape : Tape
        Of the forward program with shadows of dx, x and p (unless it is empty) of width W.
    n, p, find
        As in `Recorded`.
    directions : (W, n_p) array
        What p moves along; shape (W, 0) without parameters.
    n_saved : int
        Numbers that each evaluation leaves where `saved` points to; the tape binds them last.
    """

    def __init__(self, Tape tape, int64_t n, p, directions, find=None, int64_t n_saved=0):
        self._set_up(tape, n, p, find, directions, True, n_saved)
        self.n = n * (1 + self.width)

    cdef Outcome value(self, double t, const double* x, double* dx) noexcept nogil:
        self.t = t
        self._place(self.slot_dx, dx)
        self._place(self.slot_x, x)
        self._place(self.slot_d_dx, dx + self.n_x)
        self._place(self.slot_d_x, x + self.n_x)
        if self.n_saved:
            self._place(self.slot_saved, self.saved)
        return self._run()

    def move(self, directions):
        """Let p move along other directions."""
        self.shadow_p[...] = directions
        self.settled = False


cdef class Sums:
    """Products that are added to the cotangent of p for many evaluations at once.

    Parameters
    ----------
    tape : Tape
        Binds the cotangent of p, then the factors that so many evaluations leave.
    whole : Cotangents
        Whose cotangent of p it is.
    size : int
        Numbers that an evaluation leaves.
    adds : bool
        Whether it adds them to those of the evaluations before.
    """

    def __init__(self, Tape tape, Cotangents whole, int64_t size, bint adds=False):
        if tape.code.n_bound != 2 or tape.code.slots[0].size != whole.n_p or tape.code.slots[1].size % size:
            raise ValueError("the tape does not fit")
        self.tape, self.size, self.runs, self.target = tape.clone(), size, tape.code.slots[1].size // size, whole.shadow_p
        self.owner = np.zeros((self.runs, size))
        self.factors = floats(self.owner)
        self.adds = adds
        self.tape.bind(0, <char*> floats(self.target))
        self.tape.bind(1, <char*> self.factors)

    cdef double* row(self) noexcept nogil:
        """Where the next evaluation leaves its factors."""
        return self.factors if self.adds else self.factors + self.waiting * self.size

    cdef void take(self) noexcept nogil:
        """Have the factors of one more."""
        self.waiting += 1
        if self.waiting == self.runs and not self.adds:
            self.settle()

    cdef void settle(self) noexcept nogil:
        """Add what is waiting."""
        if not self.waiting:
            return
        if not self.adds:
            memset(self.row(), 0, (self.runs - self.waiting) * self.size * sizeof(double))
        self.tape.execute(WHOLE)
        self.forget()

    cdef void forget(self) noexcept nogil:
        """Let nothing be waiting."""
        if self.adds and self.waiting:
            memset(self.factors, 0, self.size * sizeof(double))
        self.waiting = 0


cdef class Cotangents(Recorded):
    """Cotangents of the right-hand side; that of p accumulates here.

    Parameters
    ----------
    tape : Tape
        Of the reverse program with shadows of dx, x and p (unless it is empty), which does not bind dx itself.
    n, p, find
        As in `Recorded`.
    n_saved : int
        Numbers that an evaluation has left where `saved` points to, for the tape to begin behind them; it binds them last.
    whole : Cotangents, optional
        Those that begin at the beginning; p and its cotangent are theirs.
    later : Sums, optional
        What the tape leaves factors for, which it binds last of all.
    """

    def __init__(self, Tape tape, int64_t n, p, find=None, int64_t n_saved=0, Cotangents whole=None, Sums later=None):
        self.later = later
        self._set_up(tape, n, p, find, np.zeros((1, np.size(p))), False, n_saved, later is not None)
        if whole is not None:
            self.p, self.shadow_p = whole.p, whole.shadow_p
            if self.n_p:
                self._assign(self.slot_x + 1, self.p)
                self._assign(self.slot_d_x + 1, self.shadow_p)
            self._switch(0)

    @property
    def p_bar(self):
        """The cotangent of p, accumulated since the last `begin`."""
        return self.shadow_p[0]

    def begin(self, Tape tape, p):
        self.shadow_p[...] = 0
        Recorded.begin(self, tape, p)

    cdef Outcome pull(self, double t, const double* x, double* covector, double* x_bar) noexcept nogil:
        """Add J^T covector to x_bar and f_p^T covector to p_bar, some of it later; the covector is used up."""
        cdef Outcome outcome
        self.t = t
        self._place(self.slot_x, x)
        self._place(self.slot_d_dx, covector)
        self._place(self.slot_d_x, x_bar)
        if self.n_saved:
            self._place(self.slot_saved, self.saved)
        if self.later is not None:
            self._place(self.slot_factors, self.later.row())
        outcome = self._run()
        if self.later is not None:
            self.later.take()
        return outcome if outcome != DONE else self.count()
