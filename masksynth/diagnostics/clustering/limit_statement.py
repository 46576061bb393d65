"""Hold what is known of the limit of a position: how certain it is, where it is proved, and what it says."""

from __future__ import annotations

from typing import NamedTuple

from masksynth.diagnostics.statements import Status

PAGE = "docs/clustering.md"
PAPER = "arXiv 2411.04990"


class Statement(NamedTuple):
    """One of ``CERTAINTIES``, where it is proved or conjectured (empty: evident, or here alone), and what it says."""

    certainty: Status
    source: str
    text: str

    def __str__(self) -> str:
        return f"{self.certainty}{f' ({self.source})' if self.source else ''}: {self.text}"
