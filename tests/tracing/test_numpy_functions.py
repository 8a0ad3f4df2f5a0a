"""NumPy's functions, expression by expression."""
# ruff: noqa: E501  (a table of expressions)

import numpy as np
import pytest

from odead.derivatives.kernel import Kernel
from odead.ops import UFUNCS
from odead.tracing.trace import trace

X = np.array([0.3, -1.2, 2.5, 0.7, -0.4, 1.9])
A = np.arange(12.0).reshape(3, 4) / 7 + 0.1

EXPRESSIONS = """
np.sum(x); np.sum(a, axis=0); a.sum(1, keepdims=True); a.sum(axis=-1); np.add.reduce(a); np.sum([x[0], x[1]]); sum(x)
np.mean(a); a.mean(0); np.mean(x, keepdims=True); np.average(x); np.average(x, weights=abs(x)); np.var(a, axis=1); x.std(); np.std(x, ddof=1)
np.prod(x); a.prod(axis=0); np.max(x); a.max(axis=1); x.min(); np.minimum.reduce(a, axis=1); np.ptp(x); np.amax(a, axis=(0, 1))
np.cumsum(x); a.cumsum(axis=0); np.cumprod(a, axis=1); np.add.accumulate(x); np.any(x > 2); np.all(a > 0, axis=0); (x > 0).any()
np.dot(x, x); np.dot(a, x[:4]); a @ a.T; x[:3] @ a; np.inner(x, x); np.outer(x, x[:2]); np.vdot(x, x); np.matmul(a.T, a); x.dot(2.0)
np.dot(a.reshape(3, 2, 2), a[:2, :2]); a.reshape(3, 2, 2) @ a.reshape(3, 2, 2); np.kron(x[:2], x[:3]); np.tensordot(a, a, ([1], [1]))
np.einsum('ij,kj->ik', a, a); np.einsum('ij->j', a); np.einsum('i,i', x, x); np.einsum('ii->i', a[:, :3]); np.trace(a); np.linalg.norm(x)
np.linalg.norm(a, axis=1); np.cross(x[:3], x[3:]); np.multiply.outer(x, x); np.vander(x, 3); np.polyval([1.0, 2.0, 3.0], x)
np.concatenate([x, x[:2]]); np.concatenate((a, a), axis=1); np.stack([x, 2 * x]); np.vstack([x, x]); np.hstack([x, x]); np.column_stack([x, x])
np.stack([x, x], axis=-1); np.append(x, 3.0); np.block([[a, a], [a, a]]); np.tile(x, 2); np.repeat(x, 2); np.repeat(a, 2, axis=0)
np.roll(x, 1); np.roll(x, -2); np.roll(a, 1, axis=0); np.roll(a, 1); np.flip(x); a[::-1].T; np.rot90(a); np.fliplr(a); np.moveaxis(a, 0, 1)
np.expand_dims(x, 0); np.squeeze(x[None]); np.broadcast_to(x, (2, 6)) * 2; np.atleast_2d(x); np.atleast_1d(x[0]); np.transpose(a); np.ravel(a)
np.reshape(x, (2, 3)); np.split(x, 2); np.array_split(x, 4); np.hsplit(a, 2); np.diff(x); np.diff(a, axis=0); np.diff(x, n=2); np.gradient(x)
np.gradient(a, 0.5, axis=1); np.trapezoid(x); np.trapezoid(x, dx=0.1); np.meshgrid(x[:2], x[2:4]); np.tril(a); np.triu(a, 1); np.diag(x)
np.where(x > 0, x, 0.0); np.where(x > 0, 1, -1); np.where([True] * 6, x, 2); np.clip(x, -0.5, 1.5); x.clip(0); np.clip(x, None, x[0]); np.select([x > 1, x > 0], [x, 2 * x])
np.maximum(x, 0); np.minimum(x, x[::-1]); np.fmax(x, 0.1); np.heaviside(x, 0.5); np.sign(x); np.abs(x); np.fabs(x); np.absolute(a); np.hypot(x, 1)
np.round(x, 1); np.rint(x); x.round(); np.floor(x); np.ceil(x); np.trunc(x); np.fmod(x, 0.7); np.mod(x, 0.7); np.remainder(x, 0.7); np.floor_divide(x, 0.7)
np.square(x); np.reciprocal(x); np.power(abs(x), 1.5); np.float_power(abs(x), 2); np.sinc(x); np.deg2rad(x); np.degrees(x); np.nan_to_num(x); np.logaddexp2(x, 1)
np.isnan(x); np.isfinite(x).sum(); np.logical_and(x > 0, x < 1); np.logical_not(x > 0); np.count_nonzero(x > 0); np.isclose(x, x[::-1]); np.array_equal(x, x)
np.take(x, [0, 2]); np.take(a, 1, axis=1); x.take([5, 0]); np.argmax(x); x.argmin(); np.sort(x); np.interp(0.4 * x[0], [-1.0, 0.0, 1.0], [2.0, 3.0, 5.0])
np.interp(x, [-1.0, 0.0, 1.0], x[:3]); np.searchsorted([-1.0, 0.0, 1.0], x[0]); np.copy(x); np.array(x); np.asarray(x); np.asarray(x, dtype=np.float32); x.astype(int)
np.zeros_like(x) + x; np.ones_like(a) * a; np.full_like(x, x[0]); np.empty_like(x).fill(1); np.full(3, x[1]); np.full((2, 2), 7.0) * x[0]; np.linspace(0, x[2], 5)
np.linspace(x[0], x[2], 4, endpoint=False); np.linspace(0, 1, 6) * x; np.arange(6) * x; np.arange(0.0, 3.0, 0.5) + x; np.eye(6) @ x; np.identity(6) @ x; np.ones(6) - x
np.fromfunction(lambda i, j: i + j, (3, 4)) * a; np.array([x[0], 1.0]); np.array([[x[0]], [2]]); np.array((x, x)); np.float64(x[0]); np.float32(x[0]); np.size(x); np.shape(a)
np.ndim(a); np.isscalar(x[0]); np.result_type(x); np.iscomplexobj(x); np.real(x); x.real; x.conj(); x.imag; x.tolist(); x.item(2); x.copy(); x.squeeze(); a.swapaxes(0, 1)
np.lib.stride_tricks.sliding_window_view(x, 3) * 2; np.convolve(x, [1.0, 2.0]); np.convolve(x[:2], x, 'same'); np.convolve(x, x[:3], 'valid'); x.view() + 1; np.take([1.0, 2.0, 3.0], np.argsort(x)[:1] * 0); np.dot([1.0] * 6, x); np.outer([1.0, 2.0], x); np.argsort(x); x.argsort()[::-1]; np.median(x); np.delete(x, 2); np.broadcast_arrays(x, a[:, :1])[1] * 2; np.vectorize(lambda v: v * v)(x); np.vectorize(abs)(x[0])
np.mean(x, where=x > 0); a.mean(axis=1, where=a % 0.3 > 0.02); np.var(a, axis=0, where=a < 1.2); x.std(where=x > 0, ddof=1); np.var(a, axis=1, mean=np.mean(a, axis=1, keepdims=True), keepdims=True)
np.tile(x, int(x[2])); np.arange(int(x[2])) * x[0]; np.linspace(0, 1, int(x[2])) * x[0]; np.split(x, int(x[2])); np.triu(a, int(x[2])); np.delete(x, int(x[2])); np.moveaxis(a, int(x[5]), 0); np.r_[0:int(x[2])] * x[0]
np.arange(0.0, x[2], 0.3); np.arange(x[0], x[0] + 1, 0.3); np.arange(x[2]) * x[0]; np.arange(0, 1, x[0]); np.arange(x[0], 9, 2, dtype=np.float32); np.broadcast(a, x[:4]).shape
a[np.unravel_index(np.argmax(a), a.shape)] * x[0]; np.unravel_index(np.argsort(x)[:2], a.shape); x[np.ravel_multi_index((np.argmax(a[:, 0]), 1), (3, 2))]; [p * q for p, q in np.broadcast(a, x[:4])]; a[1:].base is None; a[1:].base * 2
np.divmod(x, 0.3); np.modf(x); np.linalg.norm(x, 2); np.copysign(x, -1); np.nansum(x); np.logaddexp(x, 0); np.logaddexp.reduce(x); np.exp2(x); np.cbrt(x); np.flatnonzero(x > 0)
""".strip()


