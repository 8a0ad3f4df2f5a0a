"""Running programs: `reference.py` with NumPy, slow and obvious; `compiled.py` with the sweep of `_core`."""
