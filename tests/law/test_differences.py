"""Functions of NumPy and SciPy that have no complex step: both modes against differences of the plain call, and each other.

A row is the body of a function of x, y (vectors or matrices of one shape) and p (a number); it may return or write.
"""

import linecache
import zlib
from typing import Any, Final

import numpy as np
import pytest

import odead

VECTOR: Final = """
return np.nanquantile(x, 0.3) * y
return np.maximum.reduceat(x, [1, 2]) * p
return np.maximum.accumulate(x) * y
return np.arctan2.outer(x, y)
return np.fromiter((v * p for v in x), float)
return np.frompyfunc(lambda a, b: a * b + p, 2, 1)(x, y).astype(float)
return np.digitize(x, [-1, 0, 1]) * y
return np.histogram(x, bins=3, range=(-2, 2))[0][0] * y
return np.histogram(x, bins=2)[1] * p
np.maximum.at(x, [0, 0, 2], y[:3])
np.minimum.at(x, [0, 0, 2], p)
return np.unwrap(4 * x) * p
return np.angle(x + 1j * y)
return np.corrcoef(x, y)
return np.trim_zeros(x) * p
return x[np.argpartition(x, 2)] * y
return np.searchsorted(np.sort(x), p) * y
return y[np.searchsorted(x, [0.1, 0.2], sorter=np.argsort(x))] * p
return np.histogram(x, bins=4, range=(-2, 2), density=True)[0] * y
return np.logaddexp.accumulate(x) * y
return np.lib.stride_tricks.as_strided(x, (2, 2), (8, 8)) * p
return np.polynomial.polynomial.polyval(p, x) * y
return np.polynomial.chebyshev.chebval(p, x) * y
return np.poly1d(x)(p) * y
return np.i0(x) * p
return signal.convolve(x, y[:3], 'same') * p
return signal.fftconvolve(x, y) * p
return integrate.trapezoid(x, y)
return integrate.simpson(x, dx=p)
return integrate.cumulative_trapezoid(x, y, initial=0)
return special.multigammaln(x * x + 2, 2) * y
return special.rgamma(x) * special.beta(x * x + 1, y * y + 1)
return special.gammasgn(x) * y
"""
MATRIX: Final = """
return np.nanpercentile(x, [20, 70], axis=0) * p
return np.nanmedian(np.where(y > 0.5, np.nan, x), axis=1, keepdims=True) * p
return np.linalg.cond(x[:, :2] + 4 * np.eye(2), 1) * y
return np.linalg.cond(x) * y
return linalg.sqrtm(x @ x.T + np.eye(2)) * p
return linalg.solve_sylvester(x[:, :2] + 4 * np.eye(2), y[:, :2] + 4 * np.eye(2), x @ y.T) * p
return linalg.solve_continuous_lyapunov(x[:, :2] - 4 * np.eye(2), y @ y.T)
return linalg.lstsq(x.T, y[0])[0] * p
return linalg.toeplitz(x[0], y[1]) * p
return linalg.toeplitz(x[0]) * p
return linalg.circulant(x[0]) * p
return linalg.hankel(x[0]) * p
return np.maximum.reduceat(x, [0, 2], axis=1) * y[:, :2]
np.maximum.at(x, (slice(None), [0, 0]), y[:, :2])
"""
ROWS: Final = [(row, shape) for rows, shape in ((VECTOR, (4,)), (MATRIX, (2, 3))) for row in rows.strip().splitlines()]
HEAD: Final = "import numpy as np\nfrom scipy import integrate, linalg, signal, special\n\n\n"


def function(body: str) -> Any:
    """The function, with lines that a traceback can show."""
    text = f"{HEAD}def f(x, y, p):\n    {body}\n"
    name = f"<row {zlib.crc32(text.encode())}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    names: dict[str, Any] = {}
    exec(compile(text, name, "exec"), names)
    return names["f"]


@pytest.mark.parametrize(("body", "shape"), ROWS, ids=[row for row, _ in ROWS])
def test_against_differences(body, shape):
    rng = np.random.default_rng(zlib.crc32(body.encode()))
    x, y = rng.uniform(-1.4, 1.4, (2, *shape))
    odead.check_derivatives(function(body), x, y, 0.7)
