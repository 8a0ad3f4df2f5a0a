"""Derivatives of functions of `scipy.special`: a row is a function, its parameters, one partial for each.

A partial is an expression in the parameters, `out`, `np` and `special`. None: the derivative is 0. ORDER: there is one, of
which no formula is at hand (of a Bessel function in its order); it raises where it is asked for.
Formulas: NIST Digital Library of Mathematical Functions, chapters 4, 6 to 11, 13, 15, 18, 19, 25; distributions by their
densities.
"""

from typing import Final

from ..rules.easy import UNKNOWN

__all__ = ["ORDER", "SEVERAL", "TABLE"]

ORDER: Final = UNKNOWN
_DEGREE: Final = "0.017453292519943295"

_BESSEL: Final = (
    ("jv", "v, x", (ORDER, "0.5*(special.jv(v - 1, x) - special.jv(v + 1, x))")),
    ("yv", "v, x", (ORDER, "0.5*(special.yv(v - 1, x) - special.yv(v + 1, x))")),
    ("iv", "v, x", (ORDER, "0.5*(special.iv(v - 1, x) + special.iv(v + 1, x))")),
    ("kv", "v, x", (ORDER, "-0.5*(special.kv(v - 1, x) + special.kv(v + 1, x))")),
    ("yn", "n, x", (ORDER, "0.5*(special.yv(n - 1, x) - special.yv(n + 1, x))")),
    ("kn", "n, x", (ORDER, "-0.5*(special.kv(n - 1, x) + special.kv(n + 1, x))")),
    ("jve", "v, x", (ORDER, "0.5*(special.jve(v - 1, x) - special.jve(v + 1, x))")),
    ("yve", "v, x", (ORDER, "0.5*(special.yve(v - 1, x) - special.yve(v + 1, x))")),
    ("ive", "v, x", (ORDER, "0.5*(special.ive(v - 1, x) + special.ive(v + 1, x)) - np.sign(x)*out")),
    ("kve", "v, x", (ORDER, "out - 0.5*(special.kve(v - 1, x) + special.kve(v + 1, x))")),
    ("i0e", "x", ("special.i1e(x) - np.sign(x)*out",)),
    ("i1e", "x", ("special.i0e(x) - np.where(x == 0, 0.5, out/np.where(x == 0, 1.0, x)) - np.sign(x)*out",)),
    ("k0e", "x", ("out - special.k1e(x)",)),
    ("k1e", "x", ("out - special.k0e(x) - out/x",)),
    ("spherical_jn", "n, z", (ORDER, ("np.where(z == 0, np.where(n == 1, 1/3, 0.0), "
                                     "n*out/np.where(z == 0, 1.0, z) - special.spherical_jn(n + 1, z))"))),
    ("spherical_in", "n, z", (ORDER, ("np.where(z == 0, np.where(n == 1, 1/3, 0.0), "
                                     "n*out/np.where(z == 0, 1.0, z) + special.spherical_in(n + 1, z))"))),
    ("spherical_yn", "n, z", (ORDER, "n*out/z - special.spherical_yn(n + 1, z)")),
    ("spherical_kn", "n, z", (ORDER, "n*out/z - special.spherical_kn(n + 1, z)")),
    ("ber", "x", ("special.berp(x)",)),
    ("bei", "x", ("special.beip(x)",)),
    ("ker", "x", ("special.kerp(x)",)),
    ("kei", "x", ("special.keip(x)",)),
    ("berp", "x", ("-special.bei(x) - np.where(x == 0, 0.0, out/np.where(x == 0, 1.0, x))",)),
    ("beip", "x", ("special.ber(x) - np.where(x == 0, 0.5, out/np.where(x == 0, 1.0, x))",)),
    ("kerp", "x", ("-special.kei(x) - out/x",)),
    ("keip", "x", ("special.ker(x) - out/x",)),
    ("struve", "v, x", (ORDER, ("0.5*(special.struve(v - 1, x) - special.struve(v + 1, x) + "
                               "(0.5*x)**v*0.5641895835477563*special.rgamma(v + 1.5))"))),
    ("modstruve", "v, x", (ORDER, ("0.5*(special.modstruve(v - 1, x) + special.modstruve(v + 1, x) + "
                                  "(0.5*x)**v*0.5641895835477563*special.rgamma(v + 1.5))"))),
    ("itstruve0", "x", ("special.struve(0, x)",)),
    ("it2struve0", "x", ("-special.struve(0, x)/x",)),
    ("itmodstruve0", "x", ("special.modstruve(0, x)",)),
)  # fmt: skip

