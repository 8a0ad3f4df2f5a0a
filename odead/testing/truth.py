"""The Jacobian of a plain call by differences; it knows nothing of odead."""

import itertools
from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np

from ..errors import ArgumentValueError
from .call import Call, Output, copied, is_float, like, reals
from .differences import slope

__all__ = ["Truth", "doubled", "joined"]

ROUNDING: Final = {
    "float64": 1e-11,
    "complex128": 1e-11,
    "float32": 1e-4,
}  # of the derivatives themselves, relative to their largest term

Estimate = tuple[np.ndarray, np.ndarray]  # derivatives of all float outputs, as one vector, and their estimated errors


class Truth:
    """The Jacobian of a call by differences, as far as the checks need it. All float outputs form one vector.

    A complex number is two floats, in vectors, tangents and indices: its arrays have a last axis of length two more.

    Parameters
    ----------
    call : Call
    rtol, entries, rng
        As `check_derivatives`.
    computes_in : collection of str
        Dtypes in which the function computes where its arguments are double: differences have their rounding errors.

    Attributes
    ----------
    tangents : dict of int to array
        For each float leaf, the direction in which forward mode is checked.
    along : dict of int to Estimate
        For each float leaf, the derivatives along its tangent.
    columns : dict of int to list of (index, Estimate)
        For each float leaf, the derivatives with respect to some of its entries.
    cotangent : array
        The direction of reverse mode, of about the inverse size of the derivatives; 1 at a returned number.
    doubtful : set of str
        Leaves along which differences do not converge.
    """

    def __init__(
        self, call: Call, rtol: float, entries: int, rng: np.random.Generator, computes_in: Collection[str] = ()
    ) -> None:
        self.call, self.doubtful = call, set[str]()
        self._eps = float(np.finfo("float32" if "float32" in computes_in else "float64").eps)
        self.floats = [output for output in call.outputs if is_float(output.value)]
        kinds = {np.asarray(call.leaves[n].value).dtype.name for n in call.floats}
        kinds.update(np.asarray(output.value).dtype.name for output in self.floats)
        kinds.update(computes_in)
        self.rounding = max(ROUNDING.get(kind, 0.0) for kind in kinds)  # other kinds are refused when they are recorded
        self.rtol = max(rtol, 10 * self.rounding)
        self._values = self.vector(call.outputs)
        self.tangents = {n: _nonzero(rng, x) * _sizes(x) for n in call.floats for x in [reals(call.leaves[n].value)]}
        self.along = {n: self._along(n) for n in call.floats}
        self.columns = {
            n: [(k, self._column(n, k)) for k in _some(rng, reals(call.leaves[n].value), entries)] for n in call.floats
        }
        self.cotangent = self._cotangent(rng)

    def vector(self, outputs: Sequence[Output]) -> np.ndarray:
        """The values of the float outputs.

        Raises
        ------
        ArgumentValueError
            They are not of the kind and shape that the call at the arguments themselves gives.
        """
        here, there = _forms(self.call.outputs), _forms(outputs)
        if here != there:
            new, old = next((b, a) for a, b in itertools.zip_longest(here, there, fillvalue="nothing") if a != b)
            raise ArgumentValueError(
                f"{self.call.name} gives something else near these arguments than at them: {new}, and {old}. Differences "
                f"need a function that is smooth around them: check it at other values"
            )
        pairs = zip(outputs, self.call.outputs, strict=True)
        return joined([output.value for output, plain in pairs if is_float(plain.value)])

    def of_leaves(self, leaves: Sequence[int], returned: bool) -> np.ndarray:
        """Which elements of the vector are exit values of these leaves, or returned."""
        marks = [np.full(reals(o.value).size, returned if o.leaf is None else o.leaf in leaves) for o in self.floats]
        return np.concatenate([np.zeros(0, bool), *marks])

    def exit_cotangent(self, leaves: Sequence[int], returned: bool) -> np.ndarray:
        """The cotangent, 0 for what is inactive."""
        return np.where(self.of_leaves(leaves, returned), self.cotangent, 0.0)

    def parts(self, vector: np.ndarray) -> list[np.ndarray]:
        """A vector as one array per float output."""
        cuts = np.cumsum([reals(output.value).size for output in self.floats])[:-1]
        return [part.reshape(reals(o.value).shape) for part, o in zip(np.split(vector, cuts), self.floats, strict=True)]

    def locate(self, position: int) -> tuple[Output, tuple[int, ...]]:
        """The output and the index of an element of the vector."""
        for output in self.floats:
            values = reals(output.value)
            if position < values.size:
                return output, tuple(map(int, np.unravel_index(position, values.shape)))
            position -= values.size
        raise IndexError(position)

    def _along(self, leaf: int) -> Estimate:
        return self._trusted(leaf, 1.0, self._slope(leaf, self.tangents[leaf]))

    def _column(self, leaf: int, index: tuple[int, ...]) -> Estimate:
        """Derivatives with respect to one entry, moved by the typical size of its array and, if that is other, by its own."""
        x = reals(self.call.leaves[leaf].value)
        typical = float(np.abs(x[np.isfinite(x)]).max(initial=0.0)) or 1.0
        own = float(_sizes(x)[index])
        unit = np.zeros(x.shape)
        unit[index] = 1.0
        value, error = (part / typical for part in self._slope(leaf, typical * unit))
        if own < 0.1 * typical:
            other, other_error = (part / own for part in self._slope(leaf, own * unit))
            value, error = np.where(other_error < error, [other, other_error], [value, error])
        return self._trusted(leaf, typical, (value, error))

    def _slope(self, leaf: int, direction: np.ndarray) -> Estimate:
        """Derivatives along a direction in one leaf; float32 moves in float64."""
        values = [doubled(x.value) for x in self.call.leaves]
        start, given = reals(values[leaf]), values[leaf]

        def moved(step: float) -> np.ndarray:
            values[leaf] = like(given, start + step * direction)
            return self.vector(self.call.run(values))

        value, error = slope(moved, self._eps)
        return value, self._of_numbers(error)

    def _of_numbers(self, vector: np.ndarray) -> np.ndarray:
        """Each element; of a complex number the larger of both, as its parts are rounded by the size of the number."""
        found = vector.copy()
        for output, part in zip(self.floats, self.parts(found), strict=True):
            if np.iscomplexobj(output.value):
                part[...] = part.max(axis=-1, keepdims=True)
        return found

    def _trusted(self, leaf: int, size: float, estimate: Estimate) -> Estimate:
        """The same, after a note if the error is not small for a change of this size."""
        value, error = estimate
        small = 1e-3 * np.abs(value).max(initial=0.0) + 1e-6 * self._of_numbers(np.abs(self._values)) / size
        if (error > small)[np.isfinite(self._values)].any():
            self.doubtful.add(self.call.leaves[leaf].name)
        return estimate

    def _cotangent(self, rng: np.random.Generator) -> np.ndarray:
        largest = np.max([np.abs(value) for value, _ in self.along.values()], axis=0)
        cotangents = []
        for output, size in zip(self.floats, self.parts(largest), strict=True):
            scale = 1.0 / (np.max(size, initial=0.0) or 1.0)
            is_seed = output.leaf is None and self.call.returns_one_number
            cotangents.append(np.ones(1) if is_seed else _nonzero(rng, reals(output.value)) * scale)
        return joined(cotangents)


