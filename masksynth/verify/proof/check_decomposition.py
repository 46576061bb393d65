"""Check relation, mask, sure edges, packing and parts of a proof folder: the first half of the bound."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.verify.proof.graphs import Numbers, connected, distances, flow, power, product, table, useful
from masksynth.verify.proof.proof_files import Bools
from masksynth.verify.proof.statement import ClaimedHit, ClaimedPart, Edge, Statement
from masksynth.verify.proof.window_lemmas import image_of


def check_relation(statement: Statement) -> None:
    """Check that the relation is a preorder, and forced edges are pairs of it that are not forbidden.

    Raises
    ------
    WrongAnswer
        ``proof``.
    """
    relation = statement.relation
    if not relation.diagonal().all():
        raise _wrong("relation.npy", f"position {int(relation.diagonal().argmin())} does not see itself")
    if (beyond := product(relation, relation) & ~relation).any():
        raise _wrong("relation.npy", f"not transitive: {_first(beyond)} is missing")
    allowed = allowed_edges(statement)
    for edge in statement.forced:
        if not allowed[edge]:
            raise _wrong("problem.json", f"the forced edge {edge} is not allowed")
    if statement.layered and min(statement.weights.values(), default=0) < 0:
        raise _wrong("problem.json", "a weight is negative though each layer has a mask of its own")


def allowed_edges(statement: Statement) -> Bools:
    """Return (n, n) bool: the pairs of the relation off the diagonal that are not forbidden."""
    off = ~np.eye(statement.size, dtype=bool)
    allowed: Bools = statement.relation & off & ~table(statement.size, statement.forbidden)
    return allowed


def check_witness(statement: Statement) -> None:
    """Check that the mask carries the relation over allowed edges, has every forced edge and the claimed weight.

    Raises
    ------
    WrongAnswer
        ``proof``.
    """
    masks = statement.mask if statement.layered else statement.mask[None]
    allowed, off = allowed_edges(statement), ~np.eye(statement.size, dtype=bool)
    value = 0
    for layer, mask in enumerate(masks, 1):
        where = f"layer {layer}: " if statement.layered else ""
        if not mask.diagonal().all():
            raise _wrong("mask.npy", f"{where}position {int(mask.diagonal().argmin())} does not see itself")
        if (wrong := mask & off & ~allowed).any():
            raise _wrong("mask.npy", f"{where}the edge {_first(wrong)} is not allowed")
        for edge in statement.forced:
            if not mask[edge]:
                raise _wrong("mask.npy", f"{where}the forced edge {edge} is missing")
        value += int((mask & off).sum()) + sum(weight - 1 for edge, weight in statement.weights.items() if mask[edge])
    seen = flow(masks, statement.size) if statement.layered else power(statement.mask, statement.depth)
    if (lost := statement.relation & ~seen).any():
        raise _wrong("mask.npy", f"no flow along {_first(lost)} within {statement.depth} layers")
    if value != statement.value:
        raise _wrong("mask.npy", f"expected the weight {statement.value} of problem.json, got {value}")


def check_structure(statement: Statement) -> int:
    """Check sure edges, packing and parts; return the weight that sure edges and packing account for.

    Raises
    ------
    WrongAnswer
        ``proof``.
    """
    if statement.layered:
        _check_layered(statement)
        return 0
    allowed = allowed_edges(statement)
    _check_sure(statement, allowed)
    open_edges = allowed & ~table(statement.size, statement.sure)
    _check_disjoint(statement, open_edges)
    for number, hit in enumerate(statement.packing):
        _check_hit(statement, hit, f"packing[{number}]", allowed)
    hops = distances(allowed, statement.depth)
    for part in statement.parts + statement.lemmas:
        _check_part(statement, part, open_edges, hops)
        for number, window in enumerate(part.windows):
            image = image_of(statement, part, window, f"{part.folder}: window {number}")
            _check_part(statement, image, open_edges, hops)
    weights = [min(map(statement.weight, hit.edges)) for hit in statement.packing]
    return sum(map(statement.weight, statement.sure)) + sum(weights)


def _check_layered(statement: Statement) -> None:
    """Check that there is at most one part, with all pairs and all allowed edges."""
    if statement.sure or statement.packing or statement.lemmas or len(statement.parts) > 1:
        fact = "sure edges, a packing, lemmas or several parts, though each layer has a mask of its own"
        raise _wrong("problem.json", fact)
    for part in statement.parts:
        if set(part.edges) != set(_pairs(allowed_edges(statement))):
            raise _wrong("problem.json", f"{part.folder}: its edges are not all that are allowed")
        if set(part.demands) != set(_pairs(statement.relation & ~np.eye(statement.size, dtype=bool))):
            raise _wrong("problem.json", f"{part.folder}: its demands are not all pairs of the relation")


def _check_sure(statement: Statement, allowed: Bools) -> None:
    """Check that each sure edge is free, forced or the only connection of its ends, and negative edges are sure."""
    forced, sure = set(statement.forced), set(statement.sure)
    for edge in statement.sure:
        if not allowed[edge]:
            raise _wrong("problem.json", f"the sure edge {edge} is not allowed")
        if statement.weight(edge) > 0 and edge not in forced:
            others = allowed.copy()
            others[edge] = False
            if connected(others, edge, statement.depth):
                raise _wrong("problem.json", f"the edge {edge} is not sure: its ends are connected without it")
    for edge, weight in statement.weights.items():
        if weight < 0 and allowed[edge] and edge not in sure:
            raise _wrong("problem.json", f"the edge {edge} of weight {weight} is not among the sure edges")


def _check_disjoint(statement: Statement, open_edges: Bools) -> None:
    """Check that the sets of packing and parts are disjoint and have allowed edges that are not sure."""
    taken: dict[Edge, str] = {}
    sets: list[tuple[str, Iterable[Edge]]] = [
        (f"packing[{place}]", hit.edges) for place, hit in enumerate(statement.packing)
    ]
    for place, edges in sets + [(part.folder, part.edges) for part in statement.parts]:
        for edge in edges:
            if not open_edges[edge]:
                raise _wrong("problem.json", f"{place}: the edge {edge} is sure or not allowed")
            if edge in taken:
                raise _wrong("problem.json", f"{place}: the edge {edge} is also in {taken[edge]}")
            taken[edge] = place


def _check_hit(statement: Statement, hit: ClaimedHit, place: str, allowed: Bools) -> None:
    """Check that the demand of a packing set is not met without its edges."""
    if not statement.relation[hit.demand]:
        raise _wrong("problem.json", f"{place}: {hit.demand} is not a pair of the relation")
    if connected(allowed & ~table(statement.size, hit.edges), hit.demand, statement.depth):
        raise _wrong("problem.json", f"{place}: {hit.demand} is connected without its edges")


def _check_part(statement: Statement, part: ClaimedPart, open_edges: Bools, hops: Numbers) -> None:
    """Check that demands are pairs of the relation, edges are open, and edges that may help are sure or in the part."""
    for edge in part.edges:
        if not open_edges[edge]:
            raise _wrong("problem.json", f"{part.folder}: the edge {edge} is sure or not allowed")
    for demand in part.demands:
        if not statement.relation[demand]:
            raise _wrong("problem.json", f"{part.folder}: the demand {demand} is not a pair of the relation")
    missing = useful(hops, part.demands, statement.depth) & open_edges & ~table(statement.size, part.edges)
    if missing.any():
        fact = f"the edge {_first(missing)} may help one of its demands and is not in it"
        raise _wrong("problem.json", f"{part.folder}: {fact}")


def _pairs(edges: Bools) -> list[Edge]:
    """Return the edges of a matrix."""
    return [(int(query), int(key)) for query, key in np.argwhere(edges)]


def _first(edges: Bools) -> Edge:
    """Return the first edge of a matrix."""
    return _pairs(edges)[0]


def _wrong(file: str, fact: str) -> WrongAnswer:
    """Return an error of a file."""
    return WrongAnswer("proof", f"{file}: {fact}")
