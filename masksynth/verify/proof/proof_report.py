"""Reports of a successful check of a proof folder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PartReport:
    """How the bound of one part, or lemma, was checked.

    Parameters
    ----------
    kind : str
        ``drat`` (a DRUP refutation) or ``duals``.
    folder : str
    bound : int
        Lower bound on the weight of the part's edges.
    clauses : int
        Clauses of the formula.
    lines : int
        Steps of the proof, or leaves of the tree.
    seconds : float
        Wall-clock time of the check.
    """

    folder: str
    kind: str
    bound: int
    clauses: int
    lines: int
    seconds: float


@dataclass(frozen=True)
class ProofReport:
    """Result of a successful check of a proof folder.

    Parameters
    ----------
    size : int
        n, the number of positions.
    layers : int or None
    layered : bool
    value : int
        Weight of the mask.
    bound : int
        Lower bound on the weight of every mask with this flow.
    optimal : bool
        Whether the two are equal.
    parts : tuple of PartReport
    lemmas : tuple of PartReport
        Bounds of windows that proofs of parts use.
    claim : str
        What ``value`` is: the ``weight`` of a mask; the ``reads`` of a structure for contracts, or its ``cost``.
    """

    size: int
    layers: int | None
    layered: bool
    value: int
    bound: int
    optimal: bool
    parts: tuple[PartReport, ...]
    lemmas: tuple[PartReport, ...] = ()
    claim: str = "weight"
