"""The view of its namespace in which a traced function runs.

The function is rebuilt around its own code with a dict of ours as globals and new closure cells. Every name it reads thereby
passes through `Namespace.translate`, which gives by kind: for an array its captured buffer, for a helper function the same
function rebuilt, for functions of numpy and math and some builtins their traced counterparts, for modules and objects views
that translate their attributes. Numbers stay what they are and are noted, so that `Observations.stale` tells a change. No
global is patched: two threads, or the same function outside the trace, never see any of it.

CPython asks a dict subclass by `__getitem__` for each global, as soon as it is not exactly a dict.
"""

from __future__ import annotations

import builtins
import copy
import dis
import functools
import inspect
import operator
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
import scipy.fft

from ...holders import PLAIN_OBJECTS, Held, is_user_module
from ...rules.primitive import Primitive, primitive_of, standin_of
from ...spans import address_of
from ...tape import DTYPES, Role
from ...views import View
from ..branching.branches import Branching
from ..functions.creation import from_numpy
from ..functions.iterating import vectorize
from ..functions.lists import TakesLists
from ..functions.math_api import BUILTINS, MATH, make_number, make_type
from ..functions.numpy_api import CREATION
from ..functions.scipy_api import bind_scipy, handler_of
from ..functions.sparse import SparseView, is_sparse
from ..observations import IMMUTABLE, MISSING, Observations, attribute_of, contents_of, entry_of, items_of
from ..recorder import Recorder, contains_traced, is_traced
from ..traced.array import TracedArray
from ..traced.complexes import TracedComplexArray, pairs_of
from .modules import Forbidden, Joining, ModuleView, clock, forbidden_name
from .objects import class_copy, object_view

__all__ = ["Names", "Namespace"]

_DISPATCHED: Final = type(np.sum)
_WRITTEN_WITH_NUMPY: Final = frozenset(
    {"scipy.integrate._quadrature", "scipy.linalg._special_matrices", "scipy.signal._waveforms"}
)
"""Modules of SciPy whose functions are traced as if the user had written them."""
_NUMBERS: Final = (float, int, complex, np.float64, np.float32, np.int64, np.complex128)
_REPLACED: Final[Mapping[Any, Callable[[Recorder], Any]]] = {
    **{function: functools.partial(functools.partial, made) for function, made in CREATION.items()},
    **MATH,
    **BUILTINS,
    **{kind: functools.partial(make_number, kind=kind) for kind in _NUMBERS},
}
"""What makes the stand-in of a function or type for one recording."""
_JOINING: Final = (type(np.r_), type(np.c_))
_MULTIMETHOD: Final = type(scipy.fft.fft)


class Names(dict[str, Any]):
    """The globals of a rebuilt function: the true ones, translated when they are first read."""

    __slots__ = ("_observed", "given", "namespace", "true")

    def __init__(self, namespace: Namespace, true: dict[str, Any]) -> None:
        super().__init__(__builtins__=namespace.builtins)
        self.namespace = namespace
        self.true = true
        self._observed = not str(true.get("__name__")).startswith(("numpy", "scipy"))
        self.given: dict[str, Any] = {}  # what was translated; what differs at the end was assigned by the function

    def __missing__(self, name: str) -> Any:
        namespace = self.namespace
        if self._observed:
            namespace.observations.note(entry_of, self.true, name)
        value = self.true.get(name, MISSING)
        if value is not MISSING:
            made = namespace.translate(value, name)
        elif name in namespace.builtins:
            made = namespace.builtins[name]  # here too: a miss costs an exception at each use
        else:
            raise KeyError(name)
        self[name] = self.given[name] = made
        return made


