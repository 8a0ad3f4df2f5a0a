from types import CodeType
from typing import Any

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
    _numbers: dict[object, View]
    static: set[int]
    captured: set[int]
    side: Any
    domains: dict[int, View | None]
    number_type: type
    def record(self, op: str, dtype: str, ins: tuple[View, ...]) -> View: ...
    def record_python(self, op: str, dtype: str, ins: tuple[View, ...]) -> View: ...
    def number(self, value: float) -> View: ...