_POINT: Final = "((x + 1j*gamma)*(0.7071067811865476/sigma))"
_SLOPE: Final = f"(1.1283791670955126j - 2*{_POINT}*special.wofz({_POINT}))"  # of Faddeeva's w

_ERRORS: Final = (
    ("erfcinv", "x", ("-0.886226925452758*np.exp(out*out)",)),
    ("erfcx", "x", ("2*x*out - 1.1283791670955126",)),
    ("erfi", "x", ("1.1283791670955126*np.exp(x*x)",)),
    ("dawsn", "x", ("1 - 2*x*out",)),
    ("ndtri_exp", "y", ("2.5066282746310002*np.exp(y + 0.5*out*out)",)),
    ("owens_t", "h, a", (
        "-0.19947114020071635*np.exp(-0.5*h*h)*special.erf(0.7071067811865476*a*h)",
        "0.15915494309189535*np.exp(-0.5*h*h*(1 + a*a))/(1 + a*a)",
    )),
    ("exp1", "x", ("-np.exp(-x)/x",)),
    ("expi", "x", ("np.exp(x)/x",)),
    ("expn", "n, x", (ORDER, "-special.expn(n - 1, x)")),
    ("exp10", "x", ("2.302585092994046*out",)),
    ("exprel", "x", ("np.where(x == 0, 0.5, (np.exp(x) - out)/np.where(x == 0, 1.0, x))",)),
    ("spence", "x", ("np.where(x == 1, -1.0, np.log(x)/np.where(x == 1, 1.0, 1 - x))",)),
    ("wrightomega", "x", ("out/(1 + out)",)),
    ("voigt_profile", "x, sigma, gamma", (  # Re w(z) / (sigma sqrt(2 pi)) with z = (x + i gamma) / (sigma sqrt 2)
        f"0.28209479177387814*({_SLOPE}).real/sigma**2",
        f"-out/sigma - 0.28209479177387814*({_SLOPE}*(x + 1j*gamma)).real/sigma**3",
        f"-0.28209479177387814*({_SLOPE}).imag/sigma**2",
    )),
)  # fmt: skip

_GAMMA: Final = (
    ("loggamma", "x", ("special.psi(x)",)),
    ("rgamma", "x", ("-out*special.psi(x)",)),
    ("gammasgn", "x", (None,)),
    ("beta", "a, b", ("out*(special.psi(a) - special.psi(a + b))", "out*(special.psi(b) - special.psi(a + b))")),
    ("betaln", "a, b", ("special.psi(a) - special.psi(a + b)", "special.psi(b) - special.psi(a + b)")),
    ("binom", "n, k", ("out*(special.psi(n + 1) - special.psi(n - k + 1))",
                       "out*(special.psi(n - k + 1) - special.psi(k + 1))")),
    ("poch", "z, m", ("out*(special.psi(z + m) - special.psi(z))", "out*special.psi(z + m)")),
    ("gammainc", "a, x", (ORDER, "np.exp(special.xlogy(a - 1, x) - x - special.gammaln(a))")),
    ("gammaincc", "a, x", (ORDER, "-np.exp(special.xlogy(a - 1, x) - x - special.gammaln(a))")),
    ("gammaincinv", "a, y", (ORDER, "np.exp(out - special.xlogy(a - 1, out) + special.gammaln(a))")),
    ("gammainccinv", "a, y", (ORDER, "-np.exp(out - special.xlogy(a - 1, out) + special.gammaln(a))")),
    ("betainc", "a, b, x", (
        ORDER, ORDER, "np.exp(special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - special.betaln(a, b))")),
    ("betaincc", "a, b, x", (
        ORDER, ORDER, "-np.exp(special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - special.betaln(a, b))")),
    ("betaincinv", "a, b, y", (
        ORDER, ORDER, "np.exp(special.betaln(a, b) - special.xlogy(a - 1, out) - special.xlog1py(b - 1, -out))")),
    ("betainccinv", "a, b, y", (
        ORDER, ORDER, "-np.exp(special.betaln(a, b) - special.xlogy(a - 1, out) - special.xlog1py(b - 1, -out))")),
)  # fmt: skip

