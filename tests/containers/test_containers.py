"""Random nested containers: shadows, annotated calls, gradients and products have the structure of the argument.

The oracle is the same function of the leaves laid out flat: what is known of arrays and numbers must hold inside containers.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import odead
from odead import Active, BatchDuplicated, Const, Duplicated, Forward, ForwardWithPrimal, Reverse, ReverseWithPrimal, autodiff
from odead.containers import flatten, map_leaves, promoted
from odead.zero import make_zero


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass
class Model:
    rate: Any
    state: Any


@dataclasses.dataclass(frozen=True)
class Frozen:
    rate: Any
    state: Any


class Fitted(dict):
    """A dict of the user's own."""


STATIC = st.one_of(st.integers(1, 3), st.sampled_from(["euler", "", None, True]))


@st.composite
def trees(draw: st.DrawFn, *, numbers: bool = True, arrays: bool = True, immutable: bool = False) -> Any:
    """A container, some of whose arrays are in it several times."""
    pool = [
        np.round(np.random.default_rng(k).uniform(-1, 1, draw(st.sampled_from([(2,), (3,), (2, 2), (1,)]))), 2)
        for k in range(3)
    ]
    leaf = STATIC
    if numbers:
        leaf |= st.floats(-1, 1).map(lambda x: round(x, 3))
    if arrays:
        leaf |= st.sampled_from(pool)
    boxes: list[Callable[[Any], Any]] = [
        lambda x: st.tuples(x, x),
        lambda x: st.builds(Pair, x, x),
        lambda x: st.builds(Frozen, x, x),
    ]
    if not immutable:
        boxes += [
            lambda x: st.lists(x, min_size=1, max_size=3),
            lambda x: st.dictionaries(st.sampled_from("abc"), x, min_size=1),
            lambda x: st.builds(Model, x, x),
            lambda x: st.dictionaries(st.sampled_from("abc"), x, min_size=1).map(Fitted),
        ]
    tree = draw(st.recursive(leaf, lambda x: st.one_of(*(box(x) for box in boxes)), max_leaves=7))
    assume(any(isinstance(x, (float, np.ndarray)) for x in leaves_of(tree)))
    return tree


def leaves_of(tree: Any) -> list[Any]:
    """As the user would walk through it."""
    if isinstance(tree, (tuple, list)):
        return [leaf for item in tree for leaf in leaves_of(item)]
    if isinstance(tree, dict):
        return [leaf for item in tree.values() for leaf in leaves_of(item)]
    if hasattr(tree, "__dataclass_fields__"):
        return [leaf for name in tree.__dataclass_fields__ for leaf in leaves_of(getattr(tree, name))]
    return [tree]


def total(tree: Any) -> Any:
    """Reads every leaf, each with a weight of its own; ints and strings count too."""
    result = 0.0
    for k, leaf in enumerate(leaves_of(tree)):
        if isinstance(leaf, (np.ndarray, float)):
            result = result + np.sum(np.sin(leaf) * leaf) * (k + 1)
        elif isinstance(leaf, int):
            result = result * leaf
        elif isinstance(leaf, str):
            result = result + len(leaf)
    return result


def advance(tree: Any) -> Any:
    """Updates every array in place, an array that is there twice two times; returns what the leaves come to."""
    carried = 1.0
    for k, leaf in enumerate(leaves_of(tree)):
        if isinstance(leaf, np.ndarray):
            leaf *= np.cos(carried) + k
            leaf[..., 0] = carried
            carried = leaf.sum()
        elif isinstance(leaf, float):
            carried = carried * leaf + 1
    return carried


def differentiable(tree: Any) -> list[Any]:
    return [x for x in flatten(tree)[0] if isinstance(x, (float, np.ndarray))]


def distinct(tree: Any) -> list[Any]:
    """The floats and the arrays, an array once."""
    seen: dict[Any, Any] = {}
    for k, leaf in enumerate(differentiable(tree)):
        seen.setdefault(id(leaf) if isinstance(leaf, np.ndarray) else ("number", k), leaf)
    return list(seen.values())


