"""Calls in derived programs: what a rule makes of a call instruction, put in its place.

A call whose body is differentiated is replaced by that body before the program is (`expanded`); the others become calls of
what the rule gives (`push`, `record`, `pull`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from ..rules.callee import AbstractCallee, Body, Derivation, Instructions, Pulled, Pushed, Recorded, Transposed, Zero
from ..rules.registry import Direction
from ..rules.resolution import Request, Resolution
from ..rules.signature import offsets
from ..tape import Instruction, Program, Role
from ..views import View, contiguous, extent
from .builder import FLOATS, Builder, carrying_buffers, varied_buffers
from .overwrites import Overwrites
from .passes import optimise

__all__ = ["Derivations", "expanded", "pull", "push", "record"]

Transform = Callable[..., Program]


class Derivations:
    """What the calls of a program become; each is asked once."""

    def __init__(self, direction: Direction, width: int | None) -> None:
        self._direction, self._width = direction, width
        self._known: dict[Hashable, Derivation] = {}
        self._facts: _Facts | None = None
        self.resolutions: list[tuple[str, Resolution]] = []  # with the user's line

    def of(self, program: Program, number: int, active: tuple[bool, ...]) -> Derivation:
        callee, out, ins = program.params[number], program.out[number], program.ins[number]
        assert isinstance(callee, AbstractCallee) and out is not None
        if self._facts is None or self._facts.program is not program:
            self._facts = _Facts(program)
        overwritten = tuple(self._facts.overwrites.overwritten_from(view, number) for view in ins)
        request = Request(self._direction, active, self._width, self._facts.read(callee, out), overwritten)
        if (callee, request) not in self._known:
            derivation = self._known[callee, request] = callee.derive(request)
            if derivation.resolution is not None:
                self.resolutions.append((program.source(number), derivation.resolution))
        return self._known[callee, request]


class _Facts:
    """What is asked of a program for each of its calls."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.overwrites = Overwrites(program)
        rows = {out.buffer for op, out in zip(program.op, program.out, strict=True) if op == "call" and out is not None}
        self._reads: dict[int, list[tuple[int, int]]] = {row: [] for row in rows}
        for ins in program.ins:
            for view in ins:
                if view.buffer in rows:
                    self._reads[view.buffer].append(extent(view))

    def read(self, callee: AbstractCallee, out: View) -> tuple[bool, ...]:
        """For each slot of what a call leaves, whether anything reads it."""
        if self.program.buffers[out.buffer].role is not Role.TEMP or out.strides != (1,):
            return (True,) * len(callee.outs)
        places = [(out.offset + start, out.offset + stop) for _, start, stop in offsets(callee.outs)]
        return tuple(any(low < stop and start <= high for low, high in self._reads[out.buffer]) for start, stop in places)


def expanded(program: Program, given: Iterable[int], derivations: Derivations, *, reverse: bool) -> Program:
    """The program with the bodies of the calls that are to be differentiated as they are written.

    Parameters
    ----------
    program : Program
    given : iterable of int
        The buffers that have a shadow from outside.
    derivations : Derivations
    reverse : bool
        A shadow is there only where it is useful, too.
    """
    while "call" in program.op:
        carried = carrying_buffers(program, given) | set(given) if reverse else varied_buffers(program, given)
        bodies: dict[int, Body] = {}
        for number, (op, out, ins) in enumerate(zip(program.op, program.out, program.ins, strict=True)):
            if op == "call" and out is not None and out.buffer in carried:
                active = tuple(view.buffer in carried for view in ins)
                if any(active):
                    derivation = derivations.of(program, number, active)
                    if isinstance(derivation, Body):
                        bodies[number] = derivation
        if not bodies:
            return program
        program = optimise(_with_bodies(program, bodies))
    return program


def _with_bodies(program: Program, bodies: dict[int, Body]) -> Program:
    new = program.empty_like()
    for number, instruction in enumerate(program):
        if number == program.split:
            new.split = len(new)
        body = bodies.get(number)
        if body is None:
            new.append(instruction)
        else:
            _put_body(new, instruction, body)
    if program.split == len(program):
        new.split = len(new)
    return new


