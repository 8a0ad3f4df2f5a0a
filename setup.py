"""Build of the extension modules; all metadata is in pyproject.toml.

ODEAD_CHECK=1 builds with bounds checks and assertions.
"""

import os
import runpy
import sys
import sysconfig
from pathlib import Path

import Cython
import numpy as np
import scipy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

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

# The folder of what Cython writes: it looks at dates, not at directives.
folder = Path("build/checked" if CHECK else "build/fast")

# pip builds in a new folder, among packages whose files are new: to setuptools and Cython all is out of date there. What stands
# beside its source and is newer than what it is made of is taken as it is: seconds instead of minutes.
versions = f"{folder.name} build by Cython {Cython.__version__} with numpy {np.__version__}, scipy {scipy.__version__}\n"
stamp = Path("build/versions.txt")
declarations = [header, Path("odead/_instruction.h"), *Path("odead").glob("*.pxd")]


def is_current(name: str, headers: list[str]) -> bool:
    built = Path(f"odead/{name}{sysconfig.get_config_var('EXT_SUFFIX')}")
    if not (built.exists() and stamp.exists() and stamp.read_text() == versions):
        return False
    sources = [Path(f"odead/{name}.pyx"), *map(Path, headers), *declarations]
    return built.stat().st_mtime > max(path.stat().st_mtime for path in sources)


current = {f"odead.{name}" for name, headers in MODULES.items() if is_current(name, headers)}


class Build(build_ext):
    """Copies what is current, and says with what the rest was made."""

    def run(self) -> None:
        super().run()
        if self.inplace:
            stamp.write_text(versions)

    def build_extension(self, ext: Extension) -> None:
        if ext.name in current:
            target = Path(self.get_ext_fullpath(ext.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(self.get_ext_filename(ext.name), str(target))
        else:
            super().build_extension(ext)


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
if __name__ == "__main__":  # processes that translate for it may import this file
    stale = [extension for extension in extensions if extension.name not in current]
    made = cythonize(stale, compiler_directives=DIRECTIVES, build_dir=str(folder), nthreads=JOBS)
    kept = [extension for extension in extensions if extension.name in current]
    setup(ext_modules=[*made, *kept], cmdclass={"build_ext": Build}, options={"build_ext": {"parallel": JOBS}})
