"""Merge time against the number of task nodes, the checker beside it, and a plain prefix trie over the same sequences."""

from __future__ import annotations

from benchmarks.families import MERGED, prefix_tree, sequences
from benchmarks.measure import alone, exponent, peak_mib, table, timed
from masksynth.merge import merge
from masksynth.solve import count_nodes
from masksynth.verify import verify


def cell(family: str, nodes: int) -> tuple[int, int, float, float, float]:
    """(nodes, positions, merge seconds, verify seconds, peak MiB) of one family at one size."""
    instance = MERGED[family](nodes)
    merged, merging = timed(lambda: merge(instance))
    report, checking = timed(lambda: verify(instance, merged))
    return count_nodes(instance.family), report.positions, merging, checking, peak_mib()


def merge_table(most: int) -> str:
    """Every family at 1e3, 1e4, ... up to ``most`` nodes, and the fitted exponents."""
    rows, notes = [], []
    for family in MERGED:
        cells = [alone(cell, family, 10**power) for power in range(3, 7) if 10**power <= most]
        for nodes, positions, merging, checking, peak in cells:
            ratio = f"{checking / merging:.2f}"
            rows.append(
                [family, f"{nodes:,}", f"{positions:,}", f"{merging:.3f}", f"{checking:.3f}", ratio, f"{peak:.0f}"]
            )
        if len(cells) > 1:
            slopes = [exponent([one[0] for one in cells], [one[column] for one in cells]) for column in (2, 3)]
            notes.append(f"{family} {slopes[0]:.2f} (verify {slopes[1]:.2f})")
    head = ["family", "task nodes", "positions", "merge s", "verify s", "verify / merge", "peak MiB"]
    fitted = f"\n\nFitted exponents of time over task nodes: {', '.join(notes)}." if notes else ""
    return table(head, rows) + fitted


def trie(samples: list[list[int]]) -> tuple[int, list[list[int]]]:
    """A prefix trie as anybody would write it: the number of nodes, and the node of every token of every sample."""
    children: dict[tuple[int, int], int] = {}
    places = []
    for tokens in samples:
        at, path = -1, []
        for token in tokens:
            at = children.setdefault((at, token), len(children))
            path.append(at)
        places.append(path)
    return len(children), places


def trie_cell(nodes: int) -> tuple[int, int, float, float]:
    """(nodes, positions, trie seconds, merge seconds); the trie gets the samples without their last tokens, which predict nothing."""
    samples = [tokens[:-1] for tokens in sequences(nodes, min(500, nodes // 4))]
    instance = prefix_tree(nodes)
    (count, _), plain = timed(lambda: trie(samples))
    merged, merging = timed(lambda: merge(instance))
    if len(merged.positions) != count:
        raise AssertionError(f"the trie has {count} nodes, the merged task {len(merged.positions)} positions")
    return count_nodes(instance.family), count, plain, merging


def trie_table(most: int) -> str:
    """The trie and the merge on the same sequences."""
    rows = []
    for power in range(3, 7):
        if 10**power <= most:
            nodes, count, plain, merging = alone(trie_cell, 10**power)
            rows.append([f"{nodes:,}", f"{count:,}", f"{plain:.4f}", f"{merging:.3f}", f"{merging / plain:.0f}"])
    return table(["task nodes", "positions", "trie s", "merge s", "merge / trie"], rows)
