"""Compute the best block-tied matrix where Tsallis entropy takes the place of Shannon's: entmax instead of softmax.

For one family entmax of order alpha is the row p that minimises sum_j p_j psi_j + (p_j^alpha - p_j) / (alpha (alpha -
1)), and alpha -> 1 is softmax (Peters, Niculae, Martins, arXiv 1905.05702). On a tree let F(A, s) be the least value of
the sum over the rows and columns below A if each of these rows has mass s there, without the constant terms -p_j. As
energies of siblings are means, F(A, s) is the sum over the children B of A of the least

    F(B, t) + |B| sum_C |C| (theta psi(B -> C) + theta^alpha / (alpha (alpha - 1))),    t + sum_C |C| theta = s.

All terms are convex, so the optimum is where one multiplier lambda belongs to t and to all blocks of B: theta(B, C) =
((alpha - 1) (lambda - psi(B -> C)))_+^(1 / (alpha - 1)), and lambda = m(B, t) or t = 0, where m(B, t) is the slope of
F(B, t) / |B|: m(leaf i, t) = psi(i -> i) + t^(alpha - 1) / (alpha - 1), and m(A, s) is the mean of the multipliers of
the children of A, weighted by their leaves. Slopes increase, so each multiplier is found by root finding. For Shannon's
entropy s factors out and the closed form of `attention_matrix` is left; here it does not, and roots are nested: this is
a reference for small trees.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array


def entmax_matrix(tree: Tree, scores: ArrayLike, alpha: float = 1.5) -> Float64Array:
    """Return the row-stochastic matrix, constant on the blocks, of least energy with Tsallis entropy of order alpha.

    Parameters
    ----------
    tree : Tree
        Positions attend to all siblings of their ancestors, and to themselves.
    scores : (N, N) float
        Scores -psi(i -> j).
    alpha : float
        Above 1; 2 is sparsemax. Blocks may be exactly 0.

    Returns
    -------
    (N, N) float64

    Raises
    ------
    InvalidInstance
        For scores of another shape, or an order that is not above 1.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.nested_lists import tree_of_lists
    >>> scores = [[1.0, 0.5, -1.0], [0.5, 1.0, -1.0], [0.0, 0.0, 0.0]]
    >>> entmax_matrix(tree_of_lists([[0, 1], 2]), scores, alpha=2).round(3) + 0.0
    array([[0.75 , 0.25 , 0.   ],
           [0.25 , 0.75 , 0.   ],
           [0.333, 0.333, 0.333]])
    """
    table = np.asarray(scores, np.float64)
    if table.shape != (tree.size, tree.size) or not np.isfinite(table).all():
        raise InvalidInstance(f"expected finite scores ({tree.size}, {tree.size}), got shape {table.shape}", "")
    if not 1 < alpha < np.inf:
        raise InvalidInstance(f"expected an order above 1, got {alpha}", "", "softmax, order 1, is attention_matrix")
    theta = np.zeros(table.shape)
    _fill(tree, 0, 1.0, (-table, alpha), theta)
    return theta


_Problem = tuple[Float64Array, float]
"""Energies psi(i -> j) and the order alpha."""


def _fill(tree: Tree, node: int, mass: float, problem: _Problem, theta: Float64Array) -> None:
    """Write the entries of the rows and columns below a node that keeps some mass."""
    below = _below(tree, node)
    if tree.position[node] >= 0:
        theta[below[0], below[0]] = mass
        return
    for child in _children(tree, node):
        kept, multiplier = _balance(tree, child, mass, problem)
        for other in _children(tree, node):
            if other != child:
                value = _entry(multiplier - _energy(tree, child, other, problem), problem[1])
                theta[np.ix_(_below(tree, child), _below(tree, other))] = value
        _fill(tree, child, kept, problem, theta)


def _slope(tree: Tree, node: int, mass: float, problem: _Problem) -> float:
    """Return m(A, s), the slope of F(A, s) / |A|."""
    if tree.position[node] >= 0:
        place, order = tree.position[node], problem[1] - 1
        return float(problem[0][place, place] + mass**order / order)
    multipliers = [(tree.count[child], _balance(tree, child, mass, problem)[1]) for child in _children(tree, node)]
    return float(sum(count * multiplier for count, multiplier in multipliers) / tree.count[node])


def _balance(tree: Tree, node: int, mass: float, problem: _Problem) -> tuple[float, float]:
    """Return the mass that the rows of a node keep inside it, of that of its parent, and their multiplier."""
    family = [other for other in _children(tree, int(tree.parent[node])) if other != node]
    energies = np.array([_energy(tree, node, other, problem) for other in family])
    counts = tree.count[family]
    slope = partial(_slope, tree, node, problem=problem)

    def crossing(multiplier: float) -> float:
        return float((counts * [_entry(multiplier - energy, problem[1]) for energy in energies]).sum())

    if not family:
        return mass, slope(mass)
    inside = slope(0.0)
    low = min(inside, float(energies.min()))  # where the first of the values leaves 0
    if crossing(inside) >= mass:  # the node keeps nothing: the blocks alone have the mass
        return 0.0, _root(lambda multiplier: crossing(multiplier) - mass, low, inside)
    kept = _root(lambda kept: kept + crossing(slope(kept)) - mass, 0.0, mass)
    return kept, slope(kept)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the root of an increasing function between two points by regula falsi (Illinois) to rounding."""
    left, right, side = function(low), function(high), 0
    if left >= 0:
        return low
    for _ in range(200):
        if right <= 0 or high - low <= 4e-16 * max(abs(low), abs(high)):
            return high
        middle = low + (high - low) * min(max(-left / (right - left), 1e-3), 1 - 1e-3)
        value = function(middle)
        if value == 0:
            return middle
        if value < 0:
            low, left, right, side = middle, value, right / 2 if side == -1 else right, -1
        else:
            high, right, left, side = middle, value, left / 2 if side == 1 else left, 1
    return (low + high) / 2


def _entry(gap: float, alpha: float) -> float:
    return float(max(0.0, (alpha - 1) * gap) ** (1 / (alpha - 1)))


def _energy(tree: Tree, node: int, other: int, problem: _Problem) -> float:
    """Return psi(A -> B), the mean over the leaves."""
    return float(problem[0][np.ix_(_below(tree, node), _below(tree, other))].mean())


def _children(tree: Tree, node: int) -> list[int]:
    return list(range(int(tree.child_offset[node]), int(tree.child_offset[node + 1])))


def _below(tree: Tree, node: int) -> list[int]:
    first = int(tree.first[node])
    return tree.order[first : first + int(tree.count[node])].tolist()  # type: ignore[no-any-return]
