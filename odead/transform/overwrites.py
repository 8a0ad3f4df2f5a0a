"""What the reverse sweep must save: values that it needs and that are overwritten in between.

The to-be-recorded analysis: a partial that names `x` needs the operand as it was before the instruction, one that names
`out` the result. Where the memory is not written again before the end, the value is still there and costs nothing.
"""

from .._places import Overwrites

__all__ = ["Overwrites"]
