"""Programs written by hand, the way the tracer writes them: values are fresh temporaries, loads and stores are copies."""

from odead.tape import Program, Role, SourceLine
from odead.views import View, broadcast

__all__ = ["Recorder", "at", "without_lines"]

Operand = View | float | int | bool


class Recorder:
    """A program under construction, with the source line of what comes next."""

    def __init__(self, name: str = "f") -> None:
        self.program = Program(name)
        self.program.lines = [SourceLine("f.py", number, name) for number in range(100)]
        self.line = 0

    def argument(self, name: str, shape: tuple[int, ...] = ()) -> View:
        return self.program.bound("float64", shape, Role.ARGUMENT, name)

    def result(self, name: str, shape: tuple[int, ...] = ()) -> View:
        return self.program.bound("float64", shape, Role.RESULT, name)

    def zeros(self, shape: tuple[int, ...]) -> View:
        view = self.program.temp("float64", shape)
        self.store(view, 0.0)
        return view

    def load(self, view: View, *index: int) -> View:
        """The value of one element."""
        return self.op("copy", at(view, *index))

    def store(self, view: View, value: Operand) -> None:
        self.program.emit("copy", view, (self.operand(value, view.shape, self.program.dtype(view)),), None, self.line)

    def op(self, name: str, *operands: Operand, dtype: str = "float64") -> View:
        """The value of an operation, in a fresh temporary."""
        shape = max((x.shape for x in operands if isinstance(x, View)), key=len, default=())
        views = tuple(self.operand(x, shape, dtype) for x in operands)
        result = "bool" if name in ("less", "greater", "equal") else dtype
        out = self.program.temp(result, shape)
        self.program.emit(name, out, views, None, self.line)
        return out

    def guard(self, condition: View, expected: bool) -> None:
        self.program.emit("guard", None, (condition,), expected, self.line)

    def operand(self, value: Operand, shape: tuple[int, ...], dtype: str = "float64") -> View:
        return broadcast(value, shape) if isinstance(value, View) else self.program.constant(value, dtype, shape)


def at(view: View, *index: int | slice) -> View:
    """`view[index]`, with one non-negative index or plain slice per axis."""
    offset, shape, strides = view.offset, [], []
    for n, stride, where in zip(view.shape, view.strides, index, strict=True):
        if isinstance(where, slice):
            start, stop, step = where.indices(n)
            offset += start * stride
            shape.append(len(range(start, stop, step)))
            strides.append(stride * step)
        else:
            assert 0 <= where < n
            offset += where * stride
    return View(view.buffer, offset, tuple(shape), tuple(strides))


def without_lines(program: Program) -> list[str]:
    """What a program prints, without the source lines."""
    return [row.split("#")[0].rstrip() for row in str(program).splitlines()]
