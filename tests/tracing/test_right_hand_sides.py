"""Every right-hand side of the registry, in both modes, with its mutations, against differences of the plain call."""

import copy

import pytest

import odead
from right_hand_sides import CASES


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    f, arguments = CASES[name]
    odead.check_derivatives(f, *copy.deepcopy(arguments))
