"""The arguments of a helper such as `gradient`: private, taken apart, some of them differentiated."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

import numpy as np

from ..containers import flatten, promoted
from ..errors import ArgumentTypeError, ArgumentValueError
from ..tracing.recorder import is_traced
from ..transform.builder import FLOATS
from .kernel import is_bound, layout, number_kind, static_key
from .nested import copy_in_layout, nest_of

__all__ = ["DIFFERENTIABLE", "Inputs", "Wrt"]

Wrt = int | tuple[int, ...]

DIFFERENTIABLE: Final = (*FLOATS, "complex128")


class Inputs:
    """The arguments of one call of a helper: leaves apart, private, some of them differentiated.

    A bare int among the arguments `wrt` counts as a float; where `wrt` is None all arguments are differentiated, and ints are
    sizes and counts.

    Attributes
    ----------
    args : tuple
        Private: no array is shared with the caller's nor with another argument.
    values : list
        The leaves that are program inputs; leaf k is argument k of the program.
    active : list of int
        Which of them are differentiated.
    nest : Nest or None
        The recording in which f is differentiated: there is one if f, an argument or something in `others` is of it.
    """

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], wrt: Wrt | None, *others: Any) -> None:
        self.nest = nest_of(f, args, others)
        self._several = wrt is None or isinstance(wrt, tuple)
        chosen = wrt if isinstance(wrt, tuple) else range(len(args)) if wrt is None else (wrt,)
        self.wrt = [_position(k, len(args)) for k in chosen]
        if not callable(f):
            raise ArgumentTypeError(f"the function to differentiate is a {type(f).__name__}, which cannot be called")
        flat = [flatten(promoted(arg) if wrt is not None and k in self.wrt else arg) for k, arg in enumerate(args)]
        self._leaves = [[_private(leaf) for leaf in leaves] for leaves, _ in flat]
        self._structures = [structure for _, structure in flat]
        self.args = tuple(s.unflatten(leaves) for s, leaves in zip(self._structures, self._leaves, strict=True))
        self.values: list[Any] = []
        self.active: list[int] = []
        self._places: list[list[int | None]] = []  # per argument and leaf: its position if it is differentiated
        for k, leaves in enumerate(self._leaves):
            self._places.append([self._bind(leaf, k in self.wrt) for leaf in leaves])
        if not self.active:
            which = f"argument {self.wrt[0]}" if len(self.wrt) == 1 else "the arguments"
            raise ArgumentTypeError(
                f"{which}: there is no float in it to differentiate with respect to; convert integers, as with .astype(float), "
                f"and tables and series with np.asarray"
            )

    def _bind(self, leaf: Any, wanted: bool) -> int | None:
        if not is_bound(leaf):
            return None
        self.values.append(leaf)
        if wanted and isinstance(leaf, np.ndarray) and leaf.dtype.kind in "fc" and leaf.dtype.name not in DIFFERENTIABLE:
            wider = "complex128" if leaf.dtype.kind == "c" else "float64"
            raise ArgumentTypeError(f"an argument to differentiate is {leaf.dtype}; convert it with .astype(np.{wider})")
        if not wanted or (isinstance(leaf, np.ndarray) and leaf.dtype.name not in DIFFERENTIABLE):
            return None
        self.active.append(len(self.values) - 1)
        return len(self.values) - 1

    @property
    def is_single(self) -> bool:
        """Whether one argument is differentiated, and not a tuple of them."""
        return not self._several

    @property
    def key(self) -> Hashable:
        kinds = tuple(
            layout(leaf) if isinstance(leaf, np.ndarray) else number_kind(leaf) if is_bound(leaf) else static_key(leaf)
            for leaves in self._leaves
            for leaf in leaves
        )
        return tuple(self._structures), kinds, tuple(self.active)

    @property
    def has_complex(self) -> bool:
        """Whether a differentiated leaf is complex."""
        return any(np.iscomplexobj(self.values[k]) for k in self.active)

    def differentiated(self) -> list[Any]:
        """The differentiated leaves."""
        return [self.values[k] for k in self.active]

    def sizes(self) -> list[int]:
        """Of the differentiated leaves, in floats: a complex number is two."""
        return [(1 + np.iscomplexobj(leaf)) * np.size(leaf) for leaf in self.differentiated()]

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the differentiated leaves."""
        return [np.shape(_value(self.values[k])) for k in self.active]

    def dtypes(self) -> list[np.dtype]:
        """Of the differentiated leaves."""
        return [np.asarray(_value(self.values[k])).dtype for k in self.active]

    def zeros(self, *lanes: int) -> list[np.ndarray]:
        """Shadows of the differentiated leaves."""
        new = (lambda zeros: zeros) if self.nest is None else self.nest.new
        return [new(np.zeros((*lanes, *shape), dtype)) for shape, dtype in zip(self.shapes(), self.dtypes(), strict=True)]

    def array(self, x: Any, dtype: Any) -> np.ndarray:
        """A new array."""
        made: np.ndarray = np.array(x, dtype=dtype) if self.nest is None else self.nest.array(x, dtype)
        return made

    def structured(self, arrays: Sequence[Any]) -> Any:
        """One item per argument `wrt`, of its structure, None for one without floats; a tuple if `wrt` was one."""
        by_place = dict(zip(self.active, arrays, strict=True))
        items: list[Any] = []
        for k in self.wrt:
            if all(place is None for place in self._places[k]):
                items.append(None)
                continue
            pairs = zip(self._places[k], self._leaves[k], strict=True)
            items.append(self._structures[k].unflatten([leaf if place is None else by_place[place] for place, leaf in pairs]))
        return tuple(items) if self._several else items[0]

    def shadows_of(self, tangents: Sequence[Any]) -> list[np.ndarray]:
        """The caller's tangents, one per argument `wrt`, as new arrays that fit the differentiated leaves."""
        shadows = []
        for k, tangent in zip(self.wrt, tangents, strict=True):
            if tangent is None and all(place is None for place in self._places[k]):
                continue
            leaves, structure = flatten(tangent)
            if structure != self._structures[k]:
                raise ArgumentTypeError(f"the tangent of argument {k} is another container than the argument")
            for place, leaf in zip(self._places[k], leaves, strict=True):
                if place is not None:
                    value = np.asarray(_value(self.values[place]))
                    shadow = self.array(leaf, value.dtype)
                    if shadow.shape != value.shape:
                        raise ArgumentValueError(
                            f"the tangent of argument {k} has shape {shadow.shape}, the argument {value.shape}"
                        )
                    shadows.append(shadow)
        return shadows


def _position(k: int, n: int) -> int:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise ArgumentTypeError(f"wrt is the number of an argument or a tuple of numbers, not {k!r}")
    if not -n <= k < n:
        raise ArgumentValueError(f"wrt={k}: there are {n} arguments")
    return int(k) % n


def _private(leaf: Any) -> Any:
    if is_traced(leaf):
        if isinstance(leaf, np.ndarray):
            return leaf.copy(order="K")
        return leaf if is_bound(leaf) else type(leaf.value)(leaf)  # an int decides what is recorded
    return copy_in_layout(leaf) if isinstance(leaf, np.ndarray) else leaf


def _value(x: Any) -> Any:
    return x.value if is_traced(x) else x
