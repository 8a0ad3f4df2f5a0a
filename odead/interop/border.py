"""What the adapters of other frameworks share: importing them, and copying at the border."""

import importlib
from typing import Any

import numpy as np

__all__ = ["floats_of", "needs", "own"]


def needs(module: str, extra: str) -> Any:
    """A module of another framework, or one sentence that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module.partition('.')[0]} is not installed: pip install 'odead[{extra}]'") from error


def floats_of(args: tuple[Any, ...]) -> list[int]:
    """The arguments that have a derivative."""
    return [
        k for k, arg in enumerate(args) if isinstance(arg, float) or (isinstance(arg, np.ndarray) and arg.dtype.kind == "f")
    ]


def own(x: Any) -> Any:
    """A private copy of an array; numbers as floats."""
    return np.array(x) if np.ndim(x) else float(x)