def of_leaves(f: Callable[[Any], Any], tree: Any) -> Callable[..., Any]:
    """f as a function of the distinct leaves."""
    leaves, structure = flatten(tree)
    order = [id(x) if isinstance(x, np.ndarray) else None for x in distinct(tree)]
    numbers = iter([k for k, key in enumerate(order) if key is None])
    places = [
        order.index(id(x)) if isinstance(x, np.ndarray) else next(numbers) if isinstance(x, float) else None for x in leaves
    ]

    def g(*flat: Any) -> Any:
        return f(structure.unflatten([leaf if k is None else flat[k] for leaf, k in zip(leaves, places, strict=True)]))

    return g


def shadow(tree: Any, seed: int) -> Any:
    """A random shadow: the structure and the aliasing of `tree`."""
    rng = np.random.default_rng(seed)
    made = make_zero(tree)
    known: set[int] = set()
    for leaf in flatten(made)[0]:
        if isinstance(leaf, np.ndarray) and id(leaf) not in known:
            leaf[...] = rng.uniform(0.5, 1.5, leaf.shape)
            known.add(id(leaf))
    return made


def same_structure(a: Any, b: Any) -> None:
    assert flatten(a)[1] == flatten(b)[1]
    for x, y in zip(flatten(a)[0], flatten(b)[0], strict=True):
        assert np.shape(x) == np.shape(y)


def copied(tree: Any) -> Any:
    """A copy with the aliasing of the original."""
    made: dict[int, np.ndarray] = {}
    return map_leaves(lambda x: made.setdefault(id(x), x.copy()) if isinstance(x, np.ndarray) else x, tree)


# -------------------------------------------------------------------------------------------- make_zero


@given(trees())
def test_make_zero(tree):
    zero = make_zero(tree)
    same_structure(zero, tree)
    before, after = flatten(tree)[0], flatten(zero)[0]
    for x, z in zip(before, after, strict=True):
        assert type(x) is type(z)
        if isinstance(x, np.ndarray):
            assert x.dtype == z.dtype
            assert not z.any()
            assert not any(np.shares_memory(z, y) for y in before if isinstance(y, np.ndarray))
        elif isinstance(x, float):
            assert z == 0.0
        else:
            assert z is x or z == x
    for j, x in enumerate(before):
        for k, y in enumerate(before):
            if isinstance(x, np.ndarray):
                assert (x is y) == (after[j] is after[k])


# -------------------------------------------------------------------------------------------- annotated calls


@given(trees(numbers=False), st.integers(0, 99))
def test_duplicated_in_reverse(tree, seed):
    flat_values = [x.copy() for x in distinct(tree)]
    flat_shadows = distinct(shadow(tree, seed))
    expected = autodiff(ReverseWithPrimal, of_leaves(advance, tree), Active, *map(Duplicated, flat_values, flat_shadows))
    values, d_values = copied(tree), shadow(tree, seed)
    found = autodiff(ReverseWithPrimal, advance, Active, Duplicated(values, d_values))
    assert found.derivs == (None,)
    assert_allclose(found.value, expected.value, rtol=1e-13)
    for a, b in zip(distinct(values) + distinct(d_values), flat_values + flat_shadows, strict=True):
        assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@given(trees(), st.integers(0, 99))
def test_duplicated_in_forward(tree, seed):
    flat_values = [x.copy() if isinstance(x, np.ndarray) else x for x in distinct(tree)]
    flat_shadows = distinct(shadow(tree, seed))
    expected = autodiff(ForwardWithPrimal, of_leaves(advance, tree), *map(Duplicated, flat_values, flat_shadows))
    values, d_values = copied(tree), shadow(tree, seed)
    found = autodiff(ForwardWithPrimal, advance, Duplicated(values, d_values))
    assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    for a, b in zip(distinct(values) + distinct(d_values), flat_values + flat_shadows, strict=True):
        assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@given(trees(numbers=False), st.integers(0, 99))
