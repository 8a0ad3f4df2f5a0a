"""Code as it stands in old scripts: forward, reverse and mutation against differences of the plain call."""

import bisect
import collections
import copy
import dataclasses
import functools
import heapq
import itertools
import logging
import math
import operator
import sys
import types
import warnings

import numpy as np
import pytest

import odead

DRAW = np.random.default_rng(1)
X, Y, A = DRAW.uniform(0.2, 0.9, 6), DRAW.uniform(0.2, 0.9, 6), DRAW.uniform(0.2, 0.9, (3, 4))
CASES = {}


def case(*args):
    def enter(f):
        CASES[f.__name__] = f, args
        return f

    return enter


# ------------------------------------------------------------------------------------------------ memory


@case(np.zeros(6), X)
def overlapping_slices(dx, x):
    dx[:] = x
    dx[1:] += dx[:-1]
    dx[:-1] *= dx[1:]


@case(X)
def exchanges(x):
    x[0], x[1] = x[1], x[0] * 2
    x[[2, 3]] = x[[3, 2]] * x[0]


@case(np.zeros((4, 3)), A)
def transposed_out(o, a):
    np.multiply(a, a, out=o.T)
    np.add(o[0], o[1], out=o[1])


@case(X, Y)
def masks(x, y):
    x[x > 0.5] = y[x > 0.5] ** 2
    x[(y > 0.4) & (y < 0.8)] += 1.5 * y[(y > 0.4) & (y < 0.8)]


@case(X, Y)
def copies_where(x, y):
    np.copyto(x, y * y, where=y > 0.5)
    np.copyto(x[1:], x[:-1])
    np.multiply(x, y, out=x, where=x > 0.5)


@case(np.zeros(()), np.zeros(3), A)
def sums_with_out(total, rows, a):
    a.sum(out=total)
    a.sum(axis=1, out=rows)
    np.cumsum(rows, out=rows)


@case(X, Y)
def out_that_overlaps(x, y):
    np.add(x[:-1], y[1:], out=x[1:])
    np.add(x, y, y)
    np.exp(y, y)


@case(A)
def flat_and_ravel(a):
    a.flat[::2] = a.flat[1::2] * 2
    a.ravel()[3] = a[0, 0] ** 2
    halves = a.reshape(2, 6)
    halves[0] *= halves[1]


@case(A)
def a_matrix_and_its_transpose(a):
    b = a[:3, :3]
    b += b.T
    b[:] = b @ b
    a.T[1] += a.T[0]


@case(np.arange(1.0, 13.0).reshape(4, 3))
def what_is_a_copy_for_the_sake_of_order(x):
    for order in "CFKA":
        w = np.asarray(x[::2, :], order=order)
        w *= 2
        v = np.array(x.T, order=order, copy=None)
        v *= 3
        z = x.astype(float, order=order, copy=False)
        z *= 1.5
    for w in (np.asfortranarray(x), np.require(x.T, requirements=["C"]), np.ascontiguousarray(x.T)):
        w *= 1.1


@case(np.array(2.5), X)
def arrays_without_axes(a, x):
    a[...] = a * x[0]
    a += x[1]
    a[()] *= 2
    x *= a


@case(np.zeros(0), X)
def arrays_without_elements(z, x):
    z *= 2
    z += x[:0]
    x[3:3] = z
    x *= 1 + z.sum()


