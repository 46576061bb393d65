"""Measure how well a tree of positions can replace softmax attention, and what it saves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from masksynth.diagnostics.hierarchy.cost import cost
from masksynth.diagnostics.hierarchy.dependence import leaking_rows
from masksynth.diagnostics.hierarchy.inputs import inputs_of, largest_score, real_numbers
from masksynth.diagnostics.hierarchy.optimum import distance
from masksynth.diagnostics.hierarchy.statements import STATEMENTS
from masksynth.diagnostics.hierarchy.tied_attention import degenerate_families, massless_rows
from masksynth.diagnostics.hierarchy.tree import Families, Tree
from masksynth.diagnostics.hierarchy.visible_siblings import Sight, sight_of, sightless_rows
from masksynth.errors import InvalidInstance, WrongAnswer, check_type
from masksynth.mask import Mask
from masksynth.mask.typing import AnyArray, BoolArray

LARGEST_FLAT = 16384
"""Positions up to which the distance to softmax attention is computed, which takes all N^2 scores."""
DRAWN, NAMED, TOLERANCE, LARGEST_SCORE = 4096, 8, 1e-9, 1e12
LARGEST_NUMBER = 1e100
"""Largest number of a query or key that is compared with softmax."""


@dataclass(frozen=True)
class Hierarchy:
    """Result of comparing attention on a tree of N positions with softmax attention.

    Parameters
    ----------
    name : str
        Where the tree comes from.
    positions, nodes, families, largest, depth : int
        N, V, M, b and the most steps from the root to a leaf.
    included, causal : bool
        Whether positions attend to themselves; whether to left siblings only.
    mask_pairs : int, optional
        Pairs that the mask allows, None without a mask.
    lost_pairs : int
        Allowed pairs in blocks that the mask allows in part.
    empty_rows : int
        Positions that may attend to nothing.
    first_empty : tuple of int
        The first of them.
    degenerate : int
        Families with a child that has nothing to attend to, inside or among its siblings.
    leaking_rows : int
        Positions whose row depends on positions that they may not attend to; see `leaking_rows`.
    dim, heads : int
        Numbers of a query; heads that were measured.
    source : str
        Where queries and keys come from.
    tree_pairs, flat_pairs, tree_flops, flat_flops, tree_bytes, flat_bytes : int
        `Cost`, in float32.
    blocks : tuple of (depth, row, rows, key, keys)
        Every block that may be used, leaves counted from left to right, as far down as 4,096 blocks are enough.
    parts : tuple of int
        Where the nodes begin within which no blocks are listed: leaves, or what lies deeper.
    kl_total, kl_identity : float, optional
        The sum of KL(theta_i || softmax_i) over positions and heads: from the rows, and as the optimum's value. None
        where rows are empty, or it was not computed.
    kl_rows : tuple of float or None
        The mean over the heads at each position; None in an empty row.
    skipped : str
        Why the divergence was not computed.
    sightless : int
        Positions that may attend to nothing at all: softmax attention has no row there, and the divergence is not
        defined.
    """

    name: str
    positions: int
    nodes: int
    families: int
    largest: int
    depth: int
    included: bool
    causal: bool
    mask_pairs: int | None
    lost_pairs: int
    empty_rows: int
    first_empty: tuple[int, ...]
    degenerate: int
    leaking_rows: int
    dim: int
    heads: int
    source: str
    tree_pairs: int
    flat_pairs: int
    tree_flops: int
    flat_flops: int
    tree_bytes: int
    flat_bytes: int
    blocks: tuple[tuple[int, int, int, int, int], ...]
    parts: tuple[int, ...]
    kl_total: float | None = None
    kl_identity: float | None = None
    kl_rows: tuple[float | None, ...] = ()
    skipped: str = ""
    sightless: int = 0

    @property
    def kl_mean(self) -> float | None:
        """Divergence per position and head, in nats."""
        return None if self.kl_total is None else self.kl_total / (self.positions * self.heads)

    def record(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, the mean, and ``statements``: what is proved, and what is not."""
        return {**asdict(self), "kl_mean": self.kl_mean, "statements": [one._asdict() for one in STATEMENTS]}