def test_batches(tree, seed):
    one, two = shadow(tree, seed), shadow(tree, seed + 1)
    both = shadow(tree, seed), shadow(tree, seed + 1)
    for lane in (one, two):
        autodiff(Forward, advance, Duplicated(copied(tree), lane))
    autodiff(Forward, advance, BatchDuplicated(copied(tree), both))
    for a, b in zip(distinct(both[0]) + distinct(both[1]), distinct(one) + distinct(two), strict=True):
        assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@given(trees(arrays=False, immutable=True))
def test_active_containers_of_numbers(tree):
    (derivative,) = autodiff(Reverse, total, Active(tree))
    same_structure(derivative, tree)
    leaves, found = flatten(tree)[0], flatten(derivative)[0]
    plain = {id(x) for x in _of_plain_tuples(tree)}
    for x, dx in zip(leaves, found, strict=True):
        if isinstance(x, float):
            assert isinstance(dx, float)
        elif not isinstance(x, int) or isinstance(x, bool) or id(x) not in plain:
            assert dx is x or dx == x


def _of_plain_tuples(tree: Any) -> list[Any]:
    if type(tree) is tuple:
        return [x for item in tree for x in (_of_plain_tuples(item) if flatten(item)[1].kind else [item])]
    return []


@given(trees())
def test_const_containers(tree):
    x, d_x, values = np.array([0.3, -0.8]), np.zeros(2), copied(tree)
    autodiff(lambda x, tree: x[0] * total(tree) + x[1], Duplicated(x, d_x), Const(values))
    assert_allclose(d_x, [total(tree), 1.0], rtol=1e-13)
    for a, b in zip(distinct(values), distinct(tree), strict=True):
        assert_array_equal(a, b)


# -------------------------------------------------------------------------------------------- helpers


@given(trees())
def test_gradient_has_the_structure_of_the_argument(tree):
    found = odead.gradient(total, tree)
    tree = promoted(tree)
    same_structure(found, tree)
    factor = [1.0]
    leaves = flatten(tree)[0]
    for x in reversed(leaves):
        factor.append(factor[-1] * (x if isinstance(x, int) else 1))
    weights = [(k + 1) * factor[len(leaves) - 1 - k] for k in range(len(leaves))]
    for x, dx, weight in zip(leaves, flatten(found)[0], weights, strict=True):
        if isinstance(x, (float, np.ndarray)):
            assert type(dx) is type(x)
            assert_allclose(dx, weight * (np.cos(x) * x + np.sin(x)), rtol=1e-12, atol=1e-14)
        else:
            assert dx is x or dx == x


@given(trees())
def test_the_value_of_a_gradient_is_that_of_the_plain_call(tree):
    assume(len(distinct(tree)) == len(differentiable(tree)))  # gradient takes each place as a variable of its own
    before = copied(tree)
    value, _ = odead.value_and_gradient(advance, tree)
    assert_allclose(value, advance(promoted(before)), rtol=1e-12)


@given(trees(), st.integers(0, 99))
def test_products_are_dual(tree, seed):
    assume(len(distinct(tree)) == len(differentiable(tree)))  # as does vjp
    rng = np.random.default_rng(seed)

    def f(tree):
        return Pair([np.cos(x) * 2 for x in leaves_of(tree) if isinstance(x, (float, np.ndarray))], {"total": total(tree)})

    v = map_leaves(lambda x: _random_like(x, rng), tree)
    value, tangent = odead.jvp(f, (tree,), (v,))
    expected = f(tree)
    same_structure(value, expected)
    same_structure(tangent, expected)
    for a, b in zip(flatten(value)[0], flatten(expected)[0], strict=True):
        assert_allclose(a, b, rtol=1e-13)
    _, pullback = odead.vjp(f, tree)
    cotangent = map_leaves(lambda x: _random_like(x, rng), expected)
    (w,) = pullback(cotangent)
    same_structure(w, tree)
    left = sum(np.sum(a * b) for a, b in zip(flatten(cotangent)[0], flatten(tangent)[0], strict=True))
    right = sum(np.sum(a * b) for a, b in zip(differentiable(w), differentiable(v), strict=True))
    assert_allclose(left, right, rtol=1e-11, atol=1e-11)


