"""Which outputs of a program depend on which inputs, whatever the values.

One pass over the instructions gives every element a *node*: what it depends on. Node 0 is nothing, then comes one node
per input element, then unions of earlier nodes. Most instructions need no new node, since a result that depends on one
operand, as in `2 * x`, shares that operand's node. A second pass walks back from the outputs and replaces unions by
their members, all those of one depth at once: so an unrolled loop of single elements costs about what its vector form
costs, and code that no output needs costs nothing.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from ..ops import TABLE
from ..tape import Program, Role
from ..views import View

__all__ = ["is_reached", "pattern"]

Pairs = tuple[np.ndarray, np.ndarray]  # rows, and the node that each depends on


def pattern(program: Program, outputs: Sequence[View], inputs: Sequence[View]) -> csr_array:
    """The structural pattern of the Jacobian of exit values with respect to entry values.

    Parameters
    ----------
    program : Program
    outputs : sequence of View
        Elements read at the exit: the rows, in order.
    inputs : sequence of View
        Elements of arguments at the entry, none twice: the columns, in order.

    Returns
    -------
    csr_array of bool
        Never too few entries: what is gathered by indices that only a run knows depends on all it may gather.
        Comparisons, conditions, integers and steps (`floor`) carry no dependence; a `where` depends on both sides.
    """
    graph = _Graph(program, inputs)
    graph.record()
    nodes = [graph.nodes(view).ravel() for view in outputs]
    return _solve(graph, np.concatenate(nodes) if nodes else np.zeros(0, np.int64))


def is_reached(program: Program, output: int, inputs: Iterable[int]) -> bool:
    """Whether the value of a buffer may depend on those of others in any way, also through comparisons and indices.

    By buffers: a part of one that is written from them makes all of it depend on them.
    """
    reached, before = set(inputs), -1
    while before != len(reached):  # more than once only where memory is written again
        before = len(reached)
        for out, ins in zip(program.out, program.ins, strict=True):
            if out is not None and any(view.buffer in reached for view in ins):
                reached.add(out.buffer)
    return output in reached


# ------------------------------------------------------------------------------------------------ first pass

# The operands that carry a derivative into the result.
_CARRIERS: Final = {
    op.name: tuple(k for k, partial in enumerate(op.partials) if partial not in (None, "0")) for op in TABLE.values()
}


class _Graph:
    """Nodes, and the node of each element at this point of the program.

    Attributes
    ----------
    depth, count : array of int64
        For each node: 1 + the largest depth of its members, and how many members it has; 0 for inputs.
    members : array of int64
        Members of all nodes, one after the other.
    of : dict
        For a buffer that depends on something, the node of each of its elements.
    n_inputs : int
    """

    def __init__(self, program: Program, inputs: Sequence[View]) -> None:
        self.program = program
        self.n_inputs = sum(view.size for view in inputs)
        self.depth = array("q", [0]) * (self.n_inputs + 1)
        self.count = array("q", [0]) * (self.n_inputs + 1)
        self.members = array("q")
        self.of: dict[int, np.ndarray] = {}
        self._floats = [buffer.dtype[0] == "f" for buffer in program.buffers]
        first = 1
        for view in inputs:
            assert not self.nodes(view).any(), "an element is an input twice"
            self.write(view, np.arange(first, first + view.size).reshape(view.shape))
            first += view.size

    def record(self) -> None:
        """Run the program on nodes instead of numbers."""
        of, floats = self.of, self._floats
        for op, out, ins in zip(self.program.op, self.program.out, self.program.ins, strict=True):
            if out is None:
                continue
            if op not in TABLE:
                if floats[out.buffer]:
                    _STRUCTURED.get(op, _anything)(self, out, ins)
                continue
            sources = {ins[k] for k in _CARRIERS[op] if ins[k].buffer in of} if floats[out.buffer] else set()
            if out.size == 1:  # an element loop has very many of these: plain integers cost 2 us, arrays 20 us
                self._write_one(out, {of[view.buffer].item(view.offset) for view in sources} - {0})
            else:
                self.write(out, self.union(np.stack([self.nodes(view) for view in sources])) if sources else 0)

    def nodes(self, view: View) -> np.ndarray:
        """Node of each element of a view."""
        cells = self.of.get(view.buffer)
        if cells is None:
            return np.broadcast_to(np.int64(0), view.shape)
        return _strided(cells, view)

    def write(self, view: View, nodes: np.ndarray | int) -> None:
        """Set the node of each element of a view."""
        cells = self.of.get(view.buffer)
        if cells is None:
            if not np.any(nodes):
                return
            cells = self.of[view.buffer] = np.zeros(self.program.buffers[view.buffer].size, np.int64)
        _strided(cells, view)[...] = nodes

    def _write_one(self, view: View, sources: set[int]) -> None:
        if len(sources) > 1:
            node = len(self.depth)
            self.members.extend(sources)
            self.count.append(len(sources))
            self.depth.append(1 + max(self.depth[source] for source in sources))
        else:
            node = sources.pop() if sources else 0
        if view.buffer in self.of:
            self.of[view.buffer][view.offset] = node
        elif node:
            self.write(view, node)

    def union(self, sources: np.ndarray) -> np.ndarray:
        """Union over the first axis of an array of nodes."""
        if not len(sources):
            return np.zeros(sources.shape[1:], np.int64)
        flat = sources.reshape(len(sources), -1)
        result: np.ndarray = flat.max(axis=0)
        several = ((flat != result) & (flat != 0)).any(axis=0)
        if several.any():
            members = flat[:, several].T
            result[several] = self.new(members.ravel(), np.full(len(members), len(flat)))
        return result.reshape(sources.shape[1:])

    def union_along_last(self, nodes: np.ndarray) -> np.ndarray:
        """Union over the last axis."""
        return self.union(np.moveaxis(nodes, -1, 0))

    def new(self, members: np.ndarray, count: np.ndarray) -> np.ndarray:
        """New nodes: the first has the first count[0] members, and so on. All get the depth of the deepest."""
        first = len(self.depth)
        depth = 1 + int(np.frombuffer(self.depth, np.int64)[members].max(initial=0))
        self.members.frombytes(members.astype(np.int64, copy=False).tobytes())
        self.count.frombytes(count.astype(np.int64, copy=False).tobytes())
        self.depth.extend(array("q", [depth]) * len(count))
        return np.arange(first, first + len(count))


def _strided(cells: np.ndarray, view: View) -> np.ndarray:
    """The elements of a view, without the index array, which would be kept in a cache and be as large as the data."""
    strides = tuple(8 * stride for stride in view.strides)
    return np.ndarray(view.shape, np.int64, cells, 8 * view.offset, strides) if view.size else np.zeros(view.shape, np.int64)


def _sum(graph: _Graph, out: View, ins: tuple[View, ...]) -> None:
    (x,) = ins
    graph.write(out, graph.union_along_last(graph.nodes(x).reshape(*out.shape, prod(x.shape[len(out.shape) :]))))


def _matmul(graph: _Graph, out: View, ins: tuple[View, ...]) -> None:
    # One node for each row of a and each column of b: m k + k n + m n members and not m k n.
    rows = graph.union_along_last(graph.nodes(ins[0]))
    columns = graph.union_along_last(np.swapaxes(graph.nodes(ins[1]), -1, -2))
    left = np.broadcast_to(rows[..., None], out.shape)
    right = np.broadcast_to(columns[..., None, :], out.shape)
    graph.write(out, graph.union(np.stack([left, right])))


def _take(graph: _Graph, out: View, ins: tuple[View, ...]) -> None:
    x, index = graph.nodes(ins[0]), _known_index(graph.program, ins[1])
    if index is not None:
        graph.write(out, x[..., index])
    else:
        trailing = tuple(range(x.ndim - 1, len(out.shape)))
        graph.write(out, np.expand_dims(graph.union_along_last(x), trailing))


def _put(graph: _Graph, out: View, ins: tuple[View, ...]) -> None:
    index = _known_index(graph.program, ins[2])
    if index is None:
        _put_anywhere(graph, out, ins)
    else:
        nodes = graph.nodes(out).copy()
        nodes[..., index] = graph.nodes(ins[1])
        graph.write(out, nodes)


def _put_add(graph: _Graph, out: View, ins: tuple[View, ...]) -> None:
    index = _known_index(graph.program, ins[2])
    if index is None:
        _put_anywhere(graph, out, ins)
        return
    nodes = graph.nodes(out).copy()
    values = graph.nodes(ins[1]).reshape(*out.shape[:-1], index.size)
    places, multiplicity = np.unique(index, return_counts=True)
    order = np.argsort(np.concatenate([places, index.ravel()]), kind="stable")  # an old value, then what is added to it
    members = np.concatenate([nodes[..., places], values], axis=-1)[..., order]
    count = np.broadcast_to(multiplicity + 1, (*out.shape[:-1], places.size))
    if members.any():
        nodes[..., places] = graph.new(members.ravel(), count.ravel()).reshape(count.shape)
        graph.write(out, nodes)


def _put_anywhere(graph: _Graph, out: View, ins: tuple[View, ...]) -> None:
    """Any element may be updated with any of the values of its row."""
    values = graph.nodes(ins[1]).reshape(*out.shape[:-1], -1)
    reach = np.broadcast_to(graph.union_along_last(values)[..., None], out.shape)
    graph.write(out, graph.union(np.stack([graph.nodes(out), reach])))


def _take_along(graph: _Graph, out: View, ins: tuple[View, ...]) -> None:
    reach = graph.union_along_last(graph.nodes(ins[0]))
    graph.write(out, np.broadcast_to(reach[..., None], out.shape))


def _recurrence(graph: _Graph, out: View, ins: tuple[View, ...]) -> None:
    """Each element depends on the one before and on its own operands; all of them have one factor less, or as many."""
    sources = [graph.nodes(view) for view in ins]
    n = out.shape[-1]
    nodes = np.zeros(out.shape, np.int64)
    for k in range(n):
        own = [x[..., k - n + x.shape[-1]] for x in sources if k - n + x.shape[-1] >= 0]
        nodes[..., k] = graph.union(np.stack([*own, *([nodes[..., k - 1]] if k else [])]))
    graph.write(out, nodes)


def _anything(graph: _Graph, out: View, ins: tuple[View, ...]) -> None:
    """Any element of the result may depend on any of the operands: no more is known of this operation."""
    sources = [graph.nodes(view).ravel() for view in ins if view.buffer in graph.of]
    graph.write(out, np.broadcast_to(graph.union(np.concatenate(sources)), out.shape) if sources else 0)


def _known_index(program: Program, view: View) -> np.ndarray | None:
    """The indices, where they are the same in every run."""
    buffer = program.buffers[view.buffer]
    if buffer.role is not Role.CONSTANT:
        return None
    assert buffer.data is not None
    return _strided(np.ascontiguousarray(buffer.data).reshape(-1), view)


_STRUCTURED: Final[dict[str, Callable[[_Graph, View, tuple[View, ...]], None]]] = {
    "sum": _sum,
    "prod": _sum,
    "amax": _sum,
    "amin": _sum,
    "recurrence": _recurrence,
    "cumprod": _recurrence,
    "matmul": _matmul,
    "take": _take,
    "put": _put,
    "put_add": _put_add,
    "take_along": _take_along,
    "put_along_add": _put_anywhere,
}

# ----------------------------------------------------------------------------------------------- second pass


def _solve(graph: _Graph, outputs: np.ndarray) -> csr_array:
    """Replace unions by their members, deepest first, until only inputs are left."""
    depth, count, members = (
        np.frombuffer(x, np.int64) if x else np.zeros(0, np.int64) for x in (graph.depth, graph.count, graph.members)
    )
    start = np.cumsum(count) - count
    waiting: list[list[Pairs]] = [[] for _ in range(int(depth.max()) + 1)]
    _sort_by_depth(waiting, depth, np.arange(len(outputs)), outputs)
    for level in reversed(range(1, len(waiting))):
        if waiting[level]:
            rows, nodes = _distinct(waiting[level], len(depth))
            waiting[level] = []
            n = count[nodes]
            first = np.repeat(start[nodes] - (np.cumsum(n) - n), n)
            _sort_by_depth(waiting, depth, np.repeat(rows, n), members[first + np.arange(len(first))])
    rows, nodes = _distinct(waiting[0], len(depth))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(outputs)))])
    return csr_array((np.ones(len(nodes), dtype=bool), nodes - 1, indptr), shape=(len(outputs), graph.n_inputs))


def _sort_by_depth(waiting: list[list[Pairs]], depth: np.ndarray, rows: np.ndarray, nodes: np.ndarray) -> None:
    """Queue each pair at the depth of its node; pairs with nothing are dropped."""
    something = nodes != 0
    rows, nodes = rows[something], nodes[something]
    depths = depth[nodes]
    if depths.size and depths.min() == depths.max():
        waiting[depths[0]].append((rows, nodes))
        return
    order = np.argsort(depths, kind="stable")
    levels, first = np.unique(depths[order], return_index=True)
    for level, at in zip(levels, np.split(order, first[1:]), strict=False):
        waiting[level].append((rows[at], nodes[at]))


def _distinct(pairs: Sequence[Pairs], n_nodes: int) -> Pairs:
    """Sorted by row, then node, without repeats."""
    if not any(len(rows) for rows, _ in pairs):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    keys = np.concatenate([rows * n_nodes + nodes for rows, nodes in pairs])
    keys.sort()  # np.unique hashes: 3.8 s instead of 0.1 s on the 10^7 pairs of a stencil at 10^6 points
    first = np.concatenate([[True], keys[1:] != keys[:-1]])
    return np.divmod(keys[first], n_nodes)
