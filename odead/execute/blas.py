"""Which kernel does a matrix product: BLAS where it can be handed the operands, or loops where BLAS is slow.

BLAS knows column-major matrices, whose rows are one element apart, and their transposes. It takes 3 us for the outer product
of 2400 and 2 numbers, 1.2 us for 2400 x 2 and 0.2 us for 2 x 700 times a vector; the loops of `_products.h` 0.3, 0.3 and 0.08.
It takes 0.33 us for 70 x 70 times a vector, the loops 0.20, 0.16 for the transpose, and 0.39 for two vectors in one pass over
the matrix; with 100 x 100, which the first level of the cache does not hold, 0.64, 0.55, 0.59 and 0.75.
"""

from typing import NamedTuple

__all__ = ["Product", "leading", "operand"]

_LARGEST = 2**31 - 1  # BLAS counts in 32 bits
_LEAST_WORK = 200  # multiplications, below which plain loops beat a call
_NARROW, _FEWEST = 8, 4  # columns and rows that the loops of `_products.h` know
_FEWEST_TERMS, _MOST_TERMS = 2, 32  # of a sum of outer products
_TALL, _WIDE = 4, 8  # rows and elements of a piece of a matrix in the loops that read it once for several vectors
_LONG = 32  # elements of a row for each of a few rows, from which on their loop beats BLAS

Strides = tuple[int, ...]


class Product(NamedTuple):
    """out (m, n) = x (m, k) @ y (k, n), with the strides of rows and columns in elements."""

    m: int
    n: int
    k: int
    out: Strides
    x: Strides
    y: Strides

    def transposed(self) -> "Product":
        """Return the same product as out.T = y.T @ x.T."""
        return Product(self.n, self.m, self.k, self.out[::-1], self.y[::-1], self.x[::-1])

    def narrow(self) -> tuple[str, tuple[int, ...]] | None:
        """Return the loop of `_products.h` and its parameters, None if there is none."""
        if self.k == 1 and (self.out[1] == 1 or self.n == 1):
            return "outer", (self.m, self.n, self.x[0], self.y[1], self.out[0])
        is_sum = _FEWEST_TERMS <= self.k <= _MOST_TERMS and self.x[0] == self.y[1] == self.out[1] == 1
        if is_sum and min(self.m, self.n) > _NARROW:
            return "outers", (self.m, self.n, self.k, self.x[1], self.y[0], self.out[0])
        if self.n == 1 and self.m >= _TALL and self.k >= _WIDE and self.x[1] == self.y[0] == 1 and self.out[0] == 1:
            return "matvec", (self.m, self.k, self.x[0])
        if self.n == 1 and self.k <= _NARROW and self.x[1] == 1:
            return "rows", (self.m, self.k, self.x[0], self.y[0], self.out[0])
        if self.n == 1 and self.m <= _FEWEST and self.x[0] == 1:
            return "columns", (self.k, self.m, self.x[1], self.y[0], self.out[0])
        if self.n == 1 and self.m >= _WIDE and self.k > _NARROW and self.x[0] == self.y[0] == self.out[0] == 1:
            return "turned", (self.k, self.m, self.x[1])
        if self.n == 1 and self.k <= _NARROW and self.x[0] == 1 and self.out[0] == 1:
            return "combination", (self.k, self.m, self.x[1], self.y[0], 1)
        if self.n == 1 and self.m <= min(_FEWEST, self.k // _LONG) and self.x[1] == self.y[0] == 1:
            return "dots", (self.m, self.k, self.x[0], 1, self.out[0])
        return None

    def call(self) -> tuple[str, tuple[int, ...]] | None:
        """Return the routine and the parameters of its kernel in `_structured.pyx`, None if the strides do not allow one."""
        if self.m * self.n * self.k < _LEAST_WORK or max(self.m, self.n, self.k, *self.out, *self.x, *self.y) > _LARGEST:
            return None
        return self._gemv() or self._gemm()

    def _gemv(self) -> tuple[str, tuple[int, ...]] | None:
        step_y = self.y[0] if self.k > 1 else 1
        step_out = self.out[0] if self.m > 1 else 1
        x = operand(self.m, self.k, self.x)
        if self.n != 1 or x is None or step_y < 1 or step_out < 1:
            return None
        leading, turned = x
        rows, columns = (self.k, self.m) if turned else (self.m, self.k)
        return "gemv", (rows, columns, leading, turned, step_y, step_out)

    def _gemm(self) -> tuple[str, tuple[int, ...]] | None:
        out = leading(self.m, self.n, self.out)
        x = operand(self.m, self.k, self.x)
        y = operand(self.k, self.n, self.y)
        if out is None or x is None or y is None:
            return None
        return "gemm", (self.m, self.n, self.k, x[0], y[0], out, x[1], y[1])


def operand(rows: int, columns: int, strides: Strides) -> tuple[int, bool] | None:
    """Leading dimension of a matrix, and whether BLAS has to transpose it."""
    straight = leading(rows, columns, strides)
    if straight is not None:
        return straight, False
    turned = leading(columns, rows, strides[::-1])
    return None if turned is None else (turned, True)


def leading(rows: int, columns: int, strides: Strides) -> int | None:
    """Distance of the columns of a column-major matrix in elements, None if it is not one."""
    if rows > 1 and strides[0] != 1:
        return None
    if columns == 1:
        return rows
    return strides[1] if strides[1] >= rows else None
