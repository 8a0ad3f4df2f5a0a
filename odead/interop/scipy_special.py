"""Functions of `scipy.special` with known derivatives, beyond those of the op table: a row is a function.

A row reads: function, its parameters, one partial for each. None: the derivative is 0. `unknown`: there is one, of which no
formula is at hand (of a Bessel function in its order); it raises where it is asked for.
Formulas: NIST Digital Library of Mathematical Functions, chapters 7, 8, 10, 19, 25.
"""

from collections.abc import Callable
from typing import Any, Final, NoReturn

from scipy import special

from ..errors import RuleError
from ..rules.easy import easy_rule
from ..rules.primitive import Primitive, adopt, primitive_of

_ORDER: Final = "unknown()"
_TABLE: Final[tuple[tuple[str, str, tuple[str | None, ...]], ...]] = (
    ("jv", "v, x", (_ORDER, "0.5*(special.jv(v - 1, x) - special.jv(v + 1, x))")),
    ("yv", "v, x", (_ORDER, "0.5*(special.yv(v - 1, x) - special.yv(v + 1, x))")),
    ("iv", "v, x", (_ORDER, "0.5*(special.iv(v - 1, x) + special.iv(v + 1, x))")),
    ("kv", "v, x", (_ORDER, "-0.5*(special.kv(v - 1, x) + special.kv(v + 1, x))")),
    ("yn", "n, x", (_ORDER, "0.5*(special.yv(n - 1, x) - special.yv(n + 1, x))")),
    ("ive", "v, x", (_ORDER, "0.5*(special.ive(v - 1, x) + special.ive(v + 1, x)) - np.sign(x)*out")),
    ("kve", "v, x", (_ORDER, "out - 0.5*(special.kve(v - 1, x) + special.kve(v + 1, x))")),
    ("i0e", "x", ("special.i1e(x) - np.sign(x)*out",)),
    ("i1e", "x", ("special.i0e(x) - np.where(x == 0, 0.5, out/np.where(x == 0, 1.0, x)) - np.sign(x)*out",)),
    ("erfcinv", "x", ("-0.886226925452758*np.exp(out*out)",)),
    ("erfcx", "x", ("2*x*out - 1.1283791670955126",)),
    ("dawsn", "x", ("1 - 2*x*out",)),
    ("exp1", "x", ("-np.exp(-x)/x",)),
    ("expi", "x", ("np.exp(x)/x",)),
    ("beta", "a, b", ("out*(special.psi(a) - special.psi(a + b))", "out*(special.psi(b) - special.psi(a + b))")),
    ("betaln", "a, b", ("special.psi(a) - special.psi(a + b)", "special.psi(b) - special.psi(a + b)")),
    ("gammainc", "a, x", (_ORDER, "np.exp((a - 1)*np.log(x) - x - special.gammaln(a))")),
    ("gammaincc", "a, x", (_ORDER, "-np.exp((a - 1)*np.log(x) - x - special.gammaln(a))")),
    ("betainc", "a, b, x", (_ORDER, _ORDER, "np.exp((a - 1)*np.log(x) + (b - 1)*np.log1p(-x) - special.betaln(a, b))")),
    ("ellipk", "m", ("(special.ellipe(m)/(1 - m) - out)/(2*m)",)),
    ("ellipe", "m", ("(out - special.ellipk(m))/(2*m)",)),
    ("rgamma", "x", ("-out*special.psi(x)",)),
    ("gammasgn", "x", (None,)),
    ("spence", "x", ("np.where(x == 1, -1.0, np.log(x)/np.where(x == 1, 1.0, 1 - x))",)),
    ("exprel", "x", ("np.where(x == 0, 0.5, (np.exp(x) - out)/np.where(x == 0, 1.0, x))",)),
    ("poch", "z, m", ("out*(special.psi(z + m) - special.psi(z))", "out*special.psi(z + m)")),
    (
        "boxcox",
        "x, lmbda",
        (
            "x**(lmbda - 1)",
            "np.where(lmbda == 0, 0.5*np.log(x)**2, (x**lmbda*np.log(x) - out)/np.where(lmbda == 0, 1.0, lmbda))",
        ),
    ),
    ("huber", "delta, r", ("np.where(np.abs(r) <= delta, 0.0, np.abs(r) - delta)", "np.clip(r, -delta, delta)")),
    ("pseudo_huber", "delta, r", ("2*out/delta - r*r/(delta*np.sqrt(1 + (r/delta)**2))", "r/np.sqrt(1 + (r/delta)**2)")),
    ("rel_entr", "x, y", ("np.log(x/y) + 1", "-x/y")),
    ("kl_div", "x, y", ("np.log(x/y)", "1 - x/y")),
    ("xlog1py", "x, y", ("np.log1p(y)", "x/(1 + y)")),
    ("xlogy", "x, y", ("np.log(y)", "x/y")),
    ("entr", "x", ("-np.log(x) - 1",)),
)


class _Special:
    """`scipy.special` with primitives for the functions of the table, so that partials have derivatives too."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(special, name)
        return primitive_of(function) or function


def _unknown() -> NoReturn:
    raise RuleError(
        "the derivative of a function of scipy.special with respect to its order or shape is asked for, and no formula for it "
        "is at hand: make that argument a Const, or give the function a rule of your own by @odead.primitive"
    )


def _register(name: str, parameters: str, partials: tuple[str | None, ...]) -> None:
    function: Callable[..., Any] = eval(f"lambda {parameters}: special.{name}({parameters})", {"special": special})
    function.__name__ = name
    easy_rule(adopt(getattr(special, name), Primitive(function)), partials, names={"special": _Special(), "unknown": _unknown})


for _row in _TABLE:
    _register(*_row)