def diagnose_hierarchy(
    tree: Tree,
    q: ArrayLike | None = None,
    k: ArrayLike | None = None,
    *,
    name: str = "tree",
    mask: Mask | None = None,
    included: bool = True,
    causal: bool = False,
    dim: int = 64,
    seed: int = 0,
    source: str = "",
    flat: bool | None = None,
) -> Hierarchy:
    """Compare block-tied attention on a tree with softmax attention.

    Parameters
    ----------
    tree : Tree
    q, k : (N, d) or (H, N, d) float, optional
        Queries and keys of one or more heads [default: independent standard normal numbers, ``dim`` of them, from
        ``seed``].
    mask : Mask, optional
        What positions may attend to.
    included, causal : bool
        As in `sight_of`, but positions attend to themselves unless ``included`` is false: without themselves the first
        position of every causal mask has nothing to attend to, and the divergence is not defined.
    flat : bool, optional
        Compute the distance to softmax attention, which takes N^2 time [default: up to 16,384 positions].

    Raises
    ------
    InvalidInstance
        For one of q and k alone, or what `sight_of` and `inputs_of` refuse.
    WrongAnswer
        If the two ways to the divergence disagree by more than rounding.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.window_trees import windows
    >>> found = diagnose_hierarchy(windows(64, (4, 4, 4)), dim=8)
    >>> found.families, found.tree_pairs, found.flat_pairs, round(found.kl_mean, 3)
    (21, 336, 4096, 0.429)
    """
    check_type(tree, Tree, "build one with tree_of_lists, windows or module_tree")
    sight = sight_of(tree, included=included, causal=causal, mask=mask)
    queries, keys = _heads(tree, q, k, dim, seed)
    blocks, parts = blocks_of(tree, sight)
    return Hierarchy(
        name=name,
        included=included,
        causal=causal,
        mask_pairs=None if mask is None else mask.pairs,
        dim=queries.shape[2],
        heads=len(queries),
        source=source or (f"standard normal, seed {seed}" if q is None else "given"),
        **_sizes(tree),
        **_faults(tree, sight),
        **cost(tree, queries.shape[2])._asdict(),
        blocks=blocks,
        parts=parts,
        **_compared(tree, sight, queries, keys, tree.size <= LARGEST_FLAT if flat is None else flat),
    )


def _sizes(tree: Tree) -> dict[str, Any]:
    """Return the numbers of positions, nodes and families, the largest family, and the depth."""
    names = ("nodes", "families", "largest", "depth")
    return {"positions": tree.size, **{name: getattr(tree, name) for name in names}}


def _faults(tree: Tree, sight: Sight) -> dict[str, Any]:
    """Return what the tree loses of the mask, and its rows that are empty, leak, or have no key at all."""
    empty = np.flatnonzero(massless_rows(tree, sight))
    return {
        "lost_pairs": sight.lost,
        "empty_rows": len(empty),
        "first_empty": tuple(empty[:NAMED].tolist()),
        "degenerate": int(degenerate_families(tree, sight).sum()),
        "leaking_rows": int(leaking_rows(tree, sight).sum()),
        "sightless": int(sightless_rows(sight).sum()),
    }


def _compared(tree: Tree, sight: Sight, q: AnyArray, k: AnyArray, wanted: bool) -> dict[str, Any]:
    """Return the divergence from softmax attention, or why it is not computed."""
    if not wanted:
        scores = f"softmax attention takes {tree.size**2:,} scores a head"
        return {"skipped": f"{scores}; it is compared up to {LARGEST_FLAT:,} positions"}
    total, identity, rows = _divergence(tree, sight, q, k)
    return {"kl_total": total, "kl_identity": identity, "kl_rows": rows}