@case(X, np.arange(6), np.array([True, False] * 3))
def integers_and_masks_as_arguments(x, k, mask):
    x[mask] *= 2
    x[~mask] += x[mask]
    return (x[k[::-1]] * (k // 2)).sum() + x[k % 2 == 0].sum() * x[k[2]] + (np.mod(k, 4) * x).sum() + ((k - 3) // -2) @ x


@case(X)
def views_of_views(x):
    v = x[::-1][1:5][::2].reshape(1, 2).T
    v *= v[::-1].copy()
    x[0] += v[0, 0]


@case(A)
def rows_and_columns(a):
    for column in a.T:
        column /= column.sum()
    for row in a:
        row[:] = np.sort(row)
    a[[0, 2], [1, 3]] *= a[[1, 1], [0, 0]]
    a[:, [0, 1]] = a[:, [1, 0]]


@case(A)
def compensated_summation(a):
    s, lost = a[0] * 0, a[0] * 0.0
    for row in a:
        y = row - lost
        t = s + y
        lost = (t - s) - y
        s = t
    return s


# ------------------------------------------------------------------------------------------------ Python


@case(X)
def prints_and_formats(x):
    text = f"{x[0]:.3f} {x} {x.sum()!r} %g %5d %s" % (x[2], x[3] * 10, x) + np.array2string(x)
    logging.getLogger(__name__).debug("x = %g", x[0])
    assert len(text) > 5
    return x.sum() ** 2


@case(X)
def builtins_on_traced_numbers(x):
    q, m = divmod(x[0] * 7, 0.3)
    whole = int(x[2] * 10) + round(x[5] * 10) + math.floor(x[5] * 10) + math.ceil(x[0] * 3) + math.trunc(x[3] * 5)
    return q * x[1] + m * m + x[2] % 0.1 + x[3] * 7 // 0.5 * x[1] + round(x[0], 1) + whole * x[3] + float(x[4]) ** 2


@case(X)
def functions_of_math(x):
    a, b = x[0], x[1]
    total = math.sqrt(a) + math.hypot(a, b, x[2]) + math.atan2(a, b) + math.pow(b, 1.5) + math.log(a, 3) + math.fsum([a, b])
    total += math.prod([a, b]) + math.copysign(a, -1) + math.erf(b) + math.lgamma(a + 1) + math.gamma(b + 2)
    return total + math.dist([a, b], [x[2], x[3]]) + math.fmod(x[4], 0.3) + math.degrees(a) + math.ldexp(b, 3)


@case(X)
def iterators(x):
    total = sum(i * v * v for i, v in enumerate(x)) + max(v for v in x) * min(x)
    for a, b in zip(x, reversed(x), strict=True):
        total = total * 0.5 + a * b
    total += sorted(x, key=lambda v: -v)[1] * 3 + max(x, key=lambda v: (v - 0.5) ** 2)
    total += list(itertools.accumulate(x, lambda a, b: a * b + b))[-1] + functools.reduce(operator.mul, x)
    return total + math.prod(filter(lambda v: v > 0.3, x)) + sum(itertools.starmap(operator.mul, itertools.pairwise(x)))


@case(X)
def containers_on_the_way(x):
    q = collections.deque(x, maxlen=4)
    q.append(x[0] * x[1])
    q.appendleft(x[2] ** 2)
    d = collections.defaultdict(float)
    for i, v in enumerate(q):
        d[i % 2] += v
    names = types.SimpleNamespace(**dict(zip("abcdef", x, strict=True)))
    y = list(x)
    del y[0]
    y.insert(0, y.pop() * 2)
    return d[0] * d[1] + names.a * names.f + sum(a * b for a, b in itertools.pairwise(y))


@case(X)
def comparisons(x):
    total = 0.0
    if 0 < x[0] < x[1] < 2 and x[0] not in (1.0, 2.0) and 0.5 not in x:
        total += x[0] * x[1]
    if (y := x[0] * 2) > 0.1 and (z := y * y) < 9:
        total += y * z
    assert np.isfinite(x).all()
    assert x.min() > 0, "negative"
    return total + (x[2] or x[3]) * (x[3] and x[4]) + bool(x[3]) * x[4] + (not x[5] > 5) * x[5]


@case(X, "cubic")
def matches(x, kind):
    match kind, (bool(x[0] > 0.1), x[1]):
        case "linear", _:
            return x.sum()
        case "cubic", (True, v):
            return (x**3).sum() * v
        case _:
            raise ValueError(kind)


@case(X)
def tries_indices(x):
    total = 0.0
    for i in range(10):
        try:
            total += x[i] * x[i + 1]
        except IndexError:
            total += 1.0
            break
    else:
        total = 0.0
    return total


@case(X)
def looks_up_and_bisects(x):
    grid = [0, 0.3, 0.6, 1.0]
    table = np.arange(10.0) ** 2
    smooth = table[int(x[0] * 10)] * x[1] + table[(x * 9).astype(int)] @ x + grid[bisect.bisect(grid, x[0])] * x[1]
    return smooth + heapq.nlargest(2, x)[1] * 3 + heapq.nsmallest(1, x)[0] ** 2


class Vector:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def __rmul__(self, k):
        return Vector(self.x * k, self.y * k)

    @property
    def length(self):
        return math.sqrt(self.x * self.x + self.y * self.y)


@dataclasses.dataclass
class State:
    scale: float
    field: np.ndarray


@case(X)
def classes_of_the_user(x):
    state = State(x[0], x[1:])
    other = dataclasses.replace(state, scale=state.scale * 2)
    state.field[0] *= other.scale
    return (2 * Vector(x[0], x[1]) + Vector(*x[2:4])).length * state.scale * other.field.sum()


@case(X)
def functions_inside(x):
    k = x[0] * 2

    def f(v, s=k):
        nonlocal k
        k = k * v
        return k + s

    @functools.lru_cache
    def product(n):
        return x[n] * (product(n - 1) if n else 1.0)

    def variadic(*values, weight=1.0, **named):
        return sum(values) * weight + named["z"]

    by_number = [lambda v, n=n: v * n for n in range(3)]
    total = sum(g(v) for g, v in zip(by_number, x, strict=False))
    return total + f(x[1]) + f(x[2]) + product(5) + variadic(*x, weight=x[0], z=x[1])


@case(X)
def warnings_and_versions(x):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        y = np.sqrt(x - 10.0)
    return np.nansum(y) + x.sum() * (2 if sys.version_info >= (3, 11) else 1)


@case(X)
def what_an_array_says_of_itself(x):
    assert isinstance(x, np.ndarray)
    assert isinstance(x[0], float)
    assert np.isscalar(x[0])
    assert np.issubdtype(x.dtype, np.floating)
    assert x.flags.writeable
    return x @ x + np.float64(x[0]) * np.float32(2.5) + np.int64(3) * x[2] + np.asarray(x[3]) * 2 + np.float64(3.0) ** x[5]


@case(X, [1.0, 2.0, 3.0])
def a_list_of_parameters(x, p):
    return p[0] * x[0] + p[-1] * sum(p) * x[1]


@case(X)
def arrays_of_objects(x):
    o = np.empty(2, object)
    o[0], o[1] = x, x[:2]
    return o[0].sum() * o[1].sum()


RECORDS = np.rec.array([(1.0, 2.0)] * 6, dtype=[("height", "f8"), ("speed", "f8")])


@case(X)
def records_outside(x):
    return (x * RECORDS.height).sum() + RECORDS["speed"][0] * x[1]


@case(X)
def text_as_code(x):
    names = {"x": x}
    exec("y = x[0] ** 2", names)
    return eval("x[0] * x[1]") + names["y"] + getattr(np, "sin")(x).sum()  # noqa: B009


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    f, args = CASES[name]
    odead.check_derivatives(f, *copy.deepcopy(args))
