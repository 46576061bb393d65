"""E(n, 2), the least reads of leave-one-out with two layers and any positions, by all families up to renaming.

In layer 1 only raw elements can be read, so each state after it is a set of elements; in layer 2 the query of k reads
such states and raw elements that cover E without k. A set S costs |S| - 1 reads where one of its elements is embedded.
(The query of j may be where S is made, by |S| reads, and save the read of S: the same sum.) So

    E(n, 2) = min over families F of sum over S in F of (|S| - 1) + sum over k of cover(k, F),

where cover(k, F) is the least number of members of F without k, and of single elements, whose union is E without k.

To be cheaper than a known value U, a family needs sum (|S| - 1) <= U - 1 - 2 n, as no cover has fewer than two parts:
a set of n - 1 elements serves one query, which may as well read them itself, and a set that serves one query only is
not worth making. So 2 <= |S| <= n - 2, and these families are finitely many; all of them, up to renaming elements, are
grown a set at a time. For larger n a formula asks for a family with a number of sets (`encode_families`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth_solvers.discover.clauses import EMBED, READ, Term, both, choose, demand_greatest
from masksynth_solvers.sparse.path_encoding import Formula

Family = tuple[int, ...]
"""Sets as bits, ascending."""


@dataclass(frozen=True)
class TwoLayers:
    """The result of an enumeration.

    Parameters
    ----------
    reads : int
        The least reads of a family that was looked at, or of no family: n (n - 1).
    family : tuple of int
        A family with this many.
    families : int
        Families that were looked at, one for each class under renaming, the empty one included.
    """

    reads: int
    family: Family
    families: int


def least_reads(n: int, most: int) -> TwoLayers:
    """Look at all families that might need at most ``most`` reads.

    Examples
    --------
    >>> least_reads(4, 10)
    TwoLayers(reads=10, family=(3, 12), families=4)
    """
    images = _images(n)
    level: set[Family] = {()}
    best, looked = n * (n - 1), 0
    chosen: Family = ()
    budget = most - 2 * n
    while level:
        for family in sorted(level):
            looked += 1
            if (reads := reads_of_family(n, family)) < best:
                best, chosen = reads, family
        level = {
            canonical_family(images, (*family, added))
            for family in level
            for added in range(1 << n)
            if added not in family
            and 2 <= added.bit_count() <= n - 2
            and sum(members.bit_count() - 1 for members in (*family, added)) <= budget
        }
    return TwoLayers(best, chosen, looked)


def encode_families(n: int, sets: int) -> Formula:
    """Return a formula of families of this many sets; the weight of a model is its reads and the number of sets.

    Sets and elements can be exchanged, so of all orders of both the one whose table of members is greatest, row by
    row, is kept: no exchange of neighbours makes it greater. Each set is read twice or more.

    Examples
    --------
    >>> from masksynth_solvers.discover.cheapest_model import Effort, by_maxsat
    >>> [by_maxsat(encode_families(4, sets), None, Effort()).price - sets for sets in range(4)]
    [12, 11, 10, 11]
    """
    formula = Formula()
    member = {(j, e): choose(formula, EMBED, j, e, price=1) for j in range(sets) for e in range(n)}
    use = {(k, j): choose(formula, READ, 2, k, n + j, price=1) for k in range(n) for j in range(sets)}
    for (k, j), literal in use.items():
        formula.add([-literal, -member[j, k]])
    for k, e in permutations(range(n), 2):
        single = choose(formula, READ, 2, k, e, price=1)
        vias = [int(both(formula, use[k, j], member[j, e], "via", k, j, e)) for j in range(sets)]
        formula.add([single, *vias])
    for j in range(sets):
        readers = [use[k, j] for k in range(n)]
        for index in range(n):
            formula.add(readers[:index] + readers[index + 1 :])
    for j in range(sets - 1):
        rows: list[tuple[Term, Term]] = [(member[j, e], member[j + 1, e]) for e in range(n)]
        demand_greatest(formula, rows, "rows", j)
    for e in range(n - 1):
        columns: list[tuple[Term, Term]] = [(member[j, e], member[j, e + 1]) for j in range(sets)]
        demand_greatest(formula, columns, "columns", e)
    return formula


def reads_of_family(n: int, family: Family) -> int:
    """Return the reads that a family needs.

    Examples
    --------
    >>> reads_of_family(5, (0b11, 0b110, 0b1100, 0b11000, 0b10001))  # the cycle of pairs
    15
    """
    unions = np.zeros(1, np.int64)
    parts = np.zeros(1, np.int64)
    for members in family:
        unions, parts = np.concatenate([unions, unions | members]), np.concatenate([parts, parts + 1])
    cost = parts + n - 1 - _count_bits(unions)
    making = sum(members.bit_count() - 1 for members in family)
    return making + sum(int(cost[(unions >> k) & 1 == 0].min()) for k in range(n))


def canonical_family(images: Int64Array, family: Family) -> Family:
    """Return the least of all images of a family under renaming.

    Parameters
    ----------
    images : (n!, 2^n) int64
        The image of each set under each permutation.
    family : tuple of int
    """
    moved = np.sort(images[:, family], axis=1)
    order = np.lexsort(moved.T[::-1])
    return tuple(moved[order[0]].tolist())


def _images(n: int) -> Int64Array:
    sets = np.arange(1 << n)
    images = [
        np.bitwise_or.reduce([((sets >> e) & 1) << image for e, image in enumerate(order)])
        for order in permutations(range(n))
    ]
    return np.array(images, np.int64)


def _count_bits(sets: Int64Array) -> Int64Array:
    bits: Int64Array = np.unpackbits(sets.astype(np.uint64)[:, None].view(np.uint8), axis=1).sum(axis=1, dtype=np.int64)
    return bits