_CHI2: Final = "0.5*np.exp(special.xlogy(0.5*v - 1, 0.5*{x}) - 0.5*{x} - special.gammaln(0.5*v))"
_F: Final = (
    "np.exp(0.5*dfn*np.log(dfn) + 0.5*dfd*np.log(dfd) + special.xlogy(0.5*dfn - 1, {x}) "
    "- 0.5*(dfn + dfd)*np.log(dfd + dfn*{x}) - special.betaln(0.5*dfn, 0.5*dfd))"
)
_T: Final = (
    "np.exp(special.gammaln(0.5*df + 0.5) - special.gammaln(0.5*df) - 0.5*np.log(df*3.141592653589793) "
    "- (0.5*df + 0.5)*np.log1p({x}*{x}/df))"
)
_GAMMA_DENSITY: Final = "np.exp(special.xlogy(b - 1, a*x) - a*x - special.gammaln(b))"
_BINOMIAL: Final = (
    "np.exp(special.gammaln(n + 1) - special.gammaln(np.floor(k) + 1) - special.gammaln(n - np.floor(k)) "
    "+ special.xlogy(np.floor(k), p) + special.xlog1py(n - np.floor(k) - 1, -p))"
)
_NEGATIVE: Final = "np.exp(special.xlogy(n - 1, p) + special.xlog1py(k, -p) - special.betaln(n, k + 1))"
_POISSON: Final = "np.exp(special.xlogy(np.floor(k), m) - m - special.gammaln(np.floor(k) + 1))"

_DISTRIBUTIONS: Final = (
    ("chdtr", "v, x", (ORDER, _CHI2.format(x="x"))),
    ("chdtrc", "v, x", (ORDER, "-" + _CHI2.format(x="x"))),
    ("chdtri", "v, p", (ORDER, f"-1/({_CHI2.format(x='out')})")),
    ("fdtr", "dfn, dfd, x", (ORDER, ORDER, _F.format(x="x"))),
    ("fdtrc", "dfn, dfd, x", (ORDER, ORDER, "-" + _F.format(x="x"))),
    ("fdtri", "dfn, dfd, p", (ORDER, ORDER, f"1/({_F.format(x='out')})")),
    ("stdtr", "df, t", (ORDER, _T.format(x="t"))),
    ("stdtrit", "df, p", (ORDER, f"1/({_T.format(x='out')})")),
    ("gdtr", "a, b, x", (f"x*{_GAMMA_DENSITY}", ORDER, f"a*{_GAMMA_DENSITY}")),
    ("gdtrc", "a, b, x", (f"-x*{_GAMMA_DENSITY}", ORDER, f"-a*{_GAMMA_DENSITY}")),
    ("pdtr", "k, m", (None, "-" + _POISSON)),
    ("pdtrc", "k, m", (None, _POISSON)),
    ("bdtr", "k, n, p", (None, ORDER, "-" + _BINOMIAL)),
    ("bdtrc", "k, n, p", (None, ORDER, _BINOMIAL)),
    ("nbdtr", "k, n, p", (ORDER, ORDER, _NEGATIVE)),
    ("nbdtrc", "k, n, p", (ORDER, ORDER, "-" + _NEGATIVE)),
)  # fmt: skip

_ELLIPTIC: Final = (
    ("ellipk", "m", ("(special.ellipe(m)/(1 - m) - out)/(2*m)",)),
    ("ellipe", "m", ("(out - special.ellipk(m))/(2*m)",)),
    ("ellipkm1", "p", ("-(special.ellipe(1 - p)/p - out)/(2*(1 - p))",)),
    ("ellipkinc", "phi, m", (
        "1/np.sqrt(1 - m*np.sin(phi)**2)",
        "(special.ellipeinc(phi, m)/(1 - m) - out)/(2*m) - np.sin(2*phi)/(4*(1 - m)*np.sqrt(1 - m*np.sin(phi)**2))",
    )),
    ("ellipeinc", "phi, m", ("np.sqrt(1 - m*np.sin(phi)**2)", "(out - special.ellipkinc(phi, m))/(2*m)")),
    ("elliprf", "x, y, z", ("-special.elliprd(y, z, x)/6", "-special.elliprd(z, x, y)/6", "-special.elliprd(x, y, z)/6")),
)  # fmt: skip