def _random_like(x: Any, rng: np.random.Generator) -> Any:
    if isinstance(x, np.ndarray):
        return rng.uniform(0.5, 1.5, x.shape)
    return float(rng.uniform(0.5, 1.5)) if isinstance(x, float) else x


def test_a_kernel_is_that_of_the_places_of_arrays_and_sizes():
    x = np.array([0.3, -0.8])
    for tree in ([2, x], [x, 2], [2, x], [x, 3]):
        assert_allclose(odead.value_and_gradient(total, tree)[0], total(tree), rtol=1e-14)
        assert_allclose(autodiff(ReverseWithPrimal, total, Duplicated(tree, make_zero(tree))).value, total(tree), rtol=1e-14)


# -------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "box", [lambda x: (x,), lambda x: Pair(x, 1), lambda x: Frozen(x, 1), lambda x: x], ids=["tuple", "named", "frozen", "bare"]
)
def test_a_number_that_cannot_hold_its_derivative_is_refused_in_reverse(box):
    with pytest.raises(TypeError, match=r"(?s)Active.*gradient|gradient.*Active"):
        autodiff(Reverse, total, Duplicated(box(1.5), box(0.0)))


@pytest.mark.parametrize(
    ("value", "shadow", "words"),
    [
        ([np.ones(2)], (np.zeros(2),), "another container"),
        ({"a": np.ones(2)}, {"b": np.zeros(2)}, "another container"),
        (Model(np.ones(2), 1.0), Model(np.zeros(3), 0.0), r"shape \(3,\)"),
        ({"a": np.ones(2)}, {"a": np.zeros(2, np.float32)}, "float32"),
    ],
)
def test_shadows_of_another_structure_are_refused(value, shadow, words):
    with pytest.raises(odead.OdeadError, match=words):
        autodiff(Forward, total, Duplicated(value, shadow))


@pytest.mark.parametrize(
    "box", [lambda x: [x], lambda x: {"a": x}, lambda x: Model(x, 1), lambda x: ([x],), lambda x: Frozen([x], 2)]
)
def test_a_number_in_a_mutable_container_gets_its_derivative(box):
    value, d_value = box(1.5), box(0.25)
    autodiff(Reverse, total, Duplicated(value, d_value))
    expected = odead.gradient(total, value)
    assert_allclose(distinct(d_value), np.add(distinct(expected), 0.25), rtol=1e-14)
    assert distinct(value) == [1.5]
    lanes = box(0.0), box(1.0)
    autodiff(Reverse, total, BatchDuplicated(value, lanes))
    assert_allclose([*distinct(lanes[0]), *distinct(lanes[1])], np.add(distinct(expected) * 2, [0.0, 1.0]), rtol=1e-14)


def test_aliasing_must_be_that_of_the_value():
    x = np.ones(2)
    with pytest.raises(odead.OdeadError, match="same shadow twice"):
        autodiff(total, Active, Duplicated([x, x], [np.zeros(2), np.zeros(2)]))


@settings(max_examples=30)
@given(trees(numbers=False))
def test_nothing_is_changed_after_an_error(tree):
    class Stop(Exception):
        pass

    def f(tree):
        for x in leaves_of(tree):
            if isinstance(x, np.ndarray):
                x += 1
        raise Stop

    values, d_values = copied(tree), shadow(tree, 1)
    with pytest.raises(Stop):
        autodiff(f, Duplicated(values, d_values))
    for a, b in zip(distinct(values) + distinct(d_values), distinct(tree) + distinct(shadow(tree, 1)), strict=True):
        assert_array_equal(a, b)
