from collections.abc import Hashable, Iterable

import numpy as np

from .tape import Buffer, Program
from .views import View

def uses(program: Program) -> list[int]: ...
def renumbered(program: Program, numbers: list[int]) -> tuple[list[View | None], list[tuple[View, ...]]]: ...
def views_in_columns(
    out: list[View | None], ins: list[tuple[View, ...]], buffer: np.ndarray, offset: np.ndarray, layout: np.ndarray
) -> None: ...
def recurring(signature: np.ndarray, free: np.ndarray, period: int, least: int) -> list[tuple[int, int]]: ...
def may_roll(
    buffer: np.ndarray,
    offset: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    is_temp: np.ndarray,
    is_number: np.ndarray,
    is_copy: np.ndarray,
    start: int,
    period: int,
    count: int,
    erratic: float,
    steps: int,
    least: int,
) -> bool: ...
def aligned(buffer: np.ndarray, first: np.ndarray, is_temp: np.ndarray, start: int, period: int) -> int: ...
def numbered(items: Iterable[Hashable], numbers: np.ndarray) -> None: ...
def kinds(buffers: list[Buffer], kind: np.ndarray, size: np.ndarray, is_temp: np.ndarray, is_number: np.ndarray) -> None: ...

class Values:
    size: int
    number: int
    is_argument: bool
    @property
    def entered(self) -> bool: ...
    @property
    def is_split(self) -> bool: ...

def values_of(program: Program) -> tuple[dict[int, Values], list[tuple[int, int, list[int]]]]: ...

class Chain:
    start: View
    first: View
    count: int
    @property
    def terms(self) -> View: ...

def chains(program: Program, least: int) -> dict[int, Chain]: ...
def adds_to_elements(op: list[str], out: list[View | None], ins: list[tuple[View, ...]], least: int) -> bool: ...

class Overwrites:
    def __init__(self, program: Program) -> None: ...
    def written_once(self, buffer: int) -> bool: ...
    def overwritten_from(self, view: View, number: int) -> bool: ...

def in_parts(program: Program) -> list[int]: ...
def renamed(
    outs: list[View | None],
    inss: list[tuple[View, ...]],
    names: dict[int, list[int]],
    touching: list[tuple[int, int, list[int]]],
) -> None: ...
