"""The numbers of a mask: how deep, how wide, how much, and how much of it a block-sparse kernel skips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from masksynth.errors import Unsupported
from masksynth.export import blocks
from masksynth.export.mutual_pairs import diagonal_pairs, mutual_pairs
from masksynth.export.row_intervals import row_counts
from masksynth.mask import Mask
from masksynth.mask.algebra import attends_to_self, is_causal, select_table
from masksynth.statistics.hasse import Hasse, hasse, width
from masksynth.statistics.reachability import Convergence, convergence, flow_after

MOST_BLOCK_ROWS = 8192
"""Most rows of blocks that are counted."""


class Blocks(NamedTuple):
    """Blocks of one size over all tables: how many there are, hold some allowed pair, and of these how many hold nothing else."""

    size: int
    total: int
    kept: int
    full: int
    partial: int


@dataclass(frozen=True)
class Anatomy:
    """The numbers of a mask; None where one was not computed, and then ``skipped`` says why.

    Parameters
    ----------
    positions, tables, pairs : int
        N, P, and the allowed pairs over all tables.
    causal : bool
        No position attends to a later one.
    depth : int or None
        The least number of layers that carry all that any number carries.
    flow_pairs : int or None
        Pairs (q, k) such that q sees k at some depth, q = k included.
    layers, layer_pairs : int or None
        The same after so many layers, where a number was given.
    classes, largest_class : int or None
        Strongly connected components: positions that see each other at some depth.
    height : int or None
        Most classes of a chain, each of which sees the one below.
    width : int or None
        Most classes none of which sees another; a lower bound unless ``width_exact``.
    width_exact : bool
    width_by : str
        How the width is known: ``trees``, ``matching`` (Dilworth), or ``levels``.
    hasse_edges : int or None
        Covers: pairs of classes with none between.
    reciprocity : float or None
        The share of pairs (q, k), q not k, whose reverse is allowed too, over all tables; 0 where there are none.
    rows_empty, rows_without_self : int
        Rows that see nothing, and rows with keys that do not see themselves, over all tables.
    intervals_mean : float
    intervals_most : int
        Row intervals.
    blocks : Blocks or None
    skipped : mapping of str to str
        Number -> why it was not computed.
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


def anatomy(mask: Mask, layers: int | None = None, block_size: int = 128) -> Anatomy:
    """Read a mask: depth to convergence, classes, height, width, covers, reciprocity, blocks and intervals.

    Parameters
    ----------
    mask : Mask
    layers : int, optional
        Also count what so many layers carry.
    block_size : int
        Rows and columns of a block.

    Raises
    ------
    InvalidInstance
        If the number of layers or the block size is not positive.

    Examples
    --------
    The merged butterfly on four tokens: two chains, and a prediction between them for every token.

    >>> import masksynth as ms
    >>> found = anatomy(ms.solve(ms.catalog.butterfly(n=4)).merged.mask)
    >>> found.depth, found.height, found.width, found.hasse_edges, found.reciprocity
    (1, 4, 4, 10, 0.0)
    """
    skipped: dict[str, str] = {}
    attempt = partial(_attempt, skipped)
    limit: Convergence | None = attempt(
        ("depth", "flow_pairs", "classes", "height", "width", "hasse_edges"), lambda: convergence(mask)
    )
    diagram: Hasse | None = (
        attempt(("classes", "height", "width", "hasse_edges"), lambda: hasse(limit.flow)) if limit else None
    )
    after: Mask | None = attempt(("layer_pairs",), lambda: flow_after(mask, layers)) if layers is not None else None
    counts = np.concatenate([row_counts(mask, table) for table in range(mask.tables)])
    itself = np.concatenate([attends_to_self(select_table(mask, table)) for table in range(mask.tables)])
    across = width(diagram) if diagram else None
    return Anatomy(
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
        width=across.value if across else None,
        width_exact=across is not None and across.exact,
        width_by=across.how if across else "",
        hasse_edges=len(diagram.upper) if diagram else None,
        reciprocity=attempt(("reciprocity",), lambda: reciprocity(mask)),
        rows_empty=int((counts == 0).sum()),
        rows_without_self=int(((counts > 0) & ~itself).sum()),
        intervals_mean=float(counts.mean()) if len(counts) else 0.0,
        intervals_most=int(counts.max(initial=0)),
        blocks=attempt(("blocks",), lambda: block_counts(mask, block_size)),
        skipped=skipped,
    )


def reciprocity(mask: Mask) -> float:
    """The share of pairs (q, k), q not k, whose reverse is allowed too; over all tables, and 0 where there are no pairs.

    Raises
    ------
    Unsupported
        If the columns fall into too many intervals and the mask is too large for an array.

    Examples
    --------
    >>> reciprocity(Mask.from_dense(np.array([[0, 1, 0], [1, 0, 0], [1, 0, 0]]) > 0))
    0.6666666666666666
    """
    if is_causal(mask):
        return 0.0
    both = pairs = 0
    for table in range(mask.tables):
        own = diagonal_pairs(mask, table)
        both, pairs = both + mutual_pairs(mask, table) - own, pairs + select_table(mask, table).pairs - own
    return both / pairs if pairs else 0.0


def block_counts(mask: Mask, block_size: int = 128) -> Blocks:
    """How many blocks there are, hold some allowed pair, hold allowed pairs only, or both kinds; over all tables.

    Raises
    ------
    InvalidInstance
        If the block size is not positive.
    Unsupported
        If there are more than ``MOST_BLOCK_ROWS`` rows of blocks.

    Examples
    --------
    >>> block_counts(Mask.from_dense(np.tril(np.ones((4, 4), bool))), 2)
    Blocks(size=2, total=4, kept=3, full=1, partial=2)
    """
    if block_size > 0 and -(-mask.size // block_size) > MOST_BLOCK_ROWS:
        raise Unsupported(f"more than {MOST_BLOCK_ROWS:,} rows of blocks; choose larger blocks")
    found = blocks.block_counts(mask, block_size)
    return Blocks(block_size, found.all, found.full + found.partial, found.full, found.partial)


def _attempt(skipped: dict[str, str], names: tuple[str, ...], compute: Any) -> Any:
    """What a computation gives, or None and the reason under each name."""
    try:
        return compute()
    except Unsupported as error:
        skipped.update(dict.fromkeys(names, str(error)))
        return None
