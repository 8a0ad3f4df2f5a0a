"""Early `return` and `continue` as sides of an `if`, so that `conversion` can record both.

::

    for i in range(n):                   for i in range(n):
        if u[i] < 0:                         if u[i] < 0:
            continue                             pass
        du[i] = -u[i]                        else:
                                                 du[i] = -u[i]

    def limiter(a, b):                   def limiter(a, b):
        if a * b <= 0:                       if a * b <= 0:
            return 0.0                           _odead_result = 0.0
        return min(a, b)                     else:
                                                 _odead_result = min(a, b)
                                             return _odead_result

What follows the `if` goes into the side that falls through to it; where both do, into both. A `return` inside a loop and a
`break` stay as they are: their loop would have to run to its end for all values.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from typing import Any, Final

__all__ = ["straightened"]

_MOST_COPIED: Final = 2000  # nodes of the syntax tree: what is copied into both sides is recorded twice
_LEAVING: Final = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_RESULT: Final = "_odead_result"


def straightened(module: ast.Module) -> ast.Module:
    """The same program with early exits made sides; every node keeps its place in the source."""
    made = _Straightening().visit(copy.deepcopy(module))
    assert isinstance(made, ast.Module)
    return ast.fix_missing_locations(made)


class _TooLongError(Exception):
    """Too much would have to be copied."""


class _Straightening(ast.NodeTransformer):
    def visit_For(self, node: ast.For) -> ast.AST:
        return self._loop(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._loop(node)

    def _loop(self, node: ast.For | ast.While) -> ast.AST:
        self.generic_visit(node)
        node.body = _Exits(ast.Continue).rest_made_sides(node.body) or [ast.copy_location(ast.Pass(), node.body[0])]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        exits = _Exits(ast.Return)
        if not any(map(exits.may_leave, node.body)) or any(isinstance(x, (ast.Yield, ast.YieldFrom)) for x in ast.walk(node)):
            return node
        end = node.body[-1]
        final = ast.copy_location(ast.Return(None), end)
        body = exits.rest_made_sides(node.body if _leaves(node.body) else [*node.body, final])
        if any(map(exits.may_leave, body)):  # as before: too long
            return node
        result = ast.copy_location(ast.Name(_RESULT, ast.Load()), end)
        node.body = [*body, ast.copy_location(ast.Return(result), end)]
        return node


class _Exits:
    """Takes exits of one kind out of a list of statements."""

    def __init__(self, kind: type[ast.stmt]) -> None:
        self._kind = kind
        self._left = _MOST_COPIED

    def may_leave(self, statement: ast.stmt) -> bool:
        """Whether it is an `if` with such an exit in it."""
        return isinstance(statement, ast.If) and any(
            isinstance(each, self._kind) or self.may_leave(each) for each in (*statement.body, *statement.orelse)
        )

    def rest_made_sides(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """The statements without such exits; unchanged where that would copy too much."""
        if not any(map(self.may_leave, statements)):
            return statements
        try:
            return self._straight(copy.deepcopy(statements))
        except _TooLongError:
            return statements

    def _straight(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for k, statement in enumerate(statements):
            if isinstance(statement, self._kind):
                return [*made, *self._instead(statement)]
            if isinstance(statement, ast.If) and self.may_leave(statement):
                rest = statements[k + 1 :]
                through = [not _leaves(side) for side in (statement.body, statement.orelse)]
                if all(through):
                    self._left -= sum(1 for each in rest for _ in ast.walk(each))
                    if self._left < 0:
                        raise _TooLongError
                body = self._straight([*statement.body, *(copy.deepcopy(rest) if through[0] else ())])
                orelse = self._straight([*statement.orelse, *(rest if through[1] else ())])
                body = body or [ast.copy_location(ast.Pass(), statement)]
                return [*made, ast.copy_location(ast.If(statement.test, body, orelse), statement)]
            made.append(statement)
        return made

    @staticmethod
    def _instead(statement: Any) -> list[ast.stmt]:
        """What stands for the exit at the end of a side."""
        if not isinstance(statement, ast.Return):
            return []
        name = ast.copy_location(ast.Name(_RESULT, ast.Store()), statement)
        value = statement.value or ast.copy_location(ast.Constant(None), statement)
        return [ast.copy_location(ast.Assign([name], value), statement)]


def _leaves(statements: Sequence[ast.stmt]) -> bool:
    """Whether what follows these statements is never reached from them."""
    return any(
        isinstance(each, _LEAVING) or (isinstance(each, ast.If) and _leaves(each.body) and _leaves(each.orelse))
        for each in statements
    )
