"""Merging for a model of L layers: equality up to depth L suffices, so more nodes meet.

Colours by level: colour_0 = identity and colour_l(u) = (colour_{l-1}(u), multiset of colour_{l-1} over u's row in table (l-1) mod P).
Level (L, p) is demanded of every predicting p; (l, u) demands (l-1, u) and (l-1, k) for the keys k that u reads in layer l. With m_l(c) =
max(1, most keys of colour c in a demanded row read at layer l + 1),

    need(L, c) = 1,   need(l, c) = max(m_l(c), sum of need(l + 1, c') over demanded colours c' that refine c),

and the least number of positions is the sum of need(0, c). It is reached by *slots*: the slots of a colour contain those of its
refinements; what m_l(c) asks beyond them are extra slots, whose deepest colour is c.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from masksynth.mask import Mask
from masksynth.merge.build import assemble, joined
from masksynth.merge.disjoint_union import Rows, Union
from masksynth.merge.refine import multiset, numbered
from masksynth.tasks import MergedTask, Question


@dataclass(frozen=True)
class Levels:
    """Colours level by level and how deep each node is demanded.

    Parameters
    ----------
    colour : list of L + 1 int lists
        ``colour[l][u]``; levels after the colours are stable repeat the last list.
    deepest : list of int
        The deepest demanded level of each node, -1 if none.
    """

    colour: list[list[int]]
    deepest: list[int]


def colour_levels(identity: Sequence[int], rows: Rows, layers: int) -> list[list[int]]:
    """Colours of levels 0 .. L.

    Examples
    --------
    >>> rows = Rows([[0], [0, 1], [2], [2, 3]], [[0, 1, 2, 3]], [])
    >>> colour_levels([0, 1, 2, 1], rows, 2)
    [[0, 1, 2, 1], [0, 1, 2, 3], [0, 1, 2, 3]]
    """
    pattern = len(rows.refs)
    levels = [numbered(identity)]
    unchanged = 0
    for layer in range(layers):
        last = levels[-1]
        if unchanged < pattern:
            seen = numbered(multiset(row, last) for row in rows.rows)
            level = numbered((own, seen[row]) for own, row in zip(last, rows.refs[layer % pattern], strict=True))
            unchanged = unchanged + 1 if level == last else 0
            levels.append(level)
        else:
            levels.append(last)
    return levels


def demand(predicting: Sequence[int], rows: Rows, count: int, layers: int) -> list[int]:
    """The deepest level demanded of each node; -1 where none is.

    Examples
    --------
    >>> demand([1], Rows([[0], [0, 1]], [[0, 1]], []), 2, 3)
    [2, 3]
    """
    pattern = len(rows.refs)
    deepest = [-1] * count
    arriving: dict[int, list[int]] = {}

    def reach(node: int, level: int) -> None:
        if deepest[node] < level:
            deepest[node] = level
            arriving.setdefault(level, []).append(node)

    for node in predicting:
        reach(node, layers)
    first_reads: dict[int, list[int]] = {}
    for level in range(layers, 0, -1):
        table = (level - 1) % pattern
        for node in arriving.get(level, ()):
            if deepest[node] == level:
                for later in range(min(pattern, level)):
                    first_reads.setdefault(level - later, []).append(node)
        for node in first_reads.pop(level, ()):
            for key in rows.rows[rows.refs[table][node]]:
                reach(key, level - 1)
    return deepest


def levels_of(union: Union, rows: Rows, layers: int) -> Levels:
    """Colours and demands of a family's live nodes for L layers."""
    names = [{prediction.node for prediction in task.predict} for task in union.family.tasks]
    predicting = [live for live, task in enumerate(union.task) if union.at(live)[1].name in names[task]]
    return Levels(colour_levels(union.identity, rows, layers), demand(predicting, rows, len(union.task), layers))


@dataclass(frozen=True)
class Slots:
    """``of[l][c]``: positions whose colour at level l is c, the slots of refinements before the extra ones.

    ``deepest[q]``, ``node[q]``: deepest level of position q and a node demanded there with q's colour.
    """

    of: list[dict[int, list[int]]]
    deepest: list[int]
    node: list[int]


def multiplicities(levels: Levels, rows: Rows, level: int, demanded: Sequence[int]) -> dict[int, int]:
    """m_l(c): most keys of colour c in one row that a node ``demanded`` at level l + 1 reads."""
    most: dict[int, int] = {}
    colour = levels.colour[level]
    for row in {rows.refs[level % len(rows.refs)][node] for node in demanded}:
        for own, count in Counter([colour[key] for key in rows.rows[row]]).items():
            most[own] = max(most.get(own, 1), count)
    return most


