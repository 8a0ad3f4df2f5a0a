"""What a call instruction calls: a primitive, or what a rule makes of it in a derived program.

Each one is a function of arrays and numbers that leaves arrays and numbers. Run, it calls Python; traced, the same code is
recorded as ordinary NumPy, which is how derivatives of derivatives come about: the second order differentiates the rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..errors import RuleError
from ..tape import Program
from .primitive import place
from .resolution import Request, Resolution
from .signature import Slot, offsets

if TYPE_CHECKING:
    from .adjoint import Adjoint, Augmented
    from .tangent import Tangent

__all__ = [
    "AbstractCallee",
    "AbstractDerivation",
    "Body",
    "Derivation",
    "InARow",
    "Instructions",
    "Pulled",
    "Pushed",
    "Recorded",
    "TraceBody",
    "Transposed",
    "Zero",
]


class Recorded(NamedTuple):
    """A function as instructions.

    Attributes
    ----------
    program : Program
        Its arguments are the arrays and floats among the arguments; ints are part of what was recorded.
    results : tuple of (int or None, object)
        Per returned leaf its position in the results of the program, or None and the leaf itself.
    """

    program: Program
    results: tuple[tuple[int | None, Any], ...]


class TraceBody(Protocol):
    """Records a function; handed in by the tracer."""

    def __call__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Recorded: ...


# ---------------------------------------------------------------------------------------------------- derivations


@dataclass(frozen=True, kw_only=True)
class AbstractDerivation:
    """What a derived program does about a call.

    Attributes
    ----------
    skip : int
        Slots at the beginning of the row that the call itself still fills, and which have no derivative.
    resolution : Resolution or None
        How that was chosen.
    """

    skip: int = 0
    resolution: Resolution | None = None


@dataclass(frozen=True)
class Zero(AbstractDerivation):
    """No derivative flows through the call."""


@dataclass(frozen=True)
class Body(AbstractDerivation):
    """The call is replaced by these instructions.

    Attributes
    ----------
    recorded : Recorded
        Its results fill what the call leaves, from slot `skip` on.
    ins : tuple of int
        The operands of the call that it takes, in its order.
    values : tuple
        Those operands in the recorded run.
    """

    recorded: Recorded
    ins: tuple[int, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Pushed(AbstractDerivation):
    """Forward mode: a callee of operands and tangents that leaves what the call does, then the tangents, lane by lane."""

    callee: Tangent


@dataclass(frozen=True)
class Pulled(AbstractDerivation):
    """Reverse mode: a callee for the forward sweep, which leaves a token first, and one for the reverse sweep."""

    augmented: Augmented
    adjoint: Adjoint


@dataclass(frozen=True)
class Transposed(AbstractDerivation):
    """The derivative is linear, and the other mode has it as these instructions.

    Attributes
    ----------
    recorded : Recorded
        A function of the operands, then of what it is linear in.
    values : tuple
        Its arguments in the recorded run.
    active : tuple of bool
        The operands that carry a derivative; each of them has a tangent, or a cotangent among the results.
    """

    recorded: Recorded
    values: tuple[Any, ...]
    active: tuple[bool, ...]


@dataclass(frozen=True)
class Instructions(AbstractDerivation):
    """What the rule's code does, as instructions: of a C function, so that no sweep needs the GIL.

    Attributes
    ----------
    recorded : Recorded
        Of the operands, then the tangents of the active ones or the cotangents of what the call leaves; gives the tangents of
        what the call leaves, lane by lane, or the cotangents of the active operands.
    values : tuple
        Its arguments in the recorded run.
    outs : tuple of Slot
        What it gives.
    active : tuple of int
        The operands that carry a derivative.
    """

    recorded: Recorded
    values: tuple[Any, ...]
    outs: tuple[Slot, ...]
    active: tuple[int, ...]


Derivation = Zero | Body | Pushed | Pulled | Transposed | Instructions


# ---------------------------------------------------------------------------------------------------- callees


class AbstractCallee(ABC):
    """What the parameters of a call instruction are.

    Attributes
    ----------
    name : str
    ins, outs : tuple of Slot
        What it takes, and what it leaves, in a row of float64.
    size : int
        Elements of the row.
    resolution : Resolution or None
        How the rule was chosen.
    """

    name: str
    ins: tuple[Slot, ...]
    outs: tuple[Slot, ...]
    resolution: Resolution | None = None
    trace: TraceBody

    @property
    def size(self) -> int:
        return sum(slot.size for slot in self.outs)

    @property
    def plan(self) -> tuple[int, ...] | None:
        """How a C function is called on the row of operands; None: Python is called."""
        return None

    def __repr__(self) -> str:
        return self.name

    def run(self, out: np.ndarray, ins: Sequence[np.ndarray]) -> None:
        """Fill the row; `ins` are copied first."""
        values = [slot.value(array) for slot, array in zip(self.ins, ins, strict=True)]
        left = self.compute(self.functions, values)
        for value, (_, start, stop) in zip(left, offsets(self.outs), strict=True):
            out[start:stop] = np.asarray(value).reshape(-1)

    @property
    @abstractmethod
    def functions(self) -> tuple[Any, ...]:
        """The user's functions that `compute` calls."""

    @abstractmethod
    def compute(self, functions: tuple[Any, ...], values: Sequence[Any]) -> list[Any]:
        """One value per slot of `outs`; the values may be written into."""

    @abstractmethod
    def examples(self) -> list[Any]:
        """Values at which `compute` may be recorded."""

    @abstractmethod
    def derive(self, request: Request) -> Derivation:
        """What a derived program does instead.

        Raises
        ------
        RuleError
        """

    def traced(self) -> tuple[Recorded, tuple[Any, ...]]:
        """`compute` as instructions, and the values of `ins` at which it was recorded."""
        values = self.examples()
        return self.trace(self.compute, (self.functions, values)), tuple(values)

    def second_order(self) -> Resolution | None:
        """What is said where the code of a rule is differentiated."""
        if self.resolution is None:
            return None
        return replace(self.resolution, name=self.name, tried=(), chosen=f"the code of {self.resolution.chosen}")

    def body(self) -> Body:
        """For what a rule has made: the rule's own code is differentiated."""
        try:
            recorded, values = self.traced()
            return Body(recorded, tuple(range(len(self.ins))), values, resolution=self.second_order())
        except Exception as error:  # code that cannot be traced may stumble over a traced value in any way
            where = ", ".join(map(place, self.functions))
            raise RuleError(
                f"{self.name}: to be differentiated again, the code of the rule at {where} must be traceable: NumPy, and "
                f"calls of primitives. {error}"
            ) from error


class InARow:
    """A callee whose operands come in one row of float64."""

    def __init__(self, callee: AbstractCallee) -> None:
        self._callee = callee

    @property
    def plan(self) -> tuple[int, ...] | None:
        """What `_pointers.h` is told, if a C function is all there is to call."""
        return self._callee.plan

    def __repr__(self) -> str:
        return repr(self._callee)

    def run(self, out: np.ndarray, ins: Sequence[np.ndarray]) -> None:
        """Fill the row of results."""
        (row,) = ins
        self._callee.run(out, [row[start:stop].reshape(slot.shape) for slot, start, stop in offsets(self._callee.ins)])
