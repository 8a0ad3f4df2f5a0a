"""Forward mode: a program that computes tangents beside the primal.

The law: on entry each shadow holds a tangent, on exit J times it. Each instruction is followed by the same partials that
the reverse mode uses, contracted with the tangents of the operands.
"""

from collections.abc import Sequence
from functools import partial

from ..ops import TABLE, Op
from ..structured import STRUCTURED, Site
from ..tape import Instruction, Program, Role
from ..views import View
from .builder import FLOATS, Builder, varied_buffers
from .calls import Derivations, expanded, push
from .partials import Value, add_product, expand
from .reverse import Sweep, reverse

__all__ = ["described_forward", "forward"]


def forward(program: Program, active: Sequence[int], width: int | None = None, *, strong_zero: bool = False) -> Program:
    """Derive the tangent program.

    Parameters
    ----------
    program : Program
    active : sequence of int
        Positions in `program.arguments` that have a tangent.
    width : int, optional
        Propagate that many tangents at once: each shadow has a leading axis of this length.
    strong_zero : bool
        A partial of exactly 0 times an infinite or NaN tangent is 0.

    Returns
    -------
    Program
        arguments: those of `program`, then one shadow per active position, which holds the tangent of the entry value on
        entry and that of the exit value on exit. results: those of `program`, then one shadow per float result.
    """
    return _Forward(program, active, width, strong_zero).derive()


def described_forward(program: Program, active: Sequence[int]) -> Sweep:
    """As `forward`, with what there is to tell about it."""
    derivation = _Forward(program, active, None, False)
    derived = derivation.derive()
    primal, shadowed = derivation.primal, derivation.build.has_shadow
    carried = [out is not None and shadowed(out.buffer) for out in primal.out]
    return Sweep(primal, derived, carried, [([], [])] * len(primal), derivation.derivations.resolutions)


class _Forward:
    def __init__(self, program: Program, active: Sequence[int], width: int | None, strong_zero: bool) -> None:
        self.derivations = Derivations("forward", width)
        given = [program.arguments[k] for k in active]
        program = expanded(program, given, self.derivations, reverse=False)
        given = [program.arguments[k] for k in active]  # the expanded program numbers its buffers anew
        self.primal = program
        self.build = Builder(program, width)
        self.strong_zero = strong_zero
        varied = varied_buffers(program, given)
        for buffer in given:
            self.build.add_shadow(buffer, Role.ARGUMENT)
        for buffer in program.results:
            if program.buffers[buffer].dtype in FLOATS:
                self.build.add_shadow(buffer, Role.RESULT)
        for buffer in sorted(varied - {*given, *program.results}):
            whole = self.build.add_shadow(buffer, Role.TEMP)
            if program.buffers[buffer].role is Role.ARGUMENT:  # a Const argument: its entry tangent is 0
                self.build.zero(whole)

    def derive(self) -> Program:
        for number, instruction in enumerate(self.primal):
            self.build.line = instruction.line
            out = instruction.out
            if out is None or not self.build.has_shadow(out.buffer):
                self.build.program.append(instruction)
            elif instruction.op in TABLE:
                self.elementwise(TABLE[instruction.op], instruction, out)
            elif instruction.op == "call":
                self.call(number, instruction, out)
            else:
                self.structured(instruction, out)
        return self.build.program

    def tangents(self, ins: tuple[View, ...]) -> tuple[View | None, ...]:
        return tuple(self.build.shadow(view) if self.build.has_shadow(view.buffer) else None for view in ins)

    def structured(self, instruction: Instruction, out: View) -> None:
        operation = STRUCTURED[instruction.op]
        dins = tuple(din if operation.carries(k) else None for k, din in enumerate(self.tangents(instruction.ins)))
        dout = self.build.shadow(out)
        self.build.program.append(instruction)
        if any(din is not None for din in dins):
            operation.tangent(self.build, Site(out, instruction.ins, instruction.params), dout, dins)
        else:
            self.build.zero(dout)

    def call(self, number: int, instruction: Instruction, out: View) -> None:
        dins = self.tangents(instruction.ins)
        if not any(din is not None for din in dins):
            self.build.program.append(instruction)
            self.build.zero(self.build.shadow(out))
            return
        active = tuple(din is not None for din in dins)
        derivation = self.derivations.of(self.primal, number, active)
        push(self.build, instruction, out, dins, derivation, partial(reverse, strong_zero=self.strong_zero))

    def elementwise(self, row: Op, instruction: Instruction, out: View) -> None:
        if out not in instruction.ins:
            self.build.program.append(instruction)
            self.tangent(row, out, instruction.ins, out)
        elif not any("out" in mentioned for mentioned in row.mentions):
            self.tangent(row, out, instruction.ins, None)  # before the primal overwrites an operand
            self.build.program.append(instruction)
        else:
            value = self.build.temp_like(out)
            self.build.program.append(instruction._replace(out=value))
            self.tangent(row, out, instruction.ins, value)
            self.build.emit("copy", out, (value,))

    def tangent(self, row: Op, out: View, ins: tuple[View, ...], value: View | None) -> None:
        """Emit dout = sum of partial times tangent; `value` is where the result is found, None if no partial needs it."""
        build = self.build
        dout = build.shadow(out)
        values = dict(zip(row.operands, ins, strict=True)) | ({} if value is None else {"out": value})
        terms: list[tuple[Value, View]] = []
        for expression, din in zip(row.partials, self.tangents(ins), strict=True):
            if din is not None and expression is not None:
                factor = expand(build, expression, values, out)
                if factor != 0.0:
                    terms.append((factor, din))
        if not terms:
            build.zero(dout)
        elif row.name == "cast":
            build.emit("cast", dout, (terms[0][1],))
        else:
            self.contract(dout, terms, row.piecewise or self.strong_zero)

    def contract(self, dout: View, terms: list[tuple[Value, View]], strong_zero: bool) -> None:
        """Emit dout = sum of factor * tangent. Only the last instruction writes dout, which may be one of the tangents."""
        build = self.build
        partial_sum: View | None = None
        for position, (factor, din) in enumerate(terms):
            target = dout if position == len(terms) - 1 else build.temp_like(dout)
            add_product(build, target, factor, din, partial_sum, strong_zero)
            partial_sum = target
