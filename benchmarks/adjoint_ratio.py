"""What a gradient by the discrete adjoint costs, against a forward solve at the same tolerances.

    python benchmarks/adjoint_ratio.py [--quick] [--only TABLE ...] [--seconds S]

The clock is that of the processor; solve and gradient take turns, and a ratio is that of two that follow each other.
"""

import os

from comparison.environment import SINGLE_THREAD

if __name__ == "__main__":
    os.environ.update(SINGLE_THREAD)
    from adjoint.main import main

    main(__doc__)
