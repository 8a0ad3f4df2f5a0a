"""Asking a rule of forward mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..activity import AbstractAnnotation, BatchDuplicated, Const, Duplicated
from ..containers import flatten
from ..errors import RuleError
from .registry import Rule
from .resolution import Config
from .signature import Signature, Slot, shape_of
from .values import described

__all__ = ["push"]


def push(signature: Signature, function: Any, rule: Rule, values: list[Any], tangents: list[Any], config: Config | None = None,
          lanes: Signature | None = None) -> tuple[list[Any], list[Any]]:  # fmt: skip
    """What the call leaves, and the tangents of that, by a rule of forward mode."""
    args, kwargs = signature.build(values)
    if rule.activity is None:
        pair = function(args, (lanes or signature).tangents(tangents), **kwargs)
    else:
        pair = function(config, *_annotated(rule, args, (lanes or signature).tangents(tangents)), **kwargs)
    pair = (None, None) if pair is None else pair
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise RuleError(f"{rule.place}: the rule of {signature.name} returns {described(pair)}; it returns (value, tangent)")
    left = signature.leave(pair[0], values, rule.place)
    return left, _tangents_left(lanes or signature, pair[1], tangents, rule)


def _tangents_left(signature: Signature, tangent: Any, tangents: Sequence[Any], rule: Rule) -> list[Any]:
    leaves, structure = flatten(tangent)
    if tangent is None:
        leaves = [None] * len(signature.returned)
    elif len(leaves) != len(signature.returned) or structure.kind is not signature.result.kind:
        raise RuleError(f"{rule.place}: the tangent of {signature.name} is another container than the value")
    found = []
    for leaf, slot in zip(leaves, signature.returned, strict=True):
        if isinstance(slot, Slot):
            if leaf is not None and shape_of(leaf) != slot.shape:
                raise RuleError(
                    f"{rule.place}: the tangent of {signature.name} has shape {shape_of(leaf)}, the value {slot.shape}"
                )
            found.append(leaf)
    return found + [tangents[k] for k in signature.written]


def _annotated(rule: Rule, args: Sequence[Any], tangents: Sequence[Any]) -> list[AbstractAnnotation]:
    """The arguments as a specific rule takes them."""
    annotated: list[AbstractAnnotation] = []
    for kind, arg, tangent in zip(rule.activity or (), args, tangents, strict=False):
        if kind.active:
            annotated.append(BatchDuplicated(arg, tangent) if kind.batch else Duplicated(arg, tangent))
        else:
            annotated.append(Const(arg))
    return annotated
