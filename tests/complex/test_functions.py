"""NumPy's functions and in-place forms on complex arrays, against plain calls and their differences, in every mode.

A row is the body of a function of z, w (complex vectors), x (a real one) and p (a real number); it may return or write.
"""

import cmath
import math
import warnings
from typing import Any, Final

import numpy as np
import pytest

import odead

ROWS: Final = """
return z.sum() * w
return np.sum(z, axis=0)
return z.mean() * w
return z.prod()
return np.cumsum(z) * w
return np.cumprod(z)
return np.dot(z, w)
return z @ w
return np.vdot(z, w)
return np.outer(z, w)
return np.outer(z, w) @ z
return np.inner(z, w)
return np.einsum('i,i->', z, w)
return np.einsum('i,j->ij', z, x)
return np.tensordot(z, w, 1)
return np.kron(z, w)
return np.convolve(z, w)
return np.cross(z[:3], w[:3])
return np.var(z)
return np.std(z) * w
return np.linalg.norm(z) * w
return np.linalg.norm(z, 1)
return np.diff(z) * w[1:]
return np.roll(z, 1) * w
return np.roll(z, -2)
return np.flip(z) - w
return np.take(z, [0, 2, 0]) * w[:3]
return z[[0, 2, 2]] * p
return z[np.array([True, False, True, True])]
return z.repeat(2) * np.tile(w, 2)
return np.pad(z, (1, 2))
return np.concatenate([z, w, x])
return np.stack([z, w], axis=1)
return np.vstack([z, x])
return np.hstack([z, w])
return np.where(x > 0, z, w)
return np.where(x > 0, z, p)
return np.where(z == w, 1j, z*w)
return np.array([z[0], p, 1j, x[1]])
return np.array([z, w]).sum(axis=0)
return z.reshape(2, 2).T @ w.reshape(2, 2)
return np.trace(z.reshape(2,2))
return np.linalg.solve(np.outer(z, w) + np.eye(4), w)
return np.linalg.inv(np.outer(z, w) + np.eye(4))
return z.conj() * w
return np.conj(z) * 1j
return z.real * w.imag
return np.angle(z) * w
return abs(z) ** 2
return z ** 3
return z ** -2
return z ** 0.5
return z ** w
return 2 ** z
return z * x + p
return x / z
return x + 1j * p
return np.exp(1j * x)
return (x * 1j).imag
return x.astype(complex) * z
return np.zeros_like(z) + w
return np.ones_like(x, dtype=complex) * z
return np.full(4, z[0])
return np.asarray(z)[1:] * w[:-1]
return z.copy() * w
return complex(x[0], p) * z
return complex(x[0]) * z
return cmath.exp(z[0]) * cmath.sqrt(w[1])
return z[0] * w[1] / z[2]
return (z[0] ** 2).real
return abs(z[0] - w[1])
return np.polyval(z, 2.0)
return np.trapezoid(z)
return np.gradient(z)
return np.meshgrid(z, w)[0]
return np.add.reduce(z)
return np.multiply.outer(z, w)
return np.atleast_2d(z).T * w
return z[..., None] * w
return z.flatten() + w.ravel()
return np.squeeze(z[None])
return np.broadcast_to(z, (2, 4)) * w
return np.real(z) + np.imag(w)
return np.nan_to_num(x) * z
return np.split(z, 2)[1] * p
return np.real_if_close(z) * w
return np.interp(p, np.sort(x), x) * z
return max(abs(z[0]), abs(w[0])) * z
return sum(z)
return np.linalg.norm(z.reshape(2,2))
z[1:] = z[:-1]
z[:] = z[::-1]
z *= w
z += x
z *= 1j
z -= z[::-1]
z[:] = z.conj()
np.conjugate(z, out=z)
np.multiply(z, w, out=z)
np.multiply(x, p, out=z)
np.abs(z, out=x)
z.real[:] = x
z.imag = z.real
z.real *= 2
z[x > 0] = 1j
z[x > 0] *= w[x > 0]
z[[0, 2]] = w[:2]
z[1] = w[0] * z[1]
z[2] = x[2]
z[:] = 0
z.fill(p)
z[::2] = w[1::2]
x[:] = z.real * w.imag
z[1], z[2] = z[2], z[1]
z[:], w[:] = w.copy(), z.copy()
np.copyto(z, w, where=x > 0)
v = z.view(float); v *= 2
v = z[1:3]; v[:] = w[:2]; w[0] = v[1]
z.reshape(2, 2)[0] = w[:2]
z.T[:2] *= p
z /= w
z **= 2
for k in range(1, 4): z[k] = z[k - 1] * z[k]
u = np.zeros(4, complex); u[1:] = z[:-1]; u[0] = x[0]; w[:] = u
u = np.empty(4, dtype=np.complex128); u.real = x; u.imag = x * 2; return u
u = np.zeros(4); u[:] = z.real; return u * w
z[0] += p
z.flat[1:3] = w[:2]
z[np.newaxis, :][0, 1:] = 5
"""


def function(row: str) -> Any:
    names: dict[str, Any] = {"np": np, "cmath": cmath}
    body = row.replace("; ", "\n    ")
    exec(f"def f(z, w, x, p):\n    {body}\n", names)
    return names["f"]


@pytest.mark.parametrize("row", ROWS.strip().splitlines())
def test_function(row: str) -> None:
    rng = np.random.default_rng(1)
    z, w = (rng.normal(size=4) + 1j * rng.normal(size=4) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        odead.check_derivatives(function(row), z, w, np.array([0.5, -0.7, 1.3, 0.9]), 0.8, entries=2)


@pytest.mark.parametrize("row", ["z *= w", "z[1:] = z[:-1]", "z.real[:] = z.imag", "return z.reshape(-1) * 2", "return z.T"])
@pytest.mark.parametrize("layout", ["F", "strided", "reversed"])
def test_layouts(row: str, layout: str) -> None:
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(4, 6)) + 1j * rng.normal(size=(4, 6))
    z = {"F": np.asfortranarray(matrix[:, :3]), "strided": matrix[:, ::2], "reversed": matrix[::-1, :3]}[layout]
    body = function(row)
    odead.check_derivatives(lambda z, w: body(z, w, None, None), z, matrix[:, 3:].copy(), entries=2)


@pytest.mark.parametrize("name", ["sqrt", "sin", "isnan", "hypot", "floor", "ceil", "trunc", "fsum", "isclose", "modf"])
@pytest.mark.parametrize("kind", [complex, np.complex128])
def test_functions_of_math_do_with_complex_numbers_what_they_do_outside(name: str, kind: type) -> None:
    """They take NumPy's number without its imaginary part, with a warning, and refuse Python's."""

    def f(z: Any) -> Any:
        own, w = getattr(math, name), kind(z)
        return own([w, 1.0]) if name == "fsum" else own(w, 2.0) if name in ("hypot", "isclose") else own(w)

    z = np.complex128(1.3 + 0.4j)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        try:
            expected = f(z)
        except TypeError:
            with pytest.raises(TypeError):
                odead.jvp(f, (z,), (1j,))
        else:
            value, tangent = odead.jvp(f, (z,), (1j,))
            assert value == expected
            assert not np.any(tangent)
            by_x = odead.jvp(lambda x: f(x + 0.4j), (1.3,), (1.0,))[1]
            assert by_x is None or np.isclose(np.sum(by_x), np.sum(odead.jvp(f, (1.3,), (1.0,))[1]))
