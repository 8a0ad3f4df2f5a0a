from types import CodeType

from .tape import Buffer
from .views import View

SCALARS: dict[str, Buffer]

class Rows:
    _buffers: list[Buffer]
    _op: list[str]
    _out: list[View | None]
    _ins: list[tuple[View, ...]]
    _params: list[object]
    _line: list[int]
    _table: dict[int, int]
    _code: CodeType | None
    def record(self, op: str, dtype: str, ins: tuple[View, ...]) -> View: ...
    def load(self, buffer: int, offset: int) -> View: ...
    def store(self, out: View, source: View) -> None: ...