_HYPERGEOMETRIC: Final = (
    ("hyp0f1", "v, z", (ORDER, "special.hyp0f1(v + 1, z)/v")),
    ("hyp1f1", "a, b, z", (ORDER, ORDER, "a/b*special.hyp1f1(a + 1, b + 1, z)")),
    ("hyp2f1", "a, b, c, z", (ORDER, ORDER, ORDER, "a*b/c*special.hyp2f1(a + 1, b + 1, c + 1, z)")),
    ("hyperu", "a, b, x", (ORDER, ORDER, "-a*special.hyperu(a + 1, b + 1, x)")),
)  # fmt: skip

_POLYNOMIALS: Final = (  # that of degree 0 is 1
    ("eval_jacobi", "n, alpha, beta, x", (ORDER, ORDER, ORDER, ("np.where(n == 0, 0.0, 0.5*(n + alpha + beta + 1)*"
        "special.eval_jacobi(np.where(n == 0, 1, n) - 1, alpha + 1, beta + 1, x))"))),
    ("eval_legendre", "n, x", (
        ORDER, "np.where(n == 0, 0.0, 0.5*(n + 1)*special.eval_jacobi(np.where(n == 0, 1, n) - 1, 1.0, 1.0, x))")),
    ("eval_sh_legendre", "n, x", (
        ORDER, "np.where(n == 0, 0.0, (n + 1)*special.eval_jacobi(np.where(n == 0, 1, n) - 1, 1.0, 1.0, 2*x - 1))")),
    ("eval_chebyt", "n, x", (ORDER, "np.where(n == 0, 0.0, n*special.eval_chebyu(np.where(n == 0, 1, n) - 1, x))")),
    ("eval_sh_chebyt", "n, x", (ORDER, "np.where(n == 0, 0.0, 2*n*special.eval_chebyu(np.where(n == 0, 1, n) - 1, 2*x - 1))")),
    ("eval_chebyc", "n, x", (ORDER, "np.where(n == 0, 0.0, n*special.eval_chebyu(np.where(n == 0, 1, n) - 1, 0.5*x))")),
    ("eval_chebyu", "n, x", (
        ORDER, "np.where(n == 0, 0.0, 2*special.eval_gegenbauer(np.where(n == 0, 1, n) - 1, 2.0, x))")),
    ("eval_gegenbauer", "n, alpha, x", (ORDER, ORDER, ("np.where(n == 0, 0.0, 2*alpha*"
        "special.eval_gegenbauer(np.where(n == 0, 1, n) - 1, alpha + 1, x))"))),
    ("eval_hermite", "n, x", (ORDER, "np.where(n == 0, 0.0, 2*n*special.eval_hermite(np.where(n == 0, 1, n) - 1, x))")),
    ("eval_hermitenorm", "n, x", (ORDER, "np.where(n == 0, 0.0, n*special.eval_hermitenorm(np.where(n == 0, 1, n) - 1, x))")),
    ("eval_laguerre", "n, x", (
        ORDER, "np.where(n == 0, 0.0, -special.eval_genlaguerre(np.where(n == 0, 1, n) - 1, 1.0, x))")),
    ("eval_genlaguerre", "n, alpha, x", (
        ORDER, ORDER, "np.where(n == 0, 0.0, -special.eval_genlaguerre(np.where(n == 0, 1, n) - 1, alpha + 1, x))")),
)  # fmt: skip

_IN_DEGREES: Final = (
    ("sindg", "x", (f"{_DEGREE}*special.cosdg(x)",)),
    ("cosdg", "x", (f"-{_DEGREE}*special.sindg(x)",)),
    ("tandg", "x", (f"{_DEGREE}*(1 + out*out)",)),
    ("cotdg", "x", (f"-{_DEGREE}*(1 + out*out)",)),
    ("cosm1", "x", ("-np.sin(x)",)),
    ("round", "x", (None,)),
)  # fmt: skip

