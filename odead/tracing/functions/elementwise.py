"""Ufuncs on traced values: which operation of the table each one is, with NumPy's promotion, broadcasting and `out=`.

The value of the recorded run comes from the ufunc itself, so errors and warnings are NumPy's; the dtypes of its loop come from
`ufunc.resolve_dtypes`, so promotion is too. Where the table has no row for the dtype, `_lowered` says what stands for it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np

from ...ops import SPECIAL, TABLE, UFUNCS
from ...tape import DTYPES, Role
from ...views import View, broadcast
from ..leaving import WAYS_OUT
from ..recorder import Recorder, dtype_name, is_traced
from ..traced.array import TracedArray, wrap

__all__ = ["apply", "is_static", "operand_view", "ufunc_name"]

_OPS: Final[dict[str, str]] = {
    **UFUNCS, "fabs": "abs", "conjugate": "copy", "degrees": "rad2deg", "radians": "deg2rad", "float_power": "pow",
    "bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "logical_xor", "invert": "logical_not",
    **{name: op for name, op in SPECIAL.items() if name != "zeta"},
}  # fmt: skip
_BITWISE: Final = frozenset({"bitwise_and", "bitwise_or", "bitwise_xor", "invert"})

_COMPOSED: Final[dict[str, Callable[..., Any]]] = {
    "divmod": lambda x, y: (np.floor_divide(x, y), np.remainder(x, y)),
    "logaddexp2": lambda x, y: np.logaddexp(x * np.log(2), y * np.log(2)) / np.log(2),
    "modf": lambda x: (x - np.trunc(x), np.trunc(x)),
    "log_expit": lambda x: -np.logaddexp(0, -x),
    "xlogy": lambda x, y: np.where(
        np.logical_and(np.equal(x, 0), ~np.isnan(y)), 0, x * np.log(np.where(np.equal(x, 0), 1, y))
    )[()],
    "sinc": lambda x: np.where(np.equal(x, 0), 1, np.sin(np.pi * x) / np.where(np.equal(x, 0), 1, np.pi * x))[()],
}  # fmt: skip

_DIVIDING: Final = (_OPS[np.remainder.__name__], _OPS[np.floor_divide.__name__])
_AS_BOOLEAN: Final = {"add": "logical_or", "mul": "logical_and", "maximum": "logical_or", "minimum": "logical_and",
                      "fmax": "logical_or", "fmin": "logical_and"}  # fmt: skip

_FLOAT_ONLY: Final = frozenset({"floor_divide", "remainder", "fmod", "pow"})


def is_static(x: Any) -> bool:
    """Whether x depends on no input."""
    return not is_traced(x) or x.place.buffer in x.rec.static


def ufunc_name(ufunc: np.ufunc) -> str:
    if ufunc.__name__.endswith(" (vectorized)"):
        return f"{ufunc.__name__}, made by np.frompyfunc outside,"
    if getattr(np, ufunc.__name__, None) is ufunc:
        return f"np.{ufunc.__name__}"
    return f"{'scipy.special' if ufunc.signature is None else 'np.linalg'}.{ufunc.__name__}"


def apply(rec: Recorder, ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call `ufunc(*inputs, **kwargs)`.

    `value`, if it is among the keyword arguments, is the result of the recorded run: that of the Python operator, which for
    Python's floats differs from the ufunc in its exceptions.
    """
    operands = [x if is_traced(x) else rec.api.operand(rec, x) for x in inputs]
    out, where = _outputs(rec, ufunc, kwargs) if kwargs else (None, True)
    static = all(map(is_static, operands)) and is_static(where)
    if not static:
        composed = _COMPOSED.get(ufunc.__name__)
        if composed is not None:
            return _composed(rec, ufunc, composed, operands, out, where, kwargs)
        if ufunc.__name__ not in _OPS:
            rec.fail(f"{ufunc_name(ufunc)} cannot be traced", WAYS_OUT)
    concrete = [_value(x) for x in operands]
    dtype = kwargs.get("dtype")
    if out is not None:
        value = out.value.copy()
        options = {} if dtype is None else {"dtype": dtype}
        ufunc(*concrete, out=value, where=_value(where), **options)
    elif "value" in kwargs:
        value = kwargs["value"]
    else:
        value = ufunc(*concrete) if dtype is None else ufunc(*concrete, dtype=dtype)
    if static:
        return _static(rec, value, out, True if where is True else _value(where))
    if out is None and isinstance(value, (int, np.integer)) and _OPS[ufunc.__name__] in _FLOAT_ONLY:
        for x in filter(is_traced, operands):  # no such operation on integers: hold on to the value, an index or a count
            operator.index(x)
        return value
    result = _emit(rec, ufunc, operands, value, dtype)
    if out is None:
        return wrap(rec, *result)
    return _write(rec, out, result[0], value, where)


