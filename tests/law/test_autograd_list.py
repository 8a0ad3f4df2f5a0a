"""Whatever HIPS autograd differentiates is differentiated here, or refused with a reason."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from odead.ops import SPECIAL, UFUNCS
from odead.tracing.functions import elementwise

core = pytest.importorskip("autograd.core")
MODULES = (
    "numpy", "numpy.fft", "numpy.linalg", "scipy.linalg", "scipy.special", "scipy.signal", "scipy.integrate", "scipy.stats",
)  # fmt: skip
for name in MODULES:
    importlib.import_module(f"autograd.{name}")

TESTS = Path(__file__).parents[1]
EXERCISED = "".join(
    path.read_text(encoding="utf-8")
    for folder in ("law", "tracing", "complex", "interop", "ode")
    for path in (TESTS / folder).glob("*.py")
)
REFUSED = ("entropy",)  # with what to write instead
COVERAGE = (TESTS.parent / "docs" / "coverage.md").read_text(encoding="utf-8").partition("## Refused")[2]
ELSEWHERE = {  # what autograd calls something that NumPy users write in another way
    "full": "np.full(", "astype": ".astype(", "conjugate": "np.conj", "real_if_close": "np.real", "sinc": "np.sinc(",
}  # fmt: skip


def functions() -> list[str]:
    """The names of what autograd has a vjp of, without its own helpers."""
    found = set()
    for primitive in core.primitive_vjps:
        function = getattr(primitive, "fun", None)
        module = type(function).__module__ if isinstance(function, np.ufunc) else getattr(function, "__module__", "")
        if not (module or "").startswith("autograd") or getattr(function, "__name__", "") == "convolve":
            found.add(function.__name__)
    return sorted(found)


@pytest.mark.parametrize("name", functions())
def test_covered_or_refused(name):
    elementwise_rows = {*UFUNCS, *SPECIAL, *elementwise._OPS, *elementwise._COMPOSED}
    written = any(f"{prefix}{name}(" in EXERCISED for prefix in (".", "np.", "special.", "linalg.")) or f'"{name}"' in EXERCISED
    if name in REFUSED:
        assert f"`{name}`" in COVERAGE or f".{name}`" in COVERAGE
    else:
        assert name in elementwise_rows or written or ELSEWHERE.get(name, "no such text") in EXERCISED
