"""Views, indices, assignments and in-place operators: what is a view, what a value, what a copy."""

import numpy as np
import pytest

VECTOR = np.array([0.3, -1.2, 2.5, 0.7, -0.4, 1.9])
MATRIX = np.arange(12.0).reshape(3, 4) / 7 + 0.1
CUBE = np.arange(24.0).reshape(2, 3, 4) / 5 + 0.2


def reads_a_value(x):
    a = x[0]
    x[0] = 5.0
    x[1] = a


def reads_a_view(x):
    a = x[:1]
    x[0] = 5.0
    x[1] = a[0]


def negative_indices(x):
    x[-1] = x[-2] * x[1]
    x[1:-1] = x[-2:0:-1]


def steps(x):
    x[::2] = x[1::2] * 2
    x[::-1][0] = 7.0
    x[4:0:-2] += 1


def overlapping_slices(x):
    x[1:] = x[:-1]
    x[:-1] += x[1:]
    x[1:-1] = x[:-2] - 2 * x[1:-1] + x[2:]
    x[:] = x[::-1]


def operators_in_place(x):
    y = x[1:5]
    y += 1
    y -= x[0]
    y *= y
    y /= 3.0
    y **= 2
    x %= 5
    x //= 0.25
    x += x


def out_keyword(x):
    y = np.empty(6)
    np.multiply(x, 2, out=y)
    np.add(y, x, y)
    np.exp(y, out=x)
    np.sin(x[:3], out=x[3:])


def masked_out(x):
    np.sqrt(x, out=x, where=x > 0)


def masked_copyto(x):
    np.copyto(x, 0.5, where=x < 0)
    np.copyto(x[:2], x[2:4])


def masked_assignment(x):
    x[x < 0] = 0.0
    x[x > 2] = x[0]


def fills(x):
    x[2:4].fill(3.0)
    x[...] = x[0]
    x[0] = 2


def swap(x):
    x[0], x[1] = x[1], x[0]
    x[[2, 3]] = x[[3, 2]]


def fancy(x):
    index = np.array([3, 0, 3, -1])
    y = x[index]
    x[index] = y * [1.0, 2.0, 3.0, 4.0]
    x[[0, 0, 1]] = [7.0, 8.0, x[5]]
    return y, x[np.array([[0, 1], [2, 3]])], x[[True, False, True, False, True, False]]


def scatter_add(x):
    np.add.at(x, [0, 1, 0, 2], x[:4] * 2)
    np.subtract.at(x, np.array([5, 5]), 1.0)


def histogram(x):
    count = np.zeros(3)
    np.add.at(count, [0, 0, 2], 1.0)
    np.add.at(count, [1, 1, 0], x[:3])
    return count


def guarded_index(x):
    return x[x > 0], np.nonzero(x > 1)[0].size


def views_of_views(x):
    y = x[1:][::2][:2]
    z = y[::-1]
    z[0] = 3 * x[0]
    z += 1
    return y, z


def element_loop(x):
    total = 0.0
    for i in range(len(x)):
        x[i] += i
        total += x[i] * x[i - 1]
    return total


def iterates(x):
    total = 0.0
    for v in x:
        total = total + v * v
    a, b, *rest = x
    return total, a * b, rest


def zero_rank(x):
    y = x[2, ...]
    z = np.array(2.5)
    z += y
    y[...] = 9.0
    y += 1
    return z, z[()], z.item() + 1


def augmented_element(x):
    x[0] += 1
    x[1] -= x[0]
    x[2] *= x[1]
    x[3] /= 2
    x[4] **= 2


def lists(x):
    values = [x[0], x[1] * 2]
    values.append(3.0)
    y = np.array(values)
    z = np.array([[x[2], 1], [0, x[3]]])
    x[:3] = [x[5], 1, 2.0]
    return y, z, [v * 2 for v in x], list(x)


def whole_array_operations(x):
    return -x, abs(x), +x, x**2, 2**x, x // 0.3, x % 0.3, divmod(x, 0.7), x @ x, 1 / x, x < 0.5, ~(x < 0.5), (x > 0) & (x < 1)


