"""What the derivative transforms share: a program under construction, its shadows, and the analysis of activity."""

from collections.abc import Hashable, Iterable

from ..ops import TABLE
from ..structured import STRUCTURED
from ..tape import Program, Role
from ..views import View, broadcast

__all__ = ["FLOATS", "Builder", "carries", "useful_buffers", "varied_buffers"]

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
    """

    def __init__(self, primal: Program, width: int | None) -> None:
        self.program = primal.empty_like()
        self.width = width
        self.line = -1
        self._shadows: dict[int, int] = {}

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
        self._shadows[buffer] = whole.buffer
        return whole

    def has_shadow(self, buffer: int) -> bool:
        return buffer in self._shadows

    def shadow(self, view: View) -> View:
        """The shadow of a view."""
        buffer = self._shadows[view.buffer]
        if self.width is None:
            return view._replace(buffer=buffer)
        size = self.program.buffers[view.buffer].size
        return View(buffer, view.offset, (self.width, *view.shape), (size, *view.strides))


def carries(program: Program, op: str, k: int, view: View) -> bool:
    """Whether a derivative can flow from operand k to the result of `op`."""
    if program.buffers[view.buffer].dtype not in FLOATS:
        return False
    row = TABLE.get(op)
    return STRUCTURED[op].carries(k) if row is None else row.partials[k] not in (None, "0")


def varied_buffers(program: Program, active: Iterable[int]) -> set[int]:
    """The buffers whose contents may depend on the entry values of the buffers `active`."""
    varied = set(active)
    flows = _flows(program)
    before = -1
    while before != len(varied):  # more than once only where memory is written again
        before = len(varied)
        varied.update(out for out, operands in flows if not varied.isdisjoint(operands))
    return varied


def useful_buffers(program: Program, active: Iterable[int]) -> set[int]:
    """The buffers on whose contents the exit values of the buffers `active` may depend."""
    useful = set(active)
    flows = _flows(program)[::-1]
    before = -1
    while before != len(useful):
        before = len(useful)
        for out, operands in flows:
            if out in useful:
                useful.update(operands)
    return useful


def _flows(program: Program) -> list[tuple[int, list[int]]]:
    """Per instruction through which a derivative can flow: buffer of the result, buffers of those operands."""
    flows = []
    for op, out, ins, _, _ in program:
        if out is not None and program.buffers[out.buffer].dtype in FLOATS:
            operands = [view.buffer for k, view in enumerate(ins) if carries(program, op, k, view)]
            if operands:
                flows.append((out.buffer, operands))
    return flows
