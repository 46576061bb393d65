"""Say what is known of a diagnosis: the record that all three print as ``statements``."""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["theorem", "conjecture", "open", "refuted"]


class Statement(NamedTuple):
    """A claim, whether it is proved (``theorem``), believed, undecided or refuted, and where that is shown."""

    name: str
    claim: str
    status: Status
    source: str
