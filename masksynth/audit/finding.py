"""One thing that an audit found: what, how bad, where, and what to do about it."""

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
    "MS009": "multiplicity changed",
    "MS010": "document heuristic broken",
    "MS011": "finite minus infinity",
    "MS012": "block list wrong",
    "MS013": "extra context",
    "MS014": "not decided",
    "MS015": "contamination between samples",
    "MS016": "shifted labels",
    "MS017": "label over a boundary",
    "MS018": "sample not found",
    "MS019": "position of no sample",
    "MS020": "padding not kept apart",
    "MS021": "window or chunks assumed",
    "MS022": "not compared",
}
"""Code -> its name; codes are never reused."""


@dataclass(frozen=True)
class Finding:
    """A finding of an audit.

    Parameters
    ----------
    code : str
        One of ``CODES``.
    severity : str
        ``error``, ``warning`` or ``note``.
    position : int, optional
        The query position at which it shows; None where it is about the whole mask.
    witness : mapping
        Plain JSON values that prove it: a path, tokens, keys, counts.
    remedy : str
        What to do about it.
    message : str
        All of it in one line.

    Raises
    ------
    InvalidInstance
        For an unknown code or severity.

    Examples
    --------
    >>> found = Finding("MS005", "error", 3, {"table": 0}, "let it attend to itself", "row 3 is empty")
    >>> found.name, found.record()["witness"]
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
                f"a finding is {self.code!r} of severity {self.severity!r}",
                "",
                f"severities are {', '.join(SEVERITIES)}",
            )

    @property
    def name(self) -> str:
        """What the code stands for."""
        return CODES[self.code]

    def record(self) -> dict[str, Any]:
        """The finding as plain JSON values."""
        return {
            "code": self.code,
            "severity": self.severity,
            "position": self.position,
            "witness": dict(self.witness),
            "remedy": self.remedy,
            "message": self.message,
        }