def _put_body(new: Program, instruction: Instruction, body: Body) -> None:
    out, callee, line = instruction.out, instruction.params, instruction.line
    assert out is not None and isinstance(callee, AbstractCallee)
    if body.skip:
        whole = new.temp("float64", (callee.size,))
        new.append(instruction._replace(out=whole))
        kept = sum(slot.size for slot in callee.outs[: body.skip])
        new.emit("copy", part(out, 0, kept), (part(whole, 0, kept),), None, line)
    inlined = _Inlined(new, body.recorded, body.values, line, optimise(body.recorded.program))
    inlined.bind([instruction.ins[k] for k in body.ins])
    inlined.run()
    for k, (slot, start, stop) in enumerate(offsets(callee.outs)):
        if k >= body.skip:
            inlined.leave(k - body.skip, part(out, start, stop, slot.shape))


class _Inlined:
    """The instructions of a recorded function among those of another program."""

    def __init__(self, target: Program, recorded: Recorded, values: Sequence[Any], line: int, program: Program) -> None:
        self.target, self.recorded, self.values, self.line = target, recorded, values, line
        self.program = program
        self.lines = {k: len(target.lines) + k for k in range(len(self.program.lines))}
        target.lines.extend(self.program.lines)
        self.numbers = [self.declare(number) for number in range(len(self.program.buffers))]

    def declare(self, number: int) -> int:
        buffer = self.program.buffers[number]
        if buffer.role is Role.CONSTANT:
            return self.target.constant(buffer.data, buffer.dtype).buffer
        if buffer.role is Role.CAPTURED:
            return self.target.buffer(buffer.dtype, buffer.size, buffer.role, buffer.name, buffer.data, buffer.shape)
        return self.target.temp(buffer.dtype, (buffer.size,)).buffer

    def whole(self, buffer: int) -> View:
        view = self.program.whole(buffer)
        return view._replace(buffer=self.numbers[buffer])

    def bind(self, views: Sequence[View | None]) -> None:
        """Copy the arguments in; None: zeros. An int is part of what was recorded, and guarded."""
        arguments = iter(self.program.arguments)
        for value, view in zip(self.values, views, strict=True):
            if isinstance(value, (np.ndarray, float, np.floating)):
                self.fill(next(arguments), view)
            elif view is not None:
                self.target.emit("guard", None, (view,), int(value), self.line)

    def fill(self, buffer: int, view: View | None) -> None:
        whole = self.whole(buffer)
        source = self.target.constant(0, self.target.dtype(whole), whole.shape) if view is None else view
        copy(self.target, whole, source._replace(shape=whole.shape) if not whole.shape else source, self.line)

    def run(self) -> None:
        for op, out, ins, params, line in self.program:
            placed = None if out is None else out._replace(buffer=self.numbers[out.buffer])
            operands = tuple([view._replace(buffer=self.numbers[view.buffer]) for view in ins])
            self.target.emit(op, placed, operands, params, self.lines.get(line, self.line))

    def leave(self, leaf: int, place: View) -> None:
        """Copy what the function returned as this leaf to its place."""
        index, static = self.recorded.results[leaf]
        if index is None:
            source = self.target.constant(0 if static is None else static, self.target.dtype(place), place.shape)
        else:
            source = self.whole(self.program.results[index])
        copy(self.target, place, source._replace(shape=place.shape) if not place.shape else source, self.line)


def part(row: View, start: int, stop: int, shape: tuple[int, ...] | None = None) -> View:
    """Elements start:stop of the last axis of a row, in a shape of their own."""
    *lanes, _ = row.shape
    *steps, stride = row.strides
    shape = (stop - start,) if shape is None else shape
    strides = tuple([s * stride for s in contiguous(shape)])
    return View(row.buffer, row.offset + start * stride, (*lanes, *shape), (*steps, *strides))


def copy(program: Program, out: View, source: View, line: int) -> None:
    program.emit("copy" if program.dtype(out) == program.dtype(source) else "cast", out, (source,), None, line)


# ---------------------------------------------------------------------------------------------------- forward mode


