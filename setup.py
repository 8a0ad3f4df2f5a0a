"""Build of the extension modules; all metadata is in pyproject.toml.

ODEAD_CHECK=1 builds with bounds checks and assertions.
"""

import os
import runpy
import sys
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

CHECK = os.environ.get("ODEAD_CHECK", "0") != "0"
DIRECTIVES = {
    "language_level": 3,
    "binding": False,
    "boundscheck": CHECK,
    "wraparound": False,
    "cdivision": not CHECK,
    "initializedcheck": CHECK,
    "freethreading_compatible": True,
}
# Results are NumPy's bit for bit: no contraction to fused multiply-add, no -ffast-math. Nobody reads errno or traps. Compiling
# takes a quarter less without debugging information, and the checked build half as long at -O1.
GNU_FLAGS = ["-fwrapv", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", *(["-O1"] if CHECK else ["-O3", "-g0"])]
JOBS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# Both files import only the standard library: the package itself needs the module built here.
table = runpy.run_path("odead/ops.py")["TABLE"]
codegen = runpy.run_path("odead/_codegen.py")
text = codegen["render_header"](table, checked=CHECK)
header = Path("odead/_kernels.h")
if not header.exists() or header.read_text() != text:  # an unchanged header does not rebuild; the other build has another one
    header.write_text(text)

# The modules, and the headers each depends on beside the generated one.
MODULES: dict[str, list[str]] = {
    "_elements": [],
    "_scan": [],
    "_passes": [],
    "_places": [],
    "_observed": [],
    "_recording": [],
    "_traced": [],
    "_storage": [],
    "_linear": [],
    "_fourier": [],
    "_structured": ["odead/_products.h", "odead/_vectors.h"],
    "_calls": ["odead/_pointers.h"],
    "_sweep": [],
    "_core": [],
    "_signature": [],
    "_system": [],
    "_record": ["odead/_pages.h"],
    "_steppers": ["odead/_vectors.h"],
    "_adjoint": ["odead/_vectors.h"],
    "_matrices": ["odead/_lu.h", "odead/_tridiagonal.h", "odead/_vectors.h"],
    "_linearised": [],
    "_krylov": [],
    "_curve": ["odead/_vectors.h"],
    "_covector": [],
    "_backwards": ["odead/_vectors.h"],
    "_implicit": ["odead/_vectors.h"],
    "_rosenbrock": ["odead/_vectors.h"],
    "_diagonal": ["odead/_vectors.h"],
    "_bdf": ["odead/_differences.h", "odead/_vectors.h"],
    "_bdf_adjoint": ["odead/_differences.h", "odead/_vectors.h"],
    "_lanes": ["odead/_lanes.h", "odead/_vectors.h"],
    "_lanes_adjoint": ["odead/_lanes.h", "odead/_vectors.h"],
    "_lanes_batch": ["odead/_lanes.h", "odead/_vectors.h"],
    "_batch": ["odead/_vectors.h"],
    "_results": [],
    "_repeated": [],
}
extensions = [
    Extension(
        f"odead.{name}",
        [f"odead/{name}.pyx"],
        include_dirs=["odead", np.get_include()],
        depends=[str(header), "odead/_instruction.h", *headers],  # the generated one also says which build this is
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), ("ODEAD_MEMBERS", str(codegen["LANES"]))],
        extra_compile_args=["/O2"] if sys.platform == "win32" else GNU_FLAGS,
    )
    for name, headers in MODULES.items()
]
generated = "build/checked" if CHECK else "build/fast"  # Cython looks at dates, not at directives
if __name__ == "__main__":  # processes that translate for it may import this file
    modules = cythonize(extensions, compiler_directives=DIRECTIVES, build_dir=generated, nthreads=JOBS)
    setup(ext_modules=modules, options={"build_ext": {"parallel": JOBS}})
