"""All early exits of a module's functions made sides of an `if`: `return`, `continue`, `break`, and the end of a `while`."""

from __future__ import annotations

import ast
import copy
from typing import Any

from .exits import Exits, leaves
from .loop_exits import RESULT, LoopExits

__all__ = ["straightened"]


def straightened(module: ast.Module) -> ast.Module:
    """The same program with early exits made sides; every node keeps its place in the source."""
    made = _Straightening().visit(copy.deepcopy(module))
    assert isinstance(made, ast.Module)
    return ast.fix_missing_locations(made)


class _Straightening(ast.NodeTransformer):
    def __init__(self) -> None:
        self._loops: LoopExits | None = None  # of the function around; None where its loops stay as they are
        self._count = 0

    def visit_For(self, node: ast.For) -> Any:
        return self._loop(node)

    def visit_While(self, node: ast.While) -> Any:
        return self._loop(node)

    def _loop(self, node: ast.For | ast.While) -> Any:
        self.generic_visit(node)
        exits = Exits(ast.Continue, lambda _: [])
        node.body = exits.rest_made_sides(node.body) or [ast.copy_location(ast.Pass(), node.body[0])]
        return node if self._loops is None else self._loops.rewritten(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        outer, self._loops = self._loops, None
        self.generic_visit(node)
        self._loops = outer
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        outer = self._loops
        plain = not any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in ast.walk(node))
        self._loops = LoopExits(node, self._count) if plain else None
        self.generic_visit(node)
        self._count = self._loops.count if self._loops is not None else self._count
        self._loops = outer
        return _without_early_returns(node) if plain else node


def _without_early_returns(node: ast.FunctionDef) -> ast.FunctionDef:
    exits = Exits(ast.Return, _kept)
    if not any(map(exits.may_leave, node.body)):
        return node
    end = node.body[-1]
    final = ast.copy_location(ast.Return(None), end)
    body = exits.rest_made_sides(node.body if leaves(node.body) else [*node.body, final])
    if any(map(exits.may_leave, body)):  # as before: too long
        return node
    result = ast.copy_location(ast.Name(RESULT, ast.Load()), end)
    node.body = [*body, ast.copy_location(ast.Return(result), end)]
    return node


def _kept(statement: ast.Return) -> list[ast.stmt]:
    """The result of a `return` under a name."""
    name = ast.copy_location(ast.Name(RESULT, ast.Store()), statement)
    value = statement.value or ast.copy_location(ast.Constant(None), statement)
    return [ast.copy_location(ast.Assign([name], value), statement)]
