"""Random functions as a scientist writes them: source text, and what to call it with.

Each draw of `Author` is a function `f` in plain NumPy that overwrites its arguments through views of views, loops over
elements forwards and backwards, branches on data, fills scratch, calls helpers, returns views. The author knows the shape of
every name, so that the text runs; the values stay moderate, so that differences between derivatives are round-off.
"""

import random
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

__all__ = ["Argument", "Author", "Listing", "arguments", "draw", "laid_out"]

PRELUDE: Final = """import math

import numpy as np

RATE = 0.7
TABLE = np.array([0.3, -0.6, 1.1, 0.8, -0.2, 0.5])
WORK = np.zeros(8)


def mixed(u, w):
    return 0.5 * u - np.sin(w)


def swept(u, c):
    u[1:] += c * u[:-1]
    return u


def inner(u):
    return u[1:] if len(u) > 1 else u


def slope(c, d=0.4):
    if c > d:
        return d * c
    return c * c


def checked(c):
    if c < 0:
        raise ValueError("negative")
    return c * c


def power(c, n):
    return c if n == 0 else 0.6 * power(c, n - 1) * c


"""


@dataclass(frozen=True)
class Argument:
    """One argument of a listing.

    Attributes
    ----------
    name : str
    kind : {"array", "out", "number", "index", "mask", "size"}
        An `out` array is full of NaN at entry.
    shape : tuple of int
    layout : {"C", "strided", "reversed", "F", "transposed", "broadcast"}
        A broadcast array is read-only.
    same_as : str
        The argument that is the same array; empty if there is none.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    layout: str = "C"
    same_as: str = ""

    @property
    def differentiable(self) -> bool:
        return self.kind in ("array", "out", "number")


@dataclass(frozen=True)
class Listing:
    """A drawn function: the whole text, which defines `f`, and its arguments."""

    text: str
    arguments: tuple[Argument, ...]


def arguments(listing: Listing, seed: int) -> list[Any]:
    """Values to call the function with; arrays in their layout, the same array where the listing says so."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {}
    for argument in listing.arguments:
        values[argument.name] = values[argument.same_as] if argument.same_as else _value(argument, rng)
    return list(values.values())


def _value(argument: Argument, rng: np.random.Generator) -> Any:
    shape = argument.shape
    match argument.kind:
        case "array":
            drawn = rng.integers(-2, 3, shape) / 2 if rng.random() < 0.15 else rng.uniform(-1.4, 1.4, shape)  # ties and zeros
            return laid_out(drawn, argument.layout)
        case "out":
            return laid_out(np.full(shape, np.nan), argument.layout)
        case "number":
            return float(rng.uniform(-1.4, 1.4))
        case "index":
            return rng.integers(0, 2, shape)
        case "mask":
            return rng.random(shape) < 0.5
        case _:
            return SIZE


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """A copy with these strides."""
    match layout:
        case "strided":
            made = np.empty([2 * n for n in x.shape], x.dtype)[tuple(slice(1, None, 2) for _ in x.shape)]
        case "reversed":
            made = np.empty(x.shape, x.dtype)[tuple(slice(None, None, -1) for _ in x.shape)]
        case "F":
            made = np.empty(x.shape, x.dtype, order="F")
        case "transposed":
            made = np.empty((*x.shape[:-2], *x.shape[:-3:-1]), x.dtype).swapaxes(-1, -2)
        case "broadcast":  # along the first axis, with the first values
            return np.broadcast_to(x[:1].copy(), x.shape) if x.size else x.copy()
        case _:
            made = np.empty(x.shape, x.dtype)
    made[...] = x
    return made


SIZE: Final = 2  # of the argument k
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


def draw(seed: int) -> Listing:
    """The listing with this number."""
    return Author(random.Random(seed)).listing()


