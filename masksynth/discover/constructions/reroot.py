"""In-place rerooting: each target from everything outside a node of a tree, in the positions of tokens and blanks.

Upwards the position of the first token of a node collects its elements, U(v). Downwards the blank of the first target
of a node collects their complement, D(v): that of the parent, and U of each sibling. Both change in place, one layer
after another, and each is read while it holds what the reader needs. ``docs/discovery.md`` has the proof.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.discover.constructions.events import Events
from masksynth.discover.constructions.target_trees import Tree
from masksynth.discover.structure import Structure, prune
from masksynth.mask.csr import index_in_row, repeat_index
from masksynth.mask.equal_values import run_starts
from masksynth.mask.typing import BoolArray, Int64Array


@dataclass(frozen=True, eq=False)
class _Plan:
    """Where and when each node is collected.

    Parameters
    ----------
    collector, host : (V,) int64
        Position that holds U(v), and the blank that holds D(v); -1 where no target lies below.
    up, down : (V,) int64
        Layers after which they are complete; 0: before the first.
    is_first : (V,) bool
        Whether a node's collector is that of its parent.
    """

    collector: Int64Array
    host: Int64Array
    up: Int64Array
    down: Int64Array
    is_first: BoolArray


def reroot(tree: Tree, targets: int, layers: int | None = None) -> Structure | None:
    """Return the structure that predicts each target of a tree from all elements outside its node, or None.

    Parameters
    ----------
    tree : Tree
    targets : int
        T; position n + t is the blank of target t, before positions that are not needed are left out.
    layers : int, optional
        L; as many as needed by default. None is returned if they do not suffice.

    Examples
    --------
    Three tokens, each from the two others:

    >>> tree = Tree(np.array([-1, 0, 0, 0]), np.array([-1, 0, 1, 2]), np.array([-1, 0, 1, 2]))
    >>> structure = reroot(tree, 3)
    >>> structure.size, [len(reads.query) for reads in structure.reads]
    (6, [6])
    """
    elements = int(tree.element.max()) + 1
    plan = _plan(tree, elements)
    depth = int(plan.down[tree.target >= 0].max(initial=0))
    if layers is not None and depth > layers:
        return None
    events = _reads(tree, plan, np.arange(1, tree.size))
    size = elements + targets
    # with at least one layer, since a structure has one mask or more
    reads = events.reads(size, depth, max(depth, 1) if layers is None else layers)
    element = np.concatenate([np.arange(elements), np.full(targets, -1)])
    return prune(Structure(element, reads, elements + np.arange(targets), "rerooting"), "layered")


def reads_of_tree(tree: Tree, elements: int, exchange: int) -> tuple[Events, Int64Array, Int64Array, int]:
    """Return the reads within the subtrees of the root's children, if these exchange what they hold in given layers.

    Parameters
    ----------
    tree : Tree
        With all leaves at one depth.
    elements : int
    exchange : int
        Layers in which the children exchange what they hold, after the last of them is collected.

    Returns
    -------
    Events, (s,) int64, (s,) int64, int
        The reads; collector and host of each of the s children; the layers in which they are collected.
    """
    plan = _plan(tree, elements, exchange)
    child = np.flatnonzero(tree.parent == 0)
    events = _reads(tree, plan, np.flatnonzero(tree.parent > 0))
    return events, plan.collector[child], plan.host[child], int(plan.up[child].max())


def _reads(tree: Tree, plan: _Plan, node: Int64Array) -> Events:
    """Return the reads for given nodes: into their parents' collectors, and into their hosts."""
    demanded = node[plan.host[node] >= 0]
    filled = node[plan.collector[node] >= 0]
    grown = filled[~plan.is_first[filled]]
    return Events.join(_upward(tree, plan, grown), _across(tree, plan, demanded), _downward(tree, plan, demanded))


def _plan(tree: Tree, elements: int, exchange: int = 0) -> _Plan:
    """Return collectors and hosts from the leaves up, and the layers down from the root."""
    levels = tree.levels()
    demanded = _any_below(tree, levels, tree.target >= 0)
    filled = _any_below(tree, levels, tree.element >= 0)
    is_first = _first_children(tree, demanded, filled)
    host = np.where(tree.target >= 0, elements + tree.target, -1)
    collector, host = _inherit(tree, levels, is_first, tree.element), _inherit(tree, levels, is_first, host)
    up = _up_layers(tree, levels, is_first, demanded, filled)
    return _Plan(collector, host, up, _down_layers(tree, levels, up, host, exchange), is_first)


def _any_below(tree: Tree, levels: list[Int64Array], flag: BoolArray) -> BoolArray:
    """Return whether a node or one below it has a flag."""
    below = flag.copy()
    for level in reversed(levels[1:]):
        below[tree.parent[level[below[level]]]] = True
    return below


