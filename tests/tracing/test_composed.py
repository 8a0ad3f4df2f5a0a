"""Functions of NumPy that are written with others, and einsum: values and derivatives against NumPy and differences."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import odead
from odead.derivatives.kernel import Kernel

X = np.array([0.31, 0.87, 0.44, 0.62])
A = np.array([[0.31, 0.87, 0.44, 0.62], [0.75, 0.22, 0.93, 0.51], [0.48, 0.66, 0.27, 0.84], [0.59, 0.38, 0.71, 0.26]])
HOLE = np.where(np.eye(4, k=1) > 0, np.nan, 0.0)


EINSUM = [
    ("ij,jk->ik", A, A), ("ij,kj->ki", A, A), ("i,ij,j", X, A, X), ("ij,jk,kl->il", A, A, A), ("ij,jk,k,i->", A, A, X, X),
    ("bij,bjk->bik", A.reshape(2, 2, 4), A.reshape(2, 4, 2)), ("ijk,ik->j", A.reshape(2, 2, 4), A[:2]), ("ij->ji", A),
    ("ij->", A), ("ii", A), ("ii->i", A), ("iij->j", A.reshape(2, 2, 4)), ("i,j->ij", X, X), ("ij,ij->i", A, A),
    ("ij,ij->", A, A), ("...ij,...jk->...ik", A.reshape(2, 2, 4), A), ("i...,i...", A, A), ("...j,jk", A, A), ("ij,jk", A, A),
]  # fmt: skip


@pytest.mark.parametrize("case", EINSUM, ids=lambda case: case[0])
def test_einsum(case: tuple[Any, ...]) -> None:
    subscripts, *operands = case
    found = odead.compile(lambda *xs: np.einsum(subscripts, *xs), *operands).primal(*operands)
    assert_allclose(found, np.einsum(subscripts, *operands), rtol=1e-14)
    odead.check_derivatives(lambda *xs: np.einsum(subscripts, *xs), *operands)


@pytest.mark.parametrize("case", [("ij,j", X, X), ("ij,jk", A[:2], A[:2]), ("i->j", X), ("i,j", X)], ids=lambda case: case[0])
def test_einsum_raises_what_numpy_raises(case: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"subscript|operand") as plain:
        np.einsum(*case)
    with pytest.raises(ValueError, match=r"subscript|operand") as traced:
        odead.gradient(lambda x: np.sum(np.einsum(case[0], *(x if y is case[1] else y for y in case[1:]))), case[1])
    assert str(traced.value) == str(plain.value)


def test_einsum_with_lists_of_axes_out_and_integers() -> None:
    def f(a: Any) -> Any:
        out = np.zeros((4, 4))
        np.einsum(a, [0, 1], a, [1, 2], [0, 2], out=out)
        return out + np.einsum(a, [0, Ellipsis], [Ellipsis, 0]) + np.einsum("ij,j->i", a, np.arange(4))

    assert_allclose(odead.compile(f, A).primal(A), A @ A + A.T + A @ np.arange(4), rtol=1e-14)
    odead.check_derivatives(f, A)


def test_einsum_of_two_operands_is_a_matrix_product() -> None:
    program = Kernel(lambda a, b: np.einsum("ijk,jkl->il", a, b), (np.ones((4, 2, 3)), np.ones((2, 3, 5)))).program
    assert program.op.count("matmul") == 1
    assert "mul" not in program.op


FUNCTIONS = {
    "nanmean": lambda a: np.nanmean(a + HOLE),
    "nanmean axis": lambda a: np.nanmean(a + HOLE, axis=0),
    "nanvar": lambda a: np.nanvar(a + HOLE, axis=1, ddof=1),
    "nanstd": lambda a: np.nanstd(a + HOLE, axis=0, keepdims=True),
    "ediff1d": lambda a: np.ediff1d(a, to_end=a[0], to_begin=3.0),
    "vecdot": lambda a: np.vecdot(a, a[::-1]),
    "correlate": lambda a: np.correlate(a[0], a[1, :2]),
    "correlate same": lambda a: np.correlate(a[0], a[1, :2], "same"),
    "correlate of a shorter one": lambda a: np.correlate(a[0, :2], a[1], "full"),
    "correlate of a shorter one, same": lambda a: np.correlate(a[0, :3], a[1], "same"),
    "choose": lambda a: np.choose([0, 2, 1, 0], [a, a**2, a[0]]),
    "diagflat": lambda a: np.diagflat(a[:2], 1),
    "compress": lambda a: np.compress([True, False, True], a, axis=1),
    "bincount": lambda a: np.bincount(np.array([0, 2, 2, 1]), a[0] ** 2, 6),
    "apply_along_axis": lambda a: np.apply_along_axis(lambda row: row[:3] * row[0], 0, a),
    "apply_along_axis to numbers": lambda a: np.apply_along_axis(lambda row: (row**2).sum(), 1, a),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    f = FUNCTIONS[name]
    assert_allclose(odead.compile(f, A).primal(A), f(A.copy()), rtol=1e-13)
    odead.check_derivatives(f, A)


def test_putmask() -> None:
    def f(a: Any) -> Any:
        b = a**3
        np.putmask(b, a > 0.5, a)
        return b

    assert_allclose(odead.compile(f, A).primal(A), np.where(A > 0.5, A, A**3))
    odead.check_derivatives(f, A)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: sum(a * b for a, b in np.broadcast(A, x)),
        lambda x: np.array([a * b for a, b in np.broadcast(x[:, None], x)]),
        lambda x: np.mean(A * x, axis=0, where=A > 0.5) + np.std(A * x, axis=1, where=A > 0.4),
        lambda x: np.mean(x, where=x > 0.4) * np.var(x, mean=np.mean(x)),
        lambda x: np.arange(x[0], x[0] + 1.0, 0.3),
        lambda x: x[1:].base * x,
    ],
)
def test_derivatives_of_what_iterates_counts_and_starts(f: Any) -> None:
    odead.check_derivatives(f, X)


def test_how_long_a_range_is_is_guarded() -> None:
    def f(p: Any) -> Any:
        return np.sum(np.arange(0.0, p[0], p[1]) ** 2)

    for p in np.array([[1.0, 0.3], [1.0, 0.24], [2.0, 0.3], [1.0, 0.3]]):
        grid = np.arange(0.0, p[0], p[1])
        assert_allclose(odead.value_and_gradient(f, p)[0], np.sum(grid**2), rtol=1e-15)
        assert_allclose(odead.gradient(f, p), [0.0, 2 * np.sum(grid * grid) / p[1]])


@pytest.mark.parametrize("name", ["mean", "var", "std", "nanmean", "nanvar", "nanstd"])
@pytest.mark.parametrize("where", [False, True])
def test_statistics_of_single_precision_stay_single(name, where):
    if where and name.startswith("nan"):
        pytest.skip("their masks are other functions")
    x = (np.arange(12.0).reshape(3, 4) ** 1.5).astype(np.float32)

    def f(x):
        return getattr(np, name)(x, axis=1, **({"where": x > 3} if where else {}))

    expected = f(x + 4)
    found = odead.compile(f, x + 4).primal(x + 4)
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
