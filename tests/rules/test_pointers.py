"""C functions by their address: ctypes, `scipy.LowLevelCallable` and Numba, inside programs and compiled solves."""

import ctypes
import ctypes.util
import sys
import threading
import time

import numpy as np
import pytest
import scipy
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import cython_special, j0, j1

import odead
from odead import RuleError, check_derivatives, check_rule, gradient, hessian, jacobian, sensitivity
from odead._core import OPCODES
from odead.errors import ArgumentTypeError
from odead.execute.lowering import lower

X = np.array([0.3, 0.7, 1.1])
DOUBLE, DOUBLES = ctypes.c_double, ctypes.POINTER(ctypes.c_double)
LIBM = None if sys.platform == "win32" else ctypes.CDLL(ctypes.util.find_library("m"))


def from_libm(name, arity=1):
    if LIBM is None:
        pytest.skip("there is no libm")
    function = LIBM[name]
    function.argtypes, function.restype = [DOUBLE] * arity, DOUBLE
    return odead.primitive(function)


@pytest.fixture
def sin():
    sin, cos = from_libm("sin"), from_libm("cos")
    odead.easy_rule(sin, ("cos(arg0)",), names={"cos": cos})
    odead.easy_rule(cos, ("-sin(arg0)",), names={"sin": sin})
    check_rule(sin, X)
    check_rule(cos, 0.4)
    return sin


@pytest.fixture
def numba():
    return pytest.importorskip("numba", reason="needs Numba")


def scaled_squares(numba):
    """out = c * x**2, in place."""
    types = numba.types

    @numba.cfunc(types.void(types.CPointer(types.float64), types.CPointer(types.float64), types.intp, types.float64))
    def squares(out, x, n, c):
        for k in range(n):
            out[k] = c * x[k] * x[k]

    return squares


# ---------------------------------------------------------------------------------------------------- values, derivatives


def test_ctypes_elementwise(sin):
    assert_array_equal(sin(X), np.sin(X))
    assert type(sin(0.3)) is float
    assert_allclose(gradient(lambda x: (sin(x) * x[0]).sum(), X), np.cos(X) * X[0] + [np.sin(X).sum(), 0, 0])
    assert_allclose(hessian(lambda x: sin(2.0 * x).sum(), X), np.diag(-4 * np.sin(2 * X)), atol=1e-14)
    assert_allclose(jacobian(sin, X), np.diag(np.cos(X)), atol=1e-15)
    check_derivatives(lambda x: sin(sin(x[::2]))[0], X)


def test_several_arguments_broadcast_numbers():
    hypot = from_libm("hypot", 2)
    odead.easy_rule(hypot, ("arg0/out", "arg1/out"))
    check_rule(hypot, X, 0.4)
    check_rule(hypot, X.reshape(3, 1), X.reshape(3, 1) + 1)
    check_rule(hypot, 0.3, 0.4)
    with pytest.raises(ArgumentTypeError, match="arrays of one shape"):
        hypot(X, X[:2])


def test_low_level_callable():
    bessel, other = (odead.primitive(scipy.LowLevelCallable.from_cython(cython_special, name)) for name in ("j0", "j1"))
    odead.rule(bessel)(lambda x: (bessel(x), lambda bar: (-bar * other(x),)))
    check_rule(bessel, X)
    check_rule(bessel, 0.4)
    assert_allclose(bessel(X), j0(X), rtol=1e-14)
    assert_allclose(gradient(lambda x: bessel(x).sum(), X), -j1(X), rtol=1e-14)


def test_user_data_of_a_low_level_callable(numba):
    types = numba.types

    @numba.cfunc(types.float64(types.float64, types.CPointer(types.float64)))
    def power(x, data):
        return x ** data[0]

    data = (DOUBLE * 1)(3.0)
    pointer = ctypes.cast(data, ctypes.c_void_p)
    cube = odead.primitive(scipy.LowLevelCallable(power.ctypes, pointer, "double (double x, void *user_data)"))
    odead.easy_rule(cube, ("3*x**2",))
    check_rule(cube, X)
    assert_allclose(cube(X), X**3)


