"""Which rule serves a call, and what to say when none does.

In this order: the rule for exactly these activities; a less specific one, lifted; the always-active default; the rules of the
other mode; tracing the body; finite differences, where opted in; RuleError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import RuleError
from .primitive import Primitive, place
from .registry import Activity, Direction, Rule

__all__ = ["Config", "Request", "Resolution", "best_specific", "candidates", "refuse"]


class Request(NamedTuple):
    """What a derived program wants of a call.

    Attributes
    ----------
    direction : {"forward", "reverse"}
    active : tuple of bool
        Per operand: it carries a derivative.
    width : int or None
        Number of lanes.
    read : tuple of bool
        Per slot of what the call leaves: something reads it.
    overwritten : tuple of bool
        Per operand: it is overwritten afterwards.
    """

    direction: Direction
    active: tuple[bool, ...]
    width: int | None
    read: tuple[bool, ...]
    overwritten: tuple[bool, ...]


@dataclass(frozen=True)
class Config:
    """What a specific rule may ask.

    Attributes
    ----------
    needs_primal : bool
        The returned value is used; otherwise the rule may return None for it.
    needs_shadow : bool
        The derivative of the returned value is used.
    width : int
        Number of lanes; a rule for single shadows is asked once for each.
    overwritten : tuple of bool
        Per parameter: the program overwrites it after the call. What the rule is handed is a private copy in any case; it
        says whether recomputing from it later would be right in a plain program.
    """

    needs_primal: bool
    needs_shadow: bool
    width: int
    overwritten: tuple[bool, ...]


@dataclass(frozen=True)
class Resolution:
    """How a call came to its rule.

    Attributes
    ----------
    name : str
        Of the primitive.
    direction : {"forward", "reverse"}
    activities : tuple of str
        Of the parameters.
    tried : tuple of str
        What was passed over, and why.
    chosen : str
        What serves the call.
    """

    name: str
    direction: Direction
    activities: tuple[str, ...]
    tried: tuple[str, ...]
    chosen: str

    def __str__(self) -> str:
        rows = [f"{self.name}({', '.join(self.activities)}), {self.direction}: {self.chosen}"]
        return "\n".join([*rows, *(f"  passed over: {reason}" for reason in self.tried)])


def best_specific(
    primitive: Primitive, direction: Direction, call: Sequence[Activity], returns: bool
) -> tuple[Rule | None, int]:
    """The specific rule nearest to a call, and its distance."""
    costs = [
        (cost, k)
        for k, r in enumerate(primitive.rules)
        if r.direction == direction and (cost := r.cost(call, returns)) is not None
    ]
    if not costs:
        return None, 0
    cost, k = min(costs)
    return primitive.rules[k], cost


def candidates(
    primitive: Primitive, direction: Direction, call: Sequence[Activity], returns: bool
) -> Iterator[tuple[Rule, str]]:
    """Rules that may serve a call, best first, with what is said of them."""
    specific, cost = best_specific(primitive, direction, call, returns)
    if specific is not None:
        yield specific, f"the {specific}" + (", lifted" if cost else ", exact")
    for own in (True, False):
        for rule in primitive.rules:
            if rule.is_default and (rule.direction == direction) is own:
                yield rule, f"the default {rule}" + ("" if own else ", of the other mode")


def refuse(primitive: Primitive, direction: Direction, activities: Sequence[str], tried: Sequence[str]) -> RuleError:
    """The error that prints the chain tried, and what would help."""
    names = ", ".join(primitive.parameters) or "*args"
    chain = "".join(f"\n  - {reason}" for reason in tried)
    remedy = (
        f"@odead.rule({primitive.__name__})\ndef _({names}): return value, pullback  # pullback: an item per parameter"
        if direction == "reverse"
        else f"@odead.frule({primitive.__name__})\ndef _(primals, tangents): return value, tangent"
    )
    return RuleError(
        f"{primitive.__name__}({', '.join(activities)}), defined at {place(primitive.function)}, has no {direction} "
        f"derivative. Tried:{chain}\nThese two lines would help:\n{remedy}"
    )
