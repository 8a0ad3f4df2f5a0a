"""The call of a primitive, and the choice of the rule that serves it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ..errors import OdeadWarning, TracingError
from .adjoint import Adjoint, AdjointOnly, Augmented
from .callee import AbstractCallee, Body, Derivation, Instructions, Pulled, Pushed, Recorded, TraceBody, Transposed, Zero
from .differences import Differences
from .pointers import Argument
from .primitive import Primitive, place
from .pullbacks import Site
from .registry import Activity, Rule
from .resolution import Config, Request, Resolution, candidates, refuse
from .signature import Signature, offsets
from .tangent import Tangent, TangentOnly

__all__ = ["Primal"]

DEAR: Final = 10  # applications of a rule of the other mode, from which on there is a warning


class Primal(AbstractCallee):
    """The call of a primitive, as recorded.

    Parameters
    ----------
    signature : Signature
    values : list
        Its operands in the recorded run.
    trace : TraceBody
    untraceable : str
        Why the body was not recorded instead, if that was tried.
    """

    def __init__(self, signature: Signature, values: Sequence[Any], trace: TraceBody, untraceable: str = "") -> None:
        self.signature, self.trace = signature, trace
        self.primitive: Primitive = signature.primitive
        self.name = signature.name
        self.ins, self.outs = signature.operands, signature.outs
        self._values, self._untraceable = list(values), untraceable

    @property
    def functions(self) -> tuple[Any, ...]:
        return (self.primitive.function,)

    def compute(self, functions: tuple[Any, ...], values: Sequence[Any]) -> list[Any]:
        args, kwargs = self.signature.build(values)
        result = functions[0](*args, **kwargs)
        return self.signature.leave(result, values, place(self.primitive.function))

    @property
    def plan(self) -> tuple[int, ...] | None:
        pointer = self.primitive.pointer
        if pointer is None:
            return None
        starts = [start for _, start, _ in offsets(self.ins)]
        return pointer.plan(
            [
                Argument(None, starts[leaf], self.ins[leaf].shape, self.ins[leaf].dtype)
                if isinstance(leaf, int)
                else Argument(leaf.value)
                for leaf in self.signature.leaves
            ]
        )[0]

    def traced(self) -> tuple[Recorded, tuple[Any, ...]]:
        pointer = self.primitive.pointer
        if pointer is None:
            return super().traced()
        if pointer.body is None:
            raise TracingError("it is a C function, which odead cannot look into")
        values = self.examples()
        return self.trace(self.compute, ((pointer.body,), values)), tuple(values)

    def examples(self) -> list[Any]:
        return [value.copy() if isinstance(value, np.ndarray) else value for value in self._values]

    def derive(self, request: Request) -> Derivation:
        primitive, signature = self.primitive, self.signature
        names, parameters = signature.parameter_names(), signature.parameters()
        closed = {k for name, own in zip(names, parameters, strict=True) if name in (primitive.inactive or ()) for k in own}
        active = tuple(a and k not in closed for k, a in enumerate(request.active))
        chooser = _Chooser(self, request._replace(active=active), parameters)
        if primitive.inactive is None or not any(active):
            return Zero(resolution=chooser.resolution("inactive: the derivative is zero"))
        return chooser.choose()


class _Chooser:
    """Goes through the chain of `resolution.py` for one call."""

    def __init__(self, callee: Primal, request: Request, parameters: list[list[int]]) -> None:
        self.callee, self.request = callee, request
        signature = callee.signature
        active = [any(request.active[k] for k in own) for own in parameters]
        needed = dict(zip(signature.written, request.read[signature.n_returned :], strict=True))
        batch = request.width is not None
        n = len(signature.arguments.children[0].children)
        self.activities = tuple(
            Activity(True, batch, all(needed.get(k, True) for k in own)) if a else Activity(False)
            for a, own in zip(active, parameters, strict=True)
        )
        self.named = tuple(map(str, self.activities))
        self.returns = any(
            slot.is_float and wanted for slot, wanted in zip(signature.outs[: signature.n_returned], request.read, strict=False)
        )
        overwritten = tuple(any(request.overwritten[k] for k in own) for own in parameters)
        self.config = Config(any(request.read[: signature.n_returned]), self.returns, request.width or 1, overwritten)
        self.by_keyword = [name for name, a in list(zip(signature.parameter_names(), active, strict=True))[n:] if a]
        self.positional = n
        self.tried: list[str] = []

    def choose(self) -> Derivation:
        callee, direction = self.callee, self.request.direction
        primitive = callee.primitive
        if not any(r.activity is not None and r.direction == direction for r in primitive.rules):
            self.tried.append("there is no specific rule")
        for rule, said in candidates(primitive, direction, self.activities[: self.positional], self.returns):
            if self.by_keyword and rule.direction == "reverse":
                self.tried.append(
                    f"{said}: the keyword-only argument {self.by_keyword[0]} is active, and pullbacks have no item for it"
                )
            else:
                return self.by_rule(rule, said)
        if not any(r.is_default for r in primitive.rules):
            self.tried.append("there is no default rule")
        try:
            recorded, values = callee.traced()
            return Body(recorded, tuple(range(len(callee.ins))), values, resolution=self.resolution("its body, traced"))
        except Exception as error:  # code that cannot be traced may stumble over a traced value in any way
            self.tried.append(f"the body cannot be traced: {error}")
        if primitive.finite_differences:
            return self.by_rule(Rule(Differences(primitive), "forward"), "finite differences")
        self.tried.append("finite differences are not opted in with @odead.primitive(finite_differences=True)")
        raise refuse(primitive, direction, self.named, self.tried)

    def by_rule(self, rule: Rule, said: str) -> Derivation:
        if self.request.direction == "forward":
            return self.pushed(rule, said)
        return self.pulled(rule, said)

    def resolution(self, said: str) -> Resolution:
        return Resolution(self.callee.name, self.request.direction, self.named, tuple(self.tried), said)

    def pushed(self, rule: Rule, said: str) -> Derivation:
        tangent = Tangent(self.callee, rule, self.request, self.config, self.activities)
        if self.callee.primitive.pointer is not None and rule.direction == "forward":
            only = TangentOnly(self.callee, rule, self.request, self.config, self.activities)
            if (spelled := self.as_instructions(only, said)) is not None:
                return spelled
        if rule.direction == "reverse":
            rows = sum(slot.size for slot in self.callee.outs if slot.is_float)
            transposed = self.transposed(rule, said) if rows > 1 else None
            if transposed is not None:
                return transposed
            self.warn_if_dear(rows, rule, said)
        tangent.resolution = self.resolution(said)
        return Pushed(tangent, resolution=tangent.resolution)

    def pulled(self, rule: Rule, said: str) -> Derivation:
        if rule.direction == "forward":
            columns = sum(slot.size for slot, a in zip(self.callee.ins, self.request.active, strict=True) if a)
            transposed = self.transposed(rule, said) if columns > 1 else None
            if transposed is not None:
                return transposed
            self.warn_if_dear(columns, rule, said)
        site = Site()
        if self.callee.primitive.pointer is not None and rule.direction == "reverse":
            only = AdjointOnly(self.callee, rule, site, self.request, self.config)
            if (spelled := self.as_instructions(only, said)) is not None:
                return spelled
        augmented = Augmented(self.callee, rule, site, self.request, self.config)
        adjoint = Adjoint(self.callee, rule, site, self.request, self.config)
        augmented.resolution = adjoint.resolution = self.resolution(said)
        return Pulled(augmented, adjoint, resolution=adjoint.resolution)

    def transposed(self, rule: Rule, said: str) -> Transposed | None:
        """The rule of the other mode as instructions, if it can be recorded."""
        other = self.request._replace(width=None)
        if rule.direction == "forward":
            single: AbstractCallee = TangentOnly(self.callee, rule, other, self.config, self.activities)
        else:
            single = AdjointOnly(self.callee, rule, Site(), other, self.config)
        try:
            recorded, values = single.traced()
            return Transposed(recorded, values, self.request.active, resolution=self.resolution(f"{said}, transposed"))
        except Exception:  # code that cannot be traced may stumble over a traced value in any way
            return None

    def as_instructions(self, only: AbstractCallee, said: str) -> Instructions | None:
        """What the rule does, if it can be recorded."""
        try:
            recorded, values = only.traced()
            active = tuple(k for k, a in enumerate(self.request.active) if a)
            return Instructions(recorded, values, only.outs, active, resolution=self.resolution(f"{said}, as instructions"))
        except Exception:  # code that cannot be traced may stumble over a traced value in any way
            return None

    def warn_if_dear(self, applications: int, rule: Rule, said: str) -> None:
        if applications > DEAR:
            wanted = "frule" if self.request.direction == "forward" else "rule"
            warnings.warn(
                f"{self.callee.name}: {self.request.direction} mode takes {applications} applications of {said}, whose code "
                f"cannot be traced. @odead.{wanted}({self.callee.name}) would need one",
                OdeadWarning,
                stacklevel=2,
            )
