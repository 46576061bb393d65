"""The models, batches and faults of the table of planted faults, for tests that ask more of them."""

from __future__ import annotations

import sys
from importlib import import_module

from tests.docs.pages import DOCS

sys.path.insert(0, str(DOCS))
fault_models, fault_cases, fault_table = map(import_module, ("fault_models", "fault_cases", "planted_faults"))
sys.path.remove(str(DOCS))
