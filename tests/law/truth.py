"""The truth about a listing, without odead: exit values by the plain call, tangents by the complex step.

The same text is run on complex arrays. What is not holomorphic is replaced: comparisons and the choices made by them look at
real parts, and at ties and kinks the conventions of the op table hold. The derivative is exact to rounding.
"""

import ast
import copy
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from helpers import ALL_OPS, complex_value
from odead.ops import Op

__all__ = ["STEP", "careful_function", "complex_function", "plain_function"]

STEP: Final = 1e-200  # its square is 0, so that real parts are exactly those of the plain call


def plain_function(text: str, filename: str = "listing.py") -> Callable[..., Any]:
    """`f` of a listing, in a namespace of its own."""
    namespace: dict[str, Any] = {"__name__": "listing"}
    exec(compile(text, filename, "exec"), namespace)
    return namespace["f"]  # type: ignore[no-any-return]


def complex_function(text: str) -> Callable[..., Any]:
    """`f` of a listing for complex arrays and numbers."""
    tree = ast.fix_missing_locations(_Real().visit(ast.parse(text)))
    namespace: dict[str, Any] = {"__name__": "listing", **_NAMES}
    exec(compile(tree, "complex listing", "exec"), namespace)
    return namespace["f"]  # type: ignore[no-any-return]


def careful_function(text: str) -> Callable[..., Any]:
    """`f` of a listing, in which what is assigned is copied first.

    NumPy itself gets some assignments between overlapping views with different strides wrong: of five elements,
    ``x[::2] = x[:3]`` sets the last one to the new x[2] instead of the old one (seen up to 2.4).
    """
    tree = ast.fix_missing_locations(_Copied().visit(ast.parse(text)))
    namespace: dict[str, Any] = {"__name__": "listing", "_copied": copy.copy}
    exec(compile(tree, "careful listing", "exec"), namespace)
    return namespace["f"]  # type: ignore[no-any-return]


class _Copied(ast.NodeTransformer):
    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.stmt]:
        (target,) = node.targets
        if isinstance(target, ast.Subscript):
            node.value = self._copied(node.value)
        if not (isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)):
            return node
        lines: list[ast.stmt] = [ast.Assign([ast.Name("_values", ast.Store())], node.value)]
        for k, part in enumerate(target.elts):
            value = ast.Subscript(ast.Name("_values", ast.Load()), ast.Constant(k), ast.Load())
            lines.append(ast.Assign([part], self._copied(value) if isinstance(part, ast.Subscript) else value))
        return lines

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "copyto":
            node.args[1] = self._copied(node.args[1])
        return node

    def _copied(self, value: ast.expr) -> ast.expr:
        return ast.Call(ast.Name("_copied", ast.Load()), [value], [])


class _Real(ast.NodeTransformer):
    """Comparisons by real parts; the modules and builtins below in place of the real ones."""

    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            return node
        node.left = self._real(node.left)
        node.comparators = [self._real(x) for x in node.comparators]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(value=ast.Name(id="np" | "math")):
                return node
            case ast.Attribute(value=value, attr="max" | "min" | "std" | "var" | "argmax" | "argmin" | "clip" as method):
                function = ast.Attribute(ast.Name("np", ast.Load()), method, ast.Load())
                return ast.Call(function, [value, *node.args], node.keywords)
        return node

    def _real(self, node: ast.expr) -> ast.expr:
        return ast.Call(ast.Name("_real", ast.Load()), [node], [])


def _real(x: Any) -> Any:
    return x.real if isinstance(x, (np.ndarray, complex, np.complexfloating)) else np.real(x) if isinstance(x, list) else x


