"""Functions of scipy.special that have rules: every row of the tables, by the law and in second order."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special

import odead
from odead import check_derivatives, gradient, hessian
from odead.interop import scipy_special  # noqa: F401  # its rules are checked here
from odead.interop.special_tables import ORDER, SEVERAL, TABLE

POINTS = np.array([0.3, 1.7, 2.2])
AT = {
    "yn": (2, 0.6), "kn": (2, 0.6), "gammainc": (2.0, 0.6), "gammaincc": (2.0, 0.6), "gammaincinv": (2.0, 0.6),
    "gammainccinv": (2.0, 0.6), "betainc": (2.0, 1.5, 0.4), "betaincc": (2.0, 1.5, 0.4), "betaincinv": (2.0, 1.5, 0.4),
    "betainccinv": (2.0, 1.5, 0.4), "expn": (2, 0.6), "ndtri_exp": (-0.6,), "binom": (4.3, 1.4), "chdtr": (3.0, 1.4),
    "chdtrc": (3.0, 1.4), "chdtri": (3.0, 0.4), "fdtr": (3.0, 5.0, 1.4), "fdtrc": (3.0, 5.0, 1.4), "fdtri": (3.0, 5.0, 0.4),
    "stdtr": (3.0, 1.4), "stdtrit": (3.0, 0.4), "gdtr": (0.6, 1.5, 1.4), "gdtrc": (0.6, 1.5, 1.4), "pdtr": (2.5, 1.4),
    "pdtrc": (2.5, 1.4), "bdtr": (2.5, 5, 0.4), "bdtrc": (2.5, 5, 0.4), "nbdtr": (2, 5, 0.4), "nbdtrc": (2, 5, 0.4),
    "voigt_profile": (0.6, 0.9, 1.4),
    "elliprf": (0.6, 1.4, 0.9), "hyp0f1": (1.4, 0.6), "hyp1f1": (0.6, 1.4, 0.3), "hyp2f1": (0.6, 1.4, 0.9, 0.3),
    "hyperu": (0.6, 1.4, 0.9), "ellipkinc": (0.6, 0.4), "ellipeinc": (0.6, 0.4), "eval_jacobi": (3, 0.6, 1.4, 0.3),
    "eval_gegenbauer": (3, 0.6, 0.3), "eval_genlaguerre": (3, 0.6, 0.3), "round": (0.3,),
    **{f"eval_{name}": (3, 0.3) for name in (
        "legendre", "sh_legendre", "chebyt", "sh_chebyt", "chebyc", "chebyu", "hermite", "hermitenorm", "laguerre")},
}  # fmt: skip
AT |= {f"spherical_{kind}n": (2, 0.6) for kind in "jyik"}
FIRST_ORDER = {"elliprf"}  # of whose derivative there is no rule
HALF = ("jv", "yv", "iv", "kv", "jve", "yve", "ive", "kve", "struve", "modstruve")


def at(name, count):
    return AT.get(name, (1.5, 0.6) if name in HALF else (0.6,) if count == 1 else (0.6, 1.4))


def of_active(name, xs, fixed, pick=lambda out: out):
    """The function of those arguments in which its derivative is known."""

    def f(*active):
        given = iter(active)
        return pick(getattr(special, name)(*[x if k in fixed else next(given) for k, x in enumerate(xs)]))

    return f


@pytest.mark.parametrize(("name", "partials"), [(name, partials) for name, _, partials in TABLE])
def test_function(name, partials):
    xs = at(name, len(partials))
    fixed = [k for k, partial in enumerate(partials) if partial == ORDER]
    f = of_active(name, xs, fixed)
    active = [x for k, x in enumerate(xs) if k not in fixed]
    check_derivatives(f, *active)
    check_derivatives(f, *[np.array([x, 0.9 * x]) for x in active])
    if name not in FIRST_ORDER:
        check_derivatives(lambda *a: gradient(f, *a, wrt=len(a) - 1), *active)


@pytest.mark.parametrize(("name", "partials"), [(name, partials) for name, _, partials in SEVERAL])
def test_function_with_several_results(name, partials):
    xs = {"ellipj": (0.6, 0.4)}.get(name, (0.6,))
    fixed = [k for k, partial in enumerate(partials[0]) if partial == ORDER]
    active = [x for k, x in enumerate(xs) if k not in fixed]
    check_derivatives(of_active(name, xs, fixed), *active)
    check_derivatives(of_active(name, xs, fixed), *[np.array([x, 0.9 * x]) for x in active])
    for k in range(len(partials)):
        f = of_active(name, xs, fixed, lambda outs, k=k: outs[k])
        check_derivatives(lambda x, f=f: gradient(f, x), *active)


PYTHON = {
    "factorial": lambda x: special.factorial(x) + special.factorial(-x - 0.5),
    "comb": lambda x: special.comb(4.3, x) + special.comb(x + 3, 2) + special.comb(2, x + 5),
    "perm": lambda x: special.perm(4.3, x) + special.perm(x, 7),
    "zeta": lambda x: special.zeta(2.5, x),
    "softplus": special.softplus,
}


@pytest.mark.parametrize("name", PYTHON)
def test_functions_written_in_python(name):
    f, x = PYTHON[name], np.array([0.6, 1.3])
    assert_allclose(odead.jvp(f, (x,), (x,))[0], f(x), rtol=1e-14)
    check_derivatives(f, x)
    check_derivatives(lambda x: f(x), 0.6)


def test_results_are_written_where_out_says():
    def f(x):
        y = np.zeros(3)
        special.exp1(x, out=y)
        special.expi(y, out=y)
        special.xlogy(x, 2.0, out=x)
        return y

    for mode in (odead.Forward, odead.Reverse):
        check_derivatives(f, POINTS.copy(), mode=mode)


BRANCHES = {
    "lambertw": (special.lambertw, [0.6, 2.0, -0.2, 0.3 + 0.4j, -3.0 + 0.1j]),
    "lambertw, k=-1": (lambda z: special.lambertw(z, -1), [-0.2, -0.05, 0.3 + 0.4j]),
    "lambertw, k=2": (lambda z: special.lambertw(z, k=2), [0.6, 0.3 - 0.4j]),
    "wofz": (special.wofz, [0.6, 0.3 + 0.4j, 0.3 - 0.4j]),
    "hankel1": (lambda z: special.hankel1(1.5, z), [0.6, 0.3 + 0.4j]),
    "hankel2": (lambda z: special.hankel2(2, z), [0.6, 0.3 + 0.4j]),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_holomorphic_functions(name):
    f, points = BRANCHES[name]
    for z in points:
        assert_allclose(odead.jvp(f, (z,), (0.0 * z,))[0], f(z), rtol=1e-15)
        check_derivatives(f, z)
        check_derivatives(f, np.array([z, 1.1 * z]))
        check_derivatives(lambda x, f=f: gradient(lambda y: abs(f(y)) ** 2, x), z)
        if isinstance(z, float):
            check_derivatives(lambda x, f=f: f(x).real, z)


def test_polynomials_of_degree_zero_and_values_at_the_ends():
    for name in ("legendre", "chebyt", "chebyu", "hermite", "hermitenorm", "laguerre", "sh_legendre", "chebyc"):
        f = getattr(special, f"eval_{name}")
        assert gradient(lambda x, f=f: f(0, x), 0.3) == 0.0
        assert_allclose(gradient(lambda x, f=f: f(2, x), 1.0), (f(2, 1.0 + 1e-6) - f(2, 1.0 - 1e-6)) / 2e-6, rtol=1e-8)
    assert gradient(special.xlogy, 0.0, 0.0, wrt=1) == 0.0
    assert gradient(special.xlog1py, 0.0, -1.0, wrt=1) == 0.0
    assert gradient(special.gammainc, 1.0, 0.0, wrt=1) == 1.0


def test_a_derivative_of_which_no_formula_is_known_raises():
    for f, at in ((special.gammainc, (2.0, 0.6)), (special.jv, (1.5, 0.6)), (special.betainc, (2.0, 1.5, 0.4))):
        with pytest.raises(odead.RuleError, match="with respect to its order or shape"):
            gradient(f, *at)
        check_derivatives(lambda x, f=f, at=at: f(*at[:-1], x), at[-1])


def test_second_order_of_special_functions():
    found = hessian(lambda x: special.jv(2, x).sum(), POINTS)
    assert_allclose(found, np.diag(special.jvp(2, POINTS, 2)), rtol=1e-12)
