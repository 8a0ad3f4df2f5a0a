"""How an argument of a differentiated call takes part in it: Enzyme's activity annotations.

They are tiny and know nothing of the engine. The one law: see a call as a map from the entry values of all arguments to
the returned value and the exit values of all mutable arguments, with Jacobian J. In forward mode a shadow holds a tangent
on entry and J times it on exit; in reverse mode the cotangent of the exit value on entry and, on exit, J-transposed
times it: the cotangent of the entry value.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = [
    "AbstractAnnotation",
    "Active",
    "BatchDuplicated",
    "BatchDuplicatedNoNeed",
    "Cache",
    "Const",
    "Duplicated",
    "DuplicatedNoNeed",
]


@dataclass(frozen=True, slots=True, eq=False)
class AbstractAnnotation:
    """A value and its role in a differentiated call.

    Attributes
    ----------
    val : object
        The argument itself.
    """

    val: Any

    differentiated: ClassVar[bool] = False  # its derivative is wanted

    @property
    def shadows(self) -> tuple[Any, ...]:
        """The shadows the caller gave, one per lane."""
        return ()


@dataclass(frozen=True, slots=True, eq=False)
class Const(AbstractAnnotation):
    """Varies from call to call and is not differentiated: entry tangent 0, exit cotangent 0, its own derivative dropped.

    Active data written into it and read back inside the call is tracked.
    """


@dataclass(frozen=True, slots=True, eq=False)
class Cache(AbstractAnnotation):
    """Preallocated scratch: its shadow is odead's own, zero at entry; the primal ends as the plain call leaves it."""


@dataclass(frozen=True, slots=True, eq=False)
class Active(AbstractAnnotation):
    """A number, or an immutable container of numbers, whose derivative is returned; reverse mode only.

    A bare int, and ints in plain tuples, count as floats; int fields of a NamedTuple or dataclass are static.
    """

    differentiated: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, eq=False)
class Duplicated(AbstractAnnotation):
    """An array or container with its shadow, which is updated in place.

    Attributes
    ----------
    dval : object
        Same structure, shapes and dtypes as `val` (strides may differ), no memory shared with it. The same array twice in a
        call needs the same shadow twice, and arrays that overlap need shadows that overlap in the same way. For a function or
        object that holds arrays: one that holds their shadows, as `odead.make_zero` builds.
    """

    dval: Any

    differentiated: ClassVar[bool] = True

    @property
    def shadows(self) -> tuple[Any, ...]:
        return (self.dval,)


@dataclass(frozen=True, slots=True, eq=False)
class DuplicatedNoNeed(Duplicated):
    """As `Duplicated`; the caller does not need the exit value of `val`.

    What only that value needs is not computed, and the array holds anything afterwards.
    """


@dataclass(frozen=True, slots=True, eq=False)
class BatchDuplicated(AbstractAnnotation):
    """Several shadows at once; the primal runs once. All batch widths in a call are equal.

    Attributes
    ----------
    dval : tuple
        The shadows, each as in `Duplicated`.
    """

    dval: tuple[Any, ...]

    differentiated: ClassVar[bool] = True

    @property
    def shadows(self) -> tuple[Any, ...]:
        return tuple(self.dval)


@dataclass(frozen=True, slots=True, eq=False)
class BatchDuplicatedNoNeed(BatchDuplicated):
    """As `BatchDuplicated`; the caller does not need the exit value of `val`."""