def push(build: Builder, instruction: Instruction, out: View, dins: Sequence[View | None], derivation: Derivation,
         reverse: Transform) -> None:  # fmt: skip
    """Emit the call and what sets the shadow of what it leaves."""
    dout = build.shadow(out)
    if isinstance(derivation, Pushed):
        _push_callee(build, instruction, out, dout, dins, derivation)
    elif isinstance(derivation, Transposed):
        build.program.append(instruction)
        _push_transposed(build, instruction, dout, dins, derivation, reverse)
    elif isinstance(derivation, Instructions):
        build.program.append(instruction)
        _push_instructions(build, instruction, dout, dins, derivation)
    else:
        assert isinstance(derivation, Zero)
        build.program.append(instruction)
        build.zero(dout)


def _push_callee(
    build: Builder, instruction: Instruction, out: View, dout: View, dins: Sequence[View | None], derivation: Pushed
) -> None:
    callee = derivation.callee
    row = build.program.temp("float64", (callee.size,))
    taken = [din for din, a in zip(dins, callee.request.active, strict=True) if a and din is not None]
    build.emit("call", row, (*instruction.ins, *taken), callee)
    primal = out.size - derivation.skip
    if derivation.skip:
        build.program.append(instruction)
        build.zero(part(dout, 0, derivation.skip))
    else:
        build.emit("copy", out, (part(row, 0, primal),))
    lanes = dout.shape[:-1]
    tangents = View(row.buffer, primal, (*lanes, primal), contiguous((*lanes, primal)))
    build.emit("copy", part(dout, derivation.skip, out.size), (tangents,))


def _push_instructions(
    build: Builder, instruction: Instruction, dout: View, dins: Sequence[View | None], derivation: Instructions
) -> None:
    inlined = _bound_to(build, derivation, [*instruction.ins, *[din for din in dins if din is not None]])
    n = dout.shape[-1] - derivation.skip
    for k, (slot, start, _) in enumerate(offsets(derivation.outs)):
        lane, begin = divmod(start, n)
        place = dout.offset + lane * dout.strides[0] * (len(dout.shape) - 1)
        row = View(dout.buffer, place, dout.shape[-1:], dout.strides[-1:])
        inlined.leave(k, part(row, derivation.skip + begin, derivation.skip + begin + slot.size, slot.shape))


def _bound_to(build: Builder, derivation: Instructions, views: Sequence[View]) -> _Inlined:
    """The code of a rule, run on these views."""
    inlined = _Inlined(build.program, derivation.recorded, derivation.values, build.line, optimise(derivation.recorded.program))
    inlined.bind(views)
    inlined.run()
    return inlined


def _push_transposed(build: Builder, instruction: Instruction, dout: View, dins: Sequence[View | None], derivation: Transposed,
                     reverse: Transform) -> None:  # fmt: skip
    """The pullback is linear in the cotangent: its own adjoint gives the tangent."""
    bars = build.program.temp("float64", (*dout.shape[:-1], dout.shape[-1] - derivation.skip))
    build.zero(bars)
    linear = _bound(derivation.values) - 1  # the cotangent comes last
    sweep = _Sweep(build, derivation, (linear,), reverse)
    sweep.inlined.bind([*instruction.ins, None])
    sweep.fill_shadows([bars])
    sweep.fill_seeds([din for din, a in zip(dins, derivation.active, strict=True) if a])
    sweep.inlined.run()
    if derivation.skip:
        build.zero(part(dout, 0, derivation.skip))
    build.emit("copy", part(dout, derivation.skip, dout.shape[-1]), (sweep.shadows[0],))


# ---------------------------------------------------------------------------------------------------- reverse mode


def record(
    build: Builder, instruction: Instruction, out: View, derivation: Derivation, keep: Callable[[View], View]
) -> tuple[View, ...]:
    """Emit the call in the forward sweep; return what `pull` needs: a token, if there is one, and the operands."""
    kept = tuple(map(keep, instruction.ins))
    if not isinstance(derivation, Pulled):
        build.program.append(instruction)
        return kept
    callee = derivation.augmented
    row = build.program.temp("float64", (callee.size,))
    if derivation.skip:
        build.program.append(instruction)
    build.emit("call", row, instruction.ins, callee)
    if not derivation.skip:
        build.emit("copy", out, (part(row, 1, callee.size),))
    return (part(row, 0, 1, ()), *kept)


