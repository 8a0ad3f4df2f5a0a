"""Events: the user's root functions and resets, compiled, with their exact derivatives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from ..._observed import any_changed
from ..._system import Recorded, Resetting, Roots
from ...containers import flatten
from ...derivatives.kernel import Kernel, Variant
from ...errors import ArgumentTypeError, ArgumentValueError
from ...tape import Program, Role
from ...transform.forward import forward
from ...transform.reverse import reverse
from ..arguments.layout import Layout
from ..arguments.signature import name_of, one_number, takes_x_p_t
from ..rhs.jumps import Gradient
from ..rhs.kept import Kept
from ..rhs.validation import refuse_captured

__all__ = ["Events", "Reset", "key_of", "make_events"]


class Events:
    """All events of a problem, on vectors.

    Parameters
    ----------
    functions : sequence of callable
    x_layout, p_layout : Layout
    x, p : array, shapes (N,) and (n_p,)
        Where they are recorded first; a running cost is the last of the N states, which events do not see.
    t : float

    Attributes
    ----------
    names : list of str
    terminal : list of int
        After how many times each ends the solve; 0: never.
    directions : array, shape (m,)
        Of a change that counts: 1.0, -1.0, or 0.0 for both.
    resets : list of Reset or None
    passive : array of bool, shape (m,)
        Which ones change nothing: they neither reset the state nor end the solve.
    """

    def __init__(
        self,
        functions: Sequence[Callable[..., Any]],
        x_layout: Layout,
        p_layout: Layout,
        x: np.ndarray,
        p: np.ndarray,
        t: float,
    ) -> None:
        self.names = [name_of(f) for f in functions]
        self.terminal = [_check_terminal(f) for f in functions]
        self.directions = np.array([_check_direction(f) for f in functions])
        self._n_p = p.size
        self._instants: tuple[Variant, list[tuple[float, float]] | None] | None = None
        example = (x.copy(), p.copy() if p.size else None, float(t))
        flat = partial(_evaluate, functions, x_layout, p_layout)
        self._value = Kernel(flat, (np.zeros(len(functions)), *example), raises=False)
        self._gradient = Kernel(flat, (np.zeros(len(functions)), *example), _reverse, raises=False)
        for written in self._value.variant.written - {0}:
            what = ("x", "p" if p.size else "t", "t")[written - 1]
            raise ArgumentValueError(f"events: one of {', '.join(self.names)} writes into {what}; only event.reset changes x")
        self.resets = [None if getattr(f, "reset", None) is None else Reset(f, x_layout, p_layout, example) for f in functions]
        self._own = [self._value, *(reset.kernel for reset in self.resets if reset is not None)]
        self.passive = np.array([r is None and not last for r, last in zip(self.resets, self.terminal, strict=True)])

    def __len__(self) -> int:
        return len(self.names)

    def values(self, x: np.ndarray, p: np.ndarray, t: float) -> np.ndarray:
        """The values of all root functions, shape (m,)."""
        out = np.empty(len(self))
        self._value(out, x, *self._p(p), t)
        return out

    def along(self, times: np.ndarray, states: np.ndarray, p: np.ndarray) -> np.ndarray:
        """The values at k points, shape (k, m), of states (k, N)."""
        signs = np.zeros(len(self))
        found = self.watch(states[0].copy(), p, float(times[0]), signs, None).along(times, states)
        if found is None:
            found = np.array([self.values(x, p, t) for x, t in zip(states, times.tolist(), strict=True)])
        return found.reshape(-1, len(self))

    def instants(self, x: np.ndarray, p: np.ndarray, t: float) -> list[tuple[float, float]] | None:
        """When each has its root, and its slope by t, if all are the difference of t and a number; else None."""
        variant = self._value(np.empty(len(self)), x.copy(), *self._p(p), t)
        if self._instants is None or self._instants[0] is not variant:
            self._instants = variant, instants_of(variant.primal)
        return self._instants[1]

    @property
    def kernels(self) -> list[Kernel]:
        """Of the values and the resets."""
        found = self._own
        for reset in self.resets:
            if reset is not None and reset.inside:
                found = [*found, *reset.inside.values()]
        return found

    @property
    def ways(self) -> list[Variant]:
        """Taken last through the branches of values and resets."""
        return [kernel.variant for kernel in self._own]

    def is_stale(self) -> bool:
        """Whether something that they read has changed."""
        return any_changed(self.kernels)

    def gradient(self, number: int, x: np.ndarray, p: np.ndarray, t: float) -> Gradient:
        """The derivatives of one of them."""
        seed, x_bar, p_bar, t_bar = np.zeros(len(self)), np.zeros(x.size), np.zeros(self._n_p), np.zeros(())
        seed[number] = 1.0
        self._gradient(np.empty(len(self)), x.copy(), *self._p(p), t, seed, x_bar, *self._p(p_bar), t_bar)
        return Gradient(x_bar, p_bar, float(t_bar))

    def watch(self, x: np.ndarray, p: np.ndarray, t: float, signs: np.ndarray, also: Recorded | None) -> Roots:
        """The test for the compiled loop that all still have these signs."""

        def find(x: np.ndarray, t: float) -> Any:
            return self._value(np.empty(len(self)), x, *self._p(p), t).executable.tape

        return Roots(find(x, t), x.size, p, signs, find, also)

    def refuse_captured(self, arrays: Sequence[np.ndarray]) -> None:
        """Raise TracingError if an array of the user's p is also read through a closure or global."""
        for kernel in (self._value, *(reset.kernel for reset in self.resets if reset is not None)):
            refuse_captured(kernel.primal, arrays, "p")

    def _p(self, p: np.ndarray) -> tuple[np.ndarray, ...]:
        return (p,) if self._n_p else ()


