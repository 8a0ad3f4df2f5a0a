"""Every rule that a test registers must pass `check_rule` in that test, unless the test says why not: `@unchecked("why")`."""

import pytest

from odead import testing
from odead.rules import easy, registry
from odead.testing import rules as checked

SHIPPED = (
    "odead.interop.scipy_",
    "odead.interop.special_",
    "odead.interop.implicit",
)  # registered when first met; tests/interop checks them


@pytest.fixture(autouse=True)
def rules_are_checked(request, monkeypatch):
    registered, passed = [], set()

    def add(target, new, add=registry.add):
        add(target, new)
        if not new.function.__module__.startswith(SHIPPED):
            registered.append((target, new))

    def check_situations(primitive, args, original=checked._situations):
        passed.add(id(primitive))
        return original(primitive, args)

    monkeypatch.setattr(registry, "add", add)
    monkeypatch.setattr(easy, "add", add)
    monkeypatch.setattr(checked, "_situations", check_situations)
    yield
    if request.node.get_closest_marker("unchecked") is None:
        for target, new in registered:
            assert id(target) in passed, f"the {new} of {target.__name__} has not passed {testing.check_rule.__name__}"
