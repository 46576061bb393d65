"""Cover several sets at once by CP-SAT: the repair of a large-neighbourhood search over circuits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ortools.sat.python import cp_model

Choices = tuple[int, Sequence[tuple[int, int]]]
"""What a node must hold, and the nodes that it may read with their sets, as bits."""


def repair_covers(
    wanted: Mapping[int, Choices], opening: Mapping[int, float], price: float, seconds: float, seed: int
) -> dict[int, list[int]] | None:
    """Return for each of some nodes what it reads, at the least price; None if none is found in time.

    Parameters
    ----------
    wanted : mapping
        Node -> what it must hold, and what it may read.
    opening : mapping
        Node -> price of using it at all, for nodes that no other node reads.
    price : float
        Price of a read.
    seconds : float
    seed : int
    """
    model = cp_model.CpModel()
    used = {node: model.new_bool_var(f"used {node}") for node in opening}
    reads: dict[tuple[int, int], Any] = {}
    for node, (need, sets) in wanted.items():
        useful = _without_dominated([(other, bits & need) for other, bits in sets if bits & need], opening)
        for other, _ in useful:
            reads[node, other] = model.new_bool_var(f"{node} reads {other}")
            # A node that is read is used.
            if other in used:
                model.add_implication(reads[node, other], used[other])
        # Each element that a node needs is in one of the nodes that it reads.
        for element in range(need.bit_length()):
            if need >> element & 1:
                model.add_bool_or([reads[node, other] for other, bits in useful if bits >> element & 1])
    # What a node that is used reads itself is counted by its opening price.
    scale = 1000
    costs = [round(scale * price) * variable for variable in reads.values()]
    costs += [round(scale * opening[node]) * variable for node, variable in used.items()]
    model.minimize(sum(costs))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.catch_sigint_signal = False  # Ctrl-C is for the search, which keeps its best structure
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    chosen: dict[int, list[int]] = {node: [] for node in wanted}
    for (node, other), variable in reads.items():
        if solver.value(variable):
            chosen[node].append(other)
    return chosen


def _without_dominated(sets: list[tuple[int, int]], opening: Mapping[int, float]) -> list[tuple[int, int]]:
    """Return the nodes without those whose part another node, which is free to read, holds as well."""
    free = [(other, bits) for other, bits in sets if other not in opening]
    free.sort(key=lambda pair: -pair[1].bit_count())
    kept: list[tuple[int, int]] = []
    for other, bits in free:
        if all(bits & ~held for _, held in kept):
            kept.append((other, bits))
    extra = [(o, bits) for o, bits in sets if o in opening and all(bits & ~held for _, held in kept)]
    return kept + extra
