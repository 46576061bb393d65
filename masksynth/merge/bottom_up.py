"""Classes of closed tasks without cycles, from the bottom up: one pass instead of colour refinement.

The dense row of a node u is u and its strict down-set, whose rows are all shorter, so that no node below u is
equivalent to u. Hence u ~ v iff their identities are equal and their strict down-sets have equally many nodes of each
class; where u has a single lower cover t, iff v has one too and it is equivalent to t (``disjoint_union``). By
induction over the height, classes found in this way are those of the coarsest stable colouring.
"""

from __future__ import annotations

from collections.abc import Sequence

from masksynth.mask.equal_values import factorize
from masksynth.merge.disjoint_union import Rows


def is_acyclic(rows: Rows) -> bool:
    """Return whether compressed rows have components of single nodes only."""
    return rows.compressed and len(rows.refs[0]) == max(rows.refs[0], default=-1) + 1


def find_classes(identity: Sequence[int], rows: Rows) -> list[int]:
    """Return the classes of the coarsest stable colouring, numbered by first appearance.

    Parameters
    ----------
    identity : sequence of n ints
        Identity of each live node.
    rows : Rows
        Compressed and acyclic (`is_acyclic`).

    Examples
    --------
    Two chains a < x and b < x: the ends differ because their keys do.

    >>> from masksynth.merge.disjoint_union import compress_rows
    >>> find_classes([0, 1, 2, 1], compress_rows([[], [0], [], [2]], [0, 0, 1, 1]))
    [0, 1, 2, 3]
    """
    component, below = rows.refs
    live_of = [0] * len(component)  # the node of each component; components are numbered bottom-up
    for live, number in enumerate(component):
        live_of[number] = live
    codes: dict[tuple[int, int | tuple[int, ...]], int] = {}
    classes = [-1] * (len(component) + 1)  # the last entry is that of tail -1, no lower cover
    for live in live_of:
        tail = rows.tail[live]
        if tail < 0 and (explicit := rows.rows[below[live]]):
            key = identity[live], tuple(sorted([classes[lower] for lower in explicit]))
            classes[live] = codes.setdefault(key, len(codes))
        else:
            classes[live] = codes.setdefault((identity[live], classes[tail]), len(codes))
    return factorize(classes[:-1])
