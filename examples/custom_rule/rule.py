"""A tabulated law inside a right-hand side: from "cannot be traced" to exact derivatives with one rule, then faster.

Run: python rule.py
"""

import time
import warnings

import numpy as np
from scipy.interpolate import splev

import odead
from material import TABLE, Nx, conductivity, rhs
from odead import BatchDuplicated, Const, Forward

x = np.linspace(300.0, 900.0, Nx) + 40.0 * np.sin(np.arange(Nx))
p = np.array([1.1, 3.6e6])

# 1. FITPACK is compiled code, which odead cannot look into.
try:
    odead.gradient(lambda x: conductivity(x, 1.1).sum(), x)
except odead.OdeadError as error:
    print("without a rule:", str(error).split(": ", 1)[1].split(". ")[0])

# 2. As a primitive it is called, and one rule says what a cotangent of its value means for its arguments. It serves every
# combination of activities, also in forward mode, there with one application per output: odead warns that this is dear.
law = odead.primitive(conductivity)
warnings.simplefilter("ignore", odead.OdeadWarning)


@odead.rule(law)
def _(T, factor):
    def pullback(bar):
        return bar * factor * splev(T, TABLE, der=1), lambda: (bar * splev(T, TABLE)).sum()

    return law(T, factor), pullback


def rod(dx, x, p):
    rhs(dx, x, p, 0.0, law)


odead.check_rule(law, x, 1.1)
odead.check_derivatives(rod, np.zeros(Nx), x, p, rtol=1e-5)
print("with one rule: check_rule and check_derivatives found nothing wrong")


# 3. A specific rule only adds speed. This one serves the Jacobian: all tangents at once, the factor constant.


def seconds(function):
    function()  # records
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


flux = odead.compile(law, x, 1.1)
by_default, before = flux.jac((x, 1.1)), seconds(lambda: flux.jac((x, 1.1)))


@odead.rule(law, mode=Forward, activity=(BatchDuplicated, Const))
def _(config, T, factor):
    slope = factor.val * splev(T.val, TABLE, der=1)
    return law(T.val, factor.val), T.dval * slope  # a row per tangent


flux = odead.compile(law, x, 1.1)
by_specific, after = flux.jac((x, 1.1)), seconds(lambda: flux.jac((x, 1.1)))
assert np.allclose(by_specific, by_default, rtol=1e-14, atol=0)
print(f"Jacobian: default rule {before * 1e6:.0f} us, specific rule {after * 1e6:.0f} us, {before / after:.0f} times faster")
