"""Rules, and how they are registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, Literal, Protocol

from ..activity import AbstractAnnotation, Active, BatchDuplicated, BatchDuplicatedNoNeed, Cache, Const, DuplicatedNoNeed
from ..errors import RuleError
from .primitive import Primitive, adopt, place, primitive_of

__all__ = ["Activity", "Direction", "Rule", "add", "frule", "inactive", "register_vjp", "rule"]

Direction = Literal["forward", "reverse"]


class Mode(Protocol):
    """What tells the direction of a mode."""

    direction: Direction


@dataclass(frozen=True)
class Activity:
    """How a parameter takes part, scalars and arrays alike.

    Attributes
    ----------
    active : bool
        It has a derivative.
    batch : bool
        All lanes at once.
    needed : bool
        Its exit value is needed.
    """

    active: bool
    batch: bool = False
    needed: bool = True

    @classmethod
    def of(cls, annotation: type[AbstractAnnotation]) -> Activity:
        if annotation in (Const, Cache):
            return cls(False)
        unneeded = annotation in (DuplicatedNoNeed, BatchDuplicatedNoNeed)
        return cls(True, issubclass(annotation, BatchDuplicated), not unneeded)

    def __str__(self) -> str:
        if not self.active:
            return "Const"
        return ("Batch" if self.batch else "") + "Duplicated" + ("" if self.needed else "NoNeed")

    def cost(self, call: Activity) -> int | None:
        """How far a rule for this is from a call with `call`: 0 is exact; None: it does not cover it."""
        if not self.active:
            return None if call.active else 0
        if not call.active:
            return 100
        if call.needed and not self.needed:
            return None
        return 10 * (self.batch != call.batch) + (self.needed != call.needed)


@dataclass(frozen=True, eq=False)
class Rule:
    """One rule of one primitive.

    Attributes
    ----------
    function : callable
    direction : {"forward", "reverse"}
    activity : tuple of Activity, or None
        What it is for; None: the always-active default.
    returns : bool
        Whether it is for a returned value that is differentiated.
    """

    function: Callable[..., Any]
    direction: Direction
    activity: tuple[Activity, ...] | None = None
    returns: bool = True

    @property
    def place(self) -> str:
        return place(self.function)

    @property
    def is_default(self) -> bool:
        return self.activity is None

    @property
    def is_batched(self) -> bool:
        """Whether it takes all lanes at once."""
        return self.activity is not None and any(a.batch for a in self.activity)

    def __str__(self) -> str:
        kinds = "" if self.activity is None else f" for ({', '.join(map(str, self.activity))})"
        return f"{self.direction} rule{kinds} at {self.place}"

    def cost(self, call: Sequence[Activity], returns: bool) -> int | None:
        """How far the rule is from a call; None: it does not cover it."""
        if self.activity is None or len(call) > len(self.activity) or (returns and not self.returns):
            return None
        total = int(self.returns != returns)
        for mine, given in zip_longest(self.activity, call, fillvalue=_ABSENT):
            cost = mine.cost(given)
            if cost is None:
                return None
            total += cost
        return total


_ABSENT: Final = Activity(False)  # a parameter left to its default


def rule(
    f: Any,
    *,
    mode: Mode | None = None,
    activity: Sequence[type[AbstractAnnotation]] | None = None,
    returns: type[AbstractAnnotation] = Active,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a rule of a primitive: ``@odead.rule(f)``.

    Parameters
    ----------
    f : Primitive
    mode : Forward or Reverse, optional
        With `activity`: the mode it is for. Reverse when left out.
    activity : sequence of annotations, optional
        One per parameter. Left out, the rule is the default: it takes the arguments of f and returns its value and a
        pullback. Given, it takes `config` first and serves these activities; in forward mode the differentiated arguments
        come as the annotations themselves, and it returns value and tangent.
    returns : Active or Const
        Whether the specific rule is for a returned value that is differentiated.

    Returns
    -------
    decorator
        Gives the function back unchanged.
    """
    direction: Direction = "reverse" if mode is None else mode.direction

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        target = _target(f, function)
        kinds = None if activity is None else tuple(map(Activity.of, activity))
        if kinds is None and direction == "forward":
            raise RuleError(
                f"{place(function)}: the default rule of forward mode is registered with @odead.frule({target.__name__})"
            )
        if kinds is not None and target.signature is not None and len(kinds) != len(target.parameters):
            raise RuleError(
                f"{place(function)}: activity has {len(kinds)} entries, and {target.__name__} has {len(target.parameters)} "
                f"parameters"
            )
        add(target, Rule(function, direction, kinds, returns is not Const))
        return function

    return register


