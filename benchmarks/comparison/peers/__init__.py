"""One module per peer.

It defines

    PACKAGES                          what it needs, as names to import
    variants(problem) -> [Variant]    those worth running, none if the peer cannot say the problem
    build(problem, variant) -> run    run(rtol, atol) returns (loss, gradient), gradient None for a forward solve; of an
                                      ensemble both by member

Models are written in the peer's own language; building may trace and compile, and is timed with the first call.
"""

from typing import Final, NamedTuple

NAMES: Final = ("odead", "scipy", "diffrax", "diffsol", "casadi", "torchdiffeq")

# Forward sensitivities and finite differences are not tried above this many states x parameters.
FORWARD_LIMIT: Final = 300_000


class Variant(NamedTuple):
    method: str
    kind: str  # "solve": a forward solve; else a way to a gradient

    def __str__(self) -> str:
        return f"{self.method} {self.kind}"
