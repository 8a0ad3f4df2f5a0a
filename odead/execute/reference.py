"""The oracle: a program run by NumPy, one instruction at a time, slow and obvious.

It has the contract of the compiled executor and none of its cleverness: every operand is gathered into a fresh array,
every result scattered back, and all of it happens on private copies. Storage that a program must not read before it
writes it is poisoned, so that such a read shows in the outcome.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import numpy as np

from ..ops import TABLE
from ..rules.pullbacks import Store, kept_in
from ..structured import STRUCTURED
from ..tape import Buffer, Instruction, Program, Role
from ..views import View

__all__ = ["Part", "ReferenceExecutable", "run", "value"]

Part = Literal["all", "forward", "reverse"]

_WITHOUT_UFUNC: Final[dict[str, Callable[..., Any]]] = {
    "copy": lambda x: x,  # np.positive refuses bool
    "stop": lambda x: x,
    "cast": lambda x: x,  # the assignment to the result converts
    "muladd": lambda x, y, z: x * y + z,
    "mulsub": lambda x, y, z: x * y - z,
    "negmuladd": lambda x, y, z: z - x * y,
    "addmul": lambda x, y, z: (x + y) * z,
    "submul": lambda x, y, z: (x - y) * z,
    "addadd": lambda x, y, z: x + y + z,
    "zero_mul": lambda x, y: np.where(x == 0, x.dtype.type(0), np.where(y == 0, np.where(x < 0, -y, y), x * y)),
}

_POISON: Final[dict[str, Any]] = {"float64": np.nan, "float32": np.nan, "int64": -(2**40), "bool": True}


def value(op: str, *operands: np.ndarray) -> np.ndarray:
    """The value of an elementwise operation."""
    function = _WITHOUT_UFUNC.get(op) or TABLE[op].function
    assert function is not None, f"{op} has no value"
    with np.errstate(all="ignore"):
        return np.asarray(function(*operands))


class ReferenceExecutable:
    """A program and what its forward part leaves for its reverse part.

    Parameters
    ----------
    program : Program
        Must pass `verify`.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._saved: dict[int, np.ndarray] | None = None  # temporaries at the end of the forward part
        self._pullbacks: Store = {}

    def run(self, arrays: Sequence[np.ndarray | float], part: Part = "all") -> int:
        """Run the program, or the part before or after `split`.

        Parameters
        ----------
        arrays : sequence of array or float
            In the order `program.arguments + program.results`, of the dtype and shape of the buffers; numbers for 0-d
            arguments. Arguments are updated in place, results are filled.
        part : {"all", "forward", "reverse"}
            "reverse" starts from the temporaries that the last "forward" (or "all") left, each time anew.

        Returns
        -------
        int
            -1, or the position of the first guard that failed, or of a decomposition that does not exist; then no bound array
            has been changed.
        """
        with kept_in(self._pullbacks):
            return self._run(arrays, part)

    def _run(self, arrays: Sequence[np.ndarray | float], part: Part) -> int:
        program = self.program
        start, stop = _range(program, part)
        storage = self._storage(arrays, part)
        written: set[int] = set()
        for position, instruction in enumerate(program):
            if not start <= position < stop:
                continue
            if instruction.op == "guard":
                if not (_gather(storage, instruction.ins[0]) == instruction.params).all():
                    return position
                continue
            try:
                _execute(storage, instruction)
            except np.linalg.LinAlgError:
                return position
            assert instruction.out is not None
            written.add(instruction.out.buffer)
        if part != "reverse":
            self._saved = {k: storage[k].copy() for k, buffer in enumerate(program.buffers) if buffer.role is Role.TEMP}
        for number, array in zip((*program.arguments, *program.results), arrays, strict=True):
            if number in written and isinstance(array, np.ndarray):
                array[...] = storage[number].reshape(array.shape)
        return -1

    def _storage(self, arrays: Sequence[np.ndarray | float], part: Part) -> dict[int, np.ndarray]:
        """A flat private copy of every buffer."""
        program = self.program
        bound = dict(zip((*program.arguments, *program.results), arrays, strict=True))
        storage = {}
        for number, buffer in enumerate(program.buffers):
            if buffer.role is Role.TEMP and part == "reverse":
                assert self._saved is not None, "the reverse part runs after the forward part"
                storage[number] = self._saved[number].copy()
            elif buffer.role is Role.TEMP or (buffer.role is Role.RESULT and part != "reverse"):
                storage[number] = np.full(buffer.size, _POISON[buffer.dtype], dtype=buffer.dtype)
            else:
                storage[number] = _flat_copy(buffer, bound.get(number, buffer.data))
        return storage


def run(program: Program, arrays: Sequence[np.ndarray | float], part: Part = "all") -> int:
    """Run a program once; see `ReferenceExecutable.run`."""
    return ReferenceExecutable(program).run(arrays, part)


def _range(program: Program, part: Part) -> tuple[int, int]:
    if part == "all":
        return 0, len(program)
    assert program.split is not None, "only a program with a split has parts"
    return (0, program.split) if part == "forward" else (program.split, len(program))


def _flat_copy(buffer: Buffer, array: np.ndarray | float | None) -> np.ndarray:
    assert array is not None, f"{buffer.name} is not bound"
    if isinstance(array, np.ndarray):
        assert array.dtype == buffer.dtype, f"{buffer.name}: {array.dtype} bound to {buffer.dtype}"
        assert buffer.shape in (None, array.shape), f"{buffer.name}: shape {array.shape} bound to {buffer.shape}"
    return np.array(array, dtype=buffer.dtype, order="C").reshape(-1)


def _execute(storage: dict[int, np.ndarray], instruction: Instruction) -> None:
    op, out, ins, params, _ = instruction
    assert out is not None
    operands = tuple(_gather(storage, view) for view in ins)
    result = _gather(storage, out)
    with np.errstate(all="ignore"):
        if op in TABLE:
            result[...] = value(op, *operands)
        else:
            STRUCTURED[op].value(result, operands, params)
    storage[out.buffer][out.indices()] = result


def _gather(storage: dict[int, np.ndarray], view: View) -> np.ndarray:
    return np.asarray(storage[view.buffer][view.indices()])
