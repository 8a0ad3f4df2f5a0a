"""Record: the steps of a solve, kept for its result and for the way back."""

import numpy as np

cimport numpy as cnp
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from ._arrays cimport grow
from ._system cimport DONE, NO_MEMORY, Outcome

cdef extern from "_pages.h" nogil:
    void odead_use_large_pages(void* data, int64_t bytes)

cnp.import_array()

cdef enum:
    SPARES = 4                  # records whose memory is kept
    LEAST_SPARE = 1 << 16       # bytes: below, the C library has it at hand
    MOST_SPARE = 1 << 27        # of all together
    LARGE = 1 << 20             # bytes: where 16 steps take as much, or those so far four times as much,
    RESERVED = 1 << 27          # as many are reserved: pages are taken as they are used, and nothing is copied when it grows


cdef struct Spare:
    int64_t n
    int64_t rows
    double budget
    int64_t used                # bytes
    double* x
    double* k
    int64_t room_for_states
    int64_t room_for_stages


# Memory of records that are gone, for the next ones of their kind: new memory costs more than what is done with it. A
# gradient on 1001 states by Rodas5P took 8.8 ms with memory that came from the system each time, and 5.4 ms with this. Needs
# the GIL.
cdef Spare spares[SPARES]
cdef int64_t next_spare = 0


cdef object copy_of(double* data, cnp.npy_intp* shape, int ndim):
    """An array of what is stored there now: storage moves when it grows."""
    if data == NULL:
        return np.zeros([shape[k] for k in range(ndim)])
    return cnp.PyArray_SimpleNewFromData(ndim, shape, cnp.NPY_FLOAT64, data).copy()


cdef inline int64_t _bytes(int64_t n, int64_t vectors) noexcept nogil:
    return n * vectors * sizeof(double)