def _inherit(tree: Tree, levels: list[Int64Array], is_first: BoolArray, value: Int64Array) -> Int64Array:
    """Return the value of each node, or where it has none, -1, that of its first child."""
    inherited = value.copy()
    for level in reversed(levels[1:]):
        heir = level[is_first[level]]
        heir = heir[inherited[tree.parent[heir]] < 0]
        inherited[tree.parent[heir]] = inherited[heir]
    return inherited


def _first_children(tree: Tree, demanded: BoolArray, filled: BoolArray) -> BoolArray:
    """Return which nodes are the first child of their parent: one with elements and, if possible, targets below it."""
    order = np.lexsort((~demanded, ~filled, tree.parent))
    is_first = np.zeros(tree.size, bool)
    is_first[order[run_starts(tree.parent[order])]] = True
    is_first[0] = False
    return is_first


def _up_layers(
    tree: Tree, levels: list[Int64Array], is_first: BoolArray, demanded: BoolArray, filled: BoolArray
) -> Int64Array:
    """Return the layer after which U(v) is complete, 0 for a leaf and -1 for a node without elements.

    The collector of the first child is that of the parent. If a sibling has targets below it, that one reads the
    collector after it is complete and before it grows; otherwise the parent's elements may arrive in the same layer.
    """
    up = np.where(filled, 0, -1)
    heirs = np.bincount(tree.parent[1:], demanded[1:], minlength=tree.size)
    count = np.bincount(tree.parent[1:], filled[1:], minlength=tree.size)
    for level in reversed(levels[1:]):
        child = level[filled[level]]
        above = tree.parent[child]
        waits = ~is_first[child] | (heirs[above] > demanded[child])
        np.maximum.at(up, above, up[child] + (waits & (count[above] > 1)))
    return up


def _down_layers(tree: Tree, levels: list[Int64Array], up: Int64Array, host: Int64Array, exchange: int) -> Int64Array:
    """Return the layer after which D(v) is complete, level by level; 0 where it is empty.

    If the root's children exchange what they hold in this many layers, all at once, D is complete after the last one.
    """
    down = np.zeros(tree.size, np.int64)
    for level in levels[1:]:
        above = tree.parent[level]
        highest = _highest_sibling(up[level], above)
        from_above = np.where(down[above] > 0, down[above] + 1, 0)
        # without siblings there is nothing to add: the same blank has it already, another one copies it
        from_above[(highest < 0) & (host[level] == host[above])] -= 1
        down[level] = np.maximum(np.maximum(from_above, 0), highest + 1)
        if exchange and level is levels[1]:
            down[level] = up[level].max() + exchange
    return down


def _highest_sibling(up: Int64Array, parent: Int64Array) -> Int64Array:
    """Return the greatest ``up`` among the siblings of each node of a level; -1 where none has elements."""
    order = np.lexsort((-up, parent))
    starts = run_starts(parent[order])
    run = np.cumsum(starts) - 1
    first = np.flatnonzero(starts)
    is_single = np.diff(np.append(first, len(order))) == 1
    second = np.where(is_single, -1, up[order[np.minimum(first + 1, len(order) - 1)]])
    highest = np.empty(len(up), np.int64)
    highest[order] = up[order[first]][run]
    highest[order[first]] = second  # the highest itself has the next one beside it
    return highest


def _upward(tree: Tree, plan: _Plan, child: Int64Array) -> Events:
    """Return the reads by which the first child's collector becomes that of the parent."""
    above = tree.parent[child]
    return Events(plan.up[above], plan.collector[above], plan.collector[child])


def _across(tree: Tree, plan: _Plan, node: Int64Array) -> Events:
    """Return the reads of siblings' collectors by the hosts of nodes with targets below."""
    first, child = tree.children()
    degree = np.diff(first)
    above = tree.parent[node]
    row = repeat_index(degree[above])
    sibling = child[first[above][row] + index_in_row(degree[above])]
    reader = node[row]
    others = (reader != sibling) & (plan.collector[sibling] >= 0)
    reader, sibling = reader[others], sibling[others]
    layer = plan.up[sibling] + 1
    parent = tree.parent[reader]
    in_place = plan.host[reader] == plan.host[parent]  # others read D(parent) there first
    layer = np.where(in_place, np.maximum(layer, plan.down[parent] + 1), layer)
    return Events(layer, plan.host[reader], plan.collector[sibling])


def _downward(tree: Tree, plan: _Plan, node: Int64Array) -> Events:
    """Return the reads of the parent's complement by hosts that do not hold it already."""
    above = tree.parent[node]
    reads = (plan.host[node] != plan.host[above]) & (plan.down[above] > 0)
    node, above = node[reads], above[reads]
    return Events(plan.down[above] + 1, plan.host[node], plan.host[above])
