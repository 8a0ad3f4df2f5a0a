"""What calls a function for each element, or hands out the elements: `np.vectorize`, `np.frompyfunc`, `np.nditer`, ..."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..recorder import Recorder
from .creation import array, as_traced, astype, concrete
from .movement import broadcast_arrays

__all__ = ["Broadcast", "NdIter", "from_iterable", "from_python", "ndenumerate", "vectorize"]


def vectorize(rec: Recorder, pyfunc: Callable[..., Any], otypes: Any = None, doc: Any = None, excluded: Any = None,
              cache: bool = False, signature: str | None = None) -> Callable[..., Any]:  # fmt: skip
    """`np.vectorize`: a loop over the elements, or over what the core dimensions of the signature leave."""
    excluded = set(excluded or ())

    def call(*args: Any, **kwargs: Any) -> Any:
        spread = [k for k in range(len(args)) if k not in excluded]
        named = [name for name in kwargs if name not in excluded]
        operands = [as_traced(rec, x) for x in (*(args[k] for k in spread), *(kwargs[name] for name in named))]

        def apply(*elements: Any) -> Any:
            positional = list(args)
            for k, x in zip(spread, elements, strict=False):
                positional[k] = x
            return pyfunc(*positional, **{**kwargs, **dict(zip(named, elements[len(spread) :], strict=True))})

        cores = [0] * len(operands) if signature is None else _core_dimensions(signature)
        made = _looped(rec, apply, operands, cores)
        if otypes is None:
            return made
        results = made if isinstance(made, tuple) else (made,)
        typed = tuple([astype(x, kind) for x, kind in zip(results, otypes, strict=True)])
        return typed if isinstance(made, tuple) else typed[0]

    return call


def _core_dimensions(signature: str) -> list[int]:
    """How many trailing axes of each operand one call takes."""
    operands = signature.replace(" ", "").split("->")[0]
    return [len([name for name in core.split(",") if name]) for core in operands.strip("()").split("),(")]


def _looped(rec: Recorder, function: Callable[..., Any], operands: list[Any], cores: list[int]) -> Any:
    """The results of `function` for each element of the leading axes, which broadcast, as arrays; a tuple for several."""
    lead = np.broadcast_shapes(*(x.shape[: x.ndim - core] for x, core in zip(operands, cores, strict=True)))
    spread = [np.broadcast_to(x, lead + x.shape[x.ndim - core :]) for x, core in zip(operands, cores, strict=True)]
    results = [function(*(x[place] for x in spread)) for place in np.ndindex(lead)]
    if results and isinstance(results[0], tuple):
        return tuple([_gathered(rec, list(column), lead) for column in zip(*results, strict=True)])
    return _gathered(rec, results, lead)


def _gathered(rec: Recorder, results: list[Any], lead: tuple[int, ...]) -> Any:
    made = array(rec, results)
    return made.reshape(lead + made.shape[1:])


def from_python(rec: Recorder, func: Callable[..., Any], nin: int, nout: int, **_: Any) -> Callable[..., Any]:
    """`np.frompyfunc`; where NumPy makes arrays of objects, arrays of numbers."""

    def call(*args: Any) -> Any:
        operands = [as_traced(rec, x) for x in args]
        if not any(x.ndim for x in operands):
            return func(*args)
        return _looped(rec, func, operands, [0] * nin)

    return call


def from_iterable(rec: Recorder, iter: Iterable[Any], dtype: Any, count: int = -1, **_: Any) -> Any:
    """`np.fromiter`."""
    items: list[Any] = []
    for item in iter:
        if len(items) == count:
            break
        items.append(item)
    if len(items) < count:
        raise ValueError(f"iterator too short: Expected {count} but iterator had only {len(items)} items.")
    return astype(array(rec, items), dtype) if items else array(rec, np.empty(0, dtype))


def ndenumerate(rec: Recorder, arr: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    x = as_traced(rec, arr)
    return ((place, x[place]) for place in np.ndindex(x.shape))


class NdIter:
    """`np.nditer` over arrays as it is used in Python: in the order C, broadcasting, elements as 0-d views.

    Parameters
    ----------
    rec : Recorder
    op : array or sequence of arrays
    flags : sequence of str
        "multi_index", "c_index", "refs_ok", "zerosize_ok".
    op_flags : sequence
        Not needed: every element can be written.
    """

    _KNOWN = frozenset({"multi_index", "c_index", "refs_ok", "zerosize_ok"})

    def __init__(self, rec: Recorder, op: Any, flags: Any = (), op_flags: Any = (), order: str = "K", **options: Any) -> None:
        several = isinstance(op, (list, tuple)) and any(np.ndim(concrete(x)) for x in op)
        operands = [as_traced(rec, x) for x in op] if several else [as_traced(rec, op)]
        unknown = [*(flag for flag in flags if flag not in self._KNOWN), *options]
        if unknown or order not in "KC" or (several and any(x is None for x in op)):
            rec.fail(f"np.nditer with {', '.join(unknown) or 'this order'} cannot be traced", "Loop over np.ndindex(x.shape)")
        self._flags, self._several = tuple(flags), several
        self.shape = np.broadcast_shapes(*(x.shape for x in operands))
        self.operands = operands if all(x.shape == self.shape for x in operands) else list(broadcast_arrays(operands))
        self._places = list(np.ndindex(self.shape))
        self.iterindex, self._begun = 0, False

    @property
    def multi_index(self) -> tuple[int, ...]:
        return self._places[self.iterindex]

    index = property(lambda self: self.iterindex)
    finished = property(lambda self: self.iterindex >= len(self._places))
    itersize = property(lambda self: len(self._places))

    def iternext(self) -> bool:
        self.iterindex += 1
        return not self.finished

    @property
    def value(self) -> Any:
        place = (*self.multi_index, ...)
        items = [x[place] for x in self.operands]
        return tuple(items) if self._several else items[0]

    def __getitem__(self, k: int) -> Any:
        return self.value[k] if self._several else (self.value,)[k]

    def __setitem__(self, k: int, item: Any) -> None:
        self.operands[k][self.multi_index] = item

    def __iter__(self) -> NdIter:
        return self

    def __next__(self) -> Any:
        self.iterindex += self._begun
        self._begun = True
        if self.finished:
            raise StopIteration
        return self.value

    def __enter__(self) -> NdIter:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def close(self) -> None:
        """Nothing is buffered."""


class Broadcast:
    """`np.broadcast`: the common shape of arrays, and an iterator over their elements, one from each."""

    def __init__(self, rec: Recorder, *arrays: Any) -> None:
        self.shape = np.broadcast_shapes(*(np.shape(concrete(x)) for x in arrays))
        self._rec, self._arrays = rec, arrays
        self.reset()

    nd = ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    numiter = property(lambda self: len(self._arrays))

    def _spread(self) -> Sequence[Any]:
        return broadcast_arrays([as_traced(self._rec, x) for x in self._arrays])

    def reset(self) -> None:
        self.index = 0

    def __iter__(self) -> Broadcast:
        return self

    def __next__(self) -> tuple[Any, ...]:
        if self.index >= self.size:
            raise StopIteration
        place = np.unravel_index(self.index, self.shape)
        self.index += 1
        return tuple([x[tuple(map(int, place))] if self.shape else x[()] for x in self._spread()])
