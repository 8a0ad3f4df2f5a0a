"""Rows of structured instructions: which kernel of `_structured.pyx` or `_linear.pyx` does one, and with which parameters.

What has no kernel, or lies in memory in a way that its kernel does not take, is left to Python: the `value` of the operation.
"""

from collections.abc import Callable, Hashable, Iterator
from math import prod
from typing import Final

import numpy as np

from ..rules.callee import InARow
from ..structured import STRUCTURED
from ..tape import Instruction, Role
from ..views import View
from .blas import Product, leading, operand
from .layout import Axis, collapse, merge
from .rows import ITEM, Call, Rows

__all__ = ["lower_structured"]

Operands = tuple[View, ...]
_REAL: Final = ("float64", "float32")


def lower_structured(rows: Rows, position: int, instruction: Instruction) -> None:
    """Append the rows of a structured instruction."""
    op, out, ins, params, _ = instruction
    if out is None:
        assert op == "guard" and isinstance(params, int), f"unknown operation {op}"
        _guard(rows, position, ins[0], params)
    elif out.size and not (op in _KERNELS and _KERNELS[op](rows, position, op, out, ins, params)):
        views = (out, *ins)
        layouts = tuple((np.dtype(rows.dtype(v)), v.shape, tuple(s * ITEM[rows.dtype(v)] for s in v.strides)) for v in views)
        rows.call(position, Call(STRUCTURED[op].value, params, layouts), views)


def _guard(rows: Rows, position: int, x: View, expected: int) -> None:
    if x.size:
        row, axes = _split_row(_axes(x.shape, (0,) * len(x.shape), x.strides), 2)
        rows.emit(position, f"guard.{rows.dtype(x)}", row, axes, (None, x), params=(expected,))


# ------------------------------------------------------------------------------------------------------- reductions