class Reset:
    """``event.reset(x, p, t)``, which changes x in place, on vectors.

    Parameters
    ----------
    event : callable
        With this attribute.
    x_layout, p_layout : Layout
    example : tuple
        x, p (or None) and t, where it is recorded first.
    """

    def __init__(self, event: Callable[..., Any], x_layout: Layout, p_layout: Layout, example: tuple[Any, ...]) -> None:
        reset, name = event.reset, name_of(event)  # type: ignore[attr-defined]
        if not takes_x_p_t(reset, f"events: {name}.reset", "reset(x, p, t)"):
            raise ArgumentTypeError(f"events: {name}.reset must take three positional parameters: reset(x, p, t)")
        if x_layout.has_numbers:
            raise ArgumentTypeError(f"x0 is a container of plain numbers, which {name}.reset cannot change; make them arrays")
        self._flat = partial(_reset, reset, name, x_layout, p_layout)
        self._example = example
        self._n_p = 0 if example[1] is None else example[1].size
        self.kernel = self._kernel(None)
        if 0 not in self.kernel.variant.written:
            raise ArgumentValueError(
                f"events: {name}.reset leaves x as it is; write x[...] = ... (x = ... only binds a new name)"
            )
        if self.kernel.variant.written != {0}:
            raise ArgumentValueError(f"events: {name}.reset writes into p or t; it may change x only")
        self._pull = self._kernel(_reverse)
        self._push: dict[int, Kernel] = {}
        self.inside: dict[int, Kernel] = {}  # for the compiled loop

    def __call__(self, x: np.ndarray, p: np.ndarray, t: float) -> np.ndarray:
        """The state after it."""
        x = x.copy()
        self.kernel(x, *self._p(p), t)
        return x

    def at(self, x: np.ndarray, p: np.ndarray, t: float) -> "_ResetAt":
        """Its linearisation."""
        return _ResetAt(self, x.copy(), p, t)

    def push(self, x: np.ndarray, p: np.ndarray, t: float, d_x: np.ndarray, d_p: np.ndarray, d_t: np.ndarray) -> np.ndarray:
        """The tangents after it, for those of x, shape (W, N), p, shape (W, n_p), and t, shape (W,)."""
        width = max(len(d_x), 2)  # a single lane would have no axis
        kernel = self._push.get(width)
        if kernel is None:
            kernel = self._push[width] = self._kernel(partial(_forward, width=width))
        lanes = [np.zeros((width, *d.shape[1:])) for d in (d_x, d_p, d_t)]
        for lane, given in zip(lanes, (d_x, d_p, d_t), strict=True):
            lane[: len(given)] = given
        kernel(x.copy(), *self._p(p), t, lanes[0], *self._p(lanes[1]), lanes[2])
        return np.asarray(lanes[0][: len(d_x)])

    def compiled(self, x: np.ndarray, p: np.ndarray, t: float, directions: np.ndarray) -> Resetting:
        """The reset for the compiled loop, of a state with a tangent for each of the (W, n_p) directions of p."""
        width = len(directions)
        kernel = self.inside.get(width) if width else self.kernel
        if kernel is None:
            kernel = self.inside[width] = self._kernel(partial(_forward, width=None if width == 1 else width))

        def find(x: np.ndarray, t: float) -> Any:
            values = [x.copy(), *self._p(p), t]

            def assemble(variant: Variant) -> list[Any]:
                program = variant.executable.program
                return [*values, *(np.zeros(program.buffers[b].shape or ()) for b in program.arguments[len(values) :])]

            return kernel.run(values, assemble).executable.tape

        return Resetting(find(x, t), x.size, p, directions, find)

    def pull(self, x: np.ndarray, p: np.ndarray, t: float, covector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cotangents of the state before it and of p."""
        x_bar, p_bar, t_bar = covector.copy(), np.zeros(self._n_p), np.zeros(())
        self._pull(x.copy(), *self._p(p), t, x_bar, *self._p(p_bar), t_bar)
        return x_bar, p_bar

    def _kernel(self, derive: Callable[[Program], Program] | None) -> Kernel:
        x, p, t = self._example
        return Kernel(self._flat, (x.copy(), None if p is None else p.copy(), t), derive)

    def _p(self, p: np.ndarray) -> tuple[np.ndarray, ...]:
        return (p,) if self._n_p else ()


@dataclass(frozen=True)
class _ResetAt:
    """`jumps.ResetMap` of a reset."""

    reset: Reset
    x: np.ndarray
    p: np.ndarray
    t: float

    def push(self, tangents: np.ndarray, directions: np.ndarray) -> np.ndarray:
        return self.reset.push(self.x, self.p, self.t, tangents, directions, np.zeros(len(tangents)))

    def pull(self, covector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.reset.pull(self.x, self.p, self.t, covector)

    def along(self, slope: np.ndarray) -> np.ndarray:
        """h_x f + h_t: how the state after it changes along a solution before it."""
        tangents = self.reset.push(self.x, self.p, self.t, slope[None], np.zeros((1, self.p.size)), np.ones(1))
        return np.asarray(tangents[0])


_KEPT: Final = Kept[Events](64)


def make_events(
    events: Any, x_layout: Layout, p_layout: Layout, x: np.ndarray, p: np.ndarray, t: float, p_tree: Any
) -> Events | None:
    """The events of the user, checked and compiled.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        One of them, or an attribute of it, does not fit.
    TracingError
        One cannot be recorded, or reads an array of p through a closure.
    """
    if events is None:
        return None
    if not callable(events) and not isinstance(events, (list, tuple)):
        raise ArgumentTypeError(f"events must be a function event(x, p, t) or a list of them, not {events!r}")
    functions = (events,) if callable(events) else tuple(events)
    if not functions:
        return None
    key = (key_of(functions), x_layout, p_layout, x.size)

    def build() -> Events:
        for k, event in enumerate(functions):
            if not takes_x_p_t(event, f"events[{k}]", "event(x, p, t)"):
                raise ArgumentTypeError(
                    f"events: {name_of(event)} must take three positional parameters: event(x, p, t) -> float (not SciPy's "
                    f"(t, y))"
                )
        return Events(functions, x_layout, p_layout, x, p, t)

    found = _KEPT.get(key, build)
    found.refuse_captured([leaf for leaf in flatten(p_tree)[0] if isinstance(leaf, np.ndarray)])
    return found


def key_of(functions: Sequence[Callable[..., Any]]) -> tuple[Any, ...]:
    """What tells events apart: the functions and their attributes."""
    attributes = [(getattr(f, "terminal", None), getattr(f, "direction", None), getattr(f, "reset", None)) for f in functions]
    return (*functions, *attributes)


def _check_terminal(event: Callable[..., Any]) -> int:
    terminal = getattr(event, "terminal", None)
    if terminal is None or terminal is False:
        return 0
    if terminal is True:
        return 1
    if not isinstance(terminal, (int, np.integer)) or terminal < 0:
        raise ArgumentValueError(f"events: {name_of(event)}.terminal must be a bool or a count, not {terminal!r}")
    return int(terminal)


def _check_direction(event: Callable[..., Any]) -> float:
    direction = getattr(event, "direction", None)
    if direction is None:
        return 0.0
    if not isinstance(direction, (int, float, np.number)) or direction != direction:
        raise ArgumentValueError(f"events: {name_of(event)}.direction must be a number, not {direction!r}")
    return float(np.sign(direction))


def _evaluate(
    functions: Sequence[Callable[..., Any]], x_layout: Layout, p_layout: Layout, values: Any, x: Any, p: Any, t: Any
) -> None:
    state, parameters = x_layout.unpack(x[: x_layout.size]), p_layout.unpack(p)
    for k, event in enumerate(functions):
        wanted = f"events: {name_of(event)} must return one float whose sign changes at the event"
        values[k] = one_number(event(state, parameters, t), wanted)


def _reset(reset: Callable[..., Any], name: str, x_layout: Layout, p_layout: Layout, x: Any, p: Any, t: Any) -> None:
    if reset(x_layout.unpack(x[: x_layout.size]), p_layout.unpack(p), t) is not None:
        raise ArgumentTypeError(
            f"events: {name}.reset(x, p, t) must change x in place and return nothing, but it returned a value"
        )


def _reverse(program: Program) -> Program:
    return reverse(program, range(len(program.arguments)))


def instants_of(program: Program) -> list[tuple[float, float]] | None:
    """The root of each value of a program of root functions, and its slope, if all are t - c or c - t.

    Those of many doses are one instruction on vectors.
    """
    values, t = program.arguments[0], program.arguments[-1]
    found: dict[int, tuple[float, float]] = {}
    for op, out, ins in zip(program.op, program.out, program.ins, strict=True):
        if op != "sub" or out is None or out.buffer != values:
            return None
        slope, other = (1.0, ins[1]) if ins[0].buffer == t else (-1.0, ins[0])
        data = program.buffers[other.buffer].data
        if t not in (ins[0].buffer, ins[1].buffer) or program.buffers[other.buffer].role is not Role.CONSTANT or data is None:
            return None
        instants = np.broadcast_to(data.ravel()[other.indices()].reshape(other.shape), out.shape)
        for place, instant in zip(out.indices().ravel().tolist(), instants.ravel().tolist(), strict=True):
            if place in found:
                return None
            found[place] = instant, slope
    return [found[k] for k in range(len(found))] if len(found) == program.buffers[values].size else None


def _forward(program: Program, width: int | None) -> Program:
    return forward(program, range(len(program.arguments)), width)
