"""What the functions of a solve close over, inside a function that is being differentiated: a part of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ...containers import Structure, flatten
from ...derivatives.kernel import is_bound
from ...derivatives.nested import Nest
from ...rules.closures import Closure
from ..arguments.signature import Event, ScipyRhs, is_in_place
from ..problem.loss import check_loss

__all__ = ["Closing"]


class Closing:
    """The functions of a solve in the user's world, of parameters to which belongs what they close over of a recording.

    Parameters
    ----------
    nest : Nest
        The recording.
    p : container
    rhs : callable
    events : sequence of callable
    tstops : callable or times
    running, loss, start : callable, optional
        The other functions of `odead.sensitivity`; start is x0 where it is a function of p.

    Attributes
    ----------
    p : container
        As given if nothing is closed over; else ``(p, closure, closure, ...)``.
    rhs : callable
    events : list of Event
    tstops : callable or times
    running, loss, start : callable or None
    """

    def __init__(
        self, nest: Nest, p: Any, rhs: Callable[..., Any], events: Sequence[Callable[..., Any]], tstops: Any,
        running: Callable[..., Any] | None = None, loss: Callable[..., Any] | None = None,
        start: Callable[..., Any] | None = None,
    ) -> None:  # fmt: skip
        self._nest = nest
        self._closed: list[tuple[Any, ...]] = []
        resets = [getattr(event, "reset", None) for event in events]
        made = [self._outside(f) for f in (rhs, *events, *(r for r in resets if r is not None))]
        stops = self._outside(tstops) if callable(tstops) else None
        others = [None if f is None else self._outside(f) for f in (running, loss, start)]
        self._closes = any(self._closed)
        self.p = (p, *self._closed) if self._closes else p
        self.rhs = self._method(made[0], "in_place" if is_in_place(rhs) else "returning")
        given = iter(made[1 + len(events) :])
        self.events = [
            Event.of(event)._replace(
                function=self._method(own, "returning"),
                reset=None if reset is None else self._method(next(given), "returning"),
            )
            for event, own, reset in zip(events, made[1:], resets, strict=False)
        ]
        self.tstops = tstops if stops is None else self._method(stops, "of_p")
        names = ("returning", "of_states" if loss is None or check_loss(loss) == 1 else "of_both", "of_p")
        self.running, self.loss, self.start = [
            None if f is None else self._method(f, name) for f, name in zip(others, names, strict=True)
        ]

    def jac(self, jac: Any) -> Any:
        """The user's Jacobian of these parameters, for one look: what it closes over has the values of the recording."""
        if not callable(jac):
            return jac
        leaves, structure = flatten(self._nest.outside(jac))
        plain = _Outside(structure, tuple(map(self._nest.twin, leaves)), False, 0).alone()
        return partial(_of_first, plain) if self._closes else plain

    def _outside(self, f: Any) -> _Outside:
        is_scipys = isinstance(f, ScipyRhs)
        leaves, structure = flatten(self._nest.outside(f.func if is_scipys else f))
        leaves = [leaf if is_bound(leaf) else self._nest.twin(leaf) for leaf in leaves]
        own = () if structure.kind is None else tuple(leaf for leaf in leaves if is_bound(leaf))
        self._closed.append(own)
        static = tuple(_GIVEN if own and is_bound(leaf) else leaf for leaf in leaves)
        return _Outside(structure, static, is_scipys, len(self._closed))

    def _method(self, f: _Outside, name: str) -> Callable[..., Any]:
        return getattr(f, name) if self._closes else f.alone()  # type: ignore[no-any-return]


_GIVEN: Final = object()


@dataclass(frozen=True)
class _Outside:
    """A function whose closure is the number-th part of the parameters ``(p, closure, closure, ...)``."""

    structure: Structure
    leaves: tuple[Any, ...]  # _GIVEN where the parameters have it
    is_scipys: bool
    number: int

    def alone(self) -> Any:
        """The function, where nothing is closed over."""
        function = self.structure.unflatten(list(self.leaves))
        if isinstance(function, Closure):
            function = function.code.made(function.cells, function.defaults)
        return ScipyRhs(function) if self.is_scipys else function

    def function(self, q: Any) -> Any:
        given = iter(q[self.number])
        made = self.structure.unflatten([next(given) if leaf is _GIVEN else leaf for leaf in self.leaves])
        return ScipyRhs(made) if self.is_scipys else made

    def in_place(self, dx: Any, x: Any, p: Any, t: Any) -> Any:
        return self.function(p)(dx, x, p[0], t)

    def returning(self, x: Any, p: Any, t: Any) -> Any:
        return self.function(p)(x, p[0], t)

    def of_p(self, p: Any) -> Any:
        return self.function(p)(p[0])

    def of_states(self, y: Any, p: Any) -> Any:
        return self.function(p)(y)

    def of_both(self, y: Any, p: Any) -> Any:
        return self.function(p)(y, p[0])


def _of_first(jac: Callable[..., Any], x: Any, p: Any, t: Any) -> Any:
    return jac(x, p[0], t)
