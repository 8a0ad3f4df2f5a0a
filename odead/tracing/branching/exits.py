"""Early exits as sides of an `if`, so that `conversion` can record both.

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

What follows the `if` goes into the side that falls through to it; where both do, into both. Exits from loops are taken out
before, by `loop_exits`.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Sequence
from typing import Any, Final

__all__ = ["Exits", "leaves"]

_MOST_COPIED: Final = 2000  # nodes of the syntax tree: what is copied into both sides is recorded twice
_LEAVING: Final = (ast.Return, ast.Raise, ast.Break, ast.Continue)


class _TooLongError(Exception):
    """Too much would have to be copied."""


class Exits:
    """Takes exits of one kind out of a list of statements.

    Parameters
    ----------
    kind : type
        Return, Break or Continue.
    instead : callable
        The exit -> the statements that stand for it at the end of a side.
    """

    def __init__(self, kind: type[ast.stmt], instead: Callable[[Any], list[ast.stmt]]) -> None:
        self._kind = kind
        self._instead = instead
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
                through = [not leaves(side) for side in (statement.body, statement.orelse)]
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


def leaves(statements: Sequence[ast.stmt]) -> bool:
    """Whether what follows these statements is never reached from them."""
    return any(
        isinstance(each, _LEAVING) or (isinstance(each, ast.If) and leaves(each.body) and leaves(each.orelse))
        for each in statements
    )
