"""Write coverage.md: what can be differentiated, from the tables of the package itself.

python docs/coverage.py
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from odead.interop.scipy_stats import METHODS as STATS_METHODS
from odead.interop.special_complex import HOLOMORPHIC
from odead.interop.special_tables import SEVERAL
from odead.interop.special_tables import TABLE as TABLE_OF_RULES
from odead.interop.stats_formulas import CONTINUOUS, DISCRETE
from odead.ops import TABLE, Op
from odead.tracing.functions.math_api import BUILTINS, MATH
from odead.tracing.functions.numpy_api import CREATION, FUNCTIONS, METHODS, REDUCE
from odead.tracing.functions.scipy_api import SCIPY
from odead.tracing.functions.scipy_matrices import SCIPY_SIGNAL

REFUSED = {
    "`ppf`, `isf`, `rvs`, `entropy`, `expect` of `scipy.stats`, and other distributions": "`scipy.special`: `ndtri`, "
    "`gammaincinv`, `betaincinv`, `stdtrit` are quantiles; densities by `gammaln`, `betaln`, `xlogy`.",
    "`scipy.integrate.solve_bvp`, `ode`, stepper objects": "`solve_ivp`, `odeint` and `quad` are differentiated.",
    "`scipy.optimize.minimize`, `least_squares`": "`scipy.optimize.root`, `fsolve` and `brentq` are differentiated.",
    "`scipy.linalg.schur`, `hessenberg`, `ldl`, `polar`": "their factors jump where eigenvalues change places, or are LAPACK's "
    "choice; `eigh`, `eig`, `svd`, `logm`, `sqrtm` and `expm` are here.",
    "`scipy.special.mathieu_a`, `pbdv`, `lpmv` and others": "a rule of two lines: `@odead.primitive` and `odead.easy_rule`.",
    "singular vectors of complex matrices": "`svdvals`, or `eigh` of `a.conj().T @ a`.",
    "complex64, also as eigenvalues of float32 matrices": "`.astype(np.float64)`, `.astype(complex)`.",
    "masked arrays, `np.matrix`, structured arrays, other subclasses": "ordinary arrays, and `np.where` with the mask.",
}
"""What is missing, and the way out."""

TARGET = Path(__file__).with_name("coverage.md")


def render() -> str:
    """The page."""
    return "\n".join([*_introduction(), *_elementwise(), *_functions()]) + "\n"


def _introduction() -> list[str]:
    return [
        "# What is covered",
        "",
        "Made by `python docs/coverage.py` from the tables by which functions are recorded. What is missing here raises",
        "`TracingError` with the name of the function and the user's line. Two ways out: give it a rule",
        "(`@odead.primitive` with `@odead.rule`), or write it with what is here.",
        "Indexing, slices, masks, views, `out=`, in-place operators and element loops are NumPy's own.",
        "",
    ]


def _elementwise() -> Iterator[str]:
    yield from ("## Elementwise operations", "", "| function | partial derivatives | ties, kinks, ends |", "|---|---|---|")
    for op in TABLE.values():
        if op.numpy or op.special:
            yield f"| {_users_name(op)} | {_partials(op)} | {op.note} |"
    yield ""


def _users_name(op: Op) -> str:
    return f"`np.{op.numpy}`" if op.numpy else f"`scipy.special.{op.special}`"


def _partials(op: Op) -> str:
    known = [f"`{partial}`" for partial in op.partials if partial is not None]
    return ", ".join(known) if known else "none: the result is not a float"


def _functions() -> Iterator[str]:
    yield from _section("NumPy functions", _names(FUNCTIONS, "np."))
    yield "Functions that NumPy writes in Python with these (`np.gradient`, `np.average`, `np.kron`, ...) are recorded through."
    yield ""
    yield from _section("Arrays made inside the function", _names(CREATION, "np."))
    yield from _section("Methods of ufuncs", [f"`np.{f.__name__}.reduce`" for f in REDUCE])
    yield from _section("Methods of arrays", sorted(f"`.{name}`" for name in METHODS))
    yield from _section("math", _names(MATH, "math."))
    yield "Outside of their domain they raise as in the plain call, and so do `/`, `//`, `%` and `**` of Python's floats."
    yield "Inside of a solve they give nan or inf, which rejects the trial step that got there; so they do in a derivative"
    yield "taken inside of a function that is itself differentiated, and where an infinity or nan is divided by zero."
    yield ""
    yield from _section("Builtins", _names(BUILTINS, ""))
    yield from _section("SciPy", sorted([*_names(SCIPY, ""), *(f"`scipy.signal.{name}`" for name in SCIPY_SIGNAL)]))
    yield from _section("scipy.special, by rules", _special())
    yield "Not with respect to an order or shape of which the table of partial derivatives has none: there they raise."
    yield ""
    yield from _section("scipy.stats", _distributions())
    yield "Also frozen: `norm(0, sigma).logpdf(x)`. `cdf` and `sf` of `gamma`, `beta`, `chi2` and `t` not in their shapes."
    yield ""
    yield from ("## Refused", "", "What one might expect to find here, why it is missing, and what to write.", "")
    yield from (f"* {what}: {instead}" for what, instead in REFUSED.items())


def _distributions() -> list[str]:
    of_vectors = [f"`{name}`: `pdf`, `logpdf`" for name in ("dirichlet", "multivariate_normal")]
    methods = {name: ", ".join(f"`{m}`" for m in STATS_METHODS[kind])
               for kind, table in (("continuous", CONTINUOUS), ("discrete", DISCRETE)) for name in table}  # fmt: skip
    grouped = {
        text: ", ".join(f"`{n}`" for n in sorted(methods) if methods[n] == text) for text in dict.fromkeys(methods.values())
    }
    return [*(f"{names}: {text}" for text, names in grouped.items()), *of_vectors]


def _special() -> list[str]:
    return sorted(f"`{name}`" for name in (*(row[0] for row in TABLE_OF_RULES), *(row[0] for row in SEVERAL), *HOLOMORPHIC))


def _section(title: str, names: Iterable[str]) -> Iterator[str]:
    yield from (f"## {title}", "", ", ".join(names) + ".", "")


def _names(functions: Iterable[Callable[..., Any]], prefix: str) -> list[str]:
    return sorted({f"`{_name(f, prefix)}`" for f in functions})


def _name(f: Callable[..., Any], prefix: str) -> str:
    name = getattr(f, "__name__", type(f).__name__)
    module = (getattr(f, "__module__", None) or "").replace("numpy", "np", 1)
    if prefix == "np.":
        public = [part for part in ("linalg", "fft") if part in module.split(".") or hasattr(getattr(np, part), name)]
        inside = bool(public) and not hasattr(np, name)
        return f"np.{public[0]}.{name}" if inside or (public and public[0] in module) else f"np.{name}"
    if not prefix and module.startswith("scipy."):
        parts = [part for part in module.split(".") if not part.startswith("_")]
        return ".".join([*parts[:2], name])
    return f"{prefix}{name}"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
