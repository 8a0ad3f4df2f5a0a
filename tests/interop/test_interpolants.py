"""Interpolants of SciPy whose values are numbers: compiled, and the same as SciPy's inside, outside and at the knots."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import interpolate

import odead
from odead import gradient, hessian
from odead.errors import IntegrationError, RuleError, TracingError
from odead.ode.problem.problem import make_problem

KNOTS = np.array([0.0, 0.5, 1.25, 2.0, 2.5, 3.5, 4.0])
VALUES = np.array([1.0, -0.5, 2.0, 0.5, 0.0, 1.5, -1.0])
TCK = interpolate.splrep(KNOTS, VALUES)
INTERPOLANTS = {
    "cubic": interpolate.CubicSpline(KNOTS, VALUES),
    "ends at its knots": interpolate.CubicSpline(KNOTS, VALUES, extrapolate=False),
    "periodic": interpolate.CubicSpline(KNOTS, np.append(VALUES[:-1], VALUES[0]), bc_type="periodic"),
    "pchip": interpolate.PchipInterpolator(KNOTS, VALUES),
    "akima": interpolate.Akima1DInterpolator(KNOTS, VALUES),
    "bspline": interpolate.make_interp_spline(KNOTS, VALUES, k=2),
    "quintic": interpolate.make_interp_spline(KNOTS, VALUES, k=5),
    "fitted": interpolate.UnivariateSpline(KNOTS, VALUES, s=0.5),
    "zero outside": interpolate.InterpolatedUnivariateSpline(KNOTS, VALUES, ext="zeros"),
    "constant outside": interpolate.InterpolatedUnivariateSpline(KNOTS, VALUES, ext=3),
    "line": interpolate.interp1d(KNOTS, VALUES, fill_value="extrapolate"),
    "filled": interpolate.interp1d(KNOTS, VALUES, bounds_error=False, fill_value=(7.0, -7.0)),
    "bounded": interpolate.interp1d(KNOTS, VALUES),
    "unsorted": interpolate.interp1d(KNOTS[::-1], VALUES[::-1], bounds_error=False),
    "interp1d cubic": interpolate.interp1d(KNOTS, VALUES, kind="cubic", fill_value="extrapolate"),
    "quadratic": interpolate.interp1d(KNOTS, VALUES, kind="quadratic"),
    "zero": interpolate.interp1d(KNOTS, VALUES, kind="zero"),
    **{
        kind: interpolate.interp1d(KNOTS, VALUES, kind=kind, fill_value="extrapolate")
        for kind in ("previous", "next", "nearest", "nearest-up")
    },
}
STEPS = ("previous", "next", "nearest", "nearest-up", "zero")
BOUNDED = ("bounded", "quadratic", "zero")
INSIDE = np.array([0.1, 0.6, 1.9, 2.2, 3.9])
EVERYWHERE = np.concatenate([[-0.3], KNOTS, (KNOTS[1:] + KNOTS[:-1]) / 2, INSIDE, [4.7]])


@pytest.mark.parametrize("name", INTERPOLANTS)
def test_values(name):
    made = INTERPOLANTS[name]
    points = EVERYWHERE[1:-1] if name in BOUNDED else EVERYWHERE
    weights = np.arange(1.0, 1 + points.size)
    traced = np.array([odead.value_and_gradient(lambda x: np.sum(made(x)), np.array([x]))[0] for x in points])
    assert_allclose(traced, made(points), rtol=1e-12, atol=1e-12)
    together = odead.jacobian(lambda x: weights * made(x), points)
    finite = np.isfinite(made(points))
    alone = [gradient(lambda x: np.sum(made(x)), np.array([x]))[0] for x in points] * weights
    assert_allclose(np.diag(together)[finite], alone[finite], rtol=1e-12)
    scalar = odead.value_and_gradient(lambda x: 2.0 * made(x), 1.9)[0]
    assert_allclose(scalar, 2.0 * made(1.9), rtol=1e-12)


@pytest.mark.parametrize("name", INTERPOLANTS)
def test_derivatives(name):
    made = INTERPOLANTS[name]
    h = 1e-6
    differences = (made(INSIDE + h) - made(INSIDE - h)) / (2 * h)
    assert_allclose(gradient(lambda x: np.sum(made(x)), INSIDE), differences, rtol=1e-6, atol=1e-7)
    if isinstance(made, (interpolate.PPoly, interpolate.BSpline, interpolate.UnivariateSpline)):
        assert_allclose(np.diag(hessian(lambda x: np.sum(made(x)), INSIDE)), made(INSIDE, 2), rtol=1e-9, atol=1e-9)
        assert_allclose(gradient(lambda x: np.sum(made(x, 1)), INSIDE), made(INSIDE, 2), rtol=1e-9, atol=1e-9)
    if name in STEPS:
        assert_allclose(differences, 0.0)


@pytest.mark.parametrize("der", [0, 1, 2])
def test_splev(der):
    spline = interpolate.BSpline(*TCK)
    expected = interpolate.splev(INSIDE, TCK, der + 1)
    assert_allclose(gradient(lambda x: np.sum(interpolate.splev(x, spline, der)), INSIDE), expected, rtol=1e-9)
    with pytest.raises(TracingError, match=r"BSpline\(\*tck\)"):
        gradient(lambda x: np.sum(interpolate.splev(x, TCK, der)), INSIDE)


def test_outside_of_bounds():
    bounded = INTERPOLANTS["bounded"]
    with pytest.raises(ValueError, match="above the interpolation range"):
        gradient(lambda x: bounded(x), 4.5)
    with pytest.raises(IntegrationError, match="left its domain"):  # where a plain call raises
        odead.solve(lambda x, p, t: bounded(t) - x, [1.0], None, (0, 5))
    stepwise = odead.solve(lambda x, p, t: bounded(t) - x, [1.0], None, (0, 4))
    assert stepwise.success
    pairs = interpolate.interp1d(KNOTS, np.stack([VALUES, VALUES]))
    with pytest.raises(RuleError, match="one for each column"):
        gradient(lambda x: np.sum(pairs(x)), 1.0)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize("name", ["line", "previous", "pchip", "fitted"])
def test_forcing_of_an_ode(name, mode):
    made = INTERPOLANTS[name]

    def forced(dx, x, p, t):
        dx[0] = p[0] * made(t) - p[1] * x[0]
        dx[1] = x[0] - (x[1] if name == "previous" else made(np.clip(x[1], 0.0, 4.0)))

    times = np.linspace(0.3, 4.0, 12)
    given = {"x0": np.array([0.2, 1.0]), "tspan": (0, 4), "t_eval": times, "loss": lambda y: np.sum(y**2)}
    p = np.array([1.2, 0.7])
    result = odead.sensitivity(forced, p=p, mode=mode, **given)

    def loss(p):
        return odead.sensitivity(forced, p=p, mode="forward", rtol=1e-11, atol=1e-12, method="DOP853", **given).loss

    steps = 1e-5 * np.eye(2)
    assert_allclose(result.grad, [(loss(p + h) - loss(p - h)) / 2e-5 for h in steps], rtol=5e-5)


@pytest.mark.parametrize(("name", "smooth"), [("cubic", True), ("quintic", True), ("pchip", False), ("bspline", False)])
def test_knots_of_smooth_splines_are_no_switches(name, smooth):
    """To look at each of them made a solve with a cubic spline ten times as long."""
    spline = INTERPOLANTS[name]

    def rhs(x, p, t):
        return -p * x + spline(t)

    problem = make_problem(rhs, np.ones(1), np.ones(1), (0, 4), None)
    assert problem.rhs.has_selects != smooth

    def slopes(x, p, t):
        return -p * x + spline(t, 1)  # of a cubic one it bends at the knots

    assert make_problem(slopes, np.ones(1), np.ones(1), (0, 4), None).rhs.has_selects == (name != "quintic")


@pytest.mark.parametrize("mode", ["forward", "adjoint"])
def test_an_ensemble_driven_by_a_smooth_spline(mode):
    """Side by side each member is on a piece of its own."""
    knots = np.linspace(0, 4, 17)
    spline = interpolate.CubicSpline(knots, np.sin(knots))

    def rhs(x, p, t):
        return [-p[0] * x[0] + spline(p[1] * t)]

    def exact(x, p, t):
        return [-p[0] * x[0] + np.sin(p[1] * t)]

    def loss(y):
        return y[0, -1]

    ps = [[1.0 + 0.1 * k, 0.5 + 0.05 * k] for k in range(9)]
    members = odead.ensemble(rhs, [[1.0]], ps, (0, 3.5), wrt="p", loss=loss, mode=mode, rtol=1e-8)
    for p, member in zip(ps, members, strict=True):
        alone = odead.sensitivity(rhs, [1.0], p, (0, 3.5), loss=loss, mode=mode, rtol=1e-8)
        assert_allclose(member.grad, alone.grad, rtol=1e-9)
        stiff = odead.sensitivity(rhs, [1.0], p, (0, 3.5), loss=loss, mode="forward", method="Rodas5P", rtol=1e-9)
        assert_allclose(member.grad, stiff.grad, atol=2e-6)
        smooth = odead.sensitivity(exact, [1.0], p, (0, 3.5), loss=loss, rtol=1e-9)
        assert_allclose(member.grad, smooth.grad, atol=1e-2)  # as the slope of the spline


def test_an_interpolant_that_is_replaced_is_noticed():
    tables = {"rate": INTERPOLANTS["line"]}

    def forced(x, p, t):
        return p[0] * tables["rate"](t) - x

    def final():
        return odead.sensitivity(forced, [1.0], [1.0], (0, 4), loss=lambda y: y[0, -1], mode="adjoint").loss

    before = [final() for _ in range(3)]
    tables["rate"] = interpolate.interp1d(KNOTS, VALUES + 1)
    assert_allclose(final() - before[-1], 1 - np.exp(-4), rtol=1e-5)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_an_interpolant_among_the_parameters(mode):
    made = INTERPOLANTS["cubic"]

    def forced(x, p, t):
        return p["gain"] * p["law"](t) - x

    def by_closure(x, p, t):
        return p["gain"] * made(t) - x

    given = {"x0": [1.0], "tspan": (0, 4), "loss": lambda y: y[0, -1], "mode": mode}
    result = odead.sensitivity(forced, p={"gain": 2.0, "law": made}, **given)
    assert_allclose(result.grad["gain"], odead.sensitivity(by_closure, p={"gain": 2.0}, **given).grad["gain"], rtol=1e-12)
    assert result.grad["law"] is made
