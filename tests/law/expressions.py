"""Views and expressions over the names that a function under construction can read."""

import random
from typing import Final

import numpy as np

from .listing import SIZE

__all__ = ["OFFSETS", "Expressions"]

UNARY: Final = (
    "np.sin({})", "np.cos({})", "np.tanh({})", "np.exp(-np.square({}))", "(-{})", "np.sqrt(1.5 + np.square({}))", "abs({})",
    "np.arctan({})", "{}**2", "{}**3", "(1 / (2 + np.square({})))", "np.log1p(np.square({}))", "np.expm1(0.3 * {})",
    "np.minimum({}, 0.7)", "np.clip({}, -0.8, 0.9)", "mixed({}, RATE)", "np.reciprocal(3 + np.sin({}))",
)  # fmt: skip
BINARY: Final = (
    "({} + {})", "({} - {})", "({} * {})", "({} + {})", "({} - {})", "({} * {})", "({} / (2 + np.square({})))",
    "np.maximum({}, {})", "np.minimum({}, {})", "(0.5 * {} - {})", "mixed({}, {})", "np.arctan2({}, 2 + np.cos({}))",
    "np.multiply({}, {})",
)  # fmt: skip
NUMBERS: Final = ("0.5", "-1.2", "0.3", "2.0", "1.0", "-0.7")
OFFSETS: Final = (0, 0, 0, -1, 1, -2, 2)


