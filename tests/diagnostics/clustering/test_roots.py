"""Whom a position follows, from the definitions by another library, and what is proved, by running it."""

from __future__ import annotations

from math import comb

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import masksynth as ms
from masksynth.diagnostics.clustering import (
    MEANING,
    PROVED,
    angles,
    causal_mask,
    following,
    in_hemisphere,
    meaning,
    parts,
    peak,
    starts,
    trajectories,
)
from masksynth.diagnostics.clustering.hemispheres import affordable, starts_in_hemispheres
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from tests.diagnostics.clustering.naive import random_mask


def by_definition(allowed):
    """(roots, roots below each, status) with networkx, position by position."""
    n = len(allowed)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(np.argwhere(allowed).tolist())
    down = [nx.descendants(graph, q) | {q} for q in range(n)]
    same = [{k for k in down[q] if q in down[k]} for q in range(n)]
    roots = sorted({min(same[q]) for q in range(n) if down[q] == same[q]})
    below = [tuple(root for root in roots if root in down[q]) for q in range(n)]
    fixed = [not set(np.flatnonzero(allowed[q])) - {q} for q in range(n)]
    return roots, below, tuple(status(allowed, q, down, same, below, fixed) for q in range(n))


def status(allowed, q, down, same, below, fixed):
    keys = set(np.flatnonzero(allowed[q])) - {q}
    acyclic = all(len(same[k]) == 1 for k in down[q])
    if fixed[q]:
        return "fixed"
    line = sorted(down[q], key=lambda k: len(down[k]))
    if acyclic and all(set(np.flatnonzero(allowed[k])) == set(line[: place + 1]) for place, k in enumerate(line)):
        return "chain"
    if acyclic and len(below[q]) == 1:
        return "one root"
    if len(below[q]) > 1 and all(fixed[k] for k in keys):
        return "fixed keys"
    if len(below[q]) > 1:
        return "several roots" if acyclic else "several roots, cycles"
    root = same[below[q][0]]
    if any(len(same[k]) > 1 for k in down[q] - set(root)):
        return "one class, cycles above"
    return shape(allowed, root)


def shape(allowed, root):
    """Return the status of positions whose one root is a class of several, by pairs."""
    pairs = [(i, k) for i in root for k in root if i != k]
    if all(allowed[pair] for pair in pairs):
        return "complete class"
    if all(allowed[i, k] == allowed[k, i] for i, k in pairs):
        return "symmetric class"
    return "ring" if len(root) >= 5 and all(allowed[i].sum() == 1 for i in root) else "one class"


@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from([0.1, 0.2, 0.35, 0.6]), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_following_is_its_definition(number, n, share, kind):
    """Kinds: any, causal, and the first half symmetric or a ring that sees nothing else."""
    rng = np.random.default_rng(number)
    allowed, half = random_mask(rng, n, share, kind == 1), max(n - 2, 1)
    if kind > 1:
        allowed[:half, half:] = False
        allowed[:half, :half] |= allowed[:half, :half].T
    if kind == 3:
        allowed[:half, :half] = np.roll(np.eye(half, dtype=bool), 1, axis=1)
    found = following(Mask.from_dense(allowed))
    roots, below, known = by_definition(allowed)
    assert found.roots == tuple(roots)
    assert [tuple(np.array(found.roots)[row].tolist()) for row in found.below] == below
    assert found.status == known


def test_a_causal_mask_is_a_chain():
    assert set(following(causal_mask(30)).status[1:]) == {"chain"}
    assert set(following(Mask.from_dense(np.ones((5, 5), bool))).status) == {"complete class"}
    assert set(following(Mask.from_dense(np.zeros((4, 4), bool))).status) == {"fixed"}
    assert set(following(Mask.from_dense(np.tri(6, k=-1, dtype=bool))).status[1:]) == {"one root"}
    assert set(PROVED) < set(MEANING)
    assert all(
        MEANING[each].startswith("theorem" if each in PROVED else ("conjecture", "open", "refuted")) for each in MEANING
    )


@pytest.mark.parametrize("number", range(6))
def test_one_root_gathers_all(number):
    """Theorem B: acyclic, one minimal position; any Q and K; rows with and without themselves."""
    rng = np.random.default_rng(number)
    rows = np.tril(rng.random((10, 10)) < 0.3)
    rows[np.arange(1, 10), rng.integers(0, np.arange(1, 10))] = True
    query, key = rng.standard_normal((2, 3, 3)) / np.sqrt(3)
    assert set(following(Mask.from_dense(rows)).status) <= {"fixed", "chain", "one root"}
    x = starts(4, 10, 3, seed=number)
    end = trajectories(Mask.from_dense(rows), x, [150.0], beta=0.5, query=query, key=key)[:, 0]
    assert np.abs(end - x[:, :1]).max() < 1e-4


