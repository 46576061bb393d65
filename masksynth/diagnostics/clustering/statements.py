"""State what is known of the limit of a position: theorems with their sources, conjectures, what is open or false."""

from __future__ import annotations

from typing import NamedTuple, get_args

import numpy as np

from masksynth.diagnostics.clustering.roots import (
    CHAIN,
    COMPLETE,
    CYCLES,
    CYCLES_ABOVE,
    FIXED,
    FIXED_KEYS,
    ONE_CLASS,
    ONE_ROOT,
    RING,
    SEVERAL,
    SYMMETRIC,
)
from masksynth.diagnostics.clustering.value_spectrum import conjectured_limit
from masksynth.diagnostics.clustering.vector_field import Weights
from masksynth.diagnostics.statements import Status
from masksynth.mask.typing import Float64Array

PAGE = "docs/clustering.md"
PAPER = "arXiv 2411.04990"
CERTAINTIES: tuple[Status, ...] = get_args(Status)
LEAST_CIRCLE = -0.16
"""Least s for which complete attention on the circle is known to gather (arXiv 2507.22857)."""
EQUAL = 1e-12
"""Difference up to which a matrix is a multiple of I, relative to its largest number."""


class Law(NamedTuple):
    """What theorems ask of Q, K, V and beta.

    Parameters
    ----------
    score : float or None
        s if beta Q^T K = s I.
    value : float or None
        c if V = c I.
    conjecture : str
        What the paper conjectures of a causal mask with this V; empty where it conjectures nothing.
    """

    score: float | None
    value: float | None
    conjecture: str = ""


class Statement(NamedTuple):
    """One of ``CERTAINTIES``, where it is proved or conjectured (empty: evident, or here alone), and what it says."""

    certainty: Status
    source: str
    text: str

    def __str__(self) -> str:
        return f"{self.certainty}{f' ({self.source})' if self.source else ''}: {self.text}"


def law_of(beta: float, given: Weights) -> Law:
    """Return what the theorems ask of Q, K, V.

    Examples
    --------
    >>> from masksynth.diagnostics.clustering.vector_field import weights
    >>> law_of(2.0, weights(3)), law_of(2.0, weights(2, query=[[0, 1], [-1, 0]])).score
    (Law(score=2.0, value=1.0, conjecture=''), None)
    """
    value = multiple_of_identity(given.value)
    conjecture = conjectured_limit(given.value) if value is None else ""
    return Law(multiple_of_identity(beta * given.query.T @ given.key), value, conjecture)


def multiple_of_identity(matrix: Float64Array) -> float | None:
    """Return c for c I, None for other matrices; differences of rounding are ignored."""
    c = float(np.trace(matrix)) / len(matrix)
    return c if np.abs(matrix - c * np.eye(len(matrix))).max() <= EQUAL * np.abs(matrix).max() else None


GATHERS = "gathers in one point, for almost every start"
TO_ROOT = "converges to the start of its root, for almost every start"
HALF = f"theorem ({PAGE}, C) if its down-set starts in an open"
HEMISPHERE = f"gathers in one point; {HALF} hemisphere"
RESTS = Statement("theorem", "", "attends to nothing but itself and never moves")
IN_CHAIN = Statement("theorem", f"{PAPER}, 4.1", TO_ROOT)
OF_ONE_ROOT = Statement("theorem", f"{PAGE}, B", TO_ROOT)
OF_FIXED_KEYS = Statement("theorem", f"{PAGE}, D", "converges, to a limit that depends on the start")
OF_FEW = Statement("theorem", f"{PAGE}, C", GATHERS)
ON_SPHERE = Statement("theorem", "arXiv 2405.18273", GATHERS)
ON_CIRCLE = Statement("theorem", "arXiv 2507.22857", GATHERS)
CONJECTURED = Statement("conjecture", "", HEMISPHERE)
TWISTED = Statement("open", "", f"may stay twisted around the circle forever; {HALF} half")
IN_RING = Statement(
    "refuted", f"{PAGE}, C", f"does not gather from some starts: its root stays twisted around the circle; {HALF} half"
)
OTHER_SCORES = Statement(
    "open", "", f"need not gather if Q and K are not as the identity ({PAGE}, C); {HALF} hemisphere"
)
OF_SEVERAL = Statement("conjecture", "", "converges to one of several clusters")
MOVES = Statement("open", "", f"may move forever ({PAGE}, E)")
TURNS = Statement("open", "", f"need not converge if Q and K are not as the identity ({PAGE}, E)")
OTHER_VALUES = Statement("open", "", f"V is no positive multiple of I ({PAGE}, Other V)")
OF_FIRST = Statement(
    "theorem",
    f"{PAPER}, lemma 1",
    "moves by V alone, unless its row is empty, to the leading eigenvectors, for almost every start",
)
KNOWN = {FIXED: RESTS, CHAIN: IN_CHAIN, ONE_ROOT: OF_ONE_ROOT}
"""Status -> what holds for V = I, any Q and K, in any dimension."""


