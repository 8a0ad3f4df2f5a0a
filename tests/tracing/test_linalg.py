"""Linear algebra, sorting and tables: the program holds at other values, and its derivatives are right in all modes."""
# ruff: noqa: E501  (a table of expressions)

import numpy as np
import pytest

import odead

X = np.array([0.3, -1.2, 2.5, 0.7, -0.4, 1.9])
A = np.arange(12.0).reshape(3, 4) / 7 + np.cos(np.arange(12.0)).reshape(3, 4)
S = np.array([[4.0, 0.3, -1.0], [0.5, 3.0, 0.2], [0.1, -0.7, 2.0]])
B = np.stack([S, S.T + np.eye(3)])

EXPRESSIONS = """
np.max(a, axis=0); a.min(axis=1, keepdims=True); np.max(a, axis=(0, 1)); np.max(b, axis=(0, 2)); np.max(x, where=x > 0, initial=0.1); np.maximum.reduce(a)
np.prod(a, axis=0); np.prod(a, axis=(0, 1)); a.prod(axis=1, keepdims=True); np.prod(x, initial=2.0); np.prod(x, where=x > 0)
np.cumsum(x); np.cumsum(a); np.cumsum(a, axis=0); a.cumsum(axis=1); np.cumprod(x); np.cumprod(a, axis=0); np.add.accumulate(a, axis=1); np.maximum.accumulate(x)
np.sort(x); np.sort(a); np.sort(a, axis=0); np.sort(a, axis=None); a[np.argsort(a[:, 0])]; x[np.argsort(x)]; np.take_along_axis(a, np.argsort(a, axis=0), axis=0)
np.take_along_axis(a, np.array([[0, -1]]), axis=1); np.partition(x, 2)[2]; np.median(x); np.median(a, axis=0); np.median(a, axis=(0, 1)); np.median(a, axis=1, keepdims=True)
x[np.argmax(x)]; np.max(x) * np.argmin(x); np.percentile(x, 30); np.percentile(x, [10, 50, 100]); np.quantile(a, [0.2, 0.7], axis=1); np.quantile(a, 0.3, axis=(0, 1), keepdims=True); np.quantile(a, 0.25, axis=0); np.ptp(a, axis=1); np.argmax(a, axis=1) * x[:3]
np.interp(x, [-2.0, 0.1, 1.0, 3.0], x[:4]); np.interp(x, np.sort(x), x); np.interp(x[0], [0.0, 1.0], [2.0, 5.0]); np.interp(x, [0.0, 1.0], [2.0, 5.0], left=-1.0, right=x[2])
np.interp(x, [0.1, 0.5, 0.9], [2.0, 5.0, 3.0], period=1.5); np.diff(x); np.gradient(x); np.gradient(a, axis=0); np.trapezoid(a, axis=0); np.convolve(x, x[:3])
np.linalg.solve(s, s[0]); np.linalg.solve(s, a); np.linalg.solve(b, a); np.linalg.solve(b, s[:, :1]); np.linalg.solve(s.T, x[:3]); np.linalg.solve(2 * np.eye(3), x[:3])
np.linalg.inv(s); np.linalg.inv(b); np.linalg.det(s); np.linalg.det(b); np.linalg.slogdet(s)[1]; np.linalg.slogdet(b).logabsdet; np.linalg.slogdet(-s)[0] * x
np.linalg.cholesky(s @ s.T); np.linalg.cholesky(b @ b.transpose(0, 2, 1)); np.linalg.cholesky(s @ s.T, upper=True)
np.linalg.eigh(s)[0]; np.linalg.eigh(s).eigenvectors ** 2; np.linalg.eigh(s, 'U')[0]; np.linalg.eigvalsh(b); np.linalg.eigvalsh(np.eye(3) * x[0])
np.linalg.eigvals(s); np.linalg.eig(s)[0]; np.linalg.eig(s).eigenvectors ** 2; np.linalg.eigvals(b); abs(np.linalg.eigvals(s - 2 * s.T)) ** 2; np.roots(x[:4]).real; np.roots([1.0, x[0], x[1]])
np.linalg.svd(s)[1]; np.linalg.svd(a, full_matrices=False)[0] ** 2; np.linalg.svd(a.T, full_matrices=False).Vh ** 2; np.linalg.svd(a, compute_uv=False); np.linalg.svdvals(a)
np.linalg.qr(a.T)[0]; np.linalg.qr(a.T).R; np.linalg.qr(a).R; np.linalg.qr(s, 'r'); np.linalg.qr(b).Q; np.linalg.pinv(a); np.linalg.pinv(a.T); np.linalg.pinv(s, rcond=1e-3)
np.linalg.lstsq(a.T, x[:4])[0]; np.linalg.lstsq(a.T, x[:4])[1]; np.linalg.lstsq(a, x[:3])[0]; np.linalg.matrix_power(s, 3); np.linalg.matrix_power(s, -2); np.linalg.multi_dot([s, s, a])
np.linalg.norm(x); np.linalg.norm(x, 1); np.linalg.norm(x, np.inf); np.linalg.norm(x, -np.inf); np.linalg.norm(x, 3); np.linalg.norm(x, 0) * x[0]; np.linalg.norm(a); np.linalg.norm(a, 'fro')
np.linalg.norm(a, 1); np.linalg.norm(a, np.inf); np.linalg.norm(a, -1); np.linalg.norm(a, 2); np.linalg.norm(a, 'nuc'); np.linalg.norm(a, axis=0, keepdims=True); np.linalg.norm(b, 1, axis=(1, 2)); np.linalg.norm(b, np.inf, axis=(0, 2), keepdims=True)
np.einsum('ij,jk->ik', s, a); np.einsum('ij,ij->', a, a); np.einsum('bij,bjk->bik', b, b); np.tensordot(a, s, ([0], [1])); np.tensordot(s, a, 1); np.kron(s, a[:2, :2]); np.cross(x[:3], s); np.outer(x, a[0])
np.trace(s); np.diag(x); np.diag(s); np.diagonal(b, 0, 1, 2); np.tril(s); np.triu(s, 1); np.vdot(s, s); np.inner(a, a); np.linalg.cond(s)
""".strip()


def functions():
    return [e.strip() for line in EXPRESSIONS.splitlines() for e in line.split("; ")]


@pytest.mark.parametrize("expression", functions())
def test_expression(replays, expression):
    replays(eval(f"lambda x, a, s, b: {expression}", {"np": np}), X.copy(), A.copy(), S.copy(), B.copy())


@pytest.mark.parametrize("expression", functions())
def test_derivatives(expression):
    f = eval(f"lambda x, a, s, b: np.sum(np.sin({expression}))", {"np": np})
    odead.check_derivatives(f, X.copy(), A.copy(), S.copy(), B.copy())
