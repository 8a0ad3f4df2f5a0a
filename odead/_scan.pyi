from typing import Self, TypeVar

from .tape import Program
from .views import View

_Item = TypeVar("_Item")

class Scan:
    def __new__(cls, program: Program) -> Self: ...

def on_buffer(view: View, buffer: int) -> View: ...
def picked(column: list[_Item], positions: list[int]) -> list[_Item]: ...