def test_an_open_hemisphere_gathers_with_cycles():
    """Theorem C: one minimal class, here of three; a start where all look one way."""
    rows = np.zeros((6, 6), bool)
    rows[0, 1] = rows[1, 2] = rows[2, 0] = rows[3, 0] = rows[4, 3] = rows[5, 4] = rows[3, 5] = True
    assert set(following(Mask.from_dense(rows)).status) == {"one class", "one class, cycles above"}
    x = starts(6, 6, 4, seed=2)
    x[..., 0] = np.abs(x[..., 0]) + 0.01
    end = trajectories(Mask.from_dense(rows), x, [200.0], beta=2.0)[:, 0]
    assert np.abs(end - end[:, :1]).max() < 1e-4


def test_without_a_hemisphere_a_cycle_need_not_gather():
    """The conjecture needs almost every start: three on the circle that chase one another do not move."""
    rows = np.roll(np.eye(3, dtype=bool), 1, axis=1)
    turn = 2 * np.pi * np.arange(3) / 3
    x = np.stack([np.cos(turn), np.sin(turn)], axis=-1)[None]
    end = trajectories(Mask.from_dense(rows), x, [3.0])[0, 0]
    assert np.linalg.norm(end - np.roll(end, 1, axis=0), axis=-1).min() > 1.7


@pytest.mark.parametrize("n", [5, 6, 10])
def test_a_ring_stays_twisted_round_the_circle(n):
    """Not a conjecture at d = 2: gaps of 2 pi / n attract where cos(2 pi / n) > 0; the ring turns for ever and never
    gathers.
    """
    ring, turn, noise = (
        np.roll(np.eye(n, dtype=bool), 1, axis=1),
        2 * np.pi / n,
        np.random.default_rng(n).uniform(-0.2, 0.2, (4, n)),
    )
    end = angles(Mask.from_dense(ring), turn * np.arange(n) + noise, [300.0, 301.0], rtol=1e-9, atol=1e-12)
    steps = (np.roll(end, -1, axis=2) - end) % (2 * np.pi)
    assert np.abs(steps - turn).max() < 1e-5
    assert np.abs(end[:, 1] - end[:, 0] - np.sin(turn)).max() < 1e-5
    assert set(following(Mask.from_dense(ring)).status) == {"ring"}
    assert meaning("ring", 2).startswith("refuted")
    few = angles(Mask.from_dense(np.roll(np.eye(3, dtype=bool), 1, axis=1)), [[0.0, 2.2, 4.1]], [300.0])[0, 0]
    assert np.abs(np.exp(1j * few) - np.exp(1j * few[0])).max() < 1e-5


@pytest.mark.parametrize(("n", "stays"), [(8, True), (6, False)])
def test_a_ring_that_looks_both_ways_stays_twisted_below_the_peak(n, stays):
    """At beta 1 the peak of h is 0.9046, between 2 pi / 8 and 2 pi / 6."""
    ring, turn = np.roll(np.eye(n, dtype=bool), 1, axis=1), 2 * np.pi / n
    start = turn * np.arange(n) + np.random.default_rng(n).uniform(-0.05, 0.05, (4, n))
    end = angles(Mask.from_dense(ring | ring.T), start, [400.0], rtol=1e-9, atol=1e-12)[:, 0]
    steps = (np.roll(end, -1, axis=1) - end) % (2 * np.pi)
    assert (np.abs(steps - turn).max(axis=1) < 1e-5).all() == stays
    assert (turn < peak(1.0)) == stays


def test_a_cycle_above_several_roots_may_move_for_ever_on_the_sphere():
    """A ring of ten on an equator that 24 fixed positions hold it on: why no rest is conjectured there, at any
    dimension.
    """
    rows = np.eye(34, dtype=bool)
    rows[24:, 24:], rows[24:, :24] = np.roll(np.eye(10, dtype=bool), 1, axis=1), True
    assert set(following(Mask.from_dense(rows)).status[24:]) == {"several roots, cycles"}
    turn = 2 * np.pi * np.concatenate([np.arange(24) / 24, np.arange(10) / 10])
    x = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=-1) + 0.02 * np.random.default_rng(0).standard_normal(
        (2, 34, 3)
    )
    end = trajectories(Mask.from_dense(rows), x, [400.0, 410.0])
    assert np.linalg.norm(end[:, 1, 24:] - end[:, 0, 24:], axis=-1).min() > 0.2
    assert np.abs(end[:, :, 24:, 2]).max() < 0.1


