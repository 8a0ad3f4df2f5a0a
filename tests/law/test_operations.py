"""Every row of the op table as users write it: each form of the call, layout, precision and choice of activities, by the law.

Forms are the returned value, `out=`, results that overlap an operand, masks, numbers and element loops. Rows without a
derivative take part too: their values must be those of the plain call.
"""

import itertools
import random
from typing import Final

import numpy as np
import pytest

from helpers import ALL_OPS, operands
from law.law import Trial
from law.listing import Argument, Listing, laid_out
from odead.ops import Op

FORMS: Final = {
    "returned": "return {f}({xs})",
    "out": "{f}({xs}, out=z)",
    "in place": "{f}({xs}, out=x)",
    "last in place": "{f}({xs}, out={last})",
    "backwards": "{f}({xs}, out=x[::-1])",
    "shifted": "{f}({head}, out=x[1:])",
    "masked": "{f}({xs}, out=z, where=mask)",
    "loop": "for i in range(len(x)):\n        z[i] = {f}({elements})",
    "number": "return {f}({numbers})",
    "twice": "x[...] = {f}({xs})\n    z += x",
}
VECTORS: Final = ("C", "strided", "reversed", "broadcast")
MATRICES: Final = ("C", "F", "transposed", "strided", "reversed")
SHAPES: Final = ((4,), (4,), (2, 3), (1,), (0,), (2, 0))


def called(op: Op) -> str:
    """The function as users call it; empty where there is none."""
    if op.numpy:
        return f"np.{op.numpy}"
    return f"special.{op.special}" if op.special and op.name != "zeta" else ""  # zeta serves the derivative of another row


CALLED: Final = [op for op in ALL_OPS if called(op)]


def listing(op: Op, form: str, shape: tuple[int, ...], layouts: tuple[str, ...]) -> Listing:
    names = op.operands
    kinds = ["mask" if "f" not in op.kinds or (op.name == "where" and k == 0) else "array" for k in range(op.arity)]
    arguments = [Argument(n, kind, shape, lay) for n, kind, lay in zip(names, kinds, layouts, strict=False)]
    text = FORMS[form].format(
        f=called(op), xs=", ".join(names), last=names[-1], head=", ".join(f"{n}[:-1]" for n in names),
        elements=", ".join(f"{n}[i]" for n in names), numbers=", ".join(f"{n}[-1]" for n in names),
    )  # fmt: skip
    if "z" in text.replace("zeta", "") and "z" not in names:
        arguments.append(Argument("z", "array", shape, layouts[0] if layouts[0] != "broadcast" else "C"))
    if "mask" in text:
        arguments.append(Argument("mask", "mask", shape))
    head = f"import numpy as np\nfrom scipy import special\n\n\ndef f({', '.join(a.name for a in arguments)}):\n    "
    return Listing(f"{head}{text}\n", tuple(arguments))


def fits(op: Op, form: str, shape: tuple[int, ...], layouts: tuple[str, ...]) -> bool:
    if op.name == "where":
        return form == "returned"
    if "broadcast" in layouts and form not in ("returned", "out", "masked", "loop", "number"):
        return False
    if form == "masked" and op.special and not op.numpy:
        return False  # SciPy's loops move the pointers NumPy's masked loop gives them, and write outside of the array
    if form in ("loop", "number", "backwards", "shifted") and (len(shape) != 1 or not shape[0]):
        return False
    if op.result == "bool" or "f" not in op.kinds:
        return form in ("returned", "number")
    if form == "shifted":
        return shape[0] > 1
    return form != "last in place" or op.arity > 1


def values(op: Op, case: Listing, shape: tuple[int, ...], dtype: str, seed: int) -> list[np.ndarray]:
    kind = dtype if "f" in op.kinds else "bool"
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        drawn_flat = operands(op, int(np.prod(shape)), kind, seed)
    drawn = {n: x.reshape(shape) for n, x in zip(op.operands, drawn_flat, strict=True)}
    extra = {"mask": rng.random(shape) < 0.5, "z": rng.uniform(-1, 1, shape).astype(dtype)}
    given = {**extra, **drawn}
    moderate = {n: np.where(np.abs(x) > 100, np.nan, x).astype(x.dtype) if op.result == "bool" else x for n, x in given.items()}
    return [np.array(laid_out(moderate[a.name], a.layout)) for a in case.arguments]  # repeated where it is broadcast


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", CALLED, ids=lambda op: op.name)
def test_operation(op, dtype):
    rng = random.Random(f"{op.name} {dtype}")
    tried = 0
    for form, shape in itertools.product(FORMS, SHAPES):
        layouts = tuple(rng.choice(VECTORS if len(shape) == 1 else MATRICES) for _ in range(3))
        if not fits(op, form, shape, layouts):
            continue
        case = listing(op, form, shape, layouts)
        trial = Trial(case, rng, dtype)
        for seed in range(2):
            trial.at(values(op, case, shape, dtype, rng.randrange(1000) + seed))
        tried += 1
    assert tried > 3


@pytest.mark.parametrize("form", ["returned", "out", "twice"])
@pytest.mark.parametrize("op", [op for op in CALLED if op.differentiable and op.name != "where"], ids=lambda op: op.name)
def test_every_choice_of_activities(op, form):
    case = listing(op, form, (3,), ("C", "C", "C"))
    drawn = values(op, case, (3,), "float64", 5)
    arrays = [a.name for a in case.arguments if a.differentiable]
    for active in itertools.product((True, False), repeat=len(arrays)):
        chosen = {name for name, act in zip(arrays, active, strict=True) if act}
        for width in (None, 2):
            Trial(case, random.Random(7), active=chosen, width=width).at(drawn)
