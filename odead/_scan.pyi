from typing import Self

from .tape import Program
from .views import View

class Scan:
    def __new__(cls, program: Program) -> Self: ...

def on_buffer(view: View, buffer: int) -> View: ...
