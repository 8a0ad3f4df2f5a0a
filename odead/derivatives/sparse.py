"""Sparse Jacobians: the pattern from the program, colours for its columns or rows, and one sweep over all colours.

Complex numbers count as two floats each in the pattern and in the sweep; what comes out is put together at the end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from ..tape import Program
from ..tracing.functions.sparse import SparseView
from ..tracing.traced.complexes import from_pairs
from ..transform.colouring import Colouring
from ..transform.forward import forward
from ..transform.reverse import reverse
from ..transform.sparsity import pattern
from .complexes import as_reals, holomorphic_derivative
from .inputs import Inputs
from .kernel import Variant, empty_results, returns_complex
from .sweeps import copies, in_parts, kernel_of, only_float, value_at

__all__ = ["sparse_jacobian", "sparsity"]


def sparsity(f: Callable[..., Any], *args: Any, wrt: int = 0) -> scipy.sparse.csr_array:
    """Structural pattern of the Jacobian: which output elements can depend on which input elements, whatever the values.

    Returns
    -------
    scipy.sparse.csr_array of bool (out.size, in.size)
    """
    inputs = Inputs(f, args, wrt)
    kernel = kernel_of(f, inputs, "primal", None)
    value_at(kernel, inputs)
    found = _pattern(kernel.primal, inputs)
    returns = returns_complex(kernel.variant)
    if not returns and not inputs.has_complex:
        return found
    parts = [(np.ones(len(b.columns), bool), b.columns, b.starts, b.shape) for b in _blocks(found, inputs, returns)]
    return scipy.sparse.hstack([scipy.sparse.csr_array(part[:3], part[3]) for part in parts], format="csr")


def _pattern(program: Program, inputs: Inputs) -> scipy.sparse.csr_array:
    return pattern(program, [program.whole(only_float(program))], [program.whole(program.arguments[k]) for k in inputs.active])


class _Compressed:
    """Derives the sweep over all colours at once, and keeps the colouring of each program it was derived from."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs_active = tuple(inputs.active)
        self._colourings: dict[Program, Colouring] = {}

    def __call__(self, program: Program) -> Program:
        entries = [program.whole(program.arguments[k]) for k in self._inputs_active]
        plan = Colouring.of(pattern(program, [program.whole(only_float(program))], entries))
        self._colourings[program] = plan
        return (forward if plan.columns else reverse)(program, self._inputs_active, max(plan.count, 1))

    def plan(self, variant: Variant) -> Colouring:
        return self._colourings[variant.primal]


def sparse_jacobian(f: Callable[..., Any], inputs: Inputs) -> Any:
    """Per differentiated leaf a sparse array (out.size, leaf.size), in the structure of the argument."""
    kernel = kernel_of(f, inputs, "sparse", _Compressed(inputs))
    compressed = kernel.derive
    assert isinstance(compressed, _Compressed)
    swept: list[np.ndarray] = []

    def assemble(variant: Variant) -> list[Any]:
        plan, results = compressed.plan(variant), empty_results(variant)
        seeds = np.zeros((max(plan.count, 1), plan.colours.size))
        seeds[: plan.count] = plan.seeds()
        if plan.columns:
            swept[:] = results[1:]
            return [*copies(inputs.values), *in_parts(seeds, inputs), *results]
        swept[:] = inputs.zeros(len(seeds))
        buffer = variant.primal.buffers[only_float(variant.primal)]
        cotangents = seeds.astype(buffer.dtype).reshape(len(seeds), *(buffer.shape or ()))
        return [*copies(inputs.values), *swept, cotangents, *results]

    variant = kernel.run(inputs.values, assemble)
    plan = compressed.plan(variant)
    products = np.concatenate([as_reals(block.reshape(len(block), -1)) for block in swept], axis=1)
    data = plan.entries(products[: plan.count])
    blocks = _blocks(plan.pattern, inputs, returns_complex(variant))
    return inputs.structured([block.matrix(variant, data, inputs) for block in blocks])


# ---------------------------------------------------------------------------------------------------- blocks


@dataclass(frozen=True)
class _Block:
    """The columns of one differentiated leaf.

    Attributes
    ----------
    shape : tuple of int
        Complex numbers count as one.
    columns, starts : array of int
        The entries, as in a csr_array.
    rows : array of int
        Of each entry.
    picked : list of array of int
        For u_x, u_y, v_x and v_y of each entry, its number among the entries of the whole pattern; -1 where it has none.
        Only the first for a real function of real numbers.
    returns, takes : bool
        Whether the returned value and the leaf are complex.
    """

    shape: tuple[int, int]
    columns: np.ndarray
    starts: np.ndarray
    rows: np.ndarray
    picked: list[np.ndarray]
    returns: bool
    takes: bool

    def matrix(self, variant: Variant, data: Any, inputs: Inputs) -> Any:
        """The Jacobian with these entries of the whole pattern; in a recording, as one of its sparse matrices."""
        entries = self._entries(variant, data)
        if inputs.nest is None:
            return scipy.sparse.csr_array((entries, self.columns, self.starts), self.shape)
        made = scipy.sparse.csr_array((inputs.nest.twin(entries), self.columns, self.starts), self.shape)
        return SparseView.made(inputs.nest.rec, made, self.rows, self.columns, entries)

    def _entries(self, variant: Variant, data: Any) -> Any:
        u_x, u_y, v_x, v_y = (self._part(data, places) for places in self.picked)
        if self.returns and self.takes:
            return holomorphic_derivative(variant, u_x, u_y, v_x, v_y, lambda k: (self.rows[k], self.columns[k]))
        if self.returns or self.takes:
            return from_pairs(np.stack([u_x, v_x if self.returns else u_y], axis=-1))
        return u_x

    @staticmethod
    def _part(data: Any, places: np.ndarray) -> Any:
        if (places >= 0).all():
            return data[places]
        padded = np.concatenate([data, np.zeros(1, data.dtype)])
        return padded[places]


def _blocks(whole: scipy.sparse.csr_array, inputs: Inputs, returns: bool) -> Iterator[_Block]:
    """One per differentiated leaf, from the pattern in which complex numbers are two rows or columns."""
    row = np.repeat(np.arange(whole.shape[0]), np.diff(whole.indptr))
    ends = np.cumsum(inputs.sizes())
    for leaf, start, end in zip(inputs.differentiated(), [0, *ends[:-1]], ends, strict=True):
        takes = bool(np.iscomplexobj(leaf))
        own = np.flatnonzero((whole.indices >= start) & (whole.indices < end))
        rows, columns = row[own] // (1 + returns), (whole.indices[own] - start) // (1 + takes)
        shape = whole.shape[0] // (1 + returns), int(end - start) // (1 + takes)
        keys, inverse = np.unique(rows.astype(np.int64) * max(shape[1], 1) + columns, return_inverse=True)
        picked = np.full((4, len(keys)), -1)
        kind = 2 * (row[own] % 2 if returns else 0) + ((whole.indices[own] - start) % 2 if takes else 0)
        picked[kind, inverse] = own
        found, at = np.divmod(keys, max(shape[1], 1))
        starts = np.searchsorted(found, np.arange(shape[0] + 1))
        yield _Block(shape, at, starts, found, list(picked), returns, takes)
