"""Functions and objects that hold what is differentiated, inside a function that is itself being recorded.

What each of them holds becomes one more argument, a list of arrays and numbers, behind those that the caller wrote. When the
inner function is recorded, the function or object is copied around the entries of that list, in the user's world.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CellType, FunctionType, MethodType
from typing import Any, NamedTuple

from ..activity import AbstractAnnotation, BatchDuplicated
from ..containers import flatten, map_leaves
from ..errors import argument_name
from ..holders import PLAIN_OBJECTS, Held, attributes, class_of, held, held_with_shadows, is_holder, is_user_object
from ..tracing.recorder import is_traced
from .kernel import is_bound
from .nested import Nest

__all__ = ["Holders", "holders_inside"]


class _Slot:
    """A leaf in the place of a holder among the arguments."""

    def __init__(self, holder: _Holder) -> None:
        self.holder = holder


class _Holder(NamedTuple):
    """A function or object of the outer recording.

    Attributes
    ----------
    thing : object
        What the traced code has: a rebuilt function, the view of an object, or one made inside.
    items : list of Held
    lanes : list of list of Held
        The same of each shadow.
    """

    thing: Any
    items: list[Held]
    lanes: list[list[Held]]


class Holders(NamedTuple):
    """A call in which what functions and objects hold is among the arguments.

    Attributes
    ----------
    f : callable
        Takes the lists behind its own arguments.
    annotated : tuple of AbstractAnnotation
        The caller's, then one for each list.
    items : list of Held
        Of all lists.
    lanes : list of list of Held
        Of all lists, for each shadow.
    """

    f: Any
    annotated: tuple[AbstractAnnotation, ...]
    items: list[Held]
    lanes: list[list[Held]]


def holders_inside(
    nest: Nest, f: Any, function: AbstractAnnotation | None, annotated: Sequence[AbstractAnnotation]
) -> Holders | None:
    """The call with what is held among its arguments; None where nothing that is differentiated is held.

    Raises
    ------
    ArgumentTypeError
        A shadow holds other things than its value.
    """
    found: list[tuple[AbstractAnnotation, _Holder]] = []
    own: _Holder | None = None
    if function is not None and function.shadows:
        own = _holder(f, function.shadows, f"what the function {getattr(f, '__name__', type(f).__name__)} holds")
        found += [(function, own)] if own.items else []
    given = [_without_holders(f, number, annotation, found) for number, annotation in enumerate(annotated)]
    if not found:
        return None
    holders = [holder for _, holder in found]
    closed: list[Any] = []
    for holder in holders:
        _Copying(nest, holder, [item.value for item in holder.items], iter(()), closed).copy(holder.thing)
    function_ = None if own is not None and own.items else nest.outside(f)
    called = _WithHolders(_Plan(nest, holders, function_ is None), tuple(closed), function_)
    lists = [
        _annotation(a, [item.value for item in h.items], [[item.value for item in lane] for lane in h.lanes]) for a, h in found
    ]
    width = len(found[0][1].lanes)
    lanes = [[item for holder in holders for item in holder.lanes[k]] for k in range(width)] if _alike(holders) else []
    return Holders(called, (*given, *lists), [item for holder in holders for item in holder.items], lanes)


def _alike(holders: Sequence[_Holder]) -> bool:
    """Whether all have as many shadows; if not, the widths of the call differ, which raises when it is bound."""
    return len({len(holder.lanes) for holder in holders}) == 1


def _holder(x: Any, shadows: Sequence[Any], what: str) -> _Holder:
    return _Holder(x, *held_with_shadows(x, shadows, what))


def _without_holders(
    f: Any, number: int, annotation: AbstractAnnotation, found: list[tuple[AbstractAnnotation, _Holder]]
) -> AbstractAnnotation:
    """An annotation in which slots stand for holders; those go to `found`."""
    if not isinstance(annotation, AbstractAnnotation) or not annotation.shadows:
        return annotation
    leaves, structure = flatten(annotation.val)
    if not any(map(is_holder, leaves)):
        return annotation
    what = f"{argument_name(f, number)} ({type(annotation).__name__})"
    shadows = [flatten(shadow)[0] for shadow in annotation.shadows]
    if any(len(lane) != len(leaves) for lane in shadows):
        return annotation  # binding it raises
    kept = list(leaves)
    for k, leaf in enumerate(leaves):
        holder = _holder(leaf, [lane[k] for lane in shadows], what) if is_holder(leaf) else None
        if holder is not None and holder.items:
            found.append((annotation, holder))
            kept[k] = _Slot(holder)
            for lane in shadows:
                lane[k] = kept[k]
    lanes = [flatten(shadow)[1].unflatten(lane) for shadow, lane in zip(annotation.shadows, shadows, strict=True)]
    return _annotation(annotation, structure.unflatten(kept), lanes)


def _annotation(like: AbstractAnnotation, value: Any, shadows: Sequence[Any]) -> AbstractAnnotation:
    kind: Any = type(like)
    made: AbstractAnnotation = kind(value, tuple(shadows)) if isinstance(like, BatchDuplicated) else kind(value, *shadows)
    return made


# ---------------------------------------------------------------------------------------------------- in the inner recording


class _Plan:
    """How the holders are copied: a leaf."""

    def __init__(self, nest: Nest, holders: Sequence[_Holder], first_is_function: bool) -> None:
        self.nest, self.holders, self.first_is_function = nest, holders, first_is_function


@dataclass(frozen=True, eq=False)
class _WithHolders:
    """The inner function, which takes what is held behind its own arguments.

    Attributes
    ----------
    plan : _Plan
    closed : tuple
        What is traced in the holders and has no shadow: defaults.
    function : callable or None
        None: the first holder is the function.
    """

    plan: _Plan
    closed: tuple[Any, ...]
    function: Any

    @property
    def __name__(self) -> str:
        f = self.plan.holders[0].thing if self.function is None else self.function
        return getattr(f, "__name__", type(f).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        plan, rest = self.plan, iter(self.closed)
        own, lists = args[: -len(plan.holders)], args[-len(plan.holders) :]
        inside = next(x for values in lists for x in values if is_traced(x)).__odead_inside__
        makers = [_Copying(plan.nest, holder, values, rest) for holder, values in zip(plan.holders, lists, strict=True)]
        copies = [inside(maker.copy(holder.thing)) for maker, holder in zip(makers, plan.holders, strict=True)]
        known = {id(holder): copy for holder, copy in zip(plan.holders, copies, strict=True)}
        own = tuple([_filled(x, known) for x in own])
        result = (copies[0] if plan.first_is_function else self.function)(*own, **kwargs)
        for maker in makers:
            maker.refuse_changes()
        return result


def _filled(tree: Any, copies: Mapping[int, Any]) -> Any:
    """An argument with the copies in their slots; without slots, itself."""
    if not any(isinstance(leaf, _Slot) for leaf in flatten(tree)[0]):
        return tree
    return map_leaves(lambda leaf: copies[id(leaf.holder)] if isinstance(leaf, _Slot) else leaf, tree)


class _Copying:
    """Copies a function or object into the user's world.

    Parameters
    ----------
    nest : Nest
    holder : _Holder
    values : sequence
        For its items, in order.
    given : iterator
        What to put in the place of traced values without shadow.
    closed : list, optional
        Gets those values instead.
    """

    def __init__(
        self,
        nest: Nest,
        holder: _Holder,
        values: Sequence[Any],
        given: Iterator[Any],
        closed: list[Any] | None = None,
    ) -> None:
        self._nest, self._closed, self._given = nest, closed, given
        self._original = nest.rec.calls.original
        self._values = {(id(item.owner), item.key): value for item, value in zip(holder.items, values, strict=True)}
        self._made: dict[int, Any] = {}
        self._objects: list[tuple[Any, dict[str, Any]]] = []  # copies, and the attributes that they were made with

    def refuse_changes(self) -> None:
        """The function has set an attribute of a copy: the object itself would not have it."""
        for made, before in self._objects:
            for name, value in attributes(made).items():
                if before.get(name, made) is not value:
                    self._nest.rec.fail(
                        f"a function that is differentiated inside another sets the attribute .{name} of an object of "
                        f"{type(made).__name__}",
                        "Write into arrays that the object has (self.work[:] = ...), or return the value",
                    )

    def copy(self, x: Any) -> Any:
        """The copy of a holder, or of anything in it."""
        if is_traced(x):
            return self._leaf(x)
        if id(x) in self._made:
            return self._made[id(x)]
        if isinstance(x, MethodType):
            return MethodType(self.copy(x.__func__), self.copy(x.__self__))
        if isinstance(x, functools.partial):
            keywords = {name: self._entry(x.keywords, name, value) for name, value in x.keywords.items()}
            return functools.partial(self.copy(x.func), *self._entries(x.args), **keywords)
        if not held(x) and not _is_made_inside(x, self._original):
            return self._original(x)
        if isinstance(x, FunctionType):
            return self._function(x)
        if isinstance(x, (list, dict, tuple)):
            return self._container(x)
        return self._object(x) if is_user_object(x) else self._original(x)

    def _leaf(self, x: Any) -> Any:
        """Something traced that is not held: a default."""
        if not is_bound(x):
            return self._nest.twin(x)
        if self._closed is None:
            return next(self._given)
        self._closed.append(x)
        return x

    def _entry(self, owner: Any, key: Any, x: Any) -> Any:
        place = (id(owner), key)
        return self._values[place] if place in self._values else self.copy(x)

    def _entries(self, xs: Sequence[Any]) -> list[Any]:
        return [self._entry(xs, k, x) for k, x in enumerate(xs)]

    def _function(self, f: FunctionType) -> FunctionType:
        true = self._original(f)
        names = getattr(true.__globals__, "true", true.__globals__)
        cells = tuple([self._cell(cell) for cell in f.__closure__ or ()])
        made = self._made[id(f)] = FunctionType(true.__code__, names, f.__name__, None, cells)
        made.__defaults__ = None if f.__defaults__ is None else tuple(self._entries(f.__defaults__))
        if f.__kwdefaults__:
            made.__kwdefaults__ = {name: self._entry(f.__kwdefaults__, name, x) for name, x in f.__kwdefaults__.items()}
        made.__dict__.update({name: self._entry(vars(f), name, x) for name, x in vars(f).items()})
        for cell, new in zip(f.__closure__ or (), cells, strict=True):
            if id(new) not in self._made and _is_filled(cell):
                self._made[id(new)] = new
                new.cell_contents = self._entry(cell, None, cell.cell_contents)
        return made

    def _cell(self, cell: CellType) -> CellType:
        made: CellType = self._made.setdefault(id(cell), CellType())
        return made

    def _container(self, x: Any) -> Any:
        if isinstance(x, tuple):
            items = self._entries(x)
            return tuple(items) if type(x) is tuple else tuple.__new__(type(x), items)
        made: Any = type(x)()
        self._made[id(x)] = made  # before the entries, which may lead back here
        if isinstance(x, dict):
            made.update({key: self._entry(x, key, value) for key, value in x.items()})
        else:
            made.extend(self._entries(x))
        return made

    def _object(self, x: Any) -> Any:
        kind: Any = self._nest.true_class(class_of(x))
        made = self._made[id(x)] = kind() if isinstance(x, PLAIN_OBJECTS) else object.__new__(kind)
        for name, value in attributes(x).items():
            object.__setattr__(made, name, self._entry(x, name, value))
        self._objects.append((made, attributes(made)))
        return made


def _is_made_inside(x: Any, original: Any) -> bool:
    """Whether x is, or contains, a function or object that the recorded code has made."""
    if isinstance(x, FunctionType):
        return hasattr(x.__globals__, "true") and original(x) is x
    if isinstance(x, (list, dict, tuple)):
        return any(is_traced(leaf) or _is_made_inside(leaf, original) for leaf in flatten(x)[0])
    return False


def _is_filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
