"""Copy forwarding with its algebra of views, common subexpressions, dead code."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from odead.tape import Role
from odead.transform.passes.compact import compact
from odead.transform.passes.compose import compose
from odead.transform.passes.copies import copies
from odead.transform.passes.cse import cse
from odead.transform.passes.dce import dce
from odead.views import View, is_injective
from recorder import Recorder, at, without_lines


def body_of(program):
    return [row.strip() for row in without_lines(compact(program))[1:]]


# ------------------------------------------------------------------------------------------- the algebra of views

shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@st.composite
def views(draw, shape, repeats):
    """A view with these lengths, axes in any order and direction, with gaps."""
    strides, span = [0] * len(shape), 0
    for axis in draw(st.permutations(range(len(shape)))):
        strides[axis] = draw(st.sampled_from([span + 1, 2 * (span + 1), *([0, 1] if repeats else [])]))
        span += (shape[axis] - 1) * strides[axis]
    offset = draw(st.integers(0, 3))
    for axis, n in enumerate(shape):
        if draw(st.booleans()):
            offset += (n - 1) * strides[axis]
            strides[axis] *= -1
    return View(0, offset, shape, tuple(strides))


@st.composite
def places_sources_and_parts(draw):
    shape = draw(shapes)
    place, source = draw(views(shape, False)), draw(views(shape, True))
    assume(is_injective(place))
    part = draw(shapes.flatmap(lambda shape: views(shape, True)))
    inside = np.isin(part.indices(), place.indices()).all()
    if not inside:  # a plain slice always is
        starts = [draw(st.integers(0, n - 1)) for n in shape]
        steps = [draw(st.integers(1, 2)) for _ in shape]
        part = at(place, *(slice(start, n, step) for start, n, step in zip(starts, shape, steps, strict=True)))
    return place, source._replace(buffer=1), part, inside


@given(places_sources_and_parts())
def test_composed_views_have_the_same_elements(drawn):
    place, source, part, arbitrary = drawn
    found = compose(place, source, part)
    assert found is not None or arbitrary, "slices of the place are slices of the source"
    if found is not None:
        held = np.full(1 + place.indices().max(), -1)
        held[place.indices()] = source.indices()
        np.testing.assert_array_equal(found.indices(), held[part.indices()])
        assert (found.shape, found.buffer) == (part.shape, 1)


def test_reshaped_parts_follow_a_contiguous_source():
    place, source = View(0, 0, (6,), (1,)), View(1, 3, (6,), (2,))
    assert compose(place, source, View(0, 0, (2, 3), (3, 1))) == View(1, 3, (2, 3), (6, 2))
    assert compose(place, View(1, 0, (6,), (0,)), View(0, 2, (), ())) == View(1, 0, (), ())


def test_steps_across_rows_have_no_view():
    assert compose(View(0, 0, (2, 3), (3, 1)), View(1, 0, (2, 3), (1, 2)), View(0, 2, (2,), (1,))) is None


# ---------------------------------------------------------------------------------------------------------- copies


def test_loads_are_forwarded_unless_their_source_changes():
    r = Recorder()
    x, y = r.argument("x", (4,)), r.argument("y", (4,))
    early, late = r.load(x, 0), r.load(x, 1)
    r.program.emit("exp", at(y, 0), (early,))
    r.store(at(x, 1), 3.0)
    r.program.emit("exp", at(y, 1), (late,))
    assert body_of(dce(copies(r.program))) == ["%2 = copy x[1]", "y[0] = exp x[0]", "x[1] = copy 3.0", "y[1] = exp %2"]


def test_stores_are_read_through():
    r = Recorder()
    x, y = r.argument("x", (4,)), r.argument("y", (4,))
    r.store(at(y, slice(1, 3)), at(x, slice(0, 2)))
    r.program.emit("sin", at(y, 0), (at(y, 2),))
    assert body_of(copies(r.program))[-1] == "y[0] = sin x[1]"


def test_a_copy_onto_itself_goes():
    r = Recorder()
    x = r.argument("x", (4,))
    r.store(at(x, slice(0, 2)), at(x, slice(0, 2)))
    assert len(copies(r.program)) == 0


def test_forwarding_never_makes_a_result_overlap_an_operand():
    r = Recorder()
    x = r.argument("x", (4,))
    moved = r.op("copy", at(x, slice(0, 3)))
    r.program.emit("exp", at(x, slice(1, 4)), (moved,))
    assert copies(r.program) is r.program


def test_what_the_reverse_part_reads_is_not_taken_from_the_caller():
    r = Recorder()
    x, y = r.argument("x", (4,)), r.argument("y", (4,))
    saved, constant = r.op("copy", x), r.op("copy", 2.0)
    r.program.split = len(r.program)
    r.program.emit("exp", y, (saved,))
    r.program.emit("mul", y, (y, View(constant.buffer, 0, (4,), (0,))))
    assert body_of(copies(r.program))[3:] == ["y = exp %2", "y = mul y 2.0"]


# ------------------------------------------------------------------------------------------------------------- cse


def test_equal_values_are_computed_once():
    r = Recorder()
    x, y = r.argument("x", (4,)), r.argument("y", (4,))
    first = r.op("mul", r.op("exp", x), 2.0)
    second = r.op("mul", 2.0, r.op("exp", x))  # also in the other order
    r.program.emit("add", y, (first, second))
    assert body_of(cse(r.program)) == ["%2 = exp x", "%3 = mul %2 2.0", "y = add %3 %3"]


def test_a_value_is_computed_anew_after_its_operand_has_changed():
    r = Recorder()
    x, y = r.argument("x", (4,)), r.argument("y", (4,))
    first = r.op("exp", x)
    r.store(at(x, 0), 1.0)
    second = r.op("exp", x)
    untouched = [r.op("exp", at(x, slice(1, 4))) for _ in range(2)]
    r.program.emit("add", y, (first, second))
    r.program.emit("add", at(y, slice(1, 4)), tuple(untouched))
    assert cse(r.program).op.count("exp") == 3


def test_division_is_not_commutative():
    r = Recorder()
    x, y = r.argument("x", (4,)), r.argument("y", (4,))
    r.program.emit("add", y, (r.op("div", x, 2.0), r.op("div", 2.0, x)))
    assert cse(r.program) is r.program


def test_dtypes_of_casts_are_kept_apart():
    r = Recorder()
    x = r.argument("x", (4,))
    for dtype in ("float32", "int64"):
        cast = r.program.temp(dtype, (4,))
        r.program.emit("cast", cast, (x,))
        out = r.program.bound(dtype, (4,), Role.RESULT, dtype)
        r.program.emit("copy", out, (cast,))
    assert cse(r.program) is r.program


# ------------------------------------------------------------------------------------------------------------- dce


def test_a_fill_that_is_overwritten_in_pieces_is_dead():
    r = Recorder()
    x, y = r.argument("x", (4,)), r.argument("y", (4,))
    scratch = r.zeros((4,))
    r.store(at(scratch, slice(0, 4, 2)), at(x, slice(0, 2)))
    r.store(at(scratch, slice(1, 4, 2)), at(x, slice(2, 4)))
    r.program.emit("exp", y, (scratch,))
    assert len(dce(r.program)) == 3


def test_a_fill_of_which_one_element_is_left_stays():
    r = Recorder()
    x, y = r.argument("x", (4,)), r.argument("y", (4,))
    scratch = r.zeros((4,))
    r.store(at(scratch, slice(0, 3)), at(x, slice(0, 3)))
    r.program.emit("exp", y, (scratch,))
    assert dce(r.program) is r.program


def test_guards_and_exit_values_are_observed():
    r = Recorder()
    x = r.argument("x", (4,))
    r.guard(r.op("greater", r.op("exp", r.load(x, 0)), 0.0), True)
    r.op("sin", x)
    r.store(x, 1.0)
    r.store(x, 2.0)
    assert body_of(dce(r.program)) == [
        "%1 = copy x[0]",
        "%2 = exp %1",
        "%3 = greater %2 0.0",
        "guard %3 True",
        "x = copy 2.0",
    ]
