"""Compare orders of positions (given, reverse Cuthill-McKee, depth-first, arranged) with the bound and the optimum."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import alone, metered_here
from benchmarks.results import Result, table
from masksynth import catalog
from masksynth.arrange import Arrangement, arrange, counts, permuted
from masksynth.arrange.forest import build_forest, find_forest
from masksynth.arrange.order_bounds import bound_by_sizes
from masksynth.arrange.order_cost import column_sizes, row_sizes
from masksynth.backends import Limits
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.tasks import Instance

ROOT = Path(__file__).parents[1]
FILES = ("gsm8k_rollouts", "preference_pairs", "reasoning_calls")
BATCH = 32_768
SEARCHED = 320
"""Largest number of positions for which the exact search is run."""

TOTALS = (
    *("file", "batches", "positions", "given", "depth-first", "arranged"),
    *("bound by sizes", "bound", "arranged above bound, %", "CPU s"),
)

FAMILIES: dict[str, tuple[Callable[[], Instance], int]] = {
    "butterfly": (lambda: catalog.butterfly(n=86), 32),
    "block_two_stream": (lambda: catalog.block_two_stream(n=128, l=8), 32),
    "xlnet_two_stream": (lambda: catalog.xlnet_two_stream(n=128, T=64), 32),
    "bd3lm": (lambda: catalog.bd3lm(n=128, l=8), 32),
    "complementary_bd": (lambda: catalog.complementary_bd(n=96, l=8), 32),
    "mask_token_chain": (lambda: catalog.mask_token_chain(n=80, K=4), 32),
    "multiturn_reasoning": (
        lambda: catalog.multiturn_reasoning(turns=((9, 31, 14), (12, 40, 11), (7, 22, 17), (10, 25, 20))),
        16,
    ),
    "parallel_context": (
        lambda: catalog.parallel_context(
            docs=(40, 25, 33, 50), questions=(11, 9, 14, 8, 12), uses=((0, 1), (1, 2), (0, 3), (2, 3), (0, 1, 2, 3))
        ),
        32,
    ),
    "transfusion": (lambda: catalog.transfusion(segments=(20, 30, 25, 30, 18, 30, 21)), 16),
    "var_scales": (lambda: catalog.var_scales(patch_nums=(1, 2, 3, 4, 5, 6, 8)), 16),
    "tabpfn": (lambda: catalog.tabpfn(n=90, m=150), 32),
    "tnp_a": (lambda: catalog.tnp_a(n=130, m=50), 32),
    "local_global": (lambda: catalog.local_global(n=128, w=8, d=4), 16),
    "sliding_window": (lambda: catalog.sliding_window(n=160, w=12), 16),
    "butterfly, large": (lambda: catalog.butterfly(n=684), 128),
    "bd3lm, large": (lambda: catalog.bd3lm(n=1024, l=16), 128),
    "tnp_a, large": (lambda: catalog.tnp_a(n=320, m=100), 64),
    "multiturn_reasoning, large": (
        lambda: catalog.multiturn_reasoning(turns=((60, 300, 90), (80, 420, 120), (40, 250, 150), (90, 380, 70))),
        128,
    ),
    "parallel_context, large": (
        lambda: catalog.parallel_context(
            docs=(400, 250, 330, 500), questions=(110, 90, 140, 80), uses=((0, 1), (1, 2), (0, 3), (2, 3))
        ),
        128,
    ),
    "butterfly, small": (lambda: catalog.butterfly(n=12), 8),
    "parallel_context, small": (
        lambda: catalog.parallel_context(docs=(7, 5, 6), questions=(4, 5, 4), uses=((0, 1), (1, 2), (0, 2))),
        6,
    ),
    "mask_token_chain, small": (lambda: catalog.mask_token_chain(n=12, K=4), 8),
    "sliding_window, small": (lambda: catalog.sliding_window(n=33, w=4), 8),
    "local_global, small": (lambda: catalog.local_global(n=25, w=3, d=2), 6),
}
"""Name -> (function that builds the instance, block size)."""


def prefix_trees(file: Path, max_positions: int = BATCH) -> Iterator[Mask]:
    """Yield prefix trees of the groups of a file, in order, as many groups as fit into ``max_positions``."""
    parent: list[int] = []
    with gzip.open(file, "rt") as lines:
        for _, group in groupby(map(json.loads, lines), key=lambda sample: sample["group"]):
            tree = _prefix_tree([sample["input_ids"] for sample in group])
            if parent and len(parent) + len(tree) > max_positions:
                yield _tree_mask(parent)
                parent = []
            parent += [node + len(parent) if node >= 0 else -1 for node in tree]
    if parent:
        yield _tree_mask(parent)


def _prefix_tree(samples: list[list[int]]) -> list[int]:
    parent: list[int] = []
    children: dict[tuple[int, int], int] = {}
    for tokens in samples:
        node = -1
        for token in tokens:
            if (node, token) not in children:
                children[node, token] = len(parent)
                parent.append(node)
            node = children[node, token]
    return parent


def _tree_mask(parent: list[int]) -> Mask:
    rows: list[tuple[tuple[int, int], ...]] = []
    for node, above in enumerate(parent):
        row = rows[above] if above >= 0 else ()
        rows.append((*row[:-1], (row[-1][0], node + 1)) if row and row[-1][1] == node else (*row, (node, node + 1)))
    return Mask.from_intervals([rows])


def reverse_cuthill_mckee(mask: Mask) -> NDArray[np.int64]:
    """Return the order that scipy computes for the union of the tables and its transpose."""
    from scipy.sparse import csgraph, csr_matrix

    lengths = (mask.key_end - mask.key_start).astype(np.int64)
    key = np.arange(int(lengths.sum())) - np.repeat(lengths.cumsum() - lengths - mask.key_start, lengths)
    query = np.repeat(
        np.repeat(np.tile(np.arange(mask.size), mask.tables), np.diff(mask.row_offset, axis=1).ravel()), lengths
    )
    graph = csr_matrix((np.ones(len(key), np.int8), (query, key)), (mask.size, mask.size))
    return csgraph.reverse_cuthill_mckee(graph + graph.T, symmetric_mode=True).astype(np.int64)


def depth_first(mask: Mask) -> NDArray[np.int64] | None:
    """Return the depth-first order of a forest, children as given; None if the mask is not a forest."""
    parent = find_forest(mask)
    if parent is None:
        return None
    trees = build_forest(parent, row_sizes(mask))
    return trees.order(trees.nodes[trees.start[:-1]].astype(np.float64))[0]


def mask_of(name: str, number: int) -> tuple[Mask, int]:
    """Return the mask of a family or of a batch of a file, and its block size."""
    if name in FAMILIES:
        instance, block = FAMILIES[name]
        return merge(instance()).mask, block
    return next(islice(prefix_trees(data_folder() / f"{name}.jsonl.gz"), number, None)), 128


def data_folder() -> Path:
    """Return the folder of the token samples, in the checkout or next to it."""
    return next(
        (path for path in (ROOT / "shared" / "data", ROOT.parent / "shared" / "data") if path.is_dir()),
        ROOT / "shared" / "data",
    )


def cell(name: str, number: int, limit: float) -> list[str]:
    """Measure one row of the table."""
    mask, block = mask_of(name, number)
    arranged, seconds = metered_here(lambda: arrange(mask, block))
    exact = "-"
    if arranged.gap and mask.size <= SEARCHED:
        exact = _format_optimum(arrange(mask, block, exact=True, limits=Limits(limit, workers=2)))
    elif not arranged.gap:
        exact = str(arranged.bound)
    others = [
        _format_counts(counts(permuted(mask, order), block)) if order is not None else "-"
        for order in _other_orders(mask)
    ]
    title = name if name in FAMILIES else f"{name}, batch {number}"
    return [
        title,
        f"{mask.size:,}",
        str(block),
        _format_counts(arranged.given),
        *others,
        _format_counts(arranged.value),
        str(arranged.bound),
        exact,
        f"{seconds:.2f}",
    ]


def file_totals(name: str) -> list[str]:
    """Measure all batches of a file: non-empty blocks of three orders, and bounds with and without trees, in all."""
    batches = list(prefix_trees(data_folder() / f"{name}.jsonl.gz"))
    arranged, seconds = metered_here(lambda: [arrange(mask) for mask in batches])
    first = [counts(permuted(mask, order)).nonempty for mask in batches if (order := depth_first(mask)) is not None]
    value, least = sum(found.value.nonempty for found in arranged), sum(found.bound for found in arranged)
    cells = [
        len(batches),
        sum(mask.size for mask in batches),
        sum(found.given.nonempty for found in arranged),
        sum(first),
        value,
        sum(_bound_without_trees(mask) for mask in batches),
        least,
    ]
    return [name, *(f"{cell:,}" for cell in cells), f"{100 * (value / least - 1):.1f}", f"{seconds:.2f}"]


def _bound_without_trees(mask: Mask, block: int = 128) -> int:
    """Return the bound by the sizes of rows and columns."""
    return max(bound_by_sizes(sizes(mask), block) for sizes in (row_sizes, column_sizes))


def _other_orders(mask: Mask) -> tuple[Any, Any]:
    return reverse_cuthill_mckee(mask), depth_first(mask)


def _format_counts(value: tuple[int, int, int]) -> str:
    return " / ".join(f"{number:,}" for number in value)


def _format_optimum(arrangement: Arrangement) -> str:
    return str(arrangement.bound) if arrangement.gap == 0 else f"{arrangement.bound}..{arrangement.value.nonempty}"


def measure_arranging(max_size: int, limit: float) -> Result:
    """Measure families of the catalogue, and the first two batches of each file of token samples."""
    files = FILES if data_folder().is_dir() and max_size >= BATCH else ()
    cells = [(name, 0) for name in FAMILIES] + [(name, number) for name in files for number in (0, 1)]
    rows = [alone(cell, name, number, limit) for name, number in cells]
    head = ["mask", "N", "B", "given", "reverse Cuthill-McKee", "depth-first", "arranged", "bound", "fewest", "CPU s"]
    note = (
        "Cells of an order: non-empty blocks / partial blocks / row intervals."
        " Fewest: proved, or the interval between bound and value."
    )
    totals = [alone(file_totals, name) for name in files]
    return Result((table(head, rows), table(TOTALS, totals)), (note,))
