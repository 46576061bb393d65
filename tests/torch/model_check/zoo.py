"""The models and batches of the table of planted faults, for tests that ask more of them."""

from __future__ import annotations

import importlib.util
import sys

from tests.docs.pages import DOCS

SPEC = importlib.util.spec_from_file_location("planted_faults", DOCS / "planted_faults.py")
faults = importlib.util.module_from_spec(SPEC)
sys.modules["planted_faults"] = faults
SPEC.loader.exec_module(faults)
