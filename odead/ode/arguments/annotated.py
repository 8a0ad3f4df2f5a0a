"""Annotations of x0 and p: what is differentiated, and the shadows into which gradients are added."""

from typing import Any

import numpy as np

from ...activity import AbstractAnnotation, Const, Duplicated
from ...containers import flatten
from ...errors import ArgumentTypeError, ArgumentValueError
from ..results.solution import Sensitivity

__all__ = ["accumulate", "unwrap"]


def unwrap(x0: Any, p: Any, wanted: tuple[str, ...]) -> tuple[Any, Any, tuple[str, ...], dict[str, Any]]:
    """Values without their annotations, what is differentiated, and the shadows to accumulate into."""
    shadows: dict[str, Any] = {}
    values: dict[str, Any] = {"x0": x0, "p": p}
    for name, value in values.items():
        if not isinstance(value, AbstractAnnotation):
            continue
        values[name] = value.val
        if isinstance(value, Const):
            wanted = tuple(w for w in wanted if w != name)
        elif value.differentiated and len(value.shadows) <= 1:
            wanted = wanted if name in wanted else (*wanted, name)
            if isinstance(value, Duplicated):
                shadows[name] = _check_shadow(name, value)
        else:
            raise ArgumentTypeError(f"{name}: {type(value).__name__} has no meaning here; use Const, Active or Duplicated")
    return values["x0"], values["p"], wanted, shadows


def _check_shadow(name: str, annotation: Duplicated) -> Any:
    (values, structure), (shadows, shadow_structure) = flatten(annotation.val), flatten(annotation.dval)
    if structure != shadow_structure:
        raise ArgumentValueError(f"{name}: the shadow of Duplicated has another structure than the value")
    for value, shadow in zip(values, shadows, strict=True):
        if not isinstance(value, np.ndarray):
            raise ArgumentTypeError(f"{name}: Duplicated needs arrays, which can be updated in place; use Active for numbers")
        if not isinstance(shadow, np.ndarray) or shadow.shape != value.shape or shadow.dtype != value.dtype:
            raise ArgumentValueError(
                f"{name}: the shadow of Duplicated must be an array of shape {value.shape} and dtype {value.dtype}"
            )
        if not shadow.flags.writeable:
            raise ArgumentValueError(f"{name}: the shadow of Duplicated is read-only")
        if np.may_share_memory(value, shadow):
            raise ArgumentValueError(f"{name}: the shadow of Duplicated overlaps the value")
    return annotation.dval


def accumulate(shadows: dict[str, Any], result: Sensitivity) -> None:
    """Add the gradients to the shadows of Duplicated arguments."""
    for name, shadow in shadows.items():
        gradient = result.grad if name == "p" else result.grad_x0
        seen: set[int] = set()
        for into, part in zip(flatten(shadow)[0], flatten(gradient)[0], strict=True):
            if isinstance(into, np.ndarray) and into.dtype.kind == "f" and id(into) not in seen:
                seen.add(id(into))
                into += part
