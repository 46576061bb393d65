"""Settings of all tests."""

import os
import sys

# Hundreds of tests start a command of their own; none compiles the package and the tests anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Arrays are small, and several tests run at once: threads that wait for one another on a processor that is taken made
# models twenty times slower. Set before numpy and torch are loaded; processes that tests start inherit it.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# An example may take long on a shared machine, or import a library on first use; tests of speed measure it themselves.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each worker a run of neighbouring tests, which share fixtures and models, and let it steal at the end."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getvalue("dist") == "load" else None