@pytest.mark.parametrize("expression", [e.strip() for line in EXPRESSIONS.splitlines() for e in line.split("; ")])
def test_expression(replays, expression):
    replays(eval(f"lambda x, a: {expression}", {"np": np}), X.copy(), A.copy())


@pytest.mark.parametrize("name", sorted(UFUNCS))
def test_ufunc(replays, name):
    ufunc = getattr(np, name)
    if name == "where":
        pytest.skip("not a ufunc")
    operands = [np.array([0.3, 0.6, 0.8]), np.array([0.6, 0.5, 0.7])][: ufunc.nin]
    if name == "arccosh":
        operands = [operands[0] + 1]
    if "logical" in name:
        operands = [x > 0.5 for x in operands]
    replays(lambda *xs: ufunc(*xs), *operands)
    if "logical" not in name:
        replays(lambda *xs: ufunc(*xs), *(float(x[0]) for x in operands))
        replays(ufunc, *operands)


@pytest.mark.parametrize("name", ["erf", "erfc", "expit", "logit", "xlogy"])
def test_special_functions(replays, name):
    from scipy import special

    f = getattr(special, name)
    x = np.array([0.2, 0.5, 0.9])
    replays(lambda x: f(x) if name != "xlogy" else f(x, 2 * x), x)