def reflected_by_arrays(x):
    return WEIGHTS * x, WEIGHTS - x, np.float64(2) * x, np.float64(3) / x[0], WEIGHTS[0] * x[1], [1, 2, 3, 4, 5, 6] + x  # noqa: RUF005


WEIGHTS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

VECTOR_FUNCTIONS = [
    reads_a_value, reads_a_view, negative_indices, steps, overlapping_slices, operators_in_place, out_keyword, masked_out,
    masked_copyto, masked_assignment, fills, swap, fancy, scatter_add, histogram, guarded_index, views_of_views, element_loop,
    iterates, zero_rank, augmented_element, lists, whole_array_operations, reflected_by_arrays,
]  # fmt: skip


@pytest.mark.parametrize("f", VECTOR_FUNCTIONS, ids=lambda f: f.__name__)
def test_vector(replays, f):
    with np.errstate(all="ignore"):
        replays(f, VECTOR.copy())


@pytest.mark.parametrize("f", VECTOR_FUNCTIONS, ids=lambda f: f.__name__)
def test_strided_vector(replays, f):
    with np.errstate(all="ignore"):
        replays(f, np.repeat(VECTOR, 3)[::3])


def transposes(a):
    a.T[0] = a[:, 1]
    b = a.T[1:3].T
    b *= 2
    a[1:, :] -= a[:-1, :]
    return a.T @ a, np.swapaxes(a, 0, 1)[0], a.T.sum(0)


def reshapes(a):
    flat = a.reshape(-1)
    flat[2] = 9.0
    copied = a.T.reshape(-1)
    copied[0] = -1.0
    raveled = a.ravel()
    raveled[5] += 1
    again = a.flatten()
    again[0] = 100.0
    return copied, raveled.reshape(2, 2, 3), again, a.reshape((4, 3), order="F"), a.T.ravel()


def matrix_indices(a):
    a[1, 2] = a[0, -1] + a[-1, 0]
    a[0] = a[1]
    a[:, 1] = a[0, :3]
    a[[0, 2], [1, 3]] = [5.0, a[1, 1]]
    a[1:, [0, 2]] *= 2
    a[np.ix_([0, 2], [1, 3])] += 1
    a[a > 3] = 3
    a[None, 0, :, None][0, 1, 0] = 4.0
    return a[[2, 0]], a[:, [3, 0, 3]], a[1], a[..., 0], a[np.newaxis].shape, len(a), a.shape, a.size, a.ndim, a.dtype.name


def element_grid(a):
    n, m = a.shape
    b = np.zeros_like(a)
    for i in range(1, n - 1):
        for j in range(1, m - 1):
            b[i, j] = a[i - 1, j] + a[i + 1, j] + a[i, j - 1] + a[i, j + 1] - 4 * a[i, j]
    for row in b:
        row += 1
    return b


def attributes(a):
    a.T[...] = a.T * 2
    a.real = a + 1
    b = a.copy()
    b.shape = (4, 3)
    b.shape = -1
    b.flat = [1.0, 2.0, 3.0]
    return b, b.T


def diagonal(a):
    a.flat[:: a.shape[1] + 1] = 0.5
    a.flat[1] = 2.0
    return np.diag(a), a.diagonal(1), np.trace(a)


MATRIX_FUNCTIONS = [transposes, reshapes, matrix_indices, element_grid, attributes, diagonal]