class Author:
    """Writes one function; see the module's docstring."""

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

    def listing(self) -> Listing:
        taken = self.signature()
        for _ in range(self.rng.randint(1, 6)):
            self.statement()
        self.write(self.returned())
        head = f"def f({', '.join(argument.name for argument in taken)}):\n"
        return Listing(PRELUDE + head + "\n".join(self.lines) + "\n", tuple(taken))

    # -------------------------------------------------------------------------------------------- arguments

    def signature(self) -> list[Argument]:
        rng, taken = self.rng, []
        for name in ("x", "y", "z")[: rng.choice((1, 2, 2, 3))]:
            shape = self.shape()
            layout = rng.choice(("C", "C", "strided", "reversed", *(("F", "transposed") if len(shape) > 1 else ())))
            taken.append(Argument(name, "array", shape, layout))
            self.arrays[name] = shape
        if rng.random() < 0.1:
            taken.append(Argument("same", "array", taken[0].shape, same_as="x"))
            self.arrays["same"] = taken[0].shape
        if rng.random() < 0.25:
            shape = self.shape()
            taken.append(Argument("out", "out", shape, rng.choice(("C", "strided"))))
            self.unwritten["out"] = shape
        for name in ("p", "q")[: rng.choice((0, 1, 1, 2))]:
            taken.append(Argument(name, "number"))
            self.numbers.append(name)
        if rng.random() < 0.15:
            taken.append(Argument("where", "mask", shape := self.shape()))
            self.masks["where"] = shape
        if rng.random() < 0.15:
            taken.append(Argument("at", "index", shape := (rng.randint(1, 4),)))
            self.indices["at"] = shape
        if rng.random() < 0.1:
            taken.append(Argument("k", "size"))
            self.sizes.append("k")
        return taken

    def shape(self) -> tuple[int, ...]:
        rng = self.rng
        match rng.randrange(20):
            case 0:
                return (1,)
            case 1 | 2 | 3 | 4 | 5:
                return rng.randint(2, 3), rng.randint(2, 4)
        return (rng.randint(2, 5),)

    # -------------------------------------------------------------------------------------------- text

    def write(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def name(self, stem: str) -> str:
        self.names += 1
        return f"{stem}{self.names}"

    def block(self, statements: int = 2) -> None:
        """An indented block; names made in it are not used behind it."""
        saved = [dict(self.arrays), dict(self.unwritten), list(self.numbers)]
        self.depth += 1
        for _ in range(self.rng.randint(1, statements)):
            self.statement(simple=True)
        self.write("pass")
        self.depth -= 1
        self.arrays, self.unwritten, self.numbers = saved  # type: ignore[assignment]

    # -------------------------------------------------------------------------------------------- statements

    def statement(self, simple: bool = False) -> None:
        rng = self.rng
        kinds = [self.assign] * 5 + [self.update] * 5 + [self.ufunc_out] * 2 + [self.element] * 2 + [
            self.swap, self.view_name, self.scatter, self.masked, self.number, self.helper, self.rebind, self.swap_slices,
            self.overlapping, self.overlapping, self.idiom, self.idiom,
        ]  # fmt: skip
        if not simple:
            kinds += [self.loop] * 5 + [
                self.branch, self.branch, self.scratch, self.scratch, self.running_sum, self.nested_loop, self.while_loop,
                self.items, self.fill_out, self.early_return, self.global_scratch, self.reduction, self.iteration, self.closure,
                self.caught,
            ]  # fmt: skip
        rng.choice(kinds)()

    def assign(self) -> None:
        target, shape = self.target()
        self.write(f"{target} = {self.array(shape, 2)}")

    def update(self) -> None:
        target, shape = self.target()
        operator = self.rng.choice(("+=", "+=", "-=", "*=", "/="))
        value = self.array(shape, 1)
        self.write(f"{target} {operator} {value if operator != '/=' else f'2 + np.square({value})'}")

    def ufunc_out(self) -> None:
        target, shape = self.target(dimension=1)
        function = self.rng.choice(("np.add", "np.subtract", "np.multiply", "np.maximum", "np.sin", "np.tanh"))
        operands = [self.view(shape), self.array(shape, 1)][: 1 if function in ("np.sin", "np.tanh") else 2]
        self.rng.shuffle(operands)
        where = f", where={mask}" if self.rng.random() < 0.15 and (mask := self.mask(shape)) else ""
        self.write(f"{function}({', '.join(operands)}, out={target}{where})")

    def element(self) -> None:
        self.write(f"{self.cell()} {self.rng.choice(('=', '+=', '*='))} {self.scalar(2)}")

    def swap(self) -> None:
        a, b = self.cell(), self.cell()
        self.write(f"{a}, {b} = {b}, {a}")

    def swap_slices(self) -> None:
        a, shape = self.target(dimension=1)
        other = self.view(shape)
        if other.endswith("]") and not other.startswith("np."):
            copied = self.rng.choice(("", ".copy()"))
            self.write(f"{a}, {other} = {other}{copied}, {a}{copied}")

    def overlapping(self) -> None:
        """Two windows of one array, shifted, in both directions; one of them may run backwards."""
        name = self.rng.choice(list(self.arrays))
        n = self.arrays[name][0]
        shift = self.rng.randint(0, n - 1)
        windows = [f"{name}[{shift}:]", f"{name}[:{n - shift}]", f"{name}[{n - 1}{f':{shift - 1}' if shift else ':'}:-1]"]
        a, b = self.rng.sample(windows, 2)
        ways = (
            "{a} = {b}", "{a} = {b} * {c}", "{a} += {b}", "{a} *= {b}", "np.multiply({b}, {a}, out={a})",
            "np.sin({b}, out={a})", "np.add({b}, {c}, {a})", "{a} = {b} - {a}", "{a} -= {b}[::-1]", "np.copyto({a}, {b})",
        )  # fmt: skip
        self.write(self.rng.choice(ways).format(a=a, b=b, c=self.scalar(0)))

    def idiom(self) -> None:
        """A line that a scientist writes."""
        name, s, w = self.rng.choice(list(self.arrays)), self.name("s"), self.name("w")
        shape = self.arrays[name]
        vector = len(shape) == 1
        made, lines = self.rng.choice((
            ("", f"{name}.fill({self.scalar(1)})"),
            ("", f"np.negative({name}, {name})"),
            ("", f"{name} **= 2"),
            ("", f"{name}[{name} > {self.scalar(0)}] = {self.scalar(0)}"),
            ("", f"{name}[({name} > 0) & ({name} < 0.8)] *= {self.scalar(0)}"),
            (s, f"{s} = np.sum({name}[{name} > 0.1] * {self.scalar(0)})"),
            (s, f"{s} = sum(c * {self.scalar(0)} for c in {name})" if vector else f"{s} = sum({name}[0])"),
            (w, f"{w} = np.array([c * {self.scalar(0)} for c in {name}])"),
            (w, f"{w} = {name}[np.argsort({name})]" if vector else f"{w} = np.flip({name}, axis=0)"),
            (w, f"{w} = {name}[[int(2 * abs({self.scalar(0)})) % {shape[0]} for _ in range({shape[0]})]]"),
            (s, f"{s} = {name}[np.argmax({name})]" if vector else f"{s} = {name}.max()"),
            (s, f"{s} = np.array({self.scalar(0)}); {s} *= {self.scalar(0)}; {s}[...] += {self.cell()}"),
            (w, f"{w} = {{'a': {name}, 'b': {self.scalar(0)}}}; {w}['b'] += 1; {w} = {w}['a'] * {w}['b']"),
            (s, f"{s} = (lambda u, c={self.scalar(0)}: u * c)({self.scalar(0)})"),
            (s, f"{s} = np.dot({name}, {name}[::-1])" if vector else f"{s} = ({name} @ {name}.T)[0, -1]"),
            (w, f"{w} = np.where({name} > {self.scalar(0)}, {name}, np.sqrt(np.abs({name}) + 1))"),
            (w, f"{w} = np.diff({name}, append={name}[:1], axis=0)"),
            (w, f"{w} = np.zeros_like({name}); {w}[1:] = {name}[:-1]; {w} -= {name}"),
        ))  # fmt: skip
        self.write(lines)
        if made == s:
            self.numbers.append(s)
        elif made:
            self.arrays[w] = shape

    def iteration(self) -> None:
        name = self.rng.choice(list(self.arrays))
        shape, i, c = self.arrays[name], self.name("i"), self.name("c")
        if len(shape) == 2:
            self.write(f"for {c} in {name}:")
            self.arrays[c] = shape[1:]
            self.depth += 1
            self.assign()
            self.write(f"{c} *= {self.scalar(0)}")
            self.depth -= 1
            del self.arrays[c]
            return
        self.write(f"for {i}, {c} in enumerate({name}):")
        self.write(f"    {name}[-1 - {i}] = {c} * {self.scalar(0)}")

    def closure(self) -> None:
        """A function inside the function, which writes an array of the outer one and binds its names."""
        g, name, shape = self.name("g"), *self.rng.choice(list(self.arrays.items()))
        self.write(f"def {g}(u, c={self.scalar(0)}):")
        self.write(f"    {name}[0] += u * c")
        self.write(f"    return c * {name}")
        w = self.name("w")
        self.write(f"{w} = {g}({self.scalar(1)}) + {g}({self.scalar(0)}, {self.scalar(0)})")
        self.arrays[w] = shape

    def caught(self) -> None:
        s = self.name("s")
        self.write("try:")
        self.write(f"    {s} = checked({self.scalar(1)})")
        self.write("except ValueError:")
        self.write(f"    {s} = {self.scalar(0)}")
        self.numbers.append(s)

    def view_name(self) -> None:
        text, shape = self.any_view(steps=2)
        name = self.name("v")
        self.write(f"{name} = {text}")
        self.arrays[name] = shape

    def rebind(self) -> None:
        """A local name for a new array: what is written later does not reach the argument."""
        names = [name for name in self.arrays if not self.loops and self.depth == 1]
        if names:
            name = self.rng.choice(names)
            self.write(f"{name} = {self.whole(self.arrays[name], 1)}")

    def number(self) -> None:
        if self.numbers and self.rng.random() < 0.5:
            name = self.rng.choice(self.numbers)
            self.write(f"{name} {self.rng.choice(('=', '+=', '*='))} {self.scalar(1)}")
        else:
            value = self.scalar(2)
            name = self.name("s")
            self.write(f"{name} = {value}")
            self.numbers.append(name)

    def scatter(self) -> None:
        name = self.rng.choice(list(self.arrays))
        n = self.arrays[name][0]
        if n < 2:
            return
        if self.indices and self.rng.random() < 0.5:
            index = self.rng.choice(list(self.indices))
            count = self.indices[index][0]
        else:
            positions = [self.rng.randrange(-n, n) for _ in range(self.rng.randint(1, 4))]
            index, count = str(positions), len(positions)
        value = self.array((count, *self.arrays[name][1:]), 1)
        way = self.rng.choice(("np.add.at({}, {}, {})", "{}[{}] = {}", "{}[{}] += {}", "np.subtract.at({}, {}, {})"))
        self.write(way.format(name, index, value))

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

    def helper(self) -> None:
        vectors = [name for name, shape in self.arrays.items() if len(shape) == 1]
        if vectors and self.rng.random() < 0.6:
            self.write(f"swept({self.rng.choice(vectors)}, {self.scalar(1)})")
        else:
            value = f"{self.rng.choice(('slope({})', 'power({}, 2)', 'slope({}, d=0.1)')).format(self.scalar(1))}"
            name = self.name("s")
            self.write(f"{name} = {value}")
            self.numbers.append(name)

    # -------------------------------------------------------------------------------------------- compound statements

    def loop(self) -> None:
        vectors = [name for name, shape in self.arrays.items() if len(shape) == 1 and shape[0] > 1]
        if not vectors:
            return
        n = self.arrays[self.rng.choice(vectors)][0]
        low, high = sorted(self.rng.sample(range(n + 1), 2))
        index = self.name("i")
        backward = self.rng.random() < 0.35
        span = f"range({high - 1}, {low - 1}, -1)" if backward else f"range({low}, {high})"
        self.write(f"for {index} in {span}:")
        self.loops.append((index, low, high - 1))
        self.depth += 1
        for _ in range(self.rng.randint(1, 3)):
            self.rng.choice((self.element, self.element, self.element, self.swap, self.accumulate, self.element_branch))()
        if self.rng.random() < 0.1:
            self.write(f"if {self.scalar(0)} > 0.9:")
            self.write("    " + self.rng.choice(("break", "continue")))
            self.element()
        self.depth -= 1
        self.loops.pop()

    def accumulate(self) -> None:
        if self.numbers:
            self.write(f"{self.rng.choice(self.numbers)} += {self.scalar(1)}")
        else:
            self.element()

    def element_branch(self) -> None:
        self.write(f"if {self.scalar(0)} {self.rng.choice('<>')} {self.rng.choice((self.scalar(0), '0.0'))}:")
        self.depth += 1
        self.element()
        self.depth -= 1
        if self.rng.random() < 0.6:
            self.write("else:")
            self.depth += 1
            self.element()
            self.depth -= 1

    def nested_loop(self) -> None:
        grids = [name for name, shape in self.arrays.items() if len(shape) == 2]
        if not grids:
            return
        rows, columns = self.arrays[self.rng.choice(grids)]
        i, j = self.name("i"), self.name("j")
        self.write(f"for {i} in range({rows}):")
        self.write(f"    for {j} in range({self.rng.choice((columns, columns, f'{columns - 1}, -1, -1'))}):")
        self.loops += [(i, 0, rows - 1), (j, 0, columns - 1)]
        self.depth += 2
        for _ in range(self.rng.randint(1, 2)):
            self.element()
        self.depth -= 2
        del self.loops[-2:]

    def branch(self) -> None:
        self.write(f"if {self.condition()}:")
        self.block()
        if self.rng.random() < 0.6:
            self.write("else:")
            self.block()

    def condition(self) -> str:
        one = f"{self.scalar(1)} {self.rng.choice(('<', '>', '>='))} {self.rng.choice((self.scalar(0), '0.1'))}"
        match self.rng.randrange(6):
            case 0:
                return f"{one} and {self.scalar(0)} < 0.8"
            case 1:
                return f"not ({one})"
            case 2:
                return f"np.any({self.view(self.rng.choice(list(self.arrays.values())))} > 0.9)"
        return one

    def while_loop(self) -> None:
        count = self.name("n")
        self.write(f"{count} = 0")
        self.write(f"while {count} < 3 and {self.condition()}:")
        self.depth += 1
        self.write(f"{count} += 1")
        self.depth -= 1
        self.block(1)

    def early_return(self) -> None:
        self.write(f"if {self.condition()}:")
        self.depth += 1
        self.write(self.returned())
        self.depth -= 1

    def scratch(self) -> None:
        name, shape = self.name("w"), self.shape()
        match self.rng.randrange(6):
            case 0:
                self.write(f"{name} = np.zeros({shape})")
            case 1:
                self.write(f"{name} = np.empty({shape})")
                self.write(f"{name}[:] = {self.array(shape, 1)}")
            case 2:
                like, shape = self.any_view()
                self.write(f"{name} = {self.rng.choice(('np.zeros_like', 'np.ones_like', 'np.copy'))}({like})")
            case 3:
                self.write(f"{name} = np.full({shape}, {self.scalar(1)})")
            case 4:
                like, shape = self.any_view()
                self.write(f"{name} = {like}.copy()")
            case _:
                self.write(f"{name} = {self.whole(shape, 2)}")
        self.arrays[name] = shape

    def global_scratch(self) -> None:
        n = self.rng.randint(2, 5)
        name = self.name("g")
        self.write(f"{name} = WORK[:{n}]")
        self.write(f"{name}[:] = {self.array((n,), 1)}")
        self.arrays[name] = (n,)

    def fill_out(self) -> None:
        if not self.unwritten:
            self.assign()
            return
        name, shape = next(iter(self.unwritten.items()))
        match self.rng.randrange(3):
            case 0:
                self.write(f"{name}[:] = {self.array(shape, 2)}")
                self.arrays[name] = shape
                del self.unwritten[name]
            case 1:
                self.write(f"np.multiply({self.array(shape, 1)}, {self.scalar(1)}, out={name})")
                self.arrays[name] = shape
                del self.unwritten[name]
            case _:
                self.write(f"{name}[1:] = {self.array((shape[0] - 1, *shape[1:]), 1)}")

    def running_sum(self) -> None:
        vectors = [name for name, shape in self.arrays.items() if len(shape) == 1]
        if not vectors:
            return
        a, b = self.rng.choice(vectors), self.rng.choice(vectors)
        n = min(self.arrays[a][0], self.arrays[b][0])
        total, index = self.name("s"), self.name("i")
        self.write(f"{total} = 0.0")
        self.write(f"for {index} in range({n}):")
        self.write(f"    {total} += {a}[{index}] * {self.scalar(0)}")
        self.write(f"    {b}[{index}] = {total}")
        self.numbers.append(total)

    def items(self) -> None:
        """A list of traced numbers or arrays."""
        items = self.name("items")
        if self.rng.random() < 0.6:
            n = self.rng.randint(1, 3)
            self.write(f"{items} = [{', '.join(self.scalar(1) for _ in range(n))}]")
            self.write(f"{items}.append({self.scalar(1)})")
            match self.rng.randrange(3):
                case 0:
                    name = self.name("s")
                    self.write(f"{name} = sum({items})")
                    self.numbers.append(name)
                case 1:
                    name = self.name("w")
                    self.write(f"{name} = np.array({items})")
                    self.arrays[name] = (n + 1,)
                case _:
                    name = self.name("s")
                    self.write(f"{name} = {self.rng.choice(('max', 'min'))}({items})")
                    self.numbers.append(name)
        else:
            (a, shape), name = self.any_view(), self.name("w")
            self.write(f"{items} = [{a}, {self.view(shape)}]")
            self.write(f"{items}[0][...] = {items}[1] + {self.scalar(1)}")
            self.write(f"{name} = np.stack({items})")
            if len(shape) == 1:
                self.arrays[name] = (2, *shape)

    def reduction(self) -> None:
        text, shape = self.any_view()
        function = self.rng.choice(("sum", "mean", "max", "min", "cumsum", "prod"))
        name = self.name("r")
        if function == "cumsum":
            axis = self.rng.randrange(len(shape))
            self.write(f"{name} = np.cumsum({text}, axis={axis})")
            self.arrays[name] = shape
        elif len(shape) == 2:
            axis, keep = self.rng.randrange(-2, 2), self.rng.random() < 0.5
            self.write(f"{name} = np.{function}({text}, axis={axis}{', keepdims=True' if keep else ''})")
            self.arrays[name] = np.empty(shape).sum(axis=axis, keepdims=keep).shape
        else:
            self.write(f"{name} = {text}.{function}()")
            self.numbers.append(name)

    def returned(self) -> str:
        match self.rng.randrange(8):
            case 0 | 1:
                return "return"
            case 2 | 3 | 4:
                return f"return {self.scalar(2)}"
            case 5:
                return f"return {self.any_view()[0]}"
            case 6:
                return f"return {self.scalar(1)}, {self.any_view()[0]}"
        return f"return {self.whole(self.shape(), 1)}"

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
