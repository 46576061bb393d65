"""Pair greedy: make a gate of the pair of nodes that most targets read together, until no pair is read twice.

References
----------
C. Paar, "Optimized arithmetic for Reed-Solomon encoders", ISIT 1997, for sums over GF(2); for unions a pair may also be
used where one of its elements is there already, which the local search adds.
"""

from __future__ import annotations

import numpy as np

from masksynth.discover.circuit import Circuit, Wants, members


def pair_greedy(wants: Wants, rng: np.random.Generator, noise: float = 0.0) -> Circuit:
    """Return a circuit of binary gates by pair greedy, at most ``wants.layers`` deep.

    Parameters
    ----------
    wants : Wants
    rng : Generator
        Breaks ties.
    noise : float
        Relative size of a random factor on the number of targets that read a pair; 0: the best pair is taken.
    """
    rows = np.zeros((len(wants.need), wants.elements), np.float32)
    for index, need in enumerate(wants.need):
        rows[index, members(need)] = 1
    circuit = Circuit.direct(wants)
    node = list(range(wants.elements))
    level = [0] * wants.elements
    together = rows.T @ rows
    np.fill_diagonal(together, 0)
    shake = rng.random(together.shape, np.float32)
    while (pair := _best_pair(together, shake, noise)) is not None:
        first, second = pair
        depth = 1 + max(level[first], level[second])
        if depth >= wants.layers:
            together[first, second] = together[second, first] = 0
            continue
        both = rows[:, first] * rows[:, second]
        rows[:, first] -= both
        rows[:, second] -= both
        rows = np.column_stack([rows, both])
        node.append(circuit.add_gate((node[first], node[second])))
        level.append(depth)
        together, shake = _count_again(together, shake, rows, (first, second), level, wants.layers, rng)
    for index in range(len(wants.need)):
        circuit.inputs[wants.elements + index] = tuple(node[column] for column in np.flatnonzero(rows[index]).tolist())
    return circuit.tidy()


def _best_pair(together: np.ndarray, shake: np.ndarray, noise: float) -> tuple[int, int] | None:
    """Return a pair that most rows hold, None if no two rows hold a pair."""
    if not together.size or together.max() < 2:
        return None
    weight = together * (1 + noise * shake) + 0.5 * shake * (together > 1)  # the second term breaks ties
    first, second = divmod(int(weight.argmax()), len(together))
    return (first, second) if together[first, second] >= 2 else None


def _count_again(
    together: np.ndarray,
    shake: np.ndarray,
    rows: np.ndarray,
    pair: tuple[int, int],
    level: list[int],
    layers: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts of pairs after a column was added and those of its pair have changed."""
    size = rows.shape[1]
    grown, shaken = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    grown[:-1, :-1], shaken[:-1, :-1] = together, shake
    shaken[-1, :] = shaken[:, -1] = rng.random(size, np.float32)
    changed = [*pair, size - 1]
    counts = rows.T @ rows[:, changed]
    depth = np.array(level)
    for column, values in zip(changed, counts.T, strict=True):
        # A pair that was too deep stays so.
        values = np.where(np.maximum(depth, depth[column]) + 1 < layers, values, 0)
        values[column] = 0
        grown[:, column] = grown[column, :] = values
    return grown, shaken
