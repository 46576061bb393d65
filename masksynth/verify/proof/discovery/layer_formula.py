"""Clauses of "there is a structure with a mask for each of L layers, no further position, and at most this many reads".

For contracts whose targets are all queries. Positions are the m needed elements, in their order, then the blanks of the
targets. ``read l q k``: q reads k in layer l; ``context l q e``: e is in C_l(q), left out where it cannot be, and where
it is certain: an element is in its own context. Some cheapest structure has this form:

- a blank is not read in layer 1, an element does not read in layer L, and what a target hides is not read raw by it;
- *news*: a read brings an element that the reader lacks; else it can go;
- *late*: q reads k in layer l < L only if q is read in layer l + 1, or k reads in layer l; else the read can wait for
  layer l + 1, as no position sees q meanwhile, and k stays as it is;
- *greatest*: contracts do not change if two elements are exchanged, and targets with them, or two targets that are
  alike. None of these exchanges makes the word of reads, layer by layer and row by row, greater.

The first three only drop or delay reads. Of all structures with the fewest reads take those whose layers of reads sum
to the most: they have news and late, and so have their images under exchanges, one of which has the greatest word.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from masksynth.verify.proof.discovery.contract_sets import ContractSets, Set
from masksynth.verify.proof.formula import Clause, at_most

Read = tuple[int, int, int]
Contexts = dict[tuple[int, int, int], str]
CERTAIN = ""
"""Instead of the name of a context that is certain."""


def layer_clauses(contracts: ContractSets, most: int) -> Iterator[Clause]:
    """Yield the clauses for a number of reads.

    Examples
    --------
    >>> from masksynth.verify.proof.discovery.contract_sets import _sets_of
    >>> contracts = _sets_of({"masksynth_contracts": 1, "elements": 2, "targets": "each", "layers": 1})
    >>> list(layer_clauses(contracts, 1))[:2]
    [('-context 1 2 1', 'read 1 2 1'), ('-read 1 2 1', 'context 1 2 1')]
    """
    reads = list_reads(contracts)
    contexts: Contexts = {(0, k, e): CERTAIN for k, e in enumerate(contracts.elements)}
    for layer in range(1, (contracts.layers or 0) + 1):
        yield from _layer(contracts, reads, contexts, layer)
    m = len(contracts.elements)
    for t, need in enumerate(contracts.need):
        held = [contexts.get((contracts.layers or 0, m + t, e)) for e in need]
        yield from ((name,) if name is not None else () for name in held)
    yield from _news(contracts, reads, contexts)
    yield from _late(contracts, reads)
    for number, image in enumerate(image for image in exchanges(contracts) if image != sorted(image)):
        yield from _greatest(reads, image, number)
    yield from at_most([_name(*read) for read in reads], most)


def list_reads(contracts: ContractSets) -> list[Read]:
    """Return the reads (l, q, k) that a structure may have, by layer, reader and key."""
    m, size, depth = len(contracts.elements), len(contracts.elements) + len(contracts.need), contracts.layers or 0
    return [
        (layer, q, k)
        for layer in range(1, depth + 1)
        for q in range(size)
        for k in range(size)
        if q != k
        and (layer < depth or q >= m)
        and (layer > 1 or k < m)
        and not (k < m and q >= m and contracts.elements[k] in contracts.hide[q - m])
    ]


def exchanges(contracts: ContractSets) -> list[list[int]]:
    """Return the image of each position under each exchange: of two elements, then of two targets that are alike."""
    rows = list(zip(contracts.need, contracts.hide, strict=True))
    numbers = range(max(max((*need, *hide), default=0) for need, hide in rows) + 1)
    m, column = len(contracts.elements), {e: index for index, e in enumerate(contracts.elements)}
    found = []
    for e, f in combinations(numbers, 2):
        if contracts.is_exchange(e, f):
            swap = {e: f, f: e}
            images = [column[swap.get(element, element)] for element in contracts.elements]
            found.append(images + [m + t for t in _follow(rows, swap)])
    alike = {row: [t for t, other in enumerate(rows) if other == row] for row in rows}
    for same in alike.values():
        for a, b in combinations(same, 2):
            exchanged = {a: b, b: a}
            found.append([*range(m), *(m + exchanged.get(t, t) for t in range(len(rows)))])
    return found


def _follow(rows: list[tuple[Set, Set]], swap: dict[int, int]) -> list[int]:
    """Return the image of each target under an exchange of elements: those that are alike, in their order."""

    def moved(members: Set) -> Set:
        return frozenset(swap.get(member, member) for member in members)

    image = []
    for t, (need, hide) in enumerate(rows):
        place = rows[:t].count((need, hide))
        image.append([other for other, row in enumerate(rows) if row == (moved(need), moved(hide))][place])
    return image


def _name(layer: int, q: int, k: int) -> str:
    return f"read {layer} {q} {k}"


def _layer(contracts: ContractSets, reads: list[Read], contexts: Contexts, layer: int) -> Iterator[Clause]:
    """Yield "after a layer, q has e iff it had it, or reads a position that had it", and add the contexts."""
    m, size = len(contracts.elements), len(contracts.elements) + len(contracts.need)
    for q in range(size):
        keys = [k for at, reader, k in reads if (at, reader) == (layer, q)]
        for e in contracts.elements:
            had = contexts.get((layer - 1, q, e))
            there = [(k, contexts[layer - 1, k, e]) for k in keys if (layer - 1, k, e) in contexts]
            if q >= m and e in contracts.hide[q - m]:
                yield from ((f"-{_name(layer, q, k)}", f"-{held}") for k, held in there)
                continue
            if had == CERTAIN or not there:
                if had is not None:
                    contexts[layer, q, e] = had
                continue
            name = contexts[layer, q, e] = f"context {layer} {q} {e}"
            ways = [had] if had is not None else []
            for k, held in there:
                read = _name(layer, q, k)
                way = read if held == CERTAIN else f"via {layer} {q} {k} {e}"
                ways.append(way)
                if held != CERTAIN:
                    yield from ((f"-{way}", read), (f"-{way}", held), (f"-{read}", f"-{held}", way))
            yield (f"-{name}", *ways)
            yield from ((f"-{way}", name) for way in ways)


def _news(contracts: ContractSets, reads: list[Read], contexts: Contexts) -> Iterator[Clause]:
    """Yield "what is read holds an element that the reader lacks"."""
    for layer, q, k in reads:
        pairs = [(e, contexts.get((layer - 1, k, e)), contexts.get((layer - 1, q, e))) for e in contracts.elements]
        if any(there == CERTAIN and here is None for _, there, here in pairs):
            continue
        news = []
        for e, there, here in pairs:
            if there is not None and here != CERTAIN:
                news.append(f"news {layer} {q} {k} {e}")
                if there != CERTAIN:
                    yield f"-{news[-1]}", there
                if here is not None:
                    yield f"-{news[-1]}", f"-{here}"
        yield (f"-{_name(layer, q, k)}", *news)


def _late(contracts: ContractSets, reads: list[Read]) -> Iterator[Clause]:
    """Yield "q is read in the next layer, or what it reads reads in this one"."""
    for layer, q, k in reads:
        if layer < (contracts.layers or 0):
            readers = [_name(*read) for read in reads if (read[0], read[2]) == (layer + 1, q)]
            further = [_name(*read) for read in reads if (read[0], read[1]) == (layer, k)]
            yield (f"-{_name(layer, q, k)}", *readers, *further)


def _greatest(reads: list[Read], image: list[int], number: int) -> Iterator[Clause]:
    """Yield "the word of reads is not less than its image under an exchange"."""
    letters = [(read, (read[0], image[read[1]], image[read[2]])) for read in reads]
    letters = [(read, other) for read, other in letters if read != other]
    equal: Clause = ()
    for count, (read, other) in enumerate(letters, 1):
        yield (*equal, _name(*read), f"-{_name(*other)}")
        if count < len(letters):
            name = f"equal {number} {count}"
            yield (*equal, _name(*read), name)
            yield (*equal, f"-{_name(*other)}", name)
            equal = (f"-{name}",)
