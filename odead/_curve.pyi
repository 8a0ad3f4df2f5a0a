from typing import Any

from ._steppers import Method

class Curve:
    n: int
    method: Method
    earlier: Curve | None
    def __init__(self, method: Method, ts: Any, states: Any, slopes: Any, earlier: Curve | None = None) -> None: ...
    def both_at(self, t: float) -> tuple[Any, Any]: ...
