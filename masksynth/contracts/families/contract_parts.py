"""Parts of families of contracts: where elements lie, the sets of each target, and the contracts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from masksynth.contracts.element_sets import check_contract_size, complement, packed_rows
from masksynth.contracts.model import MAX_ELEMENTS, Contracts, Elements, Place, Target, with_options
from masksynth.contracts.spaces import check_graph, check_tree
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.tasks.parameters import check_at_least, check_integer_rows, check_integers, check_tuple, format_value

Members = Callable[[Int64Array], BoolArray]
"""Takes the numbers of some targets, (r, 1) int64; returns (r, n) bool: whether each element is in the set of each."""


@dataclass(frozen=True)
class TargetSets:
    """Targets of a family with what they need and hide.

    Parameters
    ----------
    labels : sequence of JSON values
    positions : sequence of int
        Position id of each target.
    hide : callable
        Elements that targets hide.
    need : callable, optional
        Elements that targets need; None: all that they do not hide.
    """

    labels: Sequence[Any]
    positions: Sequence[int]
    hide: Members
    need: Members | None = None


def of_tokens(tokens: Iterable[int], hide: Members, need: Members | None = None) -> TargetSets:
    """Return targets that are tokens themselves, at their positions."""
    listed = tuple(tokens)
    return TargetSets(listed, listed, hide, need)


def line(n: int) -> Elements:
    """Return n tokens in a row, after checking their number."""
    check_at_least(1, n=n)
    check_elements(n, "n")
    return Elements(tuple(range(n)), tuple(range(n)))


def grid(shape: Sequence[int], metric: str) -> Elements:
    """Return the cells of a grid, row by row."""
    sizes = check_integers("shape", shape, 1)
    if not 1 <= len(sizes) <= 16:
        raise InvalidInstance(f"shape={format_value(sizes)} has {len(sizes)} sizes", "$.shape", "give 1 to 16 sizes")
    if metric not in ("chebyshev", "manhattan"):
        fact = f"metric={format_value(metric)} is neither chebyshev nor manhattan"
        raise InvalidInstance(fact, "$.metric", "give one of them")
    check_elements(prod(sizes), "shape")
    values = tuple(range(prod(sizes)))
    choice = {"metric": metric} if metric != "chebyshev" else {}
    return Elements(values, values, {"grid": list(sizes), **choice})


def tree(n: int, parents: Sequence[int]) -> Elements:
    """Return the nodes of a tree: of a heap of n nodes, unless the parent of each node is given (-1 for the root)."""
    listed = check_tuple("parents", parents)
    if listed and n not in (0, len(listed)):
        fact = f"n={format_value(n)} is not the number of parents, {len(listed)}"
        raise InvalidInstance(fact, "$.n", "leave one of them out")
    check_at_least(0, n=n)
    check_elements(n, "n")
    listed = check_integers("parents", listed, -1) or tuple((index - 1) // 2 for index in range(n or 15))
    above = [None if parent == -1 else parent for parent in listed]
    try:
        check_tree(above)
    except InvalidInstance as error:
        raise InvalidInstance(error.fact, error.path.replace("elements.tree", "parents"), error.remedy) from None
    values = tuple(range(len(above)))
    return Elements(values, values, {"tree": above})


def graph(n: int, edges: Sequence[Sequence[int]]) -> Elements:
    """Return the nodes of a connected graph: of a cycle of n nodes, unless its edges are given."""
    check_at_least(1, n=n)
    check_elements(n, "n")
    listed = check_integer_rows("edges", edges)
    for index, edge in enumerate(listed):
        if len(edge) != 2:
            raise InvalidInstance(f"edges[{index}]={edge} is not a pair", f"$.edges[{index}]", "give two nodes")
    cycle = [(index, index + 1) for index in range(n - 1)] + [(n - 1, 0)] * (n > 2)
    pairs = [list(edge) for edge in listed or cycle]
    try:
        check_graph(n, pairs)
    except InvalidInstance as error:
        raise InvalidInstance(error.fact, error.path.replace("elements.graph.", ""), error.remedy) from None
    return Elements(tuple(range(n)), tuple(range(n)), {"graph": {"n": n, "edges": pairs}})


def check_elements(count: int, parameter: str) -> None:
    """Raise InvalidInstance, before anything is allocated, for too many elements."""
    if count > MAX_ELEMENTS:
        fact = f"{parameter} makes {format_value(count)} elements, more than {MAX_ELEMENTS}"
        raise InvalidInstance(fact, f"$.{parameter}", f"give a smaller {parameter}")


def build_contracts(
    name: str, parameters: Sequence[Any], elements: Elements, sets: TargetSets, layers: int | None, place: Place
) -> Contracts:
    """Return the contracts ``name-parameters`` (a tuple by its length), with costs counted once for a structure."""
    n, count = elements.count, len(sets.labels)
    check_contract_size(count, n)
    hide = packed_rows(count, n, sets.hide)
    need = complement(hide, n) if sets.need is None else packed_rows(count, n, sets.need)
    pairs = zip(sets.labels, sets.positions, strict=True)
    targets = tuple(Target(label, place, position) for label, position in pairs)
    parts = [name, *(str(len(value) if isinstance(value, tuple) else value) for value in parameters)]
    contracts = Contracts("-".join(parts), elements, targets, need, hide, derived=frozenset({"masks"}))
    return with_options(contracts, layers=layers)
