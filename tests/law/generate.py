"""Random functions as a scientist writes them: source text, and what to call it with.

Each draw of `Author` is a function `f` in plain NumPy that overwrites its arguments through views of views, loops over
elements forwards and backwards, branches on data, fills scratch, calls helpers, returns views. The author knows the shape of
every name, so that the text runs; the values stay moderate, so that differences between derivatives are round-off.
"""

import random

import numpy as np

from .expressions import Expressions
from .listing import PRELUDE, Argument, Listing

__all__ = ["Author", "draw"]


def draw(seed: int) -> Listing:
    """The listing with this number."""
    return Author(random.Random(seed)).listing()


class Author(Expressions):
    """Writes one function; see the module's docstring."""

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
        read = self.name("a")  # what is written there and never read is refused
        self.write(f"{read} = 0.5 * {name}")
        self.arrays[read] = (n,)

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
