"""Reverse mode: a program that runs the primal, then carries cotangents from exit to entry.

The law: on entry each shadow holds the cotangent of the exit value, on exit that of the entry value. The reverse of
`out = f(ins)` on memory that is written again takes the shadow of `out`, zeroes it there, and accumulates into the shadows
of the operands; where `out` is itself an operand, its shadow is multiplied in place. On a temporary of which no element is
written twice nothing is zeroed, and the first accumulation is an assignment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

from ..ops import TABLE, Op
from ..rules.callee import Derivation, Zero
from ..rules.resolution import Resolution
from ..structured import RESULT, STRUCTURED, Site
from ..tape import Instruction, Program, Role
from ..views import View, is_injective
from .builder import FLOATS, Builder, carrying_buffers
from .calls import Derivations, expanded, pull, record
from .overwrites import Overwrites
from .partials import Value, add_product, expand
from .unselected import unselected_singular

__all__ = ["Sweep", "described_reverse", "reverse"]


def reverse(program: Program, active: Sequence[int], width: int | None = None, *, strong_zero: bool = False) -> Program:
    """Derive the adjoint program.

    Parameters
    ----------
    program : Program
    active : sequence of int
        Positions in `program.arguments` that have a cotangent.
    width : int, optional
        Propagate that many cotangents at once: each shadow has a leading axis of this length.
    strong_zero : bool
        A partial of exactly 0 times an infinite or NaN cotangent is 0.

    Returns
    -------
    Program
        arguments: those of `program`, then one shadow per active position, transformed in place from the cotangent of the exit
        value to that of the entry value, then one cotangent per float result, which ends 0. results: those of `program`.
        `split` is where the reverse sweep begins.
    """
    return _Reverse(program, active, width, strong_zero).derive()


@dataclass(frozen=True)
class Sweep:
    """A reverse program, and how it came about.

    Attributes
    ----------
    primal : Program
        What was differentiated: with the bodies of the calls that are differentiated as they are written.
    program : Program
    active : list of bool
        Per instruction of `primal`: it has an adjoint.
    kept : list of (list of View, list of View)
        Per instruction of `primal`: values that the reverse sweep reads where they are, and those it reads from copies.
    resolutions : list of (str, Resolution)
        Which rule serves each call, with the user's line.
    """

    primal: Program
    program: Program
    active: list[bool]
    kept: list[tuple[list[View], list[View]]]
    resolutions: list[tuple[str, Resolution]]


def described_reverse(program: Program, active: Sequence[int]) -> Sweep:
    """As `reverse`, with what there is to tell about it."""
    derivation = _Reverse(program, active, None, False)
    derived = derivation.derive()
    return Sweep(
        derivation.primal,
        derived,
        [out is not None and derivation.build.has_shadow(out.buffer) for out in derivation.primal.out],
        [derivation.kept(number) for number in range(len(derivation.primal))],
        derivation.derivations.resolutions,
    )


class _Reverse:
    def __init__(self, program: Program, active: Sequence[int], width: int | None, strong_zero: bool) -> None:
        self.derivations = Derivations("reverse", width)
        program = expanded(program, _given(program, active), self.derivations, reverse=True)
        self.primal = program
        self.build = Builder(program, width)
        self.strong_zero = strong_zero
        self.unselected = unselected_singular(program)
        self.overwrites = Overwrites(program)
        given = _given(program, active)
        for buffer in given:
            self.build.add_shadow(buffer, Role.ARGUMENT)
        self.own = carrying_buffers(program, given) - set(given)
        self.own_shadows = {buffer: self.build.add_shadow(buffer, Role.TEMP) for buffer in sorted(self.own)}
        shadows = self.build.shadows
        self.active = [[k for k, view in enumerate(ins) if view.buffer in shadows] for ins in program.ins]  # which operands
        self.touched = set(given)  # buffers whose shadow has a value; those of the others are zero and not yet written
        self.values: list[dict[str, View] | Site | None] = []  # per instruction: where the reverse sweep finds its values

    def derive(self) -> Program:
        program = self.build.program
        for number, instruction in enumerate(self.primal):
            self.build.line = instruction.line
            self.values.append(self.record(number, instruction))
        program.split = len(program)
        for number in reversed(range(len(self.primal))):
            out = self.primal.out[number]
            if out is not None and out.buffer in self.touched:
                self.build.line = self.primal.line[number]
                self.adjoint(number, out)
        return program

    # ------------------------------------------------------------------------------------------------ forward sweep

    def record(self, number: int, instruction: Instruction) -> dict[str, View] | Site | None:
        """Emit the instruction, with copies of what the reverse sweep needs and would not find any more."""
        op, out, ins, _, _ = instruction
        if out is None or not self.build.has_shadow(out.buffer):
            self.build.program.append(instruction)
            return None
        if op in TABLE:
            return self.record_elementwise(number, TABLE[op], instruction, out)
        if op == "call":
            values = record(self.build, instruction, out, self.derivation(number), lambda view: self.keep(view, number))
            return Site(out, values, instruction.params)
        operation = STRUCTURED[op]
        needed = {j for k in self.active[number] if operation.carries(k) for j in operation.needs(k)}
        kept = tuple(self.keep(view, number) if k in needed else view for k, view in enumerate(ins))
        self.build.program.append(instruction)
        return Site(self.keep(out, number + 1) if RESULT in needed else out, kept, instruction.params)

    def record_elementwise(self, number: int, row: Op, instruction: Instruction, out: View) -> dict[str, View]:
        ins = instruction.ins
        needed = _mentioned(row.name, tuple(self.active[number]))
        if not needed:
            self.build.program.append(instruction)
            return {}
        values = {name: self.keep(view, number) for name, view in zip(row.operands, ins, strict=True) if name in needed}
        self.build.program.append(instruction)
        if "out" in needed:
            values["out"] = self.keep(out, number + 1)
        return values

    def keep(self, view: View, number: int) -> View:
        """`view`, or a copy of it if instruction `number` or a later one overwrites it."""
        if not self.overwrites.overwritten_from(view, number):
            return view
        saved = self.build.temp_like(view)
        self.build.emit("copy", saved, (view,))
        return saved

    # ------------------------------------------------------------------------------------------------ reverse sweep

    def adjoint(self, number: int, out: View) -> None:
        op, ins = self.primal.op[number], self.primal.ins[number]
        values = self.values[number]
        if isinstance(values, dict):
            self.elementwise(number, TABLE[op], out, ins, values)
            return
        assert values is not None, "a result with a shadow has been recorded"
        if op == "call":
            self.call(number, out, values.ins)
            return
        operation = STRUCTURED[op]
        active = tuple(operation.carries(k) and self.build.has_shadow(view.buffer) for k, view in enumerate(ins))
        dout = self.build.shadow(out)
        if any(active):
            operation.adjoint(self.build, values, dout, active, lambda k, d: self.accumulate(ins[k], 1.0, d))
        if not operation.in_place:
            self.consume(out)

    def call(self, number: int, out: View, values: tuple[View, ...]) -> None:
        ins = self.primal.ins[number]
        if self.active[number]:
            again = partial(reverse, strong_zero=self.strong_zero)
            dout, derivation = self.build.shadow(out), self.derivation(number)
            pull(self.build, dout, values, derivation, lambda k, d: self.accumulate(ins[k], 1.0, d), again)
        self.consume(out)

    def kept(self, number: int) -> tuple[list[View], list[View]]:
        """Values of an instruction that the reverse sweep reads where they are, and those it reads from copies."""
        values = self.values[number]
        if isinstance(values, Site):
            op, active = self.primal.op[number], self.active[number]
            needed = range(len(values.ins)) if op == "call" else {j for k in active for j in STRUCTURED[op].needs(k)}
            found = [values.out if j == RESULT else values.ins[j] for j in needed]
        else:
            found = list((values or {}).values())
        own = (self.primal.out[number], *self.primal.ins[number])
        return [view for view in found if view in own], [view for view in found if view not in own]

    def derivation(self, number: int) -> Derivation:
        active = tuple(self.build.has_shadow(view.buffer) for view in self.primal.ins[number])
        return self.derivations.of(self.primal, number, active) if any(active) else Zero()

    def elementwise(self, number: int, row: Op, out: View, ins: tuple[View, ...], values: dict[str, View]) -> None:
        """Contract the partials with the shadow of the result; an operand that is the result itself comes last."""
        dout = self.build.shadow(out)
        strong = row.piecewise or self.strong_zero or number in self.unselected
        kept: list[Value] = []  # partials with respect to the memory that is overwritten
        for k in self.active[number]:
            expression = row.partials[k]
            if expression is None or (factor := expand(self.build, expression, values, out)) == 0.0:
                continue
            if ins[k] == out:
                kept.append(factor)
            elif row.name == "cast":
                back = self.build.program.temp(self.primal.dtype(ins[k]), dout.shape)
                self.build.emit("cast", back, (dout,))
                self.accumulate(ins[k], 1.0, back)
            else:
                self.accumulate(ins[k], factor, dout, strong)
        if kept:
            self.transform(dout, kept, strong)
        else:
            self.consume(out)

    def transform(self, dout: View, factors: list[Value], strong_zero: bool) -> None:
        """Emit dout = (sum of factors) * dout: the adjoint of an update in place."""
        if factors == [1.0]:
            return
        partial_sum: View | None = None
        for position, factor in enumerate(factors):
            target = dout if position == len(factors) - 1 else self.build.temp_like(dout)
            add_product(self.build, target, factor, dout, partial_sum, strong_zero)
            partial_sum = target

    def consume(self, out: View) -> None:
        """The result was overwritten here: before, its memory had no influence."""
        if not self.overwrites.written_once(out.buffer):
            self.build.zero(self.build.shadow(out))

    def accumulate(self, view: View, factor: Value, d: View, strong_zero: bool = False) -> None:
        """Emit shadow(view) += factor * d; the sum over the elements that `view` repeats."""
        repeats, size = False, 1
        if view.shape:
            if view.is_broadcast:
                view, d = self.reduced(view, factor, d, strong_zero)
                factor = 1.0
            repeats, size = not is_injective(view), view.size
        if view.buffer not in self.touched:
            self.touched.add(view.buffer)
            if not repeats and size == self.build.program.buffers[view.buffer].size:
                add_product(self.build, self.build.shadow(view), factor, d, None, strong_zero)
                return
            self.build.zero(self.own_shadows[view.buffer])
        if repeats:
            self.scatter(view, self.product(factor, d, strong_zero))
        else:
            shadow = self.build.shadow(view)
            add_product(self.build, shadow, factor, d, shadow, strong_zero)

    def scatter(self, view: View, d: View) -> None:
        """Emit shadow(view) += d where windows of the view overlap."""
        whole = self.build.shadow(self.build.program.whole(view.buffer))
        lanes = () if self.build.width is None else (self.build.width,)
        flat = whole._replace(
            shape=(*lanes, self.build.program.buffers[view.buffer].size), strides=(*whole.strides[: len(lanes)], 1)
        )
        self.build.emit("put_add", flat, (flat, d, self.build.program.constant(view.indices(), "int64")))

    def product(self, factor: Value, d: View, strong_zero: bool) -> View:
        if factor == 1.0:
            return d
        product = self.build.temp_like(d)
        add_product(self.build, product, factor, d, None, strong_zero)
        return product

    def reduced(self, view: View, factor: Value, d: View, strong_zero: bool) -> tuple[View, View]:
        """`view` without its repeated axes, and factor * d summed over them."""
        d = self.product(factor, d, strong_zero)
        repeated = [k for k, (n, s) in enumerate(zip(view.shape, view.strides, strict=True)) if s == 0 and n > 1]
        single = [k for k in range(len(view.shape)) if k not in repeated]
        bare = view._replace(shape=tuple(view.shape[k] for k in single), strides=tuple(view.strides[k] for k in single))
        lanes = len(d.shape) - len(view.shape)
        axes = [*range(lanes), *(lanes + k for k in single), *(lanes + k for k in repeated)]
        ordered = d._replace(shape=tuple(d.shape[k] for k in axes), strides=tuple(d.strides[k] for k in axes))
        total = self.build.program.temp(self.primal.dtype(view), ordered.shape[: lanes + len(single)])
        self.build.emit("sum", total, (ordered,))
        return bare, total


def _given(program: Program, active: Sequence[int]) -> list[int]:
    """The buffers whose shadows come from outside."""
    floats = [buffer for buffer in program.results if program.buffers[buffer].dtype in FLOATS]
    return [program.arguments[k] for k in active] + floats


@cache
def _mentioned(op: str, active: tuple[int, ...]) -> frozenset[str]:
    """The values that the partials with respect to these operands need."""
    return frozenset().union(*(TABLE[op].mentions[k] for k in active))
