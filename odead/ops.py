"""THE op table: one row is one elementwise operation.

From a row come the C kernels (`_codegen.py`), the tracer's ufunc map (`tracing/numpy_api.py`), tangent and adjoint
(`transform/partials.py`), what must be saved for the reverse sweep (a partial that names `x` needs x kept, one that
names `out` the result), the NumPy oracle (`execute/reference.py`), the documentation and the tests.

A row reads: name, C expression, partial derivatives, NumPy name, and options.

* `c` is written in C99 for double; `x, y, z` are the operands. The code generator derives the float32 and int64 forms. Where
  it is empty, the loops of the function of that name in `scipy.special` run.
* `partials` has one expression per operand, in Python syntax over `x, y, z, out`, the names of other rows and numbers.
  None: the operand never carries a derivative (a condition), or the result does not (a comparison).
* `piecewise` marks selections: their partials are contracted with `zero_mul`, so that an infinite or NaN cotangent never
  reaches an operand that was not selected (0 * nan is nan).
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import Any, Final

__all__ = ["OPERANDS", "SPECIAL", "TABLE", "UFUNCS", "Op", "parse_partial"]

OPERANDS: Final = ("x", "y", "z")


@dataclass(frozen=True)
class Op:
    """One row of the table.

    Attributes
    ----------
    name : str
        The opcode; also the name under which partials of other rows may use it.
    c : str
        Value as a C expression; empty: SciPy's.
    partials : tuple of (str or None)
        Derivative with respect to each operand.
    numpy : str
        Name in the `numpy` namespace whose values this row has; empty where NumPy has none.
    special : str
        The same in `scipy.special`.
    kinds : str
        Data the row is defined for: f (float64, float32), i (int64), b (bool).
    result : str
        dtype of the result; empty: that of the operands.
    piecewise : bool
        See the module's docstring.
    note : str
        Convention at kinks and at the border of the domain.
    """

    name: str
    c: str
    partials: tuple[str | None, ...]
    numpy: str = ""
    kinds: str = "f"
    result: str = ""
    piecewise: bool = False
    note: str = ""
    special: str = ""

    @property
    def arity(self) -> int:
        return len(self.partials)

    @property
    def operands(self) -> tuple[str, ...]:
        return OPERANDS[: self.arity]

    @cached_property
    def mentions(self) -> tuple[frozenset[str], ...]:
        """For each operand, the values among `x, y, z, out` that its partial needs."""
        return tuple(_names(p) & {*OPERANDS, "out"} if p else frozenset() for p in self.partials)

    @cached_property
    def function(self) -> Callable[..., Any] | None:
        """The function of NumPy or SciPy whose values this row has."""
        if self.numpy:
            return getattr(import_module("numpy"), self.numpy)  # type: ignore[no-any-return]
        return getattr(import_module("scipy.special"), self.special) if self.special else None

    @property
    def differentiable(self) -> bool:
        return any(p is not None for p in self.partials)


@cache
def parse_partial(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


def _names(expression: str) -> frozenset[str]:
    return frozenset(n.id for n in ast.walk(parse_partial(expression)) if isinstance(n, ast.Name))


def _comparison(name: str, c: str) -> Op:
    return Op(name, c, (None, None), name, "fib", "bool")


def _rounding(name: str, c: str) -> Op:
    return Op(name, c, ("0",), name, note="derivative 0, also at the steps")


# Half for each side at a tie, so that maximum(x, x) has derivative 1 in total.
_LARGER = ("where(x > y, 1, where(x == y, 0.5, 0))", "where(x > y, 0, where(x == y, 0.5, 1))")
_SMALLER = ("where(x < y, 1, where(x == y, 0.5, 0))", "where(x < y, 0, where(x == y, 0.5, 1))")
_TIES = "ties share equally"
_TWICE = "rounded twice, as the two operations are"


def _special(name: str, scipy: str, *partials: str | None, note: str = "") -> Op:
    return Op(name, "", partials, special=scipy, note=note)


# fmt: off
_ROWS = (
    # movement
    Op("copy",         "x",                              ("1",),                     "positive", "fib"),
    Op("cast",         "x",                              ("1",),                     "", "fib", note="changes the dtype"),
    Op("stop",         "x",                              ("0",),                     note="the value of x, derivative 0: odead.stop_gradient"),

    # arithmetic
    Op("neg",          "-x",                             ("-1",),                    "negative", "fi"),
    Op("add",          "x + y",                          ("1", "1"),                 "add", "fi"),
    Op("sub",          "x - y",                          ("1", "-1"),                "subtract", "fi"),
    Op("mul",          "x * y",                          ("y", "x"),                 "multiply", "fi"),
    Op("div",          "x / y",                          ("1 / y", "-out / y"),      "divide"),
    Op("muladd",       "x * y + z",                      ("y", "x", "1"),            note=_TWICE),
    Op("mulsub",       "x * y - z",                      ("y", "x", "-1"),           note=_TWICE),
    Op("negmuladd",    "z - x * y",                      ("-y", "-x", "1"),          note=_TWICE),
    Op("addmul",       "(x + y) * z",                    ("z", "z", "x + y"),        note=_TWICE),
    Op("submul",       "(x - y) * z",                    ("z", "-z", "x - y"),       note=_TWICE),
    Op("addadd",       "x + y + z",                      ("1", "1", "1"),            note=_TWICE),
    Op("zero_mul",     "x == 0 ? 0 : y == 0 ? (x < 0 ? -y : y) : x * y", ("y", "x"), piecewise=True, note="0 * nan = 0 * inf = 0"),
    Op("reciprocal",   "1 / x",                          ("-out * out",),            "reciprocal"),
    Op("square",       "x * x",                          ("2 * x",),                 "square", "fi"),
    Op("floor_divide", "odead_floor_divide(x, y)",       ("0", "0"),                 "floor_divide", note="derivative 0, also at the steps"),
    Op("remainder",    "odead_remainder(x, y)",          ("1", "rint((out - x) / y)"), "remainder", note="of one side at the jumps"),
    Op("fmod",         "fmod(x, y)",                     ("1", "rint((out - x) / y)"), "fmod", note="of one side at the jumps"),

    # powers, exponentials, logarithms
    Op("pow",          "y == 1 ? x : pow(x, y)",         ("where(y == 0, 0, y * pow(x, y - 1))", "where(x == 0, 0, out * log(x))"), "power",
       note="x**0 has derivative 0 in x; 0**y has derivative 0 in y"),
    Op("sqrt",         "sqrt(x)",                        ("0.5 / out",),             "sqrt", note="infinite at 0"),
    Op("cbrt",         "cbrt(x)",                        ("1 / (3 * out * out)",),   "cbrt", note="infinite at 0"),
    Op("exp",          "exp(x)",                         ("out",),                   "exp"),
    Op("exp2",         "exp2(x)",                        ("0.6931471805599453 * out",), "exp2"),
    Op("expm1",        "expm1(x)",                       ("out + 1",),               "expm1"),
    Op("log",          "log(x)",                         ("1 / x",),                 "log"),
    Op("log2",         "log2(x)",                        ("1.4426950408889634 / x",), "log2"),
    Op("log10",        "log10(x)",                       ("0.4342944819032518 / x",), "log10"),
    Op("log1p",        "log1p(x)",                       ("1 / (1 + x)",),           "log1p"),
    Op("logaddexp",    "odead_logaddexp(x, y)",          ("exp(x - out)", "exp(y - out)"), "logaddexp"),
    Op("hypot",        "hypot(x, y)",                    ("where(out == 0, 0, x / out)", "where(out == 0, 0, y / out)"), "hypot",
       note="derivative 0 at the origin"),

    # trigonometric and hyperbolic functions and their inverses
    Op("sin",          "sin(x)",                         ("cos(x)",),                "sin"),
    Op("cos",          "cos(x)",                         ("-sin(x)",),               "cos"),
    Op("tan",          "tan(x)",                         ("1 + out * out",),         "tan"),
    Op("arcsin",       "asin(x)",                        ("1 / sqrt(1 - x * x)",),   "arcsin"),
    Op("arccos",       "acos(x)",                        ("-1 / sqrt(1 - x * x)",),  "arccos"),
    Op("arctan",       "atan(x)",                        ("1 / (1 + x * x)",),       "arctan"),
    Op("arctan2",      "atan2(x, y)",                    ("y / (x * x + y * y)", "-x / (x * x + y * y)"), "arctan2"),
    Op("sinh",         "sinh(x)",                        ("cosh(x)",),               "sinh"),
    Op("cosh",         "cosh(x)",                        ("sinh(x)",),               "cosh"),
    Op("tanh",         "tanh(x)",                        ("1 - out * out",),         "tanh"),
    Op("arcsinh",      "asinh(x)",                       ("1 / sqrt(x * x + 1)",),   "arcsinh"),
    Op("arccosh",      "acosh(x)",                       ("1 / (sqrt(x - 1) * sqrt(x + 1))",), "arccosh"),
    Op("arctanh",      "atanh(x)",                       ("1 / (1 - x * x)",),       "arctanh"),
    Op("deg2rad",      "x * 0.017453292519943295",       ("0.017453292519943295",),  "deg2rad"),
    Op("rad2deg",      "x * 57.29577951308232",          ("57.29577951308232",),     "rad2deg"),

    # special functions
    Op("erf",          "erf(x)",                         ("1.1283791670955126 * exp(-x * x)",), special="erf"),
    Op("erfc",         "erfc(x)",                        ("-1.1283791670955126 * exp(-x * x)",), special="erfc"),
    Op("zeta",         "odead_zeta(x, y)",               (None, "-x * zeta(x + 1, y)"), special="zeta", note="Hurwitz; for the row digamma"),
    _special("gamma",    "gamma",                        "out * digamma(x)"),
    _special("gammaln",  "gammaln",                      "digamma(x)"),
    _special("digamma",  "psi",                          "zeta(2, x)"),
    _special("expit",    "expit",                        "out * (1 - out)"),
    _special("logit",    "logit",                        "1 / (x * (1 - x))"),
    _special("erfinv",   "erfinv",                       "0.886226925452758 * exp(out * out)"),
    _special("ndtr",     "ndtr",                         "0.3989422804014327 * exp(-0.5 * x * x)"),
    _special("ndtri",    "ndtri",                        "2.5066282746310002 * exp(0.5 * out * out)"),
    _special("log_ndtr", "log_ndtr",                     "0.3989422804014327 * exp(-0.5 * x * x - out)"),
    _special("j0",       "j0",                           "-j1(x)"),
    _special("j1",       "j1",                           "where(x == 0, 0.5, j0(x) - out / x)"),
    _special("y0",       "y0",                           "-y1(x)"),
    _special("y1",       "y1",                           "y0(x) - out / x"),
    _special("i0",       "i0",                           "i1(x)"),
    _special("i1",       "i1",                           "where(x == 0, 0.5, i0(x) - out / x)"),
    _special("k0",       "k0",                           "-k1(x)"),
    _special("k1",       "k1",                           "-k0(x) - out / x"),

    # kinks, steps and selections
    Op("abs",          "fabs(x)",                        ("sign(x)",),               "absolute", piecewise=True, note="derivative 0 at 0"),
    Op("sign",         "x != x ? x : (x > 0) - (x < 0)", ("0",),                     "sign", note="derivative 0, also at 0"),
    Op("copysign",     "copysign(x, y)",                 ("sign(x) * copysign(1, y)", "0"), "copysign", piecewise=True, note="derivative 0 at x = 0"),
    Op("heaviside",    "x != x ? x : x > 0 ? 1 : x < 0 ? 0 : y", ("0", "where(x == 0, 1, 0)"), "heaviside", piecewise=True,
       note="derivative 0 in x, also at the step"),
    Op("maximum",      "x >= y || x != x ? x : y",       _LARGER,                    "maximum", "fi", piecewise=True, note=_TIES),
    Op("minimum",      "x <= y || x != x ? x : y",       _SMALLER,                   "minimum", "fi", piecewise=True, note=_TIES),
    Op("fmax",         "fmax(x, y)",                     ("where(isnan(y), 1, where(x > y, 1, where(x == y, 0.5, 0)))",
                                                          "where(isnan(x), 1, where(y > x, 1, where(x == y, 0.5, 0)))"), "fmax", piecewise=True, note="ties share equally"),
    Op("fmin",         "fmin(x, y)",                     ("where(isnan(y), 1, where(x < y, 1, where(x == y, 0.5, 0)))",
                                                          "where(isnan(x), 1, where(y < x, 1, where(x == y, 0.5, 0)))"), "fmin", piecewise=True, note="ties share equally"),
    Op("where",        "x ? y : z",                      (None, "where(x, 1, 0)", "where(x, 0, 1)"), "where", "fib", piecewise=True,
       note="x is bool; the side not chosen gets exactly 0"),
    _rounding("floor", "floor(x)"),
    _rounding("ceil",  "ceil(x)"),
    _rounding("trunc", "trunc(x)"),
    _rounding("rint",  "rint(x)"),

    # comparisons and logic
    _comparison("less",          "x < y"),
    _comparison("less_equal",    "x <= y"),
    _comparison("greater",       "x > y"),
    _comparison("greater_equal", "x >= y"),
    _comparison("equal",         "x == y"),
    _comparison("not_equal",     "x != y"),
    Op("logical_and",  "x && y",                         (None, None),               "logical_and", "b"),
    Op("logical_or",   "x || y",                         (None, None),               "logical_or", "b"),
    Op("logical_xor",  "x != y",                         (None, None),               "logical_xor", "b"),
    Op("logical_not",  "!x",                             (None,),                    "logical_not", "b"),
    Op("isnan",        "isnan(x)",                       (None,),                    "isnan", "f", "bool"),
    Op("isinf",        "isinf(x)",                       (None,),                    "isinf", "f", "bool"),
    Op("isfinite",     "isfinite(x)",                    (None,),                    "isfinite", "f", "bool"),
    Op("signbit",      "signbit(x)",                     (None,),                    "signbit", "f", "bool"),
)
# fmt: on

TABLE: Final[dict[str, Op]] = {op.name: op for op in _ROWS}
UFUNCS: Final[dict[str, str]] = {op.numpy: op.name for op in _ROWS if op.numpy}
SPECIAL: Final[dict[str, str]] = {op.special: op.name for op in _ROWS if op.special}