@pytest.mark.parametrize(("n", "dim"), [(2, 2), (6, 2), (6, 3), (7, 4)])
def test_hemispheres_as_often_as_wendel_says(n, dim):
    """2^(1 - n) sum over k < d of C(n - 1, k), within 4 standard errors; the linear program agrees with gaps of the
    circle.
    """
    x = starts(400, n, dim, seed=7)
    due = sum(comb(n - 1, k) for k in range(dim)) / 2 ** (n - 1)
    found = np.array([in_hemisphere(points) for points in x])
    assert abs(found.mean() - due) <= 4 * np.sqrt(due * (1 - due) / 400)
    if dim == 2:
        flat = np.pad(x, ((0, 0), (0, 0), (0, 1)))
        assert [in_hemisphere(points) for points in flat[:100]] == found[:100].tolist()
    assert starts_in_hemispheres(x, np.arange(n)).sum() == (400 if n <= dim else found.sum())


def test_given_points_need_not_lie_in_a_hemisphere():
    """Few random points do, with probability 1; two opposite ones that a user gives do not."""
    x = np.array([[[1.0, 0, 0], [-1, 0, 0]], [[1, 0, 0], [1, 0, 0]], [[1, 0, 0], [0, 1, 0]]])
    assert starts_in_hemispheres(x, np.arange(2)).tolist() == [False, True, True]
    turn = np.linspace(0, 6, 300)[:, None] + [0, 1, np.pi]  # the widest gap is pi, give or take rounding
    on_circle = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    assert not starts_in_hemispheres(on_circle, np.arange(3)).any()
    assert not starts_in_hemispheres(on_circle, np.array([0, 2])).any()


def test_too_many_programs_are_not_solved():
    assert [affordable(seeds, 2000, 3) for seeds in (83, 84)] == [True, False]


@given(st.integers(0, 10**6), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_parts_are_weak_components(number, n):
    allowed = random_mask(np.random.default_rng(number), n, 0.12, False)
    graph = nx.from_numpy_array(allowed | allowed.T)
    assert parts(Mask.from_dense(allowed)) == nx.number_connected_components(graph)


def test_fixed_keys_come_to_rest_between_roots():
    """Theorem D: Q = K = V = I, all keys fixed; the point of rest is critical, and depends on the start."""
    rows = np.eye(5, dtype=bool)
    rows[3, :4] = rows[4, [0, 1]] = True
    assert following(Mask.from_dense(rows)).status == ("fixed", "fixed", "fixed", "fixed keys", "fixed keys")
    x = starts(8, 5, 3, seed=1)
    x[:, :3] = [[1, 0, 0], [-0.5, 0.75**0.5, 0], [-0.5, -(0.75**0.5), 0]]
    end = trajectories(Mask.from_dense(rows), x, [200.0, 220.0], beta=6.0, rtol=1e-9, atol=1e-12)
    assert np.abs(end[:, 0] - end[:, 1]).max() < 1e-5
    pull = np.einsum("sj,jd->sd", np.exp(6 * (end[:, 1, 3] @ x[0, :3].T - 1)), x[0, :3])
    assert np.abs(pull - (pull * end[:, 1, 3]).sum(axis=1, keepdims=True) * end[:, 1, 3]).max() < 1e-6
    assert np.ptp(end[:, 1, 3], axis=0).max() > 0.1


def test_a_mask_of_the_catalogue():
    mask = ms.solve(ms.catalog.butterfly(n=4)).merged.mask
    found = following(mask)
    assert found.status.count("chain") == 6
    assert found.status.count("fixed") == 2
    assert len(found.roots) == 2
    assert sum(below.sum() == 2 for below in found.below) == 2


def test_what_is_refused():
    with pytest.raises(InvalidInstance, match="expected a mask with positions, got 0"):
        following(Mask.from_dense(np.zeros((0, 0), bool)))
    with pytest.raises(Unsupported, match="positions, got 9,000"):
        following(causal_mask(9000))
