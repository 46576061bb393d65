"""State what is known of the limit of a position: theorems with their sources, conjectures, what is open or false."""

from __future__ import annotations

from typing import get_args

from masksynth.diagnostics.clustering.limit_statement import PAGE, PAPER, Statement
from masksynth.diagnostics.clustering.other_values import OF_FIXED_KEYS, RESTS, V6, other_value_statement
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
    UNKNOWN,
    Down,
)
from masksynth.diagnostics.clustering.weight_laws import Law
from masksynth.diagnostics.statements import Status

CERTAINTIES: tuple[Status, ...] = get_args(Status)
LEAST_CIRCLE = -0.16
"""Least s for which complete attention on the circle is known to gather (arXiv 2507.22857)."""


GATHERS = "gathers in one point, for almost every start"
TO_ROOT = "converges to the start of its root, for almost every start"
HALF = f"theorem ({PAGE}, C) if its down-set starts in an open"
HEMISPHERE = f"gathers in one point; {HALF} hemisphere"
IN_CHAIN = Statement("theorem", f"{PAPER}, 4.1", TO_ROOT)
OF_ONE_ROOT = Statement("theorem", f"{PAGE}, B", TO_ROOT)
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
NEGATIVE_SCORES = Statement(
    "open", "", f"its root comes to rest (theorem, {V6}) but need not gather ({PAGE}, C); {HALF} hemisphere"
)
NEED_NOT = Statement(
    "open", "", f"need not gather: on the sphere not all such masks do at small scores ({PAGE}, C); {HALF} hemisphere"
)
OF_SEVERAL = Statement("conjecture", "", "converges to one of several clusters")
MOVES = Statement("open", "", f"may move forever ({PAGE}, E)")
TURNS = Statement("open", "", f"need not converge if Q and K are not as the identity ({PAGE}, E)")
KNOWN = {FIXED: RESTS, CHAIN: IN_CHAIN, ONE_ROOT: OF_ONE_ROOT}
"""Status -> what holds for V = I, any Q and K, in any dimension."""


def statement(status: str, dim: int, law: Law, root_size: int = 0, down: Down = UNKNOWN) -> Statement:
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
    down : Down
        What it sees, for V other than c I with c > 0; the less is known of it, the weaker the statement.

    Examples
    --------
    Tokens that all see each other gather; not so if they turn away from what they attend to.

    >>> print(statement(COMPLETE, 3, Law(1.0, 1.0)))
    theorem (arXiv 2405.18273): gathers in one point, for almost every start
    >>> statement(COMPLETE, 3, Law(-2.5, 1.0), 4).certainty, statement(COMPLETE, 3, Law(-2.5, 1.0), 3).certainty
    ('open', 'theorem')
    """
    if law.value is None or law.value <= 0:
        return other_value_statement(status, law, down)
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
        return NEGATIVE_SCORES if law.gradient() and status in (COMPLETE, SYMMETRIC) else OTHER_SCORES
    if status in (COMPLETE, SYMMETRIC):
        return ON_SPHERE
    return CONJECTURED if status == RING else NEED_NOT


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
