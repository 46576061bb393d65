"""Find the order with the fewest non-empty attention blocks by CP-SAT: positions are assigned to blocks.

The number of non-empty blocks depends only on the assignment of positions to blocks; each non-empty block costs 1.
Families of constraints, in this order:

- assignment: every position lies in one block, and every block contains as many positions as its capacity (the last
  block may be smaller);
- touches: a row touches the key blocks that contain its keys (equal rows share these variables);
- used: block (i, j) is used if block i contains a position whose row touches block j;
- counting: block row i uses enough blocks for the keys of each of its rows, block columns likewise, and all blocks
  together are at least the proved bound;
- symmetry: the lowest members of full blocks ascend, and of two exchangeable positions the lower one lies in the lower
  block. The lexicographically first of all equivalent assignments satisfies both.
"""

from __future__ import annotations

from importlib.metadata import version
from itertools import pairwise
from math import ceil
from time import monotonic
from typing import Any

import numpy as np

from masksynth.backends import Limits
from masksynth.errors import MasksynthError, Unsupported
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth_solvers.interruptible import run

MAX_ORDER_CLAUSES = 1_000_000
"""Maximum number of clauses of a model."""


def fewest_blocks(
    mask: Mask, block_size: int, order: Int64Array, least: int, limits: Limits
) -> tuple[Int64Array, int, str]:
    """Find an order with the fewest non-empty blocks, or the best within the limits.

    Parameters
    ----------
    mask : Mask
    block_size : int
        Number of positions per block, B.
    order : (N,) int64
        The order from which the search starts.
    least : int
        A lower bound that is already proved.
    limits : Limits
        Time, threads and seed; ``effort`` is the deterministic time of CP-SAT.

    Returns
    -------
    (order, bound, proof)
        The order, a lower bound on the number of non-empty blocks, and how it was proved.

    Raises
    ------
    Unsupported
        If the model would have more than ``MAX_ORDER_CLAUSES`` clauses.

    Examples
    --------
    >>> mask = Mask.from_dense(np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]], bool))
    >>> order, bound, _ = fewest_blocks(mask, 2, np.arange(4), 2, Limits())
    >>> bound, sorted(order[:2].tolist()) in ([0, 2], [1, 3])
    (2, True)
    """
    blocks = -(-mask.size // block_size)
    clauses = mask.pairs * blocks + mask.tables * mask.size * blocks * blocks
    if clauses > MAX_ORDER_CLAUSES:
        limit = f"at most {MAX_ORDER_CLAUSES:,} are supported"
        remedy = f"{limit}: leave out the exact search, or take larger blocks or a smaller mask"
        raise Unsupported(
            f"the exact search of {mask.size} positions in {blocks} blocks has {clauses:,} clauses; {remedy}"
        )
    proof = f"CP-SAT {version('ortools')}: the bound of its search"
    if mask.size == 0:
        return order, 0, proof
    from ortools.sat.python import cp_model

    until = None if limits.seconds is None else monotonic() + limits.seconds
    model, in_block = _model(mask, block_size, order, least)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = limits.workers
    solver.parameters.random_seed = limits.seed
    solver.parameters.catch_sigint_signal = False
    if limits.effort is not None:
        solver.parameters.max_deterministic_time = limits.effort
    native, _ = run(lambda: solver.solve(model), solver.stop_search, until)
    if native in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        home = np.array(
            [next(b for b, variable in enumerate(row) if solver.boolean_value(variable)) for row in in_block]
        )
        return np.argsort(home, kind="stable"), max(least, ceil(solver.best_objective_bound - 1e-6)), proof
    if native == cp_model.UNKNOWN:
        return order, least, proof
    raise MasksynthError(f"CP-SAT returned {solver.status_name(native)} to a problem that always has a solution")


def _model(mask: Mask, block: int, order: Int64Array, least: int) -> tuple[Any, list[list[Any]]]:
    from ortools.sat.python import cp_model

    size, blocks = mask.size, -(-mask.size // block)
    capacity = [min(block, size - b * block) for b in range(blocks)]
    model = cp_model.CpModel()
    in_block = [[model.new_bool_var(f"position {p} in block {b}") for b in range(blocks)] for p in range(size)]
    for row in in_block:
        model.add_exactly_one(row)
    for b in range(blocks):
        model.add(sum(row[b] for row in in_block) == capacity[b])
    used: list[Any] = []
    for table in range(mask.tables):
        used += _add_table(model, [mask.row(q, table).tolist() for q in range(size)], in_block, capacity)
    model.add(sum(used) >= least)
    model.minimize(sum(used))
    dense = mask.dense().reshape(mask.tables, size, size)
    groups = _exchangeable_groups(dense)
    _break_symmetry(model, groups, in_block, capacity, block)
    _hint(model, groups, in_block, order, block)
    return model, in_block


def _add_table(model: Any, rows: list[list[int]], in_block: list[list[Any]], capacity: list[int]) -> list[Any]:
    """Add the families touches, pairs and counting of one table; return the variables of its blocks."""
    blocks = range(len(capacity))
    used = [[model.new_bool_var(f"block {i}, {j}") for j in blocks] for i in blocks]
    touches: dict[tuple[int, ...], list[Any]] = {}
    column_counts: list[int] = [0] * len(rows)
    for query, row in enumerate(rows):
        if tuple(row) not in touches:
            touches[tuple(row)] = touch = [model.new_bool_var(f"the row of {query} touches {j}") for j in blocks]
            for key in row:
                for j in blocks:
                    model.add_implication(in_block[key][j], touch[j])
            model.add(sum(capacity[j] * touch[j] for j in blocks) >= len(row))
        for i in blocks:
            for j in blocks:
                model.add_bool_or([~in_block[query][i], ~touches[tuple(row)][j], used[i][j]])
        for key in row:
            column_counts[key] += 1
    for position, row in enumerate(rows):
        for b in blocks:
            model.add(sum(capacity[j] * used[b][j] for j in blocks) >= len(row) * in_block[position][b])
            model.add(sum(capacity[i] * used[i][b] for i in blocks) >= column_counts[position] * in_block[position][b])
    return [variable for line in used for variable in line]


def _break_symmetry(
    model: Any, groups: list[list[int]], in_block: list[list[Any]], capacity: list[int], block: int
) -> None:
    full_blocks = sum(1 for space in capacity if space == block)
    for b in range(1, full_blocks):
        for p, row in enumerate(in_block):
            model.add_bool_or([~row[b], *(in_block[lower][b - 1] for lower in range(p))])
    for members in groups:
        for low, high in pairwise(members):
            model.add(
                sum(b * variable for b, variable in enumerate(in_block[low]))
                <= sum(b * variable for b, variable in enumerate(in_block[high]))
            )


def _exchangeable_groups(dense: BoolArray) -> list[list[int]]:
    """Return groups of positions that can be exchanged without changing the mask."""
    groups: list[list[int]] = []
    for position in range(dense.shape[1]):
        for members in groups:
            if _exchangeable(dense, members[0], position):
                members.append(position)
                break
        else:
            groups.append([position])
    return groups


def _exchangeable(dense: BoolArray, p: int, q: int) -> bool:
    others = np.ones(dense.shape[1], bool)
    others[[p, q]] = False
    return bool(
        (dense[:, p, others] == dense[:, q, others]).all()
        and (dense[:, others, p] == dense[:, others, q]).all()
        and (dense[:, p, p] == dense[:, q, q]).all()
        and (dense[:, p, q] == dense[:, q, p]).all()
    )


def _hint(model: Any, groups: list[list[int]], in_block: list[list[Any]], order: Int64Array, block: int) -> None:
    """Hint the given order, relabelled until it (nearly) satisfies the symmetry constraints."""
    home = np.empty(len(order), np.int64)
    home[order] = np.arange(len(order)) // block
    full_blocks = len(order) // block
    for _ in range(3):
        for members in groups:
            home[members] = np.sort(home[members])
        firsts = np.array([int(np.flatnonzero(home == b)[0]) for b in range(full_blocks)])
        names = np.arange(-(-len(order) // block))
        names[:full_blocks][np.argsort(firsts)] = np.arange(full_blocks)
        home = names[home]
    for row, block_of_row in zip(in_block, home.tolist(), strict=True):
        for b, variable in enumerate(row):
            model.add_hint(variable, b == block_of_row)
