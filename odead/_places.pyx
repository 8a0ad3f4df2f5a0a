"""The scans of the passes that look at where values live, of `compact`, of `roll`, and of what the reverse sweep must save.

Each function or class here is the loop of the file in `transform` that imports it and documents it.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport int64_t
from libc.string cimport memset

from ._elements cimport clear, latest, mark, stamp
from ._scan cimport Scan, buffer_of, is_scalar, moved, offset_of, updates_in_place

from .tape import Role
from .views import View

cdef object TEMP = Role.TEMP, CONSTANT = Role.CONSTANT, ARGUMENT = Role.ARGUMENT
cdef tuple NO_AXES = ()


# ------------------------------------------------------------------------------------------------------------- rename


cdef class Values:
    """The values that one buffer holds in turn, numbered from the last, found backwards."""

    cdef bytearray _live, _written
    cdef char* live
    cdef char* written
    cdef readonly Py_ssize_t size, number
    cdef Py_ssize_t needed, missing
    cdef readonly bint is_argument
    cdef bint ended             # whether the instructions seen so far make up the value, from its first write on

    def __cinit__(self, Py_ssize_t size, bint is_argument):
        self.size, self.is_argument = size, is_argument
        self._live, self._written = bytearray(size), bytearray(size)
        self.live, self.written = PyByteArray_AS_STRING(self._live), PyByteArray_AS_STRING(self._written)
        memset(self.live, is_argument, size)
        self.needed = size if is_argument else 0
        self.missing = size

    cdef int step_back(self) except -1:
        """Begin an earlier value where this one is complete."""
        if self.ended:
            self.number += 1
            memset(self.written, 0, self.size)
            self.missing = self.size
            self.ended = False
        return 0

    cdef Py_ssize_t write(self, tuple view, bint partly) except -1:
        self.step_back()
        if not partly:
            self.needed -= clear(self.live, view)
            self.missing -= mark(self.written, view)
            self.ended = self.needed == 0 and self.missing == 0
        return self.number

    cdef Py_ssize_t read(self, tuple view) except -1:
        self.step_back()
        self.needed += mark(self.live, view)
        return self.number

    @property
    def entered(self):
        """Whether the first value is that with which an argument is entered."""
        return self.is_argument and self.needed > 0

    @property
    def is_split(self):
        return self.number > self.entered


def values_of(program):
    """The `Values` of each buffer that may hold several in turn, and where they are touched.

    The latter as (position, number of the value written, numbers of the values read) where one of these is not 0.
    """
    cdef Scan scan = Scan(program)
    cdef list held = [None] * scan.many, touching = [], reads
    cdef Py_ssize_t b, k, number, value
    cdef object out, view, tracked
    cdef bint is_argument, several, any_tracked = False
    for b in range(scan.many):
        is_argument = (<tuple> scan.buffers[b])[2] is ARGUMENT
        if scan.size[b] and (scan.count[b] if is_argument else scan.is_temp[b] and scan.count[b] > 1):
            held[b] = Values(scan.size[b], is_argument)
            any_tracked = True
    if not any_tracked:
        return {}, touching
    for k in range(scan.length - 1, -1, -1):
        out, number, several = scan.out[k], 0, False
        if out is not None:
            tracked = held[buffer_of(<tuple> out)]
            if tracked is not None:
                number = (<Values> tracked).write(<tuple> out, updates_in_place(scan.op[k]))
                several = number > 0
        reads = []
        for view in <tuple> scan.ins[k]:
            tracked = held[buffer_of(<tuple> view)]
            if tracked is None:
                reads.append(0)
            else:
                value = (<Values> tracked).read(<tuple> view)
                reads.append(value)
                several = several or value > 0
        if several:
            touching.append((k, number, reads))
    return {b: tracked for b, tracked in enumerate(held) if tracked is not None}, touching


# ------------------------------------------------------------------------------------------------------------ compact


def uses(program):
    """The buffers of a program in the order of their first use, those that are bound before."""
    cdef list found = []
    cdef Scan scan = Scan(program)
    cdef char* met = scan.zeros(scan.many)
    cdef Py_ssize_t k, b
    cdef object view, out
    for number in (*program.arguments, *program.results):
        b = number
        if not met[b]:
            met[b] = 1
            found.append(number)
    for k in range(scan.length):
        for view in <tuple> scan.ins[k]:
            b = buffer_of(<tuple> view)
            if not met[b]:
                met[b] = 1
                found.append(b)
        out = scan.out[k]
        if out is not None and not met[buffer_of(<tuple> out)]:
            b = buffer_of(<tuple> out)
            met[b] = 1
            found.append(b)
    return found


def renumbered(program, list numbers):
    """The columns `out` and `ins` with other numbers of buffers."""
    cdef list out = program.out, ins = program.ins, new_out = [], new_ins = []
    cdef Py_ssize_t k
    cdef object view
    for k in range(len(out)):
        view = out[k]
        new_out.append(None if view is None else _renumbered(<tuple> view, numbers))
        new_ins.append(tuple([_renumbered(<tuple> view, numbers) for view in <tuple> ins[k]]))
    return new_out, new_ins


cdef inline tuple _renumbered(tuple view, list numbers):
    cdef Py_ssize_t old = buffer_of(view), new = numbers[old]
    return view if new == old else moved(view, new)


# --------------------------------------------------------------------------------------------------------------- roll


def views_in_columns(list out, list ins, int64_t[:, ::1] buffer, int64_t[:, ::1] offset, int64_t[:, ::1] layout):
    """Fill the columns of `roll`: row 0 from the results, the others from the operands."""
    cdef dict layouts = {(NO_AXES, NO_AXES): 1}
    cdef Py_ssize_t k, row
    cdef object view
    for k in range(len(out)):
        if out[k] is not None:
            _put_view(<tuple> out[k], 0, k, buffer, offset, layout, layouts)
        row = 1
        for view in <tuple> ins[k]:
            _put_view(<tuple> view, row, k, buffer, offset, layout, layouts)
            row += 1


cdef int _put_view(tuple view, Py_ssize_t row, Py_ssize_t k, int64_t[:, ::1] buffer, int64_t[:, ::1] offset,
                   int64_t[:, ::1] layout, dict layouts) except -1:
    cdef tuple key
    buffer[row, k], offset[row, k] = buffer_of(view), offset_of(view)
    if is_scalar(view):
        layout[row, k] = 1
    else:
        key = (view[2], view[3])
        layout[row, k] = layouts.setdefault(key, len(layouts) + 1)
    return 0


def recurring(const int64_t[::1] signature, const char[::1] free, Py_ssize_t period, Py_ssize_t least):
    """Ranges (start, stop) of free instructions, each of which recurs `period` later, at least `least` times in a row."""
    cdef list found = []
    cdef Py_ssize_t k, start = 0, end = len(signature) - period
    for k in range(end + 1):
        if k == end or signature[k] != signature[k + period] or not (free[k] and free[k + period]):
            if k - start >= least and k > start:
                found.append((start, k + period))
            start = k + 1
    return found


cdef inline int64_t _key(const int64_t[:, ::1] buffer, const int64_t[::1] first, const int64_t[::1] last,
                         const char[::1] is_temp, const char[::1] is_number, Py_ssize_t c, Py_ssize_t start, Py_ssize_t period,
                         Py_ssize_t r, Py_ssize_t k) noexcept:
    """`Region.key` of an operand, with another number for all literals."""
    cdef int64_t b = buffer[c, start + r * period + k]
    cdef int64_t begin = start + r * period
    if b < 0:
        return -1
    if is_number[b]:
        return -2 - period
    if is_temp[b] and begin <= first[b] < begin + period and begin <= last[b] < begin + period:
        return -2 - (first[b] - begin)
    return b


def may_roll(const int64_t[:, ::1] buffer, const int64_t[:, ::1] offset, const int64_t[::1] first, const int64_t[::1] last,
             const char[::1] is_temp, const char[::1] is_number, const char[::1] is_copy, Py_ssize_t start,
             Py_ssize_t period, Py_ssize_t count, double erratic, Py_ssize_t steps, Py_ssize_t least):
    """Whether the slots of a `Region` that are not erratic, if any, go on as before for `least` iterations together."""
    cdef Py_ssize_t k, r, c, breaks, run = 0
    cdef int64_t key, before, place, step, last_step
    cdef double most = erratic * (count - 2) + 1e-9
    cdef bint follows, followed, steady, always, any_slot = False
    cdef bytearray continued = bytearray(count), straight = bytearray(count)
    cdef char* now = PyByteArray_AS_STRING(continued)
    cdef char* broken = PyByteArray_AS_STRING(straight)
    for k in range(period):
        breaks, followed, always = 0, True, True
        for r in range(1, count):
            follows, steady = True, True
            for c in range(buffer.shape[0]):
                key = _key(buffer, first, last, is_temp, is_number, c, start, period, r, k)
                before = _key(buffer, first, last, is_temp, is_number, c, start, period, r - 1, k)
                follows = follows and key == before
                if r > 1 and key != -2 - period:
                    place = offset[c, start + r * period + k]
                    step = place - offset[c, start + (r - 1) * period + k]
                    last_step = offset[c, start + (r - 1) * period + k] - offset[c, start + (r - 2) * period + k]
                    steady = steady and step == last_step
            now[r] = not (follows and followed and steady)
            breaks += r > 1 and now[r]
            followed, always = follows, always and follows
            if breaks > most and not always:
                break
        if breaks <= most:
            any_slot = True
            for r in range(2, count):
                broken[r] |= now[r]
        elif always and count - 1 > steps and is_copy[start + k] and _gathers(buffer, offset, start, period, count, k, most):
            any_slot = True
    if not any_slot:
        return False
    for r in range(2, count):
        run = 0 if broken[r] else run + 1
        if run >= least:
            return True
    return False


cdef bint _gathers(const int64_t[:, ::1] buffer, const int64_t[:, ::1] offset, Py_ssize_t start, Py_ssize_t period,
                   Py_ssize_t count, Py_ssize_t k, double most) noexcept:
    """Whether a copy loads elements of one array, or stores them, at places without a pattern."""
    cdef Py_ssize_t r, c, at, breaks
    for c in range(2):
        breaks = 0
        for r in range(1, count):
            at = start + r * period + k
            if buffer[c, at] != buffer[c, at - period]:
                breaks = -1
                break
            if r > 1 and offset[c, at] - offset[c, at - period] != offset[c, at - period] - offset[c, at - 2 * period]:
                breaks += 1
        if breaks > most:
            return True
    return False


def aligned(const int64_t[:, ::1] buffer, const int64_t[::1] first, const char[::1] is_temp, Py_ssize_t start,
            Py_ssize_t period):
    """Where an iteration begins: the first position that the fewest temporaries reach across."""
    cdef bytearray memory = bytearray((2 * period + 1) * sizeof(int64_t))
    cdef int64_t* reach = <int64_t*> PyByteArray_AS_STRING(memory)
    cdef int64_t b, crossing, least = 0
    cdef Py_ssize_t c, k, best = 0
    for k in range(start + period, start + 2 * period):
        for c in range(buffer.shape[0]):
            b = buffer[c, k]
            if b >= 0 and is_temp[b] and start <= first[b] < k and k - first[b] < period:
                reach[first[b] + 1 - start] += 1
                reach[k + 1 - start] -= 1
    for k in range(1, 2 * period):
        reach[k] += reach[k - 1]
    for k in range(period):
        crossing = reach[k] + reach[k + period]
        if k == 0 or crossing < least:
            best, least = k, crossing
    return start + best


def numbered(items, int64_t[::1] numbers):
    """Number the distinct items in the order in which they come."""
    cdef dict known = {}
    cdef Py_ssize_t k = 0
    cdef object item, found
    for item in items:
        found = known.get(item)
        if found is None:
            found = known[item] = len(known)
        numbers[k] = found
        k += 1


def kinds(list buffers, int64_t[::1] kind, int64_t[::1] size, char[::1] is_temp, char[::1] is_number):
    """Fill what `roll` knows about buffers.

    `kind` is equal for temporaries of one dtype and size, and for constants of one dtype.
    """
    cdef dict known = {}
    cdef tuple buffer
    cdef object key
    cdef Py_ssize_t b
    for b in range(len(buffers)):
        buffer = <tuple> buffers[b]
        size[b] = buffer[1]
        is_temp[b] = buffer[2] is TEMP
        is_number[b] = buffer[2] is CONSTANT and size[b] == 1
        if is_temp[b]:
            key = (buffer[0], buffer[1])
        else:
            key = buffer[0] if buffer[2] is CONSTANT else b
        kind[b] = known.setdefault(key, len(known))


# --------------------------------------------------------------------------------------------------------------- sums


cdef class Chain:
    """Additions, each of which takes the result of the one before and an element that lies `step` further on."""

    cdef readonly object start  # what the first element is added to
    cdef readonly object first
    cdef object last
    cdef Py_ssize_t step
    cdef readonly Py_ssize_t count

    def __cinit__(self, tuple ins):
        self.start, self.first, self.last = ins[0], ins[1], ins[1]
        self.count = 1

    cdef bint extended(self, object term) except -1:
        """Take one more element, if it continues."""
        cdef Py_ssize_t step
        if self.count == 1 and not _alike(<tuple> term, <tuple> self.first):  # then the first was the left operand
            self.start, self.first, self.last = self.first, self.start, self.start
        if not _alike(<tuple> term, <tuple> self.last):
            return False
        step = offset_of(<tuple> term) - offset_of(<tuple> self.last)
        if self.count > 1 and step != self.step:
            return False
        self.step, self.last = step, term
        self.count += 1
        return True

    @property
    def terms(self):
        """The view of all elements."""
        buffer, offset, shape, strides = self.first
        return View(buffer, offset, (*shape, self.count), (*strides, self.step))


cdef inline bint _alike(tuple a, tuple b) except -1:
    if buffer_of(a) != buffer_of(b):
        return False
    return (is_scalar(a) and is_scalar(b)) or (a[2] == b[2] and a[3] == b[3])


def chains(program, Py_ssize_t least):
    """The chains of `least` additions or more, by their last instruction; nothing that they read changes meanwhile."""
    cdef Scan scan = Scan(program)
    cdef int* reads = scan.numbers(scan.many)  # less one
    cdef int* end = scan.numbers(scan.many)  # by temporary that nothing else reads: the addition that gives a partial sum
    cdef list at = [None] * scan.length
    cdef Py_ssize_t k, b
    cdef object view, out
    cdef Chain chain
    cdef bint stable
    for k in range(scan.length):
        for view in <tuple> scan.ins[k]:
            reads[buffer_of(<tuple> view)] += 1
    for k in range(scan.length):
        if k == scan.split:
            memset(end, 0xFF, scan.many * sizeof(int))
        out = scan.out[k]
        if out is None or scan.op[k] != "add":
            continue
        stable = True
        for view in <tuple> scan.ins[k]:
            b = buffer_of(<tuple> view)
            stable = stable and (scan.single[b] or not scan.count[b])
        if not stable:
            continue
        chain = _continued(scan, at, end, <tuple> scan.ins[k])
        at[k] = Chain(scan.ins[k]) if chain is None else chain
        b = buffer_of(<tuple> out)
        if scan.single[b] and reads[b] == 0 and scan.is_whole(<tuple> out):
            end[b] = k
    return {k: chain for k, chain in enumerate(at) if chain is not None and chain.count >= least}


cdef Chain _continued(Scan scan, list at, int* end, tuple ins):
    """The chain that an addition continues, removed from where it ended so far; None if there is none."""
    cdef Py_ssize_t place
    cdef int k
    cdef Chain chain
    for place in range(2):
        k = end[buffer_of(<tuple> ins[place])]
        if k >= 0 and scan.out[k] == ins[place]:
            chain = at[k]
            if chain.extended(ins[1 - place]):
                at[k] = None
                return chain
    return None


def adds_to_elements(list op, list out, list ins, Py_ssize_t least):
    """Whether so many scalars are stored that the instruction before has added up."""
    cdef Py_ssize_t k, count = 0
    cdef object target, total
    for k in range(1, len(op)):
        target, total = out[k], out[k - 1]
        if target is None or total is None or not is_scalar(<tuple> target) or not is_scalar(<tuple> total):
            continue
        if op[k] == "copy" and (op[k - 1] == "add" or op[k - 1] == "sub") \
                and buffer_of(<tuple> (<tuple> ins[k])[0]) == buffer_of(<tuple> total):
            count += 1
            if count >= least:
                return True
    return False


# --------------------------------------------------------------------------------------------------------- overwrites


cdef class Overwrites:
    """When each element of each buffer is written for the last time, and which buffers are written once."""

    cdef Scan _scan
    cdef int* _last
    cdef char* _again

    def __init__(self, program):
        cdef Scan scan = Scan(program)
        cdef Py_ssize_t b, k, total = 0
        cdef object out
        for b in range(scan.many):
            if scan.count[b]:
                total = scan.give_map(b, total)
        self._scan, self._last, self._again = scan, scan.numbers(total), scan.zeros(scan.many)
        for k in range(scan.length):
            out = scan.out[k]
            if out is not None:
                b = buffer_of(<tuple> out)
                if latest(self._last + scan.base[b], <tuple> out) >= 0:
                    self._again[b] = 1
                stamp(self._last + scan.base[b], <tuple> out, k)

    def written_once(self, Py_ssize_t buffer):
        """Whether the buffer is a temporary of which no element is written twice."""
        return bool(self._scan.is_temp[buffer] and not self._again[buffer])

    def overwritten_from(self, view, Py_ssize_t number):
        """Whether instruction `number` or a later one writes into `view`."""
        cdef Py_ssize_t base = self._scan.base[buffer_of(<tuple> view)]
        return base >= 0 and latest(self._last + base, <tuple> view) >= number


# -------------------------------------------------------------------------------------------------------------- pieces


def in_parts(program):
    """The temporaries that are written more than once or in part, in the order of their first such write."""
    cdef Scan scan = Scan(program)
    cdef dict found = {}
    cdef Py_ssize_t k, b
    cdef object out
    for k in range(scan.length):
        out = scan.out[k]
        if out is not None:
            b = buffer_of(<tuple> out)
            if scan.is_temp[b] and (scan.count[b] > 1 or not scan.is_whole(<tuple> out)):
                found[b] = None
    return list(found)


# -------------------------------------------------------------------------------------------------------------- rename


def renamed(list outs, list inss, dict names, touching):
    """Move views to the buffers of their values; `names` has those by buffer, `touching` is that of `values_of`."""
    cdef Py_ssize_t k
    cdef object view, j
    for k, number, reads in touching:
        if outs[k] is not None:
            outs[k] = _named(names, <tuple> outs[k], number)
        inss[k] = tuple([_named(names, <tuple> view, j) for view, j in zip(<tuple> inss[k], reads, strict=False)])


cdef tuple _named(dict names, tuple view, object number):
    cdef object found = names.get(view[0])
    return view if found is None else moved(view, found[number])
