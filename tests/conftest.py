"""Settings of all tests."""

import os
import sys

# Before numpy and torch are imported: tests run side by side, and more threads only wait for one another.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

# Hundreds of tests start a command of their own; none compiles the package and the tests anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from hypothesis import settings  # noqa: E402

# An example may take long on a shared machine, or import a library on first use; tests of speed measure it themselves.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
