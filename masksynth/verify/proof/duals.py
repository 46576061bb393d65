"""Check that a branch tree with rational duals bounds the weight of a part, in integer arithmetic.

A clause is read as ``sum of its literals >= 1`` over 0 <= x <= 1, a negative literal being ``1 - x``: ``sum coefficient
* x >= 1 - negatives``. For any y >= 0, weight(x) is at least ``sum_c y_c (1 - negatives_c) + sum_x min over the values
open to x of (cost_x - sum_c y_c coefficient_cx) x`` (Lagrangian relaxation). Every assignment reaches one leaf of the
tree, so the smallest bound of a leaf holds for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.verify.proof.proof_files import read_json

MAX_DENOMINATOR = 1 << 64


def check_tree(
    path: Path,
    clauses: Sequence[tuple[int, ...]],
    costs: Mapping[int, int],
    edges: Mapping[tuple[int, ...], int],
    bound: int,
) -> int:
    """Check that every leaf of a tree has a bound above ``bound - 1``; return the number of leaves.

    Parameters
    ----------
    path : path
        tree.json.
    clauses : sequence of tuple of int
        In the order of the file: duals refer to them by index.
    costs : mapping of int to int
        Weight of a variable; 0 for others.
    edges : mapping of edge to int
        The variables on which the tree may branch; an edge that occurs in no clause has none.
    bound : int
        The claimed bound of the part.

    Raises
    ------
    InvalidInstance
        If the file cannot be read as a tree.
    WrongAnswer
        ``proof``: if a leaf's bound is too low.
    """
    document = read_json(path)
    try:
        if not (type(document) is dict and document.keys() == {"denominator", "tree"}):
            raise _fault("not an object of 'denominator' and 'tree'")
        denominator = _int(document["denominator"], 1, MAX_DENOMINATOR)
        leaves = 0
        open_nodes: list[tuple[Any, dict[int, int]]] = [(document["tree"], {})]
        while open_nodes:
            node, fixed = open_nodes.pop()
            if type(node) is not dict:
                raise _fault(f"expected a node, got {type(node).__name__}")
            if node.keys() == {"edge", "zero", "one"}:
                open_nodes += [
                    (node[side], {**fixed, _variable(node["edge"], edges): value})
                    for side, value in (("zero", 0), ("one", 1))
                ]
            elif node.keys() == {"duals"}:
                leaves += 1
                reached = leaf_bound(_duals(node["duals"], len(clauses)), clauses, costs, fixed, denominator)
                if reached <= (bound - 1) * denominator:
                    fact = f"leaf {leaves} has the bound {reached}/{denominator}, not above {bound - 1}"
                    raise WrongAnswer("proof", f"{path.parent.name}/{path.name}: {fact}")
            else:
                raise _fault("a node is neither 'edge', 'zero', 'one' nor 'duals'")
    except InvalidInstance as error:
        raise error.within(source=str(path)) from None
    return leaves


def leaf_bound(
    duals: Sequence[tuple[int, int]],
    clauses: Sequence[tuple[int, ...]],
    costs: Mapping[int, int],
    fixed: Mapping[int, int],
    denominator: int,
) -> int:
    """Return the Lagrangian bound of a leaf, times the denominator.

    Parameters
    ----------
    duals : sequence of (int, int)
        (index of a clause, numerator of its dual).
    clauses : sequence of tuple of int
    costs : mapping of int to int
        Weight of a variable; 0 for others.
    fixed : mapping of int to int
        Value of the variables on which the tree has branched.
    denominator : int
        Of all duals.

    Examples
    --------
    A vertex cover of a triangle has two vertices; duals of 1/2 prove the bound 3/2.

    >>> leaf_bound([(0, 1), (1, 1), (2, 1)], [(1, 2), (2, 3), (1, 3)], {1: 1, 2: 1, 3: 1}, {}, 2)
    3
    """
    total = 0
    reduced = {variable: denominator * cost for variable, cost in costs.items()}
    for index, weight in duals:
        total += weight
        for literal in clauses[index]:
            variable = abs(literal)
            if literal > 0:
                reduced[variable] = reduced.get(variable, 0) - weight
            else:
                reduced[variable] = reduced.get(variable, 0) + weight
                total -= weight
    for variable, cost in reduced.items():
        total += min(0, cost) if variable not in fixed else cost * fixed[variable]
    return total


def _variable(edge: Any, edges: Mapping[tuple[int, ...], int]) -> int:
    """Return the variable of an edge of tree.json."""
    if type(edge) is not list or any(type(number) is not int for number in edge) or tuple(edge) not in edges:
        raise _fault(f"{edge!r:.40} is not an edge of the part's clauses")
    return edges[tuple(edge)]


def _duals(value: Any, count: int) -> list[tuple[int, int]]:
    """Return the duals of a leaf over ``count`` clauses, validated."""
    if type(value) is not list or any(type(item) is not list or len(item) != 2 for item in value):
        raise _fault("duals are not a list of [clause, numerator]")
    return [(_int(index, 0, count - 1), _int(numerator, 0, 10**40)) for index, numerator in value]


def _int(value: Any, low: int, high: int) -> int:
    """Return an integer, raising unless it is in the range; numerators exceed the 64 bits of msgspec's limits."""
    if type(value) is not int or not low <= value <= high:
        raise _fault(f"expected an integer from {low} to {high}, got {value!r:.40}")
    return value


def _fault(fact: str) -> InvalidInstance:
    return InvalidInstance(fact, "")