cdef class Record:
    """The steps taken: time and state at each end, and stages.

    What is kept is given up when the budget is used: first what the evaluations have saved, then all stages, then every second
    state, again and again. What is missing is computed again from the states that are left.

    Parameters
    ----------
    n : int
        Numbers to keep of each state and stage, from its start.
    rows : int
        Stages to keep of each step.
    budget : float
        Bytes for all of it. Half of it is for the states between two that were kept, when they are computed again.
    n_saved : int
        Numbers that the evaluations of a step save.
    n_matrix : int
        Numbers of the linearisations of a step, to be saved too.
    most_saved : float
        Bytes of the budget for these; what the first steps save is kept.
    """

    def __cinit__(self, int64_t n, int64_t rows, double budget=INFINITY, int64_t n_saved=0, int64_t n_matrix=0,
                  double most_saved=INFINITY):
        self.n, self.rows, self.budget, self.stride, self.interpolated = n, rows, budget, 1, rows > 0
        self.n_saved, self.n_matrix, self.most_saved = n_saved + n_matrix, n_matrix, most_saved
        self.asked = rows
        self._take_spare()

    def __dealloc__(self):
        self._leave_spare()
        free(self.t)
        free(self.x)
        free(self.k)
        free(self.saved)
        free(self.order)

    cdef void _take_spare(self):
        cdef Spare* spare
        cdef int64_t j
        for j in range(SPARES):
            spare = &spares[j]
            if spare.x != NULL and spare.n == self.n and spare.rows == self.asked and spare.budget == self.budget:
                self.x, self.room_for_states = spare.x, spare.room_for_states
                self.k, self.room_for_stages = spare.k, spare.room_for_stages
                self.used = spare.used
                spare.x = spare.k = NULL
                spare.used = 0
                return

    cdef void _leave_spare(self):
        """Keep its memory, instead of that which was left before it."""
        global next_spare
        cdef Spare* spare
        cdef int64_t j, total = 0
        self.used = max(self.used, _bytes(self.n, self.kept + self.asked * self.count))
        if self.rows != self.asked or self.x == NULL or not LEAST_SPARE <= self.used <= MOST_SPARE:
            return
        for j in range(SPARES):
            total += spares[j].used
        for j in range(SPARES):  # from the oldest on
            spare = &spares[(next_spare + j) % SPARES]
            if j == 0 or total + self.used > MOST_SPARE:
                free(spare.x)
                free(spare.k)
                total -= spare.used
                spare.x = spare.k = NULL
                spare.used = 0
        spare = &spares[next_spare]
        next_spare = (next_spare + 1) % SPARES
        spare.n, spare.rows, spare.x, spare.k = self.n, self.asked, self.x, self.k
        spare.room_for_states, spare.room_for_stages = self.room_for_states, self.room_for_stages
        spare.budget, spare.used = self.budget, self.used
        self.x = self.k = NULL

    cdef Outcome begin(self, double t, const double* x) noexcept nogil:
        """Forget all steps and start at (t, x)."""
        self.used = max(self.used, _bytes(self.n, self.kept + self.asked * self.count))
        self.count, self.kept, self.stride = 0, 0, 1
        if not self._reserve_times(128) or not self._reserve_states(16):
            return NO_MEMORY
        self.t[0] = t
        memcpy(self.x, x, self.n * sizeof(double))
        self.kept = 1
        return DONE

    cdef Outcome turn(self, const double* x) noexcept nogil:
        """Go on from another state than the last one; NO_MEMORY if states are computed again, which would pass that by."""
        if self.stride > 1:
            return NO_MEMORY
        memcpy(self.x + (self.kept - 1) * self.n, x, self.n * sizeof(double))
        return DONE

    cdef Outcome add(self, double t, const double* x, const double* k, int64_t stride) noexcept nogil:
        """Append a step that ends at (t, x)."""
        cdef int64_t j
        if self.count + 1 >= self.room_for_times and not self._reserve_times(2 * self.count):
            return NO_MEMORY
        if self.rows and self.count >= self.room_for_stages and not self._reserve_stages(max(2 * self.count, 16)):
            return NO_MEMORY
        for j in range(self.rows):
            memcpy(self.k + (self.count * self.rows + j) * self.n, k + j * stride, self.n * sizeof(double))
        self.count += 1
        self.t[self.count] = t
        if self.count % self.stride == 0:
            return self._keep(x)
        return DONE

    cdef Outcome _keep(self, const double* x) noexcept nogil:
        if self.kept >= self.room_for_states and not self._reserve_states(2 * self.kept):
            return NO_MEMORY
        if self.count % self.stride == 0:  # the stride may just have doubled
            memcpy(self.x + self.kept * self.n, x, self.n * sizeof(double))
            self.kept += 1
        return DONE

    cdef double* place(self) noexcept nogil:
        """Where the next step can save; NULL if it cannot."""
        if not self.n_saved or (self.count >= self.room_for_saved and not self._reserve_saved()):
            return NULL
        return self.saved + self.count * self.n_saved

    cdef void save_matrix(self, const double* values) noexcept nogil:
        """Save the linearisation of the next step, if there is room."""
        self.save_part(0, values, self.n_matrix)

    cdef bint load_matrix(self, int64_t number, double* values) noexcept nogil:
        """Have the linearisation of a step; False if it was not saved."""
        return self.load_part(number, 0, values, self.n_matrix)

    cdef void save_part(self, int64_t part, const double* values, int64_t size) noexcept nogil:
        """Save one of several linearisations of the next step, each of this size, if there is room."""
        cdef double* place = NULL
        if 0 < (part + 1) * size <= self.n_matrix:
            place = self.place()
        if place != NULL:
            memcpy(place + self.n_saved - self.n_matrix + part * size, values, size * sizeof(double))

    cdef bint load_part(self, int64_t number, int64_t part, double* values, int64_t size) noexcept nogil:
        """Have one of these of a step; False if they were not saved."""
        if not 0 < (part + 1) * size <= self.n_matrix or number >= self.room_for_saved:
            return False
        memcpy(values, self.saved + (number + 1) * self.n_saved - self.n_matrix + part * size, size * sizeof(double))
        return True

    cdef void give_up_saved(self) noexcept nogil:
        free(self.saved)
        self.saved, self.n_saved, self.n_matrix, self.room_for_saved = NULL, 0, 0, 0

    cdef double bytes_of_saved(self) noexcept nogil:
        return <double> self.room_for_saved * self.n_saved * sizeof(double)

    cdef bint _reserve_times(self, int64_t room) noexcept nogil:
        if room <= self.room_for_times:
            return True
        if not (grow(<void**> &self.t, room * sizeof(double)) and grow(<void**> &self.order, room)):
            return False
        self.room_for_times = room
        return True

    cdef int64_t _with_reserve(self, int64_t item, int64_t room, double most) noexcept nogil:
        """The room to have where so much is needed, of items of so many bytes."""
        if 16 * item < LARGE and item * room < 4 * LARGE:
            return room
        return max(room, <int64_t> (min(most, <double> RESERVED) / item))

    cdef bint _reserve_stages(self, int64_t room) noexcept nogil:
        cdef int64_t item = self.rows * self.n * sizeof(double)
        room = self._with_reserve(item, room, self.budget / 4)
        if item * room + self.kept * self.n * sizeof(double) + self.bytes_of_saved() > self.budget:
            self.give_up_saved()
        if item * room + self.kept * self.n * sizeof(double) > self.budget:
            free(self.k)
            self.k, self.rows, self.room_for_stages = NULL, 0, 0
            return True
        if not grow(<void**> &self.k, item * room + 1):
            return False
        odead_use_large_pages(self.k, item * room)
        self.room_for_stages = room
        return True

    cdef bint _reserve_saved(self) noexcept nogil:
        """Have room for what the next step saves, as long as all that was saved before is there."""
        cdef int64_t item = self.n_saved * sizeof(double), room = max(2 * self.count, 16)
        cdef double left = self.budget - <double> self.n * (self.rows * self.room_for_stages + self.kept) * sizeof(double)
        if item * room > self.most_saved:
            room = <int64_t> (self.most_saved / item)
        if self.count > self.room_for_saved or room <= self.count or item * room > left:
            return False
        if not grow(<void**> &self.saved, item * room):
            return False
        self.room_for_saved = room
        return True

    cdef bint _reserve_states(self, int64_t room) noexcept nogil:
        cdef int64_t item = self.n * sizeof(double)
        cdef int64_t most
        most = room = self._with_reserve(item, room, self.budget / 2)
        if item * (room + self.rows * self.room_for_stages) + self.bytes_of_saved() > self.budget:
            self.give_up_saved()
        if item * room > self.budget / 2:
            most = <int64_t> (self.budget / 2 / item)
            if most <= self.kept:
                return self._thin(most)
        if most <= self.room_for_states:
            return True
        if not grow(<void**> &self.x, item * most + 1):
            return False
        odead_use_large_pages(self.x, item * most)
        self.room_for_states = most
        return True

    cdef bint _thin(self, int64_t most) noexcept nogil:
        """Drop every second state; False if those between two that are left would not fit into the other half."""
        cdef int64_t j
        if self.kept < 2 or 2 * self.stride > most:
            return False
        self.stride *= 2
        self.kept = (self.kept + 1) // 2
        for j in range(1, self.kept):
            memcpy(self.x + j * self.n, self.x + 2 * j * self.n, self.n * sizeof(double))
        return True

    @property
    def bytes_saved(self):
        """What the evaluations and linearisations that were saved take."""
        return <int64_t> self.bytes_of_saved()

    @property
    def times(self):
        """Times of the states, shape (count + 1,)."""
        cdef cnp.npy_intp shape = self.count + 1
        return copy_of(self.t, &shape, 1)

    @property
    def states(self):
        """Those that are kept, shape (kept, n)."""
        cdef cnp.npy_intp[2] shape = [self.kept, self.n]
        return copy_of(self.x, shape, 2)

    def states_between(self, int64_t start, int64_t stop):
        """Some of those that are kept, shape (stop - start, n)."""
        cdef cnp.npy_intp[2] shape = [min(stop, self.kept) - start, self.n]
        return copy_of(self.x + start * self.n, shape, 2)

    @property
    def slopes(self):
        """The stages of each step, shape (count, rows, n)."""
        cdef cnp.npy_intp[3] shape = [self.count, self.rows, self.n]
        return copy_of(self.k, shape, 3)
