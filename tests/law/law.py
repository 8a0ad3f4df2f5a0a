"""The one law, checked on one listing: values by the plain call, forward mode by the complex step, reverse mode by duality.

A call is a map from the entry values of all arguments to the exit values of all arguments and the return, with Jacobian J.
Forward mode turns entry tangents v into J v, which the complex step gives. Reverse mode turns exit cotangents c into entry
cotangents w with w . v = c . J v, for every v; a random v finds any wrong w.
"""

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

import odead
from odead import (
    Active,
    BatchDuplicated,
    BatchDuplicatedNoNeed,
    Cache,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    ForwardWithPrimal,
    ReverseWithPrimal,
    autodiff,
)
from odead.containers import flatten

from .listing import Argument, Listing, arguments, laid_out
from .truth import STEP, careful_function, complex_function, plain_function

__all__ = ["LawError", "UnfitError", "check"]

RTOL: Final = {"float64": 1e-9, "float32": 2e-4}  # of round-off that a chain of moderate operations magnifies
SAME: Final = {"float64": 1e-12, "float32": 1e-5}  # of values whose sums may be taken in another order
TOO_LARGE: Final = 1e3


class LawError(AssertionError):
    """The law does not hold."""


class UnfitError(Exception):
    """The listing does not run, or its values are not moderate: nothing can be learnt from it."""


@dataclass
class Run:
    """What a call leaves: exit values of the arguments, and the leaves of the returned value."""

    exits: list[Any]
    returned: list[Any]


def check(listing: Listing, seed: int) -> None:
    """Raise LawError unless the law holds for a random choice of activities, at two sets of values through the same kernel."""
    rng = random.Random(seed)
    trial = Trial(listing, rng)
    for k in range(2):
        trial.at(arguments(listing, seed + k))


