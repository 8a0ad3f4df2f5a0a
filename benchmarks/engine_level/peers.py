"""The peers that can be imported."""

import importlib
from functools import cache
from typing import Any


@cache
def jax() -> Any:
    """The module with 64-bit numbers; None where it is missing."""
    found = _module("jax")
    if found is not None:
        found.config.update("jax_enable_x64", True)
    return found


@cache
def enzyme() -> Any:
    """Enzyme's interface to JAX; None where it is missing."""
    return jax() and _module("enzyme_ad.jax")


@cache
def autograd() -> Any:
    """The module, with its NumPy imported; None where it is missing."""
    return _module("autograd.numpy") and _module("autograd")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name.partition('.')[0]} is left out: not installed")
        return None
