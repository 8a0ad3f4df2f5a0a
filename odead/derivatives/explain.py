"""`explain`: what odead recorded of a function, what its reverse sweep keeps, and which rule serves each call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..activity import AbstractAnnotation
from ..rules.resolution import Resolution
from ..tape import render_instruction, render_view
from ..transform.forward import described_forward
from ..transform.reverse import described_reverse
from .arguments import Arguments
from .autodiff import parse
from .kernel import Kernel
from .modes import AbstractMode, ForwardMode
from .nested import nest_of

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """A printable report.

    Attributes
    ----------
    name : str
        Of the function.
    mode : str
    arguments : tuple of str
    operations : tuple of Operation
        Of the recorded function, in order.
    guards : tuple of str
        The branches that the recorded program holds for.
    calls : tuple of (str, Resolution)
        The user's line, and how the call came to its rule.
    saved : int
        Numbers that the reverse sweep reads from copies.
    """

    name: str
    mode: str
    arguments: tuple[str, ...]
    operations: tuple[Operation, ...]
    guards: tuple[str, ...]
    calls: tuple[tuple[str, Resolution], ...]
    saved: int

    def __str__(self) -> str:
        rows = [f"{self.name}, {self.mode}", *(f"  {argument}" for argument in self.arguments)]
        rows.append(f"{len(self.operations)} operations, {self.saved} numbers saved by copies")
        rows += [f"  {operation}" for operation in self.operations]
        if self.guards:
            rows += ["guards: the program holds while", *(f"  {guard}" for guard in self.guards)]
        if self.calls:
            rows.append("calls")
            for (place, resolution), count in Counter(self.calls).items():
                times = f" ({count} times)" if count > 1 else ""
                rows += [f"  {place}{times}", *(f"    {row}" for row in str(resolution).splitlines())]
        return "\n".join(rows)

    __repr__ = __str__


@dataclass(frozen=True)
class Operation:
    """One recorded operation.

    Attributes
    ----------
    text, place : str
        The operation, and the user's line.
    shape : tuple of int
        Of its result.
    active : bool
        It carries a derivative.
    kept, saved : tuple of str
        What the reverse sweep reads where it is, and what it reads from copies.
    """

    text: str
    place: str
    shape: tuple[int, ...]
    active: bool
    kept: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()

    def __str__(self) -> str:
        notes = ["active" if self.active else "inactive"]
        if self.kept:
            notes.append(f"keeps {', '.join(self.kept)}")
        if self.saved:
            notes.append(f"copies {', '.join(self.saved)}")
        return f"{self.text:<40} {self.shape!s:<12} {'; '.join(notes):<40} {self.place}"


def explain(*args: Any) -> Explanation:
    """Tell what was recorded and how it is differentiated: ``print(odead.explain([mode,] f, *annotated))``.

    Parameters
    ----------
    mode : Forward or Reverse, optional
        Reverse when left out.
    f : callable
    *annotated : Const, Active, Duplicated, ...
        As in `autodiff`; nothing is changed.

    Returns
    -------
    Explanation

    Raises
    ------
    TracingError, RuleError
        As `autodiff` does; TracingError also inside of a function that is being differentiated.
    """
    mode, f, function, _, annotated = parse(args)
    nest = nest_of(f, [(a.val, *a.shadows) for a in annotated if isinstance(a, AbstractAnnotation)])
    if nest is not None:
        nest.rec.fail("odead.explain is called in a function that is being differentiated", "Call it outside of that function")
    arguments = Arguments(f, annotated, {}, function)
    kernel = Kernel(f, arguments.args, held=arguments.held)
    names = [arguments.describe(k) for k in range(len(annotated))]
    return _explained(kernel, mode, names, tuple(sorted(arguments.shadows)))


def _explained(kernel: Kernel, mode: AbstractMode, names: Sequence[str], active: Sequence[int]) -> Explanation:
    program = kernel.primal
    if isinstance(mode, ForwardMode):
        sweep = described_forward(program, active)
    else:
        sweep = described_reverse(program, active)
    operations, guards, saved = [], [], 0
    for number, instruction in enumerate(sweep.primal):
        place, out = sweep.primal.source(number), instruction.out
        if out is None:
            guards.append(f"{render_view(sweep.primal, instruction.ins[0])} is {instruction.params}: {place}")
            continue
        kept, copied = sweep.kept[number]
        saved += sum(view.size for view in copied)
        texts = [tuple(render_view(sweep.program, view) for view in views) for views in (kept, copied)]
        text = render_instruction(sweep.primal, instruction)
        operations.append(Operation(text, place, out.shape, sweep.active[number], *texts))
    return Explanation(
        program.name, type(mode).__name__.removesuffix("Mode"), tuple(names), tuple(operations), tuple(guards),
        tuple(sweep.resolutions), saved,
    )  # fmt: skip
