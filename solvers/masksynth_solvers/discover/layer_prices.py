"""Terms of a cost that counts every layer: positions updated, positions only read, and pairs.

As `masksynth.discover.measure`: a position is live after a layer if it is predicted at or read later by what is live;
updated in a layer if live after it and it has read another position by then; kept if it is read in a layer without
being updated in it. All are defined by "iff", so no price makes a false value pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from masksynth_solvers.discover.clauses import KEPT, UPDATE, Prices, Term, add, any_of, both, choose, negate
from masksynth_solvers.sparse.path_encoding import Formula

if TYPE_CHECKING:
    from masksynth_solvers.discover.layers import Layered


def charge_layers(layered: Layered) -> int:
    """Add prices beyond those of reads and optional positions; return the price that every structure pays."""
    weights, prices = layered.contracts.weights, Prices.of(layered.contracts.weights)
    if weights.count == "structure":
        return prices.position * sum(layered.places.paid)
    one = layered.contracts.masks == "one"
    size, formula = layered.places.size, layered.formula
    rows = [1] if one else list(range(1, layered.depth + 1))
    times = layered.times
    live = _add_live(layered, rows)
    for q in range(size):
        mixed: Term = False
        for row in rows:
            reads = [layered.read[row, q, k] for k in range(size) if (row, q, k) in layered.read]
            mixed = any_of(formula, [mixed, *reads], "mixed", row, q)
            updated = both(formula, live[row, q], mixed, "updates", row, q)
            _charge(formula, updated, prices.position * times, UPDATE, row, q)
            readers = [layered.read[row, r, q] for r in range(size) if (row, r, q) in layered.read]
            is_read = any_of(formula, readers, "isread", row, q)
            only_read = both(formula, is_read, negate(updated), "only", row, q)
            _charge(formula, only_read, prices.kv * times, KEPT, row, q)
    return 0


def _charge(formula: Formula, term: Term, price: int, kind: int, row: int, q: int) -> None:
    """Add a price that is paid if a term is true."""
    if term is not False and price:
        add(formula, negate(term), choose(formula, kind, row, q, price=price))


def _add_live(layered: Layered, rows: list[int]) -> dict[tuple[int, int], Term]:
    """Return whether each position is live after each layer; reads by what is not live are forbidden."""
    size, formula = layered.places.size, layered.formula
    live: dict[tuple[int, int], Term] = {}
    for q in range(size):
        live[rows[-1], q] = any_of(formula, [here for (_, at), here in layered.place.items() if at == q], "live", 0, q)
    if layered.contracts.masks == "one":  # what is not live is never read, so what is read is live
        for q in range(size):
            readers = [layered.read[1, r, q] for r in range(size) if (1, r, q) in layered.read]
            live[1, q] = any_of(formula, [live[1, q], *readers], "live", 1, q)
    for row in reversed(rows[1:]):
        for q in range(size):
            readers = [layered.read[row, r, q] for r in range(size) if (row, r, q) in layered.read]
            live[row - 1, q] = any_of(formula, [live[row, q], *readers], "live", row - 1, q)
    for (row, q, _), literal in layered.read.items():
        if row in rows:
            add(formula, negate(literal), live[row, q])
    return live