class Expressions:
    """Draws text whose value has a known shape.

    Attributes
    ----------
    rng : random.Random
    arrays : dict of str to shape
        The readable ones.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.lines: list[str] = []
        self.depth = 1
        self.arrays: dict[str, tuple[int, ...]] = {}  # readable ones
        self.unwritten: dict[str, tuple[int, ...]] = {}
        self.numbers: list[str] = []
        self.loops: list[tuple[str, int, int]] = []  # index, least value, greatest value
        self.masks: dict[str, tuple[int, ...]] = {}
        self.indices: dict[str, tuple[int, ...]] = {}
        self.sizes: list[str] = []
        self.names = 0

    def shape(self) -> tuple[int, ...]:
        rng = self.rng
        match rng.randrange(20):
            case 0:
                return (1,)
            case 1 | 2 | 3 | 4 | 5:
                return rng.randint(2, 3), rng.randint(2, 4)
        return (rng.randint(2, 5),)

    # -------------------------------------------------------------------------------------------- text

    def masked(self) -> None:
        name = self.rng.choice(list(self.arrays))
        mask = self.mask(self.arrays[name])
        if mask:
            way = self.rng.choice(("{n}[{m}] = {s}", "{n}[{m}] *= {s}", "{n}[{m}] += {s}", "np.copyto({n}, {s}, where={m})"))
            self.write(way.format(n=name, m=mask, s=self.scalar(1)))

    def mask(self, shape: tuple[int, ...]) -> str:
        fitting = [name for name, s in self.masks.items() if s == shape]
        if fitting and self.rng.random() < 0.5:
            return self.rng.choice(fitting)
        return f"{self.view(shape)} {self.rng.choice('<>')} {self.rng.choice((self.view(shape), '0.1'))}"

    # -------------------------------------------------------------------------------------------- views

    def any_view(self, steps: int = 1) -> tuple[str, tuple[int, ...]]:
        """A view of some array, not empty."""
        text = self.rng.choice(list(self.arrays))
        dummy = np.empty(self.arrays[text])
        for _ in range(self.rng.randint(0, steps)):
            suffix = self.suffix(dummy.shape)
            moved = eval(f"x{suffix}", {"x": dummy, "k": SIZE})
            if moved.size and moved.ndim:
                text, dummy = text + suffix, moved
        return text, dummy.shape

    def suffix(self, shape: tuple[int, ...]) -> str:
        if len(shape) == 1:
            if self.rng.random() < 0.15:
                return ".reshape(2, 2)" if shape[0] == 4 else ".ravel()"
            return f"[{self.piece(shape[0])}]"
        row, column = self.rng.randrange(shape[0]), self.rng.randrange(-shape[1], shape[1])
        return self.rng.choice((
            ".T", ".reshape(-1)", ".ravel()", f"[{row}]", f"[:, {column}]", f"[..., {column}]", f"[{self.piece(shape[0])}]",
            f"[:, {self.piece(shape[1])}]", f"[{self.piece(shape[0])}, {self.piece(shape[1])}]", "[::-1, ::-1]",
        ))  # fmt: skip

    def piece(self, n: int) -> str:
        k = self.rng.randint(1, max(1, n - 1))
        size = [f":{name}" for name in self.sizes]
        return self.rng.choice((":", f":{k}", f"{n - k}:", f"{-k}:", "::-1", "::2", f"{k - 1}::-1", "1:", ":-1", "::-2", *size))

    def view(self, shape: tuple[int, ...]) -> str:
        """A readable view of this shape, or something that broadcasts to it."""
        for _ in range(8):
            text, found = self.any_view(steps=2)
            if found == shape:
                return text
            if len(found) == len(shape) == 1 and found[0] > shape[0] and text in self.arrays:
                n, spare = shape[0], found[0] - shape[0]
                start = self.rng.randint(0, spare)
                backwards = f"{start + n - 1}:{start - 1 if start else ''}:-1"
                return f"{text}[{self.rng.choice((f'{start}:{start + n}', backwards))}]"
        return self.rng.choice((self.scalar(0), f"np.full({shape}, {self.scalar(0)})", f"np.ones({shape})"))

    def target(self, dimension: int = 0) -> tuple[str, tuple[int, ...]]:
        """What can be assigned to, and its shape."""
        text, shape = self.any_view(steps=2)
        if text.isidentifier():
            return f"{text}[:]" if dimension or self.rng.random() < 0.7 else f"{text}[...]", shape
        if text.endswith((".T", ")")):
            return f"{text}[:]", shape
        return text, shape

    def cell(self) -> str:
        """One element, by constants or by the indices of the loops around."""
        name = self.rng.choice(list(self.arrays))
        fitting = [n for n in self.arrays if self.loops and any(high < self.arrays[n][0] for _, _, high in self.loops)]
        if fitting and self.rng.random() < 0.9:
            name = self.rng.choice(fitting)
        indices = []
        for n in self.arrays[name]:
            choices = [(i, d) for i, low, high in self.loops for d in OFFSETS if low + d >= 0 and high + d < n]
            if choices and self.rng.random() < 0.92:
                i, d = self.rng.choice(choices)
                indices.append(i if d == 0 else f"{i} {'+' if d > 0 else '-'} {abs(d)}")
            else:
                indices.append(str(self.rng.randrange(-n, n)))
        return f"{name}[{', '.join(indices)}]"

    # -------------------------------------------------------------------------------------------- expressions

    def whole(self, shape: tuple[int, ...], depth: int) -> str:
        """An expression of exactly this shape, a new array."""
        return f"{self.array(shape, depth)} + np.zeros({shape})"

    def array(self, shape: tuple[int, ...], depth: int) -> str:
        """An expression of this shape, or one that broadcasts to it."""
        rng = self.rng
        if depth <= 0:
            return self.view(shape) if rng.random() < 0.8 else self.scalar(0)
        match rng.randrange(14):
            case 0 | 1 | 2:
                return rng.choice(UNARY).format(self.array(shape, depth - 1))
            case 3 | 4 | 5 | 6:
                return rng.choice(BINARY).format(self.array(shape, depth - 1), self.array(shape, depth - 1))
            case 7:
                return f"np.where({self.mask(shape)}, {self.array(shape, depth - 1)}, {self.array(shape, depth - 1)})"
            case 8:
                return self.gathered(shape)
            case 9:
                return self.moved(shape)
            case 10 | 11:
                return f"({self.view(shape)} * {self.scalar(depth - 1)})"
        return self.view(shape)

    def gathered(self, shape: tuple[int, ...]) -> str:
        names = [name for name, s in self.arrays.items() if len(s) == len(shape) and s[1:] == shape[1:]]
        if not names:
            return self.view(shape)
        name = self.rng.choice(names)
        fitting = [index for index, s in self.indices.items() if s[0] == shape[0]]
        n = self.arrays[name][0]
        if fitting and n > 1 and self.rng.random() < 0.7:
            return f"{name}[{self.rng.choice(fitting)}]"
        return f"{name}[{[self.rng.randrange(-n, n) for _ in range(shape[0])]}]"

    def moved(self, shape: tuple[int, ...]) -> str:
        """Products and rearrangements with a shape of their own."""
        rng = self.rng
        if len(shape) == 1:
            grids = [name for name, s in self.arrays.items() if len(s) == 2 and s[0] == shape[0]]
            if grids:
                grid = rng.choice(grids)
                inside = self.arrays[grid][1]
                return rng.choice((
                    f"{grid} @ ({self.view((inside,))} * np.ones({inside}))", f"{grid}.sum(axis=1)", f"np.max({grid}, axis=1)",
                    f"{grid}.mean(axis=-1)",
                ))  # fmt: skip
            parts = f"({self.view(shape)} * np.ones({shape}))"
            return rng.choice((
                f"np.roll({parts}, 1)", f"np.cumsum({parts})", f"np.flip({parts})", f"np.sort({parts})", f"TABLE[:{shape[0]}]",
                f"np.concatenate([{parts}[1:], {parts}[:1]])",
            ))  # fmt: skip
        a, b = (f"({self.view((n,))} * np.ones({n}))" for n in shape)
        return rng.choice((f"np.outer({a}, {b})", f"{a}[:, None]", f"({a}[:, None] * {b})", b, f"np.multiply.outer({a}, {b})"))

    def scalar(self, depth: int) -> str:
        """An expression for one number."""
        rng = self.rng
        if depth <= 0 or rng.random() < 0.3:
            match rng.randrange(5):
                case 0:
                    return rng.choice(NUMBERS)
                case 1 if self.numbers:
                    return rng.choice(self.numbers)
                case 2 if rng.random() < 0.2:
                    return rng.choice(("RATE", "TABLE[2]", "TABLE[int(2 + RATE)]"))
            return self.cell()
        match rng.randrange(12):
            case 0:
                return f"math.{rng.choice(('sin', 'cos', 'tanh', 'atan'))}({self.scalar(depth - 1)})"
            case 1:
                return f"{rng.choice(('np.sum', 'np.mean', 'np.max', 'np.min'))}({self.any_view()[0]})"
            case 2:
                text, shape = self.any_view()
                return f"({text} * {self.view(shape)}).sum()"
            case 3:
                return f"{rng.choice(('max', 'min'))}({self.scalar(depth - 1)}, {self.scalar(depth - 1)})"
            case 4:
                return f"abs({self.scalar(depth - 1)})"
            case 5:
                return f"slope({self.scalar(depth - 1)})"
            case 6:
                return f"{self.scalar(depth - 1)} / (2 + {self.cell()}**2)"
            case 7:
                return f"float({self.scalar(depth - 1)})"
            case _:
                return f"({self.scalar(depth - 1)} {rng.choice('+-**')} {self.scalar(depth - 1)})"
