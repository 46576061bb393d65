"""Sets that the elements of contracts suggest as gates: prefixes, blocks, lines, products, subtrees, intersections.

The search tries them as gates; which ones it keeps depends on the contracts. Sets are integers, bit e for element e.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, product

from masksynth.contracts import Contracts
from masksynth.discover.circuit import Wants, members, wants_of

LARGEST = 4_000
"""Number of sets of one kind up to which they are suggested."""


def suggest_sets(contracts: Contracts) -> dict[str, list[int]]:
    """Return kinds of sets by name; each set lies in what two targets or more may see, and has two elements or more."""
    wants = wants_of(contracts)
    kinds = {
        "prefixes and suffixes": _prefixes(range(wants.elements)),
        "blocks and complements": _dyadic(range(wants.elements)),
        "sparse table": _powers(range(wants.elements)),
        "windows": _block_prefixes(wants),
        "intersections": _intersections(wants),
        **_kinds_of_space(contracts),
    }
    useful = {name: list(dict.fromkeys(filter(_is_useful(wants), sets))) for name, sets in kinds.items()}
    return {name: sets for name, sets in useful.items() if 0 < len(sets) <= LARGEST}


def _is_useful(wants: Wants):  # type: ignore[no-untyped-def]
    forbidden = [~allowed for allowed in wants.allowed]

    def is_useful(bits: int) -> bool:
        return bits.bit_count() > 1 and sum(1 for row in forbidden if not bits & row) > 1

    return is_useful


def _bits(elements: Iterable[int]) -> int:
    joined = 0
    for element in elements:
        joined |= 1 << element
    return joined


def _prefixes(order: Iterable[int]) -> Iterator[int]:
    """Yield the prefixes and the suffixes of an order."""
    elements = list(order)
    for end in range(2, len(elements) + 1):
        yield _bits(elements[:end])
        yield _bits(elements[-end:])


def _dyadic(order: Iterable[int]) -> Iterator[int]:
    """Yield the blocks of a balanced binary tree, and their complements."""
    elements = list(order)
    everything, waiting = _bits(elements), [elements]
    for block in waiting:
        yield _bits(block)
        yield everything & ~_bits(block)
        if len(block) > 1:
            waiting += [block[: (len(block) + 1) // 2], block[(len(block) + 1) // 2 :]]


def _powers(order: Iterable[int]) -> Iterator[int]:
    """Yield the windows of 2, 4, 8, .. consecutive elements: a sparse table."""
    elements, length = list(order), 2
    while length <= len(elements):
        for start in range(len(elements) - length + 1):
            yield _bits(elements[start : start + length])
        length *= 2


def _block_prefixes(wants: Wants) -> Iterator[int]:
    """Yield prefixes and suffixes of blocks as long as the needs, where these are windows (van Herk, Gil, Werman)."""
    lengths = {need.bit_count() for need in wants.need if _is_window(need)}
    for length in sorted(lengths)[:8]:
        for start in range(0, wants.elements, max(1, length)):
            block = range(start, min(start + length, wants.elements))
            yield from _prefixes(block)


def _is_window(bits: int) -> bool:
    """Return whether a set is a run of consecutive elements."""
    return bits > 0 and (bits + (bits & -bits)) & bits == 0


def _intersections(wants: Wants) -> Iterator[int]:
    """Yield the intersections of what two targets may see."""
    if len(wants.allowed) <= 90:
        for first, second in combinations(range(len(wants.allowed)), 2):
            yield (wants.need[first] | wants.need[second]) & wants.allowed[first] & wants.allowed[second]


def _kinds_of_space(contracts: Contracts) -> dict[str, Iterable[int]]:
    space = contracts.elements.space
    if "grid" in space and len(space["grid"]) == 2:
        rows, columns = space["grid"]
        return _kinds_of_grid(rows, columns)
    if "tree" in space:
        return {"subtrees and complements": _subtrees(space["tree"])}
    return {}


def _kinds_of_grid(rows: int, columns: int) -> dict[str, Iterable[int]]:
    """Return the kinds of sets of a grid, whose cell (r, c) is element r x columns + c."""

    def cells(row: int, column: int) -> int:
        return _bits(r * columns + c for r in members(row) for c in members(column))

    every_row, every_column = (1 << rows) - 1, (1 << columns) - 1
    halves = [cells(row, every_column) for row in _prefixes(range(rows))]
    halves += [cells(every_row, column) for column in _prefixes(range(columns))]
    lines = [cells(1 << row, column) for row in range(rows) for column in _prefixes(range(columns))]
    lines += [cells(row, 1 << column) for column in range(columns) for row in _prefixes(range(rows))]
    parts = [[1 << index for index in range(length)] + list(_dyadic(range(length))) for length in (rows, columns)]
    small = [
        cells(((1 << height) - 1) << row, ((1 << width) - 1) << column)
        for height, width in product(range(1, 4), repeat=2)
        for row in range(rows - height + 1)
        for column in range(columns - width + 1)
    ]
    gapped = [cells(5 << row, 1 << column) for row in range(rows - 2) for column in range(columns)]
    gapped += [cells(1 << row, 5 << column) for row in range(rows) for column in range(columns - 2)]
    return {
        "half-planes": [*halves, *(bits for bits in lines)],
        "products of trees": [cells(row, column) for row, column in product(*parts)],
        "small rectangles": [*small, *gapped],
    }


def _subtrees(parents: list[int | None]) -> Iterator[int]:
    """Yield the subtrees of a rooted tree, and their complements."""
    count = len(parents)
    below = [1 << node for node in range(count)]
    depth = [0] * count
    for node in range(count):
        above = parents[node]
        while above is not None:
            depth[node] += 1
            above = parents[above]
    for node in sorted(range(count), key=depth.__getitem__, reverse=True):
        parent = parents[node]
        if parent is not None:
            below[parent] |= below[node]
    for bits in below:
        yield bits
        yield (1 << count) - 1 & ~bits
