"""Solves of one problem for many initial values and parameters, as many side by side as there are lanes.

Members that do not go smoothly on lanes are solved one by one afterwards, which tells what is to be done about them.
"""

cimport numpy as cnp
from cpython.time cimport monotonic
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from ._arrays cimport floats, integers
from ._batch cimport LISTEN, RAISED_ERROR, SOLVED, WAITING, Batch, Members, Runner
from ._core cimport Tape
from ._lanes cimport ODEAD_MEMBERS, Lanes, Those, Trails
from ._lanes_adjoint cimport LanesAdjoint
from ._system cimport DONE, RAISED, Outcome

cnp.import_array()

WIDTH = ODEAD_MEMBERS


cdef class LanesBatch(Runner):
    """Members side by side.

    Parameters
    ----------
    batch : Batch
        Solves one of them, by an explicit method.
    members : int
        The most that there will be at once.
    budget : float
        Bytes for the steps of all of them.
    tape : Tape
        The program of the right-hand side of the loop on lanes.
    pulling, again : Tape, optional
        For the adjoint: the program of the cotangents, and that of the right-hand side without sensitivities, on lanes.
    """

    def __init__(self, Batch batch not None, int64_t members, double budget, Tape tape not None, Tape pulling=None,
                 Tape again=None):
        cdef Trails trails = None
        self.batch = batch
        if batch.adjoint is not None:
            trails = Trails(members, batch.n, batch.loop.method.stages, budget)
        self.lanes = Lanes(batch, tape, trails)
        if batch.adjoint is not None:
            self.adjoint = LanesAdjoint(batch, trails, pulling, again)

    def run(self, Members members not None, cnp.ndarray times not None, double t0, double t1, int64_t first):
        cdef Batch batch = self.batch
        cdef int64_t k = first, n = batch.n, m = batch.m, n_p = batch.n_p, width = batch.size // n
        cdef Those those
        cdef Outcome outcome = DONE
        cdef double since
        if times.size != m or members.out.shape[1] != m or members.out.shape[2] != batch.size or members.p.shape[1] != n_p \
                or (batch.loss is not None and members.cotangents.shape[0] != members.count) \
                or (self.adjoint is not None and members.count > self.lanes.trails.members):
            raise ValueError("the members do not fit")
        batch._resume()
        self.error = None
        self.lanes.resume()
        batch.times, batch.t0, batch.t1 = floats(times), t0, t1
        those.count = members.count
        those.x0, those.p, those.out, those.y = floats(members.x0), floats(members.p), floats(members.out), floats(members.y)
        those.cotangents, those.loss = floats(members.cotangents), floats(members.loss)
        those.by_p, those.by_x0, those.sums = floats(members.by_p), floats(members.by_x0), floats(members.sums)
        those.counts, those.states = integers(members.counts), integers(members.states)
        self.lanes.those = those
        if self.adjoint is not None:
            self.adjoint.resume()
            self.adjoint.those = those
        with nogil:
            since = monotonic()
            if first == 0 and t0 != t1:
                outcome = self._solve_all()
            if outcome == RAISED:
                those.states[0] = RAISED_ERROR
                k = 1
            while k < those.count and outcome == DONE:
                if those.states[k] != SOLVED:
                    those.states[k] = batch._solve(
                        those.x0 + k * n, those.p + k * n_p, those.out + k * m * batch.size, those.y + k * n * m,
                        those.cotangents + k * n * m, those.loss + k, those.by_p + k * n_p, those.by_x0 + k * n,
                        those.sums + k * width, those.counts + 5 * k,
                    )
                k += 1
                if those.states[k - 1] == RAISED_ERROR or monotonic() - since > LISTEN:
                    break
        if k and those.states[k - 1] == RAISED_ERROR:
            self.error = [system.error for system in batch.systems if system.error is not None][0]
        return k

    cdef Outcome _solve_all(self) noexcept nogil:
        """Solve what goes smoothly; RAISED by Ctrl-C only."""
        cdef Those* those = &self.lanes.those
        cdef int64_t k, n = self.batch.n, m = self.batch.m, n_p = self.batch.n_p
        cdef Outcome outcome = self.lanes.advance()
        if outcome != DONE or self.batch.loss is None:
            return outcome
        for k in range(those.count):
            if those.states[k] != SOLVED:
                continue
            if not self.batch._differentiate_loss(those.p + k * n_p, those.y + k * n * m):
                those.states[k] = WAITING
                continue
            those.loss[k] = self.batch.value[0]
            memcpy(those.cotangents + k * n * m, self.batch.y_bar, n * m * sizeof(double))
            memcpy(those.by_p + k * n_p, self.batch.loss_p_bar, n_p * sizeof(double))
        return DONE if self.adjoint is None else self.adjoint.sweep()
