"""Functions of `scipy.special` with known derivatives, beyond those of the op table: a row is a function.

A row reads: function, its parameters, one partial for each; None where there is no derivative (the order of a Bessel function)
or none is known. Formulas: NIST Digital Library of Mathematical Functions, chapters 7, 8, 10, 19, 25.
"""

from collections.abc import Callable
from typing import Any, Final

from scipy import special

from ..rules.easy import easy_rule
from ..rules.primitive import Primitive, adopt, primitive_of

_TABLE: Final[tuple[tuple[str, str, tuple[str | None, ...]], ...]] = (
    ("jv", "v, x", (None, "0.5*(special.jv(v - 1, x) - special.jv(v + 1, x))")),
    ("yv", "v, x", (None, "0.5*(special.yv(v - 1, x) - special.yv(v + 1, x))")),
    ("iv", "v, x", (None, "0.5*(special.iv(v - 1, x) + special.iv(v + 1, x))")),
    ("kv", "v, x", (None, "-0.5*(special.kv(v - 1, x) + special.kv(v + 1, x))")),
    ("erfcx", "x", ("2*x*out - 1.1283791670955126",)),
    ("dawsn", "x", ("1 - 2*x*out",)),
    ("exp1", "x", ("-np.exp(-x)/x",)),
    ("expi", "x", ("np.exp(x)/x",)),
    ("beta", "a, b", ("out*(special.psi(a) - special.psi(a + b))", "out*(special.psi(b) - special.psi(a + b))")),
    ("betaln", "a, b", ("special.psi(a) - special.psi(a + b)", "special.psi(b) - special.psi(a + b)")),
    ("gammainc", "a, x", (None, "np.exp((a - 1)*np.log(x) - x - special.gammaln(a))")),
    ("gammaincc", "a, x", (None, "-np.exp((a - 1)*np.log(x) - x - special.gammaln(a))")),
    ("betainc", "a, b, x", (None, None, "np.exp((a - 1)*np.log(x) + (b - 1)*np.log1p(-x) - special.betaln(a, b))")),
    ("ellipk", "m", ("(special.ellipe(m)/(1 - m) - out)/(2*m)",)),
    ("ellipe", "m", ("(out - special.ellipk(m))/(2*m)",)),
    ("rgamma", "x", ("-out*special.psi(x)",)),
    ("xlogy", "x, y", ("np.log(y)", "x/y")),
    ("entr", "x", ("-np.log(x) - 1",)),
)


class _Special:
    """`scipy.special` with primitives for the functions of the table, so that partials have derivatives too."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(special, name)
        return primitive_of(function) or function


def _register(name: str, parameters: str, partials: tuple[str | None, ...]) -> None:
    function: Callable[..., Any] = eval(f"lambda {parameters}: special.{name}({parameters})", {"special": special})
    function.__name__ = name
    easy_rule(adopt(getattr(special, name), Primitive(function)), partials, names={"special": _Special()})


for _row in _TABLE:
    _register(*_row)
