"""Every tableau against the order conditions, by rooted trees."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from odead.ode.methods import EXPLICIT

TABLEAUS = pytest.mark.parametrize("tableau", EXPLICIT.values(), ids=EXPLICIT)


@cache
def trees(order):
    """Rooted trees with that many nodes, each the sorted tuple of its subtrees."""
    if order == 1:
        return ((),)
    return tuple({tuple(sorted(forest)) for forest in forests(order - 1, order - 1)})


def forests(nodes, largest):
    if nodes == 0:
        yield ()
        return
    for size in range(1, min(nodes, largest) + 1):
        for tree in trees(size):
            for rest in forests(nodes - size, size):
                yield (tree, *rest)


def nodes(tree):
    return 1 + sum(map(nodes, tree))


def density(tree):
    return nodes(tree) * int(np.prod([density(child) for child in tree], initial=1))


def stage_values(tree, a):
    """Elementary weight of each stage."""
    value = np.ones(len(a))
    for child in tree:
        value = value * (a @ stage_values(child, a))
    return value


def whole(tableau):
    """a as a square matrix over all stages, those of the interpolant included."""
    a = np.zeros((tableau.all_stages,) * 2)
    s = tableau.stages
    a[:s, : s - 1] = tableau.a
    if tableau.all_stages > s:
        a[s:, :-1] = tableau.extra_a
    return a


@TABLEAUS
def test_solution_has_its_order(tableau):
    a, b = whole(tableau), whole(tableau)[tableau.stages - 1]
    for order in range(1, tableau.order + 1):
        for tree in trees(order):
            assert b @ stage_values(tree, a) == pytest.approx(1 / density(tree), abs=2e-14)


@TABLEAUS
def test_solution_has_no_higher_order(tableau):
    a, b = whole(tableau), whole(tableau)[tableau.stages - 1]
    errors = [abs(b @ stage_values(tree, a) - 1 / density(tree)) for tree in trees(tableau.order + 1)]
    assert max(errors) > 1e-6


@TABLEAUS
def test_error_estimate_has_its_order(tableau):
    a = whole(tableau)[: tableau.stages, : tableau.stages]
    orders = (tableau.error_order,) if len(tableau.errors) == 1 else (5, 3)
    for weights, order in zip(tableau.errors, orders, strict=True):
        for low in range(1, order + 1):
            for tree in trees(low):
                assert weights @ stage_values(tree, a) == pytest.approx(0, abs=2e-14)
        assert max(abs(weights @ stage_values(tree, a)) for tree in trees(order + 1)) > 1e-6


@TABLEAUS
def test_interpolant_has_its_order(tableau):
    order = {"RK23": 3, "RK45": 4, "DOP853": 7, "Tsit5": 4}[tableau.name]
    a = whole(tableau)
    for q in (0.1, 0.4, 0.77):
        for low in range(1, order + 1):
            for tree in trees(low):
                assert tableau.weights(q) @ stage_values(tree, a) == pytest.approx(q**low / density(tree), abs=1e-12)


@TABLEAUS
def test_interpolant_joins_smoothly(tableau):
    slopes = (tableau.weights([1e-6, 1.0]) - tableau.weights([0, 1 - 1e-6])) / 1e-6
    ends = np.eye(tableau.all_stages)[[0, tableau.stages - 1]].T
    np.testing.assert_allclose(slopes, ends, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"c": np.array([0, 0.5, 0.7, 1])}, "rows of a do not sum to c"),
        ({"errors": np.array([[0.1, 0, 0, 0]])}, "error weights do not sum to 0"),
        ({"errors": np.zeros((1, 3))}, "errors has another shape"),
        ({"interpolant": np.eye(4, 3)}, "the interpolant does not"),
        ({"a": np.array([[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0.25], [0, 0, 1]])}, "uses itself or a later one"),
    ],
)
def test_wrong_coefficients_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(EXPLICIT["RK23"], **change)
