import numpy as np
import pytest

from odead.ode.gradients.quadrature import integrate


def exact_only(part):
    return np.full_like(part, np.inf)


@pytest.mark.parametrize("degree", range(12))
def test_the_fine_rule_is_exact_to_degree_11(degree):
    found = integrate(lambda t: t[:, None] ** degree, 0.5, 2.0, exact_only)
    np.testing.assert_allclose(found, [(2.0 ** (degree + 1) - 0.5 ** (degree + 1)) / (degree + 1)], rtol=2e-14)


def test_backwards_changes_the_sign():
    forwards = integrate(lambda t: np.exp(t)[:, None], 0.0, 1.0, exact_only)
    np.testing.assert_allclose(integrate(lambda t: np.exp(t)[:, None], 1.0, 0.0, exact_only), -forwards)


def test_a_peak_is_found_by_halving():
    found = integrate(lambda t: np.stack([1 / (1e-4 + t**2), np.cos(t)], axis=1), -1.0, 2.0, lambda part: 1e-10 * np.abs(part))
    exact = 100 * (np.arctan(200) + np.arctan(100)), np.sin(2) + np.sin(1)
    np.testing.assert_allclose(found, exact, rtol=1e-9)
