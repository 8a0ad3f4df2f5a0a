"""The columns of a lowered program under construction, and the rows of elementwise instructions."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from .._storage import RowStore
from ..tape import Buffer
from ..views import View
from .layout import Axis, collapse

__all__ = ["ARENA", "CONSTANTS", "ITEM", "NOTHING", "Call", "Rows"]

ARENA, CONSTANTS, NOTHING = -1, -2, -3  # bases of an operand that is in no slot; as in _core.pyx
ITEM: Final = {"float64": 8, "float32": 4, "int64": 8, "bool": 1}
_MOST_AXES: Final = 64  # MOST_AXES of _structured.pxd


class Call(NamedTuple):
    """An instruction that Python executes; what `_calls.Calls` is made of."""

    function: Callable[[np.ndarray, tuple[np.ndarray, ...], Hashable], None]
    params: Hashable
    layouts: tuple[tuple[np.dtype[Any], tuple[int, ...], tuple[int, ...]], ...]  # dtype, shape, strides in bytes


class Rows:
    """The columns under construction.

    Attributes
    ----------
    rows : RowStore
    words, calls : list
        As in `Lowered`.
    work : int
        Elements visited.
    buffers : sequence of Buffer
        Of the program.
    """

    def __init__(
        self, buffers: Sequence[Buffer], base: Sequence[int], start: Sequence[int], opcodes: Mapping[str, int]
    ) -> None:
        self.words: list[int] = []
        self.calls: list[Call] = []
        self.work = 0
        self.buffers = buffers
        self._opcodes = opcodes
        self._item = [ITEM[buffer.dtype] for buffer in buffers]
        self._dtype = [buffer.dtype for buffer in buffers]
        # One more buffer per dtype, for literal zeros: they are the first bytes of the constants.
        self._zeros = {dtype: len(buffers) + k for k, dtype in enumerate(ITEM)}
        self._dtype += ITEM.keys()
        self._item += ITEM.values()
        self._base = [*base, *[CONSTANTS] * len(ITEM)]
        self._start = [*start, *[0] * len(ITEM)]
        self.rows = RowStore(opcodes, self._base, self._start, self._item, self._dtype)
        self._known: dict[tuple[int, ...], int] = {}  # start of extra words

    def dtype(self, view: View) -> str:
        return self._dtype[view.buffer]

    def knows(self, name: str) -> bool:
        """Whether the core has a kernel of this name."""
        return name in self._opcodes

    def emit(
        self,
        position: int,
        name: str,
        row: Axis,
        axes: Sequence[Axis],
        operands: Sequence[View | None],
        starts: Sequence[int] = (0, 0, 0, 0),
        params: Sequence[int] | None = (),
    ) -> None:
        """Append an instruction; `params` None: one dense row, which needs no strides."""
        items = [8 if view is None else self._item[view.buffer] for view in operands]
        extra = -1
        if params is not None:
            assert len(axes) <= _MOST_AXES, f"instruction {position}: too many axes"
            words = [s * item for s, item in zip(row.strides, items, strict=True)]
            words += [0] * (4 - len(words)) + [len(axes)]
            for axis in axes:
                words += [axis.extent, *(s * item for s, item in zip(axis.strides, items, strict=True))]
                words += [0] * (4 - len(axis.strides))
            extra = self._extra((*words, *params))
        fields = [self._opcodes[name], position, row.extent, extra]
        for view, start, item in zip(operands, starts, items, strict=False):
            if view is None:
                fields += [NOTHING, 0]
            else:
                fields += [self._base[view.buffer], self._start[view.buffer] + (view.offset + start) * item]
        fields += [NOTHING, 0] * (4 - len(operands))
        self.rows.append(fields)

    def _extra(self, words: tuple[int, ...]) -> int:
        start = self._known.get(words)
        if start is None:
            start = self._known[words] = len(self.words)
            self.words.extend(words)
        return start

    def elementwise(self, position: int, op: str, out: View, ins: tuple[View, ...]) -> None:
        if self.rows.append_scalar(position, op, out, ins):
            return
        name = f"cast_{self._dtype[out.buffer]}" if op == "cast" else op
        name = f"{name}.{self._dtype[ins[-1].buffer]}"
        operands = (out, *ins)
        if name + ".scalar" not in self._opcodes:
            self._foreign(position, name, operands)
            return
        if not out.size:
            return
        self.work += out.size
        row, axes, starts = collapse(out.shape, tuple(view.strides for view in operands))
        if row.extent == 1:
            self.emit(position, name + ".scalar", row, axes, operands, starts, None)
            return
        name = self.vector_name(op, row, operands)
        needs_strides = axes or name.endswith(".strided")
        if not needs_strides and f"{name}.{row.extent}" in self._opcodes:
            name = f"{name}.{row.extent}"
        self.emit(position, name, row, axes, operands, starts, () if needs_strides else None)

    def vector_name(self, op: str, row: Axis, operands: Sequence[View]) -> str:
        """The opcode of an elementwise operation along a row."""
        name = f"cast_{self._dtype[operands[0].buffer]}" if op == "cast" else op
        name = f"{name}.{self._dtype[operands[-1].buffer]}"
        if row.strides[0] == 1 and {*row.strides} <= {0, 1}:
            dense = f"{name}.{''.join('vs'[s == 0] for s in row.strides[1:])}"
            if dense in self._opcodes:
                return dense
        return name + ".strided"

    def _foreign(self, position: int, name: str, operands: tuple[View, ...]) -> None:
        """A function that is in no kernel of ours: its own loops run."""
        if operands[0].size:
            self.work += operands[0].size
            row, axes, starts = collapse(operands[0].shape, tuple(view.strides for view in operands))
            self.emit(position, name + ".strided", row, axes, operands, starts)

    def fill_zero(self, position: int, out: View) -> None:
        zero = View(self._zeros[self._dtype[out.buffer]], 0, out.shape, (0,) * len(out.shape))
        self.elementwise(position, "copy", out, (zero,))

    def call(self, position: int, call: Call, operands: Sequence[View]) -> None:
        """Append an instruction that Python executes."""
        self.emit(position, "call", Axis(1, (0,) * len(operands)), (), operands, params=(len(self.calls),))
        self.calls.append(call)