def pull(build: Builder, dout: View, values: tuple[View, ...], derivation: Derivation, accumulate: Callable[[int, View], None],
         reverse: Transform) -> None:  # fmt: skip
    """Emit what adds the contributions of `dout` to the shadows of the operands."""
    if isinstance(derivation, Pulled):
        callee = derivation.adjoint
        row = build.program.temp("float64", (callee.size,))
        build.emit("call", row, (values[0], part(dout, derivation.skip, dout.shape[-1]), *values[1:]), callee)
        active = [k for k, a in enumerate(callee.request.active) if a]
        for k, (slot, start, _) in zip(active, offsets(callee.outs), strict=True):
            bar = View(row.buffer, start, slot.shape, contiguous(slot.shape))
            accumulate(k, _as(build, bar, slot.dtype))
    elif isinstance(derivation, Transposed):
        _pull_transposed(build, dout, values, derivation, accumulate, reverse)
    elif isinstance(derivation, Instructions):
        inlined = _bound_to(build, derivation, [*values, part(dout, derivation.skip, dout.shape[-1])])
        for leaf, (k, slot) in enumerate(zip(derivation.active, derivation.outs, strict=True)):
            bar = build.program.temp(slot.dtype, slot.shape)
            inlined.leave(leaf, bar)
            accumulate(k, bar)
    else:
        assert isinstance(derivation, Zero)


def _pull_transposed(build: Builder, dout: View, values: tuple[View, ...], derivation: Transposed,
                     accumulate: Callable[[int, View], None], reverse: Transform) -> None:  # fmt: skip
    """The tangent is linear in the tangents of the operands: its own adjoint gives their cotangents."""
    n = len(derivation.active)
    active = [k for k, a in enumerate(derivation.active) if a]
    first = _bound(derivation.values[:n])
    sweep = _Sweep(build, derivation, tuple(range(first, first + len(active))), reverse)
    sweep.inlined.bind([*values, *[None] * len(active)])
    sweep.fill_shadows([None] * len(active))
    start, seeds = derivation.skip, []
    for index, _ in derivation.recorded.results:
        size = 1 if index is None else sweep.inlined.program.buffers[sweep.inlined.program.results[index]].size
        seeds.append(part(dout, start, start + size))
        start += size
    sweep.fill_seeds(seeds)
    sweep.inlined.run()
    for k, shadow in zip(active, sweep.shadows, strict=True):
        accumulate(k, shadow)


class _Sweep:
    """The adjoint of a recorded linear function, among the instructions of a derived program."""

    def __init__(self, build: Builder, derivation: Transposed, active: tuple[int, ...], reverse: Transform) -> None:
        primal = optimise(derivation.recorded.program)
        derived = reverse(primal, active, build.width)
        self.build = build
        self.inlined = _Inlined(build.program, derivation.recorded, derivation.values, build.line, derived)
        n = len(primal.arguments)
        self._shadows = derived.arguments[n : n + len(active)]
        self._seeds = derived.arguments[n + len(active) :]
        self._floats = [k for k, b in enumerate(primal.results) if primal.buffers[b].dtype in FLOATS]
        self.shadows = [self.inlined.whole(b) for b in self._shadows]

    def fill_shadows(self, views: Sequence[View | None]) -> None:
        for buffer, view in zip(self._shadows, views, strict=True):
            self.inlined.fill(buffer, view)

    def fill_seeds(self, views: Sequence[View | None]) -> None:
        """One view per returned leaf."""
        for (index, _), view in zip(self.inlined.recorded.results, views, strict=True):
            if index in self._floats:
                buffer = self._seeds[self._floats.index(index)]
                shape = self.inlined.whole(buffer).shape
                self.inlined.fill(buffer, None if view is None else _reshaped(self.build, view, shape))


def _reshaped(build: Builder, view: View, shape: tuple[int, ...]) -> View:
    if view.shape == shape:
        return view
    packed = build.temp_like(view)
    build.emit("copy", packed, (view,))
    return packed._replace(shape=shape, strides=contiguous(shape))


def _as(build: Builder, view: View, dtype: str) -> View:
    if build.program.dtype(view) == dtype:
        return view
    converted = build.program.temp(dtype, view.shape)
    build.emit("cast", converted, (view,))
    return converted


def _bound(values: Sequence[Any]) -> int:
    """How many of the values are arguments of the recorded program."""
    return sum(isinstance(value, (np.ndarray, float, np.floating)) for value in values)
