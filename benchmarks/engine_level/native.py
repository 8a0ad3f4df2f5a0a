"""`native.c`, compiled for this machine while the benchmark runs."""

import ctypes
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np

from .timing import Call

# What -ffast-math allows where numbers are finite. That itself would make the whole process flush subnormal numbers to zero.
_FREE = ("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-freciprocal-math")
_FLAGS = ("-O3", "-march=native", *_FREE, "-shared", "-fPIC")


@cache
def library() -> ctypes.CDLL | None:
    """The compiled functions; None without a compiler."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder, "native.so")
        try:
            subprocess.run(["cc", *_FLAGS, Path(__file__).with_suffix(".c"), "-o", binary, "-lm"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"C is left out: {error}")
            return None
        return ctypes.CDLL(str(binary))


def calls(size: int | None, functions: dict[str, tuple[str, tuple[np.ndarray, ...]]]) -> dict[str, dict[str, Call]]:
    """By row, the column "C": a function of a size, unless that is None, and of the addresses of arrays."""
    found = library()
    if found is None:
        return {}
    count = () if size is None else (ctypes.c_long(size),)
    return {
        row: {"C": partial(getattr(found, name), *count, *(ctypes.c_void_p(a.ctypes.data) for a in arrays))}
        for row, (name, arrays) in functions.items()
    }