_STATISTICS: Final = (
    ("boxcox", "x, lmbda", (
        "x**(lmbda - 1)",
        "np.where(lmbda == 0, 0.5*np.log(x)**2, (x**lmbda*np.log(x) - out)/np.where(lmbda == 0, 1.0, lmbda))",
    )),
    ("boxcox1p", "x, lmbda", (
        "(1 + x)**(lmbda - 1)",
        "np.where(lmbda == 0, 0.5*np.log1p(x)**2, ((1 + x)**lmbda*np.log1p(x) - out)/np.where(lmbda == 0, 1.0, lmbda))",
    )),
    ("inv_boxcox", "y, lmbda", (
        "out**(1 - lmbda)",
        ("out*np.where(lmbda == 0, -0.5*y*y, (y/(lmbda*y + 1) - np.log1p(lmbda*y)/np.where(lmbda == 0, 1.0, lmbda))"
        "/np.where(lmbda == 0, 1.0, lmbda))"),
    )),
    ("inv_boxcox1p", "y, lmbda", (
        "(1 + out)**(1 - lmbda)",
        ("(1 + out)*np.where(lmbda == 0, -0.5*y*y, (y/(lmbda*y + 1) - np.log1p(lmbda*y)/np.where(lmbda == 0, 1.0, lmbda))"
        "/np.where(lmbda == 0, 1.0, lmbda))"),
    )),
    ("huber", "delta, r", ("np.where(np.abs(r) <= delta, 0.0, np.abs(r) - delta)", "np.clip(r, -delta, delta)")),
    ("pseudo_huber", "delta, r", ("2*out/delta - r*r/(delta*np.sqrt(1 + (r/delta)**2))", "r/np.sqrt(1 + (r/delta)**2)")),
    ("rel_entr", "x, y", ("np.log(x/y) + 1", "-x/y")),
    ("kl_div", "x, y", ("np.log(x/y)", "1 - x/y")),
    ("xlogy", "x, y", ("np.log(y)", "np.where(x == 0, 0.0, x/np.where(x == 0, 1.0, y))")),
    ("xlog1py", "x, y", ("np.log1p(y)", "np.where(x == 0, 0.0, x/np.where(x == 0, 1.0, 1 + y))")),
    ("powm1", "x, y", ("y*x**(y - 1)", "(out + 1)*np.log(x)")),
    ("entr", "x", ("-np.log(x) - 1",)),
)  # fmt: skip

TABLE: Final[tuple[tuple[str, str, tuple[str | None, ...]], ...]] = (
    *_BESSEL, *_ERRORS, *_GAMMA, *_DISTRIBUTIONS, *_ELLIPTIC, *_HYPERGEOMETRIC, *_POLYNOMIALS, *_IN_DEGREES, *_STATISTICS,
)  # fmt: skip

SEVERAL: Final[tuple[tuple[str, str, tuple[tuple[str, ...], ...]], ...]] = (  # for each result its partials; `outs` are all
    ("airy", "x", (("outs[1]",), ("x*outs[0]",), ("outs[3]",), ("x*outs[2]",))),
    ("fresnel", "x", (("np.sin(1.5707963267948966*x*x)",), ("np.cos(1.5707963267948966*x*x)",))),
    ("sici", "x", (("np.where(x == 0, 1.0, np.sin(x)/np.where(x == 0, 1.0, x))",), ("np.cos(x)/x",))),
    ("shichi", "x", (("np.where(x == 0, 1.0, np.sinh(x)/np.where(x == 0, 1.0, x))",), ("np.cosh(x)/x",))),
    ("ellipj", "u, m", (
        ("outs[1]*outs[2]", ORDER), ("-outs[0]*outs[2]", ORDER), ("-m*outs[0]*outs[1]", ORDER), ("outs[2]", ORDER))),
    ("itj0y0", "x", (("special.j0(x)",), ("special.y0(x)",))),
    ("iti0k0", "x", (("special.i0(x)",), ("special.k0(x)",))),
    ("it2j0y0", "x", (("(1 - special.j0(x))/x",), ("-special.y0(x)/x",))),
    ("it2i0k0", "x", (("(special.i0(x) - 1)/x",), ("-special.k0(x)/x",))),
)  # fmt: skip
