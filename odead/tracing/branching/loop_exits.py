"""Loops that end at an iteration which varies, as loops of which every round asks whether it is still going on.

::

    while w > 1:                         _odead_go_1, _odead_loop_1 = True, __odead_loop__(line, column)
        w = f(w)                         while True:
                                             if _odead_go_1:
                                                 if w > 1:
                                                     w = f(w)
                                                 else:
                                                     _odead_go_1 = False
                                             if _odead_loop_1.ended(_odead_go_1):
                                                 break

A `break` becomes `_odead_go_1 = False`, and what follows it the other side of its `if`; a `return` keeps its value, breaks,
and returns behind the loop. These `if`s can then be converted as any other; `rounds` says when such a loop ends.

A loop stays as it is where an exit is inside `try` or `with`, where it has an `else`, and where the variable of a `for` loop
is read behind it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from .exits import Exits

__all__ = ["GO", "LOOP", "RESULT", "LoopExits", "is_ours"]

GO, LOOP, RESULT, LEFT = "_odead_go_", "_odead_loop_", "_odead_result", "_odead_left_"

_Loop = ast.For | ast.While
_Node = TypeVar("_Node", bound=ast.AST)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def is_ours(node: ast.AST) -> bool:
    """Whether a statement or call is part of what a loop has become, and ends nothing but that."""
    return getattr(node, "_odead", False)


class LoopExits:
    """Rewrites the loops of one function.

    Parameters
    ----------
    function : FunctionDef
        As it was, to see which variables of loops are read behind them.
    first : int
        Number of the first name.
    """

    def __init__(self, function: ast.FunctionDef, first: int) -> None:
        self._escaping = set(_read_behind_their_loop(function, frozenset()))
        self.count = first

    def rewritten(self, node: _Loop) -> list[ast.stmt]:
        """The loop, the inner loops of which are rewritten already, as statements."""
        if node.orelse or (isinstance(node, ast.For) and self._escaping & set(_names(node.target))):
            return [node]
        returns = any(isinstance(each, ast.Return) for each in _owned(node.body))
        if isinstance(node, ast.For) and not returns and not any(isinstance(each, ast.Break) for each in _owned(node.body)):
            return [node]
        self.count += 1
        left = f"{LEFT}{self.count}"
        body = _Returns(left).visit_all(node.body) if returns else node.body
        go = _name(f"{GO}{self.count}", node)
        exits = Exits(ast.Break, lambda exit: [_assign(go.id, False, exit)])
        straight = exits.rest_made_sides(body)
        if any(isinstance(each, ast.Break) for each in _owned(straight)):
            return [node]
        loop = self._loop(node, go, straight)
        if not returns:
            return loop
        leave = ast.If(_name(left, node), [_at(ast.Return(_name(RESULT, node)), node)], [])
        return [_assign(left, False, node), *loop, _at(leave, node)]

    def _loop(self, node: _Loop, go: ast.Name, body: list[ast.stmt]) -> list[ast.stmt]:
        if isinstance(node, ast.While) and not (isinstance(node.test, ast.Constant) and node.test.value):
            inner = ast.If(node.test, body, [_assign(go.id, False, node.test)])
            body = [ast.copy_location(inner, node.test)]
        loop = f"{LOOP}{self.count}"
        place: list[ast.expr] = [_at(ast.Constant(number), node) for number in (node.lineno, node.col_offset)]
        entered = _ours(ast.Call(_name("__odead_loop__", node), place, []), node)
        asked = ast.Call(_at(ast.Attribute(_name(loop, node), "ended", ast.Load()), node), [_name(go.id, node)], [])
        stop = ast.If(_ours(asked, node), [_ours(ast.Break(), node)], [])
        rounds: list[ast.stmt] = [_at(ast.If(go, body or [_at(ast.Pass(), node)], []), node), _ours(stop, node)]
        if isinstance(node, ast.For):
            over = _over(node.iter, _name(loop, node))
            made: _Loop = ast.For(node.target, _ours(over, node), rounds, [])
        else:
            made = ast.While(_at(ast.Constant(True), node), rounds, [])
        target = _at(ast.Name(loop, ast.Store()), node)
        return [_assign(go.id, True, node), _at(ast.Assign([target], entered), node), _ours(made, node)]


def _over(items: ast.expr, loop: ast.Name) -> ast.Call:
    """The call by which the loop sees what it goes over."""
    match items:
        case ast.Call(func=ast.Name(id="enumerate" | "zip" | "reversed") as function, args=args, keywords=keywords):
            return ast.Call(_at(ast.Attribute(loop, "over_call", ast.Load()), loop), [function, *args], keywords)
    return ast.Call(_at(ast.Attribute(loop, "over", ast.Load()), loop), [items], [])


class _Returns(ast.NodeTransformer):
    """Makes every `return` in the body of a loop, outside of inner loops, a break that remembers."""

    def __init__(self, left: str) -> None:
        self._left = left

    def visit_all(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for statement in body:
            visited = self.visit(statement)
            made += visited if isinstance(visited, list) else [visited]
        return made

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Return):
            target = _at(ast.Name(RESULT, ast.Store()), node)
            value = node.value or _at(ast.Constant(None), node)
            return [_at(ast.Assign([target], value), node), _assign(self._left, True, node), _at(ast.Break(), node)]
        if isinstance(node, ast.If):
            node.body, node.orelse = self.visit_all(node.body), self.visit_all(node.orelse)
        return node


def _owned(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The statements in a body, without those of inner loops and functions."""
    for node in body:
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.For, ast.While)):
            yield from _owned(list(ast.iter_child_nodes(node)))


def _names(target: ast.expr) -> Iterator[str]:
    return (each.id for each in ast.walk(target) if isinstance(each, ast.Name))


def _read_behind_their_loop(node: ast.AST, inside: frozenset[str]) -> Iterator[str]:
    """The names that are read outside of a `for` loop over them."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in inside:
        yield node.id
    own = frozenset(_names(node.target)) if isinstance(node, ast.For) else frozenset()
    for child in ast.iter_child_nodes(node):
        within = isinstance(node, ast.For) and child is not node.iter
        yield from _read_behind_their_loop(child, inside | own if within else inside)


# ---------------------------------------------------------------------------------------------------- nodes


def _at(node: _Node, at: ast.AST) -> _Node:
    """At the place where `at` begins: no stretch of the source, which would be found instead of a test inside it."""
    for name in ("lineno", "col_offset"):
        setattr(node, name, getattr(at, name))
        setattr(node, f"end_{name}", getattr(at, name))
    return node


def _ours(node: _Node, at: ast.AST) -> _Node:
    node._odead = True  # type: ignore[attr-defined]
    return _at(node, at)


def _name(name: str, at: ast.AST) -> ast.Name:
    return _at(ast.Name(name, ast.Load()), at)


def _assign(name: str, value: bool, at: ast.AST) -> ast.stmt:
    return _at(ast.Assign([_at(ast.Name(name, ast.Store()), at)], _at(ast.Constant(value), at)), at)
