"""Applications of every structured operation, for the suites that iterate over the registry.

A case is a program of one instruction on views of its arguments; layouts put the operands into memory in different ways.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import numpy as np

from odead.structured import STRUCTURED
from odead.tape import Program, Role
from odead.views import View

__all__ = ["CASES", "LAYOUTS", "Case", "program_of"]

Make = Callable[[np.random.Generator], tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Case:
    """An operation on certain operands.

    Attributes
    ----------
    op : str
    label : str
    make : callable
        Random generator -> operands; int64 ones are bound as constants.
    out : tuple of int
        Shape of the result.
    params : hashable
    dtype : str
        Of the result.
    via : callable, optional
        (program, views of the operands) -> the operands of the instruction, where some are made by other instructions.
    """

    op: str
    label: str
    make: Make
    out: tuple[int, ...]
    params: Any = None
    dtype: str = "float64"
    via: Callable[[Program, list[View]], tuple[View, ...]] = field(default=lambda _, views: tuple(views))

    def __str__(self) -> str:
        return f"{self.op}-{self.label}"

    @property
    def is_active(self) -> bool:
        return self.dtype == "float64"


def _normal(*shapes: tuple[int, ...]) -> Make:
    return lambda rng: tuple(rng.standard_normal(shape) for shape in shapes)


def _regular(*shapes: tuple[int, ...]) -> Make:
    """Square matrices that are far from singular, first; then anything."""

    def make(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        first, *others = shapes
        return rng.standard_normal(first) + 3 * np.eye(first[-1]), *(rng.standard_normal(shape) for shape in others)

    return make


def _distinct(*shapes: tuple[int, ...]) -> Make:
    """Matrices with eigenvalues far from each other, of which two are a conjugate pair if there is one matrix."""

    def make(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        first, *others = (0.2 * rng.standard_normal(shape) for shape in shapes)
        first += 2 * np.diag(np.arange(1.0, first.shape[-1] + 1))
        if first.shape[-1] > 1:
            first[..., :2, :2] += [[0.0, 1.5], [-3.0, 0.0]]
        return first, *others

    return make


def _positive(shape: tuple[int, ...]) -> Make:
    def make(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        x = rng.standard_normal(shape)
        return (x @ np.swapaxes(x, -1, -2) + shape[-1] * np.eye(shape[-1]),)

    return make


def _indexed(index: Any, *shapes: tuple[int, ...]) -> Make:
    return lambda rng: (*(rng.standard_normal(shape) for shape in shapes), np.array(index, dtype=np.int64))


def _with_zeros(*shape: int) -> Make:
    def make(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        x = rng.standard_normal(shape)
        x.reshape(-1)[1::5] = 0.0
        return (x,)

    return make


def _singular(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return (np.outer(*rng.standard_normal((2, 3))) + np.outer(*rng.standard_normal((2, 3))),)


def _bands(rng: np.random.Generator, below: int, above: int, n: int, columns: int) -> tuple[np.ndarray, ...]:
    bands = rng.standard_normal((below + above + 1, n))
    bands[above] += 6
    return bands, rng.standard_normal((n, columns))


def _factorised(p: Program, views: list[View]) -> tuple[View, ...]:
    a, b = views
    n = a.shape[-1]
    pack = p.temp("float64", (*a.shape[:-2], n * n + 2 * n))
    p.emit("lu", pack, (a,))
    return a, b, pack


def _cases() -> Iterator[Case]:
    for label, kept, reduced in (("vector", (), (5,)), ("rows", (3,), (4,)), ("axes", (2,), (3, 2)), ("one", (3,), (1,))):
        for op in ("sum", "amax", "amin"):
            yield Case(op, label, _normal((*kept, *reduced)), kept)
    for label, shape in (("vector", (5,)), ("rows", (3, 4)), ("batch", (2, 3, 2)), ("one", (3, 1))):
        yield Case("prod", label, _normal(shape), shape[:-1])
        yield Case("cumprod", label, _normal(shape), shape)
        yield Case("recurrence", label, _normal((*shape[:-1], shape[-1] - 1), shape), shape)
        yield Case("argsort", label, _normal(shape), shape, dtype="int64")
        yield Case("argmax", label, _normal(shape), shape[:-1], dtype="int64")
        yield Case("argmin", label, _normal(shape), shape[:-1], dtype="int64")
    yield Case("prod", "zeros", _with_zeros(3, 4), (3,))
    yield Case("cumprod", "zeros", _with_zeros(3, 4), (3, 4))
    for op in ("sum", "prod"):
        yield Case(op, "nothing to reduce", _normal((3, 0)), (3,))
    for op in ("sum", "prod", "amax", "amin"):
        yield Case(op, "empty", _normal((0, 3)), (0,))
    for op in ("cumprod", "argsort"):
        yield Case(op, "empty", _normal((3, 0)), (3, 0), dtype="float64" if op == "cumprod" else "int64")
    yield Case("recurrence", "empty", _normal((3, 0), (3, 0)), (3, 0))
    yield Case("permutation", "rows", lambda _: (np.array([[2, 1, 2, 3], [0, 3, 3, 3]]),), (2, 4), dtype="int64")
    for side in ("left", "right"):
        grid = lambda rng: (np.sort(rng.standard_normal(6)), rng.standard_normal((2, 3)))  # noqa: E731
        yield Case("searchsorted", side, grid, (2, 3), side, "int64")
    products = (("one", (), (3, 2, 4)), ("vector", (), (3, 5, 1)), ("batch", (2,), (2, 3, 2)), ("empty", (), (0, 2, 3)))
    for label, batch, (m, k, n) in products:
        a, b, c = (*batch, m, k), (*batch, k, n), (*batch, m, n)
        yield Case("matmul", label, _normal(a, b), c)
        yield Case("matmul_add", label, _normal(c, a, b), c)
    yield Case("take", "vector", _indexed([3, 0, 0], (4,)), (3,))
    yield Case("take", "rows", _indexed([[1, 0, 3], [2, 2, 2]], (2, 4)), (2, 2, 3))
    yield Case("take_along", "vector", _indexed([3, 0, 0], (4,)), (3,))
    yield Case("take_along", "rows", _indexed([[1, 0, 1], [2, 2, 3]], (2, 4)), (2, 3))
    for op in ("put", "put_add"):
        yield Case(op, "rows", _indexed([2, 0], (3, 4), (3, 2)), (3, 4))
    yield Case("put_add", "repeated", _indexed([2, 0, 2], (4,), (3,)), (4,))
    yield Case("put_along_add", "rows", _indexed([[2, 0], [1, 1], [3, 3]], (3, 4), (3, 2)), (3, 4))
    systems = (("one", (), 3, 2), ("vector", (), 4, 1), ("batch", (2,), 3, 2), ("small", (2, 2), 1, 1), ("empty", (), 0, 1))
    for label, batch, n, columns in systems:
        a, b = (*batch, n, n), (*batch, n, columns)
        yield Case("lu", label, _regular(a), (*batch, n * n + 2 * n))
        for transposed in (False, True):
            yield Case("solve", f"{label}{'-transposed' * transposed}", _regular(a, b), b, transposed, via=_factorised)
        for lower in (False, True):
            for unit in (False, True):
                name = f"{label}-{'lower' if lower else 'upper'}{'-unit' * unit}"
                yield Case("solve_triangular", name, _regular(a, b), b, (lower, unit))
        yield Case("det", label, _regular(a), batch)
        yield Case("cofactor", label, _regular(a), a)
        yield Case("slogdet", label, _regular(a), (*batch, 2))
        yield Case("expm", label, _normal(a), a)
        yield Case("expm_frechet", label, _normal(a, a), a)
        yield Case("solve_sylvester", label, _regular(a, a, a), a)
        yield Case("sqrtm", label, _positive(a), a)
        yield Case("cholesky", label, _positive(a), a)
        yield Case("matrix_function", f"{label}-log", _positive(a), a, ("logm",))
        yield Case("matrix_function", f"{label}-cos", _normal(a), a, ("cosm",))
        yield Case("matrix_function", f"{label}-power", _positive(a), a, ("power", 0.3))
    yield Case("det", "singular", _singular, ())
    for label, batch, n in (("one", (), 4), ("batch", (2,), 3), ("small", (2,), 1)):
        yield Case("eigh", label, _normal((*batch, n, n)), (*batch, n + n * n))
        yield Case("eigvalsh", label, _normal((*batch, n, n)), (*batch, n))
        for triangle in ("L", "U"):
            parts = _normal((*batch, n, n), (*batch, n, n))
            yield Case("eigh_complex", f"{label}-{triangle}", parts, (*batch, n + 2 * n * n), triangle)
    for label, batch, n in (("one", (), 4), ("batch", (2,), 3), ("small", (), 1)):
        a = (*batch, n, n)
        yield Case("eig", label, _distinct(a), (*batch, 2 * n + 2 * n * n))
        yield Case("eig", f"{label}-complex", _distinct(a, a), (*batch, 2 * n + 2 * n * n))
    for label, batch, (m, n) in (("square", (), (3, 3)), ("tall", (), (4, 2)), ("wide", (2,), (2, 4)), ("column", (), (3, 1))):
        k, a = min(m, n), (*batch, m, n)
        yield Case("svd", label, _normal(a), (*batch, m * k + k + k * n))
        yield Case("svdvals", label, _normal(a), (*batch, k))
        yield Case("pinv", label, _normal(a), (*batch, n, m))
        if m >= n:
            yield Case("qr", label, _normal(a), (*batch, m * n + n * n))
    for shape in ((5, 2), (1, 2), (3, 4, 2)):
        for inverse in (False, True):
            yield Case("fft", f"{'x'.join(map(str, shape))}{'-inverse' * inverse}", _normal(shape), shape, inverse)
    for below, above, n, columns in ((1, 1, 5, 1), (2, 1, 5, 2), (0, 2, 4, 1), (1, 1, 1, 1), (3, 0, 2, 2)):

        def bands(rng: np.random.Generator, size: tuple[int, ...] = (below, above, n, columns)) -> tuple[np.ndarray, ...]:
            return _bands(rng, *size)

        yield Case("solve_banded", f"{below}-{above}-{n}", bands, (n, columns), (below, above))


CASES: Final = tuple(_cases())

assert {case.op for case in CASES} == {*STRUCTURED} - {"call", "guard"}, "an operation has no case"

# ---------------------------------------------------------------------------------------------------------- layouts


def _contiguous(p: Program, name: str, shape: tuple[int, ...]) -> View:
    return p.bound("float64", shape, Role.ARGUMENT, name)


def _fortran(p: Program, name: str, shape: tuple[int, ...]) -> View:
    whole = p.bound("float64", shape[::-1], Role.ARGUMENT, name)
    return View(whole.buffer, 0, shape, whole.strides[::-1])


def _strided(p: Program, name: str, shape: tuple[int, ...]) -> View:
    whole = p.bound("float64", (*shape, 2), Role.ARGUMENT, name)
    return View(whole.buffer, 1 if whole.size else 0, shape, whole.strides[:-1])


def _backwards(p: Program, name: str, shape: tuple[int, ...]) -> View:
    whole = p.bound("float64", shape, Role.ARGUMENT, name)
    return View(whole.buffer, max(prod(shape) - 1, 0), shape, tuple(-s for s in whole.strides))


LAYOUTS: Final = {"contiguous": _contiguous, "fortran": _fortran, "strided": _strided, "backwards": _backwards}


def program_of(case: Case, layout: str = "contiguous", seed: int = 0) -> tuple[Program, list[np.ndarray]]:
    """The program `out = op(operands)` and the arrays it binds: operands, then the result as an argument."""
    rng = np.random.default_rng(seed)
    p, views, arrays = Program(case.op), [], []
    for number, operand in enumerate(case.make(rng)):
        if operand.dtype == "int64":
            views.append(p.constant(operand, "int64"))
            continue
        view = LAYOUTS[layout](p, f"x{number}", operand.shape)
        array = rng.standard_normal(p.buffers[view.buffer].shape)
        array.reshape(-1)[view.indices()] = operand
        views.append(view)
        arrays.append(array)
    if STRUCTURED[case.op].in_place:
        p.emit(case.op, views[0], tuple(views), case.params)
        return p, arrays
    ins = case.via(p, views)
    out = p.bound(case.dtype, case.out, Role.RESULT, "out") if not case.is_active else LAYOUTS[layout](p, "out", case.out)
    p.emit(case.op, out, ins, case.params)
    shape = p.buffers[out.buffer].shape or ()
    return p, [*arrays, np.full(shape, 77, case.dtype)]