def test_arrays_integers_and_numbers(numba):
    squares = odead.primitive(scaled_squares(numba), writes=("out",))

    @odead.rule(squares)
    def _(out, x, n, c):
        squares(out, x, n, c)
        entry = x.copy()
        mask = np.arange(3) < n

        def pullback(bar):
            return np.where(mask, 0.0, bar), np.where(mask, 2 * c * entry * bar, 0.0), None, (entry**2 * bar)[:n].sum()

        return None, pullback

    check_rule(squares, np.zeros(3), X, 3, 2.0)

    def f(x, c, n):
        out, total = np.zeros(3), 0.0
        for factor in (1.0, 2.0, 3.0, 4.0):
            squares(out, x, n, factor * c)
            total = total + out.sum()
        return total

    assert_allclose(gradient(f, X, 2.0, 3), 40.0 * X)
    assert_allclose(gradient(f, X, 2.0, 2), [*(40.0 * X[:2]), 0.0])


def test_body_of_a_numba_function_is_traced_without_a_rule(numba):
    squares = odead.primitive(scaled_squares(numba), writes=("out",))

    def f(x, c):
        out = np.zeros(3)
        squares(out, x, 3, c)
        return (out * x).sum()

    check_derivatives(f, X, 2.0)
    assert_allclose(hessian(lambda x: f(x, 2.0), X), np.diag(12 * X))
    assert "call" in str(odead.compile(f, X, 2.0).tape)


def test_python_callback_and_finite_differences():
    kind = ctypes.CFUNCTYPE(DOUBLE, DOUBLE)
    cube = odead.primitive(kind(lambda x: x**3), finite_differences=True)
    check_derivatives(lambda x: cube(x), X, rtol=1e-5)


# ---------------------------------------------------------------------------------------------------- without the GIL


def model(law):
    def rhs(dx, x, p, t):
        dx[:] = -p[0] * law(x) + p[1]

    return rhs


SOLVES = [("forward", "Tsit5"), ("adjoint", "Tsit5"), ("continuous", "Tsit5"), ("forward", "BDF"), ("forward", "Rodas5P")]


@pytest.mark.parametrize(("mode", "method"), SOLVES)
def test_compiled_solves(sin, mode, method):
    options = {"loss": lambda x: x.sum(), "mode": mode, "method": method, "engine": "native", "rtol": 1e-9, "atol": 1e-11}
    p = np.array([0.7, 0.4])
    found, plain = (sensitivity(model(law), X, p, (0.0, 1.0), **options) for law in (sin, np.sin))
    assert_allclose(found.grad, plain.grad, rtol=1e-9)


def test_compiled_solve_with_finite_differences():
    sin, p = from_libm("sin"), np.array([0.7, 0.4])
    sin.finite_differences = True
    options = {"loss": lambda x: x.sum(), "method": "Tsit5", "engine": "native", "rtol": 1e-9, "atol": 1e-11}
    for mode in ("forward", "adjoint"):
        found, plain = (sensitivity(model(law), X, p, (0.0, 1.0), mode=mode, **options) for law in (sin, np.sin))
        assert_allclose(found.grad, plain.grad, rtol=1e-7)


def test_no_instruction_needs_python(sin):
    def rhs(dx, x, p):
        dx[:] = -p[0] * sin(x)

    compiled = odead.compile(rhs, np.zeros(3), X, np.array([0.7]))
    assert lower(compiled.tape, OPCODES).calls == ()
    called = np.unique(lower(compiled.tape, OPCODES).rows[:, 0])
    assert OPCODES["call_pointer"] in called


