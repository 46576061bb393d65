"""Say what is known of a diagnosis: the record that all three print as ``statements``."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Statement(NamedTuple):
    """A claim, whether it is proved (``theorem``), believed, undecided or refuted, and where that is shown."""

    name: str
    claim: str
    status: Literal["theorem", "conjecture", "open", "refuted"]
    source: str
