"""Integrate 64 random starts of the particle system together, and by a loop of ``solve_ivp`` over starts.

Both use RK45 with the same tolerances, and their final states must agree. Each runs in a process of its own, on one
thread; CPU seconds of that process are reported. The right-hand side of the loop is written as a user would write it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import process_time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import alone
from benchmarks.results import Result, table
from masksynth.diagnostics.clustering import angles, causal_mask, starts, trajectories

SEEDS = 64
RTOL, ATOL = 1e-6, 1e-9
REPEATS, LONG = 3, 10.0
"""Number of runs, of which the best counts; a run of more than LONG seconds is not repeated."""
HEAD = (
    "system",
    "right-hand side of the loop",
    "n",
    "d",
    "beta",
    "T",
    "starts",
    "loop s",
    "together s",
    "ratio",
    "difference, 99 %",
)


class Case(NamedTuple):
    """One system, and how its loop is written: by ``angles`` as the paper prints the circle, or by ``vectors``."""

    name: str
    n: int
    dim: int
    beta: float
    time: float
    by: str


CASES = (
    Case("circle", 200, 2, 64.0, 150.0, "angles"),
    Case("circle", 200, 2, 64.0, 150.0, "vectors"),
    Case("circle", 32, 2, 9.0, 100.0, "angles"),
    Case("sphere", 16, 3, 1.0, 60.0, "vectors"),
    Case("sphere", 32, 3, 9.0, 500.0, "vectors"),
    Case("sphere", 200, 3, 9.0, 100.0, "vectors"),
)


def measure_clustering(max_size: int = SEEDS) -> Result:
    """Measure each case with at most ``max_size`` starts."""
    os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    return Result((table(HEAD, [_row(case, min(max_size, SEEDS)) for case in CASES]),))


def _row(case: Case, seeds: int) -> list[str]:
    loop, loop_states = alone(timed, looped, case, seeds)
    ours, our_states = alone(timed, together, case, seeds)
    difference = float(np.quantile(np.abs(loop_states - our_states).max(axis=-1), 0.99))
    if difference > 1e-3:  # near a split or merge of clusters, step errors grow in both
        raise AssertionError(f"{case}: the two integrations differ by {difference:.1g} at 1 % of the positions")
    numbers = [str(case.n), str(case.dim), f"{case.beta:g}", f"{case.time:g}", str(seeds)]
    return [case.name, case.by, *numbers, f"{loop:.2f}", f"{ours:.2f}", f"{loop / ours:.1f}", f"{difference:.0e}"]


def timed(
    method: Callable[[Case, int], NDArray[np.float64]], case: Case, seeds: int
) -> tuple[float, NDArray[np.float64]]:
    """Return the least CPU seconds of a method, and its result."""
    method(case._replace(time=0.1), 1)  # imports of the first call are not measured
    best = float("inf")
    for _ in range(REPEATS if seeds == SEEDS else 1):
        begin = process_time()
        states = method(case, seeds)
        spent = process_time() - begin
        best = min(best, spent)
        if spent > LONG:
            break
    return best, states


def together(case: Case, seeds: int) -> NDArray[np.float64]:
    """Integrate all starts together; return the final unit vectors, (seeds, n, d)."""
    start = starts(seeds, case.n, case.dim)
    mask = causal_mask(case.n)
    if case.dim == 2:
        phi = angles(mask, np.arctan2(start[..., 1], start[..., 0]), [case.time], beta=case.beta, rtol=RTOL, atol=ATOL)[
            :, 0
        ]
        return np.stack([np.cos(phi), np.sin(phi)], axis=-1)
    return trajectories(mask, start, [case.time], beta=case.beta, rtol=RTOL, atol=ATOL)[:, 0]


def looped(case: Case, seeds: int) -> NDArray[np.float64]:
    """Integrate by one call of ``solve_ivp`` for each start; return the final unit vectors, (seeds, n, d)."""
    from scipy.integrate import solve_ivp

    start = starts(seeds, case.n, case.dim)
    causal = np.tri(case.n, dtype=bool)
    if case.by == "angles":
        turn = np.arctan2(start[..., 1], start[..., 0])
        field = by_angles(causal, case.beta)
        ends = np.array([solve_ivp(field, (0, case.time), phi, rtol=RTOL, atol=ATOL).y[:, -1] for phi in turn])
        return np.stack([np.cos(ends), np.sin(ends)], axis=-1)
    field = by_vectors(causal, case.beta, case.dim)
    ends = [solve_ivp(field, (0, case.time), x.ravel(), rtol=RTOL, atol=ATOL).y[:, -1] for x in start]
    states = np.array(ends).reshape(start.shape)
    return np.asarray(states / np.linalg.norm(states, axis=-1, keepdims=True), np.float64)


def by_angles(allowed: NDArray[np.bool_], beta: float) -> Callable[[float, NDArray[np.float64]], NDArray[np.float64]]:
    """phi_k' = sum of h(phi_j - phi_k) / Z_k, as printed."""

    def field(_: float, phi: NDArray[np.float64]) -> NDArray[np.float64]:
        gap = phi[None, :] - phi[:, None]
        weight = np.exp(beta * (np.cos(gap) - 1)) * allowed
        return np.asarray((weight * np.sin(gap)).sum(axis=1) / weight.sum(axis=1), np.float64)

    return field


def by_vectors(
    allowed: NDArray[np.bool_], beta: float, dim: int
) -> Callable[[float, NDArray[np.float64]], NDArray[np.float64]]:
    """x_k' = P_{x_k}(sum of softmax weights times x_j), with products of matrices."""

    def field(_: float, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        x = flat.reshape(-1, dim)
        weight = np.exp(beta * (x @ x.T - 1)) * allowed
        pull = weight @ x / weight.sum(axis=1, keepdims=True)
        return np.asarray((pull - (pull * x).sum(axis=1, keepdims=True) * x).ravel(), np.float64)

    return field