class _Region(NamedTuple):
    """Memory that is an input of the program: whatever array lies in it is a view of that."""

    low: int
    high: int
    array: np.ndarray
    traced: TracedArray

    def part(self, x: np.ndarray) -> tuple[View, np.ndarray] | None:
        """The place and the value of `x`; None where it is no view of this memory."""
        low, high = np.lib.array_utils.byte_bounds(x)
        if not (self.low <= low and high <= self.high) or x.dtype != self.array.dtype:
            return None
        place, value = self.traced.place, self.traced.value
        same_memory = tuple([stride // value.itemsize for stride in self.array.strides]) == place.strides
        steps = [address_of(x) - address_of(self.array), *x.strides]
        if not same_memory or any(step % x.itemsize for step in steps):
            return None
        offset, *strides = [step // x.itemsize for step in steps]
        start = address_of(value) + steps[0]
        storage = value if value.base is None else value.base
        view = np.ndarray(x.shape, x.dtype, storage, start - address_of(storage), x.strides)
        if not x.flags.writeable:
            view.flags.writeable = False
        return View(place.buffer, place.offset + offset, x.shape, tuple(strides)), view


class Namespace:
    """Everything one recording reads from outside its arguments.

    Parameters
    ----------
    rec : Recorder
    arguments : sequence of ndarray
        The caller's, to recognise one that is also captured.
    branching : Branching
        Says which functions are to be rebuilt around other code, and gives the names which that code uses.

    Attributes
    ----------
    observations : Observations
    builtins : dict
    originals : dict
        Copied class -> the user's class.
    aliases : list of (int, int)
        Captured buffer and argument (by position in `arguments`) that share memory.
    """

    def __init__(self, rec: Recorder, arguments: Sequence[np.ndarray], branching: Branching) -> None:
        self.rec = rec
        self._plan = branching.plan
        self.observations = Observations()
        self.originals: dict[type, type] = {}
        self.aliases: list[tuple[int, int]] = []
        self._arguments = arguments
        self._memo: dict[int, tuple[Any, Any]] = {}  # id -> (the object, so that the id stays its own; what stands for it)
        self._names: dict[int, Names] = {}
        self._cells: dict[int, tuple[CellType, CellType, Any]] = {}
        self._containers: list[tuple[Any, Any, tuple[Any, ...]]] = []
        self._bases: dict[int, tuple[View, np.ndarray, np.ndarray]] = {}
        self._held: dict[tuple[int, Any], Any] = {}  # by owner and key
        self._regions: list[_Region] = []
        self._roots: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # complex arrays that own their memory, and their pairs
        self._codes: list[CodeType] = []
        self.kept: dict[Any, Any] = {}  # what derivatives taken inside keep until the end of the recording
        self._replaced: dict[Any, Any] = {}  # of what `_REPLACED` names, as it is met: all took a tenth of a first call
        replaced = {name: self._replacement(x) for name, x in vars(builtins).items() if x in (max, min, float, int, complex)}
        ours = {"type": make_type(self.translate), "__import__": self._import}
        self.builtins: dict[str, Any] = {**vars(builtins), **replaced, **ours, **branching.names}

    # ------------------------------------------------------------------------------------------ translation

    def translate(self, x: Any, name: str = "") -> Any:
        """What stands for `x` inside the traced function; `name` is what the user calls it."""
        if type(x) in IMMUTABLE or is_traced(x) or isinstance(x, np.generic):
            return x
        known = self._memo.get(id(x))
        if known is None:
            known = (x, self._translated(x, name))
            self._memo[id(x)] = known
            self._memo.setdefault(id(known[1]), (known[1], known[1]))  # a closure made inside may hold it, and be translated
        return known[1]

    def _translated(self, x: Any, name: str) -> Any:
        if isinstance(x, np.ndarray):
            return self.capture(x, name)
        handler = handler_of(x) if isinstance(x, (FunctionType, _MULTIMETHOD)) else None
        if handler is not None:
            return bind_scipy(self.rec, x, handler)
        if isinstance(x, _MULTIMETHOD):
            return x
        primitive = primitive_of(x)
        if primitive is not None:
            return functools.wraps(x, updated=())(functools.partial(self._call, primitive, isinstance(x, np.ufunc)))
        standin = standin_of(x)
        return self.inside(x, name) if standin is None else standin

    def _call(self, primitive: Primitive, is_ufunc: bool, /, *args: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None) if is_ufunc else None
        result = self.rec.calls(primitive, args, kwargs)
        if out is None:
            return result
        target = out[0] if isinstance(out, tuple) else out
        if not is_traced(target):
            self.rec.fail(
                f"{primitive.__name__} with out= writes into an ordinary NumPy array",
                "Make the array inside the function (np.zeros, np.empty), or pass it as an argument",
            )
        target[...] = result
        return target

    def inside(self, x: Any, name: str = "") -> Any:
        """As `translate`, for a primitive as if it were none."""
        forbidden = forbidden_name(x)
        if forbidden is not None:
            return Forbidden(self.rec, forbidden)
        if isinstance(x, ModuleType):
            return ModuleView(self, x)
        if isinstance(x, type):
            return self._class(x)
        if isinstance(x, (FunctionType, BuiltinFunctionType, np.ufunc, _DISPATCHED)):
            return self._function(x)
        if isinstance(x, MethodType):
            owner = standin_of(x.__self__)
            if owner is not None:
                return getattr(owner, x.__name__)
            return MethodType(self.translate(x.__func__), self.translate(x.__self__))
        if isinstance(x, functools.partial):
            args = [self.entry(x.args, k, v, f"argument {k}") for k, v in enumerate(x.args)]
            keywords = {k: self.entry(x.keywords, k, v, k) for k, v in x.keywords.items()}
            return functools.partial(self.translate(x.func), *args, **keywords)
        if isinstance(x, functools._lru_cache_wrapper):  # what it keeps must not outlive the trace
            return self.translate(x.__wrapped__)
        if isinstance(x, (list, dict, tuple, set, frozenset, deque)) and not is_sparse(x):  # DOK matrices are dicts
            return self._container(x, name)
        if isinstance(getattr(x, "py_func", None), FunctionType):  # compiled by Numba
            return self.translate(x.py_func)
        if is_sparse(x):
            return SparseView(self, x, name)
        if isinstance(x, np.vectorize):
            pyfunc = self.translate(x.pyfunc)
            return vectorize(self.rec, pyfunc, x.otypes, excluded=x.excluded, signature=x.signature)
        if isinstance(x, _JOINING):
            get: Any = type(x).__getitem__
            return Joining(x, self.rebuild(get))
        if isinstance(x, PLAIN_OBJECTS) or (is_user_module(type(x).__module__) and not isinstance(x, BaseException)):
            return object_view(self, x)
        return x

    def _replacement(self, x: Any) -> Any:
        """What stands for a function or type in this recording; None where it stays."""
        bind = _REPLACED.get(x)
        if bind is None:
            return None
        if x not in self._replaced:
            self._replaced[x] = bind(self.rec)
        return self._replaced[x]

    def _function(self, x: Any) -> Any:
        replaced = self._replacement(x)
        if replaced is not None:
            return replaced
        module = getattr(x, "__module__", None) or ""
        if isinstance(x, np.ufunc):
            return TakesLists(self.rec, x) if self._plan.lists else x
        if isinstance(x, FunctionType):
            owner = str(x.__globals__.get("__name__"))
            if x.__name__ == "array_namespace" and owner.startswith("scipy."):
                return lambda *xs, **_: self.translate(np)
            ours = is_user_module(owner) or module.startswith("numpy") or owner in _WRITTEN_WITH_NUMPY
            return self.rebuild(x) if ours else x
        return self._of_numpy(x) if module.startswith("numpy") else x

    def _of_numpy(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of NumPy. What it makes of constants must be an array into which traced values can be written."""
        rec = self.rec

        def call(*args: Any, **kwargs: Any) -> Any:
            if contains_traced(args) or contains_traced(kwargs):
                return rec.api.function(rec, function, args, kwargs)
            return from_numpy(rec, function(*args, **kwargs))

        return functools.wraps(function)(call)

    def _class(self, x: type) -> Any:
        replaced = self._replacement(x)
        if replaced is not None:
            return replaced
        if not is_user_module(x.__module__):
            return clock(self.rec, x) or x
        self._memo[id(x)] = (x, x)  # while it is copied, in case a method refers to it
        return class_copy(self, x)

    def _container(self, x: Any, name: str) -> Any:
        """A copy with translated entries; changes that the function makes are handed back by `finish`."""
        if isinstance(x, tuple):
            items = [self.entry(x, k, item, f"{name}[{k}]") for k, item in enumerate(x)]
            if all(map(operator.is_, items, x)):  # also what Python lets nobody make, such as sys.version_info
                return x
            return tuple(items) if type(x) is tuple else tuple.__new__(type(x), items)
        keys = list(x) if isinstance(x, dict) else range(len(x))
        if not any(self.is_held(x, key) for key in keys):
            self.observations.note(items_of, x, None)
        made = copy.copy(x)
        if isinstance(x, dict):
            for key, item in x.items():
                dict.__setitem__(made, key, self.entry(x, key, item, f"{name}[{key!r}]"))
        elif isinstance(x, (list, deque)):
            for k, item in enumerate(x):
                made[k] = self.entry(x, k, item, f"{name}[{k}]")
        self._containers.append((x, made, items_of(made, None)))
        return made

    def _import(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        true = globals.true if isinstance(globals, Names) else globals
        return self.translate(builtins.__import__(name, true, locals, fromlist, level))

    # ------------------------------------------------------------------------------------------ functions

    def names(self, true: dict[str, Any]) -> Names:
        names = self._names.get(id(true))
        if names is None:
            names = self._names[id(true)] = Names(self, true)
        return names

    def rebuild(self, f: FunctionType, cells: Mapping[int, CellType] | None = None) -> FunctionType:
        """The same function in this namespace.

        Parameters
        ----------
        f : function
        cells : mapping, optional
            Closure cells by the id of the original, where they are not to be translated: the `__class__` of a method.
        """
        known = self._memo.get(id(f))
        if known is not None:
            return known[1]  # type: ignore[no-any-return]
        code = f.__code__
        if not (f.__module__ or "").startswith(("numpy", "scipy")):
            self.observations.note(attribute_of, f, "__code__")  # IPython's autoreload changes functions in place
            if f.__defaults__ is not None:
                self.observations.note(attribute_of, f, "__defaults__")
            code = self._plan.converted(code)
            self.rec.watch(code)
            self._codes.append(code)
        closure = tuple([(cells or {}).get(id(cell)) or self._cell(cell) for cell in f.__closure__ or ()])
        names = self.names(f.__globals__)
        made = FunctionType(code, names, f.__name__, None, closure)
        self._memo[id(f)] = (f, made)  # before anything that may lead back here: recursion
        for name in _names_of_classes(code):
            if name in f.__globals__ and name not in names:
                names[name]  # the body of a class looks past `Names.__missing__`
        made.__defaults__ = None if f.__defaults__ is None else tuple([self.translate(x) for x in f.__defaults__])
        made.__kwdefaults__ = None if f.__kwdefaults__ is None else {k: self.translate(x) for k, x in f.__kwdefaults__.items()}
        made.__qualname__, made.__module__, made.__doc__ = f.__qualname__, f.__module__, f.__doc__
        for key, value in vars(f).items():
            self.observations.note(attribute_of, f, key)
            made.__dict__[key] = self.translate(value)
        for cell, name in zip(f.__closure__ or (), f.__code__.co_freevars, strict=True):
            self._fill(cell, name)
        return made

    def _cell(self, cell: CellType) -> CellType:
        known = self._cells.get(id(cell))
        if known is None:
            known = self._cells[id(cell)] = (cell, CellType(), MISSING)
        return known[1]

    def _fill(self, cell: CellType, name: str) -> None:
        known = self._cells.get(id(cell))
        value = contents_of(cell, None)
        if known is None or known[2] is not MISSING or value is MISSING:
            return
        self._cells[id(cell)] = (cell, known[1], value)  # before the translation, which may lead back here
        if not self.is_held(cell, None):
            self.observations.note(contents_of, cell, None)
        made = known[1].cell_contents = self.entry(cell, None, value, name)
        self._cells[id(cell)] = (cell, known[1], made)

    # ------------------------------------------------------------------------------------------ held arrays and numbers

    def hold(self, item: Held, traced: Any) -> None:
        """Let `traced`, an input of the program, stand for something that a function or object holds."""
        self._held[id(item.owner), item.key] = traced
        if isinstance(item.value, np.ndarray) and is_traced(traced) and item.value.size:
            self._memo[id(item.value)] = (item.value, traced)
            low, high = np.lib.array_utils.byte_bounds(item.value)
            if type(traced) is TracedComplexArray:
                self._regions.append(_Region(low, high, pairs_of(item.value), traced.pairs))
            else:
                self._regions.append(_Region(low, high, item.value, traced))

    def entry(self, owner: Any, key: Any, value: Any, name: str) -> Any:
        """What stands for `value`, which lies in `owner` at `key`."""
        held = self._held.get((id(owner), key)) if self._held else None
        return self.translate(value, name) if held is None else held

    def is_held(self, owner: Any, key: Any) -> bool:
        """Whether what is there is an input of the program, so that a change of it makes nothing stale."""
        return (id(owner), key) in self._held

    # ------------------------------------------------------------------------------------------ captured arrays

    def capture(self, x: np.ndarray, name: str = "") -> Any:
        """The traced counterpart of an array from outside; views of one array share a buffer."""
        known = self._memo.get(id(x))
        if known is not None:
            return known[1]
        made = self._captured(x, name)
        self._memo[id(x)] = (x, made)
        return made

    def _captured(self, x: np.ndarray, name: str) -> Any:
        if x.dtype == np.complex128 and type(x) in (np.ndarray, np.memmap) and x.dtype.isnative:
            return TracedComplexArray(self._captured(self._pairs(x), name))
        if x.dtype.name not in DTYPES or type(x) not in (np.ndarray, np.memmap) or not x.dtype.isnative:
            self.observations.note(items_of, x, None)
            return x
        if not x.size:
            return TracedArray(self.rec, *self.rec.adopt_static(x.copy()))
        for region in self._regions:
            if (part := region.part(x)) is not None:
                return TracedArray(self.rec, *part)
        base = x
        while isinstance(base.base, np.ndarray) and base.base.dtype == x.dtype:
            base = base.base
        if not base.flags.forc:
            base = x
        whole, storage = self._storage(base, name)
        if base is x and not x.flags.forc:
            view, value = View(whole.buffer, 0, x.shape, whole.strides), storage.reshape(x.shape)
        else:
            offset = address_of(x) - address_of(base)
            strides = tuple([stride // x.itemsize for stride in x.strides])
            view = View(whole.buffer, offset // x.itemsize, x.shape, strides)
            value = np.ndarray(x.shape, x.dtype, storage, offset, x.strides)
        value.flags.writeable = x.flags.writeable
        self.aliases += [(whole.buffer, k) for k, argument in enumerate(self._arguments) if np.shares_memory(x, argument)]
        return TracedArray(self.rec, view, value)

    def _pairs(self, x: np.ndarray) -> np.ndarray:
        """The pairs of a complex array; those of views of one array are views of one array of pairs."""
        root = x
        while isinstance(root.base, np.ndarray) and root.base.dtype == x.dtype:
            root = root.base
        known = self._roots.get(id(root))
        if known is None:
            known = self._roots[id(root)] = (root, pairs_of(root)[...])
        pairs = known[1]
        offset = x.__array_interface__["data"][0] - pairs.__array_interface__["data"][0]
        if x is root or not root.flags.c_contiguous:
            return pairs if x is root else pairs_of(x)
        return np.ndarray((*x.shape, 2), np.float64, pairs, offset, (*x.strides, 8))

    def _storage(self, base: np.ndarray, name: str) -> tuple[View, np.ndarray]:
        """The buffer of an array that owns its memory, and flat private storage in the order of that memory."""
        known = self._bases.get(id(base))
        if known is None:
            data = base.T if base.flags.f_contiguous and not base.flags.c_contiguous else base
            storage = np.array(data, order="C").reshape(-1)
            storage = storage if storage.flags.owndata else storage.copy()
            whole = self.rec.program.bound(base.dtype.name, data.shape, Role.CAPTURED, name, data)
            self.rec.bind(whole, storage)
            self.rec.captured.add(whole.buffer)
            known = self._bases[id(base)] = (whole, storage, base)
        return known[0], known[1]

    # ------------------------------------------------------------------------------------------ the end

    def finish(self) -> None:
        """Carry out on the true namespace what the function assigned to globals, outer variables and containers."""
        for names in self._names.values():
            for name, value in names.items():
                if name != "__builtins__" and names.given.get(name, MISSING) is not value:
                    self._check_assigned(value, name, "STORE_GLOBAL")
                    before = entry_of(names.true, name)
                    names.true[name] = self.original(value)
                    self.observations.note_change(entry_of, names.true, name, before)
        for cell, inner, made in self._cells.values():
            value = contents_of(inner, None)
            if value is not MISSING and value is not made:
                name = next((n for code in self._codes for n in code.co_freevars if self._stores(code, "STORE_DEREF", n)), "")
                self._check_assigned(value, name, "STORE_DEREF")
                left = contents_of(cell, None)
                cell.cell_contents = self.original(value)
                self.observations.note_change(contents_of, cell, None, left)
        for container, made, before in self._containers:
            if not _identical(items_of(made, None), before):
                items = [self.original(item) for item in (made.items() if isinstance(made, dict) else made)]
                held = items_of(container, None)
                container.clear()
                (container.extend if isinstance(container, (list, deque)) else container.update)(items)
                self.observations.note_change(items_of, container, None, held)

    def captured(self, x: Any) -> Any:
        """The user's array for one of ours that is it; anything else, also what was computed from it, as it is."""
        found = (thing for thing, made in self._memo.values() if made is x and isinstance(thing, np.ndarray))
        return next(found, x)

    def original(self, x: Any) -> Any:
        """The user's object for one of ours; a traced value as the value of the recorded run."""
        for thing, made in self._memo.values():
            if made is x and not isinstance(thing, np.ndarray):
                return thing
        if is_traced(x):
            return x.value.copy() if isinstance(x.value, np.ndarray) else x.value
        if type(x) in (list, tuple):
            return type(x)([self.original(item) for item in x])
        if type(x) is dict:
            return {key: self.original(item) for key, item in x.items()}
        return x

    def _check_assigned(self, value: Any, name: str, operation: str) -> None:
        if not contains_traced(value):
            return
        places = (place for code in self._codes if (place := self._stores(code, operation, name)))
        raise self.rec.error_at(
            next(places, ""),
            f"the {'global' if operation == 'STORE_GLOBAL' else 'outer'} variable {name} is assigned a traced value",
            "Return the value, or write it into an array that is passed as an argument",
        )

    @staticmethod
    def _stores(code: CodeType, operation: str, name: str) -> str:
        """Where `code` assigns to a name, as file:line; empty where it does not."""
        for instruction in dis.get_instructions(code):
            if instruction.opname == operation and instruction.argval == name:
                lines = [line for start, _, line in code.co_lines() if start <= instruction.offset and line is not None]
                return f"{code.co_filename}:{lines[-1]} in {code.co_name}"
        for constant in code.co_consts:
            if isinstance(constant, CodeType) and (place := Namespace._stores(constant, operation, name)):
                return place
        return ""


def _identical(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    if len(now) != len(before):
        return False
    return all(a is b or (type(a) is type(b) is tuple and _identical(a, b)) for a, b in zip(now, before, strict=True))


@functools.lru_cache(maxsize=256)
def _names_of_classes(code: CodeType) -> tuple[str, ...]:
    """The names that the bodies of the classes made in a function use."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    bodies = [part for part in inner if not part.co_flags & inspect.CO_OPTIMIZED]
    own = (name for part in bodies for name in part.co_names)
    return tuple(dict.fromkeys([*own, *(name for part in inner for name in _names_of_classes(part))]))
