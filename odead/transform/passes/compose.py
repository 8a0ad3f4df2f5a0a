"""The algebra of views: where the elements of a view lie in another storage that holds the same elements."""

from functools import lru_cache

from ...views import View, is_injective

__all__ = ["compose"]

Axis = tuple[int, int, int]  # stride in the place, stride in the source, length


@lru_cache(maxsize=16384)
def compose(place: View, source: View, part: View) -> View | None:
    """The view of `source` that has the values of `part` after `copy place <- source`; None if there is none.

    `part` selects elements of `place`, which has the shape of `source`.
    """
    if part == place:
        return source
    if part.size == 0:
        return View(source.buffer, source.offset, part.shape, (0,) * len(part.shape))
    axes = [(p, s, n) for p, s, n in zip(place.strides, source.strides, place.shape, strict=True) if n > 1]
    shift = part.offset - place.offset
    ratio = _ratio(axes)
    if ratio is not None:
        strides = tuple(ratio * stride for stride in part.strides)
        return View(source.buffer, source.offset + ratio * shift, part.shape, strides)
    return _walk(place, source, part, axes) if is_injective(place) else None


def _ratio(axes: list[Axis]) -> int | None:
    """The whole number that every stride in the place must be multiplied by to give that in the source, if there is one."""
    if not axes:
        return 0
    place, source, _ = axes[0]
    ratio = source // place
    return ratio if all(s == ratio * p for p, s, _ in axes) else None


def _walk(place: View, source: View, part: View, axes: list[Axis]) -> View | None:
    """Express the start and the steps of `part` in steps along the axes of `place`; they must stay within its bounds."""
    ascending = [(p, s, n) if p > 0 else (-p, -s, n) for p, s, n in axes]
    ascending.sort(reverse=True)
    lowest = place.offset + sum((n - 1) * p for p, _, n in axes if p < 0)
    origin = source.offset + sum((n - 1) * s for p, s, n in axes if p < 0)
    first = _digits(part.offset - lowest, ascending)
    steps = [_digits(stride if n > 1 else 0, ascending) for n, stride in zip(part.shape, part.strides, strict=True)]
    if first is None or None in steps:
        return None
    for k, (_, _, n) in enumerate(ascending):
        moves = [(m - 1) * step[k] for m, step in zip(part.shape, steps, strict=True) if step is not None]
        if first[k] + sum(move for move in moves if move < 0) < 0 or first[k] + sum(move for move in moves if move > 0) >= n:
            return None
    offset = origin + _dot(first, ascending)
    return View(source.buffer, offset, part.shape, tuple(_dot(step, ascending) for step in steps if step is not None))


def _digits(distance: int, axes: list[Axis]) -> list[int] | None:
    """`distance` in the place as numbers of steps along its axes, widest first."""
    sign, rest = (-1, -distance) if distance < 0 else (1, distance)
    digits = []
    for stride, _, _ in axes:
        steps, rest = divmod(rest, stride)
        digits.append(sign * steps)
    return digits if rest == 0 else None


def _dot(digits: list[int], axes: list[Axis]) -> int:
    return sum(digit * stride for digit, (_, stride, _) in zip(digits, axes, strict=True))
