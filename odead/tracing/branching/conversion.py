"""Rewriting the `if`s of a function so that both of their sides are recorded.

::

    if u[i] > 0:                         _odead_1 = __odead_branch__(u[i] > 0, place, ("s",))
        s = u[i] - u[i - 1]              if _odead_1.first():
    else:                                    s = u[i] - u[i - 1]
        s = u[i + 1] - u[i]              if _odead_1.second():
                                             if _odead_1.both:       # s is what it was before the if
                                                 (s,) = _odead_1.before
                                                 if s is __odead_missing__: del s
                                             s = u[i + 1] - u[i]
                                         if _odead_1.end():
                                             (s,) = _odead_1.merged
                                             if s is __odead_missing__: del s

An early exit has become a side before that; see `straightening`. `x if c else y` becomes a call that evaluates its
arguments in this order, `and`, `or`, `not` and chained comparisons in a test become calls that short-circuit only on what does
not vary.

The source is read from the file, and the statement of the module that holds the function is compiled with these changes,
so that closures, methods, defaults, `super()` and line numbers are those of the original. Source that does not give the code
of the function, because the file has changed since or the code was made otherwise, is left alone.
"""

from __future__ import annotations

import ast
import copy
import linecache
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias, TypeVar

from .branches import Place
from .loop_exits import LOOP, is_ours
from .straightening import straightened

__all__ = ["Conversions"]

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Choice: TypeAlias = ast.If | ast.IfExp
_Node = TypeVar("_Node", bound=ast.AST)

_FINAL: Final = (
    ast.Return, ast.Raise, ast.Break, ast.Continue, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.Delete, ast.Global,
    ast.Nonlocal, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.While, ast.Await,
    ast.Yield, ast.YieldFrom, ast.Match, ast.AsyncFor,
)  # fmt: skip
"""What a side must not contain: it would leave the side, run on for ever, or have effects that cannot be set aside."""


class Conversions:
    """The `if`s to convert, found while recording; see `branches.Plan`."""

    def __init__(self) -> None:
        self._wanted: set[Place] = set()
        self._refused: set[Place] = set()
        self._seen: set[tuple[str, int, str]] = set()  # functions that sides call, by file, line and name
        self._codes: dict[CodeType, CodeType] = {}  # converted -> the user's
        self.rounds: dict[Place, int] = {}
        self.lists = False

    @property
    def is_empty(self) -> bool:
        return not self._wanted

    def clear(self) -> None:
        """Convert nothing, whatever may be asked."""
        self._refused |= self._wanted
        self._wanted.clear()

    def ask(self, frame: FrameType, several: bool) -> bool:
        code = self._codes.get(frame.f_code, frame.f_code)
        module = _straightened_module_of(code)
        if module is None:
            return False
        line, end_line, column, end_column = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
        if line is None or end_line is None or column is None or end_column is None:
            return False
        found = _choice_at(module, (line, column), (end_line, end_column))
        if found is None or not self._can_convert(code, found) or found not in _together(module, found, several):
            return False
        recurring = {self._place(code, node) for node in _together(module, found, several) if self._can_convert(code, node)}
        fresh = recurring - self._wanted
        self._wanted |= fresh
        return bool(fresh)

    def _can_convert(self, code: CodeType, node: Choice) -> bool:
        return self._place(code, node) not in self._refused and _has_plain_sides(node)

    @staticmethod
    def _place(code: CodeType, node: Choice) -> Place:
        return code.co_filename, node.lineno, node.col_offset

    def is_refused(self, place: Place) -> bool:
        return place in self._refused

    def refuse(self, place: Place) -> None:
        self._refused.add(place)
        self._wanted.discard(place)

    def see(self, code: CodeType) -> bool:
        """Look at the stores and calls of a function that a side calls; whether that is new, and possible."""
        code = self._codes.get(code, code)
        key = (code.co_filename, code.co_firstlineno, code.co_name)
        if key in self._seen or _module_of(code) is None:
            return False
        self._seen.add(key)
        return True

    def is_seen(self, code: CodeType) -> bool:
        code = self._codes.get(code, code)
        return (code.co_filename, code.co_firstlineno, code.co_name) in self._seen

    def converted(self, code: CodeType) -> CodeType:
        """The code of a function with its `if`s converted."""
        places = {(line, column) for file, line, column in self._wanted if file == code.co_filename}
        seen = {(line, name) for file, line, name in self._seen if file == code.co_filename}
        if not places and not seen:
            return code
        module = _straightened_module_of(code)
        if module is None:
            return code
        rewriting = _Rewriting(code.co_filename, places, seen)
        tree = ast.fix_missing_locations(rewriting.visit(copy.deepcopy(module)))
        if not rewriting.changed:
            return code
        try:
            compiled = compile(tree, code.co_filename, "exec", dont_inherit=True)
        except SyntaxError:  # a name cannot be bound there, as in the iterable of a comprehension
            return code
        made = [each for each in _codes_in(compiled) if _is_same_function(each, code)]
        if len(made) != 1 or made[0].co_freevars != code.co_freevars:
            return code
        for new in _codes_in(made[0]):
            for old in _codes_in(code):
                if _is_same_function(new, old):
                    self._codes[new] = old
        self._codes[made[0]] = code
        return made[0]