@pytest.mark.skipif(sys.platform == "win32", reason="needs usleep")
def test_other_threads_run_meanwhile():
    usleep = ctypes.CDLL(None).usleep
    usleep.argtypes, usleep.restype = [ctypes.c_int], DOUBLE
    wait = odead.primitive(usleep)
    runner = threading.Thread(target=wait, args=(200_000,))
    begin = time.perf_counter()
    runner.start()
    began = time.perf_counter() - begin
    runner.join()
    assert began < 0.1 < time.perf_counter() - begin


# ---------------------------------------------------------------------------------------------------- bad input


def test_no_rule_and_no_body():
    gamma = from_libm("tgamma")
    with pytest.raises(RuleError, match=r"it is a C function, which odead cannot look into[\s\S]*@odead.rule\(tgamma\)"):
        gradient(lambda x: gamma(x).sum(), X)
    assert odead.compile(lambda x: gamma(x).sum(), X).primal(X) == gamma(X).sum()


SIGNATURES = {
    "float (float)": "the signature 'float",
    "double (float)": "the parameter 'float'",
    "double (double, double, double, double, double, double, double)": "7 parameters",
    "double": "the signature",
    "double (double **)": r"the parameter 'double \*\*'",
    "double (void *, double)": r"the parameter 'void \*'",
    "void (double *x, int n)": "say into which of its arrays it writes",
    "void (const double *x, int n)": "none",
}


@pytest.mark.parametrize("text", SIGNATURES)
def test_unknown_signatures(text):
    address = ctypes.CFUNCTYPE(DOUBLE, DOUBLE)(abs)
    with pytest.raises(RuleError, match=SIGNATURES[text]):
        odead.primitive(scipy.LowLevelCallable(address, None, text))


def test_unknown_types_of_ctypes():
    one = ctypes.CFUNCTYPE(ctypes.c_float, DOUBLE)(abs)
    with pytest.raises(RuleError, match="a result c_float"):
        odead.primitive(one)
    with pytest.raises(RuleError, match="a parameter c_float"):
        odead.primitive(ctypes.CFUNCTYPE(DOUBLE, ctypes.c_float)(abs))
    with pytest.raises(RuleError, match="NULL"):
        odead.primitive(ctypes.CFUNCTYPE(DOUBLE, DOUBLE)())
    if LIBM is not None:
        with pytest.raises(RuleError, match=r"set cbrt.argtypes and cbrt.restype"):
            odead.primitive(LIBM["cbrt"])


def test_arguments_that_do_not_fit(numba):
    squares = odead.primitive(scaled_squares(numba), writes=("out",))
    with pytest.raises(TypeError, match="takes 4 arguments"):
        squares(X)
    for args, message in (
        ((np.zeros(3), X.astype(np.float32), 3, 1.0), "x is an array of float64, and was given an array of float32"),
        ((np.zeros(3), 1.0, 3, 1.0), "x is an array of float64, and was given a number"),
        ((np.zeros(3), X, 3.0, 1.0), "n is an integer, and was given a number"),
        ((np.zeros(3), X, 3, X), "c is one double, and was given an array"),
        (([0.0] * 3, X, 3, 1.0), "not list"),
        ((np.zeros(3), X, 3, "c"), "not str"),
    ):
        with pytest.raises(ArgumentTypeError, match=message):
            squares(*args)
    with pytest.raises(ArgumentTypeError, match=r"n is an integer, and was given a number"):
        gradient(lambda x: squares(np.zeros(3), x, x[0], 1.0) or x[0], X)
    with pytest.raises(RuleError, match="a double"):
        odead.primitive(scaled_squares(numba), writes=("c",))
    with pytest.raises(RuleError, match="no parameter of this name"):
        odead.primitive(scaled_squares(numba), writes=("y",))
    undeclared = odead.primitive(
        scipy.LowLevelCallable(scaled_squares(numba).ctypes, None, "double (double *out, double *x, intptr_t n, double c)")
    )
    with pytest.raises(RuleError, match=r"does not say: odead.primitive\(\.\.\., writes=\('out',\)\)"):
        gradient(lambda x: undeclared(0.0 * x, x, 3, 1.0) * x[0], X)
