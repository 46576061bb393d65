"""Settings of all tests."""

from hypothesis import settings

# An example may take long on a shared machine, or import a library on first use; tests of speed measure it themselves.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