def statement(status: str, dim: int, law: Law, root_size: int = 0) -> Statement:
    """Return what is known of a position in a dimension under Q, K, V.

    Parameters
    ----------
    status : str
        Of ``Following.status``.
    dim : int
        d.
    law : Law
    root_size : int
        Number of positions of its one root; 0 where it is not known, or there are several.

    Examples
    --------
    Tokens that all see each other gather; not so if they turn away from what they attend to.

    >>> print(statement(COMPLETE, 3, Law(1.0, 1.0)))
    theorem (arXiv 2405.18273): gathers in one point, for almost every start
    >>> statement(COMPLETE, 3, Law(-2.5, 1.0), 4).certainty, statement(COMPLETE, 3, Law(-2.5, 1.0), 3).certainty
    ('open', 'theorem')
    """
    if law.value is None or law.value <= 0:
        return _other_values(status, law)
    if status in KNOWN:
        return KNOWN[status]
    if status == FIXED_KEYS:
        return TURNS if law.score is None else OF_FIXED_KEYS
    if status in (SEVERAL, CYCLES):
        return MOVES if status == CYCLES else OF_SEVERAL if _attracts(law) else TURNS
    if status != CYCLES_ABOVE and 0 < root_size <= dim:
        return OF_FEW
    return _circle(status, law) if dim == 2 else _sphere(status, law)


def _attracts(law: Law) -> bool:
    return law.score is not None and law.score >= 0


def _circle(status: str, law: Law) -> Statement:
    if status == COMPLETE and law.score is not None and law.score >= LEAST_CIRCLE:
        return ON_CIRCLE
    return IN_RING if status == RING else TWISTED


def _sphere(status: str, law: Law) -> Statement:
    if not _attracts(law) and status != RING:  # one key has weight 1 at any Q and K
        return OTHER_SCORES
    return ON_SPHERE if status in (COMPLETE, SYMMETRIC) else CONJECTURED


def _other_values(status: str, law: Law) -> Statement:
    if status == FIXED:
        return RESTS if law.value is not None else OF_FIRST
    return Statement("conjecture", PAPER, law.conjecture) if status == CHAIN and law.conjecture else OTHER_VALUES


IDENTITY = Law(1.0, 1.0)
STATUSES = (
    FIXED,
    CHAIN,
    ONE_ROOT,
    FIXED_KEYS,
    COMPLETE,
    SYMMETRIC,
    RING,
    ONE_CLASS,
    CYCLES_ABOVE,
    SEVERAL,
    CYCLES,
)
MEANING = {status: str(statement(status, 3, IDENTITY)) for status in STATUSES}
"""Status of a position -> what is known for Q = K = V = I and d >= 3."""
PROVED = tuple(status for status in STATUSES if MEANING[status].startswith("theorem"))


def meaning(status: str, dim: int, law: Law = IDENTITY, root_size: int = 0) -> str:
    """Return what is known for a status in a dimension, beginning with the certainty.

    Examples
    --------
    Rings of five and more may stay twisted round the circle, so that gathering is conjectured from the sphere on.

    >>> [meaning(RING, dim).split()[0] for dim in (2, 3)]
    ['refuted', 'conjecture:']
    """
    return str(statement(status, dim, law, root_size))
