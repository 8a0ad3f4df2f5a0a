"""How fast the engine is: calls, instructions, the heat stencil, layers, recording; beside NumPy, JAX, autograd and C.

    python benchmarks/engine.py [--quick] [--shared] [--only TABLE ...] [--json FILE]
    python benchmarks/engine.py --read FILE

Medians of interleaved repeats on one thread of one process; ratios within one run are what counts. A peer that is not
installed, and C without a compiler named `cc`, are left out with a line.
"""

import os

from comparison.environment import SINGLE_THREAD

if __name__ == "__main__":
    os.environ.update(SINGLE_THREAD)
    from engine_level.main import main

    main(__doc__)
