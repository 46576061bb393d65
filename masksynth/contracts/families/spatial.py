"""Contracts of grids, trees and graphs."""

from __future__ import annotations

import numpy as np

from masksynth.contracts.element_sets import check_contract_size, unpack
from masksynth.contracts.families.contract_parts import build_contracts, graph, grid, of_tokens, tree
from masksynth.contracts.metric import balls, distances_from, subtrees
from masksynth.contracts.model import Contracts, Elements, Place
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.tasks.parameters import check_at_least, require


def leave_ball_out_grid(
    shape: tuple[int, ...] = (8, 8),
    radius: int = 1,
    metric: str = "chebyshev",
    layers: int | None = None,
    place: Place = "query",
) -> Contracts:
    """Return the contracts of the cells of a grid, each predicted from all cells farther away than a radius.

    Parameters
    ----------
    shape : tuple of int
        Sizes of the grid.
    radius : int
        Cells up to this distance are hidden.
    metric : str
        ``chebyshev``: balls are squares, 3 x 3 for radius 1. ``manhattan``: they are diamonds.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> leave_ball_out_grid(shape=(3, 3), radius=1).needed(0).tolist()
    [2, 5, 6, 7, 8]
    """
    elements = grid(shape, metric)
    check_at_least(0, radius=radius)
    sets = of_tokens(range(elements.count), lambda row: distances_from(elements, row) <= radius)
    size = "x".join(map(str, shape))
    return build_contracts("leave_ball_out_grid", [size, radius], elements, sets, layers, place)


def leave_ball_out_tree(
    n: int = 0, parents: tuple[int, ...] = (), radius: int = 1, layers: int | None = None, place: Place = "query"
) -> Contracts:
    """Return the contracts of the nodes of a tree, each predicted from all nodes farther away than a radius.

    Parameters
    ----------
    n : int
        Nodes of a heap, the parent of node i being (i - 1) // 2; 0: as many as parents, or 15.
    parents : tuple of int
        Parent of each node, -1 for the root; empty: a heap.
    radius : int
        Nodes up to this distance are hidden.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> leave_ball_out_tree(n=7, radius=1).needed(1).tolist()
    [2, 5, 6]
    """
    elements = tree(n, parents)
    return _without_balls("leave_ball_out_tree", elements, radius, layers, place)


def leave_ball_out_graph(
    n: int = 8,
    edges: tuple[tuple[int, ...], ...] = (),
    radius: int = 1,
    layers: int | None = None,
    place: Place = "query",
) -> Contracts:
    """Return the contracts of the nodes of a graph, each predicted from all nodes farther away than a radius.

    Parameters
    ----------
    n : int
        Number of nodes.
    edges : tuple of tuples of int
        Pairs of nodes that are joined, so that paths connect all of them; empty: a cycle.
    radius : int
        Nodes up to this distance are hidden.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> leave_ball_out_graph(n=6, radius=1).needed(0).tolist()
    [2, 3, 4]
    """
    elements = graph(n, edges)
    return _without_balls("leave_ball_out_graph", elements, radius, layers, place)


def _without_balls(name: str, elements: Elements, radius: int, layers: int | None, place: Place) -> Contracts:
    """Return the contracts of nodes, each predicted from all nodes farther away than a radius."""
    check_at_least(0, radius=radius)
    check_contract_size(elements.count, elements.count)
    near = balls(elements, radius)
    sets = of_tokens(range(elements.count), lambda row: unpack(near[row[:, 0]], elements.count))
    return build_contracts(name, [elements.count, radius], elements, sets, layers, place)


def neighbourhood(
    shape: tuple[int, ...] = (8, 8),
    radius: int = 1,
    metric: str = "chebyshev",
    layers: int | None = None,
    place: Place = "query",
) -> Contracts:
    """Return the contracts of the cells of a grid, each predicted from the cells around it alone.

    Parameters
    ----------
    shape : tuple of int
        Sizes of the grid.
    radius : int
        Cells up to this distance, but for the cell itself, are needed; all others are hidden.
    metric : str
        ``chebyshev``: neighbourhoods are squares, 3 x 3 for radius 1. ``manhattan``: they are diamonds.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> neighbourhood(shape=(3, 3)).needed(0).tolist()
    [1, 3, 4]
    """
    elements = grid(shape, metric)
    check_at_least(1, radius=radius)
    n = elements.count
    sets = of_tokens(range(n), lambda row: (distances_from(elements, row) > radius) | (np.arange(n) == row))
    size = "x".join(map(str, shape))
    return build_contracts("neighbourhood", [size, radius], elements, sets, layers, place)


def all_but_row_and_column(
    shape: tuple[int, ...] = (8, 8), layers: int | None = None, place: Place = "query"
) -> Contracts:
    """Return the contracts of the cells of a grid, each predicted from the cells in other rows and other columns.

    Parameters
    ----------
    shape : tuple of int
        Sizes of the grid: rows and columns, or more.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> all_but_row_and_column(shape=(3, 3)).needed(4).tolist()
    [0, 2, 6, 8]
    """
    elements = grid(shape, "chebyshev")
    axes = np.unravel_index(np.arange(elements.count), shape)

    def share_a_coordinate(row: Int64Array) -> BoolArray:
        shared: BoolArray = np.logical_or.reduce([axis[row] == axis for axis in axes])
        return shared

    sets = of_tokens(range(elements.count), share_a_coordinate)
    return build_contracts("all_but_row_and_column", ["x".join(map(str, shape))], elements, sets, layers, place)


def tree_complement(
    n: int = 0, parents: tuple[int, ...] = (), layers: int | None = None, place: Place = "query"
) -> Contracts:
    """Return the contracts of the nodes of a tree but its root, each predicted from all nodes outside its subtree.

    Parameters
    ----------
    n : int
        Nodes of a heap, the parent of node i being (i - 1) // 2; 0: as many as parents, or 15.
    parents : tuple of int
        Parent of each node, -1 for the root; empty: a heap.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> contracts = tree_complement(parents=(-1, 0, 0, 1))
    >>> contracts.targets[0].label, contracts.needed(0).tolist(), contracts.hidden(0).tolist()
    (1, [0, 2], [1, 3])
    """
    elements = tree(n, parents)
    above = elements.space["tree"]
    require(elements.count > 1, "n", elements.count, "leaves nothing outside the root's subtree", "give two nodes")
    check_contract_size(elements.count, elements.count)
    inside = subtrees(above)
    nodes = np.array([node for node, parent in enumerate(above) if parent is not None])
    sets = of_tokens(nodes.tolist(), lambda row: unpack(inside[nodes[row[:, 0]]], elements.count))
    return build_contracts("tree_complement", [elements.count], elements, sets, layers, place)
