"""Merging for a model of L layers: equality up to depth L suffices, so more nodes merge.

Colours by level: colour_0 = identity and colour_l(u) = (colour_{l-1}(u), multiset of colour_{l-1} over u's row in table
(l-1) mod P). Level (L, p) is demanded of every predicting p; (l, u) demands (l-1, u) and (l-1, k) for the keys k that u
reads in layer l. With m_l(c) = max(1, most keys of colour c in a demanded row read at layer l + 1),

    need(L, c) = 1,   need(l, c) = max(m_l(c), sum of need(l + 1, c') over demanded colours c' that refine c),

and the least number of positions is the sum of need(0, c). It is attained with *slots*: the slots of a colour contain
those of its refinements; if m_l(c) exceeds their number, the rest are extra slots, whose deepest colour is c.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from masksynth.mask import Mask
from masksynth.merge.build import assemble
from masksynth.merge.class_mask import coalesce_ranges
from masksynth.merge.disjoint_union import Rows, Union
from masksynth.merge.levels import Levels, compute_levels, drop_equivalent_layers, effective_layers, refine_by_level
from masksynth.tasks import MergedTask, Question


@dataclass(frozen=True)
class Slots:
    """Positions of each colour at each level.

    Parameters
    ----------
    of : list of L + 1 dicts of int to list of int
        ``of[l][c]``: positions whose colour at level l is c, those of refinements before the extra ones.
    deepest, node : list of int
        For each position its deepest level, and a node demanded at that level with the position's colour.
    """

    of: list[dict[int, list[int]]]
    deepest: list[int]
    node: list[int]


def count_multiplicities(levels: Levels, rows: Rows, level: int, demanded: Sequence[int]) -> dict[int, int]:
    """Return m_l(c): the most keys of colour c in one row that a node demanded at level l + 1 reads.

    Parameters
    ----------
    levels : Levels
    rows : Rows
    level : int
        l.
    demanded : sequence of int
        Nodes demanded at level l + 1.
    """
    most: dict[int, int] = {}
    colour = levels.colour[level]
    for row in {rows.refs[level % len(rows.refs)][node] for node in demanded}:
        for number, count in Counter([colour[key] for key in rows.rows[row]]).items():
            most[number] = max(most.get(number, 1), count)
    return most


def allocate_slots(levels: Levels, rows: Rows, layers: int) -> Slots:
    """Allocate the positions of each demanded colour at each level, from the deepest level up."""
    by_depth: list[int] = sorted(
        (live for live, deepest in enumerate(levels.deepest) if deepest >= 0), key=lambda live: -levels.deepest[live]
    )
    slots = Slots([{} for _ in range(layers + 1)], [], [])
    demanded = 0  # number of nodes demanded at this level or deeper: a prefix of by_depth
    for level in range(layers, -1, -1):
        deeper = by_depth[:demanded]
        while demanded < len(by_depth) and levels.deepest[by_depth[demanded]] >= level:
            demanded += 1
        colour = levels.colour[level]
        first: dict[int, int] = {}  # lowest demanded node of each colour
        for live in by_depth[:demanded]:
            first[colour[live]] = min(live, first.get(colour[live], live))
        positions_of: dict[int, list[int]] = {}
        most: dict[int, int] = {}
        if level < layers:
            coarser = {levels.colour[level + 1][live]: colour[live] for live in deeper}
            for number, positions in slots.of[level + 1].items():
                positions_of.setdefault(coarser[number], []).extend(positions)
            most = count_multiplicities(levels, rows, level, deeper)
        for number in sorted(first, key=first.__getitem__):
            positions = positions_of.setdefault(number, [])
            for _ in range(max(1, most.get(number, 1)) - len(positions)):
                positions.append(len(slots.node))
                slots.node.append(first[number])
                slots.deepest.append(level)
        slots.of[level] = positions_of
    return slots


def _sort_slots(slots: Slots) -> Slots:
    """Renumber positions in the order of their nodes, deeper before shallower."""
    order = sorted(range(len(slots.node)), key=lambda q: (slots.node[q], -slots.deepest[q], q))
    new = {old: number for number, old in enumerate(order)}
    of = [
        {number: sorted(new[position] for position in positions) for number, positions in level.items()}
        for level in slots.of
    ]
    return Slots(of, [slots.deepest[q] for q in order], [slots.node[q] for q in order])


def _build_row(position: int, table: int, levels: Levels, rows: Rows, slots: Slots) -> list[int]:
    """Return the keys of a position in a table.

    For each key of its node: a slot of the key's colour at the deepest level at which the table is read, the position
    itself if it is one of them.
    """
    pattern, deepest = len(rows.refs), slots.deepest[position]
    layer = deepest - (deepest - 1 - table) % pattern  # the deepest layer up to ``deepest`` that reads this table
    if deepest < 1 or layer < 1:
        return [position]
    counts = Counter([levels.colour[layer - 1][key] for key in rows.rows[rows.refs[table][slots.node[position]]]])
    keys: list[int] = []
    for number, count in counts.items():
        candidates = slots.of[layer - 1][number]
        chosen = candidates[:count]
        if position in candidates and position not in chosen:
            chosen = [*candidates[: count - 1], position]
        keys += chosen
    return keys


def merge_layers(union: Union, rows: Rows, layers: int, question: Question) -> MergedTask:
    """Return the minimal merged task for L layers; ``rows`` must not be compressed."""
    layers = effective_layers(layers, len(union.task), len(rows.refs))
    levels, layers = drop_equivalent_layers(compute_levels(union, rows, layers), layers, len(rows.refs))
    slots = _sort_slots(allocate_slots(levels, rows, layers))
    tables = [
        [
            coalesce_ranges((key, key + 1) for key in _build_row(position, table, levels, rows, slots))
            for position in range(len(slots.node))
        ]
        for table in range(len(rows.refs))
    ]
    mask = Mask.from_intervals(tables)
    position_of_node = _find_lowest_positions(union, rows, levels.deepest, slots.node, mask, layers)
    return assemble(union, slots.node, mask, position_of_node, question)


def _find_lowest_positions(
    union: Union, rows: Rows, deepest: Sequence[int], node_of_position: Sequence[int], mask: Mask, layers: int
) -> list[int]:
    """Return for each node the lowest position with its colour at its deepest demanded level, -1 if none is demanded.

    Colours are computed for tasks and mask together, since a position may happen to have the right colour beyond the
    level that its slot was allocated for.
    """
    count = len(union.task)
    all_rows, refs = list(rows.rows), []
    for table, read in enumerate(rows.refs):
        refs.append([*read, *range(len(all_rows), len(all_rows) + mask.size)])
        all_rows += [[count + key for key in mask.row(query, table).tolist()] for query in range(mask.size)]
    identity = [*union.identity, *(union.identity[node] for node in node_of_position)]
    colour = refine_by_level(identity, Rows(all_rows, refs, []), layers)
    lowest: list[dict[int, int]] = []  # for each level the lowest position of each colour
    for level, previous in zip(colour, [[], *colour], strict=False):
        if level is previous:
            lowest.append(lowest[-1])
        else:
            lowest.append({level[count + position]: position for position in range(mask.size - 1, -1, -1)})
    return [lowest[level][colour[level][live]] if level >= 0 else -1 for live, level in enumerate(deepest)]
