"""The compiled core knows the op table, and the generator writes what the table says."""

import re

import pytest

from helpers import ALL_OPS, DTYPES
from odead._codegen import render_header
from odead._core import OPCODES
from odead._structured import OPERATIONS
from odead.ops import TABLE, Op


def names(op: Op, layout: str) -> set[str]:
    if not op.c and layout == "scalar":  # SciPy's loops
        return set()
    rows = {f"cast_{to}" for group in DTYPES.values() for to in group} if op.name == "cast" else {op.name}
    return {f"{row}.{dtype}.{layout}" for row in rows for kind in op.kinds for dtype in DTYPES[kind]}


def test_every_row_has_a_scalar_and_a_strided_kernel() -> None:
    expected = {name for op in ALL_OPS for layout in ("scalar", "strided") for name in names(op, layout)}
    assert {name for name in OPCODES if name.endswith((".scalar", ".strided"))} == expected


def test_opcodes_are_consecutive() -> None:
    assert sorted(OPCODES.values()) == list(range(len(OPCODES)))


def test_every_kernel_is_for_every_dtype() -> None:
    for name in OPERATIONS:
        assert {f"{name}.{dtype}" for dtype in ("float64", "float32", "int64", "bool")} <= OPCODES.keys()


def test_the_binary_was_built_from_this_table() -> None:
    in_header = re.findall(r'^    "([\w.]+)",$', render_header(TABLE).split("odead_names[]")[1].split("}")[0], re.MULTILINE)
    assert in_header == [name for name, number in sorted(OPCODES.items(), key=lambda item: item[1])][: len(in_header)]


@pytest.mark.parametrize("layout", ["vv", "vs", "sv", "ss"])
def test_arithmetic_has_a_loop_for_each_layout(layout: str) -> None:
    assert {f"{op}.float64.{layout}" for op in ("add", "sub", "mul", "div", "maximum", "less")} <= OPCODES.keys()


def test_a_new_row_needs_no_other_line() -> None:
    """Value function, scalar case and loops of a row that calls the C library, with its float32 form."""
    header = render_header({"softplus": Op("softplus", "log1p(exp(x)) + 0.0", ("1 / (1 + exp(-x))",))})
    assert "static inline double odead_softplus_float64(double x) { return (double)(log1p(exp(x)) + 0.0); }" in header
    assert "static inline float odead_softplus_float32(float x) { return (float)(log1pf(expf(x)) + 0.0f); }" in header
    assert header.count("ODEAD_CASE(ODEAD_softplus_float64_scalar)") == 1
    assert header.count("static void odead_softplus_float64_strided_plain(") == 1
