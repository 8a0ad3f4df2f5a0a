"""NumPy's functions that are no ufuncs, as users call them: by the law, in several layouts and both precisions.

A row is the body of a function of x, y (vectors or matrices of one shape) and p (a number); it may return or write.
"""

import random
from typing import Final

import numpy as np
import pytest

import odead
from law.law import Trial
from law.listing import Argument, Listing

VECTOR: Final = """
return x.sum() * y
return np.sum(x * y)
return np.mean(x) * y
return x.prod() + y.prod()
return np.max(x) * y
return np.min(x * y)
return np.cumsum(x) * y
return np.cumprod(x * y)
return np.dot(x, y)
return x @ y
return np.outer(x, y)
return np.inner(x, y)
return np.vdot(x, y)
return np.convolve(x, y)
return np.var(x) * y
return np.std(x) * y
return np.ptp(x) * y
return np.diff(x) * y[1:]
return np.roll(x, 2) * y
return np.flip(x) - y
return np.sort(x) * y
return x[np.argsort(y)]
return np.take(x, [0, 2, 0]) * y[:3]
return x.repeat(2) * np.tile(y, 2)
return np.pad(x, (1, 2))
return np.concatenate([x, y, x])
return np.stack([x, y], axis=1)
return np.vstack([x, y])
return np.hstack([x, y])
return np.append(x, y)
return np.where(x > y, x, y * p)
return np.clip(x, -0.5, 0.5) * y
return np.select([x > 0.5, x > 0], [x * y, y], x)
return np.piecewise(x, [x < 0, x >= 0], [lambda u: u * u, lambda u: p * u])
return np.interp(p, np.sort(x), y)
return np.polyval(x, p)
return np.trapezoid(x * y, dx=0.5)
return np.gradient(x * y)
return np.linalg.norm(x) * y
return np.einsum('i,i->', x, y)
return np.tensordot(x, y, 1)
return np.kron(x, y)
return np.add.reduce(x * y)
return np.add.accumulate(x) * y
return np.multiply.outer(x, y)
return np.maximum.reduce(x * y)
return np.diag(x) @ y
return np.vander(x, 3)
return np.split(x, 2)[1] * p
return np.atleast_2d(x).T * y
return np.broadcast_to(x, (2, 4)) * y
return np.full_like(x, p) * y
return np.linspace(x[0], p, 4) * y
return np.cross(x[:3], y[1:])
return np.array([x[0], p, y[1] * p])
return np.array([x, y]).sum(axis=0)
return np.asarray(x)[1:] * y[:-1]
return x.copy() * y
return np.nansum(x) * y
return np.average(x, weights=np.abs(y) + 1)
return np.copysign(x, y)
return np.round(x, 1) * y
return np.median(x) * y
return np.argmax(x) * y
return np.count_nonzero(x > 0) * y
return np.any(x > 0) * y
return np.meshgrid(x, y)[1] * p
return np.squeeze(x[None]) * y
return np.expand_dims(x, 0) * y
return np.moveaxis(x[:, None] * y, 0, 1)
return np.logaddexp.reduce(x) * y
x[1:] = x[:-1]
x[:-1] += x[1:]
x[::2] *= y[1::2]
x[[0, 0, 2]] += y[:3]
np.add.at(x, [0, 0, 2], y[:3])
x[x > 0] = p
x[x > 0] *= y[x > 0]
np.copyto(x, y * p, where=x > 0)
np.cumsum(y, out=x)
np.sum(x, out=y[:1].reshape(()))
x.sort()
x.fill(p)
x[:], y[:] = y.copy(), x.copy()
x[...] = p
x.flat[1:3] = y[:2]
x += x[::-1]
np.multiply(x, x[::-1], out=x)
np.clip(x, -0.3, p, out=x)
np.take(y, [3, 2, 1, 0], out=x)
np.concatenate([y[2:], x[:2]], out=x)
return np.nanmedian(x) * y
return np.insert(x, 1, p) * p
return np.insert(x, [1, 2, 2], y[:3]) * p
return np.delete(x, [0, 2]) * p
return np.r_[x, p, y[1:]]
return np.r_[0:1:3j, x] * p
return np.c_[x, y] * p
return np.add.reduceat(x, [0, 2]) * p
return np.multiply.reduceat(x, [0, 2, 1]) * p
return np.subtract.reduce(x) * y
return np.divide.reduce(np.abs(x) + 1) * y
return np.subtract.accumulate(x) * y
return np.vectorize(lambda a, b: a * b if a > b else b)(x, y)
return np.vectorize(lambda a, b: (a @ b) * p, signature='(n),(n)->()')(x, y)
return np.vectorize(lambda a, s: a * s, excluded=['s'])(x, s=p)
return np.vectorize(lambda a: (a * a, a + p))(x)[1] * y
return np.choose(x > 0, [x, y]) * p
return np.unique(x) * p
return np.unique(x, return_inverse=True)[0][np.unique(x, return_inverse=True)[1]] * y
return x[np.lexsort((y, x))] * y
return np.histogram(x, bins=[-2, 0, 2], weights=y)[0] * p
return np.polymul(x, y) * p
return np.polyfit([0.0, 1, 2, 3], x, 2) * p
return np.matvec(np.ones((3, 4)), x) * p
return np.linalg.multi_dot([x, np.eye(4), y]) * p
for k, v in np.ndenumerate(x): y[k] = v * v
for k in np.ndindex(x.shape): y[k] = x[k] * p
for v in np.nditer(x, op_flags=['readwrite']): v[...] = p * v
for u, v in np.nditer([x, y], op_flags=['readwrite']): u[...] += u * v
np.put(x, [0, 2, 0], y[:2])
x.put([-1], p)
np.place(x, x > 0, y[:2])
np.putmask(x, x > 0, y)
np.putmask(x, x > 0, [p, 2 * p])
np.multiply.at(x, [0, 0, 2], y[:3])
np.divide.at(x, [3, 3], p)
np.negative.at(x, [0, 2, 0])
np.put_along_axis(x, np.array([1, 3]), y[:2], 0)
"""
MATRIX: Final = """
return x.sum(axis=0) * p
return x.sum(axis=1, keepdims=True) * y
return np.sum(x, axis=(0, 1)) * y
return x.mean(axis=-1)
return np.max(x, axis=0) * y
return x.min(axis=1)
return x.prod(axis=0)
return np.cumsum(x, axis=1) * y
return np.cumprod(x, axis=0)
return x @ y.T
return x.T @ y
return np.dot(x.T, y)
return np.matmul(x, y.T)
return x.T * y.T
return np.transpose(x) @ y
return x.reshape(-1) * y.ravel()
return x.reshape(3, 2, order='F') * p
return x.flatten('F') * y.ravel()
return x.swapaxes(0, 1) * p
return np.trace(x) * y
return x.diagonal() * p
return np.einsum('ij,ij->i', x, y)
return np.einsum('ij,kj', x, y)
return np.tensordot(x, y, 2)
return np.roll(x, 1, axis=0) * y
return np.flip(x, 1) * y
return np.rot90(x) * p
return np.sort(x, axis=1) * y
return np.diff(x, axis=0) * p
return np.concatenate([x, y], axis=1)
return np.stack([x, y], axis=-1)
return np.dstack([x, y])
return np.block([[x, y], [y, x]])
return np.tile(x, (2, 1)) * p
return np.repeat(x, 2, axis=1) * p
return np.pad(x, 1)
return np.var(x, axis=0)
return np.std(x, axis=1)
return np.take(x, [1, 0], axis=0) * y
return np.take_along_axis(x, np.argsort(y, axis=1), 1)
return x[[0, 1, 1], [2, 0, 0]] * p
return x[:, [0, 0]] * p
return x[np.ix_([1, 0], [0, 2])]
return np.linalg.norm(x) * y
return np.linalg.norm(x, axis=1)
return np.tril(x) * y
return np.triu(x, 1) * y
return np.linalg.solve(x[:, :2] + 4 * np.eye(2), y)
return np.linalg.inv(x[:, :2] + 4 * np.eye(2))
return np.linalg.det(x[:, :2] + 4 * np.eye(2)) * y
return np.kron(x, y[:1])
return np.array_split(x, 2, axis=1)[0] * p
return np.outer(x, y[0])
x[0] = x[1]
x[:, 1:] = x[:, :-1]
x.T[0] += p
x *= y[:1]
x[...] = y.reshape(2, 3)[::-1]
np.matmul(x, y.T @ x, out=x)
x.sort(axis=0)
np.add.at(x, ([0, 0], [1, 1]), p)
np.sum(x, axis=0, out=y[0])
x.ravel()[1] = p
x.reshape(-1)[::2] *= p
x[x > y] = p
for row in x: row += p
x[[1, 0]] = x
x.T[:] = y.T
np.cumsum(x, axis=1, out=x)
np.copyto(x[0], y[:, 0].sum())
return np.nanmedian(np.where(y > 1, np.nan, x), axis=1) * p
return np.insert(x, 1, y[:, 0], axis=1) * p
return np.insert(x, [0, 2], p, axis=0) * p
return np.vectorize(lambda row: row * row.sum(), signature='(n)->(n)')(x) * y
return np.apply_along_axis(lambda row: row * row.sum(), 0, x) * p
return np.apply_over_axes(np.sum, x, [0, 1]) * p
return np.add.reduceat(x, [0, 2], axis=1) * p
return np.add.reduceat(x, [1, 0], axis=0) * p
return np.linalg.multi_dot([x, y.T, x]) * p
return np.linalg.matrix_power(x[:, :2] + 3 * np.eye(2), -2) * p
np.multiply.at(x, ([0, 0], [1, 1]), p)
np.put_along_axis(x, np.array([[1], [0]]), p, 1)
np.fill_diagonal(x, p)
np.put(x, [1, 4], y[0, :2])
"""
ROWS: Final = [(row, shape) for rows, shape in ((VECTOR, (4,)), (MATRIX, (2, 3))) for row in rows.strip().splitlines()]
LAYOUTS: Final = {1: ("C", "strided", "reversed"), 2: ("C", "F", "transposed", "strided", "reversed")}


