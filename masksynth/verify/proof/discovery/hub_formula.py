"""Clauses of "there is a structure with one mask, h hubs of which r are raw, and at most this many reads".

For contracts whose targets are all queries no two of which may see what the other sees: then no position reads a blank.
Nodes are h hubs, each after all hubs that it reads, and the blanks of the targets. Every cheapest structure can be
brought into this form, whatever positions cost:

- reads make no circle: positions in a circle have equal closures, so a chain of fewer reads does as well;
- a hub embeds one element: any of its closure is free;
- the raw hubs, which read nothing, are the first ones, with different elements in ascending order;
- a hub that reads is read twice: one that is read once is dropped, its reader taking its keys and a raw hub of its
  element;
- an element e is *separate* if each other needed one is hidden by some target that needs e. If one hub alone embeds it,
  a position that has e has the closure of that hub, which is {e}, so the hub is raw: so e has a raw hub or two hubs;
- of all orders of the hubs that read, and all namings of exchangeable elements, it is the one with the greatest rows,
  read one after another (``gate_formula``), in which exchangeable elements with a raw hub come first and the others
  appear first in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

from masksynth.verify.proof.discovery.contract_sets import ContractSets
from masksynth.verify.proof.discovery.gate_formula import ordered_columns, ordered_rows
from masksynth.verify.proof.formula import Clause, at_most


def is_separated(contracts: ContractSets) -> bool:
    """Return whether all targets are queries and each hides something that each other one needs."""
    sets = list(zip(contracts.need, contracts.hide, strict=True))
    return not any(contracts.anywhere) and all(
        need & hide for i, (need, _) in enumerate(sets) for j, (_, hide) in enumerate(sets) if i != j
    )


def separate_elements(contracts: ContractSets) -> list[int]:
    """Return the needed elements each other one of which is hidden by some target that needs the element."""

    def excluded(e: int) -> set[int]:
        return {f for need, hide in zip(contracts.need, contracts.hide, strict=True) if e in need for f in hide}

    return [e for e in contracts.elements if set(contracts.elements) - {e} <= excluded(e)]


def hub_clauses(contracts: ContractSets, hubs: int, raw: int, most: int) -> Iterator[Clause]:
    """Yield the clauses for a number of hubs, of raw hubs, and of reads."""
    blanks = range(hubs, hubs + len(contracts.need))
    keys = {q: range(q) for q in range(raw, hubs)} | {q: range(hubs) for q in blanks}
    yield from _embeddings(contracts, hubs, raw)
    for q in keys:
        for e in contracts.elements:
            yield from _closure(contracts, q, e, keys[q], hubs, raw)
    for need, q in zip(contracts.need, blanks, strict=True):
        yield from ((f"holds {q} {e}",) for e in need)
    for k in range(hubs):
        readers = [f"read 1 {q} {k}" for q in keys if k in keys[q]]
        yield tuple(readers)
        if k >= raw:
            yield tuple(f"read 1 {k} {g}" for g in keys[k])
            yield from (tuple(readers[:i] + readers[i + 1 :]) for i in range(len(readers)))
    rows = [[f"read 1 {q} {k}" for k in keys[q]] for q in range(raw, hubs)]
    yield from ordered_rows(rows, raw)
    classes = contracts.classes()
    for e, f in combinations(range(raw), 2) if len(classes) == 1 else ():
        yield from ordered_columns(rows, e, f)
    for alike in classes:
        for e, f in pairwise(alike):
            yield from _named_in_order(e, f, hubs, raw)
    terms = [f"read 1 {q} {k}" for q in keys for k in keys[q]]
    if most < len(terms):
        yield from at_most(terms, most)


def _embeddings(contracts: ContractSets, hubs: int, raw: int) -> Iterator[Clause]:
    """Yield what hubs embed."""
    elements = contracts.elements
    for q in range(hubs):
        yield tuple(f"embed {q} {e}" for e in elements)
        yield from ((f"-embed {q} {e}", f"-embed {q} {f}") for e, f in combinations(elements, 2))
    for q in range(raw - 1):
        yield from ((f"-embed {q} {e}", f"-embed {q + 1} {f}") for e in elements for f in elements if f <= e)
    yield from (tuple(f"embed {q} {e}" for q in range(hubs)) for e in elements)
    for e in separate_elements(contracts):
        for left_out in range(raw, hubs):
            yield tuple(f"embed {q} {e}" for q in range(hubs) if q != left_out)


def _closure(contracts: ContractSets, q: int, e: int, keys: range, hubs: int, raw: int) -> Iterator[Clause]:
    """Yield "node q holds e iff it embeds it or reads a node that holds it"; a blank never holds what it hides."""

    def held(k: int) -> str:
        return f"embed {k} {e}" if k < raw else f"holds {k} {e}"

    if q >= hubs and e in contracts.hide[q - hubs]:
        yield from ((f"-read 1 {q} {k}", f"-{held(k)}") for k in keys)
        return
    ways = [f"via {q} {k} {e}" for k in keys] + [f"embed {q} {e}"] * (q < hubs)
    for k in keys:
        yield f"-via {q} {k} {e}", f"read 1 {q} {k}"
        yield f"-via {q} {k} {e}", held(k)
        yield f"-read 1 {q} {k}", f"-{held(k)}", f"via {q} {k} {e}"
    yield from ((f"-{way}", f"holds {q} {e}") for way in ways)
    yield (f"-holds {q} {e}", *ways)


def _named_in_order(e: int, f: int, hubs: int, raw: int) -> Iterator[Clause]:
    """Yield "f has a raw hub only if e has, and f is embedded only after e if neither has"."""
    has_e, has_f = ([f"embed {q} {x}" for q in range(raw)] for x in (e, f))
    yield from ((f"-embed {q} {f}", *has_e) for q in range(raw))
    for q in range(raw, hubs):
        yield (f"-embed {q} {f}", *has_f, *has_e, *(f"embed {g} {e}" for g in range(raw, q)))
