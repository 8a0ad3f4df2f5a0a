"""Functions of matrices as SciPy has them: logarithm, trigonometric and hyperbolic functions, sign, real powers.

The derivative of f at a in the direction e is the upper right block of f([[a, e], [0, a]]), whatever the analytic f, so its
own derivatives are those of matrices of twice the size. The adjoint is the derivative at the transpose.

References
----------
N. J. Higham, "Functions of Matrices", 2008, sections 3.1 and 3.2 (theorem 3.6).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy import linalg

from ..views import View
from .base import AbstractStructured, Accumulate, Site
from .expression import Term, block

__all__ = ["FUNCTIONS", "MatrixFunction", "is_real", "of_matrix"]

FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "logm": linalg.logm, "cosm": linalg.cosm, "sinm": linalg.sinm, "tanm": linalg.tanm, "coshm": linalg.coshm,
    "sinhm": linalg.sinhm, "tanhm": linalg.tanhm, "signm": linalg.signm, "power": linalg.fractional_matrix_power,
}  # fmt: skip


_ROUNDING: Final = 1e-8  # equal eigenvalues, as each block [[a, e], [0, a]] has, may become complex pairs at this distance


def is_real(result: np.ndarray) -> bool:
    """Whether a function of a real matrix is real."""
    return not np.iscomplexobj(result) or bool(abs(result.imag).max() <= _ROUNDING * abs(result.real).max())


def of_matrix(name: str, a: np.ndarray, *options: Any) -> np.ndarray:
    """A function of one matrix.

    SciPy's warnings are left out: the user has had them for his own matrix, and its estimate of the error does not hold for
    [[a, e], [0, a]], whose residual is larger than the error of the block that is used.
    """
    with warnings.catch_warnings(action="ignore"):
        return np.asarray(FUNCTIONS[name](a, *options))


class MatrixFunction(AbstractStructured):
    """A function of square matrices, which must be real; `params` are its name and its further arguments."""

    name = "matrix_function"
    can_fail = True

    def verify(self, out: View | None, ins: tuple[View, ...], params: Any, where: str) -> None:
        assert out is not None and len(ins) == 1 and out.shape == ins[0].shape, f"{where}: shapes do not fit"
        assert len(out.shape) >= 2 and out.shape[-1] == out.shape[-2], f"{where}: matrix_function takes square matrices"
        assert params[0] in FUNCTIONS, f"{where}: {params[0]} is no function of matrices"

    def value(self, out: np.ndarray, ins: tuple[np.ndarray, ...], params: Any) -> None:
        name, *options = params
        for place in np.ndindex(out.shape[:-2]) if out.size else ():
            result = of_matrix(name, ins[0][place], *options)
            if not is_real(result):
                raise np.linalg.LinAlgError(f"{name} of the matrix is not real")
            out[place] = np.real(result)

    def needs(self, k: int) -> tuple[int, ...]:
        return (0,)

    def tangent(self, build: Any, site: Site, dout: View, dins: tuple[View | None, ...]) -> None:
        (da,) = dins
        assert da is not None
        _change(Term(build, site.ins[0]), Term(build, da), site.params).store(dout)

    def adjoint(self, build: Any, site: Site, dout: View, active: tuple[bool, ...], accumulate: Accumulate) -> None:
        accumulate(0, _change(Term(build, site.ins[0]).T, Term(build, dout), site.params).view)


def _change(a: Term, e: Term, params: Any) -> Term:
    n = a.shape[-1]
    both = block([[a, e], [None, a]], n)
    return both.new("matrix_function", both.shape, both, params=params).window(-2, 0, n).window(-1, n, 2 * n)
