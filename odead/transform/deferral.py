"""Products that are only added up are put off: a run leaves their factors, and those of many runs are multiplied at once.

The cotangent of the weights of a layer is a sum of outer products, one for each evaluation on the way back over a solve. To add
one reads and writes as many numbers as there are weights, for one multiplication each: with 100 x 100 weights that took as long
as the product with the weights themselves. The sum of many outer products is a product of matrices, which reads and writes the
cotangent once.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..tape import Program, Role
from ..views import View

__all__ = ["Deferral", "only_adds"]

RUNS: Final = 16  # of 100 x 100 weights a term takes 0.31 us out of 6, 0.24 out of 12, 0.22 out of 16, 0.21 out of 32
_WORTH: Final = 12  # elements of a product for each number of its factors, which are written and read
_MOST_TERMS: Final = 4  # of a product: beyond, it is a product of matrices already
_ALIGNED: Final = 8  # numbers


class _Product(NamedTuple):
    """A sum of outer products that is added to the cotangent.

    Attributes
    ----------
    target : View
        What it is added to.
    made : int
        The instruction that multiplies.
    places : list of (int, int)
        For each of its terms where the two factors go.
    """

    target: View
    made: int
    places: list[tuple[int, int]]


@dataclass(frozen=True)
class Deferral:
    """A program that only adds to one of its arguments, without the products that it adds.

    Parameters
    ----------
    program : Program
        Leaves the factors in its last argument.
    sums : Program
        Binds what is added to, and the factors of `RUNS` runs, one after the other; adds their products.
    size : int
        Numbers that a run leaves.
    """

    program: Program
    sums: Program
    size: int

    @staticmethod
    def of(program: Program, target: int) -> "Deferral | None":
        """Put off the products added to argument number `target` of an optimised program; None where none are worth it."""
        total = program.arguments[target]
        if not only_adds(program, total):
            return None
        found = _products(program, total)
        if not found:
            return None
        size = max(right + _room(program.ins[each.made][1].shape[1]) for each in found.values() for _, right in each.places)
        return Deferral(_leaving(program, found, size), _adding(program, total, list(found.values()), size), size)


def only_adds(program: Program, total: int) -> bool:
    """Whether all that a program does with a buffer is to add to its elements."""
    for op, out, ins in zip(program.op, program.out, program.ins, strict=True):
        read = [view for view in ins if view.buffer == total]
        if out is None or out.buffer != total:
            if read:
                return False
        elif op not in ("add", "put_add") or read != [out]:
            return False
    return True


def _products(program: Program, total: int) -> dict[int, _Product]:
    """By the instruction that adds it: each product that is worth it."""
    uses = Counter(view.buffer for ins in program.ins for view in ins)
    makers: dict[int, list[int]] = {}
    for number, out in enumerate(program.out):
        if out is not None:
            makers.setdefault(out.buffer, []).append(number)
    found: dict[int, _Product] = {}
    size = 0
    for number, (op, out) in enumerate(zip(program.op, program.out, strict=True)):
        if op != "add" or out is None or out.buffer != total or program.dtype(out) != "float64":
            continue
        (term,) = (view for view in program.ins[number] if view != out)
        made = makers.get(term.buffer, [])
        if len(made) != 1 or uses[term.buffer] != 1 or not _is_worth_it(program, made[0], term):
            continue
        (rows, columns), terms = term.shape, program.ins[made[0]][0].shape[1]
        places = []
        for _ in range(terms):
            places.append((size, size + _room(rows)))
            size += _room(rows) + _room(columns)
        found[number] = _Product(out, made[0], places)
    return found


def _is_worth_it(program: Program, made: int, term: View) -> bool:
    """Whether an instruction multiplies two matrices into all of a temporary, which has far more elements than they."""
    if program.op[made] != "matmul" or program.out[made] != term or len(term.shape) != 2:
        return False
    x, y = program.ins[made]
    if len(x.shape) != 2 or len(y.shape) != 2 or not 1 <= x.shape[1] <= _MOST_TERMS:
        return False
    return program.buffers[term.buffer].role is Role.TEMP and term.size >= _WORTH * sum(term.shape)


def _room(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _leaving(program: Program, found: dict[int, _Product], size: int) -> Program:
    """The program, with copies of the factors in place of the products."""
    new = program.empty_like()
    factors = new.bound("float64", (size,), Role.ARGUMENT, "factors")
    by_maker = {each.made: each for each in found.values()}
    for number, instruction in enumerate(program):
        if number in by_maker:
            x, y = instruction.ins
            for k, (left, right) in enumerate(by_maker[number].places):
                column = View(x.buffer, x.offset + k * x.strides[1], x.shape[:1], x.strides[:1])
                row = View(y.buffer, y.offset + k * y.strides[0], y.shape[1:], y.strides[1:])
                for start, factor in ((left, column), (right, row)):
                    place = View(factors.buffer, start, factor.shape, (1,))
                    new.emit("copy", place, (factor,), line=instruction.line)
        elif number not in found:
            new.append(instruction)
    return new


def _adding(program: Program, total: int, products: list[_Product], size: int) -> Program:
    """The program that multiplies the factors of many runs."""
    new = Program(program.name)
    kept = program.buffers[total]
    shape = (kept.size,) if kept.shape is None else kept.shape
    sums = new.bound("float64", shape, Role.ARGUMENT, kept.name)
    factors = new.bound("float64", (RUNS * size,), Role.ARGUMENT, "factors")
    for each in products:
        rows, columns = each.target.shape
        target = each.target._replace(buffer=sums.buffer)
        for left, right in each.places:
            product = new.temp("float64", (rows, columns))
            x = View(factors.buffer, left, (rows, RUNS), (1, size))
            y = View(factors.buffer, right, (RUNS, columns), (size, 1))
            new.emit("matmul", product, (x, y))
            new.emit("add", target, (target, product))
    return new