# ---------------------------------------------------------------------------------------------------- source


@lru_cache(maxsize=256)
def _module_of(code: CodeType) -> ast.Module | None:
    """The source of the module as far as it gives this code: one statement, and the imports.

    The imports are needed because `name.attribute(...)` compiles to other code where the name is that of a module.
    """
    source = "".join(linecache.getlines(code.co_filename))
    tree = _parsed(source) if source else None
    if tree is None:
        return None
    for statement in tree.body:
        first = min([statement.lineno, *[each.lineno for each in getattr(statement, "decorator_list", ())]])
        if first <= code.co_firstlineno <= (statement.end_lineno or first):
            imports = [each for each in _in_function(tree) if isinstance(each, (ast.Import, ast.ImportFrom))]
            module = ast.Module([*imports, statement], [])
            compiled = compile(module, code.co_filename, "exec", dont_inherit=True)
            same = [each for each in _codes_in(compiled) if each == code and each.co_qualname == code.co_qualname]
            return module if len(same) == 1 else None
    return None


@lru_cache(maxsize=256)
def _straightened_module_of(code: CodeType) -> ast.Module | None:
    """The same with early exits made sides of their `if`s."""
    module = _module_of(code)
    return None if module is None else straightened(module)


@lru_cache(maxsize=16)
def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except SyntaxError:  # not a file of Python, or one that has changed
        return None


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


def _is_same_function(made: CodeType, code: CodeType) -> bool:
    return made.co_qualname == code.co_qualname and made.co_firstlineno == code.co_firstlineno


# ---------------------------------------------------------------------------------------------------- finding


def _choice_at(module: ast.Module, start: tuple[int, int], end: tuple[int, int]) -> Choice | None:
    """The innermost `if` whose test contains this stretch of the source."""
    found: Choice | None = None
    for node in ast.walk(module):  # outer nodes come first
        if isinstance(node, (ast.If, ast.IfExp)):
            test = node.test
            if (test.lineno, test.col_offset) <= start and end <= (test.end_lineno or 0, test.end_col_offset or 0):
                found = node
    return found


def _together(module: ast.Module, choice: Choice, several: bool) -> list[Choice]:
    """The `if`s that recur with this one: all in the outermost loop around it in its function, or else in the function.

    A loop that is run once, as an iteration of the whole state, ends where it ends: its own exits are no `if`s to convert. With
    `several` it has been run more than once.
    """
    path: list[ast.AST] = []

    def descend(node: ast.AST) -> bool:
        path.append(node)
        if node is choice or any(map(descend, ast.iter_child_nodes(node))):
            return True
        path.pop()
        return False

    descend(module)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Module)
    inner = max(k for k, node in enumerate(path) if isinstance(node, functions))
    loops = [node for node in path[inner:] if isinstance(node, (ast.For, ast.While))]
    around = loops[0] if loops else path[inner]
    found = [node for node in _in_function(around) if isinstance(node, (ast.If, ast.IfExp)) and not is_ours(node)]
    if several or not loops or not is_ours(around):
        return found
    assert isinstance(around, (ast.For, ast.While))
    own = around.body[0]
    assert isinstance(own, ast.If) and isinstance(own.test, ast.Name)
    return [node for node in found if node is not own and not _assigns(node, own.test.id)]