@pytest.mark.parametrize("f", MATRIX_FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("order", ["C", "F", "strided", "reversed"])
def test_matrix(replays, f, order):
    layouts = {
        "C": MATRIX.copy(), "F": np.asfortranarray(MATRIX), "strided": np.repeat(MATRIX, 2, axis=1)[:, ::2],
        "reversed": MATRIX[::-1, ::-1].copy()[::-1, ::-1],
    }  # fmt: skip
    if f is diagonal and order != "C":
        pytest.skip("x.flat needs contiguous memory")
    replays(f, layouts[order])


def cube(a):
    a[1, 2, 3] = a[0, 0, 0]
    a[0, :, 1:3] *= a[1, :, ::2]
    a[..., -1] = a[..., 0]
    return a.transpose(2, 0, 1)[1:], a.sum(axis=(0, 2)), a[:, [0, 2], 1], a.reshape(6, 4)[::2].T


def test_three_axes(replays):
    replays(cube, CUBE.copy())


def test_results_keep_the_order_of_their_operands(replays):
    def f(a):
        b = np.exp(a.T)  # in Fortran order, so reshape copies
        c = b.reshape(-1)
        c[0] = 0.0
        return b, c

    replays(f, MATRIX.copy())


def test_an_integer_index_is_a_value_and_a_slice_a_view(replays):
    assert len(replays(reads_a_value, VECTOR.copy()).program) == 3


@pytest.mark.parametrize("f", [masked_assignment, masked_copyto], ids=lambda f: f.__name__)
def test_a_mask_that_varies_is_a_select_not_a_branch(replays, f):
    assert replays(f, VECTOR.copy(), at=(-VECTOR,)).guards == ()


def test_float32_and_integers_promote_as_in_numpy(replays):
    def f(x, n, flags):
        y = x * 2 + 0.5
        z = x * np.float64(2)
        k = n * 2 + n
        return y, z, k, n / 2, flags & (n > 1), n + x, n.sum(), flags.sum(), n[0] + 1, abs(-n), (n > 1).mean(), n * 0.5

    replays(f, np.array([1.5, 2.5], np.float32), np.array([1, 2]), np.array([True, False]))


def test_number_types(replays):
    def f(s, t, u):
        return s * 2, t * 2, u * 2, s * u, t / 3, np.exp(s), np.exp(t)

    replays(f, 1.5, np.float64(2.5), np.float32(0.5))


def test_read_only_array_raises_as_numpy(replays):
    x = VECTOR.copy()
    x.flags.writeable = False
    for f in (reads_a_value, operators_in_place, fills, out_keyword):
        with pytest.raises(ValueError, match="read-only"):
            replays(f, x)


@pytest.mark.parametrize("f", [
    lambda x: x[10], lambda x: x[0, 0], lambda x: x["a"], lambda x: x + np.zeros(4), lambda x: x.reshape(4),
    lambda x: x.__setitem__(9, x[0]), lambda x: x.__setitem__(slice(2), x), lambda x: bool(x), lambda x: len(x[0]),
    lambda x: x[0][0][0], lambda x: x @ np.ones(3), lambda x: x.no_such_thing, lambda x: np.stack([x, x[1:]]),
    lambda x: int(x), lambda x: x.__iadd__(np.zeros((2, 6))), lambda x: range(x[0]), lambda x: [0, 1][x[0]],
])  # fmt: skip
def test_errors_of_numpy_pass_unchanged(replays, f):
    with pytest.raises(Exception) as plain:  # noqa: PT011
        f(VECTOR.copy())
    with pytest.raises(type(plain.value)) as traced:
        replays(f, VECTOR.copy())
    assert type(traced.value) is type(plain.value)


def test_empty_arrays(replays):
    def f(x):
        y = x[3:3]
        y[:] = 1
        x[6:] = y
        return y, y.sum(), np.concatenate([y, x]), x[[]]

    replays(f, VECTOR.copy())


ORDERED = {
    "where": lambda a: np.where(a > 0.3, a, -a),
    "picked": lambda a: a[:, [0, 0]],
    "taken": lambda a: np.take(a, [1, 0], 1),
    "zeros_like": np.zeros_like,
    "ones_like": np.ones_like,
    "full_like": lambda a: np.full_like(a, a[0, 0]),
    "concatenate": lambda a: np.concatenate([a, a], axis=1),
    "stack": lambda a: np.stack([a, a]),
    "exp": lambda a: np.exp(a) * 2,
}


@pytest.mark.parametrize("order", ["C", "F", "reversed"])
@pytest.mark.parametrize("name", ORDERED)
def test_results_have_the_strides_that_numpy_gives_them(replays, name, order):
    def f(a):
        made = ORDERED[name](a)
        made.reshape(-1)[1] = 7.0  # reaches `made` if it is a view of it
        return made, made.strides

    replays(f, {"C": MATRIX.copy(), "F": np.asfortranarray(MATRIX), "reversed": MATRIX.copy()[::-1]}[order])
