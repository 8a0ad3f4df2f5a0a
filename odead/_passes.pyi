from collections.abc import Callable

from .tape import Program
from .views import View

def shared(program: Program) -> tuple[list[int], list[tuple[View, ...]]]: ...
def forwarded(
    program: Program, compose: Callable[[View, View, View], View | None]
) -> tuple[list[int], list[tuple[View, ...]]] | None: ...
def needed(program: Program) -> list[int]: ...
def placed(program: Program) -> tuple[list[int], list[View | None]] | None: ...
def folded(
    program: Program,
    known: list[View | None],
    origin: list[int],
    rewrite: Callable[[int, str, View, tuple[View, ...]], tuple[str, tuple[View, ...]] | None],
    fill: Callable[[int, View], None],
) -> bool: ...
