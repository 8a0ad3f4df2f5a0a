from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from odead.errors import ArgumentTypeError, ArgumentValueError
from odead.ode import sensitivity
from odead.ode.arguments.layout import lay_out
from odead.ode.arguments.signature import flat_rhs, multiplied
from odead.tracing.trace import trace


class Rates(NamedTuple):
    growth: float
    steps: int


@dataclass
class Cell:
    volume: np.ndarray
    kind: str


def test_an_array_is_its_own_vector():
    layout, vector = lay_out(np.array([1.0, 2.0]), "p")
    assert layout.is_vector
    assert layout.unpack(vector) is not None
    np.testing.assert_array_equal(layout.unpack(vector), [1.0, 2.0])


def test_container_round_trip_keeps_structure_shapes_and_statics():
    tree = {"a": np.arange(6.0).reshape(2, 3), "rates": Rates(0.5, 3), "cell": Cell(np.array([7.0]), "round"), "k": 2}
    layout, vector = lay_out(tree, "p")
    np.testing.assert_array_equal(vector, [0, 1, 2, 3, 4, 5, 0.5, 7, 2])
    back = layout.unpack(vector)
    assert back["rates"] == Rates(0.5, 3)
    assert back["cell"].kind == "round"
    assert back["a"].shape == (2, 3)
    assert np.shares_memory(back["a"], vector)
    assert layout.names("p")[5:] == ["p['a'][1, 2]", "p['rates'][0]", "p['cell'].volume[0]", "p['k']"]


def test_same_array_twice_has_one_place():
    shared = np.array([1.0, 2.0])
    layout, vector = lay_out((shared, shared), "p")
    assert vector.size == 2
    first, second = layout.gradient(np.array([3.0, 4.0]))
    assert first is second


def test_gradient_has_the_dtypes_of_the_values():
    layout, _ = lay_out((np.float32([1, 2]), 3, 4.0), "p")
    array, by_int, by_float = layout.gradient(np.array([1.0, 2.0, 3.0, 4.0]))
    assert array.dtype == np.float32
    assert (type(by_int), type(by_float)) == (float, float)


def test_integers_are_floats_but_for_tables_and_fields():
    assert lay_out(np.array([1, 2]), "p")[1].dtype == np.float64
    assert lay_out([1, 2.5], "p")[1].size == 2
    assert lay_out((np.array([0, 1]), 2.5), "p")[1].size == 1
    assert lay_out(None, "p")[1].size == 0


def test_times_are_an_added_axis():
    layout, _ = lay_out({"u": np.zeros((2, 2)), "v": 1.0}, "x0")
    y = np.arange(15.0).reshape(5, 3)
    unpacked = layout.unpack(y, (3,))
    assert unpacked["u"].shape == (2, 2, 3)
    np.testing.assert_array_equal(unpacked["v"], y[4])


@pytest.mark.parametrize(
    ("tree", "error", "words"),
    [
        (np.array([1.0, np.nan]), ArgumentValueError, r"p\[1\] is nan"),
        (np.array([1j]), ArgumentTypeError, "p is complex"),
        ({"a": np.float16(1.0)}, ArgumentTypeError, r"p\['a'\] has dtype float16"),
        ({"a": object()}, ArgumentTypeError, r"p\['a'\] is a object"),
    ],
)
def test_what_cannot_be_a_float_is_named(tree, error, words):
    with pytest.raises(error, match=words):
        lay_out(tree, "p")


def test_what_is_recorded_of_containers_goes_by_the_name_of_the_users_function():
    def reaction(dx, x, p, t):
        dx[:] = -p["rate"] * x

    x_layout, x = lay_out(np.ones(2), "x0")
    p_layout, p = lay_out({"rate": np.ones(1)}, "p")
    plain, with_cost = (
        flat_rhs(reaction, None, x_layout, p_layout),
        flat_rhs(reaction, lambda x, p, t: x[0], x_layout, p_layout),
    )
    assert trace(plain, (np.zeros(2), x, p, 0.0)).program.name == "reaction"
    assert trace(with_cost, (np.zeros(3), np.ones(3), p, 0.0)).program.name == "reaction"
    assert trace(multiplied(plain, np.eye(2)), (np.zeros(2), x, p, 0.0)).program.name == "reaction"


def by_place(x, p, t):
    return -p["rate"][p["of"]] * x


def by_mask(x, p, t):
    return np.where(p["decays"], -p["rate"] * x, 0.0)


@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
@pytest.mark.parametrize(
    ("rhs", "name", "values"), [(by_place, "of", ([1, 0], [0, 0])), (by_mask, "decays", ([True, False], [True, True]))]
)
def test_tables_in_p_are_seen_when_they_change(rhs, name, values, mode):
    p = {"rate": np.array([1.0, 2.0]), name: np.array(values[0])}
    for value in (*values, values[0]):
        p[name][:] = value
        for _ in range(3):  # from the second time on, by what was kept
            result = sensitivity(rhs, np.ones(2), p, (0, 1), loss=np.sum, mode=mode, rtol=1e-8)
            rates = np.where(value, p["rate"], 0.0) if name == "decays" else p["rate"][value]
            by_rate = -np.exp(-rates) * (np.array(value) if name == "decays" else 1.0)
            expected = by_rate if name == "decays" else np.bincount(value, by_rate, 2)
            np.testing.assert_allclose(result.grad["rate"], expected, rtol=1e-6)


@pytest.mark.parametrize("p", [np.zeros(0), {"rates": np.zeros(0)}, (), {}])
@pytest.mark.parametrize("mode", ["forward", "adjoint", "continuous"])
def test_no_parameters_in_any_container(p, mode):
    def rhs(x, p, t):
        rates = p.get("rates", ()) if isinstance(p, dict) else p
        return -x * (1 + len(rates))

    def in_place(dx, x, p, t):
        dx[:] = rhs(x, p, t)

    for each in (rhs, in_place):
        result = sensitivity(each, np.ones(2), p, (0, 1), loss=np.sum, mode=mode, wrt=("p", "x0"), rtol=1e-8)
        np.testing.assert_allclose(result.grad_x0, np.exp(-1) * np.ones(2), rtol=1e-6)
        assert type(result.grad) is type(p)
