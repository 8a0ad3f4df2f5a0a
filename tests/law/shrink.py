"""A smaller listing that fails in the same way: statements are left out, expressions replaced by their parts."""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from .listing import Listing

__all__ = ["shrink"]

TRIALS: Final = 2000


def shrink(listing: Listing, fails: Callable[[Listing], bool]) -> Listing:
    """The listing after every change that keeps it failing, from large changes to small ones."""
    smallest, left = listing, TRIALS
    changed = True
    while changed and left:
        changed = False
        for smaller in _smaller(smallest):
            left -= 1
            if fails(smaller):
                smallest, changed = smaller, True
                break
            if not left:
                break
    return smallest


def _smaller(listing: Listing) -> Iterator[Listing]:
    tree = ast.parse(listing.text)
    places = list(_changes(tree))
    for k in range(len(places)):
        other = copy.deepcopy(tree)
        list(_changes(other))[k]()
        yield replace(listing, text=ast.unparse(ast.fix_missing_locations(other)) + "\n")
    for k, argument in enumerate(listing.arguments):
        if argument.layout != "C":
            simpler = (*listing.arguments[:k], replace(argument, layout="C"), *listing.arguments[k + 1 :])
            yield replace(listing, arguments=simpler)
        if argument.name not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}:
            fewer = (*listing.arguments[:k], *listing.arguments[k + 1 :])
            if all(other.same_as != argument.name for other in fewer):
                head, _, tail = listing.text.partition("def f(")
                tail = tail[tail.index(")") :]
                yield Listing(f"{head}def f({', '.join(a.name for a in fewer)}{tail}", fewer)


def _changes(tree: ast.Module) -> Iterator[Callable[[], None]]:
    """Each change to the tree, as a function that makes it; whole statements first."""
    statements = [node for node in ast.walk(tree) if hasattr(node, "body") and isinstance(node.body, list)]
    for node in statements:
        for field in ("body", "orelse"):
            block = getattr(node, field, None)
            if not isinstance(block, list):
                continue
            for k, statement in enumerate(block):
                if not isinstance(statement, ast.Pass):
                    yield lambda block=block, k=k: _put(block, k, [])  # type: ignore[misc]
                    for inside in ("body", "orelse"):
                        if getattr(statement, inside, None) and isinstance(statement, (ast.If, ast.For, ast.While)):
                            yield lambda block=block, k=k, inside=inside: _put(block, k, getattr(block[k], inside))  # type: ignore[misc]
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name == "f":
            yield from _simpler_expressions(function)


def _simpler_expressions(function: ast.FunctionDef) -> Iterator[Callable[[], None]]:
    for node in ast.walk(function):
        for field, value in ast.iter_fields(node):
            values = value if isinstance(value, list) else [value]
            for k, expression in enumerate(values):
                if not isinstance(expression, ast.expr) or isinstance(expression, (ast.Name, ast.Constant)):
                    continue
                parts = [part for part in ast.iter_child_nodes(expression) if isinstance(part, ast.expr)]
                for part in [*parts, ast.Constant(0.5)] if field in ("value", "left", "right", "args", "operand") else parts:
                    yield lambda node=node, field=field, k=k, part=part: _replace(node, field, k, part)  # type: ignore[misc]


def _put(block: list[ast.stmt], k: int, statements: list[ast.stmt]) -> None:
    block[k : k + 1] = statements
    if not block:
        block.append(ast.Pass())


def _replace(node: ast.AST, field: str, k: int, part: ast.expr) -> None:
    if isinstance(getattr(node, field), list):
        getattr(node, field)[k] = part
    else:
        setattr(node, field, part)