def _assigns(node: ast.AST, name: str) -> bool:
    return any(isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Store) for each in ast.walk(node))


def _in_function(node: ast.AST) -> Iterator[ast.AST]:
    """What lies in `node`, without what belongs to a function or class defined there."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield child
            yield from _in_function(child)


def _has_plain_sides(node: Choice) -> bool:
    """Whether both sides do nothing but compute, and assign to names and elements."""
    sides = [*node.body, *node.orelse] if isinstance(node, ast.If) else [node.body, node.orelse]
    return not any(_leads_out(each) for side in sides for each in ast.walk(side))


def _leads_out(node: ast.AST) -> bool:
    if is_ours(node):
        return False
    return isinstance(node, _FINAL) or (isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load))


# ---------------------------------------------------------------------------------------------------- rewriting


class _Rewriting(ast.NodeTransformer):
    """Converts the `if`s at these places, and makes the stores and calls in their sides, and in functions called, visible."""

    def __init__(self, file: str, places: set[tuple[int, int]], seen: set[tuple[int, str]]) -> None:
        self.file, self.places, self.seen = file, places, seen
        self.changed = False
        self.inside = False  # a side, or a function that sides call
        self.count = 0

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, (ast.FunctionDef, ast.Lambda, ast.AsyncFunctionDef)):
            return self.function(node)
        if isinstance(node, (ast.If, ast.IfExp)) and (node.lineno, node.col_offset) in self.places:
            self.changed = True
            return self.choice(node) if isinstance(node, ast.IfExp) else self.statement(node)
        visited = self.generic_visit(node)
        if self.inside and isinstance(visited, ast.Subscript) and isinstance(visited.ctx, ast.Store):
            visited.value = _call("__odead_target__", [visited.value], visited.value)
        if self.inside and isinstance(visited, ast.Call) and not is_ours(visited):
            visited.func = _call("__odead_callee__", [visited.func], visited.func)
        return visited

    def function(self, node: Function) -> ast.AST:
        decorators = getattr(node, "decorator_list", [])
        line = min([node.lineno, *[each.lineno for each in decorators]])
        outer, self.inside = self.inside, (line, getattr(node, "name", "<lambda>")) in self.seen
        self.changed |= self.inside
        if isinstance(node, ast.Lambda):
            node.body = self.visit(node.body)
        else:
            node.body = self.statements(node.body)
        self.inside = outer
        return node

    def statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for statement in body:
            visited = self.visit(statement)
            made += visited if isinstance(visited, list) else [visited]
        return made

    def side(self, body: list[ast.stmt]) -> list[ast.stmt]:
        outer, self.inside = self.inside, True
        made = self.statements(body)
        self.inside = outer
        return made

    def fresh(self) -> str:
        self.count += 1
        return f"_odead_{self.count}"

    # ------------------------------------------------------------------------------------------ if

    def statement(self, node: ast.If) -> list[ast.stmt]:
        names = _assigned(node)
        branch = self.fresh()
        test = self.test(node.test)
        body, orelse = self.side(node.body), self.side(node.orelse)
        at = node.test
        start = _call("__odead_branch__", [test, self.place(node), _constant(tuple(names), at)], at)
        restored = [_if(_read(branch, "both", at), _assignments(branch, "before", names, at), at)] if names else []
        return [
            _located(ast.Assign([_name(branch, at, ast.Store())], start), at),
            _if(_ask(branch, "first", at), body, at),
            _if(_ask(branch, "second", at), [*restored, *orelse] or [_located(ast.Pass(), at)], at),
            _if(_ask(branch, "end", at), _assignments(branch, "merged", names, at) or [_located(ast.Pass(), at)], at),
        ]

    def choice(self, node: ast.IfExp) -> ast.expr:
        branch, at = self.fresh(), node.test
        test = self.test(node.test)
        outer, self.inside = self.inside, True
        body, orelse = self.visit(node.body), self.visit(node.orelse)
        self.inside = outer
        start = _call("__odead_branch__", [test, self.place(node)], at)
        first = _located(ast.IfExp(_ask(branch, "first", at), body, _constant(None, at)), at)
        second = _located(ast.IfExp(_ask(branch, "second", at), orelse, _constant(None, at)), at)
        merge = _located(ast.Attribute(self.bound(branch, start), "merge", ast.Load()), at)
        return _located(ast.Call(merge, [first, second], []), at)

    def place(self, node: Choice) -> ast.expr:
        return _constant((self.file, node.lineno, node.col_offset), node.test)

    # ------------------------------------------------------------------------------------------ tests

    def test(self, node: ast.expr) -> ast.expr:
        """A test that gives a traced truth value where it varies, instead of asking for one."""
        match node:
            case ast.BoolOp(op=op, values=[first, *others]):
                made = self.test(first)
                for other in others:
                    made = self.both(op, made, self.test(other), node)
                return made
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _call("__odead_not__", [self.test(operand)], node)
            case ast.Compare(left=left, ops=[_, _, *_]):
                return self.chain(node, self.visit(left))
        visited: ast.expr = self.visit(node)
        return visited

    def both(self, op: ast.boolop, x: ast.expr, y: ast.expr, at: ast.expr) -> ast.expr:
        """`x if settled(x) else combined(x, y)`."""
        name = self.fresh()
        conjunction = isinstance(op, ast.And)
        settled = _call("__odead_settles__", [self.bound(name, x), _constant(not conjunction, at)], at)
        combined = _call("__odead_and__" if conjunction else "__odead_or__", [_name(name, at), y], at)
        return _located(ast.IfExp(settled, _name(name, at), combined), at)

    def chain(self, node: ast.Compare, left: ast.expr) -> ast.expr:
        """`a < b < c` as `a < b and b < c`, with `b` evaluated once."""
        made: ast.expr | None = None
        for k, (op, comparator) in enumerate(zip(node.ops, node.comparators, strict=True)):
            right = self.visit(comparator)
            following: ast.expr = right
            if k + 1 < len(node.ops):
                name = self.fresh()
                right, following = self.bound(name, right), _name(name, node)
            comparison = _located(ast.Compare(left, [op], [right]), node)
            made = comparison if made is None else self.both(ast.And(), made, comparison, node)
            left = following
        assert made is not None
        return made

    def bound(self, name: str, value: ast.expr) -> ast.expr:
        return _located(ast.NamedExpr(_name(name, value, ast.Store()), value), value)


def _assigned(node: ast.If) -> list[str]:
    """The names that a side may bind, in the order of the alphabet."""
    stores = (each for side in (*node.body, *node.orelse) for each in _in_function_or_self(side))
    names = {each.id for each in stores if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    return sorted(name for name in names if not name.startswith(LOOP))


def _in_function_or_self(node: ast.AST) -> Iterator[ast.AST]:
    """What binds names of the function: not what is a comprehension's own."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.comprehension) and child is node.target:
            continue
        yield from _in_function_or_self(child)


