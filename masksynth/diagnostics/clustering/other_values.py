"""State what is known of the limit of a position where V is not c I with c > 0 (docs/clustering.md, Other V)."""

from __future__ import annotations

from masksynth.diagnostics.clustering.limit_statement import PAGE, PAPER, Statement
from masksynth.diagnostics.clustering.roots import (
    CHAIN,
    COMPLETE,
    CYCLES,
    FIXED,
    FIXED_KEYS,
    ONE_ROOT,
    SEVERAL,
    SYMMETRIC,
    Down,
)
from masksynth.diagnostics.clustering.value_spectrum import FIRST_CONJECTURE
from masksynth.diagnostics.clustering.weight_laws import Law

V1, V2, V3, V4, V5, V6, V7 = (f"{PAGE}, V{number}" for number in range(1, 8))
TREES = (CHAIN, ONE_ROOT)
PAIR = 2
ACYCLIC = (CHAIN, ONE_ROOT, FIXED_KEYS, SEVERAL)
PART = "converges to the direction of its root's part in L, the top eigenspace of V, for almost every start"
SIDE = f"theorem ({V4}) if the parts in L of all that it sees start in an open half of L"
RESTS = Statement("theorem", "", "attends to nothing but itself and never moves")
STILL = Statement("theorem", "", "never moves: V is 0, or it attends to nothing")
OF_FIRST = Statement(
    "theorem",
    f"{PAPER}, lemma 1; {V1}",
    "moves by V alone, unless its row is empty, to the span of the leading eigenvectors of V, for almost every start",
)
OF_TOP = Statement("theorem", V2, "converges to plus or minus the top eigenvector of V, for almost every start")
OF_PART = Statement("theorem", V3, PART)
OF_FEW_PARTS = Statement("theorem", V4, "gathers in one point of L, the top eigenspace of V, for almost every start")
OF_TURNING = Statement("theorem", V5, "converges to its root, which turns by V for ever, for almost every start")
OF_REST = Statement("theorem", V6, "comes to rest, at a place that depends on the start")
OPPOSITE = Statement("theorem", V7, "converges to the point opposite its root, for every start but one")
OF_FIXED_KEYS = Statement("theorem", f"{PAGE}, D", "converges, to a limit that depends on the start")
CONJECTURE_1 = (
    f"{PAPER} conjectures plus or minus the top eigenvector of V, which is false for some such V, and for some Q and K"
    f" ({V2})"
)
NEED_NOT = Statement("open", "", CONJECTURE_1)
NEED_NOT_OR_SIDE = Statement("open", "", f"{CONJECTURE_1}; {SIDE}")
ON_A_SIDE = Statement("open", "", f"need not converge to the top eigenvector of V ({V2}); {SIDE}")
IN_L = Statement("open", "", f"may not gather in one point of L, the top eigenspace of V; {SIDE}")
REPELLED = Statement("open", "", f"is driven away from what it attends to ({V7})")
OTHER_VALUES = Statement("open", "", f"V is not a positive multiple of I ({PAGE}, Other V)")


def other_value_statement(status: str, law: Law, down: Down) -> Statement:
    """Return what is known of a position where V is not c I with c > 0.

    Parameters
    ----------
    status : str
        Of ``Following.status``.
    law : Law
    down : Down
        What the position sees; the less is known of it, the weaker the statement.

    Examples
    --------
    >>> print(other_value_statement(CHAIN, Law(None, -1.0), Down(size=2)))
    theorem (docs/clustering.md, V7): converges to the point opposite its root, for every start but one
    >>> other_value_statement(CHAIN, Law(None, -1.0), Down(size=3)).certainty
    'open'
    """
    if status == CHAIN:
        down = down._replace(awake=True, own=True)
    if law.value == 0 or (status == FIXED and down.size and not down.awake):
        return STILL
    if status == FIXED:
        return OF_FIRST if law.value is None else RESTS
    if status not in ACYCLIC:
        return _with_cycles(status, law, down)
    if law.value is not None:
        return _repelled(status, law, down)
    if law.top.dim and down.awake:
        return _in_trees(status, law, down)
    if status in TREES and law.turns and down.awake:
        return OF_TURNING
    return _as_conjectured(status, law)


def _repelled(status: str, law: Law, down: Down) -> Statement:
    if status == FIXED_KEYS and law.score is not None:
        return OF_FIXED_KEYS
    return OPPOSITE if status in TREES and down.size == PAIR else REPELLED


def _in_trees(status: str, law: Law, down: Down) -> Statement:
    """Return what is known of positions without cycles below them, where V has a top eigenspace L."""
    if law.top.dim == 1 and _goes_to_top(status, law, down):
        return OF_TOP
    if status not in TREES:
        return OTHER_VALUES
    if law.top.dim == 1:
        return NEED_NOT_OR_SIDE if status == CHAIN and law.conjecture else ON_A_SIDE
    few = 0 < down.size <= law.top.dim
    if few or law.top.dim == law.size - 1 or (law.top.symmetric and law.score is not None):
        return OF_PART
    return Statement("conjecture", PAPER if status == CHAIN else "", f"{PART}; {SIDE}")


def _goes_to_top(status: str, law: Law, down: Down) -> bool:
    if law.score is None or not law.top.symmetric:
        return False
    if law.score < 0:
        return law.top.semidefinite and status in TREES
    return law.score > 0 or down.own


def _with_cycles(status: str, law: Law, down: Down) -> Statement:
    gathers = status != CYCLES and law.value is None and law.top.largest and down.awake
    if gathers and 0 < down.size <= law.top.dim:
        return OF_FEW_PARTS
    if status in (COMPLETE, SYMMETRIC) and down.in_root and law.gradient():
        return OF_REST
    if law.value is not None:
        return REPELLED
    return IN_L if gathers else OTHER_VALUES


def _as_conjectured(status: str, law: Law) -> Statement:
    """Return what is known where V has no L as ``Top`` asks; conjecture 2 of the paper asks for one too."""
    return NEED_NOT if status == CHAIN and law.conjecture == FIRST_CONJECTURE else OTHER_VALUES


def tries_half_spaces(status: str, law: Law, down: Down) -> bool:
    """Return whether C or V4 prove that a position gathers if the parts in L of all that it sees lie in a half-space.

    For V = c I with c > 0, L is the whole space.
    """
    if status == FIXED:
        return False
    if law.value is not None:
        return law.value > 0
    return bool(law.top.dim) and down.awake and (status in TREES or law.top.largest)
