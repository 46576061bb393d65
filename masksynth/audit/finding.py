"""Findings of an audit: code, severity, position, proof and remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from masksynth.errors import InvalidInstance

SEVERITIES = ("error", "warning", "note")
"""Worst first."""

CODES = {
    "MS001": "leak",
    "MS002": "missing context",
    "MS003": "wrong label",
    "MS004": "lost or repeated label",
    "MS005": "empty row",
    "MS006": "row without itself",
    "MS007": "dead position",
    "MS008": "duplicate position",
    "MS009": "wrong multiplicity",
    "MS010": "document heuristic broken",
    "MS011": "finite minus infinity",
    "MS012": "wrong block list",
    "MS013": "extra context",
    "MS014": "not decided",
    "MS015": "contamination between samples",
    "MS016": "shifted labels",
    "MS017": "label across a boundary",
    "MS018": "sample not found",
    "MS019": "position without a sample",
    "MS020": "padding attended to",
    "MS021": "window or chunks assumed",
    "MS022": "not compared",
    "MS023": "update skipped",
}
"""Code -> name. Codes are stable and never reused."""


@dataclass(frozen=True)
class Finding:
    """Describe one fault, with a proof that can be checked by hand.

    Parameters
    ----------
    code : str
        One of ``CODES``.
    severity : str
        ``error``, ``warning`` or ``note``.
    position : int, optional
        Query position concerned; None for the mask as a whole.
    witness : mapping
        JSON values that prove the fault: a path, tokens, keys, counts.
    remedy : str
        How to fix it.
    message : str
        The fault in one line.

    Raises
    ------
    InvalidInstance
        For an unknown code or severity.

    Examples
    --------
    >>> finding = Finding("MS005", "error", 3, {"table": 0}, "let it attend to itself", "row 3 is empty")
    >>> finding.name, finding.record()["witness"]
    ('empty row', {'table': 0})
    """

    code: str
    severity: str
    position: int | None
    witness: Mapping[str, Any]
    remedy: str
    message: str

    def __post_init__(self) -> None:
        if self.code not in CODES or self.severity not in SEVERITIES:
            raise InvalidInstance(
                f"expected a code of CODES and a severity of {SEVERITIES}, got {self.code!r}, {self.severity!r}",
                "",
            )

    @property
    def name(self) -> str:
        """Return the name of the code."""
        return CODES[self.code]

    def record(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return {
            "code": self.code,
            "severity": self.severity,
            "position": self.position,
            "witness": dict(self.witness),
            "remedy": self.remedy,
            "message": self.message,
        }