def allot(levels: Levels, rows: Rows, layers: int) -> Slots:
    """Slots of every demanded colour at every level, from the deepest level up; extra slots are positions of their own."""
    at_least: list[int] = sorted(
        (live for live, deep in enumerate(levels.deepest) if deep >= 0), key=lambda u: -levels.deepest[u]
    )
    deepest: list[int] = []
    node: list[int] = []
    of: list[dict[int, list[int]]] = [{} for _ in range(layers + 1)]
    cut = 0
    for level in range(layers, -1, -1):
        reading = at_least[:cut]
        while cut < len(at_least) and levels.deepest[at_least[cut]] >= level:
            cut += 1
        colour = levels.colour[level]
        slots: dict[int, list[int]] = {}
        first: dict[int, int] = {}
        for live in at_least[:cut]:
            first[colour[live]] = min(live, first.get(colour[live], live))
        if level < layers:
            finer = levels.colour[level + 1]
            parent = {finer[live]: colour[live] for live in reading}
            for own, part in of[level + 1].items():
                slots.setdefault(parent[own], []).extend(part)
        most = multiplicities(levels, rows, level, reading) if level < layers else {}
        for own in sorted(first, key=first.__getitem__):
            held = slots.setdefault(own, [])
            for _ in range(max(1, most.get(own, 1)) - len(held)):
                held.append(len(node))
                node.append(first[own])
                deepest.append(level)
        of[level] = slots
    return Slots(of, deepest, node)


def _renumbered(slots: Slots) -> Slots:
    """Positions in the order of their nodes, deeper before shallower."""
    order = sorted(range(len(slots.node)), key=lambda q: (slots.node[q], -slots.deepest[q], q))
    new = {old: number for number, old in enumerate(order)}
    of = [{own: sorted(new[q] for q in part) for own, part in level.items()} for level in slots.of]
    return Slots(of, [slots.deepest[q] for q in order], [slots.node[q] for q in order])


def _row(position: int, table: int, levels: Levels, rows: Rows, slots: Slots) -> list[int]:
    """Keys of a position in a table: for each key of its node a slot of the key's colour at the deepest level read, itself before all."""
    pattern, deep = len(rows.refs), slots.deepest[position]
    layer = deep - (deep - 1 - table) % pattern
    if deep < 1 or layer < 1:
        return [position]
    counts = Counter([levels.colour[layer - 1][key] for key in rows.rows[rows.refs[table][slots.node[position]]]])
    keys: list[int] = []
    for own, count in counts.items():
        part = slots.of[layer - 1][own]
        chosen = part[:count]
        if position in part and position not in chosen:
            chosen = [*part[: count - 1], position]
        keys += chosen
    return keys


def _cut(levels: Levels, layers: int, pattern: int) -> tuple[Levels, int]:
    """Fewer layers with the same answer.

    If colours are stable from level s on and every demand lies within d levels of the top, then beyond s + d layers every demanded colour
    is stable, and 2 P more let every table be read there; only the depth modulo P matters from then on.
    """
    stable = next(level for level, colour in enumerate(levels.colour) if colour is levels.colour[-1])
    age = max((layers - deep for deep in levels.deepest if deep >= 0), default=0)
    enough = stable + age + 2 * pattern
    fewer = layers if layers <= enough else enough + (layers - enough) % pattern
    return Levels(
        levels.colour[: fewer + 1], [deep - (layers - fewer) if deep >= 0 else -1 for deep in levels.deepest]
    ), fewer


def effective_layers(layers: int, nodes: int, pattern: int) -> int:
    """A depth with the same answer as ``layers``, bounded by the family.

    Colours are stable after at most P n layers and demands have reached every live node after at most P n more, so depths beyond
    2 P n + P that agree modulo P ask for the same merged task.

    Examples
    --------
    >>> effective_layers(10**6, 3, 2), effective_layers(5, 3, 2)
    (14, 5)
    """
    bound = 2 * pattern * nodes + pattern
    return layers if layers <= bound else bound + (layers - bound) % pattern


def merge_layers(union: Union, rows: Rows, layers: int, question: Question) -> MergedTask:
    """The minimal merged task for L layers; ``rows`` must be written out (not compressed)."""
    layers = effective_layers(layers, len(union.task), len(rows.refs))
    levels, layers = _cut(levels_of(union, rows, layers), layers, len(rows.refs))
    slots = _renumbered(allot(levels, rows, layers))
    size = range(len(slots.node))
    tables = [
        [joined((key, key + 1) for key in _row(q, table, levels, rows, slots)) for q in size]
        for table in range(len(rows.refs))
    ]
    mask = Mask.from_intervals(tables)
    return assemble(union, slots.node, mask, _lowest(union, rows, levels.deepest, slots.node, mask, layers), question)


def _lowest(
    union: Union, rows: Rows, deepest: Sequence[int], node: Sequence[int], mask: Mask, layers: int
) -> list[int]:
    """For each node the lowest position with its colour at its deepest demanded level, colours being taken over tasks and mask together.

    A position may by chance have a colour beyond the level that it was made for, so the slots alone do not tell.
    """
    count = len(union.task)
    written, refs = list(rows.rows), []
    for table, places in enumerate(rows.refs):
        refs.append([*places, *range(len(written), len(written) + mask.size)])
        written += [[count + key for key in mask.row(q, table).tolist()] for q in range(mask.size)]
    colour = colour_levels([*union.identity, *(union.identity[u] for u in node)], Rows(written, refs, []), layers)
    lowest: list[dict[int, int]] = []
    for level, last in zip(colour, [[], *colour], strict=False):
        lowest.append(lowest[-1] if level is last else {level[count + q]: q for q in range(mask.size - 1, -1, -1)})
    return [lowest[deep][colour[deep][live]] if deep >= 0 else -1 for live, deep in enumerate(deepest)]
