"""Settings that hold for every test."""

import os

import hypothesis

os.environ["MPLBACKEND"] = "Agg"  # no window, in this process and in those of the examples

# Derandomised: a change that passes once passes always. No deadline: a first call records and compiles.
hypothesis.settings.register_profile("odead", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("odead")
