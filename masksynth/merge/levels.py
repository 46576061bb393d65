"""Colours by level, and the level to which each node is demanded (defined in `masksynth.merge.finite_depth`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from masksynth.mask.equal_values import factorize
from masksynth.merge.disjoint_union import Rows, Union
from masksynth.merge.refine import colour_multiset


@dataclass(frozen=True)
class Levels:
    """Colours of each level, and how deep each node is demanded.

    Parameters
    ----------
    colour : list of L + 1 int lists
        ``colour[l][u]``; once colours are stable, all further levels are the same list object.
    deepest : list of int
        The deepest demanded level of each node, -1 if none.
    """

    colour: list[list[int]]
    deepest: list[int]


def refine_by_level(identity: Sequence[int], rows: Rows, layers: int) -> list[list[int]]:
    """Return the colours of levels 0 .. L.

    Parameters
    ----------
    identity : sequence of n ints
        Identity code of each node.
    rows : Rows
        Not compressed.
    layers : int
        L.

    Examples
    --------
    >>> rows = Rows([[0], [0, 1], [2], [2, 3]], [[0, 1, 2, 3]], [])
    >>> refine_by_level([0, 1, 2, 1], rows, 2)
    [[0, 1, 2, 1], [0, 1, 2, 3], [0, 1, 2, 3]]
    """
    pattern = len(rows.refs)
    levels = [factorize(identity)]
    unchanged = 0  # layers in a row that split no class; after a full pattern none will
    for layer in range(layers):
        last = levels[-1]
        if unchanged < pattern:
            row_colour = factorize(colour_multiset(row, last) for row in rows.rows)
            table = rows.refs[layer % pattern]
            level = factorize((colour, row_colour[row]) for colour, row in zip(last, table, strict=True))
            unchanged = unchanged + 1 if level == last else 0
            levels.append(level)
        else:
            levels.append(last)
    return levels


def find_demanded_levels(predicting: Sequence[int], rows: Rows, count: int, layers: int) -> list[int]:
    """Return the deepest level demanded of each node, -1 for none.

    Parameters
    ----------
    predicting : sequence of int
        Nodes with a prediction: level L is demanded of them.
    rows : Rows
        Not compressed.
    count, layers : int
        Number of nodes, and of layers.

    Examples
    --------
    >>> find_demanded_levels([1], Rows([[0], [0, 1]], [[0, 1]], []), 2, 3)
    [2, 3]
    """
    pattern = len(rows.refs)
    deepest = [-1] * count
    newly_demanded: dict[int, list[int]] = {}

    def demand(node: int, level: int) -> None:
        if deepest[node] < level:
            deepest[node] = level
            newly_demanded.setdefault(level, []).append(node)

    for node in predicting:
        demand(node, layers)
    # a node first reads a table in one of the P layers up to its deepest level; further reads demand nothing new
    first_reads: dict[int, list[int]] = {}
    for level in range(layers, 0, -1):
        table = (level - 1) % pattern
        for node in newly_demanded.get(level, ()):
            if deepest[node] == level:
                for later in range(min(pattern, level)):
                    first_reads.setdefault(level - later, []).append(node)
        for node in first_reads.pop(level, ()):
            for key in rows.rows[rows.refs[table][node]]:
                demand(key, level - 1)
    return deepest


def compute_levels(union: Union, rows: Rows, layers: int) -> Levels:
    """Return colours and demands of a family's live nodes for L layers."""
    names = [{prediction.node for prediction in task.predict} for task in union.family.tasks]
    predicting = [live for live, task in enumerate(union.task) if union.task_and_node(live)[1].name in names[task]]
    colour = refine_by_level(union.identity, rows, layers)
    return Levels(colour, find_demanded_levels(predicting, rows, len(union.task), layers))


def drop_equivalent_layers(levels: Levels, layers: int, pattern: int) -> tuple[Levels, int]:
    """Return levels of fewer layers that have the same merged task, and their number.

    If colours are stable from level s on and every demand is within d levels of the top, then beyond s + d layers every
    demanded colour is stable, and 2 P more let every table be read there; from then on only the depth modulo P matters.
    """
    stable = next(level for level, colour in enumerate(levels.colour) if colour is levels.colour[-1])
    farthest = max((layers - deepest for deepest in levels.deepest if deepest >= 0), default=0)
    enough = stable + farthest + 2 * pattern
    fewer = layers if layers <= enough else enough + (layers - enough) % pattern
    shifted = [deepest - (layers - fewer) if deepest >= 0 else -1 for deepest in levels.deepest]
    return Levels(levels.colour[: fewer + 1], shifted), fewer


def effective_layers(layers: int, nodes: int, pattern: int) -> int:
    """Return a depth with the same merged task as ``layers``, bounded by the size of the family.

    Colours are stable after at most P n layers and demands have reached every live node after at most P n more, so
    depths beyond 2 P n + P that agree modulo P have the same merged task.

    Parameters
    ----------
    layers : int
        L.
    nodes : int
        n, the number of live nodes.
    pattern : int
        P, the number of tables.

    Examples
    --------
    >>> effective_layers(10**6, 3, 2), effective_layers(5, 3, 2)
    (14, 5)
    """
    bound = 2 * pattern * nodes + pattern
    return layers if layers <= bound else bound + (layers - bound) % pattern
