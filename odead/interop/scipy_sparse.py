"""Rules of `scipy.sparse.linalg`: solves with a constant sparse matrix, differentiable in the right-hand side."""

from typing import Any

import numpy as np
import scipy.sparse.linalg

from ..rules.primitive import Primitive, adopt, primitive, see_as
from ..rules.registry import rule


def _spsolve(A: Any, b: Any, permc_spec: Any = None, use_umfpack: bool = True) -> Any:  # noqa: N803
    return scipy.sparse.linalg.spsolve(A, b, permc_spec, use_umfpack)


spsolve = adopt(scipy.sparse.linalg.spsolve, Primitive(_spsolve))


@rule(spsolve)
def _spsolve_rule(A: Any, b: Any, *options: Any, **named: Any) -> Any:  # noqa: N803
    def pullback(bar: Any) -> tuple[Any, ...]:
        transposed = scipy.sparse.csc_array(A.T)
        return None, spsolve(transposed, bar).reshape(np.shape(b)), None, None

    return spsolve(A, b, *options, **named), pullback


@primitive
def factorised_solve(lu: Any, b: Any, trans: str) -> Any:
    """Solve with the factors of `splu`."""
    return lu.solve(b, trans)


@rule(factorised_solve)
def _factorised_solve(lu: Any, b: Any, trans: str) -> Any:
    def pullback(bar: Any) -> tuple[Any, ...]:
        return None, factorised_solve(lu, bar, "N" if trans != "N" else "T"), None

    return factorised_solve(lu, b, trans), pullback


class Factors:
    """What `splu` returns, inside a traced function."""

    def __init__(self, lu: Any) -> None:
        self._lu = lu

    def solve(self, b: Any, trans: str = "N") -> Any:
        return factorised_solve(self._lu, b, trans)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lu, name)


see_as(scipy.sparse.linalg.SuperLU, Factors)
for _make in (scipy.sparse.linalg.splu, scipy.sparse.linalg.spilu):
    adopt(_make)
