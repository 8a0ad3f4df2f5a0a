"""Operations with structure: those whose result element depends on more than the operand elements beside it.

One small class each, holding all there is to know about the operation: shape rule, NumPy value, tangent, adjoint and what the
adjoint needs kept; a file for each family. Tangents and adjoints are programs of the same operations, so that they have
tangents and adjoints themselves. Views are those of `tape.py`.

Where the sweep has a C kernel, `execute/structured.py` says how it is called; everything else runs `value` itself, under the
GIL. An operation with several results writes them into one, the *pack*, of which they are views.
"""

from typing import Final

from .base import RESULT, AbstractStructured, Inactive, Site
from .control import Call, Guard
from .eigen import Eig
from .fourier import Fourier
from .functions import MatrixFunction
from .hermitian import EighComplex
from .matrices import Cholesky, Cofactor, Det, Expm, ExpmFrechet, Pinv, Slogdet
from .movement import Argsort, Extremum, Permutation, Put, PutAdd, PutAlongAdd, Searchsorted, Take, TakeAlong
from .products import Matmul, MatmulAdd
from .reductions import Maximum, Prod, Sum
from .scans import Cumprod, Recurrence
from .solves import Lu, Solve, SolveBanded, SolveTriangular
from .spectral import Eigh, Eigvalsh, Qr, Svd, Svdvals
from .sylvester import Sqrtm, Sylvester

__all__ = ["RESULT", "STRUCTURED", "AbstractStructured", "Inactive", "Site"]

_ALL: Final[tuple[AbstractStructured, ...]] = (
    Sum(), Prod(), Maximum("amax"), Maximum("amin"),
    Recurrence(), Cumprod(),
    Matmul(), MatmulAdd(),
    Take(), Put(), PutAdd(), TakeAlong(), PutAlongAdd(),
    Argsort(), Extremum("argmax"), Extremum("argmin"), Searchsorted(), Permutation(),
    Lu(), Solve(), SolveTriangular(), SolveBanded(),
    Det(), Cofactor(), Slogdet(), Pinv(), Cholesky(), Expm(), ExpmFrechet(),
    Eig(), Eigh(), EighComplex(), Eigvalsh(), Svd(), Svdvals(), Qr(), Sylvester(), Sqrtm(), MatrixFunction(),
    Fourier(),
    Guard(), Call(),
)  # fmt: skip

STRUCTURED: Final[dict[str, AbstractStructured]] = {operation.name: operation for operation in _ALL}
