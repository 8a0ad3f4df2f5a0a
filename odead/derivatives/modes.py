"""The modes of differentiation, as small classes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Final, Self

from ..errors import ArgumentTypeError
from ..rules.registry import Direction
from ..tape import Program
from ..transform.forward import forward
from ..transform.passes.dce import dce
from ..transform.reverse import reverse

__all__ = ["AbstractMode", "Forward", "ForwardMode", "ForwardWithPrimal", "Reverse", "ReverseMode", "ReverseWithPrimal"]


@dataclass(frozen=True)
class AbstractMode(ABC):
    """A mode and its options; call it to change options: ``Reverse(strong_zero=True)``.

    Attributes
    ----------
    with_primal : bool
        Return the value of the function too.
    strong_zero : bool
        A product of a partial and a derivative is 0 where either is exactly 0, though the other is infinite or NaN.
    check : bool
        Refuse NaN in shadows.
    holomorphic : bool
        The derivatives of a holomorphic function with respect to complex arguments are complex: reverse mode multiplies
        by the transposed Jacobian f' itself, where otherwise a real function has the gradient u_x + i u_y.
    """

    direction: ClassVar[Direction]

    with_primal: bool = False
    strong_zero: bool = False
    check: bool = False
    holomorphic: bool = False

    def __call__(self, **options: Any) -> Self:
        known = [field.name for field in fields(self) if field.name != "with_primal"]
        for name in options:
            if name not in known:
                raise ArgumentTypeError(f"a mode has no option {name!r}; its options are {', '.join(known)}")
        return replace(self, **options)

    @abstractmethod
    def derive(self, program: Program, active: Sequence[int], width: int | None) -> Program:
        """The derived program for shadows at these positions."""

    def derive_without(self, program: Program, active: Sequence[int], width: int | None, unneeded: Sequence[int]) -> Program:
        """The same for a caller who does not read the exit values of the arguments `unneeded`."""
        derived = self.derive(program, active, width)
        return dce(derived, {derived.arguments[k] for k in unneeded}) if unneeded else derived


class ForwardMode(AbstractMode):
    """Tangents from entry to exit."""

    direction = "forward"

    def derive(self, program: Program, active: Sequence[int], width: int | None) -> Program:
        return forward(program, active, width, strong_zero=self.strong_zero)


class ReverseMode(AbstractMode):
    """Cotangents from exit to entry."""

    direction = "reverse"

    def derive(self, program: Program, active: Sequence[int], width: int | None) -> Program:
        return reverse(program, active, width, strong_zero=self.strong_zero)


Forward: Final = ForwardMode()
ForwardWithPrimal: Final = ForwardMode(with_primal=True)
Reverse: Final = ReverseMode()
ReverseWithPrimal: Final = ReverseMode(with_primal=True)