class Trial:
    """A listing with activities.

    Parameters
    ----------
    listing : Listing
    rng : random.Random
        Draws what is not given.
    dtype : str
        Of the float arrays.
    active : set of str, optional
        The arguments that are differentiated.
    width : int or None
        Number of lanes; 0 for any.
    """

    def __init__(
        self,
        listing: Listing,
        rng: random.Random,
        dtype: str = "float64",
        active: set[str] | None = None,
        width: int | None = 0,
    ) -> None:
        self.listing, self.rng, self.dtype = listing, rng, dtype
        self.f = plain_function(listing.text)
        self.careful_f = careful_function(listing.text)
        self.complex_f = complex_function(listing.text)
        if active is None:
            active = {a.name for a in listing.arguments if a.differentiable and rng.random() < 0.75}
        self.active = [a.same_as in active if a.same_as else a.name in active for a in listing.arguments]
        arrays = any(act and a.kind != "number" for a, act in zip(listing.arguments, self.active, strict=True))
        drawn = rng.choice((None, None, 2)) if width == 0 else width
        self.width = drawn if arrays else None  # a width is that of a BatchDuplicated
        self.kinds = [self._kind(a, act) for a, act in zip(listing.arguments, self.active, strict=True)]
        self.seeds_return = rng.random() < 0.7
        self.nrng = np.random.default_rng(rng.randrange(2**32))

    def _kind(self, argument: Argument, active: bool) -> type:
        if not active:
            return Cache if argument.kind == "array" and self.rng.random() < 0.15 and self._alone(argument) else Const
        if argument.kind == "number":
            return Active
        if self.width is None:
            return Duplicated if self.rng.random() < 0.8 or not self._alone(argument) else DuplicatedNoNeed
        return BatchDuplicated if self.rng.random() < 0.8 or not self._alone(argument) else BatchDuplicatedNoNeed

    def _alone(self, argument: Argument) -> bool:
        return not argument.same_as and all(a.same_as != argument.name for a in self.listing.arguments)

    # -------------------------------------------------------------------------------------------- values

    def at(self, values: list[Any]) -> None:
        plain = self._plain(values)
        tangents = [self._shadows(values) for _ in range(self.width or 1)]
        truths = [self._tangent(values, lane) for lane in tangents]
        self._forward(values, plain, tangents, truths)
        self._reverse(values, plain, tangents, truths)
        if self.rng.random() < 0.25 and self.width is None:
            self._pullback(values, plain)

    def _copies(self, values: Sequence[Any]) -> list[Any]:
        """Each distinct array copied once, in its layout."""
        made: dict[str, Any] = {}
        for a, value in zip(self.listing.arguments, values, strict=True):
            is_array = isinstance(value, np.ndarray)
            made[a.name] = made[a.same_as] if a.same_as else laid_out(value, a.layout) if is_array else value
        return list(made.values())

    def _plain(self, values: Sequence[Any]) -> Run:
        copies, others = self._copies(values), self._copies(values)
        try:
            with np.errstate(all="ignore"):
                returned = flatten(self.f(*copies))[0]
                self.careful_f(*others)
        except Exception as error:
            raise UnfitError(f"{type(error).__name__}: {error}") from error
        if any(map(callable, returned)):
            raise UnfitError("returns a function")
        if not all(map(_same, copies, others)):
            raise UnfitError("NumPy assigns wrongly between views that overlap")
        for value in (*copies, *returned):
            if np.max(np.abs(_floats(value)), initial=0) > TOO_LARGE:
                raise UnfitError("large values")
        return Run(copies, returned)

    def _shadows(self, values: Sequence[Any]) -> list[Any]:
        """A random shadow per argument, None where it is not active."""
        made: dict[str, Any] = {}
        for a, value, active in zip(self.listing.arguments, values, self.active, strict=True):
            drawn = self.nrng.uniform(0.5, 1.5, np.shape(value)) * self.nrng.choice((-1, 1), np.shape(value))
            drawn = drawn.astype(self.dtype) if np.ndim(value) else drawn
            made[a.name] = made[a.same_as] if a.same_as else None if not active else drawn if np.ndim(value) else float(drawn)
        return list(made.values())

    def _tangent(self, values: Sequence[Any], tangents: Sequence[Any]) -> Run:
        """J v by the complex step: one tangent per argument, and per returned leaf; zero where nothing is active."""
        made: dict[str, Any] = {}
        for a, value, tangent in zip(self.listing.arguments, values, tangents, strict=True):
            if a.same_as:
                made[a.name] = made[a.same_as]
            elif a.kind in ("array", "out"):
                moved = np.array(value, dtype=complex)
                moved.imag = 0 if tangent is None else STEP * tangent.astype(float)
                made[a.name] = laid_out(moved, _own(a.layout))
            elif a.kind == "number":
                made[a.name] = complex(value, 0 if tangent is None else STEP * tangent)
            else:
                made[a.name] = value.copy() if isinstance(value, np.ndarray) else value
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            try:
                returned = flatten(self.complex_f(*made.values()))[0]
            except np.exceptions.ComplexWarning as warning:  # a real ufunc into part of a complex array
                raise UnfitError("no complex step") from warning
        truth = Run([np.imag(x) / STEP for x in made.values()], [np.imag(x) / STEP for x in returned])
        if not all(np.isfinite(x).all() for x in (*truth.exits, *truth.returned)):
            raise UnfitError("no derivative")
        return truth

    # -------------------------------------------------------------------------------------------- calls of odead

    def _annotated(self, values: Sequence[Any], lanes: Sequence[Sequence[Any]], forward: bool) -> list[Any]:
        made = []
        for k, (value, kind) in enumerate(zip(values, self.kinds, strict=True)):
            if kind is Active and forward:
                shadows = tuple(lane[k] for lane in lanes)
                made.append(Duplicated(value, shadows[0]) if self.width is None else BatchDuplicated(value, shadows))
            elif kind in (Duplicated, DuplicatedNoNeed):
                made.append(kind(value, lanes[0][k]))
            elif kind in (BatchDuplicated, BatchDuplicatedNoNeed):
                made.append(kind(value, tuple(lane[k] for lane in lanes)))
            else:
                made.append(kind(value))
        return made

    def _forward(self, values: Sequence[Any], plain: Run, tangents: list[list[Any]], truths: list[Run]) -> None:
        copies, lanes = self._copies(values), [self._copies_of(lane) for lane in tangents]
        result = _called(ForwardWithPrimal, self.f, *self._annotated(copies, lanes, forward=True))
        self._same_values(plain, copies, result.value, "forward")
        for lane, truth, number in zip(lanes, truths, range(len(lanes)), strict=True):
            for a, shadow, true in zip(self.listing.arguments, lane, truth.exits, strict=True):
                if isinstance(shadow, np.ndarray):
                    self._close(shadow, true, f"forward: the exit tangent of {a.name}")
            if result.derivs is not None and any(self.active):
                derivs = result.derivs if self.width is None else result.derivs[number]
                found = flatten(derivs)[0]
                for leaf, value, true in zip(found, plain.returned, truth.returned, strict=True):
                    if isinstance(value, (float, np.ndarray)) and leaf is not None:
                        self._close(leaf, true, "forward: the tangent of the returned value")

    def _reverse(self, values: Sequence[Any], plain: Run, tangents: list[list[Any]], truths: list[Run]) -> None:
        number = len(plain.returned) == 1 and isinstance(plain.returned[0], float)
        activity = Active if number and self.seeds_return else Const
        cotangents = [self._shadows(values) for _ in range(self.width or 1)]
        copies, lanes = self._copies(values), [self._copies_of(lane) for lane in cotangents]
        result = _called(ReverseWithPrimal, self.f, activity, *self._annotated(copies, lanes, forward=False))
        self._same_values(plain, copies, result.value, "reverse")
        for number, (v, truth, c, w) in enumerate(zip(tangents, truths, cotangents, lanes, strict=True)):
            terms = [_number(truth.returned[0])] if activity is Active else []
            products = []
            for k, argument in enumerate(self.listing.arguments):
                if not self.active[k] or argument.same_as:
                    continue
                if self.kinds[k] is Active:
                    derivative = result.derivs[k] if self.width is None else result.derivs[k][number]
                    products.append(_number(derivative) * v[k])
                else:
                    terms += (c[k] * truth.exits[k]).ravel().tolist()
                    products += (w[k] * v[k]).ravel().tolist()
            size = 1 + sum(map(abs, terms)) + sum(map(abs, products))
            if not abs(sum(terms) - sum(products)) <= RTOL[self.dtype] * size:
                raise LawError(f"reverse: exit cotangents . J v = {sum(terms)!r}, entry cotangents . v = {sum(products)!r}")

    def _pullback(self, values: Sequence[Any], plain: Run) -> None:
        """`vjp` with a cotangent for everything that is returned, called twice, after the inputs have been overwritten."""
        arguments_, floats = self.listing.arguments, [isinstance(x, (float, np.ndarray)) for x in plain.returned]
        if any(not a.differentiable or a.same_as for a in arguments_) or not plain.returned or not all(floats):
            return
        tangents = [self.nrng.uniform(0.5, 1.5, np.shape(value)) for value in values]
        truth = self._tangent(values, tangents)
        copies = self._copies(values)
        value, pullback = odead.vjp(self.f, *copies)
        for copy in copies:
            if isinstance(copy, np.ndarray) and copy.flags.writeable:
                copy[...] = np.nan
        leaves, structure = flatten(value)
        for found, expected in zip(leaves, plain.returned, strict=True):
            self._equal(found, expected, "vjp: the returned value")
        cotangents = [self.nrng.uniform(0.5, 1.5, np.shape(leaf)) for leaf in leaves]
        for _ in range(2):
            derivatives = pullback(structure.unflatten([c if np.ndim(c) else float(c) for c in cotangents]))
            terms = np.concatenate([np.ravel(c * t) for c, t in zip(cotangents, truth.returned, strict=True)])
            products = np.concatenate([np.ravel(w * v) for w, v in zip(derivatives, tangents, strict=True)])
            size = 1 + np.abs(terms).sum() + np.abs(products).sum()
            if not abs(terms.sum() - products.sum()) <= RTOL[self.dtype] * size:
                raise LawError(f"vjp: cotangents . J v = {terms.sum()!r}, pullback . v = {products.sum()!r}")

    # -------------------------------------------------------------------------------------------- comparisons

    def _copies_of(self, shadows: Sequence[Any]) -> list[Any]:
        """Shadows that odead may write, in a layout of their own; one for an array that is passed twice."""
        made: dict[str, Any] = {}
        for a, shadow in zip(self.listing.arguments, shadows, strict=True):
            layout = self.rng.choice(("C", _own(a.layout)))
            own = laid_out(shadow, layout) if isinstance(shadow, np.ndarray) else shadow
            made[a.name] = made[a.same_as] if a.same_as else own
        return list(made.values())

    def _same_values(self, plain: Run, exits: Sequence[Any], returned: Any, mode: str) -> None:
        for a, kind, found, expected in zip(self.listing.arguments, self.kinds, exits, plain.exits, strict=True):
            if isinstance(expected, np.ndarray) and kind not in (DuplicatedNoNeed, BatchDuplicatedNoNeed):
                self._equal(found, expected, f"{mode}: the exit value of {a.name}")
        leaves = flatten(returned)[0]
        if len(leaves) != len(plain.returned):
            raise LawError(f"{mode}: {len(leaves)} returned values, the plain call returns {len(plain.returned)}")
        for found, expected in zip(leaves, plain.returned, strict=True):
            self._equal(found, expected, f"{mode}: the returned value")

    def _equal(self, found: Any, expected: Any, what: str) -> None:
        if type(found) is not type(expected) and not isinstance(found, np.floating | float):
            raise LawError(f"{what} is a {type(found).__name__}, of the plain call a {type(expected).__name__}")
        if expected is None:
            return
        a, b = np.asarray(found), np.asarray(expected)
        if a.shape != b.shape or a.dtype != b.dtype:
            raise LawError(f"{what} is {a.dtype}{a.shape}, of the plain call {b.dtype}{b.shape}")
        if not np.allclose(a, b, rtol=SAME[self.dtype], atol=SAME[self.dtype], equal_nan=True):
            raise LawError(f"{what} is {found}, of the plain call {expected}")

    def _close(self, found: Any, true: Any, what: str) -> None:
        found, true = np.asarray(found), np.asarray(true)
        if found.shape != true.shape:
            raise LawError(f"{what} has shape {found.shape}, not {true.shape}")
        size = 1 + np.abs(true).max(initial=0)
        if not (np.abs(found - true) <= RTOL[self.dtype] * size).all():
            raise LawError(f"{what} is {found}, by the complex step {true}")


def _floats(value: Any) -> np.ndarray:
    return np.nan_to_num(np.asarray(value, dtype=float), nan=0.0) if isinstance(value, (float, np.ndarray)) else np.zeros(0)


def _own(layout: str) -> str:
    """A layout in which each element has memory of its own."""
    return "C" if layout == "broadcast" else layout


def _same(a: Any, b: Any) -> bool:
    return not isinstance(a, np.ndarray) or np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _number(value: Any) -> float:
    return float(np.asarray(value))


def _called(*args: Any) -> Any:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", odead.OdeadWarning)
        return autodiff(*args)
