"""What several suites share: operands for every row of the op table, random programs, and derivatives not made by odead.

`programs` draws whole programs for Hypothesis; `tangent` and `jacobian` differentiate the map of a program, from the
entry values of its arguments to the exit values of arguments and results, by the complex step, which is exact to
rounding. Kinks follow the conventions of the op table.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Final, Literal

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from scipy import special

from odead.execute import reference
from odead.ops import TABLE, Op
from odead.structured import STRUCTURED
from odead.tape import Program, Role, verify
from odead.views import View, contiguous, is_injective, overlap

ALL_OPS: Final = tuple(TABLE.values())
DIFFERENTIABLE_OPS: Final = tuple(op for op in ALL_OPS if op.differentiable)
DTYPES: Final = {"f": ("float64", "float32"), "i": ("int64",), "b": ("bool",)}

# -------------------------------------------------------------------------------------- operands of every row

_INTERVALS: Final = {"any": (-2.0, 2.0), "positive": (0.3, 2.0), "unit": (-0.9, 0.9), "above one": (1.2, 3.0),
                     "fraction": (0.05, 0.95)}  # fmt: skip
_DOMAINS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("reciprocal", "abs", "sign", "cbrt"), ("nonzero",)),
    **dict.fromkeys(("sqrt", "log", "log2", "log10"), ("positive",)),
    **dict.fromkeys(("log1p", "tan", "arcsin", "arccos", "arctanh"), ("unit",)),
    **dict.fromkeys(("hypot", "arctan2", "copysign"), ("nonzero", "nonzero")),
    **dict.fromkeys(("floor", "ceil", "trunc"), ("between integers",)),
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"), ("grid", "grid")),
    **dict.fromkeys(("isnan", "isinf", "isfinite", "signbit"), ("special",)),
    "div": ("any", "nonzero"),
    "pow": ("positive", "any"),
    **dict.fromkeys(("gamma", "gammaln", "digamma", "y0", "y1", "k0", "k1"), ("positive",)),
    **dict.fromkeys(("logit", "ndtri"), ("fraction",)),
    "erfinv": ("unit",),
    "zeta": ("above one", "positive"),
    "rint": ("between halves",),
    "arccosh": ("above one",),
    "heaviside": ("nonzero", "any"),
    "where": ("condition", "any", "any"),
}
SPECIAL_VALUES: Final = (0.0, -0.0, 1.0, -1.0, 0.5, np.inf, -np.inf, np.nan, 1e-300, 1e300)


def operands(op: Op, n: int, dtype: str = "float64", seed: int = 0) -> tuple[np.ndarray, ...]:
    """Operands of length n inside the domain of a row and, for floats, away from its kinks and steps."""
    rng = np.random.default_rng(seed)
    if dtype in ("int64", "bool"):
        drawn: list[np.ndarray] = [rng.integers(-5, 6, n) if dtype == "int64" else rng.random(n) < 0.5 for _ in op.operands]
    elif op.name in ("floor_divide", "remainder", "fmod"):  # the quotient must stay away from the integers
        y = _sample(rng, "nonzero", n)
        drawn = [_sample(rng, "between integers", n) * y, y]
    else:
        drawn = [_sample(rng, domain, n) for domain in _DOMAINS.get(op.name, ("any",) * op.arity)]
    if op.name == "where":
        drawn[0] = rng.random(n) < 0.5
        return drawn[0], drawn[1].astype(dtype), drawn[2].astype(dtype)
    return tuple(x.astype(dtype) for x in drawn)


def _sample(rng: np.random.Generator, domain: str, n: int) -> np.ndarray:
    match domain:
        case "nonzero":
            return rng.uniform(0.3, 2.0, n) * rng.choice([-1.0, 1.0], n)
        case "between integers":
            return rng.integers(-3, 3, n) + rng.uniform(0.1, 0.9, n)
        case "between halves":
            return rng.integers(-3, 3, n) + rng.uniform(-0.4, 0.4, n)
        case "grid":  # equal operands must occur
            return rng.integers(-2, 3, n) / 2
        case "special":
            return rng.choice(SPECIAL_VALUES, n)
        case "condition":
            return rng.random(n)
        case _:
            return rng.uniform(*_INTERVALS[domain], n)


# ------------------------------------------------------------------- the complex step, for every differentiable row


def _select(condition: Callable[..., np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Larger or smaller of two by their real parts; a tie is the mean, as the op table says."""

    def select(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where(x.real == y.real, (x + y) / 2, np.where(condition(x.real, y.real), x, y))

    return select


def _real_only(name: str) -> Callable[..., np.ndarray]:
    return lambda *xs: np.asarray(getattr(np, name)(*(x.real for x in xs)))


def _hurwitz(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Hurwitz zeta function of a complex y, by many terms and the first of those that make up for the rest."""
    a, total = y + 200, sum((y + k) ** -x for k in range(200))
    rest = a ** (1 - x) / (x - 1) + a**-x / 2 + x * a ** (-x - 1) / 12 - x * (x + 1) * (x + 2) * a ** (-x - 3) / 720
    return np.asarray(total + rest)


def _inverse(name: str, of: Callable[..., np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """An inverse function near the real axis, by the derivative of what it inverts."""

    def function(x: np.ndarray) -> np.ndarray:
        y = getattr(special, name)(x.real)
        return np.asarray(y + 1j * x.imag * STEP / of(y + 1j * STEP).imag)

    return function


STEP: Final = 1e-30


def _bessel(kind: str, order: int) -> Callable[[np.ndarray], np.ndarray]:
    """A Bessel function near the real axis, by its neighbours: SciPy's are inaccurate there."""
    value, slope = getattr(special, f"{kind}v"), getattr(special, f"{kind}vp")
    return lambda x: np.asarray(value(order, x.real) + 1j * x.imag * slope(order, x.real))


_COMPLEX: Final[dict[str, Callable[..., np.ndarray]]] = {
    "copy": lambda x: x,
    "cast": lambda x: x,
    "muladd": lambda x, y, z: x * y + z,
    "mulsub": lambda x, y, z: x * y - z,
    "negmuladd": lambda x, y, z: z - x * y,
    "addmul": lambda x, y, z: (x + y) * z,
    "submul": lambda x, y, z: (x - y) * z,
    "addadd": lambda x, y, z: x + y + z,
    "zero_mul": lambda x, y: np.where(x == 0, 0, np.where(y == 0, np.where(x < 0, -y, y), x * y)),
    "remainder": lambda x, y: x - np.floor(x.real / y.real) * y,
    "fmod": lambda x, y: x - np.trunc(x.real / y.real) * y,
    "cbrt": lambda x: np.sign(x.real) * (np.sign(x.real) * x) ** (1 / 3),
    "logaddexp": lambda x, y: np.log(np.exp(x) + np.exp(y)),
    "hypot": lambda x, y: np.sqrt(x * x + y * y),
    "arctan2": lambda x, y: 2 * np.arctan(x / (np.sqrt(x * x + y * y) + y)),
    "deg2rad": lambda x: x * (np.pi / 180),
    "rad2deg": lambda x: x * (180 / np.pi),
    **{name: getattr(special, name) for name in ("erf", "erfc", "gamma", "ndtr", "log_ndtr")},
    "gammaln": special.loggamma,
    "digamma": special.psi,
    "zeta": _hurwitz,
    "expit": lambda x: 1 / (1 + np.exp(-x)),
    "logit": lambda x: np.log(x / (1 - x)),
    "erfinv": _inverse("erfinv", special.erf),
    "ndtri": _inverse("ndtri", special.ndtr),
    **{f"{kind}{order}": _bessel(kind, order) for kind in "jyik" for order in (0, 1)},
    "abs": lambda x: x * np.sign(x.real),
    "copysign": lambda x, y: x * np.sign(x.real) * np.copysign(1, y.real),
    "heaviside": lambda x, y: np.where(x.real > 0, 1, np.where(x.real < 0, 0, y)),
    "maximum": _select(np.greater),
    "minimum": _select(np.less),
    "fmax": _select(np.greater),
    "fmin": _select(np.less),
    "where": lambda x, y, z: np.where(x, y, z),
    "stop": lambda x: x.real + 0j,
    **{op.name: _real_only(op.numpy) for op in ALL_OPS if op.numpy and {*op.partials} <= {"0", None}},
}


def complex_value(op: str, *xs: np.ndarray) -> np.ndarray:
    """The value of an elementwise operation on complex operands that are real up to a small imaginary part."""
    with np.errstate(all="ignore"):
        return np.asarray((_COMPLEX.get(op) or getattr(np, TABLE[op].numpy))(*xs))


def complex_partials(op: Op, xs: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    """Derivative of a row with respect to each operand that has one."""
    return [
        None if partial is None
        else complex_value(op.name, *(x + 1j * STEP if j == k else x + 0j if x.dtype.kind == "f" else x
                                      for j, x in enumerate(xs))).imag / STEP
        for k, partial in enumerate(op.partials)
    ]  # fmt: skip


def tangent(
    program: Program, arrays: Sequence[np.ndarray | float], tangents: Mapping[int, np.ndarray | float]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Exit values of arguments and results, and their tangents, by the complex step.

    `tangents` maps positions in `program.arguments` to entry tangents. Guards must be met.
    """
    storage = []
    bound = dict(zip((*program.arguments, *program.results), arrays, strict=True))
    seeds = {program.arguments[position]: seed for position, seed in tangents.items()}
    for number, buffer in enumerate(program.buffers):
        dtype = "complex128" if buffer.dtype.startswith("float") else buffer.dtype
        source = bound.get(number, buffer.data) if buffer.role not in (Role.TEMP, Role.RESULT) else None
        cells = np.zeros(buffer.size, dtype) if source is None else np.array(source, dtype, order="C").reshape(-1)
        if number in seeds:
            cells += 1j * STEP * np.asarray(seeds[number]).reshape(-1)
        storage.append(cells)
    for op, out, ins, params, _ in program:
        xs = tuple(np.asarray(storage[view.buffer][view.indices()]) for view in ins)
        if out is None:
            assert (xs[0] == params).all(), "a guard is missed"
            continue
        with np.errstate(all="ignore"):
            result = np.array(storage[out.buffer][out.indices()])
            if op in TABLE:
                real = result.dtype.kind != "c"
                value = complex_value(op, *xs)
                result[...] = value.real if real else value
            else:
                STRUCTURED[op].value(result, xs, params)
        storage[out.buffer][out.indices()] = result
    exits = [storage[b].reshape(program.buffers[b].shape) for b in (*program.arguments, *program.results)]
    return [x.real for x in exits], [x.imag / STEP for x in exits]


def finite_difference(
    program: Program, arrays: Sequence[np.ndarray | float], tangents: Mapping[int, np.ndarray | float], step: float = 1e-3
) -> list[np.ndarray]:
    """Exit tangents by central differences with two extrapolations; about 1e-9 relative on smooth programs."""

    def central(h: float) -> list[np.ndarray]:
        plus, minus = (
            exits(
                program, [np.asarray(x) + s * h * np.asarray(tangents[k]) if k in tangents else x for k, x in enumerate(arrays)]
            )
            for s in (1, -1)
        )
        return [(a.astype(float) - b.astype(float)) / (2 * h) for a, b in zip(plus, minus, strict=True)]

    coarse, middle, fine = (central(step / 2**k) for k in range(3))
    first = [(4 * b - a) / 3 for a, b in zip(coarse, middle, strict=True)]
    second = [(4 * b - a) / 3 for a, b in zip(middle, fine, strict=True)]
    return [(16 * b - a) / 15 for a, b in zip(first, second, strict=True)]


def exits(program: Program, arrays: Sequence[np.ndarray | float]) -> list[np.ndarray]:
    """Exit values of arguments and results by the oracle; `arrays` are not changed."""
    copies = [np.array(x) for x in arrays]
    position = reference.run(program, copies)
    assert position == -1, f"guard {position} is missed"
    return copies


def jacobian(program: Program, arrays: Sequence[np.ndarray | float], active: Sequence[int]) -> np.ndarray:
    """J of the one law: rows are the float exit values of arguments and results, columns the active entry values."""
    columns = []
    for position in active:
        shape = np.shape(arrays[position])
        for k in range(prod(shape)):
            seed = np.zeros(prod(shape))
            seed[k] = 1.0
            columns.append(flat_floats(program, tangent(program, arrays, {position: seed.reshape(shape)})[1]))
    rows = sum(program.buffers[b].size for b in (*program.arguments, *program.results) if program.buffers[b].dtype[0] == "f")
    return np.stack(columns, axis=1) if columns else np.zeros((rows, 0))


def flat_floats(program: Program, values: Sequence[np.ndarray]) -> np.ndarray:
    """The float ones of the exit values of arguments and results, as one vector."""
    bound = (*program.arguments, *program.results)
    floats = [np.ravel(x) for b, x in zip(bound, values, strict=True) if program.buffers[b].dtype[0] == "f"]
    return np.concatenate(floats) if floats else np.zeros(0)


# -------------------------------------------------------------------------------------------- random programs

Guards = Literal["none", "met", "any"]

COMMON_OPS: Final = (*(op.name for op in ALL_OPS), *("add", "sub", "mul", "muladd", "div", "where") * 4)
TAME_OPS: Final = (
    "copy", "neg", "add", "sub", "mul", "muladd", "square", "sin", "cos", "tanh", "arctan", "arcsinh", "expm1", "erf",
    "abs", "maximum", "minimum", "where", "less", "greater_equal", "logical_not", "floor",
)  # fmt: skip
STRUCTURED_OPS: Final = (
    "sum", "matmul", "take", "put", "put_add", "prod", "cumprod", "recurrence", "take_along", "put_along_add",
)  # fmt: skip


@st.composite
def programs(
    draw: st.DrawFn,
    *,
    guards: Guards = "met",
    ops: Sequence[str] = COMMON_OPS,
    structured: Sequence[str] = STRUCTURED_OPS,
    dtypes: Sequence[str] = ("float64",) * 4 + ("float32", "int64", "bool"),
    max_instructions: int = 14,
    special: bool = False,
) -> tuple[Program, list[np.ndarray]]:
    """A program that verifies, and arrays for its arguments and results.

    Arrays are views of every kind (strided, reversed, 0-d, 2-d, sliding windows, broadcast operands), updated in place,
    partly overwritten, written in pieces. Every element of a result is written.

    Parameters
    ----------
    guards : {"none", "met", "any"}
        Whether there are guards, and whether the arrays meet them all.
    ops, structured : sequence of str
        Operations to draw from.
    dtypes : sequence of str
        Of the arguments and results.
    special : bool
        Whether infinities, NaN and signed zeros are among the values.
    """
    maker = _Maker(draw, guards, ops, structured, dtypes, special)
    for _ in range(draw(st.integers(1, max_instructions))):
        maker.instruction()
    maker.complete_results()
    verify(maker.program)
    arrays = maker.arrays()
    if guards == "met":
        _meet_guards(maker.program, arrays)
    return maker.program, arrays


@st.composite
def smooth_programs(draw: st.DrawFn, **options: Any) -> tuple[Program, list[np.ndarray]]:
    """Programs of moderate size and values, whose derivatives `tangent` and `jacobian` give to rounding."""
    program, arrays = draw(programs(**{"ops": TAME_OPS, "dtypes": ("float64",), **options}))
    assume(all(np.all(np.abs(x.astype(float)) < 1e4) for x in exits(program, arrays)))
    return program, arrays


class _Maker:
    """A program under construction, with the elements written so far."""

    def __init__(
        self,
        draw: st.DrawFn,
        guards: Guards,
        ops: Sequence[str],
        structured: Sequence[str],
        dtypes: Sequence[str],
        special: bool,
    ) -> None:
        self.draw, self.special = draw, special
        self.ops = [TABLE[name] for name in ops]
        self.program = Program("drawn")
        self.written: dict[int, np.ndarray] = {}
        for role, least in ((Role.ARGUMENT, 1), (Role.RESULT, 0), (Role.CAPTURED, 0)):
            for k in range(draw(st.integers(least, 2 + least))):
                self._bound(draw(st.sampled_from(dtypes)), role, f"{role.value[0]}{k}")
        kinds: list[Callable[[], None]] = [self._elementwise] * 5 + [getattr(self, f"_{name}") for name in structured]
        self.kinds = kinds + ([self._guard] if guards != "none" else [])

    def _bound(self, dtype: str, role: Role, name: str) -> None:
        shape = self._shape(6)
        data = self._values(dtype, shape) if role is Role.CAPTURED else None
        view = self.program.bound(dtype, shape, role, name, data)
        self.written[view.buffer] = np.full(view.size, role is not Role.RESULT)

    def arrays(self) -> list[np.ndarray]:
        """What to bind: values for the arguments, poison for the results."""
        p = self.program
        arguments = [self._values(p.buffers[b].dtype, p.buffers[b].shape or ()) for b in p.arguments]
        return arguments + [np.full(p.buffers[b].shape or (), 77, p.buffers[b].dtype) for b in p.results]

    def instruction(self) -> None:
        self.draw(st.sampled_from(self.kinds))()

    def complete_results(self) -> None:
        for b in self.program.results:
            dtype = self.program.buffers[b].dtype
            for k in np.flatnonzero(~self.written[b]):
                missing = View(b, int(k), (1,), (1,))
                self._emit("copy", missing, (self._disjoint(dtype, (1,), missing),))

    # ------------------------------------------------------------------------------------------ instructions

    def _emit(self, op: str, out: View, ins: tuple[View, ...]) -> None:
        self.program.emit(op, out, ins)
        self.written[out.buffer][out.indices()] = True

    def _elementwise(self) -> None:
        op = self.draw(st.sampled_from(self.ops))
        dtypes = [d for kind in op.kinds for d in DTYPES[kind]]
        dtype = dtypes[0] if self.draw(st.booleans()) else self.draw(st.sampled_from(dtypes))
        if op.name == "cast":
            out = self._writable(self.draw(st.sampled_from(["float64", "float32", "int64"])))
            dtype = self.draw(st.sampled_from([d for d in ("float64", "float32", "int64", "bool") if self._castable(d, out)]))
        else:
            out = self._writable(op.result or dtype)
        kinds = ["bool" if op.name == "where" and k == 0 else dtype for k in range(op.arity)]
        self._emit(op.name, out, tuple(self._readable(kind, out.shape, out) for kind in kinds))

    def _castable(self, dtype: str, out: View) -> bool:
        """A float that does not fit int64 has no defined value, so that cast is not drawn."""
        to = self.program.dtype(out)
        return dtype != to and not (to == "int64" and dtype[0] == "f")

    def _sum(self) -> None:
        out = self._writable("float64")
        reduced = self.draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
        self._emit("sum", out, (self._disjoint("float64", out.shape + tuple(reduced), out),))

    def _matmul(self) -> None:
        batch = tuple(self.draw(st.lists(st.integers(1, 2), max_size=1)))
        m, k, n = (self.draw(st.integers(1, 3)) for _ in range(3))
        out = self._writable("float64", (*batch, m, n))
        left, right = (self._disjoint("float64", (*batch, *axes), out) for axes in ((m, k), (k, n)))
        self._emit("matmul", out, (left, right))

    def _take(self) -> None:
        out = self._writable("float64", self._shape(4, least=1))
        axes = self.draw(st.integers(0, len(out.shape)))  # trailing axes that the index has
        lead, trail = out.shape[: len(out.shape) - axes], out.shape[len(out.shape) - axes :]
        n = self.draw(st.integers(1, 4))
        self._emit("take", out, (self._disjoint("float64", (*lead, n), out), self._index(n, trail, distinct=False)))

    def _put(self, name: str = "put") -> None:
        out = self._writable("float64", self._shape(5, least=1))
        if not self.written[out.buffer][out.indices()].all():
            self._emit("copy", out, (self._disjoint("float64", out.shape, out),))
        n = out.shape[-1]
        shape = (self.draw(st.integers(1, n if name == "put" else 6)),)
        index = self._index(n, shape, distinct=name == "put")
        self._emit(name, out, (out, self._disjoint("float64", out.shape[:-1] + shape, out), index))

    def _put_add(self) -> None:
        self._put("put_add")

    def _put_along_add(self) -> None:
        out = self._writable("float64", self._shape(5, least=1))
        if not self.written[out.buffer][out.indices()].all():
            self._emit("copy", out, (self._disjoint("float64", out.shape, out),))
        shape = (*out.shape[:-1], self.draw(st.integers(1, 4)))
        index = self._index(out.shape[-1], shape, distinct=False)
        self._emit("put_along_add", out, (out, self._disjoint("float64", shape, out), index))

    def _take_along(self) -> None:
        out = self._writable("float64", self._shape(4, least=1))
        n = self.draw(st.integers(1, 4))
        x = self._disjoint("float64", (*out.shape[:-1], n), out)
        self._emit("take_along", out, (x, self._index(n, out.shape, distinct=False)))

    def _prod(self) -> None:
        out = self._writable("float64")
        self._emit("prod", out, (self._disjoint("float64", (*out.shape, self.draw(st.integers(1, 3))), out),))

    def _cumprod(self) -> None:
        out = self._writable("float64", self._shape(3, least=1))
        self._emit("cumprod", out, (self._disjoint("float64", out.shape, out),))

    def _recurrence(self) -> None:
        (*lead, n) = self._shape(3, least=1)
        out = self._writable("float64", (*lead, n + 1))
        factors, addends = (self._disjoint("float64", (*lead, m), out) for m in (n, n + 1))
        self._emit("recurrence", out, (factors, addends))

    def _guard(self) -> None:
        dtype = self.draw(st.sampled_from(["bool", "int64"]))
        expected = self.draw(st.booleans() if dtype == "bool" else st.integers(-2, 2))
        self.program.emit("guard", None, (self._readable(dtype, (1,), None),), expected)

    def _index(self, n: int, shape: tuple[int, ...], distinct: bool) -> View:
        size = prod(shape)
        positions = st.permutations(range(n)) if distinct else st.lists(st.integers(0, n - 1), min_size=size, max_size=size)
        values = self.draw(positions)[:size]
        constant = self.program.constant(np.reshape(values, shape), "int64")
        if self.draw(st.booleans()):
            return constant
        copied = self._temp("int64", shape)
        self._emit("copy", copied, (constant,))
        return copied

    # ------------------------------------------------------------------------------------------------- views

    def _shape(self, most: int, least: int = 0) -> tuple[int, ...]:
        rank = self.draw(st.sampled_from([rank for rank in (1, 1, 2, 0) if rank >= least]))
        return tuple(self.draw(st.integers(1, most if rank == 1 else 3)) for _ in range(rank))

    def _temp(self, dtype: str, shape: tuple[int, ...]) -> View:
        view = self.program.temp(dtype, shape)
        self.written[view.buffer] = np.zeros(view.size, dtype=bool)
        return view

    def _candidates(self, dtype: str) -> Iterator[int]:
        return (b for b in self.written if self.program.buffers[b].dtype == dtype)

    def _writable(self, dtype: str, shape: tuple[int, ...] | None = None) -> View:
        """A view to write: of a bound array, of a temporary written before, or of a new one that is larger than it."""
        buffers = [b for b in self._candidates(dtype) if self.program.buffers[b].role is not Role.CAPTURED]
        number = self.draw(st.sampled_from([*buffers, None]))
        if number is not None:
            size = self.program.buffers[number].size
            view = self._view(number, self._shape(size) if shape is None else shape, repeats=False)
            if view is not None:
                return view
        shape = self._shape(5) if shape is None else shape
        whole = self._temp(dtype, (prod(shape) + self.draw(st.sampled_from([0, 0, 3])),))
        return self._view(whole.buffer, shape, repeats=False) or self._temp(dtype, shape)

    def _readable(self, dtype: str, shape: tuple[int, ...], out: View | None) -> View:
        """A view whose elements all have a value: `out` itself, one disjoint from it, or a constant."""
        possible = out is not None and self.program.dtype(out) == dtype and self._has_values(out)
        return out if possible and out is not None and self.draw(st.integers(0, 3)) == 0 else self._disjoint(dtype, shape, out)

    def _disjoint(self, dtype: str, shape: tuple[int, ...], out: View | None) -> View:
        candidates = list(self._candidates(dtype))
        for _ in range(4 if candidates else 0):
            view = self._view(self.draw(st.sampled_from(candidates)), shape, repeats=True)
            if view is not None and self._has_values(view) and (out is None or not overlap(view, out)):
                return view
        if self.draw(st.booleans()):
            return self.program.constant(self._values(dtype, ()), dtype, shape)
        return self.program.constant(self._values(dtype, shape), dtype)

    def _has_values(self, view: View) -> bool:
        return bool(self.written[view.buffer][view.indices()].all())

    def _view(self, number: int, shape: tuple[int, ...], repeats: bool) -> View | None:
        """A view of this shape, or None where the buffer is too small; elements repeat only where that is allowed."""
        size, span = self.program.buffers[number].size, 0
        strides = [0] * len(shape)
        axes = self.draw(st.permutations(range(len(shape)))) if len(shape) > 1 else range(len(shape))
        for axis in reversed(axes):
            n, packed = shape[axis], span + 1
            steps = [s for s in ((packed, 2 * packed, 1, 0) if repeats else (packed, 2 * packed)) if span + (n - 1) * s < size]
            if not steps:
                return None
            strides[axis] = self.draw(st.sampled_from(steps))
            span += (n - 1) * strides[axis]
        offset = self.draw(st.integers(0, size - 1 - span))
        for axis, n in enumerate(shape):
            if strides[axis] and self.draw(st.integers(0, 3)) == 0:
                offset += (n - 1) * strides[axis]
                strides[axis] = -strides[axis]
        view = View(number, offset, shape, tuple(strides))
        return view if repeats or is_injective(view) else None

    def _values(self, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        rng = np.random.default_rng(self.draw(st.integers(0, 2**16)))
        if dtype == "bool":
            return np.asarray(rng.random(shape) < 0.5)
        if dtype == "int64":
            return np.asarray(rng.integers(-3, 4, shape))
        values = np.asarray(rng.uniform(-1.5, 1.5, shape))
        if self.special:
            values = np.where(rng.random(shape) < 0.3, rng.choice(SPECIAL_VALUES, shape), values)
        with np.errstate(all="ignore"):
            return values.astype(dtype)


def _meet_guards(program: Program, arrays: Sequence[np.ndarray]) -> None:
    """Make each guard expect the value that its operand has in this run."""
    for position, instruction in enumerate(list(program)):
        if instruction.op == "guard":
            operand = instruction.ins[0]
            probe = program.replaced(list(program)[:position])
            found = probe.bound(program.dtype(operand), operand.shape, Role.RESULT, "probe")
            probe.emit("copy", found, (operand,))
            program.params[position] = exits(probe, [*arrays, np.zeros(operand.shape, program.dtype(operand))])[-1].item()


# ----------------------------------------------------------------------------------------------- building blocks


def banded_stencil(n: int) -> Program:
    """dx[1:-1] = x[:-2] - 2 x[1:-1] + x[2:], with the ends mirrored: tridiagonal, in vector instructions."""
    p = Program("banded_stencil")
    dx = p.bound("float64", (n,), Role.ARGUMENT, "dx")
    x = p.bound("float64", (n,), Role.ARGUMENT, "x")
    inner = View(dx.buffer, 1, (n - 2,), contiguous((n - 2,)))
    left, middle, right = (View(x.buffer, k, (n - 2,), (1,)) for k in range(3))
    doubled, outer = p.temp("float64", (n - 2,)), p.temp("float64", (n - 2,))
    p.emit("mul", doubled, (middle, p.constant(2.0, "float64", (n - 2,))))
    p.emit("add", outer, (left, right))
    p.emit("sub", inner, (outer, doubled))
    for end, neighbour in ((0, 1), (n - 1, n - 2)):
        one = View(dx.buffer, end, (1,), (1,))
        p.emit("sub", one, (View(x.buffer, neighbour, (1,), (1,)), View(x.buffer, end, (1,), (1,))))
    return p


def element_loop_stencil(n: int) -> Program:
    """The same map as single-element instructions, as an unrolled loop records it."""
    p = Program("element_loop_stencil")
    dx = p.bound("float64", (n,), Role.ARGUMENT, "dx")
    x = p.bound("float64", (n,), Role.ARGUMENT, "x")
    two = p.constant(2.0, "float64")
    at = [View(x.buffer, k, (), ()) for k in range(n)]
    for k in range(1, n - 1):
        doubled, outer = p.temp("float64", ()), p.temp("float64", ())
        p.emit("mul", doubled, (at[k], two))
        p.emit("add", outer, (at[k - 1], at[k + 1]))
        p.emit("sub", View(dx.buffer, k, (), ()), (outer, doubled))
    for end, neighbour in ((0, 1), (n - 1, n - 2)):
        p.emit("sub", View(dx.buffer, end, (), ()), (at[neighbour], at[end]))
    return p
