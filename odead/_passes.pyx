"""The scans of the passes that make a program smaller: what each does at every instruction of a long program.

Each function here is the loop of the pass of that name in `transform/passes`, which documents it.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from ._elements cimport clear, common, has_mark, latest, mark, stamp
from ._scan cimport Scan, buffer_of, is_scalar, moved, offset_of, updates_in_place

from .ops import TABLE as _TABLE
from .tape import Role
from .views import overlap

cdef object CONSTANT = Role.CONSTANT
cdef dict ROWS = _TABLE


# ---------------------------------------------------------------------------------------------------------------- cse

cdef enum:
    KEY = 4                     # numbers of a key: operation and dtype, then up to three operands


def shared(program):
    """Which instructions `cse` keeps, and the operands of all."""
    return _Numbering(program).run(program.params)


cdef class _Numbering(Scan):
    """Instructions on scalars are found in a table of numbers, the others in a dict."""

    cdef int* stamps
    cdef int* same              # the buffer with the value of this one; -1: itself
    cdef Py_ssize_t* first      # where the elements of each buffer begin if those of all buffers are numbered
    cdef int64_t* keys
    cdef int* table
    cdef Py_ssize_t mask
    cdef dict seen, codes

    def __init__(self, program):
        cdef Py_ssize_t b, total = 0
        self.stamps = self.numbers(self.map_rewritten())
        self.same = self.numbers(self.many)
        self.first = <Py_ssize_t*> self.zeros(self.many * sizeof(Py_ssize_t))
        for b in range(self.many):
            self.first[b] = total
            total += self.size[b]
        self.mask = 16
        while self.mask < 2 * self.length:
            self.mask *= 2
        self.table = self.numbers(self.mask)
        self.mask -= 1
        self.keys = <int64_t*> self.zeros(self.length * KEY * sizeof(int64_t))
        self.seen, self.codes = {}, {}

    cdef tuple run(self, list params):
        cdef list kept = [], new = list(self.ins)
        cdef Py_ssize_t k, b, earlier
        cdef tuple ins, place
        cdef object out, view
        for k in range(self.length):
            ins = <tuple> new[k]
            for view in ins:
                if self.same[buffer_of(<tuple> view)] >= 0:
                    ins = tuple([self.replaced(<tuple> view) for view in ins])
                    new[k] = ins
                    break
            out = self.out[k]
            if out is not None:
                place = <tuple> out
                b = buffer_of(place)
                if self.base[b] >= 0:
                    stamp(self.stamps + self.base[b], place, k)
                elif self.is_whole(place):
                    earlier = self.find(k, place, ins, params[k])
                    if earlier != b:
                        self.same[b] = earlier
                        continue
            kept.append(k)
        return kept, new

    cdef tuple replaced(self, tuple view):
        cdef int number = self.same[buffer_of(view)]
        return view if number < 0 else moved(view, number)

    cdef Py_ssize_t find(self, Py_ssize_t k, tuple out, tuple ins, object params) except -1:
        """The buffer that has the value of instruction k."""
        cdef object view
        cdef bint plain = params is None and is_scalar(out) and len(ins) < KEY
        if plain:
            for view in ins:
                plain = plain and is_scalar(<tuple> view)
        return self.find_scalar(k, out, ins) if plain else self.find_any(k, out, ins, params)

    cdef Py_ssize_t find_any(self, Py_ssize_t k, tuple out, tuple ins, object params) except -1:
        cdef object op = self.op[k], view
        cdef list versions = [
            latest(self.stamps + self.base[buffer_of(<tuple> view)], <tuple> view)
            for view in ins if self.base[buffer_of(<tuple> view)] >= 0
        ]
        if (op == "add" or op == "mul") and ins[1] < ins[0]:
            ins = (ins[1], ins[0])
        key = (op, params, (<tuple> self.buffers[buffer_of(out)])[0], out[2], ins, tuple(versions))
        return self.seen.setdefault(key, buffer_of(out))

    cdef Py_ssize_t find_scalar(self, Py_ssize_t k, tuple out, tuple ins) except -1:
        cdef object op = self.op[k], view
        cdef Py_ssize_t b, at, j = 1
        cdef int64_t version, steps = self.length + 1
        cdef int64_t* key = self.keys + KEY * k
        cdef uint64_t code
        key[0] = self.codes.setdefault((op, (<tuple> self.buffers[buffer_of(out)])[0]), len(self.codes))
        for view in ins:
            b = buffer_of(<tuple> view)
            version = 0 if self.base[b] < 0 else 1 + self.stamps[self.base[b] + offset_of(<tuple> view)]
            key[j] = 1 + (self.first[b] + offset_of(<tuple> view)) * steps + version
            j += 1
        if (op == "add" or op == "mul") and key[2] < key[1]:
            key[1], key[2] = key[2], key[1]
        code = key[0]
        for j in range(1, KEY):
            code = (code ^ <uint64_t> key[j]) * <uint64_t> 0x9E3779B97F4A7C15
            code ^= code >> 29
        at = code & <uint64_t> self.mask
        while self.table[at] >= 0:
            if _equal(self.keys + KEY * <Py_ssize_t> self.table[at], key):
                return buffer_of(<tuple> self.out[self.table[at]])
            at = (at + 1) & self.mask
        self.table[at] = k
        return buffer_of(out)


cdef inline bint _equal(const int64_t* a, const int64_t* b) noexcept nogil:
    return a[0] == b[0] and a[1] == b[1] and a[2] == b[2] and a[3] == b[3]


# ------------------------------------------------------------------------------------------------------------- copies


def forwarded(program, compose):
    """Which instructions `copies` keeps, and the operands of all, or None where nothing changes."""
    return _Forwarding(program).run(compose)


cdef class _Forwarding(Scan):
    cdef int* stamps
    cdef int* origin            # the copy that fills a temporary which is written once
    cdef char* filled           # whether a copy may have filled some of the buffer
    cdef char* late             # whether the reverse part writes into it
    cdef list new
    cdef object compose

    def __init__(self, program):
        cdef Py_ssize_t b, k
        self.stamps = self.numbers(self.map_rewritten())
        self.origin = self.numbers(self.many)
        self.filled, self.late = self.zeros(self.many), self.zeros(self.many)
        self.new = list(self.ins)
        for b in range(self.many):
            self.filled[b] = self.base[b] >= 0
        for k in range(self.split, self.length):
            if self.out[k] is not None:
                self.late[buffer_of(<tuple> self.out[k])] = 1

    cdef tuple run(self, compose):
        cdef list kept = []
        cdef bint changed = False
        cdef Py_ssize_t k, b
        cdef object op, out, view
        cdef tuple ins, operands
        self.compose = compose
        for k in range(self.length):
            op, out, ins = self.op[k], self.out[k], <tuple> self.ins[k]
            operands = ins
            for view in ins:
                if self.filled[buffer_of(<tuple> view)]:
                    operands = self.operands(k, op, out, ins)
                    break
            if operands is not ins:
                self.new[k] = operands
                changed = True
            if op == "copy" and operands[0] == out:
                continue
            kept.append(k)
            if out is not None:
                b = buffer_of(<tuple> out)
                if self.base[b] >= 0:
                    stamp(self.stamps + self.base[b], <tuple> out, k)
                elif op == "copy":
                    self.origin[b] = k
                    self.filled[b] = 1
        if not changed and len(kept) == self.length:
            return None
        return kept, self.new

    cdef tuple operands(self, Py_ssize_t k, object op, object out, tuple ins):
        """The operands of instruction k, `ins` itself where none is forwarded."""
        cdef list found = []
        cdef bint changed = False
        cdef object view, source
        for view in ins:
            source = view
            if self.filled[buffer_of(<tuple> view)] and (found or not updates_in_place(op)):
                source = self.forward(<tuple> view, k, op, out)
            changed = changed or source is not view
            found.append(source)
        return tuple(found) if changed else ins

    cdef tuple forward(self, tuple view, Py_ssize_t k, object op, object out):
        """What instruction k may read instead of `view`."""
        cdef Py_ssize_t b = buffer_of(view), base = self.base[b]
        cdef int w = self.origin[b] if base < 0 else common(self.stamps + base, view)
        cdef tuple source
        cdef object found
        if w < 0 or self.op[w] != "copy":
            return view
        source = <tuple> (<tuple> self.new[w])[0]
        if is_scalar(view) and is_scalar(<tuple> self.out[w]):
            found = source
        else:
            found = self.compose(self.out[w], source, view)
            if found is None:
                return view
        source = <tuple> found
        if not self.holds(source, w, k) or source == view:
            return view
        if out is not None and buffer_of(<tuple> out) == buffer_of(source) and overlap(out, source):
            if not (out == source and op in ROWS):
                return view
        return source

    cdef bint holds(self, tuple source, Py_ssize_t w, Py_ssize_t k) except -1:
        """Whether `source` still has the value that the copy at w has read, also when the reverse part runs repeatedly."""
        cdef Py_ssize_t b = buffer_of(source)
        if self.base[b] >= 0 and latest(self.stamps + self.base[b], source) > w:
            return False
        if w >= self.split or k < self.split:
            return True
        if self.is_temp[b]:
            return not self.late[b]
        return (<tuple> self.buffers[b])[2] is CONSTANT


# ---------------------------------------------------------------------------------------------------------------- dce


def needed(program, unneeded=frozenset()):
    """Which instructions `dce` keeps; nobody reads the exit values of the buffers `unneeded`."""
    return _Liveness(program).run(unneeded)


cdef class _Liveness(Scan):
    cdef char* live
    cdef char* wanted           # of temporaries written once

    cdef list run(self, object unneeded):
        cdef Py_ssize_t b, k
        cdef list kept = []
        cdef object out, view
        self.live, self.wanted = self.zeros(self.map_rewritten()), self.zeros(self.many)
        for b in range(self.many):
            if self.base[b] >= 0 and not self.is_temp[b] and b not in unneeded:
                memset(self.live + self.base[b], 1, self.size[b])
        for k in range(self.length - 1, -1, -1):
            out = self.out[k]
            if out is not None and not self.is_needed(self.op[k], <tuple> out):
                continue
            kept.append(k)
            for view in <tuple> self.ins[k]:
                b = buffer_of(<tuple> view)
                if self.base[b] < 0:
                    self.wanted[b] = 1
                elif is_scalar(<tuple> view):
                    self.live[self.base[b] + offset_of(<tuple> view)] = 1
                else:
                    mark(self.live + self.base[b], <tuple> view)
        kept.reverse()
        return kept

    cdef bint is_needed(self, object op, tuple out) except -1:
        cdef Py_ssize_t b = buffer_of(out)
        cdef char* element
        if self.base[b] < 0:
            return self.wanted[b]
        if updates_in_place(op):
            return has_mark(self.live + self.base[b], out)
        if not is_scalar(out):
            return clear(self.live + self.base[b], out) > 0
        element = self.live + self.base[b] + offset_of(out)
        if not element[0]:
            return False
        element[0] = 0
        return True


# ------------------------------------------------------------------------------------------------------- destinations


def placed(program):
    """Which instructions `destinations` keeps, and the results of all, or None where nothing changes."""
    return _Placing(program).run()


cdef class _Placing(Scan):
    cdef int* touched
    cdef int* origin
    cdef int* reads
    cdef list outs

    cdef bint is_store(self, Py_ssize_t k):
        cdef Py_ssize_t b
        if self.op[k] != "copy" or self.out[k] is None:
            return False
        b = buffer_of(<tuple> (<tuple> self.ins[k])[0])
        return self.single[b] and self.reads[b] == 1

    cdef tuple run(self):
        cdef Py_ssize_t k, b, total = 0
        cdef object view, out
        cdef list kept = []
        self.reads = <int*> self.zeros(self.many * sizeof(int))
        for k in range(self.length):
            for view in <tuple> self.ins[k]:
                self.reads[buffer_of(<tuple> view)] += 1
        for k in range(self.length):
            if self.is_store(k):
                b = buffer_of(<tuple> self.out[k])
                if self.base[b] < 0:
                    total = self.give_map(b, total)
        if not total:
            return None
        self.touched, self.origin = self.numbers(total), self.numbers(self.many)
        self.outs = list(self.out)
        for k in range(self.length):
            if self.is_store(k) and self.moves(k, <tuple> self.out[k]):
                continue
            kept.append(k)
            for view in <tuple> self.ins[k]:
                b = buffer_of(<tuple> view)
                if self.base[b] >= 0:
                    stamp(self.touched + self.base[b], <tuple> view, k)
            out = self.out[k]
            if out is not None:
                b = buffer_of(<tuple> out)
                self.origin[b] = k
                if self.base[b] >= 0:
                    stamp(self.touched + self.base[b], <tuple> out, k)
        return (kept, self.outs) if len(kept) < self.length else None

    cdef bint moves(self, Py_ssize_t k, tuple store) except -1:
        """Whether what the copy at k stores is computed in its place from now on."""
        cdef tuple source = <tuple> (<tuple> self.ins[k])[0]
        cdef Py_ssize_t i = self.origin[buffer_of(source)], b = buffer_of(store)
        cdef Py_ssize_t split = 0 if self.split == self.length else self.split
        if i < 0 or (i < split) != (k < split) or self.outs[i] != source:
            return False
        if latest(self.touched + self.base[b], store) > i or not self.fits(i, store):
            return False
        self.outs[i] = store
        self.origin[b] = i
        stamp(self.touched + self.base[b], store, i)
        return True

    cdef bint fits(self, Py_ssize_t i, tuple store) except -1:
        """Whether instruction i may write `store` beside what it reads."""
        cdef object op = self.op[i], view
        if updates_in_place(op):
            return False
        for view in <tuple> self.ins[i]:
            if buffer_of(<tuple> view) == buffer_of(store) and not (view == store and op in ROWS) and overlap(view, store):
                return False
        return True


# --------------------------------------------------------------------------------------------------------------- fold

cdef enum:
    STORED = 1                  # a constant
    TELLING = 2                 # a constant that may turn an operation into a simpler one


cdef set SIMPLE_NUMBERS = {0, 1, -1, 2, 0.5}
cdef dict ASKS_FOR = {"add": "neg", "sub": "neg", "neg": "neg", "zero_mul": "where"}  # what an operand must come from
cdef set ALWAYS = {"where", "cast"}
cdef set ASKS_NUMBERS = {"mul", "muladd", "div", "pow"}  # these ask for numbers alone


def unchanging(program):
    """By buffer, 1 where what is read there never changes: nothing writes it, or it is a temporary written once."""
    cdef Scan scan = Scan(program)
    cdef Py_ssize_t b
    return bytes([scan.single[b] or not scan.count[b] for b in range(scan.many)])


def folded(program, list known, list origin, rewrite, fill):
    """Run `fold` over a program whose columns `op` and `ins` are its own; returns whether anything changed.

    `rewrite(k, op, out, ins)` is called only where a rule may apply; `fill(k, out, ins)` where a copy fills a temporary. Both
    keep `known` and `origin` up to date.
    """
    cdef Scan scan = Scan(program)
    cdef char* constant = scan.zeros(scan.many)
    cdef Py_ssize_t k, b
    cdef object op, out
    cdef tuple ins, buffer
    cdef bint changed = False
    for b in range(scan.many):
        buffer = <tuple> scan.buffers[b]
        if buffer[2] is CONSTANT:
            constant[b] = STORED
            if scan.size[b] != 1 or buffer[4].item() in SIMPLE_NUMBERS:
                constant[b] |= TELLING
    for k in range(scan.length):
        op, out = scan.op[k], scan.out[k]
        if out is None or op not in ROWS:
            continue
        ins = <tuple> scan.ins[k]
        if op != "copy" and _may_fold(scan, constant, known, origin, op, ins):
            found = rewrite(k, op, out, ins)
            if found is not None:
                op, ins = found
                scan.op[k], scan.ins[k] = op, ins
                changed = True
        b = buffer_of(<tuple> out)
        if scan.single[b]:
            origin[b] = k
            if op == "copy" and scan.is_whole(<tuple> out):
                fill(b, ins[0])
    return changed


cdef bint _may_fold(Scan scan, char* constant, list known, list origin, object op, tuple ins) except -1:
    """Whether a rule may apply to an instruction, or its operands are all constants."""
    cdef Py_ssize_t b, w
    cdef object view, wanted
    cdef bint all_stored = True, telling = False
    if op in ALWAYS:
        return True
    for view in ins:
        b = buffer_of(<tuple> view)
        if constant[b]:
            telling = telling or constant[b] & TELLING
        elif known[b] is not None:
            telling = True
        else:
            all_stored = False
    if all_stored or (telling and op in ASKS_NUMBERS):
        return True
    wanted = ASKS_FOR.get(op)
    if wanted is None:
        return False
    for view in ins:
        b = buffer_of(<tuple> view)
        if constant[b] or known[b] is not None:
            if op == "zero_mul":
                return True
            continue
        w = origin[b]
        if w >= 0 and scan.op[w] == wanted:
            return True
    return False


# ---------------------------------------------------------------------------------------------------- the pass manager


def loses_rewrites(before, after):
    """Whether any storage but a temporary written once is written less often by a program that has lost instructions."""
    cdef Scan old = Scan(before), new = Scan(after)
    cdef Py_ssize_t b
    for b in range(old.many):
        if old.count[b] != new.count[b] and not old.single[b]:
            return True
    return False


# --------------------------------------------------------------------------------------------------------- contraction


cdef class Merging(Scan):
    """What `execute.contraction` asks about a program, and its loop over pairs that are rows of the op table."""

    cdef int* producers         # of a float temporary that is written once and read once: the instruction that computes it
    cdef Py_ssize_t* first      # where the positions of the writes of each buffer begin in `writes`
    cdef int* writes
    cdef readonly list merged_op, merged_ins

    def __init__(self, program):
        cdef Py_ssize_t b, k
        cdef object out, view
        cdef int* reads = <int*> self.zeros(self.many * sizeof(int))
        cdef int* filled = <int*> self.zeros(self.many * sizeof(int))
        self.producers, self.writes = self.numbers(self.many), self.numbers(self.length)
        self.first = <Py_ssize_t*> self.zeros((self.many + 1) * sizeof(Py_ssize_t))
        self.merged_op, self.merged_ins = list(self.op), list(self.ins)
        for b in range(self.many):
            self.first[b + 1] = self.first[b] + self.count[b]
        for k in range(self.length):
            for view in <tuple> self.ins[k]:
                reads[buffer_of(<tuple> view)] += 1
        for k in range(self.length):
            out = self.out[k]
            if out is None:
                continue
            b = buffer_of(<tuple> out)
            self.writes[self.first[b] + filled[b]] = k
            filled[b] += 1
            if self.single[b] and reads[b] == 1 and (<str> (<tuple> self.buffers[b])[0])[0] == "f":
                self.producers[b] = k

    def producer(self, view):
        """The instruction that computes the float temporary of a view, if no other reads it; else None."""
        cdef int found = self.producers[buffer_of(<tuple> view)]
        return None if found < 0 else found

    def can_wait(self, tuple operands, Py_ssize_t producer, Py_ssize_t number):
        """Whether an instruction would find its operands as well where `number` is."""
        return self.waits(operands, producer, number)

    def merge(self, dict pairs):
        """Merge pairs; returns which instructions are left, with the operations and operands in `merged_op`, `merged_ins`."""
        cdef frozenset consumers = frozenset([consumer for consumer, _, _ in pairs])
        cdef char* gone = self.zeros(self.length)
        cdef Py_ssize_t k, producer
        for k in range(self.length):
            if self.merged_op[k] in consumers:
                producer = self.taken(k, pairs)
                if producer >= 0:
                    gone[producer] = 1
        return [k for k in range(self.length) if not gone[k]]

    cdef Py_ssize_t taken(self, Py_ssize_t k, dict pairs) except -2:
        """Merge an instruction with the one that computes one of its operands; returns that one, -1 if there is none."""
        cdef tuple ins = <tuple> self.merged_ins[k], own, operands
        cdef Py_ssize_t place, producer
        cdef object pair, view
        for place in range(min(2, len(ins))):
            view = ins[place]
            producer = self.producers[buffer_of(<tuple> view)]
            if producer < 0:
                continue
            pair = pairs.get((self.merged_op[k], place, self.merged_op[producer]))
            own = <tuple> self.merged_ins[producer]
            if pair is None or self.out[producer] != view or not self.waits(own, producer, k):
                continue
            operands = own + (view,) * (2 - len(own)) + ins[:place] + ins[place + 1:]
            self.merged_op[k], self.merged_ins[k] = pair[0], tuple([operands[j] for j in <tuple> pair[1]])
            return producer
        return -1

    cdef bint waits(self, tuple operands, Py_ssize_t producer, Py_ssize_t number) except -1:
        cdef object operand
        if producer >= number or producer < self.split <= number:
            return False
        for operand in operands:
            if not self.lasts(<tuple> operand, producer, number):
                return False
        return True

    cdef bint lasts(self, tuple view, Py_ssize_t start, Py_ssize_t stop) except -1:
        """Whether a view can still be read where `stop` is: it is not written in between, nor by `stop` in another order."""
        cdef Py_ssize_t low = self.first[buffer_of(view)], end = self.first[buffer_of(view) + 1], high = end, middle
        cdef object out
        while low < high:
            middle = (low + high) // 2
            if self.writes[middle] <= start:
                low = middle + 1
            else:
                high = middle
        for middle in range(low, end):
            if self.writes[middle] > stop:
                break
            out = self.out[self.writes[middle]]
            if overlap(out, view) and not (self.writes[middle] == stop and out == view):
                return False
        return True