def frule(f: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the tangent of a primitive: ``@odead.frule(f)``.

    The function takes ``(primals, tangents)``, tuples of one item per argument, and returns ``(value, tangent)``. The tangent
    of what is not differentiated is zero; of what has no derivative, None. In place, it writes into the primals, and
    into their tangents.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        add(_target(f, function), Rule(function, "forward"))
        return function

    return register


def inactive(f: Any, args: Sequence[str] | None = None) -> Any:
    """Say that the derivative of a function is zero, altogether or with respect to some arguments.

    Parameters
    ----------
    f : callable or Primitive
    args : sequence of str, optional
        Names of the parameters through which no derivative flows; None: all.

    Returns
    -------
    Primitive
        So that it can decorate.
    """
    target = primitive_of(f)
    if target is None:
        if not callable(f):
            raise RuleError(f"inactive takes a function, not a {type(f).__name__}")
        target = adopt(f)
    if args is None:
        target.inactive = None
    else:
        names = (args,) if isinstance(args, str) else tuple(args)
        target.check_names(names, "args")
        target.inactive = None if target.inactive is None else target.inactive | set(names)
    target.version += 1
    return target


def register_vjp(
    function: Callable[..., Any],
    rule: Callable[..., Any] | None = None,
    *,
    frule: Callable[..., Any] | None = None,
    writes: Sequence[str] = (),
) -> Primitive:
    """Give rules to a function of another package, wherever a traced function calls it.

    Parameters
    ----------
    function : callable
        For instance `scipy.special.airy`.
    rule : callable, optional
        As the default rule: arguments -> value, pullback.
    frule : callable, optional
        As in `odead.frule`.
    writes : sequence of str
        As in `odead.primitive`.
    """
    if rule is None and frule is None:
        raise RuleError(f"{place(function)}: give a rule (value and pullback), an frule (value and tangent), or both")
    target = function if isinstance(function, Primitive) else adopt(function, Primitive(function, writes))
    if rule is not None:
        add(target, Rule(rule, "reverse"))
    if frule is not None:
        add(target, Rule(frule, "forward"))
    return target


def _target(f: Any, function: Callable[..., Any]) -> Primitive:
    target = primitive_of(f)
    if target is None:
        name = getattr(f, "__name__", repr(f))
        raise RuleError(
            f"{place(function)}: a rule for {name}, which is no primitive. Write @odead.primitive above its definition, or "
            f"odead.register_vjp({name}, rule) for a function of another package"
        )
    return target


def add(target: Primitive, new: Rule) -> None:
    """Add a rule, unless it conflicts with one that is there."""
    for old in target.rules:
        if old.direction == new.direction:
            _refuse_conflict(target, old, new)
    target.rules.append(new)
    target.version += 1


def _refuse_conflict(target: Primitive, old: Rule, new: Rule) -> None:
    """Raise where nothing would tell which of two rules is to serve a call."""
    if old.activity is None or new.activity is None:
        conflict = old.activity is new.activity
    else:
        if old.returns != new.returns:
            return
        meet = _meet(old.activity, new.activity)
        same = [r for r in target.rules if r.direction == new.direction and r.activity == meet and r.returns == new.returns]
        cost = old.cost(meet, old.returns)
        undecided = cost is not None and cost == new.cost(meet, new.returns) and any(a.active for a in meet)
        conflict = undecided and (not same or new.activity == meet)
    if conflict:
        raise RuleError(
            f"{target.__name__}: the {new} conflicts with the {old}: nothing tells which one serves a call that both cover. "
            f"Remove one, or register first the rule for the activities that they share"
        )


def _meet(a: Iterable[Activity], b: Iterable[Activity]) -> tuple[Activity, ...]:
    """The most that both rules cover."""
    return tuple(
        Activity(True, x.batch and y.batch, x.needed and y.needed) if x.active and y.active else Activity(False)
        for x, y in zip(a, b, strict=False)
    )
