"""What the derivative transforms share: a program under construction, its shadows, and the analysis of activity."""

from collections.abc import Hashable, Iterable
from functools import cache

from .._scan import on_buffer
from ..ops import TABLE
from ..structured import STRUCTURED
from ..tape import Program, Role
from ..views import View, broadcast

__all__ = ["FLOATS", "Builder", "carrying_buffers", "varied_buffers"]

FLOATS = ("float64", "float32")


class Builder:
    """A derived program under construction.

    It starts with the buffers of the primal program. A buffer that carries a derivative has a *shadow* of the same
    layout, so every view has its shadow view; with `width` lanes the shadow has a leading axis of that length.

    Attributes
    ----------
    program : Program
        What has been built.
    width : int or None
        Number of lanes of a batch; None: shadows have the shape of the primal.
    line : int
        The user's source line of what is emitted next.
    shadows : dict of int to int
        The buffer of the shadow of each buffer that has one.
    """

    def __init__(self, primal: Program, width: int | None) -> None:
        self.program = primal.empty_like()
        self.width = width
        self.line = -1
        self.shadows: dict[int, int] = {}

    # ------------------------------------------------------------------------------------------------ instructions

    def emit(self, op: str, out: View, ins: tuple[View, ...], params: Hashable = None) -> None:
        self.program.emit(op, out, ins, params, self.line)

    def temp_like(self, view: View) -> View:
        return self.program.temp(self.program.dtype(view), view.shape)

    def number(self, value: float, like: View) -> View:
        """A literal, broadcast to the shape and of the dtype of `like`."""
        return self.program.constant(value, self.program.dtype(like), like.shape)

    def broadcast(self, view: View, shape: tuple[int, ...]) -> View:
        return broadcast(view, shape)

    def zeros_like(self, view: View) -> View:
        return self.number(0.0, view)

    def zero(self, view: View) -> None:
        """Emit `view = 0`."""
        self.emit("copy", view, (self.zeros_like(view),))

    # ------------------------------------------------------------------------------------------------ shadows

    def lift(self, view: View) -> View:
        """A primal value in front of the lanes: the same elements for each lane."""
        return view if self.width is None else broadcast(view, (self.width, *view.shape))

    def add_shadow(self, buffer: int, role: Role) -> View:
        """Give `buffer` a shadow and return the view of all of it."""
        primal = self.program.buffers[buffer]
        shape = (primal.size,) if primal.shape is None else primal.shape
        shape = shape if self.width is None else (self.width, *shape)
        name = f"d_{primal.name or buffer}"
        whole = self.program.bound(primal.dtype, shape, role, name)
        self.shadows[buffer] = whole.buffer
        return whole

    def has_shadow(self, buffer: int) -> bool:
        return buffer in self.shadows

    def shadow(self, view: View) -> View:
        """The shadow of a view."""
        buffer = self.shadows[view.buffer]
        if self.width is None:
            return on_buffer(view, buffer)
        size = self.program.buffers[view.buffer].size
        return View(buffer, view.offset, (self.width, *view.shape), (size, *view.strides))


def varied_buffers(program: Program, active: Iterable[int]) -> set[int]:
    """The buffers whose contents may depend on the entry values of the buffers `active`."""
    return _varied(_flows(program), active)


def carrying_buffers(program: Program, active: Iterable[int]) -> set[int]:
    """The varied buffers on whose contents the exit values of the buffers `active` may depend in turn."""
    flows = _flows(program)
    return _varied(flows, active) & _useful(flows, active)


_Flows = list[tuple[int, list[int]]]


def _varied(flows: _Flows, active: Iterable[int]) -> set[int]:
    varied = set(active)
    before = -1
    while before != len(varied):  # more than once only where memory is written again
        before = len(varied)
        varied.update(out for out, operands in flows if not varied.isdisjoint(operands))  # which sees what has been added
    return varied


def _useful(flows: _Flows, active: Iterable[int]) -> set[int]:
    useful = set(active)
    backwards = flows[::-1]
    before = -1
    while before != len(useful):
        before = len(useful)
        for out, operands in backwards:
            if out in useful:
                useful.update(operands)
    return useful


def _flows(program: Program) -> _Flows:
    """Per instruction through which a derivative can flow: buffer of the result, buffers of those operands."""
    flows = []
    is_float = [buffer.dtype in FLOATS for buffer in program.buffers]
    for op, out, ins in zip(program.op, program.out, program.ins, strict=True):
        if out is not None and is_float[out.buffer]:
            carried = _carried(op, len(ins))
            operands = [view.buffer for k, view in enumerate(ins) if carried[k] and is_float[view.buffer]]
            if operands:
                flows.append((out.buffer, operands))
    return flows


@cache
def _carried(op: str, count: int) -> tuple[bool, ...]:
    """Which of `count` operands may hand a derivative on, whatever their dtypes."""
    row = TABLE.get(op)
    if row is None:
        return tuple(STRUCTURED[op].carries(k) for k in range(count))
    return tuple(row.partials[k] not in (None, "0") for k in range(count))