def blocks_of(
    tree: Tree, sight: Sight, most: int = DRAWN
) -> tuple[tuple[tuple[int, int, int, int, int], ...], tuple[int, ...]]:
    """Return usable blocks (depth, row, rows, key, keys), level by level up to a limit, and the first level left out.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.nested_lists import tree_of_lists
    >>> tree = tree_of_lists([0, [1, 2]])
    >>> blocks_of(tree, sight_of(tree, causal=True))
    (((1, 1, 2, 0, 1), (2, 2, 1, 1, 1)), (0, 1, 2))
    """
    result: list[tuple[int, int, int, int, int]] = []
    starts = [0]
    for depth, (level, tables) in enumerate(zip(tree.plan, sight.blocks, strict=True), 1):
        count = sum(
            int(table.sum()) * (len(group.child) // len(table)) for group, table in zip(level, tables, strict=True)
        )
        if len(result) + count > most:
            break
        for group, allowed in zip(level, tables, strict=True):
            result += _listed(tree, depth, group, allowed)
        starts += tree.first[tree.levels[depth][0] : tree.levels[depth][1]].tolist()
    return tuple(result), tuple(sorted(set(starts)))


def _listed(tree: Tree, depth: int, group: Families, allowed: BoolArray) -> list[tuple[int, int, int, int, int]]:
    family, row, key = np.nonzero(np.broadcast_to(allowed, (*group.child.shape, group.child.shape[1])))
    nodes = [group.child[family, side] for side in (row, key)]
    columns = [values[node].tolist() for node in nodes for values in (tree.first, tree.count)]
    return [(depth, *block) for block in zip(*columns, strict=True)]


def _heads(tree: Tree, q: ArrayLike | None, k: ArrayLike | None, dim: int, seed: int) -> tuple[AnyArray, AnyArray]:
    if (q is None) != (k is None):
        raise InvalidInstance("queries without keys, or keys without queries", "", "give both q and k, or neither")
    if q is None:
        random = np.random.default_rng(seed)
        made = random.standard_normal((2, 1, tree.size, dim))
        return made[0], made[1]
    result = [real_numbers(value, name) for value, name in ((q, "q"), (k, "k")) if value is not None]
    result = [value[None] if value.ndim == 2 else value for value in result]
    if result[0].ndim != 3 or result[0].shape != result[1].shape or not len(result[0]):
        raise InvalidInstance(
            f"expected q and k (N, d) or (H, N, d) of one shape, got {result[0].shape} and {result[1].shape}", ""
        )
    if any(
        float(np.abs(value).max(initial=0)) > LARGEST_NUMBER for value in result
    ):  # NaN is refused where the scores are made
        raise InvalidInstance(
            f"q or k has values above {LARGEST_NUMBER:g}", "", "scale them down: their products must fit float64"
        )
    return result[0], result[1]


Divergence = tuple[float | None, float | None, tuple[float | None, ...]]


def _divergence(tree: Tree, sight: Sight, q: AnyArray, k: AnyArray) -> Divergence:
    """Return the two sums, which must agree, and the rows."""
    q, k = q.astype(np.float64), k.astype(np.float64)  # in half precision the tolerance below would be infinite
    inputs = [inputs_of(tree, *head) for head in zip(q, k, strict=True)]
    if (score := max(map(largest_score, inputs))) > LARGEST_SCORE:
        raise InvalidInstance(
            f"scores reach {score:.1e}, at which no digit of a divergence is right", "", "scale q and k down"
        )
    heads = [distance(tree, head, sight) for head in inputs]
    rows = np.mean([head.rows for head in heads], axis=0)
    shown = tuple(None if np.isinf(row) else max(0.0, float(row)) for row in rows)
    if np.isinf(rows).any():
        return None, None, shown
    total, identity = sum(head.total for head in heads), sum(head.identity for head in heads)
    if not np.isfinite([total, identity]).all():
        raise InvalidInstance("the divergence does not fit float64", "", "scale q and k")
    if (
        not abs(total - identity)
        <= TOLERANCE * max(1.0, abs(total), float(np.abs(q).max() * np.abs(k).max())) * tree.size
    ):
        raise WrongAnswer("optimum", f"the rows sum to {total!r}, the closed form is {identity!r}")
    return float(total), float(identity), shown