def test_scratch_made_inside_is_not_recorded_until_it_varies():
    def f(x):
        table = np.linspace(0, 1, 5)
        weights = np.zeros((3, 3))
        np.fill_diagonal(weights, 2.0)
        inverse = np.linalg.inv(weights)  # of constants: NumPy itself
        return x * inverse[1, 1] * table[2]

    program = trace(f, (1.5,)).program
    assert program.op == ["mul", "mul", "copy"]


def test_views_of_scratch_alias_it(replays):
    def f(x):
        work = np.zeros(6)
        left, right = np.split(work, 2)
        left[:] = x[:3]
        np.flip(right)[0] = x[5]
        np.moveaxis(work.reshape(2, 3), 0, 1)[1] += 1
        window = np.lib.stride_tricks.sliding_window_view(work, 2)
        work[0] = x[1]
        return work, window.copy()

    replays(f, X.copy())


def test_a_buffer_that_is_overwritten_needs_no_initial_value():
    def f(x):
        out = np.empty(6)
        out[:] = x
        return out

    assert trace(f, (X.copy(),)).program.op == ["copy", "copy"]


def fills(program):
    """Positions of the instructions that fill a whole array from a constant."""
    return [k for k, (op, out, ins) in enumerate(zip(program.op, program.out, program.ins, strict=True))
            if op == "copy" and out.shape and ins[0].is_broadcast]  # fmt: skip


def test_a_fill_stands_where_the_array_was_made():
    def before(x):
        work = np.zeros(6)
        for i in range(6):
            work[i] = x[i] * 2
        return work

    def within(x):
        total = 0.0
        for i in range(4):
            pair = np.zeros(2)
            pair[0] = x[i]
            total = total + pair[1] + pair[0]
        return total

    made = trace(before, (X.copy(),)).program
    assert fills(made) == [0]  # not within the first iteration, which would differ from the others
    assert made.lines[made.line[0]].line == before.__code__.co_firstlineno + 1
    within_each = fills(trace(within, (X.copy(),)).program)
    steps = np.diff(within_each)
    assert len(within_each) == 4
    assert (steps == steps[0]).all()


def test_static_contents_written_before_they_vary(replays):
    def f(x):
        work = np.zeros(6)
        other = np.ones(6)
        work[1] = 3.0
        other[2:] = work[:4]
        y = x * other
        work[0] = y[0]
        work[2] = 5.0
        return work, other, y

    replays(f, X.copy())


def test_numpy_written_in_python_is_traced_at_the_users_line():
    recorded = trace(lambda x: np.gradient(x), (X.copy(),))
    assert {line.file for line in recorded.program.lines} == {__file__}


@pytest.mark.parametrize("mask", [False, np.array([True, False, False])])
def test_constants_written_under_a_constant_mask_leave_the_rest_as_it_is(mask):
    def f(x):
        np.add(0.5, 0.5, out=x, where=mask)

    kernel = Kernel(f, (np.zeros(3),))
    for value in (2.0, 5.0):
        expected, found = np.full(3, value), np.full(3, value)
        f(expected)
        kernel(found)
        np.testing.assert_array_equal(found, expected)
