"""Settings that hold for every test."""

import os
import signal

import hypothesis

os.environ["MPLBACKEND"] = "Agg"  # no window, in this process and in those of the examples
# Workers share the processors: with threads of BLAS in each of them a matrix exponential took 60 times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Derandomised: a change that passes once passes always. No deadline: a first call records and compiles.
hypothesis.settings.register_profile("odead", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("odead")

# A shell that starts a job in the background has it ignore Ctrl-C; tests that interrupt long solves would run to their ends.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