def _choice(better: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def choose(x: Any, y: Any, out: Any = None, where: Any = True) -> Any:
        a, b = _real(x), _real(y)
        return _put(np.where(a == b, (x + y) / 2, np.where(better(a, b), x, y))[()], out, where)

    return choose


def _put(value: Any, out: Any, where: Any = True) -> Any:
    if out is None:
        return value
    np.copyto(out, value, where=where)
    return out


_maximum: Any = _choice(np.greater)
_minimum: Any = _choice(np.less)


def _extreme(pick: Callable[..., Any]) -> Callable[..., Any]:
    """Along an axis; the best elements share equally."""

    def reduce(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        x = np.asarray(x)
        best = x.real == pick(x.real, axis=axis, keepdims=True)
        return np.sum(np.where(best, x, 0), axis=axis, keepdims=keepdims) / np.sum(best, axis=axis, keepdims=keepdims)

    return reduce


_maximum.reduce, _minimum.reduce = _extreme(np.max), _extreme(np.min)


def _abs(x: Any) -> Any:
    return x * np.sign(_real(x))


def _of_builtin(choose: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def builtin(*args: Any) -> Any:
        items = list(args[0]) if len(args) == 1 else list(args)
        best = items[0]
        for item in items[1:]:
            best = choose(best, item)
        return best

    return builtin


def _sort(x: Any, axis: int = -1) -> Any:
    return np.take_along_axis(x, np.argsort(x.real, axis=axis, kind="stable"), axis)


def _var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.mean((x - np.mean(x, axis=axis, keepdims=True)) ** 2, axis=axis, keepdims=keepdims)


def _array(x: Any, dtype: Any = None) -> Any:
    made = np.array(x)
    return made.astype(complex) if made.dtype.kind == "f" else made


def _clip(x: Any, low: Any, high: Any, out: Any = None) -> Any:
    return _put(_minimum(_maximum(x, low), high), out)


def _made(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda shape, dtype=complex: function(shape, complex if dtype in (float, complex) else dtype)


class _Numpy:
    """`numpy`, with other functions under some of its names."""

    maximum, minimum, clip = map(staticmethod, (_maximum, _minimum, _clip))
    max, min, sort, var = map(staticmethod, (_extreme(np.max), _extreme(np.min), _sort, _var))
    array, asarray = staticmethod(_array), staticmethod(_array)
    zeros, empty, ones = (staticmethod(_made(make)) for make in (np.zeros, np.empty, np.ones))

    @staticmethod
    def full(shape: Any, value: Any) -> Any:
        return np.full(shape, value, complex)

    @staticmethod
    def std(x: Any, axis: Any = None) -> Any:
        return np.sqrt(_var(x, axis))

    vdot = staticmethod(np.dot)

    @staticmethod
    def norm(x: Any, axis: Any = None) -> Any:
        return np.sqrt(np.sum(x * x, axis=axis))

    @property
    def linalg(self) -> Any:
        return SimpleNamespace(**{**vars(np.linalg), "norm": self.norm})

    @staticmethod
    def interp(x: Any, xp: Any, fp: Any) -> Any:
        k = int(np.clip(np.searchsorted(xp.real, x.real) - 1, 0, len(xp) - 2))
        inside = fp[k] + (fp[k + 1] - fp[k]) * (x - xp[k]) / (xp[k + 1] - xp[k])
        return fp[0] if x.real < xp[0].real else fp[-1] if x.real > xp[-1].real else inside

    @staticmethod
    def argsort(x: Any, axis: int = -1) -> Any:
        return np.argsort(x.real, axis=axis, kind="stable")

    @staticmethod
    def argmax(x: Any) -> Any:
        return np.argmax(x.real)

    def __getattr__(self, name: str) -> Any:
        return _rows[name] if name in _rows else getattr(np, name)


def _row(op: str) -> Callable[..., Any]:
    def call(*xs: Any, out: Any = None, where: Any = True) -> Any:
        return _put(complex_value(op, *map(np.asarray, xs))[()], out, where)

    return call


def _is_holomorphic(op: Op) -> bool:
    """Whether NumPy's own loops for complex numbers are the continuation of the real ones."""
    ufunc = getattr(np, op.numpy, None)
    if not isinstance(ufunc, np.ufunc) or op.piecewise or {*op.partials} <= {"0", None}:
        return False
    return not {"D->D", "DD->D"}.isdisjoint(ufunc.types)


_rows: Final[dict[str, Any]] = {
    op.numpy or op.special or op.name: _row(op.name) for op in ALL_OPS if op.name != "where" and not _is_holomorphic(op)
}
_rows["logaddexp"].reduce = lambda x: np.log(np.sum(np.exp(x)))
_rows["abs"] = _rows["absolute"]


_MATH: Final = SimpleNamespace(
    sin=np.sin, cos=np.cos, tanh=np.tanh, atan=np.arctan, exp=np.exp, sqrt=np.sqrt, log=np.log, pi=math.pi, fabs=_abs
)
_NAMES: Final[dict[str, Any]] = {
    "np": _Numpy(),
    "math": _MATH,
    "special": SimpleNamespace(**_rows),
    "_real": _real,
    "abs": _abs,
    "max": _of_builtin(_maximum),
    "min": _of_builtin(_minimum),
    "float": lambda x: x,
    "int": lambda x: int(_real(x)),
    "round": lambda x: round(_real(x)),
}