def _assignments(branch: str, attribute: str, names: list[str], at: ast.expr) -> list[ast.stmt]:
    """Set the names from a list; a name that is not bound there is unbound."""
    if not names:
        return []
    targets = _located(ast.Tuple([_name(name, at, ast.Store()) for name in names], ast.Store()), at)
    made: list[ast.stmt] = [_located(ast.Assign([targets], _read(branch, attribute, at)), at)]
    for name in names:
        missing = _located(ast.Compare(_name(name, at), [ast.Is()], [_name("__odead_missing__", at)]), at)
        made.append(_if(missing, [_located(ast.Delete([_name(name, at, ast.Del())]), at)], at))
    return made


def _located(node: _Node, at: ast.expr) -> _Node:
    return ast.copy_location(node, at)


def _name(name: str, at: ast.expr, context: ast.expr_context | None = None) -> ast.Name:
    return _located(ast.Name(name, context or ast.Load()), at)


def _constant(value: Any, at: ast.expr) -> ast.expr:
    return _located(ast.Constant(value), at)


def _call(function: str, args: list[ast.expr], at: ast.expr) -> ast.expr:
    return _located(ast.Call(_name(function, at), args, []), at)


def _read(branch: str, attribute: str, at: ast.expr) -> ast.expr:
    return _located(ast.Attribute(_name(branch, at), attribute, ast.Load()), at)


def _ask(branch: str, question: str, at: ast.expr) -> ast.expr:
    return _located(ast.Call(_read(branch, question, at), [], []), at)


def _if(test: ast.expr, body: list[ast.stmt], at: ast.expr) -> ast.stmt:
    return _located(ast.If(test, body, []), at)