def _outputs(rec: Recorder, ufunc: np.ufunc, kwargs: dict[str, Any]) -> tuple[TracedArray | None, Any]:
    out = kwargs.get("out")
    if isinstance(out, tuple):
        if len(out) > 1 and any(x is not None for x in out):
            rec.fail(f"{ufunc_name(ufunc)} with several out= arrays cannot be traced", "Assign the returned arrays")
        out = out[0]
    unknown = kwargs.keys() - {"out", "where", "dtype", "casting", "order", "subok", "value"}
    if unknown:
        rec.fail(f"{ufunc_name(ufunc)} with {', '.join(sorted(unknown))}= cannot be traced", "Leave the option out")
    if out is not None and type(out) is not TracedArray:
        rec.fail(
            "a traced value is written into an ordinary NumPy array",
            "Make the array inside the function (np.zeros, np.empty), or pass it as an argument",
        )
    where = kwargs.get("where", True)
    if where is not True and out is None:
        rec.fail(f"{ufunc_name(ufunc)} with where= and without out= leaves elements undefined", "Give out=, or use np.where")
    return out, rec.api.operand(rec, where)


def _composed(rec: Recorder, ufunc: np.ufunc, composed: Callable[..., Any], operands: list[Any], out: TracedArray | None,
              where: Any, kwargs: dict[str, Any]) -> Any:  # fmt: skip
    if where is not True or kwargs.get("dtype") is not None:
        rec.fail(f"{ufunc_name(ufunc)} with where= or dtype= cannot be traced", "Leave the option out")
    result = composed(*operands)
    if out is None:
        return result
    out[...] = result
    return out


def _static(rec: Recorder, value: Any, out: TracedArray | None, where: Any = True) -> Any:
    if out is not None:
        if where is True:
            out[...] = value
        else:  # elsewhere `out` keeps what it has, which may vary
            chosen = np.broadcast_to(where, out.value.shape)
            out[chosen] = value[chosen]
        return out
    if isinstance(value, tuple):
        return tuple([_static(rec, item, None) for item in value])
    return TracedArray(rec, *rec.adopt_static(value)) if isinstance(value, np.ndarray) else value


def _write(rec: Recorder, out: TracedArray, result: View, value: np.ndarray, where: Any) -> TracedArray:
    if not out.value.flags.writeable:
        out.value[...] = value
    if where is not True:
        mask = rec.cast(operand_view(rec, where, "bool", out.value.shape), "bool")
        rec.writes(out.place)
        chosen = rec.program.temp(dtype_name(out.value.dtype), out.value.shape)
        source = broadcast(rec.cast(result, dtype_name(out.value.dtype)), out.value.shape)
        rec.emit("where", chosen, (mask, source, out.place))
        rec.emit("copy", out.place, (chosen,))
    else:
        rec.writes(out.place, replaces_all=True)
        _retarget(rec, out.place, result)
    out.value[...] = value
    return out


def _retarget(rec: Recorder, out: View, result: View) -> None:
    """Let the instruction that made `result` write `out` itself where that is the same; else copy."""
    program = rec.program
    if (
        result.buffer == len(program.buffers) - 1
        and program.out
        and program.out[-1] == result
        and result.shape == out.shape
        and program.dtype(result) == program.dtype(out)
        and program.op[-1] in TABLE
    ):
        op, ins, params = program.op.pop(), program.ins.pop(), program.params.pop()
        program.out.pop()
        program.line.pop()
        program.buffers.pop()
        rec.emit(op, out, ins, params)
    else:
        rec.assign(out, result)


# ---------------------------------------------------------------------------------------------------- instructions


@lru_cache(maxsize=1024)
def _loop(ufunc: np.ufunc, signature: tuple[Any, ...], dtype: Any) -> tuple[str, ...]:
    """dtypes of the loop that NumPy runs, the result's last."""
    if dtype is None:
        loop = ufunc.resolve_dtypes((*signature, None))
    else:
        loop = ufunc.resolve_dtypes((*signature, None), signature=(*((None,) * ufunc.nin), np.dtype(dtype)))
    return tuple([kind.name for kind in loop])