def listing(body: str, shape: tuple[int, ...], layouts: tuple[str, str]) -> Listing:
    text = f"import numpy as np\n\n\ndef f(x, y, p):\n    {body}\n"
    return Listing(
        text, (Argument("x", "array", shape, layouts[0]), Argument("y", "array", shape, layouts[1]), Argument("p", "number"))
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("body", "shape"), ROWS, ids=[row for row, _ in ROWS])
def test_function(body, shape, dtype):
    rng = random.Random(f"{body} {dtype}")
    numbers = np.random.default_rng(3)
    for layout in LAYOUTS[len(shape)]:
        trial = Trial(listing(body, shape, (layout, rng.choice(LAYOUTS[len(shape)]))), rng, dtype)
        for _ in range(2):
            x, y = numbers.uniform(-1.4, 1.4, (2, *shape)).astype(dtype)
            trial.at([x, y, float(numbers.uniform(0.1, 1.0))])


@pytest.mark.parametrize("body", ["x.setflags(write=True)", "return x.getfield('f8')", "return np.ma.masked_array(x)"])
def test_what_is_not_covered_raises(body):
    case = listing(body, (4,), ("C", "C"))
    with pytest.raises(odead.TracingError, match=r"listing\.py:5 in f: .*(cannot be traced|handed to code)"):
        Trial(case, random.Random(1)).at([np.ones(4), np.ones(4), 0.5])
