"""Counts of a mask: depth, height, width, pairs, intervals, and the blocks that a block-sparse kernel skips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from masksynth.errors import Unsupported, check_type
from masksynth.export import blocks
from masksynth.export.mutual_pairs import diagonal_pairs, mutual_pairs
from masksynth.mask import Mask
from masksynth.mask.algebra import attends_to_self, is_causal, select_table
from masksynth.mask.intervals import count_intervals
from masksynth.statistics.hasse import Hasse, hasse, width
from masksynth.statistics.reachability import Convergence, convergence, flow_after


class Blocks(NamedTuple):
    """Blocks of one size, over all tables.

    Parameters
    ----------
    size : int
        Rows and columns of a block.
    total : int
        Number of blocks.
    kept : int
        Blocks with an allowed pair.
    full, partial : int
        Kept blocks in which all pairs are allowed, and those in which some are.
    """

    size: int
    total: int
    kept: int
    full: int
    partial: int


@dataclass(frozen=True)
class MaskStatistics:
    """Statistics of a mask; None for one that was not computed, for the reason in ``skipped``.

    Parameters
    ----------
    positions, tables, pairs : int
        N, P, and the allowed pairs over all tables.
    causal : bool
        No position attends to a later one.
    depth : int or None
        The least number of layers through which all reachable pairs are reached.
    flow_pairs : int or None
        Number of pairs (q, k) such that q reaches k at some depth, q = k included.
    layers, layer_pairs : int or None
        A number of layers, if given, and the number of pairs reached through them.
    classes, largest_class : int or None
        Number of strongly connected components, and the size of the largest.
    height : int or None
        Number of classes in a longest chain.
    width : int or None
        Number of classes in a largest antichain; a lower bound unless ``width_exact``.
    width_exact : bool
    width_by : str
        Method: ``trees``, ``matching`` (Dilworth), or ``levels``.
    hasse_edges : int or None
        Number of covers: pairs of classes in order with none between.
    reciprocity : float or None
        Fraction of pairs (q, k), q not k, whose reverse is allowed too, over all tables; 0 if there are no pairs.
    rows_empty, rows_without_self : int
        Number of empty rows, and of non-empty rows without their own position, over all tables.
    intervals_mean : float
    intervals_most : int
        Mean and maximal number of intervals of a row.
    blocks : Blocks or None
    skipped : mapping of str to str
        Name of a statistic -> why it was not computed.
    """

    positions: int
    tables: int
    pairs: int
    causal: bool
    depth: int | None
    flow_pairs: int | None
    layers: int | None
    layer_pairs: int | None
    classes: int | None
    largest_class: int | None
    height: int | None
    width: int | None
    width_exact: bool
    width_by: str
    hasse_edges: int | None
    reciprocity: float | None
    rows_empty: int
    rows_without_self: int
    intervals_mean: float
    intervals_most: int
    blocks: Blocks | None
    skipped: dict[str, str]


def mask_statistics(mask: Mask, layers: int | None = None, block_size: int = 128) -> MaskStatistics:
    """Compute statistics of a mask.

    These are depth to convergence, classes, height, width, covers, reciprocity, blocks and intervals.

    Parameters
    ----------
    mask : Mask
    layers : int, optional
        Also count the pairs reached through this many layers.
    block_size : int
        Rows and columns of a block.

    Raises
    ------
    InvalidInstance
        If the number of layers or the block size is not positive.

    Examples
    --------
    The merged butterfly on four tokens: two chains, and for each token a prediction above both.

    >>> import masksynth as ms
    >>> found = mask_statistics(ms.solve(ms.catalog.butterfly(n=4)).merged.mask)
    >>> found.depth, found.height, found.width, found.hasse_edges, found.reciprocity
    (1, 4, 4, 10, 0.0)
    """
    check_type(mask, Mask)
    skipped: dict[str, str] = {}
    attempt = partial(_attempt, skipped)
    of_diagram = ("classes", "height", "width", "hasse_edges")
    limit: Convergence | None = attempt(("depth", "flow_pairs", *of_diagram), lambda: convergence(mask))
    diagram: Hasse | None = attempt(of_diagram, lambda: hasse(limit.flow)) if limit else None
    after: Mask | None = attempt(("layer_pairs",), lambda: flow_after(mask, layers)) if layers is not None else None
    counts = np.concatenate([count_intervals(mask, table) for table in range(mask.tables)])
    has_self = np.concatenate([attends_to_self(select_table(mask, table)) for table in range(mask.tables)])
    antichain = width(diagram) if diagram else None
    return MaskStatistics(
        positions=mask.size,
        tables=mask.tables,
        pairs=mask.pairs,
        causal=is_causal(mask),
        depth=limit.depth if limit else None,
        flow_pairs=limit.flow.pairs if limit else None,
        layers=layers,
        layer_pairs=after.pairs if after else None,
        classes=len(diagram.leaders) if diagram else None,
        largest_class=int(np.bincount(diagram.of).max(initial=0)) if diagram else None,
        height=int(diagram.heights.max(initial=-1)) + 1 if diagram else None,
        width=antichain.value if antichain else None,
        width_exact=antichain is not None and antichain.exact,
        width_by=antichain.how if antichain else "",
        hasse_edges=len(diagram.upper) if diagram else None,
        reciprocity=attempt(("reciprocity",), lambda: reciprocity(mask)),
        rows_empty=int((counts == 0).sum()),
        rows_without_self=int(((counts > 0) & ~has_self).sum()),
        intervals_mean=float(counts.mean()) if len(counts) else 0.0,
        intervals_most=int(counts.max(initial=0)),
        blocks=block_counts(mask, block_size),
        skipped=skipped,
    )


def reciprocity(mask: Mask) -> float:
    """Return the fraction of pairs (q, k), q not k, whose reverse is allowed too, over all tables; 0 if there are none.

    Raises
    ------
    Unsupported
        If the columns have too many intervals and the mask is too large for a dense array.

    Examples
    --------
    >>> reciprocity(Mask.from_dense(np.array([[0, 1, 0], [1, 0, 0], [1, 0, 0]]) > 0))
    0.6666666666666666
    """
    check_type(mask, Mask)
    if is_causal(mask):
        return 0.0
    both = pairs = 0
    for table in range(mask.tables):
        diagonal = diagonal_pairs(mask, table)
        both += mutual_pairs(mask, table) - diagonal
        pairs += select_table(mask, table).pairs - diagonal
    return both / pairs if pairs else 0.0


def block_counts(mask: Mask, block_size: int = 128) -> Blocks:
    """Count the blocks: all, those with an allowed pair, and of these full and partial ones; over all tables.

    Raises
    ------
    InvalidInstance
        If the block size is not positive.

    Examples
    --------
    >>> block_counts(Mask.from_dense(np.tril(np.ones((4, 4), bool))), 2)
    Blocks(size=2, total=4, kept=3, full=1, partial=2)
    """
    check_type(mask, Mask)
    counts = blocks.block_counts(mask, block_size)
    return Blocks(block_size, counts.all, counts.full + counts.partial, counts.full, counts.partial)


def _attempt(skipped: dict[str, str], names: tuple[str, ...], compute: Any) -> Any:
    """Return the result of a computation; if it is unsupported, None, and store the reason under each name."""
    try:
        return compute()
    except Unsupported as error:
        skipped.update(dict.fromkeys(names, str(error)))
        return None