def _sum(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    (x,) = ins
    dtype = rows.dtype(x)
    assert rows.dtype(out) == dtype != "bool", "a sum has the dtype of its operand, and bool has none"
    rows.work += x.size
    rank = len(out.shape)
    reduced = _reduced(out, x)
    if not x.size:
        rows.fill_zero(position, out)
        return True
    kept = collapse(out.shape, (out.strides, x.strides[:rank]))
    if kept.row.extent > 1 and abs(kept.row.strides[1]) < abs(reduced[-1].strides[1]):
        _sum_of_rows(rows, position, out, x, reduced)
        return True
    axes = [axis for axis in (*kept.axes, kept.row) if axis.extent > 1]
    if len(reduced) > 1:
        rows.fill_zero(position, out)
    name = "sum" if len(reduced) == 1 else "sum_add"
    rows.emit(position, f"{name}.{dtype}", reduced[-1], [*axes, *reduced[:-1]], (out, x), kept.starts)
    return True


def _reduced(out: View, x: View) -> list[Axis]:
    """The axes that are reduced, those nearer together in memory behind."""
    rank = len(out.shape)
    axes = _axes(x.shape[rank:], (0,) * len(x.shape), x.strides[rank:])
    return merge(sorted(axes, key=lambda axis: -abs(axis.strides[1]))) or [Axis(1, (0, 0))]


def _sum_of_rows(rows: Rows, position: int, out: View, x: View, reduced: list[Axis]) -> None:
    """Add whole rows: what is kept is nearer together in memory than what is summed; NumPy's order too."""
    rows.fill_zero(position, out)
    _by_rows(rows, position, "add", out, x, reduced)


def _by_rows(rows: Rows, position: int, op: str, out: View, x: View, reduced: list[Axis]) -> None:
    name = f"{op}.{rows.dtype(x)}"
    strides = x.strides[: len(out.shape)]
    row, axes, starts = collapse(out.shape, (out.strides, out.strides, strides))
    outer = [Axis(axis.extent, (0, *axis.strides)) for axis in reduced]
    dense = f"{name}.vv" if row.strides == (1, 1, 1) else f"{name}.strided"
    rows.emit(position, dense, row, [*outer, *axes], (out, out, x), starts)


def _extremum(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    """Start from the first element, then compare with all."""
    (x,) = ins
    dtype = rows.dtype(x)
    if dtype == "bool":
        return False
    rows.work += x.size
    rank = len(out.shape)
    rows.elementwise(position, "copy", out, (x._replace(shape=x.shape[:rank], strides=x.strides[:rank]),))
    reduced = _reduced(out, x)
    kept = collapse(out.shape, (out.strides, x.strides[:rank]))
    if kept.row.extent > 1 and abs(kept.row.strides[1]) < abs(reduced[-1].strides[1]):
        _by_rows(rows, position, "maximum" if op == "amax" else "minimum", out, x, reduced)
    else:
        axes = [axis for axis in (*kept.axes, kept.row) if axis.extent > 1]
        rows.emit(position, f"{op}.{dtype}", reduced[-1], [*axes, *reduced[:-1]], (out, x), kept.starts)
    return True


def _along_rows(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    """A kernel that goes along the last axis of each operand and leaves the others to the walk."""
    if rows.dtype(out) == "bool":
        return False
    views = (out, *ins)
    rank = len(ins[-1].shape) - 1
    rows.work += ins[-1].size
    axes = merge(_axes(ins[-1].shape[:-1], *(view.strides for view in views)))
    row = Axis(ins[-1].shape[-1], tuple(view.strides[rank] if len(view.strides) > rank else 0 for view in views))
    rows.emit(position, f"{op}.{rows.dtype(out)}", row, axes, views)
    return True


# ------------------------------------------------------------------------------------------------ gather and scatter


def _take(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    x, index = ins
    _check_constant(rows, index, x.shape[-1])
    rows.work += out.size
    rank = len(out.shape) - len(index.shape)
    batch = _axes(out.shape[:rank], out.strides, x.strides, (0,) * rank)
    row, axes = _split_row(_axes(index.shape, out.strides[rank:], (0,) * len(index.shape), index.strides), 3)
    row = Axis(row.extent, (row.strides[0], x.strides[-1], row.strides[2]))
    rows.emit(position, f"take.{rows.dtype(x)}", row, batch + axes, (out, x, index), params=(x.shape[-1],))
    return True


def _take_along(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    x, index = ins
    _check_constant(rows, index, x.shape[-1])
    rows.work += out.size
    batch = merge(_axes(out.shape[:-1], out.strides, x.strides, index.strides))
    row = Axis(out.shape[-1], (out.strides[-1], x.strides[-1], index.strides[-1]))
    rows.emit(position, f"take.{rows.dtype(x)}", row, batch, (out, x, index), params=(x.shape[-1],))
    return True


def _put(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    _, values, index = ins
    if values.size:
        _check_constant(rows, index, out.shape[-1])
        rows.work += values.size
        rank = len(out.shape) - 1
        none = (0,) * max(rank, len(index.shape))
        batch = _axes(out.shape[:rank], out.strides, none, values.strides, none)
        row, axes = _split_row(_axes(index.shape, none, none, values.strides[rank:], index.strides), 4)
        row = Axis(row.extent, (out.strides[-1], *row.strides[1:]))
        operands = (out, None, values, index)
        rows.emit(position, f"{op}.{rows.dtype(out)}", row, batch + axes, operands, params=(out.shape[-1],))
    return True


def _put_along_add(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    _, values, index = ins
    if values.size:
        _check_constant(rows, index, out.shape[-1])
        rows.work += values.size
        none = (0,) * len(out.shape)
        batch = merge(_axes(out.shape[:-1], out.strides, none, values.strides, index.strides))
        row = Axis(values.shape[-1], (out.strides[-1], 0, values.strides[-1], index.strides[-1]))
        rows.emit(position, f"put_add.{rows.dtype(out)}", row, batch, (out, None, values, index), params=(out.shape[-1],))
    return True


def _check_constant(rows: Rows, index: View, size: int) -> None:
    buffer = rows.buffers[index.buffer]
    if buffer.role is Role.CONSTANT and buffer.data is not None:
        values = buffer.data.reshape(-1)[index.indices()]
        assert ((values >= 0) & (values < size)).all(), f"an index is outside of 0..{size - 1}"


def _searchsorted(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    grid, values = ins
    rows.work += out.size
    lead = len(grid.shape) - 1
    none = (0,) * (len(out.shape) - lead)
    row, axes = _split_row(_axes(out.shape, out.strides, grid.strides[:lead] + none, values.strides), 3)
    extra = (grid.shape[-1], grid.strides[-1] * ITEM[rows.dtype(grid)], int(params == "right"))
    rows.emit(position, f"searchsorted.{rows.dtype(grid)}", row, axes, (out, grid, values), params=extra)
    return True


# ---------------------------------------------------------------------------------------------------- linear algebra


def _matmul(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    x, y = ins[-2:]
    adds, dtype = int(op == "matmul_add"), rows.dtype(out)
    if not x.shape[-1]:
        if not adds:
            rows.fill_zero(position, out)
        return True
    rows.work += out.size * x.shape[-1]
    product = Product(out.shape[-2], out.shape[-1], x.shape[-1], out.strides[-2:], x.strides[-2:], y.strides[-2:])
    batch = merge(_axes(out.shape[:-2], out.strides, x.strides, y.strides))
    row = Axis(1, (0, 0, 0))
    for call, turned, rest in _calls(product, batch, dtype):
        summed = not adds and any(axis.strides[0] == 0 for axis in rest)
        if summed and (call is not None or turned is not None):
            rows.fill_zero(position, out)
            adds = 1
        if call is not None:
            rows.emit(position, f"{call[0]}.{dtype}", row, rest, (out, x, y), params=(adds, *call[1]))
            return True
        if turned is not None:
            axes = [Axis(extent, (s, v, u)) for extent, (s, u, v) in rest]
            rows.emit(position, f"{turned[0]}.{dtype}", row, axes, (out, y, x), params=(adds, *turned[1]))
            return True
    steps = [stride * ITEM[dtype] for stride in (*product.out, *product.x, *product.y)]
    rows.emit(position, f"matmul.{dtype}", row, batch, (out, x, y), params=(adds, product.m, product.n, product.k, *steps))
    return True


_Called = tuple[str, tuple[int, ...]] | None


def _calls(product: Product, batch: list[Axis], dtype: str) -> Iterator[tuple[_Called, _Called, list[Axis]]]:
    """The kernels for a product, and for its transpose, with the axes around it; the cheapest first."""
    gathered, rest = _gathered(product, batch)
    if dtype == "float64":
        ways = [(gathered, rest)]
        if product.m * product.n * product.k >= _LEAST_WORK:  # below, one call for all is cheaper
            ways += [(product, batch), *_columns_apart(product, batch), *_rows_apart(product, batch)]
        for way, axes in ways:
            yield _narrow(way, axes), _narrow(way.transposed(), axes), axes
        if product.m * product.n >= _LEAST_WORK and 1 < product.k <= _MOST_TERMS:
            outer = product._replace(k=1)
            terms = [*batch, Axis(product.k, (0, product.x[1], product.y[0]))]
            yield _outer(outer, product.n), _outer(outer.transposed(), product.m), terms
    if dtype in _REAL:
        yield gathered.call(), gathered.transposed().call(), rest
        yield product.call(), product.transposed().call(), batch


def _narrow(product: Product, axes: list[Axis]) -> _Called:
    """The loop for a product, unless it is one of a matrix with so many vectors that BLAS is faster with all of them."""
    found = product.narrow()
    vectors = prod(axis.extent for axis in axes if 0 in axis.strides)
    return None if found is not None and found[0] in ("matvec", "turned") and vectors > _MOST_VECTORS else found


_MOST_VECTORS: Final = 12  # with 70 x 70, 9 vectors take 1.8 us, and 2.9 by BLAS
_LEAST_WORK: Final = 32  # multiplications in a call of a loop for narrow matrices, where there are several calls
_FEW: Final = 4  # columns that are cheaper one by one
_MOST_TERMS: Final = 8


def _outer(product: Product, columns: int) -> _Called:
    """The kernel for a term of a sum of outer products that have few columns: BLAS is 4 times slower at 200 x 8 @ 8 x 2."""
    return product.narrow() if columns <= _MOST_TERMS and product.x[0] == 1 else None


def _columns_apart(product: Product, batch: list[Axis]) -> list[tuple[Product, list[Axis]]]:
    """A product by its columns, if they are few."""
    if not 1 < product.n <= _FEW:
        return []
    return [(product._replace(n=1), [*batch, Axis(product.n, (product.out[1], 0, product.y[1]))])]


def _rows_apart(product: Product, batch: list[Axis]) -> list[tuple[Product, list[Axis]]]:
    """A product by its rows, if they are few."""
    if not 1 < product.m <= _FEW:
        return []
    return [(product._replace(m=1), [*batch, Axis(product.m, (product.out[0], product.x[0], 0))])]


def _gathered(product: Product, batch: list[Axis]) -> tuple[Product, list[Axis]]:
    """Make batch axes along which one factor stays the same into rows or columns of the other: one product, not many."""
    rest = []
    for axis in reversed(batch):
        n, (out, x, y) = axis
        m_out, n_out = product.out
        if y == 0 and (product.m == 1 or (out, x) == (product.m * m_out, product.m * product.x[0])):
            steps = (out, x) if product.m == 1 else (m_out, product.x[0])
            product = product._replace(m=n * product.m, out=(steps[0], n_out), x=(steps[1], product.x[1]))
        elif x == 0 and (product.n == 1 or (out, y) == (product.n * n_out, product.n * product.y[1])):
            steps = (out, y) if product.n == 1 else (n_out, product.y[1])
            product = product._replace(n=n * product.n, out=(m_out, steps[0]), y=(product.y[0], steps[1]))
        else:
            rest.append(axis)
    return product, rest[::-1]


def _lu(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    (a,) = ins
    n, dtype = a.shape[-1], rows.dtype(a)
    if out.strides[-1] != 1 or dtype not in _REAL:
        return False
    rows.work += a.size * n
    batch = merge(_axes(a.shape[:-2], out.strides, a.strides))
    steps = (stride * ITEM[dtype] for stride in a.strides[-2:])
    rows.emit(position, f"lu.{dtype}", Axis(1, (0, 0)), batch, (out, a), params=(n, *steps))
    return True


def _solve(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    _, b, pack = ins
    dtype, columns = rows.dtype(out), _columns(out)
    if columns is None or pack.strides[-1] != 1 or dtype not in _REAL:
        return False
    rows.work += out.size * out.shape[-2]
    batch = merge(_axes(out.shape[:-2], out.strides, (0,) * len(out.shape), b.strides, pack.strides))
    extra = (*out.shape[-2:], *columns, *_steps(out, b, ITEM[dtype]), int(bool(params)))
    rows.emit(position, f"lu_solve.{dtype}", Axis(1, (0,) * 4), batch, (out, None, b, pack), params=extra)
    return True


def _solve_triangular(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    t, b = ins
    dtype, columns, matrix = rows.dtype(out), _columns(out), operand(t.shape[-1], t.shape[-1], t.strides[-2:])
    if columns is None or matrix is None or dtype not in _REAL or not isinstance(params, tuple):
        return False
    rows.work += out.size * out.shape[-2]
    lower, unit = params
    distance, turned = matrix
    batch = merge(_axes(out.shape[:-2], out.strides, t.strides, b.strides))
    extra = (*out.shape[-2:], *columns, *_steps(out, b, ITEM[dtype]), distance, int(lower != turned), int(turned), int(unit))
    rows.emit(position, f"trsm.{dtype}", Axis(1, (0,) * 3), batch, (out, t, b), params=extra)
    return True


def _columns(out: View) -> tuple[int, int] | None:
    """How BLAS sees right-hand sides (n, k): whether column by column, and the distance of its columns in elements."""
    n, k = out.shape[-2:]
    rows, columns = out.strides[-2:]
    if k == 1:
        return (1, max(rows, 1)) if rows > 0 or n == 1 else None
    if (straight := leading(n, k, (rows, columns))) is not None:
        return 1, straight
    turned = leading(k, n, (columns, rows))
    return None if turned is None else (0, turned)


def _steps(out: View, b: View, item: int) -> tuple[int, ...]:
    return tuple(stride * item for stride in (*out.strides[-2:], *b.strides[-2:]))


# ------------------------------------------------------------------------------------------------------------- axes


def _axes(shape: tuple[int, ...], *strides: tuple[int, ...]) -> list[Axis]:
    """The leading axes of several views."""
    return [Axis(extent, steps) for extent, steps in zip(shape, zip(*strides, strict=False), strict=False)]


def _split_row(axes: list[Axis], operands: int) -> tuple[Axis, list[Axis]]:
    """Separate the innermost axis; the order stays, since repeated indices are added up in order."""
    axes = merge(axes) or [Axis(1, (0,) * operands)]
    return axes[-1], axes[:-1]


def _call(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    """A C function on a row of operands; everything else is Python's."""
    plan = params.plan if isinstance(params, InARow) else None
    if plan is None or out.strides != (1,) or ins[0].strides != (1,):
        return False
    rows.work += out.size
    rows.emit(position, "call_pointer", Axis(1, (0, 0)), (), (out, ins[0]), params=plan)
    return True


def _fft(rows: Rows, position: int, op: str, out: View, ins: Operands, params: Hashable) -> bool:
    """Transforms one by one, but for those of one axis, which NumPy's loops take together."""
    (x,) = ins
    name = f"fft.{rows.dtype(x)}"
    if not rows.knows(name) or any(view.strides[-1] != 1 for view in (out, x)):
        return False
    n = out.shape[-2]
    rows.work += out.size * max(1, n.bit_length())
    axes = merge(_axes(out.shape[:-2], out.strides, x.strides))
    beside = axes.pop() if axes else Axis(1, (0, 0))
    distances = [stride * ITEM[rows.dtype(x)] for stride in beside.strides]
    row = Axis(n, (out.strides[-2], x.strides[-2]))
    rows.emit(position, name, row, axes, (out, x), params=(int(bool(params)), beside.extent, *distances))
    return True


_KERNELS: Final[dict[str, Callable[[Rows, int, str, View, Operands, Hashable], bool]]] = {
    "call": _call,
    "sum": _sum,
    "prod": _along_rows,
    "amax": _extremum,
    "amin": _extremum,
    "recurrence": _along_rows,
    "cumprod": _along_rows,
    "matmul": _matmul,
    "matmul_add": _matmul,
    "take": _take,
    "take_along": _take_along,
    "put": _put,
    "put_add": _put,
    "put_along_add": _put_along_add,
    "searchsorted": _searchsorted,
    "fft": _fft,
    "lu": _lu,
    "solve": _solve,
    "solve_triangular": _solve_triangular,
}
"""False: the kernel does not take these operands."""
