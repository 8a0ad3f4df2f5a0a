"""Benchmarks of right-hand sides, of single instructions and of calls: one module per table, run by `../engine.py`."""
