"""Functions of matrices in scipy.linalg, and equations in matrices.

Each exists for real matrices as an operation. Of a complex one it is the function of the real matrix of twice the size, whose
blocks are real and imaginary part: all of these functions take conjugate matrices to conjugate ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy import linalg

from ...structured.functions import FUNCTIONS, is_real, of_matrix
from ..recorder import is_traced
from .complex_linalg import complex_matrix, embedded, halves
from .creation import concrete, recorder_of
from .elementwise import is_static
from .linalg import same_type, swapped
from .structured import as_float, structured

__all__ = ["COMPLEX_MATRIX_FUNCTIONS", "MATRIX_FUNCTIONS"]

Handler = Callable[..., Any]


def _function(name: str, *options: Any) -> Handler:
    """A function of a real matrix whose result is real."""

    def apply(a: Any) -> Any:
        rec = recorder_of((a,))
        matrix = as_float(rec, a)
        if not is_real(of_matrix(name, matrix.value, *options)):
            rec.fail(
                f"scipy.linalg.{FUNCTIONS[name].__name__} of a real matrix with eigenvalues on the negative real axis cannot "
                f"be traced: it jumps there",
                "Use a matrix without such eigenvalues",
            )
        return structured(rec, "matrix_function", matrix.shape, matrix, params=(name, *options))

    return apply


def _of_parts(function: Handler) -> Handler:
    """The same of a complex matrix."""

    def apply(a: Any) -> Any:
        matrix = complex_matrix(a)
        return halves(function(embedded(matrix))[..., : matrix.shape[-1]])

    return apply


def _power(A: Any, t: Any) -> Any:  # noqa: N803  # SciPy's name
    return _function("power", _exponent(t))(A)


def _complex_power(A: Any, t: Any) -> Any:  # noqa: N803
    return _of_parts(_function("power", _exponent(t)))(A)


def _exponent(t: Any) -> float:
    if is_traced(t) and not is_static(t):
        t.rec.fail(
            "scipy.linalg.fractional_matrix_power with an exponent that varies cannot be traced",
            "Write scipy.linalg.expm(t * scipy.linalg.logm(A))",
        )
    return float(concrete(t))


# ---------------------------------------------------------------------------------------------------- equations


def sylvester(a: Any, b: Any, q: Any) -> Any:
    """The solution x of a x + x b = q."""
    rec = recorder_of((a, b, q))
    operands = same_type(rec, a, b, q)
    return structured(rec, "solve_sylvester", operands[2].shape, *operands)


def _complex_sylvester(a: Any, b: Any, q: Any) -> Any:
    parts = [embedded(complex_matrix(x, a, b, q)) for x in (a, b, q)]
    return halves(sylvester(*parts)[..., : np.shape(concrete(q))[-1]])


def _lyapunov(solve: Handler) -> Handler:
    return lambda a, q: solve(a, np.conjugate(swapped(a)) if np.iscomplexobj(concrete(a)) else swapped(a), q)


def _discrete_lyapunov(a: Any, q: Any, method: str | None = None) -> Any:
    """The solution x of a x a^H - x + q = 0, as a linear system of all elements."""
    n = np.shape(concrete(q))[0]
    system = np.eye(n * n) - np.kron(a, np.conjugate(a))
    return np.linalg.solve(system, np.reshape(q, n * n)).reshape(n, n)


def _expm_frechet(A: Any, E: Any, method: Any = None, compute_expm: bool = True, check_finite: bool = True) -> Any:  # noqa: N803
    rec = recorder_of((A, E))
    matrix, direction = same_type(rec, A, E)
    change = structured(rec, "expm_frechet", matrix.shape, matrix, direction)
    return (structured(rec, "expm", matrix.shape, matrix), change) if compute_expm else change


def _sqrtm(a: Any) -> Any:
    rec = recorder_of((a,))
    matrix = as_float(rec, a)
    if not is_real(linalg.sqrtm(matrix.value)):
        rec.fail(
            "scipy.linalg.sqrtm of a real matrix with eigenvalues on the negative real axis cannot be traced: it jumps there",
            "Use a matrix without such eigenvalues",
        )
    return structured(rec, "sqrtm", matrix.shape, matrix)


def _schur(a: Any, *_: Any, **__: Any) -> Any:
    recorder_of((a,)).fail(
        "scipy.linalg.schur cannot be traced: the order of the eigenvalues and the form of the blocks are LAPACK's choice, so "
        "its factors are no smooth functions of the matrix",
        "Use np.linalg.eig, or what depends on the matrix itself, as logm, sqrtm, expm or solve_sylvester",
    )


_NAMED: Final[Mapping[Handler, Handler]] = {
    getattr(linalg, name): _function(name) for name in FUNCTIONS if name != "power"
}  # fmt: skip


def _of_first(function: Handler) -> Handler:
    """Without the options that only concern what SciPy prints."""
    return lambda A, *_, **__: function(A)  # noqa: N803  # SciPy's name


MATRIX_FUNCTIONS: Final[Mapping[Handler, Handler]] = {
    **{function: _of_first(made) for function, made in _NAMED.items()},
    linalg.fractional_matrix_power: _power, linalg.sqrtm: _of_first(_sqrtm),
    linalg.expm_frechet: _expm_frechet,
    linalg.solve_sylvester: sylvester, linalg.solve_continuous_lyapunov: _lyapunov(sylvester),
    linalg.solve_discrete_lyapunov: _discrete_lyapunov, linalg.schur: _schur,
}  # fmt: skip

COMPLEX_MATRIX_FUNCTIONS: Final[Mapping[Handler, Handler]] = {
    **{function: _of_first(_of_parts(made)) for function, made in _NAMED.items()},
    linalg.fractional_matrix_power: _complex_power, linalg.sqrtm: _of_first(_of_parts(_sqrtm)),
    linalg.solve_sylvester: _complex_sylvester, linalg.solve_continuous_lyapunov: _lyapunov(_complex_sylvester),
    linalg.solve_discrete_lyapunov: _discrete_lyapunov, linalg.schur: _schur,
}  # fmt: skip
