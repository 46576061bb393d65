"""Clauses of "there is a circuit of exactly G gates, none superfluous, that computes every target".

Nodes are the m needed elements, in their order, then the gates; a gate is the union of two earlier nodes. If there is a
circuit with G gates and none with fewer, there is one for which these clauses hold: every gate is used, no gate equals
one of its inputs, and of all orders of the gates and namings of exchangeable elements the one whose rows, one after
another, make the greatest word. In the greatest word, a gate that does not read the one before it has no greater row
over the nodes before both (else the two in the other order give a greater word), and no exchange of two columns of
exchangeable elements makes it greater.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

from masksynth.verify.proof.discovery.contract_sets import ContractSets, Set
from masksynth.verify.proof.formula import Clause

Rows = list[list[str]]


def gate_clauses(contracts: ContractSets, gates: int) -> Iterator[Clause]:
    """Yield the clauses for a number of gates.

    Examples
    --------
    >>> from masksynth.verify.proof.discovery.contract_sets import _sets_of
    >>> contracts = _sets_of({"masksynth_contracts": 1, "elements": 2, "targets": "each"})
    >>> list(gate_clauses(contracts, 0))
    [('out 0 1',), ('out 1 0',)]
    """
    column = {element: index for index, element in enumerate(contracts.elements)}
    m = len(column)
    need = [frozenset(column[e] for e in members) for members in contracts.need]
    hide = [frozenset(column[e] for e in members if e in column) for members in contracts.hide]
    rows = [[f"gate {g} {k}" for k in range(m + g)] for g in range(gates)]
    for g, row in enumerate(rows):
        for k in range(len(row)):
            yield tuple(row[:k] + row[k + 1 :])
        yield from (tuple(f"-{name}" for name in three) for three in combinations(row, 3))
        yield from _union(g, m)
    for t in range(len(need)):
        yield from _output(t, need[t], hide[t], m, gates)
    for g in range(gates):
        readers = [f"gate {later} {m + g}" for later in range(g + 1, gates)]
        yield (*readers, *(f"out {t} {m + g}" for t in range(len(need)) if need[t]))
    yield from ordered_rows(rows, m)
    for alike in contracts.classes():
        for e, f in combinations([column[member] for member in alike], 2):
            yield from ordered_columns(rows, e, f)


def _union(g: int, m: int) -> Iterator[Clause]:
    """Yield "gate g holds e iff one of its inputs does", and "it holds something that a gate it reads does not"."""
    for e in range(m):
        ways = [f"gate {g} {e}"]
        for j in range(g):
            via = f"via {g} {m + j} {e}"
            ways.append(via)
            yield f"-{via}", f"gate {g} {m + j}"
            yield f"-{via}", f"holds {j} {e}"
            yield f"-gate {g} {m + j}", f"-holds {j} {e}", via
        yield from ((f"-{way}", f"holds {g} {e}") for way in ways)
        yield (f"-holds {g} {e}", *ways)
    for j in range(g):
        for e in range(m):
            yield f"-gain {g} {m + j} {e}", f"holds {g} {e}"
            yield f"-gain {g} {m + j} {e}", f"-holds {j} {e}"
        yield (f"-gate {g} {m + j}", *(f"gain {g} {m + j} {e}" for e in range(m)))


def _output(t: int, need: Set, hide: Set, m: int, gates: int) -> Iterator[Clause]:
    """Yield "some node holds the need of target t and nothing that it hides"."""
    if not need:
        return
    nodes = [e for e in range(m) if need == {e}]
    yield tuple(f"out {t} {node}" for node in [*nodes, *range(m, m + gates)])
    for g in range(gates):
        yield from ((f"-out {t} {m + g}", f"holds {g} {e}") for e in need)
        yield from ((f"-out {t} {m + g}", f"-holds {g} {e}") for e in hide)


def ordered_rows(rows: Rows, sources: int) -> Iterator[Clause]:
    """Yield "a row whose node does not read the node before is at most the row of that node"."""
    for index, (row, following) in enumerate(pairwise(rows)):
        width = sources + index
        apart: Clause = (following[width],)
        for k in range(width):
            yield *apart, row[k], f"-{following[k]}"
            if k + 1 < width:
                yield *apart, row[k], f"order {index} {k}"
                yield *apart, f"-{following[k]}", f"order {index} {k}"
                apart = (following[width], f"-order {index} {k}")


def ordered_columns(rows: Rows, e: int, f: int) -> Iterator[Clause]:
    """Yield "in the first row where the columns e and f differ, e is read"."""
    equal: Clause = ()
    for number, row in enumerate(rows, 1):
        yield *equal, row[e], f"-{row[f]}"
        if number < len(rows):
            yield *equal, row[e], f"columns {e} {f} {number}"
            yield *equal, f"-{row[f]}", f"columns {e} {f} {number}"
            equal = (f"-columns {e} {f} {number}",)