def _emit(rec: Recorder, ufunc: np.ufunc, operands: list[Any], value: Any, dtype: Any) -> tuple[View, Any]:
    """Record the call; the view of its result, and `value` as its storage."""
    signature = tuple([_kind(x) for x in operands])
    if type(value) is int or all(kind is int for kind in signature):  # Python adds two bools to an int
        signature = (np.dtype(np.int64),) * len(signature)  # and NumPy compares two Python ints as objects
    loop = _loop(ufunc, signature, dtype)
    for kind in loop:
        if kind not in DTYPES:
            rec.unsupported(kind)
    if ufunc.__name__ in _BITWISE and loop[0] != "bool":
        rec.fail(f"{ufunc_name(ufunc)} of {loop[0]} cannot be traced", "Use it on booleans")
    shape = _shape(operands)
    views = [operand_view(rec, x, kind, shape) for x, kind in zip(operands, loop, strict=False)]
    if isinstance(value, np.ndarray) and value.shape == shape and dtype_name(value.dtype) == loop[-1]:
        out, value = rec.adopt(value)
    else:
        out = rec.program.temp(loop[-1], shape)
    _lowered(rec, _OPS[ufunc.__name__], loop[0], out, views)
    return out, value


def _shape(operands: list[Any]) -> tuple[int, ...]:
    shapes = {x.place[2] if is_traced(x) else () for x in operands} - {()}
    if len(shapes) == 1:
        return shapes.pop()
    return np.broadcast_shapes(*shapes)


def _lowered(rec: Recorder, op: str, dtype: str, out: View, ins: list[View]) -> None:
    """Emit `op`, or what stands for it where the table does not have it for the dtype."""
    if op == "copy" or dtype[0] in TABLE[op].kinds:
        rec.emit(op, out, ins)
    elif op.startswith("logical_"):
        rec.emit(op, out, [rec.cast(view, "bool") for view in ins])
    elif dtype == "bool" and op in _AS_BOOLEAN:
        rec.emit(_AS_BOOLEAN[op], out, ins)
    elif dtype == "int64" and op == "abs":
        negative = rec.program.temp(dtype, out.shape)
        rec.emit("neg", negative, ins)
        rec.emit("maximum", out, (ins[0], negative))
    elif dtype == "int64" and op in ("floor", "ceil", "trunc", "rint"):
        rec.emit("copy", out, ins)
    elif dtype == "int64" and op == "sign":
        real = rec.program.temp("float64", out.shape)
        rec.emit("sign", real, [rec.cast(view, "float64") for view in ins])
        rec.emit("cast", out, (real,))
    elif dtype == "int64" and op in _DIVIDING and _is_constant_and_not_zero(rec, ins[1]):
        real = rec.program.temp("float64", out.shape)  # exact: float64 has no quotient of integers below 2**53 wrong
        rec.emit(op, real, [rec.cast(view, "float64") for view in ins])
        rec.emit("cast", out, (real,))
    elif dtype == "int64" and op in ("isnan", "isinf", "isfinite"):
        rec.emit(op, out, [rec.cast(view, "float64") for view in ins])
    else:
        rec.fail(f"np.{TABLE[op].numpy or op} of {dtype} cannot be traced", "Convert to float with .astype(float)")


def _is_constant_and_not_zero(rec: Recorder, divisor: View) -> bool:
    """Integers divided by zero give 0 and a warning, unlike floats."""
    buffer = rec.program.buffers[divisor.buffer]
    return buffer.role is Role.CONSTANT and bool(np.all(buffer.data))


def _kind(x: Any) -> Any:
    """What decides promotion: a dtype, or Python's `int` or `float`, which are weak."""
    value = _value(x)
    if type(value) in (int, float):
        return type(value)
    return np.dtype(bool) if type(value) is bool else value.dtype


def _value(x: Any) -> Any:
    return x.value if is_traced(x) else x


def operand_view(rec: Recorder, x: Any, dtype: str, shape: tuple[int, ...]) -> View:
    """The view of an operand, cast and broadcast."""
    if not is_traced(x):
        return broadcast(rec.number(x), shape) if dtype == "float64" else rec.program.constant(x, dtype, shape)
    return broadcast(rec.cast(rec.reads(x.place), dtype), shape)
