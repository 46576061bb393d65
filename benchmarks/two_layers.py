"""Least edges E(n, 2) of leave-one-out in two layers, as an integer program over families of sets.

python -m benchmarks.two_layers [N] [SECONDS]      solves n = 3, .., N (default 5), each for at most so long

Layer 1 makes sets of raw elements, |S| - 1 reads each at a position that embeds one of them; in layer 2 the query of k
covers all other elements by sets without k and by raw elements, one read each. Every subset may be a set, so that the
optimum is exact for this depth; the number of positions is left free. Solved by HiGHS, as scipy ships it.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array


@dataclass(frozen=True)
class Answer:
    """Edges found and their lower bound, the sets of layer 1, and the seconds that it took."""

    edges: int
    bound: int
    sets: tuple[tuple[int, ...], ...]
    seconds: float


def least_edges(n: int, limit: float = 600.0) -> Answer:
    """Return the fewest edges with which two layers predict each of n elements from all others."""
    sets = [bits for bits in range(1, 1 << n) if 2 <= bits.bit_count() < n]
    made = {bits: index for index, bits in enumerate(sets)}
    cost = [bits.bit_count() - 1.0 for bits in sets]
    rows: list[dict[int, float]] = []
    for k in range(n):
        read = {}
        for bits in [*sets, *(1 << i for i in range(n))]:
            if not bits >> k & 1:
                read[bits] = len(cost)
                cost.append(1.0)
                if bits in made:  # a set is read only if it is made
                    rows.append({made[bits]: 1.0, read[bits]: -1.0})
        for i in range(n):
            if i != k:  # some set that is read has i
                rows.append({variable: 1.0 for bits, variable in read.items() if bits >> i & 1})
    low = np.array([min(0.0, *row.values()) + 1 for row in rows])  # 0 for made - read, 1 for a cover
    start = time.perf_counter()
    solution = milp(
        np.array(cost),
        constraints=LinearConstraint(_matrix(rows, len(cost)), lb=low),
        bounds=Bounds(0, 1),
        integrality=np.ones(len(cost)),
        options={"time_limit": limit},
    )
    chosen = [bits for bits in sets if solution.x[made[bits]] > 0.5]
    members = tuple(tuple(i for i in range(n) if bits >> i & 1) for bits in chosen)
    bound = int(np.ceil(solution.mip_dual_bound - 1e-6))
    return Answer(round(solution.fun), bound, members, time.perf_counter() - start)


def _matrix(rows: list[dict[int, float]], columns: int) -> coo_array:
    """Return rows of coefficients as a sparse matrix."""
    row = np.repeat(np.arange(len(rows)), [len(entries) for entries in rows])
    column = [variable for entries in rows for variable in entries]
    value = [coefficient for entries in rows for coefficient in entries.values()]
    return coo_array((value, (row, column)), shape=(len(rows), columns))


if __name__ == "__main__":
    largest, seconds = (int(text) for text in [*sys.argv[1:], *("5", "600")[len(sys.argv) - 1 :]])
    for size in range(3, largest + 1):
        print(size, least_edges(size, seconds), flush=True)
