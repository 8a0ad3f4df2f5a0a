"""What lowering does at every instruction of a long program: lifetimes and places of temporaries, the rows of scalar code.

`execute/memory.py` and `execute/rows.py` say what it is for.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport int64_t

from ._scan cimport Scan, buffer_of, is_scalar, offset_of

cdef enum:
    FIELDS = 12                 # opcode, position, extent, extra words, then base and address of four views
    NOTHING = -3                # as in _core.pyx
    CACHE_LINE = 64


def lifetimes(program):
    """The first and the last instruction at which each temporary must keep its contents, by buffer, in the order of birth."""
    cdef Scan scan = Scan(program)
    cdef int* first = scan.numbers(scan.many)
    cdef int* last = scan.numbers(scan.many)
    cdef list born = []
    cdef Py_ssize_t k, b
    cdef object view
    cdef bint has_split = program.split is not None
    for k in range(scan.length):
        view = scan.out[k]
        if view is not None:
            _touch(scan, first, last, buffer_of(<tuple> view), k, born)
        for view in <tuple> scan.ins[k]:
            _touch(scan, first, last, buffer_of(<tuple> view), k, born)
    if has_split:
        for b in range(scan.many):
            if 0 <= first[b] < scan.split <= last[b]:
                last[b] = scan.length
    return {number: (first[<Py_ssize_t> number], last[<Py_ssize_t> number]) for number in born}


cdef inline void _touch(Scan scan, int* first, int* last, Py_ssize_t b, Py_ssize_t k, list born):
    if scan.is_temp[b]:
        if first[b] < 0:
            first[b] = k
            born.append(b)
        last[b] = k


def placements(dict lives, list buffers, dict items):
    """The byte offset of each buffer in an arena, and the size of the arena; `lives` in the order of birth."""
    cdef Py_ssize_t size = 0, count = len(lives), done = 0, most = 0, k, first, last, block, at
    cdef list blocks = [], offsets = [], free
    cdef dict by_block = {}
    cdef bytearray storage
    cdef int* head              # by instruction: the first buffer that dies there, by its place in `lives`
    cdef int* tail
    cdef int* following
    for life in lives.values():
        most = max(most, <Py_ssize_t> (<tuple> life)[1])
    storage = bytearray((2 * (most + 1) + count) * sizeof(int))
    head = <int*> PyByteArray_AS_STRING(storage)
    tail, following = head + most + 1, head + 2 * (most + 1)
    for k, (number, life) in enumerate(lives.items()):
        last = (<tuple> life)[1]
        if head[last]:
            following[tail[last] - 1] = k + 1
        else:
            head[last] = k + 1
        tail[last] = k + 1
        blocks.append(_block(buffers[number], items))
    for k, life in enumerate(lives.values()):
        first = (<tuple> life)[0]
        while done < first:
            at = head[done]
            while at:
                (<list> by_block.setdefault(blocks[at - 1], [])).append(offsets[at - 1])
                at = following[at - 1]
            done += 1
        block = blocks[k]
        free = by_block.get(block)
        if free:
            offsets.append(free.pop())
        else:
            size = _up(size, min(block, CACHE_LINE))
            offsets.append(size)
            size += block
    return dict(zip(lives, offsets, strict=True)), size


cdef Py_ssize_t _block(object buffer, dict items) except -1:
    """Size class: 8 bytes for a scalar, else cache lines, with steps of at most an eighth, so that n and n - 2 can share."""
    cdef Py_ssize_t size = <Py_ssize_t> (<tuple> buffer)[1] * <Py_ssize_t> items[(<tuple> buffer)[0]], bits = 0
    if size <= 8:
        return 8
    while size >> bits:
        bits += 1
    return _up(size, max(CACHE_LINE, (<Py_ssize_t> 1) << max(bits - 4, 0)))


cdef inline Py_ssize_t _up(Py_ssize_t size, Py_ssize_t step):
    return (size + step - 1) // step * step


cdef class RowStore:
    """The rows of a lowered program under construction, side by side."""

    cdef bytearray _memory
    cdef Py_ssize_t count
    cdef object _opcodes
    cdef dict _scalar
    cdef list _base, _start, _item, _dtype

    def __init__(self, opcodes, list base, list start, list item, list dtype):
        self._memory = bytearray(64 * FIELDS * sizeof(int64_t))
        self._opcodes, self._scalar = opcodes, {}
        self._base, self._start, self._item, self._dtype = base, start, item, dtype

    def __len__(self):
        return self.count

    @property
    def memory(self):
        """The rows as bytes."""
        return bytes(self._memory[: self.count * FIELDS * sizeof(int64_t)])

    cdef int64_t* next(self) except NULL:
        cdef Py_ssize_t width = FIELDS * sizeof(int64_t)
        if (self.count + 1) * width > len(self._memory):
            self._memory.extend(bytearray(len(self._memory)))
        self.count += 1
        return <int64_t*> PyByteArray_AS_STRING(self._memory) + (self.count - 1) * FIELDS

    def append(self, row):
        """Append a row of 12 numbers."""
        cdef int64_t* fields = self.next()
        cdef Py_ssize_t k = 0
        for value in row:
            fields[k] = value
            k += 1

    cdef int view(self, int64_t* place, tuple view) except -1:
        cdef Py_ssize_t b = buffer_of(view)
        place[0] = self._base[b]
        place[1] = <Py_ssize_t> self._start[b] + offset_of(view) * <Py_ssize_t> self._item[b]
        return 0

    def append_scalar(self, Py_ssize_t position, op, out, tuple ins):
        """Append an elementwise instruction on scalars; False where it is none, or has no kernel."""
        cdef tuple key
        cdef object opcode, view
        cdef int64_t* fields
        cdef Py_ssize_t k
        if not is_scalar(<tuple> out):
            return False
        key = (op, self._dtype[buffer_of(<tuple> ins[len(ins) - 1])])
        if op == "cast":
            key = (f"cast_{self._dtype[buffer_of(<tuple> out)]}", key[1])
        opcode = self._scalar.get(key)
        if opcode is None:
            opcode = self._opcodes.get(f"{key[0]}.{key[1]}.scalar")
            if opcode is None:
                return False
            self._scalar[key] = opcode
        fields = self.next()
        fields[0], fields[1], fields[2], fields[3] = opcode, position, 1, -1
        self.view(fields + 4, <tuple> out)
        k = 6
        for view in ins:
            self.view(fields + k, <tuple> view)
            k += 2
        while k < FIELDS:
            fields[k], fields[k + 1] = NOTHING, 0
            k += 2
        return True
