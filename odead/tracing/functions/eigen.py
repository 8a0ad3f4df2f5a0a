"""Eigenvalues and eigenvectors of general matrices in np.linalg and scipy.linalg.

As in NumPy, those of a real matrix are real arrays where all eigenvalues are real, which is a branch of the recording. A matrix
with equal eigenvalues is refused: they are not differentiable there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from scipy import linalg

from ..traced.complexes import combined, is_complex
from .creation import as_traced, astype, concrete, recorder_of
from .linalg import hold
from .structured import as_float, part, structured

__all__ = ["EIGEN", "SCIPY_EIGEN", "refuse_options"]


class _Spectrum(NamedTuple):
    """Real and imaginary parts of eigenvalues and eigenvectors.

    Attributes
    ----------
    is_real : bool
        What NumPy returns.
    """

    is_real: bool
    values: tuple[Any, Any]
    vectors: tuple[Any, Any]

    def complex_values(self) -> Any:
        re, im = self.values
        return combined(re.rec, re, im, shape=re.shape)

    def numpy_values(self) -> Any:
        return self.values[0] if self.is_real else self.complex_values()

    def numpy_vectors(self) -> Any:
        re, im = self.vectors
        return re if self.is_real else combined(re.rec, re, im, shape=re.shape)


def _spectrum(a: Any) -> _Spectrum:
    rec = recorder_of((a,))
    given = as_traced(rec, a)
    single = given.dtype == np.float32
    if single and np.iscomplexobj(np.linalg.eigvals(given.value)):
        rec.fail("the eigenvalues of this float32 matrix are complex64, which cannot be traced", "Use a.astype(np.float64)")
    given = astype(given, np.float64) if single else given  # LAPACK's results are those of double precision, rounded
    operands = (given.real, given.imag) if is_complex(given) else (as_float(rec, given),)
    *lead, n, _ = given.shape
    pack = structured(rec, "eig", (*lead, 2 * n + 2 * n * n), *operands)
    re, im = part(pack, 0, (n,)), part(pack, n, (n,))
    _refuse_repeated(rec, re, im)
    vectors = part(pack, 2 * n, (n, n)), part(pack, 2 * n + n * n, (n, n))
    is_real = not is_complex(given) and bool((im == 0).all())
    if single:
        re, vectors = astype(re, np.float32), (astype(vectors[0], np.float32), vectors[1])
    return _Spectrum(is_real, (re, im), vectors)


def _refuse_repeated(rec: Any, re: Any, im: Any) -> None:
    n = re.shape[-1]
    squares = (re[..., :, None] - re[..., None, :]) ** 2 + (im[..., :, None] - im[..., None, :]) ** 2
    largest = (re**2 + im**2).max(-1)[..., None, None]
    distinct = (squares > (n * np.finfo(float).eps) ** 2 * largest) | np.eye(n, dtype=bool)
    if not np.all(concrete(distinct)):
        rec.fail(
            "the matrix has eigenvalues that are equal to rounding, where they have no derivatives",
            "Take what depends smoothly on the matrix, as its trace, determinant or exponential; for a symmetric matrix use "
            "np.linalg.eigvalsh",
        )
    hold(distinct)


def eigvals(a: Any) -> Any:
    np.linalg.eigvals(concrete(a))  # raises NumPy's own errors
    return _spectrum(a).numpy_values()


def eig(a: Any) -> Any:
    result = np.linalg.eig(concrete(a))
    spectrum = _spectrum(a)
    return type(result)(spectrum.numpy_values(), spectrum.numpy_vectors())


def _scipy_eigvals(a: Any, b: Any = None, *_: Any, homogeneous_eigvals: bool = False, **__: Any) -> Any:
    _refuse_pencil(a, b, homogeneous_eigvals)
    linalg.eigvals(concrete(a))
    return _spectrum(a).complex_values()


def _scipy_eig(
    a: Any, b: Any = None, left: bool = False, right: bool = True, *_: Any, homogeneous_eigvals: bool = False, **__: Any
) -> Any:
    _refuse_pencil(a, b, homogeneous_eigvals or left)
    linalg.eig(concrete(a))
    spectrum = _spectrum(a)
    return (spectrum.complex_values(), spectrum.numpy_vectors()) if right else spectrum.complex_values()


def refuse_options(a: Any, b: Any, options: Mapping[str, Any]) -> None:
    """Of `scipy.linalg.eigh`: parts of the spectrum."""
    if b is not None or any(options.get(name) is not None for name in ("subset_by_index", "subset_by_value")):
        recorder_of((a, b)).fail(
            "scipy.linalg.eigh with a subset, of another type=, or with b= of complex numbers, cannot be traced",
            "Ask for all eigenvalues, and take a slice",
        )
    if options.get("driver") not in (None, "evr"):
        recorder_of((a, b)).fail(
            f"scipy.linalg.eigh with driver={options['driver']!r} cannot be traced: its vectors have other signs",
            "Leave the driver out, or take np.linalg.eigh",
        )


def _refuse_pencil(a: Any, b: Any, other: bool) -> None:
    if b is not None or other:
        recorder_of((a, b)).fail(
            "scipy.linalg.eig and eigvals with b=, left= or homogeneous_eigvals= cannot be traced", "Use a and right= only"
        )


EIGEN: Final[Mapping[Any, Callable[..., Any]]] = {np.linalg.eig: eig, np.linalg.eigvals: eigvals}
SCIPY_EIGEN: Final[Mapping[Any, Callable[..., Any]]] = {linalg.eig: _scipy_eig, linalg.eigvals: _scipy_eigvals}
