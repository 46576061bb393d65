"""Settings of all tests."""

import os
import sys

# Hundreds of tests start a command of their own; none compiles the package and the tests anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from hypothesis import settings  # noqa: E402

# An example may take long on a shared machine, or import a library on first use; tests of speed measure it themselves.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
