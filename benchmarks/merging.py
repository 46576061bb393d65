"""Measure merging and checking against the number of task nodes, and a prefix trie on the same sequences."""

from __future__ import annotations

from benchmarks.families import MERGED, prefix_tree, sequences
from benchmarks.measure import alone, exponent, peak_mib, timed
from benchmarks.results import Result, table
from masksynth.merge import merge
from masksynth.solve import count_nodes
from masksynth.verify import verify


def cell(family: str, nodes: int) -> tuple[int, int, float, float, float]:
    """Return (nodes, positions, merge seconds, verify seconds, peak MiB) of one family at one size."""
    instance = MERGED[family](nodes)
    merged, merging = timed(lambda: merge(instance))
    report, checking = timed(lambda: verify(instance, merged))
    return count_nodes(instance.family), report.positions, merging, checking, peak_mib()


def measure_merging(max_size: int) -> Result:
    """Measure each family at 1e3, 1e4, ... up to ``max_size`` nodes, and fit exponents."""
    rows, notes = [], []
    for family in MERGED:
        cells = [alone(cell, family, 10**power) for power in range(3, 7) if 10**power <= max_size]
        for nodes, positions, merging, checking, peak in cells:
            ratio = f"{checking / merging:.2f}"
            rows.append(
                [family, f"{nodes:,}", f"{positions:,}", f"{merging:.3f}", f"{checking:.3f}", ratio, f"{peak:.0f}"]
            )
        if len(cells) > 1:
            slopes = [
                exponent([measured[0] for measured in cells], [measured[column] for measured in cells])
                for column in (2, 3)
            ]
            notes.append(f"{family} {slopes[0]:.2f} (verify {slopes[1]:.2f})")
    head = ["family", "task nodes", "positions", "merge s", "verify s", "verify / merge", "peak MiB"]
    fitted = (f"Fitted exponents of time over task nodes: {', '.join(notes)}.",) if notes else ()
    return Result((table(head, rows),), fitted)


def trie(samples: list[list[int]]) -> tuple[int, list[list[int]]]:
    """Build a prefix trie of dictionaries; return its number of nodes, and the node of each token of each sample."""
    children: dict[tuple[int, int], int] = {}
    paths = []
    for tokens in samples:
        node, path = -1, []
        for token in tokens:
            node = children.setdefault((node, token), len(children))
            path.append(node)
        paths.append(path)
    return len(children), paths


def trie_cell(nodes: int) -> tuple[int, int, float, float]:
    """Return (nodes, positions, trie seconds, merge seconds); the trie gets no last tokens, which predict nothing."""
    samples = [tokens[:-1] for tokens in sequences(nodes, min(500, nodes // 4))]
    instance = prefix_tree(nodes)
    (count, _), plain = timed(lambda: trie(samples))
    merged, merging = timed(lambda: merge(instance))
    if len(merged.positions) != count:
        raise AssertionError(f"the trie has {count} nodes, the merged task {len(merged.positions)} positions")
    return count_nodes(instance.family), count, plain, merging


def measure_trie(max_size: int) -> Result:
    """Measure the trie and the merge on the same sequences."""
    rows = []
    for power in range(3, 7):
        if 10**power <= max_size:
            nodes, count, plain, merging = alone(trie_cell, 10**power)
            rows.append([f"{nodes:,}", f"{count:,}", f"{plain:.4f}", f"{merging:.3f}", f"{merging / plain:.0f}"])
    return Result((table(["task nodes", "positions", "trie s", "merge s", "merge / trie"], rows),))