def _forms(outputs: Sequence[Output]) -> list[str]:
    """What must not depend on values: which outputs there are, and the shapes of those that are floats."""
    return [f"{o.name} of shape {np.shape(o.value)}" for o in outputs]


def _nonzero(rng: np.random.Generator, like: Any) -> np.ndarray:
    size = rng.uniform(0.5, 1.0, np.shape(like))
    return np.asarray(np.where(rng.random(np.shape(like)) < 0.5, -size, size))


def _sizes(value: Any) -> np.ndarray:
    """The magnitude of each entry; the largest one, or 1, for zeros and what is not finite."""
    magnitude = np.asarray(np.where(np.isfinite(value), np.abs(value), 0.0))
    return np.asarray(np.where(magnitude > 0, magnitude, magnitude.max(initial=0.0) or 1.0))


def _some(rng: np.random.Generator, value: Any, entries: int) -> list[tuple[int, ...]]:
    shape, size = np.shape(value), np.size(value)
    chosen = range(size) if size <= entries else np.sort(rng.choice(size, entries, replace=False))
    return [tuple(map(int, np.unravel_index(k, shape))) for k in chosen]


def doubled(value: Any) -> Any:
    floats = isinstance(value, np.ndarray) and is_float(value) and not np.iscomplexobj(value)
    return value.astype(np.float64) if floats else copied(value)


def joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *(reals(array).ravel() for array in arrays)])
