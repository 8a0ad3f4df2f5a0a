"""Functions of `scipy.special` whose results are complex: Lambert's W, Faddeeva's w, Hankel functions.

They are holomorphic, so one complex derivative serves both parts; a primitive has them side by side in its first axis.
Formulas: NIST Digital Library of Mathematical Functions, sections 4.13, 7.10 and 10.6.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy import special

from ..containers import flatten
from ..rules.easy import summed
from ..rules.primitive import Primitive, replace
from ..rules.registry import Rule, add
from ..rules.signature import shape_of
from ..tracing.recorder import is_traced
from ..tracing.traced.complexes import combined

__all__ = ["HOLOMORPHIC"]

HOLOMORPHIC: Final[Mapping[str, Callable[..., Any]]] = {  # the derivative, from z, the value and the further arguments
    "lambertw": lambda z, w, k=0, tol=1e-8: np.exp(-w) / (1 + w),
    "wofz": lambda z, w: 2j / np.sqrt(np.pi) - 2 * z * w,
    "hankel1": lambda z, w, v: 0.5 * (_standin("hankel1")(v - 1, z) - _standin("hankel1")(v + 1, z)),
    "hankel2": lambda z, w, v: 0.5 * (_standin("hankel2")(v - 1, z) - _standin("hankel2")(v + 1, z)),
}
_ORDER_FIRST: Final = ("hankel1", "hankel2")


def _parts(name: str) -> Primitive:
    """The primitive from real and imaginary part to both parts of the value."""
    function, slope = getattr(special, name), HOLOMORPHIC[name]

    def value(re: Any, im: Any, *others: Any) -> np.ndarray:
        z = re + 1j * im
        w = function(*others, z) if name in _ORDER_FIRST else function(z, *others)
        return np.stack([np.real(w), np.imag(w)])

    value.__name__ = name
    made = Primitive(value)

    def derivative(re: Any, im: Any, w: Any, others: tuple[Any, ...]) -> Any:
        return slope(re + 1j * im, w[0] + 1j * w[1], *others)

    def value_and_pullback(re: Any, im: Any, *others: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        w = made(re, im, *others)

        def pullback(bar: Any) -> tuple[Any, ...]:
            d = derivative(re, im, w, others)
            by_re = lambda: summed(d.real * bar[0] + d.imag * bar[1], shape_of(re))  # noqa: E731
            by_im = lambda: summed(d.real * bar[1] - d.imag * bar[0], shape_of(im))  # noqa: E731
            return (by_re, by_im, *[None] * len(others))

        return w, pullback

    def tangent(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        re, im, *others = primals
        w = made(re, im, *others)
        d = derivative(re, im, w, tuple(others))
        dre, dim = (0.0 if dx is None else dx for dx in tangents[:2])
        return w, np.stack([d.real * dre - d.imag * dim, d.real * dim + d.imag * dre])

    add(made, Rule(value_and_pullback, "reverse"))
    add(made, Rule(tangent, "forward"))
    return made


_PARTS: Final = {name: _parts(name) for name in HOLOMORPHIC}


def _standin(name: str) -> Callable[..., Any]:
    """What a traced function calls."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if not any(map(is_traced, flatten((args, kwargs))[0])):
            return getattr(special, name)(*args, **kwargs)
        z, others = (args[-1], args[:-1]) if name in _ORDER_FIRST else (args[0], (*args[1:], *kwargs.values()))
        if any(map(is_traced, others)):
            recorder = next(filter(is_traced, others)).rec
            recorder.fail(f"scipy.special.{name} with an order that varies cannot be traced", "Give the order as a number")
        both = _PARTS[name](np.real(z), np.imag(z), *others)
        return combined(both.rec, both[0], both[1])

    return call


for _name in HOLOMORPHIC:
    replace(getattr(special, _name), _standin(_name))
